"""What the paper's authors measured, to stand beside our own figures."""

from __future__ import annotations

from dataclasses import dataclass

_FROZEN, _VPT = "frozen CLIP + translator", "+ VPT-5"


@dataclass(frozen=True)
class Published:
    """A row that the paper's authors measured, on their data; percent.

    `t2i` are R@1, 5, 10, 50; `entity` kmin-R@1, 5, 10, 50 and what they call mAP. None where they
    published nothing. `template` is "" where they do not say which.
    """

    configuration: str
    template: str
    model: str
    t2i: tuple[float, ...] | None = None
    entity: tuple[float, ...] | None = None


PUBLISHED = (
    Published("none", "caption", _FROZEN, (12.1, 56.2, 69.1, 92.2)),
    Published("none", "caption", _VPT, (12.4, 57.9, 70.6, 93.2)),
    Published("names", "", _FROZEN, (26.2, 58.2, 70.1, 91.8), (12.8, 6.0, 8.4, 17.5, 2.1)),
    Published("names", "", _VPT, (27.9, 61.7, 72.9, 93.0)),
    Published("conf1", "averaged", _FROZEN, (36.3, 66.6, 77.8, 95.2)),
    Published("conf1", "averaged", _VPT, (39.2, 68.2, 78.5, 95.7)),
    Published("conf1", "fixed", _FROZEN, (39.3, 69.7, 80.8, 96.5)),
    Published("conf1", "fixed", _VPT, (43.2, 71.2, 80.8, 96.7)),
    Published("conf1", "", _VPT, None, (21.2, 11.5, 14.2, 31.9, 3.7)),
    Published("conf3", "fixed", _FROZEN, (38.0, 67.1, 78.3, 95.5)),
    Published("conf3", "fixed", _VPT, (39.9, 68.6, 78.1, 95.0)),
    Published("conf4", "", _VPT, None, (24.3, 13.7, 16.2, 31.4, 4.2)),
)
"""From the results notebook of the paper's public code (github.com/mesnico/IdCLIP)."""
