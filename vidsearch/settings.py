"""What a user chose once for all archives to come, in one small TOML file.

The file is `config.toml` in the user's application folder, or `$VIDSEARCH_CONFIG`. It holds only
what people really set: the models a new archive is made with.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from vidsearch.errors import VidsearchError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Settings:
    """The models of a new archive; an archive that exists keeps those it was made with."""

    encoder: str = "concept"
    faces: str = "default"


def path() -> Path:
    """The settings file: `$VIDSEARCH_CONFIG`, else the one in the user's application folder."""
    chosen = os.environ.get("VIDSEARCH_CONFIG")
    if chosen:
        return Path(chosen)
    import click

    return Path(click.get_app_dir("vidsearch")) / "config.toml"


def read() -> Settings:
    """The user's settings, or the defaults where nothing was set.

    Raises `VidsearchError` for a file that is not readable TOML or says what nobody knows.
    """
    file = path()
    try:
        found = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:
        raise VidsearchError(f"{file}: cannot be read ({error}); mend or delete it") from error
    known = {field.name for field in fields(Settings)}
    wrong = [key for key, value in found.items() if key not in known or not isinstance(value, str)]
    if wrong:
        raise VidsearchError(
            f"{file}: {', '.join(wrong)} is no setting; known, as text: {', '.join(sorted(known))}"
        )
    return Settings(**found)


def write(settings: Settings) -> Path:
    """Keep these settings for every archive made from now on; gives the file.

    Raises `VidsearchError` where the file cannot be written.
    """
    file = path()
    # A JSON string of printable text is a TOML basic string too.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in _set(settings)]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    except OSError as error:
        raise VidsearchError(f"{file}: cannot be written ({error.strerror})") from error
    return file


def _set(settings: Settings) -> list[tuple[str, str]]:
    """Only what differs from the defaults, so that better defaults reach old users."""
    plain = asdict(Settings())
    return [(key, value) for key, value in asdict(settings).items() if value != plain[key]]
