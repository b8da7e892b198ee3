"""Indexing with a GPU: the encoder by batch and precision, shared encoders, the bytes moved.

    python -m benchmarks.gpu_index [--encoder idclip:compact] [--write]           # on a GPU machine
    python -m benchmarks.gpu_index --job [--videos 16] [--workers 8] [--write]    # with Ray
    python -m benchmarks.gpu_index --bytes [--write]                              # anywhere

The first: pictures/s from prepared bytes in host memory to vectors in host memory, for batches of
1 to 256, in float32 as archives are made, and in bfloat16; and how far the vectors lie from those
of the processor, which is why archives are not made in bfloat16.

`--job`: the same clips (as in `index_speed`) indexed on a Ray cluster of this machine, by workers
that do all by themselves, by workers that share encoders on its GPUs, and by workers that share
what knows faces there too, in turns; how busy the GPUs were, how large batches, and how many of
them were of several videos.

`--bytes`: how many pictures and faces of an hour of video go to a shared encoder, how many bytes
these are for networks of usual sizes, and which share of a worker's time they take where nothing is
shared. Clips as in `stage_times`.

`--device cpu` runs the first two through, to see that they run; their figures are not written.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import _report
from benchmarks.index_speed import duration, load_pictures, make_video
from benchmarks.stage_times import FORMATS, HOUR

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TOLERANCE = 1e-4
"""How far vectors of one archive may lie apart."""
SIDES = (224, 260, 336, 384)
FACE_SIDES = {"default": 150, "insightface": 112}

Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    if problem := _refusal(given):
        print(f"gpu_index: {problem}", file=sys.stderr)
        return 2
    if given.bytes:
        name, title, rows, notes = bytes_moved(given.seconds)
    elif given.job:
        name, title, rows, notes = job(given)
    else:
        name, title, rows, notes = encoding(given.encoder, given.device, given.seconds)
    for row in rows:
        print(row, flush=True)
    if given.write:
        print(_report.write(name, title, rows, notes))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="idclip:compact")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--job", action="store_true", help="a job on a Ray cluster")
    parser.add_argument("--bytes", action="store_true", help="what an hour of video moves")
    parser.add_argument("--videos", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each clip or rate")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--gpu-batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="into benchmarks/results")
    return parser


def _refusal(given: argparse.Namespace) -> str:
    """Why this run cannot be, or nothing."""
    if given.bytes:
        return ""
    if given.device == "cpu":
        return "--write is for figures of a GPU, and --device cpu has none" if given.write else ""
    import torch

    if not torch.cuda.is_available():
        return "torch finds no GPU here; --device cpu runs it through without one"
    if given.job:
        from idclip.devices import onnx_has_cuda

        if not onnx_has_cuda():
            return "faces want CUDA in onnxruntime: pip install onnxruntime-gpu in its place"
    return ""


# --- the encoder ---------------------------------------------------------------------------------


def encoding(name: str, device: str, seconds: float) -> tuple[str, str, list[Row], list[str]]:
    """One row for each batch: pictures/s in both precisions, and how far the vectors lie apart."""
    from idclip.encoders import load_encoder

    encoder: Any = load_encoder(name, device=device)
    noise = np.random.default_rng(0)
    pictures = [noise.integers(0, 256, (360, 640, 3), dtype=np.uint8) for _ in range(8)]
    pictures += [np.ascontiguousarray(picture) for picture in load_pictures(None)]
    reference = load_encoder(name, device="cpu").encode_images(pictures)
    exact = np.abs(encoder.encode_images(pictures) - reference).max()
    with _half(encoder, device):
        half = np.abs(encoder.encode_images(pictures) - reference).max()
    prepared = encoder.prepare(pictures)
    rows = []
    for batch in BATCHES if device == "cuda" else BATCHES[:4]:
        given = np.resize(prepared, (batch, *prepared.shape[1:]))
        part = seconds / 2 / len(BATCHES)
        in_full = _rate(encoder, given, part)
        with _half(encoder, device):
            in_half = _rate(encoder, given, part)
        rows.append(
            {
                "encoder": name,
                "device": device_name(device),
                "batch": batch,
                "float32 pictures/s": in_full,
                "bfloat16 pictures/s": in_half,
                "bfloat16 to float32": in_half / in_full,
                "float32 from cpu": float(exact),
                "bfloat16 from cpu": float(half),
            }
        )
    notes = [
        "From prepared bytes in host memory to vectors in host memory, one batch after the other.",
        f'"from cpu": the largest difference of any value of a unit vector, over {len(pictures)}'
        f" pictures; rows of one archive may lie {TOLERANCE:g} apart.",
    ]
    return "gpu_index", "An archive's encoder on a GPU", rows, notes


@contextmanager
def _half(encoder: Any, device: str) -> Iterator[None]:
    """The encoder under bfloat16: what its streams do for other uses."""
    import torch

    stream = encoder._stream
    stream._exact = False
    with torch.autocast(device, torch.bfloat16):
        yield
    stream._exact = True


def _rate(encoder: Any, prepared: NDArray[np.uint8], seconds: float) -> float:
    """Pictures/s."""
    return len(prepared) * calls_a_second(lambda: encoder.encode_prepared(prepared), seconds)


def calls_a_second(call: Callable[[], object], seconds: float) -> float:
    """How often something can be called, after a first time."""
    call()  # finds the kernels
    began, n = time.perf_counter(), 0
    while time.perf_counter() - began < seconds or n < 2:
        call()
        n += 1
    return n / (time.perf_counter() - began)


def device_name(device: str) -> str:
    """What the device is called."""
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


# --- a job ---------------------------------------------------------------------------------------


def job(given: argparse.Namespace) -> tuple[str, str, list[Row], list[str]]:
    """One row for each way: seconds, and what the shared encoders say."""
    import ray

    from vidsearch import Archive
    from workers import JobOptions, on_ray

    on_gpu = given.device == "cuda"
    shared: dict[str, Any] = {"device": "cuda"} if on_gpu else {"encoders": 1, "device": "cpu"}
    shared["gpu_batch"] = given.gpu_batch
    ways: dict[str, dict[str, Any]] = {
        "each worker by itself": {"num_gpus": 0.0},
        "shared encoders": {**shared, "faces_device": "cpu"},
        "shared encoders that know faces": {**shared, "faces_device": "encoder"},
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    served: dict[str, Any] = {}
    ray.init("local", num_cpus=given.workers, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "videos"
        folder.mkdir()
        pictures = load_pictures(None)
        for number in range(given.videos):
            turned = pictures[number % len(pictures) :] + pictures[: number % len(pictures)]
            make_video(folder / f"v{number}.mp4", turned, given.seconds + number / 25)
        for number in range(given.rounds):
            for way, options in ways.items():
                archive = Archive(Path(scratch) / f"{way}{number}", encoder=given.encoder)
                analyst = on_ray(JobOptions("auto", **options))
                began = time.perf_counter()
                with _told() as told:
                    archive.index([folder], analyst=analyst)
                taken[way].append(time.perf_counter() - began)
                served[way] = told[-1] if told else None
    alone = statistics.median(taken["each worker by itself"])
    rows = [
        {
            "way": way,
            "encoder": given.encoder,
            "device": device_name(given.device) if served[way] else "cpu",
            "workers": given.workers,
            "seconds": statistics.median(times),
            "speed": alone / statistics.median(times),
            "GPU busy": served[way].busy if served[way] else "",
            "pictures": served[way].pictures.n if served[way] else "",
            "batches": served[way].pictures.batches if served[way] else "",
            "of several videos": served[way].pictures.mixed if served[way] else "",
            "largest batch": served[way].pictures.largest if served[way] else "",
            "faces": served[way].faces.n if served[way] else "",
            "batches of faces": served[way].faces.batches if served[way] else "",
        }
        for way, times in taken.items()
    ]
    notes = [
        f"{given.videos} clips of {given.seconds:.0f} s at 720p; medians of {given.rounds} runs in"
        " turns. Speed: against workers that do all by themselves. Busy: the share of the encoders'"
        " life in which they encode, their loading included in their life.",
    ]
    return "gpu_index_job", "A job with shared encoders", rows, notes


@contextmanager
def _told() -> Iterator[list[Any]]:
    """What jobs tell of their shared encoders (`workers.batching.Served`)."""
    found: list[Any] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if str(record.msg).startswith("shared encoders"):
                found.extend(record.args or ())

    log, handler = logging.getLogger("workers.index_job"), Handler()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield found
    log.removeHandler(handler)


# --- bytes ---------------------------------------------------------------------------------------


def bytes_moved(seconds: float) -> tuple[str, str, list[Row], list[str]]:
    """One row for each format: pictures of an hour, and their bytes as networks take them."""
    from vidsearch.analyze import analyze, load_models, prepare
    from vidsearch.shots import DEFAULT_DETECTOR
    from vidsearch.tasks import Recipe, Task

    recipe = Recipe("concept", "default", DEFAULT_DETECTOR, threads=1)
    load_models(recipe.encoder, recipe.faces, recipe.threads)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, suffix, size, codec, megabits in FORMATS[:2]:  # the size hardly matters
            path = Path(scratch) / f"{name.replace(' ', '-')}.{suffix}"
            pictures = load_pictures(None)
            make_video(path, pictures, seconds, size=size, codec=codec, megabits=megabits)
            counting = Counting(prepare(recipe).encoder)
            faces = CountingFaces(prepare(recipe).faces)
            task = Task((os.fsencode(path),), name, path.stat().st_size, 0.0)
            models: Any = prepare(recipe, counting, faces)
            if not rows:  # its first pictures and faces take longer
                analyze(task, recipe)
            began = time.process_time()
            analyze(task, recipe, models=models)
            spent = time.process_time() - began
            hours = duration(path) / HOUR
            rows.append(
                {
                    "format": name,
                    "source MB": path.stat().st_size / 1e6 / hours,
                    "keyframes and figures": counting.pictures / hours,
                    **{
                        f"MB at {side} px": counting.pictures / hours * side * side * 3 / 1e6
                        for side in SIDES
                    },
                    "faces": faces.faces / hours,
                    **{
                        f"MB for {model}": faces.faces / hours * side * side * 3 / 1e6
                        for model, side in FACE_SIDES.items()
                    },
                    "encoding, of core s": counting.spent_s / spent,
                    "knowing faces, of core s": faces.spent_s / spent,
                }
            )
    notes = [
        f"{seconds:.0f} s of each format; everything as of an hour of video. What a worker sends to"
        " a shared encoder: each picture as bytes of the size that the network takes, with no"
        " compression. concept and idclip:compact take 260 px, most CLIPs 224, ViT-L-14-336 336.",
        "Faces are the best looks of each track in each part of a shot, as crops of 150 px"
        " (default) or 112 px (insightface); they go only where shared encoders know faces.",
        '"Of core s": where nothing is shared, the encoder concept and the default face model, one'
        " thread. It is what a worker is spared at most; finding faces stays with it.",
        "Where no encoder is shared nothing of it moves. The finished record moves in both cases:"
        " stage_times.md.",
    ]
    return "encoder_bytes", "What an hour of video sends to a shared encoder", rows, notes


class Counting:
    """An encoder that counts its pictures, and its time, all of it in the thread that asks."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self.name, self.dim, self.licence = encoder.name, encoder.dim, encoder.licence
        self.pictures, self.spent_s = 0, 0.0

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.pictures += len(images)
        began = time.thread_time()
        vectors: NDArray[np.float32] = self._encoder.encode_images(images)
        self.spent_s += time.thread_time() - began
        return vectors


class CountingFaces:
    """A face model that counts the faces it knows, and its time with them."""

    def __init__(self, model: Any) -> None:
        self.name, self.dim, self.licence = model.name, model.dim, model.licence
        self.detect, self.crops = model.detect, model.crops
        self._model = model
        self.faces, self.spent_s = 0, 0.0

    def embed_crops(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.faces += len(crops)
        began = time.thread_time()
        vectors: NDArray[np.float32] = self._model.embed_crops(crops)
        self.spent_s += time.thread_time() - began
        return vectors


if __name__ == "__main__":
    sys.exit(main())
