"""How many files a job hands out at once: bounded by workers, and by bytes of results."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.flow import AHEAD, PART, Flow

GB = 1_000_000_000


def test_as_many_files_are_out_as_workers_and_some_that_wait() -> None:
    flow = Flow()
    assert flow.has_room([1] * 5, 1, workers=4, store_bytes=GB)
    assert not flow.has_room([1] * 6, 1, workers=4, store_bytes=GB)


def test_files_wait_whose_results_would_not_fit_into_the_store() -> None:
    flow = Flow()
    assert flow.has_room([GB], GB, workers=100, store_bytes=GB)
    assert not flow.has_room([GB] * 5, GB, workers=100, store_bytes=GB)


def test_one_file_is_always_out_however_large() -> None:
    assert Flow().has_room([], 1000 * GB, workers=1, store_bytes=1)


def test_what_came_teaches_what_will_come() -> None:
    flow = Flow()
    sizes = [GB] * 8
    assert not flow.has_room(sizes, GB, workers=100, store_bytes=GB)
    flow.learn(10 * GB, GB // 100)  # a thousandth, not a tenth
    assert flow.has_room(sizes, GB, workers=100, store_bytes=GB)


def test_results_that_find_no_room_together_make_one_pause_and_later_ones_a_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr("workers.flow.time.monotonic", lambda: now[0])
    flow = Flow()

    def paused_s() -> float:
        since = now[0]
        while not flow.has_room([], 1, workers=1, store_bytes=GB):
            now[0] += 0.5
        return now[0] - since

    for wanted in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        for _ in range(5):
            flow.found_full()
        assert paused_s() == wanted
    assert flow.found_full() == sum((1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0))
    flow.learn(GB, 1)
    flow.found_full()
    assert paused_s() == 1.0


@given(
    sizes=st.lists(st.integers(1, 100 * GB), min_size=1, max_size=40),
    came=st.lists(st.tuples(st.integers(1, GB), st.integers(1, GB)), max_size=5),
    workers=st.floats(0.5, 64),
    store=st.floats(1e6, 1e12),
)
def test_what_is_out_never_passes_either_bound(
    sizes: list[int], came: list[tuple[int, int]], workers: float, store: float
) -> None:
    flow, out = Flow(), list[int]()
    for file, result in came:
        flow.learn(file, result)
    for size in sizes:
        if flow.has_room(out, size, workers=workers, store_bytes=store):
            out.append(size)
    assert len(out) == 1 or (
        len(out) < AHEAD * workers + 1 and flow.expected(sum(out)) <= PART * store
    )
