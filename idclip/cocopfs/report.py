"""What a build came to: counts in words, and a grid of pictures to judge with one's own eyes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..faces import Image
from . import pictures
from .coco import CocoSplit
from .photos import open_photos

_ROWS = 12
_CELL = 128
_LABEL = 26

_SIZE = "The shorter side of the original face's box, in pixels."
_CLEAR = "Quality, 0 to 1: below 0.1 are profiles and faces that are hidden, blurred or dark."
_QUALITY = {
    "classic": """\
The classic swap puts the middle of another face, forehead to chin, in the light and colours of the
old one. Frontal faces of some 30 to 100 pixels pass for photographs at a glance. What gives it
away: hair, ears, neck and the head's shape stay the old person's, an adult's face on a child's head
stays one; the expression and the gaze are the source's; glasses and hair across the face are cut;
a photo cut above the chin lends a smooth one; in profile it fails, and the check rejects most.""",
    "inswapper": """\
inswapper draws a face of 128 pixels from an ArcFace-like vector: expression and pose stay the old
person's, large faces come out soft. It is driven by such a vector, so face models of that family
find its faces more easily than those of real photographs.""",
}


def markdown(found: Mapping[str, Any]) -> str:
    """The report of a manifest."""
    lines = ["# COCO-PFS: what was built", ""]
    lines += [f"- Swapper: {found['swapper']} ({found['licences']['swapper']})"]
    lines += [f"- Checked by: {found['face_model']} ({found['licences']['face_model']})"]
    lines += [f"- Persons counted in {n} by {how}" for n, how in found["counted_by"].items()]
    lines += [f"- Identities matched by {found['matched_by']}", f"- Seed: {found['seed']}", ""]
    lines += _photos(found["counts"])
    lines += _splits(found["counts"]["splits"], found["identities_per_image"])
    splits = found["counts"]["splits"]
    lines += _by(splits, "by_face_px", "By face size", _SIZE)
    lines += _by(splits, "by_quality", "By how well the original face can be recognised", _CLEAR)
    lines += _scores(found["images"])
    lines += _licences(found["licences"])
    kind = found["swapper"].partition(":")[0]
    lines += ["## How good the faces are", "", _QUALITY.get(kind, ""), ""]
    lines += [
        "A swap is kept when the face model finds the face again, and its vector is nearer to the "
        "mean of the new person's query photos than to the old face and to everybody else of the "
        "split. Whoever evaluates that same face model on this data meets faces it has already "
        "recognised: its figures flatter. `report.jpg` shows original, source and swaps.",
        "",
    ]
    return "\n".join(lines)


def _photos(counts: Mapping[str, Any]) -> list[str]:
    lines = ["## Photos", "", "| folder | photos | what they show |", "|---|---:|---|"]
    for name, part in counts["photos"].items():
        lines += [f"| {name} | {n} | {reason} |" for reason, n in part["reasons"].items()]
    people = counts["faces"]
    return [
        *lines,
        "",
        f"People with enough photos: {people['people']}; with too few: "
        f"{people['people_with_too_few_photos']}; without any: {people['people_without_photos']}.",
        "",
    ]


def _splits(splits: Mapping[str, Any], each: int) -> list[str]:
    lines = [
        "## Swaps",
        "",
        f"| split | photos | kept | with all {each} | swaps | people | uses of one | rejected: "
        "no face | nearer to the old | nearer to another |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, part in splits.items():
        why = " | ".join(str(n) for n in part["rejected"].values())
        low, high = part["uses_of_a_person"]
        lines.append(
            f"| {name} | {part['photos']} | {part['photos_kept']} | "
            f"{part['photos_with_all_identities']} | {part['kept']} | {part['people_used']} of "
            f"{part['people']} | {low} to {high} | {why} |"
        )
    return [
        *lines,
        "",
        "A rejected identity was tried with each of its source photos; another took its place.",
        "",
    ]


def _by(splits: Mapping[str, Any], name: str, title: str, what: str) -> list[str]:
    lines = [
        f"## {title}",
        "",
        f"{what} Photos none of whose first identities passes are given up.",
        "",
        "| from, to | photos | with a swap | swaps kept | identities rejected | kept |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for part in next(iter(splits.values()))[name] if splits else ():
        rows = [split[name][part] for split in splits.values()]
        photos, some, kept, lost = (
            sum(row[key] for row in rows) for key in ("photos", "photos_kept", "kept", "rejected")
        )
        share = f"{kept / (kept + lost):.0%}" if kept + lost else ""
        lines.append(f"| {part} | {photos} | {some} | {kept} | {lost} | {share} |")
    return [*lines, ""]


def _scores(images: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not images:
        return ["No swap was kept.", ""]
    columns = {
        name: np.array([record["scores"][name] for record in images.values()])
        for name in ("new", "old", "other")
    }
    said = ", ".join(f"{n} {v.mean():.2f}" for n, v in columns.items())
    return [f"Mean cosines of the kept swaps to the persons: {said}.", ""]


def _licences(licences: Mapping[str, Any]) -> list[str]:
    lines = ["## Licences", ""]
    for name, kinds in licences["photos"].items():
        said = ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "none kept"
        lines.append(f"- {name}: {said}")
    return [*lines, f"- {licences['faces']}", ""]


def grid(
    found: Mapping[str, Any], out: Path, folders: Mapping[str, CocoSplit], faces: Path
) -> bytes:
    """The bytes of a JPEG: a row a photo, the original first, then each swap with its source.

    Photos are spread over the sizes of their faces; below each swap stand its cosines to the new
    person, the old face and the nearest other.
    """
    photos: dict[tuple[str, str], list[str]] = {}
    for name, record in found["images"].items():
        photos.setdefault((record["folder"], record["coco_file"]), []).append(name)
    size = {key: found["images"][names[0]]["face_px"] for key, names in photos.items()}
    ordered = sorted(photos, key=lambda key: (size[key], key))
    step = max(1, len(ordered) // _ROWS)
    rows = [
        _row([(n, found["images"][n]) for n in photos[key]], out, folders[key[0]].folder, faces)
        for key in ordered[step // 2 :: step][:_ROWS]
    ]
    width = max((row.shape[1] for row in rows), default=_CELL)
    padded = [np.pad(r, ((0, 0), (0, width - r.shape[1]), (0, 0))) for r in rows]
    return pictures.jpeg(np.vstack(padded) if padded else np.zeros((_CELL, _CELL, 3), np.uint8))


def _row(
    swaps: Sequence[tuple[str, Mapping[str, Any]]], out: Path, coco: Path, faces: Path
) -> Image:
    first = swaps[0][1]
    original = pictures.decoded((coco / first["coco_file"]).read_bytes(), first["coco_file"])
    box = first["original_box"]
    label = f"{first['coco_id']}, {min(box[2] - box[0], box[3] - box[1]):.0f} px"
    cells = [_cell(_around(original, box), [label])]
    for name, record in swaps:
        picture = pictures.decoded((out / record["folder"] / name).read_bytes(), name)
        photo = open_photos(faces).read(record["source_photo"])
        cell = _around(picture, box)
        small = _scaled(pictures.decoded(photo, name), _CELL // 3)
        cell[-small.shape[0] :, -small.shape[1] :] = small
        scores = "{new:.2f} old {old:.2f} oth {other:.2f}".format(**record["scores"])
        cells.append(_cell(cell, [record["identity"].replace("_", " "), scores]))
    return np.hstack(cells)


def _around(picture: Image, box: Sequence[float]) -> Image:
    """The head and what is around it, uint8 [_CELL, _CELL, 3]."""
    import cv2

    half = int(0.95 * max(box[2] - box[0], box[3] - box[1])) + 1
    padded = cv2.copyMakeBorder(picture, half, half, half, half, cv2.BORDER_CONSTANT)
    x, y = round((box[0] + box[2]) / 2), round((box[1] + box[3]) / 2)
    return _scaled(np.asarray(padded[y : y + 2 * half, x : x + 2 * half], np.uint8), _CELL)


def _scaled(picture: Image, size: int) -> Image:
    import cv2

    how = cv2.INTER_AREA if max(picture.shape[:2]) > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (size, size), interpolation=how), np.uint8)


def _cell(picture: Image, lines: Sequence[str]) -> Image:
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    canvas = Pillow.new("RGB", (_CELL + 2, _CELL + _LABEL), "white")
    canvas.paste(Pillow.fromarray(picture), (0, 0))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=9)
    for number, line in enumerate(lines):
        draw.text((2, _CELL + 1 + 12 * number), line[:28], fill="black", font=font)
    return np.asarray(canvas, np.uint8)
