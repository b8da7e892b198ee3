"""Whether a swapped picture shows the new person, as the face model sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..faces import Face, FaceModel, Floats, Image
from . import pictures

KEPT = ""
LOST = "no face found after the swap"
OLD = "nearer to the old face"
OTHER = "nearer to somebody else"
REASONS = (LOST, OLD, OTHER)
_SAME_PLACE = 0.4  # overlap of the boxes before and after


@dataclass(frozen=True, eq=False)
class Gallery:
    """Everybody a swapped face could be taken for: `means` float32 [N, F], one row a name."""

    names: tuple[str, ...]
    means: Floats


@dataclass(frozen=True)
class Verdict:
    """Why a swap is rejected, or `KEPT`; `scores` are cosines, `face` is the one found."""

    reason: str
    face: Face | None
    scores: Mapping[str, float | str]


def check(
    model: FaceModel,
    image: Image,
    *,
    old_face: Face,
    old_vector: Floats,
    identity: str,
    gallery: Gallery,
) -> Verdict:
    """Look at a swapped picture (RGB uint8 [H, W, 3]) as any user of the data will.

    The face at the old place must be nearer to the mean of the new person's query photos (`new`)
    than to the old face (`old`) and to every other mean of the gallery (`other`, with `nearest`
    saying whose). The source photo is not looked at: it would flatter.
    """
    found = model.detect(image, long_side=pictures.LOOKING_SIDE)
    face = max(found, key=lambda f: pictures.overlap(f, old_face), default=None)
    if face is None or pictures.overlap(face, old_face) < _SAME_PLACE:
        return Verdict(LOST, None, {})
    vector = model.embed(image, [face])[0]
    means = gallery.means @ vector
    mine = gallery.names.index(identity)
    others = means.copy()
    others[mine] = -np.inf
    nearest = int(others.argmax())
    new, old, other = float(means[mine]), float(vector @ old_vector), float(others[nearest])
    scores: dict[str, float | str] = {
        "new": round(new, 4),
        "old": round(old, 4),
        "other": round(other, 4),
        "nearest": gallery.names[nearest],
    }
    reason = OLD if new <= old else OTHER if new <= other else KEPT
    return Verdict(reason, face, scores)
