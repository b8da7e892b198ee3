"""What one stage of a build hands to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .assign import Assignment
from .coco import TRAIN, VAL, CocoSplit
from .galleries import SPLITS, Enrolled, Roster, Split
from .looks import Look
from .select import Selected

FOLDER: Mapping[Split, str] = {"train": TRAIN, "validation": VAL, "test": VAL}
"""The COCO folder whose photos the identities of a split go onto."""


@dataclass(frozen=True)
class Options:
    """All options that the result depends on; `least_face` in pixels."""

    identities_per_image: int = 5
    seed: int = 0
    swapper: str = "classic"
    face_model: str = "default"
    least_face: float = 24.0
    least_photos: int = 2
    looks: Path | None = None
    splits: tuple[Split, ...] = SPLITS
    limit: int | None = None
    uncovered: bool = False

    def folders(self) -> list[str]:
        """The COCO folders that the splits need."""
        return sorted({FOLDER[split] for split in self.splits})


@dataclass(frozen=True, eq=False)
class Given:
    """What a build starts from: photos by COCO folder, people, labels of looks, options."""

    folders: Mapping[str, CocoSplit]
    faces: Path
    people: Roster
    looks: Mapping[str, Look]
    options: Options


@dataclass(frozen=True, eq=False)
class Swapped:
    """All swaps of one split: per photo, in its order, what `swapping.swap_photo` says."""

    split: Split
    photos: tuple[Selected, ...]
    people: Enrolled
    assignments: tuple[Assignment, ...]
    results: tuple[Mapping[str, Any], ...]
