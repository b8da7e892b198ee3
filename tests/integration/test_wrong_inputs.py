"""What a user gets wrong is told in one sentence that says what, where, and what to do instead.

A full disk has tests of its own: under an archive in test_store.py, under clips in
test_export_clips.py, under the standard output in test_commands.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from vidsearch import Archive
from vidsearch.cli import main

CLIP = "white-house-poetry.mp4"
SINGER = "Lin-Manuel Miranda"


@pytest.fixture(scope="module")
def folder(example_media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an archive of the clip, two people enrolled, and a plain file called `file`."""
    folder = tmp_path_factory.mktemp("wrong")
    shutil.copy2(example_media / CLIP, folder)
    (folder / "file").write_text("not a folder")
    archive = Archive(folder / "archive")
    archive.index([folder / CLIP])
    archive.enrol(SINGER, [example_media / "people" / "Lin-Manuel_Miranda.jpg"])
    archive.enrol("Joe Biden", [example_media / "people" / "Joe_Biden.jpg"])
    archive.discover()
    return folder


WRONG = {
    "a time beyond the end, of a timeline": (
        ["timeline", CLIP, "--since", "60"],
        2,
        ["is 00:00:09.176", "60 s is no moment of it"],
    ),
    "a time beyond the end, of a picture to look like": (
        ["query", "--like", f"{CLIP}@60"],
        2,
        [f"{CLIP}@60", "the video ends at 00:00:09.176"],
    ),
    "a time beyond the end, of a face": (
        ["query", "--face", f"{CLIP}@60"],
        2,
        [f"{CLIP}@60", "the video ends at 00:00:09.176"],
    ),
    "a time beyond the end, of a photo": (
        ["people", "add", "Somebody", f"{CLIP}@60"],
        2,
        [f"{CLIP}@60", "the video ends at 00:00:09.176"],
    ),
    "a time beyond the end, of a question": (
        ["query", "a man", "--since", "60"],
        1,
        ["No shot lies in the time asked for"],
    ),
    "an unknown person, of a question": (
        ["query", "--person", "Joe Bidden"],
        1,
        ['"Joe Bidden" is not enrolled', "Joe Biden"],
    ),
    "an unknown person, of a timeline": (
        ["timeline", "--person", "Joe Bidden"],
        2,
        ['"Joe Bidden" is not enrolled', "Joe Biden"],
    ),
    "an unknown person, of an export": (
        ["export", "--person", "Nobody", "--format", "csv"],
        2,
        ['"Nobody" is not enrolled'],
    ),
    "an unknown person, of clips": (
        ["clip", "--person", "Nobody", "-o", "clips"],
        2,
        ['"Nobody" is not enrolled'],
    ),
    "an unknown person, to be forgotten": (
        ["people", "forget", "Nobody", "--yes"],
        2,
        ['"Nobody" is not enrolled'],
    ),
    "a cluster without faces, to be named": (
        ["people", "name", "99", "Somebody"],
        2,
        ["there is no cluster 99, or it has no faces any more", "vidsearch people discover"],
    ),
    "a cluster without faces, to be merged": (
        ["people", "merge", "98", "99"],
        2,
        ["there is no cluster 98, or it has no faces any more"],
    ),
    "a cluster without faces, to be ignored": (
        ["people", "ignore", "99"],
        2,
        ["there is no cluster 99, or it has no faces any more"],
    ),
    "an export of nothing": (
        ["export", "Joe Biden", "--format", "edl"],
        1,
        ["nothing to export: No shot shows Joe Biden"],
    ),
    "an export of nobody's appearances": (
        ["export", "--person", "Joe Biden", "-o", "none.srt"],
        1,
        ["nothing to export", "Joe Biden"],
    ),
    "clips of nothing": (
        ["clip", "Joe Biden", "-o", "none"],
        1,
        ["nothing to cut: No shot shows Joe Biden"],
    ),
    "an export to where nothing can be": (
        ["export", "--person", SINGER, "-o", "file/hits.csv"],
        2,
        ["file/hits.csv cannot be written", "choose another --out"],
    ),
    "clips to where nothing can be": (
        ["clip", "--person", SINGER, "-o", "file/clips"],
        2,
        ["file/clips cannot be written", "choose another --out"],
    ),
    "tables to where nothing can be": (
        ["stats", "--parquet", "file/tables"],
        2,
        ["file/tables cannot be written", "choose another folder"],
    ),
    "people to where nothing can be": (
        ["people", "export", "file/people"],
        2,
        ["file/people cannot be written", "choose another folder"],
    ),
    "sheets to where nothing can be": (
        ["people", "discover", "--sheets", "file/sheets"],
        2,
        ["file/sheets cannot be made", "choose another folder"],
    ),
    "a contact sheet to where nothing can be": (
        ["query", "a man", "--sheet", "file/sheet.jpg"],
        2,
        ["file is no folder: make it first"],
    ),
    "a plot to where nothing can be": (
        ["timeline", CLIP, "--plot", "file/plot.png"],
        2,
        ["file is no folder: make it first"],
    ),
    "a rate that cannot be a time code": (
        ["export", "--timeline", CLIP, "--format", "edl", "--rate", "17"],
        2,
        ["17 frames a second cannot be a time code", "23.976, 24, 25"],
    ),
    "a rate that is none": (
        ["export", "--timeline", CLIP, "--format", "edl", "--rate", "fast"],
        2,
        ["'fast' is no frame rate", "write 25"],
    ),
    "a rate of nought": (
        ["export", "--timeline", CLIP, "--format", "edl", "--rate", "0"],
        2,
        ["0 frames a second cannot be a time code"],
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_input_is_told(folder: Path, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, status, says = WRONG[wrong]
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    done = CliRunner(env={"VIDSEARCH_ARCHIVE": str(folder / "archive")}).invoke(main, arguments)
    told = done.stderr + done.stdout
    assert done.exit_code == status, told
    assert isinstance(done.exception, SystemExit), told
    assert all(text in told for text in says), told
    assert "Traceback" not in told
    assert sorted(folder.iterdir()) == before  # nothing half made is left
