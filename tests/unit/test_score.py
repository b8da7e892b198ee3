"""`idclip score` on files of vectors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from idclip.cli import Command
from idclip.cli_score import score
from idclip.metrics import InvalidVectors
from idclip.score import score_file

# Ten images, two each of five persons; each text is its image's vector, but for the last one.
IMAGE = np.eye(10, dtype=np.float32)
TEXT = np.vstack([IMAGE[:9], IMAGE[0] + 0.9 * IMAGE[9]]).astype(np.float32)
ARRAYS: dict[str, Any] = {
    "image": IMAGE,
    "text": TEXT,
    "text_image": np.arange(10),
    "image_entity": np.repeat(np.arange(5), 2),
    "entity_text": (IMAGE[0::2] + 0.5 * IMAGE[1::2]).astype(np.float32),
    "entity": np.arange(5),
}


def run(*arguments: str) -> Result:
    group = Command(commands={"score": score})
    return CliRunner().invoke(group, ["score", *arguments])


def saved(folder: Path, **changes: Any) -> str:
    arrays = {name: value for name, value in {**ARRAYS, **changes}.items() if value is not None}
    np.savez(folder / "vectors.npz", **arrays)
    return str(folder / "vectors.npz")


def test_figures_by_hand(tmp_path: Path) -> None:
    done = run(saved(tmp_path), "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {
        # the last text is nearer to image 0 than to its own
        "t2i": {"R@1": 0.9, "R@5": 1.0, "R@10": 1.0, "R@50": 1.0},
        "i2t": {"R@1": 1.0, "R@5": 1.0, "R@10": 1.0, "R@50": 1.0},
        "entity": {
            "kmin-R@1": 1.0,
            "kmin-R@5": 1.0,
            "kmin-R@10": 1.0,
            "kmin-R@50": 1.0,
            "AP": 1.0,
            "paper_mAP@10": pytest.approx(0.2),
        },
    }


def test_names_of_persons_may_be_strings(tmp_path: Path) -> None:
    by_number = score_file(Path(saved(tmp_path)))
    names = np.array(["ann", "bob", "cleo", "dan", "eve"])
    by_name = score_file(
        Path(saved(tmp_path, image_entity=names[ARRAYS["image_entity"]], entity=names))
    )
    assert by_name == by_number


def test_persons_may_be_left_out(tmp_path: Path) -> None:
    file = saved(tmp_path, image_entity=None, entity_text=None, entity=None)
    assert set(json.loads(run(file, "--json").stdout)) == {"t2i", "i2t"}


def test_a_table_to_read(tmp_path: Path) -> None:
    lines = run(saved(tmp_path)).stdout.splitlines()
    figures = " ".join(lines[0].split())
    assert figures == "text to image R@1 90.0 R@5 100.0 R@10 100.0 R@50 100.0 %"
    assert lines[2].startswith("persons")


def fails(file: str, message: str) -> None:
    done = run(file, "--json")
    assert done.exit_code == 2
    assert "Traceback" not in done.output
    assert message in done.output
    assert Path(file).name in done.output


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.npz"
    broken.write_bytes(Path(saved(tmp_path)).read_bytes()[:300])
    fails(str(broken), "not readable as .npz")
    broken.write_text("a,b\n1,2\n")
    fails(str(broken), "not readable as .npz")
    broken.write_bytes(b"")
    fails(str(broken), "not readable as .npz")
    np.save(tmp_path / "one.npy", IMAGE)
    fails(str(tmp_path / "one.npy"), "this is one array")
    fails(str(tmp_path / "absent.npz"), "does not exist")


def test_a_damaged_array_is_refused(tmp_path: Path) -> None:
    file = Path(saved(tmp_path, image=np.random.default_rng(0).random((100, 100))))
    data = bytearray(file.read_bytes())
    data[5000] ^= 255  # within the numbers: the archive's check sum tells
    file.write_bytes(data)
    fails(str(file), "not readable as .npz")


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    fails(saved(tmp_path, entity=np.array(list("abcde"), dtype=object)), "pickled")


def test_missing_and_wrong_arrays_are_named(tmp_path: Path) -> None:
    fails(saved(tmp_path, text_image=None), "text_image are missing")
    fails(saved(tmp_path, entity=None), "entity are missing")
    fails(saved(tmp_path, text=TEXT * np.nan), "row 0 of text is not finite")
    fails(saved(tmp_path, text_image=np.arange(10) + 1), "text_image[9] is 10")
    with pytest.raises(InvalidVectors, match=r"vectors\.npz"):
        score_file(Path(saved(tmp_path, text=TEXT[:, :3])))


def test_it_needs_no_model(tmp_path: Path) -> None:
    code = (
        "import sys; from idclip.cli_score import score\n"
        f"score.main([{saved(tmp_path)!r}], standalone_mode=False)\n"
        "print([m for m in ('torch', 'cv2', 'PIL', 'onnxruntime', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
