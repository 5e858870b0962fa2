"""MANAGED environments: from zero and back, over several environments, Spot losses, Fargate, restarts."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.capacity.prices import Prices
from batchyard.core.instances.instance_lifecycle import ENDED_KEPT_MS, ENDED_SHOWN_MS
from batchyard.core.model import commands as c
from batchyard.core.model import reports
from batchyard.core.model.records import EnvironmentOrder, Health, InstanceState, Status
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import Resources
from batchyard.core.questions.explanation import AskExplain
from batchyard.core.questions.inventory import AskInstances
from batchyard.core.questions.overview import InterruptInstance
from batchyard.core.scheduling.wait_reasons import Wait
from batchyard.core.state.document_kinds import ENDED_INSTANCE
from tests.core.driver import ENGINE, HOST, Driver

IDLE_MS = 30_000


def asking(vcpus: float, **members: Any) -> dict[str, Any]:
    return {"overrides": {"resourceRequirements": [{"type": "VCPU", "value": str(vcpus)}]}, **members}


def yard(vcpus: int = 16, **members: Any) -> Driver:
    return Driver(vcpus=vcpus, memory_mib=65536, **members)


def free_vcpus(driver: Driver) -> int:
    return driver.machine.world.instances.available[HOST].free.milli_vcpus // 1000


def test_from_zero_and_back() -> None:
    driver = yard()
    driver.fleet("fleet", "c5.large")
    assert not driver.launching
    job = driver.submit(queue="fleet")
    assert driver.status(job) is Status.RUNNABLE
    (instance,) = driver.instances("fleet")
    assert (instance.instance_type, instance.state) == ("c5.large", InstanceState.LAUNCHING)
    assert free_vcpus(driver) == 14, "what it reserves is nobody else's from the launch on"
    driver.booted()
    assert driver.status(job) is Status.STARTING
    attempt = driver.job(job).attempt
    assert attempt is not None
    assert attempt.main.instance_id == instance.instance_id
    assert driver.machine.world.environments["fleet"].desired_vcpus == 2
    driver.started(job)
    driver.exited(job)
    driver.tick(IDLE_MS - 10)
    assert not driver.terminated, "it stays for a while, in case there is more"
    due = driver.machine.next_deadline()
    assert due is not None
    driver.tick(due - driver.now_ms)
    assert driver.gone() == [instance.instance_id]
    assert driver.instances("fleet") == []
    assert free_vcpus(driver) == 16
    assert driver.machine.world.environments["fleet"].desired_vcpus == 0


def test_a_job_that_comes_meanwhile_keeps_the_instance() -> None:
    driver = yard()
    driver.fleet("fleet", "c5.large")
    first = driver.submit(queue="fleet")
    driver.booted()
    driver.exited(first)
    driver.tick(IDLE_MS - 1000)
    second = driver.submit(queue="fleet")
    assert driver.status(second) is Status.STARTING, "no new instance, no wait"
    driver.tick(IDLE_MS)
    assert not driver.terminated
    driver.exited(second)
    driver.tick(IDLE_MS - 1000)
    assert not driver.terminated, "the time counts from the end of its last job"


def test_an_array_gets_instances_that_it_fills_and_no_more() -> None:
    driver = yard(vcpus=64)
    driver.fleet("fleet", "c5.large", "c5.xlarge", "c5.2xlarge", most=20)
    driver.submit(queue="fleet", array_size=100)
    sizes = [i.resources.milli_vcpus // 1000 for i in driver.instances("fleet")]
    assert sum(sizes) <= 20
    before = driver.instances("fleet")
    driver.tick(100)
    assert driver.instances("fleet") == before, "those who expect an instance do not ask for another"
    driver.booted()
    assert len(driver.placed()) == sum(sizes)
    assert driver.instances("fleet")[0].resources.milli_vcpus == 8000, "the largest that the demand fills comes first"


def test_jobs_that_come_one_by_one_get_what_they_need_and_no_more() -> None:
    driver = yard(vcpus=64)
    driver.fleet("fleet", "c5.large", "c5.xlarge", "c5.2xlarge", most=64)
    for _ in range(5):
        driver.submit(queue="fleet", **asking(2))
    assert [i.instance_type for i in driver.instances("fleet")] == ["c5.large"] * 5


def test_minvcpus_are_kept_without_work_also_when_disabled() -> None:
    driver = yard()
    driver.fleet("warm", "c5.large", minvCpus=4)
    assert len(driver.booted()) == 2
    driver.do(c.UpdateComputeEnvironment("warm", "DISABLED"))
    driver.tick(10 * IDLE_MS)
    assert not driver.terminated
    job = driver.submit(queue="warm")
    assert driver.status(job) is Status.RUNNABLE, "a disabled environment takes no jobs"
    driver.do(c.UpdateComputeEnvironment("warm", "ENABLED"))
    assert driver.status(job) is Status.STARTING
    driver.exited(job)
    driver.do(c.UpdateComputeEnvironment("warm", "", {"computeResources": {"minvCpus": 0}}))
    driver.tick(IDLE_MS)
    assert len(driver.gone()) == 2


def test_desiredvcpus_are_launched_once_and_then_demand_decides() -> None:
    driver = yard()
    driver.fleet("fleet", "c5.large", desiredvCpus=4)
    assert len(driver.booted()) == 2
    driver.tick(IDLE_MS)
    assert len(driver.gone()) == 2
    driver.do(c.UpdateComputeEnvironment("fleet", "", {"computeResources": {"desiredvCpus": 2}}))
    assert len(driver.launching) == 1


def test_desiredvcpus_that_this_host_cannot_give_keep_nothing() -> None:
    driver = yard(vcpus=4)
    driver.fleet("fleet", "c5.large", desiredvCpus=8)
    assert len(driver.booted()) == 2
    driver.tick(IDLE_MS)
    assert len(driver.gone()) == 2
    driver.tick(IDLE_MS)
    assert driver.instances("fleet") == []


def test_desiredvcpus_wait_while_capacity_is_refused() -> None:
    driver = yard()
    driver.fleet("fleet", "c5.large")
    driver.submit(queue="fleet")
    (asked,) = driver.launching
    del driver.launching[asked]
    driver.fact(reports.InstanceRefused(asked, "no capacity"))
    driver.do(c.UpdateComputeEnvironment("fleet", "", {"computeResources": {"desiredvCpus": 4}}))
    assert not driver.launching
    driver.tick(11_000)
    assert len(driver.launching) == 2


def test_the_delay_that_an_environment_names_wins() -> None:
    driver = yard()
    driver.fleet("fleet", "c5.large", scalingPolicy={"minScaleDownDelayMinutes": 20})
    job = driver.submit(queue="fleet")
    driver.booted()
    driver.exited(job)
    driver.tick(19 * 60_000)
    assert not driver.terminated
    driver.tick(60_000)
    assert len(driver.terminated) == 1


def both(driver: Driver, name: str = "both") -> None:
    order = (EnvironmentOrder(1, "first"), EnvironmentOrder(2, "second"))
    driver.do(c.CreateJobQueue(name, "ENABLED", 1, order))


def test_the_second_environment_is_used_when_the_first_is_full() -> None:
    driver = yard()
    driver.fleet("first", "c5.large", most=2)
    driver.fleet("second", "c5.large", most=16)
    both(driver)
    jobs = [driver.submit(queue="both", **asking(2)) for _ in range(3)]
    assert [len(driver.instances(name)) for name in ("first", "second")] == [1, 2]
    driver.booted()
    places = [attempt.environment for job in jobs if (attempt := driver.job(job).attempt) is not None]
    assert places == ["first", "second", "second"]


def test_refused_capacity_spills_over_and_says_so_where_there_is_no_other() -> None:
    driver = yard()
    driver.fleet("first", "c5.large", kind="SPOT", most=16)
    driver.fleet("second", "c5.large", most=16)
    both(driver)
    job = driver.submit(queue="both", **asking(2))
    (asked,) = driver.launching
    del driver.launching[asked]
    driver.fact(reports.InstanceRefused(asked, "no Spot capacity"))
    assert [i.environment for i in driver.launching.values()] == ["second"]
    driver.booted()
    assert driver.status(job) is Status.STARTING
    alone = driver.submit(queue="first", **asking(2))
    assert driver.job(alone).status_reason.startswith("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - ")
    answer = driver.do(AskExplain(alone))
    assert answer.wait == Wait.NO_CAPACITY
    assert "The last launch was refused: no Spot capacity" in answer.text
    driver.tick(11_000)
    assert len(driver.instances("first")) == 1, "it is tried again after a while"
    assert driver.job(alone).status_reason == ""


def test_local_jobs_and_instances_share_one_ledger() -> None:
    driver = yard(vcpus=4)
    driver.fleet("fleet", "c5.large")
    first = driver.submit(**asking(3))
    waits = driver.submit(queue="fleet")
    assert not driver.launching
    assert "[c5.large]" in driver.job(waits).status_reason
    assert driver.facts == [], "a host that is busy for a moment blocks nobody"
    driver.tick(60_000)
    assert [(fact.queue, fact.job_id) for fact in driver.facts] == [("fleet", waits)]
    driver.exited(first)
    assert len(driver.launching) == 1
    assert driver.status(driver.submit(**asking(3))) is Status.RUNNABLE
    assert driver.status(driver.submit("small", queue="default")) is Status.RUNNABLE, "nobody passes onto its room"


def test_an_interruption_ends_jobs_as_their_host_s_end_does() -> None:
    driver = yard()
    driver.fleet("spot", "c5.large", kind="SPOT")
    retried = driver.submit(queue="spot", retry_strategy={"attempts": 2})
    (instance,) = driver.booted()
    driver.started(retried)
    taken = driver.do(InterruptInstance(instance, 2.0))
    assert taken.instance.state is InstanceState.DRAINING
    (stop,) = driver.stops
    assert stop.grace_seconds == 2.0
    assert driver.status(driver.submit(queue="spot")) is Status.RUNNABLE, "it takes no more jobs"
    driver.exited(retried, 143, signal=15)
    (lost,) = driver.job(retried).past
    assert lost.status_reason == f"Host EC2 (instance {instance}) terminated."
    assert (lost.exit_code, lost.reason) == (None, "")
    assert driver.status(retried) is Status.RUNNABLE
    assert driver.terminated == [instance], "nothing runs on it any more"
    driver.gone()
    driver.booted()
    assert driver.status(retried) is Status.STARTING


def test_a_job_that_ends_well_within_the_notice_has_succeeded() -> None:
    driver = yard()
    driver.fleet("spot", "c5.large", kind="SPOT")
    job = driver.submit(queue="spot")
    (instance,) = driver.booted()
    driver.started(job)
    driver.fact(reports.InstanceInterrupted(instance, 120.0))
    driver.exited(job, 0)
    assert driver.status(job) is Status.SUCCEEDED


def test_only_managed_instances_can_be_interrupted() -> None:
    driver = yard()
    with pytest.raises(Refused, match="does not exist"):
        driver.do(InterruptInstance("i-unknown", 2.0))
    with pytest.raises(Refused, match="is this machine itself"):
        driver.do(InterruptInstance(HOST, 2.0))


def test_on_fargate_each_job_reserves_its_own_share_up_to_maxvcpus() -> None:
    driver = yard()
    driver.fleet("fargate", kind="FARGATE", most=3)
    with pytest.raises(Refused, match="can not run Jobs with capability EC2"):
        driver.submit(queue="fargate")
    driver.define("small", platformCapabilities=["FARGATE"])
    array = driver.submit("small", queue="fargate", array_size=5)
    assert driver.placed() == [f"{array}:{index}" for index in range(3)]
    assert free_vcpus(driver) == 13
    assert not driver.launching
    answer = driver.do(AskExplain(f"{array}:3"))
    assert answer.wait == Wait.AT_MAX
    assert "1 vCPU asked, 0 of 3 left (maxvCpus)" in answer.text
    driver.exited(f"{array}:1")
    assert driver.placed() == [f"{array}:0", f"{array}:2", f"{array}:3"]


def test_an_override_keeps_to_fargate_s_pairs() -> None:
    driver = yard()
    driver.fleet("fargate", kind="FARGATE")
    driver.define(
        "pair",
        platformCapabilities=["FARGATE"],
        container={"resourceRequirements": [{"type": "VCPU", "value": "0.5"}, {"type": "MEMORY", "value": "1024"}]},
    )
    with pytest.raises(Refused, match=r"Fargate resource requirements \(2.00 vCPU, 1024 MiB\) not valid."):
        driver.submit("pair", queue="fargate", **asking(2))
    assert driver.status(driver.submit("pair", queue="fargate", **asking(0.25))) is Status.STARTING


def test_where_ecs_owns_the_instances_maxvcpus_hold_too() -> None:
    driver = yard()
    driver.fleet("owned", kind="ECS_MANAGED_INSTANCES", most=2)
    driver.define("small", platformCapabilities=["MANAGED_INSTANCES"])
    array = driver.submit("small", queue="owned", array_size=3)
    assert driver.placed() == [f"{array}:0", f"{array}:1"]


def test_a_bid_of_nothing_takes_nothing_that_has_a_price() -> None:
    driver = yard()
    driver.machine.world.prices = Prices({}, {"c5.large": 1})
    driver.fleet("free", "c5.large", kind="SPOT", bidPercentage=0)
    assert driver.do(AskExplain(driver.submit(queue="free"))).wait == Wait.ABOVE_BID


def test_gpus_belong_to_the_instance_that_has_them() -> None:
    driver = yard(gpus=2)
    driver.fleet("gpu", "g5.xlarge")
    driver.define(
        "train",
        container={
            "resourceRequirements": [
                {"type": "VCPU", "value": "1"},
                {"type": "MEMORY", "value": "64"},
                {"type": "GPU", "value": "1"},
            ]
        },
    )
    first, second = driver.submit("train", queue="gpu"), driver.submit("train", queue="gpu")
    third = driver.submit("train", queue="gpu")
    driver.booted()
    devices = [attempt.main.device_ids for job in (first, second) if (attempt := driver.job(job).attempt) is not None]
    assert sorted(devices) == [(0,), (1,)]
    assert driver.status(third) is Status.RUNNABLE
    assert "[g5.xlarge]" in driver.job(third).status_reason


def test_a_restart_goes_on_with_the_instances_there_are() -> None:
    driver = yard()
    driver.fleet("fleet", "c5.large")
    first = driver.submit(queue="fleet", **asking(2))
    driver.booted()
    driver.started(first)
    second = driver.submit(queue="fleet", **asking(2))
    driver.crash()
    assert len(driver.instances("fleet")) == 2
    assert free_vcpus(driver) == 12
    driver.booted()
    assert driver.status(second) is Status.STARTING
    driver.exited(first)
    driver.crash()
    driver.tick(IDLE_MS)
    assert len(driver.terminated) == 1
    driver.crash()
    driver.gone()
    assert len(driver.instances("fleet")) == 1


def test_after_a_restart_an_instance_may_be_gone_before_the_host_is_known() -> None:
    driver = yard()
    driver.fleet("fleet", "c5.large")
    job = driver.submit(queue="fleet")
    driver.booted()
    driver.exited(job)
    driver.tick(IDLE_MS)
    (ended,) = driver.terminated
    driver.machine = driver.new_machine()
    driver.machine.restore(driver.kept.snapshot())
    driver.fact(reports.InstanceGone(ended))
    driver.set_host()
    assert driver.instances("fleet") == []
    assert free_vcpus(driver) == 16


def test_an_instance_that_ended_is_remembered_for_an_hour_over_restarts() -> None:
    driver = yard()
    driver.fleet("fleet", "c5.large")
    job = driver.submit(queue="fleet")
    driver.booted()
    driver.exited(job)
    driver.tick(IDLE_MS)
    (ended,) = driver.gone()
    at_ms = driver.now_ms

    def remembered() -> list[tuple[str, int]]:
        found = driver.do(AskInstances()).ended
        return [(one.instance.instance_id, one.ended_at_ms) for one in found]

    assert remembered() == [(ended, at_ms)]
    driver.crash()
    assert remembered() == [(ended, at_ms)]
    driver.tick(ENDED_SHOWN_MS - (driver.now_ms - at_ms) - 2)  # every question takes a millisecond
    assert remembered() == [(ended, at_ms)]
    driver.tick(1)
    assert remembered() == []
    assert (ENDED_INSTANCE, ended) in driver.kept.snapshot().documents, "the costs of the month need it"
    driver.tick(ENDED_KEPT_MS - ENDED_SHOWN_MS)
    assert (ENDED_INSTANCE, ended) not in driver.kept.snapshot().documents, "its row stays for ever"


def test_a_launch_that_was_refused_leaves_nothing_to_remember() -> None:
    driver = yard()
    driver.fleet("fleet", "c5.large")
    driver.submit(queue="fleet")
    (instance,) = driver.instances("fleet")
    driver.fact(reports.InstanceRefused(instance.instance_id, "none left"))
    assert driver.do(AskInstances()).ended == ()


def test_after_a_restart_instances_are_tried_in_the_order_they_were_launched_in() -> None:
    driver = yard()
    driver.fleet("fleet", "c5.large", minvCpus=12)
    driver.booted()
    before = [instance.instance_id for instance in driver.instances("fleet")]
    assert before != sorted(before), "their ids are in another order"
    driver.crash()
    assert [instance.instance_id for instance in driver.instances("fleet")] == before


def test_a_deleted_environment_goes_when_its_instances_have() -> None:
    driver = yard()
    driver.fleet("fleet", "c5.large", minvCpus=2)
    driver.booted()
    driver.do(c.UpdateJobQueue("fleet", "DISABLED"))
    driver.do(c.DeleteJobQueue("fleet"))
    driver.do(c.UpdateComputeEnvironment("fleet", "DISABLED"))
    driver.do(c.DeleteComputeEnvironment("fleet"))
    assert driver.machine.world.environments["fleet"].status is Health.DELETING
    driver.gone()
    assert "fleet" not in driver.machine.world.environments
    assert free_vcpus(driver) == 16


def test_an_infrastructure_update_replaces_instances_as_they_become_empty() -> None:
    driver = yard()
    driver.fleet("fleet", "c5.large")
    job = driver.submit(queue="fleet", **asking(2))
    (old,) = driver.booted()
    driver.started(job)
    driver.do(c.UpdateComputeEnvironment("fleet", "", {"computeResources": {"instanceTypes": ["c5.xlarge"]}}))
    next_job = driver.submit(queue="fleet", **asking(2))
    assert [i.instance_type for i in driver.launching.values()] == ["c5.xlarge"]
    driver.exited(job)
    assert driver.gone() == [old]
    driver.booted()
    driver.started(next_job)
    policy = {"updatePolicy": {"terminateJobsOnUpdate": True}, "computeResources": {"instanceTypes": ["r5.large"]}}
    driver.do(c.UpdateComputeEnvironment("fleet", "", policy))
    assert [stop.attempt_id for stop in driver.stops] == [driver.attempt_of(next_job)]


def test_a_host_that_is_too_small_is_said_with_its_numbers() -> None:
    driver = Driver(vcpus=2, memory_mib=2048)
    driver.fleet("fleet", "c5.xlarge")
    reason = driver.machine.world.environments["fleet"].status_reason
    assert "This host offers 2 vCPUs and 2048 MiB" in reason
    assert "the smallest, c5.xlarge, takes 4 vCPUs" in reason
    driver.do(c.SetHost(driver.host.__class__(HOST, Resources(8000, 65536)), driver.machine.world.abilities))
    assert driver.machine.world.environments["fleet"].status_reason == "ComputeEnvironment Healthy"


def test_a_head_that_waits_for_long_is_called_blocked() -> None:
    driver = Driver(vcpus=1)
    first, second = driver.submit(), driver.submit()
    driver.tick(59_000)
    assert driver.job(second).status_reason == ""
    due = driver.machine.next_deadline()
    assert due is not None
    driver.tick(due - driver.now_ms)
    assert driver.job(second).status_reason == (
        "UNDETERMINED - Batch job is blocked, root cause is undetermined. It is next, and waits for room. "
        "1 vCPU asked, 0 free. Held of this host's 1 vCPU: 1 by 1 job that runs on it as it is."
    )
    assert [(fact.queue, fact.job_id) for fact in driver.facts] == [("default", second)]
    driver.tick(1000)
    assert len(driver.facts) == 1, "it is told once"
    driver.exited(first)
    assert driver.job(second).status_reason == ""


def test_a_head_that_is_set_aside_says_why() -> None:
    driver = Driver(vcpus=1)
    driver.submit()
    head = driver.submit()
    driver.tick(60_000)
    assert driver.job(head).status_reason.startswith("UNDETERMINED")
    driver.do(c.UpdateComputeEnvironment("local", "DISABLED"))
    assert driver.job(head).status_reason.startswith("ACTION_REQUIRED - ")


def test_a_child_that_blocks_its_queue_says_so_and_its_siblings_do_not() -> None:
    driver = Driver(vcpus=1)
    array = driver.submit(array_size=3)
    driver.tick(60_000)
    assert driver.job(f"{array}:1").status_reason.startswith("UNDETERMINED")
    assert driver.job(f"{array}:2").status_reason == ""
    driver.exited(f"{array}:0")
    assert driver.job(f"{array}:2").status_reason == ""


def test_an_array_whose_children_block_a_queue_one_after_another_is_told_of_once() -> None:
    driver = Driver(vcpus=1)
    array = driver.submit(array_size=3)
    after = driver.submit()
    driver.tick(60_000)
    driver.exited(f"{array}:0")
    driver.tick(60_000)
    assert driver.job(f"{array}:2").status_reason.startswith("UNDETERMINED"), "each that blocks says so"
    assert [fact.job_id for fact in driver.facts] == [f"{array}:1"]
    driver.exited(f"{array}:1")
    driver.tick(60_000)
    assert [fact.job_id for fact in driver.facts] == [f"{array}:1", after]


def test_a_head_that_waits_is_blocked_again_for_another_reason() -> None:
    driver = yard(vcpus=4)
    driver.fleet("fleet", "c5.large", most=2)
    holder = driver.submit(queue="fleet", **asking(2))
    driver.booted()
    waits = driver.submit(queue="fleet")
    driver.tick(60_000)
    assert driver.job(waits).status_reason.startswith("UNDETERMINED"), "maxvCpus is reached"
    driver.submit(**asking(2))
    driver.do(c.UpdateComputeEnvironment("fleet", document={"computeResources": {"maxvCpus": 16}}))
    assert driver.job(waits).status_reason.startswith("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY")
    assert [fact.reason.split(" - ")[0] for fact in driver.facts] == [
        "UNDETERMINED",
        "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
    ]
    driver.exited(holder)
    assert driver.job(waits).status_reason == ""


@pytest.mark.parametrize("reason", ["MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", "MISCONFIGURATION:OTHER"])
def test_a_queue_cancels_what_is_stuck_for_the_reason_that_it_names(reason: str) -> None:
    driver = Driver(vcpus=1)
    action = {"state": "RUNNABLE", "action": "CANCEL", "maxTimeSeconds": 600, "reason": reason}
    driver.queue("limited", document={"jobStateTimeLimitActions": [action]})
    stuck = driver.submit(queue="limited", **asking(8))
    driver.tick(599_000)
    assert driver.status(stuck) is Status.RUNNABLE
    driver.tick(1000)
    if reason.endswith("OTHER"):
        assert driver.status(stuck) is Status.RUNNABLE
    else:
        assert driver.status(stuck) is Status.FAILED
        assert driver.job(stuck).status_reason == f"Canceled by JobStateTimeLimit action due to reason: {reason}"


def test_a_queue_cancels_its_head_where_capacity_cannot_be_had() -> None:
    driver = yard(vcpus=2)
    action = {
        "state": "RUNNABLE",
        "action": "CANCEL",
        "maxTimeSeconds": 600,
        "reason": "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
    }
    driver.fleet("fleet", "c5.large")
    order = (EnvironmentOrder(1, "fleet"),)
    driver.do(c.CreateJobQueue("limited", "ENABLED", 1, order, {"jobStateTimeLimitActions": [action]}))
    driver.submit()
    head, behind = driver.submit(queue="limited"), driver.submit(queue="limited")
    driver.tick(600_000)
    assert driver.status(head) is Status.FAILED
    assert driver.status(behind) is Status.RUNNABLE, "its own time begins when it is the head"


def test_no_more_jobs_of_a_queue_run_than_its_tag_allows() -> None:
    driver = Driver(vcpus=4)
    driver.queue("one-at-a-time", tags={"batchyard:concurrency-limit": "1"})
    jobs = [driver.submit(queue="one-at-a-time") for _ in range(3)]
    assert driver.placed() == jobs[:1]
    assert driver.status(driver.submit()) is Status.STARTING, "other queues are not limited"
    driver.exited(jobs[0])
    assert driver.status(jobs[1]) is Status.STARTING
    assert driver.status(jobs[2]) is Status.RUNNABLE
    driver.do(c.TagResource("job-queue", "one-at-a-time", {"batchyard:concurrency-limit": "2"}))
    assert driver.status(jobs[2]) is Status.STARTING


@pytest.mark.parametrize("tags", [{"batchyard:concurrency-limit": "0"}, {"batchyard:strict-fifo": "yes"}])
def test_a_queue_s_tags_mean_something_or_are_refused(tags: dict[str, str]) -> None:
    driver = Driver()
    with pytest.raises(Refused, match="The tag batchyard:"):
        driver.queue("tagged", tags=tags)
    with pytest.raises(Refused, match="The tag batchyard:"):
        driver.do(c.TagResource("job-queue", "default", tags))


def test_reports_about_unknown_instances_are_answered() -> None:
    driver = yard()
    driver.fact(reports.InstanceReady("i-stray"))
    assert driver.terminated == ["i-stray"]
    driver.fact(reports.InstanceGone("i-stray"))
    assert ENGINE in driver.machine.world.abilities
