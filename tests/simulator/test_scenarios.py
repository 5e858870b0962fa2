"""How environments scale under loads that people have; and that the charts of the documentation show just that."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

from batchyard.simulator.charts import chart
from batchyard.simulator.scenario_runner import BOOT_MS, Record
from batchyard.simulator.scenarios import MINUTE_MS, SCALE_DOWN_MS, SCENARIOS, Scenario

CHARTS = Path(__file__).parents[2] / "docs" / "scenarios"
WARM_UP_MS = MINUTE_MS
MAX_SMALL_MS = 20_000  # of the jobs beside the giant


@cache
def scenario(name: str) -> Scenario:
    return SCENARIOS[name]()


@cache
def record_of(name: str) -> Record:
    return scenario(name).run()


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_job_succeeds_and_nothing_is_left(name: str) -> None:
    record = record_of(name)
    assert record.failed == 0
    assert record.succeeded == sum(arrival.count for arrival in scenario(name).load.arrivals)
    last = record.samples[-1]
    assert (sum(last.in_service.values()), last.launching, last.leaving, last.demand) == (0, 0, 0, 0)
    assert len(record.launches) == len({turn.instance_id for turn in record.launches})


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_ends_that_was_not_idle_for_the_whole_delay(name: str) -> None:
    ends = [turn for turn in record_of(name).ends if not turn.is_interrupted]
    assert ends
    assert min(turn.idle_ms for turn in ends) >= SCALE_DOWN_MS


@pytest.mark.parametrize("name", SCENARIOS)
def test_maxvcpus_are_passed_by_the_last_instance_at_most(name: str) -> None:
    record = record_of(name)
    for fleet in scenario(name).load.fleets:
        for turn in (turn for turn in record.launches if turn.environment == fleet.name):
            ended = {end.instance_id for end in record.ends + record.refused if end.at_ms <= turn.at_ms}
            before = record.launches[: record.launches.index(turn)]
            had = sum(t.vcpus for t in before if t.environment == fleet.name and t.instance_id not in ended)
            assert had < fleet.most, f"{turn} is launched beside {had} vCPUs"


@pytest.mark.parametrize("name", SCENARIOS)
def test_nobody_waits_while_what_is_in_service_is_idle(name: str) -> None:
    """But for a large job, to which that room is no use; and while an instance comes in an environment that is earlier
    in the queue's order."""
    for sample in record_of(name).samples:
        idle = sum(sample.in_service.values()) - sample.running
        assert name == "giant" or sample.launching or not (sample.waiting and idle > 0), sample


def test_a_steady_load_is_left_alone() -> None:
    record = record_of("steady")
    last_ms = scenario("steady").load.arrivals[-1].at_ms
    assert [turn for turn in record.launches if turn.at_ms > WARM_UP_MS] == []
    assert [turn for turn in record.ends if turn.at_ms < last_ms + SCALE_DOWN_MS] == []
    most = max(sample.demand for sample in record.samples)
    assert max(sum(sample.in_service.values()) for sample in record.samples) <= most + 1, "no more than it needs"


def test_a_burst_gets_few_large_instances_at_once() -> None:
    record, load = record_of("bursts"), scenario("bursts").load
    times = [arrival.at_ms for arrival in load.arrivals]
    for at_ms in times:
        launched = [turn for turn in record.launches if at_ms <= turn.at_ms < at_ms + MINUTE_MS]
        assert [turn.vcpus for turn in launched] == [8, 8]
        assert {turn.at_ms for turn in launched} == {at_ms}
    waits = [min(wait for job, wait in record.waits_ms.items() if job.startswith(f"{n:08x}")) for n in (1, 2, 3)]
    assert waits == [BOOT_MS] * 3


def test_a_sawtooth_is_followed_and_its_gaps_are_not_paid_for() -> None:
    record = record_of("sawtooth")
    assert max(record.waits_ms.values()) <= BOOT_MS
    highest = max(sample.demand for sample in record.samples)
    assert max(sum(sample.in_service.values()) for sample in record.samples) <= highest + 2
    assert len(record.launches) < 3 * (highest / 2), "what is still there from one tooth is used by the next"


def test_a_giant_gets_its_instance_although_small_jobs_keep_coming() -> None:
    record, load = record_of("giant"), scenario("giant").load
    number = next(at for at, arrival in enumerate(load.arrivals, 1) if arrival.vcpus == 8)
    wait_ms = next(wait for job, wait in record.waits_ms.items() if job.startswith(f"{number:08x}"))
    assert wait_ms <= MAX_SMALL_MS + SCALE_DOWN_MS + BOOT_MS
    others = [wait for job, wait in record.waits_ms.items() if not job.startswith(f"{number:08x}")]
    assert max(others) < 2 * BOOT_MS + SCALE_DOWN_MS // 2, "and they go on meanwhile"


def test_a_storm_moves_the_load_and_afterwards_it_comes_back() -> None:
    record, load = record_of("storms"), scenario("storms").load
    for storm in load.storms:
        at_its_end = [s for s in record.samples if s.at_ms <= storm.at_ms + storm.refused_ms][-1]
        assert at_its_end.in_service["spot"] == 0
        assert at_its_end.in_service["on-demand"] >= at_its_end.running
        assert at_its_end.waiting == 0
        later = [s for s in record.samples if s.at_ms <= storm.at_ms + storm.refused_ms + MINUTE_MS][-1]
        assert later.in_service["spot"] >= later.running
    assert max(record.waits_ms.values()) <= 2 * BOOT_MS, "of the first attempts"
    lost = [turn for turn in record.ends if turn.is_interrupted]
    assert {turn.environment for turn in lost} == {"spot"}
    assert len(lost) == 10


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_charts_are_current(name: str) -> None:
    drawn = chart(scenario(name).title, scenario(name).load, record_of(name))
    ElementTree.fromstring(drawn)
    assert (CHARTS / f"{name}.svg").read_text() == drawn, "out of date: run `make docs` and commit the result"


def test_there_is_no_other_chart() -> None:
    assert sorted(path.name for path in CHARTS.iterdir()) == sorted(f"{name}.svg" for name in SCENARIOS)
