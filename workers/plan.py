"""What is left to do of a job, in order: big files first, long videos in pieces.

What a job has to do comes from the store alone (`vidsearch.indexing.plan`); here is what became of
it since. A worker that takes a long file first says of which pieces it can be made
(`vidsearch.pieces`) and goes on with the first one; the others are handed out next. When all are
there they are joined, which may take a further piece, or one worker for the whole file after all.
Until then what came of them lies in a file on this machine's disk, not in memory.
"""

from __future__ import annotations

import logging
import os
import pickle
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

from vidsearch.inputs import printable
from vidsearch.pieces import Passed, Piece, join, route
from vidsearch.records import Shot
from vidsearch.shots import CONVERGING
from vidsearch.tasks import Analyzed, Progress, Recipe, Task
from workers.attempts import Attempts

log = logging.getLogger(__name__)

LEAST_BYTES_S = 10_000
"""A file that has less than this for each second of two pieces is hardly that long: it is not even
asked."""


@dataclass(eq=False)
class Work:
    """What one worker is given: a file, or one piece of it.

    `may_split` if the worker is to look whether the file can be made of pieces. `size` is what it
    will read, in bytes. `split` is what the piece belongs to.
    """

    task: Task
    attempts: Attempts
    size: int
    may_split: bool = False
    piece: Piece | None = None
    split: Split | None = None

    @property
    def name(self) -> str:
        """What people are told it is."""
        piece = "" if self.piece is None else f", piece {self.piece.number + 1}"
        return f"{printable(self.task.path)}{piece}"

    @property
    def place(self) -> str:
        """Where its file lies: a path or URL."""
        return os.fsdecode(self.task.paths[0])

    def told(self, news: Progress) -> Progress:
        """How far the video is, now that this is known of its file or piece."""
        if self.split is None or self.piece is None:
            return news
        return self.split.progress(self.piece, news)

    @property
    def is_moot(self) -> bool:
        """Whether nobody waits for it any more: its video is in quarantine, or taken as a whole."""
        return self.split is not None and self.split.given_up


def _nameless() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="vidsearch-")


@dataclass(eq=False)
class Shelf:
    """Where shots wait until their video is complete: a file without a name, by pieces."""

    _file: IO[bytes] = field(default_factory=_nameless)
    _at: dict[int, tuple[int, int]] = field(default_factory=dict)

    def put(self, number: int, shots: bytes) -> None:
        """Keep the pickled shots of a piece; raises OSError where the disk is full."""
        self._at[number] = (self._file.seek(0, 2), len(shots))
        self._file.write(shots)
        self._file.flush()

    def take(self, number: int) -> tuple[Shot, ...]:
        """The shots of a piece."""
        start, length = self._at[number]
        self._file.seek(start)
        shots: tuple[Shot, ...] = pickle.loads(self._file.read(length))
        return shots

    def close(self) -> None:
        """Let go of all."""
        with suppress(OSError):  # a full disk: what is left in the buffer is not wanted
            self._file.close()


@dataclass(eq=False)
class Split:
    """A video in pieces: what came of them, and how far the others are."""

    n_planned: int
    pieces: list[Piece]
    passes: dict[int, Passed] = field(default_factory=dict)
    told: dict[int, Progress] = field(default_factory=dict)
    seconds: float = 0.0
    given_up: bool = False
    shelf: Shelf = field(default_factory=Shelf)

    def progress(self, piece: Piece, news: Progress) -> Progress:
        """How far the video is, now that this is known of a piece."""
        self.told[piece.number] = news
        every = self.told.values()
        return Progress(
            news.video_id,
            news.path,
            sum(each.frames for each in every),
            min(sum(each.seconds for each in every), news.duration_s),
            news.duration_s,
            sum(each.shots for each in every),
            news.size,
        )

    def give_up(self) -> None:
        """Forget what came of the pieces."""
        self.given_up = True
        self.shelf.close()


class Plan:
    """The work that waits, the next one last."""

    def __init__(self, tasks: Sequence[Task], recipe: Recipe, piece_s: float, tries: int) -> None:
        self._recipe = recipe
        least = 2 * piece_s * LEAST_BYTES_S
        may_split = piece_s > 0 and recipe.detector in CONVERGING
        self._waiting: list[Work] = []
        for task in sorted(tasks, key=lambda task: task.size):
            is_long = task.size >= least and task.again is None
            self._waiting.append(Work(task, Attempts(tries), task.size, may_split and is_long))

    def __bool__(self) -> bool:
        """Whether anything waits."""
        self._drop_moot()
        return bool(self._waiting)

    @property
    def next(self) -> Work:
        """What is to be handed out next."""
        self._drop_moot()
        return self._waiting[-1]

    def take(self) -> Work:
        """Hand that out."""
        self._drop_moot()
        return self._waiting.pop()

    def again(self, work: Work) -> None:
        """It failed, and is to be tried again, next."""
        self._waiting.append(work)

    def split(self, work: Work, pieces: Sequence[Piece]) -> None:
        """The file of `work` is made of `pieces`: it has become the first, the others are next."""
        split = Split(len(pieces), list(pieces))
        log.info("%s: in %d pieces", printable(work.task.path), len(pieces))
        works = [self._of(work, split, piece) for piece in pieces]
        work.may_split, work.split = False, split
        work.piece, work.size = works[0].piece, works[0].size
        self._waiting += works[:0:-1]

    def passed(self, work: Work, passed: Passed, shots: bytes, seconds: float) -> Analyzed | None:
        """A piece is done; gives the video if that was the last one and all fit together."""
        split, piece = work.split, work.piece
        if split is None or piece is None or split.given_up:
            return None
        split.passes[piece.number] = passed
        split.seconds += seconds
        try:
            split.shelf.put(piece.number, shots)
        except OSError as error:
            log.warning("%s: its pieces have no room here (%s)", printable(work.task.path), error)
            self.whole(work)
            return None
        if len(split.passes) < len(split.pieces):
            return None
        passes = [split.passes[number] for number in range(len(split.pieces))]
        way = route(passes)
        if way is None:
            log.info("%s: its pieces do not fit together", printable(work.task.path))
            self.whole(work)
            return None
        if isinstance(way, Piece):
            split.pieces.append(way)
            self._waiting.append(self._of(work, split, way))
            return None
        found = join(work.task, self._recipe, passes, way, split.shelf.take)
        split.shelf.close()
        return Analyzed(work.task, found, split.seconds)

    def drop(self, work: Work) -> None:
        """Nothing more is to be done of its file."""
        if work.split is not None:
            work.split.give_up()

    def whole(self, work: Work) -> None:
        """The file of a piece is to be analysed by one worker after all."""
        if work.split is None or work.split.given_up:
            return
        work.split.give_up()
        self._waiting.append(Work(work.task, work.attempts, work.task.size))

    def _of(self, work: Work, split: Split, piece: Piece) -> Work:
        size = work.task.size // split.n_planned
        return Work(work.task, work.attempts, size, piece=piece, split=split)

    def _drop_moot(self) -> None:
        while self._waiting and self._waiting[-1].is_moot:
            self._waiting.pop()
