"""A person who is forgotten leaves no byte in the archive folder, and nothing else goes."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from meanwhile import asked_meanwhile

from vidsearch import Archive, forget
from vidsearch.cli import main
from vidsearch.errors import EnrolmentError, UnknownPerson
from vidsearch.records import Label, Member, Person
from vidsearch.store import Store

SINGER, PIANIST = "Lin-Manuel Miranda", "Alex Lacamoire"
PIECE = 16  # bytes: four numbers of a vector


@pytest.fixture(scope="module")
def footage(example_media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The White House clip, indexed twice, with two people; both are in it."""
    folder = tmp_path_factory.mktemp("footage") / "archive"
    archive = Archive(folder)
    for force in (False, True):  # what the first left must go as well
        archive.index([example_media / "white-house-poetry.mp4"], force=force)
    for name in (SINGER, PIANIST):
        photo = example_media / "people" / f"{name.replace(' ', '_')}.jpg"
        archive.enrol(name, [photo], aliases=[f"{name.split()[0]} alias"])
    best = archive.query(PIANIST, threshold=0.01).hits[0]  # too small to be sure of, so it is said
    seen, pianist = best.people[0], archive.person(PIANIST).person_id
    with Store.open(folder) as store:
        said = Label("pianist", best.video_id, seen.time_s, seen.box, pianist, True, 1.0)
        store.add_labels([said])
    return folder


@pytest.fixture
def archive(footage: Path, tmp_path: Path) -> Archive:
    shutil.copytree(footage, tmp_path / "archive")
    return Archive(tmp_path / "archive")


def run(*arguments: object, given: str | None = None) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], input=given)


def secrets_of(archive: Archive, name: str) -> dict[str, list[bytes]]:
    """The bytes that must not be found: whole, and vectors in pieces too."""
    person = archive.person(name)
    with Store.open(archive.path, read_only=True) as store:
        tracks = store._tables.read("faces").to_pylist()
        frames = store._tables.read("keyframes").to_pylist()
    found = archive.traces_of(name)
    theirs = [r for r in tracks if r["track"] in found.tracks.get((r["video_id"], r["shot"]), ())]
    assert theirs
    vectors = [np.array(row["vector"], np.float32) for row in theirs]
    vectors += [photo.vector for photo in person.photos]
    pictures = [row["thumbnail"] for row in theirs if row["thumbnail"]]
    pictures += [r["thumbnail"] for r in frames if (r["video_id"], r["shot"]) in found.alone]
    return {
        "vectors": [v.astype(kind).tobytes() for v in vectors for kind in ("f4", "f2")],
        "pictures": pictures + [photo.jpeg for photo in person.photos],
        "numbers": [row["packed"] for row in theirs],
        "names": [text.encode() for text in (*person.names, *(p.name for p in person.photos))],
    }


def in_pieces(whole: bytes, least: int) -> Iterator[bytes]:
    yield from (whole[at : at + PIECE] for at in range(0, len(whole) - PIECE + 1, least))


def found_in(folder: Path, secrets: dict[str, list[bytes]]) -> set[str]:
    """Which kinds of secrets lie in any file of the folder."""
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    pieces = {kind: list(whole) for kind, whole in secrets.items()}
    pieces["vectors"] += [p for v in secrets["vectors"] for p in in_pieces(v, 4 * PIECE)]
    pieces["pictures"] += [jpeg[-4 * PIECE :] for jpeg in secrets["pictures"]]
    return {
        kind
        for kind, each in pieces.items()
        if any(piece in data for piece in each for data in files)
    }


def state_of(archive: Archive, without: str) -> dict[str, object]:
    """What must stay: everything of all others, as it is stored."""
    with Store.open(archive.path, read_only=True) as store:
        tables = {name: store._tables.read(name).to_pylist() for name in ("videos", "faces")}
        shots = store._tables.read("shots").drop_columns(["n_tracks", "packed"]).to_pylist()
        keyframes = store._tables.read("keyframes").drop_columns(["packed"]).to_pylist()
        people = [p for p in store.people() if p.name != without]
    return {
        "videos": tables["videos"],
        "shots": shots,
        "keyframes": [{k: v for k, v in r.items() if k != "thumbnail"} for r in keyframes],
        "faces": sorted(str(r["vector"]) for r in tables["faces"]),
        "people": [(p.person_id, p.names, [x.jpeg for x in p.photos]) for p in people],
    }


def test_no_byte_of_a_forgotten_person_stays(archive: Archive) -> None:
    secrets, before = secrets_of(archive, SINGER), state_of(archive, SINGER)
    assert found_in(archive.path, secrets) == {"vectors", "numbers", "pictures", "names"}
    line = archive.forget_person("lin-manuel miranda")
    assert found_in(archive.path, secrets) == set()
    after = state_of(archive, SINGER)
    faces = after.pop("faces"), before.pop("faces")
    assert after == before
    assert archive.verify() == []
    assert set(faces[0]) < set(faces[1])  # type: ignore[call-overload]
    assert len(faces[1]) - len(faces[0]) == line.counts["face vectors"] > 0  # type: ignore[arg-type]
    with pytest.raises(UnknownPerson):
        archive.person(SINGER)
    assert list(archive.path.rglob("*.part")) == []
    assert not (archive.path / "forgetting.json").exists()


def test_questions_go_on_and_the_others_are_still_found(archive: Archive) -> None:
    before = archive.query(PIANIST)
    assert before.hits
    archive.query(SINGER)
    other = Archive(archive.path)  # a reader of another process
    other.query(PIANIST)
    archive.forget_person(SINGER)
    for reader in (archive, other, Archive(archive.path)):
        hits = reader.query(PIANIST).hits
        assert [hit.shot for hit in hits] == [hit.shot for hit in before.hits]
        assert reader.query("a man singing").hits
        assert "not enrolled" in reader.query(SINGER).message


def test_questions_are_answered_while_somebody_is_being_forgotten(archive: Archive) -> None:
    """A reader never meets a state it cannot answer from: it is asked all the time."""
    reader = Archive(archive.path)
    with asked_meanwhile(lambda: reader.query("a man singing").hits) as answers:
        archive.forget_person(SINGER)
    assert answers
    assert all(answers)


def test_tracks_that_stay_are_numbered_without_gaps(archive: Archive) -> None:
    archive.forget_person(SINGER)
    with Store.open(archive.path, read_only=True) as store:
        faces = store._tables.read("faces", ["shot", "track"]).to_pylist()
        shots = store._tables.read("shots", ["shot", "n_tracks"]).to_pylist()
        figures = store._tables.read("figures", ["shot", "track"]).to_pylist()
    numbers = {
        row["shot"]: {r["track"] for r in faces if r["shot"] == row["shot"]} for row in shots
    }
    assert numbers == {row["shot"]: set(range(row["n_tracks"])) for row in shots}
    assert all(row["track"] in numbers[row["shot"]] for row in figures)


def test_a_shot_without_its_picture_is_shown_as_a_grey_plate(
    archive: Archive, tmp_path: Path
) -> None:
    answer = archive.query(SINGER)
    alone = archive.traces_of(SINGER).alone
    assert alone
    archive.forget_person(SINGER)
    with Store.open(archive.path) as store:  # the file is gone: its thumbnails are all there is
        for video in store.videos():
            from dataclasses import replace

            store.update_video(replace(video, paths=(b"/nowhere/gone.mp4",)))
        thumbnails = [store.thumbnail(h.video_id, h.shot, h.keyframe_s) for h in answer.hits]
    assert b"" in thumbnails
    archive.sheet([answer], tmp_path / "sheet.jpg")
    assert (tmp_path / "sheet.jpg").stat().st_size > 1000


def test_a_timeline_is_drawn_without_the_picture_too(archive: Archive, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    archive.forget_person(SINGER)
    archive.plot_timeline(archive.timeline("white-house-poetry.mp4"), tmp_path / "line.png")
    assert (tmp_path / "line.png").stat().st_size > 1000


def test_labels_and_clusters_of_the_person_go(archive: Archive) -> None:
    singer, pianist = archive.person(SINGER), archive.person(PIANIST)
    with Store.open(archive.path) as store:
        rows = store.rows()
        video = rows.videos[0].video_id
        track = archive.traces_of(SINGER).tracks
        shot = next(iter(track))[1]
        look = next(
            i for i, t in enumerate(rows.look_track) if rows.shot_index[rows.track_shot[t]] == shot
        )
        box = tuple(map(float, rows.look_boxes[look]))
        at = float(rows.look_s[look])
        told = [
            Label("one", video, at, box, singer.person_id, True, 1.0),
            Label("two", video, 0.0, (0, 0, 0.01, 0.01), pianist.person_id, True, 2.0),
            Label("three", "", 0.0, (0, 0, 0, 0), "x", True, 3.0, kind="people",
                  note=json.dumps({"name": SINGER})),
        ]  # fmt: skip
        store.add_labels(told)
        store.put_members(
            [Member(1, 1, video, at, box), Member(2, 2, video, 0.0, (0, 0, 0.1, 0.1))]
        )
    found = archive.traces_of(SINGER)
    assert found.counts["labels"] == 2
    archive.forget_person(SINGER)
    with Store.open(archive.path, read_only=True) as store:
        assert [label.label_id for label in store.labels()] == ["pianist", "two"]
        assert [member.joined for member in store.members()] == [2]
    assert (
        found_in(archive.path, {"vectors": [], "pictures": [], "names": [SINGER.encode()]}) == set()
    )


def test_a_face_that_was_labelled_is_forgotten_whatever_it_looks_like(archive: Archive) -> None:
    pianist = archive.person(PIANIST)
    found = archive.traces_of(SINGER)
    (video, shot), numbers = next(iter(found.tracks.items()))
    with Store.open(archive.path) as store:
        rows = store.rows()
        first = int(np.searchsorted(rows.track_shot, np.flatnonzero(rows.shot_index == shot)[0]))
        look = int(np.flatnonzero(rows.look_track == first + numbers[0])[0])
        box = tuple(map(float, rows.look_boxes[look]))
        label = Label("l", video, float(rows.look_s[look]), box, pianist.person_id, True, 1.0)
        store.add_labels([label])
    assert numbers[0] in archive.traces_of(PIANIST).tracks[video, shot]
    assert numbers[0] not in archive.traces_of(SINGER).tracks.get((video, shot), ())


# --- who was forgotten is refused ----------------------------------------------------------------


def test_who_was_forgotten_is_refused_by_name_alias_and_photo(
    archive: Archive, example_media: Path
) -> None:
    photos = example_media / "people"
    archive.forget_person(SINGER)
    with pytest.raises(EnrolmentError, match=r"was forgotten here on .*--allow"):
        archive.enrol("LIN MANUEL MIRANDA", [photos / "Joe_Biden.jpg"])
    with pytest.raises(EnrolmentError, match='"Lin-Manuel alias" was forgotten'):
        archive.enrol("Joe Biden", [photos / "Joe_Biden.jpg"], aliases=["Lin-Manuel alias"])
    with pytest.raises(EnrolmentError, match=r"Miranda\.jpg: whom it shows was forgotten"):
        archive.enrol("Somebody Else", [photos / "Lin-Manuel_Miranda.jpg"])
    with pytest.raises(EnrolmentError, match="was forgotten"):
        archive.rename(PIANIST, SINGER)
    assert [person.name for person in archive.people()] == [PIANIST]
    archive.enrol("Joe Biden", [photos / "Joe_Biden.jpg"])
    archive.enrol(SINGER, [photos / "Lin-Manuel_Miranda.jpg"], allow=True)
    archive.rename("Joe Biden", "Joe B")  # those who are here are not asked about again
    assert [line.what for line in archive.forgotten()] == ["forgotten", "enrolled again, allowed"]
    assert not archive.query(SINGER).hits  # their faces went; the video is to be indexed again


def test_indexed_again_the_video_shows_somebody_unknown(
    archive: Archive, example_media: Path
) -> None:
    tracks = archive.traces_of(SINGER).counts["face tracks"]
    archive.forget_person(SINGER)
    archive.index([example_media / "white-house-poetry.mp4"], force=True)
    photo = example_media / "people" / "Lin-Manuel_Miranda.jpg"
    archive.enrol(SINGER, [photo], allow=True)
    assert archive.traces_of(SINGER).counts["face tracks"] == tracks


def test_the_audit_holds_no_name_and_no_hash_that_can_be_looked_up(archive: Archive) -> None:
    person = archive.person(SINGER)
    archive.forget_person(SINGER)
    text = (archive.path / "audit.json").read_text()
    for secret in (*person.names, *(p.sha256 for p in person.photos), person.person_id):
        assert secret not in text
    (line,) = json.loads(text)["lines"]
    assert line["counts"]["photos"] == 1
    assert len(line["names"]) == 2


# --- killed in the middle ------------------------------------------------------------------------


def forget_and_die(folder: Path, step: int) -> None:
    """Kill this process at the `step`th writing of a table."""
    left = [step]

    def counting(real):  # type: ignore[no-untyped-def]
        def call(*arguments, **options):  # type: ignore[no-untyped-def]
            left[0] -= forget.is_unfinished(folder)
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return call

    from vidsearch.tables import Tables

    Tables.overwrite = counting(Tables.overwrite)  # type: ignore[method-assign]
    Store._purge = counting(Store._purge)  # type: ignore[method-assign]
    Archive(folder).forget_person(SINGER)


@pytest.mark.parametrize(
    "step", [7, *(pytest.param(step, marks=pytest.mark.slow) for step in (0, 5, 9, 13))]
)
def test_a_forgetting_that_is_killed_is_finished_by_the_next_writer(
    archive: Archive, tmp_path: Path, step: int
) -> None:
    secrets, before = secrets_of(archive, SINGER), state_of(archive, SINGER)
    count = archive.traces_of(SINGER).counts["face vectors"]
    process = multiprocessing.get_context("spawn").Process(
        target=forget_and_die, args=(archive.path, step)
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert forget.is_unfinished(archive.path)
    assert Archive(archive.path).query("a man singing").hits  # readers go on meanwhile
    with Store.open(archive.path):
        pass
    assert found_in(archive.path, secrets) == set()
    after = state_of(archive, SINGER)
    assert len(before.pop("faces")) - len(after.pop("faces")) == count  # type: ignore[arg-type]
    assert after == before
    assert not forget.is_unfinished(archive.path)
    assert [line.counts["face vectors"] for line in archive.forgotten()] == [count]


# --- the command ---------------------------------------------------------------------------------


def test_the_command_asks_and_tells(archive: Archive) -> None:
    at = ("--archive", archive.path)
    refused = run("people", "forget", SINGER, *at, given="n\n")
    assert refused.exit_code == 1
    assert "for good, with 1 photo" in refused.stderr
    assert archive.person(SINGER)
    told = run("people", "forget", SINGER, *at, "--yes")
    assert told.exit_code == 0
    assert told.stdout.startswith(f"{SINGER} is forgotten: 1 photo, ")
    assert "video files are as they were" in told.stderr
    lines = json.loads(run("people", "forgotten", *at, "--json").stdout)
    assert [line["what"] for line in lines] == ["forgotten"]
    assert "forgotten" in run("people", "forgotten", *at).stdout
    again = run("people", "forget", SINGER, *at, "--yes")
    assert again.exit_code == 2
    assert "was forgotten here on " in again.stderr
    assert "nothing of them is left" in again.stderr
    stranger = run("people", "forget", "Nobody Here", *at, "--yes")
    assert stranger.exit_code == 2
    assert "is not enrolled" in stranger.stderr


def test_forgetting_again_finishes_what_was_killed(archive: Archive) -> None:
    secrets = secrets_of(archive, SINGER)
    process = multiprocessing.get_context("spawn").Process(
        target=forget_and_die, args=(archive.path, 7)
    )
    process.start()
    process.join(120)
    assert forget.is_unfinished(archive.path)
    told = run("people", "forget", SINGER, "--archive", archive.path, "--yes")
    assert "nothing of them is left" in told.stderr
    assert found_in(archive.path, secrets) == set()


def test_nobody_was_forgotten(archive: Archive) -> None:
    assert run("people", "forgotten", "--archive", archive.path).exit_code == 1


def test_somebody_who_is_in_no_video_is_forgotten_too(
    archive: Archive, example_media: Path
) -> None:
    archive.enrol("Joe Biden", [example_media / "people" / "Joe_Biden.jpg"])
    person: Person = archive.person("Joe Biden")
    line = archive.forget_person("Joe Biden")
    assert line.counts == {**dict.fromkeys(line.counts, 0), "photos": 1}
    secrets = {
        "vectors": [person.photos[0].vector.tobytes()],
        "pictures": [person.photos[0].jpeg],
        "names": [b"Joe Biden", b"Joe_Biden"],
    }
    assert found_in(archive.path, secrets) == set()
