"""A question's tree written down: as a question that gives the same tree, and as a drawing."""

from __future__ import annotations

import re

from idclip.prompts import TOK
from vidsearch.question import AllOf, AnyOf, Like, Node, Not, Scene, Someone
from vidsearch.records import Person

_MARKS = re.compile(rf"{re.escape(TOK)}(?: and {re.escape(TOK)})*")
_BESIDE = f"{TOK}. "
_NOUN = re.compile(r"\b(?:(?:a|another|the) person|(?:\w+ )?people)\b|\bperson\b")
_UNWRITABLE = re.compile(r"[\"“”„«»{}=;]")


def to_text(node: Node) -> str:
    """The tree as a question: names and captions in quotes, operators in capitals.

    `vidsearch.query.parse` makes the same tree of it, with the same people enrolled. Names of
    people in a caption stand in braces, after what is said instead. A picture (`Like`) and who is
    not enrolled are no part of a text: they are given beside it, and written only to be read.
    """
    if isinstance(node, Someone):
        return f'"{_name(node.person)}"'
    if isinstance(node, Like):
        return f'like "{_UNWRITABLE.sub(" ", node.name)}"'
    if isinstance(node, Scene):
        return f'"{_caption(node)}"'
    if isinstance(node, Not):
        return f"NOT {_inner(node.part)}"
    word = " AND " if isinstance(node, AllOf) else " OR "
    return word.join(map(_inner, node.parts))


def drawn(node: Node) -> str:
    """The tree as lines, one a node, indented by box characters."""
    return "\n".join(_lines(node))


def _inner(node: Node) -> str:
    return f"({to_text(node)})" if isinstance(node, (AllOf, AnyOf)) else to_text(node)


def _name(person: Person) -> str:
    return " ".join(_UNWRITABLE.sub(" ", person.name).split())


def _caption(scene: Scene) -> str:
    """A caption with braces in which each noun names those it stands for.

    The text is laid along `marked`, whose words outside of the marks are the same.
    """
    if not scene.marks:
        return (
            _NOUN.sub(lambda noun: f"{{{noun[0]}}}", scene.text, 1) if scene.named else scene.text
        )
    marked, people, beside = scene.marked, list(scene.marks), ""
    while marked.startswith(_BESIDE) and not (found := _aligned(scene.text, marked)):
        beside += f"{{={_name(people.pop(0))}}}"
        marked = marked.removeprefix(_BESIDE)
    found = _aligned(scene.text, marked)
    if found is None:
        raise ValueError(f"{scene.marked!r} does not say the same as {scene.text!r}")
    written, at = "", 0
    for group, span in zip(_MARKS.finditer(marked), found.regs[1:], strict=True):
        names = ";".join(_name(people.pop(0)) for _ in range(group[0].count(TOK)))
        written += f"{scene.text[at : span[0]]}{{{scene.text[slice(*span)]}={names}}}"
        at = span[1]
    return beside + written + scene.text[at:]


def _aligned(text: str, marked: str) -> re.Match[str] | None:
    """A match of `text` with a group for each list of marks."""
    return re.fullmatch("(.+?)".join(map(re.escape, _MARKS.split(marked))), text, re.DOTALL)


def _lines(node: Node) -> list[str]:
    if isinstance(node, Someone):
        return [f"person: {node.person.name}"]
    if isinstance(node, Scene):
        return [f"scene: {node.text}"]
    if isinstance(node, Like):
        return [f"like: {node.name}"]
    if isinstance(node, Not):
        first, *rest = _lines(node.part)
        return [f"not {first}", *rest]
    lines = ["all of" if isinstance(node, AllOf) else "any of"]
    for at, part in enumerate(node.parts):
        last = at == len(node.parts) - 1
        first, *rest = _lines(part)
        lines.append(("└─ " if last else "├─ ") + first)
        lines += [("   " if last else "│  ") + line for line in rest]
    return lines
