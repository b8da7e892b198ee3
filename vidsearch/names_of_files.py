"""Names for files that are written: safe on Linux, macOS and Windows, and no two the same."""

from __future__ import annotations

import re
import unicodedata

MAX_BYTES = 120  # of a name before its suffix: eCryptfs allows 143 in all, most systems 255
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]|[\ud800-\udfff]')
_RESERVED = re.compile(r"(?i:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?")


def safe_name(text: str) -> str:
    """`text` as a file name without its suffix, or a part of one.

    Separators, control characters and what Windows refuses become `_`; a name that Windows keeps
    for devices gets one in front, and so does one that would be hidden or an option.
    """
    text = unicodedata.normalize("NFC", _UNSAFE.sub("_", text))
    text = "".join(c if c.isprintable() else "_" for c in text).strip(" .")
    while len(text.encode("utf-8")) > MAX_BYTES:
        text = text[:-1]
    text = text.strip(" .") or "_"
    return "_" + text if _RESERVED.fullmatch(text) or text[0] in ".-" else text


class Names:
    """Gives out names, each once, whatever the case: some disks do not tell A from a."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def free(self, text: str, suffix: str) -> str:
        """A safe name for `text` with a suffix; numbered from 2 where it is taken."""
        stem, n = safe_name(text), 1
        name = stem + suffix
        while name.casefold() in self._taken:
            n += 1
            name = f"{stem} {n}{suffix}"
        self._taken.add(name.casefold())
        return name
