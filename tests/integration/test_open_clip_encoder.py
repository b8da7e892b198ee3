"""open_clip models as encoders, and their exports; randomly initialised ones, no network."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from idclip.clip_tokenizer import clip_tokenizer, token_ids
from idclip.encoders import REGISTRY, load_encoder
from idclip.errors import ModelUnavailable, VidsearchError

# Looked for, not imported: collecting the fast tests should not take seconds.
HERE = all(find_spec(name) for name in ("torch", "open_clip"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HERE, reason='needs torch: pip install "vidsearch[train]"'),
]

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
VISION = {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32}
MODELS: dict[str, dict[str, Any]] = {
    "vit": {"embed_dim": 48, "vision_cfg": VISION, "text_cfg": TEXT},
    "quickgelu": {"embed_dim": 48, "quick_gelu": True, "vision_cfg": VISION, "text_cfg": TEXT},
    "siglip-like": {
        "embed_dim": 64,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 224,
            "timm_model_name": "vit_tiny_patch16_224",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
        },
        "text_cfg": {**TEXT, "context_length": 32, "tokenizer_kwargs": {"clean": "canonicalize"}},
    },
    "resnet": {
        "embed_dim": 48,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
        "text_cfg": TEXT,
    },
}
TEXTS = [
    "a photo of a cat",
    "A Man's  hat, isn't it?",
    "",
    "don’t “quote” me",
    "naïve café Émile",
    "日本語 テキスト",
    "🙂 smile!!",
    "3.14 and 1,000 people",
    "&amp; &lt;b&gt; &amp;amp;",
    "<start_of_text> hi <END_OF_TEXT>",
    "a_b-c/d",
    "x" * 300,
    "word " * 200,
    "ﬁne ｆｕｌｌ",
    "I'll we've they'd I'm you're 'S 90's rock'n'roll",
    "line\nbreak\ttab\u00a0hard",
    "Å e\u0301 İstanbul ΣΑΣ",
    "$5 #tag @me 50% …—– <|endoftext|>",
]


def _save(folder: Path, config: dict[str, Any], preprocess: dict[str, Any]) -> Path:
    """A randomly initialised model in a folder as open_clip saves it."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    )
    torch.manual_seed(7)
    model = open_clip.create_model(f"local-dir:{folder}")
    weights = {k: v.contiguous().clone() for k, v in model.state_dict().items()}
    save_file(weights, str(folder / "open_clip_model.safetensors"))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    squash = {"resize_mode": "squash", "mean": [0.5] * 3, "std": [0.5] * 3}
    longest = {"resize_mode": "longest", "interpolation": "bilinear", "fill_color": 9}
    preprocess = {"siglip-like": squash, "resnet": longest}
    return {
        name: _save(root / name, config, preprocess.get(name, {}))
        for name, config in MODELS.items()
    }


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    random = np.random.default_rng(3)
    sizes = ((240, 320), (320, 180), (97, 301), (64, 64), (20, 33))
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_a_saved_folder_gives_unit_vectors_that_open_clip_itself_gives(
    folders: dict[str, Path], pictures: list[Any]
) -> None:
    import open_clip
    import torch
    from PIL import Image

    name = f"open_clip:local-dir:{folders['vit']}"
    encoder = load_encoder(name)
    assert (encoder.name, encoder.dim) == (name, 48)
    assert encoder.logit_scale == pytest.approx(1 / 0.07, rel=1e-4)
    model, _, preprocess = open_clip.create_model_and_transforms(name.removeprefix("open_clip:"))
    tokens = open_clip.get_tokenizer(name.removeprefix("open_clip:"))(TEXTS)
    with torch.inference_mode():
        images = torch.stack([preprocess(Image.fromarray(p)) for p in pictures])
        seen = model.eval().encode_image(images, normalize=True).numpy()
        read = model.encode_text(tokens, normalize=True).numpy()
    assert np.allclose(encoder.encode_images(pictures), seen, atol=1e-4)  # on a GPU too
    assert np.allclose(encoder.encode_texts(TEXTS), read, atol=1e-4)
    assert encoder.encode_images([]).shape == (0, 48)


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_pictures_shrunk_without_torch_are_those_that_open_clip_shrinks(
    folders: dict[str, Path], pictures: list[Any], kind: str
) -> None:
    from PIL import Image

    encoder: Any = load_encoder(f"open_clip:local-dir:{folders[kind]}")
    prepared = pickle.loads(pickle.dumps(encoder.prepare))(pictures)
    assert prepared.dtype == np.uint8
    shrinking = encoder.preprocess.transforms[:-2]  # up to where bytes become numbers
    for picture, ours in zip(pictures, prepared, strict=True):
        theirs: Any = Image.fromarray(picture)
        for step in shrinking:
            theirs = step(theirs)
        assert np.array_equal(ours, np.asarray(theirs))
    vectors = encoder.encode_prepared(prepared)
    assert np.abs(vectors - encoder.encode_images(pictures)).max() < 1e-6
    assert encoder.encode_prepared(prepared[:0]).shape == (0, encoder.dim)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_checkpoint_file_is_taken_for_a_model_by_name(
    folders: dict[str, Path], tmp_path: Path, pictures: list[Any], suffix: str
) -> None:
    """With a leading slash: `open_clip:MODEL//path`."""
    import open_clip
    import torch

    open_clip.add_model_config(_config_of(tmp_path, "tiny-vit"))
    file = folders["vit"] / "open_clip_model.safetensors"
    if suffix == "pt":
        from safetensors.torch import load_file

        weights = {f"module.{name}": value for name, value in load_file(file).items()}
        file = tmp_path / "epoch_1.pt"
        torch.save({"epoch": 1, "state_dict": weights}, file)
    encoder = load_encoder(f"open_clip:tiny-vit/{file}")
    folder = load_encoder(f"open_clip:local-dir:{folders['vit']}")
    assert np.array_equal(encoder.encode_images(pictures), folder.encode_images(pictures))


def _config_of(folder: Path, name: str) -> Path:
    (folder / f"{name}.json").write_text(json.dumps(MODELS["vit"]))
    return folder / f"{name}.json"


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("evil",)


def test_a_checkpoint_that_wants_to_run_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip

    monkeypatch.chdir(tmp_path)
    file = tmp_path / "evil.pt"
    file.write_bytes(pickle.dumps(_Evil()))
    open_clip.add_model_config(_config_of(tmp_path, "tiny-vit"))
    with pytest.raises(ModelUnavailable, match=r"evil\.pt cannot be loaded"):
        load_encoder(f"open_clip:tiny-vit/{file}")
    assert not (tmp_path / "evil").exists()


def test_weights_that_do_not_fit_or_are_not_there_are_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    weights = folders["vit"] / "open_clip_model.safetensors"
    with pytest.raises(ModelUnavailable, match=r"cannot be loaded"):
        load_encoder(f"open_clip:RN50/{weights}")
    with pytest.raises(ModelUnavailable, match=r"did you mean ViT-B-32"):
        load_encoder("open_clip:ViT-B-33/openai")
    with pytest.raises(ModelUnavailable, match=r"those are openai, laion400m"):
        load_encoder("open_clip:ViT-B-32/opnai")
    with pytest.raises(ModelUnavailable, match=r"no open_clip_config\.json"):
        load_encoder(f"open_clip:local-dir:{tmp_path}")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "open_clip_config.json").write_bytes(
        (folders["vit"] / "open_clip_config.json").read_bytes()
    )
    with pytest.raises(ModelUnavailable, match=r"empty"):
        load_encoder(f"open_clip:local-dir:{empty}")


def test_the_registry_says_what_open_clip_says_of_its_models() -> None:
    import open_clip

    for name, info in REGISTRY.items():
        if name.startswith("open_clip:"):
            model, _, tag = name.removeprefix("open_clip:").partition("/")
            published = open_clip.get_pretrained_cfg(model, tag)
            assert published["hf_hub"].rstrip("/") == info.repo
            config = open_clip.get_model_config(model)
            assert config["embed_dim"] == info.dim
            assert bool(published.get("quick_gelu")) == bool(config.get("quick_gelu"))


def test_a_model_that_is_not_here_is_told_within_ten_seconds(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom idclip.encoders import load_encoder\n"
        "from idclip.errors import ModelUnavailable\nstart = time.monotonic()\n"
        "try: load_encoder('open_clip:ViT-B-32-256/datacomp_s34b_b86k')\n"
        "except ModelUnavailable as error: print(error); sys.exit(4)\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as mute:
        env = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
        env |= {"HF_ENDPOINT": f"http://127.0.0.1:{mute.getsockname()[1]}"}
        env |= {"HF_HOME": str(tmp_path)}
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120
        )
        took = time.monotonic() - start
    assert done.returncode == 4, done.stderr
    assert "vidsearch models pull open_clip:ViT-B-32-256/datacomp_s34b_b86k" in done.stdout
    assert took < 10


# --- exports -------------------------------------------------------------------------------------


def test_clip_s_tokenizer_equals_open_clip_s_on_odd_texts() -> None:
    import open_clip

    ours = clip_tokenizer(Path(open_clip.tokenizer.default_bpe()))
    theirs = open_clip.get_tokenizer("ViT-B-32")
    for text, found, wanted in zip(
        TEXTS, token_ids(ours, TEXTS, "lower"), theirs(TEXTS).numpy(), strict=True
    ):
        assert np.array_equal(found, wanted), text


@pytest.mark.parametrize("name", list(MODELS))
def test_an_export_equals_its_model(
    folders: dict[str, Path], pictures: list[Any], tmp_path: Path, name: str
) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra train")
    from idclip.onnx_export import export_onnx
    from idclip.open_clip_encoder import OpenClipEncoder

    source = f"local-dir:{folders[name]}"
    assert export_onnx(source, tmp_path / "export", licence="MIT") < 1e-4
    model = OpenClipEncoder(source, device="cpu")
    export = load_encoder(f"onnx:{tmp_path / 'export'}")
    assert np.abs(export.encode_images(pictures) - model.encode_images(pictures)).max() < 1e-4
    assert np.abs(export.encode_texts(TEXTS) - model.encode_texts(TEXTS)).max() < 1e-4
    assert (export.dim, export.licence) == (model.dim, "MIT")
    assert export.logit_scale == pytest.approx(model.logit_scale)


@pytest.mark.filterwarnings("ignore")  # the older exporter is about to go
def test_a_folder_exported_as_rclip_does_equals_its_model(
    folders: dict[str, Path], pictures: list[Any], tmp_path: Path
) -> None:
    """The older exporter, fixed sizes, no description, CLIP's vocabulary in another folder."""
    pytest.importorskip("onnx", reason="needs the extra train")
    import open_clip
    import torch

    from idclip.open_clip_encoder import OpenClipEncoder

    encoder = OpenClipEncoder(f"local-dir:{folders['vit']}", device="cpu")

    class Textual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.clip = encoder.model

        def forward(self, ids: Any) -> Any:
            return self.clip.encode_text(ids)

    networks = tmp_path / "models" / "ViT-B-32-256-datacomp_s34b_b86k"
    vocabulary = tmp_path / "models" / "tokenizer" / "bpe_simple_vocab_16e6.txt.gz"
    networks.mkdir(parents=True)
    vocabulary.parent.mkdir()
    vocabulary.write_bytes(Path(open_clip.tokenizer.default_bpe()).read_bytes())
    for network, example, name in (
        (encoder.model.visual, torch.randn(1, 3, 64, 64), "visual.onnx"),
        (Textual().eval(), torch.zeros(1, 77, dtype=torch.long), "textual.onnx"),
    ):
        torch.onnx.export(
            network,
            (example,),
            str(networks / name),
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
            opset_version=18,
            dynamo=False,
        )
    export = load_encoder(f"onnx:{tmp_path / 'models'}")
    assert np.abs(export.encode_images(pictures) - encoder.encode_images(pictures)).max() < 1e-4
    assert np.abs(export.encode_texts(TEXTS) - encoder.encode_texts(TEXTS)).max() < 1e-4


def test_an_export_never_overwrites(folders: dict[str, Path], tmp_path: Path) -> None:
    from idclip.onnx_export import export_onnx

    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("mine")
    with pytest.raises(VidsearchError, match=r"kept: exists"):
        export_onnx(f"local-dir:{folders['vit']}", tmp_path / "kept")
    assert (tmp_path / "kept" / "file").read_text() == "mine"
