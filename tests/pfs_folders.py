"""Small COCO-PFS folders for tests, in our layout and in the released one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CAPTIONS = {
    139: ["A man riding a horse.", "Two people outdoors", "The person on a horse."],
    285: ["A woman in a kitchen.", "Someone cooks."],
}


def face(identity: str, dim: int = 4) -> NDArray[np.float32]:
    """The vector of an identity's face, of unit length to the last bit for 4 and 16 numbers."""
    signs = np.random.default_rng(sum(identity.encode())).choice([-1, 1], dim)
    return (signs / np.sqrt(dim)).astype(np.float32)


def scene_file(image_id: int) -> str:
    return f"{image_id:012d}.jpg"


def picture(file: Path, red: int, green: int) -> None:
    """A picture of one colour."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 16), (red, green, 40)).save(file, quality=95)


def write_json(file: Path, data: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data))


def coco(file: Path, captions: Mapping[int, list[str]]) -> None:
    """COCO's captions format."""
    images = [{"id": image_id, "file_name": scene_file(image_id)} for image_id in captions]
    said = [(image_id, text) for image_id, texts in captions.items() for text in texts]
    annotations = [{"id": n, "image_id": i, "caption": t} for n, (i, t) in enumerate(said)]
    write_json(file, {"info": {}, "licenses": [], "images": images, "annotations": annotations})


def ours(
    root: Path,
    people: Mapping[str, list[str]],
    captions: Mapping[int, list[str]] = CAPTIONS,
    *,
    dim: int = 4,
) -> Path:
    """Every person of a split in every scene; `people` lists the identities by split."""
    manifest: dict[str, Any] = {
        "format": 1,
        "face_model": "toy",
        "face_digest": "0",
        "face_dim": dim,
        "fingerprint": "f00d",
        "people": {},
        "images": {},
    }
    for split, identities in people.items():
        folder = "train2017" if split == "train" else "val2017"
        vectors = {}
        for who, identity in enumerate(identities):
            vector = face(identity, dim)
            manifest["people"][identity] = {
                "name": identity,
                "split": split,
                "source_photos": ["0.jpg"],
                "query_photos": [
                    {"photo": "1.jpg", "quality": 0.5, "vector": (-vector).tolist()},
                    {"photo": "2.jpg", "quality": 0.9, "vector": vector.tolist()},
                ],
            }
            for place, image_id in enumerate(captions):
                name = f"{scene_file(image_id)}_{identity}.jpg"
                picture(root / folder / name, 30 + 60 * who, 30 + 60 * place)
                vectors[f"{image_id}_{identity}"] = [vector.tolist()]
                manifest["images"][name] = {
                    "coco_id": image_id,
                    "coco_file": scene_file(image_id),
                    "split": split,
                    "identity": identity,
                    "face_px": 20.0 + 50 * place,
                }
        write_json(root / f"embeddings_{split}.json", vectors)
    coco(root / "annotations" / "captions_val2017.json", captions)
    coco(root / "annotations" / "captions_train2017.json", captions)
    every = [identity for identities in people.values() for identity in identities]
    rows = "".join(f"{identity},{identity}\n" for identity in every)
    (root / "identity_meta.csv").write_text(f"Class_ID,Name\n{rows}", "utf-8")
    write_json(root / "manifest.json", manifest)
    return root
