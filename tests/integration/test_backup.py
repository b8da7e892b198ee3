"""Backups: one moment of an archive, beside its writers, whole or not there; and the way back."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from object_store import ObjectStore, object_store
from store_records import MODELS, analyzed_video, person

from vidsearch import Archive, backup, generations, snapshots
from vidsearch.backup import check
from vidsearch.errors import ArchiveBusy, ArchiveUnavailable
from vidsearch.snapshots import BackupFailed, Held, listed
from vidsearch.stamp import UNFINISHED, is_archive, read_stamp
from vidsearch.store import Store

OLD_ARCHIVES = Path(__file__).parents[1] / "fixtures" / "archives"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive of two videos and one person."""
    made = tmp_path / "archive"
    Store.create(made, **MODELS)
    with Store.open(made) as writer:
        writer.publish_many([analyzed_video("v1", shots=3), analyzed_video("v2", shots=2)])
        writer.add_person(person("Anna Rossi"))
    return made


@pytest.fixture
def real(tmp_path: Path) -> Archive:
    """An archive of real footage, in which Lin-Manuel Miranda is enrolled and seen."""
    with tarfile.open(OLD_ARCHIVES / "schema-5.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    return Archive((tmp_path / "schema-5").rename(tmp_path / "real"))


def held(folder: Path) -> dict[str, object]:
    """What an archive holds, after checking that it is whole."""
    reader = Store.open(folder, read_only=True)
    assert reader.health().problems == ()
    rows = reader.rows()
    return {
        "videos": sorted((v.video_id, v.paths, v.n_shots) for v in reader.videos()),
        "vectors": rows.keyframe_vectors.tobytes(),
        "looks": rows.look_vectors.tobytes(),
        "people": sorted((p.name, tuple(f.jpeg for f in p.photos)) for p in reader.people()),
    }


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vidsearch", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
    )


# --- there and back ------------------------------------------------------------------------------


def test_what_is_restored_is_what_was_backed_up(folder: Path, tmp_path: Path) -> None:
    before = held(folder)
    done = Archive(folder).backup(tmp_path / "safe")
    assert done.copied > 10
    assert done.copied_bytes == sum(
        {h.sha256: h.size for h in done.snapshot.files.values()}.values()
    )
    shutil.rmtree(folder)
    restored = Archive(tmp_path / "again")
    assert restored.restore(tmp_path / "safe").snapshot == done.snapshot
    assert held(restored.path) == before
    with Store.open(restored.path) as writer:  # it is an archive like any other
        writer.publish_many([analyzed_video("v3")])
    # The pictures of made-up rows are none.
    assert [f for f in Archive(restored.path).verify() if "picture" not in f.what] == []
    assert not any(each.name.startswith(("restor", ".restor")) for each in restored.path.iterdir())


def test_a_second_backup_copies_what_is_new_and_both_can_be_restored(
    folder: Path, tmp_path: Path
) -> None:
    safe = tmp_path / "safe"
    first, before = Archive(folder).backup(safe), held(folder)
    assert Archive(folder).backup(safe).copied == 0
    with Store.open(folder) as writer:
        writer.publish_many([analyzed_video("v9", shots=4)])
    third = Archive(folder).backup(safe)
    assert 0 < third.copied < first.copied
    for snapshot, state in ((first, before), (third, held(folder))):
        target = tmp_path / snapshot.snapshot.name
        Archive(target).restore(safe, snapshot=snapshot.snapshot.name)
        assert held(target) == state
    assert len(listed(safe)) == 3


def test_a_restored_archive_is_one_of_its_own(folder: Path, tmp_path: Path) -> None:
    Archive(folder).backup(tmp_path / "safe")
    Archive(tmp_path / "again").restore(tmp_path / "safe")
    assert read_stamp(tmp_path / "again").archive_id != read_stamp(folder).archive_id
    with pytest.raises(BackupFailed, match="backups of another archive"):
        Archive(tmp_path / "again").backup(tmp_path / "safe")


def test_only_the_last_snapshots_are_kept_where_that_is_wanted(
    folder: Path, tmp_path: Path
) -> None:
    safe = tmp_path / "safe"
    for number in range(3):
        with Store.open(folder) as writer:
            writer.publish_many([analyzed_video(f"n{number}")])
        last = Archive(folder).backup(safe, keep=2)
    assert [each.name for each in listed(safe)][-1] == last.snapshot.name
    assert len(listed(safe)) == 2
    assert len(last.dropped) == 1
    wanted = {h.sha256 for each in listed(safe) for h in each.files.values()}
    assert {f.name for f in (safe / "objects").rglob("*") if f.is_file()} == wanted
    for snapshot in listed(safe):
        check(safe, snapshot.name)


def test_an_archive_with_rows_of_two_encoders_is_backed_up_with_both(
    folder: Path, tmp_path: Path
) -> None:
    with Store.open(folder) as store:
        beside = generations.begin(store, "another", 24, "", "")
        beside.publish_many([analyzed_video("v1", shots=3, encoder_dim=24)])
    before = held(folder)
    done = Archive(folder).backup(tmp_path / "safe")
    assert not any("cache" in path for path in done.snapshot.files)
    Archive(tmp_path / "again").restore(tmp_path / "safe")
    assert held(tmp_path / "again") == before
    with Store.open(tmp_path / "again") as store:
        (kept,) = store.others()
        assert kept.rows().keyframe_vectors.shape[1] == 24
        assert [video.video_id for video in kept.rows().videos] == ["id-v1"]
    assert [f for f in Archive(tmp_path / "again").verify() if "picture" not in f.what] == []


# --- beside a writer -----------------------------------------------------------------------------


def _write_on(folder: Path) -> None:
    """Publishes, replaces and removes as fast as it can, each video with one number of shots."""
    rng = random.Random(7)
    with Store.open(folder) as store:
        while True:
            names = [f"w{rng.randrange(6)}" for _ in range(2)]
            if rng.random() < 0.2:
                store.remove_videos([f"id-{name}" for name in names])
            else:
                shots = rng.randint(1, 6)
                made = [analyzed_video(n, shots=shots, seed=shots) for n in dict.fromkeys(names)]
                store.publish_many(made)
                if rng.random() < 0.1:
                    store.optimize()
            time.sleep(0.1)


@pytest.mark.slow
def test_each_backup_beside_a_writer_is_the_archive_at_one_moment(
    folder: Path, tmp_path: Path
) -> None:
    writer = multiprocessing.get_context("spawn").Process(target=_write_on, args=(folder,))
    writer.start()
    names = []
    try:
        versions = len(list((folder / "videos.lance" / "_versions").iterdir()))
        while len(list((folder / "videos.lance" / "_versions").iterdir())) < versions + 2:
            assert writer.is_alive()
            time.sleep(0.05)
        for _ in range(4):
            names.append(Archive(folder).backup(tmp_path / "safe").snapshot.name)
            time.sleep(0.3)
        assert writer.is_alive()
    finally:
        writer.kill()
        writer.join()
    states = set()
    for name in names:
        target = tmp_path / name
        Archive(target).restore(tmp_path / "safe", snapshot=name)
        seen = held(target)
        assert {"id-v1", "id-v2"} <= {video[0] for video in seen["videos"]}  # type: ignore[attr-defined]
        assert [f for f in Archive(target).verify() if "picture" not in f.what] == []
        states.add(str(seen["videos"]))
    assert len(states) > 1  # the writer was at work indeed


def test_a_merge_while_large_files_are_copied_is_no_reason_to_give_up(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One merge, when more time went by than the archive is waited for."""
    put, merged = snapshots.put, []

    def slowly(where: Path, source: Path, known: set[str]) -> tuple[str, int, bool]:
        if not merged and "keyframes.lance/data" in source.as_posix():
            time.sleep(0.3)  # as the minutes that a large file takes
            with Store.open(folder) as writer:
                writer.publish_many([analyzed_video("v3")])
                writer.optimize(force=True)
            merged.append(not source.exists())
        return put(where, source, known)

    monkeypatch.setattr(snapshots, "put", slowly)
    Archive(folder).backup(tmp_path / "safe", wait_s=0.2)
    assert merged == [True]
    Archive(tmp_path / "again").restore(tmp_path / "safe")
    assert held(tmp_path / "again") == held(folder)


def test_an_archive_of_which_no_moment_is_found_is_busy(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter(range(10**6))
    monkeypatch.setattr(backup, "_states", lambda _: {"": (next(numbers), "")})
    with pytest.raises(ArchiveBusy, match="written to all the time"):
        Archive(folder).backup(tmp_path / "safe", wait_s=0.3)


# --- killed --------------------------------------------------------------------------------------

_KILLED = """
import os, signal, sys
from pathlib import Path
from vidsearch import Archive, backup, snapshots
backup._NOTED_EVERY_S = 0
left = int(sys.argv[1])
def deadly(step):
    def run(*arguments):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments)
    return run
for name in ("put", "get", "write", "remove", "sweep"):
    setattr(snapshots, name, deadly(getattr(snapshots, name)))
if sys.argv[2] == "backup":
    Archive(sys.argv[3]).backup(sys.argv[4], keep=1)
else:
    Archive(sys.argv[3]).restore(sys.argv[4])
"""


def _killed(after: int, what: str, folder: Path, place: Path) -> bool:
    command = [sys.executable, "-c", _KILLED, str(after), what, str(folder), str(place)]
    code = subprocess.run(command, timeout=60).returncode
    assert code in (0, -signal.SIGKILL)
    return code != 0


@pytest.mark.slow
def test_a_backup_that_is_killed_leaves_those_before_it(folder: Path, tmp_path: Path) -> None:
    safe = tmp_path / "safe"
    first, before = Archive(folder).backup(safe).snapshot, held(folder)
    with Store.open(folder) as writer:
        writer.publish_many([analyzed_video("v9", shots=4)])
        writer.add_person(person("Marco Bianchi"))
    for after in (0, 1, 5):
        assert _killed(after, "backup", folder, safe)
        assert [each.name for each in listed(safe)] == [first.name]
        check(safe)
    Archive(tmp_path / "then").restore(safe)
    assert held(tmp_path / "then") == before
    after = 6
    while _killed(after, "backup", folder, safe):  # on: the snapshot's file, what is taken away
        after += 1
        check(safe)
    assert len(listed(safe)) == 1
    assert not list(safe.rglob("*.part"))
    Archive(tmp_path / "now").restore(safe)
    assert held(tmp_path / "now") == held(folder)


class Reading:
    """Counts the files of an archive that a backup reads, and fails after so many of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: list[str] = []
        self.left = 10**6
        self._put = snapshots.put
        monkeypatch.setattr(snapshots, "put", self._counted)

    def _counted(self, where: Path, source: Path, known: set[str]) -> tuple[str, int, bool]:
        if len(self.files) == self.left:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.files.append(str(source))
        return self._put(where, source, known)


@pytest.mark.parametrize(
    "how", ["the disk is full", pytest.param("killed", marks=pytest.mark.slow)]
)
def test_what_a_backup_has_copied_that_did_not_end_is_not_read_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    safe, reading = tmp_path / "safe", Reading(monkeypatch)
    if how == "killed":
        assert _killed(9, "backup", folder, safe)
        before = set(json.loads((safe / "unfinished.json").read_bytes())["files"])
    else:
        reading.left = 9
        with pytest.raises(BackupFailed, match="no space left"):
            Archive(folder).backup(safe)
        before = {os.path.relpath(file, folder) for file in reading.files}
        reading.files, reading.left = [], 10**6
    assert len(before) == 9
    done = Archive(folder).backup(safe)
    read = {os.path.relpath(file, folder) for file in reading.files}
    assert read == set(done.snapshot.files) - before
    assert not (safe / "unfinished.json").exists()
    check(safe)
    Archive(tmp_path / "again").restore(safe)
    assert held(tmp_path / "again") == held(folder)


def test_what_a_backup_that_did_not_end_holds_of_who_was_forgotten_is_told_and_goes(
    real: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safe, name = tmp_path / "safe", "Lin-Manuel Miranda"
    jpeg = real.person(name).photos[0].jpeg
    with monkeypatch.context() as patched:
        patched.setattr(snapshots, "write", _dying)
        with pytest.raises(SystemExit, match="killed"):
            real.backup(safe)
    assert _bytes_of(safe, jpeg) != []
    told: list[str] = []
    Archive(real.path, waiting=told.append).forget_person(name)
    assert f"vidsearch backup {safe} --archive {real.path} --keep 1" in told[-1]
    real.backup(safe, keep=1)
    assert _bytes_of(safe, jpeg) == []


@pytest.mark.slow
def test_a_restore_that_is_killed_is_no_archive_and_is_gone_on_with(
    folder: Path, tmp_path: Path
) -> None:
    safe, target = tmp_path / "safe", tmp_path / "again"
    n = len(Archive(folder).backup(safe).snapshot.files)
    for after in (0, 3, n // 2):
        assert _killed(after, "restore", target, safe)
        assert not is_archive(target)
        _is_refused(target, safe)
    Archive(target).restore(safe)
    assert held(target) == held(folder)
    with pytest.raises(BackupFailed, match="is not empty"):
        Archive(target).restore(safe)


_KILLED_FORGETTING = """
import os, signal, sys
from pathlib import Path
from vidsearch import Archive, audit, forget, restore, stamp, store, tables
left = int(sys.argv[1])
def deadly(step, counts=lambda *arguments: True):
    def run(*arguments, **options):
        global left
        left -= counts(*arguments)
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments, **options)
    return run
for module in (audit, forget, restore, stamp):  # the small files: marks, records, journals
    module.write_whole = deadly(module.write_whole)
for name in ("overwrite", "tidy"):
    setattr(tables.Tables, name, deadly(getattr(tables.Tables, name)))
for name in ("optimize", "close"):
    setattr(store.Store, name, deadly(getattr(store.Store, name)))
telling = ("restoring.json", "forgetting.json")
Path.unlink = deadly(Path.unlink, lambda file, *_: file.name in telling)
Archive(sys.argv[2]).restore(sys.argv[3], snapshot=sys.argv[4])
"""


def _is_refused(target: Path, safe: Path) -> None:
    """Nobody may open what was not restored to the end, and everybody is told what to do."""
    archive = Archive(target)
    for opening in (
        archive.videos,
        archive.people,
        archive.verify,
        archive._open.writer().__enter__,
        lambda: archive.query("a man"),
        lambda: archive.index([OLD_ARCHIVES / "videos"]),
        lambda: archive.backup(safe.parent / "of what is not whole"),
    ):
        with pytest.raises(ArchiveUnavailable, match=f"restore {safe} --archive {target}"):
            opening()


@dataclass(frozen=True)
class Old:
    """A snapshot of before somebody was forgotten, and all pictures that went with them."""

    name: str
    files: Mapping[str, Held]
    jpegs: tuple[bytes, ...]

    def traces_in(self, folder: Path) -> list[Path]:
        return [file for jpeg in self.jpegs for file in _bytes_of(folder, jpeg)]


def _pictures(archive: Archive) -> set[bytes]:
    photos = {photo.jpeg for person in archive.people() for photo in person.photos}
    tables = archive._open.reader._tables
    kept = [tables.read(name, ["thumbnail"]).to_pylist() for name in ("faces", "keyframes")]
    return photos | {bytes(row["thumbnail"] or b"") for rows in kept for row in rows}


@pytest.fixture
def old(real: Archive, tmp_path: Path) -> Old:
    """In `safe`, of before Lin-Manuel Miranda was forgotten; `real`, and a later one, know it."""
    with real._open.writer():  # of today's layout: then all that is counted is of the forgetting
        pass
    before = _pictures(Archive(real.path))
    first = real.backup(tmp_path / "safe").snapshot
    real.forget_person("Lin-Manuel Miranda")
    real.backup(tmp_path / "safe")
    gone = before - _pictures(Archive(real.path))
    assert len(gone) > 2  # their photo, faces, and keyframes
    return Old(first.name, first.files, tuple(gone))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_restore_that_is_killed_while_it_forgets_shows_nobody_who_was_forgotten(
    old: Old, tmp_path: Path
) -> None:
    safe, kills = tmp_path / "safe", 0
    while True:
        target = tmp_path / f"killed-{kills}"
        command = [sys.executable, "-c", _KILLED_FORGETTING, str(kills), target, safe, old.name]
        code = subprocess.run(command, timeout=300).returncode
        if code == 0:
            break
        assert code == -signal.SIGKILL
        if (target / UNFINISHED).exists():
            _is_refused(target, safe)
            Archive(target).restore(safe, snapshot=old.name)
        elif target.exists() and any(target.iterdir()):  # after the last step: it is whole
            assert is_archive(target)
        if is_archive(target):
            assert Archive(target).people() == []
            assert Archive(target).query("Lin-Manuel Miranda").hits == ()
            assert [f for f in Archive(target).verify() if f.mend != "copy"] == []
            assert old.traces_in(target) == [], f"killed before step {kills}"
        kills += 1
    assert kills > 20  # the mark, the stamp, the record, the journal, each table twice, and so on


def test_before_all_are_forgotten_again_a_restored_archive_is_opened_by_nobody(
    old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safe, target = tmp_path / "safe", tmp_path / "again"
    with monkeypatch.context() as patched:
        patched.setattr(Archive, "_forget_in", _dying)
        with pytest.raises(SystemExit, match="killed"):
            Archive(target).restore(safe, snapshot=old.name, forgotten=tmp_path / "real")
    _is_refused(target, safe)
    told = f"--snapshot {old.name} --forgotten {tmp_path / 'real'}"
    with pytest.raises(ArchiveUnavailable, match=told):
        Store.create(target, **MODELS)
    assert Archive(target).restore(safe, snapshot=old.name).forgotten == 1
    assert Archive(target).people() == []


def test_a_restore_that_is_gone_on_with_brings_no_byte_back_of_who_was_forgotten_again(
    old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safe, target = tmp_path / "safe", tmp_path / "again"
    with monkeypatch.context() as patched:
        patched.setattr(Store, "optimize", _dying)  # when all is forgotten, and the journal gone
        with pytest.raises(SystemExit, match="killed"):
            Archive(target).restore(safe, snapshot=old.name)
    assert old.traces_in(target) == []
    lost = [path for path in old.files if not (target / path).exists()]
    assert any(path.startswith("faces.lance/data/") for path in lost)
    for path in lost:  # as a try by an earlier version copied them back
        sha256 = old.files[path].sha256
        shutil.copyfile(safe / "objects" / sha256[:2] / sha256, target / path)
    assert old.traces_in(target) != []
    assert Archive(target).restore(safe, snapshot=old.name).forgotten == 1
    assert old.traces_in(target) == []
    assert len(Archive(target).forgotten()) == 3
    assert Archive(target).verify() == []


def _dying(*_: object, **__: object) -> None:
    raise SystemExit("killed")


# --- what is refused and found -------------------------------------------------------------------


def test_a_damaged_or_missing_object_is_found_and_never_restored(
    folder: Path, tmp_path: Path
) -> None:
    safe = tmp_path / "safe"
    made = Archive(folder).backup(safe).snapshot
    path = next(path for path in made.files if path.startswith("keyframes.lance/data"))
    sha256 = made.files[path].sha256
    file = safe / "objects" / sha256[:2] / sha256
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    for bad in ("is damaged", "is missing"):
        with pytest.raises(BackupFailed, match=bad):
            check(safe)
        with pytest.raises(BackupFailed, match=f"{sha256} {bad}"):
            Archive(tmp_path / "again").restore(safe)
        assert not is_archive(tmp_path / "again")
        file.unlink(missing_ok=True)


def test_places_that_will_not_do_are_refused(folder: Path, tmp_path: Path) -> None:
    for place in (folder, folder / "inside", folder.parent):
        with pytest.raises(BackupFailed, match="lie in each other"):
            Archive(folder).backup(place)
    with pytest.raises(BackupFailed, match="There is no backup in"):
        Archive(tmp_path / "again").restore(tmp_path / "nowhere")
    Archive(folder).backup(tmp_path / "safe")
    with pytest.raises(BackupFailed, match="is not empty"):
        Archive(folder).restore(tmp_path / "safe")
    with pytest.raises(BackupFailed, match="has no snapshot x; there are:"):
        Archive(tmp_path / "again").restore(tmp_path / "safe", snapshot="x")
    with pytest.raises(ArchiveUnavailable, match="There is no archive"):
        Archive(tmp_path / "none").backup(tmp_path / "other")


# --- who was forgotten ---------------------------------------------------------------------------


def _bytes_of(folder: Path, what: bytes) -> list[Path]:
    return [f for f in folder.rglob("*") if f.is_file() and what in f.read_bytes()]


@pytest.mark.parametrize("known_by", ["a later backup", "the archive itself"])
def test_who_was_forgotten_since_does_not_come_back(
    real: Archive, tmp_path: Path, known_by: str
) -> None:
    safe, name = tmp_path / "safe", "Lin-Manuel Miranda"
    jpeg = real.person(name).photos[0].jpeg
    first = real.backup(safe).snapshot
    told: list[str] = []
    Archive(real.path, waiting=told.append).forget_person(name)
    assert f"vidsearch backup {safe} --archive {real.path} --keep 1" in told[-1]
    if known_by == "a later backup":
        real.backup(safe)
    lost = None if known_by == "a later backup" else real.path
    done = Archive(tmp_path / "again").restore(safe, snapshot=first.name, forgotten=lost)
    assert done.forgotten == 1
    again = Archive(tmp_path / "again")
    assert again.people() == []
    assert _bytes_of(again.path, name.encode()) == _bytes_of(again.path, jpeg) == []
    assert len(again.forgotten()) == 3  # what was known, the later line, and that it was done again
    assert again.verify() == []
    assert _bytes_of(safe, jpeg) != []  # until the old snapshot goes, as the command said
    real.backup(safe, keep=1)
    assert _bytes_of(safe, jpeg) == []


def test_an_archive_that_knows_of_nobody_hides_nobody_who_was_forgotten(
    real: Archive, tmp_path: Path
) -> None:
    safe = tmp_path / "safe"
    first = real.backup(safe).snapshot
    real.forget_person("Lin-Manuel Miranda")
    real.backup(safe)
    with pytest.raises(BackupFailed, match="is no archive that could know who was forgotten"):
        Archive(tmp_path / "again").restore(safe, snapshot=first.name, forgotten=tmp_path / "typo")
    other = Archive(tmp_path / "other")
    Archive(tmp_path / "again").restore(safe, snapshot=first.name)
    other.restore(safe, snapshot=first.name, forgotten=tmp_path / "again")
    assert other.people() == []


def test_who_was_enrolled_again_since_stays(real: Archive, tmp_path: Path) -> None:
    name = "Joe Biden"  # forgotten when the archive was made
    photo = Path(__file__).parents[2] / "examples" / "media" / "people" / "Joe_Biden.jpg"
    real.enrol(name, [photo], allow=True)
    real.backup(tmp_path / "safe")
    assert Archive(tmp_path / "again").restore(tmp_path / "safe").forgotten == 0
    assert name in {person.name for person in Archive(tmp_path / "again").people()}


# --- stores and commands -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    with object_store() as running:
        yield running


@pytest.mark.slow
def test_backups_and_archives_may_lie_on_s3(
    store: ObjectStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place, state = store.url("safe"), held(folder)
    first = Archive(folder).backup(place)
    with store.counted() as requests:
        assert Archive(folder).backup(place).copied == 0
    assert not [r for r in requests if r.method == "PUT" and "/objects/" in r.path]
    Archive(store.url("archive")).restore(place)  # from a store into a store
    stored = Archive(store.url("archive"))
    assert {video.video_id for video in stored.videos()} == {"id-v1", "id-v2"}
    stored.backup(tmp_path / "local")  # from a store to a disk
    assert Archive(store.url("archive")).backup(tmp_path / "local").copied == 0
    Archive(tmp_path / "again").restore(tmp_path / "local")
    assert held(tmp_path / "again") == state
    store.fail(503, where=lambda method, path: method in ("PUT", "POST"))
    with Store.open(folder) as writer:
        writer.publish_many([analyzed_video("v9")])
    with pytest.raises(BackupFailed, match="What was there before is kept"):
        Archive(folder).backup(place)
    store.heal()
    assert listed(stored.path.parent / "safe")[0].name == first.snapshot.name


@pytest.mark.slow
def test_the_commands_say_what_they_did(real: Archive, tmp_path: Path) -> None:
    safe, again = tmp_path / "safe", tmp_path / "again"
    done = run("backup", safe, "--archive", real.path, "--check", "--json")
    assert done.returncode == 0, done.stderr
    name = json.loads(done.stdout)["snapshot"]
    (row,) = json.loads(run("restore", safe, "--list", "--json").stdout)
    assert row["snapshot"] == name
    shown = run("restore", safe, "--list")
    assert name in shown.stdout
    back = run("restore", safe, "--archive", again)
    assert back.returncode == 0, back.stderr
    assert f"restored from the snapshot {name}" in back.stdout
    assert "the archive is sound" in back.stdout
    refused = run("restore", safe, "--archive", again)
    assert refused.returncode == 2
    assert "is not empty" in refused.stderr
    found = run("query", "Lin-Manuel Miranda", "--archive", again, "--json")
    assert os.path.basename(json.loads(found.stdout)["hits"][0]["video"]) == "poetry.mp4"
    assert run("restore", tmp_path / "nowhere", "--list").returncode == 1
