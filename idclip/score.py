"""Metrics of any model from one file of vectors, without the model."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .metrics import KS, InvalidVectors, entity_scores, ranks, recall

RETRIEVAL = ("image", "text", "text_image")
ENTITIES = ("image_entity", "entity_text", "entity")

# What damaged and foreign archives make numpy and zipfile raise; RuntimeError: a password.
_UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)


def score_file(file: Path) -> dict[str, dict[str, float]]:
    """`score` of the arrays in an .npz file; pickled objects are refused.

    Raises `InvalidVectors` naming the file for one that is no .npz, lacks arrays, or holds some
    that do not fit together.
    """
    try:
        return score(_arrays(file))
    except InvalidVectors as error:
        raise InvalidVectors(f"{file}: {error}") from None


def score(arrays: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, float]]:
    """All metrics, as fractions: {"t2i": {"R@1", ...}, "i2t": {...}, "entity": {...}}.

    `arrays`: image [I, D], text [T, D], text_image [T] (row of the image a text belongs to), and
    for "entity" image_entity [I], entity_text [E, D] and entity [E]; without these three there is
    no "entity". See `idclip.metrics` for what is counted, and how ties are. Raises
    `InvalidVectors`.
    """
    given = [name for name in ENTITIES if name in arrays]
    absent = [name for name in RETRIEVAL + (ENTITIES if given else ()) if name not in arrays]
    if absent:
        raise InvalidVectors(
            f"the arrays {', '.join(absent)} are missing (found: {', '.join(arrays) or 'none'}); "
            f"needed are {', '.join(RETRIEVAL)}, and for persons {', '.join(ENTITIES)}"
        )
    found = ranks(arrays["image"], arrays["text"], arrays["text_image"])
    result = {
        "t2i": {f"R@{k}": float(recall(found.text, k).mean()) for k in KS},
        "i2t": {f"R@{k}": float(recall(found.image, k).mean()) for k in KS},
    }
    if given:
        scores = entity_scores(arrays["image"], *(arrays[name] for name in ENTITIES))
        result["entity"] = {
            **{f"kmin-R@{k}": float(scores.kmin_recall[k].mean()) for k in KS},
            "AP": float(scores.ap.mean()),
            "paper_mAP@10": float(scores.paper_map10.mean()),
        }
    return result


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    try:
        loaded = np.load(file, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise InvalidVectors("this is one array; save several with numpy.savez")
        with loaded:
            return {name: loaded[name] for name in loaded.files if name in RETRIEVAL + ENTITIES}
    except _UNREADABLE as error:
        raise InvalidVectors(
            f"not readable as .npz without pickled objects ({error}); write it with numpy.savez, "
            "labels as integers or as strings of a fixed length (dtype U)"
        ) from None
