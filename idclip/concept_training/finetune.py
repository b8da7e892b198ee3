"""Training the upper halves of both towers, with a head that is then thrown away (torch).

The loss is CLIP's (Radford et al. 2021): in a batch each picture should find its captions among
all captions, and each caption its picture. Each picture comes in a random view and with `SAID` of
its captions.

Captions of one collection teach both towers to forget the rest of the world. So each is also held
to what it said before (Li and Hoiem, "Learning without forgetting", ECCV 2016): the image tower to
ImageNet's classes, the text tower to its own sentence vectors.
"""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
SOFTENED = 2.0  # temperature at which classes are compared with those before


@dataclass(frozen=True, eq=False)
class Lesson:
    """What is learned from, for all N pictures: `maps` and captions as token ids.

    `logits` [V, N, 1000], one for each view of the maps, and `sentences` [N, 5, 384] are what the
    towers said of them before.
    """

    maps: Maps
    captions: Sequence[Sequence[Tensor]]
    logits: Tensor
    sentences: Tensor


def finetune(
    image_tower: ImageTower,
    text_tower: TextTower,
    joint: Joint,
    lesson: Lesson,
    rows: Tensor,
    *,
    epochs: int,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Train all three in place on the pictures `rows` of a lesson.

    What lies below `ImageTower.upper` and MiniLM's word table stay as they are.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    log_scale = nn.Parameter(torch.tensor(FIRST_LOG_SCALE))
    parts = _trainable(image_tower, text_tower, joint, log_scale)
    batch = min(BATCH, len(rows))
    steps = len(rows) // batch
    optimizer, schedule = _optimizer(parts, steps * epochs)
    everything = [parameter for params in parts.values() for parameter in params]
    joint.train()
    image_tower.to(memory_format=torch.channels_last)  # a quarter faster
    for epoch in range(epochs):
        total = 0.0
        order = rows[torch.randperm(len(rows))]
        for some in order[: steps * batch].split(batch):
            image, forgotten = _look(image_tower, joint, lesson, some, rng)
            text, changed = _read(text_tower, joint, lesson, some, rng)
            contrast = _contrast(log_scale.exp() * image @ text.T)
            loss = contrast + forgotten + changed
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(everything, 1.0)
            optimizer.step()
            schedule.step()
            total += float(contrast.detach())
        say(f"epoch {epoch + 1} of {epochs}: loss {total / steps:.3f}")
    image_tower.to(memory_format=torch.contiguous_format)
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


def _optimizer(
    parts: dict[str, list[nn.Parameter]], steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    """AdamW with the rate and the decay of each part, and the rise and fall of the rates."""
    optimizer = torch.optim.AdamW(
        [
            {"params": params, "lr": RATES[name], "weight_decay": DECAYS[name]}
            for name, params in parts.items()
        ]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, list(RATES.values()), total_steps=steps + 1, pct_start=0.1
    )
    return optimizer, schedule


def _look(
    tower: ImageTower, joint: Joint, lesson: Lesson, rows: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Vectors of pictures, each in a random view, and how far their classes moved (KL)."""
    views = rng.integers(len(lesson.maps), size=len(rows))
    seen = np.stack([lesson.maps[view][int(row)] for view, row in zip(views, rows, strict=True)])
    chunks = as_input(seen).contiguous(memory_format=torch.channels_last).split(CHUNK)
    features = torch.cat([tower.upper(chunk) for chunk in chunks])
    logits = tower.classifier(features)
    before = torch.softmax(lesson.logits[torch.from_numpy(views), rows] / SOFTENED, -1)
    now = torch.log_softmax(logits / SOFTENED, -1)
    return joint.image(features, logits), functional.kl_div(now, before, reduction="batchmean")


def _read(
    tower: TextTower, joint: Joint, lesson: Lesson, rows: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Vectors of `SAID` captions of each picture, turn by turn, and how far they moved (cosine)."""
    count = lesson.sentences.shape[1]
    chosen = rng.permuted(np.tile(np.arange(count), (len(rows), 1)), axis=1)[:, :SAID]
    spoken, which = rows.repeat(SAID), torch.from_numpy(chosen.T.ravel())
    texts = [lesson.captions[row][one] for row, one in zip(spoken, which, strict=True)]
    sentences = _sentences(tower, texts)
    before = lesson.sentences[spoken, which]
    return joint.text(sentences), (1 - (sentences * before).sum(-1)).mean()


def _sentences(tower: TextTower, texts: Sequence[Tensor]) -> Tensor:
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
