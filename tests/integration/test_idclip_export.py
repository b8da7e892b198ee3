"""An exported Id-CLIP says what the model says, and both are encoders of vidsearch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs torch: pip install "vidsearch[train]"')

import small_clips  # noqa: E402
from small_clips import each, faces, noise  # noqa: E402

from idclip.checkpoints import save  # noqa: E402
from idclip.digests import encoder_digest  # noqa: E402
from idclip.encoders import full_name, load_encoder, takes_people  # noqa: E402
from idclip.errors import ModelUnavailable, VidsearchError  # noqa: E402
from idclip.idclip_export import export_idclip  # noqa: E402
from idclip.model import IdCLIP  # noqa: E402
from vidsearch import Archive  # noqa: E402

DEFAULT_DIM = 256  # of the default face model


@pytest.fixture(scope="module")
def compact(tmp_path_factory: pytest.TempPathFactory) -> tuple[IdCLIP, Path]:
    """An Id-CLIP on the compact backbone with a translator that nobody trained."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = IdCLIP("compact", face_dim=DEFAULT_DIM, tokens=2, text_prompts=1).eval()
    folder = tmp_path_factory.mktemp("checkpoint") / "mine"
    save(model, folder)
    return model, folder


@pytest.fixture(scope="module")
def command(
    compact: tuple[IdCLIP, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The command that exports it, and where to."""
    folder = tmp_path_factory.mktemp("export") / "onnx"
    words = [sys.executable, "-m", "idclip.cli", "export", str(compact[1]), "--onnx", str(folder)]
    return subprocess.run(words, capture_output=True, text=True), folder


@pytest.fixture(scope="module")
def exported(command: tuple[subprocess.CompletedProcess[str], Path]) -> Path:
    done, folder = command
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "small-vit",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("small-sigmoid", "small-hf", "small-resnet")
        ),
    ],
)
def test_an_export_is_equal_to_the_model_on_every_kind_of_tower(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_clips.register(tmp_path / "models")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = IdCLIP(name, face_dim=16, prompts=3, text_prompts=2, tokens=2).eval()
    save(model, tmp_path / "mine")
    # Random weights cannot be loaded again by their name.
    monkeypatch.setattr("idclip.idclip_export.load_idclip", lambda checkpoint: model)
    export_idclip(tmp_path / "mine", tmp_path / "onnx")
    encoder = load_encoder(f"onnx:{tmp_path / 'onnx'}")
    assert takes_people(encoder)
    texts = ["[TOK] riding a horse", "a sun", "[TOK] beside [TOK]", "[TOK]"]
    drawn = faces(4, 16, seed=3)
    people = [drawn[:1], drawn[:0], drawn[1:3], drawn[3:]]
    pictures = noise(3, 90, seed=4)
    assert np.abs(encoder.encode_images(pictures) - model.encode_images(pictures)).max() < 1e-4
    said = model.encode_texts(texts, people)
    assert np.abs(encoder.encode_texts(texts, people) - said).max() < 1e-4
    assert np.abs(encoder.encode_texts(texts[1:2]) - said[1:2]).max() < 1e-4


def test_an_export_needs_no_torch(exported: Path) -> None:
    code = f"""
import sys, numpy as np
from idclip.encoders import load_encoder
encoder = load_encoder("onnx:{exported}")
face = np.ones((1, {DEFAULT_DIM}), np.float32)
print(encoder.encode_texts(["[TOK] riding"], [face]).shape, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(1, 384) False"


def test_an_export_says_what_it_is(compact: tuple[IdCLIP, Path], exported: Path) -> None:
    names = {file.name for file in exported.iterdir()}
    assert names >= {"visual.onnx", "textual.onnx", "translator.onnx", "tokenizer.json"}
    assert (exported / "MODEL_CARD.md").read_text() == (compact[1] / "MODEL_CARD.md").read_text()
    said = json.loads((exported / "encoder.json").read_text())
    assert (said["face_model"], said["face_dim"], said["tokens"]) == ("default", DEFAULT_DIM, 2)


def test_an_export_goes_into_a_new_folder_only(
    compact: tuple[IdCLIP, Path], exported: Path
) -> None:
    with pytest.raises(VidsearchError, match="exists"):
        export_idclip(compact[1], exported)


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no Id-CLIP checkpoint"):
        export_idclip(tmp_path / "nothing", tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_command_exports_and_says_how_equal(
    command: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, folder = command
    assert done.returncode == 0, done.stderr
    said = re.search(r"equal to the model within (\S+);", done.stdout)
    assert said
    assert float(said[1]) < 1e-4
    assert (folder / "translator.onnx").is_file()


# --- as encoders ---------------------------------------------------------------------------------


def test_a_checkpoint_is_an_encoder_with_its_name_and_digest(
    compact: tuple[IdCLIP, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, folder = compact
    monkeypatch.chdir(folder.parent)
    encoder = load_encoder(f"idclip:{folder.name}")
    assert encoder.name == full_name(f"idclip:{folder.name}") == f"idclip:{folder}"
    assert takes_people(encoder)
    assert encoder.face_model == "default"
    people = each(faces(2, DEFAULT_DIM))
    texts = ["[TOK] giving a speech", "a red [TOK]"]
    assert np.array_equal(encoder.encode_texts(texts, people), model.encode_texts(texts, people))
    assert len(encoder_digest(encoder.name)) == 12


def test_only_an_encoder_that_can_hold_people_says_so() -> None:
    assert not takes_people(load_encoder("concept"))


def test_a_missing_checkpoint_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="idclip train"):
        load_encoder(f"idclip:{tmp_path}")
    with pytest.raises(ModelUnavailable, match="idclip train"):
        encoder_digest(f"idclip:{tmp_path}")


@pytest.fixture(scope="module")
def clip(example_media_module: Path) -> Path:
    return example_media_module / "white-house-poetry.mp4"


@pytest.fixture(scope="module")
def example_media_module() -> Path:
    return Path(__file__).parents[2] / "examples" / "media"


@pytest.mark.parametrize("kind", ["onnx", "idclip"])
def test_vidsearch_indexes_and_asks_with_it(
    kind: str, compact: tuple[IdCLIP, Path], exported: Path, clip: Path, tmp_path: Path
) -> None:
    name = f"{kind}:{exported if kind == 'onnx' else compact[1]}"
    archive = Archive(tmp_path / "archive", encoder=name)
    assert len(archive.index([clip]).indexed) == 1
    photos = sorted((clip.parent / "people").glob("Lin-Manuel*"))
    archive.enrol("Lin-Manuel Miranda", photos)
    answer = Archive(tmp_path / "archive").query("Lin-Manuel Miranda singing into a microphone")
    assert answer.hits[0].start_s == pytest.approx(2.736, abs=0.01)
    assert answer.hits[0].people[0].probability > 0.5


def test_an_encoder_for_another_face_model_is_refused_with_both_names(
    exported: Path, clip: Path, tmp_path: Path
) -> None:
    file = exported / "encoder.json"
    said = json.loads(file.read_text())
    try:
        file.write_text(json.dumps({**said, "face_model": "insightface:buffalo_l"}))
        with pytest.raises(ModelUnavailable, match="insightface:buffalo_l, and default was chosen"):
            Archive(tmp_path / "archive", encoder=f"onnx:{exported}").index([clip])
    finally:
        file.write_text(json.dumps(said))
