"""Arrays, SEQUENTIAL and N_TO_N, and what runs after any end, by example."""

from __future__ import annotations

import pytest

from batchyard.core.model.records import Dependency, Status
from batchyard.core.model.refusal import Refused
from tests.core.driver import Driver

S = Status


def after(*ids: str) -> list[Dependency]:
    return [Dependency(i) for i in ids]


def test_a_failed_child_fails_the_parent_after_the_others_ended() -> None:
    yard = Driver()
    array = yard.submit(array_size=3)
    yard.exited(f"{array}:0", 1)
    assert yard.status(array) is S.PENDING
    yard.exited(f"{array}:1")
    yard.exited(f"{array}:2")
    assert (yard.status(array), yard.job(array).status_reason) == (S.FAILED, "Array Child Job failed")


def test_submitting_a_large_array_is_one_row() -> None:
    yard = Driver(vcpus=1)
    blocker = yard.submit()
    before = len(yard.kept.jobs)
    array = yard.submit(array_size=10_000)
    assert len(yard.kept.jobs) == before + 1
    assert yard.status(f"{array}:9999") is S.RUNNABLE
    yard.exited(blocker)
    assert yard.placed() == [f"{array}:0"]
    with pytest.raises(Refused, match="10000"):
        yard.submit(array_size=10_001)


def test_a_sequential_array_runs_one_after_the_other_and_stops_at_a_failure() -> None:
    yard = Driver()
    array = yard.submit(array_size=4, depends_on=[Dependency(type="SEQUENTIAL")])
    assert yard.placed() == [f"{array}:0"]
    assert yard.status(f"{array}:1") is S.PENDING
    yard.exited(f"{array}:0")
    assert yard.placed() == [f"{array}:1"]
    yard.exited(f"{array}:1", 7)
    assert yard.status(array) is S.FAILED
    assert [yard.job(f"{array}:{i}").status_reason for i in (2, 3)] == ["Dependent Job failed"] * 2


def test_a_retried_child_of_a_sequential_array_keeps_the_others_waiting() -> None:
    yard = Driver()
    array = yard.submit(array_size=2, depends_on=[Dependency(type="SEQUENTIAL")], retry_strategy={"attempts": 2})
    yard.exited(f"{array}:0", 1)
    assert yard.placed() == [f"{array}:0"]
    yard.exited(f"{array}:0")
    yard.exited(f"{array}:1")
    assert yard.status(array) is S.SUCCEEDED


def pairs(*ids: str) -> list[Dependency]:
    return [Dependency(i, "N_TO_N") for i in ids]


def test_n_to_n_pairs_children_by_index() -> None:
    yard = Driver(vcpus=8)
    first = yard.submit(array_size=3)
    second = yard.submit(array_size=3, depends_on=pairs(first))
    assert yard.status(f"{second}:1") is S.PENDING
    yard.exited(f"{first}:1")
    assert [yard.status(f"{second}:{i}") for i in range(3)] == [S.PENDING, S.STARTING, S.PENDING]
    yard.exited(f"{first}:0", 1)
    assert yard.status(f"{second}:0") is S.FAILED
    assert yard.job(f"{second}:0").status_reason == "Dependent Job failed"
    yard.crash()
    yard.exited(f"{first}:2")
    yard.exited(f"{second}:1")
    yard.exited(f"{second}:2")
    assert (yard.status(first), yard.status(second)) == (S.FAILED, S.FAILED)


def test_n_to_n_on_two_arrays_waits_for_both_counterparts() -> None:
    yard = Driver(vcpus=8)
    a, b = yard.submit(array_size=2), yard.submit(array_size=2)
    both = yard.submit(array_size=2, depends_on=pairs(a, b))
    yard.exited(f"{a}:0")
    yard.exited(f"{a}:1")
    assert yard.status(f"{both}:0") is S.PENDING
    yard.exited(f"{b}:0")
    assert [yard.status(f"{both}:{i}") for i in range(2)] == [S.STARTING, S.PENDING]


def test_n_to_n_on_an_array_that_ended_before() -> None:
    yard = Driver(vcpus=8)
    first = yard.submit(array_size=3)
    for index in range(3):
        yard.exited(f"{first}:{index}", int(index == 1))
    for forget in (False, True):
        if forget:
            yard.tick(3_600_000)
        second = yard.submit(array_size=3, depends_on=pairs(first))
        assert [yard.status(f"{second}:{i}") for i in range(3)] == [S.STARTING, S.FAILED, S.STARTING]


@pytest.mark.parametrize("size", [0, 4])
def test_n_to_n_needs_an_array_of_the_same_size(size: int) -> None:
    yard = Driver()
    other = yard.submit(array_size=size)
    with pytest.raises(Refused, match="same size, 3"):
        yard.submit(array_size=3, depends_on=pairs(other))
    with pytest.raises(Refused, match="needs an array job"):
        yard.submit(depends_on=pairs(other))


def test_n_to_n_names_an_array_not_one_of_its_children() -> None:
    yard = Driver()
    other = yard.submit(array_size=3)
    with pytest.raises(Refused, match=f"{other}:1 is a child"):
        yard.submit(array_size=3, depends_on=pairs(f"{other}:1"))


def test_after_any_runs_when_its_dependencies_have_ended() -> None:
    yard = Driver()
    bad = yard.submit()
    tags = {"batchyard:after-any": "true"}
    cleanup = yard.submit(depends_on=after(bad), tags=tags)
    yard.exited(bad, 1)
    assert yard.status(cleanup) is S.STARTING
    assert yard.status(yard.submit(depends_on=after(bad), tags=tags)) is S.STARTING
    chain = yard.submit(array_size=2, depends_on=[Dependency(type="SEQUENTIAL")], tags=tags)
    yard.exited(f"{chain}:0", 1)
    assert yard.status(f"{chain}:1") is S.STARTING
