"""Models that do not ship: whether they are on this machine, and fetching them.

Weights from the Hugging Face hub go to its own cache, where open_clip and others find them too;
exported CLIPs go to `models_folder()`. Without a network every function here gives up with
`ModelUnavailable` in well under ten seconds.
"""

from __future__ import annotations

import importlib.util
import shutil
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from .encoders import REGISTRY, EncoderInfo, unknown_encoder
from .errors import ModelUnavailable
from .places import models_folder as models_folder

_T = TypeVar("_T")
REACH_S = 3.0  # how long the hub may take to answer at all
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # safe format first
TORCH_REMEDY = 'pip install "vidsearch[torch]"'


@dataclass(frozen=True)
class Availability:
    """Whether a named encoder can be used now; `remedy` is the command that would mend it."""

    info: EncoderInfo
    present: bool
    remedy: str

    def as_data(self) -> dict[str, object]:
        """What is known of the encoder, for programs."""
        info = self.info
        return {
            "name": info.name,
            "present": self.present,
            "remedy": self.remedy,
            "about": info.about,
            "origin": info.origin,
            "licence": info.licence,
            "commercial_use": info.commercial,
            "note": info.note,
            "dimensions": info.dim,
            "megabytes": info.megabytes,
        }


def available() -> list[Availability]:
    """Every named encoder and whether it is here; asks no network and loads no engine."""
    return [_availability(info) for info in REGISTRY.values()]


def _availability(info: EncoderInfo) -> Availability:
    if info.extra and not torch_installed():
        return Availability(info, False, TORCH_REMEDY)
    if info.name.startswith("open_clip:"):
        present = cached(info.repo, WEIGHTS) is not None
    elif info.name.startswith("onnx:"):
        present = (models_folder() / info.name.partition(":")[2]).is_dir()
    else:
        present = _shipped(info.name)
        info = _measured(info) if present else info
    mend = f"vidsearch models pull {info.name}" if info.repo else "install vidsearch again"
    return Availability(info, present, "" if present else mend)


def _shipped(name: str) -> bool:
    return all(file.is_file() for file in _own_files(name))


def _measured(info: EncoderInfo) -> EncoderInfo:
    """What ships says its size itself: its weights change more often than the registry."""
    size = sum(file.stat().st_size for file in _own_files(info.name))
    return replace(info, megabytes=round(size / 1e6))


def _own_files(name: str) -> list[Path]:
    """The files of a model that ships; loads none."""
    from . import concept

    if name == "concept":
        return [concept.WEIGHTS / file for file in concept.FILES]
    folder = Path(__file__).parent / "weights" / "idclip" / name.partition(":")[2]
    return [folder / "checkpoint.json", folder / "weights.safetensors"]


def torch_installed() -> bool:
    """Whether the extra `torch` is here, without importing it."""
    return all(importlib.util.find_spec(name) for name in ("torch", "open_clip"))


def pull(name: str) -> Path:
    """Fetch a named encoder, or any `open_clip:MODEL/TAG`, unless it is here already.

    Gives the weights file or the folder. Raises `ModelUnavailable` for an unknown name, without
    a network, or where the extra is missing.
    """
    kind, _, rest = name.partition(":")
    info = REGISTRY.get(name)
    if kind == "open_clip" and rest:
        from .open_clip_models import fetch

        return fetch(rest)
    if info is None:
        raise ModelUnavailable(unknown_encoder(name))
    if kind == "onnx":
        return _pull_folder(info, models_folder() / rest)
    folder = _own_files(name)[0].parent
    if not _shipped(name):
        raise ModelUnavailable(f"{folder}: files are missing; install vidsearch again")
    return folder


def _pull_folder(info: EncoderInfo, folder: Path) -> Path:
    """Fetch an exported model as a whole: a folder that is there is complete."""
    if folder.is_dir():
        return folder
    require_hub(info.name)
    from huggingface_hub import snapshot_download

    part = folder.with_name(folder.name + ".part")
    _guarded(
        info.name,
        lambda: snapshot_download(
            info.repo, local_dir=part, allow_patterns=list(info.files), etag_timeout=REACH_S
        ),
    )
    shutil.rmtree(part / ".cache", ignore_errors=True)
    part.rename(folder)
    return folder


def cached(repo: str, files: Sequence[str]) -> Path | None:
    """The first of these files of a hub repository that is in the local cache."""
    from huggingface_hub import try_to_load_from_cache

    for file in files:
        found = try_to_load_from_cache(repo, file)
        if isinstance(found, str):
            return Path(found)
    return None


def hub_file(name: str, repo: str, files: Sequence[str]) -> Path:
    """The first of these files that the repository has, from the cache or the network.

    `name` is what the user asked for, for the message of `ModelUnavailable`.
    """
    here = cached(repo, files)
    if here is not None:
        return here
    require_hub(name)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    def first() -> Path:
        for file in files[:-1]:
            try:
                return Path(hf_hub_download(repo, file, etag_timeout=REACH_S))
            except EntryNotFoundError:
                continue
        return Path(hf_hub_download(repo, files[-1], etag_timeout=REACH_S))

    return _guarded(name, first)


def hub_folder(name: str, repo: str, marker: str, patterns: Sequence[str]) -> Path:
    """The local snapshot of a repository's files that match; `marker` tells if it is cached."""
    here = cached(repo, (marker,))
    if here is not None:
        return here.parent
    require_hub(name)
    from huggingface_hub import snapshot_download

    return Path(
        _guarded(
            name,
            lambda: snapshot_download(repo, allow_patterns=list(patterns), etag_timeout=REACH_S),
        )
    )


def require_hub(name: str) -> None:
    """Make sure that the hub answers, before a download that would wait for minutes.

    Raises `ModelUnavailable` after at most `REACH_S` seconds and a little.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise ModelUnavailable(_missing(name, "HF_HUB_OFFLINE is set"))
    reason = _unreachable(constants.ENDPOINT)
    if reason:
        raise ModelUnavailable(_missing(name, f"{constants.ENDPOINT} cannot be reached: {reason}"))


def _unreachable(url: str) -> str:
    """Why a server gives no answer, or "" where it does; name lookup has no timeout of its own."""
    answer: list[str] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=REACH_S).close()
            answer.append("")
        except urllib.error.HTTPError:
            answer.append("")  # it answers; what it thinks of a bare HEAD is of no interest
        except urllib.error.URLError as error:
            # The hub's client may trust certificates that Python does not: let it try.
            answer.append("" if isinstance(error.reason, ssl.SSLError) else str(error.reason))
        except (OSError, ValueError) as error:
            answer.append(str(error))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(REACH_S + 1)
    return answer[0] if answer else "no answer"


def _guarded(name: str, fetch: Callable[[], _T]) -> _T:
    """Run a download and say what went wrong in our words; the hub's errors have many bases."""
    try:
        return fetch()
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ModelUnavailable(_missing(name, f"the download failed: {reason}")) from error


def _missing(name: str, reason: str) -> str:
    return (
        f"{name} is not on this machine ({reason}).\n"
        f"Where there is a network: vidsearch models pull {name}\n"
        "Without one: copy the model here and name it, as open_clip:MODEL/CHECKPOINT-FILE, "
        "open_clip:local-dir:FOLDER or onnx:FOLDER; or use the one that ships: concept."
    )
