"""Training the upper halves of both towers and the head together, on captions (torch).

The loss is CLIP's (Radford et al. 2021): in a batch each picture should find its captions among
all captions, and each caption its picture. Each picture comes in a random view and with `SAID` of
its captions.
"""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"
from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .maps import Maps, as_input
from .network import Joint, unit
from .towers import MASK, ImageTower, TextTower, padded

BATCH = 256
CHUNK = 32  # pictures that go through the tower at once: what a cache holds
TEXT_CHUNK = 64
SAID = 2
RATES = {"image": 3e-4, "text": 5e-5, "joint": 3e-4, "scale": 1e-2}
DECAYS = {"image": 1e-4, "text": 1e-2, "joint": 5e-2, "scale": 0.0}
UNREAD = 0.1  # share of the words hidden from the text tower
FIRST_LOG_SCALE = 3.0


def finetune(
    image_tower: ImageTower,
    text_tower: TextTower,
    joint: Joint,
    maps: Maps,
    captions: Sequence[Sequence[Tensor]],
    rows: Tensor,
    *,
    epochs: int,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Train in place on the pictures `rows`, whose `maps` and `captions` (token ids) are given.

    What lies below `ImageTower.upper` and MiniLM's word table stay as they are.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    log_scale = nn.Parameter(torch.tensor(FIRST_LOG_SCALE))
    parts = _trainable(image_tower, text_tower, joint, log_scale)
    optimizer = torch.optim.AdamW(
        [
            {"params": params, "lr": RATES[name], "weight_decay": DECAYS[name]}
            for name, params in parts.items()
        ]
    )
    batch = min(BATCH, len(rows))
    steps = len(rows) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, list(RATES.values()), total_steps=steps * epochs + 1, pct_start=0.1
    )
    everything = [parameter for params in parts.values() for parameter in params]
    joint.train()
    for epoch in range(epochs):
        total = 0.0
        order = rows[torch.randperm(len(rows))]
        for some in order[: steps * batch].split(batch):
            image = joint.image(*_look(image_tower, maps, some, rng))
            texts = [captions[int(row)] for row in some]
            chosen = [rng.permutation(len(lines))[:SAID] for lines in texts]
            spoken = [
                lines[own[turn % len(own)]]
                for turn in range(SAID)
                for lines, own in zip(texts, chosen, strict=True)
            ]
            text = joint.text(_read(text_tower, spoken))
            loss = _contrast(log_scale.exp() * image @ text.T)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(everything, 1.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        say(f"epoch {epoch + 1} of {epochs}: loss {total / steps:.3f}")
    for module in (image_tower, text_tower, joint):
        module.eval().requires_grad_(False)


def _trainable(
    image_tower: ImageTower, text_tower: TextTower, joint: Joint, log_scale: nn.Parameter
) -> dict[str, list[nn.Parameter]]:
    """The parameters that are trained, by the names of `RATES`; all others are frozen."""
    for module in (image_tower, text_tower):
        module.requires_grad_(False)
    joint.requires_grad_(True)
    parts = {
        "image": list(image_tower.upper_blocks.parameters()),
        "text": [*text_tower.norm.parameters(), *text_tower.layers.parameters()],
        "joint": list(joint.parameters()),
        "scale": [log_scale],
    }
    for params in parts.values():
        for parameter in params:
            parameter.requires_grad_(True)
    return parts


def _look(
    tower: ImageTower, maps: Maps, rows: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Features and logits of pictures, each in a random view."""
    views = rng.integers(len(maps), size=len(rows))
    seen = np.stack([maps[view][int(row)] for view, row in zip(views, rows, strict=True)])
    features = torch.cat([tower.upper(chunk) for chunk in as_input(seen).split(CHUNK)])
    return features, tower.classifier(features)


def _read(tower: TextTower, texts: Sequence[Tensor]) -> Tensor:
    """Unit vectors [N, 384] of token ids, some of them hidden; short texts go together."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    vectors = []
    for start in range(0, len(order), TEXT_CHUNK):
        tokens, mask = padded([texts[i] for i in order[start : start + TEXT_CHUNK]])
        hidden = (torch.rand(tokens.shape) < UNREAD) & mask.bool()
        hidden[:, 0] = False
        with torch.autocast("cpu", dtype=torch.bfloat16):
            vectors.append(tower(tokens.masked_fill(hidden, MASK), mask))
    return unit(torch.cat(vectors).float()[torch.argsort(torch.tensor(order))])


def _contrast(scores: Tensor) -> Tensor:
    """Symmetric InfoNCE over scores [B, SAID * B], the mean over the captions' turns."""
    own = torch.arange(len(scores))
    turns = scores.split(len(scores), dim=1)
    losses = [
        functional.cross_entropy(turn, own) + functional.cross_entropy(turn.T, own)
        for turn in turns
    ]
    return torch.stack(losses).mean()
