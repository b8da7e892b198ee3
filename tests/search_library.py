"""An archive's rows made by hand, shot by shot, and an encoder whose words are axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idclip.identity import IdentityScorer
from vidsearch.filters import Filters
from vidsearch.query import parse
from vidsearch.records import Answer, Person, Photo, Rows, Video
from vidsearch.search import search
from vidsearch.selection import Paging

# The bare cosine decides: 0.42 is a probability of one half, 0.6 is 0.99 and 0.2 is 0.004.
SCORER = IdentityScorer.uncalibrated("test")
FACE_DIM = 32
WORDS = ("", "singing", "speech", "audience", "piano", "dog", "woman")
CONTEXT_DIM = len(WORDS) + 1  # an axis for what no text says


class WordEncoder:
    """Words are axes: a picture's vector is made by hand, and texts without a word are neutral."""

    name = "words"
    dim = CONTEXT_DIM
    licence = "none"
    logit_scale = 40.0

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        raise NotImplementedError

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [[float(bool(word) and word in text) for word in WORDS] for text in texts]
        vectors = np.array([[*row, 0.0] for row in rows], np.float32)
        vectors[vectors.sum(axis=1) == 0, 0] = 1
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


ENCODER = WordEncoder()


class PersonWordEncoder(WordEncoder):
    """Its texts can hold people: who is meant adds a word that only their shots have."""

    name = "words and people"
    face_model = "test"
    words_of = ("piano", "dog", "woman")  # of the people whose faces lie on the first axes

    def encode_texts(
        self, texts: Sequence[str], people: Sequence[NDArray[np.float32]] = ()
    ) -> NDArray[np.float32]:
        given = people or [np.zeros((0, FACE_DIM), np.float32)] * len(texts)
        said = []
        for text, vectors in zip(texts, given, strict=True):
            assert text.count("[TOK]") == len(vectors)
            assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
            said.append(" ".join([text, *(self.words_of[int(v.argmax())] for v in vectors)]))
        return super().encode_texts(said)


def seen(**words: float) -> NDArray[np.float32]:
    """A picture that is so near to each word, and to nothing else as the rest of its length."""
    vector = np.zeros(CONTEXT_DIM, np.float32)
    for word, cosine in words.items():
        vector[WORDS.index(word)] = cosine
    vector[-1] = np.sqrt(max(0.0, 1 - float(vector @ vector)))
    return vector


def axis(number: int) -> NDArray[np.float32]:
    return np.eye(FACE_DIM, dtype=np.float32)[number]


def like(*people: tuple[int, float]) -> NDArray[np.float32]:
    """A face with these cosines to the people's axes, the rest on an axis that is nobody's."""
    vector = sum((cosine * axis(number) for number, cosine in people), np.zeros(FACE_DIM))
    vector[-1] = np.sqrt(max(0.0, 1 - float(vector @ vector)))
    return np.asarray(vector, np.float32)


def odds_of(score: float) -> float:
    return score / (1 - score)


def person(number: int, name: str, *more: NDArray[np.float32]) -> Person:
    photos = tuple(
        Photo(f"{name}-{i}.jpg", f"{name}{i}", b"", (0.0, 0.0, 1.0, 1.0), vector, 1.0, 0.0, 1.0)
        for i, vector in enumerate((axis(number), *more))
    )
    return Person(name, name, (), photos, 0.0)


ANNA, MARCO, JOE = person(0, "Anna Rossi"), person(1, "Marco Bianchi"), person(2, "Joe Biden")
PEOPLE = (ANNA, MARCO, JOE)


class Library:
    """Builds `Rows` shot by shot."""

    def __init__(self) -> None:
        self.videos: list[Video] = []
        self.shots: list[tuple[Any, ...]] = []
        self.keyframes: list[tuple[Any, ...]] = []
        self.tracks: list[tuple[Any, ...]] = []
        self.looks: list[tuple[Any, ...]] = []
        self.figures: list[tuple[Any, ...]] = []

    def video(self, path: str = "/films/a.mp4") -> Library:
        self.videos.append(Video(f"v{len(self.videos)}", (path.encode(),), 0, 0.0))
        return self

    def shot(
        self,
        start: float,
        end: float,
        *parts: NDArray[np.float32],
        faces: Sequence[tuple[float, float, NDArray[np.float32]]] = (),
        figures: Sequence[NDArray[np.float32]] = (),
    ) -> Library:
        """A shot whose parts are equally long; a face is its track's span and its one look.

        `figures` are the faces' own, of as many faces as there are.
        """
        row, video = len(self.shots), len(self.videos) - 1
        self.shots.append((video, sum(s[0] == video for s in self.shots), start, end))
        edges = np.linspace(start, end, len(parts) + 1)
        for part, since, until in zip(parts, edges, edges[1:], strict=False):
            self.keyframes.append((row, (since + until) / 2, since, until, part))
        for number, figure in enumerate(figures):
            self.figures.append((len(self.tracks) + number, figure))
        for since, until, vector in faces:
            self.looks.append((len(self.tracks), (since + until) / 2, vector))
            self.tracks.append((row, since, until))
        return self

    def rows(self) -> Rows:
        def column(rows: list[tuple[Any, ...]], at: int, kind: Any = np.float64) -> Any:
            return np.array([row[at] for row in rows], kind)

        def vectors(rows: list[tuple[Any, ...]], dim: int) -> NDArray[np.float32]:
            return np.array([row[-1] for row in rows], np.float32).reshape(len(rows), dim)

        looks = len(self.looks)
        return Rows(
            tuple(self.videos),
            *(column(self.shots, at, np.int64) for at in (0, 1)),
            *(column(self.shots, at) for at in (2, 3)),
            *(np.asarray(column(self.shots, at) * 25, np.int64) for at in (2, 3)),
            column(self.keyframes, 0, np.int64),
            *(column(self.keyframes, at) for at in (1, 2, 3)),
            vectors(self.keyframes, CONTEXT_DIM),
            column(self.tracks, 0, np.int64),
            *(column(self.tracks, at) for at in (1, 2)),
            column(self.looks, 0, np.int64),
            column(self.looks, 1),
            np.tile(np.array([0.1, 0.2, 0.3, 0.5], np.float32), (looks, 1)),
            vectors(self.looks, FACE_DIM),
            np.ones(looks, np.float32),
            np.zeros(looks, np.float32),
            np.ones(looks, np.float32),
            column(self.figures, 0, np.int64),
            vectors(self.figures, CONTEXT_DIM),
        )


def ask(library: Library, text: str, enrolled: Sequence[Person] = PEOPLE, **how: Any) -> Answer:
    query = parse(text, enrolled, forced=how.pop("forced", ()))
    return search(library.rows(), ENCODER, SCORER, query, enrolled, **_how(**how))


def _how(*, threshold: float = 0.5, k: int = 10, **filters: Any) -> dict[str, Any]:
    return {"threshold": threshold, "filters": Filters(**filters), "paging": Paging(k)}


def shots(answer: Answer) -> list[int]:
    return [hit.shot for hit in answer.hits]


SURE, LIKELY, HARDLY = 0.7, 0.48, 0.35
