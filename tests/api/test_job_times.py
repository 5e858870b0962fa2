"""DescribeJobTimes: the periods that jobs were queued, starting and running."""

from __future__ import annotations

import pytest

from batchyard.api.yard.job_times import QUEUED, RUNNING, STARTING, periods_of
from batchyard.core.model.records import Attempt, Job, Status
from batchyard.core.model.refusal import Refused
from tests.api.service import Service


def attempt(number: int, placed: int, started: int = 0, stopped: int = 0) -> Attempt:
    return Attempt(number, "local", "process", (), placed_at_ms=placed, started_at_ms=started, stopped_at_ms=stopped)


def shown(job: Job) -> list[tuple[str, int, int | None]]:
    return [(one["kind"], one["startedAt"], one.get("stoppedAt")) for one in periods_of(job)]


def test_periods_follow_each_other() -> None:
    past = (attempt(1, 110, 120, 150), attempt(2, 170, 0, 175))
    waits = Job(1, Status.RUNNABLE, 100, past=past)
    assert shown(waits) == [
        (QUEUED, 100, 110),
        (STARTING, 110, 120),
        (RUNNING, 120, 150),
        (QUEUED, 150, 170),
        (STARTING, 170, 175),
        (QUEUED, 175, None),
    ]
    runs = Job(1, Status.RUNNING, 100, attempt=attempt(1, 0, 130))
    assert shown(runs) == [(QUEUED, 100, 130), (RUNNING, 130, None)]
    ended = Job(1, Status.SUCCEEDED, 100, stopped_at_ms=150, past=past[:1])
    assert shown(ended) == [(QUEUED, 100, 110), (STARTING, 110, 120), (RUNNING, 120, 150)]
    assert shown(Job(1, Status.FAILED, 100, stopped_at_ms=150)) == [(QUEUED, 100, 150)]


def test_an_array_has_the_times_of_the_child_that_ended_last(service: Service) -> None:
    job = service.submit(arrayProperties={"size": 3})
    single = service.submit()
    begun = service.now_ms
    service.start(f"{job}:1")
    service.start(f"{job}:2")
    service.end(f"{job}:2")
    service.start(f"{job}:0")
    service.tick(5000)
    service.end(f"{job}:0")
    answer = service.call("DescribeJobTimes", {"jobs": [job, "unknown", single]})["jobs"]
    assert [(one["jobId"], one.get("arrayIndex")) for one in answer] == [(job, 0), (single, None)]
    assert answer[0]["periods"][0]["startedAt"] <= begun
    assert answer[0]["periods"][-1]["kind"] == RUNNING
    assert answer[0]["periods"][-1]["stoppedAt"] == service.now_ms
    assert [period["kind"] for period in answer[1]["periods"]] == [STARTING]
    with pytest.raises(Refused, match="more than 100 ids"):
        service.call("DescribeJobTimes", {"jobs": [job] * 101})
