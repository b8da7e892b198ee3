"""Make the rows of an archive again with another encoder, beside the old ones, and switch at once.

Shots, faces and tracks do not depend on the encoder, so they are copied; the frames of keyframes
and figures are read again from the files (`vidsearch.reencode`). With another shot detector a video
is analysed anew as a whole. What is done is published a group of videos at a time in the generation
that is being built (`vidsearch.generations`), under the number that the video has in the old rows:
so whoever is killed goes on where it was, and takes along what was indexed meanwhile.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from idclip.devices import ANYWHERE, Devices
from idclip.errors import ModelUnavailable
from vidsearch import generations, packing
from vidsearch.errors import UnreadableVideo, VidsearchError
from vidsearch.indexing import GROUP_SECONDS, GROUP_VIDEOS, Event, Failed, Indexed, Planned
from vidsearch.inputs import fingerprint, printable
from vidsearch.records import AnalyzedVideo, Vector, Video
from vidsearch.rows import arrays_of, by_place, packed_of
from vidsearch.schema import content_rows, mean_direction, schemas, vectors_column
from vidsearch.shots import DEFAULT_DETECTOR, make_detector
from vidsearch.stamp import Generation, Stamp
from vidsearch.tasks import (
    Again,
    Analyst,
    Analyzed,
    Load,
    Progress,
    Sight,
    Task,
    Unreadable,
    Vectors,
    recipe_of,
)
from vidsearch.urls import place

if TYPE_CHECKING:
    from vidsearch.describe import Models
    from vidsearch.store import Store

BATCH_SHOTS = 100_000
"""Shots of videos that are handed to an analyst at once: what is known of them is in memory."""
GROUP_SHOTS = 2000
"""Shots after which rows are written, however few videos they are of."""
GONE = "its file is gone, or is another one now"


@dataclass(frozen=True)
class Asked:
    """What the rows are to be made with, None for what they are made with now.

    `detector` is a name and `options` its thresholds.
    """

    encoder: str | None = None
    detector: str | None = None
    options: Mapping[str, float] = field(default_factory=dict)

    def split_with(self, stamp: Stamp) -> str:
        """As `Recipe.split_with`; "" where no detector was asked for."""
        if self.detector is None and not self.options:
            return ""
        name = self.detector or DEFAULT_DETECTOR
        make_detector(name, **self.options)  # a wrong option is told before any work
        return recipe_of(stamp, name, self.options).split_with


@dataclass(frozen=True)
class Outcome:
    """How a reindex, or the way back from one, ended.

    Where it `switched`, questions are answered from `after`, and `before` is kept. `lacking` are
    the videos that could not be brought over, with the reasons: what keeps it from switching, or
    was left out. `behind` are those that only `before` has rows of.
    """

    switched: bool
    before: Generation
    after: Generation
    lacking: tuple[Failed, ...] = ()
    behind: tuple[Video, ...] = ()


def told_apart(events: Iterator[Event | Outcome], outcomes: list[Outcome]) -> Iterator[Event]:
    """The events of a reindex without its outcome, which is added to `outcomes`."""
    for event in events:
        if isinstance(event, Outcome):
            outcomes.append(event)
        else:
            yield event


def target_of(
    store: Store,
    asked: Asked,
    licences: Callable[[Models], None] = lambda models: None,
    devices: Devices = ANYWHERE,
) -> Store:
    """The generation to build: one that was begun, the one beside, or a new one.

    `licences` is given the models of a new one.

    Raises VidsearchError where another was begun, or waits to be confirmed, or nothing would change
    and `ModelUnavailable` for an encoder that cannot be had.
    """
    from idclip.encoders import full_name

    stamp = store.stamp
    split = asked.split_with(stamp)
    begun = stamp.building
    if begun and asked.encoder is None and not split:
        encoder, split = begun.encoder, begun.detector
    else:
        encoder = full_name(asked.encoder) if asked.encoder else stamp.encoder
    from idclip.digests import encoder_digest

    devices.require(encoder, stamp.face_model)
    weights = encoder_digest(encoder)
    wanted = (encoder, weights, split)
    for each in store.others():
        if _made_with(each.stamp.generation) == wanted:
            return each
    if begun:
        raise VidsearchError(_other_was_begun(store, begun))
    if stamp.beside:
        raise VidsearchError(_not_confirmed(store, stamp.beside))
    if (encoder, weights) == (stamp.encoder, stamp.encoder_weights) and not split:
        raise VidsearchError(
            f"the archive {store.folder} is of the encoder {encoder!r} already, with the weights"
            " that are installed: name another with --encoder, or a shot detector with --detector"
        )
    from vidsearch.analyze import load_models

    models = load_models(encoder, stamp.face_model, devices=devices)  # which checks that they fit
    licences(models)
    return generations.begin(store, encoder, models.encoder.dim, weights, split)


def build(
    store: Store,
    target: Store,
    analyst: Analyst,
    here: Analyst,
    lacking: list[Failed],
    *,
    thumbnails: bool = False,
    devices: Devices = ANYWHERE,
) -> Iterator[Event]:
    """Bring all videos of `store` into `target`; yields what `indexing.index` yields.

    What cannot be brought over is added to `lacking`. With `thumbnails` the stored pictures stand
    in for a file that is gone, which takes the analyst of this machine, `here`. `devices` are where
    pictures are encoded and where faces are found.
    """
    work = _Work(store, target, analyst, here, lacking, thumbnails, devices)
    yield work.planned()
    yield from work.failures()
    for batch in work.batches():
        yield from work.done(batch)


def finish(
    store: Store, target: Store, lacking: Sequence[Failed], *, leave_out: bool = False
) -> Outcome:
    """Switch to `target`, unless videos are `lacking` that are not to be left out."""
    before, after = store.stamp.generation, target.stamp.generation
    if lacking and not leave_out:
        return Outcome(False, before, after, tuple(lacking))
    if lacking:
        reasons = {each.video_id: each.reason for each in lacking}
        known = store.entries()
        target.remove_videos(reasons)
        rows = [(known[video_id][0], why) for video_id, why in reasons.items()]
        target.note([(replace(v, status="failed", error=why, n_shots=0), 0) for v, why in rows])
    return Outcome(True, before, after, tuple(lacking), tuple(generations.switch(store, target)))


def back(store: Store) -> Outcome:
    """Switch to the generation that is kept beside; raises VidsearchError where there is none."""
    beside = store.stamp.beside
    if beside is None:
        raise VidsearchError(
            f"the archive {store.folder} keeps no rows to go back to: no reindex was switched to"
            " since the last was confirmed"
        )
    target = next(each for each in store.others() if each.stamp.generation == beside)
    return finish(store, target, ())


@dataclass(frozen=True, eq=False)
class _Batch:
    """Tasks for one call of an analyst, that of this machine where `local`; none if `ready`."""

    tasks: tuple[Task, ...]
    local: bool = False
    ready: bool = False


class _Work:
    """What one run of `build` has to do, and how it is stored."""

    def __init__(
        self,
        store: Store,
        target: Store,
        analyst: Analyst,
        here: Analyst,
        lacking: list[Failed],
        thumbnails: bool,
        devices: Devices,
    ) -> None:
        self._devices = devices
        self._store, self._target = store, target
        self._analyst, self._here = analyst, here
        self._lacking = lacking
        self._thumbnails = thumbnails
        self._entries = store.entries()
        self._split = target.stamp.detector
        self._schemas = schemas(target.stamp)
        now, then = store.stamp, target.stamp
        self._same_vectors = bool(now.encoder_weights) and _same_encoder(
            now.generation, then.generation
        )
        self._files: dict[str, bytes | None] = {}
        self._sort()

    def _sort(self) -> None:
        """Which videos are to be copied, looked at again and analysed anew, and which cannot be."""
        known = self._target.entries()
        gone = [video_id for video_id in known if video_id not in self._entries]
        self._target.remove_videos(gone)
        # One that failed while its rows are there was left out before: it may be there by now.
        todo = [
            video
            for video_id, (video, number) in self._entries.items()
            if number and known.get(video_id, (video, -1))[1] != number
        ]
        self.unchanged = sum(number > 0 for _, number in self._entries.values()) - len(todo)
        self.copied: list[Video] = []
        self.again: list[Video] = []
        self.anew: list[Video] = []
        self.pictured: list[Video] = []
        for video in todo:
            whole = bool(self._split) and video.detector != self._split
            if self._same_vectors and not whole:
                self.copied.append(video)
                continue
            self._files[video.video_id] = file = _file_of(video)
            if file is None and (whole or not self._thumbnails):
                remedy = "" if whole else "; its thumbnails are kept"
                self._lacking.append(Failed(video.video_id, video.path, GONE + remedy, video.size))
            elif file is None:
                self.pictured.append(video)
            else:
                (self.anew if whole else self.again).append(video)

    def planned(self) -> Planned:
        """The first event."""
        todo = (*self.copied, *self.again, *self.anew, *self.pictured)
        n = len(todo) + len(self._lacking)
        size = sum(video.size for video in todo) + sum(bad.size for bad in self._lacking)
        return Planned(n, size, self.unchanged, 0, 0, 0)

    def failures(self) -> Iterator[Failed]:
        """Those whose files are gone."""
        yield from list(self._lacking)

    def batches(self) -> Iterator[_Batch]:
        """The work, as much of it at once as may be in memory."""
        for some in _by_shots(self.copied, GROUP_SHOTS):
            yield _Batch(tuple(_task(video, video.paths[0]) for video in some), ready=True)
        for some in _by_shots([*self.again, *self.anew], BATCH_SHOTS):
            again = {video.video_id for video in self.again}
            known = self._known([video for video in some if video.video_id in again])
            tasks = [_task(v, self._files[v.video_id], known.get(v.video_id)) for v in some]
            yield _Batch(tuple(tasks))
        for some in _by_shots(self.pictured, GROUP_SHOTS):
            known = self._known(some, pictures=True)
            tasks = [_task(video, video.paths[0], known[video.video_id]) for video in some]
            yield _Batch(tuple(tasks), local=True)

    def done(self, batch: _Batch) -> Iterator[Event]:
        """Have the work of a batch done, and store it."""
        group: list[Analyzed] = []
        since = time.monotonic()
        for news in self._news(batch):
            if isinstance(news, (Progress, Load)):
                yield news
                continue
            if isinstance(news, Unreadable):
                bad = Failed(
                    news.task.video_id, printable(news.task.path), news.reason, news.task.size
                )
                self._lacking.append(bad)
                yield bad
            else:
                group.append(news)
            shots = sum(self._entries[each.task.video_id][0].n_shots for each in group)
            late = time.monotonic() - since > GROUP_SECONDS
            if group and (len(group) >= GROUP_VIDEOS or shots > GROUP_SHOTS or late):
                yield from self._publish(group)
                group, since = [], time.monotonic()
        yield from self._publish(group)

    def _news(self, batch: _Batch) -> Iterator[Progress | Load | Analyzed | Unreadable]:
        if batch.ready:
            for task in batch.tasks:
                yield Analyzed(task, AnalyzedVideo(self._entries[task.video_id][0], ()), 0.0)
            return
        name, options = _detector(self._split)
        recipe = recipe_of(self._target.stamp, name, options).on(self._devices)
        yield from (self._here if batch.local else self._analyst)(batch.tasks, recipe)

    def _publish(self, group: Sequence[Analyzed]) -> Iterator[Indexed]:
        anew = {video.video_id for video in self.anew}
        if whole := [each for each in group if each.task.video_id in anew]:
            self._publish_anew(whole)
        if taken := [each for each in group if each.task.video_id not in anew]:
            self._publish_again(taken)
        for each in group:
            stored = self._target.find(each.task.video_id)
            yield Indexed(stored or each.result.video, each.seconds)

    def _publish_anew(self, group: Sequence[Analyzed]) -> None:
        content = [(each.result, self._entries[each.task.video_id][1]) for each in group]
        self._target.publish_rows(
            [(replace(each.video, n_shots=len(each.shots)), number) for each, number in content],
            lambda name: content_rows(content, name, self._schemas[name]),
        )

    def _publish_again(self, group: Sequence[Analyzed]) -> None:
        """The old rows with the new vectors."""
        videos = [self._entries[each.task.video_id] for each in group]
        vectors = {
            self._entries[each.task.video_id][1]: each.vectors
            for each in group
            if each.vectors is not None
        }
        numbers = [number for _, number in videos]
        by_shot: dict[tuple[int, int], list[Vector]] = defaultdict(list)

        def rows(name: str) -> Iterator[pa.RecordBatch]:
            table = self._store.rows_of(name, numbers)
            if vectors and name != "faces":
                table = _with_vectors(table, name, vectors, by_shot, self._schemas[name])
            if packing.COLUMN not in table.column_names:
                table = _packed(self._store, name, table, numbers)
            yield from table.select(self._schemas[name].names).to_batches()

        made = {name: list(rows(name)) for name in ("keyframes", "shots", "figures")}
        self._target.publish_rows(
            videos, lambda name: iter(made[name]) if name in made else rows(name)
        )

    def _known(self, videos: Sequence[Video], *, pictures: bool = False) -> dict[str, Again]:
        """What is known of videos, so that their vectors can be made again."""
        if not videos:
            return {}
        numbers = {self._entries[each.video_id][1]: each for each in videos}
        wanted = ["generation", "shot", "time_s", "start_s", *(["thumbnail"] if pictures else [])]
        keyframes = _in_time(self._store.rows_of("keyframes", numbers, wanted))
        times: dict[int, list[float]] = defaultdict(list)
        jpegs: dict[int, list[bytes]] = defaultdict(list)
        for row in keyframes.select(["generation", "time_s"]).to_pylist():
            times[row["generation"]].append(row["time_s"])
        for row in keyframes.to_pylist() if pictures else ():
            jpegs[row["generation"]].append(bytes(row["thumbnail"] or b""))
        sights = {} if pictures else _sights(self._store, numbers, keyframes)
        return {
            video.video_id: Again(video, tuple(times[n]), tuple(sights.get(n, ())), tuple(jpegs[n]))
            for n, video in numbers.items()
        }


def _with_vectors(
    table: pa.Table,
    name: str,
    vectors: Mapping[int, Vectors],
    by_shot: dict[tuple[int, int], list[Vector]],
    schema: pa.Schema,
) -> pa.Table:
    """Rows with their new vectors; `by_shot` gathers those of keyframes, for their shots."""
    kind = schema.field("vector").type
    if name == "keyframes":
        table = _in_time(table)
        new = [vector for number in sorted(vectors) for vector in vectors[number].keyframes]
        places = zip(*(table.column(c).to_pylist() for c in ("generation", "shot")), strict=True)
        for at, vector in zip(places, new, strict=True):
            by_shot[at].append(vector)
    elif name == "shots":
        places = zip(*(table.column(c).to_pylist() for c in ("generation", "shot")), strict=True)
        new = [mean_direction(by_shot[at]) for at in places]
    else:
        rows = table.select(["generation", "shot", "track"]).to_pylist()
        found = [vectors[r["generation"]].figures.get((r["shot"], r["track"])) for r in rows]
        table = table.filter(pa.array([each is not None for each in found], pa.bool_()))
        new = [each for each in found if each is not None]
    at = table.column_names.index("vector")
    return table.set_column(at, schema.field("vector"), vectors_column(new, kind))


def _packed(store: Store, name: str, table: pa.Table, numbers: Sequence[int]) -> pa.Table:
    """Rows of an older layout with the column that they lack."""
    shots = None
    if name == "keyframes":
        shots = by_place(arrays_of(store.rows_of("shots", numbers, packing.names("shots"))))
    return table.append_column(packing.field(name), packed_of(name, table, shots))


def _in_time(table: pa.Table) -> pa.Table:
    return table.sort_by([("generation", "ascending"), ("time_s", "ascending")])


def _sights(
    store: Store, numbers: Mapping[int, Video], keyframes: pa.Table
) -> dict[int, list[Sight]]:
    """By number: the best look of each track in each part of the shots that have figures."""
    places = ["generation", "shot"]
    figures = store.rows_of("figures", numbers, places)
    there = set(zip(*(figures.column(c).to_pylist() for c in places), strict=True))
    starts: dict[tuple[int, int], set[float]] = defaultdict(set)
    for row in keyframes.select([*places, "start_s"]).to_pylist():
        starts[row["generation"], row["shot"]].add(row["start_s"])
    wanted = [*places, "track", "look", "time_s", "box", "quality"]
    best: dict[tuple[int, int, int, float], Sight] = {}
    for row in store.rows_of("faces", numbers, wanted).to_pylist() if there else ():
        at = (row["generation"], row["shot"])
        if at in there:
            part_s = max((s for s in starts[at] if s <= row["time_s"]), default=0.0)
            sight = Sight(
                row["shot"], row["track"], part_s, row["time_s"], tuple(row["box"]), row["quality"]
            )
            best.setdefault((*at, row["track"], part_s), sight)  # looks come best first
    found: dict[int, list[Sight]] = defaultdict(list)
    for (number, *_), sight in best.items():
        found[number].append(sight)
    return found


def _task(video: Video, file: bytes | None, again: Again | None = None) -> Task:
    first = file if file is not None else video.paths[0]
    paths = (first, *(path for path in video.paths if path != first))
    return Task(paths, video.video_id, video.size, video.mtime, again=again)


def _by_shots(videos: Sequence[Video], most: int) -> Iterator[list[Video]]:
    """Videos in groups of `most` shots or one video."""
    group: list[Video] = []
    n = 0
    for video in videos:
        if group and n + video.n_shots > most:
            yield group
            group, n = [], 0
        group.append(video)
        n += video.n_shots
    if group:
        yield group


def _file_of(video: Video) -> bytes | None:
    """The first path of a video at which its content lies now; None where there is none."""
    for path in video.paths:
        try:
            there = place(path)
            stat = there.stat()
            if stat.st_size != video.size:
                continue
            if stat.st_mtime == video.mtime or fingerprint(there) == video.video_id:
                return path
        except (OSError, UnreadableVideo):
            continue
    return None


def _made_with(generation: Generation) -> tuple[str, str, str]:
    return generation.encoder, generation.encoder_weights, generation.detector


def _same_encoder(one: Generation, other: Generation) -> bool:
    return _made_with(one)[:2] == _made_with(other)[:2]


def _detector(split_with: str) -> tuple[str, dict[str, float]]:
    """The way back from `Recipe.split_with`."""
    if not split_with:
        return DEFAULT_DETECTOR, {}
    name, *options = split_with.split()
    pairs = (option.partition("=") for option in options)
    return name, {key: float(value) for key, _, value in pairs}


def _other_was_begun(store: Store, begun: Generation) -> str:
    from idclip.digests import encoder_digest

    command = f"vidsearch reindex --archive {store.folder}"
    said = (
        f"A reindex of the archive {store.folder} with the encoder {begun.encoder!r}"
        f"{f' and the detector {begun.detector}' if begun.detector else ''} was begun and is not"
        " finished"
    )
    try:
        there = encoder_digest(begun.encoder) == begun.encoder_weights
    except ModelUnavailable:
        there = False
    if there:
        return f"{said}. Go on with it, or give it up:\n  {command}\n  {command} --drop"
    return (
        f"{said}, and its weights {begun.encoder_weights} are not installed any more. Put them"
        f" back, or give it up:\n  {command} --drop"
    )


def _not_confirmed(store: Store, beside: Generation) -> str:
    command = f"vidsearch reindex --archive {store.folder}"
    return (
        f"The archive {store.folder} still keeps the rows of the encoder {beside.encoder!r}, from"
        " before the last reindex. Remove them, or go back to them, first:\n"
        f"  {command} --confirm\n  {command} --back"
    )
