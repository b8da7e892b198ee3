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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
    from vidsearch.photos import Picture
    from vidsearch.store import ShotRow, Store
    from vidsearch.tasks import Analyst


class Archive:
    """One archive folder: what is in the videos, who is enrolled, and questions about both.

    The folder is made by the first `index` or `enrol`. `encoder` and `faces` name the models of a
    new archive; an existing one knows its own, and refuses others with `ArchiveMismatch`.
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
        """
        from vidsearch.analysts import local
        from vidsearch.indexing import index
        from vidsearch.shots import DEFAULT_DETECTOR, make_detector
        from vidsearch.tasks import Recipe

        name, thresholds = detector or DEFAULT_DETECTOR, dict(detector_options or {})
        make_detector(name, **thresholds)  # a wrong option is told before any work
        with self._made(wait_s) as store:
            stamp = store.stamp
            recipe = Recipe(
                stamp.encoder,
                stamp.face_model,
                name,
                tuple(sorted(thresholds.items())),
                encoder_weights=stamp.encoder_weights,
                face_weights=stamp.face_weights,
            )
            yield from index(store, paths, recipe, analyst or local(jobs), force=force)

    @contextmanager
    def _made(self, wait_s: float = 60.0) -> Iterator[Store]:
        """The store, open for writing vectors, made first where there is none."""
        from idclip.digests import encoder_digest, face_digest
        from vidsearch.analyze import load_models
        from vidsearch.settings import read
        from vidsearch.store import Store

        if not Store.exists(self.path):
            chosen = read()
            models = load_models(
                self._asked_encoder or chosen.encoder, self._asked_faces or chosen.faces
            )
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
        return search(
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

    def videos(self) -> list[Video]:
        """Every video the archive knows, those that failed included, by path."""
        return sorted(self._reader.videos(), key=lambda video: video.paths[:1])

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

    def shots(self, video: str) -> list[ShotRow]:
        """The shots of a video (path or id), in order: they tile it without gap or overlap."""
        return self._reader.shots(self.video(video).video_id)

    def open_hit(self, hit: Hit) -> None:
        """Play a hit, from its start, in the player of this machine."""
        from vidsearch.player import play

        video = self._reader.find(hit.video_id)
        if video is None:
            raise VidsearchError(f"{hit.video} is no longer in the archive")
        play(self._path_of(video), hit.start_s + video.media_offset_s)

    # --- pictures --------------------------------------------------------------------------------

    def sheet(self, answers: Sequence[Answer], file: str | os.PathLike[str]) -> None:
        """Write the hits of one or more answers as a contact sheet (JPEG or PNG, by its name)."""
        from vidsearch.sheet import contact_sheet

        pages = [(a.query, a, [self._picture_of(hit) for hit in a.hits]) for a in answers]
        _save(contact_sheet(pages), Path(file))

    def person_sheet(self, person: Person, file: str | os.PathLike[str]) -> None:
        """Write the photos of a person, the chosen faces framed, as one picture."""
        from vidsearch.sheet import photo_sheet

        _save(photo_sheet(person), Path(file))

    def _picture_of(self, hit: Hit) -> Picture:
        """The frame that shows a hit: read again from the file, or the thumbnail."""
        from vidsearch.media import read_picture
        from vidsearch.photos import decode_jpeg
        from vidsearch.sheet import moment_of

        video = self._reader.find(hit.video_id)
        if video is not None:
            with suppress(VidsearchError):
                return read_picture(self._path_of(video), moment_of(hit))
        return decode_jpeg(self._reader.thumbnail(hit.video_id, hit.shot, hit.keyframe_s))

    @staticmethod
    def _path_of(video: Video) -> Path:
        """The first of the video's paths that is there."""
        paths = [Path(os.fsdecode(path)) for path in video.paths]
        return next((path for path in paths if path.exists()), paths[0])

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
        with self._made() as store:
            enrolled = store.people()
            person = enrolment.enrol(
                name,
                photos,
                self._faces,
                self._scorer,
                enrolled=enrolled,
                aliases=aliases,
                face=face,
                more=more,
                trust=trust,
            )
            (store.update_person if more else store.add_person)(person)
        return person

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
        from idclip.encoders import full_name

        asked = self._asked_encoder
        store.check(encoder=asked and full_name(asked), face_model=self._asked_faces)

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


def _save(image: Image, file: Path) -> None:
    try:
        image.save(file, quality=90)
    except (OSError, ValueError) as error:
        raise VidsearchError(f"{file}: the picture cannot be written ({error})") from error
