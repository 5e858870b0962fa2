"""A head gets the room of this host that instances of other queues' environments hold, while small jobs of lower queues
keep coming."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.records import Status
from batchyard.core.questions.explanation import AskExplain
from batchyard.core.scheduling.scheduler import STRICT_FIFO_TAG
from batchyard.core.scheduling.wait_reasons import Wait
from tests.core.driver import Driver

ROUND_MS = 10_000
MAX_ROUNDS = 8  # the jobs on two instances, 30 s without work, and a boot


def asking(vcpus: int) -> dict[str, Any]:
    return {"overrides": {"resourceRequirements": [{"type": "VCPU", "value": str(vcpus)}]}}


def full_host(priority: int) -> Driver:
    """Eight vCPUs, all held by four instances of `small`, each with a job; the other queues have that priority."""
    driver = Driver(vcpus=8, memory_mib=1 << 20)
    driver.fleet("small", "c5.large", most=8)
    driver.fleet("large", "c5.large", "c5.xlarge", most=8)
    driver.do(c.UpdateJobQueue("large", priority=priority))
    driver.queue("host", "local", priority=priority)
    driver.queue("strict", "large", priority=priority, tags={STRICT_FIFO_TAG: "true"})
    driver.define_nodes(count=2, vcpus="2")
    for _ in range(4):
        driver.submit(queue="small", **asking(2))
    driver.booted()
    assert len(driver.placed()) == 4
    return driver


def rounds_until_start(driver: Driver, head: str) -> int:
    """In each round one small job ends and another comes."""
    for _ in range(4):
        driver.submit(queue="small", **asking(2))
    for number in range(MAX_ROUNDS):
        if small := [job_id for job_id in driver.placed() if not job_id.startswith(head)]:
            driver.exited(small[0])
            driver.submit(queue="small", **asking(2))
        driver.tick(ROUND_MS)
        driver.gone()
        driver.booted(*driver.launching)
        if driver.status(head) is not Status.RUNNABLE:
            return number
    return MAX_ROUNDS


@pytest.mark.parametrize("queue", ["large", "host", "strict"])
@pytest.mark.parametrize("definition", ["work", "gang"])
def test_a_head_gets_the_room_that_instances_of_a_lower_queue_hold(queue: str, definition: str) -> None:
    driver = full_host(priority=9)
    head = driver.submit(definition, queue=queue, **(asking(4) if definition == "work" else {}))
    assert rounds_until_start(driver, head) < MAX_ROUNDS
    assert len([j for j in driver.placed() if not j.startswith(head)]) == 2, "the others go on where it needs nothing"


def test_a_multi_node_job_of_the_lower_queue_does_not_count_on_instances_that_are_to_end() -> None:
    driver = full_host(priority=9)
    driver.define_nodes("three", count=3, vcpus="2")
    head = driver.submit(queue="large", **asking(4))
    driver.tick(ROUND_MS)
    gang = driver.submit("three", queue="small")
    for job_id in driver.placed():
        driver.exited(job_id)
    for _ in range(MAX_ROUNDS):
        driver.tick(ROUND_MS)
        driver.gone()
        driver.booted(*driver.launching)
    assert driver.status(head) is Status.STARTING
    assert driver.status(gang) is Status.RUNNABLE


def test_a_job_of_the_lower_queue_is_shown_whose_room_it_would_take() -> None:
    driver = full_host(priority=9)
    head = driver.submit(queue="large", **asking(4))
    driver.tick(ROUND_MS)
    for job_id in driver.placed():
        driver.exited(job_id)
    small = driver.submit(queue="small", **asking(2))
    others = [driver.submit(queue="small", **asking(2)) for _ in range(2)]
    driver.tick(1)
    assert driver.status(small) is driver.status(others[0]) is Status.STARTING, "the instances that stay are used"
    answer = driver.do(AskExplain(others[1]))
    assert answer is not None
    assert answer.wait is Wait.BEHIND
    assert f"{head} waits for room in the queue large, which has a higher priority" in answer.text


def test_nothing_is_reserved_of_the_instances_of_a_queue_of_the_same_priority() -> None:
    driver = full_host(priority=1)
    head = driver.submit(queue="large", **asking(4))
    assert rounds_until_start(driver, head) == MAX_ROUNDS
    assert len(driver.placed()) == 4
