"""Jobs start when all that they ask of consumable resources is free (AWS Batch behaviour 5.4)."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.core.model import commands
from batchyard.core.model import consumable_commands as c
from batchyard.core.model.consumable_records import ConsumableType
from batchyard.core.model.records import Status
from batchyard.core.questions.explanation import AskExplain
from tests.core.driver import Driver


def wants(**quantities: int) -> dict[str, Any]:
    entries = [{"consumableResource": name, "quantity": quantity} for name, quantity in quantities.items()]
    return {"consumables": {"consumableResourceList": entries}}


def yard_with(vcpus: int = 16, kind: str = "REPLENISHABLE", **totals: int) -> Driver:
    yard = Driver(vcpus=vcpus)
    for name, total in totals.items():
        yard.do(c.CreateConsumableResource(name, ConsumableType(kind), total, {}))
    return yard


def states(yard: Driver, *jobs: str) -> list[str]:
    return [yard.status(job).value for job in jobs]


def in_use(yard: Driver, name: str) -> int:
    return yard.do(c.AskConsumableResource(name)).in_use


def test_a_job_waits_for_what_it_asks_and_says_who_holds_it() -> None:
    yard = yard_with(licence=3)
    first, second = yard.submit(**wants(licence=2)), yard.submit(**wants(licence=2))
    assert states(yard, first, second) == ["STARTING", "RUNNABLE"]
    answer = yard.do(AskExplain(second))
    assert answer is not None
    assert answer.wait == "CONSUMABLE_RESOURCE"
    assert answer.text == (
        f"It waits for 2 of the consumable resource licence: 1 of 3 are free. It is held by {first} (2)."
    )
    assert "UpdateConsumableResource" in answer.remedy
    yard.exited(first)
    assert (states(yard, second), in_use(yard, "licence")) == (["STARTING"], 2)


def test_what_is_free_is_not_given_to_those_behind_who_want_the_same() -> None:
    yard = yard_with(licence=3, other=1)
    holder = yard.submit(**wants(licence=2))
    large, small, plain, another = (
        yard.submit(**wants(licence=3)),
        yard.submit(**wants(licence=1)),
        yard.submit(),
        yard.submit(**wants(other=1)),
    )
    assert states(yard, large, small, plain, another) == ["RUNNABLE", "RUNNABLE", "STARTING", "STARTING"]
    yard.exited(holder)
    assert states(yard, large, small) == ["STARTING", "RUNNABLE"]


def test_who_asks_for_more_than_there_will_be_holds_up_nobody() -> None:
    yard = yard_with(licence=2)
    yard.do(c.CreateConsumableResource("credit", ConsumableType.NON_REPLENISHABLE, 2, {}))
    too_many, spent, nothing = (
        yard.submit(**wants(licence=3)),
        yard.submit(**wants(credit=3)),
        yard.submit(**wants(x=1)),
    )
    others = [yard.submit(**wants(licence=1)), yard.submit(**wants(credit=1))]
    assert states(yard, too_many, spent, nothing) == ["RUNNABLE"] * 3
    assert states(yard, *others) == ["STARTING"] * 2
    yard.do(c.UpdateConsumableResource("licence", "SET", 3))
    later = yard.submit(**wants(licence=1))
    assert states(yard, too_many, later) == ["RUNNABLE", "RUNNABLE"], "it may get them now, and is first"
    yard.exited(others[0])
    assert states(yard, too_many, later) == ["STARTING", "RUNNABLE"]


def test_a_queue_of_lower_priority_takes_nothing_that_a_higher_one_waits_for() -> None:
    yard = yard_with(licence=3)
    yard.queue("high", priority=9)
    yard.queue("low", priority=0)
    holder = yard.submit(queue="high", **wants(licence=2))
    large = yard.submit(queue="high", **wants(licence=3))
    below, beside = yard.submit(queue="low", **wants(licence=1)), yard.submit(queue="low")
    assert states(yard, holder, large, below, beside) == ["STARTING", "RUNNABLE", "RUNNABLE", "STARTING"]


def test_each_child_of_an_array_takes_its_own() -> None:
    yard = yard_with(licence=2)
    array = yard.submit(array_size=5, **wants(licence=1))
    children = [f"{array}:{index}" for index in range(5)]
    assert states(yard, *children) == ["STARTING", "STARTING", "RUNNABLE", "RUNNABLE", "RUNNABLE"]
    yard.exited(children[0])
    assert yard.status(children[2]) is Status.STARTING


def test_it_is_given_back_on_every_kind_of_end_and_after_a_crash() -> None:
    yard = yard_with(licence=1)
    jobs = [yard.submit(**wants(licence=1)) for _ in range(5)]
    retried = yard.submit(**wants(licence=1), retry_strategy={"attempts": 2})
    for job, end in zip(
        jobs,
        (
            lambda job: yard.exited(job),
            lambda job: yard.exited(job, 1),
            lambda job: (yard.do(commands.TerminateJob(job, "enough")), yard.exited(job, 143)),
            lambda job: yard.lost(job),
            lambda job: yard.not_started(job),
        ),
        strict=True,
    ):
        assert yard.placed() == [job]
        yard.crash()
        assert in_use(yard, "licence") == 1, "a restart counts what placed attempts hold"
        end(job)
        assert yard.status(job).is_final
    assert yard.placed() == [retried]
    yard.exited(retried, 1)
    yard.exited(retried)
    assert (yard.status(retried), in_use(yard, "licence")) == (Status.SUCCEEDED, 0)


def test_what_does_not_come_back_is_gone_with_each_attempt() -> None:
    yard = yard_with(kind="NON_REPLENISHABLE", credit=3)
    jobs = [yard.submit(**wants(credit=2)) for _ in range(2)]
    yard.exited(jobs[0])
    yard.crash()
    assert (states(yard, *jobs), in_use(yard, "credit")) == (["SUCCEEDED", "RUNNABLE"], 2)
    answer = yard.do(AskExplain(jobs[1]))
    assert answer is not None
    assert (
        answer.text
        == "It waits for 2 of the consumable resource credit: 1 of 3 are free, 2 were consumed, and no job holds any."
    )
    yard.do(c.UpdateConsumableResource("credit", "ADD", 1))
    assert states(yard, jobs[1]) == ["STARTING"]


def test_a_name_that_does_not_exist_is_waited_for() -> None:
    yard = yard_with()
    job = yard.submit(**wants(licence=1))
    answer = yard.do(AskExplain(job))
    assert answer is not None
    assert answer.text == "There is no consumable resource licence, of which it asks 1."
    yard.do(c.CreateConsumableResource("licence", ConsumableType.REPLENISHABLE, 1, {}))
    assert states(yard, job) == ["STARTING"]
    yard.do(c.DeleteConsumableResource("licence"))
    other = yard.submit(**wants(licence=1))
    assert states(yard, job, other) == ["STARTING", "RUNNABLE"]
    yard.do(c.CreateConsumableResource("licence", ConsumableType.REPLENISHABLE, 2, {}))
    assert states(yard, other) == ["STARTING"], "the one that was made again is held by the first"


def test_no_instance_is_launched_for_a_job_that_lacks_a_licence() -> None:
    yard = yard_with(vcpus=64, licence=2)
    yard.fleet("fleet", most=64)
    yard.define("small")
    jobs = [yard.submit("small", queue="fleet", **wants(licence=1)) for _ in range(8)]
    vcpus = sum(one.resources.milli_vcpus for one in yard.instances("fleet"))
    yard.booted()
    started = [job for job in jobs if yard.status(job) is Status.STARTING]
    assert (len(started), in_use(yard, "licence")) == (2, 2)
    assert vcpus == 2000, "two vCPUs for the two that can start"


def test_two_shapes_that_want_the_same_launch_what_can_start() -> None:
    yard = yard_with(vcpus=64, licence=2)
    yard.fleet("fleet", most=64)
    yard.define("small")
    yard.define("other", timeout={"attemptDurationSeconds": 600})
    for name in ("small", "other"):
        for _ in range(4):
            yard.submit(name, queue="fleet", **wants(licence=1))
    assert sum(one.resources.milli_vcpus for one in yard.instances("fleet")) == 2000


def test_an_override_replaces_the_whole_list_and_an_empty_one_asks_for_nothing() -> None:
    yard = yard_with(licence=1, other=1)
    properties = {"consumableResourceList": [{"consumableResource": "licence", "quantity": 1}]}
    yard.define("taking", consumableResourceProperties=properties)
    yard.submit("taking")
    waiting, other, nothing = (
        yard.submit("taking"),
        yard.submit("taking", **wants(other=1)),
        yard.submit("taking", **wants()),
    )
    assert states(yard, waiting, other, nothing) == ["RUNNABLE", "STARTING", "STARTING"]


AMOUNTS = st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 3), max_size=2)
STEPS = st.one_of(
    st.tuples(st.just("submit"), AMOUNTS),
    st.tuples(st.sampled_from(["end", "fail", "set", "crash"]), st.integers(0, 4)),
)


@settings(max_examples=60)
@given(st.lists(STEPS, max_size=30))
def test_nothing_starts_above_the_total_and_all_that_can_get_theirs_do(steps: list[tuple[str, Any]]) -> None:
    """The driver checks what is held against the placed attempts after each step. Of `b` nothing comes back."""
    yard = yard_with(a=3)
    yard.do(c.CreateConsumableResource("b", ConsumableType.NON_REPLENISHABLE, 6, {}))
    ids: list[str] = []
    before = {"a": 0, "b": 0}
    for kind, given_value in steps:
        placed = yard.placed()
        if kind == "submit":
            ids.append(yard.submit(**wants(**given_value)))
        elif kind == "crash":
            yard.crash()
        elif kind == "set":
            yard.do(c.UpdateConsumableResource("a", "SET", given_value))
        elif placed:
            yard.exited(placed[given_value % len(placed)], int(kind == "fail"))
        for name, used in before.items():
            found = yard.do(c.AskConsumableResource(name))
            assert found.in_use <= max(found.resource.total, used), f"{kind}: more of {name} was taken than there is"
            before[name] = found.in_use
    yard.do(c.UpdateConsumableResource("a", "SET", 3))
    yard.do(c.UpdateConsumableResource("b", "ADD", 100))
    for _ in ids:
        for job in yard.placed():
            yard.exited(job)
    assert all(yard.status(job).is_final for job in ids)
