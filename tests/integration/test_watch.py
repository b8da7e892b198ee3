"""`watch` in a process of its own: each file once, when it is whole, whatever comes or dies."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stored_rows import assert_same_rows
from videos import encode

from vidsearch import Archive

# Each test waits for a real process, and for files to settle.
pytestmark = pytest.mark.slow
SETTLE_S = 1.0
PATIENCE_S = 120.0  # on a machine that is busy; nothing here takes so long

Line = dict[str, Any]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    for number, name in enumerate(("a.mp4", "b.mp4", "c.mp4", "d.mp4")):
        encode(folder / name, n_frames=20 + number, size=(160, 90))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "watched").mkdir()
    return tmp_path / "watched"


class Watcher:
    """The command at work, and what it has told."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.archive = folder.parent / "archive"
        command = [sys.executable, "-m", "vidsearch", "watch", str(folder), "--json", *options]
        command += ["--archive", str(self.archive), "--settle", str(SETTLE_S)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.told: list[Line] = []
        self._lines: queue.Queue[Line] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))

    def until(self, wanted: Callable[[Line], bool]) -> Line:
        """The next line that is wanted; those before it are kept in `told`."""
        until = time.monotonic() + PATIENCE_S
        while True:
            line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            self.told.append(line)
            if wanted(line):
                return line

    def event(self, event: str, name: str = "") -> Line:
        return self.until(lambda line: line["event"] == event and name in json.dumps(line))

    def stop(self, how: int = signal.SIGINT) -> Line:
        """End it as a person, or a service manager, does; gives its summary."""
        self.process.send_signal(how)
        summary = self.event("stopped")
        assert self.process.wait(PATIENCE_S) == 0
        return summary


@contextmanager
def watching(folder: Path, *options: str) -> Iterator[Watcher]:
    watcher = Watcher(folder, *options)
    try:
        yield watcher
    finally:
        watcher.process.kill()
        watcher.process.wait()


def names(archive: Path) -> dict[str, str]:
    return {Path(each.path).name: each.status for each in Archive(archive).videos()}


def test_on_a_cluster_what_comes_later_is_indexed_too(folder: Path, originals: Path) -> None:
    pytest.importorskip("ray")
    shutil.copy2(originals / "a.mp4", folder)
    with watching(folder, "--ray", "local") as watcher:
        watcher.event("indexed", "a.mp4")
        shutil.copy2(originals / "b.mp4", folder)
        watcher.event("indexed", "b.mp4")
        assert watcher.stop()["indexed"] == 2
    archive = Archive(folder.parent / "archive")
    assert {job.by for job in archive.jobs()} == {"watch, Ray local"}
    Archive(folder.parent / "expected").index([folder])
    assert_same_rows(archive.path, folder.parent / "expected")


def grow(file: Path, content: bytes, *, pieces: int, pause_s: float) -> None:
    size = len(content) // pieces + 1
    with file.open("wb") as growing:
        for start in range(0, len(content), size):
            growing.write(content[start : start + size])
            growing.flush()
            time.sleep(pause_s)


@pytest.mark.parametrize("how", ["system", "polling"])
def test_files_are_indexed_once_when_they_are_whole(
    originals: Path, folder: Path, how: str
) -> None:
    shutil.copy2(originals / "a.mp4", folder / "a.mp4")
    os.utime(folder / "a.mp4", (1e9, 1e9))
    with watching(folder, *(["--poll", "0.2"] if how == "polling" else [])) as watcher:
        first = watcher.event("watching")
        assert (first["files"], first["known"]) == (1, 0)
        assert first["by"] == ("every 0.2 s" if how == "polling" else "as the system tells")
        watcher.event("indexed", "a.mp4")  # what was there before
        content = (originals / "b.mp4").read_bytes()
        grow(folder / "b.mp4", content, pieces=8, pause_s=0.5)  # four seconds, settling takes one
        assert watcher.event("indexed", "b.mp4")["status"] == "indexed"
        (folder / "sub").mkdir()
        shutil.copy(originals / "c.mp4", folder / "sub" / ".c.mp4.part")
        (folder / "sub" / ".c.mp4.part").rename(folder / "sub" / "c.mp4")
        watcher.event("indexed", "c.mp4")
        time.sleep(3 * SETTLE_S)
        summary = watcher.stop()
    assert (summary["indexed"], summary["failed"]) == (3, 0)
    indexed = [Path(line["path"]).name for line in watcher.told if line["event"] == "indexed"]
    assert indexed == ["a.mp4", "b.mp4", "c.mp4"]
    assert names(watcher.archive) == dict.fromkeys(("a.mp4", "b.mp4", "c.mp4"), "indexed")
    assert Archive(watcher.archive).video("b.mp4").size == len(content)
    assert Archive(watcher.archive).verify() == []


def test_renamed_and_deleted_files_are_told_and_keep_their_rows(
    originals: Path, folder: Path
) -> None:
    for name in ("a.mp4", "b.mp4"):
        shutil.copy2(originals / name, folder / name)
    with watching(folder) as watcher:
        watcher.event("indexed", "a.mp4")
        watcher.event("indexed", "b.mp4")
        (folder / "a.mp4").rename(folder / "renamed.mp4")
        assert watcher.event("renamed")["new"] == str(folder / "renamed.mp4")
        (folder / "b.mp4").unlink()
        assert watcher.event("gone")["path"] == str(folder / "b.mp4")
        shutil.copy2(originals / "c.mp4", folder / "c.mp4")
        watcher.event("indexed", "c.mp4")
        summary = watcher.stop(signal.SIGTERM)
    assert (summary["indexed"], summary["renamed"], summary["gone"]) == (3, 1, 1)
    assert set(names(watcher.archive)) == {"renamed.mp4", "b.mp4", "c.mp4"}
    assert len(Archive(watcher.archive).prune().videos) == 1


def test_a_broken_file_fails_once_and_is_tried_again_when_it_changes(
    originals: Path, folder: Path
) -> None:
    (folder / "bad.mp4").write_bytes(b"this is no video\n" * 100)
    for _ in ("first", "started again"):
        with watching(folder) as watcher:
            if _ == "first":
                assert "text" in watcher.event("failed")["reason"]
            else:
                assert watcher.event("watching")["known"] == 1
            time.sleep(3 * SETTLE_S)
            summary = watcher.stop()
        assert summary["failed"] == (1 if _ == "first" else 0)
    with watching(folder) as watcher:
        watcher.event("watching")
        shutil.copy(originals / "a.mp4", folder / "bad.mp4")
        watcher.event("indexed", "bad.mp4")
        watcher.stop()
    assert names(watcher.archive) == {"bad.mp4": "indexed"}


def test_killed_and_started_again_it_goes_on(originals: Path, folder: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        shutil.copy2(originals / name, folder / name)
    with watching(folder) as watcher:
        watcher.event("indexed", "a.mp4")
        watcher.event("indexed", "b.mp4")
        shutil.copy2(originals / "c.mp4", folder / "c.mp4")
        watcher.process.kill()
        watcher.process.wait()
    shutil.copy2(originals / "d.mp4", folder / "d.mp4")
    with watching(folder) as watcher:
        assert watcher.event("watching")["known"] >= 2
        seen: set[str] = set()
        while not {"c.mp4", "d.mp4"} <= seen | set(names(watcher.archive)):
            seen.add(Path(watcher.event("indexed")["path"]).name)
        watcher.stop()
    assert "a.mp4" not in seen
    assert names(watcher.archive) == dict.fromkeys(os.listdir(originals), "indexed")
    # It may have been stopped before the copies for searches were made again.
    assert [fault for fault in Archive(watcher.archive).verify() if fault.mend != "copy"] == []


def test_it_waits_for_other_writers_and_for_folders_that_went(
    originals: Path, folder: Path
) -> None:
    shutil.copy2(originals / "a.mp4", folder / "a.mp4")
    with watching(folder, "--poll", "0.2") as watcher:
        watcher.event("indexed", "a.mp4")
        with Archive(watcher.archive)._open.writer():
            shutil.copy2(originals / "b.mp4", folder / "b.mp4")
            time.sleep(3 * SETTLE_S)
        watcher.event("indexed", "b.mp4")
        folder.rename(folder.parent / "unplugged")
        assert "does not exist" in watcher.event("waiting")["sentence"]
        (folder.parent / "unplugged").rename(folder)
        shutil.copy2(originals / "c.mp4", folder / "c.mp4")
        watcher.event("indexed", "c.mp4")
        summary = watcher.stop()
    assert (summary["indexed"], summary["gone"]) == (3, 0)


def test_a_prefix_of_a_store_is_watched_by_looking(originals: Path, tmp_path: Path) -> None:
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    from object_store import object_store

    from vidsearch.indexing import Indexed
    from vidsearch.watch import Gone, Watching

    def next_of(kind: type) -> Any:
        return next(each for each in news if isinstance(each, kind))

    with object_store() as store:
        store.put("in/a.mp4", originals / "a.mp4")
        news = Archive(tmp_path / "archive").watching([store.url("in/")], settle_s=0.5)
        assert next_of(Watching).by == "every 1 s"
        assert next_of(Indexed).video.path == store.url("in/a.mp4")
        store.put("in/b.mp4", originals / "b.mp4")
        assert next_of(Indexed).video.path == store.url("in/b.mp4")
        store.client.delete_object(Bucket="footage", Key="in/a.mp4")
        assert next_of(Gone).path == store.url("in/a.mp4")
        news.close()
    assert set(names(tmp_path / "archive")) == {"a.mp4", "b.mp4"}


def test_without_the_package_folders_are_looked_at(
    originals: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidsearch.watch import Watching

    monkeypatch.setitem(sys.modules, "watchfiles", None)  # as where it is not installed
    shutil.copy2(originals / "a.mp4", folder / "a.mp4")
    news = Archive(folder.parent / "archive").watching([folder], settle_s=4)
    first = next(news)
    assert isinstance(first, Watching)
    assert first.by == "every 2 s"
    news.close()
