"""A large archive is answered by its indexes as it would be by comparing everything."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from large_archive import Maker, captions

from idclip.encoders import load_encoder
from idclip.faces import load_faces
from idclip.identity import IdentityScorer
from vidsearch import Archive, candidates, narrowing, scenes, search_index, shortlist
from vidsearch.filters import Filters
from vidsearch.query import parse
from vidsearch.records import AnalyzedVideo, Answer, Label, Rows
from vidsearch.schema import CONTENT
from vidsearch.search import search
from vidsearch.selection import Paging
from vidsearch.store import Store
from vidsearch.tables import Tables, Wanted

VIDEOS, SHOTS = 40, 150
LARGE = 1000  # shots from which this archive counts as large
ENCODER = load_encoder("concept")
SCORER = IdentityScorer.for_model(load_faces().name)


@dataclass(frozen=True)
class Both:
    """The same archive, answered by its indexes and by comparing everything."""

    folder: Path
    maker: Maker

    def ask(self, text: str, **wishes: Any) -> tuple[Answer, Answer]:
        store = Store.open(self.folder, read_only=True, exact_below=LARGE)
        people = store.people(pictures=False)
        query = parse(text, people)
        assert store.lookup is not None
        found = candidates.answer(store.lookup, ENCODER, SCORER, query, people, **wishes)
        return found, search(store.rows(), ENCODER, SCORER, query, people, **wishes)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Both:
    texts = captions(
        ["a man", "a woman", "a child", "a crowd", "a dog", "a car", "an old couple"],
        ["in a kitchen", "giving a speech", "running", "at a table", "asleep", "in the rain"],
        ["by the sea", "at night", "in a street", "in a forest", "in an office"],
    )
    maker = Maker(ENCODER.encode_texts(texts), SCORER)
    folder = tmp_path_factory.mktemp("large") / "archive"
    model = load_faces()
    Store.create(
        folder,
        encoder=ENCODER.name,
        encoder_dim=ENCODER.dim,
        face_model=model.name,
        face_dim=model.dim,
    )
    with Store.open(folder, exact_below=LARGE) as store:
        store.publish_many(list(maker.videos(VIDEOS, SHOTS, every=100)))
        store.put_people(maker.cast.people)
        store.optimize()
    return Both(folder, maker)


@pytest.fixture
def both(made: Both, tmp_path: Path) -> Both:
    """One to be changed."""
    shutil.copytree(made.folder, tmp_path / "archive")
    return Both(tmp_path / "archive", made.maker)


def shots(answer: Answer) -> list[tuple[str, int]]:
    return [(hit.video_id, hit.shot) for hit in answer.hits]


def recall(found: Answer, exact: Answer) -> float:
    """Of the shots that comparing everything finds, and of none all: ties may fall otherwise."""
    there = {hit.score for hit in exact.hits}
    tied = [hit for hit in found.hits if any(abs(hit.score - score) < 1e-9 for score in there)]
    both = len(set(shots(found)) & set(shots(exact)))
    return max(both, len(tied)) / len(exact.hits) if exact.hits else float(not found.hits)


CONTEXTS = [
    "a woman giving a speech at night",
    "a dog in the rain by the sea",
    "a crowd in a street",
    "a car at night not in a street",
    "a child asleep or an old couple at a table",
]
PEOPLE = [
    "Olga Once",
    "Sam Sometimes",
    "Otto Often",
    "Olga Once at a table",
    "Sam Sometimes giving a speech",
    "Otto Often in a forest",
    "Otto Often and Sam Sometimes",
    "Sam Sometimes or Olga Once",
    "Sam Sometimes or a dog asleep",
    "Otto Often, not in a street",
    "a man in an office, not Otto Often",
    "not Otto Often",
]


def test_contexts_are_answered_as_by_comparing_everything(made: Both) -> None:
    found = [recall(*made.ask(text)) for text in CONTEXTS]
    assert np.mean(found) >= 0.95
    assert min(found) >= 0.8


@pytest.mark.parametrize("text", PEOPLE)
def test_people_are_answered_as_by_comparing_everything(made: Both, text: str) -> None:
    found, exact = made.ask(text)
    assert recall(found, exact) >= 0.9
    assert found.people == exact.people
    if not exact.hits:
        assert found.message == exact.message


def test_scores_and_evidence_depend_on_no_index(made: Both) -> None:
    found, exact = made.ask("Sam Sometimes giving a speech")
    same = {(hit.video_id, hit.shot): hit for hit in exact.hits}
    assert recall(found, exact) == 1
    for hit in found.hits:
        other = same[hit.video_id, hit.shot]
        assert hit.score == pytest.approx(other.score, abs=2e-3)  # the mean picture is of a sample
        assert hit.people[0].probability == pytest.approx(other.people[0].probability, abs=1e-5)


@pytest.mark.parametrize(
    "text", ["a man in an office, not Otto Often", "a dog not (Otto Often at night)"]
)
def test_scores_beside_somebody_who_is_not_wanted_depend_on_no_index(made: Both, text: str) -> None:
    found, exact = made.ask(text, paging=Paging(k=30))
    same = {(hit.video_id, hit.shot): hit.score for hit in exact.hits}
    shared = [hit for hit in found.hits if (hit.video_id, hit.shot) in same]
    assert len(shared) >= 25
    for hit in shared:  # the mean picture is of a sample
        assert hit.score == pytest.approx(same[hit.video_id, hit.shot], abs=2e-3)


def test_a_person_in_one_shot_is_found_whatever_else_is_asked(made: Both) -> None:
    for text in ("Olga Once", "Olga Once in a kitchen", "Olga Once, not by the sea"):
        found, exact = made.ask(text)
        assert shots(found) == shots(exact) == [("id-v000001", exact.hits[0].shot)]
        assert not found.at_least


def test_who_is_nowhere_is_told_with_the_same_words(made: Both) -> None:
    found, exact = made.ask("Person 01", filters=Filters(videos="v000003*"))
    assert (found.hits, exact.hits) == ((), ())
    assert found.message.startswith("No shot shows Person 01 (best probability ")
    assert found.message == exact.message


@pytest.mark.parametrize(
    "filters",
    [
        Filters(videos="/videos/0[1-7]/*"),
        Filters(videos="v000007.mp4"),
        Filters(since=300.0, until=600.0),
        Filters(faces=(0, 0)),
        Filters(faces=(1, 1), videos="/videos/[0-2]*"),
        Filters(dates=(1.6e9 + 86400 * 10, 1.6e9 + 86400 * 25)),
        Filters(min_duration=5.0),
    ],
)
def test_filters_narrow_before_the_nearest_are_chosen(made: Both, filters: Filters) -> None:
    for text in ("a woman giving a speech", "Otto Often at night"):
        found, exact = made.ask(text, filters=filters)
        assert recall(found, exact) >= 0.9, text
        assert len(found.hits) == len(exact.hits)


@pytest.mark.parametrize(
    ("filters", "listed", "narrowed"),
    [
        (Filters(since=0.0, until=300.0), True, True),
        (Filters(since=0.0, until=1200.0), False, False),
        (Filters(since=0.0, until=30.0), False, True),
        (Filters(since=0.0, until=400.0, videos="/videos/0[1-7]/*"), False, True),
        (Filters(min_duration=5.0), False, False),
    ],
)
def test_what_a_filter_leaves_is_listed_narrowed_or_passed_over(
    made: Both,
    filters: Filters,
    listed: bool,
    narrowed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(narrowing, "_LISTED", 10**6 if listed else 0)
    monkeypatch.setattr(narrowing, "FEW_SHOTS", 20)
    monkeypatch.setattr(candidates, "FEW_SHOTS", 20)
    store = Store.open(made.folder, read_only=True, exact_below=LARGE)
    assert store.lookup is not None
    left = narrowing.narrow(store.lookup, filters)
    assert (left.few is not None) is listed
    assert (left.of_nearest is not None) is narrowed
    for text in ("a woman giving a speech", "Otto Often at night", "a crowd, not Otto Often"):
        found, exact = made.ask(text, filters=filters)
        assert recall(found, exact) >= 0.9, text
        assert len(found.hits) == len(exact.hits)


@pytest.mark.parametrize(("few", "videos"), [(20, "v00000[1-5].mp4"), (10_000, "v0000*.mp4")])
def test_what_a_filter_leaves_of_a_small_archives_size_is_compared_and_read_once(
    made: Both, few: int, videos: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(narrowing, "FEW_SHOTS", few)
    monkeypatch.setattr(candidates, "FEW_SHOTS", few)
    archive, exact = Archive(made.folder, exact_below=LARGE), Archive(made.folder)
    lookup = archive._open.reader.lookup
    assert lookup is not None
    monkeypatch.setattr(lookup._tables, "nearest", None)  # it would raise
    texts = ("a woman giving a speech", "a dog by the sea, not at night")
    first = [archive.query(text, video=videos) for text in texts]
    assert [shots(each) for each in first] == [
        shots(exact.query(text, video=videos)) for text in texts
    ]
    monkeypatch.setattr(lookup._tables, "read_each", None)
    again = [archive.query(text, video=videos) for text in texts]
    assert [shots(each) for each in again] == [shots(each) for each in first]


@pytest.mark.parametrize(("videos", "asked"), [(30, [False]), (10, [False, True])])
def test_a_filter_that_leaves_much_is_looked_at_when_the_nearest_are_found(
    made: Both, videos: int, asked: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(made.folder, read_only=True, exact_below=LARGE)
    assert store.lookup is not None
    nearest, before = Tables.nearest, []

    def told(*args: Any, **wishes: Any) -> Any:
        before.append(wishes["before"])
        return nearest(*args, **wishes)

    monkeypatch.setattr(Tables, "nearest", told)
    left = sorted(store.lookup.videos)[-videos:]  # of fewer than is said there are too few near
    where = f"generation >= {left[0]}"
    rows = store.rows()
    inside = np.isin(rows.shot_video[rows.keyframe_shot], np.arange(VIDEOS - videos, VIDEOS))
    pictures = [shot.keyframes[0].vector for shot in next(made.maker.videos(1, SHOTS)).shots]
    ways, recalls = [], []
    for direction in pictures[:: SHOTS // 10]:
        before.clear()
        found, (last,) = store.lookup.nearest_keyframes(direction[None], 40, where, 30 / VIDEOS)
        ways.append(list(before))
        assert set(found["generation"].tolist()) <= set(left)
        products = np.sort(found["vector"] @ direction)
        assert len(products) == 40
        assert last == pytest.approx(products[0], abs=1e-6)
        best = np.sort(rows.keyframe_vectors[inside] @ direction)[-40:]
        recalls.append(np.mean(products >= best[0] - 1e-6))
    assert ways.count(asked) > len(ways) / 2  # a scene may be one of other videos
    assert np.mean(recalls) >= 0.95  # Lance draws where its lists begin: one may miss three of 40


def test_filters_that_leave_nothing_say_why(made: Both) -> None:
    for filters in (Filters(videos="none*"), Filters(dates=(0.0, 1.0))):
        found, exact = made.ask("a dog", filters=filters)
        assert found.hits == ()
        assert found.message == exact.message
    found, _ = made.ask("a dog", filters=Filters(min_duration=1000.0))
    assert found.message == "No shot is left by the filters together: take one away"


def test_pages_and_the_best_shot_of_each_video(made: Both) -> None:
    first, _ = made.ask("a crowd in a street", paging=Paging(k=5))
    second, exact = made.ask("a crowd in a street", paging=Paging(k=5, offset=5))
    assert not set(shots(first)) & set(shots(second))
    assert recall(second, exact) >= 0.8
    assert second.further
    each, exact = made.ask("a crowd in a street", paging=Paging(k=10, by_video=True))
    assert len({hit.video_id for hit in each.hits}) == 10
    assert recall(each, exact) >= 0.8


def test_more_are_read_until_the_page_is_full(made: Both) -> None:
    found, _ = made.ask("a dog in the rain", paging=Paging(k=900))
    assert len(found.hits) == 900
    assert found.at_least


def test_who_is_not_wanted_leaves_all_others_however_long_their_shots_are(
    made: Both, tmp_path: Path
) -> None:
    model = load_faces()
    names = {"encoder": ENCODER.name, "face_model": model.name}
    Store.create(tmp_path / "long", encoder_dim=ENCODER.dim, face_dim=model.dim, **names)
    with Store.open(tmp_path / "long", exact_below=LARGE) as store:
        store.publish_many([takes(video, 8) for video in made.maker.videos(15, SHOTS)])
        store.put_people(made.maker.cast.people)
        store.optimize()
    found, exact = Both(tmp_path / "long", made.maker).ask("not Otto Often", paging=Paging(k=90))
    assert shots(found) == shots(exact)
    assert found.at_least
    assert found.further


def takes(video: AnalyzedVideo, keyframes: int) -> AnalyzedVideo:
    """A video whose shots are long: of each there are so many keyframes."""
    long = [
        replace(
            shot,
            keyframes=tuple(
                replace(shot.keyframes[0], time_s=shot.start_s + n / 100) for n in range(keyframes)
            ),
        )
        for shot in video.shots
    ]
    return replace(video, shots=tuple(long))


def test_shots_that_came_since_are_found_without_a_new_index(both: Both) -> None:
    new = next(both.maker.videos(1, SHOTS, first=900))
    with Store.open(both.folder, exact_below=LARGE) as store:
        before = {(each.table, each.column): each for each in store.indexes()}
        store.publish_many([new])
        after = {(each.table, each.column): each for each in store.indexes()}
        assert after["keyframes", "vector"].tail == SHOTS
        assert after["keyframes", "vector"].rows == before["keyframes", "vector"].rows
    shot = new.shots[40]
    picture = shot.keyframes[0].vector
    store = Store.open(both.folder, read_only=True, exact_below=LARGE)
    assert store.lookup is not None
    keyframes, _ = store.lookup.nearest_keyframes(picture[None], 5)
    assert shot.keyframes[0].time_s in keyframes["time_s"].tolist()
    text = "Otto Often at night"
    found, exact = both.ask(text, filters=Filters(videos="v000900.mp4"))
    assert shots(found) == shots(exact) != []


def test_a_context_is_answered_from_keyframes_alone_whose_numbers_are_one_read(
    made: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_each, nearest, read = Tables.read_each, Tables.nearest, []

    def told(tables: Tables, wanted: Sequence[Wanted]) -> list[pa.Table]:
        read.extend((each.table, tuple(each.columns)) for each in wanted)
        return read_each(tables, wanted)

    def asked(
        tables: Tables, name: str, vector: list[float], n: int, wanted: Sequence[str], *more: Any,
        **how: Any,
    ) -> pa.Table:  # fmt: skip
        read.append((name, tuple(wanted)))
        return nearest(tables, name, vector, n, wanted, *more, **how)

    store = Store.open(made.folder, read_only=True, exact_below=LARGE)
    assert store.lookup is not None
    monkeypatch.setattr(Tables, "read_each", told)
    monkeypatch.setattr(Tables, "nearest", asked)
    for text in CONTEXTS[:3]:
        found = candidates.answer(store.lookup, ENCODER, SCORER, parse(text, []), [])
        assert len(found.hits) == Paging().k
        if text == CONTEXTS[0]:  # reads beside a shot that is there, to tell of filters, once
            assert {table for table, _ in read} == {"keyframes", "shots"}
            read.clear()
    assert set(read) == {("keyframes", ("packed", "vector"))}


@pytest.fixture(scope="module")
def older(made: Both, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """One whose rows have no column `packed`, as those of layouts before 9."""
    folder = tmp_path_factory.mktemp("older") / "archive"
    shutil.copytree(made.folder, folder)
    with Store.open(folder, exact_below=LARGE) as store:
        for name in CONTENT:
            store._tables.open(name).drop_columns(["packed"])
        search_index.forget(folder)
        store.optimize()
    known = search_index.read(folder)
    assert known is not None
    assert not known.packed
    return Both(folder, made.maker)


@pytest.mark.parametrize("text", [CONTEXTS[0], CONTEXTS[3], *PEOPLE[2:5], PEOPLE[10]])
def test_rows_of_an_older_layout_are_asked_for_their_plain_columns(older: Both, text: str) -> None:
    found, exact = older.ask(text)
    assert recall(found, exact) >= 0.9
    scores = {(hit.video_id, hit.shot): hit.score for hit in exact.hits}
    shared = [hit for hit in found.hits if (hit.video_id, hit.shot) in scores]
    assert shared
    for hit in shared:
        assert hit.score == pytest.approx(scores[hit.video_id, hit.shot], abs=1e-4)


def test_tables_of_an_older_layout_are_written_to_as_they_are(older: Both, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(older.folder, tmp_path / "archive"))
    with Store.open(folder, exact_below=LARGE) as store:
        store.publish_many([next(older.maker.videos(1, SHOTS, first=900))])
        schemas = [store._tables.open(name).schema for name in CONTENT]
    assert not any("packed" in schema.names for schema in schemas)
    text, new = "a dog in the rain by the sea", Filters(videos="v000900.mp4")
    found, exact = Both(folder, older.maker).ask(text, filters=new)
    assert shots(found) == shots(exact) != []


def test_verify_tells_of_packed_rows_that_the_indexes_count_on(older: Both, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(older.folder, tmp_path / "archive"))
    lacking = "the column is absent or of another kind"
    assert not any(lacking in fault.what for fault in Archive(folder).verify())
    file = folder / search_index.FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"packed": True}))
    told = {fault.subject for fault in Archive(folder).verify() if lacking in fault.what}
    assert told == {f"{name}.packed" for name in CONTENT}


def test_removed_videos_are_found_no_more(both: Both) -> None:
    found, _ = both.ask("a dog in the rain by the sea")
    gone = found.hits[0].video_id
    with Store.open(both.folder, exact_below=LARGE) as store:
        store.remove_videos([gone])
    found, exact = both.ask("a dog in the rain by the sea")
    assert gone not in {hit.video_id for hit in found.hits}
    assert recall(found, exact) >= 0.9


def test_what_somebody_said_of_a_face_counts(both: Both) -> None:
    found, _ = both.ask("Otto Often")
    shown = found.hits[0]
    with Store.open(both.folder, exact_below=LARGE) as store:
        olga = next(p for p in store.people() if p.name == "Olga Once")
        face = shown.people[0]
        store.add_labels(
            [Label("l", shown.video_id, face.time_s, face.box, olga.person_id, True, 1.0)]
        )
    found, exact = both.ask("Olga Once")
    assert (shown.video_id, shown.shot) in shots(found)
    assert shots(found) == shots(exact)


def test_of_who_cannot_fill_a_page_all_shots_are_read_at_once(
    made: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "FEW_SHOTS", 2)
    rows, depths = candidates.Reach.rows, []

    def told(reach: candidates.Reach, depth: int, most: int | None = None) -> tuple[Rows, float]:
        depths.append(depth)
        return rows(reach, depth, most)

    monkeypatch.setattr(candidates.Reach, "rows", told)
    found, exact = made.ask("Olga Once at night")
    assert shots(found) == shots(exact) != []
    assert len(depths) == 1
    assert depths[0] > candidates.DEPTHS[0]
    found, exact = made.ask("Otto Often at night")
    assert shots(found) == shots(exact)
    assert depths[1] < candidates.DEPTHS[0]  # many of theirs: a short list first


def test_a_shot_that_a_writer_removes_while_its_rows_are_read_is_not_found_without_its_faces(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup = Store.open(both.folder, read_only=True, exact_below=LARGE).lookup
    assert lookup is not None
    gone = max(lookup.videos)
    places = lookup.shots([gone])["place"]
    assert len(places) == SHOTS
    assert len(lookup.rows_at(places).track_shot)
    read_each = Tables.read_each

    def torn(tables: Tables, wanted: Sequence[Wanted]) -> list[pa.Table]:
        """What may come of reading all at once: shots first, the others after they are gone."""
        monkeypatch.undo()
        found = {each: read_each(tables, [each])[0] for each in wanted if each.table == "shots"}
        with Store.open(both.folder, exact_below=LARGE) as store:
            store.remove_videos([lookup.videos[gone].video_id])
        found |= {each: read_each(tables, [each])[0] for each in wanted if each not in found}
        return [found[each] for each in wanted]

    monkeypatch.setattr(Tables, "read_each", torn)
    assert lookup.rows_at(places).shot_index.size == 0


def test_a_reader_that_stays_open_reads_people_once_until_something_changes(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(both.folder, exact_below=LARGE)
    people = ("Otto Often", "Sam Sometimes or Otto Often in a forest", "Olga Once at night")
    texts = (*people, "a dog at night", "a man, not Otto Often")
    first = [archive.query(text) for text in texts]
    lookup = archive._open.reader.lookup
    assert lookup is not None
    with monkeypatch.context() as patch:
        patch.setattr(lookup._tables, "read_each", None)  # it would raise
        patch.setattr(lookup._tables, "nearest", None)
        again = [archive.query(text) for text in texts]
    assert [shots(each) for each in again] == [shots(each) for each in first]
    for each, before in zip(again, first, strict=True):
        assert [h.score for h in each.hits] == pytest.approx([h.score for h in before.hits])
    gone = first[0].hits[0].video_id
    with Store.open(both.folder, exact_below=LARGE) as store:
        store.remove_videos([gone])
    for text, before in zip(people, first, strict=False):
        found, exact = archive.query(text), both.ask(text)[1]
        assert shots(found) == shots(exact)
        assert gone not in {hit.video_id for hit in found.hits}
        assert found.hits != before.hits or gone not in {hit.video_id for hit in before.hits}
    olga = next(p for p in archive._open.reader.people() if p.name == "Olga Once")
    with Store.open(both.folder, exact_below=LARGE) as store:
        store.remove_person(olga.person_id)
    assert archive.query("Otto Often").hits
    assert archive._open.reader.lookup is not lookup  # nothing of her is left in memory


def test_after_a_commit_nothing_that_was_kept_stays_in_memory(both: Both) -> None:
    archive = Archive(both.folder, exact_below=LARGE)
    lookup = archive._open.reader.lookup
    assert lookup is not None
    for text in ("Otto Often in a forest", "a dog", "a man, not Sam Sometimes"):
        archive.query(text)
    archive.timeline(archive.videos()[0].path)
    kept = [weakref.ref(lookup), weakref.ref(lookup._kept), weakref.ref(lookup._shots[CONTENT])]
    gone = archive.videos()[-1].video_id
    del lookup
    gc.collect()
    gc.disable()  # references are enough: whole archives' rows wait for no collection
    try:
        with Store.open(both.folder, exact_below=LARGE) as store:
            store.remove_videos([gone])
        archive.query("a dog")
        assert [each() for each in kept] == [None] * 3
    finally:
        gc.enable()


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts what is read")
def test_a_warmed_archive_reads_less_when_it_is_asked(made: Both) -> None:
    def read_by(archive: Archive) -> int:
        before = bytes_read()
        for text in ("a dog in the rain by the sea", "an old couple at night", "a car in a street"):
            archive.query(text)
        return bytes_read() - before

    cold, warm = (Archive(made.folder, exact_below=LARGE) for _ in range(2))
    warm.warm()
    index = sum(each.stat().st_size for each in made.folder.glob("keyframes.lance/_indices/*/aux*"))
    assert read_by(warm) < read_by(cold) - index / 2


def bytes_read() -> int:
    """What this process has read of files so far, from memory or not."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar"))


def test_timelines_and_appearances_read_only_what_they_need(made: Both) -> None:
    archive, exact = Archive(made.folder, exact_below=LARGE), Archive(made.folder)
    for name in ("Olga Once", "Sam Sometimes"):
        found, whole = archive.appearances(name), exact.appearances(name)
        assert [*found] == [*whole] != []
    times = np.arange(0.0, SHOTS * 6.0, 1.7)
    found, whole = archive.timeline("v000001.mp4"), exact.timeline("v000001.mp4")
    assert [found.at(t).people for t in times] == [whole.at(t).people for t in times]
    assert any(whole.at(t).people for t in times)
    two = "Otto Often", "Sam Sometimes"
    assert [*archive.together(*two)] == [*exact.together(*two)]
    assert archive._open.reader._rows is None  # not all rows of the archive


def test_of_more_shots_of_somebody_than_are_read_those_that_fit_the_context_are(
    made: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "FEW_SHOTS", 30)  # Otto is in some eighty
    monkeypatch.setattr(candidates, "DEPTHS", (10, 40))
    monkeypatch.setattr(shortlist, "_TIMES", 1)
    for text, filters in (
        ("Otto Often in a forest", Filters()),
        ("Otto Often by the sea at night", Filters()),
        ("Otto Often in a forest", Filters(since=100.0, until=700.0)),
    ):
        found, exact = made.ask(text, filters=filters)
        assert found.at_least
        assert recall(found, exact) >= 0.9


@pytest.mark.parametrize("text", [*CONTEXTS, *PEOPLE])
def test_a_short_list_is_read_first_and_changes_no_answer(
    made: Both, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "FEW_SHOTS", 20)  # so that not all shots of somebody are read
    read: list[int] = []

    def told(rows: Rows, *args: Any, **wishes: Any) -> Answer:
        read.append(len(rows.shot_video))
        return search(rows, *args, **wishes)

    monkeypatch.setattr(candidates, "search", told)
    monkeypatch.setattr(shortlist, "_TIMES", 1)  # whoever is not there leaves the page with a gap
    found = candidates_of(made, text, 3)
    first = read[0]
    read.clear()
    monkeypatch.setattr(shortlist, "first", lambda *_, **__: [])
    every = candidates_of(made, text, 3)
    assert first <= read[0]
    assert shots(found) == shots(every)
    assert [h.score for h in found.hits] == pytest.approx([h.score for h in every.hits])
    assert found.message == every.message


def candidates_of(made: Both, text: str, k: int = 10) -> Answer:
    store = Store.open(made.folder, read_only=True, exact_below=LARGE)
    people = store.people(pictures=False)
    assert store.lookup is not None
    query = parse(text, people)
    return candidates.answer(store.lookup, ENCODER, SCORER, query, people, paging=Paging(k))


@pytest.mark.parametrize(
    ("text", "every"),
    [("a man in an office, not Otto Often", False), ("a dog not (Otto Often at night)", True)],
)
def test_faces_are_read_where_they_count(
    made: Both, text: str, every: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Rows] = []

    def told(rows: Rows, *args: Any, **wishes: Any) -> Answer:
        read.append(rows)
        return search(rows, *args, **wishes)

    monkeypatch.setattr(candidates, "search", told)
    candidates_of(made, text)
    there, known = len(read[0].track_shot), int(read[0].tracks_of_shots.sum())
    assert known > 0
    assert (there == known) is every


def test_of_a_context_only_a_short_list_is_read(
    made: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def told(rows: Rows, *args: Any, **wishes: Any) -> Answer:
        read.append(len(rows.shot_video))
        return search(rows, *args, **wishes)

    monkeypatch.setattr(candidates, "search", told)
    answer = candidates_of(made, "a dog in the rain by the sea")
    assert read == [12]
    assert len(answer.hits) == 10
    assert answer.at_least


def test_neighbours_count_though_the_shots_between_are_not_read(made: Both) -> None:
    store = Store.open(made.folder, read_only=True, exact_below=LARGE)
    assert store.lookup is not None
    some = store.lookup.rows_at(store.lookup.places("shots", None)[::2], faces=True)
    every = store.rows()
    assert 2 * len(some.shot_video) == len(every.shot_video)
    best = np.random.default_rng(0).random(len(some.shot_video))
    spread = np.zeros(2 * len(best))
    spread[::2] = best
    asked = np.arange(len(best))
    by_some = scenes._support(some, asked, best > 0.5, best)
    assert (by_some > 0).any()
    assert by_some == pytest.approx(scenes._support(every, 2 * asked, spread > 0.5, spread))
