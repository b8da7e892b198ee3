"""How long indexing takes, as a ratio to bare decoding and to the plain pipeline, in one run.

    python -m benchmarks.index_speed [--seconds 120] [--pictures DIR] [--runs 3]

Makes a 1280x720, 25 frames/s H.264 video of about 4 Mbit/s whose 3-second shots are slow moves
over real pictures with people (from `--pictures`, else the photos and frames in
`examples/media`). Measured in turn, `--runs` times, the medians taken:

- decode: PyAV decodes every frame, with the same threads, and throws it away: the limit;
- index: `analyze()` as `vidsearch index` runs it, models loaded;
- plain: what one would write first: a PySceneDetect pass, then frames by decord, an eager torch
  EfficientNet-Lite2, dlib's detector, landmarks and face network (packages timm, torch, dlib-bin,
  face-recognition-models; skipped, and said so, where they are absent).

Then one more `analyze()` with every stage timed, to show where the time goes.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks import _report
from vidsearch.analyze import analyze, load_models
from vidsearch.shots import DEFAULT_DETECTOR
from vidsearch.tasks import Recipe, Task

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "media"
SIZE, RATE, SHOT_S = (1280, 720), 25, 3.0
FACE_FRAMES = 4  # a shot of 3 s, at the 0.8 s of the product's own budget
PLAIN_NEEDS = ("timm", "torch", "dlib", "face_recognition_models")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speed.mp4"
        pictures = load_pictures(options.pictures)
        make_video(path, pictures, options.seconds)
        bench(
            path,
            options.runs,
            len(pictures),
            str(options.pictures or "examples/media").split("/")[-1],
        )


def bench(path: Path, runs: int, n_pictures: int, source: str) -> None:
    task = Task((os.fsencode(path),), "speed", path.stat().st_size, 0.0)
    recipe = Recipe("concept", "default", DEFAULT_DETECTOR)
    load_models(recipe.encoder, recipe.faces, recipe.threads)
    ways: dict[str, Callable[[], Any]] = {
        "bare decode": lambda: decode(path),
        "index": lambda: analyze(task, recipe),
    }
    absent = [name for name in PLAIN_NEEDS if importlib.util.find_spec(name) is None]
    if not absent:
        ways["plain pipeline"] = Plain(path)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, run in ways.items():
            times[name].append(timed(run))
    seconds = duration(path)
    limit = statistics.median(times["bare decode"])
    rows = [
        {
            "what": name,
            "seconds": statistics.median(taken),
            "x real time": seconds / statistics.median(taken),
            "x bare decode": statistics.median(
                t / d for t, d in zip(taken, times["bare decode"], strict=True)
            ),
        }
        for name, taken in times.items()
    ]
    rows += [
        {
            "what": f"  of which {stage}",
            "seconds": spent,
            "x real time": "",
            "x bare decode": spent / limit,
        }
        for stage, spent in stages(task, recipe).items()
    ]
    rate = path.stat().st_size * 8 / seconds / 1e6
    notes = [
        f"{seconds:.0f} s of 1280x720 H.264 at 25 frames/s, {rate:.1f} Mbit/s, "
        f"shots of {SHOT_S:.0f} s made of {n_pictures} pictures ({source}); "
        f"median of {runs} runs in turn.",
        "The stages are thread seconds of one more run: decoding and models run at the same time, "
        "so they add up to more than the run took.",
    ]
    if absent:
        notes.append(f"The plain pipeline was not measured: {', '.join(absent)} absent.")
    else:
        ratio = statistics.median(
            p / i for p, i in zip(times["plain pipeline"], times["index"], strict=True)
        )
        notes.append(f"Indexing is {ratio:.1f} times as fast as the plain pipeline.")
    print(_report.write("index_speed", "Speed of indexing", rows, notes))


def stages(task: Task, recipe: Recipe) -> dict[str, float]:
    """Thread seconds by stage, by timing the calls at the stages' doors."""
    from vidsearch import keyframes, segments
    from vidsearch.decoding import Decoder, Frame

    models = load_models(recipe.encoder, recipe.faces, recipe.threads)
    spent: dict[str, float] = {}
    doors = [
        (Decoder, "__iter__", "decoding and small pictures"),
        (segments.ShotStream, "push", "shot detection"),
        (keyframes, "look", "looks at candidates"),
        (Frame, "picture", "full pictures"),
        (type(models.faces), "detect", "face detection"),
        (type(models.faces), "embed", "face vectors"),
        (type(models.encoder), "encode_images", "context vectors"),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in doors]
    try:
        for owner, name, stage in doors:
            setattr(owner, name, timing(getattr(owner, name), stage, spent))
        analyze(task, recipe)
    finally:
        for owner, name, original in kept:
            setattr(owner, name, original)
    return spent


def timing(function: Callable[..., Any], stage: str, spent: dict[str, float]) -> Callable[..., Any]:
    """The same function, its time added to `spent`; an iterator is timed step by step."""

    def timed_steps(steps: Iterator[Any]) -> Iterator[Any]:
        while True:
            began = time.perf_counter()
            try:
                step = next(steps)
            except StopIteration:
                return
            finally:
                spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - began
            yield step

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        result = function(*args, **kwargs)
        spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - began
        return timed_steps(result) if isinstance(result, Iterator) else result

    return wrapper


class Plain:
    """The pipeline one would write first, with the models loaded beforehand."""

    def __init__(self, path: Path) -> None:
        import dlib
        import face_recognition_models as weights
        import timm
        import torch

        self.path = path
        torch.set_num_threads(os.cpu_count() or 1)
        self.tower = timm.create_model("tf_efficientnet_lite2", num_classes=0).eval()
        self.find = dlib.get_frontal_face_detector()
        self.landmarks = dlib.shape_predictor(weights.pose_predictor_five_point_model_location())
        self.embed = dlib.face_recognition_model_v1(weights.face_recognition_model_location())

    def __call__(self) -> None:
        import decord
        import torch
        from scenedetect import AdaptiveDetector, detect

        scenes = detect(str(self.path), AdaptiveDetector())
        reader = decord.VideoReader(str(self.path))
        for start, end in scenes:
            first, last = start.frame_num, end.frame_num - 1
            indices = np.linspace(first, last, FACE_FRAMES + 2).astype(int)[1:-1]
            frames = reader.get_batch(list(indices)).asnumpy()
            with torch.no_grad():
                keyframe = cv2.resize(frames[len(frames) // 2], (260, 260))
                pixels = torch.from_numpy(keyframe).permute(2, 0, 1)[None].float() / 127.5 - 1
                self.tower(pixels)
            for frame in frames:
                for box in self.find(frame, 0):
                    self.embed.compute_face_descriptor(frame, self.landmarks(frame, box))


def decode(path: Path) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for _ in container.decode(stream):
            pass


def timed(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def duration(path: Path) -> float:
    with av.open(str(path)) as container:
        return float(container.duration / av.time_base)


def load_pictures(folder: Path | None) -> list[np.ndarray]:
    """RGB pictures: those of a folder, else the example photos and some frames of the clip."""
    if folder is not None:
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
        return [cv2.imread(str(path))[..., ::-1] for path in paths]
    photos = [cv2.imread(str(path))[..., ::-1] for path in sorted((EXAMPLES / "people").iterdir())]
    with av.open(str(EXAMPLES / "white-house-poetry.mp4")) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return photos + frames[10::30]


def make_video(
    path: Path,
    pictures: list[np.ndarray],
    seconds: float,
    *,
    size: tuple[int, int] = SIZE,
    codec: str = "libx264",
    megabits: int = 4,
) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = megabits * 1_000_000
        steady = dict.fromkeys(("minrate", "maxrate", "bufsize"), f"{megabits}M")
        stream.options = {"preset": "veryfast", "bf": "2", "nal-hrd": "cbr", **steady}
        stream.codec_context.time_base = Fraction(1, RATE)
        grain = np.random.default_rng(0).normal(0, 4, (size[1] * 2, size[0])).astype(np.float32)
        for picture in scenes(pictures, round(seconds * RATE), size):
            row = np.random.default_rng(picture.size).integers(0, size[1])
            noisy = picture + grain[row : row + size[1], :, None]
            frame = av.VideoFrame.from_ndarray(
                np.clip(noisy, 0, 255).astype(np.uint8), format="rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def scenes(
    pictures: list[np.ndarray], n_frames: int, size: tuple[int, int] = SIZE
) -> Iterator[np.ndarray]:
    """Slow moves over the pictures, one a shot, in turn."""
    per_shot = round(SHOT_S * RATE)
    for index in range(n_frames):
        shot, step = divmod(index, per_shot)
        picture = pictures[shot % len(pictures)]
        height, width = picture.shape[:2]
        scale = max(size[0] / width, size[1] / height) * (1.05 + 0.1 * step / per_shot)
        spare_x, spare_y = width * scale - size[0], height * scale - size[1]
        moved = np.array(
            [[scale, 0, -spare_x * (0.3 + 0.4 * step / per_shot)], [0, scale, -spare_y * 0.25]]
        )
        yield cv2.warpAffine(np.ascontiguousarray(picture), moved, size, flags=cv2.INTER_LINEAR)


if __name__ == "__main__":
    main()
