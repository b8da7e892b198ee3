"""One video file to an `AnalyzedVideo`: the only place where decoding and models meet.

Pure: nothing is stored, and nothing here knows of other files, of Ray or of LanceDB. The file is
decoded once, in the calling thread; a second thread turns the parts of shots that are done into
vectors meanwhile. Between them wait `AHEAD` parts at most, so that memory stays bounded.
"""

from __future__ import annotations

import logging
import platform
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache

from idclip.devices import ANYWHERE, AUTO, CPU, Devices, face_device_beside
from idclip.digests import encoder_digest, face_digest
from idclip.encoders import ImageEncoder, load_encoder, takes_people
from idclip.errors import ModelUnavailable
from idclip.faces import FaceFinder, FaceModel, load_faces, load_finder
from idclip.identity import IdentityScorer
from vidsearch.allocator import give_back_large_blocks
from vidsearch.describe import Models, ShotBuilder
from vidsearch.inputs import printable
from vidsearch.media import Frame, Probe, decode
from vidsearch.pace import Pace
from vidsearch.records import AnalyzedVideo, Video
from vidsearch.segments import Part, segment
from vidsearch.shots import make_detector
from vidsearch.tasks import Progress, Recipe, Task

log = logging.getLogger(__name__)

Report = Callable[[Progress], None]

AHEAD = 1
REPORT_EVERY = 50  # frames


class Stopped(Exception):
    """Raised by a report to end an analysis that nobody waits for any more."""


@lru_cache(maxsize=2)
def load_models(encoder: str, faces: str, threads: int = 0, devices: Devices = ANYWHERE) -> Models:
    """The models of a recipe, loaded once in a process.

    Raises `ModelUnavailable` where one cannot be had, a device is not here, or the encoder's
    texts hold people by the vectors of another face model.
    """
    loaded = load_encoder(encoder, threads=threads, device=devices.encoder)
    face_model = load_faces_beside(faces, loaded.device, threads, devices.faces)
    if takes_people(loaded) and loaded.face_model != face_model.name:
        raise ModelUnavailable(
            f"the encoder {encoder} knows people by the face model {loaded.face_model}, and"
            f" {face_model.name} was chosen: use --faces {loaded.face_model}, or another encoder"
        )
    return Models(
        loaded,
        face_model,
        IdentityScorer.for_model(face_model.name),
    )


def load_faces_beside(name: str, encoder: str, threads: int, device: str = AUTO) -> FaceModel:
    """The face model beside an encoder that runs on the device `encoder`.

    See `idclip.devices.face_device_beside`; with "auto" it runs on the processor also where the GPU
    turns out to be of no use to it. Raises `ModelUnavailable` as `load_faces` does.
    """
    chosen = face_device_beside(name, device, encoder)
    if device == AUTO and chosen != CPU:
        try:
            return load_faces(name, threads=threads, device=chosen)
        except ModelUnavailable as error:  # such as versions of CUDA that do not fit
            log.info("faces stay on the processor: %s", error)
            chosen = CPU
    return load_faces(name, threads=threads, device=chosen)


def check_weights(recipe: Recipe) -> None:
    """Raise `ModelUnavailable` where this machine has other weights than the recipe names.

    A machine of a cluster may have another version. Loads no model.
    """
    digests = (
        (recipe.encoder, recipe.encoder_weights, encoder_digest),
        (recipe.faces, recipe.face_weights, face_digest),
    )
    for name, wanted, digest in digests:
        if wanted and (here := digest(name)) != wanted:
            raise ModelUnavailable(
                f"{platform.node()} has the weights {here} of {name!r}, and the archive was made"
                f" with {wanted}: install the same version there as where you run vidsearch"
            )


@lru_cache(maxsize=2)
def _models(recipe: Recipe) -> Models:
    """The models of a recipe, with the weights that it names; raises as `check_weights` does."""
    check_weights(recipe)
    return load_models(recipe.encoder, recipe.faces, recipe.threads, recipe.devices)


@lru_cache(maxsize=2)
def _faces(recipe: Recipe) -> FaceModel:
    """The face model of a recipe whose encoder runs elsewhere, with the weights that it names."""
    check_weights(replace(recipe, encoder_weights=""))
    return load_faces_beside(recipe.faces, CPU, recipe.threads, recipe.devices.faces)


@lru_cache(maxsize=2)
def finder(recipe: Recipe) -> FaceFinder:
    """What finds the faces of a recipe whose network runs elsewhere, on this processor."""
    return load_finder(recipe.faces, threads=recipe.threads)


@lru_cache(maxsize=2)
def _scorer(faces: str) -> IdentityScorer:
    return IdentityScorer.for_model(faces)


def prepare(
    recipe: Recipe, encoder: ImageEncoder | None = None, faces: FaceModel | None = None
) -> Models:
    """The models of a recipe, loaded if this process has not yet; raises what keeps them out.

    `encoder` and `faces` are those of the recipe where they run elsewhere: then none is loaded
    here. Faces run elsewhere only where the encoder does.
    """
    if encoder is None:
        return _models(recipe)
    known = faces or _faces(recipe)
    return Models(encoder, known, _scorer(known.name))


def analyze(
    task: Task,
    recipe: Recipe,
    report: Report = lambda progress: None,
    models: Models | None = None,
) -> AnalyzedVideo:
    """Analyse one file.

    `models` are those of the recipe, loaded elsewhere: a cluster may share an encoder between many
    processes. `report` hears of the progress every `REPORT_EVERY` frames; what it raises ends the
    analysis.
    Raises UnreadableVideo where nothing of the file can be used; a file of which only a part can
    be read gives that part, with status "partial" and the reason in `error`.
    """
    give_back_large_blocks()
    models = models or prepare(recipe)
    detector = make_detector(recipe.detector, **dict(recipe.detector_options))
    with decode(task.path, threads=recipe.threads) as frames:
        shots = ShotBuilder(task.path, models)

        def seen(frame: Frame) -> None:
            if frame.index % REPORT_EVERY == 0:
                report(
                    Progress(
                        task.video_id,
                        printable(task.path),
                        frame.index,
                        frame.time_s,
                        frames.probe.duration_s,
                        len(shots.done),
                        task.size,
                    )
                )

        with in_background(shots.add) as hand_on:
            for part in segment(frames, detector, seen):
                hand_on(part)
        row = video_row(
            task,
            recipe,
            frames.probe,
            frames.pace,
            problem=frames.problem,
            end_s=frames.end_s,
            n_frames=frames.n_frames,
            n_shots=len(shots.done),
        )
        return AnalyzedVideo(row, tuple(shots.done))


def video_row(
    task: Task,
    recipe: Recipe,
    probe: Probe,
    pace: Pace,
    *,
    problem: str,
    end_s: float,
    n_frames: int,
    n_shots: int,
) -> Video:
    """The `videos` row of a pass that has come to its end."""
    rate = pace.rate
    return task.video(
        status="partial" if problem else "indexed",
        error=problem,
        media_offset_s=probe.media_offset_s,
        codec=probe.codec,
        width=probe.width,
        height=probe.height,
        duration_s=end_s,
        frame_rate=probe.frame_rate,
        n_frames=n_frames,
        n_shots=n_shots,
        detector=recipe.split_with,
        rate=f"{rate.numerator}/{rate.denominator}",
        variable_rate=pace.is_variable,
        timecode=probe.slate.timecode,
        reel=probe.slate.reel,
        recorded_at=probe.slate.recorded_at,
    )


@contextmanager
def in_background(work: Callable[[Part], None]) -> Iterator[Callable[[Part], None]]:
    """Give a function that has `work` done by a thread, in order, `AHEAD` parts behind at most.

    An error of the thread is raised in the caller, at the next part or at the end.
    """
    parts: queue.Queue[Part | None] = queue.Queue(AHEAD)
    errors: list[BaseException] = []

    def run() -> None:
        while (part := parts.get()) is not None:
            if not errors:  # after an error only empty the queue, so that the caller never waits
                try:
                    work(part)
                except BaseException as error:  # handed to the caller below
                    errors.append(error)

    def hand_on(part: Part) -> None:
        if errors:
            raise errors[0]
        parts.put(part)

    thread = threading.Thread(target=run, name="models", daemon=True)
    thread.start()
    try:
        yield hand_on
    except BaseException as error:
        errors.append(error)  # whatever is still queued is not worth doing
        raise
    finally:
        parts.put(None)
        thread.join()
    if errors:
        raise errors[0]
