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
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from idclip.devices import Devices
from vidsearch import people as enrolment
from vidsearch.errors import VidsearchError
from vidsearch.opened import Opened, located
from vidsearch.records import EXACT_BELOW, Answer, Hit, Person, Video
from vidsearch.urls import absolute, is_there

if TYPE_CHECKING:
    from fractions import Fraction

    from PIL.Image import Image

    from idclip.faces import FaceModel
    from idclip.identity import IdentityScorer
    from vidsearch.appearances import Appearance, By, ScreenTime, Together
    from vidsearch.audit import Line
    from vidsearch.backup import Backup
    from vidsearch.clips import Clip, Uncut
    from vidsearch.discover import Cluster, Discovery
    from vidsearch.doubles import Lookalike
    from vidsearch.duplicates import SharedFootage
    from vidsearch.excerpts import Excerpt, Excerpts
    from vidsearch.forget import Traces
    from vidsearch.indexing import Event, Failed, IndexReport
    from vidsearch.inputs import PathLike
    from vidsearch.listing import Listing
    from vidsearch.people import Refit
    from vidsearch.people_folder import Arrival
    from vidsearch.photos import Picture
    from vidsearch.prune import Prospect, Pruned
    from vidsearch.records import Job, Still
    from vidsearch.reindexing import Outcome
    from vidsearch.restore import Restored
    from vidsearch.review import Question
    from vidsearch.search_index import IndexState, Optimized
    from vidsearch.stats import Stats
    from vidsearch.store import ShotRow, Store
    from vidsearch.tasks import Analyst
    from vidsearch.timeline import Timeline
    from vidsearch.verify import Fault, Repaired
    from vidsearch.watch import News


class Archive:
    """One archive: what is in the videos, who is enrolled, and questions about both.

    It is a folder, or `s3://BUCKET/KEY`, made by the first `index` that finds a file, or `enrol`
    that succeeds. `encoder` and `faces` name the models of a new archive; an existing one knows its
    own, and refuses others with `ArchiveMismatch`. `device` is where pictures are encoded: "auto",
    "cpu", "cuda", "cuda:NUMBER" or "mps"; the vectors are the same on all, so it is not of the
    archive. `index` and questions raise `ModelUnavailable` where it is not here. `faces_device` is
    where the faces of videos are found and known: "cpu", "cuda", "cuda:NUMBER", "encoder" (where
    that runs), or "auto", which is where the encoder runs if that is a CUDA GPU that onnxruntime
    can use, and else the processor.
    `waiting` is told, in a sentence, when a method has to wait for another writer, under which
    licence a model stands that a new archive is made with in the place of a default, and whom
    somebody newly enrolled looks like. From `exact_below` shots on indexes are kept, and questions
    ask those instead of comparing every shot (see `vidsearch.candidates`).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        encoder: str | None = None,
        faces: str | None = None,
        waiting: Callable[[str], None] | None = None,
        device: str = "auto",
        faces_device: str = "auto",
        exact_below: int = EXACT_BELOW,
    ) -> None:
        self.path = located(path)
        self._open = Opened(
            self.path,
            encoder=encoder,
            faces=faces,
            waiting=waiting,
            devices=Devices(device, faces_device),
            exact_below=exact_below,
        )

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
        by: str = "",
        retry: bool = False,
        wait_s: float = 600.0,
        asked: Sequence[PathLike] = (),
    ) -> Iterator[Event]:
        """The same as an iterator: one `Planned`, then `Progress`, `Indexed` and `Failed`.

        `paths` are files, folders (searched recursively) and globs. `jobs` files are analysed at
        the same time, each in a process. What is indexed and unchanged is left alone unless
        `force`. `analyst` replaces the local analysis (see `vidsearch.tasks.Analyst`), and `by`
        says in `jobs` what it is, `asked` what is remembered there in the place of `paths`. Another
        writer is waited for, `wait_s` seconds at most, then `ArchiveBusy` is raised. A bad file is
        an event, never an exception; one in quarantine is tried again only with `retry` or `force`.
        `ArchiveMismatch` and `ArchiveUnavailable` are raised. Whatever was told as `Indexed` is on
        disk, so the iteration may be ended at any moment. Where there is no archive and no file
        either, none is made.
        """
        from vidsearch import jobs as jobs_of
        from vidsearch.analysts import local
        from vidsearch.indexing import index, nothing_found
        from vidsearch.inputs import find_videos, printable
        from vidsearch.shots import DEFAULT_DETECTOR, make_detector
        from vidsearch.tasks import recipe_of

        name, thresholds = detector or DEFAULT_DETECTOR, dict(detector_options or {})
        make_detector(name, **thresholds)  # a wrong option is told before any work
        self._open.require_devices()
        if not self._open.exists and not (found := find_videos(paths)).files:
            yield from nothing_found(found)
            return
        with self._open.made(wait_s) as store:
            recipe = recipe_of(store.stamp, name, thresholds).on(self._open.devices)
            split = recipe.split_with if detector or thresholds else ""
            analyst = analyst or local(jobs)
            events = index(
                store, paths, recipe, analyst, force=force, split_with=split, retry=retry
            )
            told = tuple(printable(absolute(path)) for path in asked or paths)
            run = jobs_of.Asked(told, by or jobs_of.here(jobs))
            yield from jobs_of.remembered(store, events, run)

    def reindex(self, **options: object) -> tuple[IndexReport, Outcome]:
        """Make all rows again with another encoder, beside the old ones, then switch at once.

        Takes the options of `reindexing`.
        """
        from vidsearch.indexing import Tally
        from vidsearch.reindexing import told_apart

        outcomes: list[Outcome] = []
        events = told_apart(self.reindexing(**options), outcomes)  # type: ignore[arg-type]
        return Tally.of(events).report(), outcomes[-1]

    def reindexing(
        self,
        *,
        encoder: str | None = None,
        detector: str | None = None,
        detector_options: Mapping[str, float] | None = None,
        thumbnails: bool = False,
        leave_out: bool = False,
        jobs: int = 1,
        analyst: Analyst | None = None,
        by: str = "",
        wait_s: float = 600.0,
    ) -> Iterator[Event | Outcome]:
        """The same as an iterator: the events of `indexing`, then one `Outcome`.

        Questions are answered from the old rows until the new ones are complete, and by whoever
        opened the archive before for longer; the old ones stay until `confirm_reindex`. Shots,
        faces and people are kept, and frames read again, unless another `detector` is named. Ended
        at any moment, the next call goes on with what is left; with no `encoder` and no `detector`,
        with what was begun. Videos whose files are gone keep it from switching, unless their
        `thumbnails` may stand in for them, or they may be left out: they are failed videos then.
        `jobs`, `analyst`, `by` and `wait_s` are those of `indexing`. Raises VidsearchError where
        another reindex waits to be finished or confirmed, `ModelUnavailable`, `ArchiveBusy` and
        `ArchiveUnavailable`.
        """
        from vidsearch import jobs as jobs_of
        from vidsearch import reindexing
        from vidsearch.analysts import local

        asked = reindexing.Asked(encoder, detector, dict(detector_options or {}))
        lacking: list[Failed] = []
        with self._open.writer(wait_s) as store:
            devices = self._open.devices
            target = reindexing.target_of(store, asked, self._open.tell_licences, devices)
            here = local(jobs)
            events = reindexing.build(
                store,
                target,
                analyst or here,
                here,
                lacking,
                thumbnails=thumbnails,
                devices=devices,
            )
            what = f"reindex --encoder {target.stamp.encoder}"
            yield from jobs_of.remembered(
                store, events, jobs_of.Asked((what,), by or jobs_of.here(jobs))
            )
            outcome = reindexing.finish(store, target, lacking, leave_out=leave_out)
        self._open.anew()
        yield outcome

    def reindex_back(self) -> Outcome:
        """Answer from the rows of before the last reindex again; those of after it stay beside.

        Called twice it leads back. Raises VidsearchError where nothing is kept.
        """
        from vidsearch import reindexing

        with self._open.writer() as store:
            outcome = reindexing.back(store)
        self._open.anew()
        return outcome

    def confirm_reindex(self) -> int:
        """Remove the rows that `reindex_back` would go back to; gives the bytes that became free.

        Raises VidsearchError where there are none.
        """
        from vidsearch import generations

        with self._open.writer() as store:
            freed = generations.confirm(store)
        self._open.anew()
        return freed

    def drop_reindex(self) -> int:
        """Give up a reindex that was begun; gives the bytes that became free.

        Raises VidsearchError where none was.
        """
        from vidsearch import generations

        with self._open.writer() as store:
            freed = generations.drop(store)
        self._open.anew()
        return freed

    def watching(
        self,
        paths: Sequence[PathLike],
        *,
        settle_s: float = 10.0,
        poll_s: float | None = None,
        stop: Callable[[], bool] = lambda: False,
        **options: object,
    ) -> Generator[News, None, None]:
        """Index what lies below `paths` and what comes there, each file when it stopped growing.

        A file is ready when it is `settle_s` seconds as it is. Folders are looked at when the
        operating system tells of a change, or every `poll_s` seconds where that is given or the
        system cannot tell. Ends when `stop` says so, between two runs, or by closing the iterator.
        Takes the options of `indexing`. An archive that is busy or out of reach is tried again;
        `ArchiveMismatch` is raised.
        """
        from vidsearch import watch

        def index(files: Sequence[PathLike]) -> Iterator[Event]:
            return self.indexing(files, asked=paths, **options)  # type: ignore[arg-type]

        known = watch.known_of(self.videos()) if self._open.exists else {}
        wake = None if poll_s is not None else watch.told_by_system(paths, stop)
        by = "as the system tells"
        if wake is None:
            every_s = poll_s or max(1.0, min(settle_s / 2, 30.0))
            wake, by = watch.polling(every_s, stop), f"every {every_s:g} s"
        ledger = watch.Ledger(tuple(paths), settle_s, known)
        yield from watch.watch(ledger, index, wake, by, stop)

    def jobs(self) -> list[Job]:
        """The runs of `index` that had something to do, the latest first."""
        from vidsearch import jobs

        return jobs.listed(self._open.reader)

    def job(self, name: str) -> Job:
        """The run whose id begins with `name`, or the "last"; raises VidsearchError if none."""
        from vidsearch import jobs

        return jobs.find(self.jobs(), name)

    def failed_paths(self, job: str | None = None) -> list[bytes]:
        """The files that failed and have not been indexed since: of one run, or of all."""
        videos = [video for video in self.videos() if video.status == "failed"]
        if job is None:
            return [path for video in videos for path in video.paths]
        from vidsearch.inputs import printable

        told = {path for path, _ in self.job(job).failures}
        return [p for video in videos for p in video.paths if printable(os.fsdecode(p)) in told]

    # --- questions -------------------------------------------------------------------------------

    def query(
        self,
        text: str = "",
        *,
        k: int = 10,
        offset: int = 0,
        people: Sequence[str] = (),
        like: str | Path | Sequence[str | Path] = (),
        face: str | Path | Sequence[str | Path] = (),
        face_number: int | None = None,
        negative: str | Sequence[str] = (),
        context_only: bool = False,
        threshold: float | None = None,
        since: float | None = None,
        until: float | None = None,
        video: str | None = None,
        min_duration: float = 0.0,
        faces: str | int | None = None,
        date: str | None = None,
        group_by: str | None = None,
        diverse: bool = False,
    ) -> Answer:
        """The `k` best shots for a question after the first `offset`, with evidence.

        `text` is read by the grammar of `docs/questions.md`: people named in it must be in the
        shot, or one of them, or none, as it says; the rest is what the picture should show. Asked
        for as well are the enrolled `people`, pictures to be `like` and whoever has a `face`
        (files, or moments `VIDEO@TIME`, the video by path, or by name or id as `video` finds it;
        `face_number` chooses among several faces); what answers a
        `negative` text is not wanted. `context_only` takes no word for a name. `threshold` is the
        least probability that a person is in a hit.

        `since` and `until` are seconds of each video, `video` is a glob on paths, `min_duration`
        seconds of a shot, `faces` how many it has ("2", "1..3"), `date` when its video was
        recorded ("2024-03", "2023..2024"). `group_by="video"` gives the best shot of each video,
        `diverse` no two that look the same.

        Where nothing is found `hits` is empty and `message` says why. Raises `InvalidQuery`,
        `UnknownPerson` for a name of `people`, what enrolment raises for a picture given,
        `ArchiveMismatch` if the models' weights changed since, and `ArchiveUnavailable`.
        """
        from vidsearch import candidates, given
        from vidsearch.filters import chosen
        from vidsearch.query import parse
        from vidsearch.search import THRESHOLD, search
        from vidsearch.selection import paging

        filters = chosen(video, since, until, min_duration, faces, date)
        shown = paging(k, offset, group_by, diverse)
        store = self._open.comparable
        enrolled = store.people(pictures=False)
        whoever = [
            given.whoever(source, self._open.faces, self._open.scorer, enrolled, number=face_number)
            for source in self._located(given.listed(face))
        ]
        query = parse(
            text,
            enrolled,
            forced=people,
            context_only=context_only,
            negative=given.listed(negative),
            faces=whoever,
            likes=[
                given.like(source, self._open.encoder)
                for source in self._located(given.listed(like))
            ],
        )
        lookup = store.lookup
        answered = (
            partial(search, store.rows()) if lookup is None else partial(candidates.answer, lookup)
        )
        answer = answered(
            self._open.encoder,
            self._open.scorer,
            query,
            given.and_strangers(enrolled, whoever),
            threshold=THRESHOLD if threshold is None else threshold,
            filters=filters,
            paging=shown,
        )
        videos = store.find_all({hit.video_id for hit in answer.hits})
        hits = [_with_copy(hit, videos.get(hit.video_id), video) for hit in answer.hits]
        return replace(answer, hits=tuple(hits))

    def warm(self) -> None:
        """Read into memory what questions ask: the models, and all indexes of a large archive.

        For a process that stays open: its first questions are then as quick as later ones. It takes
        seconds where there are millions of shots, and as much memory as the indexes have bytes.
        What a commit changes is read again by the questions after it. Raises as `query` does where
        there is no archive that can be read.
        """
        from vidsearch.context import background_of

        store = self._open.comparable
        store.people(pictures=False)
        background_of(self._open.encoder)  # type: ignore[arg-type]  # a Protocol is not Hashable
        _ = self._open.scorer
        if store.lookup is None:
            store.rows()
        else:
            store.lookup.warm()

    def _located(self, sources: Sequence[str | Path]) -> list[str]:
        """Pictures and moments; of a video that is called as the archive calls it, by its path."""
        from vidsearch.given import moment_of

        return [
            str(source) if is_there(source) else moment_of(str(source), self._called)
            for source in sources
        ]

    # --- who is on screen when -------------------------------------------------------------------

    def timeline(self, video: str, *, threshold: float | None = None) -> Timeline:
        """Who is on screen when in a video (path or id): `.at(t)`, `.between(a, b)`.

        `threshold` is the least probability of a face track that counts, here and below. Raises
        VidsearchError for a video that the archive does not know or that failed.
        """
        from vidsearch.copies import best_first

        found = best_first(self.video(video))
        store = self._open.comparable
        lookup = store.lookup
        rows = store.rows() if lookup is None else lookup.rows_of_video(found.video_id)
        scorer, enrolled = self._open.scorer, store.people(pictures=False)
        return self._timeline(rows, scorer, found, tuple(enrolled), _or_default(threshold))

    @cached_property
    def _timeline(self) -> Callable[..., Timeline]:
        """Makes timelines; the last few are kept, for those who ask again and again."""
        from vidsearch.timeline import timeline

        return lru_cache(maxsize=16)(timeline)

    def appearances(self, person: str, *, threshold: float | None = None) -> Listing[Appearance]:
        """Where a person (name or alias) is on screen, by video and time.

        Raises `UnknownPerson`.
        """
        from vidsearch import candidates
        from vidsearch.appearances import appearances

        store, scorer = self._open.comparable, self._open.scorer
        enrolled, least = store.people(pictures=False), _or_default(threshold)
        known = enrolment.find(person, enrolled)
        lookup = store.lookup
        rows = lookup and candidates.rows_with(lookup, scorer, known, enrolled, least)
        return appearances(rows or store.rows(), scorer, known, enrolled, threshold=least)

    def together(self, *people: str, threshold: float | None = None) -> Listing[Together]:
        """When two people or more are on screen at the same time, by video and time.

        Raises `UnknownPerson`, and `InvalidQuery` where these are not two people.
        """
        from vidsearch.appearances import together
        from vidsearch.errors import InvalidQuery

        enrolled = self._open.comparable.people(pictures=False)
        named = [enrolment.find(name, enrolled).name for name in people]
        if len(set(named)) < max(2, len(named)):
            raise InvalidQuery(f"together wants two people at least, each once, not {named}")
        return together([self.appearances(name, threshold=threshold) for name in named])

    def screen_time(
        self, by: By = "person", *, person: str | None = None, threshold: float | None = None
    ) -> Listing[ScreenTime]:
        """How long each person is on screen, or each video shows somebody; the longest first.

        With `person`, of nobody else. Raises `UnknownPerson`, and `InvalidQuery` for another `by`.
        """
        from vidsearch.appearances import screen_time

        store, least = self._open.comparable, _or_default(threshold)
        enrolled = store.people(pictures=False)
        people = enrolled if person is None else [enrolment.find(person, enrolled)]
        return screen_time(store.rows(), self._open.scorer, people, enrolled, by, threshold=least)

    def plot_timeline(
        self,
        timeline: Timeline,
        file: str | os.PathLike[str],
        *,
        since: float = 0.0,
        until: float | None = None,
    ) -> None:
        """Draw a timeline as PNG or SVG, by its name: people, frames and shots; extra `plot`."""
        from vidsearch.timeline_plot import plot_timeline

        until = timeline.end_s if until is None else until
        plot_timeline(timeline, self._open.reader, Path(file), since, until)

    def plot_appearances(
        self, person: str, found: Listing[Appearance], file: str | os.PathLike[str]
    ) -> None:
        """Draw where a person is as PNG or SVG, by its name: a row a video; extra `plot`."""
        from vidsearch.timeline_plot import plot_appearances

        plot_appearances(self.person(person), found, self.videos(), Path(file))

    # --- what there is ---------------------------------------------------------------------------

    def videos(self) -> list[Video]:
        """Every video the archive knows, those that failed included, by path."""
        from vidsearch.copies import best_first

        videos = [best_first(video) for video in self._open.reader.videos()]
        return sorted(videos, key=lambda video: video.paths[:1])

    def video(self, name: str) -> Video:
        """The video with this path (or the end of one, or id); raises VidsearchError if none."""
        found = self._called(name)
        if len(found) == 1:
            return found[0]
        many = f"{len(found)} videos of the archive are" if found else "no video of the archive is"
        raise VidsearchError(f"{many} called {name}; see: vidsearch videos")

    def _called(self, name: str) -> list[Video]:
        """The videos with this path or id; else those whose path ends so."""
        raw = os.fsencode(name)
        full = absolute(name)
        videos = self._open.reader.videos()
        for video in videos:
            if video.video_id == name or raw in video.paths or full in video.paths:
                return [video]
        return [v for v in videos if any(path.endswith(b"/" + raw) for path in v.paths)]

    def forget_videos(self, names: Sequence[str]) -> list[Video]:
        """Forget videos, by path or id, with all that is stored of them; the files stay.

        Of several copies of a video the one at a given path is forgotten, and the shots with the
        last. Gives what was forgotten, as it was. Raises VidsearchError, and forgets nothing,
        where a name is of no video.
        """
        from vidsearch.copies import release

        with self._open.writer() as store:
            known = [(name, self.video(name)) for name in names]
            paths = {path for name, video in known for path in _paths_called(name, video)}
            return release(store, paths, {video.video_id for _, video in known})

    def forget_missing(self) -> list[Video]:
        """Forget the videos, and copies of videos, whose files are gone; gives what they were.

        The same as `prune`, with its guard.
        """
        return list(self.prune().videos)

    def prunable(self, root_gone: Sequence[PathLike] = ()) -> Prospect:
        """What `prune` would do; nothing is changed."""
        from vidsearch import prune

        return prune.look(self._open.reader, root_gone)

    def prune(
        self, root_gone: Sequence[PathLike] = (), *, only: Collection[bytes] | None = None
    ) -> Pruned:
        """Drop the videos, and copies of videos, whose files are gone; note those that moved.

        What is missing of a folder, disk or bucket of which nothing is left may only not be
        mounted: it is kept (`Pruned.kept`), unless that place, or one above it, is in `root_gone`.
        `only` are the paths that may be dropped. People and what was said of faces stay.
        """
        from vidsearch import prune

        with self._open.writer() as store:
            return prune.prune(store, root_gone, only)

    def missing_videos(self) -> list[Video]:
        """The videos of which a file is gone (see `vidsearch.copies.gone`), by path."""
        from vidsearch.copies import gone

        return [video for video in self.videos() if gone(video)]

    def shots(self, video: str) -> list[ShotRow]:
        """The shots of a video (path or id), in order: they tile it without gap or overlap."""
        return self._open.reader.shots(self.video(video).video_id)

    def duplicates(self, *, near: float | None = None) -> list[SharedFootage]:
        """The same footage in several files: spans of both, by video and time.

        `near` is the least cosine of two shots that may be the same (`vidsearch.duplicates`).
        """
        from vidsearch import duplicates

        rows = self._open.reader.rows()
        pictures = duplicates.Pictures(rows, self._open.reader)
        least = duplicates.NEAR if near is None else near
        return duplicates.find(rows, pictures.of, near=least)

    def open_hit(self, hit: Hit) -> None:
        """Play a hit, from its start, in the player of this machine."""
        from vidsearch.copies import file_of
        from vidsearch.export import shown_from
        from vidsearch.player import play

        video = self._open.reader.find(hit.video_id)
        if video is None:
            raise VidsearchError(f"{hit.video} is no longer in the archive")
        play(file_of(video), hit.start_s + shown_from(video))

    # --- pictures --------------------------------------------------------------------------------

    def sheet(self, answers: Sequence[Answer], file: str | os.PathLike[str]) -> None:
        """Write the hits of one or more answers as a contact sheet (JPEG or PNG, by its name)."""
        from vidsearch.sheet import contact_sheet

        stills = iter(self._stills_of([hit for answer in answers for hit in answer.hits]))
        pages = [(a.query, a, [next(stills) for _ in a.hits]) for a in answers]
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

    def _stills_of(self, hits: Sequence[Hit]) -> list[Still]:
        from vidsearch.shown import pictures_of

        return pictures_of(hits, self.pictures, self._open.reader.thumbnail)

    # --- out to other tools ----------------------------------------------------------------------

    def excerpts(self, found: Answer | Timeline | Listing[Appearance], title: str = "") -> Excerpts:
        """What was found, ready to leave the archive, each part with its exact frames.

        `title` is what it goes by; an answer's is its question, a timeline's its video.
        """
        from vidsearch import excerpts
        from vidsearch.copies import best_first
        from vidsearch.timeline import Timeline

        def video(video_id: str) -> Video:
            if (known := self._open.reader.find(video_id)) is None:
                raise VidsearchError(f"{video_id} is no longer in the archive: ask again")
            return best_first(known)

        if isinstance(found, Answer):
            made = excerpts.of_answer(found, video, self._open.reader.shots)
            return replace(made, title=title or made.title)
        if isinstance(found, Timeline):
            title = title or found.video.path
            return excerpts.of_appearances(title, found.appearances, video)
        return excerpts.of_appearances(title or "appearances", found, video)

    def export(
        self,
        excerpts: Excerpts,
        out: str | os.PathLike[str],
        *,
        format: str | None = None,
        rate: Fraction | None = None,
    ) -> list[Path]:
        """Write excerpts for another tool: one file, or into a folder one for each video.

        `format` is one of `vidsearch.export.FORMATS`, None for what the file's name tells. `rate`
        is at which rate to count frames, by time, in the place of the files' own. Gives the files.
        Raises VidsearchError for excerpts of nothing, a target that cannot be written, files whose
        rates differ or cannot be a time code where the format wants one.
        """
        from vidsearch.export import export

        return export(excerpts, Path(out), format, rate=rate, stills=self._stills_of_excerpts)

    def exported(self, excerpts: Excerpts, format: str, *, rate: Fraction | None = None) -> bytes:
        """The same as the content of one file; raises the same."""
        from vidsearch.export import rendered

        return rendered(excerpts, format, rate=rate, stills=self._stills_of_excerpts)

    def clip(
        self,
        excerpts: Excerpts,
        folder: str | os.PathLike[str],
        *,
        exact: bool = False,
        handles_s: float = 0.0,
        captions: bool = False,
    ) -> Iterator[Clip | Uncut]:
        """Cut excerpts into files of their own, as an iterator; see `vidsearch.clips.cut`."""
        from vidsearch.clips import cut

        return cut(excerpts, Path(folder), exact=exact, handles_s=handles_s, captions=captions)

    def reel(
        self,
        excerpts: Excerpts,
        file: str | os.PathLike[str],
        *,
        handles_s: float = 0.0,
        captions: bool = False,
    ) -> list[Uncut]:
        """Join excerpts to one MP4 file; gives what could not be, see `vidsearch.clips.reel`."""
        from vidsearch.clips import reel

        return reel(excerpts, Path(file), handles_s=handles_s, captions=captions)

    def _stills_of_excerpts(self, excerpts: Sequence[Excerpt]) -> list[Still]:
        """The frames that show excerpts; thumbnails where a file cannot be read."""
        return self._stills_of([each.as_hit() for each in excerpts])

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
        allow: bool = False,
    ) -> Person:
        """Enrol somebody from photos, or from moments of videos (`VIDEO@00:00:04.2`).

        Found at once in what is indexed already. `face` numbers the face in photos with several,
        `more` adds photos or aliases to somebody who is enrolled, `trust` takes photos that do
        not look like each other, `allow` takes somebody who was forgotten (`forget_person`).
        Raises `EnrolmentError`, `UnreadableImage`, `UnreadableVideo`, each naming the photo and
        the remedy.
        """

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

        if self._open.exists:
            photos = self._located(photos)
        else:  # photos that are refused must not leave an archive
            models = self._open.new_models()
            judged(models.faces, models.scorer, ())
        with self._open.made() as store:
            person = judged(self._open.faces, self._open.scorer, store.people())
            (store.update_person if more else store.add_person)(person, allow=allow)
        self._tell_doubles(person)
        return person

    def near_doubles(self, name: str) -> tuple[Lookalike, ...]:
        """Who enrolled looks like this person, likeliest first: twins, or the same person twice.

        Raises `UnknownPerson`.
        """
        from vidsearch.doubles import near_doubles

        enrolled = self._open.reader.people(pictures=False)
        return near_doubles(enrolment.find(name, enrolled), enrolled, self._open.scorer)

    def _tell_doubles(self, person: Person) -> None:
        from vidsearch.doubles import remark

        said = remark(person, self.near_doubles(person.name))
        if said:
            self._open.tell(said)

    def refit_people(self, source: str | os.PathLike[str]) -> Refit:
        """Bring the people of the archive `source` here, with vectors of this one's face model.

        They are made from the photos that `source` keeps, so it may be of another face model or
        of weights that are no longer installed. Who is here already, by name or from a refit
        before, is refitted in place. Nothing is changed in `source`.
        """
        people = Archive(source).people()
        if not people:
            raise VidsearchError(f"nobody is enrolled in the archive {source}")
        with self._open.made() as store:
            refit = enrolment.refit(
                people, self._open.faces, self._open.scorer, enrolled=store.people()
            )
            store.put_people(refit.people)
        return refit

    def people(self) -> list[Person]:
        """Who is enrolled, by name."""
        return sorted(self._open.reader.people(), key=lambda person: person.name.casefold())

    def person(self, name: str) -> Person:
        """The person of this name or alias; raises `UnknownPerson`."""
        return enrolment.find(name, self._open.reader.people())

    def rename(self, name: str, new_name: str) -> Person:
        """Give a person another name; raises `UnknownPerson`, `EnrolmentError`."""
        with self._open.writer() as store:
            enrolled = store.people()
            person = enrolment.renamed(enrolment.find(name, enrolled), new_name, enrolled)
            store.update_person(person)
        return person

    def remove_person(self, name: str) -> None:
        """Remove a person and their photos; raises `UnknownPerson`.

        Their faces in the videos stay, as those of somebody unknown: see `forget_person`.
        """
        with self._open.writer() as store:
            store.remove_person(enrolment.find(name, store.people()).person_id)

    # --- people nobody has named -----------------------------------------------------------------

    def discover(self) -> Discovery:
        """Put the faces that are new into clusters, each one person; give all clusters.

        They keep their numbers, also when videos are indexed again.
        """
        from vidsearch import unnamed

        with self._open.writer() as store:
            return unnamed.discover(store, self._open.scorer)

    def clusters(self) -> list[Cluster]:
        """What `discover` found, large clusters first: single faces and ignored ones too."""
        from vidsearch import unnamed

        return unnamed.clusters_of(self._open.reader, self._open.scorer)

    def name(
        self,
        cluster: int,
        name: str,
        *,
        more: bool = False,
        trust: bool = False,
        allow: bool = False,
    ) -> Person:
        """All faces of a cluster are this person, who is enrolled with the best of them as photos.

        `more` adds them to somebody who is enrolled, `trust` also where they look unlike, `allow`
        takes somebody who was forgotten. Raises `UnknownCluster`, `EnrolmentError`,
        `UnknownPerson`.
        """
        from vidsearch import unnamed

        with self._open.writer() as store:
            options = {"more": more, "trust": trust, "allow": allow}
            return unnamed.name(store, self._open.scorer, cluster, name, **options)

    def merge(self, one: int, other: int) -> Cluster:
        """Two clusters are one person, and cluster `one`. Raises `UnknownCluster`."""
        from vidsearch import unnamed

        with self._open.writer() as store:
            return unnamed.merge(store, self._open.scorer, one, other)

    def merge_people(self, name: str, other: str) -> Person:
        """Two enrolled people are one, under the first name; raises `UnknownPerson`."""
        from vidsearch import unnamed

        with self._open.writer() as store:
            return unnamed.merge_people(store, name, other)

    def split(self, cluster: int, faces: Sequence[int]) -> tuple[Cluster, Cluster]:
        """Faces of a cluster, by the numbers on its sheet, are somebody else.

        Gives what is left of the cluster, and the new one. Raises `UnknownCluster`.
        """
        from vidsearch import unnamed

        with self._open.writer() as store:
            return unnamed.split(store, self._open.scorer, cluster, faces)

    def ignore(self, cluster: int) -> Cluster:
        """Nobody wants to hear of a cluster any more. Raises `UnknownCluster`."""
        from vidsearch import unnamed

        with self._open.writer() as store:
            return unnamed.ignore(store, self._open.scorer, cluster)

    def questions(self) -> list[Question]:
        """What is in doubt about clusters, the most useful question first."""
        from vidsearch import unnamed

        return unnamed.questions(self._open.reader, self._open.scorer)

    def answer(self, question: Question, yes: bool) -> str:
        """Keep the answer to a question; gives it as a sentence."""
        from vidsearch import unnamed

        with self._open.writer() as store:
            return unnamed.answer(store, question, yes)

    def undo(self) -> str:
        """Take the last answer about faces back; says which. Raises VidsearchError if none is."""
        from vidsearch import unnamed

        with self._open.writer() as store:
            return unnamed.undo(store)

    def cluster_sheet(self, cluster: Cluster, file: str | os.PathLike[str]) -> None:
        """Write the faces of a cluster, numbered as `split` wants them, as one picture."""
        from vidsearch import unnamed

        _save(unnamed.cluster_sheet(self._open.reader, cluster), Path(file))

    def question_sheet(self, question: Question, file: str | os.PathLike[str]) -> None:
        """Write both sides of a question as one picture."""
        from vidsearch import unnamed

        _save(unnamed.question_sheet(self._open.reader, question), Path(file))

    # --- forgetting ------------------------------------------------------------------------------

    def traces_of(self, name: str, *, threshold: float | None = None) -> Traces:
        """What the archive holds of a person (name or alias) that `forget_person` would remove.

        `threshold` is the least probability of a face track that counts as theirs. Where somebody
        was being forgotten when a process was killed, that is finished first. Raises
        `UnknownPerson`, which says so if they were forgotten before.
        """
        from vidsearch import audit, forget
        from vidsearch.errors import UnknownPerson

        if forget.is_unfinished(self.path):
            with self._open.writer():
                pass
        try:
            person = self.person(name)
        except UnknownPerson as error:
            if not (day := audit.day_forgotten(self.path, name)):
                raise
            raise UnknownPerson(
                f'"{name}" was forgotten here on {day}; nothing of them is left'
            ) from error
        return self._traces_in(self._open.reader, person, threshold)

    def forget_person(self, name: str, *, threshold: float | None = None) -> Line:
        """Forget a person for good; gives the line of the audit that stays.

        Photos, vectors, names, labels, their faces in the videos and pictures of shots that show
        nobody else go, and no byte of them stays in the archive folder. The video files are not
        touched. Where a store or backups keep old states `waiting` is told. Raises `UnknownPerson`.
        """
        from vidsearch import forget

        with self._open.writer() as store:
            person = enrolment.find(name, store.people())
            line = self._forget_in(store, person, threshold)
        for kept in (forget.kept_elsewhere(self.path), forget.kept_in_backups(self.path)):
            if kept:
                self._open.tell(kept)
        return line

    def _forget_in(self, store: Store, person: Person, threshold: float | None = None) -> Line:
        from vidsearch import forget

        beside = {
            each.stamp.content: self._traces_in(each, person, threshold) for each in store.others()
        }
        return forget.forget(store, person, self._traces_in(store, person, threshold), beside)

    def _traces_in(self, store: Store, person: Person, threshold: float | None) -> Traces:
        from vidsearch.forget import traces

        enrolled = store.people(pictures=False)
        least = _or_default(threshold)
        scorer = self._open.scorer_of(store.stamp)
        return traces(store.rows(), store.members(), scorer, person, enrolled, least)

    def export_people(
        self, folder: str | os.PathLike[str], names: Sequence[str] = ()
    ) -> list[Person]:
        """Write everybody, or those named, into a new folder: photos, and a `people.json`.

        Gives who was written. Raises `UnknownPerson`, VidsearchError where it cannot be written.
        """
        from vidsearch import people_folder

        chosen = [self.person(name) for name in names] if names else self.people()
        written = list({person.person_id: person for person in chosen}.values())
        if written:
            people_folder.write(written, Path(folder))
        return written

    def import_people(
        self,
        folder: str | os.PathLike[str],
        *,
        more: bool = False,
        trust: bool = False,
        allow: bool = False,
    ) -> list[Arrival]:
        """Enrol the people of a folder (see `vidsearch.people_folder`), each whole or not at all.

        `more`, `trust` and `allow` are those of `enrol`. Says what became of each. Raises
        VidsearchError where the folder holds no people.
        """
        from vidsearch import people_folder

        people_folder.check(Path(folder))
        with self._open.made() as store:
            arrivals = people_folder.read(
                Path(folder),
                self._open.faces,
                self._open.scorer,
                store.people(),
                more=more,
                trust=trust,
            )
            return [people_folder.settled(each, store, allow) for each in arrivals]

    def forgotten(self) -> list[Line]:
        """What was forgotten and when, oldest first: no names, no pictures, no vectors."""
        from vidsearch import audit

        return audit.read(self._open.reader.folder)

    # --- upkeep ----------------------------------------------------------------------------------

    def verify(self) -> list[Fault]:
        """The faults of the archive; none of a sound one. Nothing is changed."""
        from vidsearch import verify

        return verify.examine(self.path)

    def repair(self) -> Repaired:
        """Mend the faults that can be mended, and say what was done and what is left.

        Videos whose rows are broken are dropped: index them again.
        """
        from vidsearch import verify

        faults = verify.examine(self.path)
        verify.drop_copies(self.path)
        with self._open.writer() as store:
            return verify.repair(store, faults)

    def indexes(self) -> list[IndexState]:
        """The indexes of a large archive as they are; none of one that is searched exactly."""
        return self._open.reader.indexes()

    def optimize(self, *, say: Callable[[str], None] | None = None) -> Optimized:
        """Merge files, drop what is old, bring the indexes of a large archive up to date.

        Every run of `index` does what is worth it; this does all. `say` is told before each step,
        else `waiting` is.
        """
        from vidsearch.health import size_of
        from vidsearch.search_index import Optimized

        with self._open.writer() as store:
            before = size_of(self.path)
            store.optimize(force=True, say=say or self._open.tell)
            return Optimized(before, size_of(self.path), tuple(store.indexes()))

    def backup(
        self, place: str | os.PathLike[str], *, keep: int | None = None, wait_s: float = 600.0
    ) -> Backup:
        """Make a snapshot of the archive in `place`, a folder or s3://, beside writers and readers.

        Only what no snapshot there holds yet is copied; each file is kept with its SHA-256. With
        `keep` the snapshots before the last so many go. Raises `BackupFailed`, and `ArchiveBusy`
        where the archive is written to without a pause for `wait_s` seconds.
        """
        from vidsearch import backup
        from vidsearch.snapshots import backups_at

        where = backups_at(place)
        return backup.back_up(
            self.path, where, keep=keep, wait_s=wait_s, waiting=self._open.waiting
        )

    def restore(
        self,
        place: str | os.PathLike[str],
        *,
        snapshot: str = "",
        forgotten: str | os.PathLike[str] | None = None,
    ) -> Restored:
        """Bring a snapshot of `place`, the latest if none is named, back as this archive.

        The folder must be empty; a restore that was killed is gone on with. Whoever was forgotten
        since, by later snapshots or by the archive `forgotten`, is forgotten again, and before
        that is done nobody can open it. Raises `BackupFailed`, `ArchiveUnavailable`.
        """
        from vidsearch import restore
        from vidsearch.snapshots import backups_at

        where, lost = backups_at(place), None if forgotten is None else located(forgotten)
        done = restore.restore(where, self.path, snapshot, lost)
        with self._open.writer(restoring=True) as store:
            n = restore.forget_again(store, where, done.snapshot, self._forget_in)
        return replace(done, forgotten=n)

    def stats(self) -> Stats:
        """Hours, shots, faces, people, screen time, and the disk by part."""
        from vidsearch.stats import stats

        return stats(self._open.reader, self._open.scorer)

    def dump(self, folder: str | os.PathLike[str]) -> dict[str, int]:
        """Write every table as a Parquet file into a new folder; the rows of each."""
        from vidsearch.dump import dump

        return dump(self._open.reader, Path(folder))


def _with_copy(hit: Hit, video: Video | None, glob: str | None) -> Hit:
    """A hit that names, of several copies of its video, one that was asked for and is there."""
    from vidsearch.copies import best_first

    if video is None or len(video.paths) < 2:
        return hit
    return replace(hit, video=best_first(video, glob).path, copies=len(video.paths) - 1)


def _paths_called(name: str, video: Video) -> tuple[bytes, ...]:
    """The one path of a video that `name` is, or the end of; all for its id."""
    raw, full = os.fsencode(name), absolute(name)
    for is_it in (
        lambda path: path in (raw, full),
        lambda path: path.endswith(b"/" + raw),
    ):
        if called := tuple(path for path in video.paths if is_it(path)):
            return called
    return video.paths


def _or_default(threshold: float | None) -> float:
    from vidsearch.search import THRESHOLD

    return THRESHOLD if threshold is None else threshold


def _save(image: Image, file: Path) -> None:
    try:
        image.save(file, quality=90)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise VidsearchError(f"{file}: the picture cannot be written ({reason})") from error
