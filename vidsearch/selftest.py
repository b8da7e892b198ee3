"""The main job in small, really done: decode a video, encode a picture, look for faces."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vidsearch.errors import VidsearchError

N_FRAMES, WIDTH, HEIGHT = 12, 320, 192


def decode_video() -> str:
    """Write a video of grey steps with PyAV and read it back through our own pass."""
    from vidsearch.media import decode

    with tempfile.TemporaryDirectory(prefix="vidsearch-doctor-") as folder:
        file = Path(folder) / "steps.mp4"
        _write_steps(file)
        with decode(str(file)) as frames:
            seen = [(frame.index, float(frame.small.mean())) for frame in frames]
    wrong = [index for index, level in seen if abs(level - _level(index)) > 6]
    if len(seen) != N_FRAMES or wrong:
        raise VidsearchError(f"{len(seen)} of {N_FRAMES} frames, wrong ones: {wrong or 'none'}")
    return f"{N_FRAMES} frames written and read"


def _level(index: int) -> int:
    return 40 + 15 * index


def _write_steps(file: Path) -> None:
    import av

    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)  # part of every FFmpeg
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(N_FRAMES):
            picture = np.full((HEIGHT, WIDTH, 3), _level(index), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def encode_picture() -> str:
    """Encode one picture and one sentence with the encoder that ships."""
    from idclip.encoders import load_encoder

    encoder = load_encoder("concept", threads=1)
    picture = np.full((HEIGHT, WIDTH, 3), 128, dtype=np.uint8)
    for vectors in (encoder.encode_images([picture]), encoder.encode_texts(["a grey wall"])):
        if vectors.shape != (1, encoder.dim) or not np.isclose(np.linalg.norm(vectors), 1, 1e-3):
            raise VidsearchError(f"a vector of shape {vectors.shape} that is not of unit length")
    return f"a picture and a sentence as {encoder.dim} numbers each"


def find_faces() -> str:
    """Look for faces where there are none."""
    from idclip.faces import load_faces

    found = load_faces(threads=1).detect(np.full((HEIGHT, WIDTH, 3), 128, np.uint8), long_side=320)
    if found:
        raise VidsearchError(f"{len(found)} faces seen on a blank picture")
    return "none seen on a blank picture"


CHECKS: dict[str, Callable[[], str]] = {
    "decode a video": decode_video,
    "encode a picture": encode_picture,
    "look for faces": find_faces,
}
