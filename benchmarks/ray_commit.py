"""How results get into the archive: one committer, fragments with one commit, or many writers.

    pip install 'pylance==13.0.0'      # the Lance of the installed lancedb; for this benchmark only
    python -m benchmarks.ray_commit [--videos 64] [--minutes 10] [--s3] [--write]

A clip (moves over the example photos, with faces) is analysed once; its shots, again and again,
make a video of `--minutes`. `--videos` of them are published into a new archive by a Ray cluster of
this machine with two workers, which have them "analysed" at once, so that only the writing is
measured:

- committer: results travel to the driver, pickled, which writes all rows (`vidsearch.store`), in
  groups of 1, 8 (as a job does) and 32;
- fragments: workers write Lance files of the rows and hand on their names, the driver commits them
  and writes the `videos` rows, in the same groups;
- writers: four workers append and publish each video by themselves; one whose commit is refused,
  since another was faster, tries again.

Of each: videos and megabytes (as they travel) a second, the driver's processor seconds for an hour
of video, those of the workers, refused commits, and the files that readers then have to open;
ratios against the committer in groups of 8. Each way's archive is counted and verified afterwards.
With `--s3` the archive lies on an S3 server on this machine (moto's, in a process of its own).
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / "tests")]

from benchmarks import _report  # noqa: E402
from benchmarks.index_speed import load_pictures, make_video  # noqa: E402
from benchmarks.stage_times import repeated  # noqa: E402
from vidsearch import Archive  # noqa: E402
from vidsearch.analyze import analyze  # noqa: E402
from vidsearch.records import AnalyzedVideo, Shot  # noqa: E402
from vidsearch.schema import CONTENT, content_rows, schemas, video_rows  # noqa: E402
from vidsearch.shots import DEFAULT_DETECTOR  # noqa: E402
from vidsearch.stamp import read_stamp  # noqa: E402
from vidsearch.store import Store  # noqa: E402
from vidsearch.tables import Tables, storage_options  # noqa: E402
from vidsearch.tasks import Recipe, Task  # noqa: E402
from vidsearch.urls import Place, place  # noqa: E402

CLIP_S = 30.0
GROUP = 8
AHEAD = 4  # videos in work: two workers, and two that wait
WRITERS = 4
TRIES = 50


@dataclass
class Spent:
    """What one way took: seconds, processor seconds here and in workers, commits refused."""

    seconds: float = 0.0
    driver_s: float = 0.0
    workers_s: float = 0.0
    refused: int = 0
    commits: int = 0


@dataclass
class Bench:
    """An archive to write to, and the videos."""

    folder: Place
    base: str
    numbers: Sequence[int]
    spent: Spent = field(default_factory=Spent)


# --- in the workers ------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _base(path: str) -> AnalyzedVideo:
    found: AnalyzedVideo = pickle.loads(Path(path).read_bytes())
    return found


def video(base: str, number: int) -> AnalyzedVideo:
    """The same rows under another id and path."""
    found = _base(base)
    about = replace(
        found.video, video_id=f"video-{number:06}", paths=(f"/videos/{number:06}.mp4".encode(),)
    )
    return replace(found, video=about)


def timed(work: Callable[..., Any]) -> Callable[..., tuple[Any, float]]:
    """What `work` gives, and the processor seconds that this process took meanwhile."""

    def run(*arguments: Any) -> tuple[Any, float]:
        began = time.process_time()
        found = work(*arguments)
        return found, time.process_time() - began

    return run


def pickled(base: str, number: int) -> bytes:
    return pickle.dumps(video(base, number), protocol=pickle.HIGHEST_PROTOCOL)


def fragments(base: str, number: int, folder: str, generation: int) -> dict[str, Any]:
    """Write the rows as files that no version of a table names yet; their descriptions."""
    from lance.fragment import write_fragments

    where, found = place(folder), video(base, number)
    made: dict[str, Any] = {"video": replace(found.video, n_shots=len(found.shots))}
    for name, schema in _content(folder).items():
        rows = content_rows([(found, generation)], name, schema)
        written = write_fragments(
            pa.RecordBatchReader.from_batches(schema, rows),
            f"{where}/{name}.lance",
            schema=schema,
            storage_options=storage_options(where),
        )
        made[name] = [json.dumps(each.to_json()) for each in written]
    return made


def write(base: str, number: int, folder: str, generation: int) -> int:
    """Append the rows and publish them; how often another was faster."""
    where, found = place(folder), video(base, number)
    tables = Tables(where, schemas(read_stamp(where)))
    refused = 0
    for name, schema in _content(folder).items():
        refused += _again(
            lambda name=name, schema=schema: tables.append(
                name, content_rows([(found, generation)], name, schema)
            )
        )
    row = video_rows(
        [(replace(found.video, n_shots=len(found.shots)), generation)],
        schemas(read_stamp(where))["videos"],
    )
    merge = tables.open("videos").merge_insert("video_id").when_matched_update_all()
    return refused + _again(lambda: merge.when_not_matched_insert_all().execute(row))


def _again(commit: Callable[[], object]) -> int:
    """Commit, again and again if need be; how often it was refused."""
    for refused in range(TRIES):
        try:
            commit()
        except (OSError, RuntimeError, ValueError) as error:
            if "conflict" not in str(error).lower() and "retry" not in str(error).lower():
                raise
        else:
            return refused
    raise RuntimeError(f"refused {TRIES} times")


def _content(folder: str) -> dict[str, pa.Schema]:
    every = schemas(read_stamp(place(folder)))
    return {name: every[name] for name in CONTENT}


# --- the ways ------------------------------------------------------------------------------------


def results(bench: Bench, work: Callable[..., Any], more: Callable[[int], tuple[Any, ...]],
            at_once: int = AHEAD, cpus: float = 1.0) -> Iterator[Any]:  # fmt: skip
    """What workers make of each video, as it is ready; a few are in work at once."""
    import ray

    remote = ray.remote(num_cpus=cpus, max_retries=0)(timed(work))
    waiting, out = list(bench.numbers), []
    while waiting or out:
        while waiting and len(out) < at_once:
            number = waiting.pop(0)
            out.append(remote.remote(bench.base, number, *more(number)))
        ready, out = ray.wait(out, num_returns=1)
        found, seconds = ray.get(ready[0])
        bench.spent.workers_s += seconds
        yield found


def grouped(found: Iterator[Any], size: int) -> Iterator[list[Any]]:
    group: list[Any] = []
    for each in found:
        group.append(each)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def by_committer(bench: Bench, size: int) -> None:
    with Store.open(bench.folder) as store:
        for group in grouped(results(bench, pickled, lambda number: ()), size):
            store.publish_many([pickle.loads(each) for each in group])
            bench.spent.commits += 1
        store.optimize()


def by_fragments(bench: Bench, size: int) -> None:
    import lance

    first, options = time.time_ns(), storage_options(bench.folder)
    versions = {
        name: lance.dataset(f"{bench.folder}/{name}.lance", storage_options=options).version
        for name in CONTENT
    }
    with Store.open(bench.folder) as store:
        written = results(bench, fragments, lambda n: (str(bench.folder), first + n))
        for group in grouped(written, size):
            for name in CONTENT:
                files = [
                    lance.FragmentMetadata.from_json(text) for each in group for text in each[name]
                ]
                if files:
                    versions[name] = lance.LanceDataset.commit(
                        f"{bench.folder}/{name}.lance",
                        lance.LanceOperation.Append(files),
                        read_version=versions[name],
                        storage_options=options,
                    ).version
            rows = [each["video"] for each in group]
            store._put([(row, first + int(row.video_id[-6:])) for row in rows])
            bench.spent.commits += 1
            store._commits += 1
        store.optimize()


def by_writers(bench: Bench, size: int) -> None:
    first = time.time_ns()
    more = lambda n: (str(bench.folder), first + n)  # noqa: E731
    for refused in results(bench, write, more, WRITERS, 2 / WRITERS):
        bench.spent.refused += refused
        bench.spent.commits += 1
    with Store.open(bench.folder) as store:
        store.optimize()
        store._commits += 1  # those of the workers: the copies for searches are renewed


WAYS: tuple[tuple[str, int, Callable[[Bench, int], None]], ...] = (
    ("committer", GROUP, by_committer),
    ("committer", 1, by_committer),
    ("committer", 32, by_committer),
    ("fragments", GROUP, by_fragments),
    ("fragments", 32, by_fragments),
    ("writers", 1, by_writers),
)


def measured(way: Callable[[Bench, int], None], size: int, bench: Bench) -> Spent:
    began, cpu = time.perf_counter(), time.process_time()
    way(bench, size)
    bench.spent.seconds = time.perf_counter() - began
    bench.spent.driver_s = time.process_time() - cpu
    return bench.spent


def look(folder: Place, n_videos: int, base: AnalyzedVideo) -> tuple[int, int]:
    """How many files an archive's tables have, and what is wrong with it."""
    archive = Archive(str(folder))
    videos = archive.videos()
    wrong = [f"{len(videos)} videos of {n_videos}"] if len(videos) != n_videos else []
    wrong += [each.path for each in videos if each.n_shots != len(base.shots)]
    wrong += [fault.what for fault in archive.verify()]
    print(*wrong[:5], sep="\n", file=sys.stderr)
    with Store.open(folder, read_only=True) as store:
        tables = store._tables
        n_files = sum(
            tables.open(name).stats()["fragment_stats"]["num_fragments"]
            for name in ("videos", *CONTENT)
        )
    return n_files, len(wrong)


# --- the clip, the stores, the report ------------------------------------------------------------


def analysed(folder: Path, minutes: float) -> AnalyzedVideo:
    path = folder / "clip.mp4"
    make_video(path, load_pictures(None), CLIP_S)
    task = Task((os.fsencode(path),), "clip", path.stat().st_size, 0.0)
    found = analyze(task, Recipe("concept", "default", DEFAULT_DETECTOR))
    long = repeated(found, minutes * 60)
    # `repeated` leaves the times of the clip: of a real video each shot begins where one ends.
    seconds = found.video.duration_s
    n_frames, n_shots = found.video.n_frames, len(found.shots)
    shots = tuple(
        _later(shot, index // n_shots * seconds, index // n_shots * n_frames)
        for index, shot in enumerate(long.shots)
    )
    times = len(shots) // n_shots
    about = replace(long.video, duration_s=times * seconds, n_frames=times * n_frames)
    return AnalyzedVideo(about, shots)


def _later(shot: Shot, seconds: float, frames: int) -> Shot:
    """The same shot further on in a video, sharing no vector or picture, as none does in fact."""
    shot = pickle.loads(pickle.dumps(shot))
    keyframes = tuple(
        replace(
            each,
            time_s=each.time_s + seconds,
            frame=each.frame + frames,
            start_s=each.start_s + seconds,
            end_s=each.end_s + seconds,
        )
        for each in shot.keyframes
    )
    tracks = tuple(
        replace(
            each,
            start_s=each.start_s + seconds,
            end_s=each.end_s + seconds,
            times=tuple(time_s + seconds for time_s in each.times),
        )
        for each in shot.tracks
    )
    return replace(
        shot,
        start_s=shot.start_s + seconds,
        end_s=shot.end_s + seconds,
        start_frame=shot.start_frame + frames,
        end_frame=shot.end_frame + frames,
        keyframes=keyframes,
        tracks=tracks,
    )


@contextmanager
def s3_server() -> Iterator[None]:
    """moto's server in a process of its own; the environment points to it."""
    code = (
        "import sys\nfrom object_store import object_store\n"
        "with object_store() as store:\n"
        "    print(store.endpoint, flush=True)\n    sys.stdin.read()\n"
    )
    from object_store import environment

    path = os.pathsep.join([str(REPO / "tests"), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as server:
        assert server.stdout is not None
        os.environ.update(environment(server.stdout.readline().strip()))
        yield
        server.kill()


def rows(base: AnalyzedVideo, path: str, numbers: range, root: str) -> Iterator[dict[str, Any]]:
    size_mb = Path(path).stat().st_size / 1e6
    hours = len(numbers) * base.video.duration_s / 3600
    first: Spent | None = None
    ways = WAYS if not root.startswith("s3:") else [each for each in WAYS if each[1] in (1, GROUP)]
    for index, (_, _, way) in enumerate(ways):  # let everybody import what they need
        folder = place(f"{root}/warm{index}")
        with Archive(str(folder))._open.made():
            pass
        measured(way, 1, Bench(folder, path, range(WRITERS)))
    for index, (name, size, way) in enumerate(ways):
        folder = place(f"{root}/{index}")
        with Archive(str(folder))._open.made():
            pass
        spent = measured(way, size, Bench(folder, path, numbers))
        first = first or spent
        files, wrong = look(folder, len(numbers), base)
        yield {
            "where": "S3" if root.startswith("s3:") else "disk",
            "way": name,
            "group": size,
            "videos/s": len(numbers) / spent.seconds,
            "MB/s": len(numbers) * size_mb / spent.seconds,
            "x committer": first.seconds / spent.seconds,
            "driver core s an hour": spent.driver_s / hours,
            "committer's driver x": first.driver_s / spent.driver_s,
            "worker core s an hour": spent.workers_s / hours,
            "refused": spent.refused,
            "files": files,
            "wrong": wrong,
        }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args(arguments)
    import ray

    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        base = analysed(Path(temporary), asked.minutes)
        path = f"{temporary}/base.pickle"
        Path(path).write_bytes(pickle.dumps(base, protocol=pickle.HIGHEST_PROTOCOL))
        for root in [temporary, *(["s3://footage/run"] if asked.s3 else [])]:
            with s3_server() if root.startswith("s3:") else _nothing():
                ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
                for row in rows(base, path, range(asked.videos), root):
                    found.append(row)
                    print(row, flush=True)
                ray.shutdown()
        size_mb = Path(path).stat().st_size / 1e6
    notes = [
        f"{asked.videos} videos of {asked.minutes:.0f} minutes, {len(base.shots)} shots and"
        f" {size_mb:.1f} MB each as they travel; two cores for everything. An hour is of video.",
        "`x committer` is speed, `committer's driver x` how much less the driver computes, both"
        f" against the committer in groups of {GROUP} in the same run, on the same store.",
        "`refused`: commits of which another writer was faster, and that were made again; beside"
        " these Lance itself tries again what it can.",
        "`files`: of all tables, after `Store.optimize`. `wrong`: faults that counting and"
        " `vidsearch verify` found.",
    ]
    if asked.write:
        print(_report.write("ray_commit", "Ways into the archive", found, notes))


@contextmanager
def _nothing() -> Iterator[None]:
    yield


if __name__ == "__main__":
    from benchmarks.ray_commit import main as as_module  # whose functions workers can import

    as_module()
