"""The finished folder: the released layout, and the manifest that says where all of it is from."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..digests import face_digest
from ..faces import Face
from . import report
from .check import REASONS
from .coco import CocoSplit
from .galleries import Person
from .looks import Look
from .pictures import write_whole
from .records import model_of, vector_record
from .select import Selection
from .stages import Given, Options, Swapped
from .swap import load_swapper
from .workplace import Workplace

SIZES = (0, 32, 48, 64, 100)
"""Lower ends, in pixels, of the face sizes that results are told by."""
QUALITIES = (0.0, 0.1, 0.2, 0.4)
"""Lower ends of the face qualities that results are told by; profiles have less than 0.1."""


def publish(
    place: Workplace, given: Given, chosen: Mapping[str, Selection], swapped: Sequence[Swapped]
) -> None:
    """Write everything beside the pictures, the manifest last."""
    options, folders = given.options, given.folders
    images = _images(swapped)
    _sweep(place.out, images)
    for split in options.splits:
        path = place.out / f"embeddings_{split}.json"
        write_whole(path, _embeddings(swapped, split, options.seed))
    _captions(place.out, folders, images)
    write_whole(place.out / "identity_meta.csv", _meta(swapped))
    found = {
        "format": 1,
        "face_model": options.face_model,
        "face_digest": face_digest(options.face_model),
        "face_dim": model_of(options.face_model).dim,
        "swapper": load_swapper(options.swapper).name,
        "seed": options.seed,
        "identities_per_image": options.identities_per_image,
        "least_face_px": options.least_face,
        "matched_by": _matched(swapped, given.looks),
        "counted_by": {name: _counted_by(s, options.uncovered) for name, s in folders.items()},
        "counts": _counts(given, chosen, swapped),
        "licences": _licences(given, images),
        "people": _people(swapped),
        "images": images,
        "rejected": _rejected(swapped),
        "broken": {name: list(selection.broken) for name, selection in chosen.items()},
        "bad_photos": {p: why for s in swapped for p, why in s.people.bad.items()},
        "stamp": json.loads((place.work / "options.json").read_text("utf-8")),
    }
    text = json.dumps(found, sort_keys=True, ensure_ascii=False).encode()
    found["fingerprint"] = hashlib.sha256(text).hexdigest()
    write_whole(place.out / "report.md", report.markdown(found).encode())
    write_whole(place.out / "report.jpg", report.grid(found, place.out, folders, given.faces))
    place.finish(found)


def _counted_by(split: CocoSplit, uncovered: bool) -> str:
    if split.persons is None:
        return "the face detector and the captions alone"
    rest = ", photos they do not cover by the face detector and the captions alone"
    return f"COCO's annotations and the face detector{rest if uncovered else ''}"


def _images(swapped: Sequence[Swapped]) -> dict[str, dict[str, Any]]:
    """What is known of each swapped picture, by its file name."""
    found = {}
    for part in swapped:
        for photo, result in zip(part.photos, part.results, strict=True):
            for record in result["kept"]:
                found[record["file"]] = {
                    "coco_id": photo.image.coco_id,
                    "coco_file": photo.image.file,
                    "folder": photo.image.path.parent.name,
                    "split": part.split,
                    **{k: v for k, v in record.items() if k != "file"},
                    "original_box": list(photo.face.box),
                }
    return dict(sorted(found.items()))


def _sweep(out: Path, images: Mapping[str, Mapping[str, Any]]) -> None:
    """Remove pictures that no record names: a killed worker wrote them."""
    kept = {out / record["folder"] / name for name, record in images.items()}
    for folder in {path.parent for path in kept}:
        for path in folder.iterdir():
            if path not in kept:
                path.unlink()


def _embeddings(swapped: Sequence[Swapped], split: str, seed: int) -> bytes:
    """`COCO-ID_IDENTITY` to [[F floats]] of one query photo, chosen by lot for each picture."""
    lines = {}
    for part in swapped:
        people = {person.identity: person for person in part.people.people}
        for photo, result in zip(part.photos, part.results, strict=True):
            for record in result["kept"] if part.split == split else ():
                name = f"{photo.image.coco_id}_{record['identity']}"
                queries = people[record["identity"]].queries
                query = queries[zlib.crc32(f"{seed} {name}".encode()) % len(queries)]
                lines[name] = [vector_record(query.vector)]
    rows = (
        f"{json.dumps(n, ensure_ascii=False)}: {json.dumps(v)}" for n, v in sorted(lines.items())
    )
    return ("{" + ",\n".join(rows) + "}\n").encode()


def _captions(
    out: Path, folders: Mapping[str, CocoSplit], images: Mapping[str, Mapping[str, Any]]
) -> None:
    (out / "annotations").mkdir(exist_ok=True)
    for name, split in folders.items():
        kept = {record["coco_id"] for record in images.values() if record["folder"] == name}
        text = json.dumps(split.captions_of(kept), ensure_ascii=False).encode()
        write_whole(out / "annotations" / f"captions_{name}.json", text)


def _used(swapped: Sequence[Swapped]) -> list[tuple[str, Person]]:
    """Split and person of everybody in the galleries, by identity."""
    everybody = [(part.split, person) for part in swapped for person in part.people.people]
    return sorted(everybody, key=lambda item: item[1].identity)


def _meta(swapped: Sequence[Swapped]) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["Class_ID", "Name"])
    rows.writerows([p.identity, "_".join(p.name.split())] for _, p in _used(swapped))
    return text.getvalue().encode()


def _people(swapped: Sequence[Swapped]) -> dict[str, Any]:
    return {
        person.identity: {
            "name": person.name,
            "split": split,
            "source_photos": [source.photo for source in person.sources],
            "query_photos": [
                {"photo": q.photo, "quality": q.quality, "vector": vector_record(q.vector)}
                for q in person.queries
            ],
        }
        for split, person in _used(swapped)
    }


def _rejected(swapped: Sequence[Swapped]) -> list[dict[str, Any]]:
    return [
        {
            "coco_id": photo.image.coco_id,
            "coco_file": photo.image.file,
            "split": part.split,
            "face_px": round(_side(photo.face.box), 1),
            **record,
        }
        for part in swapped
        for photo, result in zip(part.photos, part.results, strict=True)
        for record in result["rejected"]
    ]


def _side(box: Sequence[float]) -> float:
    return min(box[2] - box[0], box[3] - box[1])


def _matched(swapped: Sequence[Swapped], looks: Mapping[str, Look]) -> str:
    if not looks:
        return "nothing: no labels of gender and skin tone were given, identities are dealt by lot"
    made = [assignment for part in swapped for assignment in part.assignments]
    n = sum(assignment.matched for assignment in made)
    return (
        f"perceived gender and skin tone, as far as labels say them, in {n} of {len(made)} photos; "
        "the others by lot"
    )


def _counts(
    given: Given, chosen: Mapping[str, Selection], swapped: Sequence[Swapped]
) -> dict[str, Any]:
    people = given.people
    return {
        "photos": {
            name: {"usable": len(s.photos), "reasons": dict(sorted(s.reasons.items()))}
            for name, s in chosen.items()
        },
        "faces": {
            "people": len(people.photos),
            "people_with_too_few_photos": len(people.too_few),
            "people_without_photos": len(people.empty),
        },
        "splits": {part.split: _counts_of(part, given.options) for part in swapped},
    }


def _counts_of(part: Swapped, options: Options) -> dict[str, Any]:
    kept = [len(result["kept"]) for result in part.results]
    uses = Counter(r["identity"] for result in part.results for r in result["kept"])
    why = Counter(r["reason"] for result in part.results for r in result["rejected"])
    return {
        "photos": len(part.photos),
        "photos_kept": sum(n > 0 for n in kept),
        "photos_with_all_identities": sum(n == options.identities_per_image for n in kept),
        "people": len(part.people.people),
        "people_used": len(uses),
        "people_dropped": len(part.people.dropped),
        "uses_of_a_person": [min(uses.values(), default=0), max(uses.values(), default=0)],
        "kept": sum(kept),
        "rejected": {reason: why[reason] for reason in REASONS},
        "by_face_px": _by(part, SIZES, lambda face: _side(face.box)),
        "by_quality": _by(part, QUALITIES, lambda face: face.quality),
    }


def _by(
    part: Swapped, ends: Sequence[float], value: Callable[[Face], float]
) -> dict[str, dict[str, int]]:
    """Photos, kept and rejected swaps by a value of the original face."""
    found: dict[str, dict[str, int]] = {}
    for low, high in zip(ends, (*ends[1:], np.inf), strict=True):
        rows = [
            result
            for photo, result in zip(part.photos, part.results, strict=True)
            if low <= value(photo.face) < high
        ]
        found[f"{low:g} and more" if high == np.inf else f"{low:g} to {high:g}"] = {
            "photos": len(rows),
            "photos_kept": sum(bool(result["kept"]) for result in rows),
            "kept": sum(len(result["kept"]) for result in rows),
            "rejected": sum(len(result["rejected"]) for result in rows),
        }
    return found


def _licences(given: Given, images: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "photos": {
            name: _of_photos(split, {r["coco_id"] for r in images.values() if r["folder"] == name})
            for name, split in given.folders.items()
        },
        "faces": f"photos of {given.faces.name}: their owners' rights; see where they come from",
        "swapper": load_swapper(given.options.swapper).licence,
        "face_model": model_of(given.options.face_model).licence,
    }


def _of_photos(split: CocoSplit, kept: set[int]) -> dict[str, int]:
    """How many of the kept photos stand under which licence, as COCO's file says."""
    known = {item.get("id"): item.get("name") for item in split.captions_data.get("licenses", [])}
    images = (image for image in split.captions_data["images"] if image["id"] in kept)
    names = (known.get(image.get("license")) or "not stated" for image in images)
    return dict(sorted(Counter(names).items()))
