"""Contact sheets: the hits of one or more questions as one picture, and faces with numbers.

Everything is drawn with Pillow and its own font; a script that font lacks is drawn with a font of
the system where there is one.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vidsearch.records import Answer, Box, Hit, Person, Still
from vidsearch.timecodes import timecode

Picture: TypeAlias = NDArray[np.uint8]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
Section: TypeAlias = tuple[str, Answer, Sequence[Still]]

_PAPER, _CARD, _RULE = (24, 25, 28), (36, 38, 42), (62, 65, 71)
_INK, _GREY, _ACCENT = (238, 238, 236), (160, 163, 169), (255, 196, 61)
_MARGIN, _GAP, _PAD = 28, 16, 12
_TILE_WIDTH, _STILL_HEIGHT, _CAPTION_HEIGHT = 400, 225, 84
_OTHER_FONTS = (
    "DejaVuSans.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSans-Regular.ttf",
    "Arial Unicode.ttf",
    "arial.ttf",
    "msyh.ttc",
)


def moment_of(hit: Hit) -> float:
    """Seconds of the frame that shows a hit: the first face's, else the keyframe's."""
    return hit.people[0].time_s if hit.people else hit.keyframe_s


def grey_plate() -> Picture:
    """What stands for a picture that was forgotten, RGB uint8 [180, 320, 3]."""
    plate = Image.new("RGB", (320, 180), _CARD)
    text = "no picture is kept"
    ImageDraw.Draw(plate).text((160, 90), text, fill=_GREY, font=_font(17), anchor="mm")
    return np.asarray(plate)


def contact_sheet(sections: Sequence[Section], *, columns: int = 3) -> Image.Image:
    """Questions one under the other, each with its hits as tiles of `columns` a row.

    A section is the question as it was asked, its answer, and for every hit the still of
    `moment_of(hit)`. A hit shows its rank, the faces that are its evidence with name and
    probability, video, time codes and scores; an answer without hits shows its message instead.
    """
    columns = max(1, min(columns, max((len(answer.hits) for _, answer, _ in sections), default=1)))
    columns = max(columns, 2)  # a sheet of one tile would cut its own title
    width = 2 * _MARGIN + columns * _TILE_WIDTH + (columns - 1) * _GAP
    strips = [_section(section, width, columns) for section in sections]
    height = _MARGIN + sum(strip.height + _MARGIN for strip in strips)
    sheet = Image.new("RGB", (width, height), _PAPER)
    top = _MARGIN
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height + _MARGIN
    return sheet


def numbered_faces(picture: Picture, boxes: Sequence[Box]) -> Image.Image:
    """An RGB picture with its faces framed and numbered from 1, in the order of `boxes`.

    Boxes are relative (x0, y0, x1, y1). Small pictures are enlarged until numbers can be read.
    """
    image = Image.fromarray(picture)
    scale = max(1.0, 640 / max(image.size))
    if scale > 1:
        size = (round(image.width * scale), round(image.height * scale))
        image = image.resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(image)
    points = max(18, round(max(image.size) / 40))
    for number, box in enumerate(boxes, 1):
        _frame(draw, _absolute(box, (0, 0), image.size), str(number), points, image.size)
    return image


def photo_sheet(person: Person) -> Image.Image:
    """The reference photos of a person side by side, the chosen faces framed with their quality."""
    columns = max(2, min(4, len(person.photos)))
    side, line = 280, 30
    rows = -(-len(person.photos) // columns)
    width = 2 * _MARGIN + columns * side + (columns - 1) * _GAP
    height = _MARGIN + 44 + rows * (side + line + _GAP) + _MARGIN - _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((_MARGIN, _MARGIN + 4, _MARGIN + 4, _MARGIN + 30), fill=_ACCENT)
    _text(draw, (_MARGIN + 16, _MARGIN + 3), person.name, 23, _INK, width - 2 * _MARGIN - 16)
    for place, photo in enumerate(person.photos):
        row, column = divmod(place, columns)
        at = (_MARGIN + column * (side + _GAP), _MARGIN + 44 + row * (side + line + _GAP))
        card = Image.new("RGB", (side, side + line), _CARD)
        paper = ImageDraw.Draw(card)
        still = Image.open(io.BytesIO(photo.jpeg)).convert("RGB")
        still.thumbnail((side, side), Image.Resampling.LANCZOS)
        corner = ((side - still.width) // 2, (side - still.height) // 2)
        card.paste(still, corner)
        face = _absolute(photo.box, corner, still.size)
        _frame(paper, face, f"quality {photo.quality:.2f}", 15, (side, side))
        _text(paper, (_PAD, side + 5), photo.name, 15, _GREY, side - 2 * _PAD)
        sheet.paste(card, at)
    return sheet


def captioned(picture: Picture, lines: Sequence[str]) -> Picture:
    """An RGB picture with lines of text on a dark band along its lower edge."""
    image = Image.fromarray(picture)
    points = max(11, round(min(image.size) / 22))
    step, pad = round(points * 1.45), round(points * 0.6)
    height = min(image.height, len(lines) * step + 2 * pad)
    top = image.height - height
    band = image.crop((0, top, image.width, image.height)).point(lambda value: value // 4)
    image.paste(band, (0, top))
    draw = ImageDraw.Draw(image)
    for n, line in enumerate(lines):
        colour = _GREY if n else _INK
        _text(draw, (pad, top + pad + n * step), line, points, colour, image.width - 2 * pad)
    return np.asarray(image)


def face_sheet(
    title: str, faces: Sequence[tuple[str, str, bytes]], *, columns: int = 10
) -> Image.Image:
    """Faces in a grid: each with a number (or ""), a line under it, and its JPEG (b"": gone)."""
    side, line, gap = 120, 24, 8
    columns = max(5, min(columns, len(faces)))
    rows = -(-len(faces) // columns)
    width = 2 * _MARGIN + columns * side + (columns - 1) * gap
    sheet = Image.new("RGB", (width, 2 * _MARGIN + 44 + rows * (side + line + gap) - gap), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((_MARGIN, _MARGIN + 4, _MARGIN + 4, _MARGIN + 30), fill=_ACCENT)
    _text(draw, (_MARGIN + 16, _MARGIN + 3), title, 23, _INK, width - 2 * _MARGIN - 16)
    for place, (number, below, jpeg) in enumerate(faces):
        row, column = divmod(place, columns)
        left, top = _MARGIN + column * (side + gap), _MARGIN + 44 + row * (side + line + gap)
        sheet.paste(_face_card(number, below, jpeg, side, line), (left, top))
    return sheet


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two sheets side by side."""
    both = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), _PAPER)
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    draw = ImageDraw.Draw(both)
    draw.line((left.width, _MARGIN, left.width, both.height - _MARGIN), fill=_RULE, width=2)
    return both


def _face_card(number: str, below: str, jpeg: bytes, side: int, line: int) -> Image.Image:
    card = Image.new("RGB", (side, side + line), _CARD)
    draw = ImageDraw.Draw(card)
    if jpeg:
        still = Image.open(io.BytesIO(jpeg)).convert("RGB")
        scale = side / max(still.size)
        size = (max(1, round(still.width * scale)), max(1, round(still.height * scale)))
        still = still.resize(size, Image.Resampling.LANCZOS)
        card.paste(still, ((side - still.width) // 2, (side - still.height) // 2))
    if number:
        wide = round(draw.textlength(number, font=_font(15))) + 10
        draw.rectangle((0, 0, wide, 21), fill=_ACCENT)
        draw.text((5, 11), number, fill=(20, 20, 20), font=_font(15), anchor="lm")
    _text(draw, (6, side + 4), below, 12, _GREY, side - 12)
    return card


def _section(section: Section, width: int, columns: int) -> Image.Image:
    question, answer, stills = section
    rows = -(-len(answer.hits) // columns)
    tile_height = _STILL_HEIGHT + _CAPTION_HEIGHT
    body = rows * tile_height + (rows - 1) * _GAP if rows else 72
    strip = Image.new("RGB", (width, 44 + body), _PAPER)
    draw = ImageDraw.Draw(strip)
    draw.rectangle((_MARGIN, 4, _MARGIN + 4, 30), fill=_ACCENT)
    _text(draw, (_MARGIN + 16, 3), question, 23, _INK, width - 2 * _MARGIN - 16)
    if not answer.hits:
        _nothing(draw, (_MARGIN, 44, width - _MARGIN, 44 + body), answer.message.partition("\n")[0])
    for place, (hit, shown) in enumerate(zip(answer.hits, stills, strict=True)):
        row, column = divmod(place, columns)
        left = _MARGIN + column * (_TILE_WIDTH + _GAP)
        strip.paste(_tile(hit, shown), (left, 44 + row * (tile_height + _GAP)))
    return strip


def _nothing(draw: ImageDraw.ImageDraw, area: tuple[int, int, int, int], message: str) -> None:
    left, top, right, bottom = area
    draw.rounded_rectangle((left, top, right - 1, bottom - 1), 6, outline=_RULE, width=2)
    middle = (top + bottom) // 2
    draw.ellipse((left + 22, middle - 11, left + 44, middle + 11), outline=_GREY, width=2)
    draw.line((left + 26, middle + 7, left + 40, middle - 7), fill=_GREY, width=2)
    _text(draw, (left + 60, middle - 13), message, 20, _GREY, right - left - 80)


def _tile(hit: Hit, shown: Still) -> Image.Image:
    tile = Image.new("RGB", (_TILE_WIDTH, _STILL_HEIGHT + _CAPTION_HEIGHT), _CARD)
    draw = ImageDraw.Draw(tile)
    draw.rectangle((0, 0, _TILE_WIDTH, _STILL_HEIGHT - 1), fill=(12, 12, 13))
    still = Image.fromarray(shown.picture)
    scale = min(_TILE_WIDTH / still.width, _STILL_HEIGHT / still.height)
    size = (max(1, round(still.width * scale)), max(1, round(still.height * scale)))
    at = ((_TILE_WIDTH - size[0]) // 2, (_STILL_HEIGHT - size[1]) // 2)
    tile.paste(still.resize(size, Image.Resampling.LANCZOS), at)
    frames = [
        (_absolute(seen.box, at, size), f"{seen.name} {seen.probability:.2f}")
        for seen in shown.framed(hit.people, moment_of(hit))
    ]
    for area, label in frames:
        _frame(draw, area, label, 15, (_TILE_WIDTH, _STILL_HEIGHT))
    _rank(draw, hit.rank)
    _caption(draw, hit)
    return tile


def _rank(draw: ImageDraw.ImageDraw, rank: int) -> None:
    font = _font(15)
    width = round(draw.textlength(str(rank), font=font)) + 16
    draw.rectangle((0, _STILL_HEIGHT - 25, width, _STILL_HEIGHT - 1), fill=_CARD)
    draw.text((8, _STILL_HEIGHT - 13), str(rank), fill=_INK, font=font, anchor="lm")


def _caption(draw: ImageDraw.ImageDraw, hit: Hit) -> None:
    room = _TILE_WIDTH - 2 * _PAD
    name = os.path.basename(hit.video)
    times = f"{timecode(hit.start_s)} to {timecode(hit.end_s)}"
    why = [f"{seen.name} {seen.probability:.2f}" for seen in hit.people]
    if hit.context_score is not None:
        why.append(f"context {hit.context_score:.2f}")
    left = draw.textlength(f"{hit.score:.2f}", font=_font(26))
    _text(draw, (_TILE_WIDTH - _PAD - left, _STILL_HEIGHT + 10), f"{hit.score:.2f}", 26, _ACCENT)
    _text(draw, (_PAD, _STILL_HEIGHT + 9), name, 16, _INK, room - left - 12)
    _text(draw, (_PAD, _STILL_HEIGHT + 32), times, 15, _GREY, room - left - 12)
    _text(draw, (_PAD, _STILL_HEIGHT + 55), "  ·  ".join(why), 15, _GREY, room)


def _frame(
    draw: ImageDraw.ImageDraw,
    area: tuple[float, float, float, float],
    label: str,
    points: int,
    size: tuple[int, int],
) -> None:
    """A face's frame with a label on its upper edge, moved so that it stays in the picture."""
    x0, y0, x1, y1 = area
    draw.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=(0, 0, 0), width=1)
    draw.rectangle((x0, y0, x1, y1), outline=_ACCENT, width=max(2, points // 8))
    font = _font_for(label, points)
    width, height = draw.textlength(label, font=font) + 10, points + 7
    left = min(max(0.0, x0), max(0.0, size[0] - width))
    top = y0 - height if y0 >= height else min(y1, size[1] - height)
    draw.rectangle((left, top, left + width, top + height), fill=_ACCENT)
    draw.text((left + 5, top + height / 2), label, fill=(20, 20, 20), font=font, anchor="lm")


def _absolute(
    box: Box, at: tuple[int, int], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (min(1.0, max(0.0, edge)) for edge in box)
    x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
    return (
        at[0] + x0 * (size[0] - 1),
        at[1] + y0 * (size[1] - 1),
        at[0] + x1 * (size[0] - 1),
        at[1] + y1 * (size[1] - 1),
    )


def _text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    points: int,
    colour: tuple[int, int, int],
    room: float = float("inf"),
) -> None:
    """One line of text; what does not fit in `room` pixels is cut with an ellipsis."""
    text = " ".join(text.split())
    font = _font_for(text, points)
    if draw.textlength(text, font=font) > room:
        while text and draw.textlength(text + "…", font=font) > room:
            text = text[:-1]
        text = text.rstrip() + "…"
    draw.text(at, text, fill=colour, font=font)


@lru_cache(maxsize=64)
def _font(points: int) -> Font:
    return ImageFont.load_default(points)


@lru_cache(maxsize=256)
def _font_for(text: str, points: int) -> Font:
    if all(ord(char) < 0x180 or char in "…·–—’“”" for char in text):
        return _font(points)
    for name in _OTHER_FONTS:
        try:
            return ImageFont.truetype(name, points)
        except OSError:
            continue
    return _font(points)
