"""Children that were withdrawn alone, and SEQUENTIAL arrays that follow others: every child ends, at its turn."""

from __future__ import annotations

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.records import Dependency, Status
from tests.core.driver import Driver

SEQUENTIAL = Dependency(type="SEQUENTIAL")
LONG = 600  # more than Python's stack holds, were each child's end to call the next one's


@pytest.fixture
def yard() -> Driver:
    return Driver(vcpus=4)


def statuses(yard: Driver, job: str, size: int) -> list[Status]:
    return [yard.status(f"{job}:{index}") for index in range(size)]


def too_large(yard: Driver) -> None:
    yard.define(
        "huge",
        container={"resourceRequirements": [{"type": "VCPU", "value": "64"}, {"type": "MEMORY", "value": "64"}]},
    )


def test_a_child_withdrawn_alone_ends_with_a_sequential_array_that_never_ran(yard: Driver) -> None:
    too_large(yard)
    job = yard.submit("huge", array_size=5, depends_on=[SEQUENTIAL])
    yard.do(c.TerminateJob(f"{job}:3", "one"))
    assert yard.status(f"{job}:3") is Status.PENDING
    yard.do(c.TerminateJob(job, "all"))
    assert statuses(yard, job, 5) == [Status.FAILED] * 5
    assert yard.status(job) is Status.FAILED


@pytest.mark.parametrize("after_any", [False, True])
def test_any_number_of_children_withdrawn_alone_end_in_their_turn(yard: Driver, after_any: bool) -> None:
    tags = {"batchyard:after-any": "true"} if after_any else {}
    job = yard.submit(array_size=LONG, depends_on=[SEQUENTIAL], tags=tags)
    for index in range(1, LONG):
        yard.do(c.CancelJob(f"{job}:{index}", "one"))
    yard.exited(f"{job}:0", 1)
    assert set(statuses(yard, job, LONG)) == {Status.FAILED}
    assert yard.status(job) is Status.FAILED


def test_a_failed_counterpart_fails_what_follows_in_a_sequential_array(yard: Driver) -> None:
    source = yard.submit(array_size=4)
    job = yard.submit(array_size=4, depends_on=[Dependency(source, "N_TO_N"), SEQUENTIAL])
    yard.exited(f"{source}:2", 1)
    assert statuses(yard, job, 4) == [Status.PENDING, Status.PENDING, Status.FAILED, Status.FAILED]
    for index in (0, 1, 3):
        yard.exited(f"{source}:{index}")
    yard.exited(f"{job}:0")
    yard.exited(f"{job}:1")
    assert statuses(yard, job, 4) == [Status.SUCCEEDED, Status.SUCCEEDED, Status.FAILED, Status.FAILED]
    assert yard.status(job) is Status.FAILED


def test_a_failed_counterpart_does_not_fail_what_comes_before_it(yard: Driver) -> None:
    source = yard.submit(array_size=4)
    job = yard.submit(array_size=4, depends_on=[Dependency(source, "N_TO_N"), SEQUENTIAL])
    yard.do(c.CancelJob(f"{job}:2", "one"))
    yard.exited(f"{source}:2", 1)
    assert statuses(yard, job, 4) == [Status.PENDING, Status.PENDING, Status.FAILED, Status.FAILED]
    for index in (0, 1, 3):
        yard.exited(f"{source}:{index}")
    yard.exited(f"{job}:0")
    yard.exited(f"{job}:1")
    assert yard.status(f"{job}:1") is Status.SUCCEEDED
    assert yard.status(job) is Status.FAILED


def test_withdrawing_ends_children_behind_one_that_waits_for_its_counterpart(yard: Driver) -> None:
    source = yard.submit(array_size=3)
    job = yard.submit(array_size=3, depends_on=[Dependency(source, "N_TO_N"), SEQUENTIAL])
    yard.exited(f"{source}:1")
    yard.do(c.CancelJob(f"{job}:1", "one"))
    yard.do(c.CancelJob(job, "all"))
    yard.exited(f"{source}:0")
    yard.exited(f"{source}:2")
    assert statuses(yard, job, 3) == [Status.FAILED] * 3
    assert yard.status(job) is Status.FAILED


def test_no_child_of_a_sequence_starts_before_one_that_was_withdrawn_alone_has_ended(yard: Driver) -> None:
    source = yard.submit(array_size=2)
    job = yard.submit(array_size=2, depends_on=[Dependency(source, "N_TO_N"), SEQUENTIAL])
    yard.do(c.CancelJob(f"{job}:0", "one"))
    yard.exited(f"{source}:1")
    assert statuses(yard, job, 2) == [Status.PENDING, Status.PENDING]
    yard.exited(f"{source}:0")
    assert statuses(yard, job, 2) == [Status.FAILED, Status.FAILED]


def test_it_starts_then_where_any_end_will_do(yard: Driver) -> None:
    source = yard.submit(array_size=2)
    wanted = [Dependency(source, "N_TO_N"), SEQUENTIAL]
    job = yard.submit(array_size=2, depends_on=wanted, tags={"batchyard:after-any": "true"})
    yard.do(c.CancelJob(f"{job}:0", "one"))
    yard.exited(f"{source}:1")
    assert statuses(yard, job, 2) == [Status.PENDING, Status.PENDING]
    yard.exited(f"{source}:0")
    assert statuses(yard, job, 2) == [Status.FAILED, Status.STARTING]
