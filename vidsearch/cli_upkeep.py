"""Commands that keep an archive in order: forget, move people, verify, optimize, count, doubles.

Those about people are added to `vidsearch people`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from vidsearch.cli_people import people
from vidsearch.command import (
    NOTHING_FOUND,
    SOME_FAILED,
    agreed,
    archive_option,
    json_option,
    print_json,
    say,
)

_least_option = click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="Least probability of a face that counts as theirs (0.5); lower forgets more.",
)


@people.command("forget")
@click.argument("name")
@archive_option
@_least_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def people_forget(
    name: str, folder: Path, threshold: float | None, yes: bool, as_json: bool
) -> int:
    """Forget NAME for good: photos, vectors, labels, their faces in the videos.

    No byte of them stays in the archive folder, and they are refused when enrolled again. The
    video files themselves are not touched: indexed again, they show somebody unknown.
    """
    from vidsearch.archive import Archive
    from vidsearch.present_upkeep import line_as_json, things

    archive = Archive(folder, waiting=say)
    found = archive.traces_of(name, threshold=threshold)
    who = archive.person(name).name
    if not yes and not agreed(f"Forget {who} for good, with {things(found.counts)}?"):
        say("nothing was forgotten")
        return NOTHING_FOUND
    line = archive.forget_person(name, threshold=threshold)
    if as_json:
        print_json(line_as_json(line))
    else:
        click.echo(f"{who} is forgotten: {things(line.counts)}")
    say("the video files are as they were: they still show whom they showed")
    return 0


@people.command("forgotten")
@archive_option
@json_option
def people_forgotten(folder: Path, as_json: bool) -> int:
    """List what was forgotten and when; no line names anybody."""
    from vidsearch.archive import Archive
    from vidsearch.present_upkeep import line_as_json, print_lines

    lines = Archive(folder).forgotten()
    if as_json:
        print_json([line_as_json(line) for line in lines])
    elif lines:
        print_lines(lines)
    else:
        say(f"nobody was forgotten in the archive {folder}")
    return 0 if lines else NOTHING_FOUND


@people.command("export")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@archive_option
@json_option
def people_export(out: Path, names: Sequence[str], folder: Path, as_json: bool) -> int:
    """Write everybody, or the people NAMEd, as photos and a people.json into the new folder DIR."""
    from vidsearch.archive import Archive
    from vidsearch.present import counted, person_as_json

    written = Archive(folder).export_people(out, names)
    if as_json:
        print_json([person_as_json(person) for person in written])
    elif written:
        n = sum(len(person.photos) for person in written)
        who = "1 person" if len(written) == 1 else f"{len(written)} people"
        click.echo(f"{out}: {who}, {counted(n, 'photo')}")
    else:
        say("nobody is enrolled; nothing was written")
    return 0 if written else NOTHING_FOUND


@people.command("import")
@click.argument("source", type=click.Path(exists=True, path_type=Path), metavar="DIR")
@archive_option
@click.option("--more", is_flag=True, help="Add photos to those who are enrolled already.")
@click.option("--trust", is_flag=True, help="Take photos that do not look like each other.")
@click.option("--allow", is_flag=True, help="Take also who was forgotten here.")
@json_option
def people_import(
    source: Path, folder: Path, more: bool, trust: bool, allow: bool, as_json: bool
) -> int:
    """Enrol the people of DIR: of an export, or one folder of photos for each, named like them.

    Vectors are made anew by this archive's face model. Who cannot be taken whole is not taken.
    """
    from vidsearch.archive import Archive
    from vidsearch.present_upkeep import arrival_as_json, print_arrival

    arrivals = Archive(folder, waiting=say).import_people(
        source, more=more, trust=trust, allow=allow
    )
    if as_json:
        print_json([arrival_as_json(each) for each in arrivals])
    else:
        for each in arrivals:
            print_arrival(each)
    return SOME_FAILED if any(each.person is None for each in arrivals) else 0


@click.command()
@archive_option
@click.option("--repair", is_flag=True, help="Mend what can be mended, and say what cannot.")
@json_option
def verify(folder: Path, repair: bool, as_json: bool) -> int:
    """Check every invariant of the archive's tables; exit 0 when it is sound, 1 when not.

    With --repair, videos whose rows are broken are dropped, to be indexed again; people and what
    was said of faces stay.
    """
    from vidsearch.archive import Archive
    from vidsearch.present_upkeep import (
        faults_as_json,
        indexes_behind,
        print_faults,
        print_repaired,
    )

    archive = Archive(folder, waiting=say)
    if repair:
        done = archive.repair()
        left = done.left
        if as_json:
            mended, faults = faults_as_json(done.mended), faults_as_json(done.left)
            print_json({"mended": mended, "faults": faults, "index_again": list(done.again)})
        else:
            print_repaired(done)
    else:
        left = tuple(archive.verify())
        behind = indexes_behind(archive) if not left else []
        if as_json:
            print_json({"faults": faults_as_json(left), "warnings": behind})
        else:
            print_faults(left)
        for sentence in behind:
            say(sentence)
    return 1 if left else 0


@click.command()
@archive_option
@json_option
def optimize(folder: Path, as_json: bool) -> int:
    """Merge small files, remove old versions, bring the indexes of a large archive up to date.

    Every run of `vidsearch index` does as much of this as is worth it, so nobody has to. Questions
    go on meanwhile.
    """
    from vidsearch.archive import Archive
    from vidsearch.present_upkeep import optimized_as_json, print_optimized

    done = Archive(folder, waiting=say).optimize()
    if as_json:
        print_json(optimized_as_json(done))
    else:
        print_optimized(done)
    return 0


@click.command()
@archive_option
@click.option(
    "--parquet",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write every table as a Parquet file into the new folder DIR.",
)
@json_option
def stats(folder: Path, parquet: Path | None, as_json: bool) -> int:
    """Hours, shots, faces and people of the archive, and the disk by part."""
    from vidsearch.archive import Archive
    from vidsearch.inputs import printable
    from vidsearch.present import counted
    from vidsearch.present_upkeep import print_stats, stats_as_json

    archive = Archive(folder)
    if parquet is not None:
        rows = archive.dump(parquet)
        if as_json:
            print_json(rows)
        else:
            for name, n in rows.items():
                click.echo(f"{printable(parquet / name)}.parquet: {counted(n, 'row')}")
        return 0
    found = archive.stats()
    if as_json:
        print_json(stats_as_json(found))
    else:
        print_stats(found)
    return 0


@click.command()
@archive_option
@click.option(
    "--near",
    type=click.FloatRange(0, 1),
    metavar="COSINE",
    help="How near shots must be (0.90); lower finds more, and more that only looks alike.",
)
@json_option
def duplicates(folder: Path, near: float | None, as_json: bool) -> int:
    """Find the same footage in several files, also re-encoded, shortened or among other footage."""
    from vidsearch.archive import Archive
    from vidsearch.present_upkeep import doubles_as_json, print_doubles

    found = Archive(folder).duplicates(near=near)
    if as_json:
        print_json(doubles_as_json(found))
    elif found:
        print_doubles(found)
    else:
        say("no footage lies in two files")
    return 0 if found else NOTHING_FOUND


COMMANDS = (verify, optimize, stats, duplicates)
