"""What Id-CLIP costs beside the plain open_clip model that it wraps, in one run.

    python -m benchmarks.idclip_cost [--model ViT-B-32] [--batch 8] [--repeats 60] [--write]

Pictures with no prompts, and with five, against the plain image tower; texts with [TOK] against
the plain text tower on the same ids. Both take turns call by call on the same weights, so that a
busy machine slows both; the ratio is the median of those of the two calls of one turn. Prompts are
tokens like others: five more make all layers dearer, by what `expected` says, counted in
multiplications of the linear parts and of the attention. What is `beyond` that is the wrapper's.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _report

WANTED = 1.05
PROMPTS = 5
FACE_DIM = 512

Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="ViT-B-32", help="of open_clip, random weights")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=60, help="turns for each row")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="into benchmarks/results")
    parser.add_argument("--results", type=Path, default=_report.RESULTS, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    rows = []
    for side, expected, plain, wrapped in sides(given.model, given.batch):
        about = {"model": given.model, "batch": given.batch, "threads": given.threads, "side": side}
        rows.append({**about, **compared(plain, wrapped, expected, given.repeats)})
        print(rows[-1], flush=True)
    if given.write:
        _report.write(
            "idclip_cost",
            "Id-CLIP against the model it wraps",
            rows,
            _notes(),
            folder=given.results,
        )
    return 0


def _notes() -> list[str]:
    return [
        f"Required: beyond (ratio over expected) at most {WANTED:g}.",
        "ratio: the median over all turns; ratio of minima: of the fastest calls, a check.",
        "Random weights and pictures, float32, without gradients; tokenizing is in no figure.",
    ]


Side = tuple[str, float, Callable[[], Any], Callable[[], Any]]


def sides(name: str, batch: int) -> list[Side]:
    """What is compared: its name, the expected ratio, the plain call and the wrapped one."""
    import torch

    from idclip.backbones import load_backbone
    from idclip.model import IdCLIP, unit

    backbone = load_backbone(name)
    bare, prompted = (
        IdCLIP(_twin(backbone), face_dim=FACE_DIM, prompts=prompts).eval()
        for prompts in (0, PROMPTS)
    )
    model, visual = backbone.model, backbone.model.visual
    pixels = torch.randn(batch, 3, *np.broadcast_to(visual.image_size, 2).tolist())
    people = np.random.default_rng(0).normal(size=(batch, 1, FACE_DIM)).astype(np.float32)
    texts = [f"[TOK] riding a horse past {i} red houses" for i in range(batch)]
    ids, slots, faces = prompted.read(texts, list(people))
    dearer = image_operations(visual, PROMPTS) / image_operations(visual, 0)

    def see() -> Any:
        return unit(model.encode_image(pixels))

    return [
        ("image, 0 prompts", 1.0, see, lambda: bare.encode_image(pixels)),
        (f"image, {PROMPTS} prompts", dearer, see, lambda: prompted.encode_image(pixels)),
        (  # a person's token stands where a word would: none is added
            "text, [TOK]",
            1.0,
            lambda: unit(model.encode_text(ids)),
            lambda: prompted.encode_text(ids, slots, faces),
        ),
    ]


def image_operations(visual: Any, prompts: int) -> int:
    """Multiplications in the layers of an open_clip ViT for one picture, prompts with it.

    W the width, S the tokens: each layer has 4 W^2 + 2 W M a token in its linear parts (M wide is
    the middle of the MLP), and 2 S^2 W in its attention. The patches' embedding sees no prompts.
    """
    patches, width = (int(n) for n in visual.positional_embedding.shape)
    tokens = patches + prompts
    total = (patches - 1) * int(visual.conv1.weight.numel())
    for layer in visual.transformer.resblocks:
        linear = 4 * width**2 + 2 * width * int(layer.mlp.c_fc.out_features)
        total += tokens * linear + 2 * tokens**2 * width
    return total


def compared(
    plain: Callable[[], Any], wrapped: Callable[[], Any], expected: float, repeats: int
) -> Row:
    """Both in turns, the first of a turn by turns too."""
    import torch

    taken: dict[Any, list[float]] = {plain: [], wrapped: []}
    with torch.inference_mode():
        for turn in range(-2, repeats):  # two to warm up
            for call in (plain, wrapped) if turn % 2 else (wrapped, plain):
                start = time.perf_counter()
                call()
                if turn >= 0:
                    taken[call].append(time.perf_counter() - start)
    ratio = statistics.median(b / a for a, b in zip(taken[plain], taken[wrapped], strict=True))
    return {
        "plain ms": 1e3 * statistics.median(taken[plain]),
        "wrapped ms": 1e3 * statistics.median(taken[wrapped]),
        "ratio": ratio,
        "expected": expected,
        "beyond": ratio / expected,
        "ratio of minima": min(taken[wrapped]) / min(taken[plain]),
        "met": ratio / expected <= WANTED,
    }


def _twin(backbone: Any) -> Any:
    """The same weights in modules of their own: hooks of one are none of the other."""
    shared = {
        id(tensor): tensor for tensor in (*backbone.model.parameters(), *backbone.model.buffers())
    }
    return dataclasses.replace(backbone, model=copy.deepcopy(backbone.model, shared))


if __name__ == "__main__":
    sys.exit(main())
