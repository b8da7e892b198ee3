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
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vidsearch.inputs import os_reason, printable

log = logging.getLogger(__name__)

ASK_AGAIN_S = 30.0
"""How often a node that did not see a file is asked whether it does by now."""
ASK_AT_LAST_S = 3600.0
"""How often one is asked at last that can do nothing; each time it is left alone twice as long."""
ANSWER_S = 120.0
"""After which time no answer is waited for: a mount whose server is silent never gives one."""
SEEN_S = 1.0
"""For how long it is believed which nodes are there."""
STARTS = 3
"""Workers that may end on a node one after the other before they have begun with a file."""
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

    @property
    def what(self) -> tuple[str, str]:
        """Which node, and what it cannot do."""
        return self.node, self.under


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
    return Unfit(node, platform.node(), told_unseen(path, reason), last_folder(path), path)


def last_folder(path: str) -> str:
    """The last folder on the way to a file that is there, if only as a mount that has died."""
    dead = ""
    for each in map(str, Path(path).parents):
        try:
            if stat.S_ISDIR(os.stat(each).st_mode):
                return dead or each
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:  # it has a name there, and nothing behind it answers
            dead = each
    return dead or "/"


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

    def now(self, unfit: Unfit) -> Unfit | None:
        """What is known by now of what a node cannot do; None if it can."""
        return self._lacks.get(unfit.node, {}).get(unfit.under)

    def every(self) -> list[Unfit]:
        """All that nodes cannot do, and may be able to by now."""
        return [each for of in self._lacks.values() for each in of.values()]


def _is_in(path: str, unfit: Unfit) -> bool:
    return unfit.under == EVERYTHING or path.startswith(unfit.under.rstrip("/") + "/")


@dataclass
class Asks:
    """Nodes are asked again about what they could not do, each by itself and after a pause.

    One that does not answer keeps no other waiting.
    """

    ray: Any
    ask: Callable[[str, str], Any]
    _out: dict[Any, tuple[Unfit, float]] = field(default_factory=dict)
    _due_s: dict[tuple[str, str], float] = field(default_factory=dict)
    _pause_s: dict[tuple[str, str], float] = field(default_factory=dict)

    def later(self, unfit: Unfit) -> None:
        """It was just learnt, so there is no need to ask at once."""
        pause_s = self._pause_s.get(unfit.what, ASK_AGAIN_S)
        self._due_s[unfit.what] = time.monotonic() + pause_s

    def send(self, unfits: list[Unfit]) -> None:
        """Ask about those of which no answer is on its way, and whose time has come."""
        on_the_way = {unfit.what for unfit, _ in self._out.values()}
        for unfit in unfits:
            if unfit.what in on_the_way or time.monotonic() < self._due_s.get(unfit.what, 0.0):
                continue
            self._out[self.ask(unfit.node, unfit.path)] = unfit, time.monotonic()
            self.later(unfit)
            if unfit.under == EVERYTHING:  # it may say that it can, and fail at the next file
                pause_s = self._pause_s.get(unfit.what, ASK_AGAIN_S)
                self._pause_s[unfit.what] = min(2 * pause_s, ASK_AT_LAST_S)

    def answers(self) -> Iterator[tuple[Any, Unfit]]:
        """What has come, as Ray references; what does not come is given up."""
        ready, silent = self.ray.wait(list(self._out), num_returns=len(self._out), timeout=0)
        for each in ready:
            yield each, self._out.pop(each)[0]
        for each in silent:
            if time.monotonic() - self._out[each][1] > ANSWER_S:
                del self._out[each]
                with suppress(self.ray.exceptions.RayError):  # or its process would hang for ever
                    self.ray.cancel(each, force=True)


@dataclass
class Nodes:
    """The nodes of a job's cluster: who may do what.

    `ask(node, path)` has a node say what keeps it from a file, "" for nothing (a Ray reference);
    without a path, from any work. `instead` says about which file it is asked next where it did not
    see one, "" where all in its folder are gone.
    """

    ray: Any
    cpus: float
    ask: Callable[[str, str], Any]
    instead: Callable[[Unfit], str] = lambda unfit: unfit.path
    kept_out: KeptOut = field(default_factory=KeptOut)
    _ended: Counter[str] = field(default_factory=Counter)  # on each node, one after the other
    _seen: set[str] = field(default_factory=set)
    _seen_s: float = float("-inf")

    def __post_init__(self) -> None:
        self._asks = Asks(self.ray, self.ask)

    def keep_out(self, unfit: Unfit) -> None:
        """Give a node no more of what it cannot do, and say so."""
        if self.kept_out.add(unfit):
            self._asks.later(unfit)
            of = "" if unfit.under == EVERYTHING else f" of {printable(unfit.under)}"
            log.warning("%s. It gets no more work%s; the others go on", unfit.reason, of)

    def began(self, node: str) -> None:
        """A worker of a node has its models, and begins with a file."""
        self._ended.pop(node, None)

    def did_not_begin(self, node: str, host: str, reason: str) -> None:
        """One has ended before: after some of them the node is kept out, as one that is unfit.

        Its workers would fail within seconds, so it would be free for whatever waits.
        """
        self._ended[node] += 1
        if self._ended[node] >= STARTS:
            del self._ended[node]
            self.keep_out(
                Unfit(
                    node,
                    host,
                    f"on the node {host} {STARTS} workers in a row ended before they had begun with"
                    f" a file ({reason}): has it memory for the models? Its logs say more (ray"
                    " logs)",
                )
            )

    @property
    def are_there(self) -> bool:
        """Whether any node is there that is large enough for a worker."""
        return bool(self._able())

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
        """Every now and then, ask those again that could not do something; who can is used."""
        for answer, unfit in self._asks.answers():
            self._answered(answer, unfit)
        self._asks.send(self.kept_out.every())

    def _answered(self, answer: Any, asked: Unfit) -> None:
        unfit = self.kept_out.now(asked)
        if unfit is None:
            return
        try:
            problem = self.ray.get(answer)
        except self.ray.exceptions.RayTaskError:  # such other code that it cannot even say
            return
        except self.ray.exceptions.RayError:
            if unfit.node not in self._able():  # it went away
                self.kept_out.drop(unfit)
            return
        if not problem:
            can = f"sees {printable(asked.path)}" if asked.path else "can begin"
            log.warning("the node %s %s now: it is used again", unfit.host, can)
            self.kept_out.drop(unfit)
        elif unfit.path:
            self._ask_about_another(unfit)

    def _ask_about_another(self, unfit: Unfit) -> None:
        """Nobody will ever see a file that was deleted, so it is not asked about for ever."""
        path = self.instead(unfit)
        if path:
            self.kept_out.add(replace(unfit, path=path))
        else:
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
