"""Which candidates of a large archive are read first, by what their pictures alone are worth.

An index gives a hundred pictures and more with their vectors, and a page shows ten shots. What a
vector is worth needs no other row: of contexts it is the score itself, and where people are asked
for what it would be if whoever is wanted were there and whoever is not were not. So nothing that is
left out can be better than it is worth here, and rows of the best few are read first. Where the
page is not full of shots that are better than the best one left out, all are read after all
(`vidsearch.candidates`).

A person's own figure (`vidsearch.figures`) may be worth more than the whole picture; where there
are figures, twice as many are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from idclip.identity import IdentityScorer
from vidsearch import fits, scoring
from vidsearch.question import Node, Someone, wanted_leaves
from vidsearch.records import Ints, Reals, Vector
from vidsearch.scoring import Value
from vidsearch.selection import Paging

if TYPE_CHECKING:
    from idclip.encoders import Encoder
    from vidsearch.narrowing import Narrowed

_TIMES = 2  # as many shots as are shown, where somebody is asked for
_MORE = 2  # than are shown else: one whose rows are still to be read may be removed meanwhile
_ASKED = 2  # times as many an index is asked for, so that it tells what the others are worth
_ASKED_TO_FIT = 5  # times as many as are shown, where some do not fit
_FITTING = 1.5  # times as many as are shown have to fit on average


def first(paging: Paging, narrowed: Narrowed, *, people: bool) -> list[tuple[int, int | None]]:
    """How many candidates are looked for first, and of how many of them the rows are read.

    None for all of them, as shots that do not fit a filter may be among them; nothing where too
    many of those may be, or of those that look the same or are of the same video. `people` is
    whether somebody is asked for.
    """
    shown = paging.offset + paging.k
    if paging.diverse or paging.by_video:
        return []
    if narrowed.passes_over:
        asked = _ASKED_TO_FIT * shown
        return [(asked, None)] if asked * narrowed.share >= _FITTING * shown else []
    listed = _TIMES * shown if people else shown + _MORE
    return [(_ASKED * listed, listed)]


def worth(
    encoder: Encoder, scorer: IdentityScorer, tree: Node, vectors: Vector, typical: Vector
) -> Reals:
    """The log odds [N] that shots with these pictures [N, D] have at most, whoever is in them.

    `typical` [D] is the archive's mean picture. A figure may raise them.
    """
    values = {
        id(leaf): Value(people=np.full(len(vectors), float(wanted)))
        if isinstance(leaf, Someone)
        else Value(fit=fits.of_pictures(encoder, scorer, leaf, vectors, typical))
        for leaf, wanted in wanted_leaves(tree)
    }
    total = scoring.combined(tree, values)
    assert total is not None, "every leaf has a value"
    return total.log_odds


def best(places: Ints, worths: Reals, n: int) -> tuple[Ints, float]:
    """The `n` places of most worth, sorted, and the worth of the best one that is left out.

    A place [N] may be there several times; -inf where none is left out.
    """
    order = np.argsort(-worths, kind="stable")
    _, first = np.unique(places[order], return_index=True)
    each = order[np.sort(first)]  # the best of each place, best first
    left_out = float(worths[each[n]]) if len(each) > n else -np.inf
    return np.sort(places[each[:n]]), left_out
