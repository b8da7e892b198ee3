"""`idclip calibrate-faces`: what the scores of a face model mean, on a folder of people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .errors import VidsearchError

if TYPE_CHECKING:
    from .calibrate import Reliability


@click.command("calibrate-faces")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--faces", default="default", show_default=True, help="Face model to calibrate.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write; left out, where vidsearch finds it from then on.",
)
@click.option("--no-diagram", is_flag=True, help="Draw no reliability.png (needs matplotlib).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def calibrate_faces(
    folder: Path, faces: str, out: Path | None, no_diagram: bool, as_json: bool
) -> None:
    """Fit P(same person) for a face model, on photos of known people.

    FOLDER holds a subfolder of photos for each person: 60 people at least, 20 of them with two
    photos or more; some hundred are better. Photos are also judged small, blurred, compressed and
    turned, as in video. Written are cohort.npy, calibration.json (with its origin and its errors
    on people left out) and reliability.png, beside pulled models ($VIDSEARCH_MODELS, else the
    user's cache). Archives made before with another cohort of the model are refused from then on,
    with the command that brings their people over.
    """
    from .calibrate_fit import calibrate_folder, save
    from .faces import full_name, load_faces
    from .identity import fitted_folder

    model = load_faces(full_name(faces))
    out = out or fitted_folder(model.name)
    calibrated = calibrate_folder(folder, model, _tell)
    save(calibrated, out)
    if not no_diagram:
        _draw(out / "reliability.png", calibrated.reliability)
    origin = calibrated.origin
    if as_json:
        click.echo(json.dumps({"folder": str(out), **origin}, indent=2))
        return
    click.echo(f"{model.name}: {origin['people']} people, {origin['photos']} photos, ", nl=False)
    click.echo(f"{origin['photos_left_out']} left out (no face, or several)")
    for mix, error in origin["calibration_error_on_people_left_out"].items():
        click.echo(f"  calibration error, {mix}: {error:.3f}")
    for kind, shares in origin["named_right_on_people_left_out"].items():
        shown = f"right {shares['right']:.2f}, strangers {shares['wrong']:.1e}"
        click.echo(f"  named at P 0.5, {kind}: {shown}")
    click.echo(f"written to {out}")


def _draw(file: Path, lines: Mapping[str, Reliability]) -> None:
    """The diagram, or the reason why there is none: the calibration stands without it."""
    from .calibrate_plot import draw

    try:
        draw(file, [("On people left out", lines)])
    except VidsearchError as error:
        click.echo(f"idclip: no diagram: {error}", err=True)


def _tell(done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:
        end = "\n" if done == total else "\r"
        click.echo(f"{done} of {total} photos{end}", nl=False, err=True)
