"""The archive on disk: LanceDB tables in one folder (`vidsearch.tables` is their engine).

Tables share no transaction, so what makes a video's rows real is its row in `videos`: they carry
a `generation`, the videos row that names it is written last, by one commit, and nobody reads rows
of another generation. A writer that is killed at any moment leaves either the old rows of a
video, or the new ones, and perhaps rows that nobody sees; the next writer sweeps those.

All of that may be there more than once: a generation of rows for each of two encoders, of which the
stamp names the one that questions are answered from (`vidsearch.generations`). People, and what was
said of faces, are common to both.

There is one writer at a time, behind a lock (`vidsearch.lock`). Readers take no lock and wait for
nobody: a commit of Lance is atomic, and what they need of several tables is read again if a
commit came in between.

Searches do not scan the tables: the columns they need are mapped into memory from copies that the
writer keeps up to date (`vidsearch.columns`), so that a question needs no import of lancedb.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from vidsearch import audit, columns, search_index
from vidsearch.columns import Columns
from vidsearch.errors import ArchiveUnavailable, VidsearchError
from vidsearch.health import Health, examine, orphans
from vidsearch.records import EXACT_BELOW, AnalyzedVideo, Job, Label, Member, Person, Rows, Video
from vidsearch.rows import is_whole, join
from vidsearch.schema import (
    COMMON,
    CONTENT,
    ORDER,
    ROWS,
    TABLES,
    check_lengths,
    content_rows,
    face_rows,
    job_rows,
    jobs_from,
    labels_from,
    members_from,
    people_from,
    people_rows,
    schemas,
    video_rows,
    videos_from,
)
from vidsearch.stamp import (
    SCHEMA,
    SINCE_PLACE,
    Generation,
    Stamp,
    is_archive,
    read_stamp,
    refuse_unfinished,
    write_stamp,
)
from vidsearch.tables import Tables, explained
from vidsearch.urls import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vidsearch.lease import Lease
    from vidsearch.lock import WriterLock
    from vidsearch.lookup import Lookup

NO_GENERATION = 0  # of a video that failed: it has no rows
# Within a long run the files are looked at after this many commits: each commit lists all files of
# its table, so leaving them would cost time as their number squared.
_COMMITS_BEFORE_OPTIMIZING = 64
# Merging writes rows anew. So it waits until a fair share of them lies outside the largest file,
# which keeps the cost of all merges near that of one, or until files are really many. Lance takes
# those of more than `_FULL` rows for full; and who merges brings indexes up to date as well, which
# writes all of them anew: a large archive is merged with these, or for the number of its files.
_FEW_FILES, _MANY_FILES, _MANY_WITHIN_A_RUN = 8, 200, 2000
_SHARE_WORTH_MERGING = 0.25
_FULL = 2**20
_TRIES = 20
# Rows are deleted from `shots` first and read from it last: whoever finds all shots of a video has
# read all its other rows before any of them was deleted. A context of a large archive is answered
# from keyframes alone, as they were at one moment (`vidsearch.packing`).
_READ_ORDER = ("videos", "figures", "faces", "keyframes", "shots")
_DELETE_ORDER = _READ_ORDER[:0:-1]


def _silent(said: str) -> None:
    pass


@dataclass(frozen=True)
class ShotRow:
    """A shot as it is listed: frames `[start_frame, end_frame)`, seconds `[start_s, end_s)`."""

    video_id: str
    index: int
    start_s: float
    end_s: float
    start_frame: int
    end_frame: int
    n_tracks: int


class Store:
    """An archive that is open, for reading or as its one writer; a context manager.

    Every method raises `ArchiveUnavailable` if the folder is full, read-only or damaged.
    """

    def __init__(
        self,
        folder: Place,
        stamp: Stamp,
        lock: WriterLock | Lease | None,
        exact_below: int = EXACT_BELOW,
    ) -> None:
        self.folder = folder
        self.exact_below = exact_below
        self.stamp = stamp
        self._lock = lock
        self._schemas = schemas(stamp)
        self._tables = Tables(folder, self._schemas, stamp.content)
        self._columns = Columns(self._tables, stamp.archive_id)
        self._known: dict[str, tuple[Video, int]] | None = None
        self._known_key = ""
        self._counted = "", 0
        self._commits = 0
        self._rows: tuple[dict[str, str], Rows] | None = None
        self._enrolled: tuple[str, list[Person]] | None = None
        self._is_guest = False  # whether another store holds the lock, and gives it back
        self._others: tuple[Store, ...] = ()
        self._lookup: tuple[dict[str, str], Lookup | None] | None = None

    # --- opening ---------------------------------------------------------------------------------

    @staticmethod
    def exists(folder: Place) -> bool:
        """Whether the folder holds an archive."""
        return is_archive(folder)

    @classmethod
    def create(
        cls,
        folder: Place,
        *,
        encoder: str,
        encoder_dim: int,
        face_model: str,
        face_dim: int,
        encoder_weights: str = "",
        face_weights: str = "",
        wait_s: float = 60.0,
    ) -> None:
        """Make an archive in `folder`; one that another process made meanwhile is left as it is.

        The weights are digests (`idclip.digests`), "" where nobody knows. Raises `ArchiveBusy`
        and `ArchiveUnavailable`.
        """
        from vidsearch.lock import writer_lock

        with explained(folder, "made"):
            folder.mkdir(parents=True, exist_ok=True)
            lock = writer_lock(folder)
            lock.acquire(wait_s)
        try:
            refuse_unfinished(folder)
            if is_archive(folder):
                return
            stamp = Stamp.new(
                encoder, encoder_dim, face_model, face_dim, encoder_weights, face_weights
            )
            store = cls(folder, stamp, None)
            with explained(folder, "made"):
                for name in TABLES:
                    store._tables.make(name)
                write_stamp(folder, stamp)
        finally:
            lock.release()

    @classmethod
    def open(
        cls,
        folder: Place,
        *,
        read_only: bool = False,
        wait_s: float = 60.0,
        waiting: Callable[[str], None] | None = None,
        exact_below: int = EXACT_BELOW,
        restoring: bool = False,
    ) -> Store:
        """Open an archive, as its one writer unless `read_only`.

        From `exact_below` shots on it keeps indexes (`vidsearch.search_index`). One that was not
        restored to the end is refused to everybody but who is `restoring` it.

        Another writer is waited for, `wait_s` seconds at most; `waiting` is told so once, in a
        sentence. Rows that a killed writer left are swept. Raises `ArchiveUnavailable` where there
        is no archive, `ArchiveMismatch` for one of a newer vidsearch, and `ArchiveBusy`.
        """
        stamp = read_stamp(folder, restoring=restoring)
        if read_only:
            return cls(folder, stamp, None, exact_below)
        from vidsearch import forget, generations
        from vidsearch.lock import writer_lock

        lock = writer_lock(folder)
        with explained(folder, "written"):
            lock.acquire(wait_s, waiting)
        try:
            # Again: whom we waited for may have switched to another generation.
            stamp = read_stamp(folder, restoring=restoring)
            store = cls(folder, stamp, lock, exact_below)
            store._bring_up_to_date()
            generations.sweep(store)
            if forget.is_unfinished(folder):
                forget.resume(store)
            for each in (store, *store.others()):
                each.sweep()
        except BaseException:
            lock.release()
            raise
        return store

    def of(self, generation: Generation) -> Store:
        """The same archive with the rows of another generation, under the same right to write."""
        store = Store(self.folder, self.stamp.of(generation), self._lock, self.exact_below)
        store._is_guest = True
        return store

    def others(self) -> tuple[Store, ...]:
        """Those of the generations that are kept beside this one, opened once."""
        if self._is_guest:
            return ()
        wanted = self.stamp.others
        if tuple(each.stamp.generation for each in self._others) != wanted:
            self._others = tuple(self.of(generation) for generation in wanted)
            for each in self._others:
                each._add_what_is_new()
        return self._others

    def _bring_up_to_date(self) -> None:
        """Add what came with newer layouts, empty, to an archive of an older one.

        The stamp is written first: with it an older vidsearch refuses the archive, which it could
        not read any more. It is tables and columns that are looked at, so a writer that is killed
        in between leaves the rest to the next. Only `place` is added before the stamp: rows that an
        older vidsearch added would have none, and nobody would find them.
        """
        if self.stamp.schema < SINCE_PLACE:
            for each in (self, *(self.of(generation) for generation in self.stamp.others)):
                each._add_places()
        if self.stamp.schema < SCHEMA:
            self.stamp = replace(self.stamp, schema=SCHEMA)
            with explained(self.folder, "written"):
                write_stamp(self.folder, self.stamp)
        self._add_what_is_new()

    def _add_places(self) -> None:
        from vidsearch import forget

        with explained(self.folder, "written"):
            for name in CONTENT:
                if self._tables.lacks_places(name):
                    forget.expect_commit(self.folder, self.stamp.content, name, self.version(name))
                    self._tables.add_place(name)
                    self._commits += 1

    def _add_what_is_new(self) -> None:
        with explained(self.folder, "written"):
            for name in TABLES:
                if self._tables.lacks(name):
                    self._tables.make(name)
                    self._commits += 1
        there = self._columns.of("videos")[1].column_names
        new = [field for field in self._schemas["videos"] if field.name not in there]
        if new:
            with explained(self.folder, "written"):
                self._tables.open("videos").add_columns(new)
            self._commits += 1

    def close(self) -> None:
        """Bring the copies for searches up to date and give the lock back."""
        try:
            for each in self._others:
                each.close()
            if self._lock is not None and self._commits:
                for name in TABLES:
                    if name in self._copied():
                        self._columns.of(name)
                    else:  # one that somebody had made is of another state now
                        self._columns.forget(name)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._tables.close()
        if self._lock is not None and not self._is_guest:
            self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:  # copies can wait, and might hide what it says
            self._let_go()

    def check(self, *, encoder: str | None = None, face_model: str | None = None) -> None:
        """Raise `ArchiveMismatch` if the archive was made with other models than these."""
        self.stamp.check(self.folder, encoder=encoder, face_model=face_model)

    # --- videos ----------------------------------------------------------------------------------

    def videos(self) -> list[Video]:
        """Every video, those that failed included, in the order in which they were indexed."""
        return [video for video, _ in self._catalogue().values()]

    def find(self, video_id: str) -> Video | None:
        """The video with this id."""
        entry = self._catalogue().get(video_id)
        return entry[0] if entry else None

    def find_all(self, video_ids: Iterable[str]) -> dict[str, Video]:
        """Those of some videos that are there, by id: with one look at what is there."""
        known = self._catalogue()
        return {each: known[each][0] for each in video_ids if each in known}

    def shots(self, video_id: str) -> list[ShotRow]:
        """The shots of a video in order; none of one that is unknown or failed."""
        names = ["shot", "start_s", "end_s", "start_frame", "end_frame", "n_tracks"]
        for _ in range(_TRIES):
            video, generation = self._catalogue().get(video_id, (None, NO_GENERATION))
            if video is None or generation == NO_GENERATION:
                return []
            with explained(self.folder, "read"):
                table = self._tables.read("shots", names, f"generation = {generation}")
            if table.num_rows == video.n_shots:
                table = table.sort_by("shot")
                values = [table.column(name).to_pylist() for name in names]
                return [ShotRow(video_id, *row) for row in zip(*values, strict=True)]
            # A writer replaced the video between the two reads.
        raise self._incomplete(video_id)

    def thumbnail(self, video_id: str, shot: int, keyframe_s: float) -> bytes:
        """The JPEG of the shot's keyframe that is nearest to `keyframe_s`."""
        _, generation = self._catalogue().get(video_id, (None, NO_GENERATION))
        with explained(self.folder, "read"):
            found = self._tables.read(
                "keyframes",
                ["time_s", "thumbnail"],
                f"generation = {generation} AND shot = {int(shot)}",
            ).to_pylist()
        if not found:
            raise VidsearchError(
                f"Shot {shot} of {video_id} is no longer in the archive {self.folder}; it was"
                " indexed again or removed. Ask the question again."
            )
        nearest = min(found, key=lambda row: abs(row["time_s"] - keyframe_s))
        return bytes(nearest["thumbnail"])

    def thumbnails(self, video_id: str) -> dict[int, bytes]:
        """A JPEG for each shot of a video, by its number; b"" where none is kept."""
        _, generation = self._catalogue().get(video_id, (None, NO_GENERATION))
        with explained(self.folder, "read"):
            found = self._tables.read(
                "keyframes", ["shot", "thumbnail"], f"generation = {generation}"
            ).to_pylist()
        return {row["shot"]: bytes(row["thumbnail"]) for row in found}

    # --- searching -------------------------------------------------------------------------------

    def rows(self) -> Rows:
        """The columns that questions are answered from, of all published videos, as arrays.

        The arrays are maps of files or kept from the call before; they are never to be written
        to. Whether something was committed since then is seen by listing six folders.
        """
        for attempt in range(_TRIES):
            wanted = (*_READ_ORDER, "labels")
            keys = {name: self._columns.key(name) for name in wanted}
            if self._rows is not None and self._rows[0] == keys:
                return self._rows[1]
            found = {name: self._columns.of(name) for name in wanted}
            rows = join({name: table for name, (_, table) in found.items()})
            if is_whole(rows):
                self._rows = {name: key for name, (key, _) in found.items()}, rows
                return rows
            time.sleep(0.01 * attempt)  # a writer replaced a video while we read
        raise self._incomplete("some videos")

    # --- writing videos --------------------------------------------------------------------------

    def publish_many(self, analyzed: Sequence[AnalyzedVideo]) -> None:
        """Store analysed videos in place of what was known of them; they appear together.

        Raises ValueError if vectors have another length than those of the archive's models.
        """
        if not analyzed:
            return
        check_lengths(analyzed, self._schemas)
        latest = {each.video.video_id: each for each in analyzed}  # of doubles the last counts
        numbers = self._new_generations(len(latest))
        content = list(zip(latest.values(), numbers, strict=True))
        self.publish_rows(
            [(replace(each.video, n_shots=len(each.shots)), number) for each, number in content],
            lambda name: content_rows(content, name, self._schemas[name]),
        )

    def publish_rows(
        self,
        videos: Sequence[tuple[Video, int]],
        rows: Callable[[str], Iterator[pa.RecordBatch]],
    ) -> None:
        """Store videos, each under its number, in place of what was known of them.

        `rows` gives those of each table of `CONTENT`; numbers must be ones that no row has.
        """
        known = self._catalogue()
        replaced = [known[each.video_id][1] for each, _ in videos if each.video_id in known]
        self._hold()
        with explained(self.folder, "written"):
            for name in CONTENT:
                self._tables.append(name, rows(name))
            self._put(videos)
            self._delete_generations(replaced)
        self._after_commit()

    def record_failure(self, video: Video) -> None:
        """Note that a video could not be indexed, and why.

        The same content that was indexed well before keeps its rows and its status: whatever
        failed this time (the disk, the memory), the video is what it was.
        """
        before = self._catalogue().get(video.video_id)
        if before is not None and before[0].status != "failed":
            return
        with explained(self.folder, "written"):
            self._put([(replace(video, status="failed", n_shots=0), NO_GENERATION)])
        self._after_commit()

    def update_video(self, video: Video) -> None:
        """Replace what is known of a video; its shots stay. Unknown ones raise KeyError."""
        generation = self._catalogue()[video.video_id][1]
        with explained(self.folder, "written"):
            self._put([(video, generation)])
        self._after_commit()

    def note(self, videos: Sequence[tuple[Video, int]]) -> None:
        """Replace what is known of videos, by one commit; what rows they have stays."""
        with explained(self.folder, "written"):
            self._put(videos)
        self._after_commit()

    def remove_videos(self, video_ids: Iterable[str], *, everywhere: bool = True) -> None:
        """Remove videos and their rows, by one commit a table; unknown ones are gone already.

        They go from every generation, unless it is not to be `everywhere`.
        """
        known, video_ids = self._catalogue(), list(dict.fromkeys(video_ids))
        for each in self.others() if everywhere else ():
            each.remove_videos(video_ids)
        there = [video_id for video_id in video_ids if video_id in known]
        if not there:
            return
        self._hold()
        with explained(self.folder, "written"):
            self._tables.open("videos").delete(f"video_id IN ({', '.join(map(_quoted, there))})")
            self._delete_generations([known.pop(video_id)[1] for video_id in there])
        self._after_commit()

    def sweep(self) -> int:
        """Delete what a killed writer left: rows that no reader sees, and people who were removed.

        Gives the number of rows.
        """
        swept = 0
        with explained(self.folder, "written"):
            for folder in {self._tables.folder, self._tables.rows_folder}:
                columns.sweep(folder)
            for name in () if self._is_guest else COMMON:
                if not columns.is_tidy(self.folder, name):
                    self._purge(name)
            published = {generation for _, generation in self._catalogue().values()}
            for name in CONTENT:
                # From the copies: where there is nothing to sweep, lancedb is not imported.
                copied = name in self._copied()
                found = self._columns.of(name)[1] if copied else self._generations_in(name)
                lost = orphans(found, published)
                if lost:
                    self._tables.open(name).delete(_generation_in(lost))
                    self._commits += 1
                    swept += sum(lost.values())
        return swept

    def renew_copies(self) -> None:
        """Make the copies for searches again from the tables, whatever they hold."""
        with explained(self.folder, "written"):
            for name in TABLES:
                self._columns.forget(name)
            for name in self._copied():
                self._columns.of(name)

    def optimize(
        self,
        *,
        force: bool = False,
        within_a_run: bool = False,
        say: Callable[[str], None] = _silent,
    ) -> None:
        """Merge small files and drop old versions where it is worth it, keeping readers alive.

        A large archive gets its indexes, or they are brought up to date; `within_a_run`, which
        writes more at once, only when they lack a fair share of the rows. All that can be done is
        done with `force`. `say` is told before each step that takes time.
        """
        with explained(self.folder, "written"):
            for name in ("videos", *CONTENT):
                table = self._tables.open(name)
                indexed = name in CONTENT and self.is_large
                many = _MANY_WITHIN_A_RUN if indexed and within_a_run else _MANY_FILES
                if force or _scattered(table.stats(), many, indexed):
                    say(f"merging the files of {name}")
                    # No other process writes, so files of no version were left by a killed one;
                    # a reader that misses a file of an old version reads the latest (`_read`).
                    self._tables.tidy(name)
                    self._commits += 1
            if self.is_large and search_index.renew(
                self._tables, say=say, force=force, within_a_run=within_a_run
            ):
                self._commits += 1

    # --- large archives --------------------------------------------------------------------------

    @property
    def is_large(self) -> bool:
        """Whether there are so many shots that indexes are kept."""
        videos = self._catalogue()
        if self._lock is not None or not self._known_key or self._counted[0] != self._known_key:
            self._counted = self._known_key, sum(video.n_shots for video, _ in videos.values())
        return self._counted[1] >= self.exact_below

    @property
    def lookup(self) -> Lookup | None:
        """The way to rows by index; None for an archive that is small or has no indexes yet."""
        if not self.is_large:
            return None
        # Of all that it remembers: who was forgotten must not be found in memory either.
        keys = {name: self._columns.key(name) for name in (*_READ_ORDER, "labels", "people")}
        if self._lookup is None or self._lookup[1] is None or self._lookup[0] != keys:
            from vidsearch.lookup import Lookup

            known = search_index.read(self._tables.rows_folder)
            published = self._published()
            found = known and Lookup(
                self._tables, known, published, self.labels(), self.exact_below
            )
            self._lookup = keys, found or None
        return self._lookup[1]

    def indexes(self) -> list[search_index.IndexState]:
        """The indexes of a large archive as they are; none of a small one."""
        with explained(self.folder, "read"):
            return search_index.states(self._tables) if self.is_large else []

    def _published(self) -> dict[int, Video]:
        return {gen: video for video, gen in self._catalogue().values() if gen != NO_GENERATION}

    def _copied(self) -> tuple[str, ...]:
        """The tables whose copies for searches are kept current: not the rows of a large archive.

        Whoever reads all of those has the copies made.
        """
        return tuple(name for name in TABLES if name not in CONTENT or not self.is_large)

    def _generations_in(self, name: str) -> pa.Table:
        return self._tables.read(name, ["generation"])

    # --- people ----------------------------------------------------------------------------------

    def people(self, *, pictures: bool = True) -> list[Person]:
        """Who is enrolled, first enrolled first.

        Without `pictures` the photos' `jpeg` is b"", and it takes no import of lancedb.
        """
        if not pictures:
            key, table = self._columns.of("people")
            if self._enrolled is None or not key or self._enrolled[0] != key:
                self._enrolled = key, people_from(table)
            return list(self._enrolled[1])
        with explained(self.folder, "read"):
            return people_from(
                self._tables.read("people").sort_by([(c, "ascending") for c in ORDER["people"]])
            )

    def add_person(self, person: Person, *, allow: bool = False) -> None:
        """Enrol somebody; who was forgotten here is refused (`vidsearch.audit.refuse`)."""
        self._refuse_forgotten([person], allow)
        with explained(self.folder, "written"):
            self._tables.open("people").add(people_rows([person], self._schemas["people"]))
            self._purge("people")

    def update_person(self, person: Person, *, allow: bool = False) -> None:
        """Replace what is known of a person; what was replaced is gone from the disk."""
        self.put_people([person], allow=allow)

    def put_people(self, people: Sequence[Person], *, allow: bool = False) -> None:
        """Enrol people, each in place of who had their id, by one rewriting of the table."""
        self._refuse_forgotten(people, allow)
        new = {person.person_id: person for person in people}
        kept = [each for each in self.people() if each.person_id not in new]
        self._rewrite_people([*kept, *new.values()])

    def remove_person(self, person_id: str) -> None:
        """Remove a person; their name, photos and vectors are gone from the disk afterwards.

        So is what was said of faces about them.
        """
        self._rewrite_people([p for p in self.people() if p.person_id != person_id])
        self.remove_labels(lambda label: label.person_id == person_id)

    def _refuse_forgotten(self, people: Sequence[Person], allow: bool) -> None:
        with explained(self.folder, "written"):
            audit.refuse(self.folder, people, self.people(pictures=False), allow=allow)

    def _rewrite_people(self, people: Sequence[Person]) -> None:
        """Write the table anew: deleting a row would only mark it, and keep its bytes."""
        self._rewrite("people", people_rows(people, self._schemas["people"]))

    # --- what was said and found of faces --------------------------------------------------------

    def labels(self) -> list[Label]:
        """What people said of faces, first said first; takes no import of lancedb."""
        return labels_from(self._columns.of("labels")[1])

    def add_labels(self, labels: Sequence[Label]) -> None:
        """Keep what somebody said, by one commit."""
        if labels:
            with explained(self.folder, "written"):
                self._tables.open("labels").add(face_rows(labels, self._schemas["labels"]))
            self._commits += 1

    def put_labels(self, labels: Sequence[Label]) -> None:
        """Keep these labels and no others; what was replaced is gone from the disk."""
        self._rewrite("labels", face_rows(labels, self._schemas["labels"]))

    def remove_labels(self, of: Callable[[Label], bool]) -> int:
        """Remove, from the disk too, the labels for which `of` is true; gives their number."""
        labels = self.labels()
        kept = [label for label in labels if not of(label)]
        if len(kept) < len(labels):
            self.put_labels(kept)
        return len(labels) - len(kept)

    def members(self) -> list[Member]:
        """The faces of all clusters, in the order in which they joined."""
        return members_from(self._columns.of("clusters")[1])

    def put_members(self, members: Sequence[Member]) -> None:
        """Keep these clusters and no others; what was replaced is gone from the disk."""
        self._rewrite("clusters", face_rows(members, self._schemas["clusters"]))

    def face_pictures(
        self, video_id: str, faces: Iterable[tuple[int, int]]
    ) -> dict[tuple[int, int], bytes]:
        """The JPEGs of faces of a video, by (shot, track); one that is gone is left out."""
        wanted = set(faces)
        _, generation = self._catalogue().get(video_id, (None, NO_GENERATION))
        if not wanted or generation == NO_GENERATION:
            return {}
        shots = ", ".join(str(shot) for shot in sorted({shot for shot, _ in wanted}))
        with explained(self.folder, "read"):
            found = self._tables.read(
                "faces",
                ["shot", "track", "thumbnail"],
                f"generation = {generation} AND look = 0 AND shot IN ({shots})",
            ).to_pylist()
        pictures = {(row["shot"], row["track"]): bytes(row["thumbnail"] or b"") for row in found}
        return {face: jpeg for face, jpeg in pictures.items() if face in wanted}

    # --- runs ------------------------------------------------------------------------------------

    def jobs(self) -> list[Job]:
        """The runs that are remembered, the first first; takes no import of lancedb."""
        return jobs_from(self._columns.of("jobs")[1])

    def put_jobs(self, jobs: Sequence[Job]) -> None:
        """Remember these runs and no others."""
        self._rewrite("jobs", job_rows(jobs, self._schemas["jobs"]))

    # --- writing a table anew --------------------------------------------------------------------

    def version(self, name: str) -> int:
        """The number of a table's last commit."""
        with explained(self.folder, "read"):
            return int(self._tables.open(name).version)

    def change(self, name: str, change: Callable[[pa.RecordBatch], pa.RecordBatch]) -> None:
        """Write a table anew, by one commit, with each batch of its rows changed.

        Nothing that was in it before and is not now stays on the disk.
        """
        with explained(self.folder, "written"):
            schema = self._tables.schema_of(name)
            # By name: columns that an upgrade added stand last in the table.
            batches = (change(each).select(schema.names) for each in self._tables.batches(name))
            self._rewrite(name, pa.RecordBatchReader.from_batches(schema, batches))

    def purge(self, name: str) -> None:
        """Keep nothing of the past of a table on the disk."""
        with explained(self.folder, "written"):
            self._purge(name)

    def _rewrite(self, name: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        self._hold()
        with explained(self.folder, "written"):
            if name in CONTENT:
                search_index.forget(
                    self._tables.rows_folder
                )  # a table that is written anew has no indexes
            self._tables.overwrite(name, rows)
            self._purge(name)

    def _purge(self, name: str) -> None:
        """Keep nothing of the past of a table: no old version, no copy made of one."""
        self._tables.tidy(name)
        self._columns.forget(name)
        self._commits += 1

    def generations(self) -> set[int]:
        """Of the videos that have rows; rows of any other are not there for a reader."""
        return {gen for _, gen in self._catalogue().values() if gen != NO_GENERATION}

    def entries(self) -> dict[str, tuple[Video, int]]:
        """Every video by its id, with the number that its rows carry, 0 where it has none."""
        return dict(self._catalogue())

    def rows_of(self, name: str, numbers: Iterable[int], wanted: Sequence[str] = ()) -> pa.Table:
        """The rows of a table of `CONTENT` that carry one of these numbers, in their order."""
        with explained(self.folder, "read"):
            found = self._tables.read(name, wanted, _generation_in(numbers))
        order = [column for column in ORDER[name] if column in found.column_names]
        return found.sort_by([(column, "ascending") for column in order])

    def make(self) -> None:
        """Make the tables that this generation has for itself, empty. What was there is gone."""
        with explained(self.folder, "written"):
            for name in ROWS:
                self._tables.make(name)

    def everything(self) -> Iterator[tuple[str, pa.Schema, Iterator[pa.RecordBatch]]]:
        """Every table with its schema and all its rows, those that nobody sees too."""
        for name in TABLES:
            if not self._tables.lacks(name):
                with explained(self.folder, "read"):
                    yield name, self._tables.open(name).schema, self._tables.batches(name)

    def health(self) -> Health:
        """Counts, files and faults."""
        return examine(self._tables, self.stamp, list(self._catalogue().values()))

    # --- what every method needs -----------------------------------------------------------------

    def _catalogue(self) -> dict[str, tuple[Video, int]]:
        """All videos with their generations. The writer keeps its own: nobody else changes them."""
        if self._lock is None:
            key, table = self._columns.of("videos")
            if self._known is None or not key or self._known_key != key:
                self._known, self._known_key = _by_id(table), key
        elif self._known is None:
            self._known = _by_id(self._columns.of("videos")[1])
        return self._known

    def _put(self, videos: Sequence[tuple[Video, int]]) -> None:
        """Insert or replace rows of `videos`, by one commit."""
        self._hold()
        (
            self._tables.open("videos")
            .merge_insert("video_id")
            .when_matched_update_all()
            .when_not_matched_insert_all()
            .execute(video_rows(videos, self._schemas["videos"]))
        )
        self._catalogue().update({video.video_id: (video, gen) for video, gen in videos})

    def _delete_generations(self, generations: Iterable[int]) -> None:
        gone = [generation for generation in generations if generation != NO_GENERATION]
        if gone:
            for name in _DELETE_ORDER:
                self._tables.open(name).delete(_generation_in(gone))

    def _new_generations(self, n: int) -> Iterator[int]:
        """Numbers that were never used, growing with time: the clock, or more if it went back."""
        used = max((generation for _, generation in self._catalogue().values()), default=0)
        first = max(time.time_ns(), used + 1)
        return iter(range(first, first + n))

    def _hold(self) -> None:
        """Raise `ArchiveUnavailable` where the right to write was lost, as a lease may be."""
        if self._lock is not None:
            self._lock.check()

    def _after_commit(self) -> None:
        self._commits += 1
        if self._commits % _COMMITS_BEFORE_OPTIMIZING == 0:
            self.optimize(within_a_run=True)

    def _incomplete(self, what: str) -> ArchiveUnavailable:
        return ArchiveUnavailable(
            f"The rows of {what} in the archive {self.folder} are not complete. If nobody is"
            " writing to it just now it is damaged: index the video again with --force."
        )


def _by_id(table: pa.Table) -> dict[str, tuple[Video, int]]:
    return {video.video_id: (video, generation) for video, generation in videos_from(table)}


def _scattered(stats: Mapping[str, Any], many: int, indexed: bool) -> bool:
    """Whether merging a table's files is worth what it takes."""
    files, rows = stats["fragment_stats"], stats["num_rows"]
    small = files["num_fragments"] - rows // _FULL
    if small <= _FEW_FILES or indexed:
        return bool(small > many)
    outside = rows - files["lengths"]["max"]
    return bool(small > many or outside > _SHARE_WORTH_MERGING * rows)


def _generation_in(generations: Iterable[int]) -> str:
    return f"generation IN ({', '.join(str(int(each)) for each in generations)})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
