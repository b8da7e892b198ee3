"""`index` brings an archive up to date: what is new, changed, moved, bad, or interrupted."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from videos import cut_off, encode

from vidsearch import Archive
from vidsearch.errors import ArchiveMismatch, VidsearchError
from vidsearch.indexing import Indexed, Planned
from vidsearch.tasks import Progress


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short videos of numbered frames, made once."""
    folder = tmp_path_factory.mktemp("originals")
    for name, seconds in (("a.mp4", 2), ("b.mkv", 3), ("c.mp4", 1)):
        encode(folder / name, n_frames=25 * seconds)
    return folder


@pytest.fixture
def videos(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals, tmp_path / "videos"))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


def rows(folder: Path) -> dict[str, list[tuple[float, ...]]]:
    """File name -> its shots, as they are stored."""
    archive = Archive(folder)
    return {
        Path(video.path).name: [
            (s.start_frame, s.end_frame, s.start_s, s.end_s) for s in archive.shots(video.video_id)
        ]
        for video in archive.videos()
        if video.status != "failed"
    }


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vidsearch", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,  # type: ignore[arg-type]
    )


def test_a_second_run_does_nothing(archive: Archive, videos: Path) -> None:
    first = archive.index([videos])
    assert (len(first.indexed), first.failed) == (3, ())
    second = Archive(archive.path).index([videos])
    assert second.indexed == ()
    assert (second.planned.todo, second.planned.unchanged) == (0, 3)


def test_shots_tile_each_video(archive: Archive, videos: Path) -> None:
    for video in archive.index([videos]).indexed:
        shots = archive.shots(video.video_id)
        assert shots[0].start_frame == 0
        assert shots[0].start_s == 0
        assert shots[-1].end_frame == video.n_frames
        assert shots[-1].end_s == pytest.approx(video.duration_s)
        for before, after in pairwise(shots):
            assert before.end_frame == after.start_frame
            assert before.end_s == after.start_s


def test_a_renamed_file_keeps_its_rows(archive: Archive, videos: Path) -> None:
    before = {video.video_id: video for video in archive.index([videos]).indexed}
    (videos / "a.mp4").rename(videos / "renamed.mp4")
    report = archive.index([videos])
    assert (report.planned.todo, report.planned.moved) == (0, 1)
    renamed = Archive(archive.path).video(str(videos / "renamed.mp4"))
    assert before[renamed.video_id].paths == (os.fsencode(videos / "a.mp4"),)
    assert renamed.paths == (os.fsencode(videos / "renamed.mp4"),)


def test_copies_share_rows_and_list_all_paths(archive: Archive, videos: Path) -> None:
    shutil.copy2(videos / "a.mp4", videos / "copy.mp4")
    report = archive.index([videos])
    assert len(report.indexed) == 3
    shared = archive.video(str(videos / "copy.mp4"))
    assert set(shared.paths) == {os.fsencode(videos / name) for name in ("a.mp4", "copy.mp4")}


def test_a_changed_file_is_indexed_again_and_its_old_rows_go(
    archive: Archive, videos: Path
) -> None:
    archive.index([videos])
    encode(videos / "a.mp4", n_frames=10)
    report = archive.index([videos])
    assert [Path(video.path).name for video in report.indexed] == ["a.mp4"]
    assert [v.n_frames for v in archive.videos() if Path(v.path).name == "a.mp4"] == [10]
    assert len(archive.videos()) == 3


def test_force_indexes_again(archive: Archive, videos: Path) -> None:
    archive.index([videos])
    assert len(archive.index([videos], force=True).indexed) == 3
    assert len(archive.videos()) == 3


def test_events_begin_with_the_plan_and_tell_progress(archive: Archive, videos: Path) -> None:
    events = list(archive.indexing([videos]))
    assert isinstance(events[0], Planned)
    assert any(isinstance(event, Progress) for event in events)
    assert sum(isinstance(event, Indexed) for event in events) == 3


def test_a_run_that_is_given_up_goes_on_later(archive: Archive, videos: Path) -> None:
    events = archive.indexing([videos])
    for event in events:
        if isinstance(event, Progress):
            break
    events.close()  # type: ignore[attr-defined]
    assert len(Archive(archive.path).index([videos]).failed) == 0
    assert len(rows(archive.path)) == 3


def test_several_processes_store_the_same_rows(
    archive: Archive, videos: Path, tmp_path: Path
) -> None:
    archive.index([videos])
    other = Archive(tmp_path / "other")
    other.index([videos], jobs=2)
    assert rows(other.path) == rows(archive.path)
    mine, theirs = archive._reader.rows(), other._reader.rows()
    order = np.argsort(mine.keyframe_vectors[:, 0]), np.argsort(theirs.keyframe_vectors[:, 0])
    np.testing.assert_allclose(
        mine.keyframe_vectors[order[0]], theirs.keyframe_vectors[order[1]], atol=1e-4
    )


def test_a_process_that_dies_costs_nothing(archive: Archive, videos: Path) -> None:
    killed = False
    for event in archive.indexing([videos], jobs=2):
        if isinstance(event, Progress) and not killed:
            multiprocessing.active_children()[0].kill()
            killed = True
    assert killed
    assert len(rows(archive.path)) == 3


def test_another_encoder_is_refused_with_the_command_that_mends_it(
    archive: Archive, videos: Path
) -> None:
    archive.index([videos / "c.mp4"])
    with pytest.raises(ArchiveMismatch, match="--encoder"):
        Archive(archive.path, encoder="onnx:elsewhere").index([videos])


def test_a_wrong_detector_option_is_told_before_any_work(archive: Archive, videos: Path) -> None:
    with pytest.raises(VidsearchError, match="no option 'treshold'"):
        archive.index([videos], detector="adaptive", detector_options={"treshold": 1.0})
    assert not archive.path.exists()


# --- bad input ----------------------------------------------------------------------------------


@pytest.fixture
def bad(videos: Path) -> dict[str, Path]:
    """A folder of everything that goes wrong, beside three good videos."""
    (videos / "empty.mp4").write_bytes(b"")
    (videos / "text.mp4").write_text("this is no video\n" * 40)
    (videos / "noise.mkv").write_bytes(random.Random(0).randbytes(50_000))
    encode(videos / "tail.mp4", n_frames=50)
    cut_off(videos / "tail.mp4")
    (videos / ".hidden.mp4").write_bytes(b"x")
    (videos / "notes.txt").write_text("skipped")
    names = ("empty.mp4", "text.mp4", "noise.mkv", "tail.mp4")
    return {name: videos / name for name in names}


def test_bad_files_are_named_and_recorded_and_the_run_goes_on(
    bad: dict[str, Path], videos: Path, tmp_path: Path
) -> None:
    absent = videos / "absent.mp4"
    done = run("index", videos, absent, "--archive", tmp_path / "archive")
    assert done.returncode == 3
    lines = done.stderr.splitlines()
    for path in [*bad.values(), absent]:
        told = [line for line in lines if str(path) in line]
        assert len(told) == 1, (path, done.stderr)
        assert len(told[0].split(str(path))[1]) > 5, "a reason is given"
    assert "skipped 1 hidden and 1 other" in done.stderr
    failed = {v.path for v in Archive(tmp_path / "archive").videos() if v.status == "failed"}
    assert failed == {str(path) for path in [*bad.values(), absent]}
    assert set(rows(tmp_path / "archive")) == {"a.mp4", "b.mkv", "c.mp4"}


def test_a_truncated_file_is_indexed_as_far_as_it_can_be_read(
    archive: Archive, tmp_path: Path
) -> None:
    video = encode(tmp_path / "front.mp4", n_frames=100, container={"movflags": "faststart"})
    cut_off(video)
    (indexed,) = archive.index([video]).indexed
    assert indexed.status == "partial"
    assert 0 < indexed.n_frames < 100
    assert "cut off" in indexed.error


def test_a_file_that_is_mended_is_no_longer_failed(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "late.mp4"
    assert len(archive.index([path]).failed) == 1
    encode(path, n_frames=25)
    assert archive.index([path]).failed == ()
    assert [video.status for video in archive.videos()] == ["indexed"]


@pytest.mark.parametrize("name", ['it\'s "so" .mp4', "line\nbreak.mp4", "🎬.mp4", b"\xff\xfe.mp4"])
def test_strange_names_are_indexed_and_listed(
    name: str | bytes, originals: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = os.fsencode(folder) + b"/" + os.fsencode(name)
    shutil.copy2(originals / "c.mp4", os.fsdecode(path))
    done = run("index", folder, "--archive", tmp_path / "archive", "--json")
    assert done.returncode == 0, done.stderr
    assert Archive(tmp_path / "archive").videos()[0].paths == (path,)
    listed = run("videos", "--json", "--archive", tmp_path / "archive")
    assert len(json.loads(listed.stdout)) == 1


# --- killed ---------------------------------------------------------------------------------------


KILLS = 20
# The product publishes eight small videos at once; in twos there is more to be cut short.
INDEX_IN_TWOS = """
from vidsearch import cli, indexing
indexing.GROUP_VIDEOS = 2
cli.main()
"""


@pytest.fixture(scope="module")
def ten_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ten")
    for number in range(10):
        encode(folder / f"{number}.mp4", n_frames=12 + number)
    return folder


def assert_whole(folder: Path, expected: dict[str, list[tuple[float, ...]]]) -> int:
    """The archive opens and holds whole videos, each once; how many there are."""
    archive = Archive(folder)
    found = rows(folder)
    assert found == {name: expected[name] for name in found}, "a half video"
    videos = archive.videos()
    assert len(videos) == len(found), "no doubles, and nothing that failed"
    in_rows = archive._reader.rows()
    assert sorted(v.video_id for v in in_rows.videos) == sorted(v.video_id for v in videos)
    assert len(in_rows.shot_index) == sum(map(len, found.values()))
    return len(found)


def test_killed_at_20_random_moments_the_archive_is_whole_and_the_next_run_finishes(
    ten_videos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    command = [sys.executable, "-c", INDEX_IN_TWOS, "index", str(ten_videos), "--archive"]
    began = time.monotonic()
    subprocess.run([*command, str(folder)], check=True, capture_output=True)
    a_whole_run = time.monotonic() - began
    expected = rows(folder)
    assert len(expected) == 10
    chance = random.Random(20)
    held: list[int] = []  # after each kill, the videos in the archive; -1: there was none yet
    while len(held) < KILLS:
        if (folder / "archive.json").exists() and len(rows(folder)) == 10:
            shutil.rmtree(folder)  # a run over a finished archive has nothing to cut short
        process = subprocess.Popen([*command, str(folder)], stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=chance.uniform(0.0, a_whole_run))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            continue
        assert process.returncode == -signal.SIGKILL
        archived = (folder / "archive.json").exists()
        held.append(assert_whole(folder, expected) if archived else -1)
    assert len({n for n in held if 0 < n < 10}) >= 2, f"hardly a kill left a part: {held}"
    done = run("index", ten_videos, "--archive", folder)
    assert done.returncode == 0, done.stderr
    assert assert_whole(folder, expected) == 10
    again = run("index", ten_videos, "--archive", folder)
    assert "nothing to do" in again.stderr


def test_an_interrupt_ends_with_130(videos: Path, tmp_path: Path) -> None:
    long = encode(tmp_path / "long.mp4", n_frames=3000)
    process = subprocess.Popen(
        [sys.executable, "-m", "vidsearch", "index", str(long), "--archive", str(tmp_path / "ar")],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "ar" / "archive.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "Traceback" not in told
