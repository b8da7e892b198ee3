"""What a run has done, one JSON line each, so that the next run goes on where it was killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any


class Journal:
    """Results by key, kept in a file that one process appends to.

    A line that a killed run left unfinished is cut off when the journal is opened again: its
    result is made anew.
    """

    def __init__(self, path: Path) -> None:
        self._done: dict[str, dict[str, Any]] = {}
        whole = 0
        if path.is_file():
            data = path.read_bytes()
            for line in data.splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    break
                try:
                    record = json.loads(line)
                except ValueError:
                    break
                self._done[record["key"]] = record["result"]
                whole += len(line)
        self._file = path.open("ab")
        self._file.truncate(whole)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._done

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._done[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._done)

    def forget(self, key: str) -> None:
        """Let a result be made anew; a later `add` replaces it."""
        self._done.pop(key, None)

    def add(self, key: str, result: dict[str, Any]) -> None:
        """Keep a result; it is on its way to the disk when this returns."""
        line = json.dumps({"key": key, "result": result}, ensure_ascii=False, allow_nan=False)
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        self._done[key] = result
