"""From a question to a ranked list of shots with evidence.

A question is a tree (`vidsearch.question`). Each of its leaves is worth something in each keyframe:
a person the probability that one of the shot's face tracks is them (`vidsearch.sought`), a scene
in words or another picture the log odds that the keyframe fits (`vidsearch.fits`). The operators
put these together (`vidsearch.scoring`), and the best keyframe gives the shot its score.

- A track can be one person only (`vidsearch.identities`), and neighbouring shots of a scene
  support each other (`vidsearch.scenes`).
- A person gates: only shots in which everybody asked for has at least `threshold` are hits, and
  none in which somebody has who was not wanted. So the answer to a question for somebody who is in
  no shot is "No shot shows Joe Biden (best probability 0.04)".
- A context always ranks something. Where the best score is under `WEAK` the answer says so beside
  its hits; it does not hide them, because right answers may score low (see `vidsearch.context`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from idclip.identity import IdentityScorer
from vidsearch import explain, fits, missing, scoring, selection
from vidsearch.errors import UnknownPerson
from vidsearch.filters import Filters, Within, nowhere, within
from vidsearch.fits import Fit
from vidsearch.identities import Mask
from vidsearch.question import AllOf, AnyOf, Like, Node, Not, Scene, Someone, leaves
from vidsearch.records import Answer, Hit, Ints, Reals, Rows, Sighting
from vidsearch.scoring import Value
from vidsearch.selection import Page, Paging
from vidsearch.sought import Sought, seek

if TYPE_CHECKING:
    from idclip.encoders import Encoder
    from vidsearch.query import Query
    from vidsearch.records import Person

__all__ = ["THRESHOLD", "WEAK", "search"]

THRESHOLD = 0.5
EVERYTHING, FIRST_PAGE = Filters(), Paging()
WEAK = 0.1  # a best context score under this is told: nothing fits well


@dataclass(frozen=True, eq=False)
class Asked:
    """A question and all that its leaves are worth, in the keyframes that may be hits.

    `people` is by `person_id`; `values` and `scenes` by the `id` of the leaf; `total` is the value
    of the whole tree in `keyframes` [N].
    """

    rows: Rows
    tree: Node
    within: Within
    people: dict[str, Sought]
    keyframes: Ints
    values: dict[int, Value]
    scenes: dict[int, Fit]
    total: Value


def search(
    rows: Rows,
    encoder: Encoder,
    scorer: IdentityScorer,
    query: Query,
    enrolled: Sequence[Person],
    *,
    threshold: float = THRESHOLD,
    filters: Filters = EVERYTHING,
    paging: Paging = FIRST_PAGE,
) -> Answer:
    """The best shots for a question, with evidence, or the sentence that says there are none.

    `enrolled` is everybody the archive knows: the people asked for and those they compete with.
    `threshold` is the least probability with which a hit shows each person. `filters` narrow what
    is searched, `paging` says which of the shots that answer are shown.

    A name in the text that nobody is enrolled under gives no hits and a message with near names
    and the remedy; one that was forced raises `UnknownPerson` with that message.
    """
    if query.unknown or query.tree is None:
        return _strangers(query)
    searched = within(rows, filters)
    if not searched.shots.any():
        return answer_of(query, nowhere(rows, filters))
    people = {
        leaf.person.person_id: seek(rows, scorer, leaf.person, enrolled, searched, threshold)
        for leaf in leaves(query.tree)
        if isinstance(leaf, Someone)
    }
    shown = searched.shots & may_answer(query.tree, people, len(rows.shot_video))
    if not shown.any():
        return answer_of(query, missing.sentence(query.tree, people, searched.shots))
    keyframes = np.flatnonzero(shown[rows.keyframe_shot] & searched.keyframes)
    asked = _asked(rows, encoder, scorer, query.tree, searched, people, keyframes)
    return _answer(query, asked, paging)


def may_answer(node: Node, people: dict[str, Sought], shots: int) -> Mask:
    """Whether a shot may be a hit, [S]: who is in it decides, what it shows never does."""
    return _possible(node, people, shots, wanted=True)


def _possible(node: Node, people: dict[str, Sought], shots: int, *, wanted: bool) -> Mask:
    """Where `node` may hold, or where it may not; for a context that is everywhere."""
    if isinstance(node, Not):
        return _possible(node.part, people, shots, wanted=not wanted)
    if isinstance(node, Someone):
        shown = people[node.person.person_id].shown
        return shown if wanted else ~shown
    if isinstance(node, (AllOf, AnyOf)):
        parts = [_possible(part, people, shots, wanted=wanted) for part in node.parts]
        both = isinstance(node, AllOf) is wanted  # not (a and b) is not a or not b
        return np.asarray(np.all(parts, axis=0) if both else np.any(parts, axis=0))
    return np.ones(shots, bool)


def _asked(
    rows: Rows,
    encoder: Encoder,
    scorer: IdentityScorer,
    tree: Node,
    searched: Within,
    people: dict[str, Sought],
    keyframes: Ints,
) -> Asked:
    """What every leaf of the tree is worth in the keyframes, and the tree itself."""
    values: dict[int, Value] = {}
    scenes: dict[int, Fit] = {}
    for leaf, wanted, beside in _leaves(tree):
        if isinstance(leaf, Someone):
            sought = people[leaf.person.person_id]
            if wanted:
                sure, presence = sought.in_parts(keyframes)
                values[id(leaf)] = Value(people=sure, presence=presence)
            else:
                values[id(leaf)] = Value(people=sought.per_shot[rows.keyframe_shot[keyframes]])
        elif isinstance(leaf, Like):
            values[id(leaf)] = Value(fit=fits.like(rows, leaf, keyframes))
        else:
            about = [people[who] for who in beside]
            scenes[id(leaf)] = fits.scene(rows, encoder, scorer, leaf, about, keyframes)
            values[id(leaf)] = Value(fit=scenes[id(leaf)].log_odds)
    total = scoring.combined(tree, values)
    assert total is not None, "every leaf has a value"
    return Asked(rows, tree, searched, people, keyframes, values, scenes, total)


def _leaves(
    node: Node, wanted: bool = True, beside: tuple[str, ...] = ()
) -> list[tuple[Someone | Scene | Like, bool, tuple[str, ...]]]:
    """Each leaf, whether it is wanted, and the ids of the people who are wanted beside it."""
    if isinstance(node, Not):
        return _leaves(node.part, not wanted, ())
    if isinstance(node, (AllOf, AnyOf)):
        if isinstance(node, AllOf):
            beside += tuple(who for part in node.parts for who in _people_of(part))
        return [leaf for part in node.parts for leaf in _leaves(part, wanted, beside)]
    return [(node, wanted, beside)]


def _people_of(node: Node) -> list[str]:
    """Who is asked for by a part of a question that is about people alone."""
    if isinstance(node, Someone):
        return [node.person.person_id]
    if isinstance(node, (AllOf, AnyOf)) and all(isinstance(p, Someone) for p in leaves(node)):
        return [who for part in node.parts for who in _people_of(part)]
    return []


def _answer(query: Query, asked: Asked, paging: Paging) -> Answer:
    rows, score = asked.rows, asked.total.score
    best = _best_parts(rows, asked.keyframes, score)
    shots = rows.keyframe_shot[asked.keyframes[best]]
    page = selection.page(
        rows.shot_video[shots],
        asked.keyframes[best],
        rows.keyframe_vectors,
        rows.typical_picture,
        paging,
    )
    hits = [_hit(asked, int(at), float(score[at])) for at in best[page.places]]
    message = _doubt(query, hits) if hits else selection.beyond(page, paging)
    found = answer_of(query, message)
    return replace(
        found,
        hits=explain.compared(_paged(hits, page, paging)),
        total=page.shots,
        n_videos=page.videos,
        offset=paging.offset,
        by_video=paging.by_video,
        further=page.further,
    )


def _best_parts(rows: Rows, keyframes: Ints, score: Reals) -> Ints:
    """The best keyframe of each shot, as places in `keyframes`, best first."""
    order = np.lexsort((keyframes, -score))  # keyframes are in archive order: ties stay in it
    _, first = np.unique(rows.keyframe_shot[keyframes[order]], return_index=True)
    return order[np.sort(first)]


def _paged(hits: Sequence[Hit], page: Page, paging: Paging) -> list[Hit]:
    return [
        replace(
            hit,
            rank=paging.offset + number,
            others=int(others) if paging.by_video else 0,
            doubles=int(doubles),
        )
        for number, (hit, others, doubles) in enumerate(
            zip(hits, page.others, page.doubles, strict=True), 1
        )
    ]


def _hit(asked: Asked, at: int, score: float) -> Hit:
    """The shot of the `at`th keyframe, with who is really seen in it and all factors."""
    rows, keyframe = asked.rows, int(asked.keyframes[at])
    shot = int(rows.keyframe_shot[keyframe])
    video = rows.videos[rows.shot_video[shot]]
    people = tuple(
        asked.people[who].sighting(keyframe, asked.within.looks)
        for who in dict.fromkeys(_wanted(asked.tree))
        if asked.people[who].shown[shot]
    )
    value = asked.total.at(at)
    return Hit(
        rank=0,
        video=video.path,
        video_id=video.video_id,
        shot=int(rows.shot_index[shot]),
        start_s=float(rows.shot_start_s[shot]),
        end_s=float(rows.shot_end_s[shot]),
        keyframe_s=float(rows.keyframe_s[_moment(rows, keyframe, value, people)]),
        score=score,
        context_score=_context_score(asked, at),
        people=people,
        factors=tuple(
            explain.factors(
                asked.tree,
                {leaf: value.at(at) for leaf, value in asked.values.items()},
                lambda leaf: explain.of_scene(asked.scenes[id(leaf)], at),
                lambda leaf: explain.of_person(asked.people[leaf.person.person_id], keyframe),
            )
        ),
    )


def _context_score(asked: Asked, at: int) -> float | None:
    """What the picture shows of what was asked for, whoever is in it."""
    shown = {leaf: value.at(at) for leaf, value in asked.values.items() if value.fit is not None}
    value = scoring.combined(asked.tree, shown)
    return None if value is None else float(value.score[0])


def _wanted(tree: Node) -> list[str]:
    return [
        leaf.person.person_id
        for leaf, wanted, _ in _leaves(tree)
        if wanted and isinstance(leaf, Someone)
    ]


def _moment(rows: Rows, keyframe: int, value: Value, people: Sequence[Sighting]) -> int:
    """The keyframe to point to: asked for a person alone, the one next to their best face."""
    if value.fit is not None or not people:
        return keyframe
    shot = rows.keyframe_shot[keyframe]
    first, last = np.searchsorted(rows.keyframe_shot, [shot, shot + 1])
    return int(first + np.argmin(np.abs(rows.keyframe_s[first:last] - people[0].time_s)))


def _doubt(query: Query, hits: Sequence[Hit]) -> str:
    """What to say beside hits of which none fits the context well."""
    best = max((max(hit.context_score or 0.0, hit.score) for hit in hits), default=0.0)
    if not query.context or best >= WEAK:
        return ""
    doubt = f"No shot fits the context well (best score {best:.2f})"
    if query.perhaps:
        doubt += (
            f'; if "{query.perhaps}" is a person, enrol them with: '
            f'vidsearch people add "{query.perhaps}" PHOTO...'
        )
    return doubt


def answer_of(query: Query, message: str) -> Answer:
    """An answer without hits that says why."""
    names = tuple(person.name for person in query.people)
    return Answer(query.text, names, query.context, message, (), tree=explain.drawing(query.tree))


def _strangers(query: Query) -> Answer:
    message = "\n".join(name.message() for name in query.unknown)
    if any(name.forced for name in query.unknown):
        raise UnknownPerson(message)
    return answer_of(query, message)
