"""Which weights a model has: a short digest of all that its stored vectors depend on.

Vectors of one model's name and another digest cannot be compared. Only what makes stored values
counts: the picture tower of an encoder and how pictures are prepared for it; the network of a face
model, its last step, and the cohort, since every stored look carries its statistics against it.
Text tower, logit scale, calibration and face detector may change: they find and score, and meet
the stored vectors as they are. The one file of an open_clip model counts as a whole.

Digests are taken of the files, so new weights have a new one without anybody's doing, and no model
is loaded for them: some 40 ms for both that ship.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from .errors import ModelUnavailable

WHOLE = 64 << 20
"""Files up to so many bytes are read whole. Of a larger one counts its size, both ends and
`SAMPLES` blocks evenly between: weights that were trained again differ everywhere, but a file
in which only a small tensor was changed by hand may pass for what it was."""
SAMPLES = 64
_END, _BLOCK = 1 << 20, 64 << 10
_SIZE = 6  # bytes of a digest: it tells versions apart, it keeps out nobody


def encoder_digest(name: str) -> str:
    """The digest of an encoder's picture tower, 12 hexadecimal digits.

    `name` is what `load_encoder` takes. Raises `ModelUnavailable` as that does.
    """
    kind, _, rest = name.partition(":")
    if kind == "open_clip" and rest:
        from .open_clip_models import vector_files

        return of_files(vector_files(rest))
    if kind == "onnx" and rest:
        from .onnx_encoder import visual_files

        files, preparation = visual_files(rest)
        return of_files(files, preparation)
    if kind == "idclip" and rest:
        from .idclip_encoder import checkpoint_files

        files, backbone = checkpoint_files(rest)
        return of_files(files, backbone)
    if name == "concept":
        from .concept import WEIGHTS

        return of_files([WEIGHTS / "image.onnx"])  # its input's shape says how pictures come
    from .encoders import unknown_encoder

    raise ModelUnavailable(unknown_encoder(name))


def face_digest(name: str) -> str:
    """The digest of a face model's network and cohort, 12 hexadecimal digits.

    `name` is what `load_faces` takes. Raises `ModelUnavailable` as that does.
    """
    from .identity import calibration_folder

    files, fact = _face_files(name), ""
    folder = calibration_folder(name)
    if folder is not None:
        files.append(folder / "cohort.npy")
        read = _read(folder / "calibration.json")
        fact = f"top {read['top']}, nearest {read['nearest']}"
    return of_files(files, fact)


def _face_files(name: str) -> list[Path]:
    from .faces import WEIGHTS, unknown_faces

    kind, _, rest = name.partition(":")
    if name == "default":
        return [WEIGHTS / "face_network.onnx", WEIGHTS / "face_vector.onnx"]
    if kind == "insightface":
        from .faces_insightface import network_file

        return [network_file(rest or "buffalo_l")]
    if kind == "opencv" and rest:
        from .faces_opencv import network_file as opencv_file

        return [opencv_file(Path(rest))]
    raise ModelUnavailable(unknown_faces(name))


def of_files(files: Iterable[Path], fact: str = "") -> str:
    """One digest of the contents of files, in order, and of a fact beside them.

    Raises `ModelUnavailable` for a file that cannot be read.
    """
    found = hashlib.blake2b(fact.encode(), digest_size=_SIZE)
    for file in files:
        try:
            for piece in _pieces(file):
                found.update(piece)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ModelUnavailable(f"{file}: the weights cannot be read: {reason}") from error
    return found.hexdigest()


def _pieces(file: Path) -> Iterable[bytes]:
    """The size of a file, and its content or the samples that stand for it."""
    size = file.stat().st_size
    yield size.to_bytes(8, "little")
    with file.open("rb") as opened:
        if size <= WHOLE:
            yield opened.read()
            return
        yield opened.read(_END)
        for sample in range(SAMPLES):
            opened.seek(_END + (size - 2 * _END) * sample // SAMPLES)
            yield opened.read(_BLOCK)
        opened.seek(size - _END)
        yield opened.read()


def _read(file: Path) -> dict[str, object]:
    try:
        found: dict[str, object] = json.loads(file.read_text("utf-8"))
        return found
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{file}: cannot be read: {error}") from error
