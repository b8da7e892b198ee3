"""What can go wrong, as a user should read it. The base stands in `idclip.errors`."""

from __future__ import annotations

from idclip.errors import ModelUnavailable, UnreadableImage, VidsearchError

__all__ = [
    "ArchiveBusy",
    "ArchiveMismatch",
    "ArchiveUnavailable",
    "EnrolmentError",
    "InvalidQuery",
    "ModelUnavailable",
    "UnknownPerson",
    "UnreadableImage",
    "UnreadableVideo",
    "VidsearchError",
]


class UnreadableVideo(VidsearchError):
    """A video could not be decoded; `path` is the file and `reason` one line."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[UnreadableVideo], tuple[object, str]]:
        return type(self), (self.path, self.reason)


class ArchiveMismatch(VidsearchError):
    """The archive was made with another encoder, face model or schema."""


class ArchiveUnavailable(VidsearchError):
    """The archive folder is absent, read-only, full or damaged."""


class ArchiveBusy(VidsearchError):
    """Another process is writing to the archive."""


class EnrolmentError(VidsearchError):
    """A person could not be enrolled from these photos."""


class UnknownPerson(VidsearchError):
    """A name that nobody is enrolled under."""


class UnknownCluster(VidsearchError):
    """There is no cluster of this number, or it has no faces any more."""


class InvalidQuery(VidsearchError):
    """A question that cannot be asked."""
