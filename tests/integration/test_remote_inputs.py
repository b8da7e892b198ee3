"""Videos that are objects of a store, on a real S3 server: found, read by ranges, indexed."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from object_store import KEY_ID, SECRET, ObjectStore, object_store
from videos import Recipe, encode, read_number

from vidsearch import Archive, remote
from vidsearch.clip_copy import copy
from vidsearch.clip_source import Stretch
from vidsearch.decoding import decode
from vidsearch.errors import UnreadableVideo
from vidsearch.inputs import find_videos, fingerprint
from vidsearch.rereads import read_picture
from vidsearch.urls import place

pytest.importorskip("moto")
pytest.importorskip("s3fs")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    encode(folder / "a.mp4", n_frames=50)
    encode(folder / "b.mkv", n_frames=25)
    return folder


@pytest.fixture(scope="module")
def server(files: Path) -> Iterator[ObjectStore]:
    with object_store() as store:
        for key in ("day/a.mp4", "day/night/a copy?#.mp4", "day/.hidden/a.mp4", "day/.a.mp4"):
            store.put(key, files / "a.mp4")
        store.put("day/b.mkv", files / "b.mkv")
        store.put("day/notes.txt", b"no video")
        store.put("day/old/archive.json", b"{}")
        store.put("day/old/people.lance/x.mp4", files / "a.mp4")
        yield store


@pytest.fixture
def store(server: ObjectStore) -> Iterator[ObjectStore]:
    yield server
    server.heal()


def names(found: tuple[object, ...]) -> list[str]:
    return [str(each).partition("footage/")[2] for each in found]


# --- which objects are meant ---------------------------------------------------------------------


def test_a_prefix_is_walked_as_a_folder_is(store: ObjectStore, tmp_path: Path) -> None:
    for key in store.keys("day/"):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(store.content(key))
    there, here = find_videos([store.url("day/")]), find_videos([tmp_path / "day"])
    assert names(there.files) == [str(p.relative_to(tmp_path)) for p in here.files]
    assert names(there.files) == ["day/a.mp4", "day/b.mkv", "day/night/a copy?#.mp4"]
    assert (there.n_hidden, there.n_other) == (here.n_hidden, here.n_other) == (2, 1)


def test_globs_files_and_prefixes_may_be_mixed(store: ObjectStore, files: Path) -> None:
    asked = [store.url("**/*.mkv"), files / "a.mp4", f"file://{files}/b.mkv", store.url("no*.mp4")]
    found = find_videos(asked)
    assert [str(each) for each in found.files] == [
        store.url("day/b.mkv"),
        str(files / "a.mp4"),
        str(files / "b.mkv"),
    ]
    assert found.unmatched == (store.url("no*.mp4"),)


def test_what_a_listing_said_is_not_asked_for_again(store: ObjectStore) -> None:
    with store.counted() as requests:
        found = find_videos([store.url("day")])
    assert all(each.listed is not None for each in found.files)  # type: ignore[union-attr]
    assert len(requests) == 3  # is it an object, is it a prefix, what is below


def test_an_object_has_the_name_that_the_same_file_has(store: ObjectStore, files: Path) -> None:
    assert fingerprint(store.url("day/a.mp4")) == fingerprint(files / "a.mp4")


# --- reading -------------------------------------------------------------------------------------


def test_frames_are_those_of_the_file(store: ObjectStore, files: Path) -> None:
    url = store.url("day/night/a copy?#.mp4")
    with decode(url) as remote, decode(files / "a.mp4") as local:
        there = [(frame.time_s, read_number(frame.picture())) for frame in remote]
        here = [(frame.time_s, read_number(frame.picture())) for frame in local]
    assert there == here
    assert not remote.problem
    assert read_number(read_picture(url, 1.0)) == 25


def noisy(path: Path, n_frames: int) -> Path:
    """A film of a tenth of a megabyte a frame, whose pictures nothing can foretell."""

    def noise(number: int, size: tuple[int, int]) -> np.ndarray:
        draw = np.random.default_rng(number)
        return draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)

    return encode(path, n_frames=n_frames, draw=noise, options={"crf": "0"})


def test_an_index_at_the_end_is_found_without_reading_the_whole(
    store: ObjectStore, tmp_path: Path
) -> None:
    film = noisy(tmp_path / "film.mp4", 300)
    assert film.read_bytes().rfind(b"moov") > 0.9 * film.stat().st_size
    url = store.put("films/film.mp4", film)
    with store.counted() as requests, decode(url) as film_there:
        assert film_there.probe.n_frames == 300
    assert sum(each.sent for each in requests) < film.stat().st_size / 2


def test_sound_behind_the_pictures_is_not_fetched_with_each_of_them(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As encoders leave it that write all pictures first; of 16 MiB FFmpeg would ask at once."""

    def noise(number: int, size: tuple[int, int]) -> np.ndarray:
        draw = np.random.default_rng(number // 10)
        return draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)

    film = tmp_path / "film.mp4"
    recipe = Recipe(n_frames=750, size=(640, 360), draw=noise, gop=50, audio=True)
    encode(film, replace(recipe, options={"crf": "4"}))
    size, url = film.stat().st_size, place(store.put("films/sound.mp4", film))
    assert size > 30e6
    with monkeypatch.context() as little:  # of a longer film less would be kept
        little.setattr(remote, "BLOCK", 1 << 20)
        little.setattr(remote, "_BLOCKS_KEPT", 2)
        with store.counted() as requests, decode(url, small_side=16) as frames:
            assert sum(1 for _ in frames) == 750
    assert sum(each.sent for each in requests) < 1.2 * size
    clip, stretch = tmp_path / "clip.mp4", Stretch(url, 10.0, 15.0, 0.0)
    with store.counted() as requests:
        copy(stretch, clip, ".mp4")
    assert sum(each.sent for each in requests) < 0.75 * size
    with av.open(str(clip)) as copied:
        lasts = {each.type: float(each.duration * each.time_base) for each in copied.streams}
    assert lasts == {"video": pytest.approx(5.0, abs=0.1), "audio": pytest.approx(5.0, abs=0.1)}


@pytest.mark.parametrize("status", [500, 503])
def test_a_store_that_fails_for_a_while_is_asked_again(store: ObjectStore, status: int) -> None:
    with decode(store.url("day/a.mp4")) as frames:
        store.fail(status, times=2, where=lambda method, path: method == "GET")
        assert sum(1 for _ in frames) == 50


@pytest.mark.slow
def test_a_store_that_fails_for_good_is_no_damage_of_the_file(
    store: ObjectStore, tmp_path: Path
) -> None:
    film = noisy(tmp_path / "f.mkv", 100)
    assert film.stat().st_size > 6 << 20
    seen = []
    with decode(store.put("films/f.mkv", film)) as frames:
        reading = iter(frames)
        seen += [next(reading) for _ in range(3)]
        store.fail(503)
        with pytest.raises(UnreadableVideo, match="the store failed again and again"):
            seen += reading
    assert 3 <= len(seen) < 100


# --- indexing ------------------------------------------------------------------------------------


def test_videos_are_indexed_known_again_and_missed(store: ObjectStore, tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    url = store.put("run/a.mp4", store.content("day/a.mp4"))
    bad = store.put("run/bad.mp4", b"this is text")
    report = archive.index([store.url("run/"), "s3://no-such-bucket/x", store.url("run/none.mp4")])
    assert [video.paths for video in report.indexed] == [(url.encode(),)]
    assert {(each.path, each.reason) for each in report.failed} == {
        (bad, "is text, not a video"),
        ("s3://no-such-bucket/x", "does not exist"),
        (store.url("run/none.mp4"), "does not exist"),
    }
    with store.counted() as requests:
        assert archive.index([url]).planned.unchanged == 1
    assert len(requests) == 1
    store.put("moved/b.mp4", store.content("run/a.mp4"))
    store.client.delete_object(Bucket="footage", Key="run/a.mp4")
    assert archive.index([store.url("moved/")]).planned.moved == 1
    assert archive.video("moved/b.mp4").path == store.url("moved/b.mp4")
    store.client.delete_object(Bucket="footage", Key="moved/b.mp4")
    assert [video.path for video in archive.missing_videos() if video.status == "indexed"] == [
        store.url("moved/b.mp4")
    ]


def test_a_store_that_does_not_answer_says_nothing_of_what_is_gone(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path / "archive")
    archive.index([store.url("day/a.mp4")])
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert archive.missing_videos() == []
    (failed,) = archive.index([store.url("day/b.mkv")]).failed
    assert failed.reason.startswith("no credentials were found for it: set AWS_ACCESS_KEY_ID")


@pytest.mark.slow
def test_a_wrong_endpoint_is_told_within_a_minute(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    began = time.monotonic()
    (failed,) = Archive(tmp_path / "archive").index([store.url("day/b.mkv")]).failed
    assert "does not answer: check the network, AWS_ENDPOINT_URL" in failed.reason
    assert time.monotonic() - began < 60  # no figure: that it ends at all, and not after minutes


def test_clips_are_cut_and_editors_are_told_the_url(store: ObjectStore, tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    url = store.url("day/a.mp4")
    archive.index([url])
    excerpts = archive.excerpts(archive.query("a chequered pattern", threshold=0.0))
    (clip,) = archive.clip(excerpts, tmp_path / "clips")
    with decode(clip.file) as frames:  # type: ignore[union-attr]
        assert [read_number(frame.picture()) for frame in frames][:3] == [0, 1, 2]
    assert url.encode() in archive.exported(excerpts, "otio")
    assert url.encode() in archive.exported(excerpts, "edl")


def test_a_player_is_given_a_signed_link(store: ObjectStore) -> None:
    import urllib.request

    link = place(store.url("day/b.mkv")).link(60)  # type: ignore[union-attr]
    with urllib.request.urlopen(link) as answer:
        assert answer.read() == store.content("day/b.mkv")
    with pytest.raises(FileNotFoundError):
        place(store.url("day/none.mkv")).link(60)  # type: ignore[union-attr]


# --- secrets -------------------------------------------------------------------------------------


def test_no_key_is_ever_written_down(
    store: ObjectStore, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("AWS_SESSION_TOKEN", "FQoGZXIvYXdzEGoaDsessiontoken")
    folder = tmp_path / "archive"
    archive = Archive(folder)
    with caplog.at_level(logging.DEBUG):
        report = archive.index(
            [
                store.url("day/b.mkv"),
                f"s3://{KEY_ID}:{SECRET}@footage/day/a.mp4",
                f"https://x.org/a.mp4?X-Amz-Credential={KEY_ID}&X-Amz-Signature={SECRET}",
            ]
        )
        store.fail(403)
        report_2 = archive.index([store.url("day/b.mkv")], force=True)
    assert (len(report.indexed), len(report.failed), len(report_2.failed)) == (1, 2, 1)
    told = capfd.readouterr()
    said = "\n".join([caplog.text, told.out, told.err, repr(report), repr(report_2)])
    said += repr(archive.jobs())
    stored = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    for secret in (KEY_ID, SECRET, "FQoGZXIvYXdzEGoaDsessiontoken"):
        assert secret not in said
        assert secret.encode() not in stored


# --- the command line ----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_list_says_what_to_index(store: ObjectStore, tmp_path: Path) -> None:
    import subprocess

    listed = f"# footage\n\n{store.url('day/b.mkv')}\n{tmp_path / 'none.mp4'}\n".encode()
    command = [
        sys.executable, "-m", "vidsearch", "index", "--archive", str(tmp_path / "archive"),
        "--from", "-",
    ]  # fmt: skip
    done = subprocess.run(command, input=listed, capture_output=True, env=os.environ)
    assert done.returncode == 3
    assert b"none.mp4: does not exist" in done.stderr
    assert [v.path for v in Archive(tmp_path / "archive").videos() if v.status == "indexed"] == [
        store.url("day/b.mkv")
    ]
    shutil.rmtree(tmp_path / "archive")
    nothing = subprocess.run(command[:-2], capture_output=True, env=os.environ)
    assert nothing.returncode == 2
