"""An encoder's two steps, on two machines: pictures are shrunk here and encoded there."""

from __future__ import annotations

import pickle
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from idclip.encoders import load_encoder

TORCH = all(find_spec(name) for name in ("torch", "open_clip", "timm"))
NAMES = [
    "concept",
    pytest.param(
        "idclip:compact", marks=pytest.mark.skipif(not TORCH, reason="the extra torch is absent")
    ),
]


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    random = np.random.default_rng(5)
    sizes = ((360, 640), (97, 301), (260, 260), (20, 33), (400, 300))
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


@pytest.mark.parametrize("name", NAMES)
def test_in_two_steps_pictures_have_the_vectors_they_have_in_one(
    name: str, pictures: list[Any]
) -> None:
    encoder = load_encoder(name, device="cpu")
    assert encoder.device == "cpu"
    prepare = pickle.loads(pickle.dumps(encoder.prepare))
    prepared = prepare(pictures)
    assert (prepared.dtype, prepared.shape) == (np.uint8, (len(pictures), 260, 260, 3))
    vectors = encoder.encode_prepared(prepared)
    assert np.abs(vectors - encoder.encode_images(pictures)).max() < 1e-6
    # In whatever company a picture comes: batches are made of several videos.
    one = np.concatenate([encoder.encode_prepared(prepared[i : i + 1]) for i in range(5)])
    assert np.abs(vectors - one).max() < 1e-5
    assert encoder.encode_prepared(prepare([])).shape == (0, encoder.dim)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_step_travels_light_and_needs_no_torch(name: str) -> None:
    packed = pickle.dumps(load_encoder(name).prepare)
    assert len(packed) < 1000
    code = (
        "import pickle, sys, numpy as np\n"
        f"prepare = pickle.loads({packed!r})\n"
        "assert prepare([np.zeros((9, 9, 3), np.uint8)]).shape == (1, 260, 260, 3)\n"
        "print([m for m in ('torch', 'open_clip', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
