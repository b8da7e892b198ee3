"""How many encoders a cluster's workers share, and with how much of a GPU each."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

import workers  # noqa: F401  its function `index_job` hides the module of that name
from idclip.devices import Devices
from vidsearch.errors import VidsearchError
from vidsearch.tasks import Recipe
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
