"""`index` brings an archive up to date: what is new, changed, moved, bad, or interrupted."""

from __future__ import annotations

import importlib
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
from PIL import Image
from stored_rows import assert_nearly
from videos import cut_off, encode, loop, read_number

from vidsearch import Archive
from vidsearch.analyze import analyze
from vidsearch.errors import (
    ArchiveMismatch,
    EnrolmentError,
    ModelUnavailable,
    UnreadableVideo,
    VidsearchError,
)
from vidsearch.indexing import Indexed, Planned
from vidsearch.tasks import Progress, Task


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
    mine, theirs = archive._open.reader.rows(), other._open.reader.rows()
    order = np.argsort(mine.keyframe_vectors[:, 0]), np.argsort(theirs.keyframe_vectors[:, 0])
    assert_nearly(mine.keyframe_vectors[order[0]], theirs.keyframe_vectors[order[1]])


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


# --- pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "by_decord"), [("many.mp4", True), ("many.ts", False)])
def test_many_pictures_of_a_video_come_by_decord_where_it_is_right(
    name: str, by_decord: bool, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("decord")
    path = encode(tmp_path / name, n_frames=60)
    archive.index([path])
    used = watch(monkeypatch, "_read_by_decord")
    numbers = list(np.random.default_rng(1).permutation(60)[:40])
    pictures = archive.pictures(name, [number * 0.04 for number in numbers])
    assert [read_number(picture) for picture in pictures] == numbers
    assert bool(used) is by_decord
    assert read_number(archive.pictures(str(path), [0.4])[0]) == 10
    assert archive.pictures(name, []) == []
    path.unlink()
    with pytest.raises(UnreadableVideo, match="does not exist"):
        archive.pictures(name, [0.4])


def test_a_sheet_reads_each_file_once_and_takes_thumbnails_where_it_cannot(
    archive: Archive, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = [(200, 30, 30), (30, 170, 60), (30, 40, 220)]

    def draw(number: int, size: tuple[int, int]) -> np.ndarray:
        return np.full((size[1], size[0], 3), flat[number // 15 % 3], np.uint8)

    encode(videos / "many.mp4", n_frames=15 * 26, draw=draw)
    archive.index([videos])
    answer = archive.query("a pattern", k=40)
    assert sum("many.mp4" in hit.video for hit in answer.hits) >= 24
    opened = watch(monkeypatch, "read_pictures", "vidsearch.media")
    by_decord = watch(monkeypatch, "_read_by_decord")
    archive.sheet([answer], tmp_path / "sheet.jpg")
    assert len(opened) == len({hit.video_id for hit in answer.hits})
    assert len(by_decord) == 1
    (videos / "many.mp4").unlink()
    archive.sheet([answer], tmp_path / "thumbnails.jpg")
    with Image.open(tmp_path / "sheet.jpg") as one, Image.open(tmp_path / "thumbnails.jpg") as two:
        assert one.size == two.size


def watch(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str = "vidsearch.rereads"
) -> list[object]:
    """The results of a function from now on."""
    results: list[object] = []
    function = getattr(importlib.import_module(module), name)

    def watched(*arguments: object) -> object:
        result = function(*arguments)
        results.append(result)
        return result

    monkeypatch.setattr(f"{module}.{name}", watched)
    return results


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


def test_a_file_that_comes_late_is_no_longer_failed_however_it_was_named(
    archive: Archive, originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.index([originals / "c.mp4"])
    monkeypatch.chdir(tmp_path)
    assert [bad.path for bad in archive.index(["late.mp4"]).failed] == [str(tmp_path / "late.mp4")]
    shutil.copy2(originals / "a.mp4", tmp_path / "late.mp4")
    assert archive.index(["late.mp4"]).failed == ()
    assert [video.status for video in archive.videos()] == ["indexed", "indexed"]


def test_a_glob_that_matches_nothing_is_told_and_not_recorded(
    archive: Archive, originals: Path, tmp_path: Path
) -> None:
    report = archive.index([originals / "c.mp4", tmp_path / "*.none"])
    assert [(bad.path, bad.reason) for bad in report.failed] == [
        (str(tmp_path / "*.none"), "matches no file")
    ]
    assert [video.status for video in archive.videos()] == ["indexed"]


def test_no_archive_is_made_where_nothing_was_found(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no video")
    done = run("index", "nothing", "in", "*.none", "--archive", "archive", cwd=tmp_path)
    assert done.returncode == 3
    assert f"{tmp_path / 'nothing'}: does not exist" in done.stderr
    assert "*.none: matches no file" in done.stderr
    done = run("index", "in", "--archive", "archive", cwd=tmp_path)
    assert done.returncode == 0
    assert not (tmp_path / "archive").exists()


def test_an_archive_among_the_videos_counts_none_of_its_own_files(videos: Path) -> None:
    archive = Archive(videos / "archive")
    archive.index([videos])
    planned = archive.index([videos]).planned
    assert (planned.unchanged, planned.other) == (3, 0)


# --- what goes wrong in the program itself -------------------------------------------------------


def test_a_fault_of_ours_in_one_file_is_recorded_and_the_run_goes_on(
    archive: Archive,
    videos: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def faulty(task: Task, *rest: object) -> object:
        if task.path.name == "a.mp4":
            raise ZeroDivisionError("never heard of")
        return analyze(task, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("vidsearch.analysts.analyze", faulty)
    with caplog.at_level("DEBUG", "vidsearch"):
        report = archive.index([videos])
    (bad,) = report.failed
    assert bad.path == str(videos / "a.mp4")
    assert "ZeroDivisionError: never heard of" in bad.reason
    assert "Traceback" in caplog.text
    assert len(report.indexed) == 2
    monkeypatch.undo()
    assert archive.index([videos]).failed == ()
    assert {video.status for video in archive.videos()} == {"indexed"}


def test_the_traceback_of_a_fault_of_ours_is_shown_where_it_is_asked_for(
    videos: Path, tmp_path: Path
) -> None:
    code = """
from vidsearch import analysts, cli

def faulty(*_):
    raise ZeroDivisionError("never heard of")

analysts.analyze = faulty
cli.main()
"""
    command = [sys.executable, "-c", code, "index", str(videos / "c.mp4"), "--archive"]
    for more, shown in ((["-v"], True), ([], False)):
        done = subprocess.run(
            [*command, str(tmp_path / "archive"), *more], capture_output=True, text=True
        )
        assert done.returncode == 3, done.stderr
        assert "ZeroDivisionError: never heard of; this is a fault of vidsearch" in done.stderr
        assert ("Traceback" in done.stderr) is shown


def test_a_file_for_which_memory_does_not_suffice_is_tried_by_the_next_run(
    archive: Archive, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(task: Task, *rest: object) -> object:
        if task.path.name == "a.mp4":
            raise MemoryError("Unable to allocate 5.9 GiB")
        return analyze(task, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("vidsearch.analysts.analyze", hungry)
    report = archive.index([videos])
    (bad,) = report.failed
    assert bad.path == str(videos / "a.mp4")
    assert bad.reason.startswith("ran out of memory: take fewer --jobs")
    assert "5.9 GiB" in bad.reason
    assert len(report.indexed) == 2
    monkeypatch.undo()
    again = archive.index([videos])  # it is not in quarantine
    assert (len(again.indexed), again.failed) == (1, ())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ModelUnavailable("gone")])
def test_what_every_file_would_meet_ends_the_run(
    archive: Archive, videos: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("vidsearch.analysts.analyze", broken)
    with pytest.raises(type(error)):
        archive.index([videos])
    assert archive.videos() == []


# --- detectors -----------------------------------------------------------------------------------


def test_another_detector_is_told_with_the_command_that_applies_it(
    archive: Archive, videos: Path
) -> None:
    archive.index([videos])
    assert {video.detector for video in archive.videos()} == {"blend"}
    assert archive.index([videos]).planned.notes == ()
    thresholds = {"threshold": 20.0, "min_shot_s": 0.25}
    options = {"detector": "content", "detector_options": thresholds}
    (note,) = archive.index([videos], **options).planned.notes
    assert note == "3 videos were split with blend; --force indexes them again"
    assert len(archive.index([videos], force=True, **options).indexed) == 3
    assert {video.detector for video in archive.videos()} == {"content threshold=20"}
    assert archive.index([videos], **options).planned.notes == ()


# --- forgetting ----------------------------------------------------------------------------------


def test_a_forgotten_video_is_gone_from_everywhere(archive: Archive, videos: Path) -> None:
    archive.index([videos])
    with pytest.raises(VidsearchError, match=r"no video .* called absent\.mp4"):
        archive.forget_videos(["a.mp4", "absent.mp4"])
    assert len(archive.videos()) == 3
    (forgotten,) = archive.forget_videos(["a.mp4"])
    assert forgotten.paths == (os.fsencode(videos / "a.mp4"),)
    assert set(rows(archive.path)) == {"b.mkv", "c.mp4"}
    assert len(Archive(archive.path)._open.reader.rows().videos) == 2
    assert Archive(archive.path)._open.reader.health().orphans == 0
    assert (videos / "a.mp4").exists()


def test_of_copies_the_named_one_is_forgotten(archive: Archive, videos: Path) -> None:
    shutil.copy2(videos / "a.mp4", videos / "copy.mp4")
    archive.index([videos])
    archive.forget_videos([str(videos / "a.mp4")])
    assert archive.video("copy.mp4").paths == (os.fsencode(videos / "copy.mp4"),)
    assert len(archive.videos()) == 3


def test_missing_files_are_listed_and_forgotten(archive: Archive, videos: Path) -> None:
    shutil.copy2(videos / "b.mkv", videos / "copy.mkv")
    archive.index([videos, videos / "never.mp4"])
    assert [Path(video.path).name for video in archive.missing_videos()] == ["never.mp4"]
    (videos / "a.mp4").unlink()
    (videos / "b.mkv").unlink()
    assert len(archive.missing_videos()) == 3
    assert len(archive.forget_missing()) == 3
    assert archive.missing_videos() == []
    assert set(rows(archive.path)) == {"copy.mkv", "c.mp4"}


def test_the_commands_mark_and_forget_what_is_missing(videos: Path, tmp_path: Path) -> None:
    archive = ["--archive", tmp_path / "archive"]
    shutil.copy2(videos / "b.mkv", videos / "copy.mkv")
    assert run("index", videos, *archive).returncode == 0
    (videos / "a.mp4").unlink()
    listed = run("videos", *archive).stdout.splitlines()
    assert [Path(line.split()[1]).name for line in listed if line.endswith("missing")] == ["a.mp4"]
    assert any("and 1 copy" in line for line in listed)
    asked = run("videos", "--forget-missing", *archive, stdin=subprocess.DEVNULL)
    assert asked.returncode == 1
    assert f"missing  {videos / 'a.mp4'}" in asked.stderr
    assert len(Archive(tmp_path / "archive").videos()) == 3
    both = ["--forget-missing", "--yes", "--forget", "c.mp4", "--json"]
    done = run("videos", *both, *archive)
    assert done.returncode == 0, done.stderr
    assert {Path(row["paths"][0]).name for row in json.loads(done.stdout)} == {"a.mp4", "c.mp4"}
    assert set(rows(tmp_path / "archive")) == {"b.mkv"}


def test_a_hit_names_the_copy_that_was_asked_for_and_is_there(
    archive: Archive, videos: Path
) -> None:
    shutil.copy2(videos / "c.mp4", videos / "café.mp4")
    archive.index([videos])
    for glob, name in (("caf*", "café.mp4"), ("c.mp4", "c.mp4")):
        (hit,) = archive.query("a pattern", video=glob).hits
        assert hit.video == str(videos / name)
        assert hit.copies == 1
    (videos / "c.mp4").unlink()
    assert archive.query("a pattern", video="c*").hits[0].video == str(videos / "café.mp4")
    assert str(videos / "café.mp4") in {video.path for video in archive.videos()}


# --- enrolment -----------------------------------------------------------------------------------


def test_an_enrolment_that_fails_leaves_no_archive(
    archive: Archive, tmp_path: Path, example_media: Path
) -> None:
    Image.new("RGB", (300, 300)).save(tmp_path / "black.png")
    for photo in ("absent.jpg", "black.png"):
        with pytest.raises(EnrolmentError):
            archive.enrol("Joe Biden", [tmp_path / photo])
    assert not archive.path.exists()
    archive.enrol("Joe Biden", [example_media / "people" / "Joe_Biden.jpg"])
    assert [person.name for person in archive.people()] == ["Joe Biden"]


def test_people_move_to_an_archive_of_other_weights(
    archive: Archive, videos: Path, tmp_path: Path, example_media: Path
) -> None:
    archive.enrol("Joe Biden", [example_media / "people" / "Joe_Biden.jpg"])
    stamp = json.loads((archive.path / "archive.json").read_text())
    (archive.path / "archive.json").write_text(json.dumps(stamp | {"face_weights": "0" * 12}))
    old = Archive(archive.path)
    with pytest.raises(ArchiveMismatch, match=r"people refit --from .*archive --archive .*archive"):
        old.query("Joe Biden")
    new = Archive(tmp_path / "new")
    new.index([videos / "c.mp4"])
    refit = new.refit_people(archive.path)
    assert (len(refit.people), refit.lost) == (1, ())
    again = run("people", "refit", "--from", archive.path, "--archive", new.path)
    assert again.returncode == 0, again.stderr
    assert "Joe Biden" in again.stdout
    assert [person.person_id for person in new.people()] == [old.people()[0].person_id]
    assert new.query("Joe Biden").people == ("Joe Biden",)
    new.remove_person("Joe Biden")
    with pytest.raises(VidsearchError, match="nobody is enrolled"):
        new.refit_people(new.path)


def test_strange_names_are_indexed_and_listed(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    names = ('it\'s "so" .mp4', "line\nbreak.mp4", "🎬.mp4", b"\xff\xfe.mp4")
    paths = [os.fsencode(folder) + b"/" + os.fsencode(name) for name in names]
    for number, path in enumerate(paths):
        encode(Path(os.fsdecode(path)), n_frames=12 + number)
    done = run("index", folder, "--archive", tmp_path / "archive", "--json")
    assert done.returncode == 0, done.stderr
    found = [video.paths for video in Archive(tmp_path / "archive").videos()]
    assert sorted(found) == sorted((path,) for path in paths)
    listed = run("videos", "--json", "--archive", tmp_path / "archive")
    assert len(json.loads(listed.stdout)) == len(paths)


# --- killed ---------------------------------------------------------------------------------------


KILLS = 20
MOST_KILLS = 60
# The product publishes eight small videos at once; one by one there is more to be cut short.
INDEX_ONE_BY_ONE = """
from vidsearch import cli, indexing
indexing.GROUP_VIDEOS = 1
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
    in_rows = archive._open.reader.rows()
    assert sorted(v.video_id for v in in_rows.videos) == sorted(v.video_id for v in videos)
    assert len(in_rows.shot_index) == sum(map(len, found.values()))
    return len(found)


@pytest.mark.slow
def test_killed_at_20_random_moments_the_archive_is_whole_and_the_next_run_finishes(
    ten_videos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    command = [sys.executable, "-c", INDEX_ONE_BY_ONE, "index", str(ten_videos), "--archive"]
    began = time.monotonic()
    subprocess.run([*command, str(folder)], check=True, capture_output=True)
    a_whole_run = time.monotonic() - began
    expected = rows(folder)
    assert len(expected) == 10
    chance = random.Random(20)
    held: list[int] = []  # after each kill, the videos in the archive; -1: there was none yet

    def parts() -> list[int]:
        return [n for n in held if 0 < n < 10]

    # On a machine that grows slower meanwhile more moments lie before the first commit.
    while len(held) < KILLS or (len(parts()) < 3 and len(held) < MOST_KILLS):
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
    assert len(parts()) >= 3, f"hardly a kill left a part of the videos: {held}"
    done = run("index", ten_videos, "--archive", folder)
    assert done.returncode == 0, done.stderr
    assert assert_whole(folder, expected) == 10
    again = run("index", ten_videos, "--archive", folder)
    assert "nothing to do" in again.stderr


def test_an_interrupt_ends_with_130(videos: Path, tmp_path: Path) -> None:
    # Minutes of work: however late the interrupt comes, it comes before the end.
    long = loop(encode(tmp_path / "short.mp4", n_frames=250), tmp_path / "long.mp4", 10_000)
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
