"""How many of an archivist's questions are answered as they should be, and by how sure a name.

`python -m benchmarks.questions --write` makes the archive of `tests/questions` (12 videos, 1,000
shots, 8 people among strangers, of development data), asks its 51 questions on the command line at
some thresholds, and lists those that failed at the default one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import _report

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "tests"), str(REPO / "tests" / "questions")]

from generated_archive import Generated, generate, missing  # noqa: E402
from judged_answers import Verdict, enrol_everybody, judge, questions, run  # noqa: E402

THRESHOLDS = (0.5, 0.2, 0.1, 0.05)  # the first is the default


def main() -> None:
    """Make the archive, ask, and print or write the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=REPO.parent / "shared" / "data")
    options.add_argument("--write", action="store_true")
    chosen = options.parse_args()
    if lacking := missing(chosen.data):
        sys.exit(f"of the development data, {', '.join(lacking)} is absent from {chosen.data}")
    with tempfile.TemporaryDirectory() as folder:
        made = generate(Path(folder), chosen.data)
        archive = made.folder / "archive"
        run(archive, "index", str(made.videos), "--jobs", "2", "-q")
        enrol_everybody(archive, made)
        verdicts = {at: _asked(archive, made, at) for at in THRESHOLDS}
    rows = [_row(at, found) for at, found in verdicts.items()]
    notes = [
        "The questions were written down before any was asked; their people are of LFW's test, and"
        " no number was chosen on them. Enrolled from five photos each.",
        *(f"Failed at {THRESHOLDS[0]}: {v.asked} ({v.why})" for v in _failed(verdicts)),
    ]
    if chosen.write:
        print(_report.write("questions", "An archivist's questions", rows, notes))
    else:
        print(rows, *notes, sep="\n")


def _asked(archive: Path, made: Generated, threshold: float) -> list[Verdict]:
    """Every question with this threshold, but for those that set one themselves."""
    found = []
    for question in questions():
        ask = question["ask"]
        if threshold != THRESHOLDS[0] and "--threshold" not in ask:
            ask += f" --threshold {threshold}"
        found.append(judge({**question, "ask": ask}, archive, made))
    return found


def _row(threshold: float, found: Sequence[Verdict]) -> dict[str, object]:
    return {
        "threshold": threshold,
        "questions": len(found),
        "answered as expected": sum(verdict.passed for verdict in found),
        "wrong names": sum(len(verdict.wrong) for verdict in found),
    }


def _failed(verdicts: dict[float, list[Verdict]]) -> list[Verdict]:
    return [verdict for verdict in verdicts[THRESHOLDS[0]] if not verdict.passed]


if __name__ == "__main__":
    main()
