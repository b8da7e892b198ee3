"""The commands as a user meets them: what is refused, what is said, and how they leave."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from store_records import MODELS, analyzed_video, person
from videos import encode

from vidsearch import Archive, search
from vidsearch.cli import main
from vidsearch.store import Store


@pytest.fixture(scope="module")
def footage(example_media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with the White House clip and one person, asked but not changed."""
    folder = tmp_path_factory.mktemp("footage") / "archive"
    archive = Archive(folder)
    archive.index([example_media / "white-house-poetry.mp4"])
    photo = example_media / "people" / "Lin-Manuel_Miranda.jpg"
    archive.enrol("Lin-Manuel Miranda", [photo], aliases=["LMM"])
    return folder


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """An archive of made-up rows: no model can be asked, everything else can."""
    folder = tmp_path / "stored"
    Store.create(folder, **MODELS)  # type: ignore[arg-type]
    with Store.open(folder) as store:
        store.publish_many([analyzed_video()])
        store.add_person(person("Anna Rossi", photos=1))
    return folder


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    Store.create(folder, **MODELS)  # type: ignore[arg-type]
    return folder


def run(*arguments: object, given: str | None = None) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], input=given)


# --- how they leave ------------------------------------------------------------------------------


COMMANDS = [["detectors"], ["detectors", "--json"], ["models", "list"], ["videos"], ["--help"]]


def _left(stdout: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vidsearch", *map(str, arguments)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_reader_that_leaves_early_is_no_failure(stored: Path, command: list[str]) -> None:
    options = ["--archive", stored] if command == ["videos"] else []
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = _left(writing, *command, *options)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_output_that_is_full_is_one_message(stored: Path, command: list[str]) -> None:
    options = ["--archive", stored] if command == ["videos"] else []
    with open("/dev/full", "w") as full:
        done = _left(full.fileno(), *command, *options)
    assert done.returncode == 2
    assert done.stderr == "vidsearch: the output cannot be written: No space left on device\n"


def test_a_run_goes_on_when_nobody_reads_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    encode(tmp_path / "video.mp4", n_frames=25)
    reading, writing = os.pipe()
    os.close(reading)
    command = ["index", tmp_path, "--archive", tmp_path / "archive", "-v"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "vidsearch", *map(str, command)],
            stderr=writing,
            timeout=120,
        )
    finally:
        os.close(writing)
    assert done.returncode == 3
    assert [video.status for video in Archive(tmp_path / "archive").videos()] == [
        "failed",
        "indexed",
    ]


# --- query ---------------------------------------------------------------------------------------


def test_a_person_needs_no_text(footage: Path) -> None:
    done = run("query", "--person", "LMM", "--archive", footage, "--json")
    assert done.exit_code == 0
    answer = json.loads(done.stdout)
    assert answer["people"] == ["Lin-Manuel Miranda"]
    assert answer["context"] == ""
    assert answer["hits"]
    assert run("query", "--archive", footage).exit_code == 2


def test_a_stranger_is_the_same_answer_in_the_text_and_beside_it(footage: Path) -> None:
    said = {}
    for where, question in (("text", ["Anna Rossi singing"]), ("option", ["--person", "Nobody"])):
        plain = run("query", *question, "--archive", footage)
        assert plain.exit_code == 1
        assert "is not enrolled" in plain.stdout
        answer = json.loads(run("query", *question, "--archive", footage, "--json").stdout)
        assert answer["hits"] == []
        assert "is not enrolled" in answer["message"]
        said[where] = answer.keys()
    assert said["text"] == said["option"]


@pytest.mark.parametrize(("since", "until"), [("9", "1"), ("1:02", "0:05"), ("4", "4.0")])
def test_a_time_that_ends_before_it_begins_is_wrong_usage(
    stored: Path, since: str, until: str
) -> None:
    done = run("query", "x", "--archive", stored, "--since", since, "--until", until)
    assert done.exit_code == 2
    assert f"--since {since} is " in done.stderr


def test_a_threshold_without_a_person_is_told_to_do_nothing(footage: Path) -> None:
    asked = ("query", "people sitting", "--archive", footage)
    assert "--threshold" in run(*asked, "--threshold", "0.9").stderr
    assert run(*asked).stderr == ""
    assert run("query", "LMM", "--archive", footage, "--threshold", "0.5").stderr == ""
    assert run("query", "not LMM", "--archive", footage, "--threshold", "0.5").stderr == ""
    assert f"default: {search.THRESHOLD}" in run("query", "--help").stdout


@pytest.mark.parametrize("file", ["x.xyz", "sheet", "no/such/folder/sheet.jpg"])
@pytest.mark.parametrize("question", [["query", "x"], ["people", "show", "Anna Rossi"]])
def test_a_sheet_that_cannot_be_written_is_refused_before_the_work(
    stored: Path, question: list[str], file: str
) -> None:
    done = run(*question, "--archive", stored, "--sheet", stored.parent / file)
    assert done.exit_code == 2
    assert "--sheet" in done.stderr
    assert "Errno" not in done.stderr
    assert done.stdout == ""


def test_the_hit_is_opened_in_the_player(footage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    done = run("query", "LMM", "--archive", footage, "--open")
    assert done.exit_code == 2
    assert "no player found" in done.stderr
    assert "white-house-poetry.mp4 at 00:00:0" in done.stderr
    assert "00:00:02.736" in done.stdout  # the answer is there all the same


# --- people and videos ---------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["n\n", ""])
def test_who_is_not_agreed_on_stays(stored: Path, given: str) -> None:
    done = run("people", "remove", "Anna Rossi", "--archive", stored, given=given)
    assert done.exit_code == 1
    assert "Remove Anna Rossi and 1 photo?" in done.stderr
    assert "nothing was removed" in done.stderr
    assert "interrupted" not in done.stderr
    assert [kept.name for kept in Archive(stored).people()] == ["Anna Rossi"]
    assert run("people", "remove", "Anna Rossi", "--archive", stored, given="y\n").exit_code == 0
    assert Archive(stored).people() == []


def test_who_is_renamed_or_removed_is_told_to_programs(stored: Path) -> None:
    renamed = run("people", "rename", "Anna Rossi", "Anna B", "--archive", stored, "--json")
    assert json.loads(renamed.stdout)["name"] == "Anna B"
    removed = run("people", "remove", "Anna B", "--yes", "--archive", stored, "--json")
    assert json.loads(removed.stdout) == {"removed": "Anna B"}


def test_no_videos_is_said(empty: Path, stored: Path) -> None:
    none = run("videos", "--archive", empty)
    assert (none.exit_code, none.stdout) == (1, "")
    assert "holds no videos" in none.stderr
    assert "vidsearch index" in none.stderr
    well = run("videos", "--failed", "--archive", stored)
    assert (well.exit_code, well.stdout) == (1, "")
    assert "failed" in well.stderr
    assert json.loads(run("videos", "--archive", empty, "--json").stdout) == []


# --- index and doctor ----------------------------------------------------------------------------


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A folder that an encoder with a licence of its own is loaded from, by its description."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("visual.onnx", "textual.onnx", "tokenizer.json"):
        (folder / name).write_bytes(b"x")
    facts = {"title": "M", "dim": 8, "image_size": [32, 32], "context_length": 8}
    facts["licence"] = "CC-BY-NC-4.0 [research]"
    (folder / "encoder.json").write_text(json.dumps(facts))
    return folder


def _no_video(folder: Path) -> Path:
    """A file to index that no model is needed for."""
    (folder / "text.mp4").write_text("no video")
    return folder / "text.mp4"


def test_the_licence_of_another_model_is_told_when_an_archive_is_made_with_it(
    exported: Path, tmp_path: Path
) -> None:
    asked = ("index", _no_video(tmp_path), "--archive", tmp_path / "new")
    done = run(*asked, "--encoder", f"onnx:{exported}", "-q")
    line = f"encoder onnx:{exported}: CC-BY-NC-4.0 [research]"
    assert done.stderr.splitlines().count(line) == 1
    again = run(*asked, "-q")
    assert line not in again.stderr
    shutil.rmtree(tmp_path / "new")
    assert not any(
        line.startswith(("encoder ", "face model "))
        for line in run(*asked, "-q").stderr.split("\n")
    )


def test_the_licence_of_another_face_model_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from idclip import digests
    from vidsearch import analyze

    class Restricted:
        name, dim, licence = "insightface:buffalo_l", 4, "non-commercial research only"

    monkeypatch.setattr(analyze, "load_faces", lambda name, **_: Restricted())
    monkeypatch.setattr(digests, "face_digest", lambda name: "")
    asked = ("index", _no_video(tmp_path), "--archive", tmp_path / "new", "-q")
    done = run(*asked, "--faces", "insightface:buffalo_l")
    assert "face model insightface:buffalo_l: non-commercial research only\n" in done.stderr


def test_doctor_says_that_there_is_no_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidsearch import doctor

    for part in ("_machine", "_packages", "_opencv", "_video", "_compute", "_extras", "_models"):
        monkeypatch.setattr(doctor, part, lambda: iter(()))
    monkeypatch.setattr(doctor, "_selftests", lambda: iter(()))
    done = run("doctor", "--archive", tmp_path / "typo")
    assert done.exit_code == 0
    assert f"no archive at {tmp_path / 'typo'}" in done.stdout


def test_doctor_does_not_send_to_the_doctor(stored: Path) -> None:
    from vidsearch import doctor

    for file in (stored / "shots.lance").rglob("*"):
        if file.is_file():
            file.write_bytes(b"damaged")
    (told,) = [f for f in doctor._archive(stored) if f.status == "warning"]
    assert str(stored) in told.value
    assert "vidsearch doctor" not in told.value


@pytest.mark.parametrize(
    ("extra", "name"),
    [("insightface", "faces: insightface:buffalo_l"), ("transnetv2", "detector: transnetv2")],
)
def test_doctor_tells_an_absent_extra_from_absent_weights(
    extra: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from vidsearch import doctor

    def found(missing: list[str]) -> doctor.Finding:
        monkeypatch.setattr(doctor, "_missing_modules", lambda _: missing)
        (finding,) = [f for f in doctor._models() if f.name == name]
        return finding

    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    without = found(["something"])
    assert without.remedy == f'pip install "vidsearch[{extra}]"'
    assert "extra absent" in without.value
    bare = found([])
    assert (bare.status, "weights absent" in bare.value) == ("absent", True)
    assert "pip install" not in bare.remedy
    assert "vidsearch index --" in bare.remedy
    (tmp_path / "models" / "buffalo_l").mkdir(parents=True)
    (tmp_path / "vidsearch").mkdir()
    (tmp_path / "vidsearch" / "transnetv2.onnx").touch()
    assert found([]).status == "ok"


def test_doctor_misses_face_weights_that_do_not_ship(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from idclip import faces
    from vidsearch import doctor

    (well,) = [f for f in doctor._models() if f.name == "faces: default"]
    assert well.status == "ok"
    shutil.copytree(faces.WEIGHTS, tmp_path / "weights")
    monkeypatch.setattr(faces, "WEIGHTS", tmp_path / "weights")
    for file in ("centerface.onnx", "face_vector.onnx"):
        (tmp_path / "weights" / file).unlink()
        (found,) = [f for f in doctor._models() if f.name == "faces: default"]
        assert (found.status, found.remedy) == ("failed", doctor.REINSTALL)
        assert file in found.value
