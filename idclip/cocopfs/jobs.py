"""Running one function over many tasks, in this process or in several, results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from ..errors import VidsearchError

_AHEAD = 4  # tasks given out for each process: enough to keep it busy


class Runner(Protocol):
    """Calls a function of a module with each task and yields the results in the tasks' order.

    Function, tasks and results can be pickled. The same results must come from every runner.
    """

    def __call__(
        self, function: Callable[[Any], Any], tasks: Iterable[Any], /
    ) -> Iterator[Any]: ...


def runner(jobs: int) -> Runner:
    """The runner that uses so many processes of this machine; 1 is this process alone."""
    if jobs < 1:
        raise VidsearchError(f"--jobs {jobs}: at least one process is needed")
    return _here if jobs == 1 else _in_processes(jobs)


def _begin() -> None:
    """What a worker process does first: it computes on one core, and ends with its parent."""
    import multiprocessing
    import os
    import signal
    import threading

    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and ends the pool
    parent = multiprocessing.parent_process()

    def follow() -> None:
        # A worker of a parent that was killed would wait for its next task for ever.
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _here(function: Callable[[Any], Any], tasks: Iterable[Any], /) -> Iterator[Any]:
    return map(function, tasks)


def _in_processes(jobs: int) -> Runner:
    def run(function: Callable[[Any], Any], tasks: Iterable[Any], /) -> Iterator[Any]:
        import multiprocessing
        from concurrent.futures import Future, ProcessPoolExecutor
        from concurrent.futures.process import BrokenProcessPool

        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin)
        waiting: deque[Future[Any]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(function, task))
                if len(waiting) >= _AHEAD * jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise VidsearchError(
                "a worker process died (killed, or out of memory); run the same command again with "
                "fewer --jobs: it goes on where it stopped"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    return run
