"""Questions asked on the command line, and their answers judged by what the shots truly show."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import combinations
from pathlib import Path, PurePath
from typing import Any

from generated_archive import Generated, TrueShot
from generated_plan import ABSENT, CAST, ENROLLED_FROM, UNNAMED

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

QUESTIONS = Path(__file__).with_name("questions.toml")
NAMES = frozenset(person.name for person in (*CAST, *ABSENT))


@dataclass(frozen=True)
class Reply:
    """What the command line gave."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Verdict:
    """Whether an answer was what it must be; `why` says what it was.

    `wrong` lists the names given to shots in which the person is not, as sentences.
    """

    question: str
    asked: str
    passed: bool
    why: str
    wrong: tuple[str, ...]


def questions() -> list[dict[str, Any]]:
    """The questions with what is expected, as `questions.toml` explains."""
    return list(tomllib.loads(QUESTIONS.read_text("utf-8"))["question"])


def run(archive: Path, *arguments: str) -> Reply:
    """One command of `vidsearch`, in this process."""
    from click.testing import CliRunner

    from vidsearch.cli import main

    found = CliRunner(env={"VIDSEARCH_ARCHIVE": str(archive)}).invoke(main, list(arguments))
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return Reply(found.exit_code, found.stdout, found.stderr)


def enrol_everybody(archive: Path, made: Generated) -> None:
    """Enrol the cast, and those who are in no video, from photos that are in none.

    As a user would, from the first photos that are taken: some of LFW do not look like the rest.
    Where too few go together, all are given with --trust.
    """
    for person in (*CAST, *ABSENT):
        aliases = [part for alias in person.aliases for part in ("--alias", alias)]
        for photos in combinations(map(str, made.photos(person)), ENROLLED_FROM):
            enrolled = run(archive, "people", "add", person.name, *photos, *aliases)
            if enrolled.status == 0:
                break
        else:
            photos = tuple(map(str, made.photos(person)))
            enrolled = run(archive, "people", "add", person.name, *photos, *aliases, "--trust")
            assert enrolled.status == 0, enrolled.err


def judge(question: Mapping[str, Any], archive: Path, made: Generated) -> Verdict:
    """Ask one question and judge the answer."""
    arguments = shlex.split(_filled_in(question["ask"], made))
    reply = run(archive, *arguments, "--json")
    truth = _Truth(made.shots)
    if question.get("refused"):
        found = _Finding(reply.status == 2, f"status {reply.status}: {reply.err.strip()}")
        found = found.also(_says(question, reply.err))
    elif reply.status not in (0, 1):
        found = _Finding(False, f"status {reply.status}: {reply.err.strip()}")
    elif arguments[0] == "timeline":
        found = _timeline(question, json.loads(reply.out), truth, arguments)
    else:
        found = _answer(question, json.loads(reply.out), truth, reply.status)
    return Verdict(
        question["id"], question["ask"], found.passed and not found.wrong, found.why, found.wrong
    )


@dataclass(frozen=True)
class _Finding:
    passed: bool
    why: str
    wrong: tuple[str, ...] = ()

    def also(self, complaint: str) -> _Finding:
        """Failed as well where there is a complaint."""
        if not complaint:
            return self
        return _Finding(False, f"{self.why}; {complaint}", self.wrong)


class _Truth:
    """What the videos show, by file name and time."""

    def __init__(self, shots: Sequence[TrueShot]) -> None:
        self.shots = shots

    def at(self, video: str, time_s: float) -> TrueShot:
        name = PurePath(video).name
        return next(s for s in self.shots if s.video == name and s.start_s <= time_s < s.end_s)

    def most_of(self, video: str, start_s: float, end_s: float) -> TrueShot:
        name = PurePath(video).name
        return max(
            (shot for shot in self.shots if shot.video == name),
            key=lambda shot: min(shot.end_s, end_s) - max(shot.start_s, start_s),
        )


def _filled_in(ask: str, made: Generated) -> str:
    """The command with its {like:TOPIC}, {moment:TOPIC} and {face} in place."""
    ask = ask.replace("{face}", shlex.quote(str(made.photos(UNNAMED)[0])))
    for kind in ("like", "moment"):
        mark = f"{{{kind}:"
        while mark in ask:
            before, _, rest = ask.partition(mark)
            topic, _, after = rest.partition("}")
            place = made.picture_of(topic) if kind == "like" else _moment(topic, made)
            ask = f"{before}{shlex.quote(str(place))}{after}"
    return ask


def _moment(topic: str, made: Generated) -> str:
    """The middle of the first shot that shows the topic, and nobody in front of it."""
    shot = next(s for s in made.shots if s.topics == (topic,) and s.layout == "scene")
    return f"{made.videos / shot.video}@{(shot.start_s + shot.end_s) / 2:.2f}"


def _answer(
    question: Mapping[str, Any], answer: Mapping[str, Any], truth: _Truth, status: int
) -> _Finding:
    hits = answer["hits"]
    shown = [truth.most_of(hit["video"], hit["start_s"], hit["end_s"]) for hit in hits]
    wrong = tuple(_wrong(hits, truth))
    if question.get("nothing"):
        found = _Finding(not hits and status == 1, f"{len(hits)} hits; {answer['message']}", wrong)
        return found.also(_says(question, answer["message"]))
    first, least = question["first"], question["at_least"]
    right = sum(_is_right(question["right"], shot) for shot in shown[:first])
    all_right = sum(_is_right(question["right"], shot) for shot in truth.shots)
    why = f"{right} right of the first {first} ({least} wanted, {all_right} there are)"
    found = _Finding(right >= least, why + ("" if hits else f"; {answer['message']}"), wrong)
    if len({shot.scene for shot in shown}) < question.get("scenes", 0):
        found = found.also(f"only {len({shot.scene for shot in shown})} different photos")
    return found.also(_not_every(question.get("every", {}), hits, shown))


def _wrong(hits: Sequence[Mapping[str, Any]], truth: _Truth) -> Iterator[str]:
    for hit in hits:
        for seen in hit["people"]:
            who = seen["name"] if seen["name"] in NAMES else UNNAMED.name
            shot = truth.at(hit["video"], seen["time_s"])
            if who not in shot.people:
                yield (
                    f"{who} ({seen['probability']:.2f}) at {seen['time_s']:.2f} s of {shot.video}, "
                    f"which shows {' and '.join(shot.people) or 'nobody of the cast'}"
                )


def _is_right(wanted: Mapping[str, Any], shot: TrueShot) -> bool:
    return (
        set(wanted.get("people", ())) <= set(shot.people)
        and (not wanted.get("either") or bool(set(wanted["either"]) & set(shot.people)))
        and not set(wanted.get("without", ())) & set(shot.people)
        and ("topic" not in wanted or wanted["topic"] in shot.topics)
        and wanted.get("no_topic") not in shot.topics
        and (not wanted.get("alone") or len(shot.people) + shot.strangers == 1)
    )


def _not_every(
    wanted: Mapping[str, Any], hits: Sequence[Mapping[str, Any]], shown: Sequence[TrueShot]
) -> str:
    """What is not so of all hits; "" where all is."""
    named = {seen["name"] for hit in hits for seen in hit["people"]}
    complaints = {
        "is of another video": "videos" in wanted
        and not all(fnmatch(shot.video, wanted["videos"]) for shot in shown),
        "is shorter": any(
            hit["end_s"] - hit["start_s"] < wanted.get("least_s", 0) - 1e-6 for hit in hits
        ),
        "is of a video that came before": bool(wanted.get("one_a_video"))
        and len({hit["video"] for hit in hits}) < len(hits),
        f"names {sorted(named)}": "people_named" in wanted and named != set(wanted["people_named"]),
    }
    return "; ".join(f"one {what}" for what, is_so in complaints.items() if is_so)


def _says(question: Mapping[str, Any], message: str) -> str:
    lacking = [text for text in question["says"] if text not in message]
    return f"it does not say {lacking}" if lacking else ""


def _timeline(
    question: Mapping[str, Any], told: Mapping[str, Any], truth: _Truth, arguments: Sequence[str]
) -> _Finding:
    """Every interval lies on shots that show the person, and enough true shots are covered."""
    asked = [shot for shot in truth.shots if shot.video in arguments] or truth.shots
    names = [name for name in NAMES if name in arguments] or NAMES
    meant = [(shot, who) for shot in asked for who in shot.people if who in names]
    spans = [(who["name"], s) for who in told.get("people", [told]) for s in who["appearances"]]
    covered = 0
    wrong = []
    for shot in asked:
        on = {who for who, span in spans if _mostly_on(span, shot)}
        covered += sum((shot, who) in meant for who in on)
        wrong += [f"{who} at {shot.start_s:.2f} s of {shot.video}" for who in on - {*shot.people}]
    share = covered / len(meant)
    why = f"{covered} of {len(meant)} appearances ({question['found']:.0%} wanted)"
    return _Finding(share >= question["found"], why, tuple(wrong))


def _mostly_on(span: Mapping[str, Any], shot: TrueShot) -> bool:
    if PurePath(span["video"]).name != shot.video:
        return False
    both = min(span["end_s"], shot.end_s) - max(span["start_s"], shot.start_s)
    return both > 0.5 * (shot.end_s - shot.start_s)
