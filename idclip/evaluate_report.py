"""The evaluation's table as Markdown, JSON and a picture, the paper's figures beside ours."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from .errors import ModelUnavailable, VidsearchError
from .evaluate import Evaluation, Figure, Figures, Row
from .evaluate_published import PUBLISHED, Published
from .metrics import KS

RECALLS = tuple(f"R@{k}" for k in KS)
ENTITY = (*(f"kmin-R@{k}" for k in KS), "AP", "paper_mAP@10")

_NOTES = (
    "Percent, with 95 % bootstrap intervals: recalls drawn over pictures, persons over identities.",
    "A right answer that ties with wrong ones stands behind them.",
    "*The paper's rows* are published figures, measured on its own COCO-PFS (OpenAI ViT-L/14@336, "
    "VGGFace2 identities, ArcFace vectors, inswapper). They are a reference, not a comparison on "
    "the same data.",
    "Without a name the pictures of one scene share their captions: text to image can only guess "
    "among them, and image to text, where the equal captions tie, finds nothing at R@1.",
    "“averaged” is the mean of the text vectors of all templates that apply (11, or 6 where the "
    "caption has not exactly one keyword); persons have 6.",
    "kmin-R@k: hits in the top k / min(k, pictures of the person). paper_mAP@10 divides always by "
    "10; AP is ordinary average precision.",
)


def write_report(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write evaluation.md, evaluation.json and evaluation.png; return what was written.

    The picture needs matplotlib: without it the other two are written, and then `ModelUnavailable`
    is raised. A file appears whole or not at all; `VidsearchError` where none can be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    written = [
        _whole(
            folder / "evaluation.json", lambda file: file.write_text(as_json(evaluation), "utf-8")
        ),
        _whole(
            folder / "evaluation.md", lambda file: file.write_text(as_markdown(evaluation), "utf-8")
        ),
    ]
    try:
        from .evaluate_plot import plot
    except ImportError as error:
        raise ModelUnavailable(
            f"the picture of the table needs matplotlib ({error}); pip install "
            f"'vidsearch[train]'. The table itself is in {folder}"
        ) from None
    return [*written, _whole(folder / "evaluation.png", lambda file: plot(evaluation, file))]


def as_json(evaluation: Evaluation) -> str:
    """The evaluation, fractions, and the paper's rows, percent, as JSON."""
    data = {**evaluation.as_data(), "paper": [asdict(row) for row in PUBLISHED]}
    return json.dumps(data, indent=1) + "\n"


def as_markdown(evaluation: Evaluation) -> str:
    """The evaluation as Markdown: text to image, image to text, persons, face sizes."""
    of = evaluation
    photos = "the data set's own vector" if of.photos is None else _averaged(of.photos, of.mean)
    lines = [
        f"# {of.model} on COCO-PFS, split {of.split}",
        "",
        f"{of.pictures} pictures of {of.scenes} scenes with {of.people} identities, {of.texts} "
        f"captions; faces: {of.face_model}, {photos}; fixed template: “{of.template}”; data "
        f"{of.data[:12]}.",
        *("", "## Text to image", ""),
        *_table(RECALLS, _beside(of.rows, lambda row: row.t2i, lambda row: row.t2i)),
        *("", "## Image to text", ""),
        *_table(RECALLS, _beside(of.rows, lambda row: row.i2t, lambda _: None)),
        *("", "## Persons, without a context", ""),
        *_table(ENTITY, _beside(of.rows, lambda row: row.entity, _published_entity)),
    ]
    if any(row.by_face for row in of.rows):
        lines += ["", "## Text to image by size of the face", "", *_face_table(of.rows)]
    return "\n".join([*lines, "", *(f"- {note}" for note in _NOTES)]) + "\n"


def _averaged(photos: int, mean: str) -> str:
    return f"{photos} reference photos averaged {mean} the translator"


def cell(figure: Figure) -> str:
    """A fraction and its interval in percent, as in 43.2 [40.1, 46.0]."""
    return f"{100 * figure.value:.1f} [{100 * figure.low:.1f}, {100 * figure.high:.1f}]"


def _published_entity(row: Published) -> tuple[float | None, ...] | None:
    """The paper's entity figures under our columns: it has no average precision."""
    return row.entity and (*row.entity[:4], None, row.entity[4])


def _beside(
    rows: Sequence[Row],
    ours: Callable[[Row], Figures | None],
    papers: Callable[[Published], Sequence[float | None] | None],
) -> Iterator[list[str]]:
    """Our rows of a configuration, then the paper's, as cells."""
    for configuration in dict.fromkeys(row.configuration for row in rows):
        same = [row for row in rows if row.configuration == configuration]
        for row in same:
            figures = ours(row)
            if figures is not None:
                yield [row.label, row.template, *(cell(figure) for figure in figures.values())]
        for paper in PUBLISHED:
            percent = papers(paper)
            if paper.configuration == configuration and percent is not None:
                values = ["" if value is None else f"*{value:.1f}*" for value in percent]
                query = f"*paper: {same[0].label}, {paper.model}*"
                yield [query, f"*{paper.template}*" if paper.template else "", *values]


def _table(names: Sequence[str], rows: Iterable[list[str]]) -> list[str]:
    lines = [["query", "prompt", *names], ["---"] * (len(names) + 2), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _face_table(rows: Sequence[Row]) -> list[str]:
    cells = [
        [row.label, row.template, size.face_px, str(size.pictures), *map(cell, size.t2i.values())]
        for row in rows
        for size in row.by_face
    ]
    head = ["query", "prompt", "face in px", "pictures", *RECALLS]
    lines = [head, ["---"] * len(head), *cells]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _whole(file: Path, write: Callable[[Path], object]) -> Path:
    part = file.with_name(f".{file.stem}.part{file.suffix}")
    try:
        write(part)
        os.replace(part, file)
    except OSError as error:
        raise _unwritable(file, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return file


def _unwritable(place: Path, error: OSError) -> VidsearchError:
    reason = error.strerror or str(error)
    return VidsearchError(f"{place}: the report cannot be written: {reason}; choose another --out")
