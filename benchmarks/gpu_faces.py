"""A face model on a GPU against one core, in turns, and how far their vectors lie apart.

    python -m benchmarks.gpu_faces [--faces default] [--write]

How many pictures/s faces are found in, one after the other as `vidsearch index --faces-device cuda`
does it, and how many faces/s are known, from crops in host memory to vectors in host memory, for
batches as shared encoders make them. Wants an NVIDIA GPU and onnxruntime-gpu; `--device cpu` runs
it through without, and its figures are not written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks import _report
from benchmarks.gpu_index import TOLERANCE, calls_a_second, device_name
from benchmarks.index_speed import load_pictures
from idclip.devices import onnx_has_cuda
from idclip.faces import FaceModel, load_faces
from vidsearch.describe import look_for_faces

BATCHES = (1, 4, 16, 64)

Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    if given.device == "cpu" and given.write:
        print("gpu_faces: --write is for figures of a GPU", file=sys.stderr)
        return 2
    if given.device != "cpu" and not onnx_has_cuda():
        print("gpu_faces: onnxruntime has no CUDA here; --device cpu runs it", file=sys.stderr)
        return 2
    name, rows, notes = measured(given.faces, given.device, given.seconds)
    for row in rows:
        print(row, flush=True)
    for note in notes:
        print(note)
    if given.write:
        print(_report.write(name, "A face model on a GPU", rows, notes))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", default="default")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each rate")
    parser.add_argument("--write", action="store_true", help="into benchmarks/results")
    return parser


def measured(name: str, device: str, seconds: float) -> tuple[str, list[Row], list[str]]:
    """A row for finding faces, and one for each batch of known ones."""
    models = load_faces(name, threads=1), load_faces(name, threads=1, device=device)
    here, there = models
    pictures = [np.ascontiguousarray(picture) for picture in load_pictures(None)]
    frame = pictures[-1]  # of the clip; the first ones are photos
    found = [look_for_faces(here, picture) for picture in pictures]
    again = [look_for_faces(there, picture) for picture in pictures]
    crops = np.concatenate([here.crops(p, f) for p, f in zip(pictures, found, strict=True)])
    apart = float(np.abs(there.embed_crops(crops) - here.embed_crops(crops)).max())

    def row(what: str, batch: int, call: Callable[[FaceModel], Callable[[], object]]) -> Row:
        core, gpu = (batch * calls_a_second(call(model), seconds) for model in models)
        return {
            "face model": name,
            "what": what,
            "device": device_name(device),
            "batch": batch,
            "one core, a second": core,
            "device, a second": gpu,
            "device to core": gpu / core,
            "vectors apart": apart,
        }

    rows = [row("pictures looked at", 1, lambda model: partial(look_for_faces, model, frame))]
    for batch in BATCHES:
        some = np.resize(crops, (batch, *crops.shape[1:]))
        rows.append(row("faces known", batch, lambda model, s=some: partial(model.embed_crops, s)))
    notes = [
        f"Looked at: a frame of {frame.shape[1]} x {frame.shape[0]}, on a copy as an analysis makes"
        " it. Known: from crops in host memory to vectors in host memory, one batch after another.",
        f'"Vectors apart": the largest difference of any value, over {len(crops)} faces; rows of'
        f" one archive may lie {TOLERANCE:g} apart. In {len(pictures)} pictures the core found"
        f" {sum(map(len, found))} faces, the device {sum(map(len, again))}.",
    ]
    return "gpu_faces", rows, notes


if __name__ == "__main__":
    sys.exit(main())
