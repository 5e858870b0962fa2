"""The machine under random histories: submissions, arrays, dependencies, retries, stops, exits, losses and crashes.
Every invariant holds after each step; in the end every job ends; no attempt is launched twice."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from batchyard.core.model import commands as c
from batchyard.core.model.gpus import GpuSample
from batchyard.core.model.records import Dependency, EnvironmentOrder, Job, Status
from batchyard.core.questions.explanation import AskExplain, explain
from batchyard.core.scheduling.wait_reasons import Wait
from batchyard.core.state.arrays import status_summary
from tests.core.driver import ACCOUNT, Driver

MAX_JOBS = 12
POLICIES: list[dict[str, Any]] = [
    {},
    {"shareDecaySeconds": 1, "shareDistribution": [{"shareIdentifier": "team*", "weightFactor": 0.01}]},
    {"computeReservation": 60, "shareDecaySeconds": 604_800},
]


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.yard = Driver(vcpus=3, gpus=1)
        self.yard.may_shrink = True
        self.yard.do(c.CreateSchedulingPolicy("p", {"fairsharePolicy": POLICIES[0]}))
        shared = {"schedulingPolicyArn": ACCOUNT.policy_arn("p")}
        self.yard.do(c.CreateJobQueue("shared", "ENABLED", 1, (EnvironmentOrder(1, "local"),), shared))
        self.yard.do(c.CreateJobQueue("urgent", "ENABLED", 10, (EnvironmentOrder(1, "local"),)))
        self.yard.define(
            "gpu",
            container={
                "resourceRequirements": [
                    {"type": "VCPU", "value": "2"},
                    {"type": "MEMORY", "value": "64"},
                    {"type": "GPU", "value": "1"},
                ]
            },
        )
        self.yard.define()
        self.jobs: list[tuple[str, int]] = []  # (id, array size)
        self.ended: dict[str, Job] = {}  # jobs and children, as they were when they had ended

    def any_id(self, pick: int) -> str:
        job_id, size = self.jobs[pick % len(self.jobs)]
        return f"{job_id}:{pick % size}" if size and pick % 3 == 0 else job_id

    @precondition(lambda self: len(self.jobs) < MAX_JOBS)
    @rule(
        size=st.sampled_from([0, 0, 2, 5]),
        sequential=st.booleans(),
        attempts=st.integers(1, 3),
        gpu=st.booleans(),
        queue=st.sampled_from(["default", "urgent", "shared", "shared"]),
        share=st.sampled_from(["a", "b", "team1", "team2"]),
        priority=st.sampled_from([0, 0, 5]),
        timeout=st.booleans(),
        picks=st.lists(st.integers(0, 1000), max_size=3),
        pairs=st.integers(0, 2),
        after_any=st.sampled_from([False, False, False, True]),
    )
    def submit(
        self,
        size: int,
        sequential: bool,
        attempts: int,
        gpu: bool,
        queue: str,
        share: str,
        priority: int,
        timeout: bool,
        picks: list[int],
        pairs: int,
        after_any: bool,
    ) -> None:
        depends_on = [Dependency(self.any_id(p)) for p in picks] if self.jobs else []
        alike = [job for job, other in self.jobs if size and other == size]
        depends_on.extend(Dependency(job, "N_TO_N") for job in alike[-pairs:] if pairs)
        if size and sequential:
            depends_on.append(Dependency(type="SEQUENTIAL"))
        job = self.yard.submit(
            "gpu" if gpu else "work",
            queue=queue,
            share_identifier=share if queue == "shared" else "",
            scheduling_priority=priority if queue == "shared" else None,
            array_size=size,
            depends_on=depends_on,
            retry_strategy={"attempts": attempts},
            timeout={"attemptDurationSeconds": 60} if timeout else None,
            tags={"batchyard:after-any": "true"} if after_any else {},
        )
        self.jobs.append((job, size))

    @precondition(lambda self: self.jobs)
    @rule(pick=st.integers(0, 1000), terminate=st.booleans())
    def withdraw(self, pick: int, terminate: bool) -> None:
        self.yard.do((c.TerminateJob if terminate else c.CancelJob)(self.any_id(pick), "withdrawn"))

    @precondition(lambda self: self.yard.launched)
    @rule(pick=st.integers(0, 1000), fate=st.sampled_from(["start", "ok", "ok", "fail", "lost", "unable"]))
    def engine(self, pick: int, fate: str) -> None:
        placed = self.yard.placed()
        job = placed[pick % len(placed)]
        if fate == "start":
            if self.yard.attempt_of(job) not in self.yard.running:
                self.yard.started(job)
        elif fate == "lost":
            self.yard.lost(job)
        elif fate == "unable" and self.yard.attempt_of(job) not in self.yard.running:
            self.yard.not_started(job)
        else:
            self.yard.exited(job, 0 if fate == "ok" else 1)

    @rule(seconds=st.sampled_from([1, 61, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.yard.tick(seconds * 1000)

    @rule()
    def crash(self) -> None:
        self.yard.crash()

    @rule(state=st.sampled_from(["ENABLED", "DISABLED"]))
    def switch(self, state: str) -> None:
        self.yard.do(c.UpdateComputeEnvironment("local", state=state))

    @rule(policy=st.sampled_from(range(3)))
    def share_otherwise(self, policy: int) -> None:
        self.yard.do(c.UpdateSchedulingPolicy("p", {"fairsharePolicy": POLICIES[policy]}))

    @rule(is_lost=st.booleans())
    def lose_the_gpu(self, is_lost: bool) -> None:
        self.yard.do(c.SetGpus((), (0,)) if is_lost else c.SetGpus((0,), ()))

    @rule(percent=st.integers(0, 100))
    def sample_the_gpu(self, percent: int) -> None:
        self.yard.do(c.NoteGpuUse((GpuSample(0, 64, percent),)))

    @rule(vcpus=st.sampled_from([0, 3]))
    def set_a_maximum(self, vcpus: int) -> None:
        self.yard.do(c.UpdateComputeEnvironment("local", document={"unmanagedvCpus": vcpus}))

    @invariant()
    def every_change_of_a_state_was_one_fact(self) -> None:
        known = {}
        for job_id, size in self.jobs:
            for one in [job_id, *(f"{job_id}:{index}" for index in range(size))]:
                known[one] = self.yard.status(one)
        assert self.yard.ledger.statuses == known

    @invariant()
    def parents_add_up(self) -> None:
        for job_id, size in self.jobs:
            if not size:
                continue
            spec = next(s for s in self.yard.kept.specs.values() if s.job_id == job_id)
            counted = dict.fromkeys(Status, 0)
            for index in range(size):
                counted[self.yard.status(f"{job_id}:{index}")] += 1
            assert counted == status_summary(spec, self.yard.job(job_id))
            assert self.yard.status(job_id) in (Status.PENDING, Status.SUCCEEDED, Status.FAILED), "a parent never runs"

    @invariant()
    def what_has_ended_stays_as_it_is(self) -> None:
        for job_id, size in self.jobs:
            for one in (job_id, *(f"{job_id}:{index}" for index in range(size))):
                found = self.yard.job(one)
                if found.status.is_final:
                    assert self.ended.setdefault(one, found) == found

    @invariant()
    def whatever_waits_says_why(self) -> None:
        for job_id, size in self.jobs:
            for one in (job_id, *(f"{job_id}:{index}" for index in range(size))):
                job = self.yard.job(one)
                if job.status.is_final:
                    continue
                answer = explain(self.yard.machine.world, AskExplain(one))
                assert answer is not None, f"{one} is {job.status}, and not explained"
                assert answer.status == job.status
                assert bool(answer.wait) == bool(answer.remedy) == (job.status is not Status.RUNNING)
                if job.status is Status.PENDING and answer.wait != Wait.CHILDREN:
                    assert answer.dependencies_count > 0, answer
                    assert (answer.wait == Wait.WITHDRAWN) == (job.is_cancelled or job.is_terminated)

    def teardown(self) -> None:
        """Liveness: with capacity and without faults every job ends."""
        self.yard.do(c.UpdateComputeEnvironment("local", state="ENABLED"))
        self.yard.do(c.SetGpus((0,), ()))
        for _ in range(10_000):
            placed = self.yard.placed()
            if not placed:
                break
            self.yard.exited(placed[0])
        unfinished = [j for j, _ in self.jobs if not self.yard.status(j).is_final]
        assert not unfinished, f"these never end: {unfinished}"
        assert not self.yard.machine.world.jobs.unmet
        assert not self.yard.machine.world.jobs.parents


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
