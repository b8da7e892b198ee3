"""Captions rewritten around a person, on the cases that go wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idclip.cocopfs.captions import (
    KEYWORDS,
    InvalidCaption,
    entity_texts,
    evaluation_texts,
    parted,
    plain_text,
    training_entity_text,
    training_text,
)
from idclip.prompts import CONFIGURATIONS, TEMPLATES, TOK

HERE = 6  # the first template in place: "[C1] [ENTITY] [C2]"

# caption -> the caption with the token in place, or None where a prompt must stand before it
PLACES = {
    "A man riding a horse.": "[TOK] riding a horse.",
    "The man riding a horse.": "[TOK] riding a horse.",
    "An adult riding a horse.": "[TOK] riding a horse.",
    "An old man on a bench": "An old [TOK] on a bench",
    "A picture of a man": "A picture of [TOK]",
    "A picture of a man.": "A picture of [TOK].",
    "There, the man, smiling, sits": "There, [TOK], smiling, sits",
    "Man on a horse": "[TOK] on a horse",
    "A MAN ON A HORSE": "[TOK] ON A HORSE",
    "a  Young   Lady\n smiles ": "a Young [TOK] smiles",
    "A man's hand holds a phone": "[TOK]'s hand holds a phone",
    'The sign says "man"': 'The sign says "[TOK]"',
    "A woman and two men": "[TOK] and two men",  # "men" is no keyword
    "A woman kidding around": "[TOK] kidding around",  # nor is the "kid" in it
    "A fireman and a child": "A fireman and [TOK]",
    "A man by a man-made lake": "[TOK] by a man-made lake",
    "A boy in his teenager-like clothes": "[TOK] in his teenager-like clothes",
    "Santa man": "Santa [TOK]",  # the last "a" of a word is no article
    "a boy, a dog": "[TOK], a dog",
    "a": None,
    "Two men on horses": None,
    "Women and children": None,
    "A snowman melts": None,
    "A policewoman rides": None,
    "A man-made lake": None,
    "A snow-man melts": None,
    "A man and a woman": None,
    "A man next to a man": None,
    "The Man and the man": None,
    "A baby girl": None,
    "A mañana sign": None,
}


@pytest.mark.parametrize("caption", PLACES)
def test_a_person_stands_where_the_only_keyword_stood(caption: str) -> None:
    expected = PLACES[caption] or f"An image with [TOK]. {' '.join(caption.split())}"
    assert evaluation_texts(caption, "Anna Rossi", template=HERE) == [expected]


def test_every_keyword_of_the_paper_takes_the_person() -> None:
    assert len(KEYWORDS) == 19
    for word in KEYWORDS:
        assert evaluation_texts(f"one {word} sits", "A", template=HERE) == ["one [TOK] sits"]
        assert evaluation_texts(f"two {word}s sit", "A", template=HERE)[0].startswith("An image")


def test_the_eleven_templates() -> None:
    assert evaluation_texts("A man rides.", "Anna Rossi", configuration="names", template=None) == [
        "An image with Anna Rossi. A man rides.",
        "An image with a person whose name is Anna Rossi. A man rides.",
        "Anna Rossi. A man rides.",
        "A picture of Anna Rossi. A man rides.",
        "Anna Rossi in the image. A man rides.",
        "There is Anna Rossi in the picture. A man rides.",
        "Anna Rossi rides.",
        "A man (Anna Rossi) rides.",
        "A man (whose name is Anna Rossi) rides.",
        "A famous man Anna Rossi rides.",
        "A famous Anna Rossi rides.",
    ]
    assert len(TEMPLATES) == 11


@pytest.mark.parametrize("caption", ["Two men ride.", "A man and a woman."])
def test_without_one_keyword_only_the_prompts_before_a_caption_are_averaged(caption: str) -> None:
    texts = evaluation_texts(caption, "Anna", template=None)
    assert len(texts) == len(set(texts)) == 6
    assert all(text.endswith(f". {caption}") for text in texts)
    for template in range(HERE, 11):
        assert evaluation_texts(caption, "Anna", template=template) == [texts[0]]


@pytest.mark.parametrize(
    ("configuration", "before", "here"),
    [
        ("names", "An image with Ann. A man sits", "Ann sits"),
        ("conf1", "An image with [TOK]. A man sits", "[TOK] sits"),
        ("conf2", "An image with [TOK] Ann. A man sits", "[TOK] Ann sits"),
        ("conf3", "An image with Ann [TOK]. A man sits", "Ann [TOK] sits"),
        (
            "conf4",
            "An image with [TOK]. An image with Ann. A man sits",
            "An image with [TOK]. Ann sits",
        ),
        ("conf5", "[TOK]. An image with Ann. A man sits", "[TOK]. Ann sits"),
        ("conf6", "[TOK]. An image with [TOK]. A man sits", "[TOK]. [TOK] sits"),
    ],
)
def test_the_six_configurations_and_the_name_alone(
    configuration: str, before: str, here: str
) -> None:
    caption = "A man sits"
    assert evaluation_texts(caption, "Ann", configuration=configuration) == [before]
    assert evaluation_texts(caption, "Ann", configuration=configuration, template=HERE) == [here]
    alone = entity_texts("Ann", configuration=configuration)
    assert alone == [before.removesuffix(" A man sits")]


def test_prompts_without_a_context() -> None:
    assert entity_texts("Ann", configuration="conf3", template=None) == [
        "An image with Ann [TOK].",
        "An image with a person whose name is Ann [TOK].",
        "Ann [TOK].",
        "A picture of Ann [TOK].",
        "Ann [TOK] in the image.",
        "There is Ann [TOK] in the picture.",
    ]
    assert entity_texts("Ann", template=HERE) == ["An image with [TOK]."]
    assert entity_texts("Robert Downey Jr.", configuration="names", template=2) == [
        "Robert Downey Jr."
    ]


@pytest.mark.parametrize(
    "name", ["Guy Man Kidman", "Zoë Ålund-Özil", "王小明", "A [ENTITY]", "[KEYWORD] [NAME]"]
)
def test_a_name_is_taken_letter_by_letter(name: str) -> None:
    texts = evaluation_texts("A man rides", name, configuration="conf2", template=None)
    assert all(text.count(name) == 1 and text.count(TOK) == 1 for text in texts)
    assert texts[HERE] == f"[TOK] {name} rides"


def test_training_draws_every_way_and_no_other() -> None:
    rng = np.random.default_rng(0)
    assert {training_text("A man rides.", rng) for _ in range(60)} == {
        "[TOK] rides.",
        "A man ([TOK]) rides.",
        "A man (whose name is [TOK]) rides.",
    }
    prompts = {
        "An image with [TOK].",
        "An image containing [TOK].",
        "[TOK].",
        "A picture of [TOK].",
        "[TOK] in the image.",
        "There is [TOK] in the picture.",
    }
    assert {training_text("Two men ride.", rng) for _ in range(90)} == {
        f"{prompt} Two men ride." for prompt in prompts
    }
    assert {training_text("A man.", rng, in_place=False) for _ in range(90)} == {
        f"{prompt} A man." for prompt in prompts
    }
    assert {training_entity_text(rng) for _ in range(90)} == prompts


def test_the_same_seed_draws_the_same_texts() -> None:
    def drawn() -> list[str]:
        rng = np.random.default_rng(7)
        return [training_text("Two men ride.", rng) for _ in range(20)]

    assert drawn() == drawn()


def test_no_name_leaves_the_caption_as_it_is() -> None:
    assert plain_text(" A man  and\na dog. ") == "A man and a dog."


@pytest.mark.parametrize("caption", ["", " \n", "A [TOK] rides"])
def test_a_caption_that_cannot_be_rewritten_is_named(caption: str) -> None:
    for rewrite in (
        lambda: evaluation_texts(caption, "Ann"),
        lambda: training_text(caption, np.random.default_rng(0)),
        lambda: plain_text(caption),
    ):
        with pytest.raises(InvalidCaption, match="caption"):
            rewrite()


def test_unknown_choices_are_named() -> None:
    with pytest.raises(InvalidCaption, match=r"conf7.*known: names, conf1"):
        evaluation_texts("A man", "Ann", configuration="conf7")
    with pytest.raises(InvalidCaption, match="no template 11"):
        evaluation_texts("A man", "Ann", template=11)
    with pytest.raises(InvalidCaption, match="no template -1"):
        entity_texts("Ann", template=-1)
    with pytest.raises(InvalidCaption, match="name is empty"):
        entity_texts(" ")
    with pytest.raises(InvalidCaption, match="holds"):
        entity_texts("Ann [TOK]")


words = st.sampled_from(
    [*KEYWORDS, "men", "woman's", "Man", "human-like", "a", "the", "x", ",", "."]
)


@given(st.lists(words, min_size=1, max_size=8))
def test_marks_and_words_survive_any_caption(chosen: list[str]) -> None:
    caption = " ".join(chosen)
    parts = parted(caption)
    if parts:
        assert "".join(parts) == caption
        assert parts.keyword.lower() in KEYWORDS
    for key, configuration in CONFIGURATIONS.items():
        marks = (configuration.lead + configuration.person).count(TOK)
        for text in evaluation_texts(caption, "Zed", configuration=key, template=None):
            assert text.count(TOK) == marks
            assert text.count("Zed") == configuration.person.count("[NAME]")
            assert "ENTITY" not in text
            assert "KEYWORD" not in text
