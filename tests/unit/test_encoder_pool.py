"""How many encoders a cluster's workers share, and with how much of a GPU each."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

import workers  # noqa: F401  its function `index_job` hides the module of that name
from idclip.devices import Devices
from vidsearch.errors import VidsearchError
from vidsearch.tasks import Recipe
from workers import encoder_pool as module
from workers.batching import Served
from workers.encoder_actor import About, AboutFaces
from workers.encoder_pool import EncoderPool, of_workers, wanted
from workers.options import JobOptions

CONCEPT = Recipe("concept", "default", "blend", encoder_weights="e", face_weights="f")
CLIP = Recipe("idclip:compact", "default", "blend")


class Cluster:
    """What a cluster says of its nodes."""

    def __init__(self, *gpus: float) -> None:
        self._gpus = gpus

    def cluster_resources(self) -> dict[str, float]:
        total = sum(self._gpus)
        return {"CPU": 8.0, **({"GPU": total} if total else {})}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 4.0, "GPU": gpus}} for gpus in self._gpus]


@pytest.mark.parametrize(
    ("gpus", "recipe", "options", "expected"),
    [
        ((), CLIP, {}, (0, 0.0)),  # no GPU is fine
        ((4.0, 2.0), CLIP, {}, (6, 1.0)),
        ((4.0, 2.0), CLIP, {"num_gpus": 0.5}, (12, 0.5)),
        ((1.0, 1.0), CLIP, {"num_gpus": 0.4}, (4, 0.4)),  # a part of a GPU is of one GPU
        ((3.0, 3.0), CLIP, {"num_gpus": 2.0}, (2, 2.0)),
        ((2.0,), CLIP, {"num_gpus": 0.0}, (0, 0.0)),
        ((2.0,), CLIP, {"encoders": 0}, (0, 1.0)),
        ((2.0,), CLIP, {"device": "cpu"}, (0, 0.0)),
        ((2.0,), CONCEPT, {}, (0, 0.0)),  # made for processors
        ((2.0,), CONCEPT, {"device": "cuda"}, (2, 1.0)),
        ((), CONCEPT, {"encoders": 3}, (3, 0.0)),
        ((), CONCEPT, {"encoders": 3, "gpu_batch": 8}, (3, 0.0)),
        ((4.0,), CLIP, {"gpu_batch": 8}, (4, 1.0)),
        ((), CLIP, {"encoders": 3, "num_gpus": 1.0}, (3, 1.0)),  # nodes with GPUs are to come
    ],
)
def test_as_many_encoders_as_the_gpus_have_room_for_or_as_was_asked(
    gpus: tuple[float, ...], recipe: Recipe, options: dict[str, Any], expected: tuple[int, float]
) -> None:
    assert wanted(Cluster(*gpus), recipe, JobOptions("auto", **options)) == expected


@pytest.mark.parametrize(
    ("gpus", "options", "said"),
    [
        ((), {"device": "cuda"}, "the cluster has no GPU"),
        ((), {"num_gpus": 0.5}, "the cluster has no GPU"),
        ((1.0, 1.0), {"num_gpus": 2.0}, "no node has the 2 GPUs"),
        ((1.0,), {"device": "cuda", "num_gpus": 0.0}, "needs shared encoders"),
        ((1.0,), {"device": "cuda", "encoders": 0}, "needs shared encoders"),
        ((1.0,), {"encoders": 0, "num_gpus": 0.5}, "--encoders 0 shares none"),
        ((), {"gpu_batch": 8}, "--gpu-batch 8: here every worker encodes by itself"),
        ((2.0,), {"num_gpus": 0.0, "gpu_batch": 8}, "share encoders with --encoders N"),
        ((2.0,), {"device": "cpu", "gpu_batch": 8}, "here every worker encodes by itself"),
        ((1.0,), {"device": "cuda:1"}, "Ray chooses the GPU"),
        ((1.0,), {"device": "gpu"}, "auto, cpu or cuda"),
    ],
)
def test_what_the_cluster_has_not_is_told(
    gpus: tuple[float, ...], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(VidsearchError, match=said):
        wanted(Cluster(*gpus), CLIP, JobOptions("auto", **options))


@pytest.mark.parametrize(
    ("gpus", "options", "said"),
    [
        ((2.0,), {"faces_device": "cuda", "num_gpus": 0.0}, "this job has none there"),
        ((2.0,), {"faces_device": "cuda", "encoders": 0}, "this job has none there"),
        ((), {"faces_device": "cuda", "encoders": 2}, "this job has none there"),
        ((2.0,), {"faces_device": "cuda:0"}, "Ray chooses the GPU"),
        ((), {"faces_device": "mps"}, "auto, cpu, encoder or cuda"),
    ],
)
def test_faces_are_on_gpus_with_shared_encoders_or_not_at_all(
    gpus: tuple[float, ...], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(VidsearchError, match=said):
        wanted(Cluster(*gpus), CLIP, JobOptions("auto", **options))


def test_an_encoder_made_for_processors_is_not_moved_to_a_gpu_for_the_sake_of_faces() -> None:
    with pytest.raises(VidsearchError, match="give --device cuda too"):
        wanted(Cluster(2.0), CONCEPT, JobOptions("auto", faces_device="cuda"))
    both = JobOptions("auto", device="cuda", faces_device="cuda")
    assert wanted(Cluster(2.0), CONCEPT, both) == (2, 1.0)


def test_workers_that_share_networks_need_not_have_their_weights() -> None:
    found = [
        of_workers(CONCEPT, shares=shares, shares_faces=faces)
        for shares, faces in ((False, False), (True, False), (True, True))
    ]
    weights = [(each.encoder_weights, each.face_weights) for each in found]
    assert weights == [("e", "f"), ("", "f"), ("", "")]
    # GPUs are for those who asked Ray for them.
    assert {each.devices for each in found} == {Devices("cpu", "cpu")}


# --- encoders that do not begin ------------------------------------------------------------------


class RayError(Exception):
    """What Ray says of an actor that died, or has no place."""


class GetTimeoutError(RayError):
    """What it says of one that does not answer in time."""


class TaskError(RayError):
    """What it says of one that raised."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class Actors:
    """A Ray whose actors all begin in this way; which of them live."""

    exceptions = SimpleNamespace(
        RayError=RayError, RayTaskError=TaskError, GetTimeoutError=GetTimeoutError
    )

    def __init__(self, fate: BaseException) -> None:
        self.fate = fate
        self.alive: list[Any] = []

    def remote(self, **options: Any) -> Any:
        return lambda actor: SimpleNamespace(remote=self._new)

    def _new(self, *arguments: Any) -> Any:
        about = SimpleNamespace(remote=lambda: "about")
        self.alive.append(SimpleNamespace(about=about))
        return self.alive[-1]

    def get(self, calls: Any, timeout: float) -> Any:
        raise self.fate

    def kill(self, actor: Any) -> None:
        self.alive.remove(actor)


@pytest.mark.parametrize(
    ("fate", "raised", "said"),
    [
        (RayError("The actor died:\n no CUDA"), VidsearchError, r"begin: The actor died: no CUDA"),
        (RayError("no node has it"), VidsearchError, "--encoders 0 for none"),
        (GetTimeoutError(), VidsearchError, "have not begun after 10 minutes"),
        (TaskError(VidsearchError("other code")), VidsearchError, "^other code$"),
        (TaskError(ImportError("torch")), TaskError, "torch"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_encoders_that_do_not_begin_leave_none_behind_and_say_what_to_do(
    fate: BaseException, raised: type[BaseException], said: str | None
) -> None:
    ray = Actors(fate)
    with pytest.raises(raised, match=said):
        EncoderPool(ray, CLIP, 1.0, 8).start(2)
    assert ray.alive == []


def test_encoders_that_have_begun_end_where_the_job_then_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = []
    pool = SimpleNamespace(knows_faces=False, end=lambda: ended.append(True))

    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    job = sys.modules["workers.index_job"]
    monkeypatch.setattr(job, "check_nodes", lambda *arguments: None)
    monkeypatch.setattr(job, "started", lambda *arguments: pool)
    monkeypatch.setattr(job, "_Run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        job._begun(Cluster(1.0), (), CLIP, JobOptions("auto"))
    assert ended == [True]


# --- encoders that are lost ----------------------------------------------------------------------

LOOK_S = 5.0
FACES = AboutFaces("f", 128, "", None, "cuda")  # type: ignore[arg-type]


@dataclass(eq=False)
class Encoder:
    """An actor: where it is, how long its process has run, and what becomes of being asked."""

    node: str
    seconds: float = 0.0
    silent: bool = False
    faces: AboutFaces | None = FACES
    fates: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def about(self) -> Method:
        return Method(self, "about")

    @property
    def served(self) -> Method:
        return Method(self, "served")

    def answer(self, name: str) -> Any:
        if name in self.fates:
            raise self.fates[name]
        if name == "served":
            return Served(seconds=self.seconds)
        return About("e", 8, "", None, "cuda", self.node, 1, self.faces)  # type: ignore[arg-type]


@dataclass(eq=False)
class Method:
    """One of an actor; once it is asked, also the call."""

    encoder: Encoder
    name: str

    def options(self, **options: Any) -> Method:
        return self

    def remote(self) -> Method:
        self.encoder.asked.append(self.name)
        return self


class Nodes:
    """A Ray of three nodes, and its time."""

    exceptions = Actors.exceptions

    def __init__(self, *encoders: Encoder) -> None:
        self.now_s = 100.0
        self.gone: set[str] = set()
        self._new = iter(encoders)

    def monotonic(self) -> float:
        return self.now_s

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": node, "Alive": node not in self.gone} for node in "abc"]

    def remote(self, **options: Any) -> Any:
        return lambda actor: SimpleNamespace(remote=lambda *arguments: next(self._new))

    def wait(self, calls: list[Method], num_returns: int = 1, timeout: float = 0) -> Any:
        ready = [call for call in calls if not call.encoder.silent]
        return ready, [call for call in calls if call not in ready]

    def get(self, calls: Any, timeout: float = 0) -> Any:
        many = isinstance(calls, list)
        return [self.get(each) for each in calls] if many else calls.encoder.answer(calls.name)

    def looks(self, pool: EncoderPool, seconds: float = 2 * LOOK_S) -> list[str]:
        """Let time pass; the nodes of the encoders that workers are told then."""
        for _ in range(int(seconds / LOOK_S)):
            self.now_s += LOOK_S
            pool.look()
        return [node for node, _ in pool.shared.actors]


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> tuple[Nodes, EncoderPool, Encoder, Encoder]:
    """Encoders on the nodes a and b, which took their time to begin."""
    first, second = Encoder("a"), Encoder("b")
    ray = Nodes(first, second)
    monkeypatch.setattr(module, "time", ray)
    pool = EncoderPool(ray, CLIP, 1.0, 8)
    pool.start(2)
    return ray, pool, first, second


Two = tuple[Nodes, EncoderPool, Encoder, Encoder]


def test_workers_are_not_told_of_an_encoder_whose_node_is_gone(two: Two) -> None:
    ray, pool, first, second = two
    assert ray.looks(pool, 300.0) == ["a", "b"]
    ray.gone.add("b")
    second.silent = True
    assert [node for node, _ in pool.shared.actors] == ["a"]
    assert pool.shared.face_actors == (("a", first),)
    ray.gone.add("a")  # then any may come back
    assert ray.looks(pool) == ["a", "b"]


def test_nor_of_one_that_does_not_answer_before_it_does_again(two: Two) -> None:
    ray, pool, _, second = two
    ray.looks(pool)
    second.silent = True
    assert ray.looks(pool, module.STALE_S) == ["a", "b"]  # it may have much to do
    assert ray.looks(pool) == ["a"]
    second.silent = False
    assert ray.looks(pool) == ["a", "b"]


def test_one_that_was_started_again_elsewhere_is_told_where_it_is_once_it_can_work(
    two: Two,
) -> None:
    ray, pool, _, second = two
    ray.looks(pool)
    second.fates = {"served": RayError("died"), "about": RayError("it is being started")}
    assert ray.looks(pool, 60.0) == ["a"]
    second.fates, second.node, second.faces = {}, "c", None
    assert ray.looks(pool) == ["a", "c"]
    # Workers that got their order before ask it for faces, too.
    assert [node for node, _ in pool.shared.face_actors] == ["a", "c"]
    assert second.asked[-1] == "served"


@pytest.mark.parametrize("node_is_gone", [True, False])
def test_so_is_one_whose_death_nobody_has_seen(two: Two, node_is_gone: bool) -> None:
    ray, pool, _, second = two
    second.seconds = 100.0
    ray.looks(pool)
    second.node = "c"
    if node_is_gone:
        ray.gone.add("b")
    else:
        second.seconds = 1.0  # less than before
    assert ray.looks(pool, 4 * LOOK_S) == ["a", "c"]


def test_one_that_cannot_begin_where_it_is_now_is_said_once_and_not_told(
    two: Two, caplog: pytest.LogCaptureFixture
) -> None:
    ray, pool, first, second = two
    ray.looks(pool)
    second.fates = {"served": RayError("died")}
    ray.looks(pool, LOOK_S)
    second.fates = {"about": TaskError(VidsearchError("the node c has no torch"))}
    assert ray.looks(pool, 60.0) == ["a"]
    assert [record.getMessage() for record in caplog.records] == [
        "a further shared encoder cannot begin, and is not used: the node c has no torch"
    ]
    first.silent = True  # and nobody else is there: it is asked rather than none
    assert ray.looks(pool, 60.0) == ["a", "b"]
