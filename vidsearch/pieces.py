"""A long video in pieces that several workers analyse at once, joined as if by one pass.

Pure, as `vidsearch.analyze` is. A worker of a piece decodes from a keyframe some seconds before its
border, so that its shot detector comes to the state that the one pass has there. From the first
cut that it finds behind the border on it describes shots; the worker of the piece before goes on
until that very cut. Each notes what its state is there (`Mark`): all that decides what is found
from here on, the decoded pictures that are held among it. Where the two are the same to the last
bit, everything behind is the same too, and the pieces are joined there (`route`): at a cut, so that
no shot, no face track and no keyframe crosses the seam. Where they are not, the worker before goes
on for as long as it takes (a `Piece` that begins at its last mark and ends where it meets the
next), and where that does not help either, the video is analysed as a whole. So the joined video is
that of `analyze`, or there is none.

Only detectors that come to the same state wherever they began can be used (`CONVERGING`), and only
files whose times lead to frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import sha256

from vidsearch.allocator import give_back_large_blocks
from vidsearch.analyze import Report, in_background, prepare, video_row
from vidsearch.decoding import problem_of
from vidsearch.describe import Models, ShotBuilder
from vidsearch.errors import UnreadableVideo
from vidsearch.inputs import printable
from vidsearch.media import Decoder, Frame, Probe, decode
from vidsearch.pace import Extremes, Pace
from vidsearch.records import AnalyzedVideo, Shot
from vidsearch.segments import Part, Stretch
from vidsearch.shots import CONVERGING, make_detector
from vidsearch.tasks import Progress, Recipe, Task

LEAD_FRAMES, LEAD_S = 200, 8.0
"""What a worker looks at before its border, the longer of both: the detector remembers 130 frames,
and some of what it found there."""
LONG_LEAD = 6.0
"""How much longer that is where it was not enough."""
KEY_WITHIN_S = 60.0
"""A keyframe further before a border than this is no place to begin."""
_MARKS, _MARK_EVERY_S = 4, 60.0  # cuts that a worker marks first, and how often afterwards
_CLEAN_FRAMES = 200  # frames without damage that a mark needs before it
_REPORT_EVERY = 50  # frames
_START = b"start"


@dataclass(frozen=True)
class Piece:
    """What one worker does of a video, from cut to cut.

    It decodes from about `lead_s` and describes from the first cut on that is found at or after
    `from_s`; the first piece has no lead and does both from the first frame. It ends at the first
    cut that is found at or after `until_s`, None for the end of the file. With `begins` (digests of
    marks) only such a cut is a beginning, with `meets` only such a one an end.
    """

    number: int
    lead_s: float | None = None
    from_s: float = 0.0
    until_s: float | None = None
    begins: frozenset[bytes] = frozenset()
    meets: frozenset[bytes] = frozenset()


@dataclass(frozen=True)
class Mark:
    """The state of a pass at a cut: its digest; the frames seen and pieces found damaged by then.

    Frames are counted from where the pass began, as are the shots before the cut. `time_s` is that
    of the latest frame.
    """

    digest: bytes
    frames: int
    shots: int
    damaged: int
    time_s: float


@dataclass(frozen=True)
class Leg:
    """What follows a mark until the next one: of its frames, those that tell the rate.

    `paced` are frame numbers and ticks (see `vidsearch.pace.Extremes`).
    """

    mark: Mark
    paced: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class End:
    """How a pass came to the end of the file."""

    frames: int
    damaged: int
    end_s: float
    truncated: bool


@dataclass(frozen=True, eq=False)
class Passed:
    """What a worker found in a piece: shots between marks, numbered from where its pass began.

    No `legs` where it found no cut to begin with. It ended at the mark `stop` or with the file's
    `end`. `tick` and `claimed` are for the `Pace`; `version` is that of the file.
    """

    piece: Piece
    probe: Probe
    tick: Fraction
    claimed: tuple[Fraction, ...]
    version: tuple[int, int]
    legs: tuple[Leg, ...] = ()
    stop: Mark | None = None
    end: End | None = None
    shots: tuple[Shot, ...] = ()

    def light(self) -> Passed:
        """Without the shots: all that `route` needs."""
        return replace(self, shots=())


@dataclass(frozen=True)
class Hop:
    """One of the passes that make a video: from leg number `leg` of pass number `index` on.

    Its frames are counted from the file's frame number `frames`.
    """

    index: int
    leg: int
    frames: int


# --- plan ----------------------------------------------------------------------------------------


def plan_pieces(task: Task, recipe: Recipe, piece_s: float) -> tuple[Piece, ...]:
    """The pieces of about `piece_s` seconds of a file; none where it is to be analysed as a whole.

    Asks the container for keyframes and decodes one frame. What cannot be read is to be told by
    `analyze`.
    """
    if piece_s <= 0 or recipe.detector not in CONVERGING:
        return ()
    try:
        with decode(task.path, threads=recipe.threads) as frames:
            return _planned(frames, piece_s) if frames.has_clock else ()
    except UnreadableVideo:
        return ()


def _planned(frames: Decoder, piece_s: float) -> tuple[Piece, ...]:
    duration_s = frames.probe.duration_s
    n = round(duration_s / piece_s)
    borders = [duration_s * i / n for i in range(1, n)]
    pieces = pieces_at(frames, borders)
    leads = [piece.lead_s or 0.0 for piece in pieces]
    near = all(p.from_s - lead < KEY_WITHIN_S for p, lead in zip(pieces, leads, strict=True))
    return pieces if near and len(set(leads)) == len(leads) > 1 else ()


def pieces_at(frames: Decoder, borders: Sequence[float]) -> tuple[Piece, ...]:
    """Pieces with these borders, seconds; none where the file does not lead there."""
    rate = min(25.0, max(1.0, float(frames.pace.rate)))
    before_s = max(LEAD_S, LEAD_FRAMES / rate)
    pieces = [Piece(0, until_s=borders[0] if borders else None)]
    for number, from_s in enumerate(borders, 1):
        key_s = frames.key_before(from_s - before_s) if from_s > before_s else 0.0
        if key_s is None and from_s < KEY_WITHIN_S:
            key_s = 0.0  # in a transport stream seeking may land behind the first keyframe
        if key_s is None:
            return ()
        until_s = borders[number] if number < len(borders) else None
        pieces.append(Piece(number, key_s, from_s, until_s))
    return tuple(pieces)


# --- one piece -----------------------------------------------------------------------------------


def analyze_piece(
    task: Task,
    recipe: Recipe,
    piece: Piece,
    report: Report = lambda progress: None,
    models: Models | None = None,
) -> Passed:
    """Analyse one piece of a file; otherwise as `vidsearch.analyze.analyze`.

    The progress counts frames and seconds of the piece alone.
    """
    give_back_large_blocks()
    models = models or prepare(recipe)
    with decode(task.path, threads=recipe.threads) as frames:
        pass_ = _Pass(task, recipe, piece, frames, models)
        if pass_.begin():
            pass_.run(report)
        frames.check_settled()
        return pass_.passed()


class _Pass:
    """The pass of one worker over its piece."""

    def __init__(
        self, task: Task, recipe: Recipe, piece: Piece, frames: Decoder, models: Models
    ) -> None:
        self._task, self._piece, self._frames = task, piece, frames
        detector = make_detector(recipe.detector, **dict(recipe.detector_options))
        self._stretch = Stretch(detector, frames.probe.width * frames.probe.height)
        self._shots = ShotBuilder(task.path, models)
        self._legs: list[Leg] = []
        self._extremes = Extremes(*frames.unit)
        self._stop: Mark | None = None
        self._end: End | None = None
        self._damaged = 0
        self._clean_from = -_CLEAN_FRAMES

    def begin(self) -> bool:
        """Go to where the piece begins, as far as the file leads there."""
        if self._piece.lead_s is None:
            self._legs = [Leg(Mark(_START, 0, 0, 0, 0.0), ())]
            return True
        frames = self._frames
        if self._piece.lead_s <= 0:
            return True
        if not frames.has_clock:
            return False
        key_s = frames.key_before(self._piece.lead_s)
        return key_s is not None and frames.begin_at(key_s)

    def run(self, report: Report) -> None:
        """Decode to the end of the piece."""
        with in_background(self._shots.add) as hand_on:
            for frame in self._frames:
                if frame.index % _REPORT_EVERY == 0:
                    report(self._progress(frame))
                if not self._see(frame, hand_on):
                    return
            if self._legs:
                frames = self._frames
                self._hand_on(self._stretch.finish(frames.end_s), hand_on)
                self._close_leg()
                self._end = End(frames.n_frames, frames.n_damaged, frames.end_s, frames.truncated)

    def passed(self) -> Passed:
        """What was found."""
        tick, claimed = self._frames.unit
        return Passed(
            self._piece,
            self._frames.probe,
            tick,
            claimed,
            self._frames.version,
            tuple(self._legs),
            self._stop,
            self._end,
            tuple(self._shots.done),
        )

    def _see(self, frame: Frame, hand_on: Callable[[Part], None]) -> bool:
        """Take the next frame; whether to go on."""
        stretch, shots = self._stretch, self._stretch.shot
        if self._frames.n_damaged != self._damaged:
            self._damaged, self._clean_from = self._frames.n_damaged, frame.index
        self._hand_on(stretch.push(frame), hand_on)
        self._hand_on(stretch.closed(), hand_on)
        self._extremes.see(frame.index, self._frames.clock[1])
        is_cut = stretch.shot > shots and stretch.is_fresh
        clean = frame.index - self._clean_from >= _CLEAN_FRAMES
        if is_cut and clean and frame.time_s >= self._piece.from_s:
            self._at_cut(frame)
        return self._stop is None and (bool(self._legs) or not self._is_late(frame))

    def _is_late(self, frame: Frame) -> bool:
        """Whether the piece, which has not begun, will not begin any more."""
        piece = self._piece
        if piece.begins:
            return frame.time_s >= piece.from_s
        return piece.until_s is not None and frame.time_s >= piece.until_s

    def _hand_on(self, parts: Iterator[Part], hand_on: Callable[[Part], None]) -> None:
        for part in parts:
            if self._legs:
                hand_on(part)

    def _at_cut(self, frame: Frame) -> None:
        """Begin, end or only mark this cut."""
        piece = self._piece
        if not self._legs:
            mark = self._mark(frame)
            if not piece.begins or mark.digest in piece.begins:
                self._open_leg(mark)
        elif piece.meets:
            mark = self._mark(frame)
            if mark.digest in piece.meets:
                self._stop_at(mark)
        elif piece.until_s is not None and frame.time_s >= piece.until_s:
            self._stop_at(self._mark(frame))
        elif piece.lead_s is not None and (
            len(self._legs) < _MARKS or frame.time_s - self._legs[-1].mark.time_s > _MARK_EVERY_S
        ):
            self._open_leg(self._mark(frame))

    def _stop_at(self, mark: Mark) -> None:
        self._close_leg()
        self._stop = mark

    def _open_leg(self, mark: Mark) -> None:
        self._close_leg()
        self._legs.append(Leg(mark, ()))

    def _close_leg(self) -> None:
        """The latest leg is over: its frames are known."""
        if self._legs:
            self._legs[-1] = replace(self._legs[-1], paced=tuple(self._extremes.frames()))
        self._extremes = Extremes(*self._frames.unit)

    def _mark(self, frame: Frame) -> Mark:
        state = (self._stretch.state(), self._frames.clock)
        # Of its text, not pickled: that would depend on which objects are one and the same.
        digest = sha256(repr(state).encode()).digest()
        return Mark(
            digest,
            frame.index + 1,
            self._stretch.shot,
            self._frames.n_damaged,
            frame.time_s,
        )

    def _progress(self, frame: Frame) -> Progress:
        task = self._task
        return Progress(
            task.video_id,
            printable(task.path),
            frame.index,
            max(0.0, frame.time_s - self._piece.from_s),
            self._frames.probe.duration_s,
            len(self._shots.done),
            task.size,
        )


# --- joining -------------------------------------------------------------------------------------


def route(passes: Sequence[Passed]) -> tuple[Hop, ...] | Piece | None:
    """By which passes, one after the other, the video was seen from its first to its last frame.

    `passes` are those of the pieces of a plan, the first one first, and of the pieces that this
    function asked for. Gives such a piece where a pass leads to no other one yet, and None where
    the video must be analysed as a whole.
    """
    if len({passed.version for passed in passes}) > 1:
        return None
    begun = {
        leg.mark.digest: (index, number)
        for index, passed in enumerate(passes)
        for number, leg in enumerate(passed.legs)
    }
    hops = [Hop(0, 0, 0)]
    while (passed := passes[hops[-1].index]).end is None:
        stop = passed.stop
        if stop is None:
            return None
        if stop.digest not in begun:
            return _bridge(passes, stop)
        index, number = begun[stop.digest]
        mark = passes[index].legs[number].mark
        hops.append(Hop(index, number, hops[-1].frames + stop.frames - mark.frames))
    return tuple(hops)


def _bridge(passes: Sequence[Passed], stop: Mark) -> Piece | None:
    """The piece that goes on from a mark where no other began, until it meets one; None after two.

    The second one looks at more of what was before.
    """
    tried = sum(stop.digest in passed.piece.begins for passed in passes)
    if tried > 1:
        return None
    rate = min(25.0, max(1.0, float(passes[0].probe.frame_rate)))
    before_s = max(LEAD_S, LEAD_FRAMES / rate) * LONG_LEAD ** (tried + 1)
    later = frozenset(
        leg.mark.digest for passed in passes for leg in passed.legs if leg.mark.time_s > stop.time_s
    )
    return Piece(
        number=len(passes),
        lead_s=max(0.0, stop.time_s - before_s),
        from_s=stop.time_s,
        begins=frozenset({stop.digest}),
        meets=later,
    )


def join(
    task: Task,
    recipe: Recipe,
    passes: Sequence[Passed],
    hops: Sequence[Hop],
    shots_of: Callable[[int], Sequence[Shot]],
) -> AnalyzedVideo:
    """The video of a `route`: what `analyze` would have given.

    `shots_of` gives the shots of a pass, by its number; `passes` may be `light`.
    """
    shots: list[Shot] = []
    pace = Pace(passes[0].tick, passes[0].claimed)
    damaged = 0
    for hop in hops:
        passed = passes[hop.index]
        first = passed.legs[hop.leg].mark
        shots += _renumbered(shots_of(hop.index), first.shots, hop.frames, len(shots))
        for leg in passed.legs[hop.leg :]:
            for number, ticks in leg.paced:
                pace.see_frame(number + hop.frames, ticks)
        last = passed.end or passed.stop
        damaged += (last.damaged if last else 0) - first.damaged
    passed, hop = passes[hops[-1].index], hops[-1]
    end = passed.end
    if end is None:
        raise ValueError(f"{printable(task.path)}: the last pass did not come to the file's end")
    row = video_row(
        task,
        recipe,
        passed.probe,
        pace,
        problem=problem_of(end.truncated, damaged, end.end_s),
        end_s=end.end_s,
        n_frames=end.frames + hop.frames,
        n_shots=len(shots),
    )
    return AnalyzedVideo(row, tuple(shots))


def _renumbered(shots: Sequence[Shot], first: int, frames: int, already: int) -> Iterator[Shot]:
    """The shots from number `first` of a pass on, by the numbers of the whole file."""
    for shot in shots:
        if shot.index < first:
            continue
        yield replace(
            shot,
            index=already + shot.index - first,
            start_frame=shot.start_frame + frames,
            end_frame=shot.end_frame + frames,
            keyframes=tuple(
                # One that was read again belongs to no frame of the pass: -1.
                replace(one, frame=one.frame + frames if one.frame >= 0 else one.frame)
                for one in shot.keyframes
            ),
        )
