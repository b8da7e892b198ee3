"""The simulated cluster does all of the work once, and stops scaling where it must."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

pytest.importorskip("simpy")

from workers.simulate import MEASURED, Rates, Shape, lengths_s, main, pieces_of, simulate

STEADY = Shape(nodes=1, workers=4, slow=0.0, mtbf_h=1e9)
FREE = Rates(core_s=0.1, hand_out_s=0.0, publish_s=0.0, publish_hour_s=0.0)


def test_even_work_on_a_steady_cluster_takes_the_ideal_time() -> None:
    found = simulate([600.0] * 40, STEADY, FREE)
    assert found.hours == pytest.approx(40 * 600 * 0.1 / 4 / 3600)
    assert found.efficiency == pytest.approx(1.0)
    assert (found.pieces, found.redone, found.limit) == (40, 0, "workers")


def test_a_long_video_in_pieces_does_not_keep_the_others_waiting() -> None:
    lengths = [14_400.0, *[600.0] * 24]
    whole = simulate(lengths, STEADY, FREE, piece_s=0.0)
    cut = simulate(lengths, STEADY, FREE, piece_s=600.0)
    assert whole.hours == pytest.approx(0.4)  # the long video alone
    assert cut.hours == pytest.approx(whole.hours / 2)


def test_one_committer_is_the_end_of_scaling() -> None:
    slow = Rates(core_s=0.1, hand_out_s=0.0, publish_s=1.0, publish_hour_s=0.0)
    few, many = (
        simulate([600.0] * 2000, Shape(n, 4, slow=0.0, mtbf_h=1e9), slow) for n in (1, 100)
    )
    assert few.limit == "workers"
    assert many.limit == "committer"
    assert many.hours >= 2000 / 3600  # a second for each, whoever has analysed them
    assert many.waiting_videos > 100


def test_what_dies_is_done_again_and_nothing_is_lost() -> None:
    frail = Shape(nodes=5, workers=4, slow=0.0, mtbf_h=0.1, back_s=60.0)
    found = simulate(lengths_s(300.0), frail, FREE)
    steady = simulate(lengths_s(300.0), Shape(5, 4, slow=0.0, mtbf_h=1e9), FREE)
    assert found.redone > 0
    assert found.hours > steady.hours
    assert found.video_hours == pytest.approx(300.0)


def test_the_same_seed_gives_the_same_job() -> None:
    shape = Shape(nodes=3, workers=8, mtbf_h=2.0)
    runs = [simulate(lengths_s(200.0), shape, MEASURED, seed=seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_lengths_add_up_and_look_like_broadcasts() -> None:
    lengths = sorted(lengths_s(2000.0))
    assert sum(lengths) == pytest.approx(2000 * 3600)
    assert 20 * 60 < lengths[len(lengths) // 2] < 30 * 60
    assert lengths[-1] <= 36_000
    assert pieces_of(3000.0, 600.0) == [600.0] * 5
    assert pieces_of(500.0, 600.0) == [500.0]
    assert pieces_of(5000.0, 0.0) == [5000.0]


def test_the_command_says_what_limits_each_cluster() -> None:
    found = CliRunner().invoke(main, ["--hours", "50", "--nodes", "1", "--nodes", "4", "--json"])
    told = json.loads(found.stdout)
    assert [each["nodes"] for each in told] == [1, 4]
    assert told[1]["hours"] < told[0]["hours"]
    assert {each["limit"] for each in told} <= {"workers", "driver", "committer"}
