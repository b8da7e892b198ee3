"""What a question reads of a row lies side by side in one column of bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from vidsearch import packing
from vidsearch.errors import VidsearchError
from vidsearch.rows import arrays_of, by_place, packed_of, searched_of
from vidsearch.schema import CONTENT, SEARCHED, schemas
from vidsearch.stamp import Stamp

SCHEMAS = schemas(Stamp.new("an encoder", 8, "a face model", 4))
N = 5


def table_of(name: str, n: int = N, seed: int = 0) -> pa.Table:
    """Rows whose plain columns hold numbers of which each is another."""
    rng, columns = np.random.default_rng(seed), []
    fields = [SCHEMAS[name].field(column) for column in packing.names(name)]
    for field in fields:
        if pa.types.is_fixed_size_list(field.type):
            flat = pa.array(rng.random(n * field.type.list_size, np.float32))
            columns.append(pa.FixedSizeListArray.from_arrays(flat, type=field.type))
        elif field.name == "generation":
            columns.append(pa.array(2**62 + rng.integers(0, 2**40, n)))  # no float64 holds these
        elif field.name == "shot":
            columns.append(pa.array(np.arange(n, dtype=np.int32)))
        elif pa.types.is_integer(field.type):
            columns.append(pa.array(rng.integers(0, 2**31 - 1, n), field.type))
        else:
            columns.append(pa.array(rng.random(n), field.type))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def shots_of(keyframes: pa.Table) -> dict[str, Any]:
    """Rows of the shots of these keyframes and one more, in the order of their places."""
    shots = {
        name: values.copy() for name, values in arrays_of(table_of("shots", N + 1, seed=1)).items()
    }
    shots["generation"][:N] = arrays_of(keyframes)["generation"]
    return by_place(shots)


@pytest.mark.parametrize("name", CONTENT)
def test_what_is_packed_comes_back_as_it_was(name: str) -> None:
    table = table_of(name)
    shots = shots_of(table) if name == "keyframes" else None
    column = packed_of(name, table, shots)
    assert column.type == SCHEMAS[name].field(packing.COLUMN).type
    # In pieces, as Lance gives it, of which one begins in the middle of its buffer.
    pieces = pa.chunked_array([column.slice(0, 2), column.slice(2, 0), column.slice(2)])
    found = searched_of(name, pa.table({packing.COLUMN: pieces}))
    for column_name, values in searched_of(name, table).items():
        np.testing.assert_array_equal(found[column_name], values, strict=True)
    assert set(packing.names(name)) == set(SEARCHED[name]) - {"vector"}


def test_keyframes_tell_what_there_is_of_their_shots() -> None:
    table = table_of("keyframes")
    shots = shots_of(table)
    column = packed_of("keyframes", table, shots)
    keyframes = searched_of("keyframes", pa.table({packing.COLUMN: column}))
    told = packing.shots_of(keyframes)
    assert set(told) == set(packing.names("shots"))
    for row, place in enumerate(keyframes["place"].tolist()):
        (at,) = np.flatnonzero(shots["place"] == place)
        for name in told:
            assert told[name][row] == shots[name][at]
            assert told[name].dtype == shots[name].dtype


@pytest.mark.parametrize("lost", range(N + 1))
def test_a_keyframe_of_no_shot_is_never_told_of_another(lost: int) -> None:
    table = table_of("keyframes")
    shots = shots_of(table)
    keyframes = searched_of("keyframes", table)
    others = {name: np.delete(values, lost, axis=0) for name, values in shots.items()}
    if shots["place"][lost] in keyframes["place"]:
        with pytest.raises(VidsearchError, match="vidsearch verify --repair"):
            packed_of("keyframes", table, others)
    else:
        assert packed_of("keyframes", table, others).equals(packed_of("keyframes", table, shots))


def test_keyframes_know_of_fewer_tracks_once_some_are_forgotten() -> None:
    table = table_of("keyframes")
    column = packed_of("keyframes", table, shots_of(table))
    gone = np.array([0, 2, 0, 1, 0], np.int32)
    fewer = packing.with_fewer_tracks(pa.chunked_array([column]), gone)
    before, after = (
        packing.shots_of(packing.unpacked("keyframes", pa.chunked_array([each])))
        for each in (column, fewer)
    )
    np.testing.assert_array_equal(after.pop("n_tracks"), before.pop("n_tracks") - gone)
    for name in before:
        np.testing.assert_array_equal(after[name], before[name])


def test_of_no_rows_there_are_no_numbers() -> None:
    nothing = pa.chunked_array([], packing.field("faces").type)
    found = packing.unpacked("faces", nothing)
    assert found["box"].shape == (0, 4)
    assert found["generation"].dtype == np.int64
