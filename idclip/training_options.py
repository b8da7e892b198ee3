"""The options of a training run, and the named sets of them. Needs no torch."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from .errors import VidsearchError

HEAD = "head"
MOST_LR = 1.0


class InvalidOptions(VidsearchError):
    """Options of a training run that do not go together, or a preset that nobody knows."""


def _option(default: Any, about: str, **checks: Any) -> Any:
    """A field; `checks` are `least` or `choices`."""
    return field(default=default, metadata={"about": about, **checks})


@dataclass(frozen=True)
class Options:
    """How an Id-CLIP is trained. The defaults are the paper's, but for the model.

    Each field's `metadata` says what it is about, which values it takes (`choices`) and the least
    it may be (`least`); the command line is made of that.
    """

    model: str = _option("compact", "open_clip model, or `compact`.")
    pretrained: str = _option("", "Its weights: a published tag or a file; none: random ones.")
    prompts: int = _option(0, "Learned vectors beside the patches.", least=0)
    text_prompts: int = _option(0, "Learned vectors before the first word.", least=0)
    tokens: int = _option(1, "Tokens that stand for a person.", least=1)
    unlock: str = _option("", "`head`: train the compact model's head too.", choices=("", HEAD))
    epochs: int = _option(10, "Passes over the training pictures.", least=1)
    batch: int = _option(32, "Pictures among which each finds its text.", least=2)
    accumulate: int = _option(
        1, "Parts in which a batch goes through the towers; the result is the same.", least=1
    )
    negatives: str = _option(
        "batch",
        "Which pictures a text must tell from its own: the batch's, or all (needs constant ones).",
        choices=("batch", "all"),
    )
    lr: float = _option(5e-5, "AdamW's learning rate.", least=0)
    weight_decay: float = _option(0.01, "AdamW's weight decay.", least=0)
    schedule: str = _option("constant", "How the rate goes on.", choices=("constant", "cosine"))
    warmup: float = _option(0.0, "Share of all steps in which the rate rises from 0.", least=0)
    entity_weight: float = _option(
        0.0, "Weight of the entity loss; the paper tries 0.02, 0.1 and 1.", least=0
    )
    logit_scale: float = _option(1 / 0.07, "What multiplies cosines in the loss.", least=0)
    validations: int = _option(10, "Validations in each epoch.", least=1)
    validation_captions: int = _option(5, "Captions of a picture that are asked then.", least=1)
    precision: str = _option(
        "auto", "`auto`: bf16 on a GPU, fp32 elsewhere.", choices=("auto", "bf16", "fp32")
    )
    compile: bool = _option(False, "Let torch.compile make the towers faster.")
    device: str = _option("auto", "`cpu`, `cuda`, or `auto`: a GPU where there is one.")
    seed: int = _option(0, "Of all randomness.", least=0)

    def __post_init__(self) -> None:
        for each in fields(self):
            _check(each, getattr(self, each.name))
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise InvalidOptions(f"device is cpu, cuda, cuda:NUMBER or auto, not {self.device!r}")
        if self.lr > MOST_LR:
            raise InvalidOptions(f"lr is at most {MOST_LR}, not {self.lr}; 0.01 is much")
        if self.warmup > 1:
            raise InvalidOptions(f"warmup is a share of all steps, 0 to 1, not {self.warmup}")
        if self.negatives == "all" and (self.prompts or self.unlock):
            raise InvalidOptions(
                "all pictures can be negatives only while their vectors stay as they are: "
                "leave out --prompts and --unlock, or use --negatives batch"
            )

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _check(option: Field[Any], value: Any) -> None:
    choices, least = option.metadata.get("choices"), option.metadata.get("least")
    if choices and value not in choices:
        known = ", ".join(repr(choice) for choice in choices)
        raise InvalidOptions(f"{option.name} is one of {known}, not {value!r}")
    if least is not None and not value >= least:
        raise InvalidOptions(f"{option.name} is at least {least}, not {value}")


@dataclass(frozen=True)
class Preset:
    """Options under a name; what is trained with them, and on what."""

    about: str
    options: Options


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "compact": Preset(
            "the encoder `concept` with a translator; two CPU cores, under 15 minutes",
            Options(
                epochs=6,
                batch=256,
                negatives="all",
                lr=5e-3,
                schedule="cosine",
                warmup=0.05,
                entity_weight=0.1,
                logit_scale=30.0,
                validations=2,
            ),
        ),
        "paper-vitl14-336-vpt5": Preset(
            "the paper's best: OpenAI's ViT-L/14@336 and 5 visual prompts; a GPU",
            Options("ViT-L-14-336", "openai", prompts=5, device="cuda"),
        ),
        "vitb16-vpt5": Preset(
            "ViT-B/16 of DataComp-1B and 5 visual prompts; a GPU with 16 GB",
            Options("ViT-B-16", "datacomp_xl_s13b_b90k", prompts=5, device="cuda"),
        ),
        "siglip2-b16": Preset(
            "SigLIP 2 B/16 and 5 visual prompts; a GPU with 16 GB",
            Options("ViT-B-16-SigLIP2", "webli", prompts=5, device="cuda"),
        ),
    }
)


def preset(name: str, **changed: Any) -> Options:
    """The options of a preset with some of them changed. Raises `InvalidOptions`."""
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1)
        meant = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(PRESETS)}"
        raise InvalidOptions(f'no preset is called "{name}"{meant}')
    return replace(PRESETS[name].options, **changed)
