"""What goes wrong in a worker, by the name of the file it works on; loaded by workers alone.

Ray calls `install` in each worker process. A file whose name holds `segfault`, `abort`, `hang`,
`memory` or `no-more` (memory is given) does that to whoever decodes it, with `in-piece-3` to
whoever decodes its fourth piece; one with `slow` takes its time, so that there is a moment to kill
something. In the folder `VIDSEARCH_KILLS` a file `hold` has those wait that decode a file whose
name holds its text. A file STAGE there kills the next worker that comes to that stage, once:
"decode", "encode", "faces" or "write", or "piece2" within the third piece of a video; files that
are named in `spared` there are left alone. Whoever begins a file waits for an encoder for as many
seconds as `patience` says. Who decoded what is noted in that folder too.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from workers import shared

KILLS = "VIDSEARCH_KILLS"
PRETEND = "VIDSEARCH_PRETEND"  # to run code with this digest
NO_MODELS = "VIDSEARCH_NO_MODELS"  # to die whenever models are loaded
FAR = "VIDSEARCH_FAR"  # to be of a version that does not understand an order
READ_TIMEOUT = "VIDSEARCH_READ_TIMEOUT"  # seconds that a store may be silent
BEFORE = 5  # frames that are decoded well
_patience_s = shared.PATIENCE_S
_in_piece: list[int] = []  # the number of the piece in work
_in_work: list[str] = []  # the name of the file


def install() -> None:
    """Patch what decodes, encodes and hands over in this process."""
    from idclip import concept, faces_default
    from vidsearch import analysts, remote
    from vidsearch.decoding import Decoder
    from workers import actors, same_code

    if os.environ.get(PRETEND):
        same_code.own_digest = partial(str, os.environ[PRETEND])  # type: ignore[assignment]
    if os.environ.get(NO_MODELS):
        actors._models = _dies  # type: ignore[assignment]
    if os.environ.get(FAR):
        actors.analysed = lambda task: iter(())  # type: ignore[assignment]
    if os.environ.get(READ_TIMEOUT):
        remote._S3["config_kwargs"]["read_timeout"] = float(os.environ[READ_TIMEOUT])
    frames = Decoder.__iter__

    def faulty(decoder: Any) -> Iterator[Any]:
        name = Path(os.fsdecode(decoder._source.path)).name
        _note(name)
        times: list[float] = []
        try:
            for index, frame in enumerate(frames(decoder)):
                times = [*times[:1], frame.time_s]
                yield frame
                if index == BEFORE:
                    _kill("decode")
                    for number in _in_piece:
                        _kill(f"piece{number}")
                    if "in-piece-" not in name or any(f"in-piece-{n}" in name for n in _in_piece):
                        _fault(name)
                    _wait(name)
                if "slow" in name:
                    time.sleep(0.05)
        finally:
            _note_span(name, times)

    Decoder.__iter__ = faulty  # type: ignore[method-assign]
    concept.ConceptEncoder.encode_prepared = _killed(  # type: ignore[method-assign]
        concept.ConceptEncoder.encode_prepared, "encode", before=True
    )
    faces_default.DefaultFaces.embed_crops = _killed(  # type: ignore[method-assign]
        faces_default.DefaultFaces.embed_crops, "faces", before=True
    )
    analysts.run_task = _killed(analysts.run_task, "write", before=False)
    analysts.run_piece = _noted(_killed(analysts.run_piece, "write", before=False))


def _dies(*arguments: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def _fault(name: str) -> None:
    if "segfault" in name:
        ctypes.string_at(0)
    elif "abort" in name:
        os.abort()
    elif "hang" in name:
        re.fullmatch("(a|aa)+b", "a" * 200)  # for ever, in C: no other thread gets a turn
    elif "no-more" in name:
        raise MemoryError
    elif "memory" in name:
        held = []
        while True:
            held.append(bytearray(50_000_000))
            time.sleep(0.02)


def _wait(name: str) -> None:
    """Wait for as long as this file is held."""
    folder = os.environ.get(KILLS)
    with suppress(FileNotFoundError):
        while folder and (Path(folder) / "hold").read_text() in name:
            time.sleep(0.05)


def _killed(function: Any, stage: str, *, before: bool) -> Any:
    def wrapper(*arguments: Any, **options: Any) -> Any:
        if before:
            _kill(stage)
        result = function(*arguments, **options)
        if not before:
            _kill(stage)
        return result

    return wrapper


def _noted(function: Any) -> Any:
    def wrapper(task: Any, recipe: Any, piece: Any, *arguments: Any) -> Any:
        _in_piece[:] = [piece.number]
        try:
            return function(task, recipe, piece, *arguments)
        finally:
            _in_piece.clear()

    return wrapper


def _kill(stage: str) -> None:
    """Kill this process if that was asked for, once."""
    folder = os.environ.get(KILLS)
    if folder:
        spared = Path(folder) / "spared"
        if spared.exists() and set(_in_work) & set(spared.read_text().splitlines()):
            return
        try:
            (Path(folder) / stage).unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def _note_span(name: str, times: list[float]) -> None:
    """Note the times of the first and the last frame that was decoded of a file, or of a piece."""
    folder = os.environ.get(KILLS)
    if folder and times:
        with (Path(folder) / "spans").open("a") as file:
            piece = _in_piece[0] if _in_piece else -1
            file.write(f"{piece} {times[0]} {times[-1]} {name}\n")


def _note(name: str) -> None:
    _in_work[:] = [name]
    folder = os.environ.get(KILLS)
    if folder:
        patience = Path(folder) / "patience"
        shared.PATIENCE_S = float(patience.read_text()) if patience.exists() else _patience_s
        import ray

        node = ray.get_runtime_context().get_node_id()
        with (Path(folder) / "log").open("a") as file:
            file.write(f"{node} {name}\n")
