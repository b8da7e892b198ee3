"""Another encoder for an archive in a store, by a cluster, and by a model of torch's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from object_store import ObjectStore, object_store
from small_encoder import small_encoder
from stored_rows import assert_nearly
from videos import encode

from vidsearch import Archive, generations
from vidsearch.errors import ArchiveUnavailable
from vidsearch.schema import CONTENT
from vidsearch.stamp import read_stamp
from vidsearch.store import Store

pytestmark = pytest.mark.slow

SINGER = "Lin-Manuel Miranda"


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
def footage(example_media: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "footage"
    folder.mkdir()
    shutil.copy2(example_media / "white-house-poetry.mp4", folder / "poetry.mp4")
    encode(folder / "short.mp4", n_frames=30)
    return folder


def vectors_of(archive: Archive) -> dict[str, np.ndarray]:
    """The context vectors that count, by table, in an order of their own."""
    found = {}
    with Store.open(archive.path, read_only=True) as store:
        for name in set(CONTENT) - {"faces"}:
            rows = store._tables.read(name).to_pylist()
            order = ("video_id", "shot", "time_s", "track")
            rows.sort(key=lambda row: [row.get(column, 0) for column in order])
            found[name] = np.array([row["vector"] for row in rows], np.float32)
    return found


def assert_like(one: Archive, other: Archive) -> None:
    mine, theirs = vectors_of(one), vectors_of(other)
    for name, vectors in mine.items():
        assert len(vectors)
        assert_nearly(vectors, theirs[name], name)


def test_an_archive_in_a_store_goes_to_another_encoder_and_back(
    store: ObjectStore, footage: Path, example_media: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnx", reason="making a small encoder needs the package onnx")
    other = small_encoder(tmp_path / "small")
    url = store.url("reindexed/.vidsearch")
    archive = Archive(url)
    archive.index([footage])
    archive.enrol(SINGER, [example_media / "people" / "Lin-Manuel_Miranda.jpg"])
    before = vectors_of(archive)
    answer = Archive(url).query("a man in a suit").hits
    assert archive.reindex(encoder=other)[1].switched
    fresh = Archive(tmp_path / "fresh", encoder=other)
    fresh.index([footage])
    assert_like(Archive(url), fresh)
    assert Archive(url).verify() == []
    assert Archive(url).reindex_back().switched
    after = vectors_of(Archive(url))
    assert all(np.array_equal(before[name], after[name]) for name in before)
    again = Archive(url).query("a man in a suit").hits
    assert [(hit.shot, hit.score) for hit in again] == [(hit.shot, hit.score) for hit in answer]
    archive = Archive(url)
    archive.reindex_back()
    name = SINGER.encode()
    assert archive.forget_person(SINGER, threshold=0.1).counts["photos"] == 1
    assert not [k for k in store.keys("reindexed/.vidsearch/") if name in store.content(k)]
    assert archive.confirm_reindex() > 10_000
    left = store.keys("reindexed/.vidsearch/")
    assert not [key for key in left if "/keyframes.lance/" in key and "/generations/" not in key]
    assert Archive(url).verify() == []
    assert Archive(url).index([footage]).planned.unchanged == 2
    assert Archive(url).stats().kept == ()


def test_in_a_store_who_lost_the_right_to_write_switches_nothing(
    store: ObjectStore, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx", reason="making a small encoder needs the package onnx")
    other = small_encoder(tmp_path / "small")
    url = store.url("contested/.vidsearch")
    archive = Archive(url)
    archive.index([footage / "short.mp4"])
    real = generations.replace_stamp

    def contested(folder, before, stamp):  # type: ignore[no-untyped-def]
        if stamp.beside is not None:  # somebody else replaces it between our look and our put
            seen = type(folder).put_if
            monkeypatch.setattr(
                type(folder),
                "put_if",
                lambda self, content, tag: seen(self, content, '"0123456789abcdef"'),
            )
        real(folder, before, stamp)

    monkeypatch.setattr(generations, "replace_stamp", contested)
    with pytest.raises(ArchiveUnavailable, match="was changed by another writer meanwhile"):
        archive.reindex(encoder=other)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert read_stamp(archive.path).encoder == "concept"
    assert Archive(url).videos()


def test_a_cluster_makes_the_same_vectors(footage: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="making a small encoder needs the package onnx")
    pytest.importorskip("ray")
    from workers.index_job import on_ray

    other = small_encoder(tmp_path / "small")
    archive = Archive(tmp_path / "archive")
    archive.index([footage])
    two = Archive(shutil.copytree(archive.path, tmp_path / "two"))
    assert two.reindex(encoder=other, jobs=2)[1].switched
    assert archive.reindex(encoder=other, analyst=on_ray("local"), by="Ray local")[1].switched
    assert archive.jobs()[0].by == "Ray local"
    assert_like(archive, two)
    fresh = Archive(tmp_path / "fresh", encoder=other)
    fresh.index([footage])
    assert_like(archive, fresh)


def test_an_id_clip_takes_the_place_of_the_default(footage: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    archive = Archive(tmp_path / "archive")
    archive.index([footage])
    assert archive.reindex(encoder="idclip:compact")[1].switched
    fresh = Archive(tmp_path / "fresh", encoder="idclip:compact")
    fresh.index([footage])
    assert_like(archive, fresh)
    assert archive.query("a man in a suit").hits
