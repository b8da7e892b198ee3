"""What candidates are worth before their rows are read, and which of them are read first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_records import person

from vidsearch import fits, scoring, shortlist
from vidsearch.narrowing import Narrowed
from vidsearch.question import AllOf, AnyOf, Node, Not, Scene, Someone, wanted_leaves
from vidsearch.records import Ints, Reals
from vidsearch.scoring import Value
from vidsearch.selection import Paging

N = 20  # pictures
PEOPLE = (person("Anna"), person("Bert"))


def trees() -> st.SearchStrategy[Node]:
    leaves = st.sampled_from(PEOPLE).map(Someone) | st.sampled_from("ab").map(Scene)
    return st.recursive(
        leaves,
        lambda part: (
            part.map(Not)
            | st.lists(part, min_size=2, max_size=3).map(tuple).map(AllOf)
            | st.lists(part, min_size=2, max_size=3).map(tuple).map(AnyOf)
        ),
        max_leaves=6,
    )


@pytest.fixture(scope="module", autouse=True)
def scenes() -> Any:
    """A picture [1] fits a scene by its only number, and another scene by what is left of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fits, "of_pictures", lambda *asked: fit(asked[2], asked[3]))
        yield


def left(*, passes_over: bool = False, share: float = 1.0) -> Narrowed:
    """What filters leave."""
    return Narrowed(None, None, None, None, share, None, np.zeros(0, np.int64), passes_over)


def fit(scene: Scene, pictures: Reals) -> Reals:
    return pictures[:, 0] if scene.text == "a" else 1 - 2 * pictures[:, 0]


def values(tree: Node, pictures: Reals, rng: np.random.Generator) -> dict[int, Value]:
    """What the leaves are worth when somebody has looked who is there."""
    there = {each.person_id: rng.random(N) ** rng.integers(0, 9) for each in PEOPLE}
    present = {each.person_id: 1 - rng.random(N) / 2 for each in PEOPLE}
    found: dict[int, Value] = {}
    for leaf, wanted in wanted_leaves(tree):
        if isinstance(leaf, Someone):
            who = leaf.person.person_id
            found[id(leaf)] = Value(people=there[who], presence=present[who] if wanted else None)
        else:
            assert isinstance(leaf, Scene)
            found[id(leaf)] = Value(fit=fit(leaf, pictures))
    return found


@settings(max_examples=200, deadline=None)
@given(trees(), st.integers(0, 2**32))
def test_no_shot_is_better_than_its_picture_is_worth(tree: Node, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pictures = rng.normal(0, 4, (N, 1))
    worth = shortlist.worth(None, None, tree, pictures, np.zeros(1))  # type: ignore[arg-type]
    total = scoring.combined(tree, values(tree, pictures, rng))
    assert total is not None
    assert (total.log_odds <= worth + 1e-9).all()


def test_a_context_alone_is_worth_its_score() -> None:
    tree = AllOf((Scene("a"), Not(Scene("b"))))
    pictures = np.linspace(-5, 5, N)[:, None]
    worth = shortlist.worth(None, None, tree, pictures, np.zeros(1))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    total = scoring.combined(tree, values(tree, pictures, rng))
    assert total is not None
    assert worth == pytest.approx(total.log_odds)


def test_the_best_places_and_the_worth_of_the_best_one_left_out() -> None:
    places: Ints = np.array([7, 3, 7, 5, 3, 9])
    worths: Reals = np.array([0.1, 0.2, 0.9, 0.5, 0.4, -1.0])
    found, left_out = shortlist.best(places, worths, 2)
    assert found.tolist() == [5, 7]
    assert left_out == 0.4
    found, left_out = shortlist.best(places, worths, 4)
    assert found.tolist() == [3, 5, 7, 9]
    assert left_out == -np.inf


@pytest.mark.parametrize(
    ("paging", "narrowed", "people", "first"),
    [
        (Paging(), left(), True, [(40, 20)]),
        (Paging(), left(), False, [(24, 12)]),
        (Paging(k=5, offset=15), left(), True, [(80, 40)]),
        (Paging(k=5, offset=15), left(), False, [(44, 22)]),
        (Paging(diverse=True), left(), False, []),
        (Paging(by_video=True), left(), True, []),
        (Paging(), left(passes_over=True, share=0.5), False, [(50, None)]),
        (Paging(), left(passes_over=True, share=0.2), False, []),
    ],
)
def test_so_many_candidates_are_read_first(
    paging: Paging, narrowed: Narrowed, people: bool, first: list[tuple[int, int | None]]
) -> None:
    assert shortlist.first(paging, narrowed, people=people) == first
