"""The same footage in several files is found with its spans, and what only looks alike is not."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image
from store_records import ENCODER_DIM, MODELS, analyzed_video, unit

from vidsearch import Archive
from vidsearch.cli import main
from vidsearch.duplicates import SharedFootage
from vidsearch.records import AnalyzedVideo
from vidsearch.store import Store

DIM = 64
assert ENCODER_DIM < DIM  # so that shots of the records are not near each other by chance
Piece = tuple[int, float]  # the number of a shot's content, and how long it lasts


def contents(n: int = 40) -> NDArray[np.float32]:
    return unit(np.random.default_rng(7), n, DIM)


def jpeg(grey: int | None = None) -> bytes:
    """A picture with something in it, or of one grey."""
    noise = np.random.default_rng(1).integers(0, 255, (18, 32, 3), dtype=np.uint8)
    picture = noise if grey is None else np.full((18, 32, 3), grey, np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG")
    return file.getvalue()


def video(name: str, pieces: Sequence[Piece], *, noise: float = 0.0, picture: bytes = b"") -> (
    AnalyzedVideo
):  # fmt: skip
    """A video of shots with these contents and lengths, each with some noise of its own."""
    made = analyzed_video(name, shots=len(pieces), tracks=0, encoder_dim=DIM, long_every=10_000)
    rng = np.random.default_rng([*name.encode()])
    shots, at = [], 0.0
    for shot, (content, length) in zip(made.shots, pieces, strict=True):
        own = contents()[content] + noise * unit(rng, 1, DIM)[0]
        own = np.asarray(own / np.linalg.norm(own), np.float32)
        end = at + length
        keyframe = replace(
            shot.keyframes[0],
            time_s=at + length / 2,
            start_s=at,
            end_s=end,
            vector=own,
            thumbnail=picture or jpeg(),
        )
        shots.append(replace(shot, start_s=at, end_s=end, keyframes=(keyframe,)))
        at = end
    return AnalyzedVideo(replace(made.video, duration_s=at), tuple(shots))


def doubles(folder: Path, *videos: AnalyzedVideo) -> list[SharedFootage]:
    Store.create(folder, **{**MODELS, "encoder_dim": DIM})  # type: ignore[arg-type]
    with Store.open(folder) as store:
        store.publish_many(videos)
    return Archive(folder).duplicates()


def spans(found: Sequence[SharedFootage]) -> list[tuple[float, float, float, float]]:
    return [
        tuple(round(x, 3) for x in (d.one.start_s, d.one.end_s, d.other.start_s, d.other.end_s))
        for d in found
    ]  # type: ignore[misc]


LONG = [(n, 2.0 + n / 4) for n in range(8)]


def test_a_whole_copy_is_one_span(tmp_path: Path) -> None:
    found = doubles(tmp_path / "a", video("a", LONG), video("b", LONG, noise=0.2))
    end = sum(length for _, length in LONG)
    assert spans(found) == [(0, end, 0, end)]
    assert found[0].n_shots == 8
    assert 0.9 < found[0].similarity < 1


def test_an_excerpt_among_other_footage_is_found_where_it_lies(tmp_path: Path) -> None:
    excerpt = [(20, 5.0), *LONG[2:6], (21, 3.0)]
    (found,) = doubles(tmp_path / "a", video("a", LONG), video("b", excerpt, noise=0.1))
    start = sum(length for _, length in LONG[:2])
    length = sum(length for _, length in LONG[2:6])
    assert spans([found]) == [(start, start + length, 5.0, 5.0 + length)]
    assert (found.one.first, found.one.last) == (2, 5)
    assert (found.other.first, found.other.last) == (1, 4)


def test_ends_that_were_cut_shorter_are_left_out_of_both_spans(tmp_path: Path) -> None:
    short = [(1, 1.0), *LONG[2:5], (5, 1.5)]
    found = doubles(tmp_path / "a", video("a", LONG), video("b", short, noise=0.1))
    start = LONG[0][1] + LONG[1][1] - 1.0
    length = 1.0 + sum(length for _, length in LONG[2:5]) + 1.5
    assert spans(found) == [(start, start + length, 0, length)]


def test_a_cut_that_was_missed_is_stepped_over(tmp_path: Path) -> None:
    joined = [*LONG[:3], (30, LONG[3][1] + LONG[4][1]), *LONG[5:]]
    found = doubles(tmp_path / "a", video("a", LONG), video("b", joined, noise=0.1))
    end = sum(length for _, length in LONG)
    assert spans(found) == [(0, end, 0, end)]


def test_shots_that_look_alike_but_last_otherwise_are_not_the_same(tmp_path: Path) -> None:
    """One camera on one desk, cut otherwise: an interview in two editions of a programme."""
    other = [(n, length + 1 + n / 2) for n, length in LONG]
    assert doubles(tmp_path / "a", video("a", LONG), video("b", other, noise=0.3)) == []


def test_shots_in_another_order_are_not_a_run(tmp_path: Path) -> None:
    turned = [(n, length + 0.9) for n, length in reversed(LONG)]
    assert doubles(tmp_path / "a", video("a", LONG), video("b", turned, noise=0.3)) == []


def test_a_single_shot_must_be_nearer(tmp_path: Path) -> None:
    one = [(3, 4.0)]
    same = doubles(tmp_path / "a", video("a", one), video("b", one, noise=0.15))
    assert spans(same) == [(0, 4, 0, 4)]
    assert doubles(tmp_path / "b", video("a", one), video("b", one, noise=0.4)) == []


def test_black_chains_nothing_together(tmp_path: Path) -> None:
    black = [(9, 2.0), (9, 2.0), (9, 2.0)]
    plain = {"noise": 0.0, "picture": jpeg(3)}
    assert doubles(tmp_path / "a", video("a", black, **plain), video("b", black, **plain)) == []  # type: ignore[arg-type]
    assert len(doubles(tmp_path / "b", video("a", black), video("b", black))) == 1


def test_within_one_file_nothing_is_told(tmp_path: Path) -> None:
    assert doubles(tmp_path / "a", video("a", [*LONG, *LONG])) == []


def test_three_files_are_told_two_by_two(tmp_path: Path) -> None:
    found = doubles(tmp_path / "a", *(video(name, LONG, noise=0.1) for name in "abc"))
    pairs = {(d.one.video[-5], d.other.video[-5]) for d in found}
    assert pairs == {("a", "b"), ("a", "c"), ("b", "c")}


def test_an_archive_of_nothing_has_no_doubles(tmp_path: Path) -> None:
    assert doubles(tmp_path / "a") == []


def test_a_forgotten_picture_does_not_hide_the_footage(tmp_path: Path) -> None:
    one, other = (video(name, LONG) for name in "ab")
    shots = tuple(
        replace(s, keyframes=(replace(s.keyframes[0], thumbnail=b""),)) for s in one.shots
    )
    assert len(doubles(tmp_path / "a", replace(one, shots=shots), other)) == 1


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    made = [video(name, LONG) for name in ("one/a", "two/a", "two/b")]
    doubles(tmp_path / "a", *made)
    told = CliRunner().invoke(main, ["duplicates", "--archive", str(tmp_path / "a")])
    first, second, _ = (line.split() for line in told.stdout.splitlines()[1:])
    assert (first[0], first[3]) == (made[0].video.path, made[1].video.path)
    assert (second[0], second[3]) == (made[0].video.path, "b.mp4")


def test_the_command_prints_both_spans(tmp_path: Path) -> None:
    assert doubles(tmp_path / "a", video("a", LONG), video("b", LONG[2:], noise=0.1))
    told = CliRunner().invoke(main, ["duplicates", "--archive", str(tmp_path / "a")])
    assert told.exit_code == 0
    assert "a.mp4" in told.stdout
    assert "00:00:04.250" in told.stdout
    asked = CliRunner().invoke(main, ["duplicates", "--json", "--archive", str(tmp_path / "a")])
    (double,) = json.loads(asked.stdout)
    assert double["one"]["start_s"] == pytest.approx(4.25)
    assert double["other"]["start_s"] == 0
    assert doubles(tmp_path / "b", video("a", LONG)) == []
    empty = CliRunner().invoke(main, ["duplicates", "--archive", str(tmp_path / "b")])
    assert (empty.exit_code, empty.stdout) == (1, "")
