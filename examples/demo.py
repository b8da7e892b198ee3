"""`make demo`: index real footage, enrol people, ask seven questions, check the answers.

Everything is real: the models that ship with the package, LanceDB on disk, the command line's own
calls. The archive and the contact sheet are left in `demo/` to look at. Exit status 1 if an answer
is wrong.

    python examples/demo.py [--encoder idclip:compact]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from make_videos import make_videos

from vidsearch import Archive
from vidsearch.errors import VidsearchError
from vidsearch.present import print_answer
from vidsearch.progress import show
from vidsearch.records import Answer

HERE = Path(__file__).resolve().parent
MEDIA = HERE / "media"
PHOTOS = MEDIA / "people"
CLIP = "white-house-poetry.mp4"
SHEET = "contact-sheet.jpg"

# Seconds of the clip's four shots, from examples/media/ORIGIN.md.
SINGER = (2.736, 7.040)
AUDIENCE = (7.040, 9.176)

ENROLLED = (
    ("Lin-Manuel Miranda", (PHOTOS / "Lin-Manuel_Miranda.jpg",)),
    ("Alex Lacamoire", (PHOTOS / "Alex_Lacamoire.jpg",)),
    ("Barack Obama", (PHOTOS / "Barack_Obama_1.jpg",)),  # the portrait; the lectern is in a video
    ("Joe Biden", (PHOTOS / "Joe_Biden.jpg",)),
)


@dataclass(frozen=True)
class Question:
    """A question, what a right answer is in words, and the check of it."""

    text: str
    expected: str
    right: Callable[[Answer], bool]


def shows(answer: Answer, rank: int, video: str, span: tuple[float, float] | None = None) -> bool:
    """Whether hit number `rank` is of `video` and, given a span, that very shot."""
    if len(answer.hits) < rank:
        return False
    hit = answer.hits[rank - 1]
    if PurePath(hit.video).name != video:
        return False
    return span is None or abs(hit.start_s - span[0]) + abs(hit.end_s - span[1]) < 0.1


def only(answer: Answer, *names: str) -> bool:
    """Whether there are hits and everybody seen in them is one of `names`."""
    return bool(answer.hits) and all(s.name in names for h in answer.hits for s in h.people)


QUESTIONS = (
    Question(
        "Lin-Manuel Miranda singing into a microphone",
        "his close-up in the White House clip or a copy of it first, probability over 0.5",
        lambda a: (
            only(a, "Lin-Manuel Miranda")
            and any(shows(a, rank, CLIP, SINGER) for rank in (1, 2, 3))
            and a.hits[0].people[0].probability > 0.5
        ),
    ),
    Question(
        "Barack Obama giving a speech",
        "the lectern, known from another portrait",
        lambda a: shows(a, 1, "lectern.mp4") and only(a, "Barack Obama"),
    ),
    Question(
        "people sitting in an audience",
        "the audience of the clip or of its crop in the first two",
        lambda a: any(
            shows(a, rank, CLIP, AUDIENCE) or shows(a, rank, "evening.mkv") for rank in (1, 2)
        ),
    ),
    Question(
        "Lin-Manuel Miranda",
        "every shot he is known in, and nobody else",
        lambda a: (
            only(a, "Lin-Manuel Miranda")
            and {PurePath(hit.video).name for hit in a.hits} == {CLIP, "lectern.mp4", "evening.mkv"}
        ),
    ),
    Question(
        "Joe Biden giving a speech",
        "no shot: he is enrolled, but in none of the videos",
        lambda a: not a.hits and a.message.startswith("No shot shows Joe Biden"),
    ),
    Question(
        "Anna Rossi giving a speech outdoors",
        "told that nobody of that name is enrolled",
        lambda a: not a.hits and "Anna Rossi" in a.message and "not enrolled" in a.message,
    ),
)
LATER = Question(
    "The Singer holding a microphone",
    "the same man in the other videos, known from one moment of the clip",
    lambda a: any(shows(a, rank, "lectern.mp4") for rank in range(1, 6)) and only(a, "The Singer"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo below the folder `demo`; return the exit status."""
    began = time.monotonic()
    parser = argparse.ArgumentParser(description="Index real footage, ask seven questions.")
    parser.add_argument("--encoder", help="another than vidsearch's default, as for vidsearch")
    given = parser.parse_args(arguments)
    out = HERE.parent / "demo"
    shutil.rmtree(out, ignore_errors=True)
    answers, failures = run(out, given.encoder)
    say(f"{answers} questions, {len(failures)} wrong, {time.monotonic() - began:.0f} s.")
    for failure in failures:
        say(f"WRONG: {failure}")
    return 1 if failures else 0


def run(out: Path, encoder: str | None = None) -> tuple[int, list[str]]:
    """Make videos, archive and sheet in `out`: how many questions there were, and what went wrong.

    `encoder` is None for vidsearch's default.
    """
    videos = out / "videos"
    say("Three videos: the White House clip, and two made of it and of a photo.")
    make_videos(MEDIA, videos)
    shutil.copy(MEDIA / CLIP, videos)

    archive = Archive(out / "archive", encoder=encoder)
    say(f"$ vidsearch index {f'--encoder {encoder} ' if encoder else ''}demo/videos")
    report = show(archive.indexing([videos]), verbose=True)
    failures = [bad.path for bad in report.failed]
    for name, photos in ENROLLED:
        say(f'$ vidsearch people add "{name}" {" ".join(photo.name for photo in photos)}')
        archive.enrol(name, photos)

    answers = [ask(archive, question, failures) for question in QUESTIONS]
    say("Somebody nobody has a photo of: the singer again, enrolled from a moment of a video.")
    say('$ vidsearch people remove "Lin-Manuel Miranda" --yes')
    archive.remove_person("Lin-Manuel Miranda")
    say(f'$ vidsearch people add "The Singer" {CLIP}@00:00:04.2')
    archive.enrol("The Singer", [f"{videos / CLIP}@00:00:04.2"])
    answers.append(ask(archive, LATER, failures))

    # Three hits a question, and without the person alone: a picture that fits a page.
    shown = [replace(a, hits=a.hits[:3]) for a in (*answers[:3], *answers[4:6])]
    archive.sheet(shown, out / SHEET)
    say(f"The contact sheet: demo/{SHEET}")
    return len(answers), failures


def ask(archive: Archive, question: Question, failures: list[str]) -> Answer:
    """Put a question, print the answer, and note it where it is wrong."""
    say(f'$ vidsearch query "{question.text}"')
    answer = archive.query(question.text, k=5)
    print_answer(answer)
    right = question.right(answer)
    print(f"  {'right' if right else 'WRONG'}: expected {question.expected}", flush=True)
    if not right:
        failures.append(question.text)
    return answer


def say(line: str) -> None:
    """One line of the story."""
    print(f"\n{line}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except VidsearchError as error:
        sys.exit(f"vidsearch: {error}")
