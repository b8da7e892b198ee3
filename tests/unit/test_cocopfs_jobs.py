"""Work is spread and remembered without a change to its results."""

from __future__ import annotations

import operator
from itertools import count, islice
from pathlib import Path

import pytest

from idclip.cocopfs.jobs import runner
from idclip.cocopfs.journal import Journal
from idclip.errors import VidsearchError


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_the_order_of_the_tasks(jobs: int) -> None:
    assert list(runner(jobs)(operator.neg, range(40))) == [-i for i in range(40)]


def test_an_endless_list_of_tasks_is_taken_as_far_as_needed() -> None:
    assert list(islice(runner(2)(operator.neg, count()), 5)) == [0, -1, -2, -3, -4]


def test_a_tasks_error_comes_back_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        list(runner(2)((1.0).__truediv__, [1, 0]))


def test_no_process_at_all_is_an_error() -> None:
    with pytest.raises(VidsearchError, match="--jobs 0"):
        runner(0)


def test_what_was_done_is_known_to_the_next_run(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.add("a", {"n": 1})
        journal.add("b", {"n": 2})
    with Journal(tmp_path / "j") as journal:
        assert list(journal) == ["a", "b"]
        assert journal["b"] == {"n": 2}


@pytest.mark.parametrize("cut", [1, 2, 10, 20])
def test_a_line_that_a_killed_run_left_unfinished_is_made_anew(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.add("a", {"n": 1})
        journal.add("b", {"n": 2})
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path) as journal:
        assert "a" in journal
        assert "b" not in journal
        journal.add("b", {"n": 3})
    with Journal(path) as journal:
        assert {key: journal[key]["n"] for key in journal} == {"a": 1, "b": 3}
