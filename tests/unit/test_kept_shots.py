"""The rows of shots that were read are kept, by the shots' places."""

from __future__ import annotations

import numpy as np
import pytest

from vidsearch.kept import KeptShots
from vidsearch.rows import Arrays, Ints

# Of place p the table `faces` has p % 3 rows: so some shots have none.
FACES = np.repeat(np.arange(100), np.arange(100) % 3)


class Reader:
    """Reads rows, and tells which places were read."""

    def __init__(self) -> None:
        self.read: list[list[int]] = []

    def __call__(self, places: Ints) -> dict[str, Arrays]:
        self.read.append(sorted(places.tolist()))
        shots = np.flatnonzero(np.isin(np.arange(100), places))[::-1]  # in no order, as an index
        faces = np.flatnonzero(np.isin(FACES, places))[::-1]
        return {
            "shots": {"place": shots, "start_s": 6.0 * shots},
            "faces": {"place": FACES[faces], "look": faces, "vector": vectors(faces)},
        }


def vectors(looks: Ints) -> np.ndarray:
    return np.stack([looks, -looks], axis=1).astype(np.float32)


@pytest.fixture
def reader() -> Reader:
    return Reader()


class Rows:
    """What is kept, with its reader."""

    def __init__(self, reader: Reader, most: int = 1 << 20) -> None:
        nothing = {
            name: {column: values[:0] for column, values in columns.items()}
            for name, columns in Reader()(np.arange(100)).items()
        }
        self.kept = KeptShots(nothing, most)
        self._reader = reader

    def of(self, places: Ints) -> dict[str, Arrays]:
        return self.kept.of(places, self._reader)


def check(found: dict[str, Arrays], places: list[int]) -> None:
    """That these are the rows of `places`, whole, each once."""
    assert sorted(found["shots"]["place"].tolist()) == sorted(places)
    assert (found["shots"]["start_s"] == 6.0 * found["shots"]["place"]).all()
    looks = np.flatnonzero(np.isin(FACES, places))
    order = np.argsort(found["faces"]["look"])
    assert found["faces"]["look"][order].tolist() == looks.tolist()
    assert found["faces"]["place"][order].tolist() == FACES[looks].tolist()
    assert (found["faces"]["vector"][order] == vectors(looks)).all()
    assert found["faces"]["vector"].flags.c_contiguous


def test_only_what_is_not_known_is_read(reader: Reader) -> None:
    rows = Rows(reader)
    check(rows.of(np.array([3, 5, 7])), [3, 5, 7])
    check(rows.of(np.array([5, 6, 7])), [5, 6, 7])
    check(rows.of(np.array([7, 3])), [3, 7])
    assert reader.read == [[3, 5, 7], [6]]


def test_of_no_shots_there_are_columns_without_rows(reader: Reader) -> None:
    found = Rows(reader).of(np.zeros(0, np.int64))
    check(found, [])
    assert found["faces"]["vector"].shape == (0, 2)
    assert reader.read == []


def test_shots_that_are_gone_have_no_rows(reader: Reader) -> None:
    rows = Rows(reader)
    check(rows.of(np.array([99, 100, 250])), [99])
    check(rows.of(np.array([250])), [])


def test_of_more_than_there_is_room_for_all_is_given_and_the_last_stays(reader: Reader) -> None:
    rows = Rows(reader, most=20_000)
    every = np.arange(40)
    check(rows.of(every), every.tolist())
    assert 0 < rows.kept._kept._held.currsize <= 20_000
    check(rows.of(np.array([39])), [39])
    assert len(reader.read) == 1
    check(rows.of(np.array([0])), [0])
    assert reader.read[1:] == [[0]]
