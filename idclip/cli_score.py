"""`idclip score`: metrics of a file of vectors."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as fractions.")
def score(file: Path, as_json: bool) -> None:
    """Score any model from FILE.npz, without the model: recall both ways, and of persons.

    FILE holds image [I, D], text [T, D], text_image [T] (the row of the image that a text belongs
    to), and for persons image_entity [I], entity_text [E, D] and entity [E]. Vectors are compared
    by cosine; an answer that ties with a wrong one stands behind it.
    """
    from .score import score_file

    result = score_file(file)
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    names = {"t2i": "text to image", "i2t": "image to text", "entity": "persons"}
    for part, values in result.items():
        figures = "  ".join(f"{name} {100 * value:5.1f}" for name, value in values.items())
        click.echo(f"{names[part]:<14} {figures}  %")
