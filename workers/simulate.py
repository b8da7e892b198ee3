"""A job on a cluster that need not exist: a plan replayed with measured times.

    python -m workers.simulate --hours 100000 --nodes 10 --nodes 100 --nodes 1000

Workers take the pieces of the plan (see `workers.plan`), the largest first, as a job does; each
takes the time that its length costs, some take several times as long, and nodes die and come back,
which costs the pieces in work there. One thing exists once: the driver. It hands out pieces, a few
ahead, listens to what workers tell, publishes finished videos, up to eight by one commit, and after
every 64 commits looks after the files and indexes of the archive, while it does nothing else. It
ends the scaling: once it is busy all the time, more nodes wait for it. What the simulation leaves
out is said by `LEFT_OUT`.

The events are simulated by SimPy. The times are those of `benchmarks/results`, as
`python -m benchmarks.rates` puts them together in `rates.json`.
"""

from __future__ import annotations

import json
import math
import random
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from vidsearch.errors import ModelUnavailable

HOUR = 3600.0
GROUP_VIDEOS, GROUP_S = 8, 10.0  # a commit: so many videos, or those that came in so many seconds
COMMITS_AN_UPKEEP = 64
AHEAD = 1.5  # pieces handed out for each worker
TELL_S = 1.0  # a worker tells of its progress so often, unless the driver has not listened yet
RATES = Path(__file__).with_name("rates.json")
LEFT_OUT = (
    "reading the videos from the storage (a worker waits for it if it gives less than the source's"
    " bit rate times the speed), the network between nodes, the time until a cloud gives nodes,"
    " what is decoded twice at the borders of pieces, the merging of pictures (upkeep was measured"
    " of archives without), and that a driver may take longer for each of very many workers"
)


@dataclass(frozen=True)
class Rates:
    """What things cost, in seconds: a core for a second of video (`core_s`); the driver for handing
    out a piece and taking what comes of it, for a piece of news, for a commit and for each hour of
    video in it. `upkeep`: numbers of shots in the archive, and the seconds that all upkeep had
    taken when there were so many; an hour of video has `shots_hour`.
    """

    core_s: float
    hand_out_s: float
    news_s: float
    commit_s: float
    publish_hour_s: float
    shots_hour: float = 1200.0
    upkeep: tuple[tuple[float, float], ...] = ()

    def upkeep_s(self, shots: float) -> float:
        """Seconds that all upkeep took until the archive had so many shots.

        Between the measured numbers by a power of the shots. What lies beyond the last one is
        EXTRAPOLATED by the power that led there from a tenth of it.
        """
        if not self.upkeep or shots <= 0:
            return 0.0
        first, last = self.upkeep[0], self.upkeep[-1]
        if shots <= first[0]:
            return first[1] * shots / first[0]
        if shots > last[0]:
            return _power((last[0] / 10, self.upkeep_s(last[0] / 10)), last, shots)
        n = next(n for n, each in enumerate(self.upkeep) if each[0] >= shots)
        return _power(self.upkeep[n - 1], self.upkeep[n], shots)


def _power(a: tuple[float, float], b: tuple[float, float], shots: float) -> float:
    """The seconds at so many shots, on the power of the shots that leads from `a` to `b`."""
    power = math.log(b[1] / a[1]) / math.log(b[0] / a[0])
    return b[1] * float((shots / b[0]) ** power)


def _measured() -> Rates:
    facts = json.loads(RATES.read_text())
    upkeep = tuple((float(shots), float(seconds)) for shots, seconds in facts.pop("upkeep"))
    return Rates(**facts, upkeep=upkeep)


MEASURED = _measured()


@dataclass(frozen=True)
class Shape:
    """A cluster and how it misbehaves, all of it ASSUMED.

    A `slow` share of the pieces takes `slow_factor` times as long. A node dies every `mtbf_h` hours
    on average and is back after `back_s` seconds.
    """

    nodes: int
    workers: int = 16
    slow: float = 0.02
    slow_factor: float = 4.0
    mtbf_h: float = 200.0
    back_s: float = 300.0


@dataclass(frozen=True)
class Outcome:
    """How a simulated job went.

    `hours` until the last video is published and the last upkeep is done, of `video_hours` of
    video. `workers_busy` is a share of that time, and so are those of the driver: handing out,
    listening, publishing, upkeep. `ideal_hours` is the work divided by the workers. `redone` pieces
    were in work on a node that died. `waiting_videos` is the most that ever waited to be published.
    """

    nodes: int
    workers: int
    videos: int
    pieces: int
    video_hours: float
    hours: float
    ideal_hours: float
    workers_busy: float
    handing_out: float
    listening: float
    publishing: float
    upkeep: float
    redone: int
    waiting_videos: int

    @property
    def efficiency(self) -> float:
        """The share of the ideal speed that was reached, 0 to 1."""
        return self.ideal_hours / self.hours if self.hours else 0.0

    @property
    def driver_busy(self) -> float:
        """The share of the time in which the driver did anything, 0 to 1."""
        return self.handing_out + self.listening + self.publishing + self.upkeep

    @property
    def limit(self) -> str:
        """What there was too little of: workers, or the driver's time, with what took most of it;
        or that neither had enough to do beside the longest piece."""
        if self.driver_busy + self.workers_busy < 0.8:
            return "longest piece"
        if self.driver_busy < self.workers_busy:
            return "workers"
        parts = ("handing_out", "listening", "publishing", "upkeep")
        return "driver: " + max(parts, key=lambda each: getattr(self, each)).replace("_", " ")


def lengths_s(video_hours: float, seed: int = 0) -> list[float]:
    """Lengths of broadcast videos that add up to `video_hours`, in seconds; ASSUMED.

    Log-normal: half under 25 minutes, one in twenty over two hours. None is over ten hours.
    """
    chance, lengths, left = random.Random(seed), [], video_hours * HOUR
    while left > 0:
        length = min(chance.lognormvariate(7.31, 0.96), 10 * HOUR, left)
        lengths.append(length)
        left -= length
    return lengths


def pieces_of(length_s: float, piece_s: float) -> list[float]:
    """The lengths of a video's pieces: equal, of at most about `piece_s` (0: never cut)."""
    n = max(1, round(length_s / piece_s)) if piece_s else 1
    return [length_s / n] * n


@dataclass
class _Video:
    length_s: float
    pieces_left: int


@dataclass(order=True)
class _Piece:
    rank: float  # the largest video first, as in a plan
    number: int
    length_s: float = field(compare=False)
    video: _Video = field(compare=False)


def simulate(
    lengths: Sequence[float],
    shape: Shape,
    rates: Rates = MEASURED,
    *,
    piece_s: float = 600.0,
    seed: int = 0,
) -> Outcome:
    """Run videos of these `lengths` (seconds) through a cluster; the same for the same `seed`.

    Raises `ModelUnavailable` where SimPy is absent.
    """
    return _Simulation(lengths, shape, rates, piece_s, seed).run()


class _Simulation:
    """The state of one simulated job."""

    def __init__(
        self,
        lengths: Sequence[float],
        shape: Shape,
        rates: Rates,
        piece_s: float,
        seed: int,
    ) -> None:
        self._simpy = _simpy()
        self._shape, self._rates = shape, rates
        self._chance = random.Random(seed)
        self._env = env = self._simpy.Environment()
        self._ready = self._simpy.Store(env)  # handed out, and no worker has it yet
        self._todo = _pieces(lengths, piece_s)[::-1]  # taken from the end
        self._n_pieces = len(self._todo)
        self._lengths = lengths
        self._results: deque[_Piece] = deque()  # done, and the driver has not taken them yet
        self._finished: deque[_Video] = deque()  # to be published
        self._news = env.event()  # something for the driver to do
        self._out = self._alive = self._at_work = 0
        self._commits = 0
        self._stored_s = self._kept_up_s = 0.0  # of video stored; of it seen by an upkeep
        self._busy_s = 0.0
        self._spent = dict.fromkeys(("handing_out", "listening", "publishing", "upkeep"), 0.0)
        self._redone = self._most_waiting = 0

    def run(self) -> Outcome:
        env, shape = self._env, self._shape
        for _ in range(shape.nodes):
            env.process(self._node())
        if self._lengths:
            env.run(until=env.process(self._drive()))
        total_s, slots = max(env.now, 1e-9), shape.nodes * shape.workers
        video_s = sum(self._lengths)
        return Outcome(
            nodes=shape.nodes,
            workers=slots,
            videos=len(self._lengths),
            pieces=self._n_pieces,
            video_hours=video_s / HOUR,
            hours=env.now / HOUR,
            ideal_hours=video_s * self._rates.core_s / slots / HOUR,
            workers_busy=self._busy_s / total_s / slots,
            redone=self._redone,
            waiting_videos=self._most_waiting,
            **{what: seconds / total_s for what, seconds in self._spent.items()},
        )

    # --- nodes and workers ---

    def _node(self) -> Iterator[Any]:
        """A node that lives, dies and comes back, with all its workers."""
        env, shape = self._env, self._shape
        while True:
            workers = [env.process(self._worker()) for _ in range(shape.workers)]
            self._alive += shape.workers
            self._tell()
            yield env.timeout(self._chance.expovariate(1 / (shape.mtbf_h * HOUR)))
            self._alive -= shape.workers
            for worker in workers:
                if worker.is_alive:
                    worker.interrupt()
            yield env.timeout(shape.back_s)

    def _worker(self) -> Generator[Any, Any, None]:
        """Takes one piece after the other until its node dies; the piece is then done again."""
        asked: Any = None
        piece: _Piece | None = None
        try:
            while True:
                asked = self._ready.get()
                taken: _Piece = yield asked
                asked, piece = None, taken
                self._at_work += 1
                took_s = taken.length_s * self._rates.core_s * self._slowness()
                yield self._env.timeout(took_s)
                self._busy_s += took_s
                piece = None
                self._at_work -= 1
                self._results.append(taken)
                self._tell()
        except self._simpy.Interrupt:
            if asked is not None and asked.triggered:  # it was given one in this very moment
                self._again(asked.value)
            elif asked is not None:
                asked.cancel()
            if piece is not None:
                self._redone += 1
                self._at_work -= 1
                self._again(piece)

    def _again(self, piece: _Piece) -> None:
        self._out -= 1
        self._todo.append(piece)
        self._tell()

    def _slowness(self) -> float:
        return self._shape.slow_factor if self._chance.random() < self._shape.slow else 1.0

    def _tell(self) -> None:
        if not self._news.triggered:
            self._news.succeed()

    # --- the driver ---

    def _drive(self) -> Generator[Any, Any, None]:
        """Hands out, listens, takes results, publishes; ends with the last upkeep."""
        env, left = self._env, len(self._lengths)
        published_s = listened_s = 0.0  # when
        while left:
            yield from self._hand_out()
            yield from self._listen(listened_s)
            listened_s = env.now
            self._take()
            over = not self._todo and not self._out
            late = over or env.now - published_s > GROUP_S
            while len(self._finished) >= GROUP_VIDEOS or (self._finished and late):
                left -= yield from self._publish()
                published_s, late = env.now, False
            if left and not self._results and not self._has_room():
                yield from self._wait(published_s)
        yield from self._keep_up()

    def _has_room(self) -> bool:
        return bool(self._todo) and self._out < AHEAD * self._alive

    def _hand_out(self) -> Generator[Any, Any, None]:
        pieces = []
        while self._has_room():
            pieces.append(self._todo.pop())
            self._out += 1
        yield from self._work("handing_out", len(pieces) * self._rates.hand_out_s)
        for piece in pieces:
            self._ready.put(piece)

    def _listen(self, since_s: float) -> Generator[Any, Any, None]:
        """Take one piece of news of each worker that had one since the driver listened last."""
        told = self._at_work * min(1.0, (self._env.now - since_s) / TELL_S)
        yield from self._work("listening", told * self._rates.news_s)

    def _wait(self, published_s: float) -> Generator[Any, Any, None]:
        """Until there is something to do; what workers tell meanwhile is listened to."""
        env, began_s, at_work = self._env, self._env.now, self._at_work
        self._news = env.event()
        if self._finished:
            due = env.timeout(max(0.0, published_s + GROUP_S - env.now) + 1e-3)
            yield env.any_of([self._news, due])
        else:
            yield self._news
        waited_s = env.now - began_s
        # What is told last is listened to before anything else is done (`_listen`).
        told = max(at_work, self._at_work) * max(0.0, waited_s / TELL_S - 1)
        self._spent["listening"] += min(waited_s, told * self._rates.news_s)

    def _take(self) -> None:
        """Take the results that are there; whole videos wait to be published."""
        while self._results:
            video = self._results.popleft().video
            self._out -= 1
            video.pieces_left -= 1
            if not video.pieces_left:
                self._finished.append(video)
        self._most_waiting = max(self._most_waiting, len(self._finished))

    def _publish(self) -> Generator[Any, Any, int]:
        """Commit a group of videos, and look after the archive when it is time; how many."""
        group = [self._finished.popleft() for _ in range(min(GROUP_VIDEOS, len(self._finished)))]
        video_s = sum(video.length_s for video in group)
        took_s = self._rates.commit_s + video_s / HOUR * self._rates.publish_hour_s
        yield from self._work("publishing", took_s)
        self._stored_s += video_s
        self._commits += 1
        if self._commits % COMMITS_AN_UPKEEP == 0:
            yield from self._keep_up()
        return len(group)

    def _keep_up(self) -> Generator[Any, Any, None]:
        shots_s = self._rates.shots_hour / HOUR
        before = self._rates.upkeep_s(self._kept_up_s * shots_s)
        self._kept_up_s = self._stored_s
        took_s = self._rates.upkeep_s(self._stored_s * shots_s) - before
        yield from self._work("upkeep", took_s)

    def _work(self, what: str, seconds: float) -> Generator[Any, Any, None]:
        self._spent[what] += seconds
        if seconds > 0:
            yield self._env.timeout(seconds)


def _pieces(lengths: Sequence[float], piece_s: float) -> list[_Piece]:
    """Every piece, in the order of the plan."""
    pieces: list[_Piece] = []
    for length in lengths:
        parts = pieces_of(length, piece_s)
        video = _Video(length, len(parts))
        pieces += [_Piece(-length, len(pieces) + n, part, video) for n, part in enumerate(parts)]
    return sorted(pieces)


def _simpy() -> Any:
    try:
        import simpy
    except ImportError:
        raise ModelUnavailable(
            'SimPy is not installed; it comes with: pip install "vidsearch[ray]"'
        ) from None
    return simpy


@click.command()
@click.option("--hours", type=float, default=10_000.0, show_default=True, help="Hours of video.")
@click.option("--nodes", type=click.IntRange(1), multiple=True, default=(1, 10, 100, 1000))
@click.option("--workers", type=click.IntRange(1), default=16, show_default=True, help="Of a node.")
@click.option("--core-s", type=float, default=MEASURED.core_s, help="A second of video.")
@click.option("--piece-minutes", type=float, default=10.0, show_default=True)
@click.option("--mtbf", type=float, default=200.0, show_default=True, help="Hours a node lives.")
@click.option("--seed", type=int, default=0)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    hours: float,
    nodes: Sequence[int],
    workers: int,
    core_s: float,
    piece_minutes: float,
    mtbf: float,
    seed: int,
    as_json: bool,
) -> None:
    """Simulate indexing on clusters of so many nodes, and say what limits each."""
    from vidsearch.present import print_rows

    rates, videos = replace(MEASURED, core_s=core_s), lengths_s(hours, seed)
    outcomes = [
        simulate(
            videos,
            Shape(n, workers, mtbf_h=mtbf),
            rates,
            piece_s=60 * piece_minutes,
            seed=seed,
        )
        for n in nodes
    ]
    if as_json:
        found = [asdict(o) | {"efficiency": o.efficiency, "limit": o.limit} for o in outcomes]
        click.echo(json.dumps(found, indent=2))
        return
    columns = ("nodes", "workers", "hours", "speed", "of ideal", "driver", "upkeep", "redone")
    rows = [
        (
            str(o.nodes),
            str(o.workers),
            f"{o.hours:.2f}",
            f"{o.video_hours / o.hours:.0f}x",
            f"{o.efficiency:.0%}",
            f"{o.driver_busy:.0%}",
            f"{o.upkeep:.0%}",
            str(o.redone),
            o.limit,
        )
        for o in outcomes
    ]
    print_rows((*columns, "limit"), rows)
    click.echo(f"left out: {LEFT_OUT}", err=True)


if __name__ == "__main__":
    main()
