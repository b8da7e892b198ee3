"""Whether a file that is not seen any more was taken away, or its disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workers.disks import Disks

NAMES = ("day1/a.mp4", "day1/b.mp4", "day2/c.mp4", "day2/deep/d.mp4")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / "archive" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "archive" / name).touch()
    return tmp_path / "archive"


def disks(archive: Path) -> Disks:
    return Disks.of(str(archive / name) for name in NAMES)


class Mounts:
    """Folders that are disks of their own, with their numbers, for as long as they have one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.numbers: dict[str, int] = {}
        self._stat = os.stat
        monkeypatch.setattr(os, "stat", self.stat)

    def stat(self, path: Any, **options: Any) -> Any:
        found = self._stat(path, **options)
        on = [number for folder, number in self.numbers.items() if str(path).startswith(folder)]
        return SimpleNamespace(st_mode=found.st_mode, st_dev=on[-1]) if on else found


@pytest.fixture
def mounts(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Mounts:
    """`day1` is a disk of its own, number 7."""
    mounts = Mounts(monkeypatch)
    mounts.numbers[f"{archive}/day1"] = 7
    return mounts


def test_a_folder_that_was_moved_away_has_lost_its_files(archive: Path) -> None:
    known = disks(archive)
    (archive / "day1").rename(archive.parent / "elsewhere")
    assert known.lost(str(archive / "day1" / "a.mp4"))


def test_the_last_file_of_a_folder_is_lost_though_the_folder_is_as_empty_as_without_a_mount(
    archive: Path,
) -> None:
    known = disks(archive)
    shutil.rmtree(archive)
    archive.mkdir()
    assert known.lost(str(archive / "day2" / "c.mp4"))


def test_files_whose_disk_is_not_there_are_not_lost(archive: Path, mounts: Mounts) -> None:
    known = disks(archive)
    mounts.numbers.clear()
    shutil.rmtree(archive / "day1")
    for path in (archive / "day1" / "a.mp4", archive / "day1" / "b.mp4"):
        assert not known.lost(str(path))  # though others are seen, on the disk above
    (archive / "day1").mkdir()  # the folder that it is mounted in
    assert not known.lost(str(archive / "day1" / "a.mp4"))
    assert known.instead(str(archive / "day1" / "a.mp4"), str(archive)) == str(
        archive / "day1" / "a.mp4"
    )  # a node may see it before this machine does


def test_a_disk_that_was_mounted_anew_is_known_by_its_other_files(
    archive: Path, mounts: Mounts
) -> None:
    known = disks(archive)
    mounts.numbers[f"{archive}/day1"] = 8
    (archive / "day1" / "a.mp4").unlink()
    assert known.lost(str(archive / "day1" / "a.mp4"))
    (archive / "day1" / "b.mp4").unlink()
    assert not known.lost(str(archive / "day1" / "a.mp4"))  # nobody can tell


def test_a_folder_that_had_gone_before_the_job_is_known_by_its_neighbours(archive: Path) -> None:
    shutil.rmtree(archive / "day1")
    known = disks(archive)
    assert known.lost(str(archive / "day1" / "a.mp4"))
    shutil.rmtree(archive / "day2")
    assert not known.lost(str(archive / "day1" / "a.mp4"))


def test_a_node_is_asked_about_the_nearest_file_that_is_there(archive: Path) -> None:
    known = disks(archive)
    a, b, c, d = (str(archive / name) for name in NAMES)
    assert known.instead(a, str(archive)) == a
    os.unlink(a)
    assert known.instead(a, str(archive)) == b
    shutil.rmtree(archive / "day1")
    assert known.instead(a, str(archive)) == c
    os.unlink(d)
    assert known.instead(d, str(archive / "day2" / "deep")) == ""
