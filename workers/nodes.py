"""Nodes that cannot do some of the work, and are given none of it.

All nodes are asked before any work (`workers.cluster.check_nodes`). Others join while a job runs,
and a mount may go at any time. A worker that cannot begin, or does not see its file, says so
(`Unfit`): at once, so that such a node would go through everything that waits. It is not the
file's fault. So its node gets no more of the like, and the file goes to another one.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidsearch.inputs import os_reason, printable

log = logging.getLogger(__name__)

ASK_AGAIN_S = 30.0
"""How often a node that did not see a file is asked whether it does by now."""
SEEN_S = 1.0
"""For how long it is believed which nodes are there."""
EVERYTHING = ""
"""As the folder of an `Unfit`: its node can do nothing."""


@dataclass(frozen=True)
class Unfit:
    """A node that cannot do some work, and a sentence that says why and what to do about it.

    `path` is a file that it does not see, and `under` the folder in which it should be.
    """

    node: str
    host: str
    reason: str
    under: str = EVERYTHING
    path: str = ""


def unseen(path: str) -> str:
    """Why this process cannot read a file, as a clause; "" if it can."""
    try:
        os.stat(path)
    except OSError as error:
        return os_reason(error)
    return "" if os.access(path, os.R_OK) else "may not be read (no permission)"


def told_unseen(path: str, reason: str) -> str:
    """What to say, on a node, of a file that it cannot read."""
    why = "" if reason == "does not exist" else f" ({reason})"
    return (
        f"the node {platform.node()} does not see {printable(path)}{why}: mount it there under the"
        " same path, or use s3:// or gs:// addresses"
    )


def does_not_see(node: str, path: str) -> Unfit | None:
    """What to tell, on a node, of a file that it cannot read; None where it can.

    `under` is the last folder on the way there that it has: where a disk is not mounted, the folder
    in whose place it would be, or the one above.
    """
    reason = unseen(path)
    if not reason:
        return None
    under = next((str(each) for each in Path(path).parents if each.is_dir()), "/")
    return Unfit(node, platform.node(), told_unseen(path, reason), under, path)


@dataclass
class KeptOut:
    """What each node cannot do, by its folder."""

    _lacks: dict[str, dict[str, Unfit]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._lacks)

    def add(self, unfit: Unfit) -> bool:
        """Note it; whether that was not known."""
        of_node = self._lacks.setdefault(unfit.node, {})
        is_new = unfit.under not in of_node
        of_node[unfit.under] = unfit
        return is_new

    def drop(self, unfit: Unfit) -> None:
        """It is so no longer."""
        of_node = self._lacks.get(unfit.node, {})
        of_node.pop(unfit.under, None)
        if not of_node:
            self._lacks.pop(unfit.node, None)

    def those_for(self, path: str) -> list[Unfit]:
        """Why nodes get no file of this path, one reason for each of them."""
        of_nodes = [
            [unfit for unfit in of_node.values() if _is_in(path, unfit)]
            for of_node in self._lacks.values()
        ]
        return [unfits[0] for unfits in of_nodes if unfits]

    def blind(self) -> list[Unfit]:
        """Those that did not see a file, and may see it by now."""
        return [each for of in self._lacks.values() for each in of.values() if each.path]


def _is_in(path: str, unfit: Unfit) -> bool:
    return unfit.under == EVERYTHING or path.startswith(unfit.under.rstrip("/") + "/")


@dataclass
class Nodes:
    """The nodes of a job's cluster: who may do what.

    `ask(node, path)` has a node say what keeps it from a file, "" for nothing (a Ray reference).
    """

    ray: Any
    cpus: float
    ask: Callable[[str, str], Any]
    kept_out: KeptOut = field(default_factory=KeptOut)
    _asked: dict[Any, Unfit] = field(default_factory=dict)
    _asked_s: float = 0.0
    _seen: set[str] = field(default_factory=set)
    _seen_s: float = float("-inf")

    def keep_out(self, unfit: Unfit) -> None:
        """Give a node no more of what it cannot do, and say so."""
        if self.kept_out.add(unfit):
            of = "" if unfit.under == EVERYTHING else f" of {printable(unfit.under)}"
            log.warning("%s. It gets no more work%s; the others go on", unfit.reason, of)

    def options_for(self, path: str) -> dict[str, Any]:
        """What a Ray task is told, so that it goes to no node that cannot do it."""
        without = [unfit.node for unfit in self.kept_out.those_for(path)]
        if not without:
            return {}
        return {"label_selector": {"ray.io/node-id": f"!in({','.join(sorted(without))})"}}

    def have_one_for(self, path: str) -> bool:
        """Whether a node is there that may do it, or is to come where there is none at all."""
        without = {unfit.node for unfit in self.kept_out.those_for(path)}
        if not without:
            return True
        able = self._able()
        return not able or bool(able - without)

    def reasons(self, path: str) -> str:
        """Why none of those that are there does it."""
        able = self._able()
        told = {unfit.reason for unfit in self.kept_out.those_for(path) if unfit.node in able}
        return "; ".join(sorted(told))

    def look(self) -> None:
        """Every now and then, ask those again that did not see a file; those that do are used."""
        if not self.kept_out:
            return
        ready, _ = self.ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)
        for each in ready:
            self._answered(each, self._asked.pop(each))
        if not self._asked and time.monotonic() - self._asked_s > ASK_AGAIN_S:
            self._asked_s = time.monotonic()
            blind = self.kept_out.blind()
            self._asked = {self.ask(unfit.node, unfit.path): unfit for unfit in blind}

    def _answered(self, answer: Any, unfit: Unfit) -> None:
        try:
            problem = self.ray.get(answer)
        except self.ray.exceptions.RayError:  # the node went away
            self.kept_out.drop(unfit)
            return
        if not problem:
            log.warning("the node %s sees %s now: it is used again", unfit.host, unfit.path)
            self.kept_out.drop(unfit)

    def _able(self) -> set[str]:
        """The nodes that are there, and large enough for a worker; not asked for every file."""
        now = time.monotonic()
        if now - self._seen_s > SEEN_S:
            self._seen_s = now
            self._seen = {
                node["NodeID"]
                for node in self.ray.nodes()
                if node["Alive"] and node["Resources"].get("CPU", 0.0) >= self.cpus
            }
        return self._seen
