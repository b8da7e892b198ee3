"""Clusters of people nobody has named: how pure they are, how whole, and what they cost.

`python -m benchmarks.face_clusters` writes `results/face_clusters.json` and `.md`. Parts of it:
`--lfw` (a minute), `--archive` (makes, indexes and clusters videos, some minutes), `--cost`
(100,000 faces in a process of their own); without any of them all are run. `--choose` makes the
archive of other people, on whom the numbers may be chosen.

- BCubed precision and recall (Bagga and Baldwin, 1998) are means over faces: of the faces in its
  cluster, how many are the same person; of the faces of the same person, how many are in it. A
  person with one face has recall 1 whatever is done, so recall is also given over the faces of
  people with several.
- LFW: each photo once, clean or as video would show it (`benchmarks.lfw.degrade`). "fit" are people
  the face networks here were trained without (`benchmarks.fit_faces.WITHOUT`); on them the numbers
  of `vidsearch.clusters` were chosen. "test" are people nobody fitted on.
- The archive: videos of LFW photos of test people, indexed as any other. Half of the photos are
  degraded, and a third of the shots shows two people.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import _report, lfw
from benchmarks.fit_faces import (
    HELD_OUT,
    NEAREST,
    TOP,
    WITHOUT,
    _strangers,
    part_of,
    variants_by,
)
from idclip.centerface import THRESHOLD
from idclip.face_quality import FEATURES, QualityModel
from idclip.faces import WEIGHTS
from idclip.identity import Faces, IdentityScorer
from vidsearch import clusters
from vidsearch.face_graph import measured, nearest, without
from vidsearch.records import Ints

NONE = np.zeros((0, 2), np.int64)
SIZE, RATE, SHOT_FRAMES = (640, 360), 12, 12
PEOPLE, PHOTOS, STRANGERS, VIDEOS = 40, 6, 80, 6
COST = 100_000


@dataclass(frozen=True)
class BCubed:
    """Precision and recall over all faces, and recall over those of people with several."""

    precision: float
    recall: float
    recall_of_several: float

    @classmethod
    def of(cls, found: Sequence[Any] | Ints, true: Sequence[Any] | NDArray[Any]) -> BCubed:
        _, a = np.unique(found, return_inverse=True)
        _, b = np.unique(true, return_inverse=True)
        _, pair, counts = np.unique(
            a.astype(np.int64) * (b.max() + 1) + b, return_inverse=True, return_counts=True
        )
        both, cluster, person = counts[pair], np.bincount(a)[a], np.bincount(b)[b]
        return cls(
            float((both / cluster).mean()),
            float((both / person).mean()),
            float((both / person)[person > 1].mean()),
        )

    def row(self) -> dict[str, float]:
        return {
            "precision": self.precision,
            "recall": self.recall,
            "recall of several": self.recall_of_several,
        }


def main() -> None:
    """Measure what was asked for and write the table."""
    parser = argparse.ArgumentParser()
    for part in ("lfw", "archive", "cost", "choose"):
        parser.add_argument(f"--{part}", action="store_true")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(cost(asked.child)))
        return
    every = not (asked.lfw or asked.archive or asked.cost or asked.choose)
    rows: list[dict[str, Any]] = []
    if asked.choose:
        rows += of_archive("cohort")
    if every or asked.lfw:
        rows += [*of_lfw("fit"), *of_lfw("test")]
    if every or asked.archive:
        rows += of_archive()
    if every or asked.cost:
        rows += of_cost()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    rows = [{name: row.get(name, "") for name in columns} for row in rows]
    name = "face_clusters" if every else "face_clusters_part"
    print(_report.write(name, "People nobody has named", rows, _notes()))


# --- LFW -----------------------------------------------------------------------------------------


def of_lfw(split: lfw.Split) -> Iterator[dict[str, Any]]:
    """Rows of a split at three shares of degraded photos, by our way and by simpler ones."""
    for share in (0.0, 0.5, 1.0):
        people, faces, scorer = photos_once(split, share)
        about = {
            "data": f"LFW {split}, {share:.0%} degraded",
            "faces": len(people),
            "people": len(set(people)),
        }
        new = np.zeros(len(people), np.int64)
        ours = clusters.cluster(faces, scorer, NONE, new)
        yield about | {"way": "vidsearch"} | BCubed.of(ours, people).row()
        half = np.random.default_rng(1).random(len(people)) < 0.5
        first = new.copy()
        first[half] = clusters.cluster(
            Faces(*(part[half] for part in faces)), scorer, NONE, new[half]
        )
        later = clusters.cluster(faces, scorer, NONE, first)
        yield about | {"way": "vidsearch, in two halves"} | BCubed.of(later, people).row()
        for way, number in simpler(faces, scorer).items():
            yield about | {"way": way} | BCubed.of(number, people).row()


def photos_once(
    split: lfw.Split, degraded_share: float
) -> tuple[NDArray[np.str_], Faces, IdentityScorer]:
    """Who is on each photo, its face, and the scorer: one variant of each photo, by chance."""
    variants = variants_by(WITHOUT if split == "fit" else WEIGHTS, lfw.CLEAN, lfw.DEGRADED)
    shipped = IdentityScorer.for_model("default")
    clean = variants[0]
    cohort = clean.vectors[_strangers(clean.faces)].astype(np.float32)
    scorer = IdentityScorer(cohort, TOP, NEAREST, shipped.weights, shipped.least_quality)
    quality = QualityModel.load(WEIGHTS / "quality.json")
    by_photo: list[dict[str, tuple[str, NDArray[np.float32], float]]] = []
    for faces, vectors in variants:
        score = faces.features[:, FEATURES.index("score")]
        usable = faces.found & (score > THRESHOLD) & (faces.split == split)
        if split == "fit":
            usable &= np.array([part_of(person) == HELD_OUT for person in faces.person])
        rated = np.where(faces.found, quality.of_features(faces.features), 0)
        rows = np.flatnonzero(usable).tolist()
        by_photo.append({faces.photo[r]: (faces.person[r], vectors[r], rated[r]) for r in rows})
    rng = np.random.default_rng(0)
    chosen = []
    for photo in sorted(set(by_photo[0]) | set(by_photo[1])):
        variant = by_photo[int(rng.random() < degraded_share)]
        if photo in variant:
            chosen.append(variant[photo])
    people, vectors, qualities = zip(*chosen, strict=True)
    faces = scorer.faces(np.array(vectors, np.float32), np.array(qualities, np.float32))
    return np.array(people), faces, scorer


def simpler(faces: Faces, scorer: IdentityScorer) -> dict[str, Ints]:
    """The same odds, but only the components of the graph, or only its communities."""
    n = len(faces.qualities)
    asked = clusters.odds_asked(n)
    edges = nearest(scorer, faces, faces, clusters.DOUBTFUL * asked, within=True)
    parent = np.arange(n)
    for at in np.flatnonzero(edges.odds >= asked).tolist():
        one, other = parent[edges.one[at]], parent[edges.other[at]]
        parent[parent == max(one, other)] = min(one, other)
    leiden = clusters._leiden(without(edges, NONE, n), n, asked)
    return {"connected components": parent, "Leiden communities alone": leiden}


# --- a generated archive -------------------------------------------------------------------------


def of_archive(split: lfw.Split = "test") -> Iterator[dict[str, Any]]:
    """Videos of LFW photos of some people, indexed and clustered as they come, then at once."""
    from vidsearch import Archive
    from vidsearch.store import Store

    for blown_up in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            truth = _videos(Path(folder), blown_up, split)
            archive = Archive(Path(folder) / "archive")
            for name in sorted(truth):
                archive.index([Path(folder) / name])
                archive.discover()
            about = "degraded ones blown up" if blown_up else "degraded ones small"
            for way in ("vidsearch, video by video", "vidsearch"):
                if way == "vidsearch":
                    with Store.open(archive.path) as store:
                        store.put_members([])
                    archive.discover()
                found, true, broken = _judged(archive, truth)
                yield {
                    "data": f"generated archive ({split}), {VIDEOS} videos, {about}",
                    "faces": len(true),
                    "people": len(set(true)),
                    "way": way,
                    "pairs of one frame in one cluster": broken,
                } | BCubed.of(found, true).row()


def _cast(split: lfw.Split) -> list[list[str]]:
    """Photos of people of a split: several of those with most, one each of strangers."""
    by_person: dict[str, list[str]] = {}
    for name in lfw.all_names():
        if lfw.split_of(lfw.person_of(name)) == split:
            by_person.setdefault(lfw.person_of(name), []).append(name)
    several = [photos[:PHOTOS] for photos in by_person.values() if len(photos) >= 4][:PEOPLE]
    single = [photos for photos in by_person.values() if len(photos) == 1][:STRANGERS]
    return [*several, *single]


def _videos(folder: Path, blown_up: bool, split: lfw.Split) -> dict[str, list[tuple[str, ...]]]:
    """Write the videos; gives for each the people of each second, left to right.

    A photo is shown two and a half times as large as it is. With `blown_up` the degraded ones,
    of 18 to 70 pixels, are shown as large as the others: that blurred no face in a video is.
    """
    rng = np.random.default_rng(7)
    photos = [photo for of in _cast(split) for photo in of]
    order = [photos[at] for at in rng.permutation(len(photos))]
    pictures = {name: image for name, image, _ in lfw.pictures(sorted(order), lfw.CLEAN)}
    for name in order[::2]:
        pictures[name] = lfw.degrade(
            pictures[name], np.random.default_rng(zlib.crc32(name.encode()))
        )
    shots: list[list[str]] = []
    while order:
        shot = [order.pop()]
        if order and rng.random() < 1 / 3 and lfw.person_of(order[-1]) != lfw.person_of(shot[0]):
            shot.append(order.pop())
        shots.append(shot)
    truth: dict[str, list[tuple[str, ...]]] = {}
    for number in range(VIDEOS):
        mine = shots[number::VIDEOS]
        _encode(folder / f"{number}.mp4", mine, pictures, rng, blown_up)
        truth[f"{number}.mp4"] = [tuple(map(lfw.person_of, shot)) for shot in mine]
    return truth


def _encode(
    path: Path,
    shots: Sequence[Sequence[str]],
    pictures: dict[str, NDArray[np.uint8]],
    rng: np.random.Generator,
    blown_up: bool,
) -> None:
    import av
    import cv2

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(RATE))
        stream.width, stream.height = SIZE
        for shot in shots:
            coarse = rng.integers(0, 255, (4, 6, 3), np.uint8)
            still = cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC)
            for place, name in enumerate(shot):
                side = 225 if blown_up else round(2.5 * max(pictures[name].shape[:2]))
                face = cv2.resize(pictures[name], (side, side), interpolation=cv2.INTER_CUBIC)
                left = (SIZE[0] * (2 * place + 1) // (2 * len(shot))) - side // 2
                still[40 : 40 + side, left : left + side] = face[: SIZE[1] - 40]
            for frame in range(SHOT_FRAMES):
                moved = np.roll(still, frame % 3, axis=0)
                for packet in stream.encode(av.VideoFrame.from_ndarray(moved, "rgb24")):
                    container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def _judged(
    archive: Any, truth: dict[str, list[tuple[str, ...]]]
) -> tuple[list[int], list[str], int]:
    """Cluster and person of each face; how many pairs of one frame share a cluster."""
    from vidsearch.discover import numbers
    from vidsearch.face_graph import seen_together
    from vidsearch.store import Store

    store = Store.open(archive.path, read_only=True)
    rows = store.rows()
    number, _ = numbers(rows, store.members())
    look = np.searchsorted(rows.look_track, np.arange(len(rows.track_shot)))
    true = []
    for track, at in enumerate(look.tolist()):
        video = rows.videos[rows.shot_video[rows.track_shot[track]]]
        shots = truth[Path(video.path).name]
        people = shots[min(int(rows.look_s[at] * RATE / SHOT_FRAMES), len(shots) - 1)]
        x0, _, x1, _ = rows.look_boxes[at]
        true.append(people[int((x0 + x1) / 2 * len(people))])
    pairs = seen_together(rows)
    broken = int((number[pairs[:, 0]] == number[pairs[:, 1]]).sum()) if len(pairs) else 0
    return number.tolist(), true, broken


# --- cost ----------------------------------------------------------------------------------------


def of_cost() -> Iterator[dict[str, Any]]:
    """100,000 faces clustered in a process of their own."""
    words = [sys.executable, "-m", "benchmarks.face_clusters", "--child", str(COST)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    yield json.loads(done.stdout.splitlines()[-1])


def cost(n: int) -> dict[str, Any]:
    """Time and memory of clustering `n` made-up faces, spread as those of LFW are.

    People have the covariance of the means of LFW's people of the fit, their faces that of
    LFW's faces about their mean, more where the quality is low; sizes fall off by a power law.
    """
    (clean,) = variants_by(WITHOUT, lfw.CLEAN)
    held_out = np.array([part_of(person) == HELD_OUT for person in clean.faces.person])
    usable = clean.faces.found & (clean.faces.split == "fit") & held_out
    known, vectors = clean.faces.person[usable], clean.vectors[usable]
    people, row, counts = np.unique(known, return_inverse=True, return_counts=True)
    means = np.zeros((len(people), vectors.shape[1]))
    np.add.at(means, row, vectors)
    means /= counts[:, None]
    several = counts[row] > 1
    grow = np.sqrt(counts[row][several] / (counts[row][several] - 1))[:, None]
    within = (vectors[several] - means[row[several]]) * grow
    rng = np.random.default_rng(0)
    sizes = np.minimum(np.maximum(1, (rng.pareto(1.2, n) * 3).astype(int)), 2000)
    who = np.repeat(np.arange(n), sizes)[:n]
    quality = np.clip(rng.beta(4, 2, n), 0.1, 0.95).astype(np.float32)
    centres = _normal(rng, means, int(who.max()) + 1)
    made = centres[who] + _normal(rng, within, n, centred=True) * (1.6 - 0.8 * quality)[:, None]
    scorer = IdentityScorer.for_model("default")
    faces = measured(scorer, made.astype(np.float32), quality)
    del made
    began, cpu = time.perf_counter(), time.process_time()
    number = clusters.cluster(faces, scorer, NONE, np.zeros(n, np.int64))
    return {
        "data": f"{n} made-up faces",
        "faces": n,
        "people": int(who.max()) + 1,
        "way": "vidsearch",
        **BCubed.of(number, who).row(),
        "seconds": time.perf_counter() - began,
        "processor seconds": time.process_time() - cpu,
        "peak GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def _normal(
    rng: np.random.Generator, like: NDArray[Any], n: int, *, centred: bool = False
) -> NDArray[np.float32]:
    """Normal draws [n, F] with the mean (0 if centred) and covariance of rows of `like`."""
    spread = np.linalg.cholesky(np.cov(like.T) + 1e-6 * np.eye(like.shape[1])).astype(np.float32)
    drawn = rng.standard_normal((n, like.shape[1]), np.float32) @ spread.T
    return drawn if centred else drawn + like.mean(axis=0).astype(np.float32)


def _notes() -> list[str]:
    return [
        "precision and recall are BCubed, means over faces; recall of several is over the faces of"
        " people with more than one.",
        f"odds of {1 / clusters.EVEN:.5f} times the number of groups are asked (at least"
        f" {clusters._FEWEST} are reckoned with), faces under quality {clusters.POOR} join last,"
        f" each other from {clusters.FAINT} on (by eye, on five real clips) at"
        f" {clusters.BOTH_POOR:g} times these odds."
        " These numbers were chosen on LFW fit, on people the networks used there were trained"
        " without, and on an archive like the one here of the people of the cohort (`--choose`)."
        " That a first way let one cluster grow by being like everybody, though, was seen on the"
        " archive of test people, which was in view while the method was made: its degraded photos"
        " were then made smaller (the harder ones are the rows blown up), and variants were"
        " compared on it. Its rows are no clean held-out figures.",
        "the videos show LFW photos on plain grounds, half of them degraded; blown up means that"
        " a photo of 18 to 70 pixels fills the height of the frame, more blurred than its size"
        " lets expect, which the faces' quality does not see: a failure to know of.",
        "in two halves, video by video: what was clustered first keeps its numbers, and the rest"
        " joins it.",
        "seconds are of a machine that others used at the same time; processor seconds are of all"
        " cores together. The made-up row is for the cost alone: people drawn from a normal"
        " distribution have more doubles than real ones.",
    ]


if __name__ == "__main__":
    main()
