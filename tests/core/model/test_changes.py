from __future__ import annotations

import pytest

from batchyard.core.model.changes import Changes
from batchyard.core.model.fact_kinds import Cursor
from batchyard.core.model.facts import JobQueueBlocked
from batchyard.core.model.records import Job, Status, Ulimit

JOB = Job(1, Status.RUNNABLE, 0)
BLOCKED = JobQueueBlocked(1, "q", "id", "why")


@pytest.mark.parametrize(
    "changes",
    [
        Changes(jobs={1: JOB}),
        Changes(documents={("kind", "name"): None}),
        Changes(job_tags={1: {}}),
        Changes(facts=[BLOCKED]),
        Changes(cursors={"consumer": Cursor(1)}),
    ],
)
def test_a_batch_that_must_be_written_is_not_empty(changes: Changes) -> None:
    assert not changes.is_empty()
    assert Changes().is_empty()


def test_what_two_machines_changed_is_one_batch_whichever_comes_first() -> None:
    record = Ulimit("nofile", 1, 2)

    def jobs() -> Changes:
        return Changes(jobs={1: JOB}, next_key=2, revisions={"d": 1})

    def timers() -> Changes:
        return Changes(documents={("timer", "a"): record}, facts=[BLOCKED])

    both = Changes(jobs={1: JOB}, next_key=2, revisions={"d": 1}, documents={("timer", "a"): record}, facts=[BLOCKED])
    for first, second in ((jobs(), timers()), (timers(), jobs())):
        first.absorb(second)
        assert first == both


def test_no_record_belongs_to_two_machines() -> None:
    with pytest.raises(AssertionError, match=r"two machines changed the records \{\('timer', 'a'\)\}"):
        Changes(documents={("timer", "a"): None}).absorb(Changes(documents={("timer", "a"): None}))
    with pytest.raises(AssertionError, match=r"two machines changed the records \{1\}"):
        Changes(jobs={1: JOB}).absorb(Changes(jobs={1: JOB}))
