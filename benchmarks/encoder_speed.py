"""The shipped encoder on onnxruntime against the same network in eager torch, in one run.

    python -m benchmarks.encoder_speed [--threads 1] [--seconds 4]

Both take the same 260 x 260 pictures, uint8, to unit vectors, with as many threads. The torch
network is timm's `tf_efficientnet_lite2` as it stands and the head of `idclip.concept_training`
(untrained: it takes as long), float32, in eval mode without gradients. The two take turns, so that
a busy machine slows both. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import _report
from idclip.concept import ConceptEncoder

WANTED = 4.0
ROUNDS = 8


def seconds_a_call(call: Callable[[], object], seconds: float) -> float:
    """The median time of one call over about `seconds`."""
    taken = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 3:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def eager_network() -> Any:
    """RGB uint8 [N, 260, 260, 3] to unit vectors [N, 384] in torch."""
    import timm
    import torch
    from torch import nn

    from idclip.concept_training.fit import DIM, HEADS
    from idclip.concept_training.network import WIDTH, Head, Inputs, Joint, Ridge
    from idclip.concept_training.towers import CLASSES, IMAGE_FEATURES, MEAN, SPREAD, TEXT_DIM

    seen, logits, glosses = (
        torch.randn(shape)
        for shape in ((2500, IMAGE_FEATURES), (2500, CLASSES), (CLASSES, TEXT_DIM))
    )
    heads = [Ridge(torch.randn(WIDTH, TEXT_DIM)), *(Head() for _ in range(HEADS))]
    weights = [1.0] * len(heads)
    joint = Joint(Inputs.fitted(seen, logits, glosses), torch.zeros(TEXT_DIM), heads, weights)
    joint.projection = torch.randn(TEXT_DIM * len(heads), DIM)

    class Network(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.tower = timm.create_model("tf_efficientnet_lite2", pretrained=False)
            self.joint = joint

        def forward(self, pixels: Any) -> Any:
            x = (pixels.permute(0, 3, 1, 2).float() / 255 - MEAN) / SPREAD
            features = self.tower.global_pool(self.tower.forward_features(x))
            return self.joint.image(features, self.tower.classifier(features))

    return Network().eval()


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each row and engine")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    encoder = ConceptEncoder(threads=given.threads)
    eager = eager_network()
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for batch in (1, 8):
        pictures = [rng.integers(0, 256, (260, 260, 3), np.uint8) for _ in range(batch)]
        pixels = torch.from_numpy(np.stack(pictures))
        with torch.inference_mode():
            encoder.encode_images(pictures)
            eager(pixels)
            ours, theirs = [], []
            for _ in range(ROUNDS):
                part = given.seconds / ROUNDS
                ours.append(seconds_a_call(lambda p=pictures: encoder.encode_images(p), part))
                theirs.append(seconds_a_call(lambda p=pixels: eager(p), part))
        ort, torch_s = statistics.median(ours) / batch, statistics.median(theirs) / batch
        rows.append(
            {
                "batch": batch,
                "threads": given.threads,
                "onnxruntime ms an image": ort * 1e3,
                "eager torch ms an image": torch_s * 1e3,
                "onnxruntime images/s": 1 / ort,
                "ratio": torch_s / ort,
                "met": torch_s / ort >= WANTED,
            }
        )
        print(rows[-1], flush=True)
    rows += preprocessing(encoder, rows[0])
    _report.write(
        "encoder_speed",
        "concept on onnxruntime against the same network in eager torch",
        rows,
        [
            f"Required: ratio at least {WANTED:g}. Both from uint8 pictures to unit vectors.",
            "Data: random pixels; the time does not depend on what a picture shows.",
            "The rows with a size are the squeeze of a whole frame to 260 x 260 alone, one thread.",
        ],
    )


def preprocessing(encoder: ConceptEncoder, like: dict[str, Any]) -> list[dict[str, Any]]:
    """What shrinking a frame of a usual size costs beside the network."""
    import cv2

    cv2.setNumThreads(1)
    rows = []
    for width, height in ((1280, 720), (1920, 1080)):
        frame = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
        taken = seconds_a_call(lambda f=frame: encoder.prepare([f]), 0.5)
        row: dict[str, Any] = dict.fromkeys(like, "")
        row |= {"batch": f"squeeze {width}x{height}", "threads": 1}
        rows.append({**row, "onnxruntime ms an image": taken * 1e3})
    return rows


if __name__ == "__main__":
    main()
