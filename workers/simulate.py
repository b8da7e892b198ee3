"""A job on a cluster that need not exist: a plan replayed with measured times.

    python -m workers.simulate --hours 100000 --nodes 10 --nodes 100 --nodes 1000

Workers take the pieces of the plan (see `workers.plan`), the largest first, as a job does; each
takes the time that its length costs, some take several times as long, and nodes die and come back,
which costs the pieces in work there. Two things exist once: the driver, which hands out pieces, and
the committer, which publishes finished videos. They end the scaling: once one of them is busy all
the time, more nodes wait for it. What the simulation leaves out is said by `LEFT_OUT`.

The events are simulated by SimPy. Times in `Rates` are those of `benchmarks/results`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import click

from vidsearch.errors import ModelUnavailable

HOUR = 3600.0
LEFT_OUT = (
    "reading the videos from the storage (a worker waits for it if it gives less than the source's"
    " bit rate times the speed), the network between nodes, and the time until a cloud gives nodes"
)


@dataclass(frozen=True)
class Rates:
    """What things cost, in seconds: of one core for a second of video, of the driver for handing
    out a piece, of the committer for publishing a video and for each hour of it.

    The defaults are `benchmarks/results/stage_times.json` (720p H.264) and `ray_overhead.json`.
    """

    core_s: float = 422 / HOUR
    hand_out_s: float = 0.004
    publish_s: float = 0.03
    publish_hour_s: float = 0.1


MEASURED = Rates()


@dataclass(frozen=True)
class Shape:
    """A cluster and how it misbehaves.

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

    `hours` until the last video is published, of `video_hours` of video. `workers_busy`,
    `driver_busy` and `committer_busy` are shares of that time; `ideal_hours` is the work divided by
    the workers. `redone` pieces were in work on a node that died. `waiting_videos` is the most that
    ever waited for the committer.
    """

    nodes: int
    workers: int
    videos: int
    pieces: int
    video_hours: float
    hours: float
    ideal_hours: float
    workers_busy: float
    driver_busy: float
    committer_busy: float
    redone: int
    waiting_videos: int

    @property
    def efficiency(self) -> float:
        """The share of the ideal speed that was reached, 0 to 1."""
        return self.ideal_hours / self.hours if self.hours else 0.0

    @property
    def limit(self) -> str:
        """What there was too little of."""
        if self.committer_busy > 0.9:
            return "committer"
        return "driver" if self.driver_busy > 0.9 else "workers"


def lengths_s(video_hours: float, seed: int = 0) -> list[float]:
    """Lengths of broadcast videos that add up to `video_hours`, in seconds.

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
        self._driver = self._simpy.Resource(env, 1)
        self._finished = self._simpy.Store(env)
        self._todo = _pieces(lengths, piece_s)[::-1]  # taken from the end
        self._n_pieces = len(self._todo)
        self._lengths = lengths
        self._published = 0
        self._more = env.event()  # a piece came back, or all is done
        self._busy_s = self._driver_s = self._committer_s = 0.0
        self._redone = self._most_waiting = 0

    def run(self) -> Outcome:
        env, shape = self._env, self._shape
        done = env.process(self._commit())
        for _ in range(shape.nodes):
            env.process(self._node())
        if self._lengths:
            env.run(until=done)
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
            driver_busy=self._driver_s / total_s,
            committer_busy=self._committer_s / total_s,
            redone=self._redone,
            waiting_videos=self._most_waiting,
        )

    def _node(self) -> Iterator[Any]:
        """A node that lives, dies and comes back, with all its workers."""
        env, shape = self._env, self._shape
        while True:
            workers = [env.process(self._worker()) for _ in range(shape.workers)]
            yield env.timeout(self._chance.expovariate(1 / (shape.mtbf_h * HOUR)))
            for worker in workers:
                if worker.is_alive:
                    worker.interrupt()
            yield env.timeout(shape.back_s)

    def _worker(self) -> Iterator[Any]:
        """Takes one piece after the other until its node dies; the piece is then done again."""
        env = self._env
        piece: _Piece | None = None
        try:
            while True:
                while not self._todo:
                    yield self._more
                piece = taken = self._todo.pop()
                yield from self._handed_out()
                took_s = taken.length_s * self._rates.core_s * self._slowness()
                yield env.timeout(took_s)
                self._busy_s += took_s
                self._done(taken)
                piece = None
        except self._simpy.Interrupt:
            if piece is not None:
                self._redone += 1
                self._todo.append(piece)
                self._more.succeed()
                self._more = env.event()

    def _handed_out(self) -> Iterator[Any]:
        with self._driver.request() as turn:
            yield turn
            yield self._env.timeout(self._rates.hand_out_s)
            self._driver_s += self._rates.hand_out_s

    def _slowness(self) -> float:
        return self._shape.slow_factor if self._chance.random() < self._shape.slow else 1.0

    def _done(self, piece: _Piece) -> None:
        piece.video.pieces_left -= 1
        if not piece.video.pieces_left:
            self._finished.put(piece.video)
            self._most_waiting = max(self._most_waiting, len(self._finished.items))

    def _commit(self) -> Generator[Any, Any, None]:
        """Publishes finished videos one after the other; ends with the last one."""
        for _ in self._lengths:
            video: _Video = yield self._finished.get()
            took_s = self._rates.publish_s + video.length_s / HOUR * self._rates.publish_hour_s
            yield self._env.timeout(took_s)
            self._committer_s += took_s


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
@click.option("--core-s", type=float, default=Rates.core_s, help="Core seconds a second of video.")
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

    rates, videos = replace(Rates(), core_s=core_s), lengths_s(hours, seed)
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
    columns = ("nodes", "workers", "hours", "speed", "of ideal", "driver", "committer", "redone")
    rows = [
        (
            str(o.nodes),
            str(o.workers),
            f"{o.hours:.2f}",
            f"{o.video_hours / o.hours:.0f}x",
            f"{o.efficiency:.0%}",
            f"{o.driver_busy:.0%}",
            f"{o.committer_busy:.0%}",
            str(o.redone),
            o.limit,
        )
        for o in outcomes
    ]
    print_rows((*columns, "limit"), rows)
    click.echo(f"left out: {LEFT_OUT}", err=True)


if __name__ == "__main__":
    main()
