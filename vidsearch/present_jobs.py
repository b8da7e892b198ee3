"""How runs of `index` are shown, to people and as JSON."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from vidsearch.present import counted, print_rows
from vidsearch.progress import clock

if TYPE_CHECKING:
    from vidsearch.records import Job


def job_as_json(job: Job) -> dict[str, Any]:
    """A run for programs; times are seconds since 1970."""
    failures = [{"path": path, "reason": reason} for path, reason in job.failures]
    return asdict(job) | {"failures": failures}


def print_jobs(jobs: Sequence[Job]) -> None:
    """A line a run."""
    rows = [
        (
            job.job_id,
            _when(job.started_at),
            job.state,
            f"{job.indexed} of {job.todo}",
            str(job.failed),
            clock(job.video_s),
            clock(spent_s(job)),
            job.by,
        )
        for job in jobs
    ]
    print_rows(("job", "began", "state", "videos", "failed", "video", "took", "by"), rows)


def print_job(job: Job) -> None:
    """All that is known of a run."""
    click.echo(f"job {job.job_id}: {job.state}{f', {job.error}' if job.error else ''}")
    click.echo(f"began    {_when(job.started_at)} by {job.by} (process {job.pid} on {job.host})")
    ended = _when(job.ended_at) if job.ended_at else f"last seen {_when(job.seen_at)}"
    click.echo(f"ended    {ended}, after {clock(spent_s(job))}")
    click.echo(f"paths    {job.paths[0] if job.paths else ''}")
    for path in job.paths[1:]:
        click.echo(f"         {path}")
    speed = f", {job.video_s / spent_s(job):.1f}x real time" if spent_s(job) else ""
    said = f"{job.indexed} of {counted(job.todo, 'video')}, {counted(job.shots, 'shot')}"
    click.echo(f"indexed  {said}, {clock(job.video_s)} of video{speed}")
    if job.partial:
        click.echo(f"partial  {counted(job.partial, 'video')}")
    for path, reason in job.failures:
        click.echo(f"failed   {path}: {reason}")
    if job.failures:
        click.echo("try them again with: vidsearch jobs retry-failed " + job.job_id)


def spent_s(job: Job) -> float:
    """How long a run has taken, in seconds, as far as it was seen."""
    return max((job.ended_at or job.seen_at) - job.started_at, 0.0)


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
