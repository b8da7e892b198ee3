"""Index on a Ray cluster: `analyze()` runs as Ray tasks, this process alone writes.

The analyst has the form of `vidsearch.analysts`, so that a job on a cluster stores the same rows as
a run on one machine. Files must be readable under the same path on every node.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from vidsearch.errors import ModelUnavailable, VidsearchError
from vidsearch.tasks import Analyst, Analyzed, Progress, Recipe, Task, Unreadable

if TYPE_CHECKING:
    from vidsearch.indexing import IndexReport, PathLike

CPUS_PER_TASK = 1
AHEAD = 2
"""Tasks submitted for each core of the cluster: enough to keep it busy, few enough that results
which wait to be written do not fill the object store."""


def index_job(
    archive: str | os.PathLike[str], paths: Sequence[PathLike], address: str = "local"
) -> IndexReport:
    """Index `paths` into the archive folder `archive` on the cluster at `address`.

    `address` is "local" (start Ray on this machine), "auto" (the cluster this machine belongs to)
    or `ray://HOST:PORT`.
    """
    from vidsearch.archive import Archive

    return Archive(archive).index(paths, analyst=on_ray(address))


def on_ray(address: str) -> Analyst:
    """The analyst that spreads files over the Ray cluster at `address` (see `index_job`)."""

    def analyst(
        tasks: Sequence[Task], recipe: Recipe
    ) -> Iterator[Progress | Analyzed | Unreadable]:
        ray = connect(address)
        shared = recipe.with_threads(recipe.threads or CPUS_PER_TASK)
        remote = ray.remote(num_cpus=CPUS_PER_TASK, max_retries=2)(_analyze)
        room = max(1, AHEAD * int(ray.cluster_resources().get("CPU", 1)))
        waiting = list(tasks)[::-1]
        running: dict[object, Task] = {}
        while waiting or running:
            while waiting and len(running) < room:
                task = waiting.pop()
                running[remote.remote(task, shared)] = task
            done, _ = ray.wait(list(running), num_returns=1)
            for reference in done:
                task = running.pop(reference)
                try:
                    yield ray.get(reference)
                except ray.exceptions.WorkerCrashedError:
                    reason = "its decoding crashed three workers; the file is probably damaged"
                    yield Unreadable(task, reason)

    return analyst


def _analyze(task: Task, recipe: Recipe) -> Analyzed | Unreadable:
    """The Ray task: one file."""
    from vidsearch.analysts import run_task

    return run_task(task, recipe, lambda progress: None)


def connect(address: str) -> Any:
    """Ray, connected to the cluster at `address`.

    Raises `ModelUnavailable` without the extra, and `VidsearchError` where no cluster answers.
    """
    try:
        import ray
    except ImportError:
        raise ModelUnavailable(
            'Ray is not installed; it comes with: pip install "vidsearch[ray]"'
        ) from None
    if not ray.is_initialized():
        try:
            ray.init(address, log_to_driver=False, include_dashboard=False)
        except ConnectionError as error:
            raise VidsearchError(f"no Ray cluster answers at {address!r}: {error}") from error
    return ray
