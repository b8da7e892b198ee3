"""A Ray cluster: connecting to it, and asking its nodes before any work whether they can do it.

A node with other code than the driver's would store other rows; one that does not see the files
would fail every one of them. So each node is asked first (`check_nodes`). `workers.nodes` says what
becomes of those that join while a job runs.
"""

from __future__ import annotations

import logging
import socket
import warnings
from collections.abc import Sequence
from typing import Any

from vidsearch.errors import ModelUnavailable, VidsearchError
from vidsearch.tasks import Recipe
from workers.nodes import told_unseen, unseen
from workers.same_code import Code, refuse_other_code

KNOCK_S = 10.0
"""How long the head of a cluster may take to take a call."""
CHECK_S = 60.0
"""How long a node may take to answer `check_nodes`."""


_ours = ("", "")
"""The address that `connect` was given last, and that of the cluster which it found there."""


def connect(address: str, *, forward_logs: bool = True) -> Any:
    """Ray, connected to the cluster at `address`; a process is on one cluster at a time.

    With `forward_logs` what workers print comes out here; it goes to stdout, too.
    Raises `ModelUnavailable` without the extra, and `VidsearchError` where no cluster answers, or
    this process is on another one already.
    """
    global _ours
    try:
        import ray
    except ImportError:
        raise ModelUnavailable(
            'Ray is not installed; it comes with: pip install "vidsearch[ray]"'
        ) from None
    if ray.is_initialized():
        _refuse_another(address, ray.get_runtime_context().gcs_address)
    else:
        _knock(address)
        # Of Ray's own words those that tell of a fault.
        logging.getLogger("ray").setLevel(logging.ERROR)
        if address != "local":
            _bring_token()
        try:
            with warnings.catch_warnings():
                # LanceDB warns of processes that fork and go on using it; Ray's execute another
                # program at once.
                warnings.filterwarnings("ignore", message="lancedb fork support")
                ray.init(
                    address,
                    log_to_driver=forward_logs,
                    logging_level=logging.ERROR,
                    include_dashboard=False,
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise VidsearchError(
                f"the Ray cluster at {address!r} does not take us: {error}\n"
                "If it asks for a token: export RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, which"
                " `ray get-auth-token` shows on its head"
            ) from error
        _ours = address, ray.get_runtime_context().gcs_address
    return ray


def _refuse_another(address: str, here: str) -> None:
    """Raise `VidsearchError` if `address` is not the cluster `here`, on which this process is.

    "auto" is any. "local" is too where somebody else was there before us, as a program that sets
    Ray up for us; not where we went because an address said so.
    """
    said, there = _ours
    is_ours = there == here
    if address == "local":
        is_here = said == "local" or not is_ours
    else:
        is_here = address == "auto" or (is_ours and address == said) or same_place(address, here)
    if not is_here:
        raise VidsearchError(
            f"this process is already connected to the Ray cluster at {here}, not at {address}:"
            " call ray.shutdown() first, or give auto"
        )


def same_place(one: str, other: str) -> bool:
    """Whether two addresses HOST:PORT are of one listener, by whichever of its names."""
    if one == other:
        return True
    host, _, port = one.rpartition(":")
    other_host, _, other_port = other.rpartition(":")
    if port != other_port:
        return False
    found, others = _numbers(host), _numbers(other_host)
    return bool(found & others) or (_are_here(found) and _are_here(others))


def _numbers(host: str) -> set[str]:
    """The IP addresses of a host; none where nobody knows it."""
    try:
        return {str(info[4][0]) for info in socket.getaddrinfo(host.strip("[]"), None)}
    except OSError:
        return set()


def _are_here(numbers: set[str]) -> bool:
    """Whether one of these IP addresses is of this machine: nobody can listen at another's."""
    for number in numbers:
        family = socket.AF_INET6 if ":" in number else socket.AF_INET
        try:
            with socket.socket(family) as listener:
                listener.bind((number, 0))
        except OSError:
            continue
        return True
    return False


def _bring_token() -> None:
    """Show the cluster the token of this user, where there is one.

    A head asks for a token as soon as it finds one in its user's home, where any local Ray leaves
    one, but `ray.init` brings it only if it is told to. A cluster that wants none ignores it.
    """
    try:
        from ray._private.authentication import authentication_token_setup as tokens
    except ImportError:  # a Ray before there were tokens
        return
    tokens.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def _knock(address: str) -> None:
    """Refuse an address where nobody listens: Ray itself would go on trying for many minutes."""
    from ray._private.services import canonicalize_bootstrap_address  # what `ray.init` asks, too

    if address.startswith("ray://"):
        raise VidsearchError(
            f"{address} is Ray's client, which has no streaming tasks. On one of its nodes take"
            " --ray auto; from outside submit the job: ray job submit -- python -m workers index"
        )
    try:
        found = canonicalize_bootstrap_address(address)
        if found is None:  # "local": there is none yet
            return
        host, _, port = found.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()
    except (OSError, ValueError) as error:
        raise _nobody(address, error) from error


def _nobody(address: str, error: Exception) -> VidsearchError:
    return VidsearchError(
        f"no Ray cluster answers at {address!r}: {error}\n"
        "Start one with: ray start --head; or use --ray local for this machine alone"
    )


def check_nodes(ray: Any, recipe: Recipe, paths: Sequence[str]) -> None:
    """Ask every node whether it runs this code, has the weights and sees `paths`.

    Raises `VidsearchError` that names each node that cannot do the work, and why.
    """
    asked = {
        ask_node(ray, node["NodeID"], recipe, paths): node for node in ray.nodes() if node["Alive"]
    }
    ready, silent = ray.wait(list(asked), num_returns=len(asked), timeout=CHECK_S)
    told = {each: f"{asked[each]['NodeManagerHostname']} does not answer" for each in silent}
    for each in ready:
        try:
            told[each] = ray.get(each)
        except ray.exceptions.RayError as error:  # such as a package that is not there
            told[each] = " ".join(str(error).split())[-300:]
    # One that went away meanwhile will get no work.
    alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
    problems = [told[each] for each, node in asked.items() if node["NodeID"] in alive]
    problems = [problem for problem in problems if problem]
    if problems:
        raise VidsearchError("the cluster cannot do this job: " + "; ".join(sorted(set(problems))))


def ask_node(ray: Any, node: str, recipe: Recipe, paths: Sequence[str]) -> Any:
    """Ask one node the same; a Ray reference to what keeps it from the work, "" for nothing."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node, soft=False)
    ask = ray.remote(num_cpus=0, max_retries=3)(_problem)
    return ask.options(scheduling_strategy=there).remote(Code.here(), recipe, list(paths))


def _problem(wanted: Code, recipe: Recipe, paths: list[str]) -> str:
    """Runs on a node: why it cannot do the job, "" if it can."""
    from vidsearch.analyze import check_weights

    try:
        refuse_other_code(wanted)
        check_weights(recipe)
    except VidsearchError as error:
        return str(error)
    for path in paths:
        if reason := unseen(path):
            return told_unseen(path, reason)
    return ""
