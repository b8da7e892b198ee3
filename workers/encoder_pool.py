"""The encoders that a job's workers share: as many as the GPUs have room for, or as was asked.

The driver starts and ends them (`started`); a worker meets them as one `SharedEncoder`. One that
dies is started again by Ray, and what it was asked is asked again: no file is to blame.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idclip.devices import AUTO, CPU, uses_torch
from idclip.preparation import Prepare
from vidsearch.errors import VidsearchError
from vidsearch.tasks import Recipe
from workers.batching import Served
from workers.cluster import Code
from workers.encoder_actor import About, EncoderActor
from workers.options import JobOptions

START_S = 600.0
"""How long the encoders may take to begin: a node may have to be started, and weights fetched."""
PATIENCE_S = 60.0
"""How long a worker waits for one encoder before it asks another ..."""
GIVE_UP_S = 900.0
"""... and for any at all before the job ends."""
LAST_S = 2.0
"""How long the last look may take."""


@dataclass(frozen=True)
class Shared:
    """The shared encoders, as they travel to a worker: what they are, and their actors' handles."""

    about: About
    actors: tuple[tuple[str, Any], ...]  # node and handle


class SharedEncoder:
    """What encodes pictures for one analysis: the first step here, the second in an actor.

    There is one request at a time, so what a worker has on the way is a few pictures, a megabyte at
    most. `waits` is set while it waits for an answer.
    """

    def __init__(self, shared: Shared, origin: str) -> None:
        about = shared.about
        self.name, self.dim, self.licence = about.name, about.dim, about.licence
        self.prepare: Prepare = about.prepare
        self.waits = False
        self._shared = shared
        self._origin = origin

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """RGB uint8 pictures [H, W, 3] of any sizes, as unit vectors float32 [N, dim].

        Raises `VidsearchError` where the encoder fails, or none answers.
        """
        if not len(images):
            return np.empty((0, self.dim), np.float32)
        self.waits = True
        try:
            return self._answer(self.prepare(images))
        finally:
            self.waits = False

    def _answer(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        import ray

        until, said, patience_s = time.monotonic() + GIVE_UP_S, "", PATIENCE_S
        for actor in self._turns():
            try:
                asked = actor.encode.remote(prepared, self._origin)
                ready, _ = ray.wait([asked], timeout=patience_s)
                if ready:
                    return np.array(ray.get(asked))
                ray.cancel(asked)
                patience_s *= 2  # it may have much to do: asking anew puts us last again
            except ray.exceptions.RayTaskError as error:
                raise self._failed(error) from None
            except ray.exceptions.RayError as error:
                # This one is gone, or the object store full for a moment.
                said = f" ({type(error).__name__})"
                time.sleep(1.0)
            if time.monotonic() > until:
                break
        raise VidsearchError(
            f"no encoder of the cluster has answered for {GIVE_UP_S / 60:.0f} minutes{said}: are"
            " its GPUs still there? The same command goes on where it stopped"
        )

    def _turns(self) -> Iterator[Any]:
        """The actors again and again: those of this node first, else in any order."""
        import ray

        here = ray.get_runtime_context().get_node_id()
        actors = random.sample(self._shared.actors, len(self._shared.actors))
        actors.sort(key=lambda actor: actor[0] != here)
        while True:
            yield from (handle for _, handle in actors)

    def _failed(self, error: Any) -> VidsearchError:
        """What would fail for every file, so it ends the job."""
        cause = error.cause
        if isinstance(cause, VidsearchError):
            return cause
        said = " ".join(str(cause).split()) or type(cause).__name__
        return VidsearchError(f"the encoder {self.name} failed on the cluster: {said}")


@dataclass(eq=False)
class _Member:
    """One encoder of a pool, and what is known of it."""

    handle: Any
    about: About | None = None
    served: Served = field(default_factory=Served)
    asked: Any = None  # a call on its way: for `about` first, then for what it served


@dataclass(eq=False)
class EncoderPool:
    """The encoders of one job. `share` is the GPUs of each, 0 for encoders on the processor."""

    ray: Any
    recipe: Recipe
    share: float
    most: int
    members: list[_Member] = field(default_factory=list)
    total: Served = field(default_factory=Served)
    grows: bool = True  # to all GPUs: nobody said how many there are to be

    def start(self, n: int) -> None:
        """Start encoders and wait for them. Raises `VidsearchError` where they cannot begin."""
        for _ in range(n):
            self._add()
        asked = [member.asked for member in self.members]
        try:
            found = self.ray.get(asked, timeout=START_S)
        except self.ray.exceptions.GetTimeoutError:
            self.end()
            raise VidsearchError(
                f"{n} shared encoders with {self.share:g} GPUs each have not begun after"
                f" {START_S / 60:.0f} minutes: is somebody else using the cluster's GPUs? Take"
                " fewer with --encoders, or --num-gpus 0 to encode on the processors"
            ) from None
        except self.ray.exceptions.RayTaskError as error:
            self.end()
            raise (error.cause if isinstance(error.cause, VidsearchError) else error) from None
        for member, about in zip(self.members, found, strict=True):
            member.about, member.asked = about, None

    @property
    def shared(self) -> Shared:
        """What workers are told."""
        known = [(member.about, member.handle) for member in self.members if member.about]
        return Shared(known[0][0], tuple((about.node, handle) for about, handle in known))

    @property
    def on_gpus(self) -> bool:
        """Whether they hold GPUs."""
        return self.share > 0

    def look(self, wait_s: float = 0.0) -> Served:
        """What was served since the last look: as far as it was told, or is within `wait_s`."""
        new = Served()
        asked = [member.asked for member in self.members if member.asked is not None]
        if asked:
            self.ray.wait(asked, num_returns=len(asked), timeout=wait_s)
        for member in self.members:
            if member.asked is not None:
                ready, _ = self.ray.wait([member.asked], timeout=0)
                new += self._told(member) if ready else Served()
        self.total += new
        self._ask()
        return new

    def grow(self) -> None:
        """Use GPUs that have come since."""
        free = room(self.ray, self.share) if self.on_gpus and self.grows else 0
        for _ in range(free - len(self.members)):
            self._add()

    def end(self) -> None:
        """Leave none of them, after a last look at what they did."""
        self.look(LAST_S)  # what was asked before
        self.look(LAST_S)
        for member in self.members:
            self.ray.kill(member.handle)
        self.members = []

    def _ask(self) -> None:
        """Have each that owes no answer tell what it served."""
        for member in self.members:
            if member.asked is None:
                member.asked = member.handle.served.options(max_task_retries=0).remote()

    def _add(self) -> None:
        # No core is reserved: a worker would take it when the encoder dies, and wait in it for an
        # encoder that waits for the core.
        remote = self.ray.remote(
            num_gpus=self.share,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=-1,
        )(EncoderActor)
        handle = remote.remote(self.recipe, Code.here(), self.most)
        self.members.append(_Member(handle, asked=handle.about.remote()))

    def _told(self, member: _Member) -> Served:
        """The answer of one: what it served since, or, the first time, what it is."""
        asked, member.asked = member.asked, None
        try:
            answer = self.ray.get(asked)
        except self.ray.exceptions.RayError:  # it is being started again
            return Served()
        if isinstance(answer, About):
            member.about = answer
            return Served()
        new: Served = answer.since(member.served)
        member.served = answer
        return new


def started(
    ray: Any, recipe: Recipe, options: JobOptions, n: int, share: float
) -> EncoderPool | None:
    """The `n` encoders that a job's workers share, as `wanted` says; None where each encodes by
    itself after all, because nobody asked for these and the GPUs are of no use to them.

    Raises `VidsearchError` where they cannot begin.
    """
    device = options.device if share else CPU
    pool = EncoderPool(ray, recipe.on(device), share, options.gpu_batch)
    pool.grows = options.encoders is None
    pool.start(n)
    if pool.shared.about.device == CPU and options.encoders is None and options.num_gpus is None:
        pool.end()  # it would be slower than the workers together
        return None
    return pool


def wanted(ray: Any, recipe: Recipe, options: JobOptions) -> tuple[int, float]:
    """How many shared encoders there are to be, and the GPUs of each.

    Raises `VidsearchError` where the cluster has not what was asked for.
    """
    if options.device not in (AUTO, CPU, "cuda"):
        raise VidsearchError(
            f"--device {options.device}: on a cluster it is auto, cpu or cuda; Ray chooses the GPU"
        )
    gpus = ray.cluster_resources().get("GPU", 0.0)
    asked = options.device == "cuda" or bool(options.num_gpus)
    if asked and not gpus and not (options.encoders and options.num_gpus):
        raise VidsearchError(
            "the cluster has no GPU: leave out --device and --num-gpus, add a node that has one, or"
            " give --encoders and --num-gpus for a cluster that starts such nodes by itself"
        )
    if options.device == "cuda" and 0 in (options.encoders, options.num_gpus):
        raise VidsearchError("--device cuda needs shared encoders: leave out the 0")
    gains = options.device == "cuda" or (options.device == AUTO and uses_torch(recipe.encoder))
    default = 1.0 if gpus and gains else 0.0
    share = default if options.num_gpus is None else options.num_gpus
    if options.encoders is not None:
        return options.encoders, share
    n = room(ray, share) if share else 0
    if share and not n:
        raise VidsearchError(
            f"no node has the {share:g} GPUs that --num-gpus asks for each encoder: take fewer"
        )
    return n, share


def room(ray: Any, share: float) -> int:
    """How many encoders the cluster's GPUs have room for. A part of a GPU is of one GPU."""
    gpus = [node["Resources"].get("GPU", 0.0) for node in ray.nodes() if node["Alive"]]
    if share <= 1:
        return int(sum(int(n) * int(1 / share + 1e-9) for n in gpus))
    return int(sum(n // share for n in gpus))


def of_workers(recipe: Recipe, *, shares: bool) -> Recipe:
    """The recipe of the workers: those that share encoders need no weights of theirs."""
    return replace(recipe.on(CPU), encoder_weights="" if shares else recipe.encoder_weights)
