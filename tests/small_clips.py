"""Small open_clip models with random weights, one of each kind of tower."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEXT = {"context_length": 32, "vocab_size": 49408, "width": 48, "heads": 2, "layers": 2}
VISION = {"image_size": 48, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32}
TIMM = {"image_size": 224, "timm_model_pretrained": False, "timm_proj": "linear"}
VIT_TINY = "vit_tiny_patch16_224"

CONFIGS: dict[str, dict[str, Any]] = {
    "small-vit": {"embed_dim": 40, "vision_cfg": VISION, "text_cfg": TEXT},
    "small-custom": {
        "embed_dim": 40,
        "custom_text": True,
        "vision_cfg": {**VISION, "pool_type": "avg", "final_ln_after_pool": True},
        "text_cfg": {**TEXT, "no_causal_mask": True, "pool_type": "last", "proj_bias": True},
    },
    "small-sigmoid": {
        "embed_dim": 192,
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": {
            **TIMM,
            "timm_model_name": VIT_TINY,
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            **TEXT,
            "width": 192,
            "no_causal_mask": True,
            "pool_type": "last",
            "proj_bias": True,
            "tokenizer_kwargs": {"clean": "canonicalize"},
        },
    },
    "small-timm": {
        "embed_dim": 40,
        "vision_cfg": {**TIMM, "timm_model_name": VIT_TINY, "timm_pool": "avg"},
        "text_cfg": TEXT,
    },
    "small-eva": {
        "embed_dim": 40,
        "vision_cfg": {**TIMM, "timm_model_name": "eva02_tiny_patch14_224"},
        "text_cfg": TEXT,
    },
    "small-resnet": {
        "embed_dim": 40,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
        "text_cfg": TEXT,
    },
}
PROMPTABLE = ("small-vit", "small-custom", "small-sigmoid", "small-timm", "small-hf")
WITHOUT = ("small-eva", "small-resnet")


def register(folder: Path) -> None:
    """Make open_clip know the models, and one with a Hugging Face text tower (`small-hf`)."""
    import open_clip

    folder.mkdir(parents=True, exist_ok=True)
    hf = {
        "embed_dim": 40,
        "custom_text": True,
        "vision_cfg": VISION,
        "text_cfg": {
            "hf_model_name": str(_bert(folder / "bert")),
            "hf_tokenizer_name": str(folder / "bert"),
            "hf_proj_type": "mlp",
            "hf_pooler_type": "mean_pooler",
            "hf_model_pretrained": False,
            "context_length": 32,
        },
    }
    for name, config in {**CONFIGS, "small-hf": hf}.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(folder / f"{name}.json")


def noise(n: int, side: int = 70, seed: int = 0) -> list[NDArray[np.uint8]]:
    """RGB pictures that share nothing."""
    draw = np.random.default_rng(seed)
    return list(draw.integers(0, 256, (n, side, side + 9, 3), dtype=np.uint8))


def faces(n: int, dim: int, seed: int = 0) -> NDArray[np.float32]:
    """Face vectors [n, dim] of unit length."""
    drawn = np.random.default_rng(seed).normal(size=(n, dim))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def each(vectors: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
    """One person a text."""
    return list(vectors[:, None])


def _bert(folder: Path) -> Path:
    """A small BERT's configuration and a tokenizer of its own, as Hugging Face saves them."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz0123456789*.,()[]'"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "man", "red", "sun", "riding", "horse"]
    words += [c for c in letters if c not in words] + [f"##{c}" for c in letters]
    tokenizer = Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
    fast.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    config.save_pretrained(folder)
    return folder
