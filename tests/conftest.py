"""What all tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent

# Or each of the hundreds of processes that tests start would compile our modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What a shell starts in the background ignores interrupts, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data beside the checkout; tests that use it skip where it is absent."""
    folder = REPO.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the development data (../shared/data) is absent")
    return folder


@pytest.fixture(scope="session")
def example_media() -> Path:
    """The White House clip and the photos that ship with the project."""
    return REPO / "examples" / "media"
