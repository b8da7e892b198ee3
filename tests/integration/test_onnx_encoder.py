"""`onnx:FOLDER` on small networks made here: its own layout, rclip's, and damaged ones.

That an export of an open_clip model equals the model is tested in test_open_clip_encoder.py.
"""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from idclip.encoders import load_encoder
from idclip.errors import ModelUnavailable
from idclip.onnx_encoder import Manifest

onnx = pytest.importorskip("onnx", reason="making small networks needs the package onnx")

SIZE, LENGTH, DIM = 32, 16, 8


def _network(path: Path, kind: int, shape: list[Any], nodes: list[Any], weights: Any) -> None:
    inputs = [onnx.helper.make_tensor_value_info("input", kind, shape)]
    outputs = [onnx.helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, ["n", DIM])]
    weight = onnx.numpy_helper.from_array(weights.astype(np.float32), "w")
    graph = onnx.helper.make_graph(nodes, "tiny", inputs, outputs, [weight])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures become a projection of their mean colour, texts a projection of their ids."""
    folder = tmp_path_factory.mktemp("networks")
    node = onnx.helper.make_node
    random = np.random.default_rng(1)
    see = [
        node("GlobalAveragePool", ["input"], ["mean"]),
        node("Flatten", ["mean"], ["flat"]),
        node("MatMul", ["flat", "w"], ["output"]),
    ]
    read = [
        node("Cast", ["input"], ["ids"], to=onnx.TensorProto.FLOAT),
        node("MatMul", ["ids", "w"], ["output"]),
    ]
    kinds = onnx.TensorProto
    shape = ["n", 3, SIZE, SIZE]
    _network(folder / "visual.onnx", kinds.FLOAT, shape, see, random.normal(size=(3, DIM)))
    weights = random.normal(size=(LENGTH, DIM))
    _network(folder / "textual.onnx", kinds.INT64, ["n", LENGTH], read, weights)
    return folder


@pytest.fixture
def exported(networks: Path, tmp_path: Path) -> Path:
    """A folder as `idclip export-onnx` lays it out, with a tokenizer of three words."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    folder = Path(shutil.copytree(networks, tmp_path / "my clip"))
    tokenizer = Tokenizer(WordLevel({"?": 0, "cat": 1, "dog": 2, "house": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH, pad_id=0, pad_token="?")
    tokenizer.save(str(folder / "tokenizer.json"))
    Manifest("tiny", DIM, (SIZE, SIZE), LENGTH, 12.5, "MIT").write(folder)
    return folder


@pytest.fixture
def pictures() -> list[Any]:
    random = np.random.default_rng(2)
    sizes = ((48, 64), (90, 40), (32, 32), (7, 5))
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_pictures_and_texts_become_unit_vectors_of_one_space(
    exported: Path, pictures: list[Any]
) -> None:
    encoder = load_encoder(f"onnx:{exported}")
    assert (encoder.dim, encoder.licence, encoder.logit_scale) == (DIM, "MIT", 12.5)
    for vectors, n in (
        (encoder.encode_images(pictures), len(pictures)),
        (encoder.encode_texts(["a cat", "Dog  HOUSE", ""]), 3),
    ):
        assert vectors.shape == (n, DIM)
        assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(encoder.encode_images(pictures), axis=1), 1, atol=1e-6)


def test_in_two_steps_pictures_have_the_vectors_they_have_in_one(
    exported: Path, pictures: list[Any]
) -> None:
    encoder = load_encoder(f"onnx:{exported}")
    prepared = encoder.prepare(pictures)
    assert (prepared.dtype, prepared.shape) == (np.uint8, (len(pictures), SIZE, SIZE, 3))
    assert np.array_equal(encoder.encode_prepared(prepared), encoder.encode_images(pictures))
    assert encoder.encode_prepared(prepared[:0]).shape == (0, DIM)


def test_an_encoder_s_name_loads_it_again(exported: Path, pictures: list[Any]) -> None:
    encoder = load_encoder(f"onnx:{exported}")
    again = load_encoder(encoder.name)
    assert np.array_equal(encoder.encode_images(pictures), again.encode_images(pictures))
    assert again.name == encoder.name


def test_none_at_all_gives_no_vectors(exported: Path) -> None:
    encoder = load_encoder(f"onnx:{exported}")
    assert encoder.encode_images([]).shape == (0, DIM)
    assert encoder.encode_texts([]).shape == (0, DIM)


def test_many_at_once_equal_one_at_a_time(exported: Path, pictures: list[Any]) -> None:
    encoder = load_encoder(f"onnx:{exported}")
    many = encoder.encode_images(pictures * 10)
    single = np.concatenate([encoder.encode_images([p]) for p in pictures * 10])
    assert np.allclose(many, single, atol=1e-6)


def test_texts_are_cleaned_as_clip_cleans_them(exported: Path) -> None:
    encoder = load_encoder(f"onnx:{exported}")
    plain, odd = encoder.encode_texts(["cat & dog", "  CAT &amp;amp;\n dog "])
    assert np.array_equal(plain, odd)


def test_rclip_s_folder_is_read_without_a_description(
    networks: Path, tmp_path: Path, pictures: list[Any]
) -> None:
    root = tmp_path / "rclip"
    shutil.copytree(networks, root / "ViT-B-32-256-datacomp_s34b_b86k")
    _write_vocabulary(root / "tokenizer" / "bpe_simple_vocab_16e6.txt.gz")
    for name in (root, root / "ViT-B-32-256-datacomp_s34b_b86k"):
        encoder = load_encoder(f"onnx:{name}")
        assert encoder.dim == DIM
        assert encoder.encode_images(pictures).shape == (len(pictures), DIM)
        one, same, other = encoder.encode_texts(["a cat", "A  Cat", "a dog"])
        assert np.array_equal(one, same)
        assert not np.array_equal(one, other)


def _write_vocabulary(file: Path) -> None:
    """A list of merges in CLIP's format: a first line that says the version, then pairs."""
    file.parent.mkdir()
    merges = ["#version: 0.2", "c a", "ca t</w>", "d o", "do g</w>"]
    file.write_bytes(gzip.compress("\n".join(merges).encode()))


def test_a_pulled_model_is_named_without_its_folder(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDSEARCH_MODELS", str(tmp_path / "models"))
    shutil.copytree(exported, tmp_path / "models" / "mine")
    encoder = load_encoder("onnx:mine")
    assert encoder.name == "onnx:mine"
    assert encoder.encode_texts(["cat"]).shape == (1, DIM)


def _without(folder: Path, name: str) -> None:
    (folder / name).unlink()


def _garbage(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"not what it says")


@pytest.mark.parametrize("name", ["visual.onnx", "textual.onnx", "tokenizer.json"])
@pytest.mark.parametrize("damage", [_without, _garbage])
def test_a_missing_or_damaged_file_is_named(
    exported: Path, pictures: list[Any], name: str, damage: Any
) -> None:
    damage(exported, name)
    with pytest.raises(ModelUnavailable, match=name.replace(".", r"\.")):  # noqa: PT012
        encoder = load_encoder(f"onnx:{exported}")
        encoder.encode_images(pictures)
        encoder.encode_texts(["cat"])


@pytest.mark.parametrize("text", ["{", "[]", '{"title": "x"}', "\x00"])
def test_a_description_that_makes_no_sense_is_named(exported: Path, text: str) -> None:
    (exported / "encoder.json").write_text(text)
    with pytest.raises(ModelUnavailable, match=r"encoder\.json"):
        load_encoder(f"onnx:{exported}")


def test_a_description_survives_writing_and_reading(tmp_path: Path) -> None:
    manifest = Manifest("é", 512, (224, 336), 77, 14.3, "MIT", (0.5,) * 3, (0.5,) * 3, "bilinear")
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path / "encoder.json") == manifest
    assert json.loads((tmp_path / "encoder.json").read_text("utf-8"))["image_size"] == [224, 336]


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("shape", [(10, 100), (100, 10), (64, 64), (1, 1), (33, 500)])
def test_pictures_of_any_shape_fit_the_network(mode: str, shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 255, dtype=np.uint8)
    manifest = Manifest("t", 8, (32, 48), 77, mean=(0.0,) * 3, std=(1.0,) * 3, resize_mode=mode)
    prepared = manifest.shrink([image])
    assert prepared.shape == (1, 32, 48, 3)
    assert prepared.dtype == np.uint8
    assert prepared[0, 16, 24].tolist() == [255, 255, 255]
