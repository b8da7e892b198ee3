"""The networks that a worker shares with others, met as if they were its own.

What is large or slow without a GPU runs in an actor (`workers.encoder_actor`), the steps before it
here. An actor that dies is started again by Ray, and what it was asked is asked again: no file is
to blame.
"""

from __future__ import annotations

import random
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idclip.alignment import Crops
from idclip.faces import Face, FaceFinder
from idclip.preparation import Prepare
from vidsearch.errors import VidsearchError
from workers.encoder_actor import About, AboutFaces

PATIENCE_S = 60.0
"""How long a worker waits for one actor before it asks another ..."""
GIVE_UP_S = 900.0
"""... and for any at all before the job ends."""
LATE_S = 300.0
"""For how long one that died, or did not answer in time, is asked after all others."""
MOST_FACES = 32
"""Faces of one request: 2 MB. A crowd is several."""

Actors = tuple[tuple[str, Any], ...]
"""Node and handle of each."""


@dataclass(frozen=True)
class Shared:
    """What is shared, as it travels to a worker: what it is, and the actors that have it.

    `face_actors` are those that know faces too; none where the worker does that by itself.
    """

    about: About
    actors: Actors
    face_actors: Actors = ()

    @property
    def faces(self) -> AboutFaces | None:
        """The face model that is shared, if one is."""
        return self.about.faces if self.face_actors else None


class Requests:
    """What one analysis asks of actors; `waits` is set while it waits for an answer.

    There is one request at a time, so what a worker has on the way is a megabyte or two at most.
    """

    def __init__(self, origin: str) -> None:
        self.waits = False
        self._origin = origin
        self._late: dict[Any, float] = {}  # until when an actor is asked last

    def ask(self, actors: Actors, what: str, method: str, sent: NDArray[np.uint8]) -> Any:
        """The answer of a method of one of the actors, which are `what` the cluster has.

        Raises `VidsearchError` where it fails, or none answers.
        """
        self.waits = True
        try:
            return self._answer(actors, what, method, sent)
        finally:
            self.waits = False

    def _answer(self, actors: Actors, what: str, method: str, sent: NDArray[np.uint8]) -> Any:
        import ray

        until, said, patience_s = time.monotonic() + GIVE_UP_S, "", PATIENCE_S
        for actor in _turns(actors, self._are_late()):
            try:
                asked = getattr(actor, method).remote(sent, self._origin)
                ready, _ = ray.wait([asked], timeout=patience_s)
                if ready:
                    answer = np.array(ray.get(asked))
                    self._late.pop(actor, None)
                    return answer
                ray.cancel(asked)
                patience_s *= 2  # it may have much to do: asking anew puts us last again
            except ray.exceptions.RayTaskError as error:
                raise _failed(what, error) from None
            except ray.exceptions.RayError as error:
                # This one is gone, or the object store full for a moment.
                said = f" ({type(error).__name__})"
                time.sleep(1.0)
            self._late[actor] = time.monotonic() + LATE_S
            if time.monotonic() > until:
                break
        raise VidsearchError(
            f"no encoder of the cluster has answered for {GIVE_UP_S / 60:.0f} minutes{said}: are"
            " its GPUs still there? The same command goes on where it stopped"
        )

    def _are_late(self) -> set[Any]:
        """Whom to ask last: else each request of an analysis would wait for a node that is gone."""
        now = time.monotonic()
        return {actor for actor, until_s in self._late.items() if now < until_s}


class SharedEncoder:
    """What encodes pictures for one analysis: the first step here, the second in an actor."""

    def __init__(self, shared: Shared, requests: Requests) -> None:
        about = shared.about
        self.name, self.dim, self.licence = about.name, about.dim, about.licence
        self.prepare: Prepare = about.prepare
        self._actors = shared.actors
        self._requests = requests

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """RGB uint8 pictures [H, W, 3] of any sizes, as unit vectors float32 [N, dim].

        Raises `VidsearchError` where the encoder fails, or none answers.
        """
        if not len(images):
            return np.empty((0, self.dim), np.float32)
        what, prepared = f"the encoder {self.name}", self.prepare(images)
        vectors: NDArray[np.float32] = self._requests.ask(self._actors, what, "encode", prepared)
        return vectors


class SharedFaces:
    """A face model for one analysis (`idclip.faces.FaceModel`): it finds faces and cuts them out
    here, and an actor makes vectors of them.
    """

    def __init__(
        self, about: AboutFaces, actors: Actors, finder: FaceFinder, requests: Requests
    ) -> None:
        self.name, self.dim, self.licence = about.name, about.dim, about.licence
        self.device = about.device
        self.crops: Crops = about.crops
        self._actors = actors
        self._finder = finder
        self._requests = requests

    def detect(self, image: NDArray[np.uint8], *, long_side: int) -> list[Face]:
        """See `FaceFinder.detect`."""
        return self._finder.detect(image, long_side=long_side)

    def embed(self, image: NDArray[np.uint8], faces: Sequence[Face]) -> NDArray[np.float32]:
        """See `FaceModel.embed`; raises as `embed_crops` does."""
        return self.embed_crops(self.crops(image, faces))

    def embed_crops(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `FaceModel.embed_crops`.

        Raises `VidsearchError` where the face model fails, or no actor answers.
        """
        what = f"the face model {self.name}"
        vectors = [np.empty((0, self.dim), np.float32)]
        for start in range(0, len(crops), MOST_FACES):
            some = crops[start : start + MOST_FACES]
            vectors.append(self._requests.ask(self._actors, what, "embed", some))
        return np.concatenate(vectors)


def _turns(actors: Actors, late: Container[Any]) -> Iterator[Any]:
    """The actors again and again: the late ones last, and before others those of this node."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    order = random.sample(actors, len(actors))
    order.sort(key=lambda actor: (actor[1] in late, actor[0] != here))
    while True:
        yield from (handle for _, handle in order)


def _failed(what: str, error: Any) -> VidsearchError:
    """What would fail for every file, so it ends the job."""
    cause = error.cause
    if isinstance(cause, VidsearchError):
        return cause
    said = " ".join(str(cause).split()) or type(cause).__name__
    return VidsearchError(f"{what} failed on the cluster: {said}")
