"""What docs/questions.md says of questions is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from questions_people import PEOPLE

from vidsearch.query import parse
from vidsearch.question import AllOf, AnyOf, Like, Node, Not, Scene, Someone

DOC = Path(__file__).parents[2] / "docs" / "questions.md"


def examples() -> list[tuple[str, str]]:
    rows = [line.strip("| \n").split(" | ") for line in DOC.read_text("utf-8").splitlines()]
    return [(row[0], row[1]) for row in rows if len(row) == 2 and re.search(r"\*", row[1])]


def in_words(node: Node) -> str:
    """A tree as the tables write it."""
    if isinstance(node, Someone):
        return f"**{node.person.name}**"
    if isinstance(node, Scene):
        return f"*{node.text}*"
    if isinstance(node, Not):
        return f"not {inner(node.part)}"
    assert not isinstance(node, Like)
    return (" and " if isinstance(node, AllOf) else " or ").join(map(inner, node.parts))


def inner(node: Node) -> str:
    return f"({in_words(node)})" if isinstance(node, (AllOf, AnyOf)) else in_words(node)


def test_the_tables_are_found() -> None:
    assert len(examples()) > 40


@pytest.mark.parametrize(("text", "tree"), examples())
def test_every_example_of_the_tables_becomes_what_they_say(text: str, tree: str) -> None:
    query = parse(text, PEOPLE)
    assert query.unknown == ()
    assert query.tree is not None
    assert in_words(query.tree) == tree
