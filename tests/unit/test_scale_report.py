"""What is told of questions beside a writer is what happened, not what was hoped for."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import scale, scale_report

MEASURED = {
    "shots": 1_000_000,
    "quiet_times": {"context": [2.0, 2.0]},
    "busy_times": {"context": [16.0, 18.0, 18.0]},
    "busy_wrong": [],
    "busy_exit": 0,
    "busy_s": 93.4,
}
HERS = ("id-v000001", 420, 0.9)


def test_a_writer_that_ended_well_is_told_with_the_time_it_was_busy() -> None:
    told = scale_report.beside_a_writer(MEASURED)
    assert "ended well, busy for 93 s: p50 18 ms" in told
    assert "of 3 questions, 2 and 2 ms before; none failed" in told


def test_a_writer_that_failed_is_told_and_no_figure_beside_it() -> None:
    told = scale_report.beside_a_writer({**MEASURED, "busy_exit": -9})
    assert "THE WRITER FAILED, with status -9 after 93 s" in told
    assert "p50" not in told


def test_wrong_answers_are_counted() -> None:
    wrong = ["Olga Once: nothing found", "a dog: OSError: gone"]
    told = scale_report.beside_a_writer({**MEASURED, "busy_wrong": wrong})
    assert "2 WERE WRONG, the first: Olga Once: nothing found" in told
    assert "none failed" not in told


def test_an_answer_may_gain_what_is_written_and_not_lose_what_it_had() -> None:
    new, hers = ("id-v900000", 1), HERS[:2]
    assert scale.fault_of("person in 1 shot", [HERS], [new, hers]) == ""
    assert scale.fault_of("person in 1 shot", [HERS], [new]) == "lost id-v000001, shot 420"
    assert scale.fault_of("context", [HERS], [new]) == ""
    assert scale.fault_of("context", [HERS], []) == "nothing found"
    assert scale.fault_of("context", [], []) == ""


def test_a_question_that_fails_is_counted_and_the_others_are_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Archive:
        def query(self, text: str, **wishes: Any) -> Any:
            if text == "a dog":
                raise OSError("gone")
            return type("Answer", (), {"hits": ()})

    asked = {"context": (("a dog", {}), ("a cat", {}))}
    monkeypatch.setattr(scale, "QUESTIONS", asked)
    times: scale.Times = {"context": []}
    wrong = scale._asked_beside(Archive(), {"context": [[], [HERS]]}, times)  # type: ignore[arg-type]
    assert wrong == ["a dog: OSError: gone", "a cat: nothing found"]
    assert len(times["context"]) == 1
