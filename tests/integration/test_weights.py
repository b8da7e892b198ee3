"""New weights under an old name never sit beside the vectors of the old ones."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from videos import encode

from idclip.digests import encoder_digest, face_digest
from vidsearch import Archive
from vidsearch.analyze import analyze
from vidsearch.errors import ArchiveMismatch, ModelUnavailable
from vidsearch.stamp import SCHEMA, read_stamp
from vidsearch.tasks import Recipe, Task

OLD = "0123456789ab"  # a digest that no weights have
KINDS = {
    "encoder_weights": ("encoder 'concept'", encoder_digest("concept")),
    "face_weights": ("face model 'default'", face_digest("default")),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short clip, and an archive of it."""
    folder = tmp_path_factory.mktemp("made")
    encode(folder / "clip.mp4", n_frames=25)
    Archive(folder / "archive").index([folder / "clip.mp4"])
    return folder


@pytest.fixture
def archive(made: Path, tmp_path: Path) -> Path:
    """A copy of the archive, to be changed."""
    return Path(shutil.copytree(made / "archive", tmp_path / "archive"))


def restamp(archive: Path, **facts: object) -> None:
    """Change facts of the stamp; None takes one away."""
    file = archive / "archive.json"
    stamp = json.loads(file.read_text()) | facts
    file.write_text(json.dumps({k: v for k, v in stamp.items() if v is not None}))


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vidsearch", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_new_archive_notes_the_weights_that_made_it(made: Path) -> None:
    stamp = read_stamp(made / "archive")
    assert stamp.encoder_weights == encoder_digest("concept")
    assert stamp.face_weights == face_digest("default")


@pytest.mark.parametrize("kind", list(KINDS))
def test_indexing_with_other_weights_is_refused(kind: str, archive: Path, made: Path) -> None:
    restamp(archive, **{kind: OLD})
    done = run("index", made / "clip.mp4", "--force", "--archive", archive)
    model, here = KINDS[kind]
    assert done.returncode == 2
    for part in (OLD, here, model, f"vidsearch index --archive {archive}-{here} --encoder concept"):
        assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert len(Archive(archive).videos()) == 1


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_question_is_refused_rather_than_answered_wrong(kind: str, archive: Path) -> None:
    restamp(archive, **{kind: OLD})
    done = run("query", "a pattern", "--archive", archive)
    assert done.returncode == 2
    assert done.stdout == ""
    assert OLD in done.stderr
    assert KINDS[kind][0] in done.stderr


@pytest.mark.parametrize("kind", list(KINDS))
def test_nobody_is_enrolled_with_other_weights(
    kind: str, archive: Path, example_media: Path
) -> None:
    restamp(archive, **{kind: OLD})
    photo = example_media / "people" / "Lin-Manuel_Miranda.jpg"
    with pytest.raises(ArchiveMismatch, match=OLD):
        Archive(archive).enrol("The Poet", [photo])
    assert Archive(archive).people() == []


def test_what_needs_no_vectors_goes_on(archive: Path) -> None:
    restamp(archive, encoder_weights=OLD, face_weights=OLD)
    (video,) = Archive(archive).videos()
    assert Archive(archive).shots(video.video_id)


def test_an_archive_from_before_is_opened_as_ever_its_weights_unknown(
    archive: Path, made: Path
) -> None:
    restamp(archive, schema=1, encoder_weights=None, face_weights=None)
    assert Archive(archive).query("a pattern").hits
    assert Archive(archive).index([made / "clip.mp4"], force=True).failed == ()
    stamp = read_stamp(archive)
    assert (stamp.encoder_weights, stamp.face_weights) == ("", "")


def test_a_version_from_before_would_ask_to_be_updated(made: Path) -> None:
    """Not call the stamp damaged: it refuses layouts that are newer than its own, which was 1."""
    assert json.loads((made / "archive" / "archive.json").read_text())["schema"] == SCHEMA > 1


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_worker_with_other_weights_analyses_nothing(kind: str, made: Path) -> None:
    recipe = Recipe("concept", "default", "blend", **{kind: OLD})
    task = Task((bytes(made / "clip.mp4"),), "id", 1, 1.0)
    with pytest.raises(ModelUnavailable, match=rf"{KINDS[kind][1]}.*{OLD}.*same version"):
        analyze(task, recipe)
