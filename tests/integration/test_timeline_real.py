"""The timeline of real footage: the documentation's examples, the command line, the pictures."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from vidsearch import Archive
from vidsearch.cli import main
from vidsearch.timeline_plot import marks

DOCS = Path(__file__).resolve().parents[2] / "docs" / "timeline.md"
CLIP = "white-house-poetry.mp4"
SINGER = "Lin-Manuel Miranda"


@pytest.fixture(scope="module")
def folder(example_media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the clip and `archive`, in which three people are enrolled."""
    folder = tmp_path_factory.mktemp("timeline")
    shutil.copy2(example_media / CLIP, folder)
    archive = Archive(folder / "archive")
    archive.index([folder / CLIP])
    people = example_media / "people"
    archive.enrol(SINGER, [people / "Lin-Manuel_Miranda.jpg"], aliases=["LMM"])
    archive.enrol("Barack Obama", [people / f"Barack_Obama_{n}.jpg" for n in (1, 2)])
    archive.enrol("Joe Biden", [people / "Joe_Biden.jpg"])
    return folder


@dataclass(frozen=True)
class Done:
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    """`vidsearch timeline` in this process, in the folder of the clip."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VIDSEARCH_ARCHIVE", str(folder / "archive"))

    def command(*arguments: str, columns: int = 80) -> Done:
        monkeypatch.setenv("COLUMNS", str(columns))
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["timeline", *arguments])
        out, err = capsys.readouterr()
        return Done(int(left.value.code or 0), out, err)

    return command


def in_a_process(folder: Path, *arguments: str, **environment: str) -> Done:
    done = subprocess.run(
        [sys.executable, "-m", "vidsearch", "timeline", *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        cwd=folder,
        env={
            **os.environ,
            "VIDSEARCH_ARCHIVE": str(folder / "archive"),
            "COLUMNS": "80",
            **environment,
        },
    )
    return Done(done.returncode, done.stdout, done.stderr)


# --- documentation -------------------------------------------------------------------------------


def _shape(printed: str) -> str:
    """What is printed but for probabilities: another calibration may change those."""
    bars = re.sub("[░▒▓█]", "█", re.sub(r"\([01]\.\d\d\)", "(P)", printed))
    return bars.partition("probability:")[0].strip()


def test_the_examples_of_the_documentation_hold(run: Callable[..., Done]) -> None:
    def console(example: Example) -> None:
        command, _, expected = example.parsed.partition("\n")
        dollar, program, noun, *arguments = shlex.split(command)
        assert (dollar, program, noun) == ("$", "vidsearch", "timeline")
        assert _shape(run(*arguments).stdout) == _shape(expected)

    parsers = [PythonCodeBlockParser(), CodeBlockParser("console", console)]
    examples = list(Sybil(parsers=parsers).parse(DOCS).examples())
    for example in examples:
        example.evaluate()
    assert len(examples) == 7


def test_a_timeline_is_kept_until_the_archive_changes(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "archive", tmp_path / "archive")
    archive = Archive(tmp_path / "archive")
    before = archive.timeline(CLIP)
    assert archive.timeline(CLIP) is before
    assert archive.timeline(CLIP, threshold=0.1) is not before
    archive.rename(SINGER, "LMM himself")
    assert archive.timeline(CLIP).people == ("LMM himself",)
    assert before.people == (SINGER,)


# --- the command line ----------------------------------------------------------------------------


def test_json_holds_people_strangers_and_shots(run: Callable[..., Done]) -> None:
    done = run(CLIP, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert [each["name"] for each in told["people"]] == [SINGER]
    seen = told["people"][0]["appearances"][0]
    assert (seen["start_frame"], seen["end_frame"]) == (82, 211)
    assert len(seen["box"]) == 4
    assert [shot["shot"] for shot in told["shots"]] == [0, 1, 2, 3]
    assert {face["shot"] for face in told["unknown_faces"]} == {0, 1, 3}


def test_a_part_of_a_video_is_cut_out(run: Callable[..., Done]) -> None:
    told = json.loads(run(CLIP, "--since", "5", "--until", "0:06", "--json").stdout)
    assert (told["since_s"], told["until_s"]) == (5.0, 6.0)
    seen = told["people"][0]["appearances"][0]
    assert (seen["start_s"], seen["end_s"], told["people"][0]["seconds"]) == (5.0, 6.0, 1.0)
    assert [shot["shot"] for shot in told["shots"]] == [2]
    nobody = run(CLIP, "--since", "0:08")
    assert nobody.returncode == 1
    assert "Nobody enrolled is on screen" in nobody.stdout


def test_an_alias_finds_the_person_and_who_is_nowhere_is_said_to_be(
    run: Callable[..., Done],
) -> None:
    told = json.loads(run("--person", "lmm", "--json").stdout)
    assert (told["name"], len(told["appearances"])) == (SINGER, 1)
    done = run("--person", "Joe Biden")
    assert (done.returncode, done.stdout) == (
        1,
        "Joe Biden is in no video (with a probability of 0.5 or more)\n",
    )


def test_no_line_is_wider_than_the_terminal_and_a_plain_one_gets_plain_letters(
    folder: Path, run: Callable[..., Done]
) -> None:
    for width in (60, 80, 150):
        for asked in ([CLIP], ["--person", SINGER]):
            lines = run(*asked, columns=width).stdout.splitlines()
            assert max(map(len, lines)) <= width
    plain = in_a_process(folder, CLIP, PYTHONIOENCODING="ascii").stdout
    assert plain.isascii()
    assert "~~~~____" in plain


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "VIDEO, or --person NAME, and not both"),
        ((CLIP, "--person", SINGER), "VIDEO, or --person NAME, and not both"),
        (("--person", SINGER, "--since", "2"), "moments of VIDEO, not of --person"),
        (("nowhere.mp4",), "no video of the archive is called nowhere.mp4"),
        (("--person", "Lin Miranda"), "near names: Lin-Manuel Miranda"),
        ((CLIP, "--since", "1:00"), "is 00:00:09.176 (9.17584 s) long: 60 s is no moment of it"),
        ((CLIP, "--since", "5", "--until", "4"), "the earlier comes first"),
        ((CLIP, "--since", "noon"), "'noon' is not a time"),
        ((CLIP, "--plot", "a.gif"), "a.gif is no picture: end it in .png, .svg"),
        ((CLIP, "--plot", "nowhere/a.png"), "nowhere is no folder: make it first"),
    ],
)
def test_a_wrong_use_is_refused_with_the_reason(
    run: Callable[..., Done], arguments: tuple[str, ...], said: str
) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert done.stdout == ""


# --- pictures ------------------------------------------------------------------------------------


def test_a_picture_shows_the_bar_where_the_person_is(folder: Path, tmp_path: Path) -> None:
    archive, file = Archive(folder / "archive"), tmp_path / "timeline.png"
    timeline = archive.timeline(CLIP)
    archive.plot_timeline(timeline, file)
    picture = np.asarray(Image.open(file).convert("RGB")).astype(int)
    row = picture[round(1.2 * 120)]  # through the first person's bar, at 120 points an inch
    blue = np.flatnonzero((row[:, 2] - row[:, 0] > 90) & (row[:, 2] > 150))
    left, right = 2.75 * 120, (13 - 1.05) * 120
    shown = (np.array([blue.min(), blue.max()]) - left) / (right - left) * timeline.end_s
    assert shown == pytest.approx([2.736, 7.040], abs=0.02)


@pytest.mark.parametrize(
    ("since_s", "until_s", "written"),
    [
        (0, 122.6, "00:00 00:15 00:30 00:45 01:00 01:15 01:30 01:45 02:00"),
        (4, 4.5, "00:04.0 00:04.1 00:04.2 00:04.3 00:04.4 00:04.5"),
        (3500, 3725, "00:58:30 00:59:00 00:59:30 01:00:00 01:00:30 01:01:00 01:01:30 01:02:00"),
    ],
)
def test_time_is_marked_at_round_moments(since_s: float, until_s: float, written: str) -> None:
    assert [code for _, code in marks(since_s, until_s)] == written.split()


def test_the_same_timeline_gives_the_same_drawing(folder: Path, tmp_path: Path) -> None:
    archive = Archive(folder / "archive")
    for suffix in ("svg", "png"):
        files = [tmp_path / f"{name}.{suffix}" for name in "ab"]
        for file in files:
            archive.plot_timeline(archive.timeline(CLIP), file, since=1.0, until=8.0)
        assert files[0].read_bytes() == files[1].read_bytes()
    archive.plot_appearances(SINGER, archive.appearances(SINGER), tmp_path / "person.svg")
    assert b"<dc:date>" not in (tmp_path / "person.svg").read_bytes()


def test_without_matplotlib_the_extra_is_named_before_the_work(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError")
    done = in_a_process(folder, CLIP, "--plot", "a.png", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert "pip install 'vidsearch[plot]'" in done.stderr
    assert done.stdout == ""
