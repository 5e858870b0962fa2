from __future__ import annotations

from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import JobQueueBlocked, JobStateChanged
from batchyard.core.model.records import ArrayState, Job, Status
from batchyard.core.state.fact_recorder import FactRecorder
from tests.store.samples import make_spec

ARRAY = make_spec(1, array_size=10)


def parent(**members: object) -> Job:
    return Job(1, Status.PENDING, 0, array=ArrayState(10, **members))  # type: ignore[arg-type]


def recording() -> tuple[FactRecorder, list[Fact]]:
    recorder, facts = FactRecorder(), list[Fact]()
    recorder.begin_batch(facts)
    assert recorder.want([JobStateChanged])
    return recorder, facts


def seen(facts: list[Fact]) -> list[tuple[Status, int, int]]:
    return [(fact.status, fact.start, fact.stop) for fact in facts if isinstance(fact, JobStateChanged)]


def test_what_nobody_wants_is_not_recorded() -> None:
    recorder, facts = recording()
    recorder.add(JobQueueBlocked(1, "q", "id", "why"))
    assert facts == []
    recorder.want([JobQueueBlocked])
    recorder.add(JobQueueBlocked(1, "q", "id", "why"))
    assert (facts, recorder.wants_jobs) == ([JobQueueBlocked(1, "q", "id", "why")], False)


def test_children_without_rows_change_as_ranges_each_once() -> None:
    recorder, facts = recording()
    recorder.submitted(ARRAY, Job(1, Status.SUBMITTED, 0), 5)
    recorder.settle(ARRAY, parent(unstarted=((0, 10),), released_at_ms=6), 6)
    recorder.settle(ARRAY, parent(unstarted=((0, 10),), released_at_ms=6), 7)
    recorder.began(ARRAY, 0, Status.STARTING, 8)
    recorder.failed_together(ARRAY, ((4, 10),), "why", 9)
    assert seen(facts) == [
        (Status.SUBMITTED, 0, 0),
        (Status.PENDING, 0, 10),
        (Status.RUNNABLE, 0, 10),
        (Status.FAILED, 4, 10),
    ]


def test_a_child_that_gets_its_row_as_runnable_is_recorded_then() -> None:
    recorder, facts = recording()
    recorder.submitted(ARRAY, Job(1, Status.SUBMITTED, 0), 5)
    facts.clear()
    recorder.began(ARRAY, 3, Status.RUNNABLE, 6)
    assert seen(facts) == [(Status.RUNNABLE, 3, 4)]


def test_an_array_that_is_known_from_before_is_no_news() -> None:
    recorder, facts = recording()
    recorder.resume(ARRAY, parent(unstarted=((2, 10),), released_at_ms=6))
    recorder.settle(ARRAY, parent(unstarted=((2, 10),), released_at_ms=6), 7)
    assert facts == []
