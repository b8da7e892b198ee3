"""Videos on Google Cloud Storage, at a server that speaks as it does: found, read, indexed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google_store import GoogleStore, google_store
from videos import encode, read_number

from vidsearch import Archive
from vidsearch.decoding import decode
from vidsearch.errors import ArchiveUnavailable
from vidsearch.inputs import find_videos, fingerprint
from vidsearch.remote_errors import explained
from vidsearch.urls import RemoteError, place

pytest.importorskip("gcsfs")
pytest.importorskip("gcp_storage_emulator")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("files") / "a.mp4", n_frames=50)


@pytest.fixture(scope="module")
def server(film: Path) -> Iterator[GoogleStore]:
    with google_store() as store:
        for key in ("day/a.mp4", "day/night/a copy?#.mp4", "day/.hidden/a.mp4"):
            store.put(key, film)
        store.put("day/notes.txt", b"no video")
        yield store


@pytest.fixture
def store(server: GoogleStore) -> Iterator[GoogleStore]:
    yield server
    server.heal()


def test_prefixes_and_globs_are_found_as_folders_are(store: GoogleStore) -> None:
    found = find_videos([store.url("day/")])
    assert list(map(str, found.files)) == [
        store.url("day/a.mp4"),
        store.url("day/night/a copy?#.mp4"),
    ]
    assert (found.n_hidden, found.n_other) == (1, 1)
    globbed = find_videos(["gs://footage/**/night/*.mp4", "gcs://footage/day/a.mp4"])
    assert set(map(str, globbed.files)) == set(map(str, found.files))
    assert find_videos([store.url("no*.mp4")]).unmatched == (store.url("no*.mp4"),)


def test_an_object_reads_as_the_file_does(store: GoogleStore, film: Path) -> None:
    url = store.url("day/night/a copy?#.mp4")
    assert fingerprint(url) == fingerprint(film)
    with decode(url) as remote, decode(film) as local:
        there = [(frame.time_s, read_number(frame.picture())) for frame in remote]
        here = [(frame.time_s, read_number(frame.picture())) for frame in local]
    assert there == here
    assert len(there) == 50
    assert not remote.problem


def test_videos_are_indexed_known_again_and_missed(
    store: GoogleStore, film: Path, tmp_path: Path
) -> None:
    archive = Archive(tmp_path / "archive")
    url = store.put("run/a.mp4", film)
    bad = store.put("run/bad.mp4", b"this is text")
    report = archive.index([store.url("run/"), "gs://no-such-bucket/x.mp4", store.url("none.mp4")])
    assert [video.paths for video in report.indexed] == [(url.encode(),)]
    assert {(each.path, each.reason) for each in report.failed} == {
        (bad, "is text, not a video"),
        ("gs://no-such-bucket/x.mp4", "does not exist"),
        (store.url("none.mp4"), "does not exist"),
    }
    read = store.n_read
    assert read > 0
    assert archive.index([url]).planned.unchanged == 1
    assert store.n_read == read
    answer = archive.query("a chequered pattern", threshold=0.0)
    assert {hit.video for hit in answer.hits} == {url}
    store.delete("run/a.mp4")
    gone = [video.path for video in archive.missing_videos() if video.status == "indexed"]
    assert gone == [url]


def test_a_store_that_fails_for_a_while_is_asked_again(store: GoogleStore) -> None:
    with decode(store.url("day/a.mp4")) as frames:
        store.fail(503, times=2)
        assert sum(1 for _ in frames) == 50
    assert store.left == 0


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "the store wants credentials, or others: run `gcloud auth"),
        (403, "no permission"),
    ],
)
def test_a_store_that_refuses_is_told_in_one_line(
    store: GoogleStore, tmp_path: Path, status: int, reason: str
) -> None:
    archive = tmp_path / "archive"
    Archive(archive).index([store.url("day/a.mp4")])
    store.fail(status)
    index = [sys.executable, "-m", "vidsearch", "index", "--archive", archive]
    done = subprocess.run([*index, store.url("day/b.mp4")], capture_output=True, text=True)
    assert done.returncode == 3
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert [v for v in Archive(archive).missing_videos() if v.status == "indexed"] == []


def test_a_store_that_fails_for_good_is_told_without_a_code_that_it_has_not() -> None:
    from gcsfs.retry import HttpError

    said = r"the store failed again and again \(503\): run this again later"
    with pytest.raises(RemoteError, match=said), explained("gs://footage/day/a.mp4"):
        raise HttpError({"code": 503, "message": "Backend Error"})  # after half a minute of tries


def test_where_memory_does_not_suffice_it_is_not_the_stores_fault(
    store: GoogleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gcsfs.core import GCSFileSystem

    async def full(*arguments: object, **options: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(GCSFileSystem, "_cat_file", full)
    with pytest.raises(MemoryError):
        place(store.url("day/a.mp4")).read_bytes()


def test_a_link_wants_the_key_of_a_service_account(store: GoogleStore) -> None:
    with pytest.raises(RemoteError, match="signed with a service account's key alone: set GOOGLE"):
        place(store.url("day/a.mp4")).link(60)  # type: ignore[union-attr]


def test_no_archive_is_kept_there(store: GoogleStore) -> None:
    with pytest.raises(ArchiveUnavailable, match="not on gs://"):
        Archive(store.url("archive"))
