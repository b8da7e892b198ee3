"""A Ray cluster of two nodes on this machine, which the test is connected to.

The tests of a file share it: what they kill, add and note there is put right before the next one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from two_nodes import TwoNodes, two_nodes_in

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def environment_of_nodes() -> None:
    """Set what nodes are to inherit: a file may have one of its own."""


@pytest.fixture(scope="module")
def nodes_of_the_file(
    environment_of_nodes: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TwoNodes]:
    ray.shutdown()  # of a test before, in this process
    with pytest.MonkeyPatch.context() as patch:
        kills = tmp_path_factory.mktemp("cluster") / "kills"
        patch.setenv("VIDSEARCH_KILLS", str(kills))
        with two_nodes_in(kills) as nodes:
            yield nodes
            ray.shutdown()


@pytest.fixture
def two_nodes(nodes_of_the_file: TwoNodes) -> TwoNodes:
    nodes_of_the_file.renew()
    nodes_of_the_file.connect()
    return nodes_of_the_file
