"""The files of a COCO-PFS folder, read and checked one kind at a time.

Two layouts share their heart: pictures `<coco file name>_<identity>.jpg`, vectors in JSON under
`<coco image id>_<identity>`, COCO's captions JSON, and `identity_meta.csv`. The released one says
nothing of where they lie, so all are looked for below the root; ours adds `manifest.json`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VidsearchError

MANIFEST = "manifest.json"
NAMES = "identity_meta.csv"
SPLITS = ("train", "validation", "test")
WORK = ".work"
"""What a build keeps beside its pictures until the manifest, its last file, is there."""

_FORMAT = 1
_KEY = re.compile(r"(\d+)_(.+)", re.DOTALL)
_VECTORS_BEGIN = re.compile(r'\s*\{\s*"\d+_[^"]+"\s*:\s*\[')
_WORDS = {"train": "train", "val": "validation", "test": "test"}


class BadDataset(VidsearchError):
    """A COCO-PFS folder lacks a part, or one of its parts is not what it should be."""


@dataclass(frozen=True)
class Manifest:
    """What our builder says of a data set; `people` and `images` as they stand in the JSON."""

    file: Path
    face_model: str
    face_dim: int
    fingerprint: str
    people: Mapping[str, Any]
    images: Mapping[str, Any]


@dataclass(frozen=True)
class Scene:
    """A COCO photo before the swap: its file name and what people said of it."""

    file: str
    captions: tuple[str, ...]


def read_manifest(root: Path) -> Manifest | None:
    """Our manifest; None for the released layout, which has none.

    Raises `BadDataset` for one that is broken, and for a folder that is still being built.
    """
    file = root / MANIFEST
    if not file.exists():
        if (root / WORK).exists():
            raise BadDataset(
                f"{root}: is not finished; run the same idclip build-cocopfs again, it goes on "
                "where it stopped"
            )
        return None
    data = _json(file)
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise BadDataset(
            f"{file}: not a manifest of format {_FORMAT}; build the data set again with this "
            "version of idclip build-cocopfs"
        )
    return Manifest(
        file,
        field(file, data, "face_model", str),
        field(file, data, "face_dim", int),
        field(file, data, "fingerprint", str),
        field(file, data, "people", dict),
        field(file, data, "images", dict),
    )


def vector_files(root: Path) -> dict[Path, str | None]:
    """The JSON files of vectors below the root, and the split that each one's name tells."""
    found = {}
    for file in sorted(root.rglob("*.json")):
        if file.name == MANIFEST or not _holds_vectors(file):
            continue
        words = {split for word, split in _WORDS.items() if word in file.name.lower()}
        found[file] = words.pop() if len(words) == 1 else None
    return found


def read_vectors(file: Path, dim: int | None = None) -> dict[tuple[int, str], NDArray[np.float32]]:
    """The file's vectors float32 [F], by COCO image id and identity.

    `dim` is the length that the manifest declares; without it the first vector's length is taken
    for all. Raises `BadDataset` naming file and key.
    """
    data = _json(file)
    if not isinstance(data, dict) or not data:
        raise BadDataset(f"{file}: holds no vectors; it must map <image id>_<identity> to one each")
    vectors = {}
    for key, value in data.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise BadDataset(f'{file}: the key "{key}" is not <image id>_<identity>')
        vector = as_vector(f'{file}: the vector of "{key}"', value, dim)
        dim = len(vector)
        vectors[int(match[1]), match[2]] = vector
    return vectors


def as_vector(what: str, value: object, dim: int | None) -> NDArray[np.float32]:
    """A face vector float32 [F] out of a list of F numbers or a list that holds one such list.

    Raises `BadDataset`, beginning with `what`, where it has not `dim` finite numbers or is zero.
    """
    try:
        vector = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError):
        raise BadDataset(f"{what} is not a list of numbers; make it anew") from None
    if vector.ndim == 2 and len(vector) == 1:
        vector = vector[0]
    if vector.ndim != 1 or not vector.size:
        raise BadDataset(f"{what} has the shape {list(vector.shape)} instead of [1, F]")
    if dim is not None and len(vector) != dim:
        raise BadDataset(
            f"{what} has {len(vector)} numbers instead of {dim}; all must come from one face model"
        )
    if not np.isfinite(vector).all() or not vector.any():
        raise BadDataset(f"{what} is zero or not finite; make it anew")
    return vector


def read_scenes(root: Path, wanted: Iterable[int], split: str | None) -> dict[int, Scene]:
    """The photos with these COCO ids, from the captions files below the root.

    Files that the split's name points to are read first, and no more than needed: the training
    captions are large. Raises `BadDataset` for an id without a photo or without captions.
    """
    missing = set(wanted)
    files = [file for file in root.rglob("*.json") if "caption" in file.name.lower()]
    if not files:
        raise BadDataset(
            f"{root}: no captions*.json; put COCO's annotations/captions_train2017.json and "
            "captions_val2017.json there"
        )
    word = "train" if split == "train" else "val"
    scenes: dict[int, Scene] = {}
    for file in sorted(files, key=lambda file: (word not in file.name.lower(), file)):
        found = _scenes(file, missing)
        scenes |= found
        missing -= found.keys()
        if not missing:
            return scenes
    raise BadDataset(
        f"{root}: no captions for {len(missing)} images, the first has the id {min(missing)}; "
        f"looked in {', '.join(sorted(file.name for file in files))}"
    )


def _scenes(file: Path, wanted: set[int]) -> dict[int, Scene]:
    """Those of the wanted photos that the file has captions for."""
    data = _json(file)
    captions: dict[int, list[str]] = {}
    try:
        names = {entry["id"]: entry["file_name"] for entry in data["images"]}
        for entry in data["annotations"]:
            if entry["image_id"] in wanted and entry["caption"].strip():
                captions.setdefault(entry["image_id"], []).append(entry["caption"])
    except (KeyError, TypeError, AttributeError) as error:
        raise BadDataset(
            f"{file}: not COCO's captions format, which has images (id, file_name) and annotations "
            f"(image_id, caption); stumbled over {error}"
        ) from None
    for image_id in captions:
        if image_id not in names:
            raise BadDataset(
                f"{file}: has captions of image {image_id} but does not list it under images"
            )
    return {image_id: Scene(names[image_id], tuple(said)) for image_id, said in captions.items()}


def read_names(root: Path) -> dict[str, str]:
    """What each identity is called, with blanks for underscores, from `identity_meta.csv`.

    Raises `BadDataset` where it is missing or has not the columns Class_ID and Name.
    """
    file = next(iter(sorted(root.rglob(NAMES))), None)
    if file is None:
        raise BadDataset(f"{root}: no {NAMES}; it must give Class_ID and Name of each identity")
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, skipinitialspace=True)
            reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
            return {
                row["Class_ID"].strip(): row["Name"].replace("_", " ").strip()
                for row in reader
                if row["Class_ID"] and row["Name"]
            }
    except KeyError as error:
        raise BadDataset(f"{file}: has no column {error}; it needs Class_ID and Name") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadDataset(f"{file}: not readable as CSV in UTF-8 ({error})") from None


def picture_files(root: Path) -> dict[str, Path]:
    """Every .jpg below the root by its name; of equal names the first in order."""
    found: dict[str, Path] = {}
    for file in sorted(root.rglob("*.jpg")):
        found.setdefault(file.name, file)
    return found


def fingerprint(files: Iterable[Path], pictures: Iterable[str]) -> str:
    """A hash of the vectors' files and the pictures' names, where no manifest gives one."""
    digest = hashlib.sha256()
    for file in sorted(files):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    for name in sorted(pictures):
        digest.update(name.encode() + b"\0")
    return digest.hexdigest()


def field(file: Path, data: object, key: str, kind: type | tuple[type, ...]) -> Any:
    """`data[key]`, checked to be of a kind. Raises `BadDataset` naming file and key."""
    value = data.get(key) if isinstance(data, dict) else None
    if not isinstance(value, kind):
        raise BadDataset(
            f"{file}: {key} is {'missing' if value is None else 'not as it should be'}; build the "
            "data set again"
        )
    return value


def _holds_vectors(file: Path) -> bool:
    with file.open("rb") as stream:
        return _VECTORS_BEGIN.match(stream.read(4096).decode("utf-8", "replace")) is not None


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BadDataset(
            f"{file}: not readable as JSON ({error}); copy or build it again"
        ) from None
