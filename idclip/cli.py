"""The `idclip` command: make and move models. Each command is one call of a function."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from .cli_calibrate import calibrate_faces
from .cli_cocopfs import build_cocopfs
from .cli_evaluate import evaluate
from .cli_score import score
from .cli_train import train
from .concept_training import EPOCHS
from .errors import VidsearchError


class Command(click.Group):
    """A click group that prints our errors as one message, without a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run, and leave with the exit status."""
        try:
            return super().main(*args, **kwargs)
        except VidsearchError as error:
            click.echo(f"idclip: {error}", err=True)
            sys.exit(2)


@click.group(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The models behind vidsearch: build data, train, evaluate, export and list them."""


for command in (build_cocopfs, train, evaluate, score, calibrate_faces):
    main.add_command(command)


_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@main.command("train-concept")
@click.option("--coco", type=_FOLDER, required=True, help="COCO photos and captions (train).")
@click.option("--flickr", type=_FOLDER, required=True, help="Flickr8k: images.tar, captions.csv.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The weights folder.")
@click.option("--imagenet", type=_FOLDER, help="A photo WNID_name.jpg of each ImageNet class.")
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=EPOCHS,
    show_default=True,
    help="Passes over the data while the towers learn.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all randomness.")
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="Threads.")
@click.option(
    "--int8",
    is_flag=True,
    help="Let the image side compute in int8: over twice as fast, hardly worse.",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep what the frozen stages see here between runs (2.3 GB).",
)
def train_concept(
    coco: Path,
    flickr: Path,
    out: Path,
    imagenet: Path | None,
    epochs: int,
    seed: int,
    threads: int,
    int8: bool,
    cache: Path | None,
) -> None:
    """Make the weights of the encoder `concept` anew, from the packages that carry its towers.

    Needs the extra `train`. The test photos of both sets are never trained on. Prints recall on
    held-out photos as JSON.
    """
    from .concept_training import train_concept as train

    measured = train(
        coco=coco,
        flickr=flickr,
        out=out,
        imagenet=imagenet,
        epochs=epochs,
        seed=seed,
        threads=threads,
        int8=int8,
        cache=cache,
        say=lambda line: click.echo(line, err=True),
    )
    click.echo(json.dumps(measured, indent=2))


@main.command()
@click.argument("checkpoint")
@click.option(
    "--onnx",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder to write, new or empty.",
)
def export(checkpoint: str, folder: Path) -> None:
    """Export an Id-CLIP for `vidsearch --encoder onnx:FOLDER`, without torch.

    CHECKPOINT is a folder that `idclip train` wrote, or "compact". Image tower, text tower and
    translator are compared with the model before the folder appears. Needs the extra `train`.
    """
    from .idclip_export import export_idclip

    difference = export_idclip(checkpoint, folder)
    click.echo(f"{folder}: equal to the model within {difference:.1e}; use it as onnx:{folder}")


@main.command("export-onnx")
@click.argument("source", metavar="MODEL/PRETRAINED")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--licence", default="", help="The licence of the weights, to be kept with them.")
def export_onnx(source: str, folder: Path, licence: str) -> None:
    """Export an open_clip model to FOLDER, for `--encoder onnx:FOLDER` without torch.

    MODEL/PRETRAINED as in `open_clip:MODEL/PRETRAINED`: a published tag or a checkpoint file,
    or local-dir:FOLDER. The export is compared with the model before the folder appears. Needs
    the extra `train`.
    """
    from .onnx_export import export_onnx as export

    difference = export(source.removeprefix("open_clip:"), folder, licence=licence)
    click.echo(f"{folder}: equal to the model within {difference:.1e}; use it as onnx:{folder}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models(as_json: bool) -> None:
    """List the named encoders: what is here, their licences, where they come from."""
    from .pull import available

    states = available()
    if as_json:
        data = [state.as_data() for state in states]
        click.echo(json.dumps(data, indent=2))
        return
    for state in states:
        info = state.info
        click.echo(f"{'here   ' if state.present else 'missing'}  {info.name}: {info.about}")
        click.echo(f"         {info.licence}; commercial use: {info.commercial}, {info.note}")
        click.echo(f"         {info.origin}, {info.megabytes} MB")
        if state.remedy:
            click.echo(f"         -> {state.remedy}")


if __name__ == "__main__":
    main()
