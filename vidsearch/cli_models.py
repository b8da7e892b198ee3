"""`vidsearch models`: which encoders there are, and which one new archives are made with."""

from __future__ import annotations

import click

from vidsearch.command import json_option, print_json


@click.group()
def models() -> None:
    """List, fetch and choose context encoders."""


@models.command("list")
@json_option
def models_list(as_json: bool) -> int:
    """List the named encoders: what is here, where it comes from, what its licence allows."""
    from idclip.pull import available
    from vidsearch.present import models_as_json, print_models
    from vidsearch.settings import read

    known, chosen = available(), read().encoder
    if as_json:
        print_json(models_as_json(known, chosen))
    else:
        print_models(known, chosen)
    return 0


@models.command("pull")
@click.argument("name")
def models_pull(name: str) -> int:
    """Fetch the encoder NAME, unless it is here already."""
    from idclip.pull import pull

    click.echo(f"{name}: {pull(name)}")
    return 0


@models.command("use")
@click.argument("name")
def models_use(name: str) -> int:
    """Make NAME the encoder of every new archive; archives that exist keep theirs."""
    from dataclasses import replace

    from idclip.encoders import load_encoder
    from vidsearch.settings import read, write

    encoder = load_encoder(name)  # one that cannot be loaded is not worth choosing
    file = write(replace(read(), encoder=encoder.name))
    click.echo(f"new archives use {encoder.name} (licence: {encoder.licence}); kept in {file}")
    return 0
