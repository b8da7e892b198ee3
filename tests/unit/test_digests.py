"""A digest changes with the weights that make stored vectors, and with nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from idclip import concept, identity
from idclip.digests import WHOLE, encoder_digest, face_digest, of_files
from idclip.errors import ModelUnavailable


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of the shipped weights, to be changed."""
    folder = Path(shutil.copytree(concept.WEIGHTS.parent, tmp_path / "weights"))
    monkeypatch.setattr(concept, "WEIGHTS", folder / "concept")
    monkeypatch.setattr("idclip.faces.WEIGHTS", folder / "faces")
    monkeypatch.setattr(identity, "CALIBRATED", {"default": folder / "faces"})
    return folder


def change(file: Path) -> None:
    """Turn one bit in the middle."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def both() -> tuple[str, str]:
    return encoder_digest("concept"), face_digest("default")


def test_equal_weights_have_equal_digests_wherever_they_lie(shipped: Path) -> None:
    copied = both()
    assert copied[0] == of_files([shipped / "concept" / "image.onnx"])
    shutil.move(shipped, shipped.with_name("moved"))
    assert of_files([shipped.with_name("moved") / "concept" / "image.onnx"]) == copied[0]
    assert all(len(digest) == 12 for digest in copied)


def test_another_picture_tower_is_another_encoder(shipped: Path) -> None:
    before = both()
    change(shipped / "concept" / "image.onnx")
    after = both()
    assert after[0] != before[0]
    assert after[1] == before[1]


@pytest.mark.parametrize("file", ["face_network.onnx", "face_vector.onnx", "cohort.npy"])
def test_another_face_network_projection_or_cohort_is_another_face_model(
    file: str, shipped: Path
) -> None:
    before = both()
    change(shipped / "faces" / file)
    after = both()
    assert after[1] != before[1]
    assert after[0] == before[0]


@pytest.mark.parametrize(
    "file",
    ["concept/text.onnx", "faces/centerface.onnx", "faces/quality.json", "concept/tokenizer.json"],
)
def test_what_finds_faces_and_reads_texts_may_change(file: str, shipped: Path) -> None:
    before = both()
    change(shipped / file)
    assert both() == before


def test_what_only_scores_may_change(shipped: Path) -> None:
    before = both()
    calibration = shipped / "faces" / "calibration.json"
    read = json.loads(calibration.read_text())
    read["weights"]["bias"] -= 1
    calibration.write_text(json.dumps(read))
    config = shipped / "concept" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"logit_scale": 1.0}))
    assert both() == before
    for count in ("top", "nearest"):  # by which the statistics are made that looks are stored with
        calibration.write_text(json.dumps(read | {count: read[count] + 1}))
        assert both()[1] != before[1]


def test_a_large_file_is_told_by_samples_in_no_time(tmp_path: Path) -> None:
    size = 20 * WHOLE
    file = tmp_path / "large.bin"
    with file.open("wb") as opened:
        opened.truncate(size)
    began = time.perf_counter()
    before = of_files([file])
    assert time.perf_counter() - began < 2.0
    for at in (0, size // 2, size - 1):  # both ends, and a block between
        with file.open("r+b") as opened:
            opened.seek(at)
            opened.write(b"\x01")
        assert of_files([file]) != before
        before = of_files([file])
    with file.open("r+b") as opened:
        opened.truncate(size + 1)
    assert of_files([file]) != before


def test_an_exported_clip_counts_its_picture_network_and_preparation(tmp_path: Path) -> None:
    (tmp_path / "visual.onnx").write_bytes(b"see")
    (tmp_path / "textual.onnx").write_bytes(b"read")
    (tmp_path / "encoder.json").write_text(
        json.dumps({"title": "x", "dim": 4, "image_size": [32, 32], "context_length": 8})
    )
    seen = {encoder_digest(f"onnx:{tmp_path}")}
    (tmp_path / "textual.onnx").write_bytes(b"read otherwise")
    described = json.loads((tmp_path / "encoder.json").read_text()) | {"licence": "MIT"}
    (tmp_path / "encoder.json").write_text(json.dumps(described))
    assert {encoder_digest(f"onnx:{tmp_path}")} == seen
    (tmp_path / "encoder.json").write_text(json.dumps(described | {"mean": [0.5, 0.5, 0.5]}))
    seen.add(encoder_digest(f"onnx:{tmp_path}"))
    (tmp_path / "visual.onnx.data").write_bytes(b"weights beside the graph")
    seen.add(encoder_digest(f"onnx:{tmp_path}"))
    (tmp_path / "visual.onnx").write_bytes(b"see otherwise")
    seen.add(encoder_digest(f"onnx:{tmp_path}"))
    assert len(seen) == 4


def test_face_models_without_a_cohort_count_their_network(tmp_path: Path) -> None:
    (tmp_path / "face_detection_yunet_a.onnx").write_bytes(b"finds")
    network = tmp_path / "face_recognition_sface_a.onnx"
    network.write_bytes(b"tells")
    before = face_digest(f"opencv:{tmp_path}")
    (tmp_path / "face_detection_yunet_a.onnx").write_bytes(b"finds better")
    assert face_digest(f"opencv:{tmp_path}") == before == of_files([network])
    network.write_bytes(b"tells better")
    assert face_digest(f"opencv:{tmp_path}") != before
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "w600k_r50.onnx").write_bytes(b"arc")
    assert face_digest(f"insightface:{pack}") == of_files([pack / "w600k_r50.onnx"])


def test_names_that_nobody_knows_and_files_that_are_gone_are_told(shipped: Path) -> None:
    for asked in (encoder_digest, face_digest):
        with pytest.raises(ModelUnavailable, match="konzept"):
            asked("konzept")
    (shipped / "concept" / "image.onnx").unlink()
    with pytest.raises(ModelUnavailable, match=r"image\.onnx: the weights cannot be read"):
        encoder_digest("concept")


def test_no_model_is_loaded_for_a_digest() -> None:
    """A question in a new process would wait for it."""

    code = (
        "import sys\n"
        "from idclip.digests import encoder_digest, face_digest\n"
        "encoder_digest('concept'), face_digest('default')\n"
        "print([m for m in ('onnxruntime', 'torch', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
