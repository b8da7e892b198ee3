"""What must be the same on every node, or it would store other rows than the others do.

The version alone does not tell: between two releases every commit has the same one. So the text of
all modules is compared, by a digest, and the packages that decode and shrink pictures.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from importlib import import_module, metadata
from pathlib import Path

import vidsearch
from vidsearch.errors import VidsearchError
from vidsearch.opencv_build import VARIANTS

MODULES_OF = ("idclip", "vidsearch", "workers")
"""The packages whose modules must be the same."""
_SHOWN = 8  # digits of a digest: enough to tell two apart


@dataclass(frozen=True)
class Code:
    """The program: its version and `own_digest`, Python's (major, minor), and the versions of what
    decodes (PyAV, which brings FFmpeg) and shrinks pictures (OpenCV), "" where it is not installed.
    """

    vidsearch: str
    digest: str
    python: tuple[int, int]
    av: str
    opencv: str

    @classmethod
    def here(cls) -> Code:
        """That of this process."""
        return cls(
            vidsearch.__version__,
            own_digest(),
            (sys.version_info.major, sys.version_info.minor),
            _version("av"),
            _version(*VARIANTS),
        )

    def told(self) -> dict[str, str]:
        """Each part, as people are told it."""
        return {
            "vidsearch": f"vidsearch {self.vidsearch} (code {self.digest[:_SHOWN]})",
            "Python": f"Python {self.python[0]}.{self.python[1]}",
            "PyAV": f"PyAV {self.av or 'missing'}",
            "OpenCV": f"OpenCV {self.opencv or 'missing'}",
        }


@lru_cache(maxsize=1)
def own_digest() -> str:
    """16 hexadecimal digits: BLAKE2b over the names and texts of all modules of `MODULES_OF`.

    Wherever they are installed, and whatever ends their lines. Read once in a process: what is
    changed on the disk later is not what the process runs.
    """
    return digest_of({name: Path(str(import_module(name).__file__)).parent for name in MODULES_OF})


def digest_of(packages: Mapping[str, Path]) -> str:
    """That of packages that lie in these folders."""
    digest = blake2b(digest_size=8)
    for package, folder in packages.items():
        for name in sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*.py")):
            text = (folder / name).read_bytes().replace(b"\r\n", b"\n")
            digest.update(f"{package}/{name} {len(text)}\n".encode() + text)
    return digest.hexdigest()


def refuse_other_code(wanted: Code) -> None:
    """Raise `VidsearchError` if this process runs other code than the driver: what differs."""
    here, there = Code.here().told(), wanted.told()
    other = [part for part in there if here[part] != there[part]]
    if other:
        raise VidsearchError(
            f"the node {platform.node()} runs {', '.join(here[part] for part in other)}, and the"
            f" job {', '.join(there[part] for part in other)}: install the same there, of the same"
            " commit, and start its Ray again"
        )


def _version(*distributions: str) -> str:
    """That of the first of these which is installed, "" for none."""
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ""
