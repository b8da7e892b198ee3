"""Which files a user means by the paths that are given, and the name of a file's content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vidsearch.inputs import find_videos, fingerprint, looks_like_text, printable


def touch(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x00\x01" + path.name.encode())
    return paths


def test_folders_are_walked_and_sorted(tmp_path: Path) -> None:
    wanted = touch(tmp_path, "a/1.mp4", "a/2.MKV", "b/c/3.ts", "z.mov")
    assert find_videos([tmp_path]).files == tuple(wanted)


def test_hidden_and_other_files_are_passed_over_and_counted(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden.mp4", ".folder/a.mp4", "note.txt", "sub/photo.jpg", "sub/a.mp4")
    found = find_videos([tmp_path])
    assert [path.name for path in found.files] == ["a.mp4"]
    assert (found.n_hidden, found.n_other, found.missing) == (2, 2, ())


def test_a_file_named_by_itself_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    odd, hidden = touch(tmp_path, "recording.dat", ".hidden.mp4")
    assert find_videos([odd, hidden]).files == (odd, hidden)
    assert find_videos([tmp_path]).files == ()


def test_globs_are_widened(tmp_path: Path) -> None:
    a, b, deep = touch(tmp_path, "a.mp4", "b.mp4", "x/y/deep.mp4")
    touch(tmp_path, "a.txt")
    assert find_videos([f"{tmp_path}/*.mp4"]).files == (a, b)
    assert find_videos([f"{tmp_path}/**/*.mp4"]).files == (a, b, deep)
    found = find_videos([f"{tmp_path}/a*"])
    assert (found.files, found.n_other) == ((a,), 1)


def test_a_file_whose_name_looks_like_a_glob_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, "take 1.mp4")
    (brackets,) = touch(tmp_path, "take [1].mp4")
    assert find_videos([brackets]).files == (brackets,)


def test_what_is_not_there_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "dead.mp4").symlink_to(tmp_path / "gone")
    given = [tmp_path / "no.mp4", f"{tmp_path}/*.none", tmp_path / "dead.mp4"]
    found = find_videos(given)
    assert found.files == ()
    assert [(path.name, reason) for path, reason in found.missing] == [
        ("no.mp4", "does not exist"),
        ("dead.mp4", "is a link to something that does not exist"),
    ]
    assert found.unmatched == (f"{tmp_path}/*.none",)


def test_what_is_not_there_is_named_as_what_is_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_videos(["no.mp4"]).missing == ((tmp_path / "no.mp4", "does not exist"),)


def test_archives_are_passed_over_and_other_folders_with_such_a_file_are_not(
    tmp_path: Path,
) -> None:
    (video,) = touch(tmp_path, "a.mp4")
    for folder in ("archive/people.lance", "archive/cache", "mine"):
        (tmp_path / folder).mkdir(parents=True)
    touch(tmp_path / "archive", "archive.json", "cache/x.arrow", "people.lance/x.mp4")
    _, mine = touch(tmp_path / "mine", "archive.json", "b.mp4")
    found = find_videos([tmp_path])
    assert found.files == (video, mine)
    assert found.n_other == 1


def test_each_file_is_taken_once(tmp_path: Path) -> None:
    a, b = touch(tmp_path, "a.mp4", "b.mp4")
    assert find_videos([b, tmp_path, a, f"{tmp_path}/*.mp4"]).files == (b, a)


def test_links_that_lead_in_circles_end(tmp_path: Path) -> None:
    (video,) = touch(tmp_path, "a/b/1.mp4")
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    (tmp_path / "a/self").symlink_to(tmp_path / "a/self")
    (tmp_path / "a/b/again").symlink_to(tmp_path / "a/b")
    assert find_videos([tmp_path]).files == (video,)


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/1.mp4")
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive/link").symlink_to(tmp_path / "elsewhere")
    assert find_videos([tmp_path / "archive"]).files == (tmp_path / "archive/link/1.mp4",)


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (video,) = touch(tmp_path, "a/1.mp4")
    monkeypatch.chdir(tmp_path)
    assert find_videos(["a"]).files == (video,)
    assert find_videos(["a/1.mp4"]).files == (video,)
    assert find_videos(["*/*.mp4"]).files == (video,)


def test_typescript_is_not_taken_for_a_transport_stream(tmp_path: Path) -> None:
    (tmp_path / "code.ts").write_text("export const answer: number = 42;\n" * 50)
    (tmp_path / "video.ts").write_bytes(b"\x47\x40\x00\x10" + bytes(184))
    found = find_videos([tmp_path])
    assert [path.name for path in found.files] == ["video.ts"]
    assert found.n_other == 1


def test_undecodable_names_are_kept(tmp_path: Path) -> None:
    name = b"\xff\xfe.mp4"
    (tmp_path / os.fsdecode(name)).write_bytes(b"\x00")
    (file,) = find_videos([tmp_path]).files
    assert os.fsencode(file).endswith(name)
    assert find_videos([os.fsencode(file)]).files == (file,)
    assert printable(file).endswith("\\xff\\xfe.mp4")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain ümläut \U0001f3ac.mp4", "plain ümläut \U0001f3ac.mp4"),
        ("two\nlines", "two\\nlines"),
        ("esc\x1b[31m", "esc\\x1b[31m"),
        (b"\xe9.mp4", "\\xe9.mp4"),
    ],
)
def test_names_are_shown_on_one_printable_line(name: str | bytes, shown: str) -> None:
    assert printable(name) == shown


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"hello\tworld\r\n", True),
        ("Zürich 東京".encode(), True),
        (b"cut within a character \xc3", True),
        (b"\x00\x01", False),
        (b"", False),
        (b"\xff\xd8\xff\xe0 picture", False),
    ],
)
def test_text_is_told_from_data(head: bytes, text: bool) -> None:
    assert looks_like_text(head) is text


def test_a_fingerprint_survives_renaming_and_sees_changes(tmp_path: Path) -> None:
    data = bytearray(os.urandom(5 << 20))
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    name = fingerprint(path)
    assert len(name) == 32
    assert int(name, 16) >= 0

    moved = path.rename(tmp_path / "b.mov")
    os.utime(moved, (0, 0))
    assert fingerprint(moved) == name
    assert fingerprint(os.fsencode(moved)) == name

    for position in (0, len(data) // 2, len(data) - 1):
        changed = bytearray(data)
        changed[position] ^= 1
        moved.write_bytes(changed)
        assert fingerprint(moved) != name
    moved.write_bytes(data + b"\x00")
    assert fingerprint(moved) != name


@pytest.mark.parametrize("size", [0, 1, 1000, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_small_files_have_fingerprints_too(size: int, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\x07" * size)
    first = fingerprint(path)
    path.write_bytes(b"\x07" * (size + 1))
    assert fingerprint(path) != first
