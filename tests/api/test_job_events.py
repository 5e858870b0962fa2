"""Events of AWS Batch: their detail is the job as it was, whenever they are made (AWS Batch behaviour 9)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest

from batchyard.api.batch.job_events import FACT_TYPES, event_json, event_of, has_event, known_before
from batchyard.api.batch.render import job_detail
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import JobQueueBlocked, JobStateChanged, expand
from batchyard.evaluators.events.envelope import event_text
from tests.api.service import ACCOUNT, Service

NOT_IN_EVENTS = ("tags", "isCancelled", "isTerminated", "eksAttempts")


class Watched(Service):
    """A service that keeps the facts of its batches, each with the job as DescribeJobs had it then."""

    def __init__(self, directory: Path) -> None:
        self.made: list[Fact] = []
        super().__init__(directory)
        self.facts: list[tuple[JobStateChanged | JobQueueBlocked, dict[str, Any]]] = []
        self.machine.want_facts(FACT_TYPES)
        take = self.machine.take

        def taken() -> Any:
            changes, effects = take()
            self.made = list(expand(changes.facts))
            changes.facts = []
            return changes, effects

        self.machine.take = taken  # type: ignore[method-assign]

    def _finish_batch(self) -> None:
        super()._finish_batch()
        made, self.made = self.made, []
        for number, fact in enumerate(made):
            assert isinstance(fact, JobStateChanged | JobQueueBlocked)
            later = [
                one for one in made[number + 1 :] if isinstance(one, JobStateChanged) and one.job_id == fact.job_id
            ]
            # Of several states in one batch only the last can be seen.
            shown = {} if later else job_detail(self.reader.jobs([fact.job_id])[0], ACCOUNT)
            self.facts.append((fact, shown))

    def batch_events(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        for fact, shown in self.facts:
            if has_event(fact):
                (view,) = self.reader.jobs([fact.job_id])
                yield event_of(fact, view, ACCOUNT), shown


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    made.make_queue()
    yield made
    made.close()


def statuses(service: Watched, job_id: str) -> list[str]:
    return [event["detail"]["status"] for event, _ in service.batch_events() if event["detail"]["jobId"] == job_id]


def as_event(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if name not in NOT_IN_EVENTS}


def test_each_event_has_the_detail_of_its_time_though_it_is_made_at_the_end(service: Watched) -> None:
    service.register(retryStrategy={"attempts": 2}, timeout={"attemptDurationSeconds": 100})
    job_id = service.submit(tags={"a": "b"})
    for exit_code in (1, 0):
        service.tick(1000)
        service.start(job_id)
        service.end(job_id, exit_code)
    events = list(service.batch_events())
    assert statuses(service, job_id) == [
        "RUNNABLE", "STARTING", "RUNNING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED",
    ]  # fmt: skip
    compared = [(event["detail"], as_event(shown)) for event, shown in events if shown]
    assert len(compared) == 5
    assert [detail for detail, _ in compared] == [shown for _, shown in compared]
    assert len({event["id"] for event, _ in events}) == len(events)
    assert [event["id"] for event, _ in events] == [event["id"] for event, _ in service.batch_events()]


def test_an_event_has_the_envelope_of_aws(service: Watched) -> None:
    service.register()
    job_id = service.submit()
    event, _ = next(service.batch_events())
    fact = next(fact for fact, _ in service.facts if has_event(fact))
    assert isinstance(fact, JobStateChanged)
    name = f"123456789012/us-east-1/{job_id}/0/RUNNABLE/{fact.at_ms}"
    assert event["id"] == str(uuid5(NAMESPACE_URL, name))
    arn = f"arn:aws:batch:us-east-1:123456789012:job/{job_id}"
    assert list(event) == [
        "version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail",
    ]  # fmt: skip
    assert (event["source"], event["detail-type"], event["resources"]) == ("aws.batch", "Batch Job State Change", [arn])
    assert event["time"] == "2023-11-14T22:13:20Z"
    assert not set(NOT_IN_EVENTS) & set(event["detail"])
    assert event["detail"]["jobQueue"] == "arn:aws:batch:us-east-1:123456789012:job-queue/default"
    first = next(fact for fact, _ in service.facts if isinstance(fact, JobStateChanged))
    assert (first.status, has_event(first)) == ("SUBMITTED", False)


def test_children_of_an_array_and_their_parent_have_events(service: Watched) -> None:
    service.register()
    job_id = service.submit(arrayProperties={"size": 2})
    for index in range(2):
        service.start(f"{job_id}:{index}")
        service.end(f"{job_id}:{index}", exit_code=index)
    assert statuses(service, job_id) == ["PENDING", "FAILED"]
    for index, last in enumerate(("SUCCEEDED", "FAILED")):
        assert statuses(service, f"{job_id}:{index}") == ["PENDING", "RUNNABLE", "STARTING", "RUNNING", last]
    arrays = [event["detail"]["arrayProperties"] for event, _ in service.batch_events()]
    assert {"index": 0} in arrays
    assert {"size": 2} in arrays
    final = next(one for one in arrays if "statusSummary" in one)
    assert (final["statusSummary"]["SUCCEEDED"], final["statusSummary"]["FAILED"]) == (1, 1)


def test_a_blocked_queue_names_job_and_queue(service: Watched) -> None:
    service.register()
    job_id = service.submit()
    fact = JobQueueBlocked(service.now_ms, "default", job_id, "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - none")
    (view,) = service.reader.jobs([job_id])
    event = event_of(fact, view, ACCOUNT)
    arn = "arn:aws:batch:us-east-1:123456789012:"
    assert event["detail-type"] == "Batch Job Queue Blocked"
    assert event["resources"] == [f"{arn}job/{job_id}", f"{arn}job-queue/default"]
    assert (event["detail"]["status"], event["detail"]["statusReason"]) == ("RUNNABLE", fact.reason)


def test_the_text_of_an_event_is_that_which_other_events_have(service: Watched) -> None:
    container = {"image": "i", "command": ['é\n"\u2028\x7f'], "vcpus": 1, "memory": 64}
    service.register(containerProperties=container, parameters={"a": "<&>"})
    service.submit()
    event, _ = next(service.batch_events())
    assert event_json(event) == event_text(event)
    assert event_json({"a": "\ud800"}) == event_text({"a": "\ud800"})


def test_what_is_known_before_is_what_the_event_has(service: Watched) -> None:
    service.register()
    job_id = service.submit()
    (view,) = service.reader.jobs([job_id])
    facts = [fact for fact, _ in service.facts if has_event(fact)]
    for fact in [*facts, JobQueueBlocked(1, "default", job_id, "r")]:
        event = event_of(fact, view, ACCOUNT)
        for path, value in known_before(fact, ACCOUNT).items():
            found: Any = event
            for name in path.split("."):
                found = found[name]
            assert found == value
