"""`--explain` fits a terminal, and says the same to programs."""

from __future__ import annotations

import json
from dataclasses import replace

from search_library import PEOPLE, SURE, Library, ask, like, seen

from vidsearch.present_explained import explained, explained_as_json
from vidsearch.records import SAID_BY_HAND, Answer


def library() -> Library:
    made = Library().video("/films/a film with a name.mp4")
    anna, marco = like((0, SURE)), like((1, SURE))
    made.shot(0, 4, seen(singing=0.5), faces=[(0, 4, anna)])
    made.shot(4, 8, seen(singing=0.3, dog=0.3), faces=[(4, 8, anna), (4, 8, marco)],
              figures=[seen(singing=0.6), seen(dog=0.6)])  # fmt: skip
    return made.shot(8, 12, seen(dog=0.5), faces=[(8, 12, anna)])


QUESTION = "Anna Rossi singing in a place that has a very long description NOT dog"


def test_the_explanation_names_every_factor_and_fits_80_columns() -> None:
    answer = ask(library(), QUESTION, PEOPLE)
    assert len(answer.hits) == 3
    text = explained(answer)
    assert max(map(len, text.splitlines())) <= 80
    for part in ("person: Anna Rossi", "face 1.00, like", "own figure", "not ", "Next: ", "lower:"):
        assert part in text
    assert text.count("Next: ") == 2
    assert "-0.00" not in text


def test_who_was_named_by_hand_is_like_no_photo() -> None:
    (hit, *_) = ask(library(), "Anna Rossi", PEOPLE).hits
    told = replace(hit.factors[0], details=(("face", 1.0), ("like", SAID_BY_HAND)))
    answer = Answer("", (), "", "", (replace(hit, factors=(told,)),))
    assert "face 1.00, said by hand" in explained(answer)


def test_want_of_certainty_is_no_matter_where_a_person_stands_in_for_a_scene() -> None:
    text = explained(ask(library(), "Anna Rossi OR dog", PEOPLE))
    assert "without this part" in text
    assert "want of certainty" not in text


def test_the_json_has_the_tree_and_the_factors_of_each_hit() -> None:
    answer = ask(library(), QUESTION, PEOPLE)
    said = json.loads(json.dumps(explained_as_json(answer)))
    assert said["tree"][0].startswith("all of")
    assert [hit["rank"] for hit in said["hits"]] == [1, 2, 3]
    kinds = [factor["kind"] for factor in said["hits"][0]["factors"]]
    assert kinds == ["person", "scene", "scene"]
    wanted = [factor["wanted"] for factor in said["hits"][0]["factors"]]
    assert wanted == [True, True, False]
    assert said["hits"][0]["factors"][0]["made_of"]["like"] == "Anna Rossi-0.jpg"
    assert said["hits"][-1]["next_below"] == ""


def test_where_nothing_is_found_the_reading_is_still_told() -> None:
    answer = ask(library(), "Joe Biden", PEOPLE)
    assert explained(answer).splitlines() == ["Read as", "  person: Joe Biden"]
