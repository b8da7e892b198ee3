"""The stamp of an archive: which models made its vectors, and in which layout they are stored.

It is the file `archive.json` in the archive folder, written last when an archive is made, so a
folder without one is no archive. Reading it needs nothing but the standard library.
"""

from __future__ import annotations

import json
import shlex
import time
import uuid
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from vidsearch import __version__
from vidsearch.errors import ArchiveMismatch, ArchiveUnavailable
from vidsearch.urls import Place, RemoteError
from vidsearch.whole import write_whole

SCHEMA = 9
"""2 since the stamp knows of weights; 3 since `videos` knows its detector; 4 since there are
figures, and `videos` knows what editors need; 5 since there are jobs; 6 since there are generations
of rows; 7 since rows of videos carry the `place` of their shot; 8 since vectors may be of halves;
9 since rows of videos have their numbers side by side as well (`vidsearch.packing`).
Older ones are read as ever; the next writer adds what is missing."""
SINCE_PLACE = 7
UNFINISHED = "restoring.json"
"""The file in a folder into which a backup is being brought back, until all of that is done."""
_FILE = "archive.json"


@dataclass(frozen=True)
class Generation:
    """The rows of all videos as one encoder made them: an archive may have another beside its own.

    `content` is the folder in the archive that its tables lie in, "" for the archive folder itself.
    `detector` is the shot detector that all of its videos were to be split with, "" where each kept
    the shots it had. `began_at` is in seconds since 1970.
    """

    content: str
    encoder: str
    encoder_dim: int
    encoder_weights: str = ""
    detector: str = ""
    began_at: float = 0.0


@dataclass(frozen=True)
class Stamp:
    """What an archive was made with; vectors of other models cannot be compared with its own.

    `archive_id` is random: it tells apart two archives that lived in one folder one after the
    other. `encoder_weights` and `face_weights` are digests of what the stored vectors depend on
    (`idclip.digests`), "" in an archive made before they were noted, or by other models than ours.
    `content`, `detector` and `began_at` are those of the `Generation` that questions are answered
    from; `beside` is the one that can be gone back to until it is confirmed, and `building` the one
    that is being made. `numbers` is the kind that vectors of videos are stored in, "float16" or, in
    an archive made before layout 8, "float32".
    """

    archive_id: str
    schema: int
    encoder: str
    encoder_dim: int
    face_model: str
    face_dim: int
    created_at: float
    vidsearch: str
    encoder_weights: str = ""
    face_weights: str = ""
    content: str = ""
    detector: str = ""
    began_at: float = 0.0
    numbers: str = "float32"
    beside: Generation | None = None
    building: Generation | None = None

    @property
    def generation(self) -> Generation:
        """The one that questions are answered from."""
        return Generation(**{each.name: getattr(self, each.name) for each in fields(Generation)})

    @property
    def others(self) -> tuple[Generation, ...]:
        """The generations that are kept beside it."""
        return tuple(each for each in (self.beside, self.building) if each is not None)

    def knows(self, content: str) -> bool:
        """Whether one of its generations lies there."""
        return content in {each.content for each in (self.generation, *self.others)}

    def of(self, generation: Generation) -> Stamp:
        """The stamp that the archive would have if it were of this generation."""
        return replace(self, **asdict(generation))

    @classmethod
    def new(
        cls,
        encoder: str,
        encoder_dim: int,
        face_model: str,
        face_dim: int,
        encoder_weights: str = "",
        face_weights: str = "",
    ) -> Stamp:
        """The stamp of an archive that is being made now by this version."""
        return cls(
            uuid.uuid4().hex,
            SCHEMA,
            encoder,
            encoder_dim,
            face_model,
            face_dim,
            time.time(),
            __version__,
            encoder_weights,
            face_weights,
            numbers="float16",
        )

    def check(
        self, folder: Place, *, encoder: str | None = None, face_model: str | None = None
    ) -> None:
        """Raise `ArchiveMismatch`, with the command that helps, if other models are asked for."""
        asked = (
            ("encoder", "--encoder", self.encoder, encoder),
            ("face model", "--faces", self.face_model, face_model),
        )
        for kind, option, made_with, wanted in asked:
            if wanted is not None and wanted != made_with:
                other = shlex.quote(f"{folder}-{wanted.split(':')[0]}")
                raise ArchiveMismatch(
                    f"The archive {folder} was made with the {kind} {made_with!r}, and"
                    f" {wanted!r} was asked for; their vectors cannot be compared. Leave out"
                    f" {option} to go on with {made_with!r}, or "
                    + (_reindex(folder, wanted) if kind == "encoder" else "")
                    + "index the videos into an archive of their own, and bring the people"
                    " enrolled here there:\n"
                    f"  vidsearch index --archive {other} {option} {shlex.quote(wanted)} PATHS...\n"
                    f"  {_refit(folder, other)}"
                )

    def check_weights(self, folder: Place, *, encoder: str = "", face_model: str = "") -> None:
        """Raise `ArchiveMismatch`, with the command that helps, if the weights are others now.

        `encoder` and `face_model` are the digests of the weights that are here. A digest that is
        unknown, "", on either side fits any: nobody can say what an old archive was made with, and
        refusing all of them would cost more than the few that are stale.
        """
        pairs = (
            ("encoder", self.encoder, self.encoder_weights, encoder),
            ("face model", self.face_model, self.face_weights, face_model),
        )
        for kind, name, made_with, here in pairs:
            if made_with and here and made_with != here:
                raise ArchiveMismatch(
                    f"The archive {folder} was made with the weights {made_with} of the {kind}"
                    f" {name!r}, and {here} are installed; their vectors cannot be compared. Put"
                    f" {made_with} back to go on, or {self._anew(folder, here, kind)}"
                )

    def check_lengths(self, folder: Place, *, encoder: int = 0, face_model: int = 0) -> None:
        """Raise `ArchiveMismatch`, with the command that helps, if vectors have another length now.

        It is how weights that changed are found out in an archive that does not know its own.
        `encoder` and `face_model` are numbers a vector, 0 where nobody knows.
        """
        pairs = (
            ("encoder", self.encoder, self.encoder_dim, encoder),
            ("face model", self.face_model, self.face_dim, face_model),
        )
        for kind, name, made_with, here in pairs:
            if here and made_with != here:
                raise ArchiveMismatch(
                    f"The archive {folder} was made with an earlier {kind} {name!r}, whose vectors"
                    f" have {made_with} numbers; the one that is installed makes {here}, and they"
                    f" cannot be compared. To go on, {self._anew(folder, str(here), kind)}"
                )

    def _anew(self, folder: Place, ending: str, kind: str) -> str:
        """How to make the archive again with the models that are here, and keep its people."""
        other = shlex.quote(f"{folder}-{ending}")
        models = f"--encoder {shlex.quote(self.encoder)} --faces {shlex.quote(self.face_model)}"
        reindex = _reindex(folder, self.encoder) if kind == "encoder" else ""
        return (
            f"{reindex}index the videos into an archive of their own, and bring the people enrolled"
            " here there, from the photos kept of them:\n"
            f"  vidsearch index --archive {other} {models} PATHS...\n"
            f"  {_refit(folder, other)}"
        )


def _reindex(folder: Place, encoder: str) -> str:
    return (
        "have all context vectors made again, beside the old ones, with:\n"
        f"  vidsearch reindex --archive {shlex.quote(str(folder))} --encoder"
        f" {shlex.quote(encoder)}\nor "
    )


def _refit(folder: Place, other: str) -> str:
    return f"vidsearch people refit --from {shlex.quote(str(folder))} --archive {other}"


def is_archive(folder: Place) -> bool:
    """Whether the folder holds a finished archive; `ArchiveUnavailable` if a store does not say."""
    try:
        return (folder / _FILE).is_file()
    except OSError as error:  # of a store: a path gives True or False
        raise _unreadable(folder, error) from error


def _unreadable(folder: Place, error: OSError) -> ArchiveUnavailable:
    remedy = "Check the permissions of the folder and of the files in it."
    if isinstance(error, RemoteError):
        remedy = "Nothing was changed."
    elif not isinstance(folder, Path):
        remedy = "Listing the bucket and reading its objects must be allowed: docs/storage.md."
    return ArchiveUnavailable(f"The archive {folder} cannot be read: {error.strerror}. {remedy}")


def refuse_unfinished(folder: Place) -> None:
    """Raise `ArchiveUnavailable`, with the command that goes on, where a restore has not ended.

    Until then whoever was forgotten since the backup may be there.
    """
    try:
        begun = json.loads((folder / UNFINISHED).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise _unreadable(folder, error) from error
    except ValueError:
        begun = {}
    words = [str(begun.get("place", "PLACE")), "--archive", str(folder)]
    for option in ("snapshot", "forgotten"):
        words += [f"--{option}", begun[option]] if begun.get(option) else []
    raise ArchiveUnavailable(
        f"The archive {folder} has not been restored to the end, and who was forgotten since the"
        " backup may still be in it. Where no restore is at work just now, go on with:\n"
        f"  {shlex.join(['vidsearch', 'restore', *words])}"
    )


def read_stamp(folder: Place, *, restoring: bool = False) -> Stamp:
    """The stamp of the archive in `folder`; that of an unfinished one for who is `restoring` it.

    Raises `ArchiveUnavailable` where there is no archive, or none that was restored to the end, or
    it cannot be read, and `ArchiveMismatch` where a newer vidsearch made it.
    """
    try:
        facts = json.loads((folder / _FILE).read_bytes())
        schema = int(facts["schema"])
        if not restoring:  # asked afterwards: a stamp that was read before there was one is older
            refuse_unfinished(folder)
    except (FileNotFoundError, NotADirectoryError):
        refuse_unfinished(folder)
        raise ArchiveUnavailable(
            f"There is no archive in {folder}. Make one with:\n"
            f"  vidsearch index --archive {shlex.quote(str(folder))} PATHS..."
        ) from None
    except OSError as error:
        raise _unreadable(folder, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveUnavailable(
            f"The stamp {folder / _FILE} is damaged ({error}). Put it back from a backup, or move"
            " the folder away and index again."
        ) from error
    if schema > SCHEMA:
        raise ArchiveMismatch(
            f"The archive {folder} was made by vidsearch {facts.get('vidsearch', '?')} (layout"
            f" {schema}); vidsearch {__version__} knows layouts up to {SCHEMA}. Update with:\n"
            "  pip install --upgrade vidsearch"
        )
    try:
        for kept in ("beside", "building"):
            if facts.get(kept) is not None:
                facts[kept] = Generation(**facts[kept])
        stamp = Stamp(**facts)
        if stamp.numbers not in ("float16", "float32"):
            raise TypeError(f"no such numbers: {stamp.numbers}")
        return stamp
    except TypeError as error:
        raise ArchiveUnavailable(
            f"The stamp {folder / _FILE} is damaged ({error}). Put it back from a backup, or move"
            " the folder away and index again."
        ) from error


def write_stamp(folder: Place, stamp: Stamp) -> None:
    """Write the stamp so that it is there whole or not at all. Raises OSError."""
    write_whole(folder / _FILE, json.dumps(asdict(stamp), indent=1))


def replace_stamp(folder: Place, before: Stamp, stamp: Stamp) -> None:
    """Write the stamp in the place of `before`, of which nothing may have changed meanwhile.

    In a store that is one conditional put, so a writer who lost its lease replaces nothing. Raises
    OSError, and `ArchiveUnavailable` where another stamp is there.
    """
    if isinstance(folder, Path):
        found = read_stamp(folder)
        if found == before:
            write_stamp(folder, stamp)
            return
    else:
        there = (folder / _FILE).versioned()
        content = json.dumps(asdict(stamp), indent=1).encode()
        if there is not None and read_stamp(folder) == before:
            if (folder / _FILE).put_if(content, there.tag) is not None:
                return
            if read_stamp(folder) == stamp:  # asked for again, since its answer was lost
                return
    raise ArchiveUnavailable(
        f"The stamp of the archive {folder} was changed by another writer meanwhile; nothing was"
        " replaced. Run the command again."
    )
