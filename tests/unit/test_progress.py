"""What `index` says on stderr while it works: live, in plain lines, in few words and in many."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console
from store_records import analyzed_video

from vidsearch import indexing, progress, progress_lines
from vidsearch.indexing import Event, Failed, Indexed, Planned, Tally
from vidsearch.progress import clock, state, tell
from vidsearch.progress_lines import tell_lines
from vidsearch.tasks import Load, Progress

LONG = replace(analyzed_video("long", shots=90).video, size=9_000)  # 360 s
SHORT = replace(analyzed_video("short", shots=10).video, size=1_000)  # 40 s


class Clock:
    """A clock that is set by hand, in the place of the modules' `time`."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(indexing, "time", clock)
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(progress_lines, "time", clock)
    return clock


def at(seconds: float) -> Progress:
    """How far the long video has come."""
    frames = int(25 * seconds)
    return Progress(
        LONG.video_id, "/v/long [1].mp4", frames, seconds, 360.0, int(seconds / 4), 9_000
    )


def a_run(hands: Clock) -> Iterator[Event]:
    """Two videos and a broken one: half of the long one is done after 45 seconds."""
    yield Planned(todo=3, bytes_todo=10_500, unchanged=0, moved=0, hidden=0, other=0)
    yield Failed("bad", "/v/bad.mp4", "no video stream", 500)
    for seconds in (0.0, 60.0, 120.0, 180.0):
        yield at(seconds)
        hands.now += 15.0
    yield Indexed(LONG, 60.0)
    yield Indexed(SHORT, 5.0)


def told(hands: Clock, *, terminal: bool = False, width: int = 80, **options: bool) -> str:
    file = io.StringIO()
    console = Console(
        file=file, force_terminal=terminal, width=width, highlight=False, color_system=None
    )
    tell(a_run(hands), console, **options)
    return file.getvalue()


def test_time_left_counts_bytes_and_the_share_of_the_video_in_work(hands: Clock) -> None:
    tally = Tally()
    events = a_run(hands)
    for event in events:
        tally.add(event)
        if isinstance(event, Progress) and event.seconds == 0.0:
            assert tally.left_s() is None
        if isinstance(event, Progress) and event.seconds == 180.0:
            break
    # 4,500 of 10,000 bytes in 45 s; what failed is not left to do
    assert tally.share() == pytest.approx(0.45)
    assert tally.left_s() == pytest.approx(55.0)
    said = "0 of 3 videos, 45 shots in 3:00 min, 100 fps, 4.0x real time, 55 s left, 1 failed"
    assert state(tally) == said


def test_plain_lines_name_the_file_the_shots_the_speed_and_the_time_left(hands: Clock) -> None:
    lines = told(hands).splitlines()
    assert lines[0] == "3 videos to index"
    assert lines[1] == "failed  /v/bad.mp4: no video stream"
    assert lines[-2] == (
        "1 of 3 videos, 90 shots in 6:00 min, 150 fps, 6.0x real time, 6.7 s left, 1 failed"
    )
    assert lines[-3] == (
        "0 of 3 videos, 45 shots in 3:00 min, 100 fps, 4.0x real time, 55 s left, 1 failed; "
        "long [1].mp4 (3:00 min of 6:00 min)"
    )
    assert "15 shots" in lines[2]  # nothing is said before there is something to say
    assert lines[-1].startswith("indexed 2 videos, 100 shots, 6:40 min of video in 1:00 min")


def test_a_run_on_a_cluster_says_how_many_work_and_how_busy_the_gpus_are(hands: Clock) -> None:
    tally = Tally()
    for event in (Planned(3, 10_500, 0, 0, 0, 0), at(0.0), Load(5, 0.875)):
        tally.add(event)
    assert state(tally).endswith("5 workers, GPU 88% busy")
    tally.add(Load(1))
    assert state(tally).endswith("1 worker")


def test_of_many_files_in_work_some_are_shown(hands: Clock) -> None:
    def events() -> Iterator[Event]:
        yield Planned(12, 12_000, 0, 0, 0, 0)
        for n in range(12):
            yield replace(at(60.0), video_id=str(n), path=f"/v/{n}.mp4")
        hands.now += 15.0
        yield Load(12)

    file = io.StringIO()
    tell(events(), Console(file=file, width=80))
    (line,) = [line for line in file.getvalue().splitlines() if "0.mp4" in line]
    assert line.count(".mp4") == 8
    assert line.endswith("and 4 more")


def test_programs_read_one_object_a_line(hands: Clock) -> None:
    lines: list[str] = []
    report = tell_lines(a_run(hands), lines.append)
    told = [json.loads(line) for line in lines]
    assert [each["event"] for each in told if each["event"] != "progress"] == [
        "planned",
        "failed",
        "indexed",
        "indexed",
        "done",
    ]
    assert told[1] == {
        "event": "failed",
        "path": "/v/bad.mp4",
        "video_id": "bad",
        "reason": "no video stream",
    }
    halfway = next(each for each in told if each["event"] == "progress" and each["share"] > 0.4)
    assert halfway["left_s"] == pytest.approx(55.0)
    assert halfway["in_work"] == [{"path": "/v/long [1].mp4", "video_s": 180.0, "of_s": 360.0}]
    assert (told[-1]["videos"], told[-1]["video_s"]) == (2, 400.0)
    assert [video.video_id for video in report.indexed] == ["id-long", "id-short"]


def test_a_short_run_says_two_lines(hands: Clock) -> None:
    file = io.StringIO()
    planned = Planned(1, 1_000, 0, 0, 0, 0)
    tell([planned, Indexed(SHORT, 1.0)], Console(file=file, width=80))
    assert file.getvalue().splitlines()[0] == "1 video to index"
    assert len(file.getvalue().splitlines()) == 2


def test_the_live_view_has_bars_and_the_same_line(
    hands: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    real = progress._Live.tell

    def watched(live: progress._Live, event: Event, tally: Tally) -> None:
        real(live, event, tally)
        plain = Console(file=io.StringIO(), width=80)
        plain.print(live._shown())
        assert isinstance(plain.file, io.StringIO)
        shown.append(plain.file.getvalue())

    monkeypatch.setattr(progress._Live, "tell", watched)
    output = told(hands, terminal=True)
    assert "failed  /v/bad.mp4: no video stream" in output
    halfway = next(view for view in shown if "45%" in view)
    lines = [line.rstrip() for line in halfway.splitlines()]
    assert lines[0].startswith("all")
    assert lines[1].startswith("long [1].mp4")
    assert lines[1].endswith("3:00 min of 6:00 min")
    assert " ".join(lines[2:]).startswith(
        "0 of 3 videos, 45 shots in 3:00 min, 100 fps, 4.0x real time, 55 s left, 1 failed"
    )
    assert "long [1].mp4" not in shown[-1]


def test_quiet_tells_of_failures_alone(hands: Clock) -> None:
    for terminal in (False, True):
        said = told(hands, terminal=terminal, quiet=True)
        assert said == "failed  /v/bad.mp4: no video stream\n"


def test_verbose_adds_a_line_for_each_video(hands: Clock) -> None:
    said = told(hands, verbose=True)
    assert "indexed /videos/long.mp4: 90 shots, 6:00 min, 6.0x" in said
    assert "indexed /videos/short.mp4: 10 shots, 40 s, 8.0x" in said


def test_the_summary_is_wrapped_between_words(hands: Clock) -> None:
    for width in range(40, 80):
        said = told(hands, terminal=True, width=width)
        lines = said[said.rindex("indexed 2 videos") :].splitlines()
        assert max(map(len, lines)) <= width
        assert " ".join(" ".join(lines).split()).endswith("(6.7x real time); 1 failed")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.2, "4.2 s"), (55, "55 s"), (185, "3:05 min"), (59.7, "1:00 min"), (7385, "2:03:05 h")],
)
def test_seconds_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text
