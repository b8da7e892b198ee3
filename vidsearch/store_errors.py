"""What an object store's refusals mean for an archive that is kept there, and what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vidsearch.remote_errors import LATER
from vidsearch.urls import RemoteError, without_secrets

if TYPE_CHECKING:
    from vidsearch.remote import Remote

_AGAIN = "Everything stored before is kept; run the command again later."


def explanation_of_store(folder: Remote, done: str, error: Exception) -> str:
    """A sentence for what s3fs or Lance's own client raised; no secret is in it."""
    text = without_secrets(str(error))
    begin = f"The archive {folder} cannot be {done}:"
    if isinstance(error, RemoteError):
        return f"{begin} {error.reason.removesuffix(LATER)}. {_AGAIN}"
    if isinstance(error, PermissionError) or re.search(r"AccessDenied|\b403\b|Forbidden", text):
        return (
            f"{begin} permission denied. Reading it needs s3:ListBucket and s3:GetObject, writing"
            " s3:PutObject and s3:DeleteObject too: see docs/storage.md."
        )
    if isinstance(error, FileNotFoundError) or "NoSuchBucket" in text:
        return f"{begin} there is no such bucket or object. Make the bucket first."
    if re.search(r"\b(500|503|429)\b|SlowDown|InternalError|error sending request", text):
        return f"{begin} the store fails or does not answer. {_AGAIN}"
    # The engine says which line of its own source it was in; that helps nobody here.
    lines = re.sub(r",? ?\S+\.rs:\d+(:\d+)?", "", text).strip().splitlines()
    first = lines[0] if lines else type(error).__name__
    return f"{begin} {first}. If this stays so, look with: vidsearch doctor"
