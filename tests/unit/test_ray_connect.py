"""Which address is that of the cluster on which a process is already, and which is of another."""

from __future__ import annotations

import socket
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from vidsearch.errors import VidsearchError
from workers import cluster as module
from workers.cluster import connect, same_place

HOSTS = {
    "head": ["10.0.0.5"],
    "head.example.org": ["10.0.0.5"],
    "other": ["10.0.0.6"],
    "two-names": ["10.0.0.6", "10.0.0.5"],
    "localhost": ["127.0.0.1"],
    "me": ["127.0.1.1"],
}


class Ray:
    """A Ray that takes every address: "local" is a cluster of its own each time."""

    def __init__(self) -> None:
        self.here = ""
        self._port = 20000

    def is_initialized(self) -> bool:
        return bool(self.here)

    def init(self, address: str, **options: Any) -> None:
        self._port += 1
        self.here = f"127.0.0.1:{self._port}" if address == "local" else address

    def shutdown(self) -> None:
        self.here = ""

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address=self.here)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    ray = Ray()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(module, "_ours", ("", ""))
    monkeypatch.setattr(module, "_knock", lambda address: None)
    monkeypatch.setattr(module, "_bring_token", lambda: None)
    return ray


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of these hosts alone."""

    def found(host: str, port: None) -> list[Any]:
        numbers = HOSTS.get(host) or ([host] if host[:1].isdigit() else None)
        if numbers is None:
            raise socket.gaierror(f"nobody knows {host}")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in numbers]

    monkeypatch.setattr(socket, "getaddrinfo", found)


@pytest.mark.parametrize(
    ("one", "other", "are"),
    [
        ("head:6379", "10.0.0.5:6379", True),
        ("head:6379", "head.example.org:6379", True),
        ("two-names:6379", "10.0.0.5:6379", True),
        ("localhost:6379", "me:6379", True),  # of this machine by another of its numbers
        ("gone:6379", "gone:6379", True),  # a name that nobody knows any more
        ("head:6379", "10.0.0.5:6380", False),
        ("head:6379", "other:6379", False),
        ("localhost:6379", "10.0.0.5:6379", False),
        ("gone:6379", "10.0.0.5:6379", False),
        ("6379", "10.0.0.5:6379", False),
    ],
)
def test_two_addresses_are_of_one_place_by_port_and_host_whatever_it_is_called(
    one: str, other: str, are: bool
) -> None:
    assert same_place(one, other) is are
    assert same_place(other, one) is are


def test_another_cluster_than_the_one_that_we_are_on_is_refused(ray: Ray) -> None:
    assert connect("head:6379") is ray
    for same in ("head:6379", "10.0.0.5:6379", "head.example.org:6379", "auto"):
        assert connect(same) is ray
    for other in ("other:6379", "head:6380"):
        with pytest.raises(VidsearchError, match=f"at head:6379, not at {other}: call ray.shut"):
            connect(other)


def test_a_job_for_a_cluster_does_not_run_on_this_machine_since_one_before_did(ray: Ray) -> None:
    connect("local")
    assert connect("local") is ray
    with pytest.raises(VidsearchError, match="already connected to the Ray cluster at 127"):
        connect("head:6379")
    ray.shutdown()
    connect("head:6379")
    assert ray.here == "head:6379"


@pytest.mark.parametrize("address", ["head:6379", "auto"])
def test_nor_does_one_for_this_machine_run_on_a_cluster_since_one_before_did(
    ray: Ray, address: str
) -> None:
    connect(address)
    with pytest.raises(VidsearchError, match="not at local"):
        connect("local")


def test_where_a_program_has_set_ray_up_itself_local_is_what_it_set_up(ray: Ray) -> None:
    connect("head:6379")
    ray.shutdown()
    ray.init("other:6379")
    assert connect("local") is ray
    with pytest.raises(VidsearchError, match="at other:6379, not at head:6379"):
        connect("head:6379")
