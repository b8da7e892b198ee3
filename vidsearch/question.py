"""A question as a tree: who and what, joined by and, or, not.

`vidsearch.query` makes it of a text, `vidsearch.search` answers it; the two meet here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from vidsearch.records import Person, Vector


@dataclass(frozen=True, eq=False)
class Someone:
    """This person is in the shot. Of somebody who is not enrolled (`--face IMAGE`) as well."""

    person: Person


@dataclass(frozen=True, eq=False)
class Scene:
    """The picture fits `text`, which the encoder is asked.

    `marked` is the same for an encoder whose texts can hold people
    (`idclip.encoders.PersonEncoder`), with a mark for each of `marks` in order; "" where nobody is
    named. `named` tells that the words stand beside a name, which `text` calls "a person".
    """

    text: str
    marked: str = ""
    marks: tuple[Person, ...] = ()
    named: bool = False


@dataclass(frozen=True, eq=False)
class Like:
    """The picture looks like another one, called `name`; its `vector` [D] is of unit length."""

    name: str
    vector: Vector


@dataclass(frozen=True, eq=False)
class AllOf:
    """All of `parts`, of which there are two at least."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class AnyOf:
    """Any of `parts`, of which there are two at least."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Not:
    """Not `part`."""

    part: Node


Node: TypeAlias = Someone | Scene | Like | AllOf | AnyOf | Not


def leaves(node: Node) -> Iterator[Someone | Scene | Like]:
    """The leaves of a tree, left to right."""
    if isinstance(node, (AllOf, AnyOf)):
        for part in node.parts:
            yield from leaves(part)
    elif isinstance(node, Not):
        yield from leaves(node.part)
    else:
        yield node


def wanted_leaves(node: Node, wanted: bool = True) -> Iterator[tuple[Someone | Scene | Like, bool]]:
    """The same, each with whether it is wanted: what an odd number of `Not` lies around is not."""
    if isinstance(node, Not):
        yield from wanted_leaves(node.part, not wanted)
    elif isinstance(node, (AllOf, AnyOf)):
        for part in node.parts:
            yield from wanted_leaves(part, wanted)
    else:
        yield node, wanted


def all_of(*parts: Node | None) -> Node | None:
    """`parts` joined by and, those that are None left out, nested ones taken apart."""
    flat: list[Node] = []
    for part in parts:
        if part is not None:
            flat += part.parts if isinstance(part, AllOf) else (part,)
    return AllOf(tuple(flat)) if len(flat) > 1 else (flat[0] if flat else None)
