"""What a command logs, for programs: one JSON object a line, among those of its progress.

A line has the `event` "warning" and a `message`; what is less than a warning is a "log", with its
`level`. A sentence for whoever waits is a "note".
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Write = Callable[[str], None]

LOGGERS = ("idclip", "vidsearch", "workers", "py.warnings")
"""Whose words are told: ours, and Python's warnings of what we use."""


def line(event: str, **facts: object) -> str:
    """One line, without its end; in ASCII, as a message may hold the bytes of any path."""
    return json.dumps({"event": event, **facts})


@contextmanager
def logged_as_lines(write: Write, *, verbose: bool = False) -> Iterator[None]:
    """Give `write` a line for each warning of the block, and with `verbose` for all that is logged.

    Nobody else gets them meanwhile: Python would print them as they are where nobody listens.
    """
    handler = _Lines(write)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger, logger.propagate, logger.level) for logger in loggers]
    logging.captureWarnings(True)
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
        if verbose:
            logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for logger, propagate, level in before:
            logger.removeHandler(handler)
            logger.propagate = propagate
            logger.setLevel(level)


class _Lines(logging.Handler):
    def __init__(self, write: Write) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        message = self.format(record)  # with its traceback, if it has one
        if record.levelno >= logging.WARNING:
            self._write(line("warning", message=message))
        else:
            self._write(line("log", level=record.levelname.lower(), message=message))


class Printed(io.TextIOBase):
    """In the place of a stdout that is for the result alone: what is printed meanwhile is logged.

    Ray prints there what it has to say of a node, whatever it is told of workers' output.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for each in filter(str.strip, lines):
            self._write(line("log", level="info", message=each))
        return len(text)
