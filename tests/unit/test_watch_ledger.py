"""What a watch takes for deleted, renamed and away, by looking at folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vidsearch import watch
from vidsearch.watch import Gone, Ledger, News, Renamed, Waiting


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Where a disk is mounted: three videos, one of them in a folder."""
    for name in ("disk/a.mp4", "disk/b.mp4", "disk/day/c.mp4", "here/d.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path / "disk"


def watched(*roots: Path) -> Ledger:
    ledger = Ledger(tuple(map(str, roots)), 0.0)
    assert ledger.look() == []
    ledger.finish(ledger.files.values())
    assert ledger.due_s() > 200
    return ledger


def told_away(news: list[News]) -> str:
    (waiting,) = news
    assert isinstance(waiting, Waiting)
    assert "nothing of it counts as deleted" in waiting.sentence
    return waiting.sentence.split(";")[0]


def _empty(disk: Path) -> None:
    pass


def _readme(disk: Path) -> None:
    (disk / "README.txt").write_text("The disk is mounted here.")


@pytest.mark.parametrize(
    ("mount_point", "reason"),
    [(_empty, "the folder is empty"), (_readme, "none of the files that were indexed there")],
)
def test_of_a_disk_that_is_unmounted_nothing_counts_as_deleted(
    disk: Path, mount_point: Callable[[Path], None], reason: str
) -> None:
    ledger = watched(disk, disk.parent / "here")
    disk.rename(disk.parent / "unmounted")
    disk.mkdir()
    mount_point(disk)
    assert reason in told_away(ledger.look())
    assert ledger.look() == []  # told once
    assert ledger.due_s() <= 15  # of what is mounted there nobody tells
    assert ledger.ready() == []
    shutil.rmtree(disk)
    (disk.parent / "unmounted").rename(disk)
    assert ledger.look() == []
    assert ledger.ready() == []  # they are what they were
    (disk / "a.mp4").unlink()
    assert ledger.look() == [Gone(str(disk / "a.mp4"))]


def test_a_disk_below_the_watched_folder_may_go_too(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one with a video lies in its place, or a folder of the disk that all are on."""
    ledger = watched(disk.parent)
    disk.rename(disk.parent / ".unmounted")
    disk.mkdir()
    (disk / "other.mp4").write_bytes(b"of another disk")
    device = watch._disk
    with monkeypatch.context() as patched:
        patched.setattr(watch, "_disk", lambda at: -1 if at == disk else device(at))
        away = {each.sentence.split(" ")[0] for each in ledger.look() if isinstance(each, Waiting)}
        assert away == {str(disk), str(disk / "day")}
        assert [each.place.name for each in ledger.ready()] == ["other.mp4"]
        assert ledger.look() == []  # also where that one is known by now
    shutil.rmtree(disk)
    (disk.parent / ".unmounted").rename(disk)
    assert ledger.look() == []  # the other one is away now, with its video
    assert ledger.ready() == []


def test_what_is_deleted_or_renamed_is_told(disk: Path) -> None:
    ledger = watched(disk)
    (disk / "a.mp4").unlink()
    (disk / "day").rename(disk / "night")
    assert sorted(ledger.look(), key=str) == [
        Gone(str(disk / "a.mp4")),
        Renamed(str(disk / "day" / "c.mp4"), str(disk / "night" / "c.mp4")),
    ]
    assert ledger.look() == []
