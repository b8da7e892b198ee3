"""How much of a GPU's speed reaches the user: pictures in host memory against the bare network.

    python -m benchmarks.gpu_embed [--model ViT-L-14-336] [--seconds 20] [--write]
    python -m benchmarks.gpu_embed --train paper-vitl14-336-vpt5 [--write]

Pictures: `idclip.image_stream` takes uint8 pictures from host memory to vectors in host memory. The
bare network is the same one on pixels that are on the GPU already, prepared, and its vectors stay
there; both under bfloat16 and channels-last, eager and compiled, in turns in the same run. The
batch is found: doubled until the bare network gains nothing by it, or memory ends. The start
and the end of a stream, where nothing overlaps, are left out of its rate.

`--train`: steps of AdamW a second on an Id-CLIP of that preset with random weights: pictures
through the image tower with its visual prompts, texts with [TOK], InfoNCE, backward. The pixels
are on the GPU already.

`--device cpu` runs all of it through, to see that it runs; its figures are not written.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import _report

WANTED = 0.95
GAIN = 1.02  # a doubled batch that gains less is not worth its memory
MOST = 2048
ROUNDS = 4
FRAME = (720, 1280)
POOL = 64  # different pictures, taken again and again
FACE_DIM = 512

Images = Sequence[NDArray[np.uint8]]
Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    problem = _refusal(given.device, given.write)
    if problem:
        print(f"gpu_embed: {problem}", file=sys.stderr)
        return 2
    if given.train:
        name, title, notes = _training_notes(given.train)
        rows = training_rows(given)
    else:
        name, title, notes = _embedding_notes()
        rows = embedding_rows(given)
    for row in rows:
        print(row, flush=True)
    if given.write:
        _report.write(name, title, rows, notes)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="of open_clip, random weights (ViT-L-14-336)")
    parser.add_argument("--train", metavar="PRESET", help="measure training with this preset")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each row")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--most", type=int, default=MOST, help="largest batch to try")
    parser.add_argument("--write", action="store_true", help="into benchmarks/results")
    return parser


def _refusal(device: str, write: bool) -> str:
    """Why this run cannot be, or nothing."""
    import torch

    if device == "cpu":
        return "--write is for figures of a GPU, and --device cpu has none" if write else ""
    if not torch.cuda.is_available():
        return "torch finds no GPU here; --device cpu runs it through without one"
    return ""


# --- embedding -----------------------------------------------------------------------------------


def embedding_rows(given: argparse.Namespace) -> list[Row]:
    """One row eager, one compiled."""
    import torch

    from idclip.backbones import load_backbone

    name = given.model or "ViT-L-14-336"
    backbone = load_backbone(name, device=given.device)
    backbone.model.to(memory_format=torch.channels_last)
    side = _side(backbone)
    batch, tried = find_batch(
        lambda n: bare_rate(backbone.model.encode_image, _pixels(n, side, given.device), 0.5),
        most=given.most,
    )
    print(f"batch {batch}; bare pictures/s tried: {tried}", flush=True)
    modes = [False] if given.eager else [False, True]
    return [
        {
            "model": name,
            "device": _device_name(given.device),
            "batch": batch,
            "compiled": compiled,
            **_embedding(backbone, side, batch, compiled, given.device, given.seconds),
        }
        for compiled in modes
    ]


def _embedding(
    backbone: Any, side: tuple[int, int], batch: int, compiled: bool, device: str, seconds: float
) -> Row:
    """The bare network, pictures of its own size, and frames that have to be shrunk, in turns."""
    import torch

    from idclip.image_stream import ImageStream

    bare = backbone.model.encode_image
    bare = torch.compile(bare, dynamic=False) if compiled else bare
    stream = ImageStream(
        backbone.model.encode_image,
        backbone.preprocess,
        device=device,
        batch=batch,
        compiled=compiled,
    )
    pixels = _pixels(batch, side, device)
    sources = {"streamed": _pictures(*side), "streamed 720p": _pictures(*FRAME)}
    part = seconds / ROUNDS / (1 + len(sources))
    rates: dict[str, list[float]] = {"bare": [], **{name: [] for name in sources}}
    stream_rate(stream, sources["streamed"], 0)  # compiles
    for _ in range(ROUNDS):
        rates["bare"].append(bare_rate(bare, pixels, part))
        for name, pictures in sources.items():
            rates[name].append(stream_rate(stream, pictures, part))
    found = {name: statistics.median(seen) for name, seen in rates.items()}
    ratio = found["streamed"] / found["bare"]
    return {
        "workers": stream.workers,
        **{f"{name} pictures/s": rate for name, rate in found.items()},
        "ratio": ratio,
        "ratio 720p": found["streamed 720p"] / found["bare"],
        "met": ratio >= WANTED,
    }


def find_batch(
    rate: Callable[[int], float], *, start: int = 8, most: int = MOST
) -> tuple[int, dict[int, float]]:
    """The smallest batch that doubling gains nothing on, and the pictures/s of those tried.

    `rate` measures a batch, and raises torch's OutOfMemoryError where memory ends, which has to
    be above `start`.
    """
    import torch

    best = min(start, most)
    tried = {best: rate(best)}
    while best * 2 <= most:
        try:
            tried[best * 2] = rate(best * 2)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        if tried[best * 2] < GAIN * tried[best]:
            break
        best *= 2
    return best, tried


def bare_rate(encode: Callable[[Any], Any], pixels: Any, seconds: float) -> float:
    """Pictures/s of a network on pixels [B, 3, H, W] that are where it is, for about `seconds`."""
    from idclip.image_stream import without_gradients

    def call() -> None:
        with without_gradients(pixels.device):
            encode(pixels)

    return len(pixels) * calls_a_second(call, pixels.device, seconds)


def calls_a_second(call: Callable[[], object], device: Any, seconds: float) -> float:
    """How often `call` runs in a second, sent off one after the other without waiting between."""
    wait = _waiting(device)
    call()  # compiles, and finds the kernels
    wait()
    start = time.perf_counter()
    call()
    wait()
    count = max(2, round(seconds / (time.perf_counter() - start)))
    start = time.perf_counter()
    for _ in range(count):
        call()
    wait()
    return count / (time.perf_counter() - start)


def stream_rate(stream: Any, pictures: Images, seconds: float) -> float:
    """Pictures/s through a stream at full pace: from its first batch to the last but one.

    A batch is given when the one after it has been sent off; the last has none after it, so it
    comes sooner than the pace of the others.
    """
    end = time.perf_counter() + seconds

    def feed() -> Iterator[NDArray[np.uint8]]:
        """Whole batches, four at least."""
        source = itertools.cycle(pictures)
        for sent in itertools.count():
            if sent >= 4 and time.perf_counter() > end:
                return
            yield from itertools.islice(source, stream.batch)

    arrivals = [(time.perf_counter(), len(vectors)) for vectors in stream(feed())][:-1]
    return sum(n for _, n in arrivals[1:]) / (arrivals[-1][0] - arrivals[0][0])


def _side(backbone: Any) -> tuple[int, int]:
    """Height and width that the image tower takes."""
    size = backbone.model.visual.image_size
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _pixels(batch: int, side: tuple[int, int], device: str) -> Any:
    import torch

    drawn = torch.randn((batch, 3, *side), device=device)
    return drawn.to(memory_format=torch.channels_last)


def _pictures(height: int, width: int) -> Images:
    """RGB noise: the time does not depend on what a picture shows."""
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(POOL)]


def _embedding_notes() -> tuple[str, str, list[str]]:
    notes = [
        f'Required: ratio ("streamed" to "bare") at least {WANTED:g}.',
        "bare: prepared pixels on the GPU, vectors stay there. streamed: uint8 pictures of the "
        "network's size in host memory to vectors in host memory. streamed 720p: frames of "
        "1280 x 720 that are shrunk on the way, bicubic, by as many threads as `workers`.",
        "bfloat16 (autocast), channels-last. Random weights and pictures.",
    ]
    return "gpu_embed", "Embedding pictures on a GPU, against the bare network", notes


# --- training ------------------------------------------------------------------------------------


def training_rows(given: argparse.Namespace) -> list[Row]:
    """Steps of a preset's batch, eager and compiled; `--model` puts another backbone in."""
    import torch

    from idclip.model import IdCLIP
    from idclip.training_options import preset

    options = preset(given.train)
    name = given.model or options.model
    rows = []
    for compiled in [False] if given.eager else [False, True]:
        model = IdCLIP(
            name,
            face_dim=FACE_DIM,
            prompts=options.prompts,
            text_prompts=options.text_prompts,
            tokens=options.tokens,
            device=given.device,
        ).train()
        if given.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        step = _step(model, options, compiled, given.device)
        rate = calls_a_second(step, torch.device(given.device), given.seconds)
        rows.append(
            {
                "preset": given.train,
                "model": name,
                "device": _device_name(given.device),
                "batch": options.batch,
                "prompts": model.prompts,
                "compiled": compiled,
                "samples/s": rate * options.batch,
                "ms a step": 1e3 / rate,
                "peak GiB": _peak_gib(given.device),
            }
        )
    return rows


def _step(model: Any, options: Any, compiled: bool, device: str) -> Callable[[], None]:
    """One step on the same batch each time: forward, loss, backward, AdamW."""
    import torch

    from idclip.losses import info_nce
    from idclip.model import trained_parameters

    draw = np.random.default_rng(0)
    people = draw.normal(size=(options.batch, 1, FACE_DIM)).astype(np.float32)
    texts = [f"[TOK] riding a horse past {i} red houses" for i in range(options.batch)]
    ids, slots, faces = model.read(texts, list(people))
    pixels = _pixels(options.batch, _side(model.backbone), device)
    optimizer = torch.optim.AdamW(trained_parameters(model), options.lr)
    see, read = model.encode_image, model.encode_text
    if compiled:
        see, read = torch.compile(see, dynamic=False), torch.compile(read, dynamic=False)

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=device == "cuda"):
            seen, said = see(pixels), read(ids, slots, faces)
            loss = info_nce(seen, said, model.logit_scale.exp())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _training_notes(preset: str) -> tuple[str, str, list[str]]:
    notes = [
        "A sample is a picture with its text. Pixels are on the GPU already: reading files is not "
        "in it. bfloat16 (autocast), AdamW. Random weights, faces and pictures.",
    ]
    return f"gpu_train_{preset}", f"Training {preset} on a GPU", notes


def _device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


def _peak_gib(device: str) -> float | str:
    import torch

    return torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else ""


def _waiting(device: Any) -> Callable[[], None]:
    import torch

    return torch.cuda.synchronize if torch.device(device).type == "cuda" else torch.cpu.synchronize


if __name__ == "__main__":
    sys.exit(main())
