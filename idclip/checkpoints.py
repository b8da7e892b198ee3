"""What an Id-CLIP has learned, in a folder: a few MB, and no pickle (torch).

    weights.safetensors   translator and prompts
    checkpoint.json       backbone, face model, configuration, data, metrics
    MODEL_CARD.md         the same in words
    training.safetensors  only of a run that can go on: the optimiser's state (`idclip.train`)

The backbone's weights are not in it. They are known by name and digest, and another backbone or
face model is refused with both names.
"""

# torch is not seen by mypy, so its functions are of any type.
# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from .backbones import Backbone
from .errors import ModelUnavailable, VidsearchError
from .model import IdCLIP

WEIGHTS, DESCRIPTION, CARD = "weights.safetensors", "checkpoint.json", "MODEL_CARD.md"
SHIPPED = Path(__file__).parent / "weights" / "idclip"
FORMAT = 1


class WrongCheckpoint(VidsearchError):
    """A checkpoint was made for another backbone or another face model."""


@dataclass(frozen=True)
class Checkpoint:
    """What `checkpoint.json` says.

    `data` tells what it was trained on (name, fingerprint, counts), `metrics` how good it was
    when it was saved, as fractions; `training` holds the options of the run. `unlocked` says that
    the backbone's head was trained too and is among the weights.
    """

    backbone: str
    backbone_digest: str
    licence: str
    face_model: str
    face_dim: int
    tokens: int
    prompts: int
    text_prompts: int
    data: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    unlocked: bool = False
    format: int = FORMAT

    @classmethod
    def of(cls, model: IdCLIP, **about: Any) -> Checkpoint:
        """The description of a model; `about` are `data`, `training` and `metrics`."""
        return cls(
            model.backbone.name,
            model.backbone.digest,
            model.backbone.licence,
            model.face_model,
            model.face_dim,
            model.tokens,
            model.prompts,
            len(model.text_prompts),
            unlocked=model.head is not None,
            **about,
        )

    @classmethod
    def read(cls, folder: Path) -> Checkpoint:
        """Of a folder. Raises `ModelUnavailable` where it is not one, or of another format."""
        file = folder / DESCRIPTION
        try:
            found = json.loads(file.read_text("utf-8"))
            if found.get("format") != FORMAT:
                raise ModelUnavailable(
                    f"{file}: format {found.get('format')!r} is not known to this version, which "
                    f"reads {FORMAT}. Install the version that the checkpoint was made with."
                )
            known = {each.name for each in fields(cls)}
            return cls(**{name: value for name, value in found.items() if name in known})
        except FileNotFoundError:
            raise ModelUnavailable(
                f"{folder}: is no Id-CLIP checkpoint (has no {DESCRIPTION}); make one with "
                "idclip train"
            ) from None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ModelUnavailable(
                f"{file}: is no description of a checkpoint ({error})"
            ) from error


def save(
    model: IdCLIP, folder: Path, *, extra: Mapping[str, Any] | None = None, **about: Any
) -> Checkpoint:
    """Write a checkpoint to `folder`, whole or not at all; an older one there is replaced.

    `about` are `data`, `training` and `metrics` of `Checkpoint`; `extra` maps names of further
    files `NAME.safetensors` to their tensors. Raises `VidsearchError` where it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    described = Checkpoint.of(model, **about)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            save_file(_on_cpu(model.learned()), part / WEIGHTS)
            for name, tensors in (extra or {}).items():
                save_file(_on_cpu(tensors), part / f"{name}.safetensors")
            text = json.dumps(asdict(described), indent=1, ensure_ascii=False)
            (part / DESCRIPTION).write_text(text + "\n", "utf-8")
            (part / CARD).write_text(card(described), "utf-8")
            os.chmod(part, 0o755)  # mkdtemp makes it ours alone
            _put(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except (OSError, SafetensorError) as error:  # no room is either, by the file
        reason = getattr(error, "strerror", None) or str(error)
        raise VidsearchError(f"{folder}: the checkpoint cannot be written: {reason}") from error
    return described


def load_idclip(
    checkpoint: str | Path,
    *,
    backbone: Backbone | None = None,
    face_model: str | None = None,
    device: str = "cpu",
) -> IdCLIP:
    """The model of a checkpoint folder, in evaluation mode; "compact" is the one that ships.

    The backbone is loaded by its name unless one is given. `face_model` is the one whose vectors
    it will be asked about. Raises `WrongCheckpoint` where either is another than it was trained
    with, and `ModelUnavailable` where a file is missing or the backbone cannot be had.
    """
    folder = checkpoint_folder(checkpoint)
    described = Checkpoint.read(folder)
    if face_model is not None and face_model != described.face_model:
        raise WrongCheckpoint(
            f"{folder}: was trained on vectors of the face model {described.face_model}, not of "
            f"{face_model}; use --faces {described.face_model}, or train one for {face_model}"
        )
    backbone = backbone or _named(described, device)
    _require_backbone(folder, described, backbone)
    model = IdCLIP(
        backbone,
        face_dim=described.face_dim,
        face_model=described.face_model,
        prompts=described.prompts,
        text_prompts=described.text_prompts,
        tokens=described.tokens,
        device=device,
    )
    if described.unlocked:
        model.unlock_head()
    load_learned(model, folder)
    return model.eval()


def checkpoint_folder(checkpoint: str | Path) -> Path:
    """The folder that is meant: a path, or the name of a checkpoint that ships."""
    path = Path(checkpoint).expanduser()
    if not path.exists() and _aside(path).is_dir():  # `save` was killed between two renames
        _aside(path).rename(path)
    shipped = SHIPPED / str(checkpoint)
    return path if path.is_dir() or not (shipped / DESCRIPTION).is_file() else shipped


def extra_tensors(folder: Path, name: str) -> dict[str, Any]:
    """What `save` was given as `extra` under that name; raises `ModelUnavailable` without it."""
    from safetensors.torch import load_file

    file = folder / f"{name}.safetensors"
    try:
        return load_file(file)
    except Exception as error:  # safetensors has an error of its own for damaged files
        raise ModelUnavailable(f"{file}: cannot be read: {error}") from error


def card(described: Checkpoint) -> str:
    """The model card of a checkpoint, Markdown."""
    measured = [f"| {name} | {value:.4f} |" for name, value in described.metrics.items()]
    lines = [
        f"# Id-CLIP on {described.backbone}",
        "",
        "A translator from face vectors to text tokens, and learned prompts, for a frozen CLIP.",
        "",
        f"- Backbone: {described.backbone} (weights {described.backbone_digest}), not included. "
        f"Licence: {described.licence}.",
        f"- Face model: {described.face_model}, vectors of {described.face_dim} values.",
        f"- A person takes {described.tokens} token(s); {described.prompts} visual and "
        f"{described.text_prompts} text prompts."
        + (" The backbone's head was trained too." if described.unlocked else ""),
        "- Licence of what was learned: that of this project (Apache-2.0), as far as the rights "
        "in the training photos and the licences of backbone and face model allow.",
        "",
        "## Data",
        "",
        *[f"- {name}: {value}" for name, value in described.data.items()],
        "",
        "## Training",
        "",
        *[f"- {name}: {value}" for name, value in described.training.items()],
        "",
        "## Measured when it was saved",
        "",
        *(["| metric | fraction |", "|---|---|", *measured] if measured else ["Nothing."]),
        "",
        "## Limits",
        "",
        "It finds people by what the image tower sees of them, which for small faces is little; a "
        "face model compared with the faces in the picture finds them more surely. Swapped faces "
        "are not photographs: measure on your own pictures. Who is looked for must have a right "
        "to be found: the law on biometric data applies.",
    ]
    return "\n".join(lines) + "\n"


def _named(described: Checkpoint, device: str) -> Backbone:
    from .backbones import load_backbone

    model, _, pretrained = described.backbone.partition("/")
    if described.backbone.startswith("local-dir:"):
        model, pretrained = described.backbone, ""
    return load_backbone(model, pretrained or None, device=device)


def _require_backbone(folder: Path, described: Checkpoint, backbone: Backbone) -> None:
    if backbone.digest == described.backbone_digest:
        return
    raise WrongCheckpoint(
        f"{folder}: was trained on the backbone {described.backbone} (weights "
        f"{described.backbone_digest}), not on {backbone.name} (weights {backbone.digest})"
    )


def load_learned(model: IdCLIP, folder: Path) -> None:
    """Take what `model` learns from a checkpoint of such a model; raises `ModelUnavailable`."""
    from safetensors.torch import load_file

    file = folder / WEIGHTS
    try:
        stored = load_file(file)
    except Exception as error:  # safetensors has an error of its own for damaged files
        raise ModelUnavailable(f"{file}: the weights cannot be read: {error}") from error
    own = model.learned()
    wrong = [name for name in own if name not in stored or stored[name].shape != own[name].shape]
    if wrong or len(stored) != len(own):
        raise ModelUnavailable(f"{file}: does not fit {DESCRIPTION}: {', '.join(wrong) or 'more'}")
    model.load_state_dict(stored, strict=False)


def _on_cpu(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _put(part: Path, folder: Path) -> None:
    """Let `part` take the place of `folder`, which holds an older checkpoint or is not there."""
    if not folder.exists():
        part.rename(folder)
        return
    if folder.is_dir() and any(folder.iterdir()) and not (folder / DESCRIPTION).exists():
        raise VidsearchError(f"{folder}: holds something else; choose another folder")
    # Folders cannot be exchanged in one step everywhere: the old one steps aside, from where
    # `checkpoint_folder` brings it back should we die between the two.
    aside = _aside(folder)
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    part.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")
