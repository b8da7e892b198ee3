"""Identities are dealt evenly, to faces that look alike where looks are known."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idclip.cocopfs.assign import RESERVES, assign, uses
from idclip.cocopfs.looks import Look, look_of_photo, read_looks
from idclip.errors import VidsearchError

WOMAN, MAN, UNKNOWN = Look("female"), Look("male"), Look()


def crowd(n: int, look: Look = UNKNOWN, prefix: str = "p") -> dict[str, Look]:
    return {f"{prefix}{i}": look for i in range(n)}


@given(n_photos=st.integers(1, 40), n_people=st.integers(5, 30), seed=st.integers(0, 2**32))
def test_everybody_is_taken_about_equally_often(n_photos: int, n_people: int, seed: int) -> None:
    made = assign(crowd(n_photos, prefix="photo"), crowd(n_people), each=5, seed=seed)
    counts = uses(made)
    assert all(len(set(a.first)) == 5 for a in made)
    assert max(counts.values()) - min(counts[f"p{i}"] for i in range(n_people)) <= 1


def test_reserves_are_other_people() -> None:
    (made,) = assign(crowd(1, prefix="photo"), crowd(40), each=5, seed=0)
    assert len(made.reserve) == RESERVES * 5
    assert not set(made.first) & set(made.reserve)


def test_the_same_seed_gives_the_same_whatever_the_order() -> None:
    photos, people = crowd(20, prefix="photo"), crowd(12)
    turned = dict(reversed(photos.items())), dict(reversed(people.items()))
    assert assign(photos, people, each=3, seed=4) == assign(*turned, each=3, seed=4)
    assert assign(photos, people, each=3, seed=4) != assign(photos, people, each=3, seed=5)


def test_photos_go_to_people_who_look_alike() -> None:
    people = crowd(8, WOMAN, "w") | crowd(8, MAN, "m")
    made = assign({"a": WOMAN, "b": MAN, "c": UNKNOWN}, people, each=4, seed=1)
    by_photo = {a.photo: a for a in made}
    assert {name[0] for name in (*by_photo["a"].first, *by_photo["a"].reserve)} == {"w"}
    assert {name[0] for name in by_photo["b"].first} == {"m"}
    assert [by_photo[p].matched for p in "abc"] == [True, True, False]


def test_too_few_who_look_alike_are_completed_and_that_is_said() -> None:
    people = crowd(2, WOMAN, "w") | crowd(8, MAN, "m")
    (made,) = assign({"a": WOMAN}, people, each=4, seed=1)
    assert Counter(name[0] for name in made.first) == {"w": 2, "m": 2}
    assert not made.matched


def test_skin_tone_counts_too() -> None:
    people = {"light": Look("male", "light"), "dark": Look("male", "dark")}
    (made,) = assign({"a": Look("male", "dark")}, people, each=1, seed=0)
    assert made.first == ("dark",)


@pytest.mark.parametrize(
    ("captions", "gender"),
    [
        (["A man rides.", "Someone rides."], "male"),
        (["A woman.", "The lady in red."], "female"),
        (["A man.", "A woman."], ""),
        (["A human and a womanly shape."], ""),
    ],
)
def test_captions_say_a_photos_gender_when_they_agree(captions: list[str], gender: str) -> None:
    assert look_of_photo("1.jpg", captions, {}) == Look(gender)


def test_labels_are_read_and_go_before_captions(tmp_path: Path) -> None:
    file = tmp_path / "looks.csv"
    file.write_text("name,gender,skin\nAnna Rossi,F,dark\n1.jpg,male,\n")
    looks = read_looks(file)
    assert looks == {"Anna_Rossi": Look("female", "dark"), "1.jpg": Look("male")}
    assert look_of_photo("1.jpg", ["A woman."], looks) == Look("male")


@pytest.mark.parametrize("text", ["", "name,gender,skin\n", "who,gender\nAnna,f\n", "name\nAnna\n"])
def test_a_file_that_holds_no_labels_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "looks.csv"
    file.write_text(text)
    with pytest.raises(VidsearchError, match=r"looks\.csv"):
        read_looks(file)
