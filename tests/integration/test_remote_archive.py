"""An archive on S3, on a real server: written by one at a time, searched, forgotten from, swept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from object_store import BUCKET, READER, ObjectStore, object_store
from store_records import ENCODER_DIM, FACE_DIM, analyzed_video, person
from stored_rows import assert_same_rows
from videos import encode

from vidsearch import Archive, lease, remote
from vidsearch.columns import copies
from vidsearch.errors import ArchiveBusy, ArchiveUnavailable, UnknownPerson
from vidsearch.indexing import Indexed
from vidsearch.lease import Lease
from vidsearch.lock import holder
from vidsearch.store import Store
from vidsearch.urls import Place, place

pytest.importorskip("moto")
pytest.importorskip("s3fs")

MODELS: dict[str, Any] = {
    "encoder": "concept",
    "encoder_dim": ENCODER_DIM,
    "face_model": "default",
    "face_dim": FACE_DIM,
}


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStore]:
    with object_store() as store:
        yield store


@pytest.fixture
def store(
    server: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ObjectStore]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield server
    server.heal()


@pytest.fixture
def folder(store: ObjectStore, tmp_path: Path) -> Place:
    return place(store.url(f"{tmp_path.name}/.vidsearch"))


@pytest.fixture
def made(folder: Place) -> Place:
    """An archive of two videos and one person."""
    Store.create(folder, **MODELS)
    with Store.open(folder) as writer:
        writer.publish_many([analyzed_video("v1", shots=3), analyzed_video("v2", shots=2)])
        writer.add_person(person("Anna Rossi"))
    return folder


# --- the store's own promises --------------------------------------------------------------------


def test_what_is_written_is_read_elsewhere(made: Place, tmp_path: Path) -> None:
    reader = Store.open(made, read_only=True)
    assert [video.video_id for video in reader.videos()] == ["id-v1", "id-v2"]
    assert len(reader.shots("id-v1")) == 3
    assert len(reader.rows().shot_video) == 5
    assert [each.name for each in reader.people()] == ["Anna Rossi"]
    assert copies(made).is_relative_to(tmp_path / "cache")  # and never the archive itself


def test_copies_for_searches_follow_what_another_machine_wrote(
    made: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Store.open(made, read_only=True)
    assert len(reader.rows().shot_video) == 5
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("XDG_CACHE_HOME", str(tmp_path / "other machine"))
        with Store.open(made) as writer:
            writer.publish_many([analyzed_video("v3", shots=4)])
    assert len(reader.rows().shot_video) == 9


def test_who_may_only_read_can_ask_and_is_told_when_writing(
    store: ObjectStore, made: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", READER)
    reader = Store.open(made, read_only=True)
    assert len(reader.rows().shot_video) == 5
    assert reader.thumbnail("id-v1", 0, 0.0)
    with pytest.raises(ArchiveUnavailable, match=r"permission denied.*s3:PutObject"):
        Store.open(made, wait_s=0)


def test_a_bucket_that_is_not_there_is_told() -> None:
    with pytest.raises(ArchiveUnavailable, match="There is no archive in s3://no-such-bucket/a"):
        Store.open(place("s3://no-such-bucket/a"), read_only=True)
    with pytest.raises(ArchiveUnavailable, match="no such bucket"):
        Store.create(place("s3://no-such-bucket/a"), **MODELS)


def test_a_few_requests_are_enough_for_a_question(store: ObjectStore, made: Place) -> None:
    reader = Store.open(made, read_only=True)
    reader.rows()
    with store.counted() as requests:
        reader.rows()
    assert {each.method for each in requests} == {"GET"}
    assert len(requests) <= 6  # one listing a table


# --- one writer ----------------------------------------------------------------------------------


def test_a_second_writer_is_refused_and_told_who_writes(made: Place) -> None:
    said: list[str] = []
    with Store.open(made):
        assert holder(made)["pid"] == os.getpid()
        with pytest.raises(ArchiveBusy, match=rf"process {os.getpid()} on .*changed"):
            Store.open(made, wait_s=0.5, waiting=said.append)
    assert len(said) == 1
    assert holder(made) == {}
    Store.open(made, wait_s=0).close()


def test_of_many_writers_at_once_one_gets_the_lease(folder: Place) -> None:
    together, got, refused = threading.Barrier(5), [], []

    def try_it() -> None:
        mine = Lease(folder)  # type: ignore[arg-type]
        together.wait()
        try:
            mine.acquire(0)
        except ArchiveBusy:
            refused.append(mine)
        else:
            got.append(mine)

    threads = [threading.Thread(target=try_it) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 4)
    got[0].release()


@pytest.mark.slow
def test_a_lease_is_renewed_for_as_long_as_it_is_held(
    folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 2.0)
    monkeypatch.setattr(lease, "BEAT_S", 0.3)
    mine, other = Lease(folder), Lease(folder)  # type: ignore[arg-type]
    mine.acquire(0)
    with pytest.raises(ArchiveBusy):
        other.acquire(4)
    mine.check()
    mine.release()
    other.acquire(0)
    other.release()


@pytest.mark.slow
def test_who_lost_the_lease_writes_no_more(
    store: ObjectStore, made: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 1.0)
    monkeypatch.setattr(lease, "BEAT_S", 60.0)  # as if the machine had been asleep
    with Store.open(made) as sleeper:
        time.sleep(2.5)
        monkeypatch.setattr(lease, "LEASE_S", 60.0)  # the heir is awake, however slow the machine
        with Store.open(made, wait_s=5) as heir:
            with pytest.raises(ArchiveUnavailable, match="another process may be writing"):
                sleeper.publish_many([analyzed_video("v9")])
            heir.publish_many([analyzed_video("v3")])
    reader = Store.open(made, read_only=True)
    assert [video.video_id for video in reader.videos()] == ["id-v1", "id-v2", "id-v3"]


def test_a_store_without_conditional_puts_is_refused(
    folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidsearch.remote import Remote

    plain = Remote._conditional

    def forgetful(self: Remote, call: str, **arguments: object) -> object:
        for condition in ("IfNoneMatch", "IfMatch"):
            arguments.pop(condition, None)
        return plain(self, call, **arguments)

    monkeypatch.setattr(Remote, "_conditional", forgetful)
    with pytest.raises(ArchiveUnavailable, match="does not know conditional puts"):
        Lease(folder).acquire(0)  # type: ignore[arg-type]


_KILLED = """
import os, sys, signal
sys.path.insert(0, sys.argv[2])
from store_records import analyzed_video
from vidsearch import lease
lease.LEASE_S, lease.BEAT_S = 3.0, 0.5
from vidsearch.store import Store
from vidsearch.urls import place
writer = Store.open(place(sys.argv[1]))
put = writer._put
def die(videos):
    print("written", flush=True)
    signal.pause()
writer._put = die  # the rows are there, and nothing has published them
writer.publish_many([analyzed_video("v3", shots=7)])
"""


@pytest.mark.slow
def test_a_killed_writer_is_given_up_and_the_next_sweeps(made: Place) -> None:
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", _KILLED, str(made), tests]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        with pytest.raises(ArchiveBusy):
            Store.open(made, wait_s=0)
        os.kill(process.pid, signal.SIGKILL)
    waited: list[str] = []
    with Store.open(made, wait_s=30, waiting=waited.append) as heir:
        assert str(process.pid) in waited[0]
        assert [video.video_id for video in heir.videos()] == ["id-v1", "id-v2"]
        assert sum(heir.health().tables[name].orphans for name in ("shots", "faces")) == 0
        heir.publish_many([analyzed_video("v3", shots=2)])
    # The pictures of made-up rows are none.
    assert [f for f in Archive(str(made)).verify() if "picture" not in f.what] == []


def test_who_forgets_is_told_of_a_bucket_that_keeps_old_versions(
    store: ObjectStore, made: Place
) -> None:
    from vidsearch.forget import kept_elsewhere

    assert kept_elsewhere(made) == ""
    try:
        for status in ("Enabled", "Suspended"):
            store.client.put_bucket_versioning(
                Bucket=BUCKET, VersioningConfiguration={"Status": status}
            )
            assert "keeps old versions of objects" in kept_elsewhere(made)
        store.fail(403, where=lambda method, path: method == "GET")
        assert "cannot be seen" in kept_elsewhere(made)
    finally:
        store.forget_versioning()


# --- the whole of it -----------------------------------------------------------------------------


def test_a_store_that_fails_leaves_what_was_there(store: ObjectStore, made: Place) -> None:
    with Store.open(made) as writer:
        store.fail(503, times=3, where=lambda method, path: method in ("PUT", "POST"))
        writer.publish_many([analyzed_video("v3")])
    store.heal()
    assert [v.video_id for v in Store.open(made, read_only=True).videos()] == [
        "id-v1",
        "id-v2",
        "id-v3",
    ]


@pytest.mark.slow  # a store that fails is asked again and again, with pauses
@pytest.mark.parametrize("status", [500, 503])
def test_a_store_that_takes_no_more_for_good_is_told_and_nothing_is_lost(
    store: ObjectStore, made: Place, status: int
) -> None:
    with Store.open(made) as writer:
        # The rows are written, and not what publishes them.
        where = "/videos.lance/"
        store.fail(status, where=lambda method, path: method in ("PUT", "POST") and where in path)
        with pytest.raises(ArchiveUnavailable, match=r"the store fails .* stored before is kept"):
            writer.publish_many([analyzed_video("v3"), analyzed_video("v1", shots=5)])
    reader = Store.open(made, read_only=True)
    assert [(each.video_id, each.n_shots) for each in reader.videos()] == [
        ("id-v1", 3),
        ("id-v2", 2),
    ]
    assert len(reader.shots("id-v1")) == 3
    store.heal()
    with Store.open(made, wait_s=0) as writer:
        assert sum(writer.health().tables[name].orphans for name in ("shots", "faces")) == 0
        writer.publish_many([analyzed_video("v3"), analyzed_video("v1", shots=5)])
    counts = {each.video_id: each.n_shots for each in Store.open(made, read_only=True).videos()}
    assert counts == {"id-v1": 5, "id-v2": 2, "id-v3": analyzed_video("v3").video.n_shots}


@pytest.mark.slow
def test_a_store_that_goes_silent_ends_a_run_and_the_next_goes_on(
    store: ObjectStore, folder: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is answered but with 503 any more: not the lease, and not what is read."""
    monkeypatch.setattr(lease, "LEASE_S", 15.0)
    monkeypatch.setattr(lease, "BEAT_S", 3.0)
    # Our patience has a test of its own (above); here it is short.
    monkeypatch.setattr(remote, "_LANCE_RETRIES", "2")
    monkeypatch.setitem(remote._S3["config_kwargs"]["retries"], "max_attempts", 2)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")  # another environment, another client
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(10):
        encode(videos / f"v{number}.mp4", n_frames=20 + number)
    archive = Archive(str(folder))
    done: list[str] = []
    told = r"cannot be written: the store fails .* Everything stored before is kept"
    with pytest.raises(ArchiveUnavailable, match=told):  # noqa: PT012
        for event in archive.indexing([videos]):
            if isinstance(event, Indexed):
                done.append(event.video.video_id)
                store.fail(503)
    store.heal()
    assert 0 < len(done) < 10
    again = Archive(str(folder))
    assert sorted(video.video_id for video in again.videos()) == sorted(done)
    report = again.index([videos])
    assert (len(report.indexed), report.planned.unchanged) == (10 - len(done), len(done))
    assert again.verify() == []
    Archive(tmp_path / "here").index([videos])
    assert_same_rows(str(folder), tmp_path / "here")


@pytest.mark.slow
def test_everything_a_user_does(store: ObjectStore, example_media: Path, tmp_path: Path) -> None:
    archive = Archive(store.url("whole/.vidsearch"))
    clip = store.put("whole/clip.mp4", example_media / "white-house-poetry.mp4")
    assert len(archive.index([store.url("whole/")]).indexed) == 1
    photos = [store.put("photos/lin.jpg", example_media / "people" / "Lin-Manuel_Miranda.jpg")]
    archive.enrol("Lin-Manuel Miranda", photos)
    archive = Archive(store.url("whole/.vidsearch"))
    hits = archive.query("Lin-Manuel Miranda", threshold=0.1).hits
    assert hits
    assert hits[0].video == clip
    assert archive.timeline(clip).shots
    archive.sheet([archive.query("a man at a microphone")], tmp_path / "sheet.jpg")
    assert archive.verify() == []
    name = b"Lin-Manuel Miranda"
    assert any(name in store.content(key) for key in store.keys("whole/.vidsearch/"))
    line = archive.forget_person("Lin-Manuel Miranda", threshold=0.1)
    assert line.counts["photos"] == 1
    for key in store.keys("whole/.vidsearch/"):
        assert name not in store.content(key), key
    for file in copies(place(store.url("whole/.vidsearch"))).iterdir():
        assert name not in file.read_bytes(), file
    archive = Archive(store.url("whole/.vidsearch"))
    with pytest.raises(UnknownPerson, match="was forgotten here on"):
        archive.traces_of("Lin-Manuel Miranda")
    assert archive.verify() == []
    assert archive.index([store.url("whole/")]).planned.unchanged == 1


@pytest.mark.slow
def test_commands_take_the_url_of_an_archive(store: ObjectStore, example_media: Path) -> None:
    clip = str(example_media / "white-house-poetry.mp4")

    def run(*words: str) -> tuple[int, bytes]:
        command = [sys.executable, "-m", "vidsearch", *words, "--archive", store.url("cli/v")]
        done = subprocess.run(command, capture_output=True, env=os.environ)
        return done.returncode, done.stdout

    assert run("index", clip)[0] == 0
    status, out = run("query", "a man at a microphone", "--json")
    assert status == 0
    assert json.loads(out)["hits"][0]["video"] == clip
    assert run("verify")[0] == 0
