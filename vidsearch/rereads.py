"""Random access to files that were seen before: thumbnails, clips, second looks.

Times are seconds from the first video frame. PyAV is right wherever timestamps are, because
frames are chosen by them; decord serves many pictures of one file, after some of its frames were
compared with PyAV's on that very file. Why they must be compared (decord2 3.4): in transport
streams its numbers start at the second group of pictures; after an edit list it gives neighbours
of the frame; where pictures lead a keyframe (open groups of pictures, usual in H.265) one in
fifteen random reads is another frame; with intra refresh, in MPEG-4, MPEG program streams and WMV
any may be; and a damaged header can make it abort the process, so the comparison runs in one of
its own.

It saves a fifth of PyAV's time at best (`benchmarks/rereads.py`), beside a comparison that costs
more than that, once a file and process. So few pictures, which is nearly every re-read, are
PyAV's; decord has those from `_WORTH_CHECKING` on, large sheets and `Archive.pictures`.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidsearch.decoding import JUMP_AHEAD_S, STEPS_BACK_S, Decoder, Source, clock_may_jump
from vidsearch.errors import UnreadableVideo
from vidsearch.inputs import PathLike
from vidsearch.pictures import Picture, full_picture
from vidsearch.urls import Place, is_stored

_ROUNDED_S = 0.001
"""A frame that begins this little after the asked time is meant: times get rounded to ms."""
_NEAR_S = 2.0
"""So far ahead it is cheaper to decode on than to seek."""
_WORTH_CHECKING = 24
"""From this many pictures on, decord is compared and, where it is right, used: under it PyAV has
read them all, 0.2 to 4 s, before the comparison would be over."""
_ASK = "import sys; from vidsearch import rereads; rereads._compare_and_tell(sys.argv[1])"
_PATIENCE_S = 60
_SAME_PICTURE = 2.0
"""Mean difference in 8-bit steps under which two decoders' small copies are the same picture."""

_GROUPS_LOOKED_AT = 20
_PACKETS_LOOKED_AT = 5000


def read_picture(path: PathLike, time_s: float) -> Picture:
    """The frame shown at `time_s`: RGB uint8, upright, display aspect, deinterlaced, SDR.

    Times before the first frame give the first, times past the end the last. Raises
    UnreadableVideo.
    """
    return read_pictures(path, [time_s])[0]


def read_pictures(path: PathLike, times: Sequence[float]) -> list[Picture]:
    """The frames shown at `times`, in that order, each like `read_picture`'s."""
    name = os.fsdecode(path)
    if len(times) >= _WORTH_CHECKING and decord_is_right(name):
        pictures = _read_by_decord(name, times)
        if pictures is not None:
            return pictures
    found = _read_by_pyav(name, sorted(set(times)))
    return [found[time_s] for time_s in times]


def decord_is_right(path: PathLike) -> bool:
    """Whether decord gives the frames of this file that it should; kept for the process.

    False where decord is not installed.
    """
    name = os.fsdecode(path)
    if is_stored(name):
        return False  # decord reads files only
    try:
        status = Path(name).stat()
    except OSError:
        return False  # opening it will say why
    return _decord_agrees(name, status.st_size, status.st_mtime_ns)


def _read_by_decord(name: str, times: Sequence[float]) -> list[Picture] | None:
    """The frames shown at `times`, None where decord fails after all."""
    import decord

    try:
        reader = _DecordReader(name)
        indices = [reader.index_at(time_s) for time_s in times]
        found = dict(zip(sorted(set(indices)), reader.pictures(sorted(set(indices))), strict=True))
    except (decord.DECORDError, RuntimeError):
        return None
    return [found[index] for index in indices]


def pictures_in_turn(path: PathLike, times: Sequence[float]) -> Iterator[Picture]:
    """The frames shown at ascending `times`, like `read_picture`'s, one in memory at a time.

    Where the container cannot seek the file is decoded from its start. Raises UnreadableVideo.
    """
    source = Source(os.fsdecode(path))
    done = 0
    try:
        if source.first.pts is not None and not _clock_jumps(source):
            seeker = _Seeker(source)
            for time_s in times:
                try:
                    picture = seeker.picture(time_s)
                except UnreadableVideo:  # there; what is before the damage is still to be had
                    break
                if picture is None:  # the container cannot seek there
                    break
                yield picture
                done += 1
    finally:
        source.close()
    if done < len(times):
        yield from _counted(source.path, times[done:])


def _read_by_pyav(name: str, times: Sequence[float]) -> dict[float, Picture]:
    """The frames shown at ascending `times`, by time."""
    return dict(zip(times, pictures_in_turn(name, times), strict=True))


class _Seeker:
    """PyAV: to the keyframe before, then on to the frame. Ascending times are cheapest."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._first_pts = int(source.first.pts)
        self._frames: Iterator[Any] = source.frames
        self._held: Any = source.first  # the last frame at or before the position
        self._ahead: Any = None  # the frame behind it, where already decoded

    def picture(self, time_s: float) -> Picture | None:
        """The frame shown at `time_s`, None if it cannot be reached."""
        ticks = int((max(0.0, time_s) + _ROUNDED_S) / self.source.tick)
        frame = self._frame_at(self._first_pts + ticks)
        return None if frame is None else full_picture(frame, self.source.layout)

    def _frame_at(self, pts: int) -> Any:
        if self._held is not None and 0 <= pts - self._held.pts <= _NEAR_S / self.source.tick:
            return self._decode_to(pts)
        for back_s in STEPS_BACK_S:
            earlier = max(pts - int(back_s / self.source.tick), self._first_pts)
            if not self.source.seek(earlier):
                return None
            self._frames = self.source.decode_on()
            self._held = self._ahead = None
            frame = self._decode_to(pts)
            if frame is not None:
                return frame
        return None

    def _decode_to(self, pts: int) -> Any:
        """The last frame at or before `pts`, None if decoding began behind it."""
        while True:
            if self._ahead is None:
                self._ahead = next(self._frames, None)
            if self._ahead is None:
                return self._held
            if self._ahead.pts is None:  # a damaged stream: only counting leads there
                self._held = None
                return None
            if self._ahead.pts > pts:
                return self._held
            self._held, self._ahead = self._ahead, None


def _clock_jumps(source: Source) -> bool:
    """Whether the file's clock starts anew somewhere, so that timestamps lead astray."""
    if not clock_may_jump(source):
        return False
    return _clock_jumps_in(str(source.path), source.status.st_size, source.status.st_mtime_ns)


@lru_cache(maxsize=1024)
def _clock_jumps_in(name: str, size: int, mtime_ns: int) -> bool:
    source = Source(name)
    try:
        times = (float(p.dts * p.time_base) for p in source.packets() if p.dts is not None)
        return any(not -1 <= b - a <= JUMP_AHEAD_S for a, b in pairwise(times))
    finally:
        source.close()


def _counted(path: Place, times: Sequence[float]) -> Iterator[Picture]:
    """The frames shown at ascending `times`, found by reading the file from the start."""
    shown: Any = None
    due = list(times)
    with Decoder(path) as decoder:
        for frame in decoder:
            while due and shown is not None and frame.time_s > due[0] + _ROUNDED_S:
                yield shown.picture()
                due.pop(0)
            if not due:
                return
            shown = frame
        for _ in due:
            yield shown.picture()


class _DecordReader:
    """decord on one file: by index, with the times it gives to its indices."""

    def __init__(self, name: str) -> None:
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        self._reader = decord.VideoReader(name, ctx=decord.cpu(0))
        self.n_frames = len(self._reader)
        starts = self._reader.get_frame_timestamp(range(self.n_frames))[:, 0].astype(np.float64)
        self.times: NDArray[np.float64] = starts - starts[0]

    def index_at(self, time_s: float) -> int:
        after = int(np.searchsorted(self.times, time_s + _ROUNDED_S, side="right"))
        return max(0, after - 1)

    def keyframes(self) -> list[int]:
        return [int(i) for i in self._reader.get_key_indices()]

    def pictures(self, indices: Sequence[int]) -> list[Picture]:
        return list(self._reader.get_batch(list(indices)).asnumpy())


@lru_cache(maxsize=1024)
def _decord_agrees(name: str, size: int, mtime_ns: int) -> bool:
    """Ask a process of its own: a damaged file can make decord abort the one that it runs in."""
    if importlib.util.find_spec("decord") is None or not _may_be_right(name):
        return False
    ask = [sys.executable, "-c", _ASK, name]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(ask, env=paths, capture_output=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.stdout.strip() == b"right"


def _compare_and_tell(name: str) -> None:
    """What the process that `_decord_agrees` starts does: print whether decord is right."""
    source = Source(name)
    try:
        print("right" if _same_frames(_DecordReader(name), _Seeker(source)) else "wrong")
    finally:
        source.close()


def _may_be_right(name: str) -> bool:
    try:
        name.encode()  # decord takes text only
    except UnicodeEncodeError:
        return False
    source = Source(name)
    try:
        if not source.probe.is_plain or not source.probe.container.startswith(("mov,", "matr")):
            return False
        return not _pictures_lead_keyframes(source)
    finally:
        source.close()


def _pictures_lead_keyframes(source: Source) -> bool:
    """Whether frames that are shown before a keyframe are stored behind it, in the first groups."""
    key_pts: int | None = None
    n_keys = 0
    for n_packets, packet in enumerate(source.packets()):
        if packet.pts is None or n_keys > _GROUPS_LOOKED_AT or n_packets > _PACKETS_LOOKED_AT:
            break
        if packet.is_keyframe:
            key_pts, n_keys = packet.pts, n_keys + 1
        elif key_pts is not None and packet.pts < key_pts:
            return True
    return False


def _same_frames(reader: _DecordReader, seeker: _Seeker) -> bool:
    """Whether decord's pictures at the start, the end and around keyframes are PyAV's."""
    if not np.all(np.diff(reader.times) > 0):
        return False
    keys = reader.keyframes()
    around = {k + d for k in (*keys[1:3], keys[len(keys) // 2], keys[-1]) for d in (-1, 0, 1)}
    wanted = sorted(i for i in {0, 1, *around} if 0 <= i < reader.n_frames)
    # In reverse, so that decord has to seek as it will when it is used.
    theirs = [_small(p) for p in reversed([reader.pictures([i])[0] for i in reversed(wanted)])]
    ours = [_small(p) for i in wanted if (p := seeker.picture(float(reader.times[i]))) is not None]
    if len(ours) < len(theirs):
        return False
    difference = np.abs(np.array(theirs)[:, None] - np.array(ours)[None]).mean((2, 3, 4))
    own = np.diagonal(difference)
    # Nearer to its own frame than to any other that was looked at; equal where nothing moves.
    return bool(np.all(own < _SAME_PICTURE) and np.all(own[:, None] <= difference + 0.05))


def _small(picture: Picture) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA), np.float32)
