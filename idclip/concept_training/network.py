"""What joins the two towers: heads, several of them collapsed into one space (torch)."""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .towers import CLASSES, IMAGE_FEATURES, TEXT_DIM, ImageTower, TextTower

WIDTH = 640
TOP_CLASSES = 100
TEMPERATURE = 2.0


def unit(x: Tensor) -> Tensor:
    """Rows of unit length."""
    return functional.normalize(x, dim=-1)


class Conse(nn.Module):
    """Norouzi et al. 2014: a picture as the mean text vector of its likeliest classes.

    The texts are the classes' names and WordNet glosses, less their mean: else all pictures look
    alike. Takes logits [N, 1000], returns unit vectors [N, 384].
    """

    class_texts: Tensor

    def __init__(self, class_texts: Tensor) -> None:
        super().__init__()
        self.register_buffer("class_texts", class_texts)

    def forward(self, logits: Tensor) -> Tensor:
        share = torch.softmax(logits / TEMPERATURE, -1)
        least = share.topk(TOP_CLASSES, -1).values[:, -1:]
        return unit((share * (share >= least)) @ self.class_texts)


class Inputs(nn.Module):
    """What every head sees of a picture: x [N, WIDTH] and its class vector [N, 384].

    x holds the principal components of the features, standardised over the training pictures, and
    of the square roots of the class probabilities (a probability's root is what a Euclidean
    distance should compare).
    """

    feature_mean: Tensor
    feature_scale: Tensor
    components: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("feature_mean", torch.zeros(IMAGE_FEATURES))
        self.register_buffer("feature_scale", torch.ones(IMAGE_FEATURES))
        self.register_buffer("components", torch.zeros(IMAGE_FEATURES + CLASSES, WIDTH))
        self.conse = Conse(torch.zeros(CLASSES, TEXT_DIM))

    @classmethod
    def fitted(cls, features: Tensor, logits: Tensor, class_texts: Tensor) -> Inputs:
        """Of the training pictures [N, 1280] and [N, 1000]; of ImageNet's classes [1000, 384]."""
        inputs = cls()
        inputs.feature_mean = features.mean(0)
        inputs.feature_scale = features.std(0) + 1e-3
        inputs.conse.class_texts = class_texts - class_texts.mean(0)
        x = inputs._both(features, logits)
        _, vectors = torch.linalg.eigh(x.T @ x / len(x))  # in ascending order
        inputs.components = vectors[:, -WIDTH:].contiguous()
        return inputs

    def _both(self, features: Tensor, logits: Tensor) -> Tensor:
        classes = 10 * torch.softmax(logits, -1).sqrt() - 0.2
        return torch.cat([(features - self.feature_mean) / self.feature_scale, classes], -1)

    def forward(self, features: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        return self._both(features, logits) @ self.components, self.conse(logits)


class Ridge(nn.Module):
    """The closed form: class vector plus a ridge regression to the mean caption vector."""

    CLASS_SHARE = 0.5

    def __init__(self, weight: Tensor) -> None:
        """`weight` is [WIDTH, 384]."""
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)

    def image(self, x: Tensor, classes: Tensor) -> Tensor:
        return unit(self.CLASS_SHARE * classes + x @ self.weight)

    def text(self, sentences: Tensor) -> Tensor:
        return unit(sentences)


class Head(nn.Module):
    """Two hidden layers added to the class vector; a linear residual on the text side."""

    def __init__(self, *, hidden: int = 1024, dropout: float = 0.5) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Dropout(0.1),
            nn.Linear(WIDTH, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, TEXT_DIM),
        )
        self.class_share = nn.Parameter(torch.tensor(1.0))
        self.text_residual = nn.Linear(TEXT_DIM, TEXT_DIM)
        nn.init.zeros_(self.text_residual.weight)
        nn.init.zeros_(self.text_residual.bias)
        self.log_scale = nn.Parameter(torch.tensor(3.0))

    def image(self, x: Tensor, classes: Tensor) -> Tensor:
        return unit(self.class_share * classes + self.net(x))

    def text(self, sentences: Tensor) -> Tensor:
        return unit(sentences + self.text_residual(sentences))


class Joint(nn.Module):
    """Several heads as one space of `dim` values.

    The vectors of all heads side by side, each times the root of its weight, have the weighted
    mean of the heads' cosines as their cosine. A projection on their principal directions (of
    training pictures and captions) makes them short again. `text_mean` [384], that of the
    training captions, is subtracted from MiniLM's vectors: else all texts look alike.
    """

    text_mean: Tensor
    projection: Tensor

    def __init__(
        self,
        inputs: Inputs,
        text_mean: Tensor,
        heads: Sequence[Ridge | Head],
        weights: Sequence[float],
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.heads = nn.ModuleList(heads)
        self.roots = [weight**0.5 for weight in weights]
        self.register_buffer("text_mean", text_mean)
        self.register_buffer("projection", torch.eye(TEXT_DIM * len(heads)))

    def image(self, features: Tensor, logits: Tensor) -> Tensor:
        """Unit vectors [N, dim] of features [N, 1280] and logits [N, 1000]."""
        x, classes = self.inputs(features, logits)
        return self._join([head.image(x, classes) for head in self.heads])

    def text(self, sentences: Tensor) -> Tensor:
        """Unit vectors [N, dim] of MiniLM's unit sentence vectors [N, 384]."""
        centred = sentences - self.text_mean
        return self._join([head.text(centred) for head in self.heads])

    def _join(self, parts: list[Tensor]) -> Tensor:
        scaled = [root * part for root, part in zip(self.roots, parts, strict=True)]
        return unit(torch.cat(scaled, -1) @ self.projection)

    @torch.no_grad()
    def collapse(self, features: Tensor, logits: Tensor, sentences: Tensor, *, dim: int) -> None:
        """Fit the projection to `dim` principal directions of these vectors, both sides."""
        image, text = self.image(features, logits), self.text(sentences)
        moment = image.T @ image / len(image) + text.T @ text / len(text)
        _, vectors = torch.linalg.eigh(moment)  # in ascending order
        self.projection = vectors[:, -dim:].flip(1).contiguous()


class ImageHead(nn.Module):
    """The image tower's features [N, 1280] to unit vectors [N, dim]: the end of image.onnx."""

    def __init__(self, tower: ImageTower, joint: Joint) -> None:
        super().__init__()
        self.classifier, self.joint = tower.classifier, joint

    def forward(self, features: Tensor) -> Tensor:
        return self.joint.image(features, self.classifier(features))


class TextEncoder(nn.Module):
    """Tokens and mask int64 [N, T] to unit vectors [N, dim]: what text.onnx holds."""

    def __init__(self, tower: TextTower, joint: Joint) -> None:
        super().__init__()
        self.tower, self.joint = tower, joint

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return self.joint.text(unit(self.tower(tokens, mask)))
