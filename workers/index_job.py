"""Index on a Ray cluster: `analyze()` runs on its workers, this process alone writes.

The analyst has the form of `vidsearch.analysts`, so that a job on a cluster stores the same rows as
a run on one machine. Files must be readable under the same path on every node, or be in an object
store. Ray is used for what it is best at: finding a free core on some node, keeping processes with
their models, noticing that one died. What that means for the file (`workers.attempts`) is ours, and
so is the retry: Ray would try a task again on every death, whoever was to blame.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vidsearch.errors import VidsearchError
from vidsearch.tasks import Analyst, Analyzed, Load, Progress, Recipe, Task, Unreadable
from vidsearch.urls import is_url
from workers.actors import (
    UNTAKEN,
    Begun,
    InPieces,
    Order,
    PieceResult,
    Result,
    Taken,
    Waiting,
    analysed,
)
from workers.attempts import Attempts, Death, ceiling_s
from workers.cluster import ask_node, check_nodes, connect
from workers.deaths import Deaths
from workers.disks import Disks
from workers.encoder_pool import EncoderPool, of_workers, started, wanted
from workers.flow import Flow
from workers.interrupts import remembered
from workers.metrics import Meters
from workers.nodes import Nodes, Unfit, unseen
from workers.options import JobOptions
from workers.plan import Plan, Work
from workers.same_code import Code

if TYPE_CHECKING:
    from vidsearch.indexing import IndexReport
    from vidsearch.inputs import PathLike

__all__ = ["index_job", "on_ray"]

log = logging.getLogger(__name__)

WAIT_S = 0.5  # for news, before looking at what hangs
GATHER_S = 0.05  # for more of it: many workers' news is taken together
LOAD_EVERY_S = 5.0
SAMPLE = 3  # of the files, that every node must see
LOADING_S = 1800.0  # for models, which may have to be fetched
NODES_S = 600.0  # for the first node to come


def index_job(
    archive: str | os.PathLike[str],
    paths: Sequence[PathLike],
    options: JobOptions | str = "local",
    **indexing: Any,
) -> IndexReport:
    """Index `paths` into the archive folder `archive` on a cluster.

    `options` may be the address alone (see `JobOptions`); `indexing` are the options of
    `Archive.indexing`, but for `jobs`, which are processes of one machine. Raises what that raises,
    and `VidsearchError` where the cluster cannot.
    """
    from vidsearch.archive import Archive

    if "jobs" in indexing:
        raise VidsearchError(
            "jobs are processes of this machine: on a cluster there are as many as it has cores"
            " for, each with JobOptions(cpus_per_worker=...)"
        )
    if isinstance(options, str):
        options = JobOptions(address=options)
    by = f"Ray {options.address}"
    return Archive(archive).index(paths, analyst=on_ray(options), by=by, **indexing)


def on_ray(options: JobOptions | str) -> Analyst:
    """The analyst that spreads files over a Ray cluster (see `index_job`)."""
    chosen = JobOptions(address=options) if isinstance(options, str) else options

    def analyst(
        tasks: Sequence[Task], recipe: Recipe
    ) -> Iterator[Progress | Load | Analyzed | Unreadable]:
        if not tasks:
            return
        with remembered() as interrupts:
            ray = connect(chosen.address, forward_logs=chosen.forward_logs)
            run = _begun(ray, tasks, recipe, chosen)
            try:
                for news in run.news():
                    interrupts.check()
                    run.meters.add(news)
                    yield news
            finally:
                run.end()

    return analyst


def _begun(ray: Any, tasks: Sequence[Task], recipe: Recipe, options: JobOptions) -> _Run:
    """A run on a cluster whose nodes said that they can do it, with its encoders."""
    _check_room(ray, options)
    disks = Disks.of(path for path in map(_place, tasks) if not is_url(path))
    recipe = recipe.with_threads(options.threads)
    n, share = wanted(ray, recipe, options)
    asked = of_workers(recipe, shares=n > 0, shares_faces=n > 0 and options.shares_faces)
    check_nodes(ray, asked, _sample(tasks))
    pool = started(ray, recipe, options, n, share) if n else None
    faces = pool is not None and pool.knows_faces
    its_workers = of_workers(recipe, shares=pool is not None, shares_faces=faces)
    try:
        return _Run(ray, tasks, its_workers, options, disks, pool)
    except BaseException:  # such as Ctrl-C
        if pool is not None:
            pool.end()
        raise


def _place(task: Task) -> str:
    return os.fsdecode(task.paths[0])


def _check_room(ray: Any, options: JobOptions) -> None:
    """Raise `VidsearchError` where this machine, if it is the cluster, has not a worker's cores.

    Other clusters may start larger nodes.
    """
    cores = ray.cluster_resources().get("CPU", 0.0)
    if options.address == "local" and options.cpus_per_worker > cores:
        raise VidsearchError(
            f"a worker wants {options.cpus_per_worker:g} cores, and this machine has {cores:g}:"
            " take fewer with --cpus-per-worker"
        )


def _sample(tasks: Sequence[Task]) -> list[str]:
    """Some files of this machine, first of all the largest: every node must see them."""
    there = [task for task in tasks if task.again is None or not task.again.pictures]
    paths = [_place(task) for task in sorted(there, key=lambda task: -task.size)]
    return [path for path in paths if not is_url(path)][:SAMPLE]


@dataclass
class _Running:
    """A file or piece in work; `process` is where, once it is known."""

    work: Work
    process: Taken | None = None
    taken_s: float = 0.0
    begun_s: float | None = None  # None while models are loaded
    moved_s: float = 0.0
    stopped: str = ""  # why the driver ended it

    def took(self, process: Taken) -> None:
        if self.process is None:
            self.process, self.taken_s = process, time.monotonic()

    def began(self) -> None:
        self.begun_s = self.moved_s = time.monotonic()

    def overdue(self, stall_s: float) -> str:
        """Why it must be ended, "" if it need not."""
        now = time.monotonic()
        if self.stopped:
            return ""
        if self.work.is_moot:
            return "its video does without it"
        if self.process is None:
            return ""  # it waits for a worker
        if self.begun_s is None:
            late = now - self.taken_s > max(stall_s, LOADING_S)
            return f"had not loaded its models after {LOADING_S / 60:.0f} minutes" if late else ""
        if now - self.moved_s > stall_s:
            return f"made no progress for {stall_s:.0f} s"
        # Also of a piece, for who takes it may have to do all that follows.
        most_s = ceiling_s(self.work.task.size)
        return f"took more than {most_s / 3600:.1f} hours" if now - self.begun_s > most_s else ""


@dataclass
class _Run:
    """One job: what waits, what is in work, and what became of it."""

    ray: Any
    tasks: Sequence[Task]
    recipe: Recipe
    options: JobOptions
    disks: Disks
    pool: EncoderPool | None = None
    running: dict[Any, _Running] = field(default_factory=dict)
    flow: Flow = field(default_factory=Flow)
    meters: Meters = field(default_factory=Meters)
    load_s: float = 0.0
    aside: list[Work] = field(default_factory=list)  # what no node that is there can do
    _aside_s: float | None = None  # since when there is nothing else
    _has_begun: bool = False

    def __post_init__(self) -> None:
        piece_s = 60.0 * self.options.piece_minutes
        self.plan = Plan(self.tasks, self.recipe, piece_s, self.options.tries)
        cpus = self.options.cpus_per_worker
        self.nodes = Nodes(
            self.ray,
            cpus,
            lambda node, path: ask_node(self.ray, node, self.recipe, [path] if path else []),
            lambda unfit: self.disks.instead(unfit.path, unfit.under),
        )
        self._deaths = Deaths(self.ray)
        memory = self.options.memory_gb
        self._order = Order(
            self.recipe,
            Code.here(),
            self.options.cpus_per_worker,
            None if memory is None else int(memory * 1e9),
            self.pool.shared if self.pool is not None else None,
            piece_s,
        )
        # A death is judged here, so Ray must not try again by itself.
        self._remote = self.ray.remote(
            num_cpus=self.options.cpus_per_worker,
            max_retries=0,
            num_returns="streaming",
            _generator_backpressure_num_objects=UNTAKEN,
        )(analysed)

    def news(self) -> Iterator[Progress | Load | Analyzed | Unreadable]:
        while self.plan or self.running or self.aside:
            self._submit()
            if self.running:
                for stream in self._ready():
                    yield from self._next(stream)
                self._end_what_hangs()
            else:  # the store is full, or no node can do what is left
                time.sleep(WAIT_S)
            if time.monotonic() - self.load_s > LOAD_EVERY_S:
                self.load_s = time.monotonic()
                self._look_at_nodes()
                yield self._load()
            self._end_where_nobody_can()

    def _ready(self) -> list[Any]:
        """The files of which there is news: at once, since a worker may wait for it to be taken."""
        files = list(self.running)
        ready, _ = self.ray.wait(files, timeout=WAIT_S, fetch_local=False)
        if ready:
            ready, _ = self.ray.wait(
                files, num_returns=len(files), timeout=GATHER_S, fetch_local=False
            )
        return list(ready)

    def end(self) -> None:
        """Leave no worker at work, and no encoder."""
        for stream in self.running:
            self.ray.cancel(stream, force=True)
        self.running = {}
        if self.pool is not None:
            self.pool.end()
            self.meters.encoded(self.pool.total)
            log.info("shared encoders: %r", self.pool.total)
            self.pool = None

    def _load(self) -> Load:
        """How busy the cluster is; its shared encoders are looked at."""
        at_work = sum(each.process is not None for each in self.running.values())
        if self.pool is None:
            return Load(at_work)
        served = self.pool.look()
        self.meters.encoded(self.pool.total)
        self.meters.encoders_busy(served.busy)
        self.pool.grow()
        self._order = replace(self._order, shared=self.pool.shared)
        return Load(at_work, served.busy if self.pool.on_gpus else None)

    def _submit(self) -> None:
        """Hand out what is next while there is room."""
        have = self.ray.cluster_resources()
        workers = have.get("CPU", 1.0) / self.options.cpus_per_worker
        store_bytes = have.get("object_store_memory", float("inf"))
        while self.plan:
            if not self.nodes.have_one_for(self.plan.next.place):
                self.aside.append(self.plan.take())
            elif self.flow.has_room(
                (each.work.size for each in self.running.values()),
                self.plan.next.size,
                workers=workers,
                store_bytes=store_bytes,
            ):
                self._hand_out(self.plan.take())
            else:
                return

    def _hand_out(self, work: Work) -> None:
        remote = self._remote.options(
            name=f"index {work.name}",  # what Ray's logs and dashboard show
            **self._where(work.attempts),
            **self.nodes.options_for(work.place),
        )
        stream = remote.remote(work.task, self._order, work.piece, work.may_split)
        self.running[stream] = _Running(work)

    def _look_at_nodes(self) -> None:
        """Use those that can do by now what is left, and wait for no others."""
        self.nodes.look()
        waits = [stream for stream, each in self.running.items() if each.process is None]
        for stream in waits:
            if not self.nodes.have_one_for(self.running[stream].work.place):
                self.ray.cancel(stream, force=True)
                self.aside.append(self.running.pop(stream).work)
        aside, self.aside = self.aside, []
        for work in aside:
            if self.nodes.have_one_for(work.place):
                self.plan.again(work)
            elif not work.is_moot:
                self.aside.append(work)

    def _end_where_nobody_can(self) -> None:
        """Raise `VidsearchError` if nothing is left but what no node does, and none comes."""
        is_at_work = any(each.process for each in self.running.values())
        reason = "" if is_at_work else self._why_nobody_can()
        if not reason:
            self._aside_s = None
            return
        patience_s = self._patience_s()
        if self._aside_s is None:
            self._aside_s = time.monotonic()
            if patience_s:
                log.warning("%s. Nodes are waited for, %.0f s at most", reason, patience_s)
        if time.monotonic() - self._aside_s >= patience_s:
            self.end()
            raise VidsearchError(f"{reason}. What was stored is kept; run the command again.")

    def _why_nobody_can(self) -> str:
        """Why no node that is there can do what is left, "" if one can."""
        if not self.nodes.are_there:
            return (
                f"no node of the cluster has the {self.options.cpus_per_worker:g} cores that a"
                " worker wants: add nodes, or take fewer with --cpus-per-worker"
            )
        if self.running or self.plan or not self.aside:
            return ""
        first, n = self.aside[0], len({work.task.video_id for work in self.aside})
        files = "1 file is" if n == 1 else f"{n} files are"
        return (
            f"{files} left that no node of the cluster can do, first of all {first.name}:"
            f" {self.nodes.reasons(first.place)}"
        )

    def _patience_s(self) -> float:
        """How long nodes are waited for: those that are to start a job may have to be rented."""
        if self._has_begun:
            return 0.0 if self.options.address == "local" else self.options.stall_s
        return 0.0 if self.nodes.are_there else NODES_S

    def _where(self, attempts: Attempts) -> dict[str, Any]:
        """Another try, elsewhere; the last one of a file under suspicion, alone on its node."""
        if not attempts.by_file and not attempts.kills:
            return {}
        if not attempts.is_suspected:
            return {"scheduling_strategy": "SPREAD"}
        nodes = [node["Resources"].get("CPU", 0.0) for node in self.ray.nodes() if node["Alive"]]
        cores = min((n for n in nodes if n >= self.options.cpus_per_worker), default=0.0)
        return {"num_cpus": max(cores, self.options.cpus_per_worker)}

    def _next(self, stream: Any) -> Iterator[Progress | Analyzed | Unreadable]:
        """The next piece of news of a file."""
        file = self.running[stream]
        try:
            news = self.ray.get(next(stream))
        except StopIteration:
            yield from self._died(stream, VidsearchError("its worker ended without a result"))
        except (self.ray.exceptions.OutOfDiskError, self.ray.exceptions.ObjectStoreFullError):
            self._found_full(stream)
        except self.ray.exceptions.RayTaskError as error:
            self.running.pop(stream)
            self.end()
            raise _cause(error, file.process) from None
        except self.ray.exceptions.RayError as error:
            yield from self._died(stream, error)
        else:
            if isinstance(news, Taken):
                file.took(news)
                self._deaths.stillborn = 0
            elif isinstance(news, Begun):
                self._began(file)
            elif isinstance(news, Unfit):
                self.running.pop(stream)
                yield from self._not_there(file.work, news)
            elif isinstance(news, InPieces):
                self.plan.split(file.work, news.pieces)
            elif isinstance(news, Progress):
                file.moved_s = time.monotonic()
                if not file.work.is_moot:
                    yield file.work.told(news)
            elif isinstance(news, Waiting):
                file.moved_s = time.monotonic()
            else:
                self.running.pop(stream)
                yield from self._done(file.work, news)

    def _began(self, file: _Running) -> None:
        """A worker has its models."""
        file.began()
        self._has_begun = True
        if file.process is not None:
            self.nodes.began(file.process.node)

    def _not_there(self, work: Work, unfit: Unfit) -> Iterator[Unreadable]:
        """A node cannot do it: another one may. Or the file was deleted meanwhile."""
        if work.is_moot:
            return
        is_local = self.options.address == "local"
        reason = unseen(unfit.path) if unfit.path else ""
        if reason and (is_local or self.disks.lost(unfit.path)):
            self.plan.drop(work)
            yield Unreadable(work.task, reason)
            return
        self.nodes.keep_out(unfit)
        log.info("%s: the node %s cannot do it; another one is asked", work.name, unfit.host)
        self.meters.retried()
        self.plan.again(work)

    def _done(self, work: Work, news: Result | PieceResult) -> Iterator[Analyzed | Unreadable]:
        """A result is there: that of a file, or of a piece, which may be the last one."""
        size = len(news.data)
        self.flow.learn(work.size, size)
        self.meters.received(size)
        if isinstance(news, Result):
            yield news.news()
        elif news.passed is None:
            self.plan.whole(work)
        elif video := self.plan.passed(work, news.passed, news.data, news.seconds):
            yield video

    def _found_full(self, stream: Any) -> None:
        """A result found no room, neither in the object store nor on the disk behind it."""
        work = self.running.pop(stream).work
        waited_s = self.flow.found_full()
        log.warning("%s: its node's object store is full; it is tried again", work.name)
        self.meters.retried()
        self.plan.again(work)
        if waited_s > self.options.stall_s:
            self.end()
            raise VidsearchError(
                f"for {waited_s:.0f} s no result has found room on the cluster: Ray's object store"
                " is full, and so is the disk that it spills to. See what fills them with `ray"
                " memory` and `df`, or start Ray with a larger --object-store-memory. What was"
                " stored is kept; run the command again."
            )

    def _died(self, stream: Any, error: Exception) -> Iterator[Unreadable]:
        """A worker is gone: its file is tried again, or put into quarantine."""
        file = self.running.pop(stream)
        work = file.work
        if work.is_moot:
            return
        began = file.begun_s is not None
        death, reason = self._deaths.judged(file.process, began, file.stopped, error)
        if death is Death.START:
            self._never_began(file.process, reason)
        piece = None if work.piece is None else work.piece.number
        verdict = work.attempts.add(death, reason, piece)
        if verdict:
            log.warning("%s: %s", work.name, verdict)
            self.plan.drop(work)
            yield Unreadable(work.task, verdict)
        else:
            log.warning("%s: %s (%s); it is tried again", work.name, reason, death.value)
            self.meters.retried()
            self.plan.again(work)

    def _never_began(self, process: Taken | None, reason: str) -> None:
        """A worker ended before it had begun: its node's doing, or that of Ray on all of them."""
        if process is not None:
            self.nodes.did_not_begin(process.node, process.host, reason)
        elif self._deaths.none_starts():
            self.end()
            raise VidsearchError(
                f"the cluster starts no workers: the last {self._deaths.stillborn} ended before"
                f" they had taken any file, as {reason}. `ray logs` says more. What was stored is"
                " kept; run the command again."
            )

    def _end_what_hangs(self) -> None:
        found = {s: f.overdue(self.options.stall_s) for s, f in self.running.items()}
        late = [stream for stream, reason in found.items() if reason]
        if not late:
            return
        # Of whom news waits we have not listened to: we were stopped, or wrote for long.
        told, _ = self.ray.wait(late, num_returns=len(late), timeout=0, fetch_local=False)
        for stream in late:
            file = self.running[stream]
            if stream not in told or file.work.is_moot:
                file.stopped = found[stream]
                self.ray.cancel(stream, force=True)


def _cause(error: Any, process: Taken | None) -> Exception:
    """What a worker raised: ours as it is, anything else as Ray tells it."""
    is_ours = isinstance(error.cause, (VidsearchError, OSError))
    if is_ours or process is not None:
        found: Exception = error.cause if is_ours else error
        return found
    log.debug("a worker cannot read its order", exc_info=error)
    return VidsearchError(
        "a worker could not even read what it is to do, as where a node has another version of"
        f" vidsearch ({error.cause!r}): install the same everywhere. What was stored is kept; run"
        " the command again."
    )
