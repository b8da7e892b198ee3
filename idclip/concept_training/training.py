"""From training data to trained towers and head: first the head, then all together (torch)."""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"
from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .export import export
from .features import look, read
from .finetune import finetune
from .fit import DIM, Pairs, fit_joint, recall, temperature
from .maps import Maps
from .network import ImageEncoder, Joint, TextEncoder
from .towers import ImageTower, TextTower, class_names_and_glosses, token_ids

COLLAPSED = 2000  # pictures whose vectors' directions make the space


@dataclass(frozen=True, eq=False)
class Towers:
    """The two towers, trained or not."""

    image: ImageTower
    text: TextTower

    def pairs(self, course: Course, rows: Tensor, *, views: int = 1) -> Pairs:
        """What the towers say of the pictures `rows`, in the first views, and of their captions."""
        texts = read(self.text, [text for row in rows for text in course.captions[int(row)]])
        seen = [look(self.image, course.maps[view], rows) for view in range(views)]
        return Pairs(seen, texts.view(len(rows), -1, texts.shape[-1]))


@dataclass(frozen=True, eq=False)
class Trained:
    """Towers and head, to be exported together."""

    towers: Towers
    joint: Joint

    def measure(self, course: Course, rows: Tensor) -> tuple[dict[str, float], float]:
        """Recall (see `fit.recall`) and temperature on pictures that were not trained on."""
        pairs = self.towers.pairs(course, rows)
        return recall(self.joint, pairs), temperature(self.joint, pairs)

    def export(
        self, out: Path, *, logit_scale: float, typical: NDArray[np.uint8] | None
    ) -> dict[str, int]:
        """Write the encoder to `out` (see `export.export`); return each file's bytes."""
        image = ImageEncoder(self.towers.image, self.joint)
        text = TextEncoder(self.towers.text, self.joint)
        return export(image, text, out, dim=DIM, logit_scale=logit_scale, typical=typical)


@dataclass(frozen=True, eq=False)
class Course:
    """Training data and how long to learn: `maps` and five captions for each of N pictures."""

    maps: Maps
    texts: Sequence[Sequence[str]]
    epochs: int
    seed: int
    say: Callable[[str], None]

    @cached_property
    def captions(self) -> list[list[Tensor]]:
        """The captions as token ids."""
        ids = iter(token_ids([text for lines in self.texts for text in lines]))
        return [[next(ids) for _ in lines] for lines in self.texts]

    def trained_on(self, rows: Tensor) -> Trained:
        """Towers and head, half way between before and after training on the pictures `rows`.

        Half way, because what is trained on Flickr8k alone forgets the rest of the world: the
        mean of both weights keeps most of what either knows (Wortsman et al., "Robust fine-tuning
        of zero-shot models", CVPR 2022, who recommend a half where no other data can tell).
        """
        towers = Towers(ImageTower().eval(), TextTower().eval())
        joint = self._first_head(towers, rows)
        modules: list[nn.Module] = [towers.image, towers.text, joint]
        before = [copy.deepcopy(module.state_dict()) for module in modules]
        finetune(
            towers.image,
            towers.text,
            joint,
            self.maps,
            self.captions,
            rows,
            epochs=self.epochs,
            seed=self.seed,
            say=self.say,
        )
        for module, first in zip(modules, before, strict=True):
            module.load_state_dict(_mean(first, module.state_dict()))
        pairs = towers.pairs(self, rows[torch.randperm(len(rows))[:COLLAPSED]])
        joint.collapse(
            pairs.views[0].features, pairs.views[0].logits, pairs.captions[:, 0], dim=DIM
        )
        return Trained(towers, joint)

    def _first_head(self, towers: Towers, rows: Tensor) -> Joint:
        glosses = read(towers.text, token_ids([gloss for _, gloss in class_names_and_glosses()]))
        joint = fit_joint(towers.pairs(self, rows, views=2), glosses, seed=self.seed)
        self.say(f"a first head is fitted on {len(rows)} pictures")
        return joint


def _mean(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: (value + other[name]) / 2 for name, value in one.items()}
