"""And, or, not, brackets and quotes: what a question's tree is, and that it can be written down."""

from __future__ import annotations

from itertools import product
from time import perf_counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from questions_people import PEOPLE, person, read, said

from vidsearch.errors import InvalidQuery
from vidsearch.grammar import denied, joined
from vidsearch.grammar_text import drawn, to_text
from vidsearch.names import key, normal
from vidsearch.query import Query, parse
from vidsearch.question import AllOf, AnyOf, Like, Node, Not, Scene, Someone
from vidsearch.records import Person


def same(one: Node | None, other: Node | None) -> bool:
    """Whether two trees are the same, by people's ids."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Someone) and isinstance(other, Someone):
        return one.person.person_id == other.person.person_id
    if isinstance(one, Scene) and isinstance(other, Scene):
        return (one.text, one.marked, one.named, [p.person_id for p in one.marks]) == (
            other.text, other.marked, other.named, [p.person_id for p in other.marks],
        )  # fmt: skip
    if isinstance(one, Not) and isinstance(other, Not):
        return same(one.part, other.part)
    if isinstance(one, (AllOf, AnyOf)) and isinstance(other, (AllOf, AnyOf)):
        return len(one.parts) == len(other.parts) and all(map(same, one.parts, other.parts))
    return one is other


# --- what becomes what; docs/questions.md has more ------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        # NOT before AND before OR, in capitals and in brackets
        ("Anna OR Marco AND Obama", '"Anna Rossi" OR ("Marco Bianchi" AND "Barack Obama")'),
        ("Anna OR Marco AND beach", '"Anna Rossi" OR ("Marco Bianchi" AND "beach")'),
        ("beach AND Anna OR Marco", '("beach" AND "Anna Rossi") OR "Marco Bianchi"'),
        ("beach AND (Anna OR Marco)", '"beach" AND ("Anna Rossi" OR "Marco Bianchi")'),
        ("NOT Anna OR Marco", 'NOT "Anna Rossi" OR "Marco Bianchi"'),
        ("NOT beach AND sea", 'NOT "beach" AND "sea"'),
        ("NOT (beach AND sea)", 'NOT ("beach" AND "sea")'),
        ("NOT NOT Anna", '"Anna Rossi"'),
        ("a OR (b OR c)", '"a" OR "b" OR "c"'),
        ("Anna AND Anna Rossi", '"Anna Rossi"'),
        ("ANNA ROSSI AND NOT MARCO BIANCHI", '"Anna Rossi" AND NOT "Marco Bianchi"'),
        ("PEOPLE DANCING AND SINGING", '"PEOPLE DANCING AND SINGING"'),
        # small words: a list after without, not ... or, neither
        ("Anna but not Marco or Obama", '"Anna Rossi" AND NOT ("Marco Bianchi" OR "Barack Obama")'),
        ("Anna but not Marco and Obama", '"Anna Rossi" AND NOT "Marco Bianchi" AND "Barack Obama"'),
        ("weder Anna noch Marco", 'NOT ("Anna Rossi" OR "Marco Bianchi")'),
        ("not Anna but Marco", 'NOT "Anna Rossi" AND "Marco Bianchi"'),
        # words of the scene
        ("nobody in a street", '"nobody in a street"'),
        ("sin city at night", '"sin city at night"'),
        ("an o in the sand, y not", '"an o in the sand, y not"'),
        ("ma and pa, no hat", '"ma and pa, no hat"'),
        ("either a dog or a cat", '"either a dog or a cat"'),
        ("black and white", '"black and white"'),
        ("a well-known actor - left", '"a well-known actor - left"'),
        ("-5 degrees", '"5 degrees"'),
        ("a man (left) and a woman", '"a man left and a woman"'),
        # quotes and brackets
        ('"beach" or "sea"', '"beach" OR "sea"'),
        ("(a beach) or (a street)", '"a beach" OR "a street"'),
        ('a "red or blue" car', '"a red or blue car"'),
        ('"AND" sign', '"AND sign"'),
        ('"Anna Rossi" "Marco Bianchi"', '"Anna Rossi" AND "Marco Bianchi"'),
        ('„Anna Rossi“ oder «Marco Bianchi»', '"Anna Rossi" OR "Marco Bianchi"'),
        ("（Anna or Marco）", '"Anna Rossi" OR "Marco Bianchi"'),
        ('"Rose"', '"Rose"'),
        ('"a rose"', '"a rose"'),
        ("Anna (or Marco) in a car", read("Anna or Marco in a car")),
        ("Anna Rossi (but not Marco)", '"Anna Rossi" AND NOT "Marco Bianchi"'),
        ("(Anna Rossi Marco Bianchi) OR beach", '("Anna Rossi" AND "Marco Bianchi") OR "beach"'),
        ("Anna and/or Marco", '"Anna Rossi" OR "Marco Bianchi"'),
        ("Anna AND/OR Marco", '"Anna Rossi" OR "Marco Bianchi"'),
        # names
        ('Dwayne "The Rock" Johnson', '"Dwayne The Rock Johnson"'),
        ("李安 OR アンナ・ロッシ", '"李安" OR "アンナ・ロッシ"'),
        ("李安和アンナ・ロッシ", '"李安" AND "アンナ・ロッシ"'),
        ("Иордан Елкин OR O'Brien", '"Йордан Ёлкин" OR "Seán O’Brien"'),
        ("beach -O'Brien", '"beach" AND NOT "Seán O’Brien"'),
        ("lin -manuel miranda", '"Lin-Manuel Miranda"'),
        ("shots of Anna", '"Anna Rossi"'),
        ("videos without Anna", 'NOT "Anna Rossi"'),
    ],
)  # fmt: skip
def test_a_question_becomes_this_tree(text: str, tree: str) -> None:
    assert read(text) == tree


def test_a_caption_marks_those_it_names_and_not_those_who_are_one_of_several() -> None:
    tree = parse("Anna and Marco greeting Obama or Rose", PEOPLE).tree
    assert isinstance(tree, AllOf)
    scene = next(part for part in tree.parts if isinstance(part, Scene))
    assert scene.text == "two people greeting another person"
    assert scene.marked == "[TOK] and [TOK] greeting another person"
    assert [p.name for p in scene.marks] == ["Anna Rossi", "Marco Bianchi"]
    assert scene.named
    tree = parse("Anna or Marco in a car", PEOPLE).tree
    assert isinstance(tree, AllOf)
    assert isinstance(scene := tree.parts[1], Scene)
    assert (scene.text, scene.marked, scene.marks, scene.named) == (
        "a person in a car",
        "",
        (),
        True,
    )


def test_a_scene_beside_names_of_other_clauses_is_not_named() -> None:
    tree = parse("Anna AND beach", PEOPLE).tree
    assert isinstance(tree, AllOf)
    assert isinstance(tree.parts[1], Scene)
    assert not tree.parts[1].named


def test_what_is_given_beside_the_text_is_asked_for_as_well() -> None:
    like = Like("photo.jpg", PEOPLE[0])  # type: ignore[arg-type]  # the vector is not read here
    who = person("face in photo.jpg")
    query = parse("beach", PEOPLE, faces=[who], likes=[like], negative=["Anna", "red car"])
    assert query.tree is not None
    assert drawn(query.tree).splitlines() == [
        "all of",
        "├─ person: face in photo.jpg",
        "├─ like: photo.jpg",
        "├─ scene: beach",
        "├─ not person: Anna Rossi",
        "└─ not scene: red car",
    ]
    assert [p.name for p in query.people] == ["face in photo.jpg"]
    alone = parse("", PEOPLE, likes=[like]).tree
    assert alone is like
    either = parse("Anna or Marco", PEOPLE, forced=["Obama"]).tree
    assert said(either) == '"Barack Obama" AND ("Anna Rossi" OR "Marco Bianchi")'
    (unknown,) = parse("beach", PEOPLE, negative=["Joe Biden dancing"]).unknown
    assert unknown.name == "Joe Biden"
    with pytest.raises(InvalidQuery, match="--negative"):
        parse("beach", PEOPLE, negative=[" "])


def test_a_tree_is_drawn_a_node_a_line() -> None:
    tree = parse("(Anna or Marco) in a car AND NOT (Rose AND beach)", PEOPLE).tree
    assert tree is not None
    assert drawn(tree).splitlines() == [
        "all of",
        "├─ any of",
        "│  ├─ person: Anna Rossi",
        "│  └─ person: Marco Bianchi",
        "├─ scene: a person in a car",
        "└─ not all of",
        "   ├─ person: Rose",
        "   └─ scene: beach",
    ]


def test_with_context_only_names_are_words_and_operators_remain() -> None:
    tree = parse("Anna Rossi AND NOT Land Rover", PEOPLE, context_only=True).tree
    assert said(tree) == '"Anna Rossi" AND NOT "Land Rover"'
    assert isinstance(tree, AllOf)
    assert isinstance(tree.parts[0], Scene)


# --- who is meant ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("Kennedy giving a speech", "John F. Kennedy or Robert Kennedy"),
        ("a street without Kennedy", "John F. Kennedy or Robert Kennedy"),
    ],
)
def test_a_surname_of_several_people_is_asked_back(text: str, candidates: str) -> None:
    with pytest.raises(InvalidQuery, match=f'"Kennedy" may be {candidates}: write'):
        read(text)


def test_names_that_overlap_are_asked_back() -> None:
    people = (person("Anna Maria"), person("Maria Rossi"))
    with pytest.raises(InvalidQuery, match='"Anna Maria Rossi" may be Anna Maria or Maria Rossi'):
        parse("Anna Maria Rossi singing", people)
    assert said(parse('"Anna Maria" Rossi singing', people).tree).startswith('"Anna Maria"')
    assert said(parse("Anna Maria, Maria Rossi", people).tree) == '"Anna Maria" AND "Maria Rossi"'


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Will Smith dancing", ["Will Smith"]),
        ("Will smiling", ["Will Smith"]),
        ("people will dance", []),
        ("May speaking in parliament", ["Theresa May"]),
        ("a parade in May", []),
        ("it may rain", []),
        ("Beethoven playing", ["Ludwig van Beethoven"]),
        ("L. van Beethoven playing", ["Ludwig van Beethoven"]),
        ("J. Kennedy waving", ["John F. Kennedy"]),
        ("R. Kennedy waving", ["Robert Kennedy"]),
        ("O'Brien's car", ["Seán O’Brien"]),
        ("Marco Polo waving", []),
        ("anna dancing", []),
        ("ROSSI dancing in the street", ["Anna Rossi"]),
    ],
)
def test_a_part_of_a_name_names_its_person_where_it_is_written_as_one(
    text: str, names: list[str]
) -> None:
    assert [p.name for p in parse(text, PEOPLE).people] == names


@pytest.mark.parametrize(
    ("words", "tree"),
    [
        (("or", "o", "oder", "ou", "u", "oppure", "OR"), '"Anna Rossi" OR "Barack Obama"'),
        (("and", "e", "und", "et", "y", "with", "&", "AND"), '"Anna Rossi" AND "Barack Obama"'),
        (
            ("but not", "ma non", "aber nicht", "mais pas", "pero no", "without", "ohne", "sans",
             "senza", "sin", "NOT", "and not", "AND NOT", "ausser", "sauf", "tranne", "salvo"),
            '"Anna Rossi" AND NOT "Barack Obama"',
        ),
    ],
)  # fmt: skip
def test_operators_of_five_languages_between_whole_names_and_parts(
    words: tuple[str, ...], tree: str
) -> None:
    for one, word, other in product(("Anna", "Anna Rossi"), words, ("Obama", "Barack Obama")):
        assert read(f"{one} {word} {other}") == tree


# --- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a (red car", r"The bracket at character 3 \(\(red car\) is never closed"),
        ("a red) car", "The bracket at character 6 .* was never opened"),
        ('a "red car', "The quote at character 3 .* is never closed"),
        ("a () car", "The brackets at character 3 .* hold nothing"),
        ("AND beach", '"AND" at character 1 .* has nothing before it'),
        ("beach OR", '"OR" at character 7 .* has nothing after it'),
        ("beach AND OR sea", '"AND" at character 7 .* has nothing after it'),
        ("beach AND NOT", '"NOT" at character 11 .* has nothing after it'),
        ("Anna Rossi or", '"or" at character 12 .* has nothing after it'),
        ("(beach OR) AND sea", '"OR" at character 8 .* has nothing after it'),
        ("(" * 60 + "Anna" + ")" * 60, "Brackets lie more than 40 deep"),
    ],
)
def test_a_fault_is_told_with_its_place(text: str, fault: str) -> None:
    with pytest.raises(InvalidQuery, match=fault):
        read(text)


TEXT = """Anna Rossi anna Marco Bianchi O'Brien 李安 Rose and or not without but neither nor AND
OR NOT ( ) " - -Anna -" , 's the
with singing car Joe Biden e o y sin ohne « » { } {a=Anna} & + 🙂 in a
J. A. Kennedy either both May will"""
PIECES = TEXT.split()


@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join),
                 st.lists(st.sampled_from(PIECES), max_size=12).map("".join)))  # fmt: skip
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        query = parse(text, PEOPLE)
    except InvalidQuery:
        return
    assert query.tree is not None
    if not query.unknown:
        again = parse(to_text(query.tree), PEOPLE)
        assert said(again.tree) == said(query.tree)


# --- written down and read again ------------------------------------------------------------------

LETTERS = st.characters(categories=["Lu", "Ll", "Lo"], exclude_characters="ͅ")
NAMES = st.lists(
    st.text(st.one_of(LETTERS, st.sampled_from("-'’.()&\"")), min_size=1, max_size=8),
    min_size=1, max_size=3,
).map(" ".join).map(normal).filter(lambda name: bool(key(name)))  # fmt: skip
SAID = "a dog on sofa AND or red (left) NOT 5 dancing street, without - the"
CAPTION = st.lists(
    st.sampled_from(SAID.split()),
    min_size=1, max_size=6,
).map(" ".join).filter(lambda text: bool(key(text)))  # fmt: skip


@st.composite
def enrolled(draw: st.DrawFn) -> tuple[Person, ...]:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique_by=key))
    return tuple(person(name) for name in names)


@st.composite
def trees(draw: st.DrawFn, people: tuple[Person, ...], depth: int = 3) -> Node:
    kind = draw(st.sampled_from(["someone", "scene", "all", "any", "not"] if depth else ["scene"]))
    if kind == "someone":
        return Someone(draw(st.sampled_from(people)))
    if kind == "scene":
        return draw(scenes(people))
    if kind == "not":
        return denied(draw(trees(people, depth - 1)))
    parts = draw(st.lists(trees(people, depth - 1), min_size=2, max_size=3))
    return joined(AllOf if kind == "all" else AnyOf, parts)


@st.composite
def scenes(draw: st.DrawFn, people: tuple[Person, ...]) -> Scene:
    text = draw(CAPTION)
    if draw(st.booleans()):
        return Scene(text)
    marks = tuple(draw(st.lists(st.sampled_from(people), max_size=3)))
    if not marks:
        return Scene(f"a person {text}", named=True)
    if draw(st.booleans()):
        return Scene(text, "[TOK]. " * len(marks) + text, marks, named=True)
    first, rest = marks[:1], marks[1:]
    noun = {0: "", 1: " and another person", 2: " and two people"}[len(rest)]
    marked = "[TOK]" + {0: "", 1: " and [TOK]", 2: " and [TOK] and [TOK]"}[len(rest)]
    if rest:
        return Scene(f"a person{noun} {text}".replace("a person and", "people with"),
                     f"{marked} {text}", (*first, *rest), named=True)  # fmt: skip
    return Scene(f"{text} a person {text}", f"{text} [TOK] {text}", marks, named=True)


@given(st.data())
def test_a_tree_written_down_is_read_as_the_same_tree(data: st.DataObject) -> None:
    people = data.draw(enrolled())
    tree = data.draw(trees(people))
    words = set(key(f"{SAID} person another two people with and"))
    assume(not any(words & set(key(p.name)) for p in people))
    text = to_text(tree)
    assert same(parse(text, people).tree, tree), text


# --- speed ----------------------------------------------------------------------------------------


def test_a_thousand_names_are_no_burden() -> None:
    """A bound far from what it takes (some 3 ms), so that only another order of growth fails."""
    people = [person(f"First{n} van Last{n % 300}") for n in range(1000)]
    text = "First7 van Last7 or First8 van Last8 shaking hands with First9 without First11"
    query = parse(text, people)
    assert len(query.people) == 3
    start = perf_counter()
    for _ in range(5):
        parse(text, people)
    assert (perf_counter() - start) / 5 < 0.25


def test_a_query_says_what_it_asks_in_words_too() -> None:
    query: Query = parse("Anna or Marco in a car without Obama", PEOPLE)
    assert [p.name for p in query.people] == ["Anna Rossi", "Marco Bianchi"]
    assert query.context == "a person in a car"
