"""Questions to records that went through the store: written, replaced, read back, searched.

How shots are scored is tested closer by in tests/unit/test_search.py, on arrays made by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from store_records import analyzed_video, person

from idclip.identity import IdentityScorer
from vidsearch.filters import Filters
from vidsearch.query import parse
from vidsearch.records import AnalyzedVideo, Answer, FaceTrack, Person, Shot
from vidsearch.scoring import IDENTITY, leniently
from vidsearch.search import search
from vidsearch.selection import Paging
from vidsearch.store import Store

FACE_DIM, CONTEXT_DIM = 32, 64
WORDS = ("", "singing", "speech", "dog")  # each an axis of the context; the first is of no word
# The bare cosine decides: 0.42 is a probability of one half, 0.6 is 0.99 and 0.2 is 0.004.
SCORER = IdentityScorer.uncalibrated("test")
SURE, LIKELY = 0.7, 0.48


class WordEncoder:
    """A text is the mean of the axes of its words."""

    name, dim, licence, logit_scale = "words", CONTEXT_DIM, "none", 40.0

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        raise NotImplementedError

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), CONTEXT_DIM), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            held = [axis for axis, word in enumerate(WORDS) if word and word in text] or [0]
            vector[held] = 1 / np.sqrt(len(held))
        return vectors


ENCODER = WordEncoder()


def near(axis: int, cosine: float, dim: int) -> NDArray[np.float32]:
    """A unit vector with this cosine to an axis; the rest lies on the last, which is nobody's."""
    vector = np.zeros(dim, np.float32)
    vector[axis], vector[-1] = cosine, np.sqrt(1 - cosine**2)
    return vector


def scene(shot: Shot, word: str, who: Sequence[tuple[int, float]] = ()) -> Shot:
    """The shot, showing what a word says, and people (number, cosine) through all of it."""
    picture = near(WORDS.index(word), 0.6, CONTEXT_DIM)
    keyframes = tuple(replace(each, vector=picture) for each in shot.keyframes)
    tracks = tuple(
        FaceTrack(
            start_s=shot.start_s,
            end_s=shot.end_s,
            vectors=near(number, cosine, FACE_DIM)[None],
            qualities=np.ones(1, np.float32),
            cohort_mean=np.zeros(1, np.float32),
            cohort_std=np.ones(1, np.float32),
            times=(shot.start_s + 1.5,),
            boxes=((0.25, 0.25, 0.5, 0.75),),
            thumbnail=b"face",
        )
        for number, cosine in who
    )
    return replace(shot, keyframes=keyframes, tracks=tracks)


def video(name: str, *scenes: tuple[Any, ...]) -> AnalyzedVideo:
    """A video of 4-second shots, one a scene."""
    made = analyzed_video(name, shots=len(scenes), encoder_dim=CONTEXT_DIM, face_dim=FACE_DIM)
    return replace(
        made, shots=tuple(scene(s, *what) for s, what in zip(made.shots, scenes, strict=True))
    )


def enrolled(name: str, number: int) -> Person:
    made = person(name, photos=1, face_dim=FACE_DIM)
    face = near(number, 1.0, FACE_DIM)
    (photo,) = made.photos
    photo = replace(photo, vector=face, quality=1.0, cohort_mean=0.0, cohort_std=1.0)
    return replace(made, photos=(photo,))


ANNA, MARCO, JOE = 0, 1, 2
CONCERT = video(
    "concert",
    ("singing", [(ANNA, SURE)]),
    ("speech", [(ANNA, LIKELY)]),
    ("dog",),
    ("singing", [(MARCO, SURE)]),
    ("speech", [(ANNA, SURE), (MARCO, SURE)]),
)
MEETING = video("meeting", ("speech", [(ANNA, SURE)]), ("dog", [(ANNA, LIKELY)]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with a past: other videos, an earlier state of one, one that was removed."""
    folder = tmp_path_factory.mktemp("stored") / "archive"
    Store.create(
        folder, encoder="words", encoder_dim=CONTEXT_DIM, face_model="test", face_dim=FACE_DIM
    )
    dims = {"encoder_dim": CONTEXT_DIM, "face_dim": FACE_DIM, "tracks": 0}
    with Store.open(folder) as store:
        store.publish_many([video("meeting", *[("dog", [(JOE, SURE)])] * 3)])
        store.publish_many([analyzed_video(name, shots=9, **dims) for name in ("x", "y")])
        store.publish_many([video("gone", ("singing", [(JOE, SURE)]))])
        store.publish_many([CONCERT, MEETING])
        store.remove_videos(["id-gone"])
        for name, number in (("Anna Rossi", ANNA), ("Marco Bianchi", MARCO), ("Joe Biden", JOE)):
            store.add_person(enrolled(name, number))
    return folder


def ask(folder: Path, text: str, *, threshold: float = 0.5, k: int = 10, **only: Any) -> Answer:
    with Store.open(folder, read_only=True) as store:
        people = store.people(pictures=False)
        query = parse(text, people)
        how: dict[str, Any] = {"filters": Filters(**only), "paging": Paging(k)}
        return search(store.rows(), ENCODER, SCORER, query, people, threshold=threshold, **how)


def found(answer: Answer) -> list[tuple[str, int]]:
    return [(hit.video_id.removeprefix("id-"), hit.shot) for hit in answer.hits]


def test_shots_are_ranked_by_probability_and_odds_of_the_context(folder: Path) -> None:
    answer = ask(folder, "Anna Rossi giving a speech")
    # Two sure and in the context, one likely; then sure but singing; then likely and a dog.
    assert set(found(answer)[:2]) == {("concert", 4), ("meeting", 0)}
    assert found(answer)[2:] == [("concert", 1), ("concert", 0), ("meeting", 1)]
    for hit in answer.hits[2:]:  # the first two are too near to 1 to have odds
        context = hit.context_score or 0
        known = float(leniently(np.array(hit.people[0].probability)))
        odds = known**IDENTITY * context / (1 - context)
        assert hit.score == pytest.approx(odds / (1 + odds), rel=1e-4)
    assert [hit.score for hit in answer.hits] == sorted(h.score for h in answer.hits)[::-1]
    assert answer.hits[1].score > answer.hits[2].score > 5 * answer.hits[3].score


def test_a_hit_carries_its_evidence_through_the_store(folder: Path) -> None:
    hit = ask(folder, "Marco Bianchi singing").hits[0]
    assert (hit.video, hit.shot) == ("/videos/concert.mp4", 3)
    assert (hit.start_s, hit.end_s, hit.keyframe_s) == (12.0, 16.0, 14.0)
    (sighting,) = hit.people
    assert (sighting.name, sighting.reference) == ("Marco Bianchi", "Marco Bianchi0.jpg")
    assert sighting.time_s == 13.5
    assert sighting.box == (0.25, 0.25, 0.5, 0.75)


def test_a_person_alone_ranks_by_probability(folder: Path) -> None:
    answer = ask(folder, "Anna Rossi")
    assert set(found(answer)[:3]) == {("concert", 0), ("concert", 4), ("meeting", 0)}
    assert set(found(answer)[3:]) == {("concert", 1), ("meeting", 1)}
    assert all(hit.context_score is None for hit in answer.hits)
    assert all(hit.score == hit.people[0].probability for hit in answer.hits)


def test_a_context_alone_ranks_every_shot(folder: Path) -> None:
    answer = ask(folder, "a dog", k=100)
    assert len(answer.hits) == 5 + 2 + 9 + 9
    assert set(found(answer)[:2]) == {("concert", 2), ("meeting", 1)}
    assert all(hit.people == () for hit in answer.hits)
    assert all(hit.score == pytest.approx(hit.context_score) for hit in answer.hits)
    assert len(ask(folder, "a dog", k=3).hits) == 3


def test_two_people_must_be_in_one_shot(folder: Path) -> None:
    assert found(ask(folder, "Anna Rossi and Marco Bianchi")) == [("concert", 4)]


@pytest.mark.parametrize(
    ("since", "until", "shots"),
    [
        (None, None, [("concert", 0), ("concert", 1), ("concert", 4), ("meeting", 0),
                      ("meeting", 1)]),
        (4.0, None, [("concert", 1), ("concert", 4), ("meeting", 1)]),
        (None, 4.0, [("concert", 0), ("meeting", 0)]),
        (5.0, 15.0, [("concert", 1), ("meeting", 1)]),
        (16.0, 17.0, [("concert", 4)]),
    ],
)  # fmt: skip
def test_since_and_until_are_seconds_of_each_video(
    since: float | None, until: float | None, shots: list[tuple[str, int]], folder: Path
) -> None:
    assert sorted(found(ask(folder, "Anna Rossi", since=since, until=until))) == shots


@pytest.mark.parametrize("glob", ["*meet*", "meeting.mp4", "/videos/m*"])
def test_a_glob_leaves_the_videos_that_match(glob: str, folder: Path) -> None:
    assert found(ask(folder, "Anna Rossi", videos=glob)) == [("meeting", 0), ("meeting", 1)]


def test_a_glob_or_a_time_without_a_shot_is_told(folder: Path) -> None:
    assert ask(folder, "Anna Rossi", videos="*.mkv").message == "No video matches *.mkv"
    assert ask(folder, "a dog", since=9000).message == "No shot lies in the time asked for"


def test_the_threshold_parts_the_sure_from_the_likely(folder: Path) -> None:
    sure = [("concert", 0), ("concert", 4), ("meeting", 0)]
    assert sorted(found(ask(folder, "Anna Rossi", threshold=0.95))) == sure
    assert len(ask(folder, "Anna Rossi", threshold=0.5).hits) == 5


def test_somebody_of_rows_that_were_replaced_or_removed_is_in_no_shot(folder: Path) -> None:
    answer = ask(folder, "Joe Biden giving a speech")
    assert answer.hits == ()
    assert answer.message == "No shot shows Joe Biden (best probability 0.00)"


def test_a_name_nobody_is_enrolled_under_is_told_with_a_near_one(folder: Path) -> None:
    answer = ask(folder, "Anna Rosi giving a speech")
    assert answer.hits == ()
    for part in ("Anna Rosi", "not enrolled", "Anna Rossi", "vidsearch people add"):
        assert part in answer.message
