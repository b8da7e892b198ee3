"""Learned vectors beside an image's patches: shallow visual prompt tuning, on any ViT (torch).

Jia et al., "Visual Prompt Tuning", ECCV 2022, in the form Id-CLIP uses: the vectors join the class
token and the patches after the positional embeddings are added and before the first norm, in the
first layer only; the transformer carries them along, and they are dropped before anything is read
out. Both are done by hooks on the tower's own parts, so that its forward pass stays its own.
"""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return"
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Entrance:
    """Where prompts join a tower, and where they leave it again.

    `joins` takes in the sequence [B, 1 + patches, width] before the first layer. `leaves` puts
    out the sequence after the last one, or takes it in where `leaves_before` is set.
    """

    width: int
    joins: nn.Module
    leaves: nn.Module
    leaves_before: bool


def entrance(visual: nn.Module) -> Entrance | None:
    """How prompts get into the image tower of an open_clip model; None where they do not apply.

    They need a sequence of tokens that may grow: CNNs have none, and towers that turn their
    tokens by position (rotary embeddings) count on the number of patches.
    """
    from open_clip.transformer import VisionTransformer

    if isinstance(visual, VisionTransformer):
        return Entrance(visual.class_embedding.shape[0], visual.ln_pre, visual.transformer, False)
    trunk = getattr(visual, "trunk", None)
    if trunk is not None and _is_timm_vit(trunk):
        # Not behind `blocks`, which are called one by one where gradients are checkpointed.
        return Entrance(trunk.embed_dim, trunk.norm_pre, trunk.norm, True)
    return None


def _is_timm_vit(trunk: nn.Module) -> bool:
    from timm.models.vision_transformer import VisionTransformer

    # Subclasses may have a forward pass of their own, in which prompts would be lost.
    return type(trunk) is VisionTransformer


def attach(place: Entrance, prompts: nn.Parameter, wanted: Callable[[], bool]) -> None:
    """Let `prompts` [P, width] join each sequence at `place`, whenever they are `wanted`.

    Several models may stand on one tower: each adds its own prompts to its own pictures only.
    """

    def join(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (x,) = args
        if not wanted():
            return args
        learned = prompts.to(x.dtype).expand(x.shape[0], -1, -1)  # len() would fix it in an export
        return (torch.cat([x, learned], 1),)

    def without(x: Tensor) -> Tensor:
        return x[:, : -len(prompts)] if wanted() else x

    place.joins.register_forward_pre_hook(join)
    if place.leaves_before:
        place.leaves.register_forward_pre_hook(lambda module, args: (without(args[0]),))
    else:
        place.leaves.register_forward_hook(lambda module, args, x: without(x))
