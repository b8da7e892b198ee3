"""Excerpts as tables: CSV, JSON and Parquet, with the same columns (`COLUMNS`)."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from vidsearch.counting import Counting, counting
from vidsearch.errors import VidsearchError
from vidsearch.excerpts import Excerpt, Excerpts
from vidsearch.urls import is_url

COLUMNS = {
    "rank": "place in the answer, from 1",
    "video": "the file's path as text",
    "url": "the same as a file URL, exact whatever bytes the name has",
    "video_id": "the archive's id of the video",
    "shot": "number of the (first) shot, from 0",
    "start_s": "seconds from the first video frame, by presentation time",
    "end_s": "seconds; the excerpt ends before it",
    "start_frame": "number of the first frame, from 0",
    "end_frame": "number of the frame after the last",
    "start_tc": "SMPTE time code of the first frame; empty where the rate cannot have one",
    "end_tc": "SMPTE time code of the frame after the last",
    "rate": "frames a second, a fraction",
    "reel": "reel or tape name in the file",
    "media_start_s": "seconds in the file's own clock, where players and cutters find the excerpt",
    "media_end_s": "seconds in the file's own clock",
    "score": "0 to 1: of the hit, or the probability of the appearance",
    "context_score": "0 to 1; empty where no context was asked for",
    "people": "who is in it, with name, probability, time_s, box (x0 y0 x1 y1, 0 to 1), reference",
    "evidence": "why, in one line",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def rows(excerpts: Excerpts, rate: Fraction | None = None) -> list[dict[str, Any]]:
    """A dictionary for each excerpt, its keys those of `COLUMNS`."""
    known = {video.video_id: _counting(video, rate) for video in excerpts.videos}
    return [_row(each, known[each.video.video_id]) for each in excerpts.excerpts]


def _counting(video: Any, rate: Fraction | None) -> Counting | None:
    """A table leaves empty what cannot be counted."""
    try:
        return counting(video, rate)
    except VidsearchError:
        if rate is not None:
            raise
        return None


def _row(each: Excerpt, count: Counting | None) -> dict[str, Any]:
    video = each.video
    codes = count.codes(each) if count and count.base else ("", "")
    return {
        "rank": each.rank,
        "video": _text(video.path),
        "url": file_url(video.paths),
        "video_id": video.video_id,
        "shot": each.shot,
        "start_s": each.start_s,
        "end_s": each.end_s,
        "start_frame": each.start_frame,
        "end_frame": each.end_frame,
        "start_tc": codes[0],
        "end_tc": codes[1],
        "rate": f"{count.rate.numerator}/{count.rate.denominator}" if count else "",
        "reel": video.reel,
        "media_start_s": video.media_offset_s + each.start_s,
        "media_end_s": video.media_offset_s + each.end_s,
        "score": each.score,
        "context_score": each.context_score,
        "people": [
            {
                "name": seen.name,
                "probability": seen.probability,
                "time_s": seen.time_s,
                "box": [float(edge) for edge in seen.box],
                "reference": _text(seen.reference),
            }
            for seen in each.people
        ],
        "evidence": _text(each.evidence),
    }


def _text(text: str) -> str:
    """Text that UTF-8 can hold: a file name may hold half a surrogate pair."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def file_url(paths: Sequence[bytes]) -> str:
    """A path as a `file:` URL, which keeps every byte; a URL as it is; "" without a path."""
    if paths and is_url(paths[0]):
        return os.fsdecode(paths[0])
    return Path(os.path.abspath(os.fsdecode(paths[0]))).as_uri() if paths else ""


def as_csv(excerpts: Excerpts, rate: Fraction | None = None) -> bytes:
    """CSV as RFC 4180 has it, UTF-8; people as `NAME PROBABILITY`, joined by semicolons.

    A text that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, "CSV
    Injection"); numbers stay numbers.
    """
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(COLUMNS))
    table.writeheader()
    for row in rows(excerpts, rate):
        people = "; ".join(f"{who['name']} {who['probability']:.3f}" for who in row["people"])
        table.writerow(
            {name: harmless(value) for name, value in (row | {"people": people}).items()}
        )
    return text.getvalue().encode("utf-8")


def harmless(value: Any) -> Any:
    """A cell that no spreadsheet calculates; what is no text is left as it is."""
    return "'" + value if isinstance(value, str) and value.startswith(_FORMULA) else value


def as_json(excerpts: Excerpts, rate: Fraction | None = None) -> bytes:
    """JSON: `title`, `message`, what each column means (`columns`), and the `excerpts`."""
    data = {
        "title": _text(excerpts.title),
        "message": _text(excerpts.message),
        "columns": COLUMNS,
        "excerpts": rows(excerpts, rate),
    }
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def as_parquet(excerpts: Excerpts, rate: Fraction | None = None) -> bytes:
    """Parquet; what the columns mean stands in the schema's metadata, by their names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, real, whole = pa.string(), pa.float64(), pa.int64()
    person = pa.struct(
        [
            ("name", text),
            ("probability", real),
            ("time_s", real),
            ("box", pa.list_(real)),
            ("reference", text),
        ]
    )
    kinds: dict[str, Any] = dict.fromkeys(COLUMNS, text)
    kinds |= dict.fromkeys(("rank", "shot", "start_frame", "end_frame"), whole)
    kinds |= dict.fromkeys(("start_s", "end_s", "media_start_s", "media_end_s"), real)
    kinds |= {"score": real, "context_score": real, "people": pa.list_(person)}
    schema = pa.schema(list(kinds.items()), metadata={**COLUMNS, "title": _text(excerpts.title)})
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows(excerpts, rate), schema), file, compression="zstd")
    return file.getvalue()
