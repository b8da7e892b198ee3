"""Which identities each photo is swapped to."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .looks import Look

RESERVES = 2
"""For each identity wanted so many more stand by, for when a swap is rejected."""


@dataclass(frozen=True)
class Assignment:
    """Identities for one photo: `first` are wanted, `reserve` stand in for rejected ones."""

    photo: str
    first: tuple[str, ...]
    reserve: tuple[str, ...]
    matched: bool


def assign(
    photos: Mapping[str, Look], people: Mapping[str, Look], *, each: int, seed: int
) -> list[Assignment]:
    """`each` identities for every photo, all identities about equally often.

    A photo takes those who look alike (`Look.agrees`) and were taken least often, by lot among
    equals; where too few look alike, anybody else completes them and `matched` is False. The same
    seed gives the same assignment whatever the order of the mappings.
    """
    names = sorted(people)
    uses = np.zeros(len(names), np.int64)
    made = []
    for photo in _shuffled(sorted(photos), seed):
        look = photos[photo]
        alike = np.array([look.agrees(people[name]) for name in names], bool)
        lots = np.random.default_rng([seed, zlib.crc32(photo.encode())]).random(len(names))
        order = np.lexsort((lots, uses, ~alike))
        first = order[:each]
        uses[first] += 1
        reserve = [i for i in order[each : (1 + RESERVES) * each] if alike[i]]
        known = bool(look.gender or look.skin) and any(people[names[i]] != Look() for i in first)
        made.append(
            Assignment(
                photo,
                tuple(names[i] for i in first),
                tuple(names[i] for i in reserve),
                known and bool(alike[first].all()),
            )
        )
    return sorted(made, key=lambda assignment: assignment.photo)


def _shuffled(names: Sequence[str], seed: int) -> list[str]:
    order = np.random.default_rng(seed).permutation(len(names))
    return [names[i] for i in order]


def uses(assignments: Sequence[Assignment]) -> Counter[str]:
    """How often each identity was taken."""
    return Counter(name for assignment in assignments for name in assignment.first)
