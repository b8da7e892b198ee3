"""One run of `vidsearch index` over everything that goes wrong: each file is told, none stops it.

What each file is like is tested closer by in test_bad_inputs_media.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from bad_files import (
    claimed_size,
    no_frame,
    noise,
    picture,
    sound_only,
    text,
    unknown_codec,
    write,
)
from videos import cut_off, encode

from vidsearch import Archive
from vidsearch.inputs import printable
from vidsearch.records import Video

REPO = Path(__file__).resolve().parents[2]
ABSENT, GROWING = b"absent.mp4", b"growing.ts"


def secret(path: Path) -> Path:
    encode(path).chmod(0)
    return path


def index_first(path: Path) -> Path:
    return cut_off(encode(path, n_frames=100, container={"movflags": "faststart"}))


# File name -> what writes it, and the reason why it fails.
BAD: dict[bytes, tuple[Callable[[Path], Path], str]] = {
    b"empty.mp4": (lambda path: write(path, b""), "is empty"),
    b"text.mp4": (text, "is text, not a video"),
    b"noise.mkv": (noise, "is not a video that can be read"),
    b"sound.mp4": (sound_only, "holds sound but no video"),
    b"index-last.mp4": (lambda path: cut_off(encode(path)), "is cut off: its index .* is missing"),
    b"codec.mp4": (unknown_codec, "uses a codec that FFmpeg does not know"),
    b"secret.mp4": (secret, r"may not be read \(no permission\)"),
    b"no-frame.mp4": (no_frame, "holds no (frame that can be decoded|video)"),
    b"picture.mp4": (lambda path: picture(path, "JPEG"), "is a picture, not a video"),
    b"picture.gif.mp4": (lambda path: picture(path, "GIF"), "is a picture, not a video"),
    b"no-size.avi": (
        lambda path: claimed_size(path, 0, 0),
        "no size for a video|no frame that can be decoded",
    ),
    b"huge.avi": (
        lambda path: claimed_size(path, 60_000, 60_000),
        "no size for a video|no frame that can be decoded",
    ),
    GROWING: (lambda path: encode(path, n_frames=100), "is still being written"),
    b"bad two words.mp4": (text, "is text, not a video"),
    b'bad it\'s "quoted".mp4': (text, "is text, not a video"),
    b"bad two\nlines.mp4": (text, "is text, not a video"),
    "bad \N{CLAPPER BOARD}.mp4".encode(): (text, "is text, not a video"),
    b"bad \xff\xfe.mp4": (text, "is text, not a video"),
    b"bad [red]markup.mp4": (text, "is text, not a video"),
}
# Frames of the good ones: other contents, since copies would share their rows.
GOOD = {
    b"one-frame.mp4": 1,
    b"two words.mp4": 12,
    b'it\'s "quoted".mp4': 13,
    b"two\nlines.mp4": 14,
    "\N{CLAPPER BOARD} \xfcml\xe4ut.mp4".encode(): 15,
    b"not \xff\xfe utf-8.mp4": 16,
    b"zz last of all.mp4": 17,
}
PARTIAL = b"index-first.mp4"


@dataclass(frozen=True)
class Run:
    """What one run over all files said and stored."""

    folder: Path
    archive: Path
    done: subprocess.CompletedProcess[bytes]
    videos: dict[bytes, Video]  # by file name

    def lines_about(self, name: bytes) -> list[str]:
        told = printable(self.folder / os.fsdecode(name))
        lines = self.done.stderr.decode("utf-8").splitlines()
        return [line for line in lines if f" {told}: " in line]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, archive = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out") / "archive"
    for name, (make, _) in BAD.items():
        made = make(folder / f"made{Path(os.fsdecode(name)).suffix}")  # FFmpeg wants plain names
        made.rename(folder / os.fsdecode(name))
    for name, n_frames in GOOD.items():
        encode(folder / "made.mp4", n_frames=n_frames).rename(folder / os.fsdecode(name))
    index_first(folder / os.fsdecode(PARTIAL))
    absent = folder / os.fsdecode(ABSENT)
    with growing(folder / os.fsdecode(GROWING)):
        done = unprivileged("index", str(folder), str(absent), "--archive", str(archive))
    assert done.returncode in (0, 3), done.stderr.decode()
    videos = Archive(archive).videos()
    named = {os.path.basename(path): video for video in videos for path in video.paths}
    return Run(folder, archive, done, named)


class growing:
    """A file that somebody goes on writing, until the run is over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._over = threading.Event()
        self._writer = threading.Thread(target=self._write_on)

    def _write_on(self) -> None:
        while not self._over.wait(0.05):
            with self._path.open("ab") as file:
                file.write(bytes(188 * 10))

    def __enter__(self) -> None:
        self._writer.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._writer.join()


def unprivileged(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in a process for which the modes of files hold.

    Root gives away the capabilities that set them aside (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH:
    1 and 2); it keeps its name, because Python itself may lie where only root may look.
    """
    code = (
        "import ctypes, os, sys\n"
        "if os.getuid() == 0:\n"
        "    for capability in (1, 2):\n"
        "        assert ctypes.CDLL(None).prctl(24, capability) == 0  # PR_CAPBSET_DROP\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'vidsearch', *sys.argv[1:]])\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, cwd=REPO, timeout=600
    )


def test_the_run_ends_with_3_and_without_a_traceback(run: Run) -> None:
    assert run.done.returncode == 3
    assert b"Traceback" not in run.done.stderr
    assert f"{len(BAD) + 1} failed".encode() in run.done.stderr


@pytest.mark.parametrize("name", [*BAD, ABSENT])
def test_a_bad_file_is_told_on_one_line_with_its_reason(name: bytes, run: Run) -> None:
    reason = BAD[name][1] if name in BAD else "does not exist"
    (line,) = run.lines_about(name)
    assert line.startswith("failed")
    assert re.search(reason, line)
    assert line.isprintable()


@pytest.mark.parametrize("name", [*BAD, ABSENT])
def test_a_bad_file_is_recorded_as_failed_with_its_reason(name: bytes, run: Run) -> None:
    video = run.videos[name]
    assert video.status == "failed"
    assert re.search(BAD[name][1] if name in BAD else "does not exist", video.error)
    assert (video.n_shots, Archive(run.archive).shots(video.video_id)) == (0, [])


@pytest.mark.parametrize("name", list(GOOD))
def test_a_good_file_among_them_is_indexed_whatever_its_name(name: bytes, run: Run) -> None:
    video = run.videos[name]
    assert (video.status, video.error) == ("indexed", "")
    assert video.n_frames == GOOD[name]
    shots = Archive(run.archive).shots(video.video_id)
    assert (shots[0].start_frame, shots[-1].end_frame) == (0, GOOD[name])


def test_the_readable_part_of_a_cut_file_is_indexed_and_told(run: Run) -> None:
    video = run.videos[PARTIAL]
    assert video.status == "partial"
    assert 20 < video.n_frames < 100
    assert f"is cut off: only the first {video.duration_s:.1f} s can be read" in video.error
    shots = Archive(run.archive).shots(video.video_id)
    assert shots[-1].end_frame == video.n_frames
    (line,) = [line for line in run.done.stderr.decode().splitlines() if "index-first" in line]
    assert "cut off" in line
    assert b"1 of them only in part" in run.done.stderr


def test_nothing_else_is_in_the_archive_and_copies_share_a_row(run: Run) -> None:
    assert set(run.videos) == {*BAD, *GOOD, ABSENT, PARTIAL}
    texts = [name for name, (make, _) in BAD.items() if make is text]
    assert len({run.videos[name].video_id for name in texts}) == 1
    assert len(Archive(run.archive).videos()) == len(run.videos) - len(texts) + 1


def test_the_failures_are_listed_as_json(run: Run) -> None:
    command = [sys.executable, "-m", "vidsearch", "videos", "--failed", "--json"]
    done = subprocess.run(
        [*command, "--archive", str(run.archive)], capture_output=True, check=True
    )
    listed = {row["paths"][0]: row["error"] for row in json.loads(done.stdout)}
    expected = {v.path: v.error for v in run.videos.values() if v.status != "indexed"}
    assert listed == expected
