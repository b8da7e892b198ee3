"""Train an Id-CLIP on a Ray cluster: several processes, one model, the steps of one process.

Each process takes a share of every batch; vectors and gradients are put together as
`idclip.train_ranks` says, so that the loss is that of the whole batch however many there are. Data
and run folder must stand under the same path on every node.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vidsearch.errors import VidsearchError
from workers.cluster import connect

if TYPE_CHECKING:
    from idclip.training_options import Options


def train_job(
    options: Options,
    data: Sequence[Path],
    out: Path,
    *,
    resume: bool = False,
    processes: int = 1,
    address: str = "local",
) -> dict[str, float]:
    """`idclip.train.train` by `processes` processes of the cluster at `address`.

    With `device` "cuda", or "auto" where the cluster has GPUs, each process gets one. Raises what
    training raises, as `VidsearchError`.
    """
    from idclip.checkpoints import Checkpoint

    ray = connect(address)
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    gpus = int(ray.cluster_resources().get("GPU", 0))
    use_gpu = options.device.startswith("cuda") or (options.device == "auto" and gpus > 0)
    have = gpus if use_gpu else int(ray.cluster_resources().get("CPU", 1))
    if processes > have:
        kind = "GPUs" if use_gpu else "cores"
        raise VidsearchError(
            f"{processes} processes need {processes} {kind}; the cluster has {have}"
        )
    out = out.resolve()
    told = {
        "options": options.as_data(),
        "data": [str(root.resolve()) for root in data],
        "out": str(out),
        "resume": resume,
    }
    with tempfile.TemporaryDirectory() as scratch:  # Ray's own notes; ours go to `out`
        trainer = TorchTrainer(
            _train_process,
            train_loop_config=told,
            scaling_config=ScalingConfig(num_workers=processes, use_gpu=use_gpu),
            run_config=RunConfig(storage_path=scratch, name="idclip"),
        )
        try:
            trainer.fit()
        except Exception as error:  # Ray wraps what a process raised, in ways of its versions
            raise VidsearchError(_reason(error)) from error
    return dict(Checkpoint.read(out / "best").metrics)


def _train_process(told: Mapping[str, Any]) -> None:
    """What each process runs."""
    from ray import train as ray_train
    from ray.train.torch import get_device

    from idclip.train import train
    from idclip.train_ranks import Ranks
    from idclip.training_options import Options

    context = ray_train.get_context()
    ranks = Ranks(context.get_world_rank(), context.get_world_size())
    options = Options(**{**told["options"], "device": str(get_device())})
    train(
        options,
        [Path(root) for root in told["data"]],
        Path(told["out"]),
        resume=told["resume"],
        ranks=ranks,
        say=_say if ranks.first else lambda line: None,
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _reason(error: BaseException) -> str:
    """The message of the first error of ours among the causes, else the last line of Ray's."""
    seen: BaseException | None = error
    while seen is not None:
        inner = getattr(seen, "worker_failures", None) or {}
        for each in inner.values():
            if isinstance(each, VidsearchError):
                return str(each)
        if isinstance(seen, VidsearchError):
            return str(seen)
        seen = getattr(seen, "cause", None) or seen.__cause__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"training failed on the cluster: {lines[-1]}"


def command(address: str) -> click.Group:
    """`train-idclip` with the options of `idclip train`, on the cluster at `address`."""
    from idclip.cli import Command
    from idclip.cli_train import training_parameters

    processes = click.Option(
        ["--processes"],
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Processes that train together, each on a GPU or a core of its own.",
    )
    one = click.Command(
        "train-idclip",
        params=[*training_parameters(), processes],
        callback=_on_cluster(address),
        help="Train an Id-CLIP on a Ray cluster; options as in `idclip train`.",
    )
    return Command(commands=[one], context_settings={"help_option_names": ["-h", "--help"]})


def _on_cluster(address: str) -> Callable[..., None]:
    def on_cluster(
        data: tuple[Path, ...],
        out: Path,
        resume: bool,
        name: str | None,
        processes: int,
        **given: Any,
    ) -> None:
        from idclip.cli_train import chosen_options

        options = chosen_options(out, resume, name, given)
        found = train_job(options, data, out, resume=resume, processes=processes, address=address)
        for key, value in found.items():
            click.echo(f"{key} {value:.4f}")

    return on_cluster
