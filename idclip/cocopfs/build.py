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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..digests import face_digest, of_files
from ..errors import VidsearchError
from ..faces import full_name
from ..identity import IdentityScorer
from . import galleries, manifest, swapping
from .assign import RESERVES, Assignment, assign
from .coco import CocoSplit, annotation_files, read_split
from .galleries import Enrolled, Person, Roster, Split
from .jobs import Runner, runner
from .looks import Look, key, look_of_photo, read_looks
from .photos import Photos, open_photos
from .select import Selected, Selection, select
from .stages import FOLDER, Given, Options, Swapped
from .swap import load_swapper
from .swapping import Candidate, SwapTask
from .workplace import Workplace

__all__ = ["Options", "Tell", "build_cocopfs"]

FORMAT = 1
VALIDATION_SHARE = 0.2
"""Of the photos of val2017 that can be used: those that validation identities go onto. The others
are the test's, so that nothing chosen on validation has seen a test photo."""
_USES = 2  # how often each identity is used at least: fewer photos, fewer people

Tell = Callable[[str, int, int], None]
"""Hears the stage, how much of it is done, and of how much."""


@dataclass(frozen=True, eq=False)
class _Site:
    """Where a build works, from what, and how."""

    place: Workplace
    given: Given
    run: Runner
    tell: Tell


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
    options = _everywhere(options or Options())
    with _no_space(out):
        run = run or runner(jobs)
        load_swapper(options.swapper)
        photos = open_photos(faces)
        given = Given(
            folders={name: read_split(coco, name) for name in options.folders()},
            faces=faces,
            people=galleries.roster(photos, least_photos=options.least_photos),
            looks=read_looks(options.looks) if options.looks else {},
            options=options,
        )
        _enough(given.people, options)
        place = Workplace.claim(out, _stamp(coco, photos, options))
        if not place.finished():
            _build(_Site(place, given, run, tell))
        place.clear()
        done: dict[str, Any] = json.loads((out / "manifest.json").read_text("utf-8"))
        return done


def _build(site: _Site) -> None:
    given = site.given
    chosen = {name: _selected(site, split) for name, split in given.folders.items()}
    dealt = {split: _dealt(split, chosen[FOLDER[split]].photos) for split in given.options.splits}
    if not any(dealt.values()):
        raise VidsearchError(_nothing(chosen))
    swapped = [
        _swapped(site, split, photos, _enrolled(site, split, len(photos)))
        for split, photos in dealt.items()
        if photos
    ]
    site.tell("writing", 0, 1)
    manifest.publish(site.place, given, chosen, swapped)
    site.tell("writing", 1, 1)


def _everywhere(options: Options) -> Options:
    """The options with files written in full: workers may run in another folder."""
    kind, _, file = options.swapper.partition(":")
    swapper = f"{kind}:{Path(file).expanduser().resolve()}" if file else kind
    return replace(options, swapper=swapper, face_model=full_name(options.face_model))


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


def _stamp(coco: Path, photos: Photos, options: Options) -> dict[str, Any]:
    """All that the result depends on; a build goes on only where it is the same."""
    names = json.dumps(photos.people()).encode()
    notes = [path for name in options.folders() for path in annotation_files(coco, name)]
    kind, _, file = options.swapper.partition(":")
    return {
        "format": FORMAT,
        "coco": of_files(notes),
        "faces": f"{zlib.crc32(names):08x}",
        "identities-per-image": options.identities_per_image,
        "seed": options.seed,
        "swapper": f"{kind}:{of_files([Path(file)])}" if file else kind,
        "face-model": face_digest(options.face_model),
        "least-face": options.least_face,
        "least-photos": options.least_photos,
        "looks": of_files([options.looks]) if options.looks else None,
        "splits": list(options.splits),
        "limit": options.limit,
        "uncovered": options.uncovered,
    }


def _selected(site: _Site, split: CocoSplit) -> Selection:
    options, stage = site.given.options, f"looking for faces in {split.name}"
    with site.place.journal(f"select_{split.name}") as journal:
        return select(
            split,
            face_model=options.face_model,
            least_face=options.least_face,
            limit=options.limit,
            uncovered=options.uncovered,
            run=site.run,
            journal=journal,
            tell=lambda done, total: site.tell(stage, done, total),
        )


def _dealt(split: Split, photos: Sequence[Selected]) -> tuple[Selected, ...]:
    """The photos of a split: those of val2017 are dealt to validation and test, in their order."""
    if split == "train":
        return tuple(photos)
    n = 0 if len(photos) < 2 else max(1, round(VALIDATION_SHARE * len(photos)))
    return tuple(photos[:n] if split == "validation" else photos[n:])


def _enrolled(site: _Site, split: Split, photos: int) -> Enrolled:
    """The people of a split: enough for so many photos, and no more."""
    given, options = site.given, site.given.options
    each = options.identities_per_image
    with site.place.journal(f"people_{split}") as journal:
        enrolled = galleries.enrol(
            given.people,
            given.faces,
            split,
            wanted=max((1 + RESERVES) * each, math.ceil(photos * each / _USES)),
            least_photos=options.least_photos,
            face_model=options.face_model,
            least_quality=IdentityScorer.for_model(options.face_model).least_quality,
            run=site.run,
            journal=journal,
            tell=lambda done, total: site.tell(f"{split} people", done, total),
        )
    if len(enrolled.people) < each:
        raise VidsearchError(
            f"{given.faces}: only {len(enrolled.people)} people of {split} have "
            f"{options.least_photos} photos with a usable face, too few for {each} identities an "
            f"image ({len(enrolled.dropped)} had fewer): add photos, or lower "
            "--identities-per-image or --least-photos"
        )
    return enrolled


def _swapped(
    site: _Site, split: Split, photos: tuple[Selected, ...], enrolled: Enrolled
) -> Swapped:
    made = _assigned(site.given, photos, enrolled)
    by_file = {photo.image.file: photo for photo in photos}
    ordered = tuple(by_file[assignment.photo] for assignment in made)
    tasks = _tasks(site, split, ordered, made, enrolled)
    folder = site.place.out / FOLDER[split]
    with site.place.journal(f"swaps_{split}") as journal:
        known = {f for f in list(journal) if swapping.still_there(journal[f], folder)}
        todo = [task for task in tasks if task.file not in known]
        results = zip(todo, site.run(swapping.swap_photo, todo), strict=True)
        for done, (task, result) in enumerate(results, 1 + len(known)):
            journal.add(task.file, result)
            site.tell(f"swapping, {split}", done, len(tasks))
        return Swapped(
            split, ordered, enrolled, tuple(made), tuple(journal[task.file] for task in tasks)
        )


def _assigned(given: Given, photos: Sequence[Selected], enrolled: Enrolled) -> list[Assignment]:
    looks = given.looks
    return assign(
        {p.image.file: look_of_photo(p.image.file, p.image.captions, looks) for p in photos},
        {person.identity: _look_of(person, looks) for person in enrolled.people},
        each=given.options.identities_per_image,
        seed=given.options.seed,
    )


def _tasks(
    site: _Site,
    split: Split,
    photos: Sequence[Selected],
    made: Sequence[Assignment],
    enrolled: Enrolled,
) -> list[SwapTask]:
    options = site.given.options
    people = {person.identity: person for person in enrolled.people}
    folder = site.place.out / FOLDER[split]
    folder.mkdir(exist_ok=True)
    gallery = swapping.write_gallery(site.place.work, enrolled.people)
    return [
        SwapTask(
            path=photo.image.path,
            file=photo.image.file,
            face=photo.face,
            candidates=_candidates(assignment, people),
            wanted=options.identities_per_image,
            gallery=gallery,
            faces=site.given.faces,
            face_model=options.face_model,
            swapper=options.swapper,
            out=folder,
        )
        for photo, assignment in zip(photos, made, strict=True)
    ]


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
