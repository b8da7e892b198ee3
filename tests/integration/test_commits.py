"""How a run commits: in groups, merging files now and then, while other processes read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from store_records import MODELS, analyzed_video

import vidsearch.store
from vidsearch.indexing import GROUP_VIDEOS, Indexed, index
from vidsearch.store import Store
from vidsearch.tasks import Analyzed, Recipe, Task

COMMITS, MOST_COMMITS, BEFORE_MERGING, LOOKS = 50, 500, 16, 8

READER = """
import sys
from pathlib import Path
from vidsearch.store import Store

folder, told, looks = map(Path, sys.argv[1:])
stays, n = Store.open(folder, read_only=True), 0
while not (said := told.read_text()).endswith("end"):
    published = len(said.split())
    for reader in (stays, Store.open(folder, read_only=True)):
        rows = reader.rows()
        assert len(rows.videos) >= published, (len(rows.videos), published)
        assert len(rows.shot_index) == 3 * len(rows.videos)
        latest = f"id-v{published - 1}"
        assert len(reader.shots(latest)) == 3
        assert len(reader.thumbnails(latest)) == len(reader.thumbnails("id-v0")) == 3
    n += 1
    looks.write_text(str(n))
"""


@pytest.mark.slow
def test_readers_of_other_processes_miss_nothing_while_commits_are_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(vidsearch.store, "_COMMITS_BEFORE_OPTIMIZING", BEFORE_MERGING)
    merges = []
    optimize = Store.optimize
    monkeypatch.setattr(
        Store, "optimize", lambda store, **how: merges.append(0) or optimize(store, **how)
    )
    folder, told, looks = tmp_path / "archive", tmp_path / "told", tmp_path / "looks"
    Store.create(folder, **MODELS)  # type: ignore[arg-type]
    looks.write_text("0")
    with Store.open(folder) as writer:
        writer.publish_many([analyzed_video("v0")])
        told.write_text("v0 ")
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, folder, told, looks], stderr=subprocess.PIPE, text=True
        )
        request.addfinalizer(reader.kill)
        number, before = 0, 0
        while number < COMMITS or int(looks.read_text() or 0) < LOOKS:
            number += 1
            assert number < MOST_COMMITS
            if reader.poll() is not None:
                pytest.fail(reader.communicate()[1])
            writer.publish_many([analyzed_video(f"v{number}")])
            with told.open("a") as file:
                file.write(f"v{number} ")
            if not before and looks.read_text() > "0":
                before = len(merges)
        # Merged on the way, by itself: nobody asked for it.
        assert number // (2 * BEFORE_MERGING) <= len(merges) <= number // (BEFORE_MERGING // 2)
        assert writer.health().tables["keyframes"].fragments < number / 2
        with told.open("a") as file:
            file.write("end")
    _, errors = reader.communicate(timeout=120)
    assert reader.returncode == 0, errors
    assert len(merges) > before  # while it read


def test_small_videos_are_committed_in_groups(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    n_videos = 2 * GROUP_VIDEOS + 3
    for number in range(n_videos):
        (videos / f"v{number}.mp4").write_bytes(bytes([number]) * 100)

    def at_once(tasks: Sequence[Task], recipe: Recipe) -> Iterator[Analyzed]:
        for task in tasks:
            found = analyzed_video(task.video_id)
            about = replace(found.video, video_id=task.video_id, paths=task.paths)
            yield Analyzed(task, replace(found, video=about), 0.0)

    Store.create(tmp_path / "archive", **MODELS)  # type: ignore[arg-type]
    with Store.open(tmp_path / "archive") as store:
        reader = Store.open(tmp_path / "archive", read_only=True)
        first, seen = store.version("shots"), []
        for event in index(store, [videos], Recipe("", "", ""), at_once):
            if isinstance(event, Indexed):
                seen.append((store.version("shots") - first, len(reader.videos())))
    # Each is told as indexed once its whole group is there for everybody.
    groups = [GROUP_VIDEOS, GROUP_VIDEOS, 3]
    there = [sum(groups[: number + 1]) for number in range(3)]
    assert seen == [
        (number + 1, there[number]) for number, size in enumerate(groups) for _ in range(size)
    ]
