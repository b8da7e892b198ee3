"""Any tree of and, or, not over people, scenes and pictures is answered, or honestly not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_library import (
    ANNA,
    ENCODER,
    HARDLY,
    JOE,
    LIKELY,
    MARCO,
    PEOPLE,
    SCORER,
    SURE,
    Library,
    like,
    seen,
    shots,
)

from vidsearch.filters import Filters
from vidsearch.query import Query
from vidsearch.question import AllOf, AnyOf, Like, Node, Not, Scene, Someone
from vidsearch.records import Answer
from vidsearch.search import search
from vidsearch.selection import Paging

IS_ANNA, IS_MARCO, IS_JOE = Someone(ANNA), Someone(MARCO), Someone(JOE)
SINGING, DOG, PIANO = Scene("singing"), Scene("dog"), Scene("piano")


@pytest.fixture
def party() -> Library:
    """Anna sings; Marco sings; both with a dog; a dog alone; a piano alone."""
    anna, marco = like((0, SURE)), like((1, SURE))
    return (
        Library()
        .video()
        .shot(0, 4, seen(singing=0.6), faces=[(0, 4, anna)])
        .shot(4, 8, seen(singing=0.5), faces=[(4, 8, marco)])
        .shot(8, 12, seen(dog=0.6), faces=[(8, 12, anna), (8, 12, marco)])
        .shot(12, 16, seen(dog=0.5))
        .shot(16, 20, seen(piano=0.5))
    )


def ask(library: Library, tree: Node, *, k: int = 10, offset: int = 0, **only: Any) -> Answer:
    how: dict[str, Any] = {"filters": Filters(**only), "paging": Paging(k, offset)}
    query = Query("asked", tree, context="scene")
    return search(library.rows(), ENCODER, SCORER, query, PEOPLE, **how)


def names(answer: Answer) -> list[list[str]]:
    return [[sighting.name for sighting in hit.people] for hit in answer.hits]


def test_either_of_two_people_will_do(party: Library) -> None:
    answer = ask(party, AnyOf((IS_ANNA, IS_MARCO)))
    assert sorted(shots(answer)) == [0, 1, 2]
    assert sorted(names(answer)) == [["Anna Rossi"], ["Anna Rossi", "Marco Bianchi"],
                                     ["Marco Bianchi"]]  # fmt: skip
    assert answer.total == 3


def test_either_of_two_people_in_a_scene(party: Library) -> None:
    answer = ask(party, AllOf((AnyOf((IS_ANNA, IS_MARCO)), SINGING)))
    assert shots(answer)[:2] == [0, 1]
    assert answer.hits[2].score < 0.1


def test_a_shot_with_somebody_unwanted_is_no_hit(party: Library) -> None:
    assert shots(ask(party, AllOf((IS_ANNA, Not(IS_MARCO))))) == [0]
    assert sorted(shots(ask(party, AllOf((DOG, Not(IS_ANNA)))))) == [1, 3, 4]
    assert sorted(shots(ask(party, Not(AnyOf((IS_ANNA, IS_MARCO)))))) == [3, 4]
    assert sorted(shots(ask(party, Not(AllOf((IS_ANNA, IS_MARCO)))))) == [0, 1, 3, 4]


def test_somebody_who_may_be_there_counts_a_little_against_a_shot() -> None:
    library = Library().video()
    library.shot(0, 4, seen(dog=0.4), faces=[(0, 4, like((0, HARDLY + 0.05)))])
    library.shot(4, 8, seen(dog=0.4))
    answer = ask(library, AllOf((DOG, Not(IS_ANNA))))
    assert shots(answer) == [1, 0]
    assert answer.hits[1].score > 0.7 * answer.hits[0].score


def test_what_is_not_wanted_falls_as_far_as_it_fits(party: Library) -> None:
    answer = ask(party, AllOf((Not(DOG), Not(PIANO))))
    assert sorted(shots(answer)[:2]) == [0, 1]
    assert all(hit.score < 0.1 for hit in answer.hits[2:])
    kept = ask(party, AllOf((SINGING, Not(DOG))))
    plain = ask(party, SINGING)
    assert shots(kept)[:2] == shots(plain)[:2] == [0, 1]
    assert kept.hits[0].score == pytest.approx(plain.hits[0].score, abs=0.01)


def test_or_over_people_and_scenes_takes_the_better_part(party: Library) -> None:
    answer = ask(party, AnyOf((AllOf((IS_ANNA, SINGING)), PIANO)))
    assert sorted(shots(answer)[:2]) == [0, 4]
    assert names(answer)[shots(answer).index(4)] == []
    assert len(answer.hits) == 5, "a context gates nothing"


def test_a_picture_is_asked_for_as_a_scene_is(party: Library) -> None:
    picture = Like("dog.jpg", seen(dog=0.6))
    answer = ask(party, picture)
    assert sorted(shots(answer)[:2]) == [2, 3]
    assert answer.hits[0].score > 0.5 > answer.hits[2].score
    assert shots(ask(party, AllOf((picture, Not(IS_ANNA)))))[0] == 3


def test_a_page_further_down_goes_on_with_the_ranks(party: Library) -> None:
    first, second = ask(party, SINGING, k=2), ask(party, SINGING, k=2, offset=2)
    assert [hit.rank for hit in second.hits] == [3, 4]
    assert not set(shots(first)) & set(shots(second))
    assert first.total == second.total == 5
    beyond = ask(party, SINGING, offset=9)
    assert beyond.hits == ()
    assert beyond.message.startswith("Nothing comes after the first 9")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (IS_JOE, "No shot shows Joe Biden (best probability 0.00)"),
        (AllOf((IS_JOE, SINGING)), "No shot shows Joe Biden (best probability 0.00)"),
        (
            AllOf((IS_ANNA, Not(IS_ANNA))),
            "No shot shows Anna Rossi without Anna Rossi (Anna Rossi is in 2)",
        ),
        (
            AllOf((IS_ANNA, IS_MARCO, Not(AnyOf((IS_ANNA, IS_JOE))))),
            "No shot shows Anna Rossi and Marco Bianchi together without Anna Rossi or Joe Biden "
            "(Anna Rossi is in 2, Marco Bianchi is in 2, Joe Biden is in 0)",
        ),
    ],
)
def test_why_nothing_is_found_is_said(party: Library, tree: Node, message: str) -> None:
    answer = ask(party, tree)
    assert answer.hits == ()
    assert answer.message == message


def test_neither_of_two_people_is_said_in_one_sentence() -> None:
    library = Library().video().shot(0, 4, seen(dog=0.6), faces=[(0, 4, like((0, HARDLY)))])
    answer = ask(library, AnyOf((IS_ANNA, IS_MARCO)))
    assert answer.message == (
        "No shot shows Anna Rossi or Marco Bianchi "
        "(best probability 0.15; less sure ones: --threshold 0.1)"
    )


def test_somebody_unwanted_who_is_everywhere_is_said() -> None:
    library = Library().video().shot(0, 4, seen(dog=0.6), faces=[(0, 4, like((0, SURE)))])
    assert ask(library, AllOf((DOG, Not(IS_ANNA)))).message == "Every shot shows Anna Rossi"


LEAVES: Sequence[Node] = (IS_ANNA, IS_MARCO, SINGING, DOG)
TREES = st.recursive(
    st.sampled_from(LEAVES),
    lambda parts: st.one_of(
        parts.map(Not),
        st.lists(parts, min_size=2, max_size=3).map(lambda p: AllOf(tuple(p))),
        st.lists(parts, min_size=2, max_size=3).map(lambda p: AnyOf(tuple(p))),
    ),
    max_leaves=6,
)


def holds(tree: Node, there: set[str]) -> bool | None:
    """Whether a tree holds where these people are; None where what is seen decides."""
    if isinstance(tree, Someone):
        return tree.person.name in there
    if isinstance(tree, Not):
        part = holds(tree.part, there)
        return None if part is None else not part
    if isinstance(tree, (AllOf, AnyOf)):
        parts = [holds(part, there) for part in tree.parts]
        decisive = isinstance(tree, AnyOf)
        if decisive in parts:
            return decisive
        return None if None in parts else not decisive
    return None


@settings(max_examples=80, deadline=None)
@given(TREES)
def test_people_decide_which_shots_may_be_hits_of_any_tree(tree: Node) -> None:
    library = Library().video()
    inside = [{"Anna Rossi"}, {"Marco Bianchi"}, {"Anna Rossi", "Marco Bianchi"}, set[str]()]
    axes = {"Anna Rossi": 0, "Marco Bianchi": 1}
    for number, people in enumerate(inside):
        faces = [(4.0 * number, 4.0 * number + 4, like((axes[who], SURE))) for who in people]
        library.shot(4 * number, 4 * number + 4, seen(dog=0.3), faces=faces)
    answer = ask(library, tree)
    expected = [number for number, people in enumerate(inside) if holds(tree, people) is not False]
    assert sorted(shots(answer)) == expected
    assert answer.hits or answer.message
    for hit in answer.hits:
        assert {sighting.name for sighting in hit.people} <= inside[hit.shot]
        assert 0 <= hit.score <= 1
        assert len(hit.factors) >= 1


# --- own figures ---------------------------------------------------------------------------------


def test_of_two_shots_the_one_in_which_the_person_does_it_comes_first() -> None:
    """The same picture twice: somebody sings, somebody is with a dog, and who is who differs."""
    library, both = Library().video(), seen(singing=0.4, dog=0.4)
    anna, marco = like((0, SURE)), like((1, SURE))
    singer, walker = seen(singing=0.7), seen(dog=0.7)
    library.shot(0, 4, both, faces=[(0, 4, anna), (0, 4, marco)], figures=[walker, singer])
    library.shot(4, 8, both, faces=[(4, 8, anna), (4, 8, marco)], figures=[singer, walker])
    asked = Scene("a person singing", named=True)
    answer = ask(library, AllOf((IS_ANNA, asked)))
    assert shots(answer) == [1, 0]
    assert answer.hits[0].score > answer.hits[1].score
    assert shots(ask(library, AllOf((IS_MARCO, asked)))) == [0, 1]
    plain = ask(library, AllOf((IS_ANNA, Scene("a person singing"))))
    assert plain.hits[0].score == plain.hits[1].score, "words that are about nobody in particular"


def test_what_is_beside_somebody_is_still_found_by_the_whole_picture() -> None:
    library = Library().video()
    faces = [(0.0, 4.0, like((0, SURE))), (0.0, 4.0, like((1, SURE)))]
    library.shot(0, 4, seen(dog=0.6), faces=faces, figures=[seen(), seen()])
    answer = ask(library, AllOf((IS_ANNA, Scene("a person with a dog", named=True))))
    assert answer.hits[0].score > 0.9


# --- neighbouring shots --------------------------------------------------------------------------


def dialogue(doubtful: float, scene_of_doubt: Sequence[float]) -> Library:
    """Anna, Marco, perhaps Anna, Marco; then other pictures, so that there is a mean one."""
    library, one, other = Library().video(), seen(singing=0.7), seen(piano=0.7)
    library.shot(0, 4, one, faces=[(0, 4, like((0, SURE)))])
    library.shot(4, 8, other, faces=[(4, 8, like((1, SURE)))])
    third = np.asarray(scene_of_doubt, np.float32)
    library.shot(8, 12, third, faces=[(8, 12, like((0, doubtful)))])
    for number in range(3, 8):
        library.shot(4 * number, 4 * number + 4, seen(audience=0.1 * number))
    return library


def test_a_doubtful_face_is_decided_by_near_shots_of_the_same_place() -> None:
    answer = ask(dialogue(0.40, seen(singing=0.7)), IS_ANNA)
    assert shots(answer) == [0, 2]
    assert ("face", pytest.approx(0.38, abs=0.01)) in answer.hits[1].factors[0].details
    assert dict(answer.hits[1].factors[0].details)["with near shots"] >= 0.5
    assert shots(ask(dialogue(0.40, seen(piano=0.7)), IS_ANNA)) == [0], "another place"


def test_a_stranger_stays_a_stranger_and_no_face_is_no_evidence() -> None:
    assert shots(ask(dialogue(0.10, seen(singing=0.7)), IS_ANNA)) == [0]
    library = Library().video()
    library.shot(0, 4, seen(singing=0.7), faces=[(0, 4, like((0, SURE)))])
    library.shot(4, 8, seen(singing=0.7)).shot(8, 12, seen(dog=0.5))
    assert shots(ask(library, IS_ANNA)) == [0]


def test_neighbours_make_nobody_surer_than_a_good_face_does() -> None:
    library = dialogue(0.41, seen(singing=0.7))
    (_, doubtful) = ask(library, IS_ANNA).hits
    assert doubtful.people[0].probability <= 0.8
    tree = Query("asked", IS_ANNA)
    strict = search(library.rows(), ENCODER, SCORER, tree, PEOPLE, threshold=0.95)
    assert shots(strict) == [0]


def test_neighbours_of_another_video_say_nothing() -> None:
    library = Library().video()
    library.shot(0, 4, seen(singing=0.7), faces=[(0, 4, like((0, SURE)))])
    library.video("/films/b.mp4")
    library.shot(0, 4, seen(singing=0.7), faces=[(0, 4, like((0, 0.40)))])
    library.shot(4, 8, seen(dog=0.5))
    assert len(ask(library, IS_ANNA).hits) == 1


# --- why -----------------------------------------------------------------------------------------


def test_a_hit_says_what_its_score_is_made_of_and_why_the_next_is_below(party: Library) -> None:
    answer = ask(party, AllOf((IS_ANNA, SINGING)))
    first, second = answer.hits
    person, scene = first.factors
    assert (person.kind, person.what, person.wanted) == ("person", "Anna Rossi", True)
    assert dict(person.details)["like"] == "Anna Rossi-0.jpg"
    assert (scene.kind, scene.what) == ("scene", "singing")
    odds = np.log(first.score / (1 - first.score))
    assert person.weight + scene.weight == pytest.approx(odds, abs=1e-3)
    assert "lower: the context fits less (" in first.next_below
    assert second.next_below == ""
    assert answer.tree.splitlines()[0].startswith("all of")


def test_the_surer_face_is_why_the_next_is_below() -> None:
    library = Library().video()
    for cosine in (LIKELY, SURE):
        library.shot(0, 4, seen(dog=0.6), faces=[(0, 4, like((0, cosine)))])
    answer = ask(library, AllOf((IS_ANNA, Scene("dog", named=True))))
    assert "Anna Rossi is less sure (0.82 against 0.999" in answer.hits[0].next_below


def test_numbers_that_say_why_are_told_apart() -> None:
    library = Library().video()
    for cosine in (0.2, 0.1999):
        library.shot(0, 4, seen(dog=cosine))
    before, after = ask(library, DOG).hits[0].next_below.rpartition("(")[2].split(" against ")
    assert before != after.rstrip(")")


def test_a_person_who_stands_in_for_a_scene_is_why_the_next_is_below() -> None:
    library = Library().video()
    library.shot(0, 4, seen(piano=0.1), faces=[(0, 4, like((0, SURE)))])
    library.shot(4, 8, seen(dog=0.24))
    hit = ask(library, AnyOf((IS_ANNA, DOG))).hits[0]
    assert "Anna Rossi is less sure (0.00 against" in hit.next_below
    anna, dog = hit.factors
    assert anna.weight > 0 == dog.weight
    assert hit.context_score is not None
    assert hit.context_score < 0.1, "no dog is to be seen, whoever is there"


def test_shots_that_are_equal_say_so() -> None:
    library = Library().video()
    for _ in range(2):
        library.shot(0, 4, seen(dog=0.5))
    assert ask(library, DOG).hits[0].next_below.startswith("as good as this")


def test_what_is_not_wanted_is_a_factor_too(party: Library) -> None:
    answer = ask(party, AllOf((SINGING, Not(DOG))))
    factor = next(f for f in answer.hits[-1].factors if not f.wanted)
    assert (factor.what, factor.kind) == ("dog", "scene")
    assert factor.weight < 0 or answer.hits[-1].shot == 4
    assert answer.hits[-1].factors[0].what == "singing"


def test_of_two_joined_by_or_the_lesser_one_adds_nothing(party: Library) -> None:
    answer = ask(party, AnyOf((IS_ANNA, IS_MARCO)))
    hit = next(hit for hit in answer.hits if hit.shot == 1)
    anna, marco = hit.factors
    assert anna.weight == 0
    assert marco.weight == pytest.approx(np.log(marco.value), abs=1e-6)
