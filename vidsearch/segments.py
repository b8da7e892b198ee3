"""Cut the stream of frames into shots, and long shots into parts, while it is being decoded.

Nothing here waits for the end of the file: a part is handed on as soon as its frames cannot
change hands any more, so that memory does not grow with the length of a shot or of a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vidsearch.keyframes import Candidate, CandidatePool
from vidsearch.media import Decoder, Frame
from vidsearch.shots import WHOLE_S, ShotDetector, ShotStream, Span, closed_parts, parts

POOL = 16
"""Candidates kept of an open stretch: in the 10 s before the first part of a long shot is closed
they are at most 0.8 s apart, so that the middle quarter of each part has one. Half of that for
pictures larger than `LARGE_PIXELS`, whose decoded buffers (1.5 to 3 bytes a pixel) are what an
indexing process holds most of."""
LARGE_PIXELS = 4096 * 2304
KEPT = 12
"""Candidates handed on with a part; the pool may hold twice as many while a detector is late."""


@dataclass(frozen=True, eq=False)
class Part:
    """A stretch `[start_s, end_s)` of shot number `shot`; the parts of a shot tile it.

    `span` is the shot's own and comes with its last part; until then it is None, because nobody
    knows yet where the shot ends. `candidates` are in order of time; there are none where one
    frame stands longer than a part.
    """

    shot: int
    start_s: float
    end_s: float
    span: Span | None
    candidates: tuple[Candidate[Frame], ...]

    @property
    def whole(self) -> bool:
        """Whether this part is all of its shot."""
        return self.span is not None and self.start_s == self.span.start_s


def segment(
    frames: Decoder, detector: ShotDetector, seen: Callable[[Frame], None] = lambda frame: None
) -> Iterator[Part]:
    """The parts of all shots of a video, in order; together they tile it exactly.

    `seen` is called with every frame that was decoded.
    """
    large = frames.probe.width * frames.probe.height > LARGE_PIXELS
    pool: CandidatePool[Frame] = CandidatePool(POOL // 2 if large else POOL, detector.lag)
    stream = ShotStream(detector)
    shot, begun_s = 0, 0.0  # the open shot's number, and where its first part not yet sent begins

    def send(bounds: list[tuple[float, float]], span: Span | None) -> Iterator[Part]:
        for start_s, end_s in bounds:
            if start_s >= begun_s:
                whole_shot = span if span is not None and end_s == span.end_s else None
                yield Part(shot, start_s, end_s, whole_shot, _spread(pool.take(end_s)))

    for frame in frames:
        seen(frame)
        pool.push(frame.index, frame.time_s, frame.small, frame)
        for span in stream.push(frame.index, frame.time_s, frame.small):
            yield from send(parts(span.start_s, span.end_s), span)
            shot, begun_s = shot + 1, span.end_s
        if stream.settled_s() - begun_s > WHOLE_S:
            closed = closed_parts(stream.start_s, stream.settled_s())
            yield from send(closed, None)
            begun_s = closed[-1][1]
    for span in stream.finish(frames.end_s):
        yield from send(parts(span.start_s, span.end_s), span)
        shot, begun_s = shot + 1, span.end_s


def _spread(candidates: Sequence[Candidate[Frame]]) -> tuple[Candidate[Frame], ...]:
    """At most `KEPT` of the candidates, evenly over time."""
    if len(candidates) <= KEPT:
        return tuple(candidates)
    step = len(candidates) / KEPT
    return tuple(candidates[int((i + 0.5) * step)] for i in range(KEPT))
