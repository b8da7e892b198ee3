"""docs/cookbook.md: each of its jobs does what it shows, in a folder of its own."""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil.document import Document
from sybil.example import Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

pytestmark = pytest.mark.slow

REPO = Path(__file__).resolve().parents[2]
COOKBOOK = REPO / "docs" / "cookbook.md"
JOBS = 10
_WILD = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_NUMBER = re.compile(r"\b[01]\.\d\d\b")  # a score or a probability: other models, other numbers
_DENSITY = re.compile(r"[▒▓█]")  # of a bar: a probability too


def sections() -> dict[str, str]:
    """The jobs by their headings; what stands before the first is under ""."""
    parts = re.split(r"^## (.+)$", COOKBOOK.read_text("utf-8"), flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def printed(command: str, folder: Path) -> str:
    """What a shell shows of a command, run in the folder."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "80",
        "LC_ALL": "C.UTF-8",
    }
    for name in ("VIDSEARCH_ARCHIVE", "VIDSEARCH_CONFIG"):
        environment.pop(name, None)
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=120,
    )
    return done.stdout


def asked_and_shown(block: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with what is shown of its output."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def masked(text: str) -> str:
    return _DENSITY.sub("█", _NUMBER.sub("N", text)).strip() + "\n"


def run_section(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run every block of a job; gives how many there were."""
    checker = doctest.OutputChecker()

    def console(example: Example) -> None:
        for command, shown in asked_and_shown(example.parsed):
            got = printed(command, folder)
            if not checker.check_output(masked(shown), masked(got), _WILD):
                pytest.fail(f"$ {command}\n{got}\n--- but the cookbook shows ---\n{shown}")

    monkeypatch.chdir(folder)
    parsers = [CodeBlockParser("console", console), PythonCodeBlockParser()]
    document = Document(text, str(COOKBOOK))
    for region in (region for parser in parsers for region in parser(document)):
        document.add(region)
    examples = list(document.examples())
    for example in examples:
        example.evaluate()
    return len(examples)


@pytest.fixture(scope="module")
def begun(example_media: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that each job starts from."""
    folder = tmp_path_factory.mktemp("cookbook")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.syspath_prepend(REPO / "examples")
    from make_videos import make_videos

    shutil.copytree(example_media / "people", folder / "photos")
    make_videos(example_media, folder / "videos")
    shutil.copy2(example_media / "white-house-poetry.mp4", folder / "videos")
    for video in (folder / "videos").iterdir():
        os.utime(video, (1_000_000_000, 1_000_000_000))
    with monkeypatch.context() as patch:
        assert run_section(sections()[""], folder, patch) == 1
    yield folder
    monkeypatch.undo()


def test_there_are_ten_jobs() -> None:
    titles = list(sections())[1:]
    assert [title.partition(".")[0] for title in titles] == [str(n + 1) for n in range(JOBS)]


@pytest.mark.parametrize("job", list(sections())[1:])
def test_a_job_goes_as_the_cookbook_shows(
    job: str, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(begun, folder)
    assert run_section(sections()[job], folder, monkeypatch) > 0
