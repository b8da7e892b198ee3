"""Where files that do not ship are kept."""

from __future__ import annotations

import os
from pathlib import Path


def models_folder() -> Path:
    """Where exported models are kept: `$VIDSEARCH_MODELS`, else the user's cache."""
    chosen = os.environ.get("VIDSEARCH_MODELS")
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "vidsearch" / "models"
