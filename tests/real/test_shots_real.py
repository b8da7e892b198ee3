"""Real footage, whose cuts were found by eye: the default detector's cuts, and keyframes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from vidsearch.keyframes import Candidate, CandidatePool, representative
from vidsearch.media import decode
from vidsearch.shots import ShotStream, Span, make_detector

pytestmark = pytest.mark.real
TRUTH = Path(__file__).resolve().parents[2] / "benchmarks" / "truth"


@cache
def analysed(path: Path) -> list[tuple[Span, Candidate[np.ndarray]]]:
    """Shots of a file with the frame that stands for each."""
    detector = make_detector()
    stream = ShotStream(detector)
    pool: CandidatePool[np.ndarray] = CandidatePool(lag=detector.lag)
    found = []

    def close(spans: list[Span]) -> None:
        for span in spans:
            found.append((span, representative(pool.take(span.end_s), span.start_s, span.end_s)))

    decoder = decode(path)
    for frame in decoder:
        pool.push(frame.index, frame.time_s, frame.small, frame.small)
        close(stream.push(frame.index, frame.time_s, frame.small))
    close(stream.finish(decoder.end_s))
    return found


def test_the_four_shots_of_the_white_house_clip(example_media: Path) -> None:
    shots = [span for span, _ in analysed(example_media / "white-house-poetry.mp4")]
    assert [(s.start_frame, s.end_frame) for s in shots] == [
        (0, 20),
        (20, 82),
        (82, 211),
        (211, 275),
    ]
    assert [s.start_s for s in shots] == pytest.approx([0, 0.667, 2.736, 7.040], abs=0.001)
    assert shots[-1].end_s == pytest.approx(9.176, abs=0.001)


@pytest.mark.parametrize(
    ("name", "missed", "false"),
    [
        ("football", 0, 0),
        ("game-trailer", 0, 0),
        ("vertical-vlog", 0, 1),
        pytest.param("slides-talk-1080p", 0, 0, marks=pytest.mark.slow),
    ],
)
def test_cuts_of_real_clips(shared_data: Path, name: str, missed: int, false: int) -> None:
    truth = json.loads((TRUTH / f"{name}.json").read_text())["transitions"]
    cuts = [span.start_frame for span, _ in analysed(shared_data / "videos" / f"{name}.mp4")][1:]
    hits = [sum(t["start"] - 2 <= cut <= t["end"] + 2 for cut in cuts) for t in truth]
    stray = [c for c in cuts if not any(t["start"] - 2 <= c <= t["end"] + 2 for t in truth)]
    assert hits.count(0) <= missed
    assert len(stray) <= false, stray


@pytest.mark.parametrize("name", ["football", "game-trailer"])
def test_keyframes_are_neither_in_a_transition_nor_blank(shared_data: Path, name: str) -> None:
    # A moving logo that wipes from one shot to the next for half a second may get a shot.
    truth = json.loads((TRUTH / f"{name}.json").read_text())["transitions"]
    truth = [t for t in truth if t["kind"] != "wipe"]
    for span, candidate in analysed(shared_data / "videos" / f"{name}.mp4"):
        assert span.start_frame <= candidate.index < span.end_frame
        assert not candidate.look.blank
        assert not any(t["start"] <= candidate.index < t["end"] for t in truth)
