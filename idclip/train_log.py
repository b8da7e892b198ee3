"""What a training run writes down: log.jsonl, TensorBoard's events, and curves.png."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from .errors import VidsearchError
from .train_curves import draw_curves

LOG, EVENTS, CURVES = "log.jsonl", "tensorboard", "curves.png"
DRAWN_EVERY_S = 60.0
MISSING = 'is not installed; it comes with: pip install "vidsearch[train]"'


class Journal:
    """The log of the run in `out`, from `step` on: later lines of an earlier run are taken away.

    Where `on` is False nothing is written (other processes than the first). `say` is told once
    what is not installed. Raises `VidsearchError` where a file cannot be written.
    """

    def __init__(self, out: Path, step: int, say: Callable[[str], None], *, on: bool = True):
        self.out, self.on, self._say = out, on, say
        self._events: Any = None
        self._draws, self._drawn = on, time.monotonic()
        if on:
            kept = [line for line in _lines(out / LOG) if line["step"] <= step]
            self._write(kept, "w")
            self._events = _summary_writer(out / EVENTS, step, say)

    def write(self, event: str, step: int, **values: Any) -> None:
        """One line; numbers in it go to TensorBoard too."""
        if not self.on:
            return
        self._write([{"event": event, "step": step, **values}], "a")
        if self._events is None:
            return
        try:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._events.add_scalar(f"{event}/{name}", value, step)
        except OSError as error:
            raise _unwritable(self.out / EVENTS, error) from error

    def draw_now_and_then(self) -> None:
        """As `draw`, where the last picture is some time old."""
        if time.monotonic() - self._drawn > DRAWN_EVERY_S:
            self.draw()

    def draw(self) -> None:
        """The curves of all that was written so far."""
        if not self._draws:
            return
        self._drawn = time.monotonic()
        try:
            draw_curves(_lines(self.out / LOG), self.out / CURVES)
        except ImportError:
            self._draws = False
            self._say(f"no {CURVES}: matplotlib {MISSING}")
        except OSError as error:
            raise _unwritable(self.out / CURVES, error) from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._events is not None:
                self._events.close()
            if error is None or isinstance(error, VidsearchError):
                self.draw()
        except OSError as failed:
            if error is None:  # else what went wrong first is what matters
                raise _unwritable(self.out / EVENTS, failed) from failed
        except VidsearchError:
            if error is None:
                raise

    def _write(self, lines: list[dict[str, Any]], mode: str) -> None:
        file = self.out / LOG
        try:
            with file.open(mode, encoding="utf-8") as stream:
                stream.writelines(json.dumps(line) + "\n" for line in lines)
        except OSError as error:
            raise _unwritable(file, error) from error


def _lines(file: Path) -> list[dict[str, Any]]:
    """The whole lines of a log; the last one may be torn."""
    found = []
    for line in file.read_text("utf-8").splitlines() if file.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _summary_writer(folder: Path, step: int, say: Callable[[str], None]) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        say(f"no events for TensorBoard, {LOG} has all: tensorboard {MISSING}")
        return None
    try:
        return SummaryWriter(str(folder), purge_step=step + 1)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(file: Path, error: OSError) -> VidsearchError:
    return VidsearchError(
        f"{file}: cannot be written: {error.strerror}; make room, then go on with --resume"
    )
