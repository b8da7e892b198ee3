"""Who is seen beside somebody gets a context vector of their own; who is alone does not."""

from __future__ import annotations

import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from idclip.encoders import load_encoder
from vidsearch.analyze import analyze
from vidsearch.records import AnalyzedVideo
from vidsearch.shots import DEFAULT_DETECTOR
from vidsearch.store import Store
from vidsearch.tasks import Recipe, Task

PEOPLE = Path(__file__).resolve().parents[2] / "examples" / "media" / "people"
HEIGHT, WIDTH = 360, 320
Picture = NDArray[np.uint8]


def portrait(name: str) -> Picture:
    """A photo on a panel of its own colour, [HEIGHT, WIDTH, 3] RGB."""
    photo = cv2.imread(str(PEOPLE / name))[..., ::-1]
    scale = min(HEIGHT / photo.shape[0], WIDTH / photo.shape[1])
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    panel = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    top, left = (HEIGHT - small.shape[0]) // 2, (WIDTH - small.shape[1]) // 2
    panel[top : top + small.shape[0], left : left + small.shape[1]] = small
    return panel


def analysed(path: Path, picture: Picture) -> AnalyzedVideo:
    """The analysis of a video that shows a picture for two seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        for _ in range(50):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    task = Task((os.fsencode(path),), path.stem, path.stat().st_size, 0.0)
    return analyze(task, Recipe("concept", "default", DEFAULT_DETECTOR))


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> AnalyzedVideo:
    pair = [portrait("Barack_Obama_1.jpg"), portrait("Lin-Manuel_Miranda.jpg")]
    return analysed(tmp_path_factory.mktemp("figures") / "pair.mp4", np.hstack(pair))


def test_of_two_people_each_has_a_figure_that_is_like_their_half(together: AnalyzedVideo) -> None:
    (shot,) = together.shots
    tracks = sorted(shot.tracks, key=lambda track: track.boxes[0][0])
    assert len(tracks) == 2
    halves = load_encoder("concept").encode_images(
        [portrait("Barack_Obama_1.jpg"), portrait("Lin-Manuel_Miranda.jpg")]
    )
    for number, track in enumerate(tracks):
        assert track.figure is not None
        assert np.linalg.norm(track.figure) == pytest.approx(1, abs=1e-4)
        likeness = halves @ track.figure
        assert likeness[number] > likeness[1 - number] + 0.1


def test_figures_are_stored_with_their_tracks(together: AnalyzedVideo, tmp_path: Path) -> None:
    (shot,) = together.shots
    dims = {
        "encoder_dim": len(shot.keyframes[0].vector),
        "face_dim": shot.tracks[0].vectors.shape[1],
    }
    Store.create(tmp_path / "a", encoder="concept", face_model="default", **dims)
    with Store.open(tmp_path / "a") as store:
        store.publish_many([together])
        rows = store.rows()
    assert rows.figure_track.tolist() == [0, 1]
    for track, vector in zip(shot.tracks, rows.figure_vectors, strict=True):
        assert np.array_equal(np.asarray(track.figure, np.float16), vector)  # as it is stored


def test_who_is_alone_has_none(tmp_path: Path) -> None:
    alone = analysed(tmp_path / "alone.mp4", portrait("Barack_Obama_1.jpg"))
    (track,) = alone.shots[0].tracks
    assert track.figure is None
