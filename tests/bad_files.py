"""Files that are no videos, or not quite: each maker writes one and gives its path back."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image
from videos import encode, settle


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return settle(path)


def noise(path: Path) -> Path:
    return write(path, np.random.default_rng(0).bytes(100_000))


def text(path: Path) -> Path:
    return write(path, b"Not a video.\n" * 99)


def sound_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return settle(path)


def unknown_codec(path: Path) -> Path:
    """An MP4 whose codec has a name that nobody knows."""
    data = encode(path).read_bytes().replace(b"avc1", b"xyz1").replace(b"avcC", b"xyzC")
    return write(path, data)


def no_frame(path: Path) -> Path:
    """A video stream of no length."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        container.start_encoding()
    return settle(path)


def picture(path: Path, kind: str | None = None) -> Path:
    """A picture, of `kind` if not of the one that its suffix says."""
    Image.new("RGB", (64, 64), "red").save(path, kind)
    return settle(path)


def claimed_size(path: Path, width: int, height: int) -> Path:
    """An AVI whose header claims pictures of this size."""
    data = bytearray(encode(path, codec="rawvideo", n_frames=3, colorspace=6).read_bytes())
    header = data.index(b"strf") + 12  # BITMAPINFOHEADER: biWidth, biHeight
    data[header : header + 8] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    return write(path, bytes(data))
