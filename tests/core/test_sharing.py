"""Fair-share queues in the machine: whose job starts, over restarts and changes of policy."""

from __future__ import annotations

import random
from typing import Any

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.records import Dependency, EnvironmentOrder, Instance, ShareUsage, Status
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import Resources
from batchyard.core.state.document_kinds import SHARE_USAGE
from batchyard.core.state.fairshare import FORGOTTEN_AFTER_WINDOWS, MAX_ACTIVE_SHARES
from tests.core.driver import ACCOUNT, HOST, Driver
from tests.core.naive_shares import NaiveShares

WINDOW_MS = 600_000
SIZES = {"work": 1, "double": 2}


class Yard(Driver):
    """With the queue `fair`, which has the policy `p`."""

    def __init__(self, vcpus: int = 4, policy: dict[str, Any] | None = None, unmanaged_vcpus: int = 0) -> None:
        super().__init__(vcpus=vcpus)
        if unmanaged_vcpus:
            self.do(c.UpdateComputeEnvironment("local", document={"unmanagedvCpus": unmanaged_vcpus}))
        self.do(c.CreateSchedulingPolicy("p", {"fairsharePolicy": policy or {}}))
        self.do(c.CreateJobQueue("fair", "ENABLED", 1, (EnvironmentOrder(1, "local"),), self.with_policy("p")))
        self.define("double", container={"resourceRequirements": [
            {"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "64"}]})  # fmt: skip

    @staticmethod
    def with_policy(name: str) -> dict[str, str]:
        return {"schedulingPolicyArn": ACCOUNT.policy_arn(name)}

    def share(self, identifier: str, definition: str = "work", priority: int = 0, **members: Any) -> str:
        return self.submit(
            definition, queue="fair", share_identifier=identifier, scheduling_priority=priority, **members
        )

    def fill(self) -> str:
        """A job of another queue that leaves no room; ended, everything is free at once."""
        self.do(c.CreateJobQueue("urgent", "ENABLED", 10, (EnvironmentOrder(1, "local"),)))
        vcpus = self.host.resources.milli_vcpus // 1000
        resources = [{"type": "VCPU", "value": str(vcpus)}, {"type": "MEMORY", "value": "4096"}]
        self.define("everything", container={"resourceRequirements": resources})
        return self.submit("everything", queue="urgent")

    def running_shares(self) -> list[str]:
        specs = self.kept.specs.values()
        shares = {spec.job_id: spec.share_identifier for spec in specs}
        return sorted(shares[job_id.partition(":")[0]] for job_id in self.placed())

    def kept_usage(self) -> ShareUsage:
        found = self.kept.documents.get((SHARE_USAGE, "fair"), ShareUsage())
        assert isinstance(found, ShareUsage)
        return found

    def run(self, job_id: str, milliseconds: int) -> None:
        self.started(job_id)
        self.now_ms += milliseconds
        self.exited(job_id)


def test_who_comes_late_does_not_wait_for_a_whole_array() -> None:
    yard = Yard(vcpus=1)
    anna = yard.share("anna", array_size=10)
    bob = yard.share("bob")
    yard.run(f"{anna}:0", 1000)
    assert yard.placed() == [bob]
    yard.run(bob, 2000)
    yard.run(f"{anna}:1", 500)
    assert yard.placed() == [f"{anna}:2"], "bob has nothing more"


def test_what_one_pass_places_counts_at_once() -> None:
    yard = Yard(vcpus=4)
    blocker = yard.fill()
    for name in ("a", "b", "c"):
        yard.share(name, array_size=4)
    assert yard.running_shares() == [""]
    yard.exited(blocker)
    assert yard.running_shares() == ["a", "a", "b", "c"], "the fourth goes to the oldest"


def test_weights_divide_one_pass() -> None:
    yard = Yard(vcpus=9, policy={"shareDistribution": [{"shareIdentifier": "light", "weightFactor": 0.125}]})
    blocker = yard.fill()
    yard.share("heavy", array_size=20)
    yard.share("light", array_size=20)
    yard.exited(blocker)
    assert yard.running_shares() == ["heavy", *["light"] * 8]


def test_large_jobs_count_for_what_they_hold() -> None:
    yard = Yard(vcpus=6)
    blocker = yard.fill()
    yard.share("large", "double", array_size=4)
    yard.share("small", array_size=8)
    yard.exited(blocker)
    assert yard.running_shares() == ["large", "large", "small", "small"]


def test_inside_a_share_the_highest_priority_then_retried_then_the_oldest() -> None:
    yard = Yard(vcpus=1)
    first = yard.share("a", retry_strategy={"attempts": 2})
    low = yard.share("a")
    high, high_later = yard.share("a", priority=7), yard.share("a", priority=7)
    yard.exited(first, 1)
    order = []
    while placed := yard.placed():
        order += placed
        yard.exited(placed[0])
    assert order == [high, high_later, first, low]


def test_priority_says_nothing_about_other_shares() -> None:
    yard = Yard(vcpus=1)
    a = yard.share("a", array_size=3, priority=9999)
    b = yard.share("b", priority=0)
    yard.run(f"{a}:0", 1000)
    assert yard.placed() == [b]


def test_jobs_of_another_shape_in_the_same_share_go_on_where_the_first_finds_no_room() -> None:
    yard = Yard(vcpus=3)
    yard.do(c.SetHost(Instance(HOST, Resources(3000, 4096, 0)), yard.machine.world.abilities))
    a, b = yard.share("a", "double", array_size=2), yard.share("b", "double", array_size=2)
    assert yard.placed() == [f"{a}:0"]
    yard.share("a")
    assert yard.placed() == [f"{a}:0"], "onto what the head waits for nobody passes"
    yard.exited(f"{a}:0")
    assert f"{b}:0" in yard.placed()


def test_sequential_arrays_and_dependencies_keep_their_order() -> None:
    yard = Yard(vcpus=2)
    chain = yard.share("a", array_size=3, depends_on=[Dependency(type="SEQUENTIAL")])
    after = yard.share("b", depends_on=[Dependency(chain)])
    for index in range(3):
        assert yard.placed() == [f"{chain}:{index}"]
        yard.exited(f"{chain}:{index}")
    assert yard.placed() == [after]


# -- what is kept --


def test_a_restart_changes_nothing_about_whose_turn_it_is() -> None:
    yard = Yard(vcpus=1)
    a, b = yard.share("a", array_size=5), yard.share("b", array_size=5)
    yard.run(f"{a}:0", 5000)
    yard.run(f"{b}:0", 9000)
    assert yard.placed() == [f"{a}:1"]
    yard.crash()
    yard.now_ms += 3000
    yard.exited(f"{a}:1")
    assert yard.placed() == [f"{a}:2"], "5 and 3 seconds are less than 9"
    yard.crash()
    yard.run(f"{a}:2", 3000)
    assert yard.placed() == [f"{b}:1"]


def test_usage_is_written_with_the_batch_that_changes_it() -> None:
    yard = Yard(vcpus=1)
    job = yard.share("a")
    yard.run(job, 10_000)
    (share,) = yard.kept_usage().shares.values()
    assert share.usage == pytest.approx(1000 * 10_000, rel=0.01)
    assert share.left_at_ms == yard.now_ms
    yard.now_ms += FORGOTTEN_AFTER_WINDOWS * WINDOW_MS
    other = yard.share("b")
    yard.exited(other)
    assert list(yard.kept_usage().shares) == ["b"], "a is forgotten"


def test_a_queue_that_goes_takes_its_usage_along() -> None:
    yard = Yard()
    yard.run(yard.share("a"), 1000)
    assert yard.kept_usage().shares
    yard.do(c.UpdateJobQueue("fair", "DISABLED"))
    yard.do(c.DeleteJobQueue("fair"))
    assert (SHARE_USAGE, "fair") not in yard.kept.documents
    yard.crash()
    yard.do(c.CreateJobQueue("fair", "ENABLED", 1, (EnvironmentOrder(1, "local"),)))
    yard.run(yard.submit(queue="fair"), 1000)
    assert not yard.kept_usage().shares


def test_a_queue_takes_no_more_than_so_many_active_shares() -> None:
    yard = Yard(vcpus=1)
    for number in range(MAX_ACTIVE_SHARES):
        yard.share(f"s{number}")
    with pytest.raises(Refused, match="500 active share identifiers"):
        yard.share("one-more")
    yard.share("s7")
    yard.exited(yard.placed()[0])
    with pytest.raises(Refused, match="500 active"):
        yard.share("one-more")
    yard.now_ms += WINDOW_MS
    yard.share("one-more")


# -- changes of policy --


def test_a_changed_policy_orders_the_jobs_that_wait() -> None:
    yard = Yard(vcpus=1)
    a, b = yard.share("a", array_size=9), yard.share("b", array_size=9)
    yard.run(f"{a}:0", 4000)
    yard.run(f"{b}:0", 5000)
    yard.do(
        c.UpdateSchedulingPolicy(
            "p", {"fairsharePolicy": {"shareDistribution": [{"shareIdentifier": "b", "weightFactor": 0.1}]}}
        )
    )
    for number in (1, 2):
        yard.run(yard.placed()[0], 1000)
        assert yard.placed() == [f"{b}:{number}"], "6 seconds of b weigh as 0.6"
    yard.do(c.CreateSchedulingPolicy("even", {"fairsharePolicy": {}}))
    yard.do(c.UpdateJobQueue("fair", document=yard.with_policy("even")))
    yard.run(f"{b}:2", 1000)
    assert yard.placed() == [f"{a}:2"]


def test_a_shorter_window_does_not_change_what_was_used_before() -> None:
    yard = Yard(vcpus=1, policy={"shareDecaySeconds": 604_800})
    a = yard.share("a", array_size=2)
    yard.run(f"{a}:0", 50_000)
    yard.do(c.UpdateSchedulingPolicy("p", {"fairsharePolicy": {"shareDecaySeconds": 10}}))
    (share,) = yard.kept_usage().shares.values()
    assert share.usage == pytest.approx(1000 * 50_000, rel=0.01)
    yard.run(f"{a}:1", 100_000)
    (share,) = yard.kept_usage().shares.values()
    assert share.usage == pytest.approx(1000 * 10_000, rel=0.01), "ten seconds of one vCPU are all it remembers"


# -- reservation --


def test_what_is_reserved_waits_for_a_new_share() -> None:
    yard = Yard(vcpus=8, policy={"computeReservation": 50}, unmanaged_vcpus=8)
    a = yard.share("a", array_size=20)
    assert len(yard.placed()) == 4, "half is held back while one share is active"
    yard.share("b", array_size=20)
    assert yard.running_shares() == ["a"] * 4 + ["b"] * 2, "a quarter while two are"
    yard.share("c")
    assert yard.running_shares() == ["a"] * 4 + ["b"] * 2 + ["c"]
    yard.exited(f"{a}:0")
    assert yard.running_shares() == ["a"] * 3 + ["b"] * 3 + ["c"]


def test_without_a_maximum_nothing_is_reserved() -> None:
    yard = Yard(vcpus=8, policy={"computeReservation": 99})
    yard.share("a", array_size=20)
    assert len(yard.placed()) == 8


def test_a_job_larger_than_the_rest_runs_alone() -> None:
    yard = Yard(vcpus=8, policy={"computeReservation": 99}, unmanaged_vcpus=8)
    a, b = yard.share("a", "double", array_size=3), yard.share("b")
    assert yard.placed() == [f"{a}:0"]
    yard.exited(f"{a}:0")
    assert yard.placed() == [b]


# -- against the naive model --


@pytest.mark.parametrize("seed", range(60))
def test_the_job_that_starts_is_one_of_the_share_that_is_behind_most(seed: int) -> None:
    """One vCPU at a time is freed; whoever gets it must have the lowest load by the naive model, within rounding."""
    choose = random.Random(seed)
    window_s = choose.choice([5, 60, 600])
    weights = choose.choice([[], [("a", 0.25)], [("team*", 3.0), ("b", 0.01)]])
    entries = [{"shareIdentifier": name, "weightFactor": weight} for name, weight in weights]
    yard = Yard(vcpus=choose.choice([1, 2, 3]), policy={"shareDecaySeconds": window_s, "shareDistribution": entries})
    naive = NaiveShares(window_s * 1000, weights)
    share_of: dict[str, str] = {}
    placed: set[str] = set()

    def look() -> None:
        for job_id in sorted(set(yard.placed()) - placed):
            naive.place(share_of[job_id], 1.0, yard.now_ms)
            placed.add(job_id)

    def waiting() -> set[str]:
        return {share for job_id, share in share_of.items() if yard.status(job_id) is Status.RUNNABLE}

    for _ in range(60):
        yard.now_ms += choose.choice([0, 10, 1000, 20_000])
        if choose.random() < 0.45 or not placed:
            share = choose.choice(["a", "b", "team1", "team2"])
            naive.submit(share)
            share_of[yard.share(share)] = share
            look()
            continue
        if choose.random() < 0.1:
            yard.crash()
        ended = choose.choice(sorted(placed))
        if yard.attempt_of(ended) not in yard.running:
            yard.started(ended)
        placed.discard(ended)
        candidates = waiting()
        now_ms = yard.now_ms + 1
        started_ms = yard.job(ended).started_at_ms
        naive.release(share_of[ended], 1.0, now_ms, now_ms + 0 - started_ms)
        naive.end(share_of[ended], now_ms)
        loads = {share: naive.load(share, now_ms) for share in candidates}
        yard.exited(ended)
        (new,) = set(yard.placed()) - placed or {None}
        if new is not None:
            least = min(loads.values())
            assert loads[share_of[new]] <= least * 1.001 + 100, (share_of[new], loads)
        assert (new is None) == (not candidates)
        look()
