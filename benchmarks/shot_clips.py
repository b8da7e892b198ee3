"""Clips with known shot boundaries, made from real pictures and stretches of real footage.

Two sets that share no picture and no footage: `tuning`, on which detectors are set, and `test`.
Each clip is a minute or so of takes (a photo under a moving camera, or footage), joined by hard
cuts, dissolves, fades through black or white and wipes, and disturbed by what is no cut: flashes,
pans, zooms, hand-held shake, noise, changing subtitles, objects that pass in front of the camera.
They are encoded as H.264 at several rates and qualities, so that detectors see what they get.

    python -m benchmarks.shot_clips FOLDER     # look at them
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Split = Literal["tuning", "more", "test"]
Source = Callable[[int], Picture]  # frame number of the take -> picture

TRUTH = Path(__file__).parent / "truth"
WIDTH, HEIGHT = 480, 270
VERSION = 3  # of the recipe: part of the file names
SEEDS: dict[Split, tuple[int, ...]] = {
    "tuning": tuple(range(100, 110)),
    "more": tuple(range(110, 150)),  # for tuning too: ten clips show too little of what is rare
    "test": tuple(range(10)),
}
RATES = (25.0, 30.0, 24.0, 50.0, 25.0)
CRFS = ("23", "28", "18", "32")
# Footage of one set is never in the other. Frame ranges without a cut, from benchmarks/truth.
FOOTAGE: dict[Split, tuple[str, ...]] = {
    "tuning": ("football", "game-trailer"),
    "more": ("football", "game-trailer"),
    "test": ("vertical-vlog", "white-house-poetry"),
}


@dataclass(frozen=True)
class Transition:
    """`start` is the first frame that is not only the old shot, `end` the first only of the new.

    A hard cut has `start == end`. A cut reported within `[start - tolerance, end + tolerance]`
    hits it.
    """

    kind: str  # cut, dissolve, fade, wipe
    start: int
    end: int


@dataclass(frozen=True)
class Clip:
    """A video file, its transitions, and what each stretch `(kind, start, end)` shows."""

    path: Path
    transitions: tuple[Transition, ...]
    stretches: tuple[tuple[str, int, int], ...]


def make_clips(folder: Path, split: Split, data: Path) -> list[Clip]:
    """The clips of a set, made where they are not in `folder` yet; `data` is ../shared/data."""
    folder.mkdir(parents=True, exist_ok=True)
    material: _Material | None = None
    clips = []
    for i, seed in enumerate(SEEDS[split]):
        path = folder / f"{split}-{seed}-v{VERSION}.mp4"
        truth = path.with_suffix(".json")
        if not truth.exists():
            material = material or _Material(data, split)
            rng = np.random.default_rng(seed)
            frames, transitions, stretches = compose(rng, material, RATES[i % len(RATES)])
            _encode(path, frames, RATES[i % len(RATES)], CRFS[i % len(CRFS)])
            record = {"transitions": [asdict(t) for t in transitions], "stretches": stretches}
            truth.write_text(json.dumps(record))
        clips.append(_load(path, truth))
    return clips


def real_clips(data: Path) -> list[Clip]:
    """The real clips whose transitions were found by eye (benchmarks/truth)."""
    return [_load(data / "videos" / f"{t.stem}.mp4", t) for t in sorted(TRUTH.glob("*.json"))]


def _load(path: Path, truth: Path) -> Clip:
    record = json.loads(truth.read_text())
    return Clip(
        path,
        tuple(Transition(t["kind"], t["start"], t["end"]) for t in record["transitions"]),
        tuple((kind, start, end) for kind, start, end in record["stretches"]),
    )


class _Material:
    """The photos and the footage of one set."""

    def __init__(self, data: Path, split: Split) -> None:
        odd = split != "test"
        names = sorted((data / "imagenet-samples").glob("*.jpg"))
        names += sorted((data / "coco-mini" / "train2017").glob("*.jpg"))
        self._names = [name for i, name in enumerate(names) if i % 2 == odd]
        self._footage = [
            part for stem in FOOTAGE[split] for part in _uncut(data / "videos" / f"{stem}.mp4")
        ]

    def photo(self, rng: np.random.Generator) -> Picture:
        picture = cv2.imread(str(self._names[rng.integers(len(self._names))]))
        height, width = picture.shape[:2]
        # Large enough that a camera can move over it.
        scale = 1.7 * max(WIDTH / width, HEIGHT / height)
        size = (round(width * scale), round(height * scale))
        return np.ascontiguousarray(cv2.resize(picture, size)[..., ::-1])

    def footage(self, rng: np.random.Generator, length: int) -> list[Picture] | None:
        long_enough = [part for part in self._footage if len(part) >= length]
        if not long_enough:
            return None
        part = long_enough[rng.integers(len(long_enough))]
        start = int(rng.integers(len(part) - length + 1))
        return part[start : start + length]


def _uncut(video: Path) -> list[list[Picture]]:
    """The video's frames, cropped to our shape, in stretches without a transition."""
    truth = json.loads((TRUTH / f"{video.stem}.json").read_text())
    frames = []
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            height = min(frame.height, frame.width * HEIGHT // WIDTH)
            picture = frame.to_ndarray(format="rgb24")
            top = (frame.height - height) // 2
            crop = picture[top : top + height]
            frames.append(cv2.resize(crop, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))
    bounds = [0]
    for transition in truth["transitions"]:
        bounds += [transition["start"] - 1, transition["end"] + 1]
    bounds.append(len(frames))
    return [frames[a:b] for a, b in zip(bounds[::2], bounds[1::2], strict=True) if b - a >= 20]


# --- takes -------------------------------------------------------------------------------------


def _camera(
    rng: np.random.Generator, photo: Picture, kind: str, length: int, rate: float
) -> Source:
    """A camera over a photo: where it looks at each frame, as centre and zoom."""
    height, width = photo.shape[:2]
    zoom_0 = zoom_1 = rng.uniform(1.0, 1.35)
    room = np.array([width - WIDTH / zoom_0, height - HEIGHT / zoom_0])
    start = rng.uniform(0.15, 0.85, 2) * room
    end = start
    if kind == "pan":  # crosses the photo in 0.7 to 2.5 s, again and again
        start, end = np.array([0.0, 0.3]) * room, np.array([1.0, 0.6]) * room
        if rng.random() < 0.5:
            start, end = end, start
    elif kind == "zoom":
        zoom_0, zoom_1 = (1.0, 2.2) if rng.random() < 0.5 else (2.2, 1.0)
    elif kind not in ("still", "flash", "subtitle"):
        end = start + rng.uniform(-0.12, 0.12, 2) * room
    period = rate * (rng.uniform(0.7, 2.5) if kind == "pan" else rng.uniform(1.5, 4.0))
    if kind not in ("pan", "zoom"):
        period = float(length)
    shake = {"shake": rng.uniform(4, 14), "pass": 1.5}.get(kind, 0.0)
    jitter = _smooth_noise(rng, length, shake)
    dim = rng.uniform(0.5, 1.1) if rng.random() < 0.3 else 1.0  # some takes are dark

    def frame(i: int) -> Picture:
        # There and back, with ease at the turns.
        along = (1 - np.cos(np.pi * i / period)) / 2 if kind in ("pan", "zoom") else i / length
        zoom = zoom_0 + (zoom_1 - zoom_0) * along
        x, y = start + (end - start) * along + jitter[i]
        x = min(max(x, 0), width - WIDTH / min(zoom, 1.35))
        y = min(max(y, 0), height - HEIGHT / min(zoom, 1.35))
        matrix = np.array([[zoom, 0, -zoom * x], [0, zoom, -zoom * y]], np.float32)
        picture = cv2.warpAffine(photo, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        return picture if dim == 1.0 else cv2.convertScaleAbs(picture, alpha=dim)

    return frame


def _smooth_noise(rng: np.random.Generator, length: int, size: float) -> NDArray[np.float64]:
    noise = rng.normal(0, 1, (length + 8, 2)).cumsum(0)
    noise -= np.stack([np.convolve(noise[:, k], np.ones(15) / 15, "same") for k in (0, 1)], 1)
    return noise[:length] * size


def _flashes(rng: np.random.Generator, length: int, rate: float) -> NDArray[np.float64]:
    """How much white is added at each frame: photographers' flashes of one to four frames."""
    light = np.zeros(length)
    i = int(rng.uniform(0.3, 1.0) * rate)
    while i < length - int(0.4 * rate):
        strength = rng.uniform(0.35, 1.0)
        for k in range(int(rng.integers(1, 5))):
            if i + k < length:
                light[i + k] = max(light[i + k], strength * 0.75**k)
        i += int(rng.uniform(0.15, 1.6) * rate)
    return light


_TEXT = "we never thought that it would come to this and now everybody waits for the vote"
_WORDS = _TEXT.split()


def _subtitle(picture: Picture, text: str) -> Picture:
    picture = picture.copy()
    for row, line in enumerate(text.split("\n")):
        width = cv2.getTextSize(line, cv2.FONT_HERSHEY_DUPLEX, 0.7, 1)[0][0]
        at = ((WIDTH - width) // 2, HEIGHT - 44 + 26 * row)
        cv2.putText(picture, line, at, cv2.FONT_HERSHEY_DUPLEX, 0.7, (0, 0, 0), 4, cv2.LINE_AA)
        cv2.putText(
            picture, line, at, cv2.FONT_HERSHEY_DUPLEX, 0.7, (255, 255, 230), 1, cv2.LINE_AA
        )
    return picture


def _take(
    rng: np.random.Generator, material: _Material, kind: str, length: int, rate: float
) -> Source:
    """A take of a kind, `length` frames long; it can be asked for each of them."""
    if kind == "footage":
        frames = material.footage(rng, length)
        if frames is not None:
            return lambda i: frames[i]
        kind = "move"
    source = _camera(rng, material.photo(rng), kind, length, rate)
    noise_level = rng.uniform(2, 10) if rng.random() < 0.4 else 0.0
    noise = rng.normal(0, noise_level, (HEIGHT + 16, WIDTH + 16, 1)).astype(np.float32)
    light = _flashes(rng, length, rate) if kind == "flash" else np.zeros(length)
    texts = [""] * length
    if kind == "subtitle":
        i = 0
        while i < length:
            words = rng.choice(_WORDS, int(rng.integers(3, 10))).tolist()
            text = " ".join(words[:5]) + ("\n" + " ".join(words[5:]) if len(words) > 5 else "")
            step = int(rng.uniform(0.8, 2.0) * rate)
            texts[i : i + step] = [text if rng.random() < 0.8 else ""] * len(texts[i : i + step])
            i += step
    passer = cv2.resize(material.photo(rng), (int(rng.uniform(90, 220)), int(HEIGHT * 0.9)))
    shifts = rng.integers(0, 16, (length, 2))
    start, speed = -passer.shape[1] - int(rng.uniform(10, 200)), rng.uniform(180, 700) / rate

    def frame(i: int) -> Picture:
        picture = source(i)
        if kind == "pass":  # somebody walks by, close to the camera, again and again
            x = round((start + speed * i) % (WIDTH + 600)) - passer.shape[1]
            a, b = max(0, x), min(WIDTH, x + passer.shape[1])
            if a < b:
                picture[HEIGHT - passer.shape[0] :, a:b] = passer[:, a - x : b - x]
        if texts[i]:
            picture = _subtitle(picture, texts[i])
        if light[i]:
            picture = cv2.addWeighted(picture, 1.0, np.full_like(picture, 255), light[i], 0)
        if noise_level:
            dy, dx = shifts[i]
            grain = noise[dy : dy + HEIGHT, dx : dx + WIDTH]
            picture = np.clip(picture + grain, 0, 255).astype(np.uint8)
        return picture

    return frame


# --- clips -------------------------------------------------------------------------------------

KINDS = ("still", "move", "pan", "zoom", "shake", "flash", "subtitle", "pass", "footage")
_KIND_ODDS = (0.09, 0.14, 0.14, 0.08, 0.08, 0.13, 0.08, 0.06, 0.20)
_JOIN_ODDS = {"cut": 0.58, "dissolve": 0.24, "fade": 0.13, "wipe": 0.05}
_LENGTHS_S = (0.16, 0.24, 0.4, 0.64, 1.0, 1.6)  # of dissolves, and of each half of a fade


def compose(
    rng: np.random.Generator, material: _Material, rate: float, n_takes: int = 22
) -> tuple[Iterator[Picture], list[Transition], list[tuple[str, int, int]]]:
    """Frames of a clip (an iterator), its transitions and its stretches."""
    joins = [_join(rng, rate) for _ in range(n_takes - 1)]
    kinds = rng.choice(KINDS, n_takes, p=_KIND_ODDS).tolist()
    bodies = [_body(rng, kind, rate) for kind in kinds]
    transitions, stretches, at = [], [], 0
    for i, kind in enumerate(kinds):
        stretches.append((kind, at, at + bodies[i]))
        at += bodies[i]
        if i < len(joins):
            name, out, hold, into = joins[i]
            length = out if name in ("dissolve", "wipe") else out + hold + into
            transitions.append(Transition(name, at, at + length))
            at += length
    frames = _frames(rng, material, rate, kinds, bodies, joins)
    return frames, transitions, stretches


def _body(rng: np.random.Generator, kind: str, rate: float) -> int:
    """Frames of a take outside its transitions."""
    if kind in ("flash", "pan", "zoom", "subtitle", "pass"):
        return int(rng.uniform(2.5, 6.0) * rate)
    return int(rng.choice([rng.uniform(0.5, 1.2), rng.uniform(1.2, 4.5)], p=[0.3, 0.7]) * rate)


def _join(rng: np.random.Generator, rate: float) -> tuple[str, int, int, int]:
    """How two takes are joined: kind, frames out, frames of plain colour, frames in."""
    name = str(rng.choice(list(_JOIN_ODDS), p=list(_JOIN_ODDS.values())))
    length = max(3, round(float(rng.choice(_LENGTHS_S)) * rate))
    if name == "cut":
        return name, 0, 0, 0
    if name == "fade":
        into = max(3, round(float(rng.choice(_LENGTHS_S[:5])) * rate))
        return name, length, int(rng.choice([0, 1, 3, 8, 15])), into
    if name == "wipe":
        return name, max(6, round(rng.uniform(0.3, 1.0) * rate)), 0, 0
    return name, length, 0, 0


def _frames(
    rng: np.random.Generator,
    material: _Material,
    rate: float,
    kinds: list[str],
    bodies: list[int],
    joins: list[tuple[str, int, int, int]],
) -> Iterator[Picture]:
    none = ("cut", 0, 0, 0)
    taken = 0  # frames of the present take that were shown in the transition before it
    present = None
    for i, kind in enumerate(kinds):
        name, out, hold, into = joins[i] if i < len(joins) else none
        shares = name in ("dissolve", "wipe")
        if present is None:
            present = _take(rng, material, kind, bodies[i] + out, rate)
        for k in range(bodies[i]):
            yield present(taken + k)
        at = taken + bodies[i]
        if i == len(joins):
            return
        taken = out if shares else into
        after_name, after_out, _, _ = joins[i + 1] if i + 1 < len(joins) else none
        del after_name
        following = _take(rng, material, kinds[i + 1], taken + bodies[i + 1] + after_out, rate)
        if shares:
            vertical = bool(rng.integers(2))
            for k in range(out):
                yield _mixed(name, present(at + k), following(k), (k + 1) / (out + 1), vertical)
        elif name == "fade":
            plain = np.full((HEIGHT, WIDTH, 3), 255 if rng.random() < 0.15 else 0, np.uint8)
            for k in range(out):
                share = (k + 1) / (out + (hold == 0))
                yield cv2.addWeighted(present(at + k), 1 - share, plain, share, 0)
            for _ in range(hold):
                yield plain
            for k in range(into):
                share = (k + 1) / (into + 1)
                yield cv2.addWeighted(following(k), share, plain, 1 - share, 0)
        present = following


def _mixed(name: str, old: Picture, new: Picture, share: float, vertical: bool) -> Picture:
    if name == "dissolve":
        return cv2.addWeighted(old, 1 - share, new, share, 0)
    picture = old.copy()
    if vertical:
        picture[: round(HEIGHT * share)] = new[: round(HEIGHT * share)]
    else:
        picture[:, : round(WIDTH * share)] = new[:, : round(WIDTH * share)]
    return picture


def _encode(path: Path, frames: Iterator[Picture], rate: float, crf: str) -> None:
    partial = path.with_name("partial-" + path.name)
    with av.open(str(partial), "w") as container:
        stream: Any = container.add_stream("libx264", rate=int(rate))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": crf, "preset": "veryfast"}
        for picture in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    partial.replace(path)


if __name__ == "__main__":
    shared = Path(__file__).resolve().parents[2] / "shared" / "data"
    for split in SEEDS:
        for clip in make_clips(Path(sys.argv[1]), split, shared):
            print(clip.path, len(clip.transitions), "transitions")
