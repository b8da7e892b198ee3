"""How the weights of the encoder `concept` are made (needs the extra `train`).

    train_concept(coco=..., flickr=..., imagenet=..., out=Path("idclip/weights/concept"))

1. A head is fitted on what both towers, as their packages carry them, say of the training data.
2. Head, the image tower's last stages and the text tower's layers are trained together.
3. The mean of the weights before and after is written for onnxruntime.

1,000 photos are held out: they give the recall that is reported and the temperature of the very
weights that are written. Neither test set is ever read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

EPOCHS = 6
TYPICAL = 160  # pictures on which the ranges for int8 are measured


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
    each of the 1,000 classes. `int8` makes the image tower compute in int8: twice as fast, a
    little worse. `cache` keeps what the frozen part of the image tower sees between runs. Returns
    text-to-image recall in per cent on 1,000 held-out Flickr8k photos ("R@1", "R@5", "R@10"),
    "logit_scale" and "megabytes" of what was written.
    """
    import torch

    from .data import Photos
    from .maps import lower_maps
    from .towers import ImageTower
    from .training import Course

    torch.set_num_threads(threads)
    photos = Photos(flickr, coco, imagenet)
    say(str(photos))
    held_out, seen = photos.split(seed)
    with nullcontext(cache) if cache else tempfile.TemporaryDirectory() as folder:
        maps = lower_maps(
            ImageTower(),
            photos.pictures,
            len(photos.captions),
            Path(folder),
            seed=seed,
            threads=threads,
            say=say,
        )
        course = Course(maps, photos.captions, epochs, seed, say)
        trained = course.trained_on(torch.from_numpy(seen))
        found, scale = trained.measure(course, torch.from_numpy(held_out))
    say(f"held-out photos: {found}, temperature {scale}")
    typical = photos.first(TYPICAL) if int8 else None
    sizes = trained.export(out, logit_scale=scale, typical=typical)
    say(f"written: {sizes}")
    return {**found, "logit_scale": scale, "megabytes": sum(sizes.values()) / 1e6}
