"""Flickr8k comes out in COCO's format, its test list as val2017."""

from __future__ import annotations

import csv
import io
import tarfile
import zlib
from pathlib import Path

import pytest

from examples.flickr8k_to_coco import convert
from idclip.cocopfs.coco import read_split

NAMES = [f"{number}_{number:x}.jpg" for number in range(1000, 1012)]


@pytest.fixture
def flickr(tmp_path: Path) -> Path:
    folder = tmp_path / "flickr8k"
    folder.mkdir()
    with (folder / "captions.csv").open("w", newline="") as lines:
        rows = csv.writer(lines)
        rows.writerow(["image", "caption"])
        rows.writerows(
            [name, f'Photo {name}, number {i} "here" .'] for name in NAMES for i in (0, 1)
        )
    with tarfile.open(folder / "images.tar", "w") as tar:
        for name in [*NAMES[1:], "without_caption.jpg"]:
            info = tarfile.TarInfo(f"images/{name}")
            info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    return folder


def test_the_test_list_becomes_val2017(tmp_path: Path, flickr: Path) -> None:
    out = tmp_path / "coco"
    counts = convert(flickr, out, test=4)
    by_sum = sorted(NAMES, key=lambda name: zlib.crc32(name.encode()))
    here = set(NAMES[1:])  # the first photo is not in the tar
    for folder, names in (("val2017", by_sum[:4]), ("train2017", by_sum[4:])):
        split = read_split(out, folder)
        assert {image.file for image in split.images} == set(names) & here
        assert counts[folder] == len(split.images)
        assert split.persons is None
        assert (split.absent, split.mute) == ((), ())
        for image in split.images:
            assert image.path.read_bytes() == image.file.encode()
            assert image.coco_id == 1 + sorted(NAMES).index(image.file)
            assert image.captions[1] == f'Photo {image.file}, number 1 "here" .'
