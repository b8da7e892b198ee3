"""Places: a path of this machine, or the URL of an object in a store, and how each is shown.

Where a video or an archive lies is a `Place`: a `pathlib.Path`, or a `vidsearch.remote.Remote`,
which has the methods of a path that are needed here. Nothing of fsspec is imported for a path.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from vidsearch.remote import Remote, Status

Place: TypeAlias = Union[Path, "Remote"]
Stat: TypeAlias = Union[os.stat_result, "Status"]

STORES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
"""The schemes of object stores, and what each is called here."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]*@")
_SIGNED = re.compile(
    r"\?[^\s'\"]*(?:signature|credential|accesskeyid|token|secret|sig=)[^\s'\"]*", re.IGNORECASE
)
_ASKED = re.compile(r"(https?://[^\s?'\"]*)\?[^\s'\"]*")
_SECRET = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
_GUESSABLE = 6  # what is shorter is no secret, and would be found in ordinary words


class RemoteError(OSError):
    """An object that cannot be read or written; `reason` is a clause that follows its name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.strerror = reason


def is_url(path: str | bytes | os.PathLike[str]) -> bool:
    """Whether this is a URL, of whatever scheme, and no path."""
    return _URL.match(os.fsdecode(path)) is not None


def is_stored(path: str | bytes | os.PathLike[str]) -> bool:
    """Whether this is the URL of something in an object store that is known here."""
    return is_url(path) and os.fsdecode(path).partition("://")[0].lower() in STORES


def place(path: str | bytes | os.PathLike[str]) -> Place:
    """A path or URL as something to open; `file://` is a path.

    Raises `RemoteError` for a URL that nothing here can open, and for one that holds credentials:
    what is stored and shown would hold them too.
    """
    text = os.fsdecode(path)
    if not _URL.match(text):
        return Path(text)
    scheme, _, rest = text.partition("://")
    if scheme.lower() == "file":
        return Path(_local(text))
    if scheme.lower() not in STORES:
        known = ", ".join(f"{name}://" for name in ("file", *sorted(set(STORES.values()))))
        raise RemoteError(f"cannot be opened: of URLs only {known} are")
    if _CREDENTIALS.match(rest, 0) or _CREDENTIALS.search(text):
        raise RemoteError(
            "holds credentials: give them by the environment or a profile, never in a URL"
        )
    if not rest.strip("/"):
        raise RemoteError("names no bucket")
    from vidsearch.remote import Remote

    return Remote(f"{STORES[scheme.lower()]}://{rest.rstrip('/')}")


def _local(url: str) -> str:
    """The path of a `file:` URL (RFC 8089)."""
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise RemoteError("names another machine: mount its disk and give the path")
    # What urlsplit takes for a query or a fragment may be written unescaped by people.
    return unquote(url.partition("://")[2].removeprefix("localhost"), errors="surrogateescape")


def absolute(path: str | bytes | os.PathLike[str]) -> bytes:
    """The bytes under which the archive knows a path or URL."""
    try:
        return os.fsencode(place(path).absolute())
    except RemoteError:
        return os.fsencode(path)


def stat_of(place: Place) -> Stat:
    """What a listing said of an object, else what the store or the disk says now."""
    return getattr(place, "listed", None) or place.stat()


def is_there(path: str | bytes | os.PathLike[str]) -> bool:
    """Whether a file or object can be seen; one in a store that does not answer may be."""
    if not is_url(path):
        return os.path.exists(path)
    try:
        return place(path).exists()
    except OSError:
        return True


def without_secrets(text: str) -> str:
    """`text` without credentials: in URLs, in what signs them, and those of the environment."""
    if "://" in text:
        text = _ASKED.sub(r"\1", _SIGNED.sub("", _CREDENTIALS.sub("", text)))
    for name in _SECRET:
        secret = os.environ.get(name, "")
        if len(secret) >= _GUESSABLE:
            text = text.replace(secret, f"${name}")
    return text
