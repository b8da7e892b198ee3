"""Build COCO-PFS on a Ray cluster: photos are searched and swapped as Ray tasks.

What a task does and in which order results are taken is `idclip.cocopfs`'s own, so the data are the
same as from one machine. Photos, faces and the output folder must stand under the same path on
every node: workers write their pictures, this process everything else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vidsearch.errors import VidsearchError
from workers.cluster import connect

CPUS_PER_TASK = 1
AHEAD = 2  # tasks for each core: results are taken in order, so some must wait for others

if TYPE_CHECKING:
    from idclip.cocopfs.build import Options, Tell
    from idclip.cocopfs.jobs import Runner


def cocopfs_job(
    coco: Path,
    faces: Path,
    out: Path,
    options: Options | None = None,
    *,
    address: str = "local",
    tell: Tell = lambda stage, done, total: None,
) -> dict[str, Any]:
    """`idclip.cocopfs.build.build_cocopfs` on the cluster at `address` (see `index_job`)."""
    from idclip.cocopfs.build import build_cocopfs

    return build_cocopfs(
        coco.resolve(), faces.resolve(), out.resolve(), options, run=on_ray(address), tell=tell
    )


def command(address: str) -> click.Group:
    """`build-cocopfs` with the options of `idclip build-cocopfs`, on the cluster at `address`."""
    from idclip.cli import Command
    from idclip.cli_cocopfs import build, build_cocopfs

    def on_cluster(coco: Path, faces: Path, out: Path, **options: Any) -> None:
        build(coco.resolve(), faces.resolve(), out.resolve(), on_ray(address), options)

    params = [param for param in build_cocopfs.params if param.name != "jobs"]
    name, about = build_cocopfs.name, build_cocopfs.help
    one = click.Command(name, params=params, callback=on_cluster, help=about)
    return Command(commands=[one], context_settings={"help_option_names": ["-h", "--help"]})


def on_ray(address: str) -> Runner:
    """The runner that calls a function as Ray tasks and yields the results in order."""

    def run(function: Callable[[Any], Any], tasks: Iterable[Any], /) -> Iterator[Any]:
        ray = connect(address)
        remote = ray.remote(num_cpus=CPUS_PER_TASK, max_retries=2)(function)
        room = max(1, AHEAD * int(ray.cluster_resources().get("CPU", 1)))
        waiting: deque[Any] = deque()
        try:
            for task in tasks:
                waiting.append(remote.remote(task))
                if len(waiting) >= room:
                    yield _result(ray, waiting.popleft())
            while waiting:
                yield _result(ray, waiting.popleft())
        finally:
            for reference in waiting:
                ray.cancel(reference)

    return run


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, (VidsearchError, OSError)):
            raise cause from None
        raise
    except ray.exceptions.WorkerCrashedError as error:
        raise VidsearchError(
            "a worker of the cluster died three times over one task (killed, or out of memory); "
            "run the same command again: it goes on where it stopped"
        ) from error
