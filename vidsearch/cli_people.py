"""`vidsearch people`: who is known, and from which photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from vidsearch.cli_discover import COMMANDS
from vidsearch.command import (
    NOTHING_FOUND,
    SOME_FAILED,
    agreed,
    archive_option,
    json_option,
    print_json,
    say,
    sheet_option,
)


@click.group()
def people() -> None:
    """Enrol people from photos, list, rename and remove them."""


for _command in COMMANDS:
    people.add_command(_command)


@people.command("add")
@click.argument("name")
@click.argument("photos", nargs=-1, metavar="PHOTO...")
@archive_option
@click.option("--alias", "aliases", multiple=True, metavar="NAME", help="Another name of theirs.")
@click.option(
    "--face",
    type=click.IntRange(1),
    metavar="N",
    help="Which face, in photos with several (a numbered picture is written).",
)
@click.option("--more", is_flag=True, help="Add photos or aliases to somebody who is enrolled.")
@click.option("--trust", is_flag=True, help="Take photos that do not look like each other.")
@click.option("--allow", is_flag=True, help="Take somebody who was forgotten here.")
@json_option
def people_add(
    name: str,
    photos: Sequence[str],
    folder: Path,
    aliases: Sequence[str],
    face: int | None,
    more: bool,
    trust: bool,
    allow: bool,
    as_json: bool,
) -> int:
    """Enrol NAME from photos; a photo may also be a moment, VIDEO@00:00:04.2.

    Nothing has to be indexed again: they are found at once.
    """
    from vidsearch.archive import Archive
    from vidsearch.present import person_as_json, print_person

    archive = Archive(folder, waiting=say)
    person = archive.enrol(
        name, photos, aliases=aliases, face=face, more=more, trust=trust, allow=allow
    )
    if as_json:
        alike = [(d.person.name, d.probability) for d in archive.near_doubles(person.name)]
        doubles = [{"name": who, "probability": round(p, 4)} for who, p in alike]
        print_json({**person_as_json(person), "near_doubles": doubles})
    else:
        print_person(person)
    return 0


@people.command("list")
@archive_option
@json_option
def people_list(folder: Path, as_json: bool) -> int:
    """List who is enrolled."""
    from vidsearch.archive import Archive
    from vidsearch.present import person_as_json, print_people

    everybody = Archive(folder).people()
    if as_json:
        print_json([person_as_json(person) for person in everybody])
    elif everybody:
        print_people(everybody)
    else:
        click.echo('nobody is enrolled; add somebody with: vidsearch people add "NAME" PHOTO...')
    return 0 if everybody else NOTHING_FOUND


@people.command("show")
@click.argument("name")
@archive_option
@sheet_option("Write their photos, with the chosen faces framed, as one picture.")
@json_option
def people_show(name: str, folder: Path, sheet: Path | None, as_json: bool) -> int:
    """Show one person: aliases, photos, how good each photo is."""
    from vidsearch.archive import Archive
    from vidsearch.present import person_as_json, print_person

    archive = Archive(folder)
    person = archive.person(name)
    if as_json:
        print_json(person_as_json(person))
    else:
        print_person(person)
    if sheet is not None:
        archive.person_sheet(person, sheet)
        say(f"photos: {sheet}")
    return 0


@people.command("rename")
@click.argument("name")
@click.argument("new_name")
@archive_option
@json_option
def people_rename(name: str, new_name: str, folder: Path, as_json: bool) -> int:
    """Give NAME the name NEW_NAME."""
    from vidsearch.archive import Archive
    from vidsearch.present import person_as_json

    person = Archive(folder, waiting=say).rename(name, new_name)
    if as_json:
        print_json(person_as_json(person))
    else:
        click.echo(f"{name} is now {person.name}")
    return 0


@people.command("refit")
@archive_option
@click.option(
    "--from",
    "source",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="ARCHIVE",
    help="The archive whose people are to be brought here.",
)
@json_option
def people_refit(folder: Path, source: Path, as_json: bool) -> int:
    """Bring the people of another archive here, fitted to the face model of this one.

    Their photos are kept for this: after a change of the face model or its weights, index the
    videos into a new archive, and nobody has to be enrolled again.
    """
    from vidsearch.archive import Archive
    from vidsearch.present import person_as_json, print_people

    refit = Archive(folder, waiting=say).refit_people(source)
    if as_json:
        people = [person_as_json(person) for person in refit.people]
        print_json({"people": people, "lost": list(refit.lost)})
    elif refit.people:
        print_people(refit.people)
    for line in refit.lost:
        say(f"left out: {line}")
    return SOME_FAILED if refit.lost else 0


@people.command("remove")
@click.argument("name")
@archive_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def people_remove(name: str, folder: Path, yes: bool, as_json: bool) -> int:
    """Remove NAME and the photos; the videos stay indexed.

    Their faces stay too, as somebody unknown, and they may be enrolled again: `vidsearch people
    forget` leaves nothing of them.
    """
    from vidsearch.archive import Archive
    from vidsearch.present import counted

    archive = Archive(folder, waiting=say)
    person = archive.person(name)
    if not yes and not agreed(f"Remove {person.name} and {counted(len(person.photos), 'photo')}?"):
        say("nothing was removed")
        return NOTHING_FOUND
    archive.remove_person(name)
    if as_json:
        print_json({"removed": person.name})
    else:
        click.echo(f"{person.name} is removed")
    return 0
