"""The shipped encoder: its contract, and that it tells simple real pictures apart."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from idclip.concept import WEIGHTS, ConceptEncoder
from idclip.errors import ModelUnavailable

Pictures = list[NDArray[np.uint8]]


@pytest.fixture(scope="module")
def encoder() -> ConceptEncoder:
    return ConceptEncoder(threads=1)


@pytest.fixture(scope="module")
def shots(example_media: Path) -> Pictures:
    """A frame of each of the four shots of the White House clip: stage, profile, singer, crowd."""
    import av

    wanted = (9, 50, 146, 243)
    with av.open(str(example_media / "white-house-poetry.mp4")) as clip:
        frames = enumerate(clip.decode(video=0))
        return [f.to_ndarray(format="rgb24") for number, f in frames if number in wanted]


def test_vectors_are_float32_of_unit_length(encoder: ConceptEncoder, shots: Pictures) -> None:
    for vectors, count in (
        (encoder.encode_images(shots), 4),
        (encoder.encode_texts(["a man", "a dog on a beach", ""]), 3),
    ):
        assert vectors.shape == (count, encoder.dim)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_nothing_gives_no_vectors(encoder: ConceptEncoder) -> None:
    assert encoder.encode_images([]).shape == (0, encoder.dim)
    assert encoder.encode_texts([]).shape == (0, encoder.dim)


def test_a_vector_does_not_depend_on_what_else_is_in_the_batch(
    encoder: ConceptEncoder, shots: Pictures
) -> None:
    pictures = shots * 3  # more than one batch of the network
    order = np.random.default_rng(0).permutation(len(pictures))
    forward = encoder.encode_images(pictures)
    shuffled = encoder.encode_images([pictures[i] for i in order])
    np.testing.assert_allclose(shuffled, forward[order], atol=1e-4)

    texts = ["a man", "two people playing football on a green field in the rain", "a slide"]
    alone = np.concatenate([encoder.encode_texts([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode_texts(texts), alone, atol=1e-4)


def test_the_same_input_gives_the_same_vector(encoder: ConceptEncoder, shots: Pictures) -> None:
    other = ConceptEncoder(threads=1)
    np.testing.assert_array_equal(other.encode_images(shots), encoder.encode_images(shots))
    np.testing.assert_array_equal(other.encode_texts(["x y"]), encoder.encode_texts(["x y"]))


def test_the_crowd_and_the_singer_are_told_apart(encoder: ConceptEncoder, shots: Pictures) -> None:
    questions = ["people sitting in an audience", "a man in a suit"]
    scores = encoder.encode_texts(questions) @ encoder.encode_images(shots).T
    assert 3 in np.argsort(-scores[0])[:2]
    assert set(np.argsort(-scores[1])[:2]) == {0, 2}  # he stands at the microphone in both


def test_texts_that_say_the_same_are_near_and_others_are_far(encoder: ConceptEncoder) -> None:
    vectors = encoder.encode_texts(
        ["a dog runs over the grass", "a puppy running in a meadow", "a man gives a lecture"]
    )
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


def test_the_size_and_the_memory_layout_of_a_picture_do_not_matter(
    encoder: ConceptEncoder, shots: Pictures
) -> None:
    singer = shots[2]
    wide = np.repeat(np.repeat(singer, 2, 0), 2, 1)
    strided = np.asfortranarray(singer)[:, :, :]
    mirrored_twice = np.ascontiguousarray(singer[:, ::-1])[:, ::-1]
    vectors = encoder.encode_images([singer, wide, strided, mirrored_twice])
    assert (vectors @ vectors[0]).min() > 0.99
    odd = [np.zeros((1, 1, 3), np.uint8), np.zeros((7, 1999, 3), np.uint8), shots[0][:97, :33]]
    assert np.isfinite(encoder.encode_images(odd)).all()


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 20, 4), np.uint8),
        np.zeros((20, 20, 3), np.float32),
        np.zeros((0, 20, 3), np.uint8),
    ],
    ids=["grey", "with alpha", "float", "empty"],
)
def test_what_is_no_rgb_picture_is_refused(
    encoder: ConceptEncoder, picture: NDArray[np.uint8]
) -> None:
    with pytest.raises(ValueError, match="RGB uint8"):
        encoder.encode_images([picture])


def test_a_very_long_text_is_cut_and_not_refused(encoder: ConceptEncoder) -> None:
    (short, long) = encoder.encode_texts(["a man sings. " * 40, "a man sings. " * 4000])
    assert short @ long > 0.99


def test_an_incomplete_model_says_what_is_missing_and_what_to_do(tmp_path: Path) -> None:
    for name in ("config.json", "image.onnx", "tokenizer.json"):
        shutil.copy(WEIGHTS / name, tmp_path)
    with pytest.raises(ModelUnavailable, match=r"text\.onnx.*train-concept"):
        ConceptEncoder(tmp_path)


def test_a_damaged_network_names_its_file(tmp_path: Path) -> None:
    shutil.copytree(WEIGHTS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "text.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelUnavailable, match=r"text\.onnx"):
        ConceptEncoder(tmp_path).encode_texts(["a man"])


def test_the_weights_stay_small() -> None:
    total = sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file())
    assert total < 46e6


def test_it_runs_without_torch() -> None:
    code = (
        "import sys, numpy as np\n"
        "from idclip.concept import ConceptEncoder\n"
        "assert not {'cv2', 'onnxruntime', 'tokenizers'} & set(sys.modules), 'heavy at import'\n"
        "e = ConceptEncoder(threads=1)\n"
        "e.encode_images([np.zeros((9, 9, 3), np.uint8)]); e.encode_texts(['a man'])\n"
        "assert not {'torch', 'timm', 'transformers', 'onnx'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
