"""`vidsearch people discover`, and what is said of its clusters: name, merge, split and so on."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidsearch.command import (
    NOTHING_FOUND,
    agreed,
    archive_option,
    json_option,
    print_json,
    say,
    sheet_option,
)
from vidsearch.errors import VidsearchError

if TYPE_CHECKING:
    from vidsearch.archive import Archive


_SHEET = "vidsearch-review.jpg"


@click.command("discover")
@archive_option
@click.option(
    "--sheets",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the faces of each cluster as a picture into this folder.",
)
@click.option("--all", "everything", is_flag=True, help="List faces that stand alone, too.")
@json_option
def people_discover(folder: Path, sheets: Path | None, everything: bool, as_json: bool) -> int:
    """Gather the faces nobody has named: one cluster a person.

    Clusters keep their numbers, and new videos join them: run it again after indexing.
    """
    from vidsearch.archive import Archive
    from vidsearch.present_clusters import cluster_as_json, print_clusters, summary

    archive = Archive(folder, waiting=say)
    if sheets is not None:
        _make(sheets)
    found = archive.discover()
    listed = list(found.clusters)
    if everything:
        listed = [each for each in archive.clusters() if not each.ignored]
    if as_json:
        clusters = [cluster_as_json(each) for each in listed]
        print_json({"clusters": clusters, "alone": found.alone, "ignored": found.ignored})
    elif listed:
        print_clusters(listed)
    say(summary(found))
    if sheets is not None:
        for each in listed:
            archive.cluster_sheet(each, sheets / f"cluster-{each.number:04d}.jpg")
        say(f"{len(listed)} sheets: {sheets}")
    return 0 if listed else NOTHING_FOUND


def _make(folder: Path) -> None:
    """Make a folder, before the work whose pictures it is for."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VidsearchError(
            f"{folder} cannot be made ({error.strerror}): choose another folder with --sheets"
        ) from error


@click.command("name")
@click.argument("cluster", type=click.IntRange(1))
@click.argument("name")
@archive_option
@click.option("--more", is_flag=True, help="Add the faces to somebody who is enrolled.")
@click.option("--trust", is_flag=True, help="Take faces that do not look like their photos.")
@click.option("--allow", is_flag=True, help="Take somebody who was forgotten.")
@json_option
def people_name(
    cluster: int, name: str, folder: Path, more: bool, trust: bool, allow: bool, as_json: bool
) -> int:
    """Give CLUSTER the name NAME: its best faces become photos, and all of it is found at once."""
    from vidsearch.archive import Archive
    from vidsearch.people import named
    from vidsearch.present import person_as_json, print_person

    archive = Archive(folder, waiting=say)
    known = None if more else named(name, archive.people())
    if known is not None:
        more = agreed(f"{known.name} is enrolled already. Add the faces of cluster {cluster}?")
    person = archive.name(cluster, name, more=more, trust=trust, allow=allow)
    if as_json:
        print_json(person_as_json(person))
    else:
        print_person(person)
    return 0


@click.command("merge")
@click.argument("one")
@click.argument("other")
@archive_option
@json_option
def people_merge(one: str, other: str, folder: Path, as_json: bool) -> int:
    """Say that two clusters, or two enrolled people, are one person.

    Give two cluster numbers, or two names: the first number or name is kept, and the second name
    becomes an alias.
    """
    from vidsearch.archive import Archive
    from vidsearch.present import counted, person_as_json
    from vidsearch.present_clusters import cluster_as_json

    archive = Archive(folder, waiting=say)
    if one.isdecimal() and other.isdecimal():
        left = archive.merge(int(one), int(other))
        if as_json:
            print_json(cluster_as_json(left))
        else:
            click.echo(f"{left.title} has {counted(len(left.tracks), 'face')} now")
        return 0
    if one.isdecimal() or other.isdecimal():
        number, name = (one, other) if one.isdecimal() else (other, one)
        raise click.UsageError(
            f"{number} is a cluster and {name} a name; to add the cluster to them:"
            f' vidsearch people name {number} "{name}" --more'
        )
    person = archive.merge_people(one, other)
    if as_json:
        print_json(person_as_json(person))
    else:
        click.echo(f"{person.name} has {counted(len(person.photos), 'photo')} now")
        click.echo(f"also called: {', '.join(person.aliases)}")
    return 0


@click.command("split")
@click.argument("cluster", type=click.IntRange(1))
@click.argument("faces", nargs=-1, required=True, metavar="FACE...")
@archive_option
@json_option
def people_split(cluster: int, faces: Sequence[str], folder: Path, as_json: bool) -> int:
    """Say that some faces of CLUSTER are somebody else, by their numbers on its sheet: 2 5-7."""
    from vidsearch.archive import Archive
    from vidsearch.present import counted
    from vidsearch.present_clusters import cluster_as_json

    chosen = [number for text in faces for number in _range(text)]
    left, new = Archive(folder, waiting=say).split(cluster, chosen)
    if as_json:
        print_json([cluster_as_json(left), cluster_as_json(new)])
        return 0
    click.echo(
        f"{left.title} has {counted(len(left.tracks), 'face')} now;"
        f" {counted(len(new.tracks), 'face')} went to cluster {new.number}"
    )
    return 0


def _range(text: str) -> range:
    """`5` or `5-7` as numbers; commas may stand after them."""
    match = re.fullmatch(r"(\d{1,7})(?:-(\d{1,7}))?,?", text)
    if match is None:
        raise click.BadParameter(f"{text} is no number of a face: write 5, or 5-7")
    first = int(match[1])
    last = int(match[2] or first)
    if last < first:
        raise click.BadParameter(f"{text} runs backwards: write {last}-{first}")
    return range(first, last + 1)


@click.command("ignore")
@click.argument("cluster", type=click.IntRange(1))
@archive_option
@json_option
def people_ignore(cluster: int, folder: Path, as_json: bool) -> int:
    """List CLUSTER no more, and ask nothing about it."""
    from vidsearch.archive import Archive
    from vidsearch.present_clusters import cluster_as_json

    ignored = Archive(folder, waiting=say).ignore(cluster)
    if as_json:
        print_json(cluster_as_json(ignored))
    else:
        click.echo(f"cluster {cluster} is ignored; to list it again: vidsearch people undo")
    return 0


@click.command("undo")
@archive_option
@json_option
def people_undo(folder: Path, as_json: bool) -> int:
    """Take the last answer about faces back: a name, merge, split, ignore, or yes and no."""
    from vidsearch.archive import Archive

    said = Archive(folder, waiting=say).undo()
    if as_json:
        print_json({"undone": said})
    else:
        click.echo(f"undone: {said}")
    return 0


@click.command("review")
@archive_option
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Ask N questions at most.")
@sheet_option(f"Where the two sides of each question are drawn (else {_SHEET}).")
@json_option
def people_review(folder: Path, limit: int | None, sheet: Path | None, as_json: bool) -> int:
    """Ask about the doubtful clusters, the most useful question first.

    Answer y, n, s (skip) or q (quit); each answer is kept at once. With --json the questions are
    only listed.
    """
    from vidsearch.archive import Archive
    from vidsearch.present import counted
    from vidsearch.present_clusters import question_as_json

    archive = Archive(folder, waiting=say)
    if as_json:
        waiting = archive.questions()[:limit]
        print_json([question_as_json(each) for each in waiting])
        return 0 if waiting else NOTHING_FOUND
    asked = _ask(archive, sheet or Path(_SHEET), limit)
    if asked is None:
        click.echo("there is nothing to review")
        return NOTHING_FOUND
    back = "; to take the last one back: vidsearch people undo" if asked else ""
    click.echo(f"{counted(asked, 'answer')} kept{back}")
    return 0


def _ask(archive: Archive, sheet: Path, limit: int | None) -> int | None:
    """Ask until nobody answers any more; how many answers were kept, None without a question."""
    answered, shown = 0, 0
    skipped: set[tuple[int, int, str]] = set()
    while True:
        touched: set[int] = set()
        waiting = [each for each in archive.questions() if each.key not in skipped]
        if not waiting:
            return answered if shown else None
        for question in waiting:
            if question.of & touched:
                continue  # it may have answered itself
            if limit is not None and shown >= limit:
                return answered
            shown += 1
            archive.question_sheet(question, sheet)
            said = _said(f"{question.text} ({sheet}) [y/n/s/q] ")
            if said == "q":
                return answered
            skipped.add(question.key)
            if said != "s":
                click.echo(archive.answer(question, said == "y"))
                answered += 1
                touched |= question.of


def _said(question: str) -> str:
    """y, n, s or q; q where nobody sits there any more."""
    while True:
        try:
            said = input_line(question)
        except EOFError:
            return "q"
        word = said.strip().lower()
        if word in ("y", "yes", "n", "no", "s", "skip", "q", "quit"):
            return word[0]
        say("answer y (yes), n (no), s (skip) or q (quit)")


def input_line(question: str) -> str:
    """One line from whoever, or whatever, answers."""
    click.echo(question, err=True, nl=False)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


COMMANDS = (
    people_discover,
    people_name,
    people_merge,
    people_split,
    people_ignore,
    people_review,
    people_undo,
)
