"""Who is in which shot of the generated archive: 12 videos, 1,000 shots, 8 people among strangers.

Everybody of the cast is in five scenes, in shots of different videos and from different photos of
them, and the same photos of scenes are shown with others of the cast, with strangers and without
anybody. So neither the face alone nor the scene alone answers a question for both. The plan is
the truth that answers are judged by; it is the same on every machine.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from generated_scenes import Scene

SHOTS, SEED = 1000, 2003
ENROLLED_FROM = 5  # photos of each person
KEPT_OUT = 6  # photos of each that are in no video: the first five of them that fit each other
Layout = Literal["scene", "split", "inset", "interview", "duo", "swap"]


@dataclass(frozen=True)
class Cast:
    """Somebody who is enrolled: the name they are enrolled under, LFW's, and their scenes."""

    name: str
    lfw: str
    topics: tuple[str, ...]
    aliases: tuple[str, ...] = ()


CAST = (
    Cast("Hugo Chávez", "Hugo_Chavez", ("football", "street", "horse", "beach", "baseball")),
    Cast(
        "Gerhard Schröder",
        "Gerhard_Schroeder",
        ("bike", "snow", "street", "eating", "dog"),
        ("Gerhard Schroeder", "the German chancellor"),
    ),
    Cast("Serena Williams", "Serena_Williams", ("pool", "basketball", "dog", "beach", "car")),
    Cast(
        "Amélie Mauresmo", "Amelie_Mauresmo", ("skateboard", "climb", "beach", "football", "snow")
    ),
    Cast("Lleyton Hewitt", "Lleyton_Hewitt", ("surf", "football", "dog", "swing", "bike")),
    Cast("Laura Bush", "Laura_Bush", ("dog", "horse", "eating", "street", "swing")),
    Cast(
        "Gloria Macapagal Arroyo",
        "Gloria_Macapagal_Arroyo",
        ("car", "eating", "pool", "baseball", "basketball"),
        ("GMA",),
    ),
    Cast("Vicente Fox", "Vicente_Fox", ("horse", "climb", "bike", "skateboard", "surf")),
)
# Enrolled as well, and in no video.
ABSENT = (
    Cast("George H. W. Bush", "George_HW_Bush", ()),
    Cast("Vladimir Putin", "Vladimir_Putin", ()),
    Cast("Bill Gates", "Bill_Gates", ()),
    Cast("Queen Elizabeth II", "Queen_Elizabeth_II", ()),
)
# In the videos, and not enrolled: for questions by a face.
UNNAMED = Cast("Megawati Sukarnoputri", "Megawati_Sukarnoputri", ("dog", "street", "snow", "swing"))

PAIRS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Hugo Chávez", "Gerhard Schröder", ("street", "football")),
    ("Serena Williams", "Amélie Mauresmo", ("beach", "basketball")),
    ("Laura Bush", "Gloria Macapagal Arroyo", ("eating", "car")),
    ("Lleyton Hewitt", "Vicente Fox", ("surf", "bike")),
    ("Gerhard Schröder", "Laura Bush", ("dog", "snow")),
    ("Hugo Chávez", "Vicente Fox", ("horse", "baseball")),
)


@dataclass(frozen=True)
class Programme:
    """A video: its file name, the day it was recorded, its rate, and who of the cast is in it."""

    name: str
    day: str
    rate: Fraction
    cast: tuple[str, ...]


def _programme(name: str, day: str, rate: str, *cast: str) -> Programme:
    every = {word: person.name for person in CAST for word in person.name.split()}
    return Programme(f"{name}-{day}.mp4", day, Fraction(rate), tuple(every[who] for who in cast))


PROGRAMMES = (
    _programme("news", "2003-01-14", "12.5", "Chávez", "Schröder", "Fox"),
    _programme("sports", "2003-01-26", "15", "Serena", "Amélie", "Lleyton"),
    _programme("magazine", "2003-02-09", "12.5", "Laura", "Gloria", "Schröder"),
    _programme("news", "2003-03-18", "25", "Schröder", "Laura", "Chávez"),
    _programme("sports", "2003-03-30", "15", "Lleyton", "Fox", "Serena"),
    _programme("magazine", "2003-04-13", "12.5", "Gloria", "Laura", "Amélie"),
    _programme("news", "2003-05-20", "30000/1001", "Chávez", "Fox", "Gloria"),
    _programme("sports", "2003-06-08", "15", "Amélie", "Serena", "Lleyton"),
    _programme("magazine", "2003-07-06", "12.5", "Lleyton", "Fox", "Chávez"),
    _programme("news", "2003-09-16", "12.5", "Schröder", "Laura", "Gloria"),
    _programme("sports", "2003-10-05", "15", "Serena", "Amélie", "Gloria"),
    _programme("travel", "2003-11-23", "12.5"),
)

SHOTS_A_SCENE = 4  # of one person in one of their scenes
SHOTS_A_PAIR = 2  # of two people in one of theirs
SCENES_A_TOPIC = 10  # photos, of which each is shown with several people and with nobody
BESIDE_STRANGERS = 20  # shots of somebody of the cast and a stranger
STRANGERS, STRANGERS_TOGETHER = 240, 20  # shots of one and of two people who are not enrolled
TOPIC_PLAIN = 2  # shots of each topic's photo without anybody in front


@dataclass(frozen=True)
class Planned:
    """One shot: `shown` are the people and the photo of each, by LFW's names."""

    programme: str
    scene: Scene
    layout: Layout
    people: tuple[str, ...]  # of the cast, and `UNNAMED`
    shown: tuple[tuple[str, str], ...]  # (LFW's name, photo) of everybody, strangers too
    seconds: float


def plan(
    scenes: Sequence[Scene], photos: Mapping[str, Sequence[str]], swappable: frozenset[str]
) -> list[Planned]:
    """The shots of all programmes, in order.

    `photos` are LFW's photos by person, those to enrol from left out. `swappable` names the photos
    of scenes that show one face, large enough to be replaced by another.
    """
    return _Planner(scenes, photos, swappable).shots()


class _Planner:
    def __init__(
        self,
        scenes: Sequence[Scene],
        photos: Mapping[str, Sequence[str]],
        swappable: frozenset[str],
    ) -> None:
        self._rng = np.random.default_rng(SEED)
        self._photos = photos
        self._swappable = swappable
        self._next: dict[str, int] = defaultdict(int)
        self._filler = [scene for scene in scenes if not scene.topics]
        topics = {topic for person in (*CAST, UNNAMED) for topic in person.topics}
        self._scenes = {
            topic: [scene for scene in scenes if topic in scene.topics][:SCENES_A_TOPIC]
            for topic in sorted(topics | {topic for *_, both in PAIRS for topic in both})
        }
        known = {person.lfw for person in (*CAST, *ABSENT, UNNAMED)}
        self._strangers = sorted(
            (who for who in photos if who not in known), key=lambda who: zlib.crc32(who.encode())
        )

    def shots(self) -> list[Planned]:
        fixed = [*self._alone(), *self._pairs(), *self._with_strangers(), *self._unnamed()]
        free = [*self._of_strangers(), *self._plain()]
        filler = iter(self._filler)
        while len(fixed) + len(free) < SHOTS:
            free.append(self._shot("", next(filler), "scene"))
        return self._in_order(fixed, free[: SHOTS - len(fixed)])

    def _alone(self) -> Iterator[Planned]:
        for person in CAST:
            on = [p.name for p in PROGRAMMES if person.name in p.cast]
            for row, topic in enumerate(person.topics):
                for turn in range(SHOTS_A_SCENE):
                    scene = self._scene(topic)
                    layout: Layout = "split" if (row + turn) % 2 else "inset"
                    if turn >= SHOTS_A_SCENE // 2 and scene.name in self._swappable:
                        layout = "swap"
                    long = row == 0 and turn < 2
                    where = on[(row + turn) % len(on)]
                    yield self._shot(where, scene, layout, person, seconds=3.2 if long else None)

    def _pairs(self) -> Iterator[Planned]:
        for first, second, topics in PAIRS:
            both = [_of(first), _of(second)]
            on = [p.name for p in PROGRAMMES if {first, second} <= set(p.cast)]
            for row, topic in enumerate(topics):
                for turn in range(SHOTS_A_PAIR):
                    layout: Layout = "interview" if turn % 2 else "duo"
                    where = on[(row + turn) % len(on)]
                    yield self._shot(where, self._scene(topic), layout, *both)

    def _with_strangers(self) -> Iterator[Planned]:
        for turn in range(BESIDE_STRANGERS):
            person = CAST[turn % len(CAST)]
            on = [p.name for p in PROGRAMMES if person.name in p.cast]
            topic = person.topics[(turn // len(CAST) + turn) % len(person.topics)]
            layout: Layout = "duo" if turn % 2 else "interview"
            where = on[turn % len(on)]
            yield self._shot(where, self._scene(topic), layout, person, strangers=1)

    def _unnamed(self) -> Iterator[Planned]:
        travel = PROGRAMMES[-1].name
        for topic in UNNAMED.topics:
            for turn in range(SHOTS_A_SCENE - 1):
                where = travel if turn else PROGRAMMES[0].name
                layout: Layout = "split" if turn % 2 else "inset"
                yield self._shot(where, self._scene(topic), layout, UNNAMED)

    def _of_strangers(self) -> Iterator[Planned]:
        topics = list(self._scenes)
        for turn in range(STRANGERS + STRANGERS_TOGETHER):
            scene = self._scene(topics[turn % len(topics)])
            count = 2 if turn >= STRANGERS else 1
            layout: Layout = (
                ("interview" if turn % 2 else "duo")
                if count == 2
                else ("split" if turn % 2 else "inset")
            )
            yield self._shot("", scene, layout, strangers=count)

    def _plain(self) -> Iterator[Planned]:
        for scenes in self._scenes.values():
            for _ in range(TOPIC_PLAIN):
                yield from (self._shot("", scene, "scene") for scene in scenes)

    def _scene(self, topic: str) -> Scene:
        """The photos of a topic in turn, so that each is shown with several people."""
        choice = self._scenes[topic]
        self._next[topic] += 1
        return choice[(self._next[topic] - 1) % len(choice)]

    def _shot(
        self,
        programme: str,
        scene: Scene,
        layout: Layout,
        *people: Cast,
        strangers: int = 0,
        seconds: float | None = None,
    ) -> Planned:
        shown = [person.lfw for person in people]
        shown += [self._stranger() for _ in range(strangers)]
        if strangers and len(shown) > 1 and self._rng.random() < 0.5:
            shown.reverse()
        return Planned(
            programme,
            scene,
            layout,
            tuple(person.name for person in people),
            tuple((who, self._photo(who)) for who in shown),
            seconds or round(float(self._rng.uniform(1.0, 1.6)), 2),
        )

    def _stranger(self) -> str:
        self._next["strangers"] += 1
        return self._strangers[self._next["strangers"] % len(self._strangers)]

    def _photo(self, who: str) -> str:
        photos = self._photos[who]
        self._next[who] += 1
        return photos[(self._next[who] - 1) % len(photos)]

    def _in_order(self, fixed: Sequence[Planned], free: Sequence[Planned]) -> list[Planned]:
        """Everything in programmes of about equal length, no photo twice in a row."""
        rows = {p.name: [shot for shot in fixed if shot.programme == p.name] for p in PROGRAMMES}
        left = [free[at] for at in self._rng.permutation(len(free))]
        for number, (name, row) in enumerate(rows.items()):
            share = SHOTS // len(rows) + (number < SHOTS % len(rows))
            while len(row) < share:
                row.append(_on(left.pop(), name))
        return [shot for row in rows.values() for shot in self._shuffled(row)]

    def _shuffled(self, row: Sequence[Planned]) -> list[Planned]:
        waiting = [row[at] for at in self._rng.permutation(len(row))]
        order: list[Planned] = []
        while waiting:
            other = (
                at
                for at, shot in enumerate(waiting)
                if not order or shot.scene.name != order[-1].scene.name
            )
            order.append(waiting.pop(next(other, 0)))
        return order


def _of(name: str) -> Cast:
    return next(person for person in CAST if person.name == name)


def _on(shot: Planned, programme: str) -> Planned:
    return Planned(programme, shot.scene, shot.layout, shot.people, shot.shown, shot.seconds)
