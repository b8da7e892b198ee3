"""`--explain`: how a question was read, what each hit's score is made of, why the next is below."""

from __future__ import annotations

from pathlib import PurePath
from textwrap import shorten, wrap
from typing import TYPE_CHECKING, Any

from vidsearch.inputs import printable
from vidsearch.records import SAID_BY_HAND
from vidsearch.timecodes import timecode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vidsearch.records import Answer, Factor, Hit

WIDTH = 80
_PART = 30  # columns of what was asked


def explained(answer: Answer) -> str:
    """The explanation as text that fits 80 columns, names of files aside."""
    lines = ["Read as"]
    for line in answer.tree.splitlines() or ["nothing that can be asked"]:
        lines += wrap(f"  {line}", WIDTH, subsequent_indent=" " * 8, drop_whitespace=False)
    for hit in answer.hits:
        lines += ["", *_lines(hit)]
    if answer.hits:
        lines += ["", *_key(answer.hits)]
    return "\n".join(lines)


def _key(hits: Sequence[Hit]) -> Iterator[str]:
    """What the column "adds" means."""
    kinds = {factor.kind for factor in hits[0].factors}
    if kinds != {"person"}:
        yield "adds: what the log odds of the score would be lower by without this part"
    people = [factor for hit in hits for factor in hit.factors if factor.kind == "person"]
    if people and max(factor.weight for factor in people) <= 0:  # want of certainty adds nothing
        of = "score's logarithm is" if kinds == {"person"} else "same are"
        yield f"adds, of a person: what the {of} lower by for want of certainty"


def _lines(hit: Hit) -> Iterator[str]:
    name = printable(PurePath(hit.video).name)
    yield f"{hit.rank}. {name}  {timecode(hit.start_s)}  score {hit.score:.2f}"
    yield f"   {'part':<{_PART}} {'value':>5} {'adds':>6}  made of"
    for factor in hit.factors:
        yield from _factor(factor)
    if hit.next_below:
        yield from wrap(
            f"Next: {hit.next_below}", WIDTH, initial_indent="   ", subsequent_indent="   "
        )


def _factor(factor: Factor) -> Iterator[str]:
    what = factor.what if factor.kind != "scene" else f'"{factor.what}"'
    what = {"like": "like "}.get(factor.kind, "") + what
    what = shorten(("" if factor.wanted else "not ") + what, _PART, placeholder="...")
    adds = round(factor.weight, 2) + 0.0  # no -0.00
    start = f"   {what:<{_PART}} {factor.value:>5.2f} {adds:>+6.2f}  "
    made_of = ", ".join(_detail(name, value) for name, value in factor.details)
    room = WIDTH - len(start)
    told = wrap(made_of, room, break_long_words=False, break_on_hyphens=False) or [""]
    yield (start + told[0]).rstrip()
    yield from (" " * len(start) + line for line in told[1:])


def _detail(name: str, value: float | str) -> str:
    if value == SAID_BY_HAND:
        return SAID_BY_HAND
    return f"{name} {value}" if isinstance(value, str) else f"{name} {value:.2f}"


def explained_as_json(answer: Answer) -> dict[str, Any]:
    """What `--explain` adds to the JSON of an answer: `tree`, and of each hit its factors."""
    return {
        "tree": answer.tree.splitlines(),
        "hits": [
            {
                "rank": hit.rank,
                "factors": [
                    {
                        "kind": factor.kind,
                        "what": factor.what,
                        "wanted": factor.wanted,
                        "value": factor.value,
                        "log_odds": factor.weight,
                        "made_of": dict(factor.details),
                    }
                    for factor in hit.factors
                ],
                "next_below": hit.next_below,
            }
            for hit in answer.hits
        ],
    }
