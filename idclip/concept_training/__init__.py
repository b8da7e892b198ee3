"""How the weights of the encoder `concept` are made (needs the extra `train`).

    train_concept(coco=..., flickr=..., imagenet=..., out=Path("idclip/weights/concept"))

1. The image tower's last stages and the text tower's layers are trained on captioned photos.
2. The image tower is written for onnxruntime, rounded to int8 where that is wanted.
3. A head is fitted on what the written tower and the text tower say of the photos, and of COCO's,
   which the towers never saw.

1,000 photos of Flickr8k are held out: they give the recall that is reported and the temperature of
the very weights that are written. Neither test set is ever read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

EPOCHS = 7


def train_concept(
    *,
    coco: Path,
    flickr: Path,
    out: Path,
    imagenet: Path | None = None,
    epochs: int = EPOCHS,
    seed: int = 0,
    threads: int = 2,
    int8: bool = False,
    cache: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, float]:
    """Train, and write image.onnx, text.onnx, tokenizer.json and config.json to `out`.

    `coco` holds annotations/captions_train2017.json and train2017/, `flickr` images.tar and
    captions.csv; `imagenet`, which the shipped weights were made with, one photo WNID_name.jpg for
    each of the 1,000 classes. `int8` makes the image tower and the head compute in int8: over twice
    as fast. `cache` keeps what the frozen part of the image tower sees between runs. Returns
    text-to-image recall in per cent on 1,000 held-out Flickr8k photos ("R@1", "R@5", "R@10"),
    "logit_scale" and "megabytes" of what was written.
    """
    import torch

    from .data import Photos
    from .export import export_tower
    from .maps import lower_maps
    from .towers import ImageTower
    from .training import TYPICAL, Course

    torch.set_num_threads(threads)
    photos = Photos(flickr, coco, imagenet)
    say(str(photos))
    course = Course(photos, photos.split(seed), epochs, seed, threads, say)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        maps = lower_maps(
            ImageTower(), photos, cache or folder, seed=seed, threads=threads, say=say
        )
        towers = course.trained_towers(maps)
        tower = folder / "tower.onnx"
        export_tower(towers.image, tower, photos.first(TYPICAL) if int8 else None)
        trained = course.headed(towers, tower)
        found, scale = trained.measure()
        say(f"held-out photos: {found}, temperature {scale}")
        sizes = trained.export(tower, out, logit_scale=scale, int8=int8)
    say(f"written: {sizes}")
    return {**found, "logit_scale": scale, "megabytes": sum(sizes.values()) / 1e6}
