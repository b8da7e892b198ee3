"""The generated archive as files: videos to index, photos to enrol from and to ask by, the truth.

    python tests/generated_archive.py FOLDER     # make it and look at it

Photos come from LFW (people of its "test" part, on whom nothing was fitted), Flickr8k's test photos
and COCO's val photos, and enter no repository.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import av
import cv2
import numpy as np
from generated_pictures import HEIGHT, WIDTH, frames
from generated_plan import (
    ABSENT,
    CAST,
    KEPT_OUT,
    PROGRAMMES,
    UNNAMED,
    Cast,
    Planned,
    Programme,
    plan,
)
from generated_scenes import TOPICS, Picture, Scene, pictures, scenes
from PIL import Image

NEEDED = ("lfw90.tar", "flickr8k/images.tar", "flickr8k/captions.csv", "coco-mini/val2017")
VERSION = 1  # of the recipe
_SWAP_FROM = 0.12  # of the photo's width: a smaller face is not replaced
_SAME_PHOTO = 0.97  # correlation from which two of LFW's photos are taken for one


@dataclass(frozen=True)
class TrueShot:
    """What a shot of a video shows: seconds `[start_s, end_s)`, people of the cast, topics."""

    video: str
    start_s: float
    end_s: float
    people: tuple[str, ...]
    strangers: int
    topics: tuple[str, ...]
    scene: str
    layout: str
    photos: tuple[str, ...]  # of LFW, of everybody in front


@dataclass(frozen=True)
class Generated:
    """A folder with `videos/`, `photos/PERSON/*.jpg`, `like/TOPIC.jpg` and the truth."""

    folder: Path
    shots: tuple[TrueShot, ...]

    @property
    def videos(self) -> Path:
        return self.folder / "videos"

    def picture_of(self, topic: str) -> Path:
        """A photo of a topic that is in no video."""
        return self.folder / "like" / f"{topic}.jpg"

    def photos(self, person: Cast) -> list[Path]:
        """The photos to enrol somebody from, or to ask for them by."""
        return sorted((self.folder / "photos" / person.lfw).glob("*.jpg"))


def missing(data: Path) -> list[str]:
    """What of the development data is not there."""
    return [name for name in NEEDED if not (data / name).exists()]


def generate(folder: Path, data: Path) -> Generated:
    """Make the archive's files in `folder`, unless they are there already."""
    truth = folder / f"truth-{VERSION}.json"
    if not truth.is_file():
        shots = _made(folder, data)
        truth.write_text(json.dumps([vars(shot) for shot in shots], ensure_ascii=False, indent=0))
    rows = json.loads(truth.read_text())
    shots = [
        TrueShot(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()})
        for row in rows
    ]
    return Generated(folder, tuple(shots))


def _made(folder: Path, data: Path) -> list[TrueShot]:
    every = scenes(data)
    read = pictures(data, [scene.name for scene in every])
    names = _photo_names(data)
    portraits = _portraits(data, [n for of in names.values() for n in of])
    for person in (*CAST, *ABSENT, UNNAMED):
        names[person.lfw] = _enrolled_and_shown(folder, names[person.lfw], portraits, person)
    swapper = _Swapper()
    planned = plan(every, names, swapper.swappable(read))
    _write_others(folder / "like", every, {shot.scene.name for shot in planned}, read)
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    shots: list[TrueShot] = []
    for programme in PROGRAMMES:
        row = [shot for shot in planned if shot.programme == programme.name]
        shots += _video(
            folder / "videos" / programme.name, programme, row, read, portraits, swapper
        )
    return shots


def _write_others(
    place: Path, every: Sequence[Scene], used: set[str], read: Mapping[str, Picture]
) -> None:
    """Write, of each topic that has more photos than the videos show, one of these."""
    place.mkdir(parents=True, exist_ok=True)
    for topic in TOPICS:
        others = (s.name for s in every if s.topics == {topic} and s.name not in used)
        if name := next(others, ""):
            Image.fromarray(read[name]).save(place / f"{topic}.jpg", quality=95)


def _video(
    path: Path,
    programme: Programme,
    row: Sequence[Planned],
    read: Mapping[str, Picture],
    portraits: Mapping[str, Picture],
    swapper: _Swapper,
) -> list[TrueShot]:
    """Encode one programme; gives its shots with the seconds they really have."""
    shots = []
    count = 0
    recorded = datetime.fromisoformat(f"{programme.day}T20:00:00+00:00").astimezone(timezone.utc)
    with av.open(str(path), "w") as container:
        container.metadata["creation_time"] = recorded.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        options = {"preset": "veryfast", "crf": "23", "g": "50"}
        stream = container.add_stream("libx264", rate=programme.rate, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 2
        for shot in row:
            first = count
            scene, faces = read[shot.scene.name], [portraits[photo] for _, photo in shot.shown]
            if shot.layout == "swap":
                scene, faces = swapper.swapped(shot.scene.name, scene, faces[0]), []
            for picture in frames(shot, scene, faces, float(programme.rate)):
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts, frame.time_base = count, 1 / programme.rate
                container.mux(stream.encode(frame))
                count += 1
            shots.append(_true(shot, first / programme.rate, count / programme.rate))
        container.mux(stream.encode())
    os.utime(path, (recorded.timestamp(), recorded.timestamp()))
    return shots


def _true(shot: Planned, start: float, end: float) -> TrueShot:
    return TrueShot(
        shot.programme,
        float(start),
        float(end),
        shot.people,
        len(shot.shown) - len(shot.people),
        tuple(sorted(shot.scene.topics)),
        shot.scene.name,
        shot.layout,
        tuple(photo for _, photo in shot.shown),
    )


class _Swapper:
    """Puts a face of LFW in the place of the one face of a photo."""

    def __init__(self) -> None:
        from idclip.cocopfs.swap import load_swapper
        from idclip.faces import load_faces

        self._model = load_faces("default")
        self._swapper = load_swapper("classic")

    def swappable(self, read: Mapping[str, Picture]) -> frozenset[str]:
        """The photos with one face, and that large enough."""
        found = set()
        for name, picture in read.items():
            faces = self._model.detect(picture, long_side=max(picture.shape[:2]))
            if len(faces) == 1 and self._width(faces[0]) >= _SWAP_FROM * picture.shape[1]:
                found.add(name)
        return frozenset(found)

    def swapped(self, name: str, scene: Picture, portrait: Picture) -> Picture:
        old = self._model.detect(scene, long_side=max(scene.shape[:2]))[0]
        new = self._model.detect(portrait, long_side=192)
        if not new:
            raise AssertionError(f"no face in the portrait to put into {name}")
        return self._swapper.swap(scene, old, portrait, max(new, key=self._width))

    @staticmethod
    def _width(face: object) -> float:
        box = face.box  # type: ignore[attr-defined]
        return float(box[2] - box[0])


def _photo_names(data: Path) -> dict[str, list[str]]:
    """LFW's photos of its test people; one of those who are shown as strangers."""
    known = {person.lfw for person in (*CAST, *ABSENT, UNNAMED)}
    names: dict[str, list[str]] = defaultdict(list)
    with tarfile.open(data / "lfw90.tar") as tar:
        for name in sorted(tar.getnames()):
            who = Path(name).parent.name
            if name.endswith(".jpg") and zlib.crc32(who.encode()) % 10 < 4:
                names[who].append(name)
    return {who: of for who, of in names.items() if who in known or len(of) == 1}


def _portraits(data: Path, names: Iterable[str]) -> dict[str, Picture]:
    wanted = set(names)
    read = {}
    with tarfile.open(data / "lfw90.tar") as tar:
        for member in tar:
            if member.name in wanted:
                stored = tar.extractfile(member)
                assert stored is not None
                with Image.open(io.BytesIO(stored.read())) as opened:
                    read[member.name] = np.asarray(opened.convert("RGB"))
    return read


def _enrolled_and_shown(
    folder: Path, names: Sequence[str], portraits: Mapping[str, Picture], person: Cast
) -> list[str]:
    """Write the photos to enrol from; gives those to be shown, none of which is one of them."""
    place = folder / "photos" / person.lfw
    place.mkdir(parents=True, exist_ok=True)
    for name in names[:KEPT_OUT]:
        Image.fromarray(portraits[name]).save(place / Path(name).name, quality=98)
    asked = [_grey(portraits[name]) for name in names[:KEPT_OUT]]
    return [
        name
        for name in names[KEPT_OUT:]
        if all(np.corrcoef(_grey(portraits[name]), one)[0, 1] < _SAME_PHOTO for one in asked)
    ]


def _grey(picture: Picture) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).ravel().astype(np.float64)


if __name__ == "__main__":
    made = generate(Path(sys.argv[1]), Path(__file__).resolve().parents[2] / "shared" / "data")
    for shot in made.shots:
        print(shot)
