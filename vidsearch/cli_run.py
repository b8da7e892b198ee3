"""What all commands share that index files: by how many processes or on which cluster, and what is
told of it meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from vidsearch.command import SOME_FAILED, print_json, say
from vidsearch.log_lines import Printed, line, logged_as_lines

if TYPE_CHECKING:
    from vidsearch.indexing import Event, IndexReport
    from vidsearch.tasks import Analyst

OF_A_CLUSTER = (
    "cpus_per_worker",
    "memory_gb",
    "piece_minutes",
    "encoders",
    "num_gpus",
    "gpu_batch",
)
"""Options that mean nothing without --ray; they have the names of `workers.options.JobOptions`."""


@dataclass(frozen=True)
class Run:
    """How files are analysed, as the options say, and how it is told."""

    jobs: int
    ray_address: str | None
    cpus_per_worker: float | None
    memory_gb: float | None
    piece_minutes: float | None
    device: str
    faces_device: str
    encoders: int | None
    num_gpus: float | None
    gpu_batch: int | None
    quiet: bool
    verbose: bool
    as_json: bool

    @property
    def by(self) -> str:
        """What analyses, in the words of `vidsearch jobs`; "" for processes of this machine."""
        return f"Ray {self.ray_address}" if self.ray_address else ""

    @property
    def device_here(self) -> str:
        """The device of this machine: a cluster's encoders run elsewhere."""
        return "auto" if self.ray_address else self.device

    @property
    def faces_device_here(self) -> str:
        """The same for faces."""
        return "cpu" if self.ray_address else self.faces_device

    def analyst(self) -> Analyst | None:
        """The cluster that was asked for, or None."""
        given = {name: value for name in OF_A_CLUSTER if (value := getattr(self, name)) is not None}
        if self.ray_address is None:
            if given:
                option = f"--{next(iter(given)).replace('_', '-')}"
                raise click.UsageError(f"{option} is about a Ray cluster: say which with --ray")
            return None
        self._check_encoders()
        from workers.index_job import on_ray  # the one arrow upwards, and a lazy one
        from workers.options import JobOptions

        given |= {"device": self.device, "faces_device": self.faces_device}
        given |= {"forward_logs": not self.as_json}  # they are no JSON
        return on_ray(JobOptions(self.ray_address, **given))

    def _check_encoders(self) -> None:
        """Raise `click.UsageError` for options of shared encoders where none is to be shared."""
        none = "--encoders 0" if self.encoders == 0 else ""
        if self.num_gpus == 0 and not self.encoders:
            none = none or "--num-gpus 0"
        about = "--num-gpus" if self.num_gpus else "--gpu-batch" if self.gpu_batch else ""
        if none and about:
            raise click.UsageError(
                f"{none} shares no encoder, and {about} is about shared ones: leave one of them out"
            )

    def say(self, sentence: str) -> None:
        """Tell whoever reads stderr something that is no result."""
        say(line("note", message=sentence) if self.as_json else sentence)

    def logged(self) -> AbstractContextManager[None]:
        """As long as this lasts warnings are told as the progress is."""
        return logged_as_lines(say, verbose=self.verbose) if self.as_json else nullcontext()

    def told(self, events: Iterator[Event]) -> int:
        """Run `events` to their end, telling of them as was asked; the exit status."""
        from vidsearch.present import report_as_json

        report = self.shown(events)
        if self.as_json:
            print_json(report_as_json(report))
        return SOME_FAILED if report.failed else 0

    def shown(self, events: Iterator[Event]) -> IndexReport:
        """Run `events` to their end, telling of what happens as was asked."""
        from vidsearch.progress import show
        from vidsearch.progress_lines import tell_lines

        if self.as_json:
            with redirect_stdout(Printed(say)):
                return tell_lines(events, say, quiet=self.quiet)
        if self.verbose:  # the traceback of what should not have happened
            logging.basicConfig(format="%(message)s")
            logging.getLogger("vidsearch").setLevel(logging.DEBUG)
        return show(events, quiet=self.quiet, verbose=self.verbose)


_OPTIONS = (
    click.option(
        "-j",
        "--jobs",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Files analysed at the same time, each in a process of its own (without --ray).",
    ),
    click.option(
        "--ray",
        "ray_address",
        metavar="ADDRESS",
        help='Analyse on a Ray cluster: "local", "auto" or its address.',
    ),
    click.option(
        "--cpus-per-worker",
        type=click.FloatRange(0, min_open=True),
        metavar="N",
        help="Cores of the cluster for each file in work (1).",
    ),
    click.option(
        "--memory-gb",
        type=click.FloatRange(0, min_open=True),
        metavar="N",
        help="Memory that a file may take on the cluster (its worker's share of the node).",
    ),
    click.option(
        "--piece-minutes",
        type=click.FloatRange(0),
        metavar="N",
        help="Length of the pieces in which several workers of the cluster analyse a long video"
        " (10); 0: one worker each.",
    ),
    click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="DEVICE",
        help="Where pictures are encoded: cpu, cuda, cuda:NUMBER, mps, or auto: on a GPU where the"
        " encoder gains by it.",
    ),
    click.option(
        "--faces-device",
        default="auto",
        show_default=True,
        metavar="DEVICE",
        help="Where faces are found and known: cpu, cuda, cuda:NUMBER, encoder (where that is), or"
        " auto: with the encoder if that is on a GPU that onnxruntime can use, else cpu. A cluster"
        " finds them on processors, and knows them on GPUs only with encoders that it shares.",
    ),
    click.option(
        "--num-gpus",
        type=click.FloatRange(0),
        metavar="N",
        help="Of the cluster: GPUs of each encoder that its workers share, as 0.5 (1 where there"
        " are GPUs); 0: every worker encodes by itself.",
    ),
    click.option(
        "--encoders",
        type=click.IntRange(0),
        metavar="N",
        help="Of the cluster: encoders that its workers share (as many as its GPUs have room for).",
    ),
    click.option(
        "--gpu-batch",
        type=click.IntRange(1),
        metavar="N",
        help="Of the cluster: pictures, or faces, that a shared encoder takes at once, whichever"
        " videos they are of (64).",
    ),
    click.option("-q", "--quiet", is_flag=True, help="No progress, only failures."),
    click.option("-v", "--verbose", is_flag=True, help="One line for each video."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
)


def run_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options of a `Run`, which it gets as `run`."""

    @wraps(command)
    def with_run(**given: Any) -> int:
        run = Run(**{field.name: given.pop(field.name) for field in fields(Run)})
        source = click.get_current_context().get_parameter_source("jobs")
        if run.ray_address is not None and source is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                "-j is about processes of this machine: with --ray there are as many workers as the"
                " cluster has cores for, each with --cpus-per-worker"
            )
        with run.logged():
            return command(run=run, **given)

    decorated: Callable[..., int] = with_run
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
