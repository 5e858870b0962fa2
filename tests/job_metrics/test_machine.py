"""The metrics of AWS Batch, counted from facts of the real machine of jobs."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.capacity.prices import Prices
from batchyard.core.model import commands as c
from batchyard.core.model.records import Dependency
from batchyard.core.questions.gauges import JobLookup
from batchyard.job_metrics.machine import AskMinutes, AskUse, ForgetMinutes, JobMetricsMachine, Use
from batchyard.job_metrics.records import Durations, QueueMinute
from tests.core.driver import Driver

HOUR_MS = 3_600_000


class Counting(Driver):
    """A driver whose facts are counted in the batch that makes them."""

    counter: JobMetricsMachine | None = None
    prices = Prices(on_demand={"c5.large": 3_600_000})

    def begin(self) -> None:
        self.counter = JobMetricsMachine(JobLookup(self.machine.world, self.prices))
        self.counter.restore(self.kept.documents)

    def _finish_batch(self) -> None:
        if self.counter is not None:
            self.machine.schedule(self.now_ms)
            asked = [f for f in self.machine.pending_changes.facts if isinstance(f, tuple(self.counter.observed_facts))]
            self.counter.observe(asked, self.now_ms)
            self.kept.commit(self.counter.take()[0])
        super()._finish_batch()

    def ask(self, command: Any) -> Any:
        assert self.counter is not None
        answer = self.counter.handle(command, self.now_ms)
        self.kept.commit(self.counter.take()[0])
        return answer

    def minutes(self) -> list[QueueMinute]:
        """What has happened in the minutes until now."""
        self.now_ms = (self.now_ms // 60_000 + 1) * 60_000
        return list(self.ask(AskMinutes()))

    def counts(self) -> dict[str, int]:
        """What has happened, in all minutes together."""
        found: dict[str, int] = {}
        for minute in self.minutes():
            for name, number in minute.counts.items():
                found[name] = found.get(name, 0) + number
        return found

    def durations(self) -> dict[str, Durations]:
        (minute,) = self.minutes()
        return dict(minute.durations)


@pytest.fixture
def yard() -> Counting:
    made = Counting(vcpus=4)
    made.begin()
    return made


def moved(**counts: int) -> dict[str, int]:
    return {name if name.startswith("Jobs") else f"JobsMovedTo{name}": number for name, number in counts.items()}


def test_a_job_that_succeeds_is_counted_once_in_each_state(yard: Counting) -> None:
    job = yard.submit()
    yard.started(job)
    yard.exited(job)
    assert yard.counts() == moved(JobsSubmitted=1, Runnable=1, Starting=1, Running=1, Succeeded=1)


def test_a_retried_job_is_runnable_again(yard: Counting) -> None:
    yard.define("again", retryStrategy={"attempts": 2})
    job = yard.submit("again")
    for _ in range(2):
        yard.started(job)
        yard.exited(job, 1)
    expected = moved(JobsSubmitted=1, Runnable=2, Starting=2, Running=2, Failed=1, JobsRetried=1)
    assert yard.counts() == expected


def test_an_array_is_counted_by_its_children_and_submitted_with_its_size(yard: Counting) -> None:
    job = yard.submit(array_size=6)
    for index in range(6):
        yard.started(f"{job}:{index}")
        yard.exited(f"{job}:{index}", int(index == 5))
    expected = moved(JobsSubmitted=6, Pending=6, Runnable=6, Starting=6, Running=6, Succeeded=5, Failed=1)
    assert yard.counts() == expected


def test_cancelled_and_terminated_jobs_are_failed_ones_too(yard: Counting) -> None:
    running = yard.submit(array_size=4)
    waiting, other = yard.submit(), yard.submit()
    array = yard.submit(array_size=5)
    yard.do(c.CancelJob(waiting, "enough"))
    yard.do(c.TerminateJob(other, "enough"))
    yard.do(c.CancelJob(array, "enough"))
    yard.started(f"{running}:0")
    yard.do(c.CancelJob(f"{running}:0", "enough"))  # it runs on: cancelling it does not end it
    yard.exited(f"{running}:0", 1)
    yard.started(f"{running}:1")
    yard.do(c.TerminateJob(f"{running}:1", "enough"))
    yard.exited(f"{running}:1", 137)
    found = yard.counts()
    assert (found["JobsCancelled"], found["JobsTerminated"], found["JobsMovedToFailed"]) == (6, 2, 9)


def test_a_failed_dependency_cancels_nothing(yard: Counting) -> None:
    first = yard.submit()
    yard.submit(array_size=3, depends_on=[Dependency(first)])
    yard.exited(first, 1)
    found = yard.counts()
    assert found["JobsMovedToFailed"] == 4
    assert "JobsCancelled" not in found


def test_durations_are_those_between_the_states(yard: Counting) -> None:
    first = yard.submit()
    job = yard.submit(depends_on=[Dependency(first)])
    yard.now_ms += 1000
    yard.exited(first)  # takes 1 ms itself
    submitted_ms = yard.kept.job(job).created_at_ms
    runnable_ms = yard.now_ms
    yard.now_ms += 500
    yard.started(job)
    yard.now_ms += 7000
    yard.exited(job)
    attempt = yard.kept.job(job).past[0]
    found = yard.durations()
    to_runnable = found["JobSubmittedToRunnableDuration"]
    assert (to_runnable.count, to_runnable.maximum_ms) == (2, runnable_ms - submitted_ms)
    assert found["JobSubmittedToFirstStartingDuration"].maximum_ms == runnable_ms - submitted_ms
    assert found["JobAttemptRunnableToStartingDuration"].total_ms == 0
    assert found["JobAttemptStartingToRunningDuration"].minimum_ms == attempt.started_at_ms - attempt.placed_at_ms
    executed = found["JobAttemptExecutionDuration"]
    assert executed.maximum_ms == attempt.stopped_at_ms - attempt.started_at_ms >= 7000
    assert executed.values[-1] == (7000, 1)
    assert found["JobAttemptDuration"].maximum_ms == attempt.stopped_at_ms - attempt.placed_at_ms


def test_children_that_wait_for_room_are_measured_from_when_they_could_start(yard: Counting) -> None:
    job = yard.submit(array_size=5)
    yard.now_ms += 5000
    yard.exited(f"{job}:0")
    waited = yard.durations()["JobAttemptRunnableToStartingDuration"]
    assert (waited.count, waited.minimum_ms) == (5, 0)
    assert 5000 <= waited.maximum_ms < 5010


def test_minutes_are_kept_until_they_are_stored_and_over_a_restart(yard: Counting) -> None:
    job = yard.submit()
    (minute,) = yard.minutes()
    assert minute.counts["JobsSubmitted"] == 1
    yard.begin()  # the service was killed, and starts again
    assert yard.minutes() == [minute]
    yard.exited(job)
    first, second = yard.minutes()
    assert first == minute
    assert second.counts == moved(Running=1, Succeeded=1)
    yard.ask(ForgetMinutes((first.name,)))
    yard.begin()
    assert yard.minutes() == [second]


def test_the_minute_that_is_under_way_goes_on_after_a_restart(yard: Counting) -> None:
    yard.submit()
    yard.begin()
    yard.submit()
    (minute,) = yard.minutes()
    assert minute.counts["JobsSubmitted"] == 2
    assert minute.durations["JobSubmittedToRunnableDuration"].count == 2


def test_a_month_has_the_vcpu_hours_of_what_ended_and_of_what_runs(yard: Counting) -> None:
    first, second = yard.submit(), yard.submit()
    yard.started(first)
    yard.started(second)
    yard.now_ms += HOUR_MS
    yard.exited(first)
    yard.begin()
    use: Use = yard.ask(AskUse())
    assert use.month == "2023-11"
    assert use.milli_vcpu_ms["default"] == pytest.approx(2 * 1000 * HOUR_MS, rel=1e-4)


def test_a_new_month_begins_with_nothing(yard: Counting) -> None:
    job = yard.submit()
    yard.started(job)
    yard.now_ms += 40 * 24 * HOUR_MS
    yard.exited(job)
    use: Use = yard.ask(AskUse())
    assert use.month == "2023-12"
    # Since the first of December, on the 24th at 22:13.
    assert use.milli_vcpu_ms["default"] / 1000 / HOUR_MS == pytest.approx(23 * 24 + 22.22, abs=0.1)


def test_instances_cost_what_the_owner_says(yard: Counting) -> None:
    yard.fleet("fleet", "c5.large")
    yard.submit(queue="fleet")
    (instance,) = yard.booted()
    yard.now_ms += HOUR_MS
    use: Use = yard.ask(AskUse())
    assert use.micro_dollar_ms / HOUR_MS == pytest.approx(3_600_000, rel=1e-3)
    yard.begin()
    assert yard.ask(AskUse()) == use
    assert instance
