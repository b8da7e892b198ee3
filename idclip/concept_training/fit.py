"""Fitting a first head on frozen features, and how good vectors are on photos never seen."""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .features import Seen
from .network import Head, Inputs, Joint, Ridge, unit

BATCH = 256
RATE = 1e-3
DECAY = 0.05
RIDGE = 1.0  # in units of the inputs' mean variance, which is about one
RIDGE_WEIGHT = 4.0  # beside heads of weight one together: it holds on photos of another kind
EPOCHS = 16
HEADS = 4
DIM = 384


@dataclass(frozen=True, eq=False)
class Pairs:
    """Views of N pictures and their captions' MiniLM vectors [N, 5, 384]."""

    views: Sequence[Seen]
    captions: Tensor

    def take(self, rows: Tensor) -> Pairs:
        """The pairs of these rows."""
        return Pairs([view.take(rows) for view in self.views], self.captions[rows])


def fit_joint(pairs: Pairs, class_texts: Tensor, *, seeds: Sequence[int]) -> Joint:
    """A ridge and, for each seed, a small network side by side.

    The networks find more; the ridge holds where photos are of another kind than these.
    """
    whole = pairs.views[0]
    text_mean = pairs.captions.mean((0, 1))
    centred = pairs.captions - text_mean
    with torch.no_grad():
        inputs = Inputs.fitted(whole.features, whole.logits, class_texts)
        seen = [inputs(view.features, view.logits) for view in pairs.views]
    x, classes = seen[0]
    ridge = fit_ridge(x, classes, centred)
    heads = [fit_head(seen, centred, seed=seed) for seed in seeds]
    return Joint(inputs, text_mean, [ridge, *heads], head_weights(len(seeds)))


def head_weights(networks: int) -> list[float]:
    """What the ridge and each of the networks weigh in a `Joint`."""
    return [RIDGE_WEIGHT, *(1 / networks for _ in range(networks))]


def fit_ridge(x: Tensor, classes: Tensor, captions: Tensor) -> Ridge:
    """Ridge regression to what the class vector lacks of the mean caption vector."""
    wanted = unit(unit(captions).mean(1)) - Ridge.CLASS_SHARE * classes
    n, width = x.shape
    moment = x.T @ x / n + RIDGE * torch.eye(width)
    return Ridge(torch.linalg.solve(moment, x.T @ wanted / n))


def fit_head(seen: Sequence[tuple[Tensor, Tensor]], captions: Tensor, *, seed: int) -> Head:
    """Symmetric InfoNCE over batches: a random view and a random caption of each picture."""
    torch.manual_seed(seed)
    head = Head()
    n = len(captions)
    batch = min(BATCH, n)
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=DECAY)
    steps = n // batch * EPOCHS
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps + 1, pct_start=0.1)
    own = torch.arange(batch)
    for _ in range(EPOCHS):
        for rows in torch.randperm(n)[: n // batch * batch].split(batch):
            x, classes = seen[int(torch.randint(len(seen), ()))]
            image = head.image(x[rows], classes[rows])
            text = head.text(captions[rows, torch.randint(captions.shape[1], (batch,))])
            scores = head.log_scale.exp() * image @ text.T
            loss = functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return head.eval()


@torch.no_grad()
def recall(joint: Joint, pairs: Pairs) -> dict[str, float]:
    """Text to image in per cent: each caption is a question."""
    image, text = _vectors(joint, pairs)
    scores = text.flatten(0, 1) @ image.T
    own = torch.arange(len(image)).repeat_interleave(text.shape[1])
    rank = (scores > scores.gather(1, own[:, None])).sum(1)
    return {f"R@{k}": 100 * float((rank < k).float().mean()) for k in (1, 5, 10)}


@torch.no_grad()
def temperature(joint: Joint, pairs: Pairs) -> float:
    """The scale of a cosine that makes softmax over unseen photos and captions likeliest."""
    image, text = _vectors(joint, pairs)
    own = torch.arange(len(image))
    best, best_loss = 1.0, float("inf")
    for scale in torch.arange(8, 60, 0.5).tolist():
        loss = 0.0
        for caption in range(text.shape[1]):
            scores = scale * image @ text[:, caption].T
            loss += float(
                functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)
            )
        if loss < best_loss:
            best, best_loss = scale, loss
    return best


def _vectors(joint: Joint, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Unit vectors of the pictures [N, dim] and of all captions [N, 5, dim]."""
    whole = pairs.views[0]
    return joint.image(whole.features, whole.logits), joint.text(pairs.captions)
