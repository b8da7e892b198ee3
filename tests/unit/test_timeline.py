"""Who is on screen when: intervals that never overlap, agree with each other, and are honest."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from timeline_rows import (
    ANNA,
    JOE,
    MARCO,
    PEOPLE,
    RATE,
    SCORER,
    Archive,
    Shot,
    Track,
    person,
)

from idclip.identity import IdentityScorer
from vidsearch.appearances import Appearance, Together, appearances, screen_time, together
from vidsearch.errors import InvalidQuery, VidsearchError
from vidsearch.everybody import everybody
from vidsearch.identities import seen
from vidsearch.listing import Listing
from vidsearch.presence import spacing
from vidsearch.records import Label, Person, Rows, Video
from vidsearch.rows import of_video
from vidsearch.timeline import Timeline, timeline
from vidsearch.tracks import face_times

SURE, MAYBE, NOT = 0.9, 0.45, 0.1  # cosines: 1.00, 0.68, 0.00


def line(*shots: Shot, threshold: float = 0.5) -> Timeline:
    rows = Archive([shots]).rows()
    return timeline(rows, SCORER, rows.videos[0], PEOPLE, threshold=threshold)


def where(rows: Rows, who: Person, threshold: float = 0.5) -> Listing[Appearance]:
    return appearances(rows, SCORER, who, PEOPLE, threshold=threshold)


def spans(found: Listing[Appearance] | Listing[Together]) -> list[tuple[float, float]]:
    return [(round(each.start_s, 2), round(each.end_s, 2)) for each in found]


# --- from tracks to intervals --------------------------------------------------------------------


def test_a_face_seen_at_all_looks_of_a_shot_is_there_from_cut_to_cut() -> None:
    times = face_times(4.0, 12.0)
    shown = Track(0, SURE, times[0] - 4, times[-1] - 4)
    found = line(Shot(100), Shot(200, (shown,)), Shot(50)).appearances
    assert spans(found) == [(4.0, 12.0)]
    assert (found[0].start_frame, found[0].end_frame) == (100, 300)
    assert (found[0].first_shot, found[0].last_shot) == (1, 1)


def test_a_face_that_comes_and_goes_inside_a_shot_lasts_half_a_look_longer_on_each_side() -> None:
    times = face_times(0.0, 8.0)
    shown = Track(0, SURE, times[3], times[5])
    found = line(Shot(200, (shown,))).appearances
    step = times[1] - times[0]
    assert found[0].start_s == pytest.approx(times[3] - step / 2, abs=0.5 / RATE)
    assert found[0].end_s == pytest.approx(times[5] + step / 2, abs=0.5 / RATE)
    assert found[0].start_s == found[0].start_frame / RATE  # on a frame


@given(st.floats(0.01, 60))
def test_the_distance_of_looks_is_that_of_the_analysis(length: float) -> None:
    unseen, step = spacing(np.array([length]))
    times = face_times(0.0, length)
    assert times[0] == pytest.approx(unseen[0] + step[0] / 2)
    assert len(times) * step[0] == pytest.approx(length - 2 * unseen[0])


def test_consecutive_shots_of_one_person_are_one_appearance_with_the_mean_by_seconds() -> None:
    sure, maybe = Track(0, SURE, 0.5, 3.5), Track(0, MAYBE, 0.5, 0.7)
    single = [line(Shot(100, (sure,))), line(Shot(25, (maybe,)))]
    p, q = (each.appearances[0].probability for each in single)
    found = line(Shot(100, (sure,)), Shot(25, (maybe,)), Shot(100)).appearances
    assert spans(found) == [(0.0, 5.0)]
    assert found[0].probability == pytest.approx((4 * p + q) / 5)
    assert (found[0].first_shot, found[0].last_shot) == (0, 1)
    assert found[0].time_s == 2.0  # the surer track is the evidence


def test_a_shot_without_the_person_parts_their_appearances() -> None:
    shown = Track(0, SURE, 0.5, 3.5)
    found = line(Shot(100, (shown,)), Shot(100), Shot(100, (shown,))).appearances
    assert spans(found) == [(0.0, 4.0), (8.0, 12.0)]


def test_the_end_of_one_video_never_joins_the_beginning_of_the_next() -> None:
    shown = Shot(100, (Track(0, SURE, 0.5, 3.5),))
    found = where(Archive([[shown], [shown, shown]]).rows(), ANNA)
    assert [(each.video_id, *span) for each, span in zip(found, spans(found), strict=True)] == [
        ("v0", 0.0, 4.0),
        ("v1", 0.0, 8.0),
    ]


def test_what_somebody_said_of_a_face_is_honoured_in_the_timeline_of_its_video() -> None:
    shots = [Shot(100, (Track(0, SURE, 0.5, 3.5),))]
    rows = Archive([shots, shots]).rows()
    said = Label("l", "v1", 2.0, (0.1, 0.2, 0.3, 0.5), ANNA.person_id, False, 0.0)
    rows = replace(rows, labels=(said,), label_track=np.array([1]))
    first, second = (timeline(rows, SCORER, video, PEOPLE, threshold=0.5) for video in rows.videos)
    assert (first.people, len(first.strangers)) == (("Anna Rossi",), 0)
    assert (second.people, len(second.strangers)) == ((), 1)


# --- a moment ------------------------------------------------------------------------------------


def test_a_moment_tells_people_strangers_shot_keyframe_and_frame() -> None:
    crowd = (Track(0, MAYBE, 0.5, 3.5), Track(1, SURE, 0.5, 3.5), Track(2, NOT, 0.5, 3.5))
    moment = line(Shot(100), Shot(100, crowd)).at(5.0)
    assert [each.person for each in moment.people] == ["Marco Bianchi", "Anna Rossi"]
    assert moment.strangers == 1
    assert (moment.shot, moment.shot_start_s, moment.shot_end_s) == (1, 4.0, 8.0)
    assert (moment.keyframe_s, moment.frame) == (6.0, 125)


@pytest.mark.parametrize("time_s", [-0.1, 4.0, 1e9, float("nan"), float("inf")])
def test_a_moment_outside_the_video_is_refused_with_its_name_and_length(time_s: float) -> None:
    with pytest.raises(InvalidQuery, match=r"/films/0\.mp4 is 00:00:04\.000 .* long"):
        line(Shot(100)).at(time_s)
    with pytest.raises(InvalidQuery, match=r"/films/0\.mp4 is 00:00:04\.000 .* long"):
        line(Shot(100)).between(time_s, 2e9)


def test_a_stretch_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(InvalidQuery, match="the earlier comes first"):
        line(Shot(100)).between(3, 2)


def test_a_stretch_is_cut_in_seconds_frames_and_shots() -> None:
    shown = Track(0, SURE, 0.5, 3.5)
    cut = line(Shot(100, (shown,)), Shot(100, (shown,))).between(1.0, 3.0)
    assert spans(cut) == [(1.0, 3.0)]
    assert (cut[0].start_frame, cut[0].end_frame) == (25, 75)
    assert (cut[0].first_shot, cut[0].last_shot) == (0, 0)


def test_a_video_that_failed_has_no_timeline_and_says_why() -> None:
    failed = Video("bad", (b"/films/bad.mp4",), 0, 0.0, status="failed", error="no video stream")
    with pytest.raises(VidsearchError, match=r"bad\.mp4 was not indexed \(no video stream\)"):
        timeline(Archive().rows(), SCORER, failed, PEOPLE, threshold=0.5)


# --- several people, and how long ----------------------------------------------------------------


def test_together_is_where_everybody_is_at_once() -> None:
    both = (Track(0, SURE, 0.5, 3.5), Track(1, SURE, 0.5, 3.5))
    alone = (Track(0, SURE, 0.5, 3.5),)
    three = (*both, Track(2, SURE, 0.5, 3.5))
    rows = Archive([[Shot(100, alone), Shot(100, both), Shot(100, three)]]).rows()
    each = [where(rows, who) for who in (ANNA, MARCO, JOE)]
    assert spans(together(each[:2])) == [(4.0, 12.0)]
    assert spans(together(each)) == [(8.0, 12.0)]
    assert together(each)[0].people == ("Anna Rossi", "Marco Bianchi", "Joe Biden")
    assert together([each[0], Listing(Appearance, ())]) == Listing(Together, ())


def test_screen_time_by_person_and_by_video() -> None:
    anna, marco = Track(0, SURE, 0.5, 3.5), Track(1, SURE, 0.5, 3.5)
    rows = Archive(
        [[Shot(100, (anna, marco)), Shot(50)], [Shot(100), Shot(75, (anna,))], [Shot(10)]]
    ).rows()

    def told(by: str) -> list[tuple[str, float, int, int, int]]:
        found = screen_time(rows, SCORER, PEOPLE, PEOPLE, by, threshold=0.5)  # type: ignore[arg-type]
        return [(t.name, round(t.seconds, 6), t.appearances, t.people, t.videos) for t in found]

    assert told("person") == [("Anna Rossi", 7.0, 2, 1, 2), ("Marco Bianchi", 4.0, 1, 1, 1)]
    # Two people at once are on screen no longer than one.
    assert told("video") == [("/films/0.mp4", 4.0, 2, 2, 1), ("/films/1.mp4", 3.0, 1, 1, 1)]
    with pytest.raises(InvalidQuery, match='"person" or by "video", not by "shot"'):
        told("shot")


# --- as tables -----------------------------------------------------------------------------------


def test_intervals_become_tables_with_the_same_columns_even_when_there_are_none() -> None:
    found = line(Shot(100, (Track(0, SURE, 0.5, 3.5),)))
    table = found.to_arrow()
    assert table.column_names == [field.name for field in fields(Appearance)]
    assert table.schema == line(Shot(100)).to_arrow().schema
    assert table.schema.field("box").type == pa.list_(pa.float64(), 4)
    assert table.to_pylist()[0]["person"] == "Anna Rossi"
    frame = found.to_pandas()
    assert (frame.end_s - frame.start_s).sum() == 4.0
    assert together([found.appearances, found.appearances]).to_arrow().num_rows == 1


def test_without_pandas_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(VidsearchError, match=r"pip install 'vidsearch\[pandas\]'"):
        line(Shot(100)).to_pandas()


def test_every_column_of_rows_is_cut_to_the_video() -> None:
    shots = [Shot(100, (Track(0, SURE, 0.5, 3.5), Track(1, SURE, 0.5, 3.5))), Shot(50)]
    one, three = Archive([shots]).rows(), Archive([[Shot(10)], shots, shots]).rows()
    cut = of_video(three, "v1")
    assert cut is not None
    for field in fields(Rows):
        if field.name != "videos":
            np.testing.assert_array_equal(getattr(cut, field.name), getattr(one, field.name))
    assert [video.video_id for video in cut.videos] == ["v1"]
    assert of_video(three, "v9") is None


# --- whatever the archive ------------------------------------------------------------------------

TRACK = st.builds(
    lambda who, cosine, start, length: Track(who, cosine, start, start + length),
    st.integers(0, 2),
    st.sampled_from([SURE, MAYBE, NOT]),
    st.floats(0, 1),
    st.floats(0, 1),
)


@st.composite
def shot(draw: st.DrawFn) -> Shot:
    """A shot of up to 20 s; its tracks lie inside it."""
    frames = draw(st.integers(1, 500))
    length = frames / RATE
    tracks = [
        replace(track, start_s=track.start_s * length, end_s=min(track.end_s, 1) * length)
        for track in draw(st.lists(TRACK, max_size=4))
    ]
    return Shot(frames, tuple(tracks))


VIDEOS = st.lists(st.lists(shot(), min_size=1, max_size=5), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(VIDEOS, st.sampled_from([0.3, 0.5, 0.9]))
def test_appearances_are_sorted_apart_and_inside_their_video(
    made: list[list[Shot]], threshold: float
) -> None:
    rows = Archive(made).rows()  # type: ignore[arg-type]
    ends = {f"v{n}": sum(shot.frames for shot in video) for n, video in enumerate(made)}
    for who in PEOPLE:
        found = where(rows, who, threshold)
        for one, next_one in pairwise(found):
            assert one.video_id < next_one.video_id or one.end_frame < next_one.start_frame
        for each in found:
            assert 0 <= each.start_frame < each.end_frame <= ends[each.video_id]
            assert each.start_s == pytest.approx(each.start_frame / RATE)
            assert each.end_s == pytest.approx(each.end_frame / RATE)
            assert threshold <= each.probability + 1e-9 <= 1 + 1e-6


@settings(max_examples=150, deadline=None)
@given(VIDEOS, st.floats(0, 1, exclude_max=True))
@example([[Shot(1, ()), Shot(43, ()), Shot(500, ())]], np.nextafter(1.0, 0.0))
@example(
    [[*(Shot(n, ()) for n in (1, 1, 223, 500)), Shot(321, (Track(0, 0.9, 6.57046875, 8.025),))]],
    0.89453125,
)
def test_a_moment_agrees_with_the_stretch_around_it_and_with_appearances(
    made: list[list[Shot]], share: float
) -> None:
    rows = Archive(made).rows()  # type: ignore[arg-type]
    everywhere = {who.name: where(rows, who) for who in PEOPLE}
    for video in rows.videos:
        drawn = timeline(rows, SCORER, video, PEOPLE, threshold=0.5)
        frames = round(drawn.end_s * RATE)
        # Where a frame begins; a share of nearly one, times the frames, may round up to them all.
        time_s = min(int(share * frames), frames - 1) / RATE
        moment = drawn.at(time_s)
        around = drawn.between(time_s, time_s + 1e-7)
        told = {each.person for each in moment.people}
        assert told == {each.person for each in around}
        assert told == {
            name
            for name, found in everywhere.items()
            for each in found
            if each.video_id == video.video_id and each.start_s <= time_s < each.end_s
        }
        assert moment.shot_start_s <= time_s < moment.shot_end_s
        assert moment.frame == round(time_s * RATE)
        for each in around:
            assert (each.start_frame, each.end_frame) == (moment.frame, moment.frame + 1)


@settings(max_examples=100, deadline=None)
@given(VIDEOS)
def test_together_is_symmetric_and_inside_both(made: list[list[Shot]]) -> None:
    rows = Archive(made).rows()  # type: ignore[arg-type]
    anna, marco = where(rows, ANNA), where(rows, MARCO)
    both, turned = together([anna, marco]), together([marco, anna])
    assert [replace(each, people=()) for each in both] == [
        replace(each, people=()) for each in turned
    ]
    for each in both:
        for of in (anna, marco):
            assert any(
                one.video_id == each.video_id
                and one.start_frame <= each.start_frame < each.end_frame <= one.end_frame
                and one.first_shot <= each.first_shot <= each.last_shot <= one.last_shot
                for one in of
            )


@settings(max_examples=60, deadline=None)
@given(VIDEOS, st.sampled_from([0.1, 0.5, 0.9]))
def test_everybody_at_once_is_each_alone(made: list[list[Shot]], threshold: float) -> None:
    rows = Archive(made).rows()  # type: ignore[arg-type]
    everywhere = np.ones(len(rows.track_shot), bool)
    found = {
        one.person.person_id: one for one in everybody(rows, SCORER, PEOPLE, PEOPLE, threshold)
    }
    for who in PEOPLE:
        alone = seen(rows, SCORER, who, PEOPLE, everywhere, threshold)
        certain = np.flatnonzero(alone.probability >= threshold)
        at_once = found.get(who.person_id)
        assert at_once is not None or not len(certain)
        if at_once is not None:
            assert np.flatnonzero(at_once.probability >= threshold).tolist() == certain.tolist()
            assert at_once.probability[certain] == pytest.approx(alone.probability[certain])
            assert at_once.look[certain].tolist() == alone.look[certain].tolist()


def test_everybody_at_once_is_each_alone_with_the_real_calibration() -> None:
    """Three looks a track, some clear and some poor, of people known by three photos."""
    scorer, rng = IdentityScorer.for_model("default"), np.random.default_rng(3)

    def faces(who: np.ndarray, noise: float) -> np.ndarray:
        drawn = who + noise * rng.standard_normal(who.shape) / np.sqrt(who.shape[-1])
        return (drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)).astype(np.float32)

    selves = faces(scorer.cohort[:20] + scorer.cohort[20:40], 0.0)
    people = []
    for number, who in enumerate(selves):
        vectors = faces(np.repeat(who[None], 3, 0), 0.6)
        known = scorer.faces(vectors, np.array([0.9, 0.5, 0.3]))
        photo = person(0, str(number)).photos[0]
        photos = tuple(
            replace(photo, vector=v, quality=float(q), cohort_mean=float(m), cohort_std=float(s))
            for v, q, m, s in zip(*known, strict=True)
        )
        people.append(Person(str(number), str(number), (), photos, 0.0))
    n_tracks = 1000
    shown = np.concatenate(
        [selves[rng.integers(0, 20, 500)], faces(selves[:1] * 0, 1.0)[[0] * 500]]
    )
    looks = faces(np.repeat(shown, 3, 0), 0.8)
    known = scorer.faces(looks, rng.uniform(0.1, 1.0, len(looks)))
    rows = replace(
        Archive([[Shot(100, (Track(0, SURE, 0.5, 3.5),))] * n_tracks]).rows(),
        look_track=np.repeat(np.arange(n_tracks), 3),
        look_s=np.zeros(len(looks)),
        look_boxes=np.zeros((len(looks), 4), np.float32),
        look_vectors=known.vectors,
        look_quality=known.qualities,
        look_cohort_mean=known.cohort_mean,
        look_cohort_std=known.cohort_std,
    )
    found = {one.person.name: one for one in everybody(rows, scorer, people, people, 0.5)}
    n_seen = 0
    for who in people:
        alone = seen(rows, scorer, who, people, np.ones(n_tracks, bool), 0.5)
        certain = np.flatnonzero(alone.probability >= 0.5)
        n_seen += len(certain)
        assert np.flatnonzero(found[who.name].probability >= 0.5).tolist() == certain.tolist()
    assert n_seen > 100


@settings(max_examples=60, deadline=None)
@given(VIDEOS)
def test_screen_time_is_the_sum_of_appearances(made: list[list[Shot]]) -> None:
    rows = Archive(made).rows()  # type: ignore[arg-type]
    told = {t.name: t for t in screen_time(rows, SCORER, PEOPLE, PEOPLE, "person", threshold=0.5)}
    for who in PEOPLE:
        found = where(rows, who)
        assert (who.name in told) == bool(found)
        if found:
            assert told[who.name].seconds == pytest.approx(sum(each.seconds for each in found))
            assert told[who.name].appearances == len(found)
