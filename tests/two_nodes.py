"""A Ray cluster of two nodes of one core on this machine, whose workers can be made to fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent
FAULTS = TESTS / "faults"
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
STORE_BYTES = 100_000_000
"""Of each node's object store."""


@dataclass(frozen=True)
class BlindNode:
    """A node in a mount namespace of its own."""

    process: subprocess.Popen[bytes]
    folder: Path

    def see(self) -> None:
        """Mount what was not."""
        there = ["nsenter", f"--target={self.process.pid}", "--mount"]
        subprocess.run([*there, "umount", str(self.folder)], check=True)


@dataclass
class TwoNodes:
    """The cluster, its node that may go away, and the folder of orders to kill (`fault_hooks`)."""

    cluster: Any
    kills: Path
    second: Any = None

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add_node(self, **environment: str) -> Any:
        return self.cluster.add_node(
            num_cpus=1, object_store_memory=STORE_BYTES, env_vars=environment or None
        )

    @contextmanager
    def blind_node(self, folder: Path) -> Iterator[BlindNode]:
        """A further node, to which a folder is empty as where its disk is not mounted."""
        start = [*RAY, "start", f"--address={self.address}", "--num-cpus=1", "--block"]
        start += [f"--object-store-memory={STORE_BYTES}", "--dashboard-agent-listen-port=0"]
        hide = 'mount -t tmpfs none "$0" && exec "$@"'
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", hide, str(folder), *start],
            stdout=subprocess.DEVNULL,
        )
        try:
            yield BlindNode(process, folder)
        finally:
            process.terminate()
            process.wait(60)

    def kill_at(self, stage: str) -> None:
        """The next worker that comes to this stage is killed there."""
        (self.kills / stage).touch()

    def killed(self, stage: str) -> bool:
        return not (self.kills / stage).exists()

    def spare(self, names: Iterable[str]) -> None:
        """Kill no worker over these files at a stage."""
        new = self.kills / "spared.new"
        new.write_text("\n".join(names))
        new.replace(self.kills / "spared")  # at once: workers read it

    def spans(self) -> list[tuple[int, float, float]]:
        """Which piece (-1: a whole file) was decoded from which to which second, in order."""
        lines = (self.kills / "spans").read_text().splitlines()
        found = [line.split(" ", 3) for line in lines]
        return [(int(piece), float(first), float(last)) for piece, first, last, _ in found]

    def log(self) -> list[tuple[str, str]]:
        """Which node began to decode which file, in order."""
        file = self.kills / "log"
        lines = file.read_text().splitlines() if file.exists() else []
        return [tuple(line.split(" ", 1)) for line in lines]  # type: ignore[misc]


def hooks() -> dict[str, Any]:
    """The environment in which workers fail as they are told."""
    path = os.pathsep.join([str(FAULTS), str(TESTS), os.environ.get("PYTHONPATH", "")])
    return {"env_vars": {"PYTHONPATH": path}, "worker_process_setup_hook": "fault_hooks.install"}


@contextmanager
def two_nodes_in(kills: Path, **head: Any) -> Iterator[TwoNodes]:
    """The cluster, for as long as the block lasts; `VIDSEARCH_KILLS` must be `kills` meanwhile.

    `head` is told to the head node beside the defaults, and holds for the cluster.
    """
    from ray.cluster_utils import Cluster

    kills.mkdir(exist_ok=True)
    arguments = {
        "num_cpus": 1,
        "object_store_memory": STORE_BYTES,
        "include_dashboard": False,
        **head,
    }
    cluster = Cluster(initialize_head=True, head_node_args=arguments)
    try:
        nodes = TwoNodes(cluster, kills)
        nodes.second = nodes.add_node()
        yield nodes
    finally:
        cluster.shutdown()
