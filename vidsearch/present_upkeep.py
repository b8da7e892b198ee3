"""How what was forgotten, moved, counted and found broken is shown, to people and as JSON."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import click

from vidsearch.inputs import printable
from vidsearch.present import counted, person_as_json, print_rows
from vidsearch.records import EXACT_BELOW
from vidsearch.timecodes import timecode

if TYPE_CHECKING:
    from vidsearch.archive import Archive
    from vidsearch.audit import Line
    from vidsearch.duplicates import SharedFootage, Span
    from vidsearch.generations import Kept
    from vidsearch.people_folder import Arrival
    from vidsearch.search_index import Optimized
    from vidsearch.stats import Stats
    from vidsearch.verify import Fault, Repaired


def things(counts: Mapping[str, int]) -> str:
    """`2 photos, 5 face tracks`: what there is of each kind, without the noughts."""
    found = [f"{n} {_singular(kind) if n == 1 else kind}" for kind, n in counts.items() if n]
    return ", ".join(found) or "nothing else"


def _singular(kind: str) -> str:
    first, _, rest = kind.partition("s ")
    return f"{first} {rest}" if rest else kind.removesuffix("s")


def line_as_json(line: Line) -> dict[str, Any]:
    """When (seconds since 1970), what and how many; the hashes stay in the archive."""
    return {"when": line.when, "what": line.what, "counts": dict(line.counts)}


def print_lines(lines: Sequence[Line]) -> None:
    """What was forgotten: a line each."""
    rows = [
        (time.strftime("%Y-%m-%d %H:%M", time.localtime(each.when)), each.what, things(each.counts))
        for each in lines
    ]
    print_rows(("when", "what", "how many"), rows, prose="how many")


def arrival_as_json(arrival: Arrival) -> dict[str, Any]:
    """One person of a folder, enrolled or not."""
    who = person_as_json(arrival.person) if arrival.person else None
    return {"name": arrival.name, "person": who, "reason": arrival.reason}


def print_arrival(arrival: Arrival) -> None:
    """One line on one person of a folder."""
    if arrival.person is None:
        click.echo(f"not taken: {arrival.name}: {arrival.reason}")
    else:
        click.echo(f"{arrival.person.name}: {counted(len(arrival.person.photos), 'photo')}")


def faults_as_json(faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """Faults; `mend` is how --repair mends one, "" where it cannot."""
    return [asdict(fault) for fault in faults]


def print_faults(faults: Sequence[Fault]) -> None:
    """A line a fault, and what can be done."""
    for fault in faults:
        click.echo(fault.what)
        if not fault.mend:
            click.echo(f"    cannot be mended by itself: {fault.remedy}")
    mendable = sum(bool(fault.mend) for fault in faults)
    if not faults:
        click.echo("the archive is sound")
    else:
        ways = f"; {mendable} can be mended with: vidsearch verify --repair" if mendable else ""
        click.echo(f"{counted(len(faults), 'fault')}{ways}")


def print_repaired(done: Repaired) -> None:
    """What was mended and how, what is left, and which files to index again."""
    for fault in done.mended:
        click.echo(f"mended: {fault.what}")
    for fault in done.left:
        click.echo(f"left: {fault.what}")
        click.echo(f"    {fault.remedy or 'look again: somebody may be writing'}")
    if done.again:
        click.echo("these files were dropped from the archive; index them again:")
        for path in done.again:
            click.echo(f"    vidsearch index {shlex.quote(printable(path))}")
    if not done.mended and not done.left:
        click.echo("the archive is sound")


def indexes_behind(archive: Archive) -> list[str]:
    """A sentence for each index that lacks or is behind: no fault, but questions are slower."""
    from vidsearch.search_index import is_behind

    return [
        f"the index of {each.table}.{each.column} lacks {each.tail} rows, which are compared one by"
        f" one: vidsearch optimize --archive {shlex.quote(str(archive.path))}"
        for each in archive.indexes()
        if is_behind(each)
    ]


def optimized_as_json(done: Optimized) -> dict[str, Any]:
    """Bytes before and after, and the indexes: rows in each, rows that came since (`tail`)."""
    return asdict(done)


def print_optimized(done: Optimized) -> None:
    """What became of the files, and a row for each index."""
    click.echo(f"the archive has {_bytes(done.size)}, it had {_bytes(done.size_before)}")
    if not done.indexes:
        click.echo(f"no indexes: under {EXACT_BELOW:,} shots every question compares all of them")
        return
    rows = [(each.table, each.column, str(each.rows), str(each.tail)) for each in done.indexes]
    print_rows(("index of", "column", "rows>", "not in it>"), rows)


def stats_as_json(stats: Stats) -> dict[str, Any]:
    """Counts, seconds and bytes."""
    return asdict(stats)


def print_stats(stats: Stats) -> None:
    """What there is, a line a kind."""
    status = [f"{n} {kind}" for kind, n in stats.videos.items() if n]
    lines = [
        ("videos", ", ".join(status) or "none"),
        ("length", _length(stats.seconds)),
        ("files", _bytes(stats.source_bytes)),
        ("shots", f"{stats.shots}, with {counted(stats.keyframes, 'keyframe')}"),
        ("faces", f"{counted(stats.face_tracks, 'track')}, {counted(stats.face_looks, 'look')}"),
        ("people", f"{stats.people}, from {counted(stats.photos, 'photo')}"),
        ("said", f"{counted(stats.labels, 'label')}, {counted(stats.clusters, 'cluster')}"),
        ("encoder", stats.stamp.encoder),
        ("face model", stats.stamp.face_model),
        *(("kept" if each.role == "before" else each.role, _kept(each)) for each in stats.kept),
    ]
    for name, value in lines:
        click.echo(f"{name:<12}{value}")
    if stats.screen_s:
        click.echo("\non screen")
        print_rows(("who", "time>"), [(n, _length(s)) for n, s in stats.screen_s.items()])
    click.echo("\non disk")
    print_rows(("part", "size>"), [(name, _bytes(n)) for name, n in stats.disk.items()])
    click.echo(f"together {_bytes(sum(stats.disk.values()))}")


def _kept(each: Kept) -> str:
    from vidsearch.present_reindex import KEPT

    said = f"{each.generation.encoder}, {counted(each.videos, 'video')}, {_bytes(each.size)}"
    return f"{said}; {'; '.join(KEPT[each.role])}"


def _length(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60:02d} min {rest % 60:02d} s"


def _bytes(n: int) -> str:
    size, unit = float(n), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def doubles_as_json(doubles: Sequence[SharedFootage]) -> list[dict[str, Any]]:
    """Spans of both files in seconds from the first frame, with the shots they are of."""
    return [asdict(double) for double in doubles]


def print_doubles(doubles: Sequence[SharedFootage]) -> None:
    """A row for each footage that lies in two files; with folders where files have one name."""
    paths = {span.video_id: span.video for each in doubles for span in (each.one, each.other)}
    names = Counter(PurePath(path).name for path in paths.values())
    rows = [
        (
            *_span(each.one, names),
            *_span(each.other, names),
            f"{each.similarity:.2f}",
            str(each.n_shots),
        )
        for each in doubles
    ]
    columns = ("video", "from", "to", "also in", "from", "to", "alike>", "shots>")
    print_rows(columns, rows)


def _span(span: Span, names: Mapping[str, int]) -> tuple[str, str, str]:
    name = PurePath(span.video).name
    name = printable(name if names[name] == 1 else span.video)
    return name, timecode(span.start_s), timecode(span.end_s)
