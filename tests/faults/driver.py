"""`vidsearch` in a process of its own that kills itself at a moment of a commit.

python driver.py before|in|after NUMBER ARGUMENTS... ADDRESS

At the NUMBERth group of videos that is published, from 1 on; 0 for never.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from two_nodes import hooks

from vidsearch import remote
from vidsearch.cli import main
from vidsearch.store import Store
from vidsearch.tables import Tables

TRIES = "VIDSEARCH_STORE_TRIES"  # how often a store that fails is asked


def kill_at(moment: str, number: int) -> None:
    """Die at a moment of the commit that comes as the `number`th."""
    publish, append = Store.publish_many, Tables.append
    seen = {"groups": 0, "tables": 0}

    def publishing(store: Store, analyzed: Any) -> None:
        seen["groups"] += bool(analyzed)
        seen["tables"] = 0
        if moment == "before" and seen["groups"] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        publish(store, analyzed)
        if moment == "after" and seen["groups"] == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def appending(tables: Tables, name: str, rows: Any) -> None:
        append(tables, name, rows)
        seen["tables"] += 1
        if moment == "in" and seen["groups"] == number and seen["tables"] == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    Store.publish_many = publishing  # type: ignore[method-assign]
    Tables.append = appending  # type: ignore[method-assign]


def connected(address: str) -> None:
    """Be on the cluster with workers that fail as they are told (see `fault_hooks`)."""
    import ray

    ray.init(address, runtime_env=hooks(), log_to_driver=False)


def be_impatient() -> None:
    """Ask a store that fails no oftener than we are told."""
    if tries := os.environ.get(TRIES):
        remote._LANCE_RETRIES = tries
        remote._S3["config_kwargs"]["retries"]["max_attempts"] = int(tries)


if __name__ == "__main__":
    be_impatient()
    connected(sys.argv[-1])
    kill_at(sys.argv[1], int(sys.argv[2]))
    main(sys.argv[3:])
