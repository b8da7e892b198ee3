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
from typing import TYPE_CHECKING, TypeAlias

from vidsearch.stamp import is_archive
from vidsearch.urls import Place, RemoteError, is_stored, place, without_secrets

if TYPE_CHECKING:
    from vidsearch.remote import Remote

PathLike: TypeAlias = str | bytes | os.PathLike[str]

_SUFFIXES = """
    3g2 3gp amv asf avi divx dv evo f4v flv gxf h264 h265 hevc ivf lrv m1v m2p m2t m2ts m2v m4v mkv
    mod mov mp4 mpe mpeg mpg mpv mts mxf nut obu ogm ogv ps qt rm rmvb tod trp ts vob webm wmv wtv
    y4m
"""
VIDEO_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
"""What counts as a video inside a folder. A file named by itself is tried whatever its suffix."""

_ALSO_SOURCE_CODE = frozenset({".ts", ".mts"})  # TypeScript
_SAMPLE = 1 << 20


@dataclass(frozen=True)
class Found:
    """What a list of paths came down to.

    `files` are absolute, sorted within each given path, each file once. `n_hidden` counts hidden
    files and folders that were passed over (a hidden folder counts once), `n_other` files that are
    not videos by their suffix, and `missing` holds, absolute too, each given path that led nowhere
    and each folder that could not be listed, with a one-line reason. `unmatched` are the globs
    that match nothing: no file has such a name, so there is none to remember.
    """

    files: tuple[Place, ...]
    n_hidden: int
    n_other: int
    missing: tuple[tuple[Place | str, str], ...]
    unmatched: tuple[str, ...] = ()


def printable(path: PathLike) -> str:
    """`path` on one line, fit for any terminal: bytes and characters that are not are escaped.

    Credentials in a URL are left out.
    """
    text = without_secrets(os.fsencode(path).decode("utf-8", "backslashreplace"))
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
    """Turn files, folders, globs and URLs of object stores into a list of videos.

    Folders are walked recursively and sorted by name; inside them hidden entries are passed over
    and files are chosen by `VIDEO_SUFFIXES`. Links to folders are followed, each folder once, so
    loops end; archives are passed over, for all they hold is their own. A path that is itself a
    file is taken as it is: whether it is a video is found out on opening it. A path that does not
    exist is tried as a glob (`**` crosses folders). All this holds of `s3://` and `gs://` too,
    where a folder is what keys begin with; its files come with what the listing said of them.
    """
    found = _Collector()
    unmatched = []
    for given in paths:
        if is_stored(given):
            unmatched += found.add_stored(given)
            continue
        try:
            path = Path(os.fspath(place(given)))
        except RemoteError as error:
            found.missing.append((without_secrets(os.fsdecode(given)), error.reason))
            continue
        if _exists(path):
            found.add(path)
            continue
        if not glob.has_magic(str(path)):
            found.missing.append((path.absolute(), "does not exist"))
            continue
        # Path.glob takes no absolute patterns.
        matches = sorted(glob.glob(str(path), recursive=True))
        for match in matches:
            found.add(Path(match), explicit=False)
        if not matches:
            unmatched.append(str(path))
    return Found(
        tuple(found.files),
        found.n_hidden,
        found.n_other,
        tuple(found.missing),
        tuple(unmatched),
    )


class _Collector:
    """The state of one `find_videos`: what was seen, so that nothing is taken or counted twice."""

    def __init__(self) -> None:
        self.files: dict[Place, None] = {}
        self.n_hidden = 0
        self.missing: list[tuple[Place | str, str]] = []
        self._folders: set[tuple[int, int]] = set()
        self._others: set[Place] = set()
        self._hidden: set[str] = set()

    @property
    def n_other(self) -> int:
        return len(self._others)

    def add(self, path: Path, *, explicit: bool = True) -> None:
        """Take a file, or everything in a folder; `explicit` files need no video suffix."""
        path = path.absolute()
        if _is_folder(path):
            for file in self._walk(path):
                self._add_file(file, explicit=False)
        elif _leads_nowhere(path):
            self.missing.append((path, "is a link to something that does not exist"))
        else:
            self._add_file(path, explicit=explicit)

    def add_stored(self, given: PathLike) -> list[str]:
        """Take an object, all below a prefix, or what a glob matches; gives a glob in vain."""
        from vidsearch.remote import Remote

        url = without_secrets(os.fsdecode(given))
        try:
            path = place(given)
            assert isinstance(path, Remote)
            try:
                self._add_object(Remote(path.url, path.stat()), explicit=True)
            except FileNotFoundError:
                if not glob.has_magic(path.key):
                    raise
                matches = list(path.matching())
                for match in matches:
                    self._add_object(match, explicit=False)
                return [] if matches else [url]
        except OSError as error:
            self.missing.append((url, os_reason(error)))
        return []

    def _add_object(self, path: Remote, *, explicit: bool) -> None:
        if path.listed is None or not path.listed.is_folder:
            self._add_file(path, explicit=explicit)
            return
        from vidsearch.stored_inputs import walk

        found = walk(path, is_video_name)
        self.files.update(dict.fromkeys(found.files))
        self._others.update(found.others)
        self.n_hidden += len(set(found.hidden) - self._hidden)
        self._hidden.update(found.hidden)

    def _add_file(self, path: Place, *, explicit: bool) -> None:
        if explicit or is_video_name(path):
            self.files.setdefault(path)
        else:
            self._others.add(path)

    def _walk(self, folder: Path) -> Iterator[Path]:
        try:
            here = folder.stat()
            # A folder is known by its inode, not its name: links cannot lead in circles.
            if (here.st_dev, here.st_ino) in self._folders:
                return
            self._folders.add((here.st_dev, here.st_ino))
            # By the table beside the stamp too: `archive.json` may be the name of anybody's file.
            if is_archive(folder) and (folder / "people.lance").is_dir():
                return
            children = sorted(folder.iterdir())
        except OSError as error:
            self.missing.append((folder, os_reason(error)))
            return
        for child in children:
            if child.name.startswith("."):
                self.n_hidden += 1
            elif _is_folder(child):
                yield from self._walk(child)
            else:
                yield child


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # there is something; opening it says what is wrong
    return True


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _leads_nowhere(path: Path) -> bool:
    try:
        return path.is_symlink() and not path.exists()
    except OSError:
        return False


def is_video_name(path: Place) -> bool:
    """Whether a file found in a folder is taken for a video, by its suffix."""
    suffix = path.suffix.lower()
    if suffix in _ALSO_SOURCE_CODE:
        try:
            with path.open("rb") as file:
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
    with place(path).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest = hashlib.blake2b(str(size).encode() + b"\n", digest_size=16)
        for start in (0, (size - _SAMPLE) // 2, size - _SAMPLE):
            file.seek(max(0, start))
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()


def os_reason(error: OSError) -> str:
    """What an OSError means for one file, as a clause that follows the file's name."""
    if isinstance(error, RemoteError):
        return error.reason
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, PermissionError):
        return "may not be read (no permission)"
    return (error.strerror or str(error)).lower()
