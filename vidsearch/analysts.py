"""Run `analyze()` over many files on this machine: in this process, or in several."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any, TypeVar

from vidsearch.analyze import Stopped, analyze, prepare
from vidsearch.describe import Models
from vidsearch.errors import UnreadableVideo, VidsearchError
from vidsearch.pieces import Passed, Piece, analyze_piece
from vidsearch.records import AnalyzedVideo
from vidsearch.reencode import reencode
from vidsearch.tasks import QUARANTINE, Analyst, Analyzed, Progress, Recipe, Task, Unreadable

T = TypeVar("T")
Report = Callable[[Progress], None]
# What no other file would be spared: models that do not load, a stopped run.
_ENDS_THE_RUN = (VidsearchError, Stopped, ImportError)
_ENGINES = ("onnxruntime", "torch")  # an error of theirs is one of a model, not of a file
POLL_S = 0.2  # how often the waiting process looks for progress
OUT_OF_MEMORY = "ran out of memory"
"""How the reason of a file begins for which the machine's memory did not suffice."""
_LESS_MEMORY = "take fewer --jobs, or give it more; the next run tries the file again"


def local(jobs: int) -> Analyst:
    """The analyst for one machine: `jobs` processes, or this one when `jobs` is 1."""
    return in_this_process if jobs == 1 else in_processes(jobs)


def run_task(
    task: Task, recipe: Recipe, report: Report, models: Models | None = None
) -> Analyzed | Unreadable:
    """Analyse one file; an unreadable one is news, not an exception.

    So is one that meets a fault of ours: it must not keep the files behind it from being indexed,
    run after run. What would fail for every file (`_ENDS_THE_RUN`, an inference engine) is raised,
    and so is `MemoryError`: what becomes of the file then is for those to say who know its process.
    """
    began = time.monotonic()
    models = models or prepare(recipe)  # what goes wrong here has nothing to do with this file
    found = _tried(task, lambda: _analyzed(task, recipe, report, models))
    if isinstance(found, Unreadable):
        return found
    return replace(found, seconds=time.monotonic() - began)


def _analyzed(task: Task, recipe: Recipe, report: Report, models: Models) -> Analyzed:
    if task.again is None:
        return Analyzed(task, analyze(task, recipe, report, models), 0.0)
    vectors = reencode(task, recipe, report, models)
    return Analyzed(task, AnalyzedVideo(task.again.video, ()), 0.0, vectors)


def run_piece(
    task: Task, recipe: Recipe, piece: Piece, report: Report, models: Models | None = None
) -> Passed | Unreadable:
    """Analyse one piece of a file, otherwise as `run_task`."""
    models = models or prepare(recipe)
    return _tried(task, lambda: analyze_piece(task, recipe, piece, report, models))


def _tried(task: Task, analysis: Callable[[], T]) -> T | Unreadable:
    """What an analysis of a file gives, or why there is nothing."""
    try:
        return analysis()
    except UnreadableVideo as error:
        return Unreadable(task, error.reason)
    except (*_ENDS_THE_RUN, MemoryError):
        raise
    except Exception as error:
        if type(error).__module__.split(".")[0] in _ENGINES:
            raise
        return Unreadable(task, _unexpected(error), traceback.format_exc())


def _unexpected(error: Exception) -> str:
    said = " ".join(str(error).split())
    return (
        f"unexpected {type(error).__name__}: {said or 'no message'}; this is a fault of vidsearch,"
        " please report it with what `vidsearch index -v` prints"
    )


def run_here(task: Task, recipe: Recipe, report: Report) -> Analyzed | Unreadable:
    """`run_task` on this machine: a file for which memory does not suffice costs itself alone.

    Models that do not fit into memory leave no room for any file, so that is raised.
    """
    models = prepare(recipe)
    try:
        return run_task(task, recipe, report, models)
    except MemoryError as error:  # what the analysis held is given back by now
        said = " ".join(str(error).split())
        return Unreadable(task, f"{OUT_OF_MEMORY}: {_LESS_MEMORY}{said and f' ({said})'}")


def in_this_process(
    tasks: Sequence[Task], recipe: Recipe
) -> Iterator[Progress | Analyzed | Unreadable]:
    """One file after the other, in a thread, so that progress can be told meanwhile."""
    news: queue.SimpleQueue[Progress] = queue.SimpleQueue()
    stop = threading.Event()

    def report(progress: Progress) -> None:
        if stop.is_set():
            raise Stopped
        news.put(progress)

    with ThreadPoolExecutor(1, "analyze") as pool:
        try:
            for task in tasks:
                future = pool.submit(run_here, task, recipe, report)
                yield from _told(news, [future])
                yield future.result()
        finally:
            stop.set()


def in_processes(jobs: int) -> Analyst:
    """`jobs` files at a time, each in a process of its own with its share of the cores."""

    def analyst(
        tasks: Sequence[Task], recipe: Recipe
    ) -> Iterator[Progress | Analyzed | Unreadable]:
        threads = recipe.threads or max(1, (os.cpu_count() or 1) // jobs)
        shared = recipe.with_threads(threads)
        crashed = yield from _pooled(tasks, shared, jobs)
        for task in crashed:  # alone, to find the one that kills its process
            if (yield from _pooled([task], shared, 1)):
                reason = f"{QUARANTINE}crashed the process twice; the file is probably damaged"
                yield Unreadable(task, reason)

    return analyst


def _pooled(
    tasks: Sequence[Task], recipe: Recipe, jobs: int
) -> Generator[Progress | Analyzed | Unreadable, None, list[Task]]:
    """Run `tasks` in a pool; return those that were unfinished when a process died."""
    context = multiprocessing.get_context("spawn")
    news: Any = context.Queue()
    pool = ProcessPoolExecutor(jobs, context, initializer=_start, initargs=(news, os.getpid()))
    waiting: dict[Future[Analyzed | Unreadable], Task] = {}
    unfinished: list[Task] = []
    try:
        waiting = {pool.submit(_run, task, recipe): task for task in tasks}
        while waiting:
            yield from _told(news, list(waiting))
            for future in [future for future in waiting if future.done()]:
                task = waiting.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    unfinished.append(task)
    finally:
        for process in list((getattr(pool, "_processes", None) or {}).values()) if waiting else []:
            process.terminate()
        pool.shutdown(cancel_futures=True)
    return unfinished


def _told(news: Any, futures: Sequence[Future[Analyzed | Unreadable]]) -> Iterator[Progress]:
    """Pass progress on until one of `futures` is done."""
    done = False
    while not done:
        done = bool(wait(futures, timeout=POLL_S, return_when=FIRST_COMPLETED).done)
        with contextlib.suppress(queue.Empty):
            while True:
                yield news.get_nowait()


_news: Any = None  # the queue of this worker process, set once when it starts


def _start(news: Any, parent: int) -> None:
    """Prepare a worker process: its queue, and an end when its parent is gone."""
    global _news
    _news = news

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _run(task: Task, recipe: Recipe) -> Analyzed | Unreadable:
    return run_here(task, recipe, _news.put)
