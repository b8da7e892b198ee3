"""`vidsearch doctor`: says what is there, and fails only where the main job cannot be done."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from vidsearch import doctor, opencv_build, selftest
from vidsearch.doctor import Report, as_data, diagnose, render
from vidsearch.errors import VidsearchError
from vidsearch.opencv_build import OpenCVBuild

PROVIDERS = onnxruntime.get_available_providers()


@pytest.fixture(scope="module")
def report() -> Report:
    return diagnose()


def _named(report: Report, section: str, name: str) -> doctor.Finding:
    (found,) = [f for f in report.findings if (f.section, f.name) == (section, name)]
    return found


def test_this_machine_can_do_the_main_job(report: Report) -> None:
    assert report.ok, [f for f in report.findings if f.status == "failed"]
    for name in selftest.CHECKS:
        assert _named(report, "self-test", name).status == "ok"


def test_versions_libraries_providers_and_models_are_all_there(report: Report) -> None:
    assert _named(report, "machine", "python").value == ".".join(map(str, sys.version_info[:3]))
    assert "libavcodec" in _named(report, "video", "libraries").value
    for codec in ("h264", "hevc", "vp9", "av1", "libdav1d", "mpeg2video", "prores"):
        assert codec in _named(report, "video", "decoders").value
    assert "CPUExecutionProvider" in _named(report, "compute", "onnxruntime").value
    assert "on the " in _named(report, "compute", "faces").value
    for extra in doctor.EXTRAS:
        assert _named(report, "extras", extra).status in ("ok", "absent")
    assert "commercial use: no" in _named(report, "models", "faces: insightface:buffalo_l").value


def test_whatever_is_not_right_says_what_mends_it(report: Report) -> None:
    for finding in report.findings:
        assert finding.status == "ok" or finding.remedy or finding.section == "archive"


def test_the_report_is_json_and_text(
    report: Report, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = json.loads(json.dumps(as_data(report)))
    assert data["ok"] is report.ok
    assert data["machine"]["vidsearch"]["status"] == "ok"
    assert sum(len(part) for part in data.values() if part is not data["ok"]) == len(
        report.findings
    )
    monkeypatch.setenv("COLUMNS", "40")
    render(report)
    printed = capsys.readouterr().out
    for finding in report.findings:
        assert finding.name in printed
        assert finding.remedy in printed  # whole, even in a narrow window


def test_looking_for_extras_loads_none_of_them() -> None:
    code = (
        "import sys; from vidsearch.doctor import diagnose; diagnose()\n"
        "print([m for m in ('torch', 'transformers', 'insightface', 'ray') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif("CUDAExecutionProvider" in PROVIDERS, reason="onnxruntime has CUDA here")
def test_it_says_where_faces_run_and_what_would_bring_them_to_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = doctor._faces_run("")
    assert (alone.value, alone.status, alone.remedy) == ("on the processor", "ok", "")
    lacking = doctor._faces_run("NVIDIA H100")
    assert lacking.value == "on the processor: onnxruntime has no CUDA"
    assert (lacking.status, lacking.remedy.split()[-1]) == ("absent", "onnxruntime-gpu")
    # One that says it has CUDA and cannot load it.
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    refused = doctor._faces_run("NVIDIA H100")
    assert refused.value.startswith("on the processor: --faces-device cuda: onnxruntime cannot")
    assert (refused.status, refused.remedy) == (
        "warning",
        'pip install "onnxruntime-gpu[cuda,cudnn]"',
    )


def test_a_core_that_fails_fails_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise VidsearchError("0 of 12 frames")

    def crashing() -> str:
        raise OSError("libfoo.so.1: cannot open shared object file")

    monkeypatch.setattr(selftest, "CHECKS", {"decode a video": broken, "look for faces": crashing})
    report = diagnose()
    assert not report.ok
    assert _named(report, "self-test", "decode a video").value == "0 of 12 frames"
    assert "libfoo.so.1" in _named(report, "self-test", "look for faces").value


def test_packages_are_held_against_what_the_core_requires(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = [
        "numpy>=1.26",
        "click>=99",
        "no-such-package>=1",
        "decord2>=3",
        "never; python_version < '3'",
        "torch>=2; extra == 'torch'",
    ]
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: wanted)
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda n: "" if n == "decord2" else version(n))
    found = {finding.name: finding for finding in doctor._packages()}
    assert set(found) == {"numpy", "click", "no-such-package", "decord2"}
    assert found["numpy"].status == "ok"
    assert found["click"].status == "failed"
    assert found["click"].remedy == 'pip install "click>=99"'
    assert found["no-such-package"].status == "failed"
    assert found["decord2"].status == "absent"  # PyAV does its work, slower


def test_missing_extras_do_not_fail_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "CHECKS", {})
    monkeypatch.setattr(doctor, "EXTRAS", {"torch": ("no_such_module",)})
    monkeypatch.setattr(doctor, "_models", lambda: iter(()))
    report = diagnose()
    assert report.ok
    found = _named(report, "extras", "torch")
    assert (found.status, found.remedy) == ("absent", 'pip install "vidsearch[torch]"')


def test_a_graphical_opencv_is_told_with_the_two_commands_that_mend_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = {"opencv-python-headless": "5.0", "opencv-python": "5.0"}
    build = OpenCVBuild(both, "libQt5Gui.so needs libGL.so.1")
    monkeypatch.setattr(opencv_build, "installed", lambda: build)
    monkeypatch.setattr(selftest, "CHECKS", {})
    found = _named(diagnose(), "packages", "OpenCV")
    assert found.status == "warning"
    assert "libGL" in found.value
    assert found.remedy.split(" && ") == [
        "pip uninstall -y opencv-python",
        "pip install --force-reinstall --no-deps opencv-python-headless",
    ]


def test_an_archive_is_looked_at_without_being_changed(tmp_path: Path) -> None:
    from vidsearch.store import Store

    folder = tmp_path / "archive"
    Store.create(folder, encoder="concept", encoder_dim=8, face_model="default", face_dim=4)
    before = _times(folder)
    findings = list(doctor._archive(folder))
    assert before == _times(folder)
    told = {finding.name: finding for finding in findings}
    assert "encoder concept (8)" in told["stamp"].value
    assert "0 indexed" in told["videos"].value
    for table in ("videos", "shots", "faces", "people"):
        assert "fragments" in told[f"table {table}"].value
    assert len(told) == len(findings)  # names are keys of the JSON form
    unknown = {told.pop(name).status for name in ("encoder weights", "face weights")}
    assert unknown == {"absent"}  # nobody said which
    assert all(finding.status == "ok" for finding in told.values())


def test_an_archive_made_with_other_weights_is_told_with_the_remedy(tmp_path: Path) -> None:
    from idclip.digests import encoder_digest
    from vidsearch.store import Store

    models = {"encoder": "concept", "encoder_dim": 8, "face_model": "default", "face_dim": 4}
    here = encoder_digest("concept")
    Store.create(tmp_path, **models, encoder_weights=here, face_weights="0123456789ab")
    told = {finding.name: finding for finding in doctor._archive(tmp_path)}
    assert told["encoder weights"].value == f"{here}, as installed"
    assert told["encoder weights"].status == "ok"
    assert told["face weights"].status == "warning"
    assert "0123456789ab" in told["face weights"].value
    assert "vidsearch index --archive" in told["face weights"].value


def _times(folder: Path) -> dict[Path, int]:
    """When each file was written; readers may keep copies of their own in `cache/`."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: path.stat().st_mtime_ns for path in files if path.parent.name != "cache"}


def test_a_folder_that_is_no_archive_is_told_and_is_no_failure(tmp_path: Path) -> None:
    (found,) = doctor._archive(tmp_path)
    assert found.status == "warning"
    assert str(tmp_path) in found.value
