"""What Id-CLIP is trained by: symmetric InfoNCE, and a loss of identities beside it (torch)."""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return"
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(images: Tensor, texts: Tensor, scale: Tensor | float) -> Tensor:
    """CLIP's loss: each image finds its text among those of the batch, and the other way about.

    `images` and `texts` [B, D] are unit vectors, row by row of one pair; `scale` multiplies
    cosines. The mean of both cross entropies (Radford et al., ICML 2021), a scalar.
    """
    logits = scale * images @ texts.T
    own = torch.arange(len(logits), device=logits.device)
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2


def entity_loss(images: Tensor, people: Tensor, identity: Tensor, scale: Tensor | float) -> Tensor:
    """Images and "[TOK]"-only prompts of one identity attract each other, others repel.

    `images` [B, D] and `people` [B, D] (the text vector of a prompt that says only who) are unit
    vectors, `identity` int64 [B] says whose each row is. An image's target is shared evenly among
    all prompts of its identity in the batch, and the other way about (Khosla et al., "Supervised
    Contrastive Learning", NeurIPS 2020, the outer mean). A scalar.
    """
    logits = scale * images @ people.T
    same = (identity[:, None] == identity).to(logits.dtype)
    target = same / same.sum(1, keepdim=True)  # `same` is symmetric: it serves both directions
    return (
        functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
    ) / 2
