"""The one pass over a file: every frame with its exact presentation time.

PyAV does it, because it gives every frame its presentation time, reads on in damaged files and
knows rotation and interlacing. Times count from the first video frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np

from vidsearch.containers import (
    check_file,
    check_settled,
    claimed_end_s,
    claimed_length_s,
    ends_within_fragment,
    is_sane_size,
    open_container,
    size_reason,
    video_stream,
)
from vidsearch.errors import UnreadableVideo
from vidsearch.inputs import PathLike, os_reason, printable
from vidsearch.pace import Pace
from vidsearch.pictures import (
    Layout,
    Picture,
    Transfer,
    full_picture,
    layout_of,
    small_picture,
    transfer_of,
)
from vidsearch.slate import Slate, read_slate
from vidsearch.urls import place

STEPS_BACK_S = (0.0, 2.0, 10.0, 60.0)
"""How much earlier to seek, in turn, where seeking lands behind what is looked for."""
_SEEKABLE = ("mov,", "matroska", "mpegts", "mxf")
_PACKETS_TO_A_KEY = 5000
_MANY_ERRORS = 50
_LEAD = 128  # packets that are kept until the first frame comes, for the time code in them
_TS_DISCONT = 0x200  # AVFMT_TS_DISCONT
_CUT_OFF_S = 0.5  # headers round and count sound: less than this is no sign of a cut
_JUMP_BACK_S = 1.0  # timestamps that fall back by more start anew; by less they are disorder
JUMP_AHEAD_S = 10.0  # in streams whose clock may start anew, such as joined recordings


@dataclass(frozen=True)
class Probe:
    """What a file says of its video, checked by decoding the first frame.

    `width` and `height` are those of the upright picture at display aspect. `media_offset_s` is
    where the first frame stands in the file's own clock. `duration_s`, `frame_rate` (the average)
    and `n_frames` are what the container claims, 0 where it claims nothing: the pass over the
    file knows better. `rotation` is how far the stored picture is turned clockwise to be upright
    and `mirrored` whether it is flipped besides; `sample_aspect` is the width of a stored pixel
    over its height. `slate` is what is said of time code, reel and day.
    """

    codec: str
    container: str
    width: int
    height: int
    duration_s: float
    frame_rate: float
    n_frames: int
    media_offset_s: float
    rotation: int
    mirrored: bool
    sample_aspect: float
    interlaced: bool
    transfer: Transfer
    slate: Slate

    @property
    def is_plain(self) -> bool:
        """Whether pictures are stored as they are shown: upright, square, progressive, SDR."""
        return (
            self.rotation == 0
            and not self.mirrored
            and self.sample_aspect == 1.0
            and not self.interlaced
            and self.transfer == "sdr"
        )


class Frame:
    """One frame of the pass: number, time, a small picture, and the full one on demand.

    `time_s` is the presentation time from the first frame, `duration_s` how long the file says
    it is shown (0 where it says nothing), `small` RGB uint8 [h, w, 3], upright, at display aspect.
    A frame that is kept holds its decoded buffer, 1.5 bytes a pixel for 8-bit 4:2:0 (3 MB at
    1080p): keep few, or keep `picture()`'s result instead.
    """

    __slots__ = ("_decoded", "_layout", "duration_s", "index", "small", "time_s")

    def __init__(
        self, index: int, time_s: float, duration_s: float, decoded: Any, layout: Layout
    ) -> None:
        self.index = index
        self.time_s = time_s
        self.duration_s = duration_s
        self.small: Picture = small_picture(decoded, layout)
        self._decoded = decoded
        self._layout = layout

    def picture(self) -> Picture:
        """RGB uint8 [height, width, 3]: upright, display aspect, deinterlaced, SDR."""
        return full_picture(self._decoded, self._layout)

    def decoded(self) -> bytes:
        """SHA-256 of the decoded picture, as the decoder gave it."""
        digest, frame = sha256(), self._decoded
        if any(plane.line_size <= 0 for plane in frame.planes):  # stored bottom up
            return sha256(frame.to_ndarray(format="rgb24").tobytes()).digest()
        # What follows in a row is padding, and chance.
        bytes_each = 2 if max(part.bits for part in frame.format.components) > 8 else 1
        for plane in frame.planes:
            rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
            digest.update(rows[:, : plane.width * bytes_each].tobytes())
        return digest.digest()


def probe(path: PathLike) -> Probe:
    """What a video file is; raises UnreadableVideo with a one-line reason."""
    with decode(path, threads=1) as decoder:
        return decoder.probe


def decode(path: PathLike, *, small_side: int = 320, threads: int = 0) -> Decoder:
    """Open a file for its one pass.

    `small_side` is the long side of the small pictures, `threads` the decoding threads (0: one a
    core). Raises UnreadableVideo at once where nothing can be decoded.
    """
    return Decoder(path, small_side=small_side, threads=threads)


class Source:
    """An open file: its container, the stream to decode, the first frame, and how to show it.

    The ground that the pass (`Decoder`) and random access (`vidsearch.rereads`) stand on.
    """

    def __init__(self, path: PathLike, *, small_side: int = 320, threads: int = 0) -> None:
        self.path = place(path)
        self.n_damaged = 0
        self.last_packet_s = 0.0
        self._lead: list[Any] | None = []
        self.status = check_file(self.path)
        self._file = None if isinstance(self.path, Path) else self.path.reading()
        self.container = open_container(self.path, self.status, self._file)
        try:
            self.stream = video_stream(self.path, self.container, self.status)
            self.stream.thread_type = "AUTO"
            self.stream.codec_context.thread_count = threads
            self.frames = self.decode_on()
            self.first = self._first_frame()
            self.layout = layout_of(self.first, _sample_aspect(self.stream), small_side)
            # Fractions: those of PyAV 19 have 32 bits, and a damaged rate times a tick becomes 0.
            self.tick = Fraction(self.first.time_base or self.stream.time_base)
            self.origin: int = self.first.pts or 0
            self.probe = self._describe()
            self._lead = None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; frames already taken stay usable."""
        self.container.close()

    def seek(self, pts: int) -> bool:
        """Go to the keyframe before a timestamp, as far as the container knows one."""
        try:
            self.container.seek(pts, stream=self.stream)
        except (av.error.FFmpegError, OSError):
            return False
        return True

    def pts_of(self, time_s: float) -> int:
        """The timestamp of a time from the first frame, which must have one."""
        return int(self.origin + round(time_s / self.tick))

    def steps_back(self, pts: int) -> list[int]:
        """From where to look for what stands at `pts`, in turn: seeking may land behind it."""
        return [max(self.origin, pts - int(back_s / self.tick)) for back_s in STEPS_BACK_S]

    def next_key(self) -> int | None:
        """The timestamp of the next keyframe from where the container stands."""
        packets = islice(self.packets(), _PACKETS_TO_A_KEY)
        return next((p.pts for p in packets if p.is_keyframe and p.pts is not None), None)

    def packets(self) -> Iterator[Any]:
        """The av.Packets of the stream from where the container stands, not decoded."""
        try:
            for packet in self.container.demux(self.stream):
                if packet.size:
                    yield packet
        except (av.error.FFmpegError, IndexError):
            return

    def decode_on(self) -> Iterator[Any]:
        """The av.VideoFrames from where the container stands, in order of presentation."""
        errors_in_a_row = 0
        while errors_in_a_row < _MANY_ERRORS:
            try:
                for packet in self.container.demux():
                    errors_in_a_row = 0
                    yield from self._decode_packet(packet)
                return self._refuse_failure()
            except av.error.FFmpegError:  # the container itself is damaged here: read on behind it
                self._refuse_failure()
                errors_in_a_row += 1
            except IndexError:  # PyAV, at the end, over streams that appeared in the middle
                return self._refuse_failure()
            except OSError:
                self._refuse_failure()
                raise
        self.n_damaged += 1

    def _refuse_failure(self) -> None:
        """Raise UnreadableVideo if a store failed: the file is neither short nor damaged then."""
        if self._file is not None and self._file.failure is not None:
            raise UnreadableVideo(printable(self.path), os_reason(self._file.failure))

    def _decode_packet(self, packet: Any) -> list[Any]:
        if packet.pts is not None and packet.time_base:
            end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self.last_packet_s = max(self.last_packet_s, end_s)
        if packet.stream.index != self.stream.index:  # stream_index is 0 in the final, empty ones
            return []
        if packet.is_corrupt and not clock_may_jump(self):
            return []  # cut short by the end of the file: it would decode to half a picture
        if self._lead is not None and len(self._lead) < _LEAD:
            self._lead.append(packet)
        try:
            frames: list[Any] = packet.decode()
        except av.error.FFmpegError:
            self.n_damaged += 1
            return []
        return frames

    def _first_frame(self) -> Any:
        first = next(self.frames, None)
        if first is None:
            raise UnreadableVideo(printable(self.path), "holds no frame that can be decoded")
        if not is_sane_size(first.width, first.height):
            raise UnreadableVideo(printable(self.path), size_reason(first.width, first.height))
        return first

    def _describe(self) -> Probe:
        stream, layout = self.stream, self.layout
        duration_s = float(stream.duration * stream.time_base) if stream.duration else 0.0
        if not duration_s and self.container.duration:
            duration_s = self.container.duration / av.time_base
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        return Probe(
            codec=stream.codec_context.name,
            container=self.container.format.name,
            width=layout.width,
            height=layout.height,
            duration_s=duration_s,
            frame_rate=rate,
            n_frames=stream.frames or round(duration_s * rate),
            media_offset_s=float(self.origin * self.tick),
            rotation=layout.rotation,
            mirrored=layout.mirrored,
            sample_aspect=_sample_aspect(stream),
            interlaced=bool(self.first.interlaced_frame),
            transfer=transfer_of(self.first),
            slate=read_slate(self.container, stream, self.first, self._lead or ()),
        )


class Decoder:
    """Iterates over the frames of one file, in order of presentation; memory stays bounded.

    Known from the start: `probe`. Known after the iteration: `n_frames`, `end_s` (where the last
    frame ends), `truncated`, `n_damaged` (pieces that were skipped) and `problem` (one line, ""
    if all is well). The iteration raises UnreadableVideo if the file changes meanwhile.
    """

    def __init__(self, path: PathLike, *, small_side: int = 320, threads: int = 0) -> None:
        self._source = Source(path, small_side=small_side, threads=threads)
        self._first: Any = self._source.first
        self._clock = _Clock(self._source)
        self.path = self._source.path
        self.probe = self._source.probe
        self.n_frames = 0
        self.end_s = 0.0
        self.truncated = False

    def __iter__(self) -> Iterator[Frame]:
        # The first frame is let go of: whoever wants it keeps it.
        first, self._first, self._source.first = self._first, None, None
        if first is None:
            raise RuntimeError("a Decoder can be iterated over only once")
        yield self._frame(first)
        del first
        for decoded in self._source.frames:
            yield self._frame(decoded)
        self.check_settled()
        self.truncated = self._is_truncated()

    def key_before(self, time_s: float) -> float | None:
        """Where a keyframe at or before a time stands, None where the file leads to none.

        For files that will not be iterated over: the container stands there afterwards.
        """
        source = self._source
        wanted = source.pts_of(time_s)
        for earlier in source.steps_back(wanted):
            key = source.next_key() if source.seek(earlier) else None
            if key is not None and key <= wanted:
                return max(0.0, self._clock.seconds_of(key))
        return None

    def begin_at(self, key_s: float) -> bool:
        """Begin the iteration at a keyframe that `key_before` gave, or at the frame behind it.

        Frames are numbered from there; their times stay those of the whole file. Of an even number
        as far as the rate tells: at 50 and 60 frames/s detectors look at every second one. False
        where the file does not lead there.
        """
        source = self._source
        self._first = source.first = None
        wanted = source.pts_of(key_s)
        for earlier in source.steps_back(wanted):
            if not source.seek(earlier):
                return False
            source.frames = source.decode_on()
            frame = next((each for each in source.frames if (each.pts or wanted) >= wanted), None)
            if frame is not None and frame.pts == wanted:
                odd = round(self._clock.seconds_of(wanted) * self.pace.rate) % 2
                self._first = next(source.frames, None) if odd else frame
                source.n_damaged = 0  # of frames that nobody will see
                return self._first is not None and self._first.pts is not None
        return False

    def check_settled(self) -> None:
        """Raise UnreadableVideo if the file has changed since it was opened."""
        check_settled(self.path, self._source.status)

    @property
    def unit(self) -> tuple[Fraction, tuple[Fraction, ...]]:
        """The unit of the timestamps in seconds, and the rates that the file claims: for `Pace`."""
        return self._source.tick, self._clock.claimed

    @property
    def clock(self) -> tuple[int, int, int]:
        """Where the latest frame stands, in ticks: all that decides the times of the next.

        How far the file's clock is off, the frame's own time, and where it ends.
        """
        return self._clock.state()

    @property
    def has_clock(self) -> bool:
        """Whether times lead to frames: in formats that are known to keep them in order."""
        known = self.probe.container.startswith(_SEEKABLE)
        return known and self._first is not None and self._first.pts is not None

    @property
    def version(self) -> tuple[int, int]:
        """Size and date of the file as it was opened: another is another file."""
        return self._source.status.st_size, self._source.status.st_mtime_ns

    @property
    def pace(self) -> Pace:
        """At which rate the frames that were seen come, and whether they come evenly."""
        return self._clock.pace

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; frames already taken stay usable."""
        self._source.close()

    @property
    def n_damaged(self) -> int:
        """How many pieces could not be decoded and were skipped."""
        return self._source.n_damaged

    @property
    def problem(self) -> str:
        """Why the pass is not the whole video, on one line; "" if it is."""
        return problem_of(self.truncated, self.n_damaged, self.end_s)

    def _frame(self, decoded: Any) -> Frame:
        time_s, duration_s = self._clock.place(decoded)
        frame = Frame(self.n_frames, time_s, duration_s, decoded, self._source.layout)
        self.n_frames += 1
        self.end_s = self._clock.end_s
        return frame

    def _is_truncated(self) -> bool:
        source = self._source
        entries = source.stream.index_entries
        if self.probe.container.startswith("mov,") and len(entries):
            # Where every frame lies is known: the claimed length need not be asked.
            last = entries[len(entries) - 1]
            beyond_the_end = last.pos + last.size > source.status.st_size
            return beyond_the_end or ends_within_fragment(self.path)
        read_s = self.probe.media_offset_s + self.end_s
        if read_s < claimed_end_s(source.container, source.stream) - _CUT_OFF_S:
            return True
        return source.last_packet_s < claimed_length_s(source.container) - _CUT_OFF_S


def problem_of(truncated: bool, n_damaged: int, end_s: float) -> str:
    """Why a pass that came to `end_s` is not the whole video, on one line; "" if it is."""
    if truncated:
        return f"is cut off: only the first {end_s:.1f} s can be read"
    if n_damaged:
        return f"is damaged: {n_damaged} unreadable pieces were skipped"
    return ""


class _Clock:
    """Presentation times of frames, from the first one on, never standing still or running back.

    Ticks are kept as integers: one division of integers is correctly rounded, as a Fraction would
    be, and far cheaper. Frames without a timestamp (raw streams) follow at the frame rate.
    """

    def __init__(self, source: Source) -> None:
        self._tick = source.tick
        stream = source.stream
        rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        claimed = (stream.guessed_rate, stream.average_rate, stream.base_rate)
        self.claimed = tuple(Fraction(said) for said in claimed if said)
        self.pace = Pace(source.tick, self.claimed)
        self._step = max(1, round(1 / (rate * self._tick)))
        self._shift = -source.origin
        self._jump_back = round(_JUMP_BACK_S / self._tick)
        self._jump_ahead = round(JUMP_AHEAD_S / self._tick) if clock_may_jump(source) else None
        self._last: int | None = None
        self._end = 0

    @property
    def end_s(self) -> float:
        """Where the latest frame ends."""
        return self._seconds(self._end)

    def state(self) -> tuple[int, int, int]:
        return self._shift, -1 if self._last is None else self._last, self._end

    def seconds_of(self, pts: int) -> float:
        """The time of a timestamp, as long as the file's clock has not started anew."""
        return self._seconds(pts + self._shift)

    def place(self, decoded: Any) -> tuple[float, float]:
        """The time of the next frame and its duration, 0 where the file does not say."""
        duration = decoded.duration or 0
        if self._last is None:
            now = (decoded.pts or 0) + self._shift  # 0, but in a pass that began further on
        elif decoded.pts is None:
            now = self._end
        else:
            now = decoded.pts + self._shift
            if self._starts_anew(now - self._last):
                self._shift += self._end - now
                now = self._end
            elif now <= self._last:
                now = self._last + 1
        self._last = now
        self.pace.see(now)
        self._end = now + (duration or self._step)
        return self._seconds(now), self._seconds(duration)

    def _starts_anew(self, step: int) -> bool:
        ahead = self._jump_ahead is not None and step > self._jump_ahead
        return ahead or step < -self._jump_back

    def _seconds(self, ticks: int) -> float:
        return ticks * self._tick.numerator / self._tick.denominator


def clock_may_jump(source: Source) -> bool:
    """Whether the file's own clock may start anew in the middle, as in transport streams."""
    return bool(int(source.container.format.flags) & _TS_DISCONT)


def _sample_aspect(stream: Any) -> float:
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return float(aspect) if aspect and 0.1 <= aspect <= 10 else 1.0  # else the header is wrong
