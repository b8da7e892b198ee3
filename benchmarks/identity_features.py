"""What models see in the pictures of a set, once for all ways of ranking; kept in `build/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fusion import Floats, Ints
from benchmarks.identity_sets import IdentitySet
from idclip.cocopfs.captions import evaluation_texts
from idclip.cocopfs.dataset import PersonEntry
from idclip.digests import encoder_digest, face_digest
from idclip.encoders import Encoder
from idclip.faces import FaceModel
from idclip.identity import Faces, IdentityScorer
from idclip.prompts import readings
from vidsearch.context import background_of, log_odds, score_of
from vidsearch.describe import FACE_SIDE

CACHE = Path(__file__).resolve().parent.parent / "build" / "identity_in_context"
BATCH = 32

Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Seen:
    """A set as vidsearch sees it.

    `images` [I, D] are the pictures' vectors; `faces` are N faces, `face_picture` [N] the picture
    of each, not falling, and `boxes` [N, 4] where they are, from 0 to 1; `people` are the photos
    to ask with.
    """

    images: Vectors
    faces: Faces
    face_picture: Ints
    boxes: Vectors
    people: Mapping[str, PersonEntry]

    def found(self) -> NDArray[np.bool_]:
        """[I]: whether a face good enough to be somebody's was found in the picture."""
        found = np.zeros(len(self.images), bool)
        found[self.face_picture] = True
        return found


@dataclass(frozen=True, eq=False)
class Questions:
    """Every caption of every picture, with the person of that picture: Q questions.

    `picture`, `caption` and `person` [Q] are rows: of the pictures, of `captions` [C] and of
    `people` [E].
    """

    picture: Ints
    caption: Ints
    person: Ints
    captions: tuple[str, ...]
    people: tuple[str, ...]

    @classmethod
    def of(cls, data: IdentitySet) -> Questions:
        captions: dict[str, int] = {}
        people: dict[str, int] = {}
        rows = [
            (
                number,
                captions.setdefault(caption, len(captions)),
                people.setdefault(picture.identity, len(people)),
            )
            for number, picture in enumerate(data.pictures)
            for caption in picture.captions
        ]
        columns = np.array(rows, np.int64).T
        return cls(*columns, tuple(captions), tuple(people))


@dataclass(frozen=True, eq=False)
class Identity:
    """People [E] in pictures [I] by the best face of each picture, [E, I].

    `probability` is P(same person), 0 where no face was found; `score` the one it is made of,
    normalised against the cohort, and `cosine` that of centred vectors: where no face was found,
    the person's least.
    """

    probability: Floats
    score: Floats
    cosine: Floats


@dataclass(frozen=True, eq=False)
class Context:
    """Captions [C] and pictures [I], [C, I] each.

    `cosine` is the encoder's own, `score` vidsearch's from 0 to 1, `evidence` the log odds it is
    made of, `centred` the cosine of vectors less the means of texts and
    pictures.
    """

    cosine: Floats
    score: Floats
    evidence: Floats
    centred: Floats


def seen(data: IdentitySet, encoder: Encoder, model: FaceModel, scorer: IdentityScorer) -> Seen:
    """The vectors of all pictures and faces; looked up where they were made before."""
    key = f"{data.fingerprint}-{encoder_digest(encoder.name)}-{face_digest(model.name)}"
    kept = _kept(key, lambda: _look(data, encoder, model))
    good = kept["quality"] >= scorer.least_quality  # a poorer face is nobody's, as in vidsearch
    faces = scorer.faces(kept["faces"][good], kept["quality"][good])
    return Seen(
        kept["images"], faces, kept["picture"][good], kept["boxes"][good], data.people(model)
    )


def _kept(key: str, make: Any) -> dict[str, NDArray[Any]]:
    path = CACHE / f"{key}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(part, **make())
        part.replace(path)
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def _look(data: IdentitySet, encoder: Encoder, model: FaceModel) -> dict[str, NDArray[Any]]:
    images = []
    faces, quality = [np.zeros((0, model.dim), np.float32)], [np.zeros(0)]
    picture, boxes = [np.zeros(0, np.int64)], [np.zeros((0, 4))]
    for number, each in enumerate(data.pictures):
        image = each.load()
        images.append(encoder.encode_images([image])[0])
        side = max(image.shape[:2])
        there = model.detect(image, long_side=min(FACE_SIDE, side))
        if not there:
            continue
        size = np.array([image.shape[1], image.shape[0]] * 2)
        faces.append(model.embed(image, there))
        quality.append(np.array([face.quality for face in there]))
        picture.append(np.full(len(there), number))
        boxes.append(np.clip(np.array([face.box for face in there]) / size, 0, 1))
    return {
        "images": np.stack(images),
        "faces": np.concatenate(faces),
        "quality": np.concatenate(quality).astype(np.float32),
        "picture": np.concatenate(picture),
        "boxes": np.concatenate(boxes).astype(np.float32),
    }


def photos_of(person: PersonEntry, count: int, scorer: IdentityScorer) -> Faces:
    """The best `count` reference photos of a person."""
    return scorer.faces(person.vectors[:count], person.qualities[:count])


def identity(at: Seen, people: Sequence[str], count: int, scorer: IdentityScorer) -> Identity:
    """Everybody in `people`, asked for with `count` photos, against all pictures."""
    shape = len(people), len(at.images)
    probability, score, cosine = np.zeros(shape), np.full(shape, np.nan), np.full(shape, np.nan)
    tracks = np.arange(len(at.face_picture))
    centre = at.faces.vectors.mean(axis=0)
    centred = unit(at.faces.vectors - centre)
    for row, who in enumerate(people):
        photos = photos_of(at.people[who], count, scorer)
        template = scorer.template(photos)
        found = scorer.probabilities(at.faces, tracks, len(tracks), photos).probability
        np.maximum.at(probability[row], at.face_picture, found)
        near = scorer.normalised(at.faces, template)[:, 0]
        np.fmax.at(score[row], at.face_picture, near)
        np.fmax.at(cosine[row], at.face_picture, centred @ unit(template.vectors[0] - centre))
    return Identity(probability, _from_least(score), _from_least(cosine))


def _from_least(score: Floats) -> Floats:
    """The least of each row where nothing was found."""
    return np.where(np.isnan(score), np.nanmin(score, axis=1, keepdims=True), score)


def context(at: Seen, captions: Sequence[str], encoder: Encoder) -> Context:
    """All captions against all pictures, asked as vidsearch asks about somebody with a face."""
    background = background_of(encoder)  # type: ignore[arg-type]
    typical = np.asarray(at.images.mean(axis=0), np.float32)
    texts = encoder.encode_texts(captions)
    centred = unit(texts - background) @ unit(at.images - typical).T
    scores, evidence = [], list[Floats]()
    for asked in _asked(encoder, captions):
        odds = log_odds(at.images, asked, background, typical, encoder.logit_scale)
        scores.append(score_of(odds))
        evidence.append(odds.astype(np.float64))
    return Context(
        (texts @ at.images.T).astype(np.float64),
        np.stack(scores).astype(np.float64),
        np.stack(evidence),
        centred.astype(np.float64),
    )


def _asked(encoder: Encoder, captions: Sequence[str]) -> list[Vectors]:
    """What `encode_people` gives for each caption [M, D], encoded in one go."""
    ways = [readings(caption) for caption in captions]
    vectors = encoder.encode_texts([text for texts in ways for text in texts])
    return np.split(vectors, np.cumsum([len(texts) for texts in ways])[:-1])


def named(at: Seen, data: IdentitySet, asked: Questions, encoder: Encoder) -> Floats:
    """Cosines [Q, I] of "An image with NAME. CAPTION", the paper's first template."""
    texts = [
        evaluation_texts(
            asked.captions[caption], data.pictures[picture].name, configuration="names"
        )
        for caption, picture in zip(asked.caption, asked.picture, strict=True)
    ]
    return _cosines(at.images, encoder.encode_texts([text for (text,) in texts]))


@dataclass(frozen=True, eq=False)
class Token:
    """An Id-CLIP and the vectors [I, D] it makes of a set's pictures."""

    model: Any
    images: Vectors

    @classmethod
    def of(cls, data: IdentitySet, model: Any, digest: str) -> Token:
        def look() -> dict[str, NDArray[Any]]:
            vectors = []
            for start in range(0, len(data.pictures), BATCH):
                some = [each.load() for each in data.pictures[start : start + BATCH]]
                vectors.append(model.encode_images(some))
            return {"images": np.concatenate(vectors)}

        return cls(model, _kept(f"{data.fingerprint}-idclip-{digest}", look)["images"])

    def cosines(
        self, people: Mapping[str, PersonEntry], data: IdentitySet, asked: Questions, count: int
    ) -> Floats:
        """Cosines [Q, I] of "An image with [TOK]. CAPTION", [TOK] the mean of `count` photos."""
        texts, faces = [], []
        for caption, picture in zip(asked.caption, asked.picture, strict=True):
            shown = data.pictures[picture]
            texts += evaluation_texts(asked.captions[caption], shown.name, configuration="conf1")
            mean = people[shown.identity].vectors[:count].mean(axis=0)
            faces.append((mean / np.linalg.norm(mean))[None])
        return _cosines(self.images, self.model.encode_texts(texts, faces))


def _cosines(images: Vectors, texts: Vectors) -> Floats:
    return (texts @ images.T).astype(np.float64)


def unit(vectors: Vectors) -> Vectors:
    """Vectors of unit length."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-9), np.float32)
