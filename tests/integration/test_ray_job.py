"""A job on Ray stores the same rows as a run on one machine, and tells what it does."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from shot_videos import shots_video
from stored_rows import NEARLY, assert_same_rows, rows_of
from videos import encode, loop

from vidsearch import Archive
from vidsearch.cli import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is absent"),
]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    import ray

    ray.shutdown()  # what a test of another file may have left
    ray.init("local", num_cpus=2, object_store_memory=100_000_000, include_dashboard=False)
    yield ray
    ray.shutdown()


@pytest.fixture
def folder(tmp_path: Path, example_media: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    shutil.copy2(example_media / "white-house-poetry.mp4", folder)
    encode(folder / "numbers.mp4", n_frames=60)
    return folder


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


def test_ray_and_one_process_store_the_same_rows(ray: Any, folder: Path, tmp_path: Path) -> None:
    from workers import index_job

    (folder / "empty.mp4").write_bytes(b"")
    here, there = Archive(tmp_path / "here"), Archive(tmp_path / "there")
    here.index([folder])
    report = index_job(there.path, [folder], "auto")
    assert [bad.path for bad in report.failed] == [str(folder / "empty.mp4")]
    assert_same_rows(there.path, here.path)
    assert there.verify() == []
    again = index_job(there.path, [folder], "auto")
    assert (again.indexed, again.planned.unchanged) == ((), 2)


def test_an_idclip_encoder_gives_the_same_rows_on_ray(
    ray: Any, folder: Path, tmp_path: Path
) -> None:
    from workers import on_ray

    pytest.importorskip("torch")
    here, there = (Archive(tmp_path / n, encoder="idclip:compact") for n in ("here", "there"))
    here.index([folder / "numbers.mp4"])
    there.index([folder / "numbers.mp4"], analyst=on_ray("auto"))
    assert_same_rows(there.path, here.path)


def test_a_file_that_is_deleted_before_its_turn_has_failed_and_no_node_is_to_blame(
    ray: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from vidsearch.indexing import Tally
    from workers import on_ray

    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(4):
        encode(folder / f"v{number}.mp4", n_frames=20 + number)
    last = folder / "v0.mp4"  # the smallest: every node is asked for three others
    events = Archive(tmp_path / "archive").indexing([folder], analyst=on_ray("auto"))
    assert next(events).todo == 4  # type: ignore[union-attr]
    last.unlink()
    report = Tally.of(events).report()
    assert [(each.path, each.reason) for each in report.failed] == [(str(last), "does not exist")]
    assert len(report.indexed) == 3
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


@pytest.mark.parametrize("what", ["the last file", "the folder"])
def test_a_folder_that_is_emptied_or_moved_away_fails_its_files_and_the_job_goes_on(
    ray: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    from vidsearch.indexing import Tally
    from workers import JobOptions, on_ray

    for number in range(4):
        folder = tmp_path / "videos" / ("day2" if number else "day1")
        folder.mkdir(parents=True, exist_ok=True)
        encode(folder / f"v{number}.mp4", n_frames=20 + number)
    last = tmp_path / "videos" / "day1" / "v0.mp4"
    by = on_ray(JobOptions("auto", stall_s=1.0))
    events = Archive(tmp_path / "archive").indexing([tmp_path / "videos"], analyst=by)
    assert next(events).todo == 4  # type: ignore[union-attr]
    reported = []
    for event in events:
        reported.append(event)
        if last.exists():  # the job has begun
            last.rename(tmp_path / "elsewhere.mp4")
            if what == "the folder":
                last.parent.rmdir()
    report = Tally.of(iter(reported)).report()
    assert [(each.path, each.reason) for each in report.failed] == [(str(last), "does not exist")]
    assert len(report.indexed) == 3
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


def checkpoint(folder: Path) -> Path:
    """An Id-CLIP in a folder of its own whose head was moved, so that its vectors are its own."""
    import torch

    from idclip.checkpoints import save
    from idclip.model import IdCLIP

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = IdCLIP("compact", face_dim=256, tokens=2, text_prompts=1).eval()
    model.unlock_head()
    with torch.no_grad():
        for weights in model.head.parameters():
            weights += 0.3 * weights.abs().mean() * torch.randn_like(weights)
    save(model, folder)
    return folder


def test_a_checkpoint_by_its_path_gives_the_same_rows_on_ray(
    ray: Any, folder: Path, tmp_path: Path
) -> None:
    from workers import on_ray

    pytest.importorskip("torch")
    encoder = f"idclip:{checkpoint(tmp_path / 'mine')}"
    here, there = (Archive(tmp_path / n, encoder=encoder) for n in ("here", "there"))
    here.index([folder])
    there.index([folder], analyst=on_ray("auto"))
    assert_same_rows(there.path, here.path)
    assert encoder in (tmp_path / "there" / "archive.json").read_text()
    # And they are the checkpoint's vectors, not those of what it stands on.
    Archive(tmp_path / "compact", encoder="idclip:compact").index([folder])
    ours, others = (
        np.array([row["vector"] for row in rows_of(tmp_path / name)["keyframes"]])
        for name in ("there", "compact")
    )
    assert np.abs(ours - others).max(axis=1).min() > 10 * NEARLY


def metrics(ray: Any) -> dict[str, dict[str, float]]:
    """What the Prometheus endpoints of all nodes show, by name, of each process that counted."""
    found: dict[str, dict[str, float]] = {}
    shown = re.compile(r'^ray_(vidsearch_\w+)\{.*WorkerId="(\w+)".*\} (\S+)$', re.MULTILINE)
    for node in ray.nodes():
        url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        text = urllib.request.urlopen(url, timeout=10).read().decode()
        for name, process, value in shown.findall(text):
            assert name not in found.setdefault(process, {}), f"{name} is shown twice"
            found[process][name] = float(value)
    return found


def test_the_prometheus_endpoint_of_ray_shows_what_a_job_did(
    ray: Any, folder: Path, tmp_path: Path
) -> None:
    (folder / "white-house-poetry.mp4").unlink()
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_bytes(b"no video")
    # A driver of its own, whose counts are nobody else's: those of jobs before, of this process,
    # come some seconds late. It hands over its own as it ends.
    before = {ray.get_runtime_context().get_worker_id(), *metrics(ray)}
    address = ray.get_runtime_context().gcs_address
    archive = tmp_path / "archive"
    run = command("-m", "vidsearch", "index", folder, "--archive", archive, "--ray", address)
    assert run.returncode == 3, run.stderr
    (video,) = (each for each in Archive(archive).videos() if each.n_shots)
    wanted = {
        "vidsearch_videos_total": 1.0,
        "vidsearch_failures_total": 2.0,
        "vidsearch_video_seconds_total": video.duration_s,
        "vidsearch_video_bytes_total": float((folder / "numbers.mp4").stat().st_size),
    }
    deadline = time.monotonic() + 30
    while not (ours := metrics(ray).keys() - before) and time.monotonic() < deadline:
        time.sleep(0.5)
    (process,) = ours
    shown = metrics(ray)[process]
    assert {name: shown.get(name) for name in wanted} == pytest.approx(wanted)
    assert shown["vidsearch_result_bytes_total"] > 0


def test_the_commands_index_on_ray_and_tell_it(ray: Any, folder: Path, tmp_path: Path) -> None:
    (folder / "white-house-poetry.mp4").unlink()
    (folder / "text.mp4").write_bytes(b"no video")
    archive = tmp_path / "archive"
    ours = ("-m", "vidsearch", "index", folder, "--archive", archive, "--ray", "local", "--json")
    run = command(*ours, "--cpus-per-worker", "2", "--memory-gb", "2")
    assert run.returncode == 3, run.stderr
    told = json.loads(run.stdout)
    assert len(told["indexed"]) == 1
    assert f"{folder / 'text.mp4'}" in run.stdout
    there = ray.get_runtime_context().gcs_address
    run = command("-m", "workers", "index", folder, "--archive", archive, "--ray", there)
    assert run.returncode == 3, run.stderr
    assert "failed" in run.stderr
    assert str(folder / "text.mp4") in run.stderr


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1", "nonsense"])
def test_where_no_cluster_answers_it_is_said_at_once_and_nothing_is_made(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    # "auto" looks there first, and not for a cluster that somebody else has on this machine.
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    archive = tmp_path / "archive"
    run = command("-m", "vidsearch", "index", folder, "--archive", archive, "--ray", address)
    assert run.returncode == 2
    assert f"no Ray cluster answers at '{address}'" in run.stderr
    assert "ray start --head" in run.stderr
    assert "Traceback" not in run.stderr
    assert Archive(archive).videos() == []


def test_rays_client_is_refused_with_what_to_do_instead(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    address = ("--ray", "ray://127.0.0.1:10001")
    run = command("-m", "vidsearch", "index", folder, "--archive", archive, *address)
    assert run.returncode == 2
    assert "ray://127.0.0.1:10001 is Ray's client, which has no streaming tasks" in run.stderr
    assert "ray job submit" in run.stderr
    assert "Traceback" not in run.stderr


def test_more_cores_than_there_are_are_refused(ray: Any, folder: Path, tmp_path: Path) -> None:
    ours = ["index", str(folder), "--archive", str(tmp_path / "archive"), "--ray", "local"]
    run = CliRunner().invoke(main, [*ours, "--cpus-per-worker", "4096"])  # on the Ray that is here
    assert run.exit_code == 2
    assert "a worker wants 4096 cores" in run.stderr
    assert "take fewer with --cpus-per-worker" in run.stderr


def test_options_of_a_cluster_need_one(folder: Path, tmp_path: Path) -> None:
    run = command("-m", "vidsearch", "index", folder, "--cpus-per-worker", "2")
    assert run.returncode == 2
    assert "--cpus-per-worker is about a Ray cluster" in run.stderr


def test_a_long_video_in_pieces_gives_the_same_rows(
    ray: Any, tmp_path: Path, example_media: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from vidsearch.tasks import Progress
    from workers import JobOptions, on_ray

    folder = tmp_path / "videos"
    folder.mkdir()
    loop(example_media / "white-house-poetry.mp4", folder / "long.mp4", 45)
    shots_video(folder / "stream.ts", gop=25)
    encode(folder / "small.mp4", n_frames=60)
    here, there = Archive(tmp_path / "here"), Archive(tmp_path / "there")
    here.index([folder])
    told: list[Progress] = []
    on_cluster = on_ray(JobOptions("auto", piece_minutes=0.25))

    def watched(tasks, recipe):  # type: ignore[no-untyped-def]
        for news in on_cluster(tasks, recipe):
            if isinstance(news, Progress):
                told.append(news)
            yield news

    with caplog.at_level("INFO", logger="workers"):
        there.index([folder], analyst=watched)
    said = [record.getMessage() for record in caplog.records]
    assert [text.endswith("long.mp4: in 3 pieces") for text in said].count(True) == 1
    assert [text.endswith("stream.ts: in 3 pieces") for text in said].count(True) == 1
    assert_same_rows(there.path, here.path)
    assert there.verify() == []
    assert all(news.seconds <= news.duration_s for news in told if news.duration_s)
