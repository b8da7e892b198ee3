"""`idclip build-cocopfs`: the command, and how it tells of its progress."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from .cocopfs.build import Tell
    from .cocopfs.jobs import Runner

_SPLITS = ("train", "validation", "test")
_PLAIN_EVERY_S = 10.0


def _splits(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    given = [part.strip() for part in value.split(",") if part.strip()]
    unknown = [part for part in given if part not in _SPLITS]
    if unknown or not given:
        raise click.BadParameter(f"give one or more of {', '.join(_SPLITS)}, with commas between")
    return tuple(split for split in _SPLITS if split in given)


@click.command("build-cocopfs")
@click.option(
    "--coco",
    type=click.Path(path_type=Path),
    required=True,
    help="Photos and annotations in COCO's format.",
)
@click.option(
    "--faces",
    type=click.Path(path_type=Path),
    required=True,
    help="A folder or a tar of PERSON/*.jpg.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder to build.")
@click.option(
    "--identities-per-image",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="How many people each photo is swapped to.",
)
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes to use."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the lots.")
@click.option(
    "--swapper",
    default="classic",
    show_default=True,
    metavar="NAME",
    help="classic, or inswapper:FILE with insightface's ONNX file (non-commercial research).",
)
@click.option(
    "--face-model",
    default="default",
    show_default=True,
    metavar="NAME",
    help="Finds faces and checks swaps: default, insightface:PACK or opencv:FOLDER.",
)
@click.option(
    "--least-face",
    type=click.FloatRange(8),
    default=24.0,
    show_default=True,
    metavar="PX",
    help="Shorter side of a face's box from which it can be swapped.",
)
@click.option(
    "--least-photos",
    type=click.IntRange(2),
    default=2,
    show_default=True,
    help="Usable photos a person needs: 6 leave five to ask with.",
)
@click.option(
    "--looks",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV name,gender,skin of people (and of photos): swap to people who look alike.",
)
@click.option(
    "--splits",
    default=",".join(_SPLITS),
    show_default=True,
    callback=_splits,
    help="Which splits to build.",
)
@click.option(
    "--limit", type=click.IntRange(1), help="Use at most so many photos of each COCO folder."
)
@click.option(
    "--uncovered",
    is_flag=True,
    help="Take photos that the instances file does not cover too, by detector and captions.",
)
def build_cocopfs(coco: Path, faces: Path, out: Path, jobs: int, **options: Any) -> None:
    """Build COCO-PFS: photos of one person each, swapped to people whose faces you give.

    Images with exactly one person and one usable face are taken; train people go onto train2017,
    validation and test people onto val2017. Each swap is checked, and kept only if the face model
    takes it for the new person. Killed at any moment, the same command goes on. OUT/report.md and
    OUT/report.jpg say and show what came of it.
    """
    from .cocopfs.jobs import runner

    build(coco, faces, out, runner(jobs), options)


def build(coco: Path, faces: Path, out: Path, run: Runner, options: Mapping[str, Any]) -> None:
    """What the command does, with any way to spread the work; says what came of it."""
    from .cocopfs.build import Options
    from .cocopfs.build import build_cocopfs as build_

    with _progress() as tell:
        made = build_(coco, faces, out, Options(**options), run=run, tell=tell)
    for split, part in made["counts"]["splits"].items():
        click.echo(
            f"{split}: {part['kept']} swaps of {part['photos_kept']} photos, "
            f"{part['people_used']} people, {sum(part['rejected'].values())} rejected"
        )
    click.echo(f"{out}: see report.md and report.jpg")


@contextmanager
def _progress() -> Iterator[Tell]:
    """Bars on stderr, or a line every ten seconds where that is no terminal."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _Lines().tell
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console) as bars:
        known: dict[str, int] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in known:
                known[stage] = bars.add_task(stage, total=total)
            bars.update(known[stage], completed=done, total=total)  # type: ignore[arg-type]

        yield tell


class _Lines:
    """Plain lines: the first and the last of each stage, and one every ten seconds."""

    def __init__(self) -> None:
        self._stage, self._last = "", 0.0

    def tell(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage == self._stage and done < total and now - self._last < _PLAIN_EVERY_S:
            return
        self._stage, self._last = stage, now
        click.echo(f"{stage}: {done} of {total}", err=True)
