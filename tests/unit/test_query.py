"""A question is taken apart into the people enrolled, the context, and names of strangers."""

from __future__ import annotations

import subprocess
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vidsearch.errors import InvalidQuery, UnknownPerson
from vidsearch.names import key, words
from vidsearch.query import Query, parse, require_enrolled, wanted_scenes
from vidsearch.question import Scene
from vidsearch.records import Person


def person(name: str, *aliases: str) -> Person:
    return Person(name, name, aliases, (), 0.0)


PEOPLE = (
    person("Anna Rossi", "Annie"),
    person("Marco Bianchi"),
    person("Lin-Manuel Miranda"),
    person("Barack Obama", "Obama"),
    person("Søren Kierkegård"),
    person("李安"),
    person("アンナ・ロッシ"),
    person("김연아"),
    person("Йордан Ёлкин"),
    person("Seán O’Brien"),
    person("Rose"),
)


def names(query: Query) -> list[str]:
    return [person.name for person in query.people]


def ask(text: str, **options: object) -> Query:
    return parse(text, PEOPLE, **options)  # type: ignore[arg-type]


def scene_of(text: str, **options: object) -> Scene | None:
    """The one scene of a question, if it has one."""
    scenes = wanted_scenes(ask(text, **options).tree)
    assert len(scenes) < 2
    return scenes[0] if scenes else None


@pytest.mark.parametrize(
    ("text", "people", "context"),
    [
        (
            "Anna Rossi giving a speech outdoors",
            ["Anna Rossi"],
            "a person giving a speech outdoors",
        ),
        ("a speech by Anna Rossi", ["Anna Rossi"], "a speech by a person"),
        ("ANNA ROSSI dancing", ["Anna Rossi"], "a person dancing"),
        ("annie dancing", ["Anna Rossi"], "a person dancing"),
        ("anna rossi's dog", ["Anna Rossi"], "a person's dog"),
        ("lin manuel miranda singing", ["Lin-Manuel Miranda"], "a person singing"),
        ("soren kierkegard reading", ["Søren Kierkegård"], "a person reading"),
        ("sean o'brien reading", ["Seán O’Brien"], "a person reading"),
        ("the Anna Rossi interview", ["Anna Rossi"], "a person interview"),
        ("President Obama waving", ["Barack Obama"], "a person waving"),
        ("show me shots of Anna Rossi in Rome", ["Anna Rossi"], "a person in Rome"),
        ("李安在演讲", ["李安"], "a person 在演讲"),
        ("アンナ・ロッシが歌う", ["アンナ・ロッシ"], "a person が歌う"),
        ("김연아가 스케이트를 탄다", ["김연아"], "a person 가 스케이트를 탄다"),
        ("иордан елкин поёт", ["Йордан Ёлкин"], "a person поёт"),
    ],
)
def test_a_name_becomes_a_person_and_the_rest_the_context(
    text: str, people: list[str], context: str
) -> None:
    query = ask(text)
    assert names(query) == people
    assert query.context == context
    assert query.unknown == ()


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ("Anna Rossi and Marco Bianchi shaking hands", "two people shaking hands"),
        ("Marco Bianchi with Anna Rossi at a table", "two people at a table"),
        ("Anna Rossi hugging Marco Bianchi", "a person hugging another person"),
        (
            "Anna Rossi greets Marco Bianchi while Anna Rossi smiles",
            "a person greets another person while the person smiles",
        ),
        ("Anna Rossi AND Marco Bianchi", ""),
    ],
)
def test_all_who_are_named_must_be_in_the_shot(text: str, context: str) -> None:
    query = ask(text)
    assert set(names(query)) == {"Anna Rossi", "Marco Bianchi"}
    assert query.context == context


def test_a_list_of_names_is_counted() -> None:
    query = ask("Anna Rossi, Obama, and Marco Bianchi singing")
    assert len(query.people) == 3
    assert query.context == "three people singing"


@pytest.mark.parametrize(
    "text", ["Anna Rossi", " anna   rossi. ", "find Annie", "shots of Anna Rossi", "the Anna Rossi"]
)
def test_only_a_name_leaves_no_context(text: str) -> None:
    query = ask(text)
    assert names(query) == ["Anna Rossi"]
    assert query.context == ""


@pytest.mark.parametrize(
    "text",
    [
        "people sitting in an audience",
        "a rose in a vase",
        "a mariannie in the sea",
        "rossi",
        "a man",
    ],
)
def test_without_a_name_all_of_it_is_context(text: str) -> None:
    query = ask(text)
    assert query.people == ()
    assert query.context == text
    assert query.unknown == ()


def test_the_longest_name_wins() -> None:
    family = (person("Anna"), person("Anna Rossi"), person("Anna Rossi Bianchi"))
    assert names(parse("Anna Rossi Bianchi and Anna singing", family)) == [
        "Anna Rossi Bianchi",
        "Anna",
    ]
    assert names(parse("Anna Rossi singing", family)) == ["Anna Rossi"]


def test_a_name_of_two_people_must_be_written_in_full() -> None:
    twins = (person("Anna Rossi", "Anna"), person("Anna Bianchi", "anná"))
    with pytest.raises(InvalidQuery, match='"Anna" may be Anna Rossi or Anna Bianchi'):
        parse("Anna singing", twins)
    assert names(parse("Anna Bianchi singing", twins)) == ["Anna Bianchi"]


def test_a_name_that_is_a_word_needs_its_capital_inside_a_sentence() -> None:
    assert names(ask("a vase beside Rose")) == ["Rose"]
    assert names(ask("rose dancing")) == ["Rose"]
    assert names(ask("a man with a rose")) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Joe Biden giving a speech", "Joe Biden"),
        ("Joe Biden", "Joe Biden"),
        ("Joe Biden's speech", "Joe Biden"),
        ("Joe Biden Giving A Speech", "Joe Biden"),
        ("Joe Biden speech", "Joe Biden"),
        ("President Joe Biden speaking", "Joe Biden"),
        ("a speech by Joe Biden", "Joe Biden"),
        ("videos with Joe Biden", "Joe Biden"),
        ("Anna Rossi and Joe Biden shaking hands", "Joe Biden"),
        ("George W. Bush waving", "George W. Bush"),
        ("Ludwig van Beethoven playing the piano", "Ludwig van Beethoven"),
        ("Jean-Luc Picard drinking tea", "Jean-Luc Picard"),
        ("Kevin O'Brien singing", "Kevin O'Brien"),
        ("Michelle Obama sitting in an audience", "Michelle Obama"),
        ("Pope Francis waving", "Pope Francis"),
        ("Manuel singing", "Manuel"),
        ("Anna Bianchi singing", "Anna Bianchi"),
        ("Anna Rossi or Joe Nobody", "Joe Nobody"),
        ("Anna Rossi or Merkel", "Merkel"),
        ("a street -Joe Nobody", "Joe Nobody"),
        ("a street without Joe Biden", "Joe Biden"),
        ("a street without Merkel", "Merkel"),
        ("beach AND NOT Joe Biden", "Joe Biden"),
        ("(Joe Biden or Anna Rossi) in a car", "Joe Biden"),
        ("eine Straße ohne Joe Biden", "Joe Biden"),
        ("a speech by Merkel", "Merkel"),
        ("an interview with Madonna in a studio", "Madonna"),
        ("anna rosi giving a speech", "anna rosi"),
    ],
)
def test_a_stranger_is_told_apart_from_the_context(text: str, name: str) -> None:
    query = ask(text)
    assert [unknown.name for unknown in query.unknown] == [name]
    with pytest.raises(UnknownPerson) as told:
        require_enrolled(query)
    assert f'"{name}" is not enrolled' in str(told.value)
    assert f'vidsearch people add "{name}" PHOTO...' in str(told.value)
    assert "--context-only" in str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        "White House at night",
        "New York skyline",
        "Rome at night",
        "Two Men Shaking Hands",
        "A Woman In A Red Dress",
        "Premier League match",
        "Golden Retriever running",
        "Eiffel Tower in the rain",
        "people in New Zealand",
        "a man at Central Park",
        "PEOPLE DANCING IN THE STREET",
        "Young Woman reading",
        "South Africa in summer",
        "Christmas Tree with lights",
        "London Bridge",
        "American Football players",
        '"Joe Biden" giving a speech',
        "a TV Studio",
        "BBC News",
        "The Beatles performing",
        "a dog playing with Frisbees",
        "a man with Nike shoes",
        "a view of Paris",
        "a song by ABBA",
        "eine Frau ohne Hut",
        "Strand UND NICHT Sonne",
        "ein Mann und Kinder",
    ],
)
def test_places_things_and_quoted_words_are_no_strangers(text: str) -> None:
    query = ask(text)
    assert query.unknown == ()
    assert query.people == ()
    require_enrolled(query)


def test_near_names_are_offered() -> None:
    (unknown,) = ask("Ana Rossi singing").unknown
    assert unknown.near[0] == "Anna Rossi"
    assert "near names: Anna Rossi" in unknown.message()
    (unknown,) = ask("Michelle Obama singing").unknown
    assert unknown.near == ("Barack Obama",)
    (unknown,) = ask("Joe Biden singing").unknown
    assert unknown.near == ()
    assert "near names" not in unknown.message()


def test_part_of_a_strangers_name_names_nobody_else() -> None:
    assert ask("Michelle Obama waving").people == ()
    assert ask("Anna Rossi beside Michelle Obama").people == (PEOPLE[0],)


def test_forced_people_are_asked_for_beside_the_text() -> None:
    query = ask("giving a speech", forced=["anna rossi", "Obama"])
    assert names(query) == ["Anna Rossi", "Barack Obama"]
    assert query.context == "giving a speech"
    assert names(ask("Anna Rossi singing", forced=["Annie"])) == ["Anna Rossi"]
    assert ask("", forced=["Annie"]).context == ""


@pytest.mark.parametrize(
    ("text", "marked", "marks"),
    [
        ("Anna Rossi giving a speech", "[TOK] giving a speech", ["Anna Rossi"]),
        ("the young Annie's speech", "the young [TOK]'s speech", ["Anna Rossi"]),
        (
            "Anna Rossi and Marco Bianchi shaking hands",
            "[TOK] and [TOK] shaking hands",
            ["Anna Rossi", "Marco Bianchi"],
        ),
        (
            "Marco Bianchi greets Anna Rossi while Annie smiles",
            "[TOK] greets [TOK] while [TOK] smiles",
            ["Marco Bianchi", "Anna Rossi", "Anna Rossi"],
        ),
        ("a dog on a sofa", "", []),
        ("Anna Rossi", "", []),
    ],
)
def test_a_mark_stands_for_each_person_where_they_are_named(
    text: str, marked: str, marks: list[str]
) -> None:
    scene = scene_of(text)
    assert (scene.marked if scene else "") == marked
    assert [person.name for person in (scene.marks if scene else ())] == marks


def test_who_is_forced_has_a_mark_before_the_text_unless_it_names_them() -> None:
    scene = scene_of("giving a speech", forced=["Annie"])
    assert scene is not None
    assert scene.marked == "[TOK]. giving a speech"
    assert [person.name for person in scene.marks] == ["Anna Rossi"]
    named = scene_of("Annie giving a speech", forced=["Anna Rossi"])
    assert named is not None
    assert named.marked == "[TOK] giving a speech"


def test_a_forced_name_must_be_enrolled() -> None:
    query = ask("giving a speech", forced=["Marco Bianco"])
    assert [unknown.name for unknown in query.unknown] == ["Marco Bianco"]
    with pytest.raises(UnknownPerson, match="near names: Marco Bianchi"):
        require_enrolled(query)


def test_context_only_takes_no_word_for_a_name() -> None:
    query = ask("Anna Rossi beside Joe Biden", context_only=True)
    assert query.people == ()
    assert query.unknown == ()
    assert query.context == "Anna Rossi beside Joe Biden"


@pytest.mark.parametrize("text", ["", "   ", "?!", "...", "\n\t", "—", "🙂"])
def test_a_question_without_a_word_is_refused(text: str) -> None:
    with pytest.raises(InvalidQuery, match="empty"):
        ask(text)


def test_such_words_elsewhere_are_a_part_of_the_context() -> None:
    assert ask("Anna Rossi without a hat").context == "a person without a hat"
    assert ask("a car or a bus").context == "a car or a bus"


@pytest.mark.parametrize(
    ("text", "perhaps"),
    [
        ("Merkel speaking", "Merkel"),
        ("Madonna", "Madonna"),
        ("Dogs running", ""),
        ("Paris street at night", ""),
        ("Anna Rossi singing", ""),
        ("merkel speaking", ""),
        ("NASA launching a rocket", ""),
    ],
)
def test_a_word_that_may_be_a_name_is_told_but_searched(text: str, perhaps: str) -> None:
    query = ask(text)
    assert query.unknown == ()
    assert query.perhaps == perhaps


PIECES = """Anna Rossi anna Annie Marco Bianchi Lin-Manuel Miranda 李安 and , 's the White House
singing with Joe Biden " OR o'brien rose é 🙂 김연아가 of"""
TEXTS = st.one_of(
    st.text(max_size=60), st.lists(st.sampled_from(PIECES.split()), max_size=9).map(" ".join)
)


@given(TEXTS)
def test_any_text_is_answered_or_refused_in_words(text: str) -> None:
    try:
        query = ask(text)
    except InvalidQuery:
        return
    assert query.tree is not None
    assert len({p.person_id for p in query.people}) == len(query.people)
    for unknown in query.unknown:
        assert (
            unknown.name in unicodedata.normalize("NFC", " ".join(text.split())) or unknown.forced
        )
        assert key(unknown.name) not in {key(name) for p in PEOPLE for name in p.names}


NAME = st.text(
    st.characters(categories=["Lu", "Ll", "Lo", "Mn", "Zs", "Pd"], exclude_characters="ͅ"),
    min_size=1, max_size=14,
)  # fmt: skip


@given(NAME, st.sampled_from(["{} singing", "a speech by {}", "people who greet {} in a hall"]))
def test_every_name_that_has_a_word_is_found_however_it_is_written(name: str, frame: str) -> None:
    assume(key(name))
    assume(" ".join(key(name)) not in frame)
    assume(not name.strip().startswith("-"))  # denies the name
    enrolled = (person(name),)
    for spelling in (name, name.upper(), unicodedata.normalize("NFD", name)):
        if key(spelling) == key(name):
            assert parse(frame.format(spelling), enrolled).people == enrolled


@given(st.text(max_size=40))
def test_words_lie_in_the_text_in_order_and_hold_all_letters(text: str) -> None:
    found = words(text)
    assert all(text[word.start : word.end] == word.text for word in found)
    assert all(one.end <= other.start for one, other in pairwise(found))
    inside = {at for word in found for at in range(word.start, word.end)}
    outside = "".join(char for at, char in enumerate(text) if at not in inside)
    assert not any(char.isascii() and char.isalnum() for char in outside)


@pytest.mark.parametrize("name", ['Dwayne "The Rock" Johnson', "A$AP Rocky", "O'Neil", "Wham!"])
def test_the_command_that_enrols_a_stranger_can_be_typed(name: str) -> None:
    (stranger,) = parse("", PEOPLE, forced=[name]).unknown
    (line,) = [line for line in stranger.message().splitlines() if "people add" in line]
    command = line.partition(": ")[2].replace("PHOTO...", "")
    done = subprocess.run(
        ["bash", "-c", f"printf '%s|' {command}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("|")[:4] == ["vidsearch", "people", "add", name]
