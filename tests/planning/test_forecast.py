"""When waiting jobs start: run times from history, and futures of the live state, in worlds worked out by hand."""

import random

import pytest

from batchyard.analysis.forecasts import HISTORY, TIMEOUT, UNKNOWN, Forecast
from batchyard.analysis.past_runs import PastRun
from batchyard.core.capacity.prices import Prices
from batchyard.core.model.commands import SetHost
from batchyard.core.model.records import Abilities, Dependency
from batchyard.planning.forecast import MAX_DRAWS, State, forecast
from batchyard.planning.run_times import KEPT, RunTimes
from tests.analysis.runs import run
from tests.core.driver import ACCOUNT, CATALOGUE, ENGINE, Driver

S = 1000


def state_of(driver: Driver, boot_ms: int = 60 * S) -> State:
    hosts = (SetHost(driver.host, {ENGINE: Abilities()}),)
    return State(ACCOUNT, driver.kept.snapshot(), hosts, CATALOGUE, Prices(), driver.now_ms, boot_ms)


def past(*seconds: float, definition: str = "work") -> list[PastRun]:
    return [
        run(job_id=f"past-{n}", definition=f"{definition}:1", started_at_ms=0, stopped_at_ms=round(took * S))
        for n, took in enumerate(seconds)
    ]


def asked(driver: Driver, *job_ids: str, runs: list[PastRun]) -> list[Forecast]:
    return forecast(state_of(driver), RunTimes(runs), job_ids, seconds=1000, clock=lambda: 0.0)


def test_jobs_of_one_length_start_one_after_the_other() -> None:
    driver = Driver(vcpus=1)
    first, second, third = (driver.submit() for _ in range(3))
    driver.started(first)
    driver.tick(4 * S)
    found = asked(driver, second, third, runs=past(*[10] * 10))
    left = 10 * S - (driver.now_ms - driver.job(first).attempt.started_at_ms)  # type: ignore[union-attr]
    assert [(one.low_ms, one.middle_ms, one.high_ms) for one in found] == [(left,) * 3, (left + 10 * S,) * 3]
    assert {(one.basis, one.draws) for one in found} == {(HISTORY, MAX_DRAWS)}


def test_the_range_is_that_of_the_run_times() -> None:
    driver = Driver(vcpus=1)
    first, second = driver.submit(), driver.submit()
    driver.started(first)
    (found,) = asked(driver, second, runs=past(*range(1, 51)))
    assert found.low_ms is not None
    assert found.high_ms is not None
    assert 2 * S < found.low_ms < 10 * S
    assert 40 * S < found.high_ms < 50 * S


def test_without_history_the_timeout_is_the_bound() -> None:
    driver = Driver(vcpus=1)
    first = driver.submit(timeout={"attemptDurationSeconds": 100})
    second = driver.submit()
    driver.started(first)
    (found,) = asked(driver, second, runs=[])
    assert found.basis == TIMEOUT
    assert found.high_ms is not None
    assert 80 * S < found.high_ms <= 100 * S


def test_without_both_nothing_is_known() -> None:
    driver = Driver(vcpus=1)
    first, second = driver.submit(), driver.submit()
    driver.started(first)
    (found,) = asked(driver, second, runs=past(10, definition="other"))
    assert found == Forecast(second, UNKNOWN, MAX_DRAWS)


def test_what_is_not_known_does_not_matter_where_another_place_gets_free() -> None:
    driver = Driver(vcpus=2)
    unknown, known = driver.submit("unknown"), driver.submit()
    waiting = driver.submit()
    driver.started(unknown)
    driver.started(known)
    (found,) = asked(driver, waiting, runs=past(*[10] * 10))
    assert found.basis == HISTORY
    assert found.middle_ms is not None
    assert found.middle_ms <= 10 * S


def test_an_array_starts_with_its_first_child_and_a_child_with_itself() -> None:
    driver = Driver(vcpus=1)
    first, array = driver.submit(), driver.submit(array_size=3)
    driver.started(first)
    whole, last = asked(driver, array, f"{array}:2", runs=past(*[10] * 10))
    assert whole.middle_ms is not None
    assert last.middle_ms is not None
    assert whole.middle_ms <= 10 * S
    assert last.middle_ms == whole.middle_ms + 20 * S


def test_a_job_that_depends_on_others_waits_for_their_ends() -> None:
    driver = Driver(vcpus=4)
    first = driver.submit()
    second = driver.submit(depends_on=[Dependency(first)])
    driver.started(first)
    (found,) = asked(driver, second, runs=past(*[10] * 10))
    assert found.middle_ms is not None
    assert 9 * S < found.middle_ms <= 10 * S


def test_instances_that_boot_are_waited_for() -> None:
    driver = Driver(vcpus=16)
    driver.fleet("fleet", "c5.large")
    job = driver.submit(queue="fleet")
    (found,) = asked(driver, job, runs=past(*[10] * 10))
    launched_ms = next(iter(driver.instances("fleet"))).launched_at_ms
    assert found.middle_ms == launched_ms + 60 * S - driver.now_ms


def test_a_job_that_can_never_start_has_no_forecast() -> None:
    driver = Driver(vcpus=1)
    driver.define(
        "large", container={"resourceRequirements": [{"type": "VCPU", "value": "8"}, {"type": "MEMORY", "value": "64"}]}
    )
    job = driver.submit("large")
    (found,) = asked(driver, job, runs=past(*[10] * 10))
    assert found.basis == UNKNOWN


def test_less_time_means_fewer_futures() -> None:
    driver = Driver(vcpus=1)
    first, second = driver.submit(), driver.submit()
    driver.started(first)
    ticks = iter(range(1000))
    (found,) = forecast(state_of(driver), RunTimes(past(10)), [second], seconds=5, clock=lambda: next(ticks))
    assert 0 < found.draws <= 6


def test_the_live_state_stays_as_it_is() -> None:
    driver = Driver(vcpus=1)
    first, second = driver.submit(), driver.submit()
    driver.started(first)
    before = driver.kept.snapshot()
    asked(driver, second, runs=past(10))
    assert driver.kept.snapshot() == before


def test_the_ranges_hold_as_often_as_they_promise() -> None:
    """Worlds of random run times; the truth is a future that the forecast does not play."""
    held = total = 0
    for world in range(12):
        chance = random.Random(world)
        took = [chance.lognormvariate(3, 1) for _ in range(40)]
        driver = Driver(vcpus=2)
        jobs = [driver.submit() for _ in range(10)]
        for job in jobs[:2]:
            driver.started(job)
        state, times = state_of(driver), RunTimes(past(*took))
        ticks = iter(range(10**6))
        truth = {}
        found = forecast(state, times, jobs[2:], seconds=40, clock=lambda ticks=ticks: next(ticks))  # type: ignore[misc]
        free = sorted(chance.choice(took) * S for _ in range(2))
        for job in jobs[2:]:
            truth[job] = free[0]
            free = sorted([free[0] + chance.choice(took) * S, free[1]])
        for one in found:
            assert one.low_ms is not None
            assert one.high_ms is not None
            total += 1
            held += one.low_ms <= truth[one.job_id] <= one.high_ms
    assert total == 96
    assert 0.68 <= held / total <= 0.93, "80 % is promised"


# -- run times --


def test_only_the_latest_run_times_count() -> None:
    old = [run(job_id=f"old-{n}", stopped_at_ms=10 * S) for n in range(KEPT)]
    new = [run(job_id=f"new-{n}", started_at_ms=100 * S, stopped_at_ms=101 * S) for n in range(KEPT)]
    assert RunTimes([*old, *new]).samples("step:9", "job") == [S] * KEPT


def test_children_of_an_array_are_alike() -> None:
    others = past(*[100] * 30)
    children = [run(job_id=f"array:{n}", definition="work:1", stopped_at_ms=5 * S) for n in range(8)]
    times = RunTimes([*others, *children])
    assert times.samples("work:1", "array:9") == [5 * S] * 8
    assert times.samples("work:2", "other:9").count(100 * S) == 30


def test_attempts_that_were_cut_short_are_no_run_times() -> None:
    runs = [run(outcome="HOST_LOST"), run(outcome="STOPPED"), run(outcome="FAILED", stopped_at_ms=7)]
    assert RunTimes(runs).samples("step:1", "job") == [7]


@pytest.mark.parametrize("age_s", [0, 5, 30, 1000])
def test_what_is_drawn_is_not_before_now_and_not_beyond_the_timeout(age_s: int) -> None:
    chance = random.Random(1)
    times = RunTimes(past(*range(1, 41)))
    for limit_s in (0, 50, 2000):
        for _ in range(50):
            drawn = times.draw(chance, "work:1", "job", limit_s * S, age_s * S)
            assert drawn.basis == HISTORY
            assert drawn.run_ms >= min(age_s, limit_s or age_s) * S
            assert not limit_s or drawn.run_ms <= limit_s * S
