"""Which nodes of a cluster are given a file, after what they said of others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from vidsearch.errors import VidsearchError
from workers.nodes import KeptOut, Nodes, Unfit, does_not_see
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
    assert lacks.blind() == [blind("a", "/archive")]
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
