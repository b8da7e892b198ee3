"""What an archive holds of its videos, row by row, so that two archives can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vidsearch import Archive, packing
from vidsearch.schema import CONTENT

NEARLY = 1e-4
"""How far numbers of a network may lie apart that another process made, absolute: before they are
rounded to float16, as which they may be stored."""
OF_A_NETWORK = ("vector", "quality", "cohort_mean", "cohort_std")
"""Columns that hold such numbers. All others are ids, times, frames, boxes, pictures: exact."""
# Of each run; what is packed has its generation in it, and `verify` compares it with the columns.
_OWN = ("generation", "indexed_at", "place", packing.COLUMN)


def rows_of(archive: Path | str) -> dict[str, list[dict[str, Any]]]:
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


def assert_same_rows(archive: Path | str, expected: Path | str, *, boxes: float = 0.0) -> None:
    """Ids, times, frames, boxes and the bytes of pictures are the same, vectors and scores nearly.

    A time that is off by the least that a float can be off is another time. Where another device
    found the faces, their boxes may lie `boxes` apart, and have pictures of their own.
    """
    found, wanted = rows_of(archive), rows_of(expected)
    assert found.keys() == wanted.keys()
    for table in wanted:
        assert [_key(row) for row in found[table]] == [_key(row) for row in wanted[table]], table
        for ours, theirs in zip(found[table], wanted[table], strict=True):
            assert ours.keys() == theirs.keys(), table
            for column, value in theirs.items():
                where = f"{table}.{column} of {_key(theirs)}"
                apart = boxes if column == "box" else 0.0
                if column in OF_A_NETWORK and value is not None and ours[column] is not None:
                    assert_nearly(ours[column], value, where)
                elif apart and value is not None and ours[column] is not None:
                    np.testing.assert_allclose(
                        ours[column], value, rtol=0, atol=apart, err_msg=where
                    )
                elif boxes and (table, column) == ("faces", "thumbnail"):
                    assert (ours[column] is None) == (value is None), where
                elif ours[column] != value:
                    raise AssertionError(f"{where}: {_shown(ours[column])}, not {_shown(value)}")


def assert_nearly(ours: ArrayLike, theirs: ArrayLike, where: str = "") -> None:
    """Numbers of a network are the same but for `NEARLY`, or for one step of float16.

    The steps are wider than `NEARLY` from 1/8 on, and numbers however near may round to two sides.
    """
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape, where
    step = np.spacing(np.maximum(np.abs(ours), np.abs(theirs)).astype(np.float16))
    apart = np.abs(ours - theirs)
    assert np.all(apart <= np.maximum(step, NEARLY)), f"{where}: up to {apart.max()} apart"


def _shown(value: Any) -> str:
    """A picture by its length alone."""
    return f"{len(value)} bytes" if isinstance(value, bytes) else repr(value)


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
