"""Each kind of bad file gives one line with the file and the reason, or its readable part."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from bad_files import (
    claimed_size,
    no_frame,
    noise,
    picture,
    sound_only,
    text,
    unknown_codec,
    write,
)
from PIL import Image
from videos import cut_off, encode, read_number

from vidsearch.errors import UnreadableVideo
from vidsearch.media import Decoder, decode, find_videos, fingerprint, probe, read_picture

REPO = Path(__file__).resolve().parents[2]


def reason_of(path: Path) -> str:
    with pytest.raises(UnreadableVideo) as raised:
        probe(path)
    assert "\n" not in str(raised.value)
    assert path.name in str(raised.value)
    return raised.value.reason


def numbers(decoder: Decoder) -> list[int]:
    return [read_number(frame.small) for frame in decoder]


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "gone.mp4") == "does not exist"


def test_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder.mp4"
    folder.mkdir()
    assert reason_of(folder) == "is a folder, not a video"


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert reason_of(tmp_path / "pipe.mp4") == "is not a regular file"


def test_an_empty_file(tmp_path: Path) -> None:
    assert reason_of(write(tmp_path / "a.mp4", b"")) == "is empty"


def test_text_named_as_a_video(tmp_path: Path) -> None:
    assert reason_of(text(tmp_path / "a.mp4")) == "is text, not a video"


def test_a_playlist_opens_nothing_else(tmp_path: Path) -> None:
    encode(tmp_path / "real.ts")
    playlist = b"#EXTM3U\n#EXTINF:2,\nreal.ts\n#EXT-X-ENDLIST\n"
    assert reason_of(write(tmp_path / "a.mp4", playlist)) == "is text, not a video"
    concat = tmp_path / "concat:real.ts"
    assert reason_of(concat) == "does not exist"


def test_noise(tmp_path: Path) -> None:
    assert reason_of(noise(tmp_path / "a.mkv")).startswith("is not a video that can be read")


def test_sound_without_pictures(tmp_path: Path) -> None:
    assert reason_of(sound_only(tmp_path / "a.mp4")) == "holds sound but no video"


def test_a_song_with_a_cover_is_no_video(tmp_path: Path) -> None:
    cover = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(cover, "JPEG")
    picture = b"\x00image/jpeg\x00\x03\x00" + cover.getvalue()
    frame = b"APIC" + len(picture).to_bytes(4, "big") + b"\x00\x00" + picture
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    with av.open(str(tmp_path / "a.mp3"), "w") as container:
        stream = container.add_stream("libmp3lame", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), "fltp", "mono")
        sound.sample_rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    song = (tmp_path / "a.mp3").read_bytes()
    path = write(tmp_path / "b.mp3", b"ID3\x03\x00\x00" + size + frame + song)
    assert reason_of(path) == "holds sound but no video"


def test_a_file_cut_off_before_its_index(tmp_path: Path) -> None:
    path = cut_off(encode(tmp_path / "a.mp4"))
    assert reason_of(path).startswith("is cut off: its index (moov) is missing")


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("index-first.mp4", {"container": {"movflags": "faststart"}}),
        ("fragmented.mp4", {"container": {"movflags": "frag_keyframe+empty_moov"}}),
        ("a.mkv", {}),
        ("sound.mkv", {"audio": True}),
        ("a.flv", {}),
        ("a.avi", {"codec": "mpeg4"}),
        ("a.mxf", {"codec": "mpeg2video", "pix_fmt": "yuv422p"}),
    ],
)
def test_the_readable_part_of_a_cut_file_is_read(name: str, how: dict, tmp_path: Path) -> None:
    path = cut_off(encode(tmp_path / name, n_frames=100, **how))
    with decode(path) as frames:
        found = numbers(frames)
    assert 20 < len(found) < 80
    # The cut may fall between a frame and those that are stored behind it but shown before.
    assert found[:-1] == list(range(len(found) - 1))
    assert 1 <= found[-1] - found[-2] <= 3
    assert frames.truncated
    seconds = f"{(found[-1] + 1) / 25:.1f}"
    assert frames.problem == f"is cut off: only the first {seconds} s can be read"


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts"])
def test_damage_in_the_middle_is_skipped(name: str, tmp_path: Path) -> None:
    how = {"codec": "mpeg4", "colorspace": 6} if name.endswith("avi") else {}
    path = encode(tmp_path / name, n_frames=100, **how)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    write(path, bytes(data))
    found, times = [], []
    with decode(path) as frames:
        for frame in frames:
            times.append(frame.time_s)
            try:
                found.append(read_number(frame.small))
            except ValueError:  # a picture that shows the damage
                found.append(-1)
    assert found[:20] == list(range(20))
    assert found[-10:] == list(range(90, 100))
    assert times == sorted(set(times))


def test_damage_is_counted_and_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", n_frames=100)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    write(path, bytes(data))
    with decode(path) as frames:
        n_read = sum(1 for _ in frames)
    assert frames.n_damaged > 0
    assert n_read + frames.n_damaged == 100
    assert frames.problem == f"is damaged: {frames.n_damaged} unreadable pieces were skipped"
    assert not frames.truncated


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_no_damage_ends_in_anything_but_a_reason(suffix: str, tmp_path: Path) -> None:
    how = {"codec": "mpeg4", "colorspace": 6} if suffix == ".avi" else {}
    whole = encode(tmp_path / f"whole{suffix}", n_frames=25, audio=True, **how).read_bytes()
    rng = np.random.default_rng(5)
    for n in range(25):
        data = bytearray(whole)
        reach = 1500 if n % 3 == 0 else len(data)  # headers deserve more than their share
        for position in rng.integers(reach, size=20):
            data[position] = rng.integers(256)
        path = write(
            tmp_path / f"{n}{suffix}", bytes(data[: rng.integers(len(data) // 2, len(data))])
        )
        with contextlib.suppress(UnreadableVideo):
            with decode(path) as frames:
                for frame in frames:
                    assert frame.picture().ndim == 3
            assert read_picture(path, 0.5).ndim == 3


def test_a_stream_that_appears_in_the_middle_does_no_harm(tmp_path: Path) -> None:
    silent = encode(tmp_path / "1.ts").read_bytes()
    loud = encode(tmp_path / "2.ts", audio=True).read_bytes()
    with decode(write(tmp_path / "joined.ts", silent + loud)) as frames:
        assert numbers(frames) == [*range(50), *range(50)]


def test_a_title_that_is_not_unicode_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    plain = encode(tmp_path / "b.avi", codec="mpeg4", colorspace=6)
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        target.metadata["title"] = "X" * 12
        copy = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    data = path.read_bytes()
    assert b"X" * 12 in data
    write(path, data.replace(b"X" * 12, b"M\xfcnchen 1984"))
    with decode(path) as frames:
        assert numbers(frames) == list(range(50))


def test_an_unknown_codec(tmp_path: Path) -> None:
    reason = reason_of(unknown_codec(tmp_path / "a.mp4"))
    assert reason.startswith("uses a codec that FFmpeg does not know")


def test_a_stream_without_a_frame(tmp_path: Path) -> None:
    assert reason_of(no_frame(tmp_path / "a.mp4")) in (
        "holds no frame that can be decoded",
        "holds no video",
    )


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".webp", ".bmp", ".tif", ".mp4"])
def test_a_picture(suffix: str, tmp_path: Path) -> None:
    path = picture(tmp_path / f"a{suffix}", "JPEG" if suffix == ".mp4" else None)
    assert reason_of(path) == "is a picture, not a video"


@pytest.mark.parametrize(("width", "height"), [(0, 0), (0, 180), (8, 8), (60_000, 60_000)])
def test_absurd_sizes(width: int, height: int, tmp_path: Path) -> None:
    reason = reason_of(claimed_size(tmp_path / "a.avi", width, height))
    assert "no size for a video" in reason or "no frame that can be decoded" in reason


def test_a_file_that_grows_while_it_is_read(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.ts", n_frames=100)
    with decode(path) as frames:
        iterator = iter(frames)
        next(iterator)
        with path.open("ab") as file:
            file.write(bytes(188 * 100))
        with pytest.raises(UnreadableVideo, match="still being written, index it again when"):
            list(iterator)


def test_a_file_that_somebody_is_still_writing(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])

    def write_on() -> None:
        time.sleep(0.4)
        with path.open("ab") as file:
            file.write(data[len(data) // 2 :])

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        assert reason_of(path).startswith("is still being written")
    finally:
        writer.join()


def test_a_file_that_has_just_been_written_is_fine(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4")
    os.utime(path)
    with decode(path) as frames:
        assert numbers(frames) == list(range(50))


def test_a_file_that_disappears(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4")
    with decode(path) as frames:
        iterator = iter(frames)
        next(iterator)
        path.unlink()
        with pytest.raises(UnreadableVideo, match="does not exist"):
            list(iterator)


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own may not be entered by others
        Path(folder).chmod(0o755)
        path = encode(Path(folder) / "secret.mp4")
        path.chmod(0)
        assert _reason_for_nobody(path) == "may not be read (no permission)"
        path.chmod(0o644)
        assert _reason_for_nobody(path) == "none"


def _reason_for_nobody(path: Path) -> str:
    """Why an unprivileged process cannot read a file: modes do not hold for root."""
    code = (
        "import os, sys\n"
        "from vidsearch.media import probe\n"
        "from vidsearch.errors import UnreadableVideo\n"
        "if os.getuid() == 0:\n"
        "    os.setgid(65534); os.setuid(65534)\n"
        "try:\n"
        "    probe(sys.argv[1])\n"
        "    print('none')\n"
        "except UnreadableVideo as error:\n"
        "    print(error.reason)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=REPO
    )
    assert not done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "name",
    [
        b"two words.mp4",
        b'it\'s "quoted".mp4',
        b"two\nlines.mp4",
        "emoji \U0001f3ac and ümläut.mp4".encode(),
        b"not \xff\xfe utf-8.mp4",
        b"-dash.mp4",
        b"percent%20%d.mp4",
        b"http:host.mp4",
        b"[brackets]*?.mp4",
    ],
)
def test_any_name_that_a_file_system_allows(name: bytes, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(name)
    encode(tmp_path / "plain.mp4", n_frames=12).rename(path)
    for given in ([path], [tmp_path], [os.fsencode(path)], [str(path)]):
        assert find_videos(given).files == (path,)
    assert len(fingerprint(path)) == 32
    with decode(path) as frames:
        assert numbers(frames) == list(range(12))
    assert read_number(read_picture(path, 0.2)) == 5
    assert read_number(read_picture(os.fsencode(path), 0.2)) == 5


@pytest.mark.parametrize("name", [b"two\nlines.mp4", b"\xff\xfe.mp4", b"esc\x1b[31m.mp4"])
def test_messages_stay_printable_on_one_line(name: bytes, tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideo) as raised:
        probe(write(tmp_path / os.fsdecode(name), b""))
    text = str(raised.value)
    assert text.isprintable()
    text.encode("utf-8")
