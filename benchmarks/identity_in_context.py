"""Which way of putting identity into a question is best: who is in a picture, and what it shows.

    python -m benchmarks.identity_in_context --data COCO=DIR Flickr8k=DIR [--checkpoint DIR]
        [--faces default insightface:PACK] [--gallery FACES] [--photos 1 3 5] [--write]

A question is a caption of a picture with the person in it, who is known only by reference photos;
the one right answer is that picture. `--data` names COCO-PFS folders (`idclip build-cocopfs`), of
which the test split is asked; sets of untouched photographs (`benchmarks.identity_sets`) are made
beside them from the development data. All that a way leaves open is chosen on the validation
splits and on untouched pictures of other people and scenes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks import _report, fusion, lfw
from benchmarks import identity_sets as sets
from benchmarks import identity_ways as ways
from benchmarks.context_calibration import held_out
from benchmarks.context_retrieval import DATA
from benchmarks.fusion import Floats, Ints
from benchmarks.identity_features import (
    Context,
    Identity,
    Questions,
    Seen,
    Token,
    context,
    identity,
    named,
    seen,
)
from benchmarks.identity_product import product_ranks
from benchmarks.identity_ways import Branches, Choices
from idclip.cocopfs.layout import BadDataset
from idclip.encoders import Encoder, load_encoder
from idclip.errors import VidsearchError
from idclip.faces import FaceModel, load_faces
from idclip.identity import IdentityScorer
from idclip.metrics import intervals
from vidsearch.search import THRESHOLD

NAME = "identity_in_context"
KS = (1, 5, 10)
MAIN = 3  # reference photos in the columns that have no number of their own
VIDSEARCH = "vidsearch's answer, only they enrolled"
VIDSEARCH_ALL = "vidsearch's answer, everybody enrolled"
VIDSEARCH_LOW = "vidsearch's answer, --threshold 0.01"
SCENES, VALIDATION_SCENES = 200, 100  # of the untouched sets of Flickr8k
SIZES = (0, 24, 40, 64, 100_000)  # pixels
KNOWN = 0.5

Scores = TypeVar("Scores", Context, Identity)


@dataclass(frozen=True, eq=False)
class Models:
    """What looks at the pictures; `token` is an Id-CLIP and the digest of its weights, or None."""

    encoder: Encoder
    faces: FaceModel
    scorer: IdentityScorer
    token: tuple[Any, str] | None


@dataclass(frozen=True, eq=False)
class Measured:
    """A set, what was seen in it, and its branches by number of reference photos."""

    data: sets.IdentitySet
    seen: Seen
    branches: dict[int, Branches]
    models: Models

    @property
    def main(self) -> int:
        """The number of reference photos of the columns that say none."""
        return MAIN if MAIN in self.branches else min(self.branches)

    def ranks(self, way: str, how: Choices, photos: int) -> Ints:
        """The places of the right pictures, [Q]."""
        at = self.branches[photos]
        if way in (VIDSEARCH, VIDSEARCH_ALL, VIDSEARCH_LOW):
            of = self.models
            return product_ranks(
                self.seen,
                at.asked,
                of.encoder,
                of.scorer,
                photos,
                rivals=way == VIDSEARCH_ALL,
                threshold=0.01 if way == VIDSEARCH_LOW else THRESHOLD,
            )
        return fusion.ranks(ways.WAYS[way](at, how), at.own)


def measure(data: sets.IdentitySet, models: Models, photos: Sequence[int]) -> Measured:
    """All that the ways need to know of a set."""
    at, asked = seen(data, models.encoder, models.faces, models.scorer), Questions.of(data)
    shown = _of_rows(context(at, asked.captions, models.encoder), asked.caption)
    name = named(at, data, asked, models.encoder)
    token = Token.of(data, *models.token) if models.token else None
    scenes = np.unique([picture.scene for picture in data.pictures], return_inverse=True)[1]
    people = np.array([asked.people.index(picture.identity) for picture in data.pictures])
    branches = {
        count: Branches(
            asked,
            scenes[asked.picture],
            (people[None] == asked.person[:, None]).astype(np.float64),
            (scenes[None] == scenes[asked.picture][:, None]).astype(np.float64),
            _of_rows(identity(at, asked.people, count, models.scorer), asked.person),
            shown,
            name,
            token and token.cosines(at.people, data, asked, count),
        )
        for count in photos
    }
    return Measured(data, at, branches, models)


def _of_rows(scores: Scores, rows: Ints) -> Scores:
    """A branch's matrices with one row for each question."""
    return replace(scores, **{f.name: getattr(scores, f.name)[rows] for f in fields(scores)})


def table(at: Measured, how: Choices) -> Iterator[dict[str, Any]]:
    """One row for each way."""
    branches = at.branches[at.main]
    reference = at.ranks(ways.PRODUCT, how, at.main)
    for way in _rows(branches):
        rank = at.ranks(way, how, at.main)
        row = {
            "set": at.data.name,
            "faces": at.models.faces.name,
            "way": way,
            **_metrics(rank, branches),
            "R@1 less the product's": _difference(rank, reference, branches),
        }
        for count in at.branches:
            if count != at.main:
                found = at.ranks(way, how, count) if _asks_photos(way) else rank
                name = f"R@1, {count} photo{'s' * (count > 1)}"
                row[name] = 100 * float((found == 0).mean()) if _asks_photos(way) else "same"
        print(row, flush=True)
        yield row


def _rows(branches: Branches) -> list[str]:
    """The ways of the table: vidsearch's own answers stand below the way it ranks by."""
    rows = ways.possible(branches)
    below = rows.index(ways.LIKELIHOOD) + 1
    return [*rows[:below], VIDSEARCH, VIDSEARCH_ALL, VIDSEARCH_LOW, *rows[below:]]


def _asks_photos(way: str) -> bool:
    return way not in (ways.NO_NAME, ways.IN_TEXT, ways.KNOWN_FACE)


def _metrics(rank: Ints, at: Branches) -> dict[str, str]:
    """R@k and mAP in per cent with their intervals; scenes are drawn, with all their pictures."""
    pictures = at.context.cosine.shape[1]
    values = [(rank < k).astype(np.float64) for k in KS] + [fusion.reciprocal(rank, pictures)]
    ends = intervals(np.stack(values, axis=1), at.scene)
    names = (*(f"R@{k}" for k in KS), "mAP")
    return {name: _cell(value, *end) for name, value, end in zip(names, values, ends, strict=True)}


def _difference(rank: Ints, reference: Ints, at: Branches) -> str:
    value = (rank == 0).astype(np.float64) - (reference == 0)
    return _cell(value, *intervals(value[:, None], at.scene)[0], sign="+")


def _cell(value: Floats, low: float, high: float, *, sign: str = "") -> str:
    mean = 100 * float(value.mean())
    return f"{mean:{sign}.1f} ({100 * low:{sign}.1f} to {100 * high:{sign}.1f})"


def by_face(at: Measured, how: Choices) -> Iterator[dict[str, Any]]:
    """Why the product misses: by the size of the face in the picture."""
    branches = at.branches[at.main]
    sizes = [np.nan if p.face_px is None else p.face_px for p in at.data.pictures]
    size, found, own = np.array(sizes), at.seen.found(), branches.own
    known = branches.identity.probability[np.arange(len(own)), own] >= KNOWN
    first = {
        way: at.ranks(way, how, at.main) == 0
        for way in (ways.PRODUCT, ways.KNOWN_FACE, ways.KNOWN_SCENE)
    }
    for low, high in [*pairwise(SIZES), (SIZES[0], SIZES[-1])]:
        inside = (size >= low) & (size < high)
        if not inside.any():
            continue
        asked = inside[own]
        yield {
            "set": at.data.name,
            "faces": at.models.faces.name,
            "face, px": _range(low, high),
            "pictures": int(inside.sum()),
            "face found": 100 * float(found[inside].mean()),
            f"P at least {KNOWN}": 100 * float(known[asked].mean()),
            "R@1, product": 100 * float(first[ways.PRODUCT][asked].mean()),
            "R@1, were identity known": 100 * float(first[ways.KNOWN_FACE][asked].mean()),
            "R@1, were the scene known": 100 * float(first[ways.KNOWN_SCENE][asked].mean()),
        }


def _range(low: int, high: int) -> str:
    if high < SIZES[-1]:
        return f"{low} to {high}" if low else f"under {high}"
    return f"{low} and more" if low else "all"


def untouched(data: Path, *, test: bool) -> list[sets.IdentitySet]:
    """Sets of untouched photographs, or none where the development data are absent."""
    if not (data / "coco-mini").is_dir() or not lfw.TAR.is_file():
        print(f"{data}: no development data, so no untouched photographs", file=sys.stderr)
        return []
    if not test:
        scenes = list(islice(held_out(data, 0), VALIDATION_SCENES))
        return [sets.composed("untouched, held out", scenes, sets.people_of("cohort"))]
    people = sets.people_of("test")
    return [
        sets.composed("COCO, untouched", sets.coco_scenes(data), people),
        sets.composed("Flickr8k, untouched", sets.flickr_scenes(data, SCENES), people),
    ]


def swapped(given: argparse.Namespace, split: str) -> list[sets.IdentitySet]:
    """A split of all folders of `--data`; one without a validation split is left out, and named."""
    found = []
    for name, root in given.data:
        try:
            found.append(sets.swapped(name, root, split, given.gallery))
        except BadDataset as error:
            if split == "test":
                raise
            print(f"{name}: {error}", file=sys.stderr)
    return found


def about(measured: Sequence[Measured]) -> list[str]:
    """How large each set is, and how often a face was found in it."""
    return [
        f"{at.data.about}: {len(at.data.pictures)} pictures of "
        f"{len({picture.scene for picture in at.data.pictures})} scenes, "
        f"{len({picture.identity for picture in at.data.pictures})} people, "
        f"{len(at.branches[at.main].own)} questions; a face found in "
        f"{100 * at.seen.found().mean():.1f} % (face model {at.models.faces.name})."
        for at in measured
    ]


def choices(chosen_on: Sequence[Measured], how: Choices) -> str:
    """What was chosen, and on what."""
    of = ", ".join(f"{a.data.name} ({len(a.branches[a.main].own)} questions)" for a in chosen_on)
    values = ", ".join(f"{f.name} {getattr(how, f.name):g}" for f in fields(how))
    return (
        f"Chosen by R@1 over all questions of {of}, whose people are in no test, face model "
        f"{chosen_on[0].models.faces.name}: {values}."
    )


NOTES = (
    "Each caption of each picture is a question, with the person of that picture; the one right "
    "answer is that picture, so mAP is the mean of 1 / its place. Per cent; in brackets bootstrap "
    "intervals of 95 %, scenes drawn with all their pictures. Equal scores count as a miss. "
    f"{MAIN} reference photos where nothing else is said, best quality first.",
    f"{ways.PRODUCT}: P(same person) of the best face (idclip.identity, calibrated on other "
    "people) with a floor under it, times the score of vidsearch.context. "
    f"{ways.LIKELIHOOD}: times the odds that this score is made of, to a power, which do not end "
    "at 1. vidsearch's answer: vidsearch.search itself, which ranks by the latter, returns no "
    "picture in which the person has P under 0.5 and, with everybody of the set enrolled, lets "
    "people compete for a face; below it the same with a threshold of 0.01.",
    f"{ways.BASIC}: as Psomas et al., NeurIPS 2025 (BASIC), without their projection and query "
    f"expansion. {ways.RRF}: k = {fusion.RRF_K}. {ways.WEIGHTED}: of the face's cohort-normalised "
    f"score and the caption's cosine. {ways.IN_TEXT} and {ways.TOKEN}: the paper's first template, "
    '"An image with ... . CAPTION". Bounds: the product with P, or the context, replaced by the '
    "truth.",
    "COCO-PFS: the photos to ask with are never the swap's source. The default face model drove no "
    "swapper, but the builder kept only swaps in which it found the new person again: its figures "
    "flatter there, and the untouched sets are the check.",
    "Untouched: a portrait beside a photo of a scene or in its corner "
    "(benchmarks/identity_sets.py): photographed faces, but no photographs of a person in that "
    "scene.",
)
NO_TOKEN = "No Id-CLIP checkpoint was given: the rows with [TOK] are left out."


def models(given: argparse.Namespace, name: str) -> Models:
    """The models of one run, with the face model `name`."""
    token = None
    if given.checkpoint is not None:
        from idclip.checkpoints import WEIGHTS, checkpoint_folder, load_idclip
        from idclip.digests import of_files

        folder = checkpoint_folder(given.checkpoint)
        token = load_idclip(folder, face_model=name), of_files([folder / WEIGHTS])
    return Models(
        load_encoder(given.encoder, threads=given.threads),
        load_faces(name, threads=given.threads),
        IdentityScorer.for_model(name),
        token,
    )


def main() -> None:
    """Measure, print, and write the tables if asked to."""
    given = _arguments()
    rows: list[dict[str, Any]] = []
    sizes: list[dict[str, Any]] = []
    said = list(NOTES) if given.checkpoint else [*NOTES, NO_TOKEN]
    for name in given.faces:
        of = models(given, name)
        others = untouched(given.development, test=False) + swapped(given, "validation")
        asked = swapped(given, "test") + untouched(given.development, test=True)
        if not asked or not others:
            raise VidsearchError("nothing to ask or to choose on: give --data or --development")
        chosen_on = [measure(each, of, [MAIN]) for each in others]
        how = ways.chosen([each.branches[MAIN] for each in chosen_on])
        said.append(choices(chosen_on, how))
        print(said[-1], flush=True)
        for each in asked:
            at = measure(each, of, given.photos)
            rows += table(at, how)
            sizes += by_face(at, how)
            said += about([at])
    _show(rows, sizes, said, write=given.write)


def _show(
    rows: Sequence[dict[str, Any]],
    sizes: Sequence[dict[str, Any]],
    said: Sequence[str],
    *,
    write: bool,
) -> None:
    for row in sizes:
        print(row)
    print(*said, sep="\n")
    if write:
        _report.write(NAME, "Which way of putting identity into a question is best", rows, said)
        _report.write(
            f"{NAME}_faces",
            "Who is found in a scene, by the size of the face",
            sizes,
            [f"{MAIN} reference photos; sets and ways as in {NAME}.md; per cent.", *said[-4:]],
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="*", type=_named_folder, default=[], metavar="NAME=DIR")
    parser.add_argument("--development", type=Path, default=DATA, help="COCO and Flickr8k photos")
    parser.add_argument("--encoder", default="concept")
    parser.add_argument("--faces", nargs="+", default=["default"], help="face models")
    parser.add_argument("--gallery", type=Path, help="folder or tar of PERSON/*.jpg behind --data")
    parser.add_argument("--checkpoint", help="an Id-CLIP, for the rows with [TOK]")
    parser.add_argument("--photos", nargs="+", type=int, default=[1, MAIN, 5])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="write the results")
    return parser.parse_args()


def _named_folder(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if not folder:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR")
    return name, Path(folder)


if __name__ == "__main__":
    try:
        main()
    except VidsearchError as error:
        sys.exit(f"identity_in_context: {error}")
