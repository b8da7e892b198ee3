"""A Ray cluster of two nodes on this machine, which the test is connected to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from two_nodes import TwoNodes, hooks, two_nodes_in

ray = pytest.importorskip("ray")


@pytest.fixture
def two_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    kills = tmp_path / "kills"
    monkeypatch.setenv("VIDSEARCH_KILLS", str(kills))
    ray.shutdown()  # of a test before, in this process
    with two_nodes_in(kills) as nodes:
        ray.init(nodes.address, runtime_env=hooks(), log_to_driver=False)
        try:
            yield nodes
        finally:
            ray.shutdown()
