"""Jobs for a Ray cluster, as `ray job submit` starts them.

python -m workers index PATH...              `vidsearch index --ray auto`, with its options
python -m workers build-cocopfs --coco ...   build COCO-PFS, see `idclip build-cocopfs -h`
python -m workers train-idclip --data ...    train an Id-CLIP, see `idclip train -h`
python -m workers simulate --hours N         a job on clusters that need not exist
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click

COMMANDS = ("index", "build-cocopfs", "train-idclip", "simulate")


def main(arguments: Sequence[str]) -> Any:
    """Run the command that the first argument names."""
    name, *rest = arguments or ("",)
    if name not in COMMANDS:
        print(__doc__, file=sys.stderr)
        sys.exit(0 if name in ("-h", "--help") else 2)
    return _command(name)(rest)


def _command(name: str) -> Callable[[Sequence[str]], Any]:
    if name == "index":
        return _index
    if name == "build-cocopfs":
        from workers import cocopfs_job

        return partial(_of_group, cocopfs_job.command("auto"), name)
    if name == "train-idclip":
        from workers import train_job

        return partial(_of_group, train_job.command("auto"), name)
    from workers import simulate

    return simulate.main


def _of_group(group: click.Group, name: str, arguments: Sequence[str]) -> Any:
    """One command of `idclip`, which wants its own name before its arguments."""
    return group([name, *arguments])


def _index(arguments: Sequence[str]) -> Any:
    from vidsearch.cli import main as vidsearch

    asked = any(each == "--ray" or each.startswith("--ray=") for each in arguments)
    return vidsearch(["index", *([] if asked else ["--ray", "auto"]), *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
