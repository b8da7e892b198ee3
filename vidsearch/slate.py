"""What a file's slate says: the time code of its first frame, its reel, and when it was recorded.

Time codes are looked for where cameras and recorders put them: the header (a `tmcd` track of MOV
and MP4, the material package of MXF, tags of Matroska, GXF and AVI), else the pictures themselves
(the groups of pictures of MPEG-1 and 2, ST 12-1 messages of H.264 and H.265).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from fractions import Fraction
from typing import Any

_GROUP, _PICTURE = b"\x00\x00\x01\xb8", b"\x00\x00\x01\x00"
_CODE = re.compile(r"\d\d:[0-5]\d:[0-5]\d[:;.,]\d\d", re.ASCII)
_REEL_KEYS = ("reel_name", "reel", "tape", "com.apple.proapps.reel")
_DATE_KEYS = ("com.apple.quicktime.creationdate", "creation_time", "date_recorded", "date")
_NOT_BEFORE = datetime(1971, 1, 1, tzinfo=timezone.utc).timestamp()  # 0 of 1904 or 1970: unset


@dataclass(frozen=True)
class Slate:
    """See `vidsearch.records.Video` for the fields of the same names."""

    timecode: str = ""
    reel: str = ""
    recorded_at: float = 0.0


def read_slate(container: Any, stream: Any, first: Any, packets: Iterable[Any]) -> Slate:
    """The slate of an open file.

    `container` and `stream` are PyAV's, `first` is the first decoded frame and `packets` are those
    of the stream that were read for it, in order.
    """
    tags = [_folded(part.metadata) for part in (stream, *container.streams, container)]
    code = _first(tags, ("timecode",))
    if not _CODE.fullmatch(code):
        code = _from_pictures(stream, first, packets)
    return Slate(code, _first(tags, _REEL_KEYS)[:200], _recorded_at(tags))


def _folded(tags: Mapping[str, str]) -> dict[str, str]:
    return {key.lower(): value.strip() for key, value in tags.items()}


def _first(tags: Iterable[Mapping[str, str]], keys: Iterable[str]) -> str:
    """The first of some tags that is filled in."""
    tags = list(tags)
    return next((t[key] for key in keys for t in tags if t.get(key)), "")


def _recorded_at(tags: Iterable[Mapping[str, str]]) -> float:
    """Seconds since 1970 of the first date that is one, 0 if none is; no time zone means UTC."""
    tags = list(tags)
    for said in (t[key] for key in _DATE_KEYS for t in tags if t.get(key)):
        try:
            # Python 3.10 reads neither Z nor +0200.
            iso = re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", said.replace("Z", "+00:00"))
            moment = datetime.fromisoformat(iso)
        except ValueError:
            continue
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        if moment.timestamp() > _NOT_BEFORE:
            return moment.timestamp()
    return 0.0


def _from_pictures(stream: Any, first: Any, packets: Iterable[Any]) -> str:
    name = stream.codec_context.name
    if name in ("mpeg1video", "mpeg2video"):
        return group_code([(bytes(p), p.pts) for p in packets], first.pts)
    data = first.side_data.get("S12M_TIMECODE")
    return "" if data is None else message_code(bytes(data), Fraction(stream.guessed_rate or 25))


def group_code(packets: Iterable[tuple[bytes, int | None]], first_pts: int | None) -> str:
    """The time code of the frame that is shown first, out of MPEG's groups of pictures.

    `packets` are coded pictures with their timestamps. A group's code (ISO/IEC 13818-2, 6.3.8) is
    that of the picture it shows first, and a picture's temporal reference its place in the group.
    They are read here because FFmpeg gives a code to whichever picture it puts out next.
    """
    drop, code = False, None
    for data, pts in packets:
        at = data.find(_GROUP)
        if at >= 0 and len(data) >= at + 8:
            bits = int.from_bytes(data[at + 4 : at + 8], "big")
            drop = bool(bits >> 31)
            code = [bits >> 26 & 31, bits >> 20 & 63, bits >> 13 & 63, bits >> 7 & 63]
        at = data.find(_PICTURE)
        if code and pts == first_pts and at >= 0 and len(data) >= at + 6:
            place = int.from_bytes(data[at + 4 : at + 6], "big") >> 6
            return _written(code[0], code[1], code[2], code[3] + place, drop)
    return ""


def message_code(data: bytes, rate: Fraction) -> str:
    """The time code of ST 12-1 words as FFmpeg gives them (`AV_FRAME_DATA_S12M_TIMECODE`).

    Four native uint32: how many there are, then each as binary-coded decimals. Above 30 frames a
    second a code counts pairs, with a flag for the second frame of one.
    """
    if len(data) < 8 or not int.from_bytes(data[:4], "little"):
        return ""
    word = int.from_bytes(data[4:8], "little")
    hours, minutes, seconds, frames = (
        10 * (part >> 4) + (part & 15)
        for part in (word & 0x3F, word >> 8 & 0x7F, word >> 16 & 0x7F, word >> 24 & 0x3F)
    )
    if rate > 30:
        frames = 2 * frames + (word >> (7 if rate == 50 else 23) & 1)
    return _written(hours, minutes, seconds, frames, bool(word >> 30 & 1))


def _written(hours: int, minutes: int, seconds: int, frames: int, drop: bool) -> str:
    if hours > 23 or minutes > 59 or seconds > 59 or frames > 99:
        return ""
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{';' if drop else ':'}{frames:02d}"
