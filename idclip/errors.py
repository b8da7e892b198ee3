"""The one error tree of the project.

It lives on the ground floor because `idclip` may not import `vidsearch`; `vidsearch.errors`
adds the errors of the product. A message says what happened, to which file, and what to do.
"""

from __future__ import annotations


class VidsearchError(Exception):
    """Base of every error that a user can mend; its text is meant for that user."""


class ModelUnavailable(VidsearchError):
    """A model is not on this machine and could not be fetched."""


class UnreadableImage(VidsearchError):
    """A picture could not be read as one."""
