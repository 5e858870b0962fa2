"""Records the facts of a machine's batch, in their order.

The children of an array that have no row change their state as ranges, and by what their array's progress holds. That a
virtual child has become RUNNABLE shows only in the progress; it is recorded at the end of the batch, or before the
child gets a row."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import GONE, EnvironmentChanged, InstanceChanged, JobStateChanged
from batchyard.core.model.ranges import RangeSet, subtract
from batchyard.core.model.records import Environment, Instance, Job, JobSpec, Ranges, Status
from batchyard.core.state.arrays import virtual_ranges


class FactRecorder:
    """Makes those facts that are `wanted`, and no others."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []  # of the running batch; the list of its Changes
        self._closed = 0  # so many of them were passed on, and do not change any more
        self.wanted: frozenset[type[Fact]] = frozenset()
        self.wants_jobs = False  # to be looked at before any work is done for a JobStateChanged
        self._environments: dict[str, Environment | None] = {}  # as recorded in this batch
        self._runnable: dict[int, RangeSet] = {}  # array -> its virtual children that are recorded as RUNNABLE

    def want(self, kinds: Collection[type[Fact]]) -> bool:
        """Returns whether facts about jobs were not recorded until now: then `resume` must follow for every array."""
        wanted_jobs = self.wants_jobs
        self.wanted = frozenset(kinds)
        self.wants_jobs = JobStateChanged in self.wanted
        if not self.wants_jobs:
            self._runnable.clear()
        return self.wants_jobs and not wanted_jobs

    def resume(self, spec: JobSpec, parent: Job) -> None:
        """An array that is known from before: its children are where its record has them, and that is no news."""
        self._runnable[spec.key] = RangeSet(virtual_ranges(spec, parent, Status.RUNNABLE))

    def begin_batch(self, facts: list[Fact]) -> None:
        self.facts, self._closed = facts, 0
        self._environments.clear()

    def close(self) -> None:
        """After `schedule`, which may be run again in the same batch."""
        self._closed = len(self.facts)

    def add(self, fact: Fact) -> None:
        if type(fact) in self.wanted:
            self.facts.append(fact)

    # -- jobs, only where wants_jobs --

    def submitted(self, spec: JobSpec, job: Job, now_ms: int) -> None:
        self._job(spec, job.status, now_ms)
        if spec.array_size:
            self._runnable[spec.key] = RangeSet()
            self._job(spec, Status.PENDING, now_ms, start=0, stop=spec.array_size)

    def changed(self, spec: JobSpec, index: int | None, job: Job, now_ms: int) -> None:
        """Records that a row came into another status."""
        start, stop = (0, 0) if index is None else (index, index + 1)
        self._job(spec, job.status, now_ms, len(job.past), job.status_reason, start, stop)
        if index is None and job.status.is_final:
            self._runnable.pop(spec.key, None)

    def began(self, spec: JobSpec, index: int, status: Status, now_ms: int) -> None:
        """Records that a virtual child got a row."""
        runnable = self._runnable[spec.key]
        if index in runnable:
            runnable.remove(index)
        elif status is Status.RUNNABLE:
            self._job(spec, status, now_ms, start=index, stop=index + 1)

    def failed_together(self, spec: JobSpec, ranges: Ranges, reason: str, now_ms: int) -> None:
        """Records that virtual children ended."""
        runnable = self._runnable[spec.key]
        self._runnable[spec.key] = RangeSet(subtract(runnable.freeze(), ranges))
        for start, stop in ranges:
            self._job(spec, Status.FAILED, now_ms, reason=reason, start=start, stop=stop)

    def settle(self, spec: JobSpec, parent: Job, now_ms: int) -> None:
        """Records, at the end of a batch, which virtual children of a touched array have become RUNNABLE."""
        ranges = virtual_ranges(spec, parent, Status.RUNNABLE)
        for start, stop in subtract(ranges, self._runnable[spec.key].freeze()):
            self._job(spec, Status.RUNNABLE, now_ms, start=start, stop=stop)
        self._runnable[spec.key] = RangeSet(ranges)

    def _job(
        self,
        spec: JobSpec,
        status: Status,
        now_ms: int,
        attempts: int = 0,
        reason: str = "",
        start: int = 0,
        stop: int = 0,
    ) -> None:
        last = self.facts[-1] if stop and len(self.facts) > self._closed else None
        if (
            isinstance(last, JobStateChanged)
            and (last.key, last.stop, last.at_ms) == (spec.key, start, now_ms)
            and (last.status, last.attempts, last.reason) == (status, attempts, reason)
        ):  # children that change alike one after the other are one fact
            self.facts.pop()
            start = last.start
        self.facts.append(
            JobStateChanged(now_ms, spec.key, spec.job_id, spec.queue, status, attempts, reason, start, stop)
        )

    # -- environments and instances --

    def instance_changed(self, instance: Instance, now_ms: int, state: str = "") -> None:
        if InstanceChanged in self.wanted:
            fact = InstanceChanged(now_ms, instance.instance_id, instance.environment, state or instance.state.value)
            self.facts.append(fact)

    def environments_changed(self, changed: Mapping[str, Environment | None], now_ms: int) -> None:
        """Records changes of environments, at the end of a batch."""
        if EnvironmentChanged not in self.wanted:
            return
        for name, record in changed.items():
            if name in self._environments and self._environments[name] is record:
                continue  # `schedule` runs again in the same batch
            self._environments[name] = record
            if record is None:
                self.facts.append(EnvironmentChanged(now_ms, name, "", GONE))
            else:
                state, status = record.state.value, record.status.value
                self.facts.append(
                    EnvironmentChanged(now_ms, name, state, status, record.status_reason, record.desired_vcpus)
                )
