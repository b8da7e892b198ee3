"""The output folder while it is being built: whose it is, and how far it has come."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import VidsearchError
from .journal import Journal
from .pictures import write_whole

MANIFEST = "manifest.json"
_WORK = ".work"
_STAMP = "options.json"


@dataclass(frozen=True)
class Workplace:
    """An output folder that belongs to one set of options.

    `manifest.json` is written last of all: without it the folder is unfinished, whatever else
    is in it. What is known so far stands in `.work`, which goes when the manifest is there.
    """

    out: Path

    @classmethod
    def claim(cls, out: Path, stamp: Mapping[str, Any]) -> Workplace:
        """Make the folder, or go on with it.

        `stamp` is all that the result depends on. Raises `VidsearchError` for a folder that
        holds anything else, or was begun with another stamp.
        """
        place = cls(out)
        if out.exists() and not out.is_dir():
            raise VidsearchError(f"{out} is a file: choose a folder for --out")
        known = place._stamp()
        if known is None:
            if out.is_dir() and any(path.name != _WORK for path in out.iterdir()):
                raise VidsearchError(
                    f"{out} holds other things than an unfinished or finished COCO-PFS: "
                    "choose an empty folder for --out"
                )
            place.work.mkdir(parents=True, exist_ok=True)
            write_whole(place.work / _STAMP, json.dumps(stamp, indent=1).encode())
        elif known != stamp:
            changed = sorted(k for k in {*known, *stamp} if known.get(k) != stamp.get(k))
            raise VidsearchError(
                f"{out} was begun with another {', '.join(changed)}: give the options of then, "
                "choose another --out, or delete the folder"
            )
        return place

    @property
    def work(self) -> Path:
        """Where the journals of an unfinished build stand."""
        return self.out / _WORK

    def finished(self) -> bool:
        """Whether the manifest is there."""
        return (self.out / MANIFEST).is_file()

    def journal(self, name: str) -> Journal:
        """The journal of one stage."""
        return Journal(self.work / f"{name}.jsonl")

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, then clear away what a finished build does not need."""
        text = json.dumps(manifest, ensure_ascii=False, indent=1, allow_nan=False)
        write_whole(self.out / MANIFEST, text.encode())
        self.clear()

    def clear(self) -> None:
        """Remove `.work`, which a build killed in its last moment left behind."""
        shutil.rmtree(self.work, ignore_errors=True)

    def _stamp(self) -> dict[str, Any] | None:
        try:
            if self.finished():
                read = json.loads((self.out / MANIFEST).read_text("utf-8"))["stamp"]
            else:
                read = json.loads((self.work / _STAMP).read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise VidsearchError(
                f"{self.out}: its record cannot be read ({error!r}): choose another --out"
            ) from error
        return dict(read)
