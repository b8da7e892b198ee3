"""The reliability diagram: what was said against what was so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from idclip.calibrate import Reliability
from idclip.errors import VidsearchError

_INCHES = 4.2


def draw(file: Path, panels: Sequence[tuple[str, Mapping[str, Reliability]]]) -> None:
    """Write a PNG with one panel a title, one line a reliability; the area of a dot is its share.

    Raises `VidsearchError` where matplotlib (the extra `train`) is missing, or `file` cannot be
    written.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise VidsearchError(
            f"{file}: a diagram needs matplotlib: pip install 'vidsearch[train]'"
        ) from error
    size = (_INCHES * len(panels), _INCHES + 1.2)
    figure, axes = pyplot.subplots(1, len(panels), figsize=size, squeeze=False)
    for axis, (title, lines) in zip(axes[0], panels, strict=True):
        axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for name, line in lines.items():
            label = f"{name}: error {line.error:.3f}"
            axis.plot(line.said, line.so, linewidth=1.2, label=label)
            axis.scatter(line.said, line.so, s=12 + 160 * line.share)
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", title=title)
        axis.set(xlabel="probability said", ylabel="share that was so")
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=7, frameon=False)
    figure.tight_layout()
    try:
        figure.savefig(file, dpi=110, bbox_inches="tight")
    except OSError as error:
        raise VidsearchError(f"{file}: cannot be written: {error.strerror}") from error
    finally:
        pyplot.close(figure)
