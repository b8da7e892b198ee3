"""A Ray cluster of two nodes on this machine, whose workers can be made to fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ray = pytest.importorskip("ray")

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent


@dataclass
class TwoNodes:
    """The cluster, the folder of its orders to kill, and how to connect to it."""

    cluster: Any
    kills: Path

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add_node(self, **environment: str) -> Any:
        return self.cluster.add_node(
            num_cpus=1, object_store_memory=100_000_000, env_vars=environment or None
        )

    def kill_at(self, stage: str) -> None:
        """The next worker that comes to this stage is killed there."""
        (self.kills / stage).touch()

    def killed(self, stage: str) -> bool:
        return not (self.kills / stage).exists()

    def log(self) -> list[tuple[str, str]]:
        """Which node began to decode which file, in order."""
        file = self.kills / "log"
        lines = file.read_text().splitlines() if file.exists() else []
        return [tuple(line.split(" ", 1)) for line in lines]  # type: ignore[misc]


def hooks() -> dict[str, Any]:
    """The environment in which workers fail as they are told."""
    path = os.pathsep.join([str(HERE), str(TESTS), os.environ.get("PYTHONPATH", "")])
    return {"env_vars": {"PYTHONPATH": path}, "worker_process_setup_hook": "fault_hooks.install"}


@pytest.fixture
def two_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    from ray.cluster_utils import Cluster

    kills = tmp_path / "kills"
    kills.mkdir()
    monkeypatch.setenv("VIDSEARCH_KILLS", str(kills))
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": 100_000_000},
    )
    nodes = TwoNodes(cluster, kills)
    nodes.second = nodes.add_node()  # type: ignore[attr-defined]
    ray.init(cluster.address, runtime_env=hooks(), log_to_driver=False)
    try:
        yield nodes
    finally:
        ray.shutdown()
        cluster.shutdown()
