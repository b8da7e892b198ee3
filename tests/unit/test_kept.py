"""What was read lately is kept: so much of it and no more."""

from __future__ import annotations

import threading

from vidsearch.kept import Kept


def test_what_is_known_is_not_looked_for_again() -> None:
    kept, found = Kept[str](10), []
    for _ in range(3):
        assert kept.of("a", lambda: found.append("a") or "value") == "value"
    assert found == ["a"]


def test_what_was_asked_for_last_stays() -> None:
    kept, found = Kept[str](10, len), []

    def ask(key: str, size: int) -> None:
        kept.of(key, lambda: found.append(key) or size * "x")

    ask("a", 4)
    ask("b", 4)
    ask("a", 4)
    ask("c", 4)  # no room for all three: b was asked for longest ago
    ask("a", 4)
    assert found == ["a", "b", "c"]
    ask("b", 4)
    assert found == ["a", "b", "c", "b"]


def test_what_is_larger_than_all_room_is_given_and_not_kept() -> None:
    kept, found = Kept[str](10, len), []
    for _ in range(2):
        assert len(kept.of("a", lambda: found.append("a") or 11 * "x")) == 11
    assert found == ["a", "a"]
    assert kept.of("b", lambda: "y") == "y"
    assert kept.of("b", lambda: "z") == "y"  # what was too large has taken no room


def test_many_threads_may_ask() -> None:
    kept = Kept[int](5)

    def ask() -> None:
        for n in range(2000):
            assert kept.of(n % 7, lambda n=n: n % 7) == n % 7

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept._held) == 5
