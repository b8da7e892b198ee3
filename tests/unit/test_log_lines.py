"""With --json whatever is said on stderr is one JSON object a line, and stdout has the result."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from store_records import analyzed_video

from vidsearch import Archive
from vidsearch.cli import main
from vidsearch.indexing import Event, Failed, Indexed, Planned
from vidsearch.log_lines import LOGGERS, Printed, logged_as_lines

OF_RAY = "\x1b[36m(raylet)\x1b[0m a node was marked dead"


def test_a_warning_is_a_line_and_what_is_less_only_where_it_is_asked_for() -> None:
    lines: list[str] = []
    for verbose in (False, True):
        with logged_as_lines(lines.append, verbose=verbose):
            logging.getLogger("workers.index_job").warning("%s: it is tried again", "v\n\udcff.mp4")
            logging.getLogger("vidsearch.indexing").debug("Traceback\n of two lines")
    warning = {"event": "warning", "message": "v\n\udcff.mp4: it is tried again"}
    log = {"event": "log", "level": "debug", "message": "Traceback\n of two lines"}
    assert [json.loads(line) for line in lines] == [warning, warning, log]
    assert all(line.isascii() and line.isprintable() for line in lines)


def test_loggers_are_left_as_they_were() -> None:
    def states() -> list[Any]:
        loggers = [logging.getLogger(name) for name in LOGGERS]
        return [(each.handlers[:], each.propagate, each.level) for each in loggers]

    before, shown = states(), warnings.showwarning
    with logged_as_lines(print, verbose=True):
        assert states() != before
    # Python gives "py.warnings" a handler that says nothing, for good.
    assert states()[:-1] == before[:-1]
    assert warnings.showwarning is shown


def test_what_is_printed_is_told_by_the_line() -> None:
    lines: list[str] = []
    file = Printed(lines.append)
    print("one", "two\n\nthree", file=file)
    print("begun", end="", file=file)
    assert [json.loads(line)["message"] for line in lines] == ["one two", "three"]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of an index in which much is said beside the progress."""

    def indexing(archive: Archive, paths: Any, **options: Any) -> Iterator[Event]:
        yield Planned(2, 1_000, 0, 0, 0, 0)
        logging.getLogger("workers.nodes").warning("the node b gets no more work")
        logging.getLogger("vidsearch.indexing").debug("a traceback")
        warnings.warn("an engine has a successor", stacklevel=1)
        print(OF_RAY)
        yield Failed("bad", "/v/bad.mp4", "no video stream", 500)
        yield Indexed(analyzed_video("good", shots=2).video, 1.0)

    monkeypatch.setattr(Archive, "indexing", indexing)


def run(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["index", "v", "--archive", str(folder / "a"), *options])


@pytest.mark.parametrize("options", [(), ("-v",), ("-q",)])
def test_every_line_of_a_run_is_an_object(
    events: None, tmp_path: Path, options: tuple[str, ...]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warnings, "filters", [])  # those of pytest
        ran = run(tmp_path, "--json", *options)
    assert ran.exit_code == 3
    told = [json.loads(line) for line in ran.stderr.splitlines()]
    assert len(json.loads(ran.stdout)["indexed"]) == 1
    said = [each["message"] for each in told if each["event"] == "warning"]
    assert said[0] == "the node b gets no more work"
    assert "an engine has a successor" in said[1]
    logs = [each["message"] for each in told if each["event"] == "log"]
    assert logs == (["a traceback", OF_RAY] if "-v" in options else [OF_RAY])
    progress = [each["event"] for each in told if each["event"] not in ("warning", "log")]
    assert progress == (["failed"] if "-q" in options else ["planned", "failed", "indexed", "done"])


def test_people_are_told_as_before(events: None, tmp_path: Path) -> None:
    ran = run(tmp_path)
    assert ran.exit_code == 3
    assert "{" not in ran.stderr
    assert ran.stdout == f"{OF_RAY}\n"


@pytest.mark.parametrize(("options", "forwarded"), [((), True), (("--json",), False)])
def test_what_workers_print_is_not_forwarded_to_programs(
    events: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    forwarded: bool,
) -> None:
    import sys

    import workers  # noqa: F401  its function `index_job` hides the module of that name

    asked = []
    monkeypatch.setattr(sys.modules["workers.index_job"], "on_ray", asked.append)
    run(tmp_path, "--ray", "auto", *options)
    assert [each.forward_logs for each in asked] == [forwarded]


def test_one_who_waits_is_told_so_in_a_line_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waiting(archive: Archive, *paths: Any, **options: Any) -> Iterator[Event]:
        archive._open.waiting("process 7 writes")  # type: ignore[misc]
        yield Planned(0, 0, 0, 0, 0, 0)

    monkeypatch.setattr(Archive, "indexing", waiting)
    first, *_ = run(tmp_path, "--json").stderr.splitlines()
    assert json.loads(first) == {"event": "note", "message": "process 7 writes"}
    assert run(tmp_path).stderr.startswith("process 7 writes\n")
