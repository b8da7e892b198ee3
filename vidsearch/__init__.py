"""Search video archives by who and what is happening."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidsearch.archive import Archive

__version__ = "0.1.0"
__all__ = ["Archive", "__version__"]


def __getattr__(name: str) -> Any:
    """Load `Archive` at first use, so that `import vidsearch` stays free of heavy imports."""
    if name == "Archive":
        from vidsearch.archive import Archive

        return Archive
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
