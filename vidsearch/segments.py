"""Cut the stream of frames into shots, and long shots into parts, while it is being decoded.

Nothing here waits for the end of the file: a part is handed on as soon as its frames cannot
change hands any more, so that memory does not grow with the length of a shot or of a file. It is
handed on with the frames that will be looked at, and no others: decoded frames are most of what
an indexing process holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vidsearch.keyframes import Candidate, CandidatePool, representative
from vidsearch.media import Decoder, Frame
from vidsearch.shots import WHOLE_S, ShotDetector, ShotStream, Span, closed_parts, parts
from vidsearch.tracks import STEP_S, face_times

POOL = 16
"""Candidates kept of an open stretch: in the 10 s before the first part of a long shot is closed
they are at most 0.8 s apart, so that the middle quarter of each part has one. Half of that for
pictures larger than `LARGE_PIXELS`, whose decoded buffers (1.5 to 3 bytes a pixel) are what an
indexing process holds most of."""
LARGE_PIXELS = 4096 * 2304
KEPT = 12
"""Candidates among which is chosen; the pool may hold twice as many while a detector is late."""


@dataclass(frozen=True, eq=False)
class Part:
    """A stretch `[start_s, end_s)` of shot number `shot`; the parts of a shot tile it.

    `span` is the shot's own and comes with its last part; until then it is None, because nobody
    knows yet where the shot ends. `keyframe` stands for the part; `looks`, in order of time and
    the keyframe among them, are the frames in which faces are looked for. They are None and empty
    where one frame stands longer than a part.
    """

    shot: int
    start_s: float
    end_s: float
    span: Span | None
    keyframe: Candidate[Frame] | None
    looks: tuple[Candidate[Frame], ...]


def segment(
    frames: Decoder, detector: ShotDetector, seen: Callable[[Frame], None] = lambda frame: None
) -> Iterator[Part]:
    """The parts of all shots of a video, in order; together they tile it exactly.

    `seen` is called with every frame that was decoded.
    """
    stretch = Stretch(detector, frames.probe.width * frames.probe.height)
    for frame in frames:
        seen(frame)
        yield from stretch.push(frame)
        yield from stretch.closed()
    yield from stretch.finish(frames.end_s)


class Stretch:
    """The open shot while frames come: what of it is known, and the frames that are kept of it.

    `shot` is its number. Of each frame `push` gives the parts of shots that a cut ends, and then
    `closed` those of the open shot that are certain.
    """

    def __init__(self, detector: ShotDetector, pixels: int) -> None:
        budget = POOL // 2 if pixels > LARGE_PIXELS else POOL
        self._pool: CandidatePool[Frame] = CandidatePool(budget, detector.lag)
        self._stream = ShotStream(detector)
        self._begun_s = 0.0  # where the open shot's first part not yet sent begins
        self.shot = 0

    @property
    def start_s(self) -> float:
        """Where the open shot begins."""
        return self._stream.start_s

    @property
    def is_fresh(self) -> bool:
        """Whether no part of the open shot has been given yet."""
        return self._begun_s == self.start_s

    def push(self, frame: Frame) -> Iterator[Part]:
        """Take the next frame; the parts of the shots that it ends."""
        if frame.index == 0:
            self._begun_s = frame.time_s
        self._pool.push(frame.index, frame.time_s, frame.small, frame)
        yield from self._ended(self._stream.push(frame.index, frame.time_s, frame.small))

    def closed(self) -> Iterator[Part]:
        """The parts of the open shot that do not depend on where it will end."""
        settled_s = self._stream.settled_s()
        if settled_s - self._begun_s > WHOLE_S:
            closed = closed_parts(self.start_s, settled_s)
            yield from self._send(closed, None)
            self._begun_s = closed[-1][1]

    def finish(self, end_s: float) -> Iterator[Part]:
        """The parts of the last shots."""
        yield from self._ended(self._stream.finish(end_s))

    def state(self) -> tuple[object, ...]:
        """All that decides the parts from here on, frames counted from the next one.

        The detector must be one of `vidsearch.shots.CONVERGING`. Of the frames that are held, the
        decoded pictures are in it too.
        """
        return (*self._stream.state(), self._begun_s, *self._pool.state(Frame.decoded))

    def _ended(self, spans: Sequence[Span]) -> Iterator[Part]:
        for span in spans:
            yield from self._send(parts(span.start_s, span.end_s), span)
            self.shot, self._begun_s = self.shot + 1, span.end_s

    def _send(self, bounds: list[tuple[float, float]], span: Span | None) -> Iterator[Part]:
        for start_s, end_s in bounds:
            if start_s >= self._begun_s:
                ended = span if span is not None and end_s == span.end_s else None
                # No name for the candidates: it would keep all of them until the next part.
                yield _part(self.shot, start_s, end_s, ended, _spread(self._pool.take(end_s)))


def _part(
    shot: int,
    start_s: float,
    end_s: float,
    span: Span | None,
    candidates: Sequence[Candidate[Frame]],
) -> Part:
    """The part with what is looked at of its candidates."""
    if not candidates:
        return Part(shot, start_s, end_s, span, None, ())
    whole = span is not None and start_s == span.start_s
    keyframe = _keyframe(candidates, start_s, end_s, whole=whole)
    looks = _looks(candidates, keyframe, start_s, end_s)
    return Part(shot, start_s, end_s, span, keyframe, looks)


def _keyframe(
    candidates: Sequence[Candidate[Frame]], start_s: float, end_s: float, *, whole: bool
) -> Candidate[Frame]:
    """The candidate that stands for a part, `whole` if that is all of its shot.

    In a long shot it comes from the middle quarter of the part, so that two keyframes are never
    further apart than a part and a quarter.
    """
    if whole:
        return representative(candidates, start_s, end_s)
    middle, eighth = (start_s + end_s) / 2, (end_s - start_s) / 8
    inside = [one for one in candidates if abs(one.time_s - middle) <= eighth]
    nearest = min(candidates, key=lambda one: abs(one.time_s - middle))
    return representative(inside or [nearest], start_s, end_s)


def _looks(
    candidates: Sequence[Candidate[Frame]],
    keyframe: Candidate[Frame],
    start_s: float,
    end_s: float,
) -> tuple[Candidate[Frame], ...]:
    """The keyframe and the candidates nearest to when faces are to be looked for."""
    wanted = {keyframe.index: keyframe}
    for time_s in face_times(start_s, end_s):
        # The keyframe is looked at anyway, so it stands for the look that is due beside it.
        if abs(time_s - keyframe.time_s) > STEP_S / 2:
            near = min(candidates, key=lambda one: abs(one.time_s - time_s))
            wanted.setdefault(near.index, near)
    return tuple(wanted[index] for index in sorted(wanted))


def _spread(candidates: Sequence[Candidate[Frame]]) -> tuple[Candidate[Frame], ...]:
    """At most `KEPT` of the candidates, evenly over time."""
    if len(candidates) <= KEPT:
        return tuple(candidates)
    step = len(candidates) / KEPT
    return tuple(candidates[int((i + 0.5) * step)] for i in range(KEPT))
