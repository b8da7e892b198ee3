"""What an archive holds of its videos, row by row, so that two archives can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vidsearch import Archive
from vidsearch.schema import CONTENT

VECTORS = 1e-4
"""How far values of vectors may lie apart that another process made."""
_OWN = ("generation", "indexed_at", "place")  # of each run


def rows_of(archive: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of the tables of videos, ordered, without what each run has anew."""
    with Archive(archive)._open.writer() as store:
        tables = {
            name: [row for batch in batches for row in batch.to_pylist()]
            for name, _, batches in store.everything()
            if name in ("videos", *CONTENT)
        }
    for rows in tables.values():
        for row in rows:
            for name in _OWN:
                row.pop(name, None)
        rows.sort(key=_key)
    return tables


def assert_same_rows(archive: Path, expected: Path) -> None:
    """Ids, times, frames and pictures are the same, vectors nearly."""
    found, wanted = rows_of(archive), rows_of(expected)
    assert found.keys() == wanted.keys()
    for table in wanted:
        assert [_key(row) for row in found[table]] == [_key(row) for row in wanted[table]], table
        for ours, theirs in zip(found[table], wanted[table], strict=True):
            for column, value in theirs.items():
                if column == "vector" and value is not None:
                    np.testing.assert_allclose(ours[column], value, atol=VECTORS)
                elif isinstance(value, float):
                    np.testing.assert_allclose(ours[column], value, rtol=1e-5, atol=VECTORS)
                elif column != "thumbnail":
                    assert _alike(ours[column], value), (table, column)
                else:
                    assert (ours[column] is None) == (value is None)


def _alike(a: Any, b: Any) -> bool:
    if isinstance(b, list) and b and isinstance(b[0], float):
        return bool(np.allclose(a, b, atol=VECTORS))
    return bool(a == b)


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(
        row.get(name) if row.get(name) is not None else -1
        for name in ("video_id", "shot", "start_s", "track", "look", "frame")
    )


def expected(folder: Path) -> Path:
    """The archive that a run on this machine makes of the same files."""
    archive = folder.parent / "expected"
    Archive(archive).index([folder])
    return archive
