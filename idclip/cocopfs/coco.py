"""A folder in COCO's format: photos, captions and, where they are there, annotated persons."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import VidsearchError

TRAIN, VAL = "train2017", "val2017"
_ANNOTATED = ("instances", "person_keypoints")
Box = tuple[float, float, float, float]
_MANY = 2  # persons that a crowd annotation stands for, at least


@dataclass(frozen=True)
class CocoImage:
    """One photo of a split: COCO's number, its file, and its captions (as COCO stores them)."""

    coco_id: int
    file: str
    path: Path
    captions: tuple[str, ...]


@dataclass(frozen=True)
class CocoSplit:
    """One of COCO's folders of photos.

    `persons` are the boxes of the persons that COCO annotated in an image (x0, y0, x1, y1 in
    pixels; a crowd counts twice), for each image its instances cover, or None without such a
    file: an image that is not among them is unknown, one with no box shows nobody. `absent` are
    photos of the captions that are not in the folder, `mute` photos of the folder without a
    caption. `captions_data` is the captions file itself.
    """

    name: str
    folder: Path
    images: tuple[CocoImage, ...]
    persons: Mapping[int, tuple[Box, ...]] | None
    absent: tuple[str, ...]
    mute: tuple[str, ...]
    captions_data: Mapping[str, Any]

    def captions_of(self, kept: set[int]) -> dict[str, Any]:
        """The captions file of the images with these numbers alone, in COCO's own format."""
        data = dict(self.captions_data)
        data["images"] = [image for image in data["images"] if image["id"] in kept]
        data["annotations"] = [a for a in data["annotations"] if a["image_id"] in kept]
        return data


def annotation_files(coco: Path, name: str) -> list[Path]:
    """The annotation files of a split that are there and that a build depends on."""
    kinds = ("captions", *_ANNOTATED)
    paths = [coco / "annotations" / f"{kind}_{name}.json" for kind in kinds]
    return [path for path in paths if path.is_file()]


def read_split(coco: Path, name: str) -> CocoSplit:
    """Read `COCO/NAME/*.jpg` and `COCO/annotations/*_NAME.json`.

    Raises `VidsearchError` that names what is missing or broken: the folder of photos and
    the captions must be there, and at least one photo must have a caption.
    """
    folder, captions_file = coco / name, coco / "annotations" / f"captions_{name}.json"
    missing = [str(path) for path in (folder, captions_file) if not path.exists()]
    if missing:
        raise VidsearchError(
            f"{coco} is not in COCO's format: missing {', '.join(missing)}. Needed are "
            f"{name}/*.jpg and annotations/captions_{name}.json; for single splits give --splits"
        )
    data = _json(captions_file)
    listed = _listed(data, captions_file)
    captions = _captions(data, captions_file)
    here = {path.name for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg")}
    images = tuple(
        CocoImage(number, file, folder / file, tuple(captions[number]))
        for number, file in listed
        if file in here and captions[number]
    )
    if not images:
        raise VidsearchError(
            f"{captions_file} has no caption for any photo in {folder}: do they belong together?"
        )
    known = {image.file for image in images}
    absent = tuple(sorted(file for _, file in listed if file not in here))
    return CocoSplit(
        name, folder, images, _persons(coco, name), absent, tuple(sorted(here - known)), data
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise VidsearchError(f"{path}: cannot be read as COCO's JSON: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        raise VidsearchError(f"{path}: not COCO's JSON: it has no list `images`")
    return data


def _listed(data: Mapping[str, Any], path: Path) -> list[tuple[int, str]]:
    """Numbers and file names of a captions file's images, by number."""
    try:
        return sorted((int(image["id"]), str(image["file_name"])) for image in data["images"])
    except (KeyError, TypeError, ValueError) as error:
        raise VidsearchError(f"{path}: an image without `id` or `file_name`: {error}") from error


def _captions(data: Mapping[str, Any], path: Path) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    try:
        for note in data["annotations"]:
            found[int(note["image_id"])].append(str(note["caption"]))
    except (KeyError, TypeError, ValueError) as error:
        raise VidsearchError(
            f"{path}: a caption without `image_id` or `caption`: {error}"
        ) from error
    return found


def _persons(coco: Path, name: str) -> dict[int, tuple[Box, ...]] | None:
    """Boxes of the persons of each image that instances or keypoints cover, the more of both."""
    found: dict[int, tuple[Box, ...]] = {}
    files = [coco / "annotations" / f"{kind}_{name}.json" for kind in _ANNOTATED]
    for path in files:
        if path.is_file():
            for number, boxes in _persons_in(_json(path), path).items():
                found[number] = max(found.get(number, ()), tuple(boxes), key=len)
    return found if any(path.is_file() for path in files) else None


def _persons_in(data: Mapping[str, Any], path: Path) -> dict[int, list[Box]]:
    try:
        kinds = {c["id"] for c in data["categories"] if c["name"] == "person"}
        found: dict[int, list[Box]] = {int(image["id"]): [] for image in data["images"]}
        for note in data["annotations"]:
            if note["category_id"] in kinds:
                x, y, width, height = (float(side) for side in note["bbox"])
                box = x, y, x + width, y + height
                boxes = found.setdefault(int(note["image_id"]), [])
                boxes += [box] * (_MANY if note.get("iscrowd") else 1)
    except (KeyError, TypeError, ValueError) as error:
        raise VidsearchError(f"{path}: not COCO's annotations: {error}") from error
    return found
