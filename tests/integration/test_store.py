"""What the archive on disk promises, on a real LanceDB in a temporary folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from store_records import ENCODER_DIM, FACE_DIM, MODELS, analyzed_video, person

from vidsearch.errors import ArchiveBusy, ArchiveMismatch, ArchiveUnavailable, VidsearchError
from vidsearch.records import AnalyzedVideo, Shot, Video
from vidsearch.schema import CONTENT, LATER, SLICE, content_rows, schemas
from vidsearch.stamp import SCHEMA
from vidsearch.store import ShotRow, Store
from vidsearch.verify import examine

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty") / "archive"
    Store.create(folder, **MODELS)
    return folder


@pytest.fixture
def folder(empty: Path, tmp_path: Path) -> Path:
    """A new archive."""
    return shutil.copytree(empty, tmp_path / "archive")


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    """A new archive, open for writing."""
    with Store.open(folder) as store:
        yield store


def reader(store: Store) -> Store:
    return Store.open(store.folder, read_only=True)


def in_new_process(code: str, *, check: bool = True, **options: object) -> str:
    """What a fresh Python prints that runs `code` with the test records at hand."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPO), str(REPO / "tests")])},
        capture_output=True,
        text=True,
        timeout=120,
        **options,  # type: ignore[call-overload]
    )
    assert not check or done.returncode == 0, done.stderr
    return str(done.stdout).strip()


# --- what was stored comes back ----------------------------------------------------------------


def test_a_video_comes_back_as_it_was_stored(store: Store) -> None:
    given = analyzed_video("a", shots=6)
    store.publish_many([given])
    for each in (store, reader(store)):
        assert each.videos() == [given.video]
        assert each.find("id-a") == given.video
        assert each.shots("id-a") == [
            ShotRow("id-a", s.index, s.start_s, s.end_s, s.start_frame, s.end_frame, len(s.tracks))
            for s in given.shots
        ]


def test_the_rows_to_search_are_those_that_were_stored(store: Store) -> None:
    given = [analyzed_video("a", shots=6, tracks=2, looks=3), analyzed_video("b", shots=2)]
    store.publish_many(given)
    rows = reader(store).rows()
    assert [video.video_id for video in rows.videos] == ["id-a", "id-b"]
    shots = [(video, shot) for video, each in enumerate(given) for shot in each.shots]
    assert rows.shot_video.tolist() == [video for video, _ in shots]
    assert rows.shot_index.tolist() == [shot.index for _, shot in shots]
    assert rows.shot_start_s.tolist() == [shot.start_s for _, shot in shots]
    assert rows.shot_end_s.tolist() == [shot.end_s for _, shot in shots]
    keyframes = [(row, k) for row, (_, shot) in enumerate(shots) for k in shot.keyframes]
    assert rows.keyframe_shot.tolist() == [row for row, _ in keyframes]
    assert rows.keyframe_s.tolist() == [k.time_s for _, k in keyframes]
    assert rows.part_start_s.tolist() == [k.start_s for _, k in keyframes]
    assert rows.part_end_s.tolist() == [k.end_s for _, k in keyframes]
    np.testing.assert_array_equal(rows.keyframe_vectors, [k.vector for _, k in keyframes])
    tracks = [(row, track) for row, (_, shot) in enumerate(shots) for track in shot.tracks]
    assert rows.track_shot.tolist() == [row for row, _ in tracks]
    assert rows.track_start_s.tolist() == [track.start_s for _, track in tracks]
    assert rows.track_end_s.tolist() == [track.end_s for _, track in tracks]
    assert rows.look_track.tolist() == [n for n, (_, t) in enumerate(tracks) for _ in t.times]
    assert rows.look_s.tolist() == [time_s for _, track in tracks for time_s in track.times]
    for found, wanted in (
        (rows.look_vectors, [track.vectors for _, track in tracks]),
        (rows.look_boxes, [np.array(track.boxes, np.float32) for _, track in tracks]),
        (rows.look_quality, [track.qualities for _, track in tracks]),
        (rows.look_cohort_mean, [track.cohort_mean for _, track in tracks]),
        (rows.look_cohort_std, [track.cohort_std for _, track in tracks]),
    ):
        np.testing.assert_array_equal(found, np.concatenate(wanted))


def test_vectors_are_stored_as_halves_and_read_as_the_float32_that_is_nearest(store: Store) -> None:
    given = analyzed_video("a", shots=4)
    exact = np.random.default_rng(1).standard_normal((4, ENCODER_DIM), dtype=np.float32)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    shots = tuple(
        replace(shot, keyframes=(replace(shot.keyframes[0], vector=vector),))
        for shot, vector in zip(given.shots, exact, strict=True)
    )
    store.publish_many([replace(given, shots=shots)])
    found = reader(store).rows().keyframe_vectors
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, exact.astype(np.float16))
    np.testing.assert_allclose(np.sum(found * exact, axis=1), 1, atol=2e-4)
    for name in ("shots", "keyframes", "faces", "figures"):
        assert store._tables.open(name).schema.field("vector").type.value_type == pa.float16()


def test_an_archive_without_videos_has_no_rows(store: Store) -> None:
    rows = reader(store).rows()
    assert rows.videos == ()
    assert rows.keyframe_vectors.shape == (0, ENCODER_DIM)
    assert rows.look_vectors.shape == (0, FACE_DIM)
    assert reader(store).people(pictures=False) == []


def test_shots_without_faces_and_videos_without_shots_are_stored(store: Store) -> None:
    store.publish_many([analyzed_video("a", tracks=0), analyzed_video("b", shots=0)])
    rows = reader(store).rows()
    assert len(rows.shot_index) == 3
    assert len(rows.track_shot) == 0
    assert store.shots("id-b") == []


def test_thumbnails_are_those_of_the_keyframe_asked_for(store: Store) -> None:
    given = analyzed_video("a", shots=5)
    store.publish_many([given])
    for shot in given.shots:
        for keyframe in shot.keyframes:
            found = reader(store).thumbnail("id-a", shot.index, keyframe.time_s)
            assert found == keyframe.thumbnail
    with pytest.raises(VidsearchError, match="no longer in the archive"):
        reader(store).thumbnail("id-a", 77, 1.0)


def test_any_file_name_is_kept_byte_by_byte(store: Store) -> None:
    paths = (b"/v/new\nline.mp4", b"/v/caf\xe9 '\"\\.mp4", "/v/\N{CLAPPER BOARD}.mp4".encode())
    given = analyzed_video("a")
    store.publish_many([AnalyzedVideo(replace(given.video, paths=paths), given.shots)])
    assert reader(store).videos()[0].paths == paths


def test_vectors_of_another_length_are_refused_and_nothing_is_stored(store: Store) -> None:
    with pytest.raises(ValueError, match=f"vectors of {ENCODER_DIM} numbers expected"):
        store.publish_many([analyzed_video("a"), analyzed_video("b", encoder_dim=7)])
    assert store.videos() == []
    assert reader(store).health().orphans == 0


def test_a_long_video_is_stored_whole_and_in_one_commit(store: Store, tmp_path: Path) -> None:
    given = analyzed_video("a", shots=3 * SLICE + 1, tracks=2)
    store.publish_many([given, analyzed_video("b")])
    rows = reader(store).rows()
    mine = np.flatnonzero(rows.shot_video == [v.video_id for v in rows.videos].index("id-a"))
    assert rows.shot_index[mine].tolist() == list(range(3 * SLICE + 1))
    keyframes = np.isin(rows.keyframe_shot, mine)
    expected = np.stack([k.vector for shot in given.shots for k in shot.keyframes])
    np.testing.assert_array_equal(rows.keyframe_vectors[keyframes], expected)
    for name in CONTENT:
        assert store.health().tables[name].fragments == 1


def test_rows_are_made_a_slice_at_a_time(store: Store) -> None:
    """What a file of hours costs while it is published does not grow with its length."""
    asked = 0

    def shots() -> Iterator[Shot]:
        nonlocal asked
        for shot in analyzed_video("a", shots=3 * SLICE).shots:
            asked += 1
            yield shot

    lazy = SimpleNamespace(video=analyzed_video("a").video, shots=shots())
    batches = content_rows([(lazy, 1)], "shots", schemas(store.stamp)["shots"])  # type: ignore[list-item]
    assert next(batches).num_rows == SLICE
    assert asked == SLICE
    assert [batch.num_rows for batch in batches] == [SLICE, SLICE]


# --- replacing, moving, removing ------------------------------------------------------------------


def test_publishing_again_replaces_every_row(store: Store) -> None:
    store.publish_many([analyzed_video("a", shots=5), analyzed_video("b")])
    again = analyzed_video("a", shots=2, seed=1)
    store.publish_many([again])
    rows = reader(store).rows()
    assert len(store.shots("id-a")) == 2
    assert len(rows.shot_index) == 2 + 3
    assert again.shots[0].keyframes[0].vector.tolist() in rows.keyframe_vectors.tolist()
    assert reader(store).health().orphans == 0


def test_the_last_of_doubles_in_one_group_counts(store: Store) -> None:
    store.publish_many([analyzed_video("a", shots=5), analyzed_video("a", shots=2)])
    assert len(store.videos()) == 1
    assert len(reader(store).rows().shot_index) == 2


def test_a_failure_is_recorded_and_a_later_success_replaces_it(store: Store) -> None:
    broken = Video("id-a", (b"/videos/a.mp4",), 10, 1.0, status="failed", error="no video stream")
    store.record_failure(broken)
    assert reader(store).videos() == [broken]
    assert reader(store).rows().videos == ()
    store.publish_many([analyzed_video("a")])
    assert [video.status for video in reader(store).videos()] == ["indexed"]


def test_a_failure_leaves_what_was_indexed_well_of_the_same_content(store: Store) -> None:
    given = analyzed_video("a")
    store.publish_many([given])
    store.record_failure(replace(given.video, status="failed", error="out of memory"))
    assert reader(store).videos() == [given.video]
    assert len(reader(store).shots("id-a")) == 3


def test_a_moved_video_keeps_its_rows(store: Store) -> None:
    store.publish_many([analyzed_video("a")])
    moved = (b"/new/a.mp4", b"/copy/a.mp4")
    store.update_video(replace(store.videos()[0], paths=moved))
    found = reader(store).find("id-a")
    assert found is not None
    assert found.path == "/new/a.mp4"
    assert len(reader(store).shots("id-a")) == 3
    assert [video.path for video in reader(store).rows().videos] == ["/new/a.mp4"]


def test_a_removed_video_is_gone_from_everywhere(store: Store) -> None:
    store.publish_many([analyzed_video("it's"), analyzed_video("b")])
    store.remove_videos(["id-it's"])
    store.remove_videos(["id-unknown"])
    assert [video.video_id for video in reader(store).videos()] == ["id-b"]
    assert reader(store).shots("id-it's") == []
    assert len(reader(store).rows().shot_index) == 3
    assert reader(store).health().orphans == 0


def test_a_reader_that_stays_open_sees_each_change(store: Store) -> None:
    watching = reader(store)
    assert watching.videos() == []
    store.publish_many([analyzed_video("a")])
    assert len(watching.rows().shot_index) == 3
    store.publish_many([analyzed_video("a", shots=7)])
    assert len(watching.rows().shot_index) == 7
    assert len(watching.shots("id-a")) == 7
    store.add_person(person("Anna Rossi"))
    assert [each.name for each in watching.people(pictures=False)] == ["Anna Rossi"]


def test_readers_never_see_a_part_of_a_change(store: Store) -> None:
    """While a writer replaces, removes and merges, every look at the archive is a whole one."""
    sizes = {"a": {3, 8}, "b": {4, 0}}  # shots, always both videos in one commit or removed
    stop = threading.Event()
    wrong: list[str] = []
    looks = 0

    def watch() -> None:
        nonlocal looks
        watching = reader(store)
        while not stop.is_set():
            try:
                rows = watching.rows()
                listed = watching.shots("id-a")
            except Exception as error:
                wrong.append(repr(error))
                return
            counts = np.bincount(rows.shot_video, minlength=len(rows.videos)).tolist()
            seen = {v.video_id[3:]: n for v, n in zip(rows.videos, counts, strict=True)}
            whole = all(n in sizes[name] for name, n in seen.items())
            if not whole or len(listed) not in sizes["a"] | {0}:
                wrong.append(f"{seen} {len(listed)}")
            looks += 1

    store.publish_many([analyzed_video("a", shots=3), analyzed_video("b", shots=4)])
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for turn in count():
            if turn >= 12 and (looks > 3 or wrong):
                break
            shots = 8 if turn % 2 else 3
            store.publish_many([analyzed_video("a", shots=shots, seed=turn)])
            store.publish_many([analyzed_video("b", shots=4, seed=turn)])
            if turn % 4 == 3:
                store.optimize()
                store.remove_videos(["id-b"])
    finally:
        stop.set()
        watcher.join()
    assert not wrong
    assert looks > 3


def test_reads_that_meet_a_merge_together_all_ask_again(folder: Path) -> None:
    """A writer merges files while several tables are read: all learn at once that one is gone."""
    with Store.open(folder) as store:
        store.publish_many([analyzed_video("a")])
    tables = Store.open(folder, read_only=True)._tables
    waiting: list[Any] = []
    all_asked = asyncio.Event()

    class Gone:
        def select(self, _: object) -> Gone:
            return self

        async def to_batches(self) -> pa.RecordBatchReader:
            await all_asked.wait()
            raise OSError("LanceError: Not found: a file")

    async def asked() -> pa.Table:
        gone = [Gone()]

        def query(table: Any) -> Any:
            waiting.append(table)
            if len(waiting) == 3:
                all_asked.set()
            return gone.pop() if gone else table.query()

        return await tables._answered("shots", query, ["shot"], None)

    found = tables._run([asked() for _ in range(3)])
    assert [each.num_rows for each in found] == [3] * 3
    assert len(waiting) == 6


def test_lance_gets_several_threads_however_few_cores_there_are(folder: Path) -> None:
    code = f"""
import os
from pathlib import Path
from vidsearch.store import Store
Store.open(Path({str(folder)!r}), read_only=True)._tables.count("videos")
print(os.environ["LANCE_CPU_THREADS"])
"""
    assert int(in_new_process(code)) >= 4
    assert in_new_process("import os; os.environ['LANCE_CPU_THREADS'] = '3'" + code) == "3"


# --- the copies for searches ---------------------------------------------------------------------


def test_a_search_in_a_new_process_needs_neither_lancedb_nor_pandas(folder: Path) -> None:
    with Store.open(folder) as store:
        store.publish_many([analyzed_video("a")])
        store.add_person(person())
    told = in_new_process(
        f"""
import sys
from pathlib import Path
from vidsearch.store import Store
store = Store.open(Path({str(folder)!r}), read_only=True)
print(len(store.rows().shot_index), len(store.people(pictures=False)), len(store.videos()))
print(sorted({{"lancedb", "lance", "pandas", "torch", "cv2"}} & set(sys.modules)))
"""
    )
    assert told.splitlines() == ["3 1 1", "[]"]


def test_a_writer_with_nothing_to_write_needs_no_lancedb(folder: Path) -> None:
    """Indexing the same files again must say so in less time than lancedb's import takes."""
    with Store.open(folder) as store:
        store.publish_many([analyzed_video("a")])
        store.add_person(person())
    told = in_new_process(
        f"""
import sys
from pathlib import Path
from vidsearch.store import Store
with Store.open(Path({str(folder)!r})) as store:
    print(len(store.videos()), store.videos()[0].video_id)
print(sorted({{"lancedb", "lance", "pandas"}} & set(sys.modules)))
"""
    )
    assert told.splitlines() == ["1 id-a", "[]"]


def test_a_copy_that_is_stale_cut_short_or_gone_is_made_again(folder: Path) -> None:
    with Store.open(folder) as store:
        store.publish_many([analyzed_video("a")])
    stale = (folder / "cache" / "keyframes.arrow").read_bytes()
    with Store.open(folder) as store:
        store.publish_many([analyzed_video("b", shots=4)])
    wanted = Store.open(folder, read_only=True).rows().keyframe_vectors.tolist()
    for damaged in (stale, stale[:100], b""):
        (folder / "cache" / "keyframes.arrow").write_bytes(damaged)
        assert Store.open(folder, read_only=True).rows().keyframe_vectors.tolist() == wanted
    shutil.rmtree(folder / "cache")
    assert Store.open(folder, read_only=True).rows().keyframe_vectors.tolist() == wanted


# --- people --------------------------------------------------------------------------------------


def test_people_come_back_with_their_photos(store: Store) -> None:
    given = person("Zoë Müller", aliases=("Zo", "Z. M."), photos=3)
    store.add_person(given)
    (found,) = reader(store).people()
    assert (found.person_id, found.names) == (given.person_id, given.names)
    assert found.created_at == given.created_at
    for mine, theirs in zip(found.photos, given.photos, strict=True):
        assert (mine.name, mine.sha256, mine.jpeg) == (theirs.name, theirs.sha256, theirs.jpeg)
        assert (mine.box, mine.quality) == (theirs.box, theirs.quality)
        assert (mine.cohort_mean, mine.cohort_std) == (theirs.cohort_mean, theirs.cohort_std)
        np.testing.assert_array_equal(mine.vector, theirs.vector)
        assert mine.vector.dtype == np.float32
    (light,) = reader(store).people(pictures=False)
    assert [photo.jpeg for photo in light.photos] == [b""] * 3
    np.testing.assert_array_equal(light.photos[0].vector, given.photos[0].vector)


def test_a_changed_person_is_changed_and_the_others_stay(store: Store) -> None:
    anna, bruno = person("Anna Rossi"), person("Bruno")
    store.add_person(anna)
    store.add_person(bruno)
    store.update_person(replace(anna, name="Anna Verdi", photos=anna.photos[:1]))
    found = {each.person_id: each for each in reader(store).people()}
    assert found[anna.person_id].name == "Anna Verdi"
    assert len(found[anna.person_id].photos) == 1
    assert found[bruno.person_id].photos[0].jpeg == bruno.photos[0].jpeg


@pytest.mark.parametrize("enrolled", [1, 25])
def test_no_byte_of_a_removed_person_stays_on_the_disk(folder: Path, enrolled: int) -> None:
    others = [person(f"Other {n}") for n in range(enrolled - 1)]
    gone = person("Anna Rossi", jpeg=b"\xff\xd8 the picture of anna rossi ")
    vector = gone.photos[0].vector.tobytes()
    secrets = (b"Anna Rossi", b"the picture of anna", vector[:16])
    with Store.open(folder) as store:
        for each in (*others[:12], gone, *others[12:]):
            store.add_person(each)
        store.people(pictures=False)
        assert all(_holds(folder, secret) for secret in secrets)
    with Store.open(folder) as store:
        store.remove_person(gone.person_id)
        assert not any(_holds(folder, secret) for secret in secrets)
    assert not any(_holds(folder, secret) for secret in secrets)
    found = Store.open(folder, read_only=True).people()
    assert [each.name for each in found] == [each.name for each in others]


def test_what_a_killed_removal_left_of_a_person_goes_with_the_next_writer(folder: Path) -> None:
    secret = b"the picture of anna"
    gone = person("Anna Rossi", jpeg=secret)
    with Store.open(folder) as store:
        store.add_person(gone)
        store.people(pictures=False)
    dying = Store.open(folder)
    dying._purge = lambda name: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore
    with pytest.raises(KeyboardInterrupt):
        dying.remove_person(gone.person_id)
    assert dying._lock is not None
    dying._lock.release()
    (folder / "cache" / "people.killed.part").write_bytes(secret)
    assert reader(dying).people() == []
    assert _holds(folder, secret)
    with Store.open(folder):
        pass
    assert not _holds(folder, secret)


def test_nothing_of_a_person_stays_that_a_machine_wrote_whose_clock_is_ahead(folder: Path) -> None:
    secret = b"the picture of anna"
    gone = person("Anna Rossi", jpeg=secret)
    began = int(time.time())
    with Store.open(folder) as store:
        store.add_person(gone)
    assert _set_clock_ahead(folder / "people.lance", range(began, int(time.time()) + 1)) > 0
    with Store.open(folder) as store:
        store.remove_person(gone.person_id)
        assert not _holds(folder, secret)
        assert len(list((folder / "people.lance" / "_versions").glob("*.manifest"))) == 1
        store.add_person(person("Bruno"))
    assert [each.name for each in Store.open(folder, read_only=True).people()] == ["Bruno"]


def test_what_a_killed_enrolment_wrote_goes_with_the_next_writer(folder: Path) -> None:
    secret = b"the picture of anna"
    with Store.open(folder) as store:
        store.add_person(person("Bruno"))
    (folder / "people.lance" / "data" / "0123.lance").write_bytes(secret)
    assert "people" in {fault.subject for fault in examine(folder)}
    with Store.open(folder):
        pass
    assert not _holds(folder, secret)
    assert "people" not in {fault.subject for fault in examine(folder)}


def _set_clock_ahead(table: Path, seconds: range) -> int:
    """Date the versions of a table that were made in these seconds an hour later; how many."""
    changed = 0
    for manifest in (table / "_versions").glob("*.manifest"):
        content = manifest.read_bytes()
        for second in seconds:  # of a protobuf Timestamp: field 1, a varint
            content = content.replace(b"\x08" + _varint(second), b"\x08" + _varint(second + 3600))
        changed += content != manifest.read_bytes()
        manifest.write_bytes(content)
    return changed


def _varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


def _holds(folder: Path, secret: bytes) -> bool:
    return any(secret in path.read_bytes() for path in folder.rglob("*") if path.is_file())


# --- the stamp -----------------------------------------------------------------------------------


def test_a_folder_without_an_archive_is_told_with_the_remedy(tmp_path: Path) -> None:
    for absent in (tmp_path, tmp_path / "absent"):
        assert not Store.exists(absent)
        for read_only in (True, False):
            with pytest.raises(ArchiveUnavailable, match="vidsearch index --archive"):
                Store.open(absent, read_only=read_only)
    assert list(tmp_path.iterdir()) == []


def test_making_an_archive_again_leaves_it_as_it_is(folder: Path) -> None:
    with Store.open(folder) as store:
        store.publish_many([analyzed_video("a")])
    Store.create(folder, **{**MODELS, "encoder": "another"})
    assert Store.open(folder, read_only=True).stamp.encoder == "test-encoder"
    assert len(Store.open(folder, read_only=True).videos()) == 1


def test_an_archive_whose_making_was_cut_short_is_made_again(folder: Path) -> None:
    (folder / "archive.json").unlink()
    shutil.rmtree(folder / "faces.lance")
    Store.create(folder, **{**MODELS, "encoder_dim": 5})
    with Store.open(folder) as store:
        store.publish_many([analyzed_video("a", encoder_dim=5)])


def test_an_archive_that_lost_its_stamp_is_not_overwritten(folder: Path) -> None:
    with Store.open(folder) as store:
        store.publish_many([analyzed_video("a")])
    (folder / "archive.json").unlink()
    with pytest.raises(ArchiveUnavailable, match=r"no archive\.json but a table"):
        Store.create(folder, **MODELS)


def test_other_models_are_refused_with_both_names_and_a_command(store: Store) -> None:
    store.check(encoder="test-encoder", face_model="test-faces")
    with pytest.raises(ArchiveMismatch) as refused:
        store.check(encoder="open_clip:ViT-B-32")
    for part in ("test-encoder", "open_clip:ViT-B-32", "vidsearch index --archive", "--encoder"):
        assert part in str(refused.value)
    with pytest.raises(ArchiveMismatch, match=r"face model 'test-faces'.*'opencv:x'"):
        store.check(face_model="opencv:x")


def test_an_archive_of_an_older_layout_opens_and_gets_what_is_missing(folder: Path) -> None:
    """A fault here would cost a user the archive, so this takes real tables without the columns."""
    import lancedb

    with Store.open(folder) as store:
        store.publish_many([analyzed_video("a")])
    database = lancedb.connect(folder)
    new_columns = ["detector", "rate", "variable_rate", "timecode", "reel", "recorded_at"]
    database.open_table("videos").drop_columns(new_columns)
    for name in LATER:
        database.drop_table(name)
    shutil.rmtree(folder / "cache")
    stamp = json.loads((folder / "archive.json").read_text())
    (folder / "archive.json").write_text(json.dumps(stamp | {"schema": 2}))

    before = Store.open(folder, read_only=True)
    assert [video.detector for video in before.videos()] == [""]
    assert [(v.rate, v.variable_rate, v.recorded_at) for v in before.videos()] == [("", False, 0)]
    assert len(before.rows().shot_index) == 3
    assert before.rows().figure_vectors.shape == (0, ENCODER_DIM)
    assert before.health().problems == ()
    new = analyzed_video("b", tracks=2)
    with Store.open(folder) as store:
        store.publish_many(
            [AnalyzedVideo(replace(new.video, detector="content threshold=20"), new.shots)]
        )
    after = {video.video_id: video.detector for video in reader(store).videos()}
    assert after == {"id-a": "", "id-b": "content threshold=20"}
    assert json.loads((folder / "archive.json").read_text())["schema"] == SCHEMA
    assert len(reader(store).rows().figure_vectors) == 6
    assert reader(store).health().problems == ()


def test_a_newer_layout_is_refused(folder: Path) -> None:
    stamp = json.loads((folder / "archive.json").read_text())
    stamp |= {"schema": 99, "vidsearch": "9.1", "something_new": 1}
    (folder / "archive.json").write_text(json.dumps(stamp))
    with pytest.raises(ArchiveMismatch, match=r"(?s)vidsearch 9\.1 .*pip install --upgrade"):
        Store.open(folder)


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"schema": 1}'])
def test_a_damaged_stamp_is_told(folder: Path, damaged: str) -> None:
    (folder / "archive.json").write_text(damaged)
    with pytest.raises(ArchiveUnavailable, match="damaged"):
        Store.open(folder)


def test_a_lost_table_is_told(folder: Path) -> None:
    with Store.open(folder) as store:
        store.publish_many([analyzed_video("a")])
    shutil.rmtree(folder / "keyframes.lance")
    with pytest.raises(ArchiveUnavailable, match="vidsearch doctor"):
        Store.open(folder, read_only=True).rows()
    with pytest.raises(ArchiveUnavailable, match="vidsearch doctor"):
        Store.open(folder)


# --- one writer ----------------------------------------------------------------------------------


def test_a_second_writer_is_told_who_is_writing(folder: Path) -> None:
    with Store.open(folder) as store:
        store.publish_many([analyzed_video("a")])
        with pytest.raises(ArchiveBusy, match=f"process {os.getpid()} on .*nothing was changed"):
            Store.open(folder, wait_s=0.2)
        assert len(Store.open(folder, read_only=True).videos()) == 1
    with Store.open(folder, wait_s=0) as store:
        assert len(store.videos()) == 1


def test_a_second_writer_waits_and_says_so(folder: Path) -> None:
    first = Store.open(folder)
    told: list[str] = []
    threading.Timer(0.5, first.close).start()
    with Store.open(folder, wait_s=30, waiting=told.append) as second:
        second.publish_many([analyzed_video("a")])
    (sentence,) = told
    assert f"is being written by process {os.getpid()}" in sentence


def _hold(folder: Path, ready: multiprocessing.synchronize.Event) -> None:
    from vidsearch.lock import WriterLock

    lock = WriterLock(folder)
    lock.acquire(0)
    ready.set()
    time.sleep(60)


def test_the_lock_goes_with_a_killed_writer(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(folder, ready), daemon=True)
    holder.start()
    assert ready.wait(60)
    with pytest.raises(ArchiveBusy, match=f"process {holder.pid}"):
        Store.open(folder, wait_s=0)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with Store.open(folder, wait_s=0):
        pass


def test_two_that_make_the_same_archive_at_once_make_one(tmp_path: Path) -> None:
    def make(name: str) -> None:
        Store.create(tmp_path / "a", **MODELS)
        with Store.open(tmp_path / "a") as store:
            store.publish_many([analyzed_video(name)])

    threads = [threading.Thread(target=make, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Store.open(tmp_path / "a", read_only=True).videos()) == 3


# --- a disk that is full or read-only ------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1.5 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("only root may mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_on_a_full_disk_what_was_stored_stays_and_the_next_run_goes_on(
    empty: Path, small_disk: Path
) -> None:
    folder = shutil.copytree(empty, small_disk / "archive")
    store = Store.open(folder)
    store.publish_many([analyzed_video("a")])
    with pytest.raises(ArchiveUnavailable, match=r"the disk is full\. Free some space"):
        store.publish_many([analyzed_video("b", shots=10, thumbnail=200_000)])
    _fill(small_disk)
    with pytest.raises(ArchiveUnavailable, match="the disk is full"):
        store.publish_many([analyzed_video("c")])
    with pytest.raises(ArchiveUnavailable, match="the disk is full"):
        store.add_person(person(photos=1))
    assert [video.video_id for video in reader(store).videos()] == ["id-a"]
    assert len(reader(store).rows().shot_index) == 3
    assert len(reader(store).shots("id-a")) == 3
    with contextlib.suppress(ArchiveUnavailable):
        store.close()
    (small_disk / "filler").unlink()
    with Store.open(folder, wait_s=0) as store:
        store.publish_many([analyzed_video("b")])
    health = Store.open(folder, read_only=True).health()
    assert health.videos["indexed"] == 2
    assert (health.orphans, health.problems) == (0, ())


def _fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_on_a_full_disk_no_archive_is_made_and_a_later_try_makes_it(small_disk: Path) -> None:
    _fill(small_disk)
    with pytest.raises(ArchiveUnavailable, match="the disk is full"):
        Store.create(small_disk / "archive", **MODELS)
    assert not Store.exists(small_disk / "archive")
    (small_disk / "filler").unlink()
    Store.create(small_disk / "archive", **MODELS)
    assert Store.open(small_disk / "archive", read_only=True).videos() == []


def test_a_write_that_fails_half_way_leaves_the_old_version(folder: Path) -> None:
    """Without root: a limit on the size of files stands in for the full disk."""
    store = Store.open(folder)
    store.publish_many([analyzed_video("a")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ArchiveUnavailable, match="cannot be written: ") as refused:
            store.publish_many([analyzed_video("a", shots=5, seed=1, thumbnail=300_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ".rs:" not in str(refused.value)
    assert len(store.shots("id-a")) == len(reader(store).rows().shot_index) == 3
    assert reader(store).health().orphans > 0
    store.close()
    with Store.open(folder) as store:
        assert store.health().orphans == 0
        assert len(store.shots("id-a")) == 3


UNPRIVILEGED = 65534


@pytest.fixture
def seen_by_all(empty: Path) -> Iterator[Path]:
    """A new archive where others may look: pytest's own folders are shut to them."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    with tempfile.TemporaryDirectory() as outside:
        Path(outside).chmod(0o755)
        yield shutil.copytree(empty, Path(outside) / "archive")


def test_a_folder_that_may_only_be_read_is_searched_but_not_written(seen_by_all: Path) -> None:
    folder = seen_by_all
    with Store.open(folder) as store:
        store.publish_many([analyzed_video("a")])
        store.add_person(person())
    shutil.rmtree(folder / "cache")  # the harder case: the reader cannot keep a copy either
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    told = in_new_process(
        f"""
from pathlib import Path
import lancedb, filelock
from store_records import MODELS
from vidsearch.errors import ArchiveUnavailable
from vidsearch.store import Store
import os
os.setgid({UNPRIVILEGED})
os.setuid({UNPRIVILEGED})
folder = Path({str(folder)!r})
store = Store.open(folder, read_only=True)
print(len(store.rows().shot_index), len(store.people()), len(store.shots("id-a")))
for write in (lambda: Store.open(folder), lambda: Store.create(folder / "inner", **MODELS)):
    try:
        write()
    except ArchiveUnavailable as error:
        print("permission denied" in str(error), "--archive DIR" in str(error))
"""
    )
    assert told.splitlines() == ["3 1 3", "True True", "True True"]


def test_a_stamp_that_may_not_be_read_is_told(seen_by_all: Path) -> None:
    (seen_by_all / "archive.json").chmod(0)
    told = in_new_process(
        f"""
from pathlib import Path
from vidsearch.errors import ArchiveUnavailable
from vidsearch.store import Store
import os
os.setuid({UNPRIVILEGED})
try:
    Store.open(Path({str(seen_by_all)!r}), read_only=True)
except ArchiveUnavailable as error:
    print(error)
"""
    )
    assert "Permission denied" in told


# --- sweeping, merging, health -------------------------------------------------------------------


def _leave_orphans(folder: Path) -> None:
    """What a writer leaves that is killed before it writes the row of `videos`."""
    store = Store.open(folder)
    store._put = lambda videos: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore
    with pytest.raises(KeyboardInterrupt):
        store.publish_many([analyzed_video("a", shots=9, seed=3), analyzed_video("new")])
    store.close()


def test_rows_that_were_never_published_are_unseen_then_swept(folder: Path) -> None:
    with Store.open(folder) as store:
        store.publish_many([analyzed_video("a")])
    _leave_orphans(folder)
    before = Store.open(folder, read_only=True)
    assert [video.video_id for video in before.videos()] == ["id-a"]
    assert len(before.rows().shot_index) == 3
    assert len(before.rows().look_s) == 6
    assert len(before.shots("id-a")) == 3
    health = before.health()
    assert health.tables["shots"].orphans == 12
    assert health.tables["shots"].rows == 3
    assert health.problems == ()
    with Store.open(folder) as store:
        assert store.health().orphans == 0
        assert store.sweep() == 0
    assert len(before.rows().shot_index) == 3


def test_many_small_commits_are_merged_and_nothing_changes(store: Store) -> None:
    for number in range(12):
        store.publish_many([analyzed_video(f"v{number}")])
    store.remove_videos(["id-v3"])
    before = reader(store).rows()
    vectors = before.keyframe_vectors.copy()
    assert store.health().tables["keyframes"].fragments > 8
    store.optimize()
    after = reader(store)
    np.testing.assert_array_equal(after.rows().keyframe_vectors, vectors)
    assert len(after.shots("id-v4")) == 3
    for table in ("videos", "shots", "keyframes", "faces"):
        assert after.health().tables[table].fragments == 1
        # Merging may take two commits; what is younger than a millisecond is kept for once.
        assert after.health().tables[table].versions <= 2
    assert np.array_equal(before.keyframe_vectors, vectors)  # maps of the old copy stay whole


def test_large_tables_are_not_written_anew_for_a_few_small_files(store: Store) -> None:
    store.publish_many([analyzed_video("large", shots=300)])
    for number in range(10):
        store.publish_many([analyzed_video(f"v{number}")])
    store.optimize()
    assert store.health().tables["keyframes"].fragments == 11


def test_health_counts_what_is_there(store: Store) -> None:
    store.publish_many([analyzed_video("a"), analyzed_video("b")])
    store.record_failure(Video("id-c", (b"/c",), 1, 1.0, status="failed", error="empty file"))
    store.add_person(person())
    health = reader(store).health()
    assert health.videos == {"indexed": 2, "partial": 0, "failed": 1}
    assert {name: table.rows for name, table in health.tables.items()} == {
        "videos": 3,
        "shots": 6,
        "keyframes": 6,
        "faces": 12,
        "figures": 0,
        "people": 1,
        "labels": 0,
        "clusters": 0,
        "jobs": 0,
    }
    assert health.size >= sum(table.size for table in health.tables.values()) > 0
    assert health.stamp.encoder == "test-encoder"
    assert health.problems == ()
