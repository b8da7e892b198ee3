"""Options that would do nothing are wrong usage of the commands that index, with a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from vidsearch.cli import main
from vidsearch.errors import VidsearchError

WITHOUT_EFFECT = [
    (["-j", "2"], "-j is about processes of this machine: with --ray"),
    (["-j", "1"], "each with --cpus-per-worker"),
    (["--encoders", "0", "--num-gpus", "0.5"], "--encoders 0 shares no encoder, and --num-gpus"),
    (["--encoders", "0", "--gpu-batch", "8"], "--encoders 0 shares no encoder, and --gpu-batch"),
    (["--num-gpus", "0", "--gpu-batch", "8"], "--num-gpus 0 shares no encoder, and --gpu-batch"),
]


@pytest.mark.parametrize("way", ["index", "watch", "reindex", "retry-failed"])
@pytest.mark.parametrize(("options", "said"), WITHOUT_EFFECT)
def test_options_that_would_do_nothing_are_wrong_usage(
    tmp_path: Path, way: str, options: list[str], said: str
) -> None:
    words = {
        "index": ["index", str(tmp_path)],
        "watch": ["watch", str(tmp_path)],
        "reindex": ["reindex", "--encoder", "idclip:compact"],
        "retry-failed": ["jobs", "retry-failed"],
    }[way]
    words += ["--archive", str(tmp_path / "archive"), "--ray", "local"]
    run = CliRunner().invoke(main, [*words, *options])
    assert run.exit_code == 2
    assert said in " ".join(run.output.split())
    assert not (tmp_path / "archive").exists()


def test_jobs_in_python_are_those_of_one_machine(tmp_path: Path) -> None:
    from workers import index_job

    with pytest.raises(VidsearchError, match="jobs are processes of this machine"):
        index_job(tmp_path / "archive", [tmp_path], "local", jobs=8)
