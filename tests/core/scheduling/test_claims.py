"""Jobs pass the head of their queue, or of one of higher priority, only where it loses nothing by it (decision 26)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.records import EnvironmentOrder, Status
from batchyard.core.questions.explanation import AskExplain
from tests.core.driver import ENGINE, Driver


def sized(vcpus: int, **members: Any) -> dict[str, Any]:
    return {"overrides": {"resourceRequirements": [{"type": "VCPU", "value": str(vcpus)}]}, **members}


def with_queues(vcpus: int = 4, **members: Any) -> Driver:
    driver = Driver(vcpus=vcpus, **members)
    driver.queue("low", priority=1)
    driver.queue("same", priority=9)
    driver.queue("high", priority=9)
    return driver


@pytest.mark.parametrize("seed", range(20))
def test_a_stream_of_small_jobs_cannot_starve_a_large_one_of_a_higher_queue(seed: int) -> None:
    """Whatever the stream: the large job starts as soon as what ran when it came has ended."""
    draw = random.Random(seed)
    driver = with_queues()
    before = [driver.submit(queue="low") for _ in range(draw.randrange(6, 12))]
    large = driver.submit(queue="high", **sized(draw.choice([3, 4])))
    first = driver.placed()
    while driver.status(large) is Status.RUNNABLE:
        assert driver.placed(), "nothing runs, and the large job does not start"
        driver.exited(draw.choice(driver.placed()))
        before.append(driver.submit(queue="low"))
        assert {*driver.placed()} - {large} <= {*first}, "a small job passed the large one"
    assert driver.status(large) is Status.STARTING
    driver.exited(large)
    assert len(driver.placed()) == 4, "then the others have their turn"


def test_a_job_whose_timeout_ends_it_in_time_passes() -> None:
    driver = with_queues()
    driver.queue("beside", priority=1)
    driver.define(timeout={"attemptDurationSeconds": 600})
    driver.started(driver.submit(queue="low", **sized(3)))
    driver.submit(queue="high", **sized(4))
    long = driver.submit(queue="low", timeout={"attemptDurationSeconds": 600})
    short = driver.submit(queue="beside", timeout={"attemptDurationSeconds": 60})
    assert (driver.status(long), driver.status(short)) == (Status.RUNNABLE, Status.STARTING)


def test_queues_of_one_priority_reserve_nothing_of_each_other() -> None:
    driver = with_queues()
    driver.submit(queue="low", **sized(3))
    head = driver.submit(queue="high", **sized(4))
    other = driver.submit(queue="same")
    assert (driver.status(head), driver.status(other)) == (Status.RUNNABLE, Status.STARTING)


def test_a_head_that_waits_for_a_gpu_lets_others_have_the_vcpus_that_it_does_not_need() -> None:
    driver = with_queues(gpus=1)
    gpu = {"overrides": {"resourceRequirements": [{"type": "GPU", "value": "1"}]}}
    driver.submit(queue="high", **gpu)
    head = driver.submit(queue="high", **gpu)
    small = [driver.submit(queue="low") for _ in range(3)]
    assert driver.status(head) is Status.RUNNABLE
    assert [driver.status(job) for job in small] == [Status.STARTING, Status.STARTING, Status.RUNNABLE]


def test_nobody_passes_the_head_of_a_strict_queue() -> None:
    driver = with_queues(gpus=1)
    driver.do(c.TagResource("job-queue", "high", {"batchyard:strict-fifo": "true"}))
    gpu = {"overrides": {"resourceRequirements": [{"type": "GPU", "value": "1"}]}}
    driver.submit(queue="high", **gpu)
    driver.submit(queue="high", **gpu)
    assert driver.status(driver.submit(queue="low")) is Status.RUNNABLE


def test_other_environments_of_this_host_count_too() -> None:
    """The ledger is one: what the head waits for is not given away under another environment's name."""
    driver = with_queues()
    driver.do(c.CreateComputeEnvironment("other", "u2", "UNMANAGED", "ENABLED", ENGINE, {}))
    driver.queue("elsewhere", "other", priority=1)
    driver.submit(queue="low", **sized(3))
    driver.submit(queue="high", **sized(4))
    assert driver.status(driver.submit(queue="elsewhere")) is Status.RUNNABLE


def test_no_instance_is_launched_for_those_behind_and_none_of_theirs_kept_busy() -> None:
    """The large job needs another instance: the small ones of the lower queue are kept off one that is saved for it."""
    driver = Driver(vcpus=16, memory_mib=1 << 20)
    driver.fleet("fleet", "c5.large", "c5.2xlarge", most=8)
    driver.do(c.UpdateJobQueue("fleet", priority=9))
    driver.queue("low", "fleet", priority=1)
    small = [driver.submit(queue="low")]
    driver.booted()
    while len(driver.instances("fleet")) < 4:
        small += [driver.submit(queue="low"), driver.submit(queue="low")]
        driver.booted()
    large = driver.submit(queue="fleet", **sized(8))
    for _ in range(30):
        for job in [j for j in driver.placed() if j != large]:
            driver.exited(job)
            driver.submit(queue="low")
        driver.tick(10_000)
        driver.gone()
        driver.booted()
        if driver.status(large) is Status.STARTING:
            return
    pytest.fail("the large job waits for as long as small ones come")


def test_a_launch_for_others_leaves_what_the_head_needs_of_this_host() -> None:
    driver = Driver(vcpus=8, memory_mib=1 << 20)
    driver.queue("high", priority=9)
    driver.fleet("fleet", "c5.large", most=8)
    driver.submit(queue="high", **sized(6))
    head = driver.submit(queue="high", **sized(4))
    driver.submit(queue="fleet")
    assert not driver.launching, "the last two vCPUs are kept for the head"
    answer = driver.do(AskExplain(head))
    assert "4 vCPUs asked" in answer.text
    driver.exited(driver.placed()[0])
    assert driver.status(head) is Status.STARTING
    assert len(driver.launching) == 1


def test_the_jobs_behind_say_whom_they_may_not_pass() -> None:
    driver = with_queues()
    driver.submit(queue="low", **sized(3))
    head = driver.submit(queue="high", **sized(4))
    small = driver.submit(queue="low")
    answer = driver.do(AskExplain(small))
    assert answer.wait == "BEHIND"
    assert f"{head} waits for room in the queue high" in answer.text
    driver.tick(61_000)
    assert f"{head} waits for room in the queue high" in driver.job(small).status_reason


def test_fargate_jobs_do_not_take_what_another_waits_for_of_maxvcpus() -> None:
    driver = Driver(vcpus=16, memory_mib=1 << 16)
    driver.fleet("serverless", kind="FARGATE", most=4)
    driver.do(c.UpdateJobQueue("serverless", priority=9))
    driver.do(c.CreateJobQueue("behind", "ENABLED", 1, (EnvironmentOrder(1, "serverless"),)))
    memory = [{"type": "MEMORY", "value": "8192"}, {"type": "VCPU", "value": "1"}]
    driver.define("little", platformCapabilities=["FARGATE"], container={"resourceRequirements": memory})
    driver.submit("little", queue="serverless", **sized(2))
    driver.submit("little", queue="serverless", **sized(4))
    assert driver.status(driver.submit("little", queue="behind")) is Status.RUNNABLE
    assert driver.status(driver.submit()) is Status.STARTING, "this host has room for others"


def test_a_short_job_slips_in_before_a_large_one() -> None:
    driver = Driver(vcpus=4)
    driver.define(timeout={"attemptDurationSeconds": 600})
    long = driver.submit(**sized(3))
    driver.started(long)
    head = driver.submit(**sized(4, timeout={"attemptDurationSeconds": 60}))
    too_long = driver.submit(**sized(1, timeout={"attemptDurationSeconds": 600}))
    short = driver.submit(**sized(1, timeout={"attemptDurationSeconds": 60}))
    assert driver.status(head) is Status.RUNNABLE
    assert driver.status(too_long) is Status.RUNNABLE
    assert driver.status(short) is Status.STARTING
    driver.started(short)
    driver.exited(short)
    driver.exited(long)
    assert driver.status(head) is Status.STARTING


def test_nobody_passes_in_a_strict_queue_while_it_is_strict() -> None:
    driver = Driver(vcpus=4)
    driver.queue("strict", tags={"batchyard:strict-fifo": "true"})
    driver.define(timeout={"attemptDurationSeconds": 600})
    driver.started(driver.submit(queue="strict", **sized(3)))
    driver.submit(queue="strict", **sized(4))
    short = driver.submit(queue="strict", **sized(1, timeout={"attemptDurationSeconds": 60}))
    assert driver.status(short) is Status.RUNNABLE
    driver.do(c.UntagResource("job-queue", "strict", ("batchyard:strict-fifo",)))
    assert driver.status(short) is Status.STARTING
