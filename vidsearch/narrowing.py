"""What the filters leave of a large archive, as its indexes are told: videos and dates.

What else is asked of a shot (its time, its length, how many faces it has) is told where it leaves
few of them; else whoever looks at candidates passes over those that do not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidsearch.filters import Filters, nowhere, wanted_video
from vidsearch.lookup import Lookup
from vidsearch.records import Ints

FEW_SHOTS = 2000  # so many shots are compared without asking an index for the nearest
_LISTED = 10  # and of up to so many times as many an index is told which they are
# Where less than that is left, rows that do not fit are looked for by Lance, which reads all of
# them; else it takes less time to pass over them.
_RARE = 1 / 16


@dataclass(frozen=True)
class Narrowed:
    """What the filters leave: published generations, None for all, and conditions in SQL.

    `of_videos` is about these, `of_keyframes` about times as well; `of_nearest` is what an
    index is told that looks for the nearest keyframes. `share` is how much of all shots is left,
    about; `few` are the places of those that are left, where these are few, and `some` that of one
    of them: who is in none is told of, not the filters. `passes_over` is whether shots that do not
    fit may be among the nearest all the same.
    """

    generations: tuple[int, ...] | None
    of_videos: str | None
    of_keyframes: str | None
    of_nearest: str | None
    share: float
    few: Ints | None
    some: Ints
    passes_over: bool


def narrow(lookup: Lookup, filters: Filters) -> Narrowed:
    """What is left by the filters, as far as indexes can be told; the last are remembered."""
    found: Narrowed = lookup.remembered.of(filters, lambda: _narrow(lookup, filters))
    return found


def _narrow(lookup: Lookup, filters: Filters) -> Narrowed:
    generations = sorted(lookup.videos)
    if filters.videos is not None or filters.dates is not None:
        generations = [g for g in generations if wanted_video(lookup.videos[g], filters)]
    if not generations:
        return Narrowed((), None, None, None, 0.0, None, np.zeros(0, np.int64), False)
    all_of_them = len(generations) == len(lookup.videos)
    of_videos = None if all_of_them else _among(generations, sorted(lookup.videos))
    times, others = _of_times(filters), _of_shots(filters)
    of_shots = _all_of([of_videos, *times, *others])
    left, every = (
        sum(lookup.videos[each].n_shots for each in some) for some in (generations, lookup.videos)
    )
    few = None
    if times or others or left <= FEW_SHOTS:
        left = lookup.count("shots", of_shots)
        few = lookup.places("shots", of_shots) if left <= FEW_SHOTS * _LISTED else None
    of_keyframes = _all_of([of_videos, *times])
    of_nearest = of_keyframes if left < _RARE * every else of_videos
    if few is not None and len(few) > FEW_SHOTS:
        of_keyframes = of_nearest = f"place IN ({', '.join(map(str, few.tolist()))})"
    return Narrowed(
        None if all_of_them else tuple(generations),
        of_videos,
        of_keyframes,
        of_nearest,
        left / max(every, 1),
        few,
        lookup.places("shots", of_shots, 1),
        bool(times or others) and few is None,
    )


def _all_of(conditions: Sequence[str | None]) -> str | None:
    return " AND ".join(each for each in conditions if each) or None


def _of_times(filters: Filters) -> list[str]:
    found = [] if filters.since is None else [f"end_s > {filters.since!r}"]
    return found if filters.until is None else [*found, f"start_s < {filters.until!r}"]


def _of_shots(filters: Filters) -> list[str]:
    found = []
    if filters.min_duration:
        found.append(f"end_s - start_s >= {filters.min_duration!r}")
    if filters.faces:
        least, most = filters.faces
        found.append(f"n_tracks >= {least}")
        found += [] if most is None else [f"n_tracks <= {most}"]
    return found


def _among(chosen: Sequence[int], every: Sequence[int]) -> str:
    """SQL for the generations `chosen` of all that are published: by runs, there are fewer."""
    at = np.searchsorted(np.array(every, np.int64), np.array(chosen, np.int64))
    starts = np.flatnonzero(np.diff(at, prepend=-2) != 1)
    ends = [*(starts[1:] - 1).tolist(), len(at) - 1]
    if len(starts) * 2 < len(chosen):
        runs = [(chosen[a], chosen[b]) for a, b in zip(starts.tolist(), ends, strict=True)]
        return f"({' OR '.join(f'generation BETWEEN {a} AND {b}' for a, b in runs)})"
    return f"generation IN ({', '.join(map(str, chosen))})"


def no_video(lookup: Lookup, filters: Filters) -> str:
    """Why no video is left, in a sentence."""
    rows = lookup.rows_of_video(lookup.videos[min(lookup.videos)].video_id)
    return nowhere(replace(rows, videos=tuple(lookup.videos.values())), filters)
