"""What a job on a Ray cluster is told beside what to index: where it runs, and with how much."""

from __future__ import annotations

from dataclasses import dataclass

from vidsearch.errors import VidsearchError

GPU_BATCH = 64
"""Pictures that a shared encoder takes at once where nobody says how many."""


@dataclass(frozen=True)
class JobOptions:
    """How a job uses its cluster; the defaults are good for one machine and for many.

    `address` is "local" (start Ray on this machine), "auto" (the cluster this machine belongs to)
    or `HOST:PORT` of its head. `cpus_per_worker` are the cores of one worker, which analyses one
    file at a time. A file is tried `tries` times before it is put in quarantine. One of which no
    frame was decoded for `stall_s` seconds hangs. A worker may hold `memory_gb` GB, None for its
    share of its node. Long videos are analysed in pieces of about `piece_minutes`, by several
    workers at once; 0 leaves each to one.

    Pictures are encoded on `device` ("auto", "cpu" or "cuda"): by each worker, or by `encoders`
    that all share, each with `num_gpus` GPUs (which may be a part of one; 0 for a processor's
    time beside the workers), at most `gpu_batch` pictures at once. None for `num_gpus` is 1 where
    the encoder gains by GPUs and there are some, for `encoders` as many as these have room for, for
    `gpu_batch` 64. No encoder is shared with `num_gpus` 0 and no `encoders`, or `encoders` 0; then
    the options that are about them are refused.

    Workers find faces, on processors. What makes vectors of them runs in the workers too with
    `faces_device` "cpu"; beside the shared encoders with "encoder", wherever these run, and "cuda",
    which must be on GPUs; with "auto" there if all of them are on GPUs that onnxruntime can use.

    What workers print is printed by this process too, with `forward_logs`; the logs of their nodes
    have it anyway. Where this process is on a cluster already, that was settled with it.
    """

    address: str = "local"
    cpus_per_worker: float = 1.0
    tries: int = 2
    stall_s: float = 300.0
    memory_gb: float | None = None
    piece_minutes: float = 10.0
    device: str = "auto"
    faces_device: str = "auto"
    encoders: int | None = None
    num_gpus: float | None = None
    gpu_batch: int | None = None
    forward_logs: bool = True

    def __post_init__(self) -> None:
        """Raises `VidsearchError` for parts of several GPUs, which Ray does not give."""
        if self.num_gpus is not None and self.num_gpus > 1 and self.num_gpus % 1:
            raise VidsearchError(
                f"--num-gpus {self.num_gpus:g}: an encoder has a part of one GPU (as 0.5), or as"
                " many whole ones as you say"
            )

    @property
    def shares_faces(self) -> bool:
        """Whether faces are to be known beside shared encoders, whatever device these are on."""
        return self.faces_device in ("encoder", "cuda")

    @property
    def threads(self) -> int:
        """Of one analysis."""
        return max(1, int(self.cpus_per_worker))
