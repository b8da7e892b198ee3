"""Building COCO-PFS: photos of COCO whose one face becomes that of somebody else.

The steps, each in a module of its own: `select` the photos, enrol the people (`galleries`),
`assign` identities, swap and check (`swapping`), and write the layout (`manifest`, `report`).
"""

from __future__ import annotations

import errno
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..digests import face_digest, of_files
from ..errors import VidsearchError
from ..faces import full_name
from ..identity import IdentityScorer
from . import galleries, manifest, swapping
from .assign import RESERVES, Assignment, assign
from .coco import TRAIN, VAL, CocoSplit, annotation_files, read_split
from .galleries import SPLITS, Enrolled, Person, Roster, Split
from .jobs import Runner, runner
from .looks import Look, key, look_of_photo, read_looks
from .select import Selected, Selection, select
from .swap import load_swapper
from .swapping import Candidate, SwapTask
from .workplace import Workplace

FORMAT = 1
VALIDATION_SHARE = 0.2
"""Of the photos of val2017 that can be used: those that validation identities go onto. The others
are the test's, so that nothing chosen on validation has seen a test photo."""
_USES = 2  # how often each identity is used at least: fewer photos, fewer people
_FOLDER: Mapping[Split, str] = {"train": TRAIN, "validation": VAL, "test": VAL}

Tell = Callable[[str, int, int], None]
"""Hears the stage, how much of it is done, and of how much."""


@dataclass(frozen=True)
class Options:
    """All options that the result depends on; `least_face` in pixels."""

    identities_per_image: int = 5
    seed: int = 0
    swapper: str = "classic"
    face_model: str = "default"
    least_face: float = 24.0
    least_photos: int = 2
    looks: Path | None = None
    splits: tuple[Split, ...] = SPLITS
    limit: int | None = None


@dataclass(frozen=True, eq=False)
class Swapped:
    """All swaps of one split: per photo, in its order, what `swapping.swap_photo` says."""

    split: Split
    photos: tuple[Selected, ...]
    people: Enrolled
    assignments: tuple[Assignment, ...]
    results: tuple[Mapping[str, Any], ...]


def build_cocopfs(
    coco: Path,
    faces: Path,
    out: Path,
    options: Options | None = None,
    *,
    jobs: int = 1,
    run: Runner | None = None,
    tell: Tell = lambda stage, done, total: None,
) -> dict[str, Any]:
    """Build COCO-PFS from a COCO folder and people's photos; returns the manifest.

    `faces` is a folder or a tar of `PERSON/*.jpg`. Killed at any moment, the next call with the
    same options goes on; a finished folder is left as it is. `jobs` is the number of processes
    (from a script, more than one needs `if __name__ == "__main__"`), `run` another way to spread
    the work, as over a cluster: the result is the same. Raises `VidsearchError` that says what is
    wrong with the input and what to do.
    """
    options = options or Options()
    with _no_space(out):
        run = run or runner(jobs)
        load_swapper(options.swapper)
        folders = {name: read_split(coco, name) for name in _folders(options)}
        photos = galleries.open_photos(faces)
        people = galleries.roster(photos, least_photos=options.least_photos)
        _enough(people, options)
        looks = read_looks(options.looks) if options.looks else {}
        place = Workplace.claim(out, _stamp(coco, photos, options))
        if not place.finished():
            _build(place, folders, faces, people, looks, options, run, tell)
        place.clear()
        done: dict[str, Any] = json.loads((out / "manifest.json").read_text("utf-8"))
        return done


def _build(
    place: Workplace,
    folders: Mapping[str, CocoSplit],
    faces: Path,
    people: Roster,
    looks: Mapping[str, Look],
    options: Options,
    run: Runner,
    tell: Tell,
) -> None:
    chosen = {name: _selected(place, split, options, run, tell) for name, split in folders.items()}
    dealt = {split: _dealt(split, chosen[_FOLDER[split]].photos) for split in options.splits}
    if not any(dealt.values()):
        raise VidsearchError(_nothing(chosen))
    swapped = []
    for split, photos in dealt.items():
        if photos:
            enrolled = _enrolled(place, split, len(photos), faces, people, options, run, tell)
            swapped.append(
                _swapped(place, split, photos, faces, enrolled, looks, options, run, tell)
            )
    tell("writing", 0, 1)
    manifest.publish(place, folders, faces, chosen, people, swapped, looks, options)
    tell("writing", 1, 1)


def _folders(options: Options) -> list[str]:
    return sorted({_FOLDER[split] for split in options.splits})


def _enough(people: Roster, options: Options) -> None:
    for split in options.splits:
        found = len(people.of(split))
        if found < options.identities_per_image:
            raise VidsearchError(
                f"only {found} people of the faces are in {split}, too few for "
                f"{options.identities_per_image} identities an image: add people, lower "
                "--identities-per-image or --least-photos, or leave the split out by --splits "
                "(people are split by their name's CRC-32)"
            )


def _stamp(coco: Path, photos: galleries.Photos, options: Options) -> dict[str, Any]:
    """All that the result depends on; a build goes on only where it is the same."""
    names = json.dumps(photos.people()).encode()
    notes = [path for name in _folders(options) for path in annotation_files(coco, name)]
    kind, _, file = options.swapper.partition(":")
    return {
        "format": FORMAT,
        "coco": of_files(notes),
        "faces": f"{zlib.crc32(names):08x}",
        "identities-per-image": options.identities_per_image,
        "seed": options.seed,
        "swapper": f"{kind}:{of_files([Path(file)])}" if file else kind,
        "face-model": face_digest(full_name(options.face_model)),
        "least-face": options.least_face,
        "least-photos": options.least_photos,
        "looks": of_files([options.looks]) if options.looks else None,
        "splits": list(options.splits),
        "limit": options.limit,
    }


def _selected(
    place: Workplace, split: CocoSplit, options: Options, run: Runner, tell: Tell
) -> Selection:
    with place.journal(f"select_{split.name}") as journal:
        return select(
            split,
            face_model=options.face_model,
            least_face=options.least_face,
            limit=options.limit,
            run=run,
            journal=journal,
            tell=lambda done, total: tell(f"looking for faces in {split.name}", done, total),
        )


def _dealt(split: Split, photos: Sequence[Selected]) -> tuple[Selected, ...]:
    """The photos of a split: those of val2017 are dealt to validation and test, in their order."""
    if split == "train":
        return tuple(photos)
    n = 0 if len(photos) < 2 else max(1, round(VALIDATION_SHARE * len(photos)))
    return tuple(photos[:n] if split == "validation" else photos[n:])


def _enrolled(
    place: Workplace,
    split: Split,
    photos: int,
    faces: Path,
    people: Roster,
    options: Options,
    run: Runner,
    tell: Tell,
) -> Enrolled:
    each = options.identities_per_image
    with place.journal(f"people_{split}") as journal:
        enrolled = galleries.enrol(
            people,
            faces,
            split,
            wanted=max((1 + RESERVES) * each, math.ceil(photos * each / _USES)),
            least_photos=options.least_photos,
            face_model=options.face_model,
            least_quality=IdentityScorer.for_model(options.face_model).least_quality,
            run=run,
            journal=journal,
            tell=lambda done, total: tell(f"{split} people", done, total),
        )
    if len(enrolled.people) < each:
        raise VidsearchError(
            f"{faces}: only {len(enrolled.people)} people of {split} have "
            f"{max(2, options.least_photos)} photos with a usable face, too few for {each} "
            f"identities an image ({len(enrolled.dropped)} had fewer): add photos, or lower "
            "--identities-per-image or --least-photos"
        )
    return enrolled


def _swapped(
    place: Workplace,
    split: Split,
    photos: tuple[Selected, ...],
    faces: Path,
    enrolled: Enrolled,
    looks: Mapping[str, Look],
    options: Options,
    run: Runner,
    tell: Tell,
) -> Swapped:
    people = {person.identity: person for person in enrolled.people}
    made = assign(
        {p.image.file: look_of_photo(p.image.file, p.image.captions, looks) for p in photos},
        {identity: _look_of(person, looks) for identity, person in people.items()},
        each=options.identities_per_image,
        seed=options.seed,
    )
    by_file = {photo.image.file: photo for photo in photos}
    ordered = tuple(by_file[assignment.photo] for assignment in made)
    folder = place.out / _FOLDER[split]
    folder.mkdir(exist_ok=True)
    gallery = swapping.write_gallery(place.work, enrolled.people)
    tasks = [
        SwapTask(
            path=photo.image.path,
            file=photo.image.file,
            face=photo.face,
            candidates=_candidates(assignment, people),
            wanted=options.identities_per_image,
            gallery=gallery,
            faces=faces,
            face_model=options.face_model,
            swapper=options.swapper,
            out=folder,
        )
        for photo, assignment in zip(ordered, made, strict=True)
    ]
    with place.journal(f"swaps_{split}") as journal:
        known = {f for f in list(journal) if swapping.still_there(journal[f], folder)}
        todo = [task for task in tasks if task.file not in known]
        for done, (task, result) in enumerate(
            zip(todo, run(swapping.swap_photo, todo), strict=True), 1 + len(known)
        ):
            journal.add(task.file, result)
            tell(f"swapping, {split}", done, len(tasks))
        results = tuple(journal[task.file] for task in tasks)
    return Swapped(split, ordered, enrolled, tuple(made), results)


def _look_of(person: Person, looks: Mapping[str, Look]) -> Look:
    return looks.get(person.identity, looks.get(key(person.name), Look()))


def _candidates(assignment: Assignment, people: Mapping[str, Person]) -> tuple[Candidate, ...]:
    names = (*assignment.first, *assignment.reserve)
    return tuple(Candidate(name, people[name].sources) for name in names)


def _nothing(chosen: Mapping[str, Selection]) -> str:
    why = "; ".join(
        f"{name}: " + ", ".join(f"{n} {reason}" for reason, n in selection.reasons.most_common())
        for name, selection in chosen.items()
    )
    return f"no photo can be used ({why}): lower --least-face, or give other photos"


@contextmanager
def _no_space(out: Path) -> Iterator[None]:
    """A full disk as an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise VidsearchError(
                f"{out}: no space is left on the disk; free some and run the same command again: "
                "it goes on where it stopped"
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise VidsearchError(f"{error.filename or out}: {error.strerror}") from error
        raise
