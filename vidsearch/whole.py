"""Small files that are there whole or not at all, in a folder or in a store."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from vidsearch.urls import Place


def write_whole(file: Place, text: str) -> None:
    """Write a file, UTF-8, in place of what it was; raises OSError. In a store that is one put."""
    if not isinstance(file, Path):
        file.write_text(text)
        return
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=file.name, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as open_file:
            open_file.write(text)
            open_file.flush()
            os.fsync(open_file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp's 0600 would shut out other readers
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
