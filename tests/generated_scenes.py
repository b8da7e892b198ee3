"""Photos of scenes whose captions say plainly what they show: Flickr8k's test photos, COCO's val.

What is in a photo is told by the people who described it, never by a model. A photo shows a topic
where three of its five captions name it, and does not where none does; photos of which only one or
two say so are left out altogether, so that no expected answer hangs on a doubtful one.
"""

from __future__ import annotations

import csv
import io
import json
import re
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]  # RGB [H, W, 3]

TOPICS = {
    "football": r"\b(football|soccer)\b",
    "dog": r"\b(dogs?|pupp(y|ies))\b",
    "snow": r"\b(skis?|skiers?|skiing|snow\w*|sled\w*)\b",
    "bike": r"\b(bikes?|bicycl\w+|biker\w*|biking|cyclists?|bmx)\b",
    "skateboard": r"\bskate\w*",
    "basketball": r"\bbasketball",
    "horse": r"\b(horses?|pony|cowboys?|bulls?|rodeo)\b",
    "beach": r"\b(beach|shore|sand)\b",
    "climb": r"\b(climb\w*|cliff|rock face)\b",
    "motorcycle": r"\b(motor\w+|dirt ?bik\w+|quad|atv)\b",
    "surf": r"\b(surf\w*|waves?)\b",
    "baseball": r"\b(baseball|batter|softball|pitcher)\b",
    "pool": r"\b(pools?|swim\w*)\b",
    "car": r"\b(cars?|trucks?|bus(es)?|race ?car|nascar)\b",
    "swing": r"\bswing(s|ing)?\b(?! (a|his|at))",
    "street": r"\b(street|sidewalk|city|road|traffic)\b",
    "eating": r"\b(eat\w*|pizza|food|cake|meal|dinner|sandwich)\b",
    "tennis": r"\btennis\b",
    "animals": r"\b(giraffes?|zebras?|elephants?|bears?)\b",
    "kitchen": r"\bkitchen\b",
}
_SURE = 3  # captions of five


@dataclass(frozen=True)
class Scene:
    """One photo: `name` is its file's, `topics` what its captions agree on."""

    name: str
    captions: tuple[str, ...]
    topics: frozenset[str]


def scenes(data: Path) -> list[Scene]:
    """The photos of which it is plain what they show, in an order that nobody chose."""
    described = {**_flickr(data), **_coco(data)}
    found = []
    for name in sorted(described, key=lambda name: zlib.crc32(name.encode())):
        votes = {
            topic: sum(bool(re.search(words, text.lower())) for text in described[name])
            for topic, words in TOPICS.items()
        }
        if all(count == 0 or count >= _SURE for count in votes.values()):
            topics = frozenset(topic for topic, count in votes.items() if count)
            found.append(Scene(name, tuple(described[name]), topics))
    return found


def pictures(data: Path, names: Iterable[str]) -> dict[str, Picture]:
    """The photos of these names."""
    wanted = set(names)
    read = {}
    with tarfile.open(data / "flickr8k/images.tar") as archive:
        for member in archive:
            name = Path(member.name).name
            if name in wanted:
                stored = archive.extractfile(member)
                assert stored is not None
                read[name] = _rgb(stored.read())
    for name in wanted - read.keys():
        read[name] = _rgb((data / "coco-mini/val2017" / name).read_bytes())
    return read


def _flickr(data: Path) -> dict[str, list[str]]:
    """The 1,000 photos that nothing was trained on."""
    captions = defaultdict(list)
    with (data / "flickr8k/captions.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            captions[row["image"]].append(row["caption"])
    test = sorted(captions, key=lambda name: zlib.crc32(name.encode()))[:1000]
    return {name: captions[name] for name in test}


def _coco(data: Path) -> dict[str, list[str]]:
    captions = defaultdict(list)
    notes = json.loads((data / "coco-mini/annotations/captions_val2017.json").read_text())
    for note in notes["annotations"]:
        captions[f"{note['image_id']:012d}.jpg"].append(note["caption"].strip())
    there = {path.name for path in (data / "coco-mini/val2017").glob("*.jpg")}
    return {name: texts[:5] for name, texts in captions.items() if name in there}


def _rgb(data: bytes) -> Picture:
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened.convert("RGB"))
