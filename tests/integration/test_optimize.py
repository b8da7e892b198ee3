"""Indexes of a large archive: made and renewed by the writer, beside readers, through kills."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from itertools import count
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest
from click.testing import CliRunner
from large_archive import Maker, captions
from meanwhile import asked_meanwhile

from idclip.encoders import load_encoder
from idclip.faces import load_faces
from idclip.identity import IdentityScorer
from vidsearch import Archive, forget, records, search_index, verify
from vidsearch import store as store_module
from vidsearch.cli import main
from vidsearch.search_index import IndexState, is_behind
from vidsearch.store import Store
from vidsearch.tables import Indexed, Tables

SHOTS, LARGE = 200, 1000
VECTORS = ("keyframes", "vector")
QUESTION = "a dog in the rain by the sea"


@pytest.fixture(scope="module")
def maker() -> Maker:
    encoder, faces = load_encoder("concept"), load_faces()
    texts = captions(
        ["a man", "a crowd", "a dog", "a car"],
        ["in a kitchen", "giving a speech", "in the rain"],
        ["by the sea", "at night", "in an office"],
    )
    return Maker(encoder.encode_texts(texts), IdentityScorer.for_model(faces.name))


@pytest.fixture
def folder(tmp_path: Path, maker: Maker) -> Path:
    """An archive of 800 shots, whose people are enrolled."""
    encoder, faces = load_encoder("concept"), load_faces()
    Store.create(
        tmp_path / "archive",
        encoder=encoder.name,
        encoder_dim=encoder.dim,
        face_model=faces.name,
        face_dim=faces.dim,
    )
    with Store.open(tmp_path / "archive") as store:
        store.publish_many(list(maker.videos(4, SHOTS)))
        store.put_people(maker.cast.people)
    return tmp_path / "archive"


def grown(folder: Path, maker: Maker, videos: int, first: int = 10) -> None:
    """Add videos, as a run of `index` would."""
    with Store.open(folder, exact_below=LARGE) as store:
        store.publish_many(list(maker.videos(videos, SHOTS, first=first)))
        store.optimize()


def index_of(folder: Path) -> dict[tuple[str, str], IndexState]:
    found = Archive(folder, exact_below=LARGE).indexes()
    return {(each.table, each.column): each for each in found}


def hits(archive: Archive, question: str = QUESTION) -> list[tuple[str, int]]:
    return [(hit.video_id, hit.shot) for hit in archive.query(question).hits]


def test_indexes_come_by_themselves_when_an_archive_has_grown(folder: Path, maker: Maker) -> None:
    grown(folder, maker, 0)
    assert index_of(folder) == {}
    assert Store.open(folder, read_only=True, exact_below=LARGE).lookup is None
    before = hits(Archive(folder, exact_below=LARGE))
    grown(folder, maker, 6)
    made = index_of(folder)
    assert made[VECTORS].rows == 10 * SHOTS
    assert {each.tail for each in made.values()} == {0}
    assert {"shots", "keyframes", "faces"} <= {table for table, _ in made}
    archive, exact = Archive(folder, exact_below=LARGE), Archive(folder)
    assert hits(archive) == hits(exact) != before
    assert hits(archive, "Olga Once") == hits(exact, "Olga Once") != []


def test_a_few_new_rows_are_worth_no_new_index_but_many_are(
    folder: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown(folder, maker, 6)
    monkeypatch.setattr(search_index, "_TAIL_OF_VECTORS", 300)
    grown(folder, maker, 1, first=20)
    assert (index_of(folder)[VECTORS].rows, index_of(folder)[VECTORS].tail) == (2000, 200)
    grown(folder, maker, 1, first=30)
    assert (index_of(folder)[VECTORS].rows, index_of(folder)[VECTORS].tail) == (2400, 0)


def test_an_index_of_many_parts_is_made_anew_at_the_end_of_a_run(
    folder: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who adds a few videos every day would else have another part to ask every day."""
    monkeypatch.setattr(search_index, "_TAIL_OF_VECTORS", 100)
    monkeypatch.setattr(search_index, "_PARTS", 2)
    grown(folder, maker, 6)
    parts = []
    for day in range(4):
        grown(folder, maker, 1, first=20 + day)
        with Store.open(folder, exact_below=LARGE) as store:
            parts.append(store._tables.indexes("keyframes")["vector"].parts)
        assert index_of(folder)[VECTORS].rows == (11 + day) * SHOTS
        assert index_of(folder)[VECTORS].tail == 0
    assert parts == [2, 1, 2, 1]
    archive, exact = Archive(folder, exact_below=LARGE), Archive(folder)
    assert hits(archive) == hits(exact)


def test_within_a_run_indexes_wait_for_a_share_of_the_rows(
    folder: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown(folder, maker, 6)
    monkeypatch.setattr(search_index, "_TAIL_OF_VECTORS", 100)
    monkeypatch.setattr(search_index, "_TAIL", 100)
    monkeypatch.setattr(search_index, "_TAIL_WITHIN_A_RUN", 1 / 8)
    monkeypatch.setattr(store_module, "_COMMITS_BEFORE_OPTIMIZING", 1)
    videos, tails = list(maker.videos(4, SHOTS, first=20)), []
    with Store.open(folder, exact_below=LARGE) as store:
        for video in videos:
            store.publish_many([video])
            (vectors,) = [s for s in store.indexes() if (s.table, s.column) == VECTORS]
            tails.append(vectors.tail)
        assert tails == [200, 0, 200, 0]  # a share of 250 of 2,000 rows, then 300 of 2,400
        store.publish_many(list(maker.videos(1, SHOTS, first=30)))
        store.optimize()  # as the end of a run does
    assert {each.tail for each in index_of(folder).values()} == {0}


def test_an_index_that_was_made_anew_before_a_kill_is_not_made_again(
    folder: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown(folder, maker, 6)
    monkeypatch.setattr(search_index, "_GROWN", 1)
    make, made, kills = Tables.index_vectors, [], ["faces"]

    def killed(tables: Tables, name: str, partitions: int, bits: int) -> None:
        if name in kills:
            kills.remove(name)
            raise KeyboardInterrupt
        made.append(name)
        make(tables, name, partitions, bits)

    monkeypatch.setattr(Tables, "index_vectors", killed)
    with pytest.raises(KeyboardInterrupt):
        grown(folder, maker, 1, first=20)
    grown(folder, maker, 0)
    assert made == ["keyframes", "faces"]
    assert {state.tail for at, state in index_of(folder).items() if at[1] == "vector"} == {0}


def test_small_files_are_merged_and_full_ones_are_not_counted() -> None:
    def scattered(files: int, rows: int, largest: int, *, indexed: bool, many: int = 200) -> bool:
        lengths = {"max": largest}
        stats = {"num_rows": rows, "fragment_stats": {"num_fragments": files, "lengths": lengths}}
        return store_module._scattered(stats, many, indexed)

    assert scattered(20, 4000, 1000, indexed=False)
    assert not scattered(20, 4000, 3500, indexed=False)
    assert scattered(250, 4000, 3900, indexed=False)
    full = 12 * 2**20
    assert not scattered(12 + 150, full, 2**20, indexed=True)
    assert scattered(12 + 201, full, 2**20, indexed=True)
    assert not scattered(12 + 201, full, 2**20, indexed=True, many=2000)


def test_an_index_is_made_anew_with_more_lists_when_the_archive_has_outgrown_it(
    folder: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown(folder, maker, 2)
    known = search_index.read(folder)
    assert known is not None
    assert known.made_for["keyframes"] == 6 * SHOTS
    monkeypatch.setattr(search_index, "_GROWN", 1.5)
    grown(folder, maker, 4, first=20)
    known = search_index.read(folder)
    assert known is not None
    assert known.made_for["keyframes"] == 10 * SHOTS
    # Of the old one no file stays: there is one of vectors, of places and of generations.
    assert len(list((folder / "keyframes.lance" / "_indices").iterdir())) == 3


def test_an_index_is_outgrown_sooner_at_the_end_of_a_run_than_within_it() -> None:
    index = Indexed("vector_idx", "vector", 1000, 0)

    def worn(rows: int, *, within_a_run: bool) -> bool:
        return search_index._is_worn(index, rows, 1000, within_a_run)

    assert [worn(rows, within_a_run=False) for rows in (1000, 2000, 2001)] == [False, False, True]
    assert [worn(rows, within_a_run=True) for rows in (2001, 4000, 4001)] == [False, False, True]


def test_no_old_version_stays_where_lance_makes_another_while_it_tidies(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, more = Tables.open, [1, 2]

    class Splitting:
        """A table whose lists are split when it is tidied, which is one more version of it."""

        def __init__(self, table: Any) -> None:
            self.table = table

        def __getattr__(self, name: str) -> Any:
            return getattr(self.table, name)

        def optimize(self, **wishes: Any) -> None:
            self.table.optimize(**wishes)
            if more:
                more.pop()
                self.table.delete("false")

    def splitting(tables: Tables, name: str) -> Any:
        return Splitting(opened(tables, name))

    with Store.open(folder) as store:
        monkeypatch.setattr(Tables, "open", splitting)
        store._tables.tidy("shots")
    assert not more
    assert len(list((folder / "shots.lance/_versions").glob("*.manifest"))) == 1
    assert Store.open(folder, read_only=True).rows().shot_index.size == 4 * SHOTS


def test_codes_of_one_bit_that_an_older_version_made_are_asked_and_made_anew_by_the_next_writer(
    folder: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_index, "BITS", 1)
    grown(folder, maker, 6)
    monkeypatch.undo()
    facts = json.loads((folder / search_index.FILE).read_text())
    del facts["bits"]
    (folder / search_index.FILE).write_text(json.dumps(facts))
    assert bits_of(folder) == {"keyframes": 1, "faces": 1}
    before = Archive(folder, exact_below=LARGE).query(QUESTION)
    grown(folder, maker, 0)
    assert bits_of(folder) == {"keyframes": 3, "faces": 3}
    after = Archive(folder, exact_below=LARGE).query(QUESTION)
    exact = Archive(folder).query(QUESTION)
    assert len(exact.hits) == 10
    for found in (before, after):
        assert [hit.shot for hit in found.hits] == [hit.shot for hit in exact.hits]
    with Store.open(folder, exact_below=LARGE) as store:
        store.publish_many(list(maker.videos(1, SHOTS, first=50)))
        store.optimize(force=True)
    assert bits_of(folder) == {"keyframes": 3, "faces": 3}  # new rows have joined it
    assert index_of(folder)[VECTORS] == IndexState(*VECTORS, 11 * SHOTS, 0)


def bits_of(folder: Path) -> dict[str, int]:
    """How many bits a dimension the codes of vectors have."""
    tables = lancedb.connect(folder)
    found = {}
    for name in search_index.VECTORS:
        for index in tables.open_table(name).list_indices():
            if index.columns == ["vector"]:
                found[name] = index.index_details["compression"]["num_bits"]
    return found


def test_optimize_does_all_by_hand(
    folder: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = CliRunner()
    small = runner.invoke(main, ["optimize", "--archive", str(folder)])
    assert small.exit_code == 0
    assert "no indexes: under 100,000 shots every question compares all of them" in small.stdout
    grown(folder, maker, 6)
    with Store.open(folder, exact_below=LARGE) as store:
        store.publish_many(list(maker.videos(1, SHOTS, first=50)))
    assert index_of(folder)[VECTORS].tail == SHOTS
    monkeypatch.setattr(Archive.__init__, "__kwdefaults__",
                        Archive.__init__.__kwdefaults__ | {"exact_below": LARGE})  # fmt: skip
    done = runner.invoke(main, ["optimize", "--archive", str(folder), "--json"])
    told = json.loads(done.stdout)
    assert {each["tail"] for each in told["indexes"]} == {0}
    assert told["size"] > 0
    assert "merging the files of keyframes" in done.stderr
    assert index_of(folder)[VECTORS] == IndexState(*VECTORS, 11 * SHOTS, 0)


def test_doctor_and_verify_tell_of_an_index_that_lacks(
    folder: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown(folder, maker, 6)
    monkeypatch.setattr(records, "EXACT_BELOW", LARGE)
    for function in (Archive.__init__, Store.__init__, Store.open.__func__):  # type: ignore[attr-defined]
        if function.__kwdefaults__:
            defaults = function.__kwdefaults__ | {"exact_below": LARGE}
            monkeypatch.setattr(function, "__kwdefaults__", defaults)
    runner = CliRunner()
    sound = runner.invoke(main, ["verify", "--archive", str(folder), "--json"])
    assert json.loads(sound.stdout)["warnings"] == []
    with Store.open(folder, exact_below=LARGE) as store:
        store._tables.drop_indexes("keyframes")
    told = runner.invoke(main, ["verify", "--archive", str(folder), "--json"])
    assert not any("index" in fault["what"] for fault in json.loads(told.stdout)["faults"])
    from vidsearch.doctor import diagnose

    found = {finding.name: finding for finding in diagnose(folder).findings}
    lacking = found["index of keyframes.vector"]
    assert (lacking.status, lacking.value) == ("warning", "absent: 2000 rows compared one by one")
    assert lacking.remedy == f"vidsearch optimize --archive {folder}"
    assert found["index of shots.place"].status == "ok"
    assert hits(Archive(folder, exact_below=LARGE)) == hits(Archive(folder, exact_below=10**9))


def test_questions_go_on_while_indexes_are_made_and_files_are_merged(
    folder: Path, maker: Maker
) -> None:
    grown(folder, maker, 6)
    expected = hits(Archive(folder, exact_below=LARGE), "Olga Once")
    reader = Archive(folder, exact_below=LARGE)

    def ask() -> tuple[list[tuple[str, int]], int]:
        return hits(reader, "Olga Once"), len(reader.query(QUESTION).hits)

    with asked_meanwhile(ask) as answers, Store.open(folder, exact_below=LARGE) as store:
        for number in count():
            store.publish_many(list(maker.videos(1, SHOTS, first=60 + number)))
            store.optimize(force=True)
            if number >= 2 and len(answers) > 2:
                break
    assert answers == [(expected, 10)] * len(answers)


def make_indexes(folder: Path, started: object) -> None:
    with Store.open(folder, exact_below=LARGE) as store:
        started.set()  # type: ignore[attr-defined]
        while True:
            search_index.forget(folder)
            for name in ("keyframes", "faces", "shots"):
                store._tables.drop_indexes(name)
            store.optimize(force=True)


@pytest.mark.slow
def test_a_writer_that_is_killed_while_it_makes_indexes_leaves_a_sound_archive(
    folder: Path, maker: Maker
) -> None:
    grown(folder, maker, 6)
    expected = hits(Archive(folder, exact_below=LARGE))
    context, rng = multiprocessing.get_context("spawn"), random.Random(4)
    for _ in range(3):
        started = context.Event()
        writer = context.Process(target=make_indexes, args=(folder, started))
        writer.start()
        assert started.wait(120)
        time.sleep(rng.uniform(0.0, 0.6))
        os.kill(writer.pid, signal.SIGKILL)  # type: ignore[arg-type]
        writer.join()
        assert hits(Archive(folder, exact_below=LARGE)) == expected
    grown(folder, maker, 0)
    assert not any(is_behind(each) for each in index_of(folder).values())
    assert index_of(folder)[VECTORS].rows == 10 * SHOTS
    assert [f for f in verify.examine(folder) if "picture" not in f.what] == []
    with Store.open(folder, exact_below=LARGE) as store:
        for _ in range(2):  # what one replaces goes with the next
            store.optimize(force=True)
    folders = {path.name for path in (folder / "keyframes.lance" / "_indices").iterdir()}
    assert len(folders) == 3  # of what the killed ones left nothing is on the disk


def test_of_who_is_forgotten_nothing_stays_in_an_index(folder: Path, maker: Maker) -> None:
    grown(folder, maker, 6)
    archive = Archive(folder, exact_below=LARGE)
    name = "Otto Often"
    with Store.open(folder, read_only=True) as store:
        rows = store._tables.read("faces", ["video_id", "shot", "track", "vector"]).to_pylist()
    found = archive.traces_of(name)
    theirs = [r for r in rows if r["track"] in found.tracks.get((r["video_id"], r["shot"]), ())]
    assert len(theirs) > 10
    old = {path: path.stat().st_ino for path in folder.rglob("*") if "_indices" in path.parts}
    assert old
    archive.forget_person(name)
    assert not forget.is_unfinished(folder)
    pieces = [np.array(r["vector"], np.float32).tobytes()[at : at + 16]
              for r in theirs for at in range(0, 1024, 256)]  # fmt: skip
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(piece in data for piece in pieces), path
            assert old.get(path) != path.stat().st_ino, path  # no index of before is there
    made = index_of(folder)
    assert made["faces", "vector"].rows == len(rows) - len(theirs)
    assert hits(archive) == hits(Archive(folder))
