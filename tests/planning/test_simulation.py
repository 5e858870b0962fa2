"""The machine of jobs under simulated time: what starts when, and what instances do, in worlds worked out by hand."""

import pytest

from batchyard.core.capacity.prices import Prices
from batchyard.planning.measures import measure
from batchyard.planning.outcome import NEVER, Timeline
from batchyard.planning.site import SiteError, with_hosts, with_policy, with_queues
from batchyard.planning.workload import ITSELF
from tests.planning.worlds import CATALOGUE, S, fleet, job, machine, run, simulation, starts


def test_a_machine_runs_what_fits_and_the_rest_waits_its_turn() -> None:
    outcome = run([job(run_s=10), job(run_s=20), job(run_s=5)], machine(2))
    assert starts(outcome) == [0, 0, 10]
    assert [at / S for at in outcome.end_ms] == [10, 20, 15]
    assert outcome.is_complete
    assert outcome.held_milli_vcpu_ms == 35_000 * S
    assert outcome.capacity_milli_vcpu_ms == 20 * 2000 * S


def test_an_instance_boots_first_and_goes_when_it_is_idle() -> None:
    outcome = run([job(run_s=100, vcpus=2)], fleet(), boot_ms=60 * S)
    assert starts(outcome) == [60]
    (life,) = outcome.instances.values()
    assert (life.launched_ms, life.ready_ms) == (0, 60 * S)
    assert life.held_milli_vcpu_ms == 2000 * 100 * S
    assert life.ended_ms == NEVER, "the simulation ends with the last job"


def test_demand_beyond_maxvcpus_waits() -> None:
    outcome = run([job(run_s=100, vcpus=2) for _ in range(3)], fleet(most=4), boot_ms=60 * S)
    assert sorted(starts(outcome)) == [60, 60, 160]


def test_a_spot_instance_that_is_interrupted_loses_work_and_its_job_runs_again() -> None:
    outcome = run([job(run_s=3600, vcpus=2)] * 4, fleet("SPOT"), spot_rate_per_hour=0.5, boot_ms=S)
    assert outcome.is_complete
    assert outcome.interrupted_attempts > 0
    assert outcome.interrupted_milli_vcpu_ms > 0
    assert any(one.is_interrupted and one.ended_ms != NEVER for one in outcome.instances.values())
    assert all(end - start >= 3600 * S for start, end in zip(outcome.start_ms, outcome.end_ms, strict=True))
    again = run([job(run_s=3600, vcpus=2)] * 4, fleet("SPOT"), spot_rate_per_hour=0.5, boot_ms=S)
    assert list(again.end_ms) == list(outcome.end_ms), "the same seed has the same fate"
    other = run([job(run_s=3600, vcpus=2)] * 4, fleet("SPOT"), spot_rate_per_hour=0.5, boot_ms=S, seed=2)
    assert list(other.end_ms) != list(outcome.end_ms)


def test_a_job_that_is_lost_too_often_fails() -> None:
    outcome = run([job(run_s=10 * 3600, vcpus=2)], fleet("SPOT"), spot_rate_per_hour=20.0, boot_ms=S)
    assert outcome.is_complete
    assert (outcome.interrupted_attempts, list(outcome.has_failed)) == (10, [1])


def test_children_of_an_array_run_as_long_as_each_takes() -> None:
    outcome = run([job(runs_ms=(10 * S, 20 * S, 30 * S))], machine(2))
    assert starts(outcome) == [0, 0, 10]
    assert [at / S for at in outcome.end_ms] == [10, 20, 40]


def test_dependencies_hold_also_on_what_has_long_ended() -> None:
    jobs = [
        job(run_s=10),
        job(run_s=10, depends_on=((0, ""),)),
        job(submit_s=3 * 3600, run_s=10, depends_on=((0, ""),)),
    ]
    assert starts(run(jobs, machine(4))) == [0, 10, 3 * 3600]


def test_children_that_follow_each_other_and_other_arrays() -> None:
    jobs = [
        job(runs_ms=(10 * S, 20 * S), depends_on=((ITSELF, "SEQUENTIAL"),)),
        job(runs_ms=(1 * S, 1 * S), depends_on=((0, "N_TO_N"),)),
    ]
    assert starts(run(jobs, machine(4))) == [0, 10, 10, 30]


def test_a_timeout_ends_a_job_and_what_depends_on_it() -> None:
    outcome = run([job(run_s=1000, limit_ms=60 * S), job(run_s=1)], machine(1))
    assert [at / S for at in outcome.end_ms] == [60, 61]
    assert list(outcome.has_failed) == [1, 0]


def test_nodes_start_together() -> None:
    outcome = run([job(run_s=100, vcpus=2, nodes=3), job(run_s=10)], fleet(), boot_ms=S)
    assert outcome.is_complete
    assert outcome.held_milli_vcpu_ms == (3 * 2000 * 100 + 1000 * 10) * S
    assert len(outcome.instances) >= 3


def test_why_a_job_can_never_start_is_said() -> None:
    outcome = run([job(), job(vcpus=4)], machine(2))
    assert not outcome.is_complete
    assert outcome.waits_for is not None
    reason, count = outcome.waits_for
    assert count == 1
    assert "4" in reason
    assert list(outcome.end_ms) == [10 * S, NEVER]


def test_a_policy_lets_shares_take_turns() -> None:
    jobs = [job(run_s=100, share="a") for _ in range(4)] + [job(submit_s=1, run_s=100, share="b")]
    site = with_queues(machine(1), ["default"])
    fifo, fair = run(jobs, with_policy(site, "fifo", {})), run(jobs, with_policy(site, "fair", {}))
    assert starts(fifo)[4] == 400
    assert starts(fair)[4] == 100
    weighted = {"shareDistribution": [{"shareIdentifier": "a", "weightFactor": 0.01}]}
    assert starts(run(jobs, with_policy(site, "own", {"own": weighted})))[4] >= 100
    with pytest.raises(SiteError, match="There is no policy other"):
        with_policy(site, "other", {})


def test_hosts_that_are_added_are_there_and_tried_first() -> None:
    site = with_hosts(with_queues(fleet(most=2), ["default"]), "+2xc5.4xlarge", CATALOGUE)
    outcome = run([job(run_s=100, vcpus=2)] * 3, site, boot_ms=60 * S)
    assert [one.instance_type for one in outcome.instances.values()] == ["c5.4xlarge"] * 2
    assert starts(outcome) == [60] * 3


@pytest.mark.parametrize("text", ["2", "+0xc5.large", "+2xc9.huge", "two", "+20000xc5.large"])
def test_wrong_hosts_are_refused(text: str) -> None:
    with pytest.raises(SiteError):
        with_hosts(with_queues(fleet(), ["default"]), text, CATALOGUE)


def test_what_the_core_refuses_of_a_site_is_named() -> None:
    site = fleet(name="c9.huge")
    with pytest.raises(SiteError, match="the compute environment fleet: "):
        run([job()], site)


def test_a_simulation_that_was_stopped_shows_what_it_has_and_goes_on() -> None:
    one = simulation([job(run_s=10), job(submit_s=100, run_s=10)], machine(1))
    outcome = one.run(until_ms=50 * S)
    assert (outcome.is_complete, list(outcome.end_ms)) == (False, [10 * S])
    assert one.progress == (1, 2)
    assert one.run().is_complete


def test_the_measures_of_a_small_world() -> None:
    jobs = [job(run_s=100, vcpus=2), job(run_s=50, queue="other", share="x"), job(submit_s=50, run_s=50)]
    found = measure(run(jobs, machine(2)), jobs, Prices())
    assert (found.jobs, found.ended, found.unstarted, found.failed) == (3, 3, 0, 0)
    assert found.makespan_ms == 150 * S
    assert (found.waits.p50_ms, found.waits.p95_ms, found.waits.mean_ms) == (50 * S, 100 * S, 50 * S)
    assert found.waits.slowdown == (1 + 3 + 2) / 3
    assert {one.name: one.p50_ms / S for one in found.by_queue} == {"default": 0, "other": 100}
    assert {one.name for one in found.by_share} == {"", "x"}
    assert found.utilisation == 1.0
    assert found.fragmentation == 0.0
    assert found.dollars is None


def test_what_instances_cost() -> None:
    jobs = [job(run_s=3540, vcpus=2)]
    outcome = run(jobs, fleet(), boot_ms=60 * S)
    found = measure(outcome, jobs, Prices(on_demand={"c5.large": 85_000}))
    assert found.dollars == pytest.approx(0.085)
    assert found.instances == 1


def test_the_timeline_keeps_sums_whatever_its_steps() -> None:
    line = Timeline()
    line.add(0, 500, 4, 2, 1)
    line.add(500, 10_000_000, 2, 0, 3)
    samples = line.samples()
    assert len(samples) <= Timeline.MAX_SAMPLES
    width = samples[1].at_ms
    assert sum(one.waiting for one in samples) * width == pytest.approx(500 * 1 + 9_999_500 * 3)
    assert sum(one.capacity_milli_vcpus for one in samples) * width == pytest.approx(500 * 4 + 9_999_500 * 2)
