"""A writer that is killed at any moment leaves a whole archive: SIGKILL at 20 random moments."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from store_records import MODELS, analyzed_video, person

from vidsearch.records import AnalyzedVideo, Video
from vidsearch.schema import SLICE
from vidsearch.store import Store

KILLS = 20
NAMES = [f"v{number}" for number in range(6)]


@dataclass(frozen=True)
class State:
    """What an archive holds: the seed of each video's content, the photos of each person."""

    videos: dict[str, int]
    people: dict[str, int]


@dataclass(frozen=True)
class Step:
    """One thing a writer does, and what the archive holds when it is done."""

    do: Callable[[Store], object]
    after: State


def video(name: str, seed: int) -> AnalyzedVideo:
    """Other content for each seed, another number of shots too; a seed of -1 is a failure.

    One in three is long enough for its rows to be written in several slices.
    """
    shots = 2 + seed % 5 if seed % 3 else SLICE + seed % 5
    return analyzed_video(name, shots=shots, seed=seed, tracks=2, thumbnail=3000)


def next_step(state: State, rng: random.Random) -> Step:
    """A random step; the same for the same state and numbers."""
    videos, people = dict(state.videos), dict(state.people)
    kind = rng.choice(["publish"] * 4 + ["remove", "fail", "optimize", "enrol", "forget", "more"])
    do: Callable[[Store], object]
    if kind == "publish":
        group = {name: rng.randrange(10_000) for name in rng.sample(NAMES, rng.randint(1, 3))}
        videos.update(group)
        made = [video(name, seed) for name, seed in group.items()]
        do = lambda store: store.publish_many(made)  # noqa: E731
    elif kind == "remove" and videos:
        name = rng.choice(sorted(videos))
        videos.pop(name)
        do = lambda store: store.remove_videos(["id-" + name])  # noqa: E731
    elif kind == "fail":
        name = rng.choice(NAMES)
        videos.setdefault(name, -1)
        bad = Video("id-" + name, (b"/x",), 1, 1.0, status="failed", error="broken")
        do = lambda store: store.record_failure(bad)  # noqa: E731
    elif kind == "enrol":
        name = f"P{rng.randrange(10_000)}"
        people[name] = 2
        do = lambda store: store.add_person(person(name))  # noqa: E731
    elif kind == "more" and people:
        name = rng.choice(sorted(people))
        people[name] += 1
        more = person(name, photos=people[name])
        do = lambda store: store.update_person(more)  # noqa: E731
    elif kind == "forget" and people:
        name = rng.choice(sorted(people))
        people.pop(name)
        do = lambda store: store.remove_person("p-" + name)  # noqa: E731
    else:
        do = lambda store: store.optimize()  # noqa: E731
    return Step(do, State(videos, people))


def write_until_killed(folder: Path, state: State, seed: int, report: Connection) -> None:
    """A writer that works on and on, reporting when it is open and after each step."""
    rng = random.Random(seed)
    while True:
        with Store.open(folder, wait_s=0) as store:
            for _ in range(8):
                step = next_step(state, rng)
                report.send("doing")
                step.do(store)
                state = step.after
                report.send("done")


def states_around(state: State, seed: int, done: int) -> list[State]:
    """What the archive may hold: the state after the steps that were done, or after one more."""
    rng = random.Random(seed)
    for _ in range(done):
        state = next_step(state, rng).after
    return [state, next_step(state, rng).after]


def seen_in(store: Store) -> State:
    """What a reader sees, after checking that each video is one version of it, whole and once."""
    rows = store.rows()
    listed = store.videos()
    assert len({each.video_id for each in listed}) == len(listed)
    videos = {each.video_id[3:]: -1 for each in listed if each.status == "failed"}
    for place, each in enumerate(rows.videos):
        name = each.video_id[3:]
        shots = np.flatnonzero(rows.shot_video == place)
        keyframes = np.isin(rows.keyframe_shot, shots)
        tracks = np.flatnonzero(np.isin(rows.track_shot, shots))
        looks = np.isin(rows.look_track, tracks)
        seed = SEEDS[name, rows.keyframe_vectors[keyframes].tobytes()]
        wanted = video(name, seed)
        np.testing.assert_array_equal(
            rows.look_vectors[looks],
            np.concatenate([t.vectors for shot in wanted.shots for t in shot.tracks]),
        )
        assert rows.shot_index[shots].tolist() == [shot.index for shot in wanted.shots]
        assert [row.index for row in store.shots(each.video_id)] == rows.shot_index[shots].tolist()
        first = wanted.shots[0].keyframes[0]
        assert store.thumbnail(each.video_id, 0, first.time_s) == first.thumbnail
        videos[name] = seed
    assert len(videos) == len(listed)
    people = {each.name: len(each.photos) for each in store.people()}
    assert people == {each.name: len(each.photos) for each in store.people(pictures=False)}
    return State(videos, people)


SEEDS: dict[tuple[str, bytes], int] = {}


def know(state: State) -> None:
    """Note what a video's content looks like, so that its seed can be told from what is read."""
    for name, seed in state.videos.items():
        if seed >= 0:
            keyframes = [k.vector for shot in video(name, seed).shots for k in shot.keyframes]
            SEEDS[name, np.stack(keyframes).tobytes()] = seed


def test_a_writer_killed_at_any_moment_leaves_a_whole_archive(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    Store.create(folder, **MODELS)
    # The server has the slow import done; lancedb starts its threads anew in a fork of it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lancedb", "store_records", "vidsearch.lock"])
    rng = random.Random(20261123)
    state = State({}, {})
    left_orphans = 0
    kills_while_writing = 0
    for turn in range(KILLS):
        seed = rng.randrange(10**9)
        receive, send = context.Pipe(duplex=False)
        writer = context.Process(target=write_until_killed, args=(folder, state, seed, send))
        writer.start()
        send.close()
        assert receive.poll(120)  # it is open and at work
        time.sleep(rng.uniform(0, 0.6))
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        told = _rest(receive)
        kills_while_writing += told[-1] == "doing"
        possible = states_around(state, seed, told.count("done"))
        for each in possible:
            know(each)

        reader = Store.open(folder, read_only=True)
        seen = seen_in(reader)
        assert seen in possible, f"turn {turn}"
        left_orphans += reader.health().orphans > 0
        assert reader.health().problems == ()
        if turn % 3 == 0:  # a copy for searches that the killed one wrote must be a true one
            shutil.rmtree(folder / "cache", ignore_errors=True)
            assert seen_in(Store.open(folder, read_only=True)) == seen
        with Store.open(folder, wait_s=0) as store:  # the lock went with it, the orphans go now
            assert store.health().orphans == 0
            assert seen_in(store) == seen
        state = seen
    # The test would prove nothing if the writer were idle, or never in the midst of a change.
    assert kills_while_writing > KILLS / 2
    print(f"{kills_while_writing} of {KILLS} killed in a step, {left_orphans} left orphans")


def _rest(connection: Connection) -> list[str]:
    told = []
    while True:
        try:
            told.append(connection.recv())
        except EOFError:
            return told
