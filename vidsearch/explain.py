"""What the score of a hit is made of, and why the next hit is below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from vidsearch import identities
from vidsearch.fits import Fit
from vidsearch.grammar_text import drawn
from vidsearch.question import AllOf, AnyOf, Node, Not, Scene, Someone, wanted_leaves
from vidsearch.records import Factor, Hit
from vidsearch.scoring import LEAST, Value, combined, odds
from vidsearch.sought import Sought

Details = tuple[tuple[str, float | str], ...]
_NOTHING = 1e-9  # a weight under it is none
_SAME = 0.005  # scores nearer than this are printed alike


def drawing(tree: Node | None) -> str:
    """How a question was read."""
    return "" if tree is None else drawn(tree)


def factors(
    tree: Node,
    values: Mapping[int, Value],
    of_scene: Callable[[Scene], Details],
    of_person: Callable[[Someone], Details],
) -> list[Factor]:
    """One factor for each leaf; `values` are those of one keyframe, by the leaf's `id`.

    The weight of a scene is what the log odds of the score would lose were it not asked for, that
    of a person what they lose because it is not sure that the person is there (or is not). Where
    nothing but people is asked for it is of the score's logarithm, and where a person may stand in
    for a scene ("Anna OR a car") a person's weight is as a scene's. 0 where the part decides
    nothing, as the lesser one of two joined by or.
    """
    of_people = all(value.fit is None for value in values.values())
    instead = _instead(tree)
    whole = _level(tree, values, of_people=of_people, instead=instead)
    found = []
    for leaf, wanted in wanted_leaves(tree):
        value = values[id(leaf)]
        without = {key: other for key, other in values.items() if key != id(leaf)}
        weight = whole - _level(tree, without, of_people=of_people, instead=instead)
        shown = float(value.score[0])
        if isinstance(leaf, Someone):
            if abs(weight) > _NOTHING and not instead:
                sure = {**values, id(leaf): Value(people=np.array([float(wanted)]))}
                weight = whole - _level(tree, sure, of_people=of_people, instead=instead)
            told = of_person(leaf)
            found.append(Factor("person", leaf.person.name, wanted, shown, weight, told))
        elif isinstance(leaf, Scene):
            found.append(Factor("scene", leaf.text, wanted, shown, weight, of_scene(leaf)))
        else:
            found.append(Factor("like", leaf.name, wanted, shown, weight, ()))
    return found


def of_person(sought: Sought, keyframe: int) -> Details:
    """What P is made of in the part of a keyframe, where the person is shown."""
    if not sought.shown[sought.rows.keyframe_shot[keyframe]]:
        return ()
    track, seen = sought.track_at(keyframe), sought.seen
    face, counted = float(seen.alone[track]), float(sought.probability[track])
    told: list[tuple[str, float | str]] = [
        ("face", face),
        ("like", identities.reference(seen, track)),
    ]
    own = float(seen.probability[track])
    if own < face - _SAME:
        told.append(("share among rivals", own / max(face, 1e-12)))
    if counted > own + _SAME:
        told.append(("with near shots", counted))
    present = sought.presence(track, keyframe)
    if present < 1 - _SAME:
        told.append(("presence in the part", present))
    return tuple(told)


def of_scene(fit: Fit, at: int) -> Details:
    """What a scene's odds are made of: the picture, and the people's own figures."""
    told: list[tuple[str, float | str]] = [("picture", float(odds(fit.whole[at : at + 1])[0]))]
    if not np.isnan(fit.figure[at]):
        told.append(("own figure", float(odds(fit.figure[at : at + 1])[0])))
    return tuple(told)


def compared(hits: Sequence[Hit]) -> tuple[Hit, ...]:
    """Hits, best first, each but the last with a sentence why the next is below."""
    return tuple(
        hit if after is None else replace(hit, next_below=_why(hit, after))
        for hit, after in zip_longest(hits, hits[1:])
    )


def _why(hit: Hit, after: Hit) -> str:
    lower = hit.score - after.score
    if lower < 1e-9:
        return "as good as this: the order of the archive decides"
    pairs = list(zip(hit.factors, after.factors, strict=True))
    most, less = max(pairs, key=lambda pair: pair[0].weight - pair[1].weight)
    start = f"{lower:.2f} lower" if lower >= _SAME else "hardly lower"
    return f"{start}: {_difference(most, less)} ({_against(less.value, most.value)})"


def _difference(more: Factor, less: Factor) -> str:
    if more.kind == "person":
        return f"{more.what} is {'less sure' if more.wanted else 'less surely absent'}"
    what = "the context" if more.kind == "scene" else f"{more.what}"
    return f"{what} fits less" if more.wanted else f'"{more.what}", not wanted, fits more'


def _against(lower: float, upper: float) -> str:
    """Two numbers with as many digits as tell them apart."""
    for digits in (2, 3, 4):
        told = _number(lower, digits), _number(upper, digits)
        if told[0] != told[1]:
            break
    return f"{told[0]} against {told[1]}"


def _number(value: float, least: int) -> str:
    """So many digits, or as many more as tell it from 0 and 1."""
    for digits in range(least, 5):
        if 10**-digits <= value <= 1 - 10**-digits:
            return f"{value:.{digits}f}"
    return f"{value:.{least}f}"


def _level(tree: Node, values: Mapping[int, Value], *, of_people: bool, instead: bool) -> float:
    """The log odds of one keyframe, or the logarithm of P where only people are asked for."""
    value = combined(tree, values)
    if value is None:
        return 0.0
    if of_people:
        return float(np.log(max(float(value.score[0]), LEAST)))
    if value.fit is None and not instead:  # beside a context that says nothing
        value = replace(value, fit=np.zeros(1))
    return float(value.log_odds[0])


def _instead(node: Node) -> bool:
    """Whether an or joins people alone with something that pictures show."""
    if isinstance(node, Not):
        return _instead(node.part)
    if not isinstance(node, (AllOf, AnyOf)):
        return False
    alone = {
        all(isinstance(leaf, Someone) for leaf, _ in wanted_leaves(part)) for part in node.parts
    }
    return (isinstance(node, AnyOf) and len(alone) == 2) or any(map(_instead, node.parts))
