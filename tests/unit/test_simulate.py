"""The simulated cluster does all of the work once, and stops scaling where it must."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

pytest.importorskip("simpy")

from workers.simulate import (
    MEASURED,
    RATES,
    Rates,
    Shape,
    lengths_s,
    main,
    pieces_of,
    simulate,
)

STEADY = Shape(nodes=1, workers=4, slow=0.0, mtbf_h=1e9)
FREE = Rates(core_s=0.1, hand_out_s=0.0, news_s=0.0, commit_s=0.0, publish_hour_s=0.0)


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


def test_one_driver_is_the_end_of_scaling() -> None:
    slow = replace(FREE, publish_hour_s=6.0)  # a second for each video of ten minutes
    few, many = (
        simulate([600.0] * 2000, Shape(n, 4, slow=0.0, mtbf_h=1e9), slow) for n in (1, 100)
    )
    assert few.limit == "workers"
    assert many.limit == "driver: publishing"
    assert many.hours >= 2000 / 3600  # a second for each, whoever has analysed them
    assert many.waiting_videos > 100


def test_videos_share_a_commit_where_they_come_faster_than_it() -> None:
    slow = replace(FREE, commit_s=1.0)
    many = simulate([600.0] * 2000, Shape(100, 4, slow=0.0, mtbf_h=1e9), slow)
    assert many.publishing * many.hours * 3600 == pytest.approx(2000 / 8)


def test_while_the_archive_is_looked_after_nothing_is_handed_out() -> None:
    lengths, shape = [600.0] * 4096, Shape(8, 4, slow=0.0, mtbf_h=1e9)
    shots = 4096 / 6 * FREE.shots_hour
    kept = replace(FREE, upkeep=((shots / 10, 100.0), (shots, 10_000.0)))
    without, with_upkeep = simulate(lengths, shape, FREE), simulate(lengths, shape, kept)
    assert with_upkeep.upkeep * with_upkeep.hours * 3600 == pytest.approx(10_000, rel=0.01)
    # Workers have half a piece more than they work at, and then wait.
    assert without.hours + 0.8 * 10_000 / 3600 < with_upkeep.hours
    assert with_upkeep.limit == "driver: upkeep"


def test_upkeep_is_read_off_between_what_was_measured_and_beyond() -> None:
    rates = replace(FREE, upkeep=((1e5, 10.0), (1e6, 50.0), (1e7, 5000.0)))
    measured = [rates.upkeep_s(shots) for shots in (1e5, 1e6, 1e7)]
    assert measured == pytest.approx([10.0, 50.0, 5000.0])
    assert rates.upkeep_s(5e4) == pytest.approx(5.0)
    assert 50.0 < rates.upkeep_s(3e6) < 5000.0
    assert rates.upkeep_s(1e8) == pytest.approx(500_000.0)  # as from one to ten million
    assert FREE.upkeep_s(1e9) == 0.0


def test_news_of_many_workers_keeps_the_driver_from_the_rest() -> None:
    shape = Shape(nodes=50, workers=16, slow=0.0, mtbf_h=1e9)
    lengths = lengths_s(2000.0)
    quiet, loud = (simulate(lengths, shape, replace(FREE, news_s=s)) for s in (0.0, 0.01))
    assert loud.listening > 0.9
    assert loud.limit == "driver: listening"
    assert quiet.hours < loud.hours < 2 * quiet.hours  # news wait, the work goes on


def test_upkeep_is_told_from_the_log_of_an_archive_that_grew() -> None:
    from benchmarks.upkeep import steps_of, upkeep

    steps = steps_of("80,000 shots, 1 s\n160,000 shots, 2 s\nindexing\n240,000 shots, 33 s\n")
    assert steps == [(80_000, 1.0), (160_000, 1.0), (240_000, 31.0)]
    told = upkeep(steps, 1.0, 5.0)
    assert [(row["shots"], row["all upkeep s"]) for row in told] == [(240_000, 30), (240_000, 35)]
    assert len(upkeep(steps, 1.0, None)) == 1  # the run was going on


def test_the_rates_are_those_that_were_measured() -> None:
    from benchmarks.rates import found

    told = json.loads(RATES.read_text())
    assert told == found(), "results changed: run python -m benchmarks.rates --write"
    assert MEASURED.core_s == told["core_s"]


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
    assert {each["limit"] for each in told} <= {"workers", "longest piece"}
