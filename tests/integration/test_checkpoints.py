"""What an Id-CLIP has learned goes into a folder, and comes back only where it belongs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs torch: pip install "vidsearch[train]"')

import small_clips  # noqa: E402
from small_clips import faces, noise  # noqa: E402

from idclip.backbones import Backbone, load_backbone  # noqa: E402
from idclip.checkpoints import (  # noqa: E402
    Checkpoint,
    WrongCheckpoint,
    checkpoint_folder,
    extra_tensors,
    load_idclip,
    save,
)
from idclip.errors import ModelUnavailable, VidsearchError  # noqa: E402
from idclip.model import IdCLIP  # noqa: E402

F = 16
TEXTS = ["[TOK] riding a horse", "a sun"]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    small_clips.register(tmp_path_factory.mktemp("models"))
    torch.manual_seed(0)
    return load_backbone("small-vit")


def _model(backbone: Backbone, seed: int = 1) -> IdCLIP:
    torch.manual_seed(seed)
    return IdCLIP(backbone, face_dim=F, prompts=3, text_prompts=2, tokens=2).eval()


def _says(model: IdCLIP) -> np.ndarray:
    people = [faces(1, F), faces(0, F)]
    return np.concatenate([model.encode_texts(TEXTS, people), model.encode_images(noise(2))])


def test_a_checkpoint_says_again_what_the_model_said(backbone: Backbone, tmp_path: Path) -> None:
    model = _model(backbone)
    said = _says(model)
    save(model, tmp_path / "best", metrics={"t2i R@1": 0.5}, data={"name": "a set"})
    again = load_idclip(tmp_path / "best", backbone=backbone)
    assert np.array_equal(_says(again), said)
    assert (again.tokens, again.prompts, len(again.text_prompts)) == (2, 3, 2)
    assert not again.training


def test_it_is_small_holds_no_pickle_and_says_what_it_is(
    backbone: Backbone, tmp_path: Path
) -> None:
    save(_model(backbone), tmp_path / "best", metrics={"t2i R@1": 0.5}, data={"name": "a set"})
    files = {file.name: file for file in (tmp_path / "best").iterdir()}
    assert set(files) == {"weights.safetensors", "checkpoint.json", "MODEL_CARD.md"}
    assert files["weights.safetensors"].stat().st_size < 100_000
    said = json.loads(files["checkpoint.json"].read_text())
    assert (said["backbone"], said["face_model"], said["face_dim"]) == ("small-vit", "default", F)
    card = files["MODEL_CARD.md"].read_text()
    for fact in ("small-vit", "Licence", "default", "a set", "| t2i R@1 | 0.5000 |", "Limits"):
        assert fact in card


def test_another_backbone_is_refused_with_both_names(backbone: Backbone, tmp_path: Path) -> None:
    save(_model(backbone), tmp_path / "best")
    other = load_backbone("small-resnet")
    with pytest.raises(WrongCheckpoint, match=r"backbone small-vit \(.*not on small-resnet \("):
        load_idclip(tmp_path / "best", backbone=other)


def test_the_same_backbone_with_other_weights_is_refused(
    backbone: Backbone, tmp_path: Path
) -> None:
    save(_model(backbone), tmp_path / "best")
    torch.manual_seed(5)
    with pytest.raises(WrongCheckpoint, match=backbone.digest):
        load_idclip(tmp_path / "best")  # random weights, drawn anew


def test_another_face_model_is_refused_with_both_names(backbone: Backbone, tmp_path: Path) -> None:
    save(_model(backbone), tmp_path / "best")
    with pytest.raises(WrongCheckpoint, match="face model default, not of insightface:buffalo_l"):
        load_idclip(tmp_path / "best", backbone=backbone, face_model="insightface:buffalo_l")


def test_the_name_alone_brings_the_compact_backbone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match="do not apply"):
        model = IdCLIP("compact", face_dim=F)
    save(model.eval(), tmp_path / "mine")
    assert np.array_equal(_says(load_idclip(tmp_path / "mine")), _says(model))


def test_a_newer_checkpoint_takes_the_place_of_an_older_one(
    backbone: Backbone, tmp_path: Path
) -> None:
    save(_model(backbone, 1), tmp_path / "last", extra={"training": {"step": torch.tensor(7)}})
    save(_model(backbone, 2), tmp_path / "last", extra={"training": {"step": torch.tensor(9)}})
    assert np.array_equal(
        _says(load_idclip(tmp_path / "last", backbone=backbone)), _says(_model(backbone, 2))
    )
    assert int(extra_tensors(tmp_path / "last", "training")["step"]) == 9
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_a_folder_that_holds_something_else_is_left_alone(
    backbone: Backbone, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").write_bytes(b"x")
    with pytest.raises(VidsearchError, match="holds something else"):
        save(_model(backbone), tmp_path / "photos")
    assert [path.name for path in tmp_path.rglob("*")] == ["photos", "mine.jpg"]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("checkpoint.json", None, "is no Id-CLIP checkpoint"),
        ("checkpoint.json", b"{", "is no description"),
        ("checkpoint.json", b'{"format": 2}', "format 2 is not known"),
        ("checkpoint.json", b'{"format": 1}', "is no description"),
        ("weights.safetensors", None, "cannot be read"),
        ("weights.safetensors", b"\x80\x04nothing", "cannot be read"),
    ],
)
def test_a_damaged_checkpoint_is_named(
    backbone: Backbone, tmp_path: Path, name: str, content: bytes | None, complaint: str
) -> None:
    save(_model(backbone), tmp_path / "best")
    file = tmp_path / "best" / name
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ModelUnavailable, match=complaint) as error:
        load_idclip(tmp_path / "best", backbone=backbone)
    assert str(tmp_path / "best") in str(error.value)


def test_weights_of_another_shape_are_refused(backbone: Backbone, tmp_path: Path) -> None:
    save(_model(backbone), tmp_path / "best")
    file = tmp_path / "best" / "checkpoint.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps({**said, "tokens": 1}))
    with pytest.raises(ModelUnavailable, match=r"does not fit checkpoint.json: translator"):
        load_idclip(tmp_path / "best", backbone=backbone)


def test_a_full_or_read_only_disk_is_told_and_leaves_the_old_checkpoint(
    backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors.torch

    save(_model(backbone), tmp_path / "best")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(VidsearchError, match=r"best: .* cannot be written: No space left"):
        save(_model(backbone, 2), tmp_path / "best")
    monkeypatch.undo()
    assert np.array_equal(
        _says(load_idclip(tmp_path / "best", backbone=backbone)), _says(_model(backbone))
    )
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


_KILLED = """
    import sys
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    import torch, small_clips
    small_clips.register(Path({models!r}))
    from idclip.checkpoints import save
    from idclip.model import IdCLIP
    torch.manual_seed(0)
    model = IdCLIP("small-vit", face_dim=16, prompts=3)
    print("ready", flush=True)
    while True:
        save(model, Path({folder!r}))
"""


@pytest.mark.slow
def test_killed_at_any_moment_a_whole_checkpoint_is_there(
    backbone: Backbone, tmp_path: Path
) -> None:
    code = _KILLED.format(
        tests=str(Path(__file__).parents[1]),
        models=str(tmp_path / "models"),
        folder=str(tmp_path / "last"),
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    draw = np.random.default_rng(0)
    running = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, env=environment
    )
    assert running.stdout is not None
    running.stdout.readline()
    import time

    time.sleep(0.5)
    for _ in range(15):
        running.send_signal(signal.SIGSTOP)
        folder = checkpoint_folder(tmp_path / "last")  # brings an old one back where need be
        assert Checkpoint.read(folder).prompts == 3
        if not (tmp_path / ".last.old").exists():
            assert (folder / "weights.safetensors").stat().st_size > 1000
        running.send_signal(signal.SIGCONT)
        time.sleep(float(draw.uniform(0.001, 0.05)))
    running.kill()
    running.wait()
    assert Checkpoint.read(checkpoint_folder(tmp_path / "last")).prompts == 3
