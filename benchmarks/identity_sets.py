"""Pictures of known people in described scenes: swapped ones (COCO-PFS) and untouched ones.

The untouched ones are made here, because no photographs at hand have both names and captions. As
on a news channel, an untouched portrait of a person (LFW) stands beside an untouched photo of a
scene (COCO or Flickr8k), half of them as a split screen and half as an inset in a corner. No face
was swapped, blended or made by a network, so they test whether what was found on swapped faces
holds for photographed ones. They are no photographs of a person in a scene: person and context
are in one picture by construction, portraits are cut close and come from 90 pixels.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import lfw
from benchmarks.context_retrieval import coco_val, flickr_test
from idclip.cocopfs.dataset import CocoPFS, PersonEntry, load_image
from idclip.errors import VidsearchError
from idclip.faces import FaceModel

Image = NDArray[np.uint8]
Scene = tuple[Image, list[str]]

IDENTITIES = 5  # a scene
QUERY_PHOTOS = 5  # of a person
SHOWN_PHOTOS = 3  # others of the same person, at most
# Of the scene's height: width of the panel beside it and side of the portrait there; side of the
# portrait in the corner, its distance to the edges, and its white frame.
PANEL, BESIDE = 0.65, 0.55
INSET, MARGIN, BORDER = 0.3, 0.03, 0.008
GREY = 72  # of the panel
FACE_SHARE = 1.0  # of a portrait is the width of the face: LFW at 90 pixels is cut close
_LOOKING_SIDE = 640


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture of a set: who is in it, which scene it shows, and how to get it.

    `face_px` is the width of the person's face in pixels, None where nobody knows.
    """

    scene: str
    identity: str
    name: str
    captions: tuple[str, ...]
    face_px: float | None
    load: Callable[[], Image]


@dataclass(frozen=True, eq=False)
class IdentitySet:
    """Pictures, and of everybody in them photos to ask with, which are in no picture.

    `people(model)` gives these photos as vectors of a face model, best photo first.
    """

    name: str
    about: str
    fingerprint: str
    pictures: tuple[Picture, ...]
    people: Callable[[FaceModel], Mapping[str, PersonEntry]]


def swapped(name: str, root: Path, split: str, faces: Path | None) -> IdentitySet:
    """A COCO-PFS folder's split. `faces` is the folder or tar of `PERSON/*.jpg` it was made from.

    It is needed only for a face model other than the one that made the folder's vectors.
    """
    data = CocoPFS(root, split=split)
    pictures = tuple(
        Picture(
            sample.scene,
            sample.identity,
            sample.name,
            sample.captions,
            sample.face_px,
            lambda sample=sample: load_image(sample),
        )
        for sample in data.samples
    )

    def people(model: FaceModel) -> Mapping[str, PersonEntry]:
        if model.name == data.face_model:
            return data.people
        if faces is None:
            raise VidsearchError(
                f"{root}: its vectors are those of the face model {data.face_model}; give "
                f"--gallery with the photos it was made from, so that {model.name} can see them"
            )
        named = _query_photos(root, data.people)
        return {
            identity: _entry(model, data.people[identity].name, gallery(faces, photos))
            for identity, photos in named.items()
        }

    about = f"{name}: faces swapped, {root.name}, split {split}"
    return IdentitySet(name, about, f"{data.fingerprint}-{split}", pictures, people)


def _query_photos(root: Path, people: Mapping[str, PersonEntry]) -> dict[str, list[str]]:
    """The file names `PERSON/PHOTO` of the photos to ask with, as our manifest lists them."""
    try:
        manifest = json.loads((root / "manifest.json").read_text("utf-8"))["people"]
        return {
            who: [_photo_name(who, photo["photo"]) for photo in manifest[who]["query_photos"]]
            for who in people
        }
    except (OSError, KeyError, ValueError) as error:
        raise VidsearchError(
            f"{root}: tells no query photos ({error}); build it again with idclip build-cocopfs"
        ) from None


def _photo_name(identity: str, photo: str) -> str:
    return photo if "/" in photo else f"{identity}/{photo}"


def gallery(place: Path, names: Sequence[str]) -> Iterator[Image]:
    """Photos `PERSON/PHOTO` out of a folder or a tar file."""
    if place.is_dir():
        for name in names:
            yield _rgb((place / name).read_bytes())
        return
    with tarfile.open(place) as tar:
        inside = {str(Path(name)): name for name in tar.getnames()}
        for name in names:
            stored = tar.extractfile(inside[name])
            assert stored is not None
            yield _rgb(stored.read())


def composed(
    name: str, scenes: Sequence[Scene], people: Sequence[str], *, seed: int = 0
) -> IdentitySet:
    """Untouched portraits of `people` (LFW's names) beside untouched scenes, 5 people a scene.

    Everybody is shown about equally often. The photos to ask with are others than those shown.
    """
    photos = _photos(people)
    rng = np.random.default_rng(seed)
    turn = _turns(sorted(photos), IDENTITIES * len(scenes), rng)
    shown = _portraits({who: names[QUERY_PHOTOS:][:SHOWN_PHOTOS] for who, names in photos.items()})
    pictures = []
    for number, (scene, captions) in enumerate(scenes):
        for place, who in enumerate(turn[number * IDENTITIES : (number + 1) * IDENTITIES]):
            portrait = shown[who][number % len(shown[who])]
            beside = (number + place) % 2 == 0
            pictures.append(
                Picture(
                    str(number),
                    who,
                    who.replace("_", " "),
                    tuple(captions),
                    FACE_SHARE * scene.shape[0] * (BESIDE if beside else INSET),
                    lambda s=scene, p=portrait, b=beside: split_screen(s, p) if b else inset(s, p),
                )
            )

    def entries(model: FaceModel) -> Mapping[str, PersonEntry]:
        asked = _portraits({who: names[:QUERY_PHOTOS] for who, names in photos.items()})
        return {
            who: _entry(model, who.replace("_", " "), portraits) for who, portraits in asked.items()
        }

    digest = hashlib.blake2b(repr([(p.scene, p.identity) for p in pictures]).encode())
    for scene, _ in scenes:
        digest.update(scene.tobytes())
    about = f"{name}: untouched LFW portraits beside untouched photos of scenes"
    return IdentitySet(name, about, digest.hexdigest()[:16], tuple(pictures), entries)


def split_screen(scene: Image, portrait: Image) -> Image:
    """The scene, and at its right a grey panel with the portrait."""
    height = scene.shape[0]
    side, width = round(BESIDE * height), round(PANEL * height)
    panel = np.full((height, width, 3), GREY, np.uint8)
    top, left = (height - side) // 2, (width - side) // 2
    panel[top : top + side, left : left + side] = _resized(portrait, side, side)
    return np.ascontiguousarray(np.hstack([scene, panel]))


def inset(scene: Image, portrait: Image) -> Image:
    """The scene with the portrait in a white frame in its lower right corner."""
    height = scene.shape[0]
    side, frame = round(INSET * height), max(1, round(BORDER * height))
    bottom, right = height - round(MARGIN * height), scene.shape[1] - round(MARGIN * height)
    picture = scene.copy()
    picture[bottom - side - frame : bottom + frame, right - side - frame : right + frame] = 255
    picture[bottom - side : bottom, right - side : right] = _resized(portrait, side, side)
    return picture


def coco_scenes(data: Path) -> list[Scene]:
    """The 159 val photos of coco-mini."""
    return list(coco_val(data))


def flickr_scenes(data: Path, count: int, seed: int = 0) -> list[Scene]:
    """Some of Flickr8k's 1,000 test photos."""
    every = list(flickr_test(data))
    chosen = np.sort(np.random.default_rng(seed).permutation(len(every))[:count])
    return [every[row] for row in chosen]


def people_of(split: lfw.Split) -> list[str]:
    """People of a part of LFW with photos enough to ask with and to be shown.

    Nothing was fitted on those of "test". One photo of each of "cohort" stands among the strangers
    that faces are compared with, so that they are known less surely than others.
    """
    counts: dict[str, int] = defaultdict(int)
    for name in lfw.all_names():
        counts[lfw.person_of(name)] += 1
    return sorted(
        who for who, n in counts.items() if n > QUERY_PHOTOS and lfw.split_of(who) == split
    )


def _turns(people: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """`count` people, in rounds in which everybody has one turn: none twice in a scene."""
    turn: list[str] = []
    while len(turn) < count:
        begun = set(turn[len(turn) - len(turn) % IDENTITIES :])  # are in the scene half done
        order = [people[i] for i in rng.permutation(len(people))]
        turn += sorted(order, key=lambda who: who in begun)
    return turn[:count]


def _photos(people: Sequence[str]) -> dict[str, list[str]]:
    wanted = set(people)
    photos: dict[str, list[str]] = defaultdict(list)
    for name in lfw.all_names():
        if lfw.person_of(name) in wanted:
            photos[lfw.person_of(name)].append(str(Path(name)))
    return dict(photos)


def _portraits(photos: Mapping[str, Sequence[str]]) -> dict[str, list[Image]]:
    """The pictures of LFW's photos, by person, read in one go."""
    read: dict[str, list[Image]] = {who: [] for who in photos}
    names = [f"./{name}" for of in photos.values() for name in of]
    for name, picture, _ in lfw.pictures(names, lfw.CLEAN):
        read[lfw.person_of(name)].append(picture)
    return read


def _entry(model: FaceModel, name: str, photos: Iterable[Image]) -> PersonEntry:
    """The faces nearest to the middle of some photos, best first; photos without are left out."""
    vectors: list[Any] = []
    qualities: list[float] = []
    for photo in photos:
        faces = model.detect(photo, long_side=_LOOKING_SIDE)
        if not faces:
            continue
        middle = np.array([photo.shape[1], photo.shape[0]]) / 2
        off = [np.hypot(*(np.add(f.box[:2], f.box[2:]) / 2 - middle)) for f in faces]
        face = faces[int(np.argmin(off))]
        vectors.append(model.embed(photo, [face])[0])
        qualities.append(face.quality)
    if not vectors:
        raise VidsearchError(f"no face was found in any photo of {name}; take another person")
    best = np.argsort(-np.array(qualities), kind="stable")
    return PersonEntry(name, np.stack(vectors)[best], np.array(qualities, np.float32)[best])


def _resized(image: Image, width: int, height: int) -> Image:
    import cv2

    method = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)


def _rgb(data: bytes) -> Image:
    from PIL import Image as Pillow

    with Pillow.open(io.BytesIO(data)) as opened:
        return np.asarray(opened.convert("RGB"))
