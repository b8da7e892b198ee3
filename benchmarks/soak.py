"""Random kills while a cluster of two nodes indexes, for half an hour; then every row is looked at.

    python -m benchmarks.soak [--minutes 30] [--videos 200] [--seed N] [--kills N] [--write]

Small videos (some seconds of moves over the example photos, with faces) are indexed on a real Ray
cluster of two nodes of one core. Meanwhile, every few files, something is killed by SIGKILL: a
worker at work from outside, a worker at a stage of its work, the second node (another comes some
seconds later), the driver at any moment, the driver at a moment of a commit. A driver that is gone
is started again by the same command. Once all is indexed, a round is over: `vidsearch verify` must
find nothing, and the rows must be those of a run on this machine without a cluster. For the next
round half of the files, drawn by lot, get other content, so that rows are replaced too. The first
kills are one of each kind, in an order drawn by lot; then the dice alone choose. Kills and rounds
go on until the minutes and the kills that were asked for have been, and one of each kind. No worker
is killed over a file that is in its third try, which a fourth death would put into quarantine. What
was drawn follows from `--seed`, which is told; when it happens depends on the machine.

The exit status is 1 where anything did not hold; the last line of the output is the totals as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / "tests")]

from stored_rows import assert_same_rows  # noqa: E402
from two_nodes import FAULTS, TwoNodes, two_nodes_in  # noqa: E402
from videos import encode  # noqa: E402

from benchmarks import _report  # noqa: E402
from benchmarks.index_speed import load_pictures, scenes  # noqa: E402
from vidsearch import Archive  # noqa: E402

SIZE = (320, 180)
SECONDS = (1.0, 6.0)  # of a video
PAUSE = (1, 6)  # files that are begun between two kills: time says little on a busy machine
MOMENT_S = (0.0, 0.5)  # after a file was begun
EARLY_SHARE, EARLY_S = 0.1, 10.0  # of drivers that are killed about when they start
AWAY_S = (1.0, 8.0)  # how long a node is away
KINDS = {"worker": 5, "worker at a stage": 3, "node": 1, "driver": 1}
STAGES = ("decode", "encode", "write")
MOMENTS = ("before", "in", "after")
MOMENT_SHARE = 0.6  # of drivers that die at a commit, if nothing killed them before
STUCK_S = 900.0
MOST_ROUNDS = 50  # in which every kind of kill must have been
TRIES = 2  # of a file, by one driver, in which its worker may be killed


@dataclass
class Asked:
    """How long to go on: minutes, videos, and kills at least."""

    minutes: float
    videos: int
    kills: int
    seed: int


@dataclass
class Round:
    """What happened until all was indexed, and what was found then."""

    kills: Counter[str] = field(default_factory=Counter)
    drivers: int = 0
    retried: int = 0
    files: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Soak:
    """A cluster, a folder of videos, the archive they are indexed into, and dice."""

    def __init__(self, work: Path, nodes: TwoNodes, dice: random.Random, asked: Asked) -> None:
        self.work, self.nodes, self.dice, self.asked = work, nodes, dice, asked
        self.videos, self.archive = work / "videos", work / "archive"
        self.rounds: list[Round] = []
        self.owed = dice.sample(list(KINDS), len(KINDS))  # kinds of kills that have not been
        self.ordered: set[str] = set()  # stages at which a worker is to die
        self.back_s = 0.0  # when a node comes back, 0 while all are there
        self.began = time.monotonic()
        self.log = (work / "log.jsonl").open("a")

    @property
    def is_over(self) -> bool:
        """Whether all that was asked for has been, so that nothing more is killed."""
        killed = sum(sum(each.kills.values()) for each in self.rounds)
        minutes = (time.monotonic() - self.began) / 60
        return minutes > self.asked.minutes and killed >= self.asked.kills and not self.owed

    def round(self) -> Round:
        """Index until a driver has come to its end by itself."""
        done, began = Round(), time.monotonic()
        self.rounds.append(done)
        while True:
            driver, said = self._start(done)
            self._harass(driver, done)
            code = driver.wait()
            text = said.read_text(errors="replace")
            done.retried += text.count("it is tried again")
            self._note(f"driver ended: {code}")
            if code == -signal.SIGKILL:
                done.wrong += self._halves()
            elif code:
                done.wrong.append(f"the driver ended with {code}: {text[-2000:]}")
            if code != -signal.SIGKILL:
                break
        self._restore()
        done.seconds = time.monotonic() - began
        return done

    def _start(self, done: Round) -> tuple[subprocess.Popen[bytes], Path]:
        """A new driver, which kills itself at a commit if the dice say so."""
        done.drivers += 1
        dies = self.dice.random() < MOMENT_SHARE and not self.is_over
        self.moment = self.dice.choice(MOMENTS) if dies else ""
        self.begun_before = self._begun()
        number = self.dice.randint(1, 3) if dies else 0
        said = self.work / "driver.txt"
        command = [sys.executable, FAULTS / "driver.py", self.moment or "before", number, "index"]
        command += ["--archive", self.archive, "--quiet", self.videos, "--ray", self.nodes.address]
        with said.open("wb") as file:
            driver = subprocess.Popen([str(c) for c in command], stdout=file, stderr=file)
        self._note(f"driver {driver.pid} started, to die {self.moment or 'never'} {number}")
        return driver, said

    def _harass(self, driver: subprocess.Popen[bytes], done: Round) -> None:
        """Kill this and that until the driver is gone."""
        mine, began = False, time.monotonic()
        at = self._begun() + self.dice.randint(*PAUSE)
        early = self.dice.random() < EARLY_SHARE
        early_s = began + (self.dice.uniform(0.0, EARLY_S) if early else float("inf"))
        while driver.poll() is None:
            time.sleep(0.1)
            self._seen(done)
            self.nodes.spare(self._spared())
            if self.back_s and time.monotonic() > self.back_s:
                self._restore()
            if time.monotonic() - began > STUCK_S:
                done.wrong.append(f"a driver did not end within {STUCK_S:.0f} s")
                driver.send_signal(signal.SIGABRT)
                break
            if (time.monotonic() > early_s or self._begun() >= at) and not self.is_over:
                time.sleep(self.dice.uniform(*MOMENT_S))
                at = self._begun() + self.dice.randint(*PAUSE)
                kind = "driver" if time.monotonic() > early_s else self._drawn()
                if self._kill(kind, driver) and kind != "worker at a stage":  # which is seen later
                    self._count(done, kind, kind)
                    mine = kind == "driver"
        if driver.wait() == -signal.SIGKILL and not mine:
            done.kills[f"driver {self.moment} a commit"] += 1
        self._seen(done)

    def _drawn(self) -> str:
        """What to kill next: a kind that has not been, or what the dice say."""
        kind = self.dice.choices(list(KINDS), list(KINDS.values()))[0]
        waits = {"worker at a stage"} if self.ordered else set()  # it comes when a worker is there
        return next((owed for owed in self.owed if owed not in waits), kind)

    def _count(self, done: Round, kind: str, what: str) -> None:
        done.kills[what] += 1
        self.owed = [owed for owed in self.owed if owed != kind]

    def _kill(self, kind: str, driver: subprocess.Popen[bytes]) -> bool:
        """Kill something of this kind; whether there was one."""
        if kind == "driver":
            driver.kill()
            if driver.wait() != -signal.SIGKILL:  # it had come to its end just before
                return False
        elif kind == "worker at a stage":
            self.ordered.add(self.dice.choice(STAGES))
            for stage in self.ordered:
                self.nodes.kill_at(stage)
        elif kind == "node":
            if self.back_s:
                return False
            self.nodes.cluster.remove_node(self.nodes.second, allow_graceful=False)
            self.back_s = time.monotonic() + self.dice.uniform(*AWAY_S)
        else:
            spared = self._spared()
            at_work = [pid for pid, name in workers().items() if name not in spared]
            if not at_work:
                return False
            os.kill(self.dice.choice(at_work), signal.SIGKILL)
        self._note(f"killed: {kind}")
        return True

    def _begun(self) -> int:
        """Files that a worker has begun to decode, ever."""
        return len(self.nodes.log())

    def _spared(self) -> set[str]:
        """Files that this driver has tried so often that their workers are left alone."""
        begun = Counter(name for _, name in self.nodes.log()[self.begun_before :])
        return {name for name, tries in begun.items() if tries > TRIES}

    def _seen(self, done: Round) -> None:
        """Count the workers that were killed at a stage."""
        for stage in [each for each in self.ordered if self.nodes.killed(each)]:
            self.ordered.discard(stage)
            self._count(done, "worker at a stage", f"worker at {stage}")

    def _restore(self) -> None:
        """The second node is there again."""
        if self.back_s:
            self.nodes.second = self.nodes.add_node()
            self.back_s = 0.0

    def _halves(self) -> list[str]:
        """What a reader sees of a killed driver: videos that are not whole."""
        if not (self.archive / "archive.json").exists():
            return []
        archive = Archive(self.archive)
        return [
            f"{video.path} has {len(archive.shots(video.video_id))} shots of {video.n_shots}"
            for video in archive.videos()
            if len(archive.shots(video.video_id)) != video.n_shots
        ]

    def _note(self, what: str) -> None:
        self.log.write(json.dumps({"at": round(time.time(), 2), "what": what}) + "\n")
        self.log.flush()


def workers() -> dict[int, str]:
    """Processes of the cluster that this process started which analyse a file, and its name."""
    import psutil

    found = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            title = " ".join(process.cmdline())
            if title.startswith("ray::index "):
                found[process.pid] = Path(title.removeprefix("ray::index ").strip()).name
    return found


def look(soak: Soak, expected: Path, done: Round) -> None:
    """Hold the archive against its invariants and against a run on this machine."""
    verify = [sys.executable, "-m", "vidsearch", "verify", "--archive", str(soak.archive)]
    ran = subprocess.run(verify, capture_output=True, text=True)
    if ran.returncode:
        done.wrong.append(f"vidsearch verify: {ran.stdout}{ran.stderr}"[-2000:])
    archive = Archive(soak.archive)
    done.wrong += [f"{v.path}: {v.error}" for v in archive.videos() if v.status != "indexed"]
    Archive(expected).index([soak.videos], jobs=2)
    try:
        assert_same_rows(soak.archive, expected)
    except AssertionError as error:
        done.wrong.append(f"other rows than of a run on this machine: {error}"[:2000])


def film(path: Path, dice: random.Random, pictures: Sequence[np.ndarray]) -> None:
    """A short video of other pictures, or of the same in another order, than any before."""
    n_frames = round(dice.uniform(*SECONDS) * 25)
    frames = list(scenes(dice.sample(list(pictures), 3), n_frames, SIZE))
    mark = dice.randrange(256)
    for frame in frames:
        frame[:4, :4] = mark

    def draw(number: int, size: tuple[int, int]) -> np.ndarray:
        return frames[number]

    path.unlink(missing_ok=True)
    encode(path, n_frames=n_frames, size=SIZE, draw=draw, options={"preset": "ultrafast"})


def soaked(work: Path, asked: Asked) -> list[Round]:
    """The rounds, until all that was asked for has been."""
    dice, pictures = random.Random(asked.seed), load_pictures(None)
    os.environ["VIDSEARCH_KILLS"] = str(work / "kills")
    (work / "videos").mkdir()
    names = [work / "videos" / f"v{number:03}.mp4" for number in range(asked.videos)]
    again: Callable[[Path], None] = partial(film, dice=dice, pictures=pictures)
    for path in names:
        again(path)
    with two_nodes_in(work / "kills") as nodes:
        soak = Soak(work, nodes, dice, asked)
        while True:
            done = soak.round()
            if not done.wrong:
                look(soak, work / "expected", done)
            n_rounds = len(soak.rounds)
            done.files = asked.videos if n_rounds == 1 else asked.videos // 2
            if soak.owed and n_rounds == MOST_ROUNDS:
                done.wrong.append(f"in {n_rounds} rounds there was no kill of {soak.owed}")
            print(f"round {n_rounds}: {done}", flush=True)
            if soak.is_over or done.wrong:
                return soak.rounds
            for path in dice.sample(names, asked.videos // 2):
                again(path)


def totals(rounds: Sequence[Round], n_videos: int, seed: int) -> dict[str, Any]:
    kills = sum((each.kills for each in rounds), Counter[str]())
    return {
        "seed": seed,
        "videos": n_videos,
        "rounds": len(rounds),
        "files": sum(each.files for each in rounds),
        "kills": dict(sorted(kills.items())),
        "killed": sum(kills.values()),
        "drivers": sum(each.drivers for each in rounds),
        "retried": sum(each.retried for each in rounds),
        "seconds": round(sum(each.seconds for each in rounds)),
        "wrong": [wrong for each in rounds for wrong in each.wrong],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--kills", type=int, default=0, help="go on until so many")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--keep", type=Path, help="a new folder for all of it, which stays")
    parser.add_argument("--write", action="store_true", help="keep the figures")
    asked = parser.parse_args(arguments)
    print(f"seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = asked.keep or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        rounds = soaked(work, Asked(asked.minutes, asked.videos, asked.kills, asked.seed))
    found = totals(rounds, asked.videos, asked.seed)
    if asked.write:
        print(_report.write("soak", "Random kills while a cluster indexes", *table(rounds, found)))
    print(json.dumps(found), flush=True)
    return 1 if found["wrong"] else 0


def table(rounds: Sequence[Round], found: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows and the notes of the report."""
    kinds = list(found["kills"])
    rows: list[dict[str, Any]] = [
        {
            "round": number,
            "videos": each.files,
            **{kind: each.kills[kind] for kind in kinds},
            "drivers": each.drivers,
            "retried": each.retried,
            "seconds": each.seconds,
            "wrong": len(each.wrong),
        }
        for number, each in enumerate(rounds, start=1)
    ]
    sums = {key: sum(row[key] for row in rows) for key in rows[0] if key != "round"}
    notes = [
        f"Seed {found['seed']}. {found['videos']} videos of {SECONDS[0]:.0f} to {SECONDS[1]:.0f} s"
        " of 320x180; two nodes of one core; after the first round half of the files have other"
        " content in each. The columns between are what was killed.",
        "`retried`: files that were tried again because their worker or its node died; `wrong`:"
        " faults that `vidsearch verify` found, rows unlike those of a run on this machine, videos"
        " that failed, were put in quarantine or were not whole beside a killed driver.",
    ]
    return [*rows, {"round": "all", **sums}], notes


if __name__ == "__main__":
    sys.exit(main())
