"""Text-to-image retrieval of an encoder on two test sets, one view an image.

    python -m benchmarks.context_retrieval [--encoder concept] [--data ../shared/data]

coco-mini: the 159 val photos of COCO 2017 with five captions each. Flickr8k: the 1,000 photos
with the smallest `zlib.crc32` of their file name, five captions each. Neither was trained on; each
caption is a question, and R@k is the share of them whose photo is among the first k.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import _report
from idclip.encoders import Encoder, load_encoder

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RANKS = (1, 5, 10)
WANTED = {"coco-mini val": (46, 80, 90), "Flickr8k test": (25, 55, 68)}
Pair = tuple[NDArray[np.uint8], list[str]]


def coco_val(data: Path) -> Iterator[Pair]:
    captions = defaultdict(list)
    notes = json.loads((data / "coco-mini/annotations/captions_val2017.json").read_text())
    for note in notes["annotations"]:
        captions[note["image_id"]].append(note["caption"].strip())
    for path in sorted((data / "coco-mini/val2017").glob("*.jpg")):
        yield np.asarray(Image.open(path).convert("RGB")), captions[int(path.stem)][:5]


def flickr_test(data: Path) -> Iterator[Pair]:
    captions = defaultdict(list)
    with (data / "flickr8k/captions.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            captions[row["image"]].append(row["caption"])
    wanted = set(sorted(captions, key=lambda name: zlib.crc32(name.encode()))[:1000])
    with tarfile.open(data / "flickr8k/images.tar") as archive:
        for member in archive:
            name = Path(member.name).name
            if name in wanted:
                stored = archive.extractfile(member)
                assert stored is not None
                picture = Image.open(io.BytesIO(stored.read())).convert("RGB")
                yield np.asarray(picture), captions[name]


def recall(encoder: Encoder, pairs: Iterator[Pair]) -> dict[str, float]:
    vectors, texts, owners = [], [], []
    for number, (picture, captions) in enumerate(pairs):
        vectors.append(encoder.encode_images([picture])[0])
        texts += captions
        owners += [number] * len(captions)
    scores = encoder.encode_texts(texts) @ np.stack(vectors).T
    own = scores[np.arange(len(owners)), owners]
    rank = (scores > own[:, None]).sum(1)
    found: dict[str, float] = {f"R@{k}": float(100 * (rank < k).mean()) for k in RANKS}
    return {"photos": len(vectors), "questions": len(texts), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="concept")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--dry", action="store_true", help="print only, write no result")
    given = parser.parse_args()
    encoder = load_encoder(given.encoder, threads=given.threads)
    rows: list[dict[str, Any]] = []
    for name, pairs in (
        ("coco-mini val", coco_val(given.data)),
        ("Flickr8k test", flickr_test(given.data)),
    ):
        found = recall(encoder, pairs)
        wanted = WANTED[name]
        met = all(found[f"R@{k}"] >= least for k, least in zip(RANKS, wanted, strict=True))
        row = {"test set": name, "encoder": given.encoder, **found}
        rows.append({**row, "required": " / ".join(map(str, wanted)), "met": met})
        print(rows[-1], flush=True)
    if not given.dry:
        _report.write(
            "context_retrieval",
            "Text to image, one view an image (per cent of captions whose photo is in the first k)",
            rows,
            [
                "Data: COCO 2017 val (159 photos) and Flickr8k (1,000 photos, smallest crc32 of "
                "the file name), five captions each; neither is in the training data.",
            ],
        )


if __name__ == "__main__":
    main()
