"""Another encoder for an archive: new rows beside the old ones, switched at once, and back."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from small_encoder import small_encoder
from stored_rows import assert_nearly
from videos import cut_off, encode

from vidsearch import Archive, forget, generations, reindexing
from vidsearch.cli import main
from vidsearch.errors import ArchiveMismatch, ArchiveUnavailable, VidsearchError
from vidsearch.indexing import Indexed
from vidsearch.records import Label, Member
from vidsearch.schema import CONTENT
from vidsearch.stamp import read_stamp
from vidsearch.store import Store

pytest.importorskip("onnx", reason="making a small encoder needs the package onnx")

SINGER = "Lin-Manuel Miranda"
ROWS = ("videos", *CONTENT)
Tables = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an encoder that is not the default."""
    return small_encoder(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def footage(example_media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos: one with people beside each other, two without anybody."""
    folder = tmp_path_factory.mktemp("footage")
    shutil.copy2(example_media / "white-house-poetry.mp4", folder / "poetry.mp4")
    encode(folder / "short.mp4", n_frames=30)
    encode(folder / "tall.mp4", n_frames=40, size=(180, 320))
    return folder


@pytest.fixture(scope="module")
def indexed(footage: Path, example_media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their archive, by the default encoder, with somebody enrolled and a file that failed."""
    folder = tmp_path_factory.mktemp("indexed") / "archive"
    (folder.parent / "broken.mp4").write_bytes(b"no video")
    archive = Archive(folder)
    archive.index([footage, folder.parent / "broken.mp4"])
    archive.enrol(SINGER, [example_media / "people" / "Lin-Manuel_Miranda.jpg"])
    archive.discover()
    return folder


@pytest.fixture(scope="module")
def fresh(footage: Path, other: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the same videos that was made with the other encoder."""
    folder = tmp_path_factory.mktemp("fresh") / "archive"
    Archive(folder, encoder=other).index([footage])
    return folder


@pytest.fixture
def archive(indexed: Path, tmp_path: Path) -> Archive:
    return Archive(shutil.copytree(indexed, tmp_path / "archive"))


def rows_in(folder: Path, ids: Sequence[str] = ()) -> Tables:
    """The rows that count, by table, in an order of their own; of some videos, or of all."""
    found = {}
    with Store.open(folder, read_only=True) as store:
        for name in ROWS:
            read = store._tables.read(name).to_pylist()
            read = [row for row in read if not ids or row["video_id"] in ids]
            order = ("video_id", "shot", "time_s", "track", "look")
            found[name] = sorted(read, key=lambda row: [row.get(column, 0) for column in order])
    return found


def assert_same(
    one: dict[str, list[dict[str, Any]]], other: dict[str, list[dict[str, Any]]]
) -> None:
    """Ids, times, boxes and pictures are equal, vectors nearly."""
    for name in ROWS:
        assert len(one[name]) == len(other[name]), name
        for row, twin in zip(one[name], other[name], strict=True):
            for column in row.keys() - {"generation", "indexed_at", "place", "packed"}:
                if column == "vector":
                    assert_nearly(row[column], twin[column])
                else:
                    assert row[column] == twin[column], (name, column)


def with_rows(archive: Archive) -> list[str]:
    return [video.video_id for video in archive.videos() if video.status != "failed"]


def asked_all(archive: Archive) -> list[tuple[str, int, float]]:
    hits = archive.query("a man in a suit", k=100).hits
    assert hits
    return [(hit.video_id, hit.shot, round(hit.score, 5)) for hit in hits]


# --- the new rows --------------------------------------------------------------------------------


def test_the_rows_are_those_of_a_fresh_index_with_the_other_encoder(
    archive: Archive, fresh: Path, other: str
) -> None:
    before = rows_in(archive.path)
    assert len(before["figures"]) > 2  # so that figures are compared too
    report, outcome = archive.reindex(encoder=other)
    assert outcome.switched
    assert len(report.indexed) == 3
    assert read_stamp(archive.path).encoder == other
    ids = with_rows(archive)
    assert_same(rows_in(archive.path, ids), rows_in(fresh))
    assert asked_all(archive) == asked_all(Archive(fresh))
    assert archive.verify() == []
    failed = [video for video in archive.videos() if video.status == "failed"]
    assert [video.path.endswith("broken.mp4") for video in failed] == [True]
    assert archive.query(SINGER).hits  # people are as they were
    assert archive.index([archive.video(each).path for each in ids]).planned.unchanged == 3
    assert archive.jobs()[0].paths == (f"reindex --encoder {other}",)


def test_questions_are_answered_from_the_old_rows_until_the_switch(
    archive: Archive, other: str
) -> None:
    early = Archive(archive.path)
    before = asked_all(early)
    seen = 0
    for event in archive.reindexing(encoder=other):
        if not isinstance(event, reindexing.Outcome):
            assert asked_all(Archive(archive.path)) == before
            assert asked_all(early) == before
            seen += isinstance(event, Indexed)
    assert seen == 3
    assert asked_all(early) == before  # who opened it before keeps what it has
    assert asked_all(Archive(archive.path)) != before
    assert asked_all(archive) == asked_all(Archive(archive.path))


@pytest.mark.slow
def test_with_another_detector_shots_are_found_anew(
    archive: Archive, footage: Path, tmp_path: Path
) -> None:
    Archive(tmp_path / "fresh").index([footage], detector="content")
    _, outcome = archive.reindex(detector="content")
    assert outcome.switched
    assert outcome.after.detector == "content"
    assert_same(rows_in(archive.path, with_rows(archive)), rows_in(tmp_path / "fresh"))
    assert archive.verify() == []


def test_clusters_keep_faces_that_only_the_rows_beside_have(archive: Archive, other: str) -> None:
    poetry = next(v.video_id for v in archive.videos() if v.path.endswith("poetry.mp4"))
    lost = Member(7, 7000, poetry, 1.0, (0.0, 0.0, 0.01, 0.01))  # of no track that counts
    archive.reindex(encoder=other)
    with Store.open(archive.path) as store:
        store.put_members([*store.members(), lost])
    for kept in (True, False):
        archive.discover()
        with Store.open(archive.path, read_only=True) as store:
            assert (lost in store.members()) == kept
        if kept:
            archive.confirm_reindex()


def test_a_damaged_video_keeps_what_could_be_read_of_it(other: str, tmp_path: Path) -> None:
    whole = encode(tmp_path / "whole.mkv", n_frames=100)
    file = cut_off(whole, 0.5)
    file.write_bytes(file.read_bytes()[:-600] + os.urandom(600))
    archive = Archive(tmp_path / "archive")
    (video,) = archive.index([file]).indexed
    assert video.n_frames < 100
    assert archive.reindex(encoder=other)[1].switched
    Archive(tmp_path / "fresh", encoder=other).index([file])
    assert_same(rows_in(archive.path), rows_in(tmp_path / "fresh"))


def test_an_archive_of_an_older_layout_can_be_reindexed(archive: Archive, other: str) -> None:
    file = archive.path / "archive.json"
    facts = json.loads(file.read_text())
    for name in ("content", "detector", "began_at", "beside", "building"):
        facts.pop(name)
    file.write_text(json.dumps(facts | {"schema": 5}))
    assert archive.reindex(encoder=other)[1].switched
    assert archive.verify() == []


# --- back and for good ---------------------------------------------------------------------------


def test_the_way_back_leads_to_the_old_rows_and_forth_again(archive: Archive, other: str) -> None:
    before, answers = rows_in(archive.path), asked_all(archive)
    archive.reindex(encoder=other)
    after = rows_in(archive.path)
    video, who = with_rows(archive)[0], archive.person(SINGER).person_id
    said = Label("l", video, 1.0, (0.1, 0.1, 0.2, 0.2), who, False, 1.0)
    archive.rename(SINGER, "Lin-Manuel")  # what is said of people meanwhile is not lost
    with Store.open(archive.path) as store:
        store.add_labels([said])
        members = store.members()
    assert members
    assert archive.reindex_back().after.content == ""
    assert rows_in(archive.path) == before
    assert asked_all(archive) == answers
    assert [person.name for person in archive.people()] == ["Lin-Manuel"]
    with Store.open(archive.path, read_only=True) as store:
        assert store.labels() == [said]
        assert store.members() == members
    archive.reindex_back()
    assert rows_in(archive.path) == after
    assert archive.verify() == []


def test_what_was_confirmed_is_gone_from_the_disk(archive: Archive, other: str) -> None:
    early = Archive(archive.path)
    early.query("a man")
    archive.reindex(encoder=other)
    (kept,) = archive.stats().kept
    assert (kept.role, kept.videos) == ("before", 3)
    assert archive.stats().disk["kept beside"] == kept.size > 10_000
    folder = sum(file.stat().st_size for file in archive.path.rglob("*") if file.is_file())
    assert sum(archive.stats().disk.values()) == folder
    freed = archive.confirm_reindex()
    assert freed == kept.size
    left = sum(file.stat().st_size for file in archive.path.rglob("*") if file.is_file())
    assert folder - left == pytest.approx(freed, abs=1000)  # the stamp is shorter now
    assert not [name for name in ROWS if (archive.path / f"{name}.lance").exists()]
    assert archive.verify() == []
    assert archive.stats().kept == ()
    assert asked_all(Archive(archive.path))
    with pytest.raises(VidsearchError, match="keeps no rows to go back to"):
        archive.reindex_back()
    with pytest.raises(VidsearchError, match="keeps no rows beside"):
        archive.confirm_reindex()
    with pytest.raises(ArchiveUnavailable, match="reindexed meanwhile"):
        early.videos()


@pytest.mark.slow
def test_an_archive_that_was_confirmed_is_reindexed_again(archive: Archive, other: str) -> None:
    before = rows_in(archive.path, with_rows(archive))
    for encoder in (other, "concept"):
        archive.reindex(encoder=encoder)
        archive.confirm_reindex()
    assert_same(rows_in(archive.path, with_rows(archive)), before)
    assert len(list((archive.path / "generations").iterdir())) == 1
    assert archive.verify() == []


def test_one_at_a_time(archive: Archive, other: str, tmp_path: Path) -> None:
    third = small_encoder(tmp_path / "third", seed=3)
    with pytest.raises(VidsearchError, match="no reindex of the archive"):
        archive.drop_reindex()
    with pytest.raises(VidsearchError, match="is of the encoder 'concept' already"):
        archive.reindex(encoder="concept")
    next(archive.reindexing(encoder=other))
    with pytest.raises(VidsearchError, match=r"(?s)was begun and is not finished.*--drop"):
        archive.reindex(encoder=third)
    assert [kept.role for kept in archive.stats().kept] == ["building"]
    assert archive.drop_reindex() > 0
    assert list((archive.path / "generations").iterdir()) == []
    assert archive.reindex(encoder=other)[1].switched
    with pytest.raises(VidsearchError, match=r"(?s)still keeps the rows.*--confirm.*--back"):
        archive.reindex(encoder=third)


# --- what changes meanwhile ----------------------------------------------------------------------


def test_what_was_indexed_and_forgotten_since_goes_along(
    archive: Archive, fresh: Path, footage: Path, other: str, tmp_path: Path
) -> None:
    for event in archive.reindexing(encoder=other):
        if isinstance(event, Indexed):
            break  # stopped by hand
    archive.forget_videos([str(footage / "tall.mp4")])
    assert archive.index([footage / "tall.mp4"]).planned.todo == 1
    archive.index([footage / "short.mp4"], force=True)
    report, outcome = archive.reindex()
    assert outcome.switched
    assert_same(rows_in(archive.path, with_rows(archive)), rows_in(fresh))
    new = encode(tmp_path / "new.mp4", n_frames=25)
    archive.index([new])
    archive.forget_videos([str(footage / "short.mp4")])
    back = archive.reindex_back()
    assert [video.path for video in back.behind] == [str(new)]
    names = {Path(video.path).name for video in archive.videos()}
    assert names == {"broken.mp4", "poetry.mp4", "tall.mp4"}  # what was forgotten stays forgotten
    archive.reindex_back()
    report, outcome = archive.reindex(encoder="concept")  # brings over what it lacks, and no more
    assert [Path(video.path).name for video in report.indexed] == ["new.mp4"]
    assert outcome.behind == ()
    assert read_stamp(archive.path).encoder == "concept"
    assert str(new) in {video.path for video in archive.videos()}
    assert archive.verify() == []


def test_rows_of_an_older_layout_come_out_packed(archive: Archive, other: str) -> None:
    with Store.open(archive.path) as store:
        for name in CONTENT:
            store._tables.open(name).drop_columns(["packed"])
        store.renew_copies()
    assert archive.verify() == []
    archive.reindex(encoder=other)
    found = rows_in(archive.path)
    assert all("packed" in row for name in CONTENT for row in found[name])
    assert all(found[name] for name in CONTENT)
    assert archive.verify() == []


def test_moved_files_are_known_where_they_are_after_the_way_back(
    example_media: Path, other: str, tmp_path: Path
) -> None:
    first = encode(tmp_path / "first.mp4", n_frames=25)
    archive = Archive(tmp_path / "archive")
    archive.index([first])
    archive.reindex(encoder=other)
    moved = first.rename(tmp_path / "moved.mp4")
    archive.index([moved])
    archive.reindex_back()
    assert [video.path for video in archive.videos()] == [str(moved)]


def test_files_that_are_gone_keep_it_from_switching(
    indexed: Path, other: str, footage: Path, tmp_path: Path
) -> None:
    place = Path(shutil.copytree(footage, tmp_path / "footage"))
    archive = Archive(tmp_path / "archive")
    archive.index([place])
    away = tmp_path / "away.mp4"
    (place / "poetry.mp4").rename(away)
    report, outcome = archive.reindex(encoder=other)
    assert not outcome.switched
    assert [(Path(bad.path).name, bad.reason) for bad in outcome.lacking] == [
        ("poetry.mp4", "its file is gone, or is another one now; its thumbnails are kept")
    ]
    assert read_stamp(archive.path).encoder == "concept"
    assert [Path(video.path).name for video in report.indexed] == ["short.mp4", "tall.mp4"]

    pictured = Archive(shutil.copytree(archive.path, tmp_path / "pictured"))
    report, outcome = pictured.reindex(thumbnails=True)
    assert outcome.switched
    assert report.planned.unchanged == 2
    assert pictured.verify() == []
    away.rename(place / "poetry.mp4")
    Archive(tmp_path / "fresh", encoder=other).index([place])
    near, exact = (rows_in(f)["keyframes"] for f in (pictured.path, tmp_path / "fresh"))
    cosines = [np.dot(a["vector"], b["vector"]) for a, b in zip(near, exact, strict=True)]
    assert min(cosines) > 0.95

    (place / "poetry.mp4").rename(away)
    report, outcome = archive.reindex(leave_out=True)
    assert outcome.switched
    assert len(outcome.lacking) == 1
    left = {Path(video.path).name: video.status for video in archive.videos()}
    assert left == {"poetry.mp4": "failed", "short.mp4": "indexed", "tall.mp4": "indexed"}
    assert archive.verify() == []
    away.rename(place / "poetry.mp4")
    assert [Path(v.path).name for v in archive.index([place]).indexed] == ["poetry.mp4"]
    assert_same(rows_in(archive.path), rows_in(tmp_path / "fresh"))


def test_a_file_with_other_content_under_the_name_is_not_taken_for_it(
    other: str, tmp_path: Path
) -> None:
    file = encode(tmp_path / "a.mp4", n_frames=25)
    archive = Archive(tmp_path / "archive")
    archive.index([file])
    encode(file, n_frames=30)
    assert not archive.reindex(encoder=other)[1].switched


# --- killed --------------------------------------------------------------------------------------


def killed(target: Any, *arguments: Any) -> None:
    """Run a function in a process of its own, which must kill itself."""
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


def reindex_and_die(folder: Path, encoder: str, at: int) -> None:
    """Kill this process at the `at`th thing that is written to the new rows."""
    from vidsearch import tables

    left = [at]

    def counted(real: Any) -> Any:
        def call(self: Any, *arguments: Any, **options: Any) -> Any:
            if str(getattr(self, "rows_folder", "generations/")).count("generations/"):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return real(self, *arguments, **options)

        return call

    reindexing.GROUP_VIDEOS = 1
    for owner, name in (
        (tables.Tables, "make"),
        (tables.Tables, "append"),
        (Store, "_put"),
        (Store, "optimize"),
    ):
        setattr(owner, name, counted(getattr(owner, name)))
    Archive(folder).reindex(encoder=encoder)


@pytest.mark.parametrize(
    "at", [12, *(pytest.param(at, marks=pytest.mark.slow) for at in (3, 7, 9, 17, 19))]
)
def test_killed_while_it_builds_it_goes_on_where_it_was(
    archive: Archive, fresh: Path, other: str, at: int
) -> None:
    before = rows_in(archive.path)
    killed(reindex_and_die, archive.path, other, at)
    assert rows_in(archive.path) == before
    assert read_stamp(archive.path).encoder == "concept"
    assert asked_all(Archive(archive.path))
    report, outcome = archive.reindex(encoder=other)
    assert outcome.switched
    # Making five tables comes first, then four tables and the list of videos for each of three.
    assert report.planned.unchanged == max(0, (at - 5) // 5)
    assert len(list((archive.path / "generations").iterdir())) == 1
    assert_same(rows_in(archive.path, with_rows(archive)), rows_in(fresh))
    assert archive.verify() == []


def switch_and_die(folder: Path, encoder: str, step: str) -> None:
    """Kill this process before or after the stamp is replaced that switches, or confirms."""
    real = generations.replace_stamp

    def deadly(folder: Path, before: Any, stamp: Any) -> None:
        last = stamp.building is None
        if last and step == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        real(folder, before, stamp)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)

    generations.replace_stamp = deadly  # type: ignore[assignment]
    if step == "confirm":
        Archive(folder).confirm_reindex()
    else:
        Archive(folder).reindex(encoder=encoder)


def test_killed_around_the_switch_it_is_the_old_or_the_new_rows(
    archive: Archive, fresh: Path, other: str
) -> None:
    before = rows_in(archive.path)
    killed(switch_and_die, archive.path, other, "before")
    assert rows_in(archive.path) == before
    killed(switch_and_die, archive.path, other, "after")
    assert_same(rows_in(archive.path, with_rows(archive)), rows_in(fresh))
    stamp = read_stamp(archive.path)
    assert (stamp.encoder, stamp.building) == (other, None)
    assert stamp.beside is not None
    killed(switch_and_die, archive.path, other, "confirm")
    assert (archive.path / "keyframes.lance").exists()
    with Store.open(archive.path):  # the next writer finishes it
        pass
    assert not (archive.path / "keyframes.lance").exists()
    assert_same(rows_in(archive.path, with_rows(archive)), rows_in(fresh))
    assert archive.verify() == []


def test_who_waited_for_the_lock_writes_to_the_rows_that_count_then(
    archive: Archive, other: str, tmp_path: Path
) -> None:
    waiting = Archive(archive.path)
    waiting.videos()  # it has read the stamp of before
    archive.reindex(encoder=other)
    new = encode(tmp_path / "new.mp4", n_frames=25)
    assert len(waiting.index([new]).indexed) == 1
    assert str(new) in {video.path for video in Archive(archive.path).videos()}
    assert archive.verify() == []


# --- forgetting ----------------------------------------------------------------------------------


def secrets_of(archive: Archive) -> Iterator[bytes]:
    """The bytes of the singer's faces in both generations, photos and names."""
    person = archive.person(SINGER)
    with Store.open(archive.path, read_only=True) as current:
        for store in (current, *(current.of(each) for each in current.stamp.others)):
            found = archive._traces_in(store, person, None)
            assert found.tracks or store.entries() == {}
            for row in store._tables.read("faces").to_pylist():
                if row["track"] in found.tracks.get((row["video_id"], row["shot"]), ()):
                    yield np.array(row["vector"], np.float32).tobytes()
                    if row["thumbnail"]:
                        yield bytes(row["thumbnail"])[-64:]
            for row in store._tables.read("figures").to_pylist():
                if row["track"] in found.tracks.get((row["video_id"], row["shot"]), ()):
                    yield np.array(row["vector"], np.float32).tobytes()
    yield from (photo.jpeg for photo in person.photos)
    yield SINGER.encode()


def found_in(folder: Path, secrets: Sequence[bytes]) -> int:
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return sum(any(secret in data for data in files) for secret in secrets)


@pytest.mark.parametrize("when", ["switched", "building"])
def test_who_is_forgotten_is_gone_from_both(archive: Archive, other: str, when: str) -> None:
    if when == "switched":
        archive.reindex(encoder=other)
    else:
        for event in archive.reindexing(encoder=other):
            if isinstance(event, Indexed):
                break
    secrets = list(secrets_of(archive))
    assert found_in(archive.path, secrets) == len(secrets) > 5
    archive.forget_person(SINGER)
    assert found_in(archive.path, secrets) == 0
    assert archive.verify() == []
    if when == "building":
        assert archive.reindex()[1].switched
        assert found_in(archive.path, secrets) == 0
    archive.reindex_back()
    assert found_in(archive.path, secrets) == 0
    assert archive.verify() == []


def forget_and_die(folder: Path, step: int) -> None:
    """Kill this process at the `step`th table that it writes anew."""
    left = [step]
    real = Store.change

    def counted(self: Store, *arguments: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        real(self, *arguments)

    Store.change = counted  # type: ignore[method-assign]
    Archive(folder).forget_person(SINGER)


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 4])
def test_a_forgetting_that_is_killed_is_finished_in_both(
    archive: Archive, other: str, step: int
) -> None:
    archive.reindex(encoder=other)
    secrets = list(secrets_of(archive))
    killed(forget_and_die, archive.path, step)
    assert forget.is_unfinished(archive.path)
    assert found_in(archive.path, secrets) > 0
    archive.reindex_back()  # whoever writes next finishes it
    assert found_in(archive.path, secrets) == 0
    assert archive.verify() == []


# --- upkeep --------------------------------------------------------------------------------------


def test_faults_of_the_rows_beside_are_told_and_mended(archive: Archive, other: str) -> None:
    archive.reindex(encoder=other)
    with Store.open(archive.path) as store:
        (beside,) = store.others()
        beside._tables.open("keyframes").delete("shot = 0")
        beside._commits += 1
    faults = archive.verify()
    assert faults
    assert all("kept beside, of the encoder concept" in fault.what for fault in faults)
    assert archive.repair().left == ()
    assert archive.verify() == []
    assert len(with_rows(archive)) == 3  # those that count were not touched
    archive.reindex_back()
    assert with_rows(archive) == []


@pytest.mark.slow
def test_a_backup_holds_both_and_who_is_forgotten_since_is_gone_from_both(
    archive: Archive, other: str, tmp_path: Path
) -> None:
    archive.reindex(encoder=other)
    secrets, answers = list(secrets_of(archive)), asked_all(archive)
    archive.backup(tmp_path / "backups")
    whole = Archive(tmp_path / "whole")
    whole.restore(tmp_path / "backups")
    assert whole.verify() == []
    assert asked_all(whole) == answers
    assert whole.reindex_back().switched
    assert whole.verify() == []
    archive.forget_person(SINGER)
    again = Archive(tmp_path / "again")
    assert again.restore(tmp_path / "backups", forgotten=archive.path).forgotten == 1
    assert found_in(again.path, secrets) == 0
    assert again.verify() == []


# --- the command ---------------------------------------------------------------------------------


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def test_index_with_another_encoder_names_the_command_that_changes_it(
    archive: Archive, footage: Path, other: str
) -> None:
    with pytest.raises(
        ArchiveMismatch, match=rf"vidsearch reindex --archive \S+ --encoder {other}"
    ):
        Archive(archive.path, encoder=other).index([footage])


def test_the_command_tells_what_changed_and_how_to_go_back(archive: Archive, other: str) -> None:
    at = ("--archive", archive.path)
    done = run("reindex", *at, "--encoder", other)
    assert done.exit_code == 0, done.output
    assert f"answered from the encoder {other} from now on" in done.stdout
    assert f"vidsearch reindex --archive {archive.path} --back" in done.stdout
    assert "kept        concept, 3 videos" in run("stats", *at).stdout
    told = json.loads(run("doctor", *at, "--json").stdout)["archive"]["rows before"]
    assert "encoder concept, 3 videos" in told["value"]
    assert "--confirm" in told["remedy"]
    back = json.loads(run("reindex", *at, "--back", "--json").stdout)
    assert (back["switched"], back["after"]["encoder"]) == (True, "concept")
    done = run("reindex", *at, "--confirm")
    assert (done.exit_code, "MB are free" in done.stdout) == (0, True)
    assert run("reindex", *at, "--confirm").exit_code == 2
    assert run("reindex", *at, "--back", "--encoder", other).exit_code == 2
    assert run("reindex", *at).exit_code == 2  # it is not said what to change


def test_the_command_says_what_keeps_it_from_switching(other: str, tmp_path: Path) -> None:
    file = encode(tmp_path / "a.mp4", n_frames=25)
    archive = Archive(tmp_path / "archive")
    archive.index([file])
    file.unlink()
    at = ("reindex", "--archive", archive.path)
    done = run(*at, "--encoder", other)
    assert done.exit_code == 3
    assert "not switched: 1 video could not be brought over" in done.stdout
    assert "--leave-out" in done.stdout
    assert "its file is gone" in done.stderr
    done = run(*at, "--thumbnails", "--json", "--quiet")
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert (told["switched"], told["lacking"], len(told["indexed"])) == (True, [], 1)
