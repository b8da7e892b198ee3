"""Why no shot answers a question: who is missing, or who is everywhere."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vidsearch.identities import Mask
from vidsearch.question import AllOf, AnyOf, Like, Node, Not, Scene, Someone, leaves
from vidsearch.sought import Sought


def sentence(tree: Node, people: Mapping[str, Sought], searched: Mask) -> str:
    """What to say where people rule out every shot of `searched` [S].

    Those who are in no shot are named, with the best probability, and the threshold that would
    show whom it may mean; else that those asked for are nowhere together, and in how many shots
    each is; or that somebody unwanted is in all.
    """
    parts = [part for part in _conjuncts(tree) if _of_people(part)]
    alone = [why for part in parts if (why := _alone(part, people, searched))]
    if alone:
        return "; ".join([alone[0][0].upper() + alone[0][1:], *alone[1:]])
    told = [_phrase(part) for part in parts if not isinstance(part, Not)]
    unwanted = [_phrase(part.part) for part in parts if isinstance(part, Not)]
    asked = {leaf.person.person_id: leaf for part in parts for leaf in leaves(part)
             if isinstance(leaf, Someone)}  # fmt: skip
    counts = ", ".join(
        f"{people[who].person.name} is in {_count(people[who], searched)}" for who in asked
    )
    together = " together" if len(told) > 1 else ""
    without = f" without {' or '.join(unwanted)}" if unwanted else ""
    if not told:
        return f"Every shot shows {' or '.join(unwanted)} ({counts})"
    return f"No shot shows {' and '.join(told)}{together}{without} ({counts})"


def _conjuncts(node: Node) -> list[Node]:
    """The parts that must all hold."""
    if isinstance(node, AllOf):
        return [each for part in node.parts for each in _conjuncts(part)]
    if isinstance(node, Not) and isinstance(node.part, AnyOf):
        return [Not(part) for part in node.part.parts]
    return [node]


def _of_people(node: Node) -> bool:
    return any(isinstance(leaf, Someone) for leaf in leaves(node))


def _alone(node: Node, people: Mapping[str, Sought], searched: Mask) -> str:
    """Why a part holds nowhere by itself, "" where it holds in some shot."""
    if isinstance(node, Not):
        if not isinstance(node.part, Someone):
            return ""
        sought = people[node.part.person.person_id]
        return f"every shot shows {_phrase(node.part)}" if sought.shown[searched].all() else ""
    asked = [people[leaf.person.person_id] for leaf in leaves(node) if isinstance(leaf, Someone)]
    if any(one.shown[searched].any() for one in asked) or not isinstance(node, (Someone, AnyOf)):
        return ""
    best = max(one.best for one in asked)
    lower = int(best * 10) / 10  # the next threshold down at which there would be an answer
    less_sure = f"; less sure ones: --threshold {lower}" if lower else ""
    return f"no shot shows {_phrase(node)} (best probability {best:.2f}{less_sure})"


def _count(sought: Sought, searched: Mask) -> int:
    return int(np.count_nonzero(sought.shown & searched))


def _phrase(node: Node) -> str:
    """A part of a question in words."""
    if isinstance(node, Someone):
        return node.person.name
    if isinstance(node, Scene):
        return f'"{node.text}"'
    if isinstance(node, Like):
        return f"what {node.name} shows"
    if isinstance(node, Not):
        return f"not {_phrase(node.part)}"
    return (" and " if isinstance(node, AllOf) else " or ").join(map(_phrase, node.parts))
