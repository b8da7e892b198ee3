"""Why a worker ended: the driver ended it, its node is gone, or what it left behind says it.

Ray tells the driver that a worker died, and seldom of what. What that means for the file says
`workers.attempts`, what it means for the node `workers.nodes`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from workers import black_box
from workers.actors import Taken
from workers.attempts import Death

READ_BOX_S = 20.0
"""To learn what a dead worker left behind."""
STILLBORN, STILLBORN_S = 8, 60.0
"""Workers of which one after the other ends without having taken an order, for so long: something
of Ray's keeps them from it, on all nodes."""


@dataclass
class Deaths:
    """The judge of dead workers; `stillborn` are those in a row that never took an order."""

    ray: Any
    stillborn: int = 0
    _stillborn_s: float = 0.0  # since when

    def judged(
        self, process: Taken | None, began: bool, stopped: str, error: Exception
    ) -> tuple[Death, str]:
        """Why a worker ended, and the reason as a clause.

        `process` is where it was, None if it never took its order, `began` whether it said that it
        began with the file, `stopped` why the driver ended it, "" if it did not, and `error` what
        Ray says of it.
        """
        lost = self.ray.exceptions.NodeDiedError, self.ray.exceptions.LocalRayletDiedError
        if isinstance(error, lost) and not stopped:
            return Death.NODE, "its node went away"
        if process is None:
            return Death.START, f"its worker never began ({_told(error)})"
        said = self._left_behind(process)  # which takes it away
        began = began or said is not None
        if stopped:
            return Death.FILE if began else Death.START, stopped
        # Asked last: workers may be seen to die before it is seen that their node does.
        if process.node not in {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}:
            return Death.NODE, f"the node {process.node[:8]} is gone"
        if said:
            return Death.FILE, said
        if not began:
            return Death.START, f"its worker ended while it loaded its models ({_told(error)})"
        if isinstance(error, self.ray.exceptions.OutOfMemoryError):
            # Ray ends whom it likes best to end on a node that is full: perhaps not the one.
            return Death.KILLED, "its node ran out of memory and Ray ended its worker"
        return Death.KILLED, "its worker was killed"

    def none_starts(self) -> bool:
        """Note one more that never took an order; whether that has gone on for too long."""
        if not self.stillborn:
            self._stillborn_s = time.monotonic()
        self.stillborn += 1
        return self.stillborn >= STILLBORN and time.monotonic() - self._stillborn_s > STILLBORN_S

    def _left_behind(self, process: Taken) -> str | None:
        """What `black_box` recorded, read on the node of the process; None where nothing is."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(process.node, soft=False)
        ask = self.ray.remote(num_cpus=0, max_retries=0)(black_box.read)
        try:
            said: str | None = self.ray.get(
                ask.options(scheduling_strategy=there).remote(process.pid), timeout=READ_BOX_S
            )
        except self.ray.exceptions.RayError:  # the node goes as well
            return None
        return said


def _told(error: Exception) -> str:
    """What Ray says of a death, in a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
