"""Lists of files: what a file, or another program, says is to be indexed."""

from __future__ import annotations

import codecs
import sys
from pathlib import Path

from vidsearch.errors import VidsearchError


def read(file: Path | str) -> list[bytes]:
    """The paths and URLs of a list, "-" for standard input; raises VidsearchError without one."""
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else Path(file).read_bytes()
    except OSError as error:
        raise VidsearchError(f"the list {file} cannot be read: {error.strerror}") from error
    return entries(content)


def entries(content: bytes) -> list[bytes]:
    """The entries of a list, as bytes, for file names need not be text.

    One a line, without blank lines and those that begin with "#"; where there is a zero byte, as
    `find -print0` writes it, that alone ends an entry, and a name may hold line breaks.
    """
    if b"\0" in content:
        return [entry for entry in content.split(b"\0") if entry]
    lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    stripped = (line.removesuffix(b"\r") for line in lines)
    return [line for line in stripped if line.strip() and not line.lstrip().startswith(b"#")]
