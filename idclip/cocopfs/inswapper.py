"""insightface's inswapper_128 from a local file, for non-commercial research only.

The network draws the face of 128 pixels that an ArcFace vector describes, in the pose and light of
the face it is given; the package aligns, calls it and pastes the result back. The vector is that of
the pack buffalo_l, whose network inswapper was trained against.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..errors import ModelUnavailable
from ..faces import Face, FaceModel, Image, load_faces
from ..onnx_session import open_session

LICENCE = "inswapper_128 by insightface: non-commercial research only"
PACK = "insightface:buffalo_l"
_VECTOR, _SIDE = 512, 128  # ArcFace's vector, and the side of the face the network draws


class InSwapper:
    """See `idclip.cocopfs.swap.Swapper`."""

    licence = LICENCE

    def __init__(self, file: Path, *, arcface: FaceModel | None = None) -> None:
        """`arcface` makes the vectors that drive the network; None loads the pack buffalo_l.

        Raises `ModelUnavailable` without the file, the package or the pack, with what to do.
        """
        self.name = f"inswapper:{file.name}"
        if not file.is_file():
            raise ModelUnavailable(
                f"{file}: no such file; inswapper_128.onnx is insightface's ({LICENCE}) and does "
                "not ship: put it there, or use --swapper classic"
            )
        if importlib.util.find_spec("insightface") is None:
            raise ModelUnavailable(
                f'{self.name} needs the extra: pip install "vidsearch[insightface]"; '
                "--swapper classic needs nothing more"
            )
        try:
            from insightface.model_zoo.inswapper import INSwapper
        except ImportError as error:
            raise ModelUnavailable(
                f"{self.name}: insightface cannot be imported ({error}); install it again with "
                'pip install "vidsearch[insightface]"'
            ) from error
        session = open_session(file, threads=1)
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints its shape
                self._network: Any = INSwapper(str(file), session)
            form = self._network.emap.shape, self._network.input_size
            if form != ((_VECTOR, _VECTOR), (_SIDE, _SIDE)) or len(self._network.input_names) != 2:
                raise ValueError(f"map and input have the sizes {form}")
        except (AssertionError, IndexError, TypeError, ValueError) as error:
            raise ModelUnavailable(f"{file}: not the network inswapper_128: {error}") from error
        self._arcface = arcface or load_faces(PACK, threads=1)

    def swap(self, image: Image, face: Face, source_image: Image, source_face: Face) -> Image:
        """See `Swapper.swap`."""
        vector = self._arcface.embed(source_image, [source_face])[0]
        old, new = SimpleNamespace(kps=face.landmarks), SimpleNamespace(normed_embedding=vector)
        bgr = np.ascontiguousarray(image[:, :, ::-1])
        swapped = self._network.get(bgr, old, new, paste_back=True)
        return np.ascontiguousarray(swapped[:, :, ::-1], np.uint8)
