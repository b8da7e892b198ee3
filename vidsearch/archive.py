"""`Archive`: the public Python API, a thin face over store, search and people.

from vidsearch import Archive

archive = Archive("/archive/.vidsearch")
archive.index(["/archive"])
archive.enrol("Anna Rossi", ["rossi1.jpg", "rossi2.jpg"])
for hit in archive.query("Anna Rossi giving a speech outdoors").hits:
    print(hit.video, hit.start_s, hit.end_s, hit.people)
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch import people as enrolment
from vidsearch.errors import VidsearchError
from vidsearch.records import Answer, Hit, Person, Video

if TYPE_CHECKING:
    from PIL.Image import Image

    from idclip.encoders import Encoder
    from idclip.faces import FaceModel
    from idclip.identity import IdentityScorer
    from vidsearch.describe import Models
    from vidsearch.indexing import Event, IndexReport, PathLike
    from vidsearch.people import Refit
    from vidsearch.photos import Picture
    from vidsearch.stamp import Stamp
    from vidsearch.store import ShotRow, Store
    from vidsearch.tasks import Analyst, Recipe


class Archive:
    """One archive folder: what is in the videos, who is enrolled, and questions about both.

    The folder is made by the first `index` that finds a file, or `enrol` that succeeds. `encoder`
    and `faces` name the models of a new archive; an existing one knows its own, and refuses
    others with `ArchiveMismatch`.
    `waiting` is told, in a sentence, when a method has to wait for another writer, and under
    which licence a model stands that a new archive is made with in the place of a default.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        encoder: str | None = None,
        faces: str | None = None,
        waiting: Callable[[str], None] | None = None,
    ) -> None:
        self.path = Path(path)
        self._waiting = waiting
        self._asked_encoder = encoder
        self._asked_faces = faces

    # --- indexing --------------------------------------------------------------------------------

    def index(self, paths: Sequence[PathLike], **options: object) -> IndexReport:
        """Bring the archive up to date with the videos below `paths`; say what was done.

        Takes the options of `indexing`.
        """
        from vidsearch.indexing import Tally

        return Tally.of(self.indexing(paths, **options)).report()  # type: ignore[arg-type]

    def indexing(
        self,
        paths: Sequence[PathLike],
        *,
        jobs: int = 1,
        force: bool = False,
        detector: str | None = None,
        detector_options: Mapping[str, float] | None = None,
        analyst: Analyst | None = None,
        wait_s: float = 600.0,
    ) -> Iterator[Event]:
        """The same as an iterator: one `Planned`, then `Progress`, `Indexed` and `Failed`.

        `paths` are files, folders (searched recursively) and globs. `jobs` files are analysed at
        the same time, each in a process. What is indexed and unchanged is left alone unless
        `force`. `analyst` replaces the local analysis (see `vidsearch.tasks.Analyst`). Another
        writer is waited for, `wait_s` seconds at most, then `ArchiveBusy` is raised. A bad file
        is an event, never an exception; `ArchiveMismatch` and `ArchiveUnavailable` are raised.
        Whatever was told as `Indexed` is on disk, so the iteration may be ended at any moment.
        Where there is no archive and no file either, none is made.
        """
        from vidsearch.analysts import local
        from vidsearch.indexing import index, nothing_found
        from vidsearch.inputs import find_videos
        from vidsearch.shots import DEFAULT_DETECTOR, make_detector
        from vidsearch.store import Store

        name, thresholds = detector or DEFAULT_DETECTOR, dict(detector_options or {})
        make_detector(name, **thresholds)  # a wrong option is told before any work
        if not Store.exists(self.path) and not (found := find_videos(paths)).files:
            yield from nothing_found(found)
            return
        with self._made(wait_s) as store:
            recipe = _recipe(store.stamp, name, thresholds)
            asked = recipe.split_with if detector or thresholds else ""
            analyst = analyst or local(jobs)
            yield from index(store, paths, recipe, analyst, force=force, split_with=asked)

    @contextmanager
    def _made(self, wait_s: float = 60.0) -> Iterator[Store]:
        """The store, open for writing vectors, made first where there is none."""
        from idclip.digests import encoder_digest, face_digest
        from vidsearch.store import Store

        if not Store.exists(self.path):
            models = self._new_models()
            self._tell_licences(models)
            Store.create(
                self.path,
                encoder=models.encoder.name,
                encoder_dim=models.encoder.dim,
                face_model=models.faces.name,
                face_dim=models.faces.dim,
                encoder_weights=encoder_digest(models.encoder.name),
                face_weights=face_digest(models.faces.name),
            )
        with self._writer(wait_s) as store:
            stamp = store.stamp
            stamp.check_weights(
                self.path,
                encoder=stamp.encoder_weights and encoder_digest(stamp.encoder),
                face_model=stamp.face_weights and face_digest(stamp.face_model),
            )
            yield store

    def _new_models(self) -> Models:
        """The models of an archive that is to be made."""
        from vidsearch.analyze import load_models
        from vidsearch.settings import read

        chosen = read()
        return load_models(self._asked_encoder or chosen.encoder, self._asked_faces or chosen.faces)

    def _tell_licences(self, models: Models) -> None:
        from vidsearch.settings import Settings

        chosen = (
            ("encoder", models.encoder, Settings.encoder),
            ("face model", models.faces, Settings.faces),
        )
        for kind, model, default in chosen:
            if self._waiting is not None and model.name != default:
                self._waiting(f"{kind} {model.name}: {model.licence}")

    # --- questions -------------------------------------------------------------------------------

    def query(
        self,
        text: str,
        *,
        k: int = 10,
        people: Sequence[str] = (),
        context_only: bool = False,
        threshold: float | None = None,
        since: float | None = None,
        until: float | None = None,
        video: str | None = None,
    ) -> Answer:
        """The `k` best shots for a question, with evidence.

        People whose names stand in `text`, and those of `people`, must be in the shot; the rest
        of the text is the context. `context_only` takes no word for a name. `threshold` is the
        least probability that a person is in a hit. `since` and `until` are seconds of each
        video; `video` is a glob on paths. Where nothing is found `hits` is empty and `message`
        says why. Raises `InvalidQuery`, `UnknownPerson` for a name of `people`,
        `ArchiveMismatch` if the models' weights changed since, and `ArchiveUnavailable`.
        """
        from vidsearch.query import parse
        from vidsearch.search import THRESHOLD, search

        store = self._comparable
        enrolled = store.people(pictures=False)
        query = parse(text, enrolled, forced=people, context_only=context_only)
        answer = search(
            store.rows(),
            self._encoder,
            self._scorer,
            query,
            enrolled,
            k=k,
            threshold=THRESHOLD if threshold is None else threshold,
            videos=video,
            since=since,
            until=until,
        )
        return replace(answer, hits=tuple(self._best_copy(hit, video) for hit in answer.hits))

    def _best_copy(self, hit: Hit, glob: str | None) -> Hit:
        """A hit that names, of several copies of its video, one that was asked for and is there."""
        from vidsearch.copies import best_first

        video = self._reader.find(hit.video_id)
        if video is None or len(video.paths) < 2:
            return hit
        return replace(hit, video=best_first(video, glob).path, copies=len(video.paths) - 1)

    def videos(self) -> list[Video]:
        """Every video the archive knows, those that failed included, by path."""
        from vidsearch.copies import best_first

        videos = [best_first(video) for video in self._reader.videos()]
        return sorted(videos, key=lambda video: video.paths[:1])

    def video(self, name: str) -> Video:
        """The video with this path (or the end of one, or id); raises VidsearchError if none."""
        raw = os.fsencode(name)
        full = os.fsencode(Path(name).absolute())
        videos = self._reader.videos()
        for video in videos:
            if video.video_id == name or raw in video.paths or full in video.paths:
                return video
        ending = [v for v in videos if any(path.endswith(b"/" + raw) for path in v.paths)]
        if len(ending) == 1:
            return ending[0]
        many = f"{len(ending)} videos" if ending else "no video"
        raise VidsearchError(f"{many} of the archive is called {name}; see: vidsearch videos")

    def forget_videos(self, names: Sequence[str]) -> list[Video]:
        """Forget videos, by path or id, with all that is stored of them; the files stay.

        Of several copies of a video the one at a given path is forgotten, and the shots with the
        last. Gives what was forgotten, as it was. Raises VidsearchError, and forgets nothing,
        where a name is of no video.
        """
        from vidsearch.copies import release

        with self._writer() as store:
            known = [(name, self.video(name)) for name in names]
            paths = {path for name, video in known for path in _paths_called(name, video)}
            return release(store, paths, {video.video_id for _, video in known})

    def forget_missing(self) -> list[Video]:
        """Forget the videos, and the copies of videos, whose files are gone; gives what they were.

        A disk that is not plugged in makes its files look deleted: look at `missing_videos` first.
        """
        from vidsearch.copies import gone, release

        with self._writer() as store:
            missing = [video for video in store.videos() if gone(video)]
            paths = {path for video in missing for path in gone(video)}
            return release(store, paths, [video.video_id for video in missing])

    def missing_videos(self) -> list[Video]:
        """The videos of which a file is gone (see `vidsearch.copies.gone`), by path."""
        from vidsearch.copies import gone

        return [video for video in self.videos() if gone(video)]

    def shots(self, video: str) -> list[ShotRow]:
        """The shots of a video (path or id), in order: they tile it without gap or overlap."""
        return self._reader.shots(self.video(video).video_id)

    def open_hit(self, hit: Hit) -> None:
        """Play a hit, from its start, in the player of this machine."""
        from vidsearch.copies import file_of
        from vidsearch.player import play

        video = self._reader.find(hit.video_id)
        if video is None:
            raise VidsearchError(f"{hit.video} is no longer in the archive")
        play(file_of(video), hit.start_s + video.media_offset_s)

    # --- pictures --------------------------------------------------------------------------------

    def sheet(self, answers: Sequence[Answer], file: str | os.PathLike[str]) -> None:
        """Write the hits of one or more answers as a contact sheet (JPEG or PNG, by its name)."""
        from vidsearch.sheet import contact_sheet

        pictures = iter(self._pictures_of([hit for answer in answers for hit in answer.hits]))
        pages = [(a.query, a, [next(pictures) for _ in a.hits]) for a in answers]
        _save(contact_sheet(pages), Path(file))

    def person_sheet(self, person: Person, file: str | os.PathLike[str]) -> None:
        """Write the photos of a person, the chosen faces framed, as one picture."""
        from vidsearch.sheet import photo_sheet

        _save(photo_sheet(person), Path(file))

    def pictures(self, video: str, times: Sequence[float]) -> list[Picture]:
        """The frames of a video (path or id) shown at `times`, in that order.

        Each is RGB uint8 [H, W, 3], upright, display aspect, deinterlaced, SDR; times are seconds
        from the first frame, those outside the video give its first or last. Many at once are
        cheaper than one by one. Raises `UnreadableVideo`, also where the file is gone, and
        VidsearchError for a video that the archive does not know.
        """
        from vidsearch.copies import file_of
        from vidsearch.media import read_pictures

        return read_pictures(file_of(self.video(video)), times) if times else []

    def _pictures_of(self, hits: Sequence[Hit]) -> list[Picture]:
        """The frames that show hits, each file opened once; thumbnails where it cannot be read."""
        from vidsearch.photos import decode_jpeg
        from vidsearch.sheet import moment_of

        moments: dict[str, list[float]] = defaultdict(list)
        for hit in hits:
            moments[hit.video_id].append(moment_of(hit))
        read: dict[tuple[str, float], Picture] = {}
        for video_id, times in moments.items():
            # A file that is gone or damaged, a video that was removed since the question.
            with suppress(VidsearchError):
                pictures = self.pictures(video_id, times)
                read |= {(video_id, at): p for at, p in zip(times, pictures, strict=True)}
        found = []
        for hit in hits:
            picture = read.get((hit.video_id, moment_of(hit)))
            if picture is None:
                jpeg = self._reader.thumbnail(hit.video_id, hit.shot, hit.keyframe_s)
                picture = decode_jpeg(jpeg)
            found.append(picture)
        return found

    # --- people ----------------------------------------------------------------------------------

    def enrol(
        self,
        name: str,
        photos: Sequence[str | Path],
        *,
        aliases: Sequence[str] = (),
        face: int | None = None,
        more: bool = False,
        trust: bool = False,
    ) -> Person:
        """Enrol somebody from photos, or from moments of videos (`VIDEO@00:00:04.2`).

        Found at once in what is indexed already. `face` numbers the face in photos with several,
        `more` adds photos or aliases to somebody who is enrolled, `trust` takes photos that do
        not look like each other. Raises `EnrolmentError`, `UnreadableImage`, `UnreadableVideo`,
        each naming the photo and the remedy.
        """
        from vidsearch.store import Store

        def judged(faces: FaceModel, scorer: IdentityScorer, enrolled: Sequence[Person]) -> Person:
            return enrolment.enrol(
                name,
                photos,
                faces,
                scorer,
                enrolled=enrolled,
                aliases=aliases,
                face=face,
                more=more,
                trust=trust,
            )

        if not Store.exists(self.path):  # photos that are refused must not leave an archive
            models = self._new_models()
            judged(models.faces, models.scorer, ())
        with self._made() as store:
            person = judged(self._faces, self._scorer, store.people())
            (store.update_person if more else store.add_person)(person)
        return person

    def refit_people(self, source: str | os.PathLike[str]) -> Refit:
        """Bring the people of the archive `source` here, with vectors of this one's face model.

        They are made from the photos that `source` keeps, so it may be of another face model or
        of weights that are no longer installed. Who is here already, by name or from a refit
        before, is refitted in place. Nothing is changed in `source`.
        """
        people = Archive(source).people()
        if not people:
            raise VidsearchError(f"nobody is enrolled in the archive {source}")
        with self._made() as store:
            refit = enrolment.refit(people, self._faces, self._scorer, enrolled=store.people())
            store.put_people(refit.people)
        return refit

    def people(self) -> list[Person]:
        """Who is enrolled, by name."""
        return sorted(self._reader.people(), key=lambda person: person.name.casefold())

    def person(self, name: str) -> Person:
        """The person of this name or alias; raises `UnknownPerson`."""
        return enrolment.find(name, self._reader.people())

    def rename(self, name: str, new_name: str) -> Person:
        """Give a person another name; raises `UnknownPerson`, `EnrolmentError`."""
        with self._writer() as store:
            enrolled = store.people()
            person = enrolment.renamed(enrolment.find(name, enrolled), new_name, enrolled)
            store.update_person(person)
        return person

    def remove_person(self, name: str) -> None:
        """Remove a person and their photos; raises `UnknownPerson`."""
        with self._writer() as store:
            store.remove_person(enrolment.find(name, store.people()).person_id)

    # --- what is open ----------------------------------------------------------------------------

    @cached_property
    def _reader(self) -> Store:
        from vidsearch.store import Store

        store = Store.open(self.path, read_only=True)
        self._check(store)
        return store

    @cached_property
    def _comparable(self) -> Store:
        """The reader, once it is known that today's models fit the vectors it holds."""
        from idclip.digests import encoder_digest, face_digest
        from vidsearch.errors import ModelUnavailable

        stamp = self._reader.stamp
        faces = ""
        with suppress(ModelUnavailable):  # who asks needs no face network, only who indexes
            faces = stamp.face_weights and face_digest(stamp.face_model)
        encoder = stamp.encoder_weights and encoder_digest(stamp.encoder)
        stamp.check_weights(self.path, encoder=encoder, face_model=faces)
        return self._reader

    @contextmanager
    def _writer(self, wait_s: float = 60.0) -> Iterator[Store]:
        from vidsearch.store import Store

        with Store.open(self.path, wait_s=wait_s, waiting=self._waiting) as store:
            self._check(store)
            yield store

    def _check(self, store: Store) -> None:
        """Refuse other models than the archive was made with; a path may be given in any form."""
        from idclip import encoders, faces

        asked = self._asked_encoder
        store.check(
            encoder=asked and encoders.full_name(asked),
            face_model=self._asked_faces and faces.full_name(self._asked_faces),
        )

    @cached_property
    def _encoder(self) -> Encoder:
        from idclip.encoders import load_encoder

        return load_encoder(self._reader.stamp.encoder)

    @cached_property
    def _faces(self) -> FaceModel:
        from idclip.faces import load_faces

        return load_faces(self._reader.stamp.face_model)

    @cached_property
    def _scorer(self) -> IdentityScorer:
        from idclip.identity import IdentityScorer

        return IdentityScorer.for_model(self._reader.stamp.face_model)


def _recipe(stamp: Stamp, detector: str, options: Mapping[str, float]) -> Recipe:
    """How an archive's files are analysed; options that are defaults anyway are left out."""
    from vidsearch.shots import DETECTORS
    from vidsearch.tasks import Recipe

    known = DETECTORS[detector].options
    changed = {name: value for name, value in options.items() if value != known[name].default}
    return Recipe(
        stamp.encoder,
        stamp.face_model,
        detector,
        tuple(sorted(changed.items())),
        encoder_weights=stamp.encoder_weights,
        face_weights=stamp.face_weights,
    )


def _paths_called(name: str, video: Video) -> tuple[bytes, ...]:
    """The one path of a video that `name` is, or the end of; all for its id."""
    raw, full = os.fsencode(name), os.fsencode(Path(name).absolute())
    for is_it in (
        lambda path: path in (raw, full),
        lambda path: path.endswith(b"/" + raw),
    ):
        if called := tuple(path for path in video.paths if is_it(path)):
            return called
    return video.paths


def _save(image: Image, file: Path) -> None:
    try:
        image.save(file, quality=90)
    except (OSError, ValueError) as error:
        raise VidsearchError(f"{file}: the picture cannot be written ({error})") from error
