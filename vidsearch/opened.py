"""An archive folder that is open: its store, to read and to write, and the models it needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from idclip.devices import ANYWHERE, AUTO, CPU, Devices
from vidsearch.errors import ArchiveUnavailable
from vidsearch.inputs import printable
from vidsearch.records import EXACT_BELOW
from vidsearch.urls import Place, RemoteError, place

if TYPE_CHECKING:
    from idclip.encoders import Encoder
    from idclip.faces import FaceModel
    from idclip.identity import IdentityScorer
    from vidsearch.describe import Models
    from vidsearch.stamp import Stamp
    from vidsearch.store import Store


def located(path: str | os.PathLike[str]) -> Place:
    """Where an archive is; `ArchiveUnavailable` for a URL where none can be."""
    try:
        found = place(path)
    except RemoteError as error:
        raise ArchiveUnavailable(f"The archive {printable(path)} {error.reason}") from None
    if not isinstance(found, Path) and found.scheme != "s3":
        raise ArchiveUnavailable(
            f"The archive {found} cannot be used: archives are kept in folders and on s3://, not"
            f" on {found.scheme}://"
        )
    return found


class Opened:
    """One archive folder. Nothing is read, and no model loaded, before it is asked for.

    `encoder` and `faces` name the models of a new archive; an existing one knows its own, and
    refuses others. `devices` are those of videos; texts are encoded one at a time on the processor,
    unless the encoder's device is named, and faces of photos found there. `waiting` is told of
    other writers, and of licences of models that are no defaults.
    """

    def __init__(
        self,
        folder: Place,
        *,
        encoder: str | None,
        faces: str | None,
        waiting: Callable[[str], None] | None,
        devices: Devices = ANYWHERE,
        exact_below: int = EXACT_BELOW,
    ) -> None:
        self.folder = folder
        self.exact_below = exact_below
        self.waiting = waiting
        self._asked_encoder = encoder
        self._asked_faces = faces
        self.devices = devices

    def anew(self) -> None:
        """Forget what was opened: the archive may have other rows now."""
        for name in ("reader", "comparable", "encoder", "faces", "scorer"):
            self.__dict__.pop(name, None)

    @property
    def exists(self) -> bool:
        """Whether the folder holds an archive."""
        from vidsearch.store import Store

        return Store.exists(self.folder)

    def tell(self, sentence: str) -> None:
        """Say something to whoever wants to hear it."""
        if self.waiting is not None:
            self.waiting(sentence)

    @contextmanager
    def made(self, wait_s: float = 60.0) -> Iterator[Store]:
        """The store, open for writing vectors, made first where there is none."""
        from idclip.digests import encoder_digest, face_digest
        from vidsearch.store import Store

        if not self.exists:
            models = self.new_models()
            self.tell_licences(models)
            Store.create(
                self.folder,
                encoder=models.encoder.name,
                encoder_dim=models.encoder.dim,
                face_model=models.faces.name,
                face_dim=models.faces.dim,
                encoder_weights=encoder_digest(models.encoder.name),
                face_weights=face_digest(models.faces.name),
            )
        with self.writer(wait_s) as store:
            stamp = store.stamp
            stamp.check_weights(
                self.folder,
                encoder=stamp.encoder_weights and encoder_digest(stamp.encoder),
                face_model=stamp.face_weights and face_digest(stamp.face_model),
            )
            self._check_lengths(store.stamp)
            yield store

    def _check_lengths(self, stamp: Stamp) -> None:
        """Refuse, before any work, models whose vectors an archive without digests cannot hold."""
        if not stamp.face_weights:
            _ = self.scorer
        if not stamp.encoder_weights:
            _ = self.encoder

    def new_models(self) -> Models:
        """The models of an archive that is to be made."""
        from vidsearch.analyze import load_models
        from vidsearch.settings import read

        chosen = read()
        return load_models(
            self._asked_encoder or chosen.encoder,
            self._asked_faces or chosen.faces,
            devices=self.devices,
        )

    def require_devices(self) -> None:
        """Raise `ModelUnavailable` where a model cannot run on its device: before any work."""
        from vidsearch.settings import read

        if {self.devices.encoder, self.devices.faces} <= {AUTO, CPU}:
            return  # which are always here
        if self.exists:
            encoder, faces = self.reader.stamp.encoder, self.reader.stamp.face_model
        else:
            encoder, faces = read().encoder, read().faces
        self.devices.require(self._asked_encoder or encoder, self._asked_faces or faces)

    def tell_licences(self, models: Models) -> None:
        """Say under which licence models stand that are no defaults."""
        from vidsearch.settings import Settings

        chosen = (
            ("encoder", models.encoder, Settings.encoder),
            ("face model", models.faces, Settings.faces),
        )
        for kind, model, default in chosen:
            if model.name != default:
                self.tell(f"{kind} {model.name}: {model.licence}")

    @cached_property
    def reader(self) -> Store:
        """The store, for reading; raises `ArchiveMismatch` where other models were asked for."""
        from vidsearch.store import Store

        store = Store.open(self.folder, read_only=True, exact_below=self.exact_below)
        self._refuse_others(store)
        return store

    @cached_property
    def comparable(self) -> Store:
        """The reader, once it is known that today's models fit the vectors it holds."""
        from idclip.digests import encoder_digest, face_digest
        from vidsearch.errors import ModelUnavailable

        stamp = self.reader.stamp
        faces = ""
        with suppress(ModelUnavailable):  # who asks needs no face network, only who indexes
            faces = stamp.face_weights and face_digest(stamp.face_model)
        encoder = stamp.encoder_weights and encoder_digest(stamp.encoder)
        stamp.check_weights(self.folder, encoder=encoder, face_model=faces)
        return self.reader

    @contextmanager
    def writer(self, wait_s: float = 60.0, *, restoring: bool = False) -> Iterator[Store]:
        """The store as its one writer; another is waited for, then `ArchiveBusy` is raised."""
        from vidsearch.store import Store

        with Store.open(
            self.folder,
            wait_s=wait_s,
            waiting=self.waiting,
            exact_below=self.exact_below,
            restoring=restoring,
        ) as store:
            self._refuse_others(store)
            yield store

    def _refuse_others(self, store: Store) -> None:
        """Refuse other models than the archive was made with; a path may be given in any form."""
        from idclip import encoders, faces

        asked = self._asked_encoder
        store.check(
            encoder=asked and encoders.full_name(asked),
            face_model=self._asked_faces and faces.full_name(self._asked_faces),
        )

    @cached_property
    def encoder(self) -> Encoder:
        """The context encoder that the archive was made with."""
        from idclip.encoders import load_encoder

        device = CPU if self.devices.encoder == AUTO else self.devices.encoder
        encoder = load_encoder(self.reader.stamp.encoder, device=device)
        self.reader.stamp.check_lengths(self.folder, encoder=encoder.dim)
        return encoder

    @cached_property
    def faces(self) -> FaceModel:
        """The face model that the archive was made with."""
        from idclip.faces import load_faces

        return load_faces(self.reader.stamp.face_model)

    @cached_property
    def scorer(self) -> IdentityScorer:
        """What tells the archive's faces apart."""
        return self.scorer_of(self.reader.stamp)

    def scorer_of(self, stamp: Stamp) -> IdentityScorer:
        """The same by a stamp that is known already: of a store that is open for writing."""
        from idclip.identity import IdentityScorer

        scorer = IdentityScorer.for_model(stamp.face_model)
        if len(scorer.cohort):
            stamp.check_lengths(self.folder, face_model=scorer.cohort.shape[1])
        return scorer
