"""What an archive amounts to, and its tables as Parquet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from vidsearch import Archive
from vidsearch.cli import main
from vidsearch.errors import VidsearchError
from vidsearch.schema import TABLES, full_numbers
from vidsearch.store import Store


@pytest.fixture(scope="module")
def footage(example_media: Path, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    archive = Archive(tmp_path_factory.mktemp("footage") / "archive")
    archive.index([example_media / "white-house-poetry.mp4"])
    photo = example_media / "people" / "Lin-Manuel_Miranda.jpg"
    archive.enrol("Lin-Manuel Miranda", [photo])
    return archive


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def test_everything_is_counted(footage: Archive) -> None:
    stats = footage.stats()
    assert stats.videos == {"indexed": 1, "partial": 0, "failed": 0}
    assert stats.seconds == pytest.approx(9.176, abs=0.001)
    assert (stats.shots, stats.people, stats.photos) == (4, 1, 1)
    assert stats.face_tracks <= stats.face_looks
    assert 1 < stats.screen_s["Lin-Manuel Miranda"] < stats.seconds
    whole = sum(path.stat().st_size for path in footage.path.rglob("*") if path.is_file())
    assert sum(stats.disk.values()) == whole
    assert set(stats.disk) == {*TABLES, "cache", "rest"}


def test_the_clusters_are_those_that_are_listed(footage: Archive, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(footage.path, tmp_path / "archive")
    archive = Archive(tmp_path / "archive")
    found = archive.discover()
    assert found.alone, "or nothing is tried"
    assert archive.stats().clusters == len(found.clusters)


def test_the_command_prints_it(footage: Archive) -> None:
    told = run("stats", "--archive", footage.path)
    assert told.exit_code == 0
    assert "0 h 00 min 09 s" in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 80
    facts = json.loads(run("stats", "--json", "--archive", footage.path).stdout)
    assert facts["shots"] == 4


def test_the_dump_holds_every_row_that_a_reader_sees(footage: Archive, tmp_path: Path) -> None:
    told = run("stats", "--parquet", tmp_path / "out", "--archive", footage.path, "--json")
    assert told.exit_code == 0
    written = json.loads(told.stdout)
    assert set(written) == set(TABLES)
    stats = footage.stats()
    assert (written["shots"], written["faces"]) == (4, stats.face_looks)
    with Store.open(footage.path, read_only=True) as store:
        for name in TABLES:
            there = parquet.read_table(tmp_path / "out" / f"{name}.parquet")
            rows = store._tables.read(name)
            rows = rows.select([column for column in rows.column_names if column != "packed"])
            assert there.equals(rows.cast(full_numbers(rows.schema))), name
    faces = parquet.read_table(tmp_path / "out" / "faces.parquet")
    assert pa.types.is_fixed_size_list(faces.schema.field("vector").type)
    vectors = np.stack(faces["vector"].to_numpy(zero_copy_only=False))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=5e-4)


def test_a_full_disk_is_told_in_plain_words(footage: Archive, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    footage.dump(tmp_path / "whole")
    fits = (tmp_path / "whole" / "videos.parquet").stat().st_size  # and the others do not
    assert fits < (tmp_path / "whole" / "keyframes.parquet").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (fits, hard))
    try:
        with pytest.raises(VidsearchError, match=r"cannot be written: File too large; choose"):
            footage.dump(tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "out").iterdir()), "the same folder would be refused as not empty"


def test_one_row_is_one_row(footage: Archive, tmp_path: Path) -> None:
    told = run("stats", "--parquet", tmp_path / "out", "--archive", footage.path)
    assert f"{tmp_path / 'out' / 'videos.parquet'}: 1 row\n" in told.stdout


def test_rows_of_no_video_are_not_dumped(footage: Archive, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(footage.path, tmp_path / "archive")
    with Store.open(tmp_path / "archive") as store:
        rows = store._tables.read("shots")
        at = rows.schema.get_field_index("generation")
        lost = rows.set_column(at, rows.field(at), pa.array([5] * 4, pa.int64()))
        store._tables.open("shots").add(lost)
    assert Archive(tmp_path / "archive").dump(tmp_path / "out")["shots"] == 4


def test_nothing_is_written_over(footage: Archive, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(VidsearchError, match="is not empty"):
        footage.dump(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(VidsearchError, match="cannot be written"):
        footage.dump(tmp_path / "file" / "below")
    assert run("stats", "--parquet", tmp_path, "--archive", footage.path).exit_code == 2
