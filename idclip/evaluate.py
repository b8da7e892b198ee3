"""The paper's evaluation of an identity-aware model on COCO-PFS, with intervals.

Every caption of every picture is a query for that picture among all of the split, in each way to
put the person into the text: no name, the name, and the six configurations of the token, each with
one fixed template and with the average of all that apply. Then every identity is a query without a
context. Source: "Towards Identity-Aware Cross-Modal Retrieval" (ECIR 2025, arXiv 2412.21009).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .cocopfs.captions import entity_texts, evaluation_texts, plain_text
from .cocopfs.dataset import CocoPFS, PersonEntry, Sample, load_image
from .errors import VidsearchError
from .metrics import KS, Ranks, entity_scores, intervals, ranks, recall
from .prompts import CONFIGURATIONS, TEMPLATES, TOK, described

NO_NAME = "none"
WAYS = (NO_NAME, *CONFIGURATIONS)
"""Every way to put a person into a text, by name: no name, the name, conf1 to conf6."""
FACE_EDGES = (0, 32, 48, 64, 100)
"""Lower ends, in pixels, of the face sizes that results are told by, as in the build's report."""

_BATCH = 64
_CAPTIONS = 64  # up to 11 texts each are encoded at once

Vectors: TypeAlias = NDArray[np.float32]
Mean: TypeAlias = Literal["before", "after"]
"""Whether several photos of a person are averaged before the translator or after it."""
Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being encoded, how many are done and of how many."""


class IdentityEncoder(Protocol):
    """A model that takes people into its texts."""

    @property
    def name(self) -> str: ...

    @property
    def face_dim(self) -> int: ...

    def encode_images(self, images: list[NDArray[np.uint8]]) -> Vectors:
        """RGB uint8 pictures [H, W, 3] as float32 [N, D] of unit length."""
        ...

    def encode_texts(self, texts: Sequence[str], people: Sequence[Vectors]) -> Vectors:
        """Texts as float32 [N, D] of unit length.

        Text i may hold the mark [TOK]; `people[i]` float32 [M, F] has a vector for each mark.
        """
        ...


@runtime_checkable
class PhotoEncoder(IdentityEncoder, Protocol):
    """A model that can average several photos of a person after they are translated."""

    def encode_photos(self, texts: Sequence[str], people: Sequence[Vectors]) -> Vectors:
        """As `encode_texts`; `people[i]` float32 [M, P, F] has P photos for each mark."""
        ...


@dataclass(frozen=True)
class _PhotoByPhoto:
    """A model whose people are given as their photos, [P, F], not as one vector."""

    model: PhotoEncoder

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def face_dim(self) -> int:
        return self.model.face_dim

    def encode_images(self, images: list[NDArray[np.uint8]]) -> Vectors:
        return self.model.encode_images(images)

    def encode_texts(self, texts: Sequence[str], people: Sequence[Vectors]) -> Vectors:
        return self.model.encode_photos(texts, people)


@dataclass(frozen=True)
class Figure:
    """A fraction and the ends of its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


Figures: TypeAlias = Mapping[str, Figure]


@dataclass(frozen=True)
class FaceSize:
    """Text to image for the pictures whose face is in a range of pixels, ranked among all."""

    face_px: str
    pictures: int
    t2i: Figures


@dataclass(frozen=True)
class Row:
    """One way to ask. `configuration` is "none", "names" or "conf1" to "conf6", `query` its label;
    `template` "caption", "fixed" or "averaged". `entity` is None where nobody is named.
    """

    query: str
    configuration: str
    template: str
    t2i: Figures
    i2t: Figures
    entity: Figures | None
    by_face: tuple[FaceSize, ...]

    @property
    def label(self) -> str:
        """What it asks with, after the paper's name for it where there is one."""
        named = self.configuration.startswith("conf")
        return f"{self.configuration}: {self.query}" if named else self.query


@dataclass(frozen=True)
class Evaluation:
    """The whole table, and what it was measured on.

    `template` is the fixed one; `photos` how many reference photos' vectors were averaged, None for
    the vector that the data set gives; `mean` whether before the translator or after it.
    """

    model: str
    data: str
    face_model: str
    split: str
    pictures: int
    scenes: int
    texts: int
    people: int
    template: str
    photos: int | None
    mean: Mean
    rows: tuple[Row, ...]

    def as_data(self) -> dict[str, Any]:
        """All of it as JSON knows it."""
        return asdict(self)


def evaluate(
    model: IdentityEncoder,
    data: CocoPFS,
    *,
    template: int = 0,
    photos: int | None = None,
    mean: Mean = "before",
    configurations: Sequence[str] = WAYS,
    limit: int | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure a model on a data set.

    `template` is the fixed one, a row of `idclip.prompts.TEMPLATES`; `photos` averages the vectors
    of a person's best photos, None takes the data set's own; `mean` "after" averages what the
    translator makes of them instead; `configurations` are those of `WAYS` to measure; `limit` keeps
    the first pictures only.
    Pictures and texts are encoded in batches; vectors are kept of all pictures and of one query's
    texts. Intervals of recalls are drawn over pictures, those of entities over identities.

    Raises `VidsearchError` for a model that wants face vectors of another length, a broken picture,
    vectors that are not finite, and a mean after the translator where there is none.
    """
    if model.face_dim != data.face_dim:
        raise VidsearchError(
            f"{model.name} takes face vectors of {model.face_dim} numbers, {data.root} holds "
            f"{data.face_dim} ({data.face_model}); build the data with the model's face model"
        )
    samples = data.samples[:limit]
    tell = progress or (lambda _stage, _done, _of: None)
    asked = _Asked(samples, _faces(samples, data.people, photos, mean))
    model = _photo_by_photo(model, photos) if mean == "after" else model
    image = _images(model, samples, tell)
    rows: list[Row] = []
    for configuration in configurations:
        rows += _rows(model, asked, image, configuration, template, tell, seed)
    return Evaluation(
        model=model.name,
        data=data.fingerprint,
        face_model=data.face_model,
        split=data.split or "all",
        pictures=len(samples),
        scenes=len({sample.image_id for sample in samples}),
        texts=len(asked.text_image),
        people=len(asked.people),
        template=described(template),
        photos=photos,
        mean=mean,
        rows=tuple(rows),
    )


class _Asked:
    """The queries: every caption of every sample, and every identity once."""

    def __init__(self, samples: Sequence[Sample], faces: Sequence[Vectors]) -> None:
        self.samples = samples
        self.faces = faces
        self.captions = [(i, text) for i, one in enumerate(samples) for text in one.captions]
        self.text_image = np.array([index for index, _ in self.captions])
        self.identity = np.array([sample.identity for sample in samples])
        self.people, self.first = np.unique(self.identity, return_index=True)
        sizes = [np.nan if one.face_px is None else one.face_px for one in samples]
        self.face_px = np.array(sizes, np.float64)


def mean_face(vectors: Vectors) -> Vectors:
    """The mean direction of face vectors [P, F] at their mean length, float32 [F].

    A plain mean would be the shorter the less photos agree, which no single photo shows a model.
    """
    mean = vectors.mean(axis=0)
    length = np.linalg.norm(vectors, axis=1).mean()
    return np.asarray(mean * (length / max(float(np.linalg.norm(mean)), 1e-12)), np.float32)


def _faces(
    samples: Sequence[Sample], people: Mapping[str, PersonEntry], photos: int | None, mean: Mean
) -> list[Vectors]:
    if photos is None:
        return [sample.vector for sample in samples]
    if mean == "after":
        return [people[sample.identity].vectors[:photos] for sample in samples]
    means = {who: mean_face(entry.vectors[:photos]) for who, entry in people.items()}
    return [means[sample.identity] for sample in samples]


def _photo_by_photo(model: IdentityEncoder, photos: int | None) -> IdentityEncoder:
    if photos is None:
        raise VidsearchError(
            "the mean after the translator is one of reference photos: say of how many (--photos)"
        )
    if not isinstance(model, PhotoEncoder):
        raise VidsearchError(f"{model.name} has no translator: take the mean before it")
    return _PhotoByPhoto(model)


# --- encoding ------------------------------------------------------------------------------------


def _images(model: IdentityEncoder, samples: Sequence[Sample], tell: Progress) -> Vectors:
    found = []
    for start in range(0, len(samples), _BATCH):
        found.append(model.encode_images([load_image(s) for s in samples[start : start + _BATCH]]))
        tell("pictures", min(start + _BATCH, len(samples)), len(samples))
    return np.concatenate(found)


def _encoded(
    model: IdentityEncoder, groups: Sequence[tuple[list[str], Vectors]], fixed: int
) -> tuple[Vectors, Vectors]:
    """Of each group of texts about one face: the fixed one's vector, and the average of all.

    The average is not normalised: metrics do that.
    """
    texts = [text for group, _ in groups for text in group]
    people = [
        np.repeat(face[None], text.count(TOK), axis=0) for group, face in groups for text in group
    ]
    vectors = model.encode_texts(texts, people)
    starts = np.cumsum([0, *(len(group) for group, _ in groups)])[:-1]
    sizes = np.array([len(group) for group, _ in groups])
    # Where an in-place template does not apply, the first one stands for it.
    chosen = vectors[starts + np.where(fixed < sizes, fixed, 0)]
    return chosen, np.add.reduceat(vectors, starts, axis=0) / sizes[:, None]


def _texts(
    model: IdentityEncoder, asked: _Asked, configuration: str, fixed: int, tell: Progress
) -> dict[str, Vectors]:
    """The vectors [T, D] of all captions with a person in them, by kind of template."""
    parts: list[tuple[Vectors, Vectors]] = []
    for start in range(0, len(asked.captions), _CAPTIONS):
        block = asked.captions[start : start + _CAPTIONS]
        groups = [
            (
                evaluation_texts(
                    text, asked.samples[row].name, configuration=configuration, template=None
                ),
                asked.faces[row],
            )
            for row, text in block
        ]
        parts.append(_encoded(model, groups, fixed))
        tell(CONFIGURATIONS[configuration].label, start + len(block), len(asked.captions))
    both = zip(*parts, strict=True)
    return dict(zip(("fixed", "averaged"), map(np.concatenate, both), strict=True))


def _plain(model: IdentityEncoder, asked: _Asked, tell: Progress) -> dict[str, Vectors]:
    """The vectors [T, D] of the captions as they are; pictures of one scene share them."""
    texts = [plain_text(text) for _, text in asked.captions]
    unique = list(dict.fromkeys(texts))
    place = {text: index for index, text in enumerate(unique)}
    nobody = np.zeros((0, *asked.faces[0].shape), np.float32)
    size = _CAPTIONS * len(TEMPLATES)
    parts = []
    for start in range(0, len(unique), size):
        block = unique[start : start + size]
        parts.append(model.encode_texts(block, [nobody] * len(block)))
        tell("no name", start + len(block), len(unique))
    return {"caption": np.concatenate(parts)[[place[text] for text in texts]]}


def _entities(
    model: IdentityEncoder, asked: _Asked, configuration: str, fixed: int
) -> dict[str, Vectors]:
    """The vectors [E, D] of a query for each identity without a context."""
    groups = [
        (
            entity_texts(asked.samples[row].name, configuration=configuration, template=None),
            asked.faces[row],
        )
        for row in asked.first
    ]
    size = _CAPTIONS
    parts = [_encoded(model, groups[at : at + size], fixed) for at in range(0, len(groups), size)]
    both = zip(*parts, strict=True)
    return dict(zip(("fixed", "averaged"), map(np.concatenate, both), strict=True))


# --- measuring -----------------------------------------------------------------------------------


def _rows(
    model: IdentityEncoder,
    asked: _Asked,
    image: Vectors,
    configuration: str,
    template: int,
    tell: Progress,
    seed: int,
) -> Iterator[Row]:
    if configuration == NO_NAME:
        label, texts, entities = "no name", _plain(model, asked, tell), None
    else:
        label = CONFIGURATIONS[configuration].label
        texts = _texts(model, asked, configuration, template, tell)
        entities = _entities(model, asked, configuration, template)
    for kind, text in texts.items():
        found = ranks(image, text, asked.text_image)
        yield Row(
            query=label,
            configuration=configuration,
            template=kind,
            t2i=_recalls(found.text, asked.text_image, seed),
            i2t=_recalls(found.image, found.asked, seed),
            entity=_persons(image, asked, entities[kind], seed) if entities else None,
            by_face=tuple(_by_face(found, asked, seed)),
        )


def _recalls(rank: NDArray[np.int64], group: NDArray[Any], seed: int) -> Figures:
    return _figures({f"R@{k}": recall(rank, k) for k in KS}, group, seed)


def _persons(image: Vectors, asked: _Asked, text: Vectors, seed: int) -> Figures:
    scores = entity_scores(image, asked.identity, text, asked.people)
    values = {f"kmin-R@{k}": scores.kmin_recall[k] for k in KS}
    return _figures({**values, "AP": scores.ap, "paper_mAP@10": scores.paper_map10}, None, seed)


def _by_face(found: Ranks, asked: _Asked, seed: int) -> Iterator[FaceSize]:
    for low, high in zip(FACE_EDGES, (*FACE_EDGES[1:], np.inf), strict=True):
        inside = (asked.face_px >= low) & (asked.face_px < high)
        queries = inside[asked.text_image]
        if queries.any():
            label = f"{low}-{high:.0f}" if np.isfinite(high) else f"{low} and more"
            figures = _recalls(found.text[queries], asked.text_image[queries], seed)
            yield FaceSize(label, int(inside.sum()), figures)


def _figures(
    values: Mapping[str, NDArray[np.float64]], group: NDArray[Any] | None, seed: int
) -> Figures:
    table = np.stack(list(values.values()), axis=1)
    ends = intervals(table, group, seed=seed)
    return {
        name: Figure(float(mean), float(low), float(high))
        for name, mean, (low, high) in zip(values, table.mean(axis=0), ends, strict=True)
    }
