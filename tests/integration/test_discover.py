"""People nobody has named: found, named, merged, split, asked about, and all taken back."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from idclip.identity import IdentityScorer
from tests.store_records import MODELS, analyzed_video, unit
from vidsearch import Archive, identities
from vidsearch.cli import main
from vidsearch.discover import place_of
from vidsearch.errors import EnrolmentError, UnknownCluster, UnknownPerson, VidsearchError
from vidsearch.records import AnalyzedVideo, FaceTrack, Member, Shot
from vidsearch.store import Store

FACE_DIM = 64
ANNA, MARCO, RITA, HALF_ANNA = range(4)
SCORER = IdentityScorer.uncalibrated("test-faces")


def direction(person: int) -> np.ndarray:
    vectors = unit(np.random.default_rng(5), 3, FACE_DIM)
    if person == HALF_ANNA:  # a face that may be Anna or not
        mixed = (
            0.325 * vectors[ANNA] + np.sqrt(1 - 0.325**2) * unit(np.random.default_rng(8), 1, 64)[0]
        )
        return mixed / np.linalg.norm(mixed)
    return vectors[person]


def jpeg(person: int, seed: int) -> bytes:
    colour = [(200, 60, 60), (60, 200, 60), (60, 60, 200), (200, 200, 60)][person]
    picture = Image.new("RGB", (40 + seed % 20, 60), colour)
    file = io.BytesIO()
    picture.save(file, "JPEG")
    return file.getvalue()


def track(person: int, start_s: float, place: int, seed: int) -> FaceTrack:
    rng = np.random.default_rng([person, place, seed])
    noise = 0 if person == HALF_ANNA else rng.standard_normal((2, FACE_DIM)) * 0.02
    vectors = (direction(person) + noise) * np.ones((2, 1))
    x = 0.05 + 0.3 * place
    return FaceTrack(
        start_s=start_s + 0.5,
        end_s=start_s + 3.5,
        vectors=(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32),
        qualities=np.array([0.9, 0.8], np.float32),
        cohort_mean=np.zeros(2, np.float32),
        cohort_std=np.ones(2, np.float32),
        times=(start_s + 1.0, start_s + 2.0),
        boxes=((x, 0.2, x + 0.2, 0.6),) * 2,
        thumbnail=jpeg(person, seed),
    )


def video(name: str, shots: Sequence[Sequence[int]], seed: int = 0) -> AnalyzedVideo:
    """A video whose shots show these people."""
    blank = analyzed_video(name, shots=len(shots), tracks=0, face_dim=FACE_DIM)
    made: list[Shot] = []
    for shot, people in zip(blank.shots, shots, strict=True):
        tracks = tuple(
            track(person, shot.start_s, place, seed + shot.index)
            for place, person in enumerate(people)
        )
        made.append(replace(shot, tracks=tracks))
    return AnalyzedVideo(blank.video, tuple(made))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Anna in four shots, Marco in two (once beside her), Rita once."""
    folder = tmp_path / "archive"
    Store.create(folder, **{**MODELS, "face_dim": FACE_DIM})
    add(folder, video("a", [[ANNA], [ANNA, MARCO], [RITA], [ANNA]]), video("b", [[MARCO], [ANNA]]))
    return Archive(folder)


def add(folder: Path, *videos: AnalyzedVideo) -> None:
    with Store.open(folder) as store:
        store.publish_many(list(videos))


def sizes(archive: Archive) -> dict[int, int]:
    return {each.number: len(each.tracks) for each in archive.clusters()}


def shown(archive: Archive, name: str) -> set[tuple[str, int]]:
    """Videos and shots that a question for this person would find."""
    store = Store.open(archive.path, read_only=True)
    rows, everybody = store.rows(), store.people()
    person = archive.person(name)
    every = np.ones(len(rows.track_shot), bool)
    seen = identities.seen(rows, SCORER, person, everybody, every, 0.5)
    found = rows.track_shot[seen.probability >= 0.5]
    return {
        (rows.videos[rows.shot_video[shot]].video_id[3:], int(rows.shot_index[shot]))
        for shot in found
    }


ANNAS = {("a", 0), ("a", 1), ("a", 3), ("b", 1)}
MARCOS = {("a", 1), ("b", 0)}


def run(archive: Archive, *arguments: object, given: str | None = None) -> Result:
    words = ["people", *map(str, arguments), "--archive", str(archive.path)]
    return CliRunner().invoke(main, words, input=given)


# --- discover ------------------------------------------------------------------------------------


def test_faces_are_gathered_by_person_over_all_videos(archive: Archive) -> None:
    found = archive.discover()
    assert [(each.number, len(each.tracks), each.videos) for each in found.clusters] == [
        (1, 4, 2),
        (2, 2, 2),
    ]
    assert (found.alone, found.ignored, found.new) == (1, 0, 7)
    assert archive.discover().new == 0


def test_new_videos_join_clusters_that_keep_their_numbers(archive: Archive) -> None:
    archive.discover()
    add(archive.path, video("c", [[RITA], [MARCO], [RITA]], seed=50))
    found = archive.discover()
    assert found.new == 3
    assert sizes(archive) == {1: 4, 2: 3, 3: 3}


def test_clusters_and_answers_outlive_the_rows_of_a_video(archive: Archive) -> None:
    archive.discover()
    archive.name(1, "Anna Rossi")
    archive.split(2, [1])
    before = sizes(archive)
    add(archive.path, video("a", [[ANNA], [ANNA, MARCO], [RITA], [ANNA]]))  # indexed again
    assert archive.discover().new == 0
    assert sizes(archive) == before
    assert shown(archive, "Anna Rossi") == ANNAS


def test_a_video_that_went_and_came_back_finds_its_clusters(archive: Archive) -> None:
    archive.discover()
    with Store.open(archive.path) as store:
        store.remove_videos(["id-b"])
    archive.discover()
    assert sizes(archive) == {1: 3, 2: 1, 3: 1}
    add(archive.path, video("b", [[MARCO], [ANNA]]))
    assert archive.discover().new == 0
    assert sizes(archive) == {1: 4, 2: 2, 3: 1}


def test_a_face_of_a_named_cluster_is_found_by_another_detector_s_box(archive: Archive) -> None:
    archive.discover()
    archive.name(1, "Anna Rossi")
    moved = video("b", [[MARCO], [ANNA]])
    shots = [
        replace(
            shot,
            tracks=tuple(
                replace(
                    each,
                    times=tuple(t + 0.3 for t in each.times),
                    boxes=tuple((x0 + 0.02, y0, x1, y1) for x0, y0, x1, y1 in each.boxes),
                )
                for each in shot.tracks
            ),
        )
        for shot in moved.shots
    ]
    add(archive.path, AnalyzedVideo(moved.video, tuple(shots)))
    assert archive.discover().new == 0
    assert shown(archive, "Anna Rossi") == ANNAS


# --- name ----------------------------------------------------------------------------------------


def test_a_named_cluster_is_a_person_with_photos_found_at_once(archive: Archive) -> None:
    archive.discover()
    person = archive.name(1, "Anna Rossi")
    assert len(person.photos) == 4
    assert all(Image.open(io.BytesIO(photo.jpeg)).size[1] == 60 for photo in person.photos)
    assert shown(archive, "Anna Rossi") == ANNAS
    assert archive.discover().clusters[0].person.name == "Anna Rossi"  # type: ignore[union-attr]


def test_a_name_that_is_taken_is_refused_unless_more_faces_are_meant(archive: Archive) -> None:
    archive.discover()
    archive.name(1, "Anna Rossi")
    with pytest.raises(EnrolmentError, match=r"enrolled already.*--more"):
        archive.name(3, "anna rossi")
    with pytest.raises(EnrolmentError, match=r"does not look like Anna Rossi.*--trust"):
        archive.name(3, "Anna Rossi", more=True)
    archive.name(3, "Anna Rossi", more=True, trust=True)
    assert shown(archive, "Anna Rossi") == ANNAS | {("a", 2)}
    with pytest.raises(UnknownPerson):
        archive.name(2, "Nobody Yet", more=True)
    with pytest.raises(EnrolmentError, match="cluster 1 is Anna Rossi already"):
        archive.name(1, "Anna Bianchi")


def test_undoing_a_name_removes_who_was_only_known_by_it(archive: Archive) -> None:
    archive.discover()
    archive.name(1, "Anna Rossi")
    assert archive.undo() == "4 faces are Anna Rossi"
    assert archive.people() == []
    archive.name(1, "Anna Rossi")
    archive.name(3, "Anna Rossi", more=True, trust=True)
    assert archive.undo() == "1 face is Anna Rossi"
    assert [len(person.photos) for person in archive.people()] == [4]
    assert shown(archive, "Anna Rossi") == ANNAS


# --- merge, split, ignore ------------------------------------------------------------------------


def test_merged_clusters_have_the_first_number_and_the_name(archive: Archive) -> None:
    archive.discover()
    archive.name(3, "Rita Levi")
    left = archive.merge(3, 2)
    assert (left.number, len(left.tracks)) == (3, 3)
    assert shown(archive, "Rita Levi") == {("a", 2), *MARCOS}
    assert archive.undo() == "clusters 3 and 2 are one person"
    assert sizes(archive) == {1: 4, 2: 2, 3: 1}
    assert shown(archive, "Rita Levi") == {("a", 2)}


def test_clusters_with_two_names_are_not_merged_but_their_people_are(archive: Archive) -> None:
    archive.discover()
    archive.name(1, "Anna Rossi")
    archive.name(2, "Marco Bianchi")
    with pytest.raises(VidsearchError, match=r'people merge "Anna Rossi" "Marco Bianchi"'):
        archive.merge(1, 2)
    person = archive.merge_people("Anna Rossi", "Marco Bianchi")
    assert (person.aliases, len(person.photos)) == (("Marco Bianchi",), 6)
    assert shown(archive, "Marco Bianchi") == ANNAS | MARCOS
    assert archive.undo() == "Marco Bianchi is Anna Rossi too"
    assert {p.name: len(p.photos) for p in archive.people()} == {
        "Anna Rossi": 4,
        "Marco Bianchi": 2,
    }
    assert (shown(archive, "Anna Rossi"), shown(archive, "Marco Bianchi")) == (ANNAS, MARCOS)


def test_split_faces_lose_the_name_and_never_come_back_by_themselves(archive: Archive) -> None:
    archive.discover()
    archive.name(1, "Anna Rossi")
    left, new = archive.split(1, [2])
    assert (len(left.tracks), len(new.tracks), new.number) == (3, 1, 4)
    assert len(archive.person("Anna Rossi").photos) == 3
    assert len(shown(archive, "Anna Rossi")) == 3
    add(archive.path, video("c", [[ANNA]], seed=70))
    archive.discover()
    assert sizes(archive)[1] + sizes(archive)[4] == 5
    assert archive.undo() == "1 face split off cluster 1"
    assert len(archive.person("Anna Rossi").photos) == 4
    assert shown(archive, "Anna Rossi") >= ANNAS


def test_an_ignored_cluster_is_listed_no_more_until_that_is_undone(archive: Archive) -> None:
    archive.discover()
    archive.ignore(1)
    found = archive.discover()
    assert ([each.number for each in found.clusters], found.ignored) == ([2], 1)
    assert archive.undo() == "cluster 1 is ignored"
    assert [each.number for each in archive.discover().clusters] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("name", 9, "Anna"), "no cluster 9"),
        (("merge", 1, 9), "no cluster 9"),
        (("merge", 1, 1), "cannot be merged with itself"),
        (("merge", 1, "Anna"), 'people name 1 "Anna" --more'),
        (("merge", "Anna", "Marco"), "not enrolled"),
        (("split", 1, 5), "no face 5: it has faces 1 to 4"),
        (("split", 1, "1-4"), "all were named"),
        (("split", 1, "four"), "four is no number of a face"),
        (("split", 1, "3-2"), "runs backwards"),
        (("ignore", 9), "no cluster 9"),
        (("undo",), "no answer to undo"),
        (("name", 1, "12"), "needs at least one letter"),
    ],
)
def test_what_cannot_be_said_is_refused_with_a_reason(
    archive: Archive, arguments: tuple[object, ...], told: str
) -> None:
    archive.discover()
    result = run(archive, *arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.output.split())


def test_before_discover_there_is_no_cluster_to_speak_of(archive: Archive) -> None:
    with pytest.raises(UnknownCluster, match="no clusters yet"):
        archive.ignore(1)


# --- review --------------------------------------------------------------------------------------


@pytest.fixture
def doubtful(archive: Archive) -> Archive:
    """One more video, whose face may be Anna's."""
    archive.discover()
    add(archive.path, video("d", [[HALF_ANNA]]))
    archive.discover()
    assert sizes(archive) == {1: 4, 2: 2, 3: 1, 4: 1}
    return archive


def test_the_doubtful_cluster_is_asked_about_and_a_yes_joins_it(doubtful: Archive) -> None:
    (question,) = doubtful.questions()
    assert question.of == {1, 4}
    assert doubtful.answer(question, True) == "clusters 1 and 4 are one person"
    assert sizes(doubtful) == {1: 5, 2: 2, 3: 1}
    assert doubtful.questions() == []


def test_a_no_is_kept_when_the_video_is_indexed_again(doubtful: Archive) -> None:
    (question,) = doubtful.questions()
    doubtful.answer(question, False)
    add(doubtful.path, video("d", [[HALF_ANNA]]))
    doubtful.discover()
    assert doubtful.questions() == []
    assert sizes(doubtful)[4] == 1
    assert doubtful.undo() == "clusters 1 and 4 are two people"
    assert len(doubtful.questions()) == 1


def test_a_question_about_somebody_enrolled_names_them(doubtful: Archive) -> None:
    doubtful.name(1, "Anna Rossi")
    (question,) = doubtful.questions()
    assert question.text == "Is cluster 4 (1 face) Anna Rossi (cluster 1)?"
    doubtful.answer(question, True)
    assert shown(doubtful, "Anna Rossi") == ANNAS | {("d", 0)}
    assert doubtful.undo() == "clusters 1 and 4 are one person"
    (question,) = doubtful.questions()
    doubtful.answer(question, False)
    assert shown(doubtful, "Anna Rossi") == ANNAS
    assert doubtful.questions() == []


def test_a_cluster_that_may_be_somebody_known_by_photos_is_asked_about(archive: Archive) -> None:
    archive.discover()
    archive.name(1, "Anna Rossi")
    add(archive.path, video("d", [[ANNA], [ANNA]], seed=90))
    with Store.open(archive.path) as store:  # as if these two had been found on their own
        store.put_members([m for m in store.members() if m.video_id != "id-d"])
        rows = store.rows()
        own = [
            Member(9, 100 + n, *place_of(rows, track))
            for n, track in enumerate(range(len(rows.track_shot) - 2, len(rows.track_shot)))
        ]
        store.put_members([*store.members(), *own])
    (question,) = archive.questions()
    assert question.text == "Is cluster 9 (2 faces) Anna Rossi?"
    archive.answer(question, False)
    assert shown(archive, "Anna Rossi") == ANNAS
    assert archive.undo() == "2 faces are not Anna Rossi"
    (question,) = archive.questions()
    archive.answer(question, True)
    assert archive.undo() == "2 faces are Anna Rossi"
    assert len(archive.person("Anna Rossi").photos) == 4


def test_review_is_answered_through_a_pipe_with_both_sides_drawn(
    doubtful: Archive, tmp_path: Path
) -> None:
    sheet = tmp_path / "review.png"
    result = run(doubtful, "review", "--sheet", sheet, given="perhaps\ny\n")
    assert result.exit_code == 0
    assert "answer y (yes)" in result.output
    assert "1 answer kept" in result.output
    assert Image.open(sheet).width > 1000
    assert sizes(doubtful)[1] == 5
    nothing = run(doubtful, "review", "--sheet", sheet)
    assert (nothing.exit_code, nothing.output.strip()) == (1, "there is nothing to review")


@pytest.mark.parametrize("given", ["s\n", "q\n", ""])
def test_a_review_that_is_left_keeps_what_was_answered_and_no_more(
    doubtful: Archive, tmp_path: Path, given: str
) -> None:
    result = run(doubtful, "review", "--sheet", tmp_path / "review.png", given=given)
    assert result.exit_code == 0
    assert "0 answers kept" in result.output
    assert "undo" not in result.output, "there is nothing to take back"
    assert len(doubtful.questions()) == 1


# --- what the commands print ---------------------------------------------------------------------


def test_discover_prints_a_line_a_cluster_and_draws_their_faces(
    archive: Archive, tmp_path: Path
) -> None:
    result = run(archive, "discover", "--sheets", tmp_path / "sheets")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[1].split()[:4] == ["1", "4", "2", "a.mp4@00:00:00.500"]
    assert "2 clusters of 6 faces, 1 face alone; 7 faces new" in result.stderr
    assert "2 sheets: " in result.stderr
    names = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert names == ["cluster-0001.jpg", "cluster-0002.jpg"]
    red = np.asarray(Image.open(tmp_path / "sheets" / names[0])).reshape(-1, 3)
    assert (np.abs(red.astype(int) - (200, 60, 60)).max(axis=1) < 20).sum() > 10_000


def test_sheets_that_cannot_be_written_are_told_before_the_work(
    archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    result = run(archive, "discover", "--sheets", tmp_path / "file" / "sheets")
    assert result.exit_code == 2
    assert "choose another folder with --sheets" in result.output
    result = run(archive, "review", "--sheet", tmp_path / "none" / "a.jpg")
    assert result.exit_code == 2
    assert "is no folder" in result.output


def test_every_command_speaks_json(archive: Archive) -> None:
    found = json.loads(run(archive, "discover", "--json").stdout)
    assert [each["faces"] for each in found["clusters"]] == [4, 2]
    assert (
        json.loads(run(archive, "name", 1, "Anna Rossi", "--json").stdout)["name"] == "Anna Rossi"
    )
    again = json.loads(run(archive, "discover", "--json").stdout)
    assert again["clusters"][0]["name"] == "Anna Rossi"
    assert json.loads(run(archive, "split", 2, 1, "--json").stdout)[1]["cluster"] == 4
    assert json.loads(run(archive, "merge", 2, 4, "--json").stdout)["faces"] == 2
    assert json.loads(run(archive, "ignore", 3, "--json").stdout)["cluster"] == 3
    assert json.loads(run(archive, "undo", "--json").stdout) == {"undone": "cluster 3 is ignored"}
    assert json.loads(run(archive, "review", "--json").stdout) == []


def test_naming_asks_before_it_adds_to_somebody(archive: Archive) -> None:
    archive.discover()
    archive.name(1, "Anna Rossi")
    refused = run(archive, "name", 3, "Anna Rossi", given="n\n")
    assert refused.exit_code == 2
    assert "enrolled already" in refused.output
    nobody = run(archive, "name", 3, "Anna Rossi", given="")
    assert nobody.output.splitlines()[-1].startswith("vidsearch: "), "a line of its own"
    agreed = run(archive, "name", 3, "Anna Rossi", "--trust", given="y\n")
    assert agreed.exit_code == 0
    assert shown(archive, "Anna Rossi") == ANNAS | {("a", 2)}


def test_an_archive_without_faces_has_nothing_to_discover(tmp_path: Path) -> None:
    Store.create(tmp_path / "archive", **{**MODELS, "face_dim": FACE_DIM})
    empty = Archive(tmp_path / "archive")
    assert run(empty, "discover").exit_code == 1
    add(empty.path, video("a", [[], []]))
    assert run(empty, "discover").exit_code == 1
    assert run(empty, "review").exit_code == 1
