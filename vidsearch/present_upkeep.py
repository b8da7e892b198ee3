"""How what was forgotten, moved, counted and found broken is shown, to people and as JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from vidsearch.present import counted, person_as_json, print_rows

if TYPE_CHECKING:
    from vidsearch.audit import Line
    from vidsearch.people_folder import Arrival


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
