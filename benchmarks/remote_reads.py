"""How much of a video in an object store is fetched, and by how many requests.

    python -m benchmarks.remote_reads [--write]

A generated film with sound (720p, 40 s) lies in four containers on an S3 server of this
machine (moto's), which waits 20 ms before each answer, as a store in the same region does. First
each way of fetching that fsspec has reads them through and jumps about in them; then vidsearch
probes, indexes (name by content, every frame) and cuts one clip of 5 s, with the way that it uses.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(Path(__file__).parent), str(REPO / "tests")]

import _report  # noqa: E402
import av  # noqa: E402
from object_store import ObjectStore, object_store  # noqa: E402
from videos import encode, numbered  # noqa: E402

from vidsearch.clip_copy import copy  # noqa: E402
from vidsearch.clip_source import Stretch  # noqa: E402
from vidsearch.containers import open_container  # noqa: E402
from vidsearch.decoding import decode, probe  # noqa: E402
from vidsearch.inputs import fingerprint  # noqa: E402
from vidsearch.remote import BLOCK, READ, ObjectFile, Remote  # noqa: E402
from vidsearch.urls import place  # noqa: E402

DELAY_S = 0.02
SECONDS, RATE = 40, 25
MIB = 1 << 20
WAYS: tuple[tuple[str, int], ...] = (
    ("readahead", MIB),
    ("blockcache", MIB // 4),
    ("blockcache", MIB),
    ("blockcache", 4 * MIB),
)
_OTHERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("end.mp4", {}),
    ("start.mp4", {"movflags": "faststart"}),
    ("film.mkv", {}),
    ("film.ts", {}),
)
NAMES = {
    "end.mp4": "MP4, index at the end",
    "start.mp4": "MP4, index at the start",
    "film.mkv": "Matroska",
    "film.ts": "transport stream",
}


def films(folder: Path) -> Iterator[Path]:
    """The film, and its packets in other containers."""

    def noisy(number: int, size: tuple[int, int]) -> np.ndarray:
        draw = np.random.default_rng(number % 50)
        grain = draw.integers(0, 24, (size[1] // 2, size[0] // 2, 1)).repeat(2, 0).repeat(2, 1)
        return np.clip(numbered(number, size) + grain, 0, 255).astype(np.uint8)

    first = encode(
        folder / "raw.mp4",
        size=(1280, 720),
        n_frames=SECONDS * RATE,
        gop=50,
        draw=noisy,
        audio=True,
        options={"crf": "27"},
    )
    for name, options in (
        ("end.mp4", {}),
        ("start.mp4", {"movflags": "faststart"}),
        ("film.mkv", {}),
        ("film.ts", {}),
    ):
        with av.open(str(first)) as source, av.open(str(folder / name), "w", options=options) as to:
            streams = {s.index: to.add_stream_from_template(s) for s in source.streams}
            for packet in source.demux():
                if packet.size:
                    packet.stream = streams[packet.stream.index]
                    to.mux(packet)
        yield folder / name


@contextmanager
def told(store: ObjectStore, size: int, row: dict[str, Any], name: str) -> Iterator[None]:
    """Note in `row` what the block fetches, how often, and how long it takes."""
    began = time.perf_counter()
    with store.counted() as requests:
        yield
    row[f"{name} s"] = time.perf_counter() - began
    row[f"{name} requests"] = len(requests)
    row[f"{name} share"] = sum(each.sent for each in requests) / size


def read_through(container: Any) -> None:
    for _ in container.demux():
        pass


def jump_about(container: Any) -> None:
    """Five seconds at five places, as clips and sheets want them."""
    stream = container.streams.video[0]
    for share in (0.5, 0.1, 0.9, 0.3, 0.7):
        begin = int(share * SECONDS / stream.time_base)
        container.seek(begin, stream=stream)
        for packet in container.demux(stream):
            if packet.pts is not None and packet.pts > begin + 5 / stream.time_base:
                break


def with_way(url: Remote, way: str, block: int, act: Callable[[Any], None]) -> None:
    options = {"maxblocks": 24} if way in ("blockcache", "background") else {}
    file = url._fs.open(url._path, "rb", block_size=block, cache_type=way, cache_options=options)
    with open_container(url, url.stat(), ObjectFile(url, file, READ)) as container:
        act(container)


def compare(store: ObjectStore, url: Remote, size: int) -> Iterator[dict[str, Any]]:
    for way, block in WAYS:
        row: dict[str, Any] = {
            "film": NAMES[url.name],
            "done": f"{way} {block / MIB:g} MiB",
            "MB": size / 1e6,
        }
        for name, act in (("through", read_through), ("places", jump_about)):
            with told(store, size, row, name):
                with_way(url, way, block, act)
        yield row


def product(store: ObjectStore, url: Remote, size: int, folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"film": NAMES[url.name], "MB": size / 1e6}
    with told(store, size, row, "probe"):
        offset = probe(url).media_offset_s
    with told(store, size, row, "index"):
        fingerprint(url)
        with decode(url, small_side=64) as frames:
            assert sum(1 for _ in frames) == SECONDS * RATE
    with told(store, size, row, "clip"):
        copy(Stretch(url, 20.0, 25.0, offset), folder / f"clip{url.suffix}", url.suffix)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep the figures")
    asked = parser.parse_args()
    ways, rows = [], []
    with tempfile.TemporaryDirectory() as temporary, object_store() as store:
        for film in films(Path(temporary)):
            url, size = place(store.put(film.name, film)), film.stat().st_size
            store.heal()
            store.fail(0, delay_s=DELAY_S)
            assert isinstance(url, Remote)
            ways += list(compare(store, url, size))
            rows.append(product(store, url, size, Path(temporary)))
            store.heal()
            print(rows[-1], flush=True)
    about = (
        f"Each answer waits {DELAY_S * 1000:.0f} ms; `share` is bytes fetched over the file's size."
    )
    notes = (about, f"Blocks of {BLOCK >> 20} MiB, of which some are kept (`vidsearch/remote.py`).")
    if asked.write:
        title = "Reading videos in an object store"
        print(_report.write("remote_reads", f"{title}: what vidsearch does", rows, notes))
        print(_report.write("remote_ways", f"{title}: ways of fetching", ways, (about,)))
    else:
        for row in ways:
            print(row)


if __name__ == "__main__":
    main()
