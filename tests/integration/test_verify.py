"""Each invariant of the store: its fault is made in a real archive, found, mended or told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from videos import encode

from vidsearch import Archive
from vidsearch.cli import main
from vidsearch.errors import ArchiveUnavailable
from vidsearch.records import Label, Member
from vidsearch.schema import LATER
from vidsearch.store import Store

Row = dict[str, Any]
CLIP = "white-house-poetry.mp4"


@pytest.fixture(scope="module")
def sound(example_media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of two videos and one person; asked but not changed."""
    folder = tmp_path_factory.mktemp("sound")
    archive = Archive(folder / "archive")
    archive.index([example_media / CLIP, encode(folder / "numbers.mp4")])
    archive.enrol("Joe Biden", [example_media / "people" / "Joe_Biden.jpg"])
    return folder / "archive"


@pytest.fixture
def archive(sound: Path, tmp_path: Path) -> Archive:
    shutil.copytree(sound, tmp_path / "archive")
    return Archive(tmp_path / "archive")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def change(archive: Archive, table: str, edit: Callable[[list[Row]], list[Row] | None]) -> None:
    """Let `edit` change the rows of the White House clip (all rows of `people` and the like)."""
    with Store.open(archive.path) as store:
        clip = next(v.video_id for v in store.videos() if v.path.endswith(CLIP))
        rows = store._tables.read(table).to_pylist()
        order = [name for name in ("shot", "track", "look", "start_s") if rows and name in rows[0]]
        chosen = [row for row in rows if row.get("video_id", clip) == clip]
        rest = [row for row in rows if row.get("video_id", clip) != clip]
        chosen.sort(key=lambda row: [row[name] for name in order])
        edited = edit(chosen)
        made = pa.Table.from_pylist([*(chosen if edited is None else edited), *rest],
                                    schema=store._schemas[table])  # fmt: skip
        store._rewrite(table, made)


def put(row: int, **values: Any) -> Callable[[list[Row]], None]:
    return lambda rows: rows[row].update(values)


def test_a_sound_archive_has_no_fault(sound: Path) -> None:
    assert Archive(sound).verify() == []
    told = run("verify", "--archive", sound)
    assert (told.exit_code, told.stdout) == (0, "the archive is sound\n")
    assert json.loads(run("verify", "--archive", sound, "--json").stdout) == {
        "faults": [],
        "warnings": [],
    }


def test_an_archive_of_an_older_layout_has_no_fault(archive: Archive) -> None:
    for name in LATER:
        shutil.rmtree(archive.path / f"{name}.lance")
    shutil.rmtree(archive.path / "cache", ignore_errors=True)
    assert archive.verify() == []


NOT_UNIT = [0.5] * 384
BROKEN = {
    "a shot is lost": ("shots", lambda r: r[:-1], "4 shots are told, 3 are there"),
    "a number is skipped": ("shots", put(3, shot=9), "shots are not numbered from 0"),
    "a gap in seconds": ("shots", put(1, end_s=6.0), "shots that do not tile the video: 1"),
    "a gap in frames": ("shots", put(1, end_frame=150), "shots that do not tile the video"),
    "the first shot starts late": ("shots", put(0, start_s=0.5), "shots that do not tile"),
    "the last shot ends early": ("shots", put(3, end_frame=270), "shots that do not tile"),
    "a shot counts other tracks": ("shots", put(0, n_tracks=99), "other face tracks than they"),
    "a shot's vector is no direction": ("shots", put(0, vector=NOT_UNIT), "shots with a vector"),
    "a keyframe is lost": ("keyframes", lambda r: r[1:], "shots without a keyframe: 1"),
    "a part ends early": ("keyframes", put(0, end_s=1.0), "parts do not tile their shot"),
    "a keyframe of no shot": ("keyframes", put(0, shot=77), "parts do not tile their shot"),
    "a moment elsewhere": ("keyframes", put(0, time_s=8.9), "keyframes outside their part: 1"),
    "a frame elsewhere": ("keyframes", put(0, frame=274), "keyframes outside their part: 1"),
    "a vector of nothing": ("keyframes", put(0, vector=[0.0] * 384), "with a vector"),
    "a torn picture": ("keyframes", put(0, thumbnail=b"\xff\xd8 torn"), "with a broken picture"),
    "a face of no shot": ("faces", put(0, shot=77), "faces of no shot: 1"),
    "a track is skipped": ("faces", put(-1, track=40), "other face tracks than they count"),
    "a look is skipped": ("faces", put(0, look=5, thumbnail=None), "not numbered from 0"),
    "a face at another time": ("faces", put(0, time_s=9.1), "outside their track or shot: 1"),
    "a box outside": ("faces", put(0, box=[0.5, 0.5, 1.5, 0.9]), "impossible box"),
    "a box turned over": ("faces", put(0, box=[0.5, 0.5, 0.4, 0.9]), "impossible box"),
    "an impossible quality": ("faces", put(0, quality=7.0), "impossible box, quality or cohort"),
    "no picture of a face": ("faces", put(0, thumbnail=None), "broken picture, or one too many"),
    "a shot is packed wrongly": ("shots", put(0, packed=bytes(48)), "shots whose packed numbers"),
    "a keyframe is packed wrongly": (
        "keyframes",
        lambda rows: [{**rows[0], "packed": rows[1]["packed"]}, *rows[1:]],
        "keyframes whose packed numbers are not those of their columns: 1",
    ),
    "a keyframe tells of another shot": (
        "keyframes",
        lambda rows: [{**rows[0], "packed": rows[0]["packed"][:-1] + b"\x01"}, *rows[1:]],
        "keyframes whose packed numbers are not those of their columns: 1",
    ),
    "a face is not packed": ("faces", put(0, packed=None), "faces whose packed numbers"),
    "a figure of nobody": (
        "figures",
        lambda rows: [{**(rows[0]), "track": 50}, *rows[1:]],
        "figures of no face track",
    ),
    "two figures of one": ("figures", lambda rows: [rows[0], *rows], "figures of no face track"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_video_with_broken_rows_is_found_and_dropped_to_be_indexed_again(
    archive: Archive, fault: str
) -> None:
    table, edit, said = BROKEN[fault]
    change(archive, table, edit)  # type: ignore[arg-type]
    faults = archive.verify()
    assert any(said in each.what for each in faults), [each.what for each in faults]
    assert all(CLIP in each.what and each.mend == "video" for each in faults)
    done = archive.repair()
    assert done.left == ()
    assert len(done.again) == 1
    assert done.again[0].endswith(CLIP)
    assert [Path(video.path).name for video in archive.videos()] == ["numbers.mp4"]
    assert len(archive.shots("numbers.mp4")) == 1  # the other video is what it was
    assert archive.person("Joe Biden")


def test_what_was_dropped_is_indexed_again(archive: Archive, example_media: Path) -> None:
    change(archive, "shots", put(1, end_s=6.0))
    told = run("verify", "--repair", "--archive", archive.path)
    assert told.exit_code == 0
    assert f"vidsearch index {example_media / CLIP}" in told.stdout
    archive.index([example_media / CLIP])
    assert len(archive.shots(CLIP)) == 4
    assert archive.verify() == []


# --- the list of videos --------------------------------------------------------------------------


def test_a_path_of_two_videos_stays_with_the_one_indexed_last(archive: Archive) -> None:
    with Store.open(archive.path) as store:
        one, two = sorted(store.videos(), key=lambda video: video.indexed_at)
        store.update_video(replace(one, paths=(b"/other.mp4", *two.paths)))
    (fault,) = archive.verify()
    assert "2 videos are said to lie there" in fault.what
    assert fault.mend == "path"
    assert archive.repair().left == ()
    paths = {video.video_id: video.paths for video in archive.videos()}
    assert paths == {one.video_id: (b"/other.mp4",), two.video_id: two.paths}


@pytest.mark.parametrize(
    ("values", "said"),
    [({"status": "failed"}, "it is failed, but has rows"), ({"paths": []}, "has no path")],
)
def test_a_video_that_cannot_be_is_dropped(
    archive: Archive, values: dict[str, Any], said: str
) -> None:
    change(archive, "videos", put(0, **values))
    assert any(said in fault.what for fault in archive.verify())
    done = archive.repair()
    assert done.left == ()
    assert len(archive.videos()) == 1


def test_two_videos_of_one_id_are_dropped(archive: Archive) -> None:
    change(archive, "videos", lambda rows: [rows[0], {**rows[0], "generation": 77}, *rows[1:]])
    assert sum("have its id or its rows" in fault.what for fault in archive.verify()) == 2
    archive.repair()
    assert archive.verify() == []


# --- what was left over --------------------------------------------------------------------------


def test_rows_of_no_video_are_swept(archive: Archive) -> None:
    with Store.open(archive.path) as store:
        (generation,) = [gen for video, gen in store._catalogue().values() if CLIP in video.path]
        rows = store._tables.read("faces", where=f"generation = {generation}")
        at = rows.schema.get_field_index("generation")
        lost = rows.set_column(at, rows.field(at), pa.array([5] * len(rows), pa.int64()))
        store._tables.open("faces").add(lost)
    faults = archive.verify()
    assert f"{len(lost)} rows of faces are of no video" in [fault.what for fault in faults]
    assert archive.repair().left == ()
    assert archive.verify() == []
    assert len(archive.videos()) == 2


def test_old_versions_of_people_and_half_written_files_are_removed(archive: Archive) -> None:
    with Store.open(archive.path) as store:
        store._tables.open("people").delete("false")
    (archive.path / "cache" / "faces123.part").write_bytes(b"half")
    said = [fault.what for fault in archive.verify()]
    assert "old versions of people are still on the disk" in said
    assert "a file was left half written: faces123.part" in said
    assert archive.repair().left == ()
    assert archive.verify() == []


def test_a_copy_that_is_not_what_the_table_holds_is_made_again(archive: Archive) -> None:
    file = archive.path / "cache" / "shots.arrow"
    with pa.ipc.open_file(file) as reader:
        table = reader.read_all()
    start = table.schema.get_field_index("start_s")
    wrong = table.set_column(start, table.field(start), pa.array([0.25] * len(table)))
    with pa.OSFile(str(file), "wb") as target, pa.ipc.new_file(target, wrong.schema) as writer:
        writer.write_table(wrong)
    (fault,) = archive.verify()
    assert (fault.what, fault.mend) == (
        "the copy of shots for searches is not what it holds",
        "copy",
    )
    done = archive.repair()
    assert done.left == ()
    assert done.again == ()
    assert archive.verify() == []
    assert len(archive.videos()) == 2


def test_a_copy_of_another_state_is_told(archive: Archive) -> None:
    shutil.copy(archive.path / "cache" / "shots.arrow", archive.path / "cache" / "faces.arrow")
    assert [fault.mend for fault in archive.verify()] == ["copy"]
    archive.repair()
    assert archive.verify() == []


# --- people and what was said of faces -----------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda r: [r[0], {**r[0], "person_id": "x"}], '2 people are called "joe biden"'),
        (lambda r: [r[0], {**r[0], "name": "Al", "aliases": []}], "2 people have one id"),
        (put(0, jpegs=[b"torn"]), "Joe Biden: the picture of Joe_Biden.jpg is broken"),
        (lambda r: r[0]["photos"][0].update(vector=[1.0, 0.0]), "has 2 numbers, not 256"),
        (lambda r: r[0]["photos"][0].update(vector=[1.0] * 256), "Joe_Biden.jpg is none"),
        (lambda r: r[0]["photos"][0].update(box=[0.5, 0, 0.4, 1]), "place in Joe_Biden.jpg"),
        (put(0, photos=[], jpegs=[]), "Joe Biden: there is no photo of them"),
    ],
)  # fmt: skip
def test_a_broken_person_is_never_thrown_away(
    archive: Archive, edit: Callable[[list[Row]], list[Row] | None], said: str
) -> None:
    change(archive, "people", edit)
    with Store.open(archive.path, read_only=True) as store:
        before = store._tables.read("people").to_pylist()
    assert any(said in fault.what for fault in archive.verify())
    told = run("verify", "--repair", "--archive", archive.path)
    assert told.exit_code == 1
    assert said in told.stdout
    assert "enrol them again" in told.stdout or "rename or remove" in told.stdout
    with Store.open(archive.path, read_only=True) as store:
        assert store._tables.read("people").to_pylist() == before


def test_labels_of_nobody_and_faces_in_two_clusters_go(archive: Archive) -> None:
    box = (0.1, 0.1, 0.2, 0.2)
    joe = archive.person("Joe Biden").person_id
    with Store.open(archive.path) as store:
        store.add_labels(
            [
                Label("one", "v", 1.0, box, joe, True, 1.0),
                Label("two", "v", 1.0, box, "nobody", True, 2.0),
                Label("three", "v", 1.0, box, "", True, 3.0, kind="same"),
            ]
        )
        store.put_members([Member(1, 1, "v", 1.0, box), Member(2, 2, "v", 1.0, box)])
    said = {fault.mend: fault.what for fault in archive.verify()}
    assert said["labels"] == "labels of nobody who is enrolled: 1"
    assert said["clusters"] == "faces in two clusters: 1"
    assert archive.repair().left == ()
    with Store.open(archive.path, read_only=True) as store:
        assert [label.label_id for label in store.labels()] == ["one", "three"]
        assert [member.joined for member in store.members()] == [1]


# --- what cannot be mended -----------------------------------------------------------------------


def test_a_table_that_lost_its_file_is_told_with_what_can_be_done(archive: Archive) -> None:
    for file in (archive.path / "keyframes.lance" / "data").iterdir():
        file.unlink()
    faults = archive.verify()
    assert any("the rows of videos cannot be read" in fault.what for fault in faults)
    told = run("verify", "--archive", archive.path)
    assert told.exit_code == 1
    assert "put the archive folder back from a backup" in told.stdout


def test_a_stamp_that_cannot_be_read_is_told(archive: Archive) -> None:
    (archive.path / "archive.json").write_text("{")
    with pytest.raises(ArchiveUnavailable, match="is damaged"):
        archive.verify()
    assert run("verify", "--archive", archive.path).exit_code == 2
