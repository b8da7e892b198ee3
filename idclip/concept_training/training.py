"""From training data to an encoder: first the towers, then a head on what they say (torch)."""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"
from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from .data import Photos, Split
from .export import export
from .features import look, look_again, read
from .finetune import Lesson, finetune
from .fit import DIM, HEADS, Pairs, fit_joint, recall, temperature
from .maps import VIEWS, Maps
from .network import ImageHead, Joint, TextEncoder
from .towers import ImageTower, TextTower, class_names_and_glosses, token_ids

COLLAPSED = 2000  # pictures whose vectors' directions make the space
TYPICAL = 160  # pictures on which the tower's ranges for int8 are measured
TYPICAL_FEATURES = 1000  # and those on which the head's are
SHARE = 0.75  # of the way from the towers as they came to the trained ones
ELSEWHERE = 4  # times that each photo of COCO counts in the head: few stand for many


@dataclass(frozen=True, eq=False)
class Towers:
    """The two towers, trained or not."""

    image: ImageTower
    text: TextTower

    def classes(self) -> Tensor:
        """What the text tower says of ImageNet's classes, named and explained [1000, 384]."""
        names, glosses = zip(*class_names_and_glosses(), strict=True)
        return (read(self.text, token_ids(names)) + read(self.text, token_ids(glosses))) / 2


@dataclass(frozen=True, eq=False)
class Course:
    """Training data and how to learn from it, step by step."""

    photos: Photos
    split: Split
    epochs: int
    seed: int
    threads: int
    say: Callable[[str], None]

    @cached_property
    def captions(self) -> list[list[Tensor]]:
        """The captions as token ids."""
        ids = iter(token_ids([text for lines in self.photos.captions for text in lines]))
        return [[next(ids) for _ in lines] for lines in self.photos.captions]

    @cached_property
    def seen(self) -> Tensor:
        """The numbers of the pictures that the towers are trained on."""
        return torch.from_numpy(self.split.seen)

    def sentences(self, tower: TextTower) -> Tensor:
        """Its unit vectors [N, 5, 384] of all captions."""
        texts = read(tower, [text for lines in self.captions for text in lines])
        return texts.view(len(self.captions), -1, texts.shape[-1])

    def trained_towers(self, maps: Maps) -> Towers:
        """Both towers, trained with a first head on top, which has learned too much and is left.

        Trained with the towers, a head knows the pictures by heart and other collections badly;
        fitted anew on the towers afterwards it gains everywhere (the model card has figures). The
        towers stop at `SHARE` of the way, because what lies between the weights before and after
        knows most of what either knows (Wortsman et al., "Robust fine-tuning of zero-shot models",
        CVPR 2022).
        """
        towers = Towers(ImageTower().eval(), TextTower().eval())
        modules: tuple[nn.Module, ...] = (towers.image, towers.text)
        first = [copy.deepcopy(module.state_dict()) for module in modules]
        everything = torch.arange(len(self.captions))
        views = [look(towers.image, view, everything) for view in maps]
        sentences = self.sentences(towers.text)
        pairs = Pairs(views, sentences).take(self.seen)
        joint = fit_joint(pairs, towers.classes(), seeds=[self.seed])
        self.say(f"a first head is fitted on {len(self.seen)} pictures")
        before = torch.stack([view.logits for view in views])
        lesson = Lesson(maps, self.captions, before, sentences)
        finetune(
            towers.image,
            towers.text,
            joint,
            lesson,
            self.seen,
            epochs=self.epochs,
            seed=self.seed,
            say=self.say,
        )
        for module, state in zip(modules, first, strict=True):
            module.load_state_dict(_between(state, module.state_dict()))
        return towers

    def headed(self, towers: Towers, file: Path) -> Trained:
        """The towers with a head fitted on what the exported image tower in `file` says.

        Here COCO's photos are learned from too: being new to the towers, they tell the head how
        far these can be trusted on photos of another kind.
        """
        views = []
        for number in range(VIEWS):
            self.say(f"view {number + 1} of {VIEWS} through the trained tower")
            views.append(
                look_again(
                    file, towers.image, self.photos, number, seed=self.seed, threads=self.threads
                )
            )
        pairs = Pairs(views, self.sentences(towers.text))
        seeds = [self.seed + number for number in range(HEADS)]
        elsewhere = torch.from_numpy(self.split.elsewhere).repeat(ELSEWHERE)
        taught = torch.cat([self.seen, elsewhere])
        joint = fit_joint(pairs.take(taught), towers.classes(), seeds=seeds)
        some = pairs.take(self.seen[torch.randperm(len(self.seen))[:COLLAPSED]])
        joint.collapse(some.views[0].features, some.views[0].logits, some.captions[:, 0], dim=DIM)
        return Trained(self, towers, joint, pairs)


@dataclass(frozen=True, eq=False)
class Trained:
    """Towers and head; `pairs` is what the towers say of all pictures and captions."""

    course: Course
    towers: Towers
    joint: Joint
    pairs: Pairs

    def measure(self) -> tuple[dict[str, float], float]:
        """Recall (see `fit.recall`) and temperature on pictures that were not trained on."""
        held_out = self.pairs.take(torch.from_numpy(self.course.split.held_out))
        return recall(self.joint, held_out), temperature(self.joint, held_out)

    def export(self, tower: Path, out: Path, *, logit_scale: float, int8: bool) -> dict[str, int]:
        """Write the encoder to `out` (see `export.export`); return each file's bytes."""
        typical = self.pairs.views[0].features[self.course.seen[:TYPICAL_FEATURES]].numpy()
        return export(
            tower,
            ImageHead(self.towers.image, self.joint),
            TextEncoder(self.towers.text, self.joint),
            out,
            dim=DIM,
            logit_scale=logit_scale,
            typical=typical if int8 else None,
        )


def _between(before: dict[str, Tensor], after: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value + SHARE * (after[name] - value) for name, value in before.items()}
