"""Flickr8k in COCO's format, for `idclip build-cocopfs` and anything else that reads COCO.

    python examples/flickr8k_to_coco.py FLICKR8K OUT

FLICKR8K holds `images.tar` and `captions.csv` (columns image, caption). OUT gets `train2017/`,
`val2017/` and `annotations/captions_*.json`, and no instances: nobody annotated any. The test list
becomes val2017: the 1,000 photos with the smallest CRC-32 of the file name. Numbers are those
of the photos' names in order, files keep their names.
"""

from __future__ import annotations

import csv
import json
import sys
import tarfile
import zlib
from collections import defaultdict
from pathlib import Path

TEST = 1000


def convert(flickr: Path, out: Path, test: int = TEST) -> dict[str, int]:
    """Write OUT; returns how many photos each folder got. A photo without captions is left out."""
    captions = defaultdict(list)
    with (flickr / "captions.csv").open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            captions[row["image"]].append(row["caption"].strip())
    by_sum = sorted(captions, key=lambda name: (zlib.crc32(name.encode()), name))
    number = {name: i for i, name in enumerate(sorted(captions), 1)}
    parts = {"val2017": set(by_sum[:test]), "train2017": set(by_sum[test:])}
    folder_of = {name: folder for folder, names in parts.items() for name in names}
    here = _extract(flickr / "images.tar", out, folder_of)
    (out / "annotations").mkdir(exist_ok=True)
    for folder, names in parts.items():
        kept = sorted(names & here)
        texts = [(number[name], caption) for name in kept for caption in captions[name]]
        data = {
            "info": {"description": "Flickr8k in COCO's format"},
            "licenses": [{"id": 1, "name": "as on Flickr, for research", "url": ""}],
            "images": [{"id": number[n], "file_name": n, "license": 1} for n in kept],
            "annotations": [
                {"id": i, "image_id": image, "caption": caption}
                for i, (image, caption) in enumerate(texts, 1)
            ],
        }
        path = out / "annotations" / f"captions_{folder}.json"
        path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return {folder: len(names & here) for folder, names in parts.items()}


def _extract(tar: Path, out: Path, folder_of: dict[str, str]) -> set[str]:
    """Write the photos into their folders; the names of those that were there."""
    for folder in set(folder_of.values()):
        (out / folder).mkdir(parents=True, exist_ok=True)
    here = set()
    with tarfile.open(tar) as archive:
        for member in archive:
            name = Path(member.name).name
            file = archive.extractfile(member) if name in folder_of else None
            if file is not None:
                (out / folder_of[name] / name).write_bytes(file.read())
                here.add(name)
    return here


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(convert(Path(sys.argv[1]), Path(sys.argv[2])))
