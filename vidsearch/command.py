"""What all commands share: how they read common options, print, and leave.

Results go to stdout, progress and warnings to stderr. Exit status: 0 found, 1 nothing found,
2 wrong usage, 3 some inputs failed, 130 interrupted.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from vidsearch.errors import VidsearchError

NOTHING_FOUND = 1
WRONG_USAGE = 2
SOME_FAILED = 3
INTERRUPTED = 130

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_PICTURES = (".jpg", ".jpeg", ".png", ".webp")


class Command(click.Group):
    """A click group that prints our errors as one message, without a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        try:
            status = super().main(*args, **kwargs)
        except click.exceptions.Exit as stop:
            sys.exit(stop.exit_code)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            click.echo("\ninterrupted; run the same command again to go on", err=True)
            sys.exit(INTERRUPTED)
        except VidsearchError as error:
            click.echo(f"vidsearch: {error}", err=True)
            sys.exit(WRONG_USAGE)
        except OSError as error:
            # One without a file is about a stream; archives tell of their own full disks.
            if error.filename is not None or error.errno not in _FULL:
                raise
            _forget_stdout()
            click.echo(f"vidsearch: the output cannot be written: {error.strerror}", err=True)
            sys.exit(WRONG_USAGE)
        sys.exit(status if isinstance(status, int) else 0)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _reader_may_leave():  # `--help` and `--version` print here
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _reader_may_leave():
            return super().invoke(ctx)


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Leave with 0 where the reader of our output has left, as `head` does.

    Rich notices by itself, and leaves with 1; so would click.
    """
    try:
        yield
    except BrokenPipeError:
        pass
    except SystemExit as stop:
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
    else:
        return
    _forget_stdout()
    sys.exit(0)


def _forget_stdout() -> None:
    """Let what is left to write go nowhere, or Python would complain of it at the very end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _picture(ctx: click.Context, param: click.Parameter, file: Path | None) -> Path | None:
    """Refuse, before the work, a picture that could not be written after it."""
    if file is not None:
        check_picture(file, _PICTURES)
    return file


def check_picture(file: Path, suffixes: Sequence[str]) -> None:
    """Raise `click.BadParameter` for a picture of no such suffix, or that cannot be written."""
    if file.suffix.lower() not in suffixes:
        raise click.BadParameter(f"{file} is no picture: end it in {', '.join(suffixes)}")
    if not file.parent.is_dir():
        raise click.BadParameter(f"{file.parent} is no folder: make it first")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise click.BadParameter(f"{file} cannot be written: permission denied")


class ArchiveFolder(click.Path):
    """A folder, or the URL of one in a store."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from vidsearch.urls import is_url

        if not is_url(value):
            return super().convert(value, param, ctx)
        from vidsearch.opened import located

        return located(value)


archive_option = click.option(
    "--archive",
    "folder",
    type=ArchiveFolder(file_okay=False, path_type=Path),
    envvar="VIDSEARCH_ARCHIVE",
    default=".vidsearch",
    show_default=True,
    help="The archive folder, or s3://BUCKET/KEY (also $VIDSEARCH_ARCHIVE).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
detector_option = click.option(
    "--detector-option",
    "detector_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="A threshold of the detector; may be repeated.",
)
wait_option = click.option(
    "--wait",
    "wait_s",
    type=float,
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for another writer to finish.",
)


def sheet_option(help: str) -> Any:
    """The option --sheet FILE.jpg."""
    return click.option(
        "--sheet",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE.jpg",
        callback=_picture,
        help=help,
    )


def numbers(options: Sequence[str]) -> dict[str, float]:
    """NAME=VALUE options as numbers."""
    numbers = {}
    for option in options:
        name, _, value = option.partition("=")
        try:
            numbers[name.strip()] = float(value)
        except ValueError:
            raise click.BadParameter(
                f"{option!r} is not NAME=NUMBER; see: vidsearch detectors",
                param_hint="--detector-option",
            ) from None
    return numbers


def say(sentence: str) -> None:
    """Tell a person something that is no result."""
    click.echo(sentence, err=True)


def print_json(data: Any) -> None:
    """Print a result for programs."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def agreed(question: str) -> bool:
    """The answer of whoever sits there; where nobody does, no."""
    try:
        return click.confirm(question, err=True)
    except click.Abort as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise
        say("")  # what follows starts a line of its own
        return False
