from __future__ import annotations

from batchyard.core.model.facts import JobQueueBlocked, JobStateChanged, expand
from batchyard.core.model.records import Status


def test_a_range_is_a_fact_for_each_child() -> None:
    job = JobStateChanged(5, 1, "id", "q", Status.PENDING)
    some = JobStateChanged(6, 1, "id", "q", Status.FAILED, 0, "why", start=3, stop=5)
    blocked = JobQueueBlocked(7, "q", "id:9", "why")
    assert list(expand([job, some, blocked])) == [
        job,
        JobStateChanged(6, 1, "id:3", "q", Status.FAILED, 0, "why", start=3, stop=4),
        JobStateChanged(6, 1, "id:4", "q", Status.FAILED, 0, "why", start=4, stop=5),
        blocked,
    ]
