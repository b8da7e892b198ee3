"""Which objects of a store are meant: what `vidsearch.inputs` does for folders, by one listing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vidsearch.remote import Remote


@dataclass(frozen=True)
class Listed:
    """What lies below a prefix, sorted as a walk through folders would meet it.

    `hidden` are the files and folders that were passed over (a folder stands for all in it).
    """

    files: tuple[Remote, ...]
    others: tuple[Remote, ...]
    hidden: tuple[str, ...]


def walk(folder: Remote, is_video: Callable[[Remote], bool]) -> Listed:
    """The objects below `folder` by the rules for folders: no hidden ones, no archives' own.

    Raises OSError.
    """
    found = [each for each in folder.rglob("*") if not each.url.endswith("/")]
    deep = len(folder.parts)
    inside = {each: each.parts[deep:] for each in found}
    archives = _archives(list(inside.values()))
    files, others, hidden = [], [], set()
    for each in sorted(found, key=lambda one: inside[one]):
        parts = inside[each]
        dotted = next((i for i, part in enumerate(parts) if part.startswith(".")), None)
        if any(parts[:n] in archives for n in range(len(parts))):
            continue
        if dotted is not None:
            hidden.add("/".join((folder.url, *parts[: dotted + 1])))
        elif is_video(each):
            files.append(each)
        else:
            others.append(each)
    return Listed(tuple(files), tuple(others), tuple(sorted(hidden)))


def _archives(keys: list[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """The folders that are archives: by the stamp and by the table beside it."""
    stamped = {parts[:-1] for parts in keys if parts[-1] == "archive.json"}
    tables = {
        parts[:n] for parts in keys for n, part in enumerate(parts[:-1]) if part == "people.lance"
    }
    return stamped & tables
