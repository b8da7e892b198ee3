"""Near-doubles among enrolled people: twins, or the same person twice under two names.

Of two people who look alike vidsearch gives a track to the one who fits better, and the other is
found less often. So whoever is enrolled and resembles somebody enrolled is told of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vidsearch.gallery import faces_of
from vidsearch.records import Person

if TYPE_CHECKING:
    from idclip.identity import IdentityScorer

# P(same person) from which two people are told to look alike: it finds six in ten who are enrolled
# twice, by one photo each, and names one newcomer in 150 as like somebody among 100 people
# (`benchmarks/results/face_calibration.md`, at 0.1). It is a remark, no refusal.
LIKELY = 0.1


@dataclass(frozen=True, eq=False)
class Lookalike:
    """Somebody enrolled who may be the same person, and how probable that is."""

    person: Person
    probability: float


def near_doubles(
    person: Person, enrolled: Sequence[Person], scorer: IdentityScorer
) -> tuple[Lookalike, ...]:
    """Who of `enrolled` looks like `person`, likeliest first.

    The photos of one are judged as a track of the other, whichever way says more.
    """
    found = []
    for other in enrolled:
        if other.person_id == person.person_id or not other.photos or not person.photos:
            continue
        probability = max(
            _same(person, other, scorer, len(enrolled)), _same(other, person, scorer, len(enrolled))
        )
        if probability >= LIKELY:
            found.append(Lookalike(other, probability))
    return tuple(sorted(found, key=lambda double: -double.probability))


def remark(person: Person, doubles: Iterable[Lookalike]) -> str:
    """One sentence for people, with what to do; "" where nobody looks alike."""
    names = ", ".join(f"{d.person.name} (probability {d.probability:.2f})" for d in doubles)
    if not names:
        return ""
    return (
        f"{person.name} looks like {names}, who is enrolled already: the same person twice, or "
        "somebody very like them? One person is better enrolled once, under one name with aliases "
        "(vidsearch people merge); doubles are told apart best by several photos each (--more)"
    )


def _same(one: Person, other: Person, scorer: IdentityScorer, enrolled: int) -> float:
    looks = faces_of(one)
    track = np.zeros(len(looks.vectors), np.intp)
    found = scorer.probabilities(looks, track, 1, faces_of(other), enrolled=max(enrolled, 1))
    return float(found.probability[0])
