"""At which rate the frames of a video come, and whether they come evenly, by their timestamps.

Headers are no proof: a phone's file claims 30 and delivers 24 to 31. So every frame's time is held
against a few even rates, what the header claims and those of film and television; those that a
frame lies off drop out.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from vidsearch.smpte import STANDARD_RATES, nearest_standard

_OFF = Fraction(1, 4)  # of a frame: further from its place a frame was dropped, or came late
_ALIKE = Fraction(1, 5000)  # 29.97 and 23.98 in a header mean 30000/1001 and 24000/1001


class Extremes:
    """Of a stretch of frames, those furthest off each rate: `Pace` needs no others.

    How far off they are depends on how many frames went before, and which are furthest does not.
    """

    def __init__(self, tick: Fraction, claimed: Iterable[Fraction]) -> None:
        self._steps = [(step.numerator, step.denominator) for step in _steps(tick, claimed)]
        self._least: list[tuple[int, int, int]] = []
        self._most: list[tuple[int, int, int]] = []

    def see(self, n: int, ticks: int) -> None:
        """Frame number `n` of the stretch stands at so many ticks from the file's first."""
        off = [(ticks * below - n * above, n, ticks) for above, below in self._steps]
        self._least = [min(pair) for pair in zip(self._least or off, off, strict=True)]
        self._most = [max(pair) for pair in zip(self._most or off, off, strict=True)]
        self._last = (n, ticks)

    def frames(self) -> list[tuple[int, int]]:
        """Numbers and ticks of the frames that were furthest off, and of the last; in order."""
        if not self._least:
            return []
        return sorted({(n, ticks) for _, n, ticks in (*self._least, *self._most)} | {self._last})


def _steps(tick: Fraction, claimed: Iterable[Fraction]) -> list[Fraction]:
    """Ticks that a frame lasts at each rate that is thought of."""
    return [1 / (rate * tick) for rate in Pace(tick, claimed).rates]


class Pace:
    """Watches the timestamps of one pass, in constant memory.

    `tick` is the unit of the timestamps in seconds, `claimed` what the file says its rate is, in
    frames a second, the most credible first.
    """

    def __init__(self, tick: Fraction, claimed: Iterable[Fraction]) -> None:
        self._tick = tick
        said = [rate for rate in claimed if rate > 0]
        meant = [nearest_standard(rate, _ALIKE) or rate for rate in said]
        near = meant[0] if meant else Fraction(25)
        others = sorted(STANDARD_RATES, key=lambda rate: abs(rate - near))
        candidates = dict.fromkeys([*meant, *said, *others])
        self._claimed = near
        self._n = 0
        self._last = 0
        # Integers: of each rate the ticks a frame lasts, as a fraction, and how far off is too far.
        self._even = {rate: self._terms(rate) for rate in candidates}

    def _terms(self, rate: Fraction) -> tuple[int, int, int]:
        step = 1 / (rate * self._tick)
        # A time rounded to ticks is up to one off, its own rounding and that of the first frame's.
        off = min(step * _OFF, Fraction(1) + Fraction(1, 100))
        return step.numerator, step.denominator, int(off * step.denominator)

    def see_frame(self, n: int, ticks: int) -> None:
        """Frame number `n` stands at so many ticks; those before it are no further off."""
        self._n = n
        self.see(ticks)

    def see(self, ticks: int) -> None:
        """The next frame stands at so many ticks from the first."""
        n, late = self._n, []
        for rate, (numerator, denominator, off) in self._even.items():
            if abs(ticks * denominator - n * numerator) > off:
                late.append(rate)
        for rate in late:
            del self._even[rate]
        self._last = ticks
        self._n += 1

    @property
    def rates(self) -> list[Fraction]:
        """The rates that fit what was seen, the most credible first."""
        return list(self._even)

    @property
    def is_variable(self) -> bool:
        """Whether the frames seen fit no even rate."""
        return not self._even

    @property
    def rate(self) -> Fraction:
        """The exact rate of frames a second; of a variable one the average, to a thousandth."""
        if self._even:
            return next(iter(self._even))
        if self._n < 2 or not self._last:
            return self._claimed
        return (Fraction(self._n - 1) / (self._last * self._tick)).limit_denominator(1000)
