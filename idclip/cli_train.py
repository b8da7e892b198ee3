"""`idclip train`: the options of a run as those of a command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from .errors import VidsearchError
from .training_options import PRESETS, Options, preset

PLAIN_EVERY = 10  # percent between two plain lines of progress


def _list_presets(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        for name, each in PRESETS.items():
            click.echo(f"{name}: {each.about}")
            values = each.options.as_data().items()
            click.echo("    " + ", ".join(f"{key}={value!r}" for key, value in values))
        context.exit()


def training_parameters() -> list[click.Parameter]:
    """Those of `train`: data, folder, preset, and each of `Options`."""
    folder = click.Path(file_okay=False, path_type=Path)
    there = click.Path(exists=True, file_okay=False, path_type=Path)
    return [
        click.Option(
            ["--data"],
            type=there,
            multiple=True,
            required=True,
            help="A COCO-PFS folder with a train and a validation split; may be given again.",
        ),
        click.Option(["--out"], type=folder, required=True, help="The folder of the run."),
        click.Option(["--resume"], is_flag=True, help="Go on with the run in the folder."),
        click.Option(
            ["--preset", "name"],
            help=f"Options to begin with: {', '.join(PRESETS)}; those given beside it count. "
            "Without one: compact, or the paper's options with --model.",
        ),
        click.Option(
            ["--list-presets"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_list_presets,
            help="Show the presets, and leave.",
        ),
        *map(_parameter, fields(Options)),
    ]


def _parameter(option: Any) -> click.Option:
    """The command's option for a field of `Options`; left alone, the preset decides."""
    flag = f"--{option.name.replace('_', '-')}"
    choices = option.metadata.get("choices")
    kind = click.Choice([c for c in choices if c]) if choices else type(option.default)
    if kind is bool:
        return click.Option(
            [f"{flag}/--no-{option.name}"], default=None, help=option.metadata["about"]
        )
    return click.Option([flag], type=kind, default=None, help=option.metadata["about"])


def chosen_options(out: Path, resume: bool, name: str | None, given: Mapping[str, Any]) -> Options:
    """The preset's options, or those of the run that goes on, with what was given beside."""
    changed = {key: value for key, value in given.items() if value is not None}
    if resume and name is None:
        from dataclasses import replace

        from .train import stored_options

        return replace(stored_options(out), **changed)
    if name is None and "model" in changed:  # what suits compact need not suit it
        return Options(**changed)
    return preset(name or "compact", **changed)


def _train(data: tuple[Path, ...], out: Path, resume: bool, name: str | None, **given: Any) -> None:
    """Train an Id-CLIP on COCO-PFS folders: a face becomes a word of a frozen CLIP.

    OUT/best is the checkpoint with the best recalls on the validation split, OUT/last the last
    one, from which --resume goes on to what an uninterrupted run would have come to. Beside them
    are log.jsonl, tensorboard/ and curves.png. SIGTERM and Ctrl-C save first (status 143 and 130).
    Needs the extra `train`.
    """
    from .pull import TORCH_REMEDY, torch_installed
    from .train_stop import Stopped

    if not torch_installed():
        raise VidsearchError(f"training needs torch: {TORCH_REMEDY}")
    from .train import train as run

    options = chosen_options(out, resume, name, given)
    with progress() as (say, show):
        try:
            found = run(options, data, out, resume=resume, say=say, show=show)
        except Stopped as stopped:
            say(f"idclip: {stopped}")
            sys.exit(128 + stopped.signum)
    for key, value in found.items():
        click.echo(f"{key} {value:.4f}")


train = click.Command("train", params=training_parameters(), callback=_train, help=_train.__doc__)


@contextmanager
def progress() -> Iterator[tuple[Callable[[str], None], Callable[[int, int, str], None]]]:
    """`say` and `show` of `train`: a live line on stderr, or plain ones without a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal:
        yield lambda line: click.echo(line, err=True), _plain()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
        task = bars.add_task("", total=None)

        def show(done: int, of: int, what: str) -> None:
            bars.update(task, completed=done, total=of, description=what)

        yield lambda line: console.print(line, soft_wrap=True), show


def _plain() -> Callable[[int, int, str], None]:
    told: dict[str, int] = {}

    def show(done: int, of: int, what: str) -> None:
        kind = what.split(",")[0]
        tenth = 100 * done // of // PLAIN_EVERY
        if tenth > told.get(kind, -1) and (done == of or tenth != max(told.values(), default=-1)):
            told[kind] = tenth
            click.echo(f"{done}/{of} {what}", err=True)

    return show
