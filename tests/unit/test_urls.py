"""What is a path and what a URL, lists of files, and that no secret is shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsearch.errors import ArchiveUnavailable, VidsearchError
from vidsearch.file_lists import entries, read
from vidsearch.inputs import find_videos, printable
from vidsearch.opened import located
from vidsearch.remote import Remote
from vidsearch.urls import RemoteError, absolute, is_stored, place, without_secrets


@pytest.mark.parametrize(
    ("given", "is_at"),
    [
        ("s3://bucket/a/b c?.mp4", "s3://bucket/a/b c?.mp4"),
        (b"S3://bucket/folder/", "s3://bucket/folder"),
        ("s3a://bucket/x.mp4", "s3://bucket/x.mp4"),
        ("gcs://bucket/x.mp4", "gs://bucket/x.mp4"),
    ],
)
def test_a_url_is_an_object_whose_slashes_stay(given: str | bytes, is_at: str) -> None:
    assert place(given) == Remote(is_at)
    assert os.fsencode(place(given)) == absolute(given) == is_at.encode()


@pytest.mark.parametrize(
    ("given", "is_at"),
    [
        ("/a/b.mp4", "/a/b.mp4"),
        ("file:///a/b%20c.mp4", "/a/b c.mp4"),
        ("file://localhost/a#1.mp4", "/a#1.mp4"),
        ("file:///a/%FF.mp4", "/a/\udcff.mp4"),
        ("C:\\videos\\a.mp4", "C:\\videos\\a.mp4"),
    ],
)
def test_a_path_or_a_file_url_is_a_path(given: str, is_at: str) -> None:
    assert place(given) == Path(is_at)
    assert not is_stored(given)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://host/a.mp4?token=secret1", "of URLs only file://, gs://, s3:// are"),
        ("s3://AKIAKEY:secret1@bucket/a.mp4", "holds credentials"),
        ("s3://", "names no bucket"),
        ("file://host/a.mp4", "names another machine"),
    ],
)
def test_a_url_that_cannot_be_opened_is_one_failed_input_without_its_secret(
    url: str, says: str
) -> None:
    with pytest.raises(RemoteError, match=says):
        place(url)
    (bad, reason) = find_videos([url]).missing[0]
    assert says in reason
    assert "secret1" not in f"{bad}{reason}{printable(url)}"


def test_an_archive_is_kept_in_folders_and_on_s3_alone() -> None:
    assert str(located("s3://bucket/.vidsearch/")) == "s3://bucket/.vidsearch"
    with pytest.raises(ArchiveUnavailable, match="not on gs://"):
        located("gs://bucket/.vidsearch")


@given(
    st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"]), min_size=1),
)
def test_a_name_in_a_list_comes_out_as_it_is(name: str) -> None:
    raw = name.encode()
    assert entries(raw + b"\0" + raw + b"\0") == [raw, raw]
    kept = [raw] if raw.strip() and not raw.lstrip().startswith(b"#") else []
    listed = entries(b"# list\r\n\n" + raw + b"\r\n  \n")
    assert listed == kept


def test_a_list_may_hold_names_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_bytes(b"\xef\xbb\xbf/a/\xff.mp4\n# no\n\ns3://b/k x.mp4")
    assert read(file) == [b"/a/\xff.mp4", b"s3://b/k x.mp4"]
    with pytest.raises(VidsearchError, match=r"the list .* cannot be read"):
        read(tmp_path / "none")


def test_secrets_are_taken_out_of_whatever_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "veryverysecret")
    said = "GET https://b.s3.amazonaws.com/k?X-Amz-Signature=abc failed: veryverysecret"
    assert without_secrets(said) == (
        "GET https://b.s3.amazonaws.com/k failed: $AWS_SECRET_ACCESS_KEY"
    )
    assert without_secrets("s3://me:pass@bucket/k") == "s3://bucket/k"
    assert without_secrets("/videos/what? a day.mp4") == "/videos/what? a day.mp4"


def test_no_engine_of_stores_is_loaded_for_paths() -> None:
    code = (
        "import sys; from vidsearch.inputs import find_videos; find_videos(['/nowhere/at/all'])\n"
        "print([m for m in ('fsspec', 's3fs', 'botocore', 'vidsearch.remote') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_store_whose_package_is_absent_says_which_extra_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vidsearch import remote

    remote._made.cache_clear()
    monkeypatch.setitem(sys.modules, "s3fs", None)
    ((_, reason),) = find_videos(["s3://bucket/a.mp4"]).missing
    assert reason == "s3:// needs s3fs, which comes with: pip install 'vidsearch[s3]'"
