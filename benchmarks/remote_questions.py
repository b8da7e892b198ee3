"""How many requests an archive in an object store takes: asking, indexing, enrolling, forgetting.

    python -m benchmarks.remote_questions [--write]

The White House clip and eight generated videos are indexed into an archive on an S3 server of this
machine (moto's), which counts. Nothing is timed: over a network each request waits for its answer,
so what an act takes is its requests times the distance.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / "tests")]

from object_store import ObjectStore, object_store  # noqa: E402
from videos import encode  # noqa: E402

from benchmarks import _report  # noqa: E402
from vidsearch import Archive  # noqa: E402

MEDIA = REPO / "examples" / "media"
CLIP = MEDIA / "white-house-poetry.mp4"
NAME, QUESTION = "Lin-Manuel Miranda", "a man giving a speech"


def acts(url: str, folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is done, one after the other."""
    new = folder / "new"
    new.mkdir()
    for number in range(8):
        encode(new / f"v{number}.mp4", n_frames=25 + number)
    photo = MEDIA / "people" / "Lin-Manuel_Miranda.jpg"
    stays = Archive(url)

    def run(*words: object) -> Callable[[], object]:
        command = [sys.executable, "-m", "vidsearch", *map(str, words), "--archive", url]
        return lambda: subprocess.run(command, check=True, capture_output=True)

    yield "the first index, the archive made", lambda: Archive(url).index([CLIP])
    yield "indexing 8 new videos, one group", lambda: Archive(url).index([new])
    yield "indexing 9 unchanged videos", lambda: Archive(url).index([CLIP, new])
    yield "enrolling somebody", lambda: Archive(url).enrol(NAME, [photo])
    yield "a question in a new process", run("query", QUESTION)
    stays.query(QUESTION)
    yield "another in the same process", lambda: stays.query(QUESTION)
    yield "a timeline in a new process", run("timeline", CLIP.name)
    yield "forgetting somebody", run("people", "forget", NAME, "--yes")


def counted(store: ObjectStore, act: Callable[[], object]) -> dict[str, Any]:
    with store.counted() as requests:
        act()
    lists = sum("list-type" in each.query for each in requests)
    writes = sum(each.method in ("PUT", "POST", "DELETE") for each in requests)
    return {"requests": len(requests), "of them LIST": lists, "of them writing": writes}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep the figures")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary, object_store() as store:
        folder = Path(temporary)
        with patch.dict("os.environ", {"XDG_CACHE_HOME": str(folder / "cache")}):
            rows = [
                {"what": name, **counted(store, act)}
                for name, act in acts(store.url("archive"), folder)
            ]
    print(*rows, sep="\n")
    notes = ["Counted at moto's server, with the White House clip (0.6 MB) and 8 small videos."]
    if asked.write:
        title = "Requests that an archive in an object store takes"
        print(_report.write("remote_questions", title, rows, notes))


if __name__ == "__main__":
    main()
