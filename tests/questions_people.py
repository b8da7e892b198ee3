"""Who is enrolled in the tests of questions, and a question's tree as one line to compare."""

from __future__ import annotations

from vidsearch.grammar_text import to_text
from vidsearch.query import parse
from vidsearch.question import Node
from vidsearch.records import Person


def person(name: str, *aliases: str) -> Person:
    return Person(name, name, aliases, (), 0.0)


PEOPLE = (
    person("Anna Rossi"),
    person("Marco Bianchi"),
    person("Barack Obama", "Obama"),
    person("Lin-Manuel Miranda"),
    person("Ludwig van Beethoven"),
    person("Seán O’Brien"),
    person("John F. Kennedy"),
    person("Robert Kennedy"),
    person("Will Smith"),
    person("Theresa May"),
    person("Rose"),
    person("Hans Müller"),
    person('Dwayne "The Rock" Johnson'),
    person("李安"),
    person("アンナ・ロッシ"),
    person("Йордан Ёлкин"),
)


def said(node: Node | None) -> str:
    """A tree as the question that makes it, "" for none."""
    return "" if node is None else to_text(node)


def read(text: str) -> str:
    """What a question becomes, with `PEOPLE` enrolled."""
    return said(parse(text, PEOPLE).tree)
