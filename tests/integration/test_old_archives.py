"""Archives that the code of earlier layouts made: read as they are, upgraded by the next write."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from idclip.digests import encoder_digest, face_digest
from vidsearch import Archive
from vidsearch.cli import main
from vidsearch.errors import ArchiveMismatch, EnrolmentError
from vidsearch.schema import LATER, TABLES
from vidsearch.stamp import SCHEMA, read_stamp
from vidsearch.store import Store

FIXTURES = Path(__file__).parents[1] / "fixtures" / "archives"
LAYOUTS = [int(file.name[7:-7]) for file in sorted(FIXTURES.glob("schema-*.tar.gz"))]
OLD = [layout for layout in LAYOUTS if layout < SCHEMA]


def unpacked(layout: int, folder: Path) -> Archive:
    with tarfile.open(FIXTURES / f"schema-{layout}.tar.gz") as packed:
        packed.extractall(folder, filter="data")
    return Archive(folder / f"schema-{layout}")


def fits(layout: int) -> bool:
    """Whether the models of today made the archive's vectors too, by the digests of their weights.

    One without digests is of the first layout, and of face weights whose vectors were shorter.
    """
    with tarfile.open(FIXTURES / f"schema-{layout}.tar.gz") as packed:
        file = packed.extractfile(f"schema-{layout}/archive.json")
        assert file is not None
        stamp = json.load(file)
    made_with = (stamp.get("encoder_weights"), stamp.get("face_weights"))
    return made_with == (encoder_digest(stamp["encoder"]), face_digest(stamp["face_model"]))


ANSWERING = [layout for layout in LAYOUTS if fits(layout)]
REFUSED = [layout for layout in LAYOUTS if layout not in ANSWERING]


@pytest.fixture(params=LAYOUTS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    return unpacked(request.param, tmp_path)


@pytest.fixture(params=ANSWERING)
def answering(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    return unpacked(request.param, tmp_path)


def told(archive: Archive) -> dict[str, object]:
    """What the rows say, in words that every layout knows."""
    return {
        "videos": [(v.video_id, v.paths, v.status, v.n_shots, v.duration_s, v.n_frames)
                   for v in archive.videos()],
        "shots": [archive.shots(v.video_id) for v in archive.videos()],
        "people": [(p.name, p.aliases, [(f.name, f.sha256, f.jpeg, f.vector.tobytes())
                                        for f in p.photos]) for p in archive.people()],
        "labels": [label.label_id for label in archive._open.reader.labels()],
        "faces": archive._open.reader.rows().look_vectors.tobytes(),
    }  # fmt: skip


def test_there_are_archives_whose_answers_are_compared() -> None:
    """Other weights refuse all archives that are stored: then `make.py` has to make one of today's.

    Else what is parametrized by `ANSWERING` tests nothing, and nobody is told.
    """
    assert LAYOUTS[-1] in ANSWERING


# --- reading -------------------------------------------------------------------------------------


def test_an_old_archive_is_read_as_it_is(old: Archive) -> None:
    stamp = (old.path / "archive.json").read_bytes()
    assert {Path(v.path).name: (v.status, v.n_shots) for v in old.videos()} == {
        "poetry.mp4": ("indexed", 2),
        "pattern.mp4": ("indexed", 1),
        "broken.mp4": ("failed", 0),
    }
    assert old.person("LMM").name == "Lin-Manuel Miranda"
    assert len(old.shots("poetry.mp4")) == 2
    assert old.missing_videos() != []
    assert [fault for fault in old.verify() if fault.mend != "sweep"] == []
    assert (old.path / "archive.json").read_bytes() == stamp  # reading changes nothing


def test_an_old_archive_answers_before_and_after_it_is_upgraded(answering: Archive) -> None:
    for _ in ("before", "after"):
        archive = Archive(answering.path)
        (hit,) = archive.query("Lin-Manuel Miranda").hits
        assert Path(hit.video).name == "poetry.mp4"
        assert hit.people[0].probability > 0.9
        assert archive.query("a man sings", k=3).hits
        line = archive.timeline("poetry.mp4")
        assert [who.person for who in line.at(hit.people[0].time_s).people] == [
            "Lin-Manuel Miranda"
        ]
        assert archive.stats().people == len(archive.people())
        with archive._open.writer():
            pass


# --- upgrading -----------------------------------------------------------------------------------


def test_the_next_write_upgrades_in_place_and_loses_nothing(old: Archive) -> None:
    before = told(old)
    with Archive(old.path)._open.writer():
        pass
    upgraded = Archive(old.path)
    assert read_stamp(old.path).schema == SCHEMA
    assert {f"{name}.lance" for name in TABLES} <= {each.name for each in old.path.iterdir()}
    assert told(upgraded) == before
    assert upgraded.verify() == []


def test_an_upgraded_archive_knows_its_videos_where_they_lie_now(answering: Archive) -> None:
    ids = {video.video_id for video in answering.videos()}
    report = answering.index([FIXTURES / "videos"])
    assert (report.planned.moved, report.planned.todo) == (2, 1)
    assert [Path(each.path).name for each in report.failed] == ["broken.mp4"]
    after = Archive(answering.path)
    assert {video.video_id for video in after.videos()} == ids
    assert after.missing_videos() == []
    assert after.verify() == []


def test_whom_an_old_archive_forgot_stays_forgotten(
    answering: Archive, example_media: Path
) -> None:
    if not (lines := answering.forgotten()):
        assert answering.person("Joe Biden")
        return
    assert len(lines) == 1
    with pytest.raises(EnrolmentError, match="was forgotten here on"):
        answering.enrol("Joe Biden", [example_media / "people" / "Joe_Biden.jpg"])


def test_who_is_forgotten_by_an_upgraded_archive_leaves_nothing(answering: Archive) -> None:
    person = answering.person("Lin-Manuel Miranda")
    assert answering.forget_person(person.name)
    after = Archive(answering.path)
    assert person.name not in [each.name for each in after.people()]
    assert after.query("a man sings", k=3).hits
    assert after.verify() == []
    known = (person.name.encode(), person.photos[0].jpeg, person.photos[0].vector.tobytes())
    for file in (f for f in answering.path.rglob("*") if f.is_file()):
        assert not any(each in file.read_bytes() for each in known), file


_KILLED = """
import os, signal, sys
from pathlib import Path
from vidsearch import store, tables
left = int(sys.argv[2])
def deadly(step):
    def run(*arguments):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments)
    return run
store.write_stamp = deadly(store.write_stamp)
tables.Tables.make = deadly(tables.Tables.make)
class Watched:
    def __init__(self, table): self._table = table
    def __getattr__(self, name):
        found = getattr(self._table, name)
        return deadly(found) if name == "add_columns" else found
opening = tables.Tables.open
tables.Tables.open = lambda self, name: Watched(opening(self, name))
store.Store.open(Path(sys.argv[1])).close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("layout", OLD[:1] + OLD[-1:])
def test_an_upgrade_that_is_killed_is_finished_by_the_next_writer(
    layout: int, tmp_path: Path
) -> None:
    before = told(unpacked(layout, tmp_path))
    kills = 0
    while True:
        folder = tmp_path / f"killed {kills}"
        archive = unpacked(layout, folder)
        command = [sys.executable, "-c", _KILLED, str(archive.path), str(kills)]
        done = subprocess.run(command, timeout=60).returncode
        assert told(Archive(archive.path)) == before  # a reader sees all, whatever is half done
        with Archive(archive.path)._open.writer():
            pass
        assert told(Archive(archive.path)) == before
        assert Archive(archive.path).verify() == []
        assert read_stamp(archive.path).schema == SCHEMA
        if done == 0:
            break
        assert done == -signal.SIGKILL
        kills += 1
    # The stamp, each table that was missing, and the columns where there are new ones.
    missing = {
        name for name in LATER if not (tmp_path / f"schema-{layout}" / f"{name}.lance").exists()
    }
    assert kills >= 1 + len(missing)


# --- what cannot be gone on with -----------------------------------------------------------------


@pytest.mark.parametrize("layout", REFUSED)
def test_an_archive_of_other_weights_is_refused_and_its_people_are_brought_over(
    layout: int, tmp_path: Path
) -> None:
    old = unpacked(layout, tmp_path)
    people = {person.name for person in old.people()}
    for refused in (
        lambda: Archive(old.path).query("a man"),
        lambda: Archive(old.path).query("Joe Biden"),
        lambda: Archive(old.path).index([FIXTURES / "videos"]),
        lambda: Archive(old.path).enrol("Somebody", [FIXTURES / "none.jpg"]),
    ):
        with pytest.raises(ArchiveMismatch, match="people refit --from") as said:
            refused()
        assert "cannot be compared" in str(said.value)
    fresh = Archive(tmp_path / "fresh")
    fresh.index([FIXTURES / "videos"])
    assert {person.name for person in fresh.refit_people(old.path).people} == people
    (hit,) = Archive(fresh.path).query("Lin-Manuel Miranda").hits
    assert Path(hit.video).name == "poetry.mp4"


def test_an_archive_of_a_newer_vidsearch_is_refused_by_reader_and_writer(tmp_path: Path) -> None:
    archive = unpacked(LAYOUTS[-1], tmp_path)
    stamp = archive.path / "archive.json"
    facts = json.loads(stamp.read_text()) | {"schema": SCHEMA + 1, "vidsearch": "9.9", "new": 1}
    stamp.write_text(json.dumps(facts))
    before = sorted((f, f.stat().st_mtime_ns) for f in archive.path.rglob("*") if f.is_file())
    for words in (["query", "a man"], ["index", str(FIXTURES)], ["videos"], ["verify"], ["prune"]):
        done = CliRunner().invoke(main, [*words, "--archive", str(archive.path)])
        assert done.exit_code == 2
        assert "made by vidsearch 9.9" in done.output
        assert "pip install --upgrade vidsearch" in done.output
    with pytest.raises(ArchiveMismatch):
        Store.open(archive.path)
    after = sorted((f, f.stat().st_mtime_ns) for f in archive.path.rglob("*") if f.is_file())
    assert after == before
