"""Which files are meant: walking folders, globs, hidden files, and a name that survives renaming.

Nothing here opens a file as a video; `vidsearch.media` does.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PathLike = str | bytes | Path

VIDEO_SUFFIXES = frozenset(
    ".3g2 .3gp .amv .asf .avi .divx .dv .evo .f4v .flv .gxf .h264 .h265 .hevc .ivf .lrv .m1v .m2p"
    " .m2t .m2ts .m2v .m4v .mkv .mod .mov .mp4 .mpe .mpeg .mpg .mpv .mts .mxf .nut .obu .ogm .ogv"
    " .ps .qt .rm .rmvb .tod .trp .ts .vob .webm .wmv .wtv .y4m".split()
)
"""What counts as a video inside a folder. A file that is named itself is tried whatever its suffix."""

_ALSO_SOURCE_CODE = frozenset({".ts", ".mts"})  # TypeScript
_SAMPLE = 1 << 20


@dataclass(frozen=True)
class Found:
    """What a list of paths came down to.

    `files` are absolute, sorted within each given path, each file once. `n_hidden` counts hidden
    files and folders that were passed over (a hidden folder counts once), `n_other` files that are
    not videos by their suffix, and `missing` holds each given path that led nowhere and each
    folder that could not be listed, with a one-line reason.
    """

    files: tuple[Path, ...]
    n_hidden: int
    n_other: int
    missing: tuple[tuple[Path, str], ...]


def printable(path: PathLike) -> str:
    """`path` on one line, fit for any terminal: undecodable bytes and control characters escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def looks_like_text(head: bytes) -> bool:
    """Whether the first bytes of a file are plain text (UTF-8 or ASCII, no control characters)."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else only the last character is cut in two
            return False
        text = head[: error.start].decode("utf-8")
    return bool(text) and all(c.isprintable() or c in "\t\n\r\f" for c in text)


def find_videos(paths: Sequence[PathLike]) -> Found:
    """Turn files, folders and globs into a list of video files.

    Folders are walked recursively and sorted by name; inside them hidden entries are passed over
    and files are chosen by `VIDEO_SUFFIXES`. Links to folders are followed, each folder once, so
    loops end. A path that is itself a file is taken as it is: whether it is a video is found out
    on opening it. A path that does not exist is tried as a glob (`**` crosses folders).
    """
    found = _Collector()
    for given in paths:
        path = os.fspath(given)
        name = os.fsdecode(path)
        if os.path.lexists(name):
            found.add(name)
            continue
        matches = sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else []
        for match in matches:
            found.add(match, explicit=False)
        if not matches:
            reason = "matches no file" if glob.has_magic(name) else "does not exist"
            found.missing.append((Path(name), reason))
    return Found(tuple(found.files), found.n_hidden, found.n_other, tuple(found.missing))


class _Collector:
    """The state of one `find_videos`: what was seen, so that nothing is taken or counted twice."""

    def __init__(self) -> None:
        self.files: dict[Path, None] = {}
        self.n_hidden = 0
        self.n_other = 0
        self.missing: list[tuple[Path, str]] = []
        self._folders: set[tuple[int, int]] = set()
        self._others: set[str] = set()

    def add(self, path: str, *, explicit: bool = True) -> None:
        """Take a file, or everything in a folder; `explicit` files need no video suffix."""
        if os.path.isdir(path):
            for file in self._walk(os.path.abspath(path)):
                self._add_file(file, explicit=False)
        elif os.path.islink(path) and not os.path.exists(path):
            self.missing.append((Path(path), "is a link to something that does not exist"))
        else:
            self._add_file(os.path.abspath(path), explicit=explicit)

    def _add_file(self, path: str, *, explicit: bool) -> None:
        if explicit or is_video_name(path):
            self.files.setdefault(Path(path))
        elif path not in self._others:
            self._others.add(path)
            self.n_other += 1

    def _walk(self, folder: str) -> Iterator[str]:
        try:
            here = os.stat(folder)
            # A folder is known by its inode, not its name: links cannot lead in circles.
            if (here.st_dev, here.st_ino) in self._folders:
                return
            self._folders.add((here.st_dev, here.st_ino))
            names = sorted(os.listdir(folder))
        except OSError as error:
            self.missing.append((Path(folder), _reason(error)))
            return
        for name in names:
            path = os.path.join(folder, name)
            if name.startswith("."):
                self.n_hidden += 1
            elif os.path.isdir(path):
                yield from self._walk(path)
            else:
                yield path


def is_video_name(path: str) -> bool:
    """Whether a file found in a folder is taken for a video, by its suffix."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix in _ALSO_SOURCE_CODE:
        try:
            with open(path, "rb") as file:
                return not looks_like_text(file.read(512))
        except OSError:
            return True  # the reason comes to light, and is told, on opening it
    return suffix in VIDEO_SUFFIXES


def fingerprint(path: PathLike) -> str:
    """A name for a file's content that survives renaming and moving: 32 hexadecimal digits.

    BLAKE2b over the size and three ranges of 1 MiB (start, middle, end), so that it takes
    milliseconds for any size. Two files that differ only outside the three ranges share it.
    Raises OSError.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest = hashlib.blake2b(str(size).encode() + b"\n", digest_size=16)
        for start in (0, (size - _SAMPLE) // 2, size - _SAMPLE):
            file.seek(max(0, start))
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "may not be read (no permission)"
    return (error.strerror or str(error)).lower()
