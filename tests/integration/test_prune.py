"""`prune` drops what was deleted, and never what a disk that is not there seems to have lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from object_store import ObjectStore, object_store
from store_records import person
from videos import encode

from vidsearch import Archive, jobs
from vidsearch.ground import NONE_LEFT
from vidsearch.records import Label
from vidsearch.store import Store


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos of other lengths in two folders, `one` and `two`."""
    folder = tmp_path_factory.mktemp("originals")
    for number, name in enumerate(("one/a.mp4", "one/b.mp4", "two/c.mp4", "two/d.mp4")):
        (folder / name).parent.mkdir(exist_ok=True)
        encode(folder / name, n_frames=10 + number, size=(160, 90))
    return folder


@pytest.fixture
def disks(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals, tmp_path / "disks"))


@pytest.fixture
def archive(disks: Path, tmp_path: Path) -> Archive:
    """An archive of both folders, indexed by the folder that holds them."""
    made = Archive(tmp_path / "archive")
    assert len(made.index([disks]).indexed) == 4
    return made


def names(archive: Archive) -> set[str]:
    return {Path(video.path).name for video in Archive(archive.path).videos()}


def run(archive: Archive, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vidsearch", *map(str, words), "--archive", str(archive.path)],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


def test_a_root_is_known_however_it_was_said(
    disks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk of which a stray file is all that is there: none of its videos is taken for gone."""
    (tmp_path / "elsewhere").mkdir()
    elsewhere = encode(tmp_path / "elsewhere" / "x.mp4", n_frames=9, size=(160, 90))
    monkeypatch.chdir(disks)
    many = [tmp_path / f"{n}.mp4" for n in range(30)]
    for way in ("relative", "long list", "watched"):
        archive = Archive(tmp_path / f"archive {way}")
        archive.index([elsewhere])
        if way == "watched":
            news = archive.watching(["one"], settle_s=0, poll_s=0.1)
            next(each for each in news if names(archive) >= {"a.mp4", "b.mp4"})
            news.close()
        else:
            archive.index(["one"] if way == "relative" else [*many, "one"])
        assert names(archive) >= {"a.mp4", "b.mp4", "x.mp4"}, way
        for name in ("a.mp4", "b.mp4"):
            (disks / "one" / name).rename(tmp_path / name)
        (disks / "one" / "stray.txt").touch()
        assert [kept.reason for kept in archive.prune().kept] == [NONE_LEFT], way
        assert names(archive) >= {"a.mp4", "b.mp4", "x.mp4"}, way
        for name in ("a.mp4", "b.mp4"):
            (tmp_path / name).rename(disks / "one" / name)


@pytest.mark.parametrize("way", ["files", "long list", "glob", "forgotten"])
def test_files_that_were_given_by_themselves_stand_for_their_folder(
    disks: Path, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `index one /usb/*.mp4`; then a readme is all that lies where the disk was."""
    archive, usb = Archive(tmp_path / "archive"), disks / "two"
    monkeypatch.setattr(jobs, "KEPT", 1)
    given = {"glob": [usb / "*.mp4"], "forgotten": [usb]}.get(way, [usb / "c.mp4", usb / "d.mp4"])
    if way == "long list":
        given = [*(tmp_path / f"{n}.mp4" for n in range(30)), *given]
    archive.index([disks / "one" / "a.mp4", *given])
    archive.index([disks / "one" / "b.mp4"])
    if way == "forgotten":
        with archive._open.writer() as store:
            store.put_jobs(store.jobs()[-1:])
    kept = tmp_path / "unplugged"
    usb.rename(kept)
    usb.mkdir()
    (usb / "README.txt").write_text("The disk is mounted here.")
    (disks / "one" / "a.mp4").unlink()  # deleted indeed: the folder has another file still
    done = Archive(archive.path).prune()
    gone = {Path(video.path).name for video in done.videos} - {f"{n}.mp4" for n in range(30)}
    assert gone == {"a.mp4"}
    assert [(each.root, each.reason) for each in done.kept] == [(os.fsencode(usb), NONE_LEFT)]
    assert names(archive) == {"b.mp4", "c.mp4", "d.mp4"}
    usb.rename(tmp_path / "mount point")
    kept.rename(usb)
    (usb / "c.mp4").unlink()
    assert {Path(v.path).name for v in Archive(archive.path).prune().videos} == {"c.mp4"}


def test_a_folder_that_was_indexed_before_many_runs_is_remembered(
    disks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "KEPT", 2)
    archive = Archive(tmp_path / "archive")
    archive.index([disks / "two"])
    for number in range(4):
        encode(disks / "one" / f"{number}.mp4", n_frames=5 + number, size=(160, 90))
        archive.index([disks / "one"])
    assert [job.paths for job in Archive(archive.path).jobs()] == [
        (str(disks / "one"),),
        (str(disks / "one"),),
        (str(disks / "two"),),
    ]


# --- what is gone --------------------------------------------------------------------------------


def test_a_deleted_file_goes_and_what_people_said_stays(archive: Archive, disks: Path) -> None:
    video = archive.video("a.mp4")
    said = Label("l1", video.video_id, 0.2, (0.1, 0.1, 0.4, 0.4), "p1", True, 1.0, "a1")
    with archive._open.writer() as store:
        store.add_labels([said])
        store.add_person(person("Anna Rossi", face_dim=store.stamp.face_dim))
    (disks / "one" / "a.mp4").unlink()
    done = Archive(archive.path).prune()
    assert [each.video_id for each in done.videos] == [video.video_id]
    assert (done.moved, done.kept) == ((), ())
    assert names(archive) == {"b.mp4", "c.mp4", "d.mp4"}
    reader = Store.open(archive.path, read_only=True)
    assert [label.label_id for label in reader.labels()] == ["l1"]
    assert [each.name for each in reader.people()] == ["Anna Rossi"]
    assert len(reader.rows().videos) == 3
    assert reader.health().orphans == 0


def test_of_copies_the_one_that_is_gone_goes(archive: Archive, disks: Path) -> None:
    shutil.copy2(disks / "one" / "a.mp4", disks / "two" / "copy.mp4")
    archive.index([disks])
    (disks / "one" / "a.mp4").unlink()
    done = archive.prune()
    assert len(done.videos) == 1
    assert archive.video("copy.mp4").paths == (os.fsencode(disks / "two" / "copy.mp4"),)
    assert len(Archive(archive.path).videos()) == 4


@pytest.mark.parametrize("where", ["two/renamed.mp4", "new/folder/a.mp4"])
def test_a_file_that_moved_keeps_its_rows(archive: Archive, disks: Path, where: str) -> None:
    video = archive.video("a.mp4")
    (disks / where).parent.mkdir(parents=True, exist_ok=True)
    (disks / "one" / "a.mp4").rename(disks / where)
    done = archive.prune()
    assert done.videos == ()
    assert [(each.video.video_id, each.path) for each in done.moved] == [
        (video.video_id, os.fsencode(disks / where))
    ]
    found = Archive(archive.path).video(video.video_id)
    assert found.paths == (os.fsencode(disks / where),)
    assert Archive(archive.path).shots(video.video_id)
    assert archive.index([disks]).planned.unchanged == 4


def test_a_path_that_never_was_goes_without_a_word(archive: Archive, tmp_path: Path) -> None:
    archive.index([tmp_path / "typo" / "x.mp4"])
    assert len(archive.prune().videos) == 1
    assert len(Archive(archive.path).videos()) == 4


def test_what_vanishes_after_the_question_is_not_dropped(archive: Archive, disks: Path) -> None:
    (disks / "one" / "a.mp4").unlink()
    shown = archive.prunable().gone
    (disks / "two" / "c.mp4").unlink()
    assert len(archive.prune(only=shown).videos) == 1
    assert names(archive) == {"b.mp4", "c.mp4", "d.mp4"}


# --- what only seems to be gone ------------------------------------------------------------------


def _unmounted(disks: Path) -> None:
    shutil.rmtree(disks / "two")
    (disks / "two").mkdir()


def _unmounted_with_a_placeholder(disks: Path) -> None:
    _unmounted(disks)
    (disks / "two" / ".not-mounted").touch()


def _unplugged(disks: Path) -> None:
    (disks / "two").rename(disks.parent / "elsewhere")


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (_unmounted, "the folder is empty"),
        (_unmounted_with_a_placeholder, "the folder is empty"),
        (_unplugged, "the folder is not there"),
    ],
)
def test_a_disk_that_is_not_there_costs_nothing(
    archive: Archive, disks: Path, lose: object, reason: str
) -> None:
    (disks / "one" / "a.mp4").unlink()
    lose(disks)  # type: ignore[operator]
    done = archive.prune()
    assert {Path(video.path).name for video in done.videos} == {"a.mp4"}
    (kept,) = done.kept
    assert (kept.root, kept.reason) == (os.fsencode(disks / "two"), reason)
    assert kept.paths == tuple(os.fsencode(disks / "two" / name) for name in ("c.mp4", "d.mp4"))
    assert names(archive) == {"b.mp4", "c.mp4", "d.mp4"}
    assert len(Archive(archive.path).forget_missing()) == 0  # the same way, the same guard
    assert len(archive.prune([disks / "two"]).videos) == 2
    assert names(archive) == {"b.mp4"}


def test_a_folder_that_was_indexed_and_lost_all_is_kept(originals: Path, tmp_path: Path) -> None:
    disks = Path(shutil.copytree(originals, tmp_path / "disks"))
    archive = Archive(tmp_path / "archive")
    archive.index([disks / "one", disks / "two"])
    for file in (disks / "two").iterdir():
        file.unlink()
    (disks / "two" / "another disk.txt").touch()
    (kept,) = archive.prune().kept
    assert (kept.root, kept.reason) == (os.fsencode(disks / "two"), NONE_LEFT)
    assert len(archive.prune([disks]).videos) == 2


def test_where_nothing_is_left_nothing_is_dropped(archive: Archive, disks: Path) -> None:
    for file in disks.rglob("*.mp4"):
        file.unlink()
    (disks / "one" / "readme.txt").touch()
    (disks / "two" / "readme.txt").touch()
    done = archive.prune()
    assert done.videos == ()
    assert [(each.root, each.reason) for each in done.kept] == [(os.fsencode(disks), NONE_LEFT)]


def test_a_link_to_a_disk_that_is_not_there_is_kept(archive: Archive, disks: Path) -> None:
    (disks / "one" / "a.mp4").rename(disks.parent / "away.mp4")
    (disks / "one" / "a.mp4").symlink_to(disks.parent / "away.mp4")
    archive.index([disks])
    (disks.parent / "away.mp4").unlink()
    (kept,) = archive.prune().kept
    assert kept.root == os.fsencode(disks / "one" / "a.mp4")
    assert "link" in kept.reason
    assert len(archive.prune([disks / "one" / "a.mp4"]).videos) == 1


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs Linux")
def test_a_real_mount_that_is_taken_away(originals: Path, tmp_path: Path) -> None:
    """In a namespace of its own a file system is mounted, indexed, unmounted and pruned."""
    script = f"""
set -e
cd {tmp_path}; mkdir -p disk here
mount -t tmpfs tmpfs disk
cp {originals}/one/a.mp4 {originals}/one/b.mp4 disk/; cp {originals}/two/c.mp4 here/
V="{sys.executable} -m vidsearch"
$V index -q disk here --archive archive
umount disk
rm here/c.mp4; touch here/left.txt
$V prune --yes --archive archive && exit 9 || test $? = 3
mount -t tmpfs tmpfs disk
$V prune --yes --archive archive && exit 9 || test $? = 3
"""
    command = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    if subprocess.run([*command, "mount", "-t", "tmpfs", "x", "/mnt"]).returncode:
        pytest.skip("nothing may be mounted here")
    done = subprocess.run([*command, "sh", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 files of it may only be away" in done.stderr
    assert len(Archive(tmp_path / "archive").videos()) == 3


# --- the commands --------------------------------------------------------------------------------


def test_the_command_shows_asks_and_says_how_it_went(archive: Archive, disks: Path) -> None:
    assert run(archive, "prune").returncode == 1
    (disks / "one" / "a.mp4").unlink()
    asked = run(archive, "prune")
    assert asked.returncode == 1
    assert f"missing  {disks / 'one' / 'a.mp4'}" in asked.stderr
    assert len(names(archive)) == 4
    _unplugged(disks)
    done = run(archive, "prune", "--yes", "--json")
    assert done.returncode == 3
    assert f"--root-gone {disks / 'two'}" in done.stderr
    told = json.loads(done.stdout)
    assert [Path(row["paths"][0]).name for row in told["forgotten"]] == ["a.mp4"]
    assert [Path(path).name for path in told["kept"][0]["paths"]] == ["c.mp4", "d.mp4"]
    guarded = run(archive, "videos", "--forget-missing", "--yes")
    assert guarded.returncode == 3
    assert names(archive) == {"b.mp4", "c.mp4", "d.mp4"}
    meant = run(archive, "prune", "--yes", "--root-gone", disks / "two")
    assert meant.returncode == 0, meant.stderr
    assert "forgot 2 videos" in meant.stderr
    assert names(archive) == {"b.mp4"}


# --- object stores -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store() -> ObjectStore:  # type: ignore[misc]
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    with object_store() as running:
        yield running


@pytest.mark.slow  # a store that fails is asked again and again, with pauses
def test_of_a_store_only_its_word_that_there_is_none_counts(
    store: ObjectStore, originals: Path, tmp_path: Path
) -> None:
    for name in ("one/a.mp4", "one/b.mp4", "two/c.mp4"):
        store.put(name, originals / name)
    archive = Archive(tmp_path / "archive")
    assert len(archive.index([store.url("one/"), store.url("two/c.mp4")]).indexed) == 3
    store.client.delete_object(Bucket="footage", Key="one/a.mp4")
    for status in (403, 503):
        store.fail(status)
        assert archive.prune().videos == ()
        store.heal()
    assert [video.path for video in archive.prune().videos] == [store.url("one/a.mp4")]
    store.client.delete_object(Bucket="footage", Key="one/b.mp4")  # the last of what was indexed
    (kept,) = archive.prune().kept
    assert (kept.root, kept.reason) == (store.url("one").encode(), NONE_LEFT)
    assert len(archive.prune([store.url("one/")]).videos) == 1
    store.client.delete_object(Bucket="footage", Key="two/c.mp4")  # the last of the bucket
    (kept,) = archive.prune().kept
    assert kept.paths == (store.url("two/c.mp4").encode(),)
    assert len(Archive(archive.path).videos()) == 1
