"""PQ and HLG pictures brought to SDR, in numpy, for keyframes only.

Chain, after ITU-R BT.2100 and BT.2390: code values to linear light in cd/m2, highlights rolled
off from a 1,000 cd/m2 master to the 203 cd/m2 that BT.2408 gives reference white, BT.2020
primaries to BT.709 (BT.2087), and back to code values with the display curve of BT.1886.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Curve = Literal["pq", "hlg"]

MASTER_PEAK = 1000.0
"""cd/m2; what most HDR is graded for. Brighter highlights come out white."""
SDR_WHITE = 203.0
"""cd/m2 of reference white in HDR (ITU-R BT.2408), which becomes SDR white."""

_STEPS = 4096
_DISPLAY_GAMMA = 2.4  # ITU-R BT.1886
_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)  # BT.2020
_BT2020_TO_BT709 = np.array(  # ITU-R BT.2087
    [
        [1.6605, -0.5876, -0.0728],
        [-0.1246, 1.1329, -0.0083],
        [-0.0182, -0.1006, 1.1187],
    ],
    np.float32,
)


def pq_to_nits(code: NDArray[np.floating]) -> NDArray[np.floating]:
    """The EOTF of SMPTE ST 2084: code values 0 to 1 to cd/m2, 0 to 10,000."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = np.clip(code, 0, 1) ** (1 / m2)
    return np.asarray(10000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1))


def nits_to_pq(nits: NDArray[np.floating]) -> NDArray[np.floating]:
    """The inverse of `pq_to_nits`."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = (np.clip(nits, 0, 10000) / 10000) ** m1
    return np.asarray(((c1 + c2 * power) / (1 + c3 * power)) ** m2)


def hlg_to_scene(code: NDArray[np.floating]) -> NDArray[np.floating]:
    """The inverse OETF of HLG (ITU-R BT.2100, table 5): code values to scene light, 0 to 1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    code = np.clip(code, 0, 1)
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


def roll_off(nits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Light of a 1,000 cd/m2 master to what 203 cd/m2 can show: the EETF of ITU-R BT.2390-11.

    Below about 90 cd/m2 nothing changes; above, a Hermite spline in PQ space bends to the peak.
    """
    peak = nits_to_pq(np.array(MASTER_PEAK))
    target = nits_to_pq(np.array(SDR_WHITE)) / peak
    knee = 1.5 * target - 0.5
    code = np.clip(nits_to_pq(nits) / peak, 0, 1)
    t = np.clip((code - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * target
    )
    return pq_to_nits(np.where(code < knee, code, spline) * peak)


def tone_map(rgb: NDArray[np.floating], curve: Curve) -> NDArray[np.uint8]:
    """R'G'B' of BT.2020, float32 [H, W, 3] in 0 to 1, as BT.709 uint8 [H, W, 3].

    The roll-off is applied to the largest of the three channels and the others follow in
    proportion, so that bright colours keep their hue.
    """
    light = _linear_lut(curve)[(np.clip(rgb, 0, 1) * (_STEPS - 1) + 0.5).astype(np.uint16)]
    if curve == "hlg":  # the OOTF of BT.2100 for a display of 1,000 cd/m2
        light *= MASTER_PEAK * np.maximum(light @ _LUMA, 1e-6)[..., None] ** np.float32(0.2)
    grid, gains = _gains()
    light *= np.interp(light.max(axis=2), grid, gains).astype(np.float32)[..., None]
    light = cv2.transform(light, _BT2020_TO_BT709)
    codes = np.clip(light, 0, 1) ** np.float32(1 / _DISPLAY_GAMMA)
    return np.asarray(np.rint(255 * codes), np.uint8)


@lru_cache(maxsize=2)
def grey_lut(curve: Curve) -> NDArray[np.uint8]:
    """What `tone_map` does to greys, as a table for 8-bit codes: enough for the shot detector."""
    greys = np.repeat(np.arange(256, dtype=np.float32)[None, :, None] / 255, 3, axis=2)
    return tone_map(greys, curve)[0, :, 1].copy()


@lru_cache(maxsize=2)
def _linear_lut(curve: Curve) -> Floats:
    codes = np.linspace(0, 1, _STEPS)
    linear = pq_to_nits(codes) if curve == "pq" else hlg_to_scene(codes)
    return linear.astype(np.float32)


@lru_cache(maxsize=1)
def _gains() -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Light in cd/m2, spaced as PQ spaces it, and the factor to SDR light of 0 to 1."""
    nits = pq_to_nits(np.linspace(0.001, 1, 512))
    return nits, roll_off(nits) / nits / SDR_WHITE
