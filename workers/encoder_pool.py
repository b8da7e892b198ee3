"""The encoders that a job's workers share: as many as the GPUs have room for, or as was asked.

The driver starts and ends them (`started`); a worker meets them as `workers.shared` says. One that
dies is started again by Ray. Where they run on GPUs they know faces as well.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from idclip.devices import AUTO, CPU, ENCODER, Devices, uses_torch
from vidsearch.errors import VidsearchError
from vidsearch.tasks import Recipe
from workers.batching import Served
from workers.encoder_actor import About, EncoderActor
from workers.options import GPU_BATCH, JobOptions
from workers.same_code import Code
from workers.shared import Actors, Shared

log = logging.getLogger(__name__)

START_S = 600.0
"""How long the encoders may take to begin: a node may have to be started, and weights fetched."""
LAST_S = 2.0
"""How long the last look may take."""
STALE_S = 30.0
"""For how long an encoder that tells nothing of itself is still taken for one that answers."""


@dataclass(eq=False)
class _Member:
    """One encoder of a pool, and what is known of it."""

    handle: Any
    about: About | None = None
    served: Served = field(default_factory=Served)
    asked: Any = None  # a call on its way: for `about` first, then for what it served
    answered_s: float = field(default_factory=time.monotonic)
    died: bool = False  # since it said where it is
    refused: bool = False  # it said that it cannot begin where it is

    def is_lost(self, alive: Container[str]) -> bool:
        """Whether it must be somewhere else than it said, where these nodes are there."""
        return self.died or (self.about is not None and self.about.node not in alive)

    def answers(self, alive: Container[str]) -> bool:
        """Whether workers need not wait for it in vain."""
        is_well = not self.refused and not self.is_lost(alive)
        return is_well and time.monotonic() - self.answered_s <= STALE_S


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
    knows_faces: bool = False  # which all of those did that began with the job

    def start(self, n: int) -> None:
        """Start encoders and wait for them. Raises `VidsearchError` where they cannot begin."""
        try:
            found = self._begun(n)
        except BaseException:  # such as Ctrl-C in these minutes
            self._kill()  # without a last look: they have served nobody
            raise
        for member, about in zip(self.members, found, strict=True):
            member.about, member.asked, member.answered_s = about, None, time.monotonic()
        self.knows_faces = all(about.faces is not None for about in found)

    def _begun(self, n: int) -> list[About]:
        for _ in range(n):
            self._add()
        try:
            found: list[About] = self.ray.get(
                [member.asked for member in self.members], timeout=START_S
            )
        except self.ray.exceptions.GetTimeoutError:
            raise VidsearchError(
                f"{n} shared encoders with {self.share:g} GPUs each have not begun after"
                f" {START_S / 60:.0f} minutes: is somebody else using the cluster's GPUs? Take"
                " fewer with --encoders, or --num-gpus 0 to encode on the processors"
            ) from None
        except self.ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, VidsearchError) else error) from None
        except self.ray.exceptions.RayError as error:  # its process died, or has no place
            raise VidsearchError(
                f"a shared encoder cannot begin: {' '.join(str(error).split())[-300:]}\n"
                "The logs of its node say more (ray logs). Take fewer with --encoders, or"
                " --encoders 0 for none: each worker encodes by itself then"
            ) from error
        return found

    @property
    def shared(self) -> Shared:
        """What workers are told: the encoders that answer, or all of them where none does."""
        known = [(member, member.about) for member in self.members if member.about]
        faces = [(member, about) for member, about in known if about.faces]
        return Shared(
            known[0][1],
            self._told_of(known),
            self._told_of(faces) if self.knows_faces else (),
        )

    def _told_of(self, known: Sequence[tuple[_Member, About]]) -> Actors:
        alive = _alive(self.ray)
        able = [each for each in known if each[0].answers(alive)] or known
        return tuple((about.node, member.handle) for member, about in able)

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
        self._kill()

    def _kill(self) -> None:
        for member in self.members:
            self.ray.kill(member.handle)
        self.members = []

    def _ask(self) -> None:
        """Have each that owes no answer tell what it served; where it is if it was lost."""
        alive = _alive(self.ray)
        for member in self.members:
            if member.asked is None:
                ask = member.handle.about if member.is_lost(alive) else member.handle.served
                member.asked = ask.options(max_task_retries=0).remote()

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
        except self.ray.exceptions.RayTaskError as error:  # on a node that came later
            said = error.cause if isinstance(error.cause, VidsearchError) else error
            log.warning("a further shared encoder cannot begin, and is not used: %s", said)
            member.died, member.refused = False, True
            return Served()
        except self.ray.exceptions.RayError:  # it is being started again, on any node
            member.died, member.refused = True, False
            return Served()
        member.answered_s = time.monotonic()
        if isinstance(answer, About):
            # It goes on with what it was: workers were told that it knows faces, or does not.
            member.about = replace(member.about or answer, node=answer.node, pid=answer.pid)
            member.died = False
            return Served()
        new: Served = answer.since(member.served)
        member.died = answer.seconds < member.served.seconds  # it began anew, between two looks
        member.served = answer
        return new


def started(
    ray: Any, recipe: Recipe, options: JobOptions, n: int, share: float
) -> EncoderPool | None:
    """The `n` encoders that a job's workers share, as `wanted` says; None where each encodes by
    itself after all, because nobody asked for these and the GPUs are of no use to them.

    Raises `VidsearchError` where they cannot begin.
    """
    devices = Devices(options.device if share else CPU, options.faces_device)
    pool = EncoderPool(ray, recipe.on(devices), share, options.gpu_batch or GPU_BATCH)
    pool.grows = options.encoders is None
    pool.start(n)
    if pool.shared.about.device == CPU and options.encoders is None and options.num_gpus is None:
        pool.end()  # it would be slower than the workers together
        _check_faces(options, 0.0)
        _check_batch(options, 0)
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
    if options.encoders == 0 and options.num_gpus:
        raise VidsearchError(
            f"--encoders 0 shares none, and --num-gpus {options.num_gpus:g} is what each has: leave"
            " one of them out"
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
    _check_faces(options, 0.0 if options.encoders == 0 else share)
    n = options.encoders
    if n is None:
        n = room(ray, share) if share else 0
        if share and not n:
            raise VidsearchError(
                f"no node has the {share:g} GPUs that --num-gpus asks for each encoder: take fewer"
            )
    _check_batch(options, n)
    return n, share


def _check_batch(options: JobOptions, n: int) -> None:
    """Raise `VidsearchError` where a batch was asked for, and none of `n` encoders takes it."""
    if options.gpu_batch is not None and not n:
        raise VidsearchError(
            f"--gpu-batch {options.gpu_batch}: here every worker encodes by itself, a few pictures"
            " at a time: leave it out, or share encoders with --encoders N, on processors too"
        )


def _check_faces(options: JobOptions, share: float) -> None:
    """Raise `VidsearchError` where faces cannot be where they were asked for.

    `share` are the GPUs of each shared encoder, 0 also where none is shared.
    """
    asked = options.faces_device
    if asked not in (AUTO, CPU, ENCODER, "cuda"):
        raise VidsearchError(
            f"--faces-device {asked}: on a cluster it is auto, cpu, encoder or cuda; Ray chooses"
            " the GPU"
        )
    if asked == "cuda" and not share:
        raise VidsearchError(
            "--faces-device cuda: on a cluster faces are known on the GPUs of the encoders that its"
            " workers share, and this job has none there: give --device cuda too, or leave"
            " --faces-device out"
        )


def _alive(ray: Any) -> set[str]:
    """The nodes that are there."""
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def room(ray: Any, share: float) -> int:
    """How many encoders the cluster's GPUs have room for. A part of a GPU is of one GPU."""
    gpus = [node["Resources"].get("GPU", 0.0) for node in ray.nodes() if node["Alive"]]
    if share <= 1:
        return int(sum(int(n) * int(1 / share + 1e-9) for n in gpus))
    return int(sum(n // share for n in gpus))


def of_workers(recipe: Recipe, *, shares: bool, shares_faces: bool) -> Recipe:
    """The recipe of the workers: those that share networks need no weights of them."""
    return replace(
        recipe.on(Devices(CPU, CPU)),
        encoder_weights="" if shares else recipe.encoder_weights,
        face_weights="" if shares_faces else recipe.face_weights,
    )
