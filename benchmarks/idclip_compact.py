"""The compact Id-CLIP that ships, on the test split of a COCO-PFS folder.

    python -m benchmarks.idclip_compact --data DIR --name flickr8k [--write]

The paper's whole table, then several reference photos of a person: their vectors averaged before
the translator against the embeddings averaged after it. Writes idclip_compact_NAME as .md, .json
and .png.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import _report
from idclip.cocopfs.dataset import CocoPFS
from idclip.evaluate import Evaluation, Mean, evaluate
from idclip.evaluate_report import as_markdown, cell

PHOTOS: tuple[tuple[int, Mean], ...] = (
    (1, "before"),
    (3, "before"),
    (3, "after"),
    (5, "before"),
    (5, "after"),
)
KINDS = ("t2i", "entity")
NOTES = (
    "[TOK], conf1. Of one photo both are the same. Who has fewer photos gives all there are.",
    "Before: the mean direction of the vectors at their mean length. After: the mean of the token "
    "embeddings.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    from idclip.checkpoints import load_idclip

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="as idclip build-cocopfs makes it")
    parser.add_argument("--name", required=True, help="of the data, in the file's name")
    parser.add_argument("--checkpoint", default="compact")
    parser.add_argument("--limit", type=int, help="only the first pictures")
    parser.add_argument("--write", action="store_true", help="into benchmarks/results")
    parser.add_argument("--results", type=Path, default=_report.RESULTS, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    data = CocoPFS(given.data, "test")
    model = load_idclip(given.checkpoint, face_model=data.face_model)
    whole = evaluate(model, data, limit=given.limit, progress=_told)
    rows: list[dict[str, Any]] = []
    for photos, mean in PHOTOS:
        rows += several(
            evaluate(
                model,
                data,
                photos=photos,
                mean=mean,
                configurations=["conf1"],
                limit=given.limit,
                progress=_told,
            )
        )
    text = markdown(whole, rows)
    print(text)
    if given.write:
        write(whole, rows, text, given.results / f"idclip_compact_{given.name}")
    return 0


def several(measured: Evaluation) -> list[dict[str, Any]]:
    """What an evaluation with reference photos found, a row for each kind of template."""
    return [
        {
            "photos": measured.photos,
            "mean": measured.mean,
            "prompt": row.template,
            "t2i": dict(row.t2i),
            "entity": dict(row.entity or {}),
        }
        for row in measured.rows
    ]


def markdown(whole: Evaluation, rows: Sequence[dict[str, Any]]) -> str:
    """The whole table, the one of several photos, and the machine."""
    about = ", ".join(f"{key} {value}" for key, value in _report.machine().items())
    t2i, entity = ("R@1", "R@5", "R@10"), ("kmin-R@1", "kmin-R@10", "AP")
    head = ["photos", "mean", "prompt", *t2i, *(f"persons {name}" for name in entity)]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        figures = [*(row["t2i"][name] for name in t2i), *(row["entity"][name] for name in entity)]
        lines.append([str(row["photos"]), row["mean"], row["prompt"], *map(cell, figures)])
    return "\n".join(
        [
            as_markdown(whole),
            "## Several photos: the mean before the translator or after it",
            "",
            *("| " + " | ".join(line) + " |" for line in lines),
            "",
            *(f"- {note}" for note in NOTES),
            "",
            f"Measured {datetime.date.today().isoformat()}: {about}.",
            "",
        ]
    )


def write(whole: Evaluation, rows: Sequence[dict[str, Any]], text: str, place: Path) -> None:
    """The three files of a result, `place` without their endings."""
    from idclip.evaluate_plot import plot

    place.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "date": datetime.date.today().isoformat(),
        "machine": _report.machine(),
        "evaluation": whole.as_data(),
        "photos": [
            {**row, **{of: {n: dataclasses.asdict(f) for n, f in row[of].items()} for of in KINDS}}
            for row in rows
        ],
    }
    place.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    place.with_suffix(".md").write_text(text, "utf-8")
    plot(whole, place.with_suffix(".png"))


def _told(stage: str, done: int, of: int) -> None:
    if done == of:
        print(f"{stage}: {of}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
