"""Which nodes of a cluster are given a file, after what they said of others."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vidsearch.errors import VidsearchError
from workers import nodes as module
from workers.nodes import ANSWER_S, ASK_AGAIN_S, STARTS, KeptOut, Nodes, Unfit, does_not_see
from workers.same_code import Code, digest_of, own_digest, refuse_other_code


class Cluster:
    """What a cluster says of its nodes: how many cores each has."""

    def __init__(self, **cores: float) -> None:
        self.cores = cores

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": name, "Alive": True, "Resources": {"CPU": n}}
            for name, n in self.cores.items()
        ]


def nodes(**cores: float) -> Nodes:
    return Nodes(Cluster(**cores), 1.0, lambda node, path: None)


def blind(node: str, under: str) -> Unfit:
    return Unfit(node, "host", f"{node} sees nothing of {under}", under, f"{under}/a.mp4")


def test_a_node_gets_nothing_of_a_folder_in_which_it_did_not_see_a_file() -> None:
    known = nodes(a=1, b=1)
    assert known.options_for("/archive/x.mp4") == {}
    known.keep_out(blind("a", "/archive"))
    only_b = {"label_selector": {"ray.io/node-id": "!in(a)"}}
    assert known.options_for("/archive/x.mp4") == only_b
    assert known.options_for("/archive/2024/x.mp4") == only_b
    assert known.options_for("/archives/x.mp4") == {}
    assert known.options_for("s3://bucket/x.mp4") == {}
    known.keep_out(blind("b", "/"))  # not even the folder in which the disk would be
    assert known.options_for("/other/x.mp4") == {"label_selector": {"ray.io/node-id": "!in(b)"}}
    assert known.options_for("s3://bucket/x.mp4") == {}


def test_a_node_that_can_do_nothing_gets_nothing() -> None:
    known = nodes(a=1, b=1)
    known.keep_out(Unfit("b", "host", "the node host runs other code"))
    for path in ("/archive/x.mp4", "s3://bucket/x.mp4"):
        assert known.options_for(path) == {"label_selector": {"ray.io/node-id": "!in(b)"}}


def test_what_no_node_can_do_waits_for_one_that_can() -> None:
    cluster = Cluster(a=1, b=1, head=0)  # a head without cores does nothing anyway
    known = Nodes(cluster, 1.0, lambda node, path: None)
    known.keep_out(blind("a", "/archive"))
    assert known.have_one_for("/archive/x.mp4")
    known.keep_out(blind("b", "/archive"))
    assert not known.have_one_for("/archive/x.mp4")
    assert known.have_one_for("/other/x.mp4")
    assert known.reasons("/archive/x.mp4") == (
        "a sees nothing of /archive; b sees nothing of /archive"
    )
    cluster.cores["c"] = 1
    known._seen_s = float("-inf")  # some time later
    assert known.have_one_for("/archive/x.mp4")


def test_where_all_nodes_are_gone_others_are_to_come() -> None:
    known = nodes()
    known.keep_out(blind("a", "/archive"))
    assert known.have_one_for("/archive/x.mp4")


def test_a_node_whose_workers_end_before_they_begin_is_kept_out_and_one_of_them_is_not_enough(
    caplog: pytest.LogCaptureFixture,
) -> None:
    known = nodes(a=1, b=1)
    for _ in range(5):  # each time another one begins
        for _ in range(STARTS - 1):
            known.did_not_begin("a", "host", "its worker ended")
        known.began("a")
    known.did_not_begin("b", "other", "its worker ended")
    assert known.options_for("/archive/x.mp4") == {}
    for _ in range(STARTS):
        known.did_not_begin("a", "host", "its worker ended")
    assert known.options_for("/archive/x.mp4") == {"label_selector": {"ray.io/node-id": "!in(a)"}}
    (told,) = caplog.messages
    assert told.startswith(
        f"on the node host {STARTS} workers in a row ended before they had begun"
    )
    assert "(its worker ended)" in told


def test_each_thing_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    known = nodes(a=1, b=1)
    for _ in range(3):
        known.keep_out(blind("a", "/archive"))
    known.keep_out(blind("a", "/other"))
    assert [record.getMessage() for record in caplog.records] == [
        "a sees nothing of /archive. It gets no more work of /archive; the others go on",
        "a sees nothing of /other. It gets no more work of /other; the others go on",
    ]


def test_a_node_that_sees_what_it_did_not_see_is_as_before() -> None:
    lacks = KeptOut()
    other = Unfit("a", "host", "other code")
    assert lacks.add(blind("a", "/archive"))
    assert lacks.add(other)
    assert lacks.every() == [blind("a", "/archive"), other]
    lacks.drop(blind("a", "/archive"))
    assert lacks.those_for("/archive/x.mp4") == [other]
    lacks.drop(other)
    assert not lacks


def test_what_a_node_has_not_is_the_last_folder_on_the_way_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    for path in ("archive/a.mp4", "archive/2024/05/a.mp4"):
        found = does_not_see("n", str(tmp_path / path))
        assert found is not None
        assert found.under == str(tmp_path / "archive")
        assert f"does not see {tmp_path / path}: mount it there" in found.reason
    nowhere = does_not_see("n", "/nowhere/2024/a.mp4")
    assert nowhere is not None
    assert nowhere.under == "/"
    (tmp_path / "archive" / "a.mp4").touch()
    assert does_not_see("n", str(tmp_path / "archive" / "a.mp4")) is None


@pytest.mark.parametrize("code", [errno.ENOTCONN, errno.ESTALE, errno.EIO, errno.EACCES])
def test_a_mount_that_has_died_is_what_a_node_has_not_and_no_error(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    stat = os.stat

    def dead(path: Any, **options: Any) -> os.stat_result:
        if str(path).startswith("/mnt/nas"):
            raise OSError(code, os.strerror(code), path)
        return stat("/" if str(path) == "/mnt" else path, **options)

    monkeypatch.setattr(os, "stat", dead)
    found = does_not_see("n", "/mnt/nas/2024/a.mp4")
    assert found is not None
    assert found.under == "/mnt/nas"  # what else is below /mnt it may have


# --- asking again --------------------------------------------------------------------------------


class RayError(Exception):
    """What Ray says of a call that came to nothing."""


class TaskError(RayError):
    """What it says of one that raised."""


@dataclass
class Asked:
    """A Ray that answers when the test does, and its clock."""

    now: float = 1000.0
    alive: list[str] = field(default_factory=lambda: ["a", "b"])
    calls: list[tuple[str, str]] = field(default_factory=list)
    told: dict[int, str | RayError] = field(default_factory=dict)
    cancelled: list[int] = field(default_factory=list)
    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=TaskError)

    def nodes(self) -> list[dict[str, Any]]:
        return Cluster(**dict.fromkeys(self.alive, 1)).nodes()

    def ask(self, node: str, path: str) -> int:
        self.calls.append((node, path))
        return len(self.calls) - 1

    def wait(
        self, calls: list[int], *, num_returns: int, timeout: float
    ) -> tuple[list[int], list[int]]:
        return [n for n in calls if n in self.told], [n for n in calls if n not in self.told]

    def get(self, call: int) -> str:
        told = self.told[call]
        if isinstance(told, RayError):
            raise told
        return told

    def cancel(self, call: int, *, force: bool) -> None:
        self.cancelled.append(call)
        raise RayError("it is gone already")

    def look(self, nodes: Nodes, after_s: float = ASK_AGAIN_S + 1) -> list[tuple[str, str]]:
        """What is asked if the nodes are looked at after some time."""
        self.now += after_s
        before = len(self.calls)
        nodes.look()
        return self.calls[before:]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: asked.now))
    return asked


def of(asked: Asked, instead: Callable[[Unfit], str] = lambda unfit: unfit.path) -> Nodes:
    return Nodes(asked, 1.0, asked.ask, instead)


def test_a_node_that_never_answers_keeps_no_other_from_being_asked_and_is_asked_anew(
    asked: Asked,
) -> None:
    known = of(asked)
    known.keep_out(blind("a", "/archive"))
    known.keep_out(blind("b", "/archive"))
    both = [("a", "/archive/a.mp4"), ("b", "/archive/a.mp4")]
    assert asked.look(known, 1.0) == []
    assert asked.look(known) == both
    asked.told[1] = "b sees nothing"  # and a is silent
    assert asked.look(known) == both[1:]
    asked.told[2] = ""
    asked.look(known)
    assert [each.node for each in known.kept_out.every()] == ["a"]
    assert asked.cancelled == []
    assert asked.look(known, ANSWER_S) == both[:1]
    assert asked.cancelled == [0]


def test_a_node_on_which_no_worker_could_begin_is_used_once_it_can(
    asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    known = of(asked)
    known.keep_out(Unfit("a", "host", "on the node host no worker can begin: MemoryError"))
    assert asked.look(known) == [("a", "")]
    asked.told[0] = ""
    asked.look(known)
    assert known.options_for("/archive/x.mp4") == {}
    assert caplog.messages[1:] == ["the node host can begin now: it is used again"]


def test_a_node_with_other_code_is_asked_ever_more_rarely_and_told_once(
    asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    known = of(asked)
    known.keep_out(Unfit("a", "host", "the node host runs other code"))
    times = []
    for _ in range(600):  # ten hours
        for _ in asked.look(known, 60.0):
            times.append(asked.now)
            asked.told[len(times) - 1] = "other code"
            if len(times) == 3:  # it may not even understand the question
                asked.told[2] = TaskError("no such function")
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 3600.0
    assert len(times) > 10
    assert known.options_for("/archive/x.mp4")
    assert len(caplog.messages) == 1


def test_a_node_that_fails_whenever_it_is_used_again_is_not_used_all_the_time(
    asked: Asked,
) -> None:
    known = of(asked)
    for _ in range(600):  # ten hours
        known.keep_out(Unfit("a", "host", "MemoryError"))
        asked.told[len(asked.calls)] = ""
        asked.look(known, 60.0)
    assert 10 < len(asked.calls) < 20


def test_of_nodes_whose_asking_failed_those_that_went_away_are_forgotten(asked: Asked) -> None:
    known = of(asked)
    for node in ("a", "b"):
        known.keep_out(blind(node, "/archive"))
    asked.look(known)
    asked.alive.remove("a")
    asked.told = {0: RayError("the node is gone"), 1: RayError("the worker was killed")}
    asked.look(known)
    assert [each.node for each in known.kept_out.every()] == ["b"]


def test_a_node_is_not_asked_for_ever_about_a_file_that_is_gone(asked: Asked) -> None:
    nearest = {"/archive/a.mp4": "/archive/b.mp4", "/archive/b.mp4": ""}
    known = of(asked, lambda unfit: nearest[unfit.path])
    known.keep_out(blind("a", "/archive"))
    for path in ("/archive/a.mp4", "/archive/b.mp4"):
        assert asked.look(known) == [("a", path)]
        asked.told[len(asked.calls) - 1] = "a does not see it"
        asked.look(known, 0.0)
    assert known.kept_out.every() == []  # nothing of the folder is left


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_not_seen(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch(0o000)
    found = does_not_see("n", str(tmp_path / "a.mp4"))
    assert found is not None
    assert "(may not be read (no permission))" in found.reason


# --- the same code -------------------------------------------------------------------------------


def test_the_same_modules_have_the_same_digest_wherever_they_lie(tmp_path: Path) -> None:
    for name, end in (("one", "\n"), ("two", "\r\n")):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "a.py").write_text("A = 1\n", newline=end)
        (tmp_path / name / "notes.txt").write_text(name)
    one, two = (digest_of({"p": tmp_path / name}) for name in ("one", "two"))
    assert one == two
    assert digest_of({"q": tmp_path / "one"}) != one
    (tmp_path / "two" / "inner" / "a.py").write_text("A = 2\n")
    assert digest_of({"p": tmp_path / "two"}) != one
    (tmp_path / "one" / "inner" / "a.py").rename(tmp_path / "one" / "a.py")
    assert digest_of({"p": tmp_path / "one"}) != one


def test_every_module_of_the_program_counts(tmp_path: Path) -> None:
    import shutil

    repo = Path(__file__).parents[2]
    packages = {}
    for name in ("idclip", "vidsearch", "workers"):
        packages[name] = tmp_path / name
        shutil.copytree(repo / name, tmp_path / name, ignore=lambda folder, names: [
            each for each in names if "." in each and not each.endswith(".py")
        ])  # fmt: skip
    assert digest_of(packages) == own_digest()
    with (tmp_path / "vidsearch" / "shots.py").open("a") as module:
        module.write("# another commit\n")
    assert digest_of(packages) != own_digest()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"digest": "0" * 16}, r"\(code {here}\), and the job vidsearch \S+ \(code 00000000\)"),
        ({"vidsearch": "9.9"}, r"and the job vidsearch 9\.9 \(code {here}\): install the same"),
        ({"python": (3, 1)}, r"runs Python 3\.\d+, and the job Python 3\.1: install"),
        ({"av": "1.2.3"}, r"runs PyAV \S+, and the job PyAV 1\.2\.3: install"),
        ({"opencv": ""}, r"runs OpenCV \S+, and the job OpenCV missing: install"),
    ],
)
def test_what_differs_is_told_and_nothing_else(changes: dict[str, Any], said: str) -> None:
    from dataclasses import replace

    refuse_other_code(Code.here())
    with pytest.raises(VidsearchError, match=said.format(here=own_digest()[:8])):
        refuse_other_code(replace(Code.here(), **changes))
