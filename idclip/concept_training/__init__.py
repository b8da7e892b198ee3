"""How the weights of the encoder `concept` are made (needs the extra `train`).

    train_concept(coco=..., flickr=..., imagenet=..., out=Path("idclip/weights/concept"))

Both towers stay as their packages carry them. Four heads on frozen features (one ridge regression
in closed form, three small networks) are trained on captions and collapsed into one space. First
with 1,000 photos held out, which gives the recall that is reported, and the temperature; then on
all training photos for the weights that are written. Neither test set is ever read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EPOCHS = 26
HELD_OUT = 1000
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
    """Train the heads and write image.onnx, text.onnx, tokenizer.json and config.json to `out`.

    `coco` holds annotations/captions_train2017.json and train2017/, `flickr` images.tar and
    captions.csv; `imagenet`, which the shipped weights were made with, one photo WNID_name.jpg for
    each of the 1,000 classes. `int8` makes the image tower compute in int8: twice as fast, a little
    worse. `cache` keeps the towers' outputs between runs. Returns
    text-to-image recall in per cent on 1,000 held-out Flickr8k photos ("R@1", "R@5", "R@10"),
    "logit_scale" and "megabytes" of what was written.
    """
    import numpy as np
    import torch

    from . import data, features, fit
    from .export import export
    from .network import ImageEncoder, TextEncoder
    from .towers import ImageTower, TextTower, class_names_and_glosses

    torch.set_num_threads(threads)
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    image_tower, text_tower = ImageTower().eval(), TextTower().eval()
    on_flickr, on_coco = data.flickr_photos(flickr), data.coco_photos(coco)
    of_classes = [] if imagenet is None else data.imagenet_photos(imagenet)
    photos = [*on_flickr, *on_coco, *of_classes]
    say(f"photos: {len(on_flickr)} Flickr8k, {len(on_coco)} COCO, {len(of_classes)} ImageNet")

    def pictures() -> Iterator[NDArray[np.uint8]]:
        yield from data.flickr_pictures(flickr, on_flickr)
        yield from data.folder_pictures(coco / "train2017", on_coco)
        if imagenet is not None:
            yield from data.folder_pictures(imagenet, of_classes)

    views = features.see(image_tower, pictures, len(photos), threads=threads, say=say, cache=cache)
    texts = [caption for photo in photos for caption in photo.captions]
    kept = None if cache is None else cache / "captions.npy"
    captions = features.read(text_tower, texts, kept).view(len(photos), data.CAPTIONS, -1)
    glosses = features.read(text_tower, [gloss for _, gloss in class_names_and_glosses()])
    pairs = fit.Pairs(views, captions)

    order = torch.randperm(len(on_flickr), generator=torch.Generator().manual_seed(seed))
    held_out = min(HELD_OUT, len(on_flickr) // 5)
    unseen = order[:held_out]
    seen = torch.cat([order[held_out:], torch.arange(len(on_flickr), len(photos))])
    trial = fit.fit_joint(pairs.take(seen), glosses, epochs=epochs, seed=seed)
    found = fit.recall(trial, pairs.take(unseen))
    scale = fit.temperature(trial, pairs.take(unseen))
    say(f"held-out photos: {found}, temperature {scale}")

    joint = fit.fit_joint(pairs, glosses, epochs=epochs, seed=seed)
    sizes = export(
        ImageEncoder(image_tower, joint),
        TextEncoder(text_tower, joint),
        out,
        dim=fit.DIM,
        logit_scale=scale,
        typical=np.stack(list(itertools.islice(pictures(), TYPICAL))) if int8 else None,
    )
    say(f"written: {sizes}")
    return {**found, "logit_scale": scale, "megabytes": sum(sizes.values()) / 1e6}
