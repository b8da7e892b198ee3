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

import psutil

TESTS = Path(__file__).resolve().parent
FAULTS = TESTS / "faults"
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
STORE_BYTES = 100_000_000
"""Of each node's object store."""
QUICK = {"health_check_period_ms": 1000}
"""Nodes are asked every second, not every three, whether they live: after five times without an
answer one is gone. One that is only slow has ten seconds for each."""


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

    def add_node(self, cpus: int = 1, **environment: str) -> Any:
        return self.cluster.add_node(
            num_cpus=cpus, object_store_memory=STORE_BYTES, env_vars=environment or None
        )

    def lose_second(self) -> None:
        """The second node goes away at once, and all that ran there: its workers may live longer
        than what looks after them, and finish a file meanwhile."""
        (raylet,) = self.second.all_processes["raylet"]
        workers = psutil.Process(raylet.process.pid).children(recursive=True)
        self.cluster.remove_node(self.second, allow_graceful=False)
        _, alive = psutil.wait_procs(workers, timeout=60)
        assert not alive

    @contextmanager
    def blind_node(self, folder: Path, cpus: int = 1) -> Iterator[BlindNode]:
        """A further node, to which a folder is empty as where its disk is not mounted."""
        start = [*RAY, "start", f"--address={self.address}", f"--num-cpus={cpus}", "--block"]
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

    def n_alive(self) -> int:
        """How many nodes there are."""
        import ray

        return sum(node["Alive"] for node in ray.nodes())

    def connect(self) -> None:
        """Be its driver, with workers that fail as they are told, unless we are already."""
        import ray

        if ray.is_initialized():
            if ray.get_runtime_context().gcs_address == self.address:
                return
            ray.shutdown()
        ray.init(self.address, runtime_env=hooks(), log_to_driver=False)

    def renew(self) -> None:
        """Be as at the start: two nodes, no order to kill, and nothing noted."""
        for node in self.cluster.worker_nodes - {self.second}:
            self.cluster.remove_node(node)
        if self.second not in self.cluster.worker_nodes:
            self.second = self.add_node()
        self.cluster.wait_for_nodes()
        for file in self.kills.iterdir():
            file.unlink()

    def kill_at(self, stage: str) -> None:
        """The next worker that comes to this stage is killed there."""
        (self.kills / stage).touch()

    def killed(self, stage: str) -> bool:
        return not (self.kills / stage).exists()

    @contextmanager
    def holding(self, names: str = "held") -> Iterator[None]:
        """Workers wait in files whose names hold this, until the end of the block or `let_go`."""
        self.hold(names)
        try:
            yield
        finally:
            self.let_go()

    def hold(self, names: str) -> None:
        """Workers wait in these files, and in no others any more."""
        self._say("hold", names)

    def let_go(self) -> None:
        (self.kills / "hold").unlink(missing_ok=True)

    def spare(self, names: Iterable[str]) -> None:
        """Kill no worker over these files at a stage."""
        self._say("spared", "\n".join(names))

    def wait_for_encoders(self, seconds: float) -> None:
        """Workers wait so long for an encoder before they ask another one."""
        self._say("patience", str(seconds))

    def _say(self, file: str, text: str) -> None:
        new = self.kills / f"{file}.new"
        new.write_text(text)
        new.replace(self.kills / file)  # at once: workers read it

    def spans(self) -> list[tuple[int, float, float]]:
        """Which piece (-1: a whole file) was decoded from which to which second, in order."""
        lines = (self.kills / "spans").read_text().splitlines()
        found = [line.split(" ", 3) for line in lines]
        return [(int(piece), float(first), float(last)) for piece, first, last, _ in found]

    def at_work(self) -> set[str]:
        """The nodes that have begun to decode a file."""
        return {node for node, _ in self.log()}

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
        "_system_config": {**QUICK, **head.get("_system_config", {})},
    }
    cluster = Cluster(initialize_head=True, head_node_args=arguments)
    try:
        nodes = TwoNodes(cluster, kills)
        nodes.second = nodes.add_node()
        yield nodes
    finally:
        cluster.shutdown()
