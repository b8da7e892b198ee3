"""The very ranking of vidsearch over a set of pictures: each is a shot of one keyframe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.fusion import Ints
from benchmarks.identity_features import Questions, Seen, Vectors, photos_of
from idclip.cocopfs.captions import evaluation_texts
from idclip.encoders import Encoder
from idclip.identity import IdentityScorer
from vidsearch.query import Query
from vidsearch.question import AllOf, Scene, Someone
from vidsearch.records import Person, Photo, Rows, Video
from vidsearch.search import THRESHOLD, search
from vidsearch.selection import Paging

_WHOLE = (0.0, 0.0, 1.0, 1.0)


class Remembering:
    """An encoder that encodes no text twice."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, self._known = encoder, dict[str, Vectors]()
        self.name, self.dim, self.licence = encoder.name, encoder.dim, encoder.licence
        self.logit_scale = encoder.logit_scale
        self.face_model = getattr(encoder, "face_model", "")

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> Vectors:
        return self._encoder.encode_images(images)

    def encode_texts(self, texts: Sequence[str], people: Sequence[Vectors] = ()) -> Vectors:
        if people:
            return self._encoder.encode_texts(texts, people)  # type: ignore[call-arg]
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known |= dict(zip(new, self._encoder.encode_texts(new), strict=True))
        return np.stack([self._known[text] for text in texts])


def rows_of(seen: Seen) -> Rows:
    """The archive that holds these pictures, each in a video of its own: they are no neighbours."""
    pictures, faces = len(seen.images), len(seen.face_picture)
    start, track = np.arange(pictures, dtype=np.float64), np.arange(faces)
    begins = seen.face_picture.astype(np.float64)
    return Rows(
        videos=tuple(Video(f"{n}", (b"%d" % n,), 0, 0.0) for n in range(pictures)),
        shot_video=np.arange(pictures),
        shot_index=np.arange(pictures),
        shot_start_s=start,
        shot_end_s=start + 1,
        shot_start_frame=np.arange(pictures),
        shot_end_frame=np.arange(pictures) + 1,
        keyframe_shot=np.arange(pictures),
        keyframe_s=start + 0.5,
        part_start_s=start,
        part_end_s=start + 1,
        keyframe_vectors=seen.images,
        track_shot=seen.face_picture,
        track_start_s=begins,
        track_end_s=begins + 1,
        look_track=track,
        look_s=begins + 0.5,
        look_boxes=seen.boxes,
        look_vectors=seen.faces.vectors,
        look_quality=seen.faces.qualities,
        look_cohort_mean=seen.faces.cohort_mean,
        look_cohort_std=seen.faces.cohort_std,
        figure_track=np.zeros(0, np.int64),
        figure_vectors=np.zeros((0, seen.images.shape[1]), np.float32),
    )


def enrolled(seen: Seen, people: Sequence[str], count: int, scorer: IdentityScorer) -> list[Person]:
    """Everybody, enrolled from `count` photos each."""
    found = []
    for who in people:
        photos = tuple(
            Photo(f"{who}-{n}", f"{who}-{n}", b"", _WHOLE, vector, *map(float, numbers))
            for n, (vector, *numbers) in enumerate(
                zip(*photos_of(seen.people[who], count, scorer), strict=True)
            )
        )
        found.append(Person(who, seen.people[who].name, (), photos, 0.0))
    return found


def product_ranks(
    seen: Seen,
    asked: Questions,
    encoder: Encoder,
    scorer: IdentityScorer,
    count: int,
    *,
    rivals: bool,
    threshold: float = THRESHOLD,
) -> Ints:
    """The place of each question's picture in vidsearch's answer from 0, I where it is not in it.

    With `rivals` all people of the set are enrolled, otherwise only the one who is asked for;
    `threshold` is the least probability of a hit. An encoder whose texts hold people gets the
    caption with their mark, too.
    """
    rows, remembering = rows_of(seen), Remembering(encoder)
    remembering.encode_texts(asked.captions)
    people = enrolled(seen, asked.people, count, scorer)
    found = np.full(len(asked.picture), len(seen.images))
    for question, (picture, caption, who) in enumerate(
        zip(asked.picture, asked.caption, asked.person, strict=True)
    ):
        person, text = people[who], asked.captions[caption]
        known = people if rivals else [person]
        marked = " ".join(evaluation_texts(text, person.name, configuration="conf1"))
        tree = AllOf((Someone(person), Scene(text, marked, (person,), named=True)))
        query = Query(text, tree, (person,), text)
        paging = Paging(len(seen.images))
        answer = search(rows, remembering, scorer, query, known, threshold=threshold, paging=paging)
        place = [hit.rank - 1 for hit in answer.hits if hit.shot == picture]
        found[question] = place[0] if place else len(seen.images)
    return found
