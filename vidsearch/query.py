"""From the text of a question to its tree, and to the names in it that nobody is enrolled under.

"Anna Rossi giving a speech outdoors" becomes the person Anna Rossi, where she is enrolled, and
the scene "a person giving a speech outdoors"; "a street without Anna Rossi" the scene "a street"
and not Anna Rossi. Names are found by `vidsearch.mentions`, operators by `vidsearch.grammar`, and a
name that nobody is enrolled under is told apart from the scene by the rule in `vidsearch.unknown`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from idclip.prompts import TOK
from vidsearch import grammar, mentions, unknown
from vidsearch.errors import InvalidQuery, UnknownPerson
from vidsearch.grammar_scene import masked, positive
from vidsearch.grammar_tokens import cut, quoted
from vidsearch.mentions import Mention, by_key, only
from vidsearch.names import Word, key, normal, words
from vidsearch.question import AllOf, Like, Node, Not, Scene, Someone, all_of
from vidsearch.records import Person
from vidsearch.unknown import UnknownName

__all__ = ["Query", "UnknownName", "parse", "require_enrolled"]


@dataclass(frozen=True, eq=False)
class Query:
    """A question taken apart.

    `tree` is what is asked; None only where nothing but unknown names was. `people` are those that
    the tree wants to see, and `context` what the encoder is asked, in words, for showing. `unknown`
    are names that nobody is enrolled under; while there are any, an answer would be about somebody
    else (`require_enrolled`). `perhaps` is a word that may be a name and is searched as a word, or
    "".
    """

    text: str
    tree: Node | None
    people: tuple[Person, ...] = ()
    context: str = ""
    unknown: tuple[UnknownName, ...] = ()
    perhaps: str = ""


def parse(
    text: str,
    people: Sequence[Person],
    *,
    forced: Sequence[str] = (),
    context_only: bool = False,
    negative: Sequence[str] = (),
    faces: Sequence[Person] = (),
    likes: Sequence[Like] = (),
) -> Query:
    """The tree of a question, by the grammar of `docs/questions.md`.

    `people` are all that are enrolled. `forced` are names given beside the text (`--person`),
    which must be enrolled ones and are asked for as well; `faces` are people who are not enrolled
    and `likes` pictures to resemble, asked for as well. `negative` are questions of their own whose
    answers are not wanted. With `context_only` no name is looked for in the texts. Words in double
    quotes are never reported as a name that is not enrolled.

    A name that is one ordinary English word ("Will", "Rose") is only found where it is written
    with a capital or opens the question, so that "a rose in a vase" asks for no person.

    Raises `InvalidQuery` for a text without a word in it (unless something is asked for beside
    it) or a name without one, for a name that may be two people's, for brackets and quotes that do
    not match, and for an operator with nothing beside it; the message names the place.
    """
    text = normal(text)
    known = by_key(people)
    asked, strangers = _forced(forced, known, people)
    asked = (*asked, *faces)
    if not words(text) and (text or not (forced or faces or likes)):
        raise InvalidQuery("The question is empty: say who or what the shot should show")
    tree, told, ranges = _read(text, people, known, context_only)
    unwanted: list[Node] = []
    for other in negative:
        node, more, _ = _read(normal(other), people, known, context_only)
        if node is None and not more:
            raise InvalidQuery("What is not wanted (--negative) is empty: say it in words")
        unwanted += [grammar.denied(node)] if node is not None else []
        told = (*told, *(replace(name, start=-1, end=-1) for name in more))
    strangers = (*strangers, *told)
    found = words(text)
    perhaps = "" if strangers or context_only else unknown.perhaps(text, found, ranges)
    whole = _beside(asked, likes, tree, unwanted)
    scenes = wanted_scenes(whole)
    return Query(
        text,
        whole,
        positive(whole) if whole is not None else (),
        ", ".join(scene.text for scene in scenes),
        strangers,
        perhaps,
    )


def _read(
    text: str, people: Sequence[Person], known: mentions.Known, context_only: bool
) -> tuple[Node | None, tuple[UnknownName, ...], list[tuple[int, int]]]:
    """The tree of one text, the strangers in it and the ranges of words that name somebody."""
    quotes = quoted(text)
    found = words(masked(text, quotes))
    named: list[Mention] = []
    strangers: tuple[UnknownName, ...] = ()
    if not context_only:
        named = mentions.find(text, found, people, known, quotes)
        ranges = [(m.first, m.last) for m in named]
        parts = {(m.first, m.last) for m in named if m.part}
        strangers = unknown.find(text, found, ranges, people, parts)
        named = [m for m in named if not _part_of(m, found, strangers)]
        for m in named:
            only(m.people, text[found[m.first].start : found[m.last - 1].end])
    tokens, punctuation = cut(text, found, named, quotes)
    tree = grammar.tree_of(text, found, tokens, punctuation, known)
    return tree, strangers, [(m.first, m.last) for m in named]


def require_enrolled(query: Query) -> None:
    """Raises `UnknownPerson`, with near names and the remedy, if the question names a stranger."""
    if query.unknown:
        raise UnknownPerson("\n".join(name.message() for name in query.unknown))


def _forced(
    names: Sequence[str],
    known: mentions.Known,
    people: Sequence[Person],
) -> tuple[tuple[Person, ...], tuple[UnknownName, ...]]:
    asked = []
    strangers = []
    for name in names:
        if not words(normal(name)):
            raise InvalidQuery(f"{name!r} is no name of a person: name somebody who is enrolled")
        if key(name) in known:
            asked.append(only(known[key(name)], name))
        else:
            strangers.append(UnknownName(normal(name), unknown.near(name, people), forced=True))
    return tuple(asked), tuple(strangers)


def _part_of(mention: Mention, found: Sequence[Word], strangers: Iterable[UnknownName]) -> bool:
    """Whether an enrolled name is only a part of a stranger's, as Obama of Michelle Obama."""
    start, end = found[mention.first].start, found[mention.last - 1].end
    return any(name.start <= start and end <= name.end for name in strangers)


def _beside(
    asked: Sequence[Person], likes: Sequence[Like], tree: Node | None, unwanted: Sequence[Node]
) -> Node | None:
    """The tree of the text with what was asked for beside it.

    For an encoder whose texts can hold people, a caption that does not name those who are `asked`
    for has their marks before it.
    """
    parts = tree.parts if isinstance(tree, AllOf) else () if tree is None else (tree,)
    beside = [Someone(p) for p in {p.person_id: p for p in asked}.values()]
    there = {part.person.person_id for part in parts if isinstance(part, Someone)}
    marked = [_marked(part, asked) if isinstance(part, Scene) else part for part in parts]
    new = [someone for someone in beside if someone.person.person_id not in there]
    return all_of(*new, *likes, *marked, *unwanted)


def _marked(scene: Scene, asked: Sequence[Person]) -> Scene:
    named = {person.person_id for person in scene.marks}
    beside = tuple(p for p in {p.person_id: p for p in asked}.values() if p.person_id not in named)
    if not beside:
        return scene
    marked = "".join(f"{TOK}. " for _ in beside) + (scene.marked or scene.text)
    return Scene(scene.text, marked, (*beside, *scene.marks), named=True)


def wanted_scenes(node: Node | None) -> list[Scene]:
    """The scenes of a tree that are not denied, left to right."""
    if node is None or isinstance(node, (Not, Someone, Like)):
        return []
    if isinstance(node, Scene):
        return [node]
    return [scene for part in node.parts for scene in wanted_scenes(part)]
