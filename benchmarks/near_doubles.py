"""From which likeness on two shots are near-doubles: how `vidsearch.selection.SAME` was chosen.

    python -m benchmarks.near_doubles [--data ../shared/data] [--encoder NAME]

Doubles are photos of Flickr8k beside copies of them as footage is found twice in an archive:
encoded anew at half the size, cropped by a tenth, brighter, with a bar of text, all of these
together. The photos are not among the 1,000 of the test. Different pictures are all pairs of the
photos themselves; beside them stands each photo's nearest neighbour, which is the hardest. The
likeness is that of `vidsearch.selection`: the cosine, the mean of the photos taken away.
"""

from __future__ import annotations

import argparse
import csv
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance

from benchmarks import _report
from idclip.encoders import load_encoder
from vidsearch.selection import SAME, centred

PHOTOS = 200
THRESHOLDS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def _smaller(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.resize((image.width // 2, image.height // 2)).save(buffer, "JPEG", quality=40)
    return Image.open(buffer).convert("RGB")


def _cropped(image: Image.Image) -> Image.Image:
    x, y = image.width // 20, image.height // 20
    return image.crop((x, y, image.width - x, image.height - y))


def _brighter(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.25)


def _titled(image: Image.Image) -> Image.Image:
    titled = image.copy()
    draw = ImageDraw.Draw(titled)
    top = int(image.height * 0.85)
    draw.rectangle((0, top, image.width, image.height), fill=(20, 30, 90))
    draw.text((image.width // 10, top + 8), "LIVE  A reporter in the street", fill="white")
    return titled


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "encoded anew": _smaller,
    "cropped": _cropped,
    "brighter": _brighter,
    "with a title": _titled,
    "all of these": lambda image: _smaller(_titled(_brighter(_cropped(image)))),
}


def photos(data: Path) -> Iterator[Image.Image]:
    """`PHOTOS` photos of Flickr8k that are not among the 1,000 with the smallest crc32."""
    with (data / "flickr8k" / "captions.csv").open(newline="", encoding="utf-8") as file:
        names = {row[0] for row in csv.reader(file)}
    ranked = sorted(names, key=lambda name: zlib.crc32(name.encode()))[1000:]
    wanted = set(ranked[-PHOTOS:])
    with tarfile.open(data / "flickr8k" / "images.tar") as tar:
        for member in tar:
            file_ = tar.extractfile(member) if Path(member.name).name in wanted else None
            if file_ is not None:
                yield Image.open(io.BytesIO(file_.read())).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--encoder", default="concept")
    args = parser.parse_args()
    encoder = load_encoder(args.encoder)

    def encoded(images: list[Image.Image]) -> NDArray[np.float32]:
        return np.concatenate(
            [encoder.encode_images([np.asarray(i) for i in images[at : at + 32]])
             for at in range(0, len(images), 32)]
        )  # fmt: skip

    images = list(photos(args.data))
    vectors = encoded(images)
    typical = np.asarray(vectors.mean(axis=0), np.float32)
    own = centred(vectors, typical)
    pairs = own @ own.T
    np.fill_diagonal(pairs, -1)
    kinds = {"different photos": pairs[np.triu_indices(len(own), 1)],
             "nearest other photo": pairs.max(axis=1)}  # fmt: skip
    for name, copy in COPIES.items():
        copies = centred(encoded([copy(image) for image in images]), typical)
        kinds[name] = (own * copies).sum(axis=1)
    rows = [
        {
            "pair": name,
            "pairs": len(found),
            "median": float(np.median(found)),
            **{f">= {t:g}": float((found >= t).mean()) for t in THRESHOLDS},
        }
        for name, found in kinds.items()
    ]
    notes = [
        f"{len(images)} photos of Flickr8k outside the test's 1,000, encoder {encoder.name}; "
        f"likeness: cosine with the photos' mean taken away; `vidsearch.selection.SAME` is {SAME}.",
        "The share of pairs whose likeness reaches each threshold: doubles should, others not.",
    ]
    print(
        _report.write(f"near_doubles_{args.encoder.replace(':', '-')}", "Near-doubles", rows, notes)
    )


if __name__ == "__main__":
    main()
