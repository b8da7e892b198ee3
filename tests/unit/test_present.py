"""What answers look like in a terminal, a narrow one too, and in a pipe."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console
from store_records import analyzed_video, person

from idclip import pull
from vidsearch import present
from vidsearch.records import Answer, Hit, Sighting

NAME = "Lin-Manuel_Miranda in the East Room.jpg"
SEEN = Sighting("Lin-Manuel Miranda", 0.94, 5.839, (0.1, 0.1, 0.2, 0.2), NAME)
HIT = Hit(1, "/v/white-house-poetry.mp4", "id", 2, 2.736, 7.04, 5.839, 0.43, 0.46, (SEEN,))
ANSWER = Answer("singing", ("Lin-Manuel Miranda",), "a person singing", "", (HIT,))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What a terminal of some width shows, line by line."""

    def lines(show: Callable[..., None], *arguments: object, width: int = 80) -> list[str]:
        file = io.StringIO()
        console = Console(
            file=file, force_terminal=True, color_system=None, width=width, highlight=False
        )
        monkeypatch.setattr(present, "stdout", lambda: console)
        show(*arguments)
        return [line.rstrip() for line in file.getvalue().splitlines()]

    return lines


def test_a_wide_terminal_shows_one_line_a_hit(shown: Callable[..., list[str]]) -> None:
    lines = shown(present.print_answer, ANSWER, width=200)
    assert len(lines) == 2
    assert lines[0].split() == ["#", "video", "from", "to", "score", "why"]
    assert lines[1].endswith(f"like {NAME}; context 0.46 at 00:00:05.839")


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_names_and_times_are_whole_in_a_narrow_terminal(
    shown: Callable[..., list[str]], width: int
) -> None:
    lines = shown(present.print_answer, ANSWER, width=width)
    for whole in ("white-house-poetry.mp4", "00:00:02.736", "00:00:07.040", "0.43"):
        assert any(whole in line for line in lines)
    assert any("context 0.46 at 00:00:05.839" in line for line in lines)
    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()).endswith(f"like {NAME}; context 0.46 at 00:00:05.839")


def test_the_evidence_stands_below_a_hit_one_reason_a_line(
    shown: Callable[..., list[str]],
) -> None:
    short = replace(SEEN, reference="Lin-Manuel_Miranda.jpg")
    lines = shown(present.print_answer, replace(ANSWER, hits=(replace(HIT, people=(short,)),)))
    assert lines[1:] == [
        "1  white-house-poetry.mp4  00:00:02.736  00:00:07.040  0.43",
        "    Lin-Manuel Miranda 0.94 at 00:00:05.839 like Lin-Manuel_Miranda.jpg;",
        "    context 0.46 at 00:00:05.839",
    ]


def test_a_path_longer_than_the_terminal_is_never_cut(shown: Callable[..., list[str]]) -> None:
    path = f"/videos/{'a long [name] ' * 12}.mp4"
    video = replace(analyzed_video().video, paths=(path.encode(),), error="cut off; " * 20)
    lines = shown(present.print_videos, [video])
    assert f"    {path}" in lines
    assert max(len(line) for line in lines if path not in line) <= 80


def test_nothing_is_broken_or_cut_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    far = replace(HIT, video=f"/v/{'x' * 200}.mp4")
    present.print_answer(replace(ANSWER, hits=(far,)))
    line = capsys.readouterr().out.splitlines()[1]
    assert "x" * 200 + ".mp4" in line
    assert line.rstrip().endswith("context 0.46 at 00:00:05.839")


def test_of_a_failed_video_only_the_reason_is_known(shown: Callable[..., list[str]]) -> None:
    bad = replace(
        analyzed_video().video, status="failed", duration_s=0.0, n_shots=0, error="is empty"
    )
    lines = shown(present.print_videos, [bad], width=200)
    assert "00:00:00.000" not in lines[1]
    assert lines[1].split()[:2] == ["failed", "/videos/a.mp4"]


def test_numbers_stand_below_each_other(shown: Callable[..., list[str]]) -> None:
    lines = shown(present.print_people, [person(photos=2), person("Bo", photos=12)])
    assert lines[0].index("photos") + len("photos") == lines[1].index("2  ") + 1
    assert lines[2].index("12  ") + 2 == lines[1].index("2  ") + 1


def test_models_are_named_whole_with_what_may_be_done_with_them(
    shown: Callable[..., list[str]],
) -> None:
    known = pull.available()
    lines = shown(present.print_models, known, "concept")
    assert lines[0] == "concept (for new archives)"
    for one in known[1:]:
        assert one.info.name in lines
    assert sum("commercial use:" in line for line in lines) == len(known)
    assert max(map(len, lines)) <= 80


def test_both_programs_use_the_same_names_for_what_is_known_of_a_model() -> None:
    known = pull.available()
    for ours, theirs in zip(present.models_as_json(known, "concept"), known, strict=True):
        assert ours.pop("used_for_new_archives") is (theirs.info.name == "concept")
        assert ours == theirs.as_data()


def test_one_is_no_plural() -> None:
    assert [present.counted(n, "photo") for n in (0, 1, 2)] == ["0 photos", "1 photo", "2 photos"]
