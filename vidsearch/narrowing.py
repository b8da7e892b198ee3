"""What the filters leave of a large archive, as its indexes are told: videos, dates and times.

Lengths of shots and numbers of faces are told where they leave few shots; else whoever looks at
candidates passes over those without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidsearch.filters import Filters, nowhere, wanted_video
from vidsearch.lookup import Lookup
from vidsearch.records import Ints

FEW_SHOTS = 2000  # so many shots are compared without asking an index for the nearest


@dataclass(frozen=True)
class Narrowed:
    """What the filters leave: published generations, None for all, and the SQL for keyframes.

    `few` are the places of all shots that are left, where these are few.
    """

    generations: tuple[int, ...] | None
    of_videos: str | None
    of_keyframes: str | None
    few: Ints | None
    some: Ints  # the place of one shot that is left: who is in none is told of, not the filters


def narrow(lookup: Lookup, filters: Filters) -> Narrowed:
    """What is left by the filters, as far as indexes can be told; the last are remembered."""
    found: Narrowed = lookup.remembered.of(filters, lambda: _narrow(lookup, filters))
    return found


def _narrow(lookup: Lookup, filters: Filters) -> Narrowed:
    generations = sorted(lookup.videos)
    if filters.videos is not None or filters.dates is not None:
        generations = [g for g in generations if wanted_video(lookup.videos[g], filters)]
    if not generations:
        return Narrowed((), None, None, None, np.zeros(0, np.int64))
    all_of_them = len(generations) == len(lookup.videos)
    of_videos = None if all_of_them else _among(generations, sorted(lookup.videos))
    conditions = [of_videos] if of_videos else []
    if filters.since is not None:
        conditions.append(f"end_s > {filters.since!r}")
    if filters.until is not None:
        conditions.append(f"start_s < {filters.until!r}")
    few = None
    shots = sum(lookup.videos[each].n_shots for each in generations)
    of_shots = [*conditions, *_of_shots(filters)]
    where = " AND ".join(of_shots) or None
    is_narrow = shots <= FEW_SHOTS or bool(_of_shots(filters))
    if is_narrow and lookup.count("shots", where) <= FEW_SHOTS * 10:
        few = lookup.places("shots", where)
        if len(few) > FEW_SHOTS:
            conditions = [f"place IN ({', '.join(map(str, few.tolist()))})"]
    return Narrowed(
        None if all_of_them else tuple(generations),
        of_videos,
        " AND ".join(conditions) or None,
        few,
        lookup.places("shots", where, 1),
    )


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
