"""`idclip evaluate`: the paper's whole table for a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import click

_EVERY_S = 5.0


@click.command()
@click.argument("checkpoint")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="A COCO-PFS folder, as built by idclip build-cocopfs or as released.",
)
@click.option("--split", default="test", show_default=True, help="train, validation, test or all.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write evaluation.md, .json and .png into this folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of Markdown.")
@click.option(
    "--template",
    type=click.IntRange(1, 11),
    default=1,
    show_default=True,
    help="Which of the 11 templates is the fixed one; 7 to 11 are in place.",
)
@click.option(
    "--photos",
    type=click.IntRange(1),
    help="Ask with the mean of this many reference photos instead of the data set's own vector.",
)
@click.option(
    "--mean",
    type=click.Choice(["before", "after"]),
    default="before",
    show_default=True,
    help="Whether --photos are averaged before the translator or after it.",
)
@click.option(
    "--configuration",
    "configurations",
    multiple=True,
    help="Only this way to put a person into a text (none, names, conf1 to conf6); may be given "
    "again.",
)
@click.option("--limit", type=click.IntRange(1), help="Only the first pictures.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the intervals.")
def evaluate(
    checkpoint: str,
    data: Path,
    split: str,
    out: Path | None,
    as_json: bool,
    template: int,
    photos: int | None,
    mean: Literal["before", "after"],
    configurations: tuple[str, ...],
    limit: int | None,
    seed: int,
) -> None:
    """Measure CHECKPOINT as the paper does: every way to put a person into a text.

    No name, real names, [TOK] and the other configurations, each with a fixed template and with
    all averaged; text to image, image to text, persons alone, and by size of the face; with 95 %
    intervals. CHECKPOINT is a folder that `idclip train` wrote, or "compact", which ships. Needs
    the extra `train`.
    """
    from . import evaluate_report as report
    from .checkpoints import load_idclip
    from .cocopfs.dataset import CocoPFS
    from .evaluate import WAYS
    from .evaluate import evaluate as measure

    for unknown in sorted(set(configurations) - set(WAYS)):
        raise click.BadParameter(f'"{unknown}" is none of {", ".join(WAYS)}.')
    dataset = CocoPFS(data, None if split == "all" else split)
    model = load_idclip(checkpoint, face_model=dataset.face_model)
    measured = measure(
        model,
        dataset,
        template=template - 1,
        photos=photos,
        mean=mean,
        configurations=configurations or WAYS,
        limit=limit,
        progress=_lines(),
        seed=seed,
    )
    click.echo(report.as_json(measured) if as_json else report.as_markdown(measured), nl=False)
    if out is not None:
        for file in report.write_report(measured, out):
            click.echo(f"written: {file}", err=True)


def _lines() -> Callable[[str, int, int], None]:
    """A progress callback that writes a line now and then, and at the end of each stage."""
    last = time.monotonic()

    def tell(stage: str, done: int, of: int) -> None:
        nonlocal last
        if done == of or time.monotonic() - last >= _EVERY_S:
            last = time.monotonic()
            click.echo(f"{stage}: {done} of {of}", err=True)

    return tell
