"""ListPastAttempts and ListPastInstances: what ran in a span of time, and where."""

from typing import Any

import pytest

from batchyard.core.model import reports
from batchyard.core.model.records import HOST_PROVIDER
from batchyard.core.model.reports import OUT_OF_MEMORY
from tests.api.service import START_MS, Service, refusal_of


@pytest.fixture
def queue(service: Service) -> str:
    service.make_queue("work", "own")
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}]
    container = {"image": "any", "command": ["true"], "resourceRequirements": needs}
    for name in ("step", "steps"):
        service.batch.register_job_definition(jobDefinitionName=name, type="container", containerProperties=container)
    return "work"


def submit(service: Service, definition: str = "step", **members: Any) -> str:
    return str(service.batch.submit_job(jobName="a", jobQueue="work", jobDefinition=definition, **members)["jobId"])


def past(service: Service, **request: Any) -> list[dict[str, Any]]:
    return list(service.call("ListPastAttempts", request)["attempts"])


def test_an_attempt_with_what_it_asked_for_and_used(service: Service, queue: str) -> None:
    job_id = submit(service, tags={"team": "a"}, timeout={"attemptDurationSeconds": 600})
    service.end(job_id, 0, peak_memory_mib=100, cpu_ms=1500)
    (found,) = past(service)
    assert found.pop("computeEnvironment") == "own"
    assert found.pop("placedAt")
    assert found.pop("instanceIds") == ["i-0123456789abcdef0"]
    assert found.pop("stoppedAt") > found.pop("startedAt") >= found.pop("createdAt") >= START_MS
    assert found == {
        "jobId": job_id,
        "jobName": "a",
        "jobQueue": "work",
        "jobDefinition": "step:1",
        "attempt": 1,
        "asked": {"vcpus": 1.0, "memory": 512, "gpus": 0},
        "status": "SUCCEEDED",
        "outcome": "SUCCEEDED",
        "isLast": True,
        "principal": "tester",
        "tags": {"team": "a"},
        "timeoutSeconds": 600,
        "peakMemory": 100,
        "cpuMilliseconds": 1500,
        "exitCode": 0,
    }


def test_the_outcomes(service: Service, queue: str) -> None:
    failed, killed, running = submit(service), submit(service), submit(service)
    service.end(failed, 3)
    service.end(killed, 137, reason=OUT_OF_MEMORY)
    service.start(running)
    assert {one["jobId"]: one["outcome"] for one in past(service)} == {
        failed: "FAILED",
        killed: "OUT_OF_MEMORY",
        running: "RUNNING",
    }


def test_only_what_ran_in_the_span(service: Service, queue: str) -> None:
    first = submit(service)
    service.end(first, 0)
    service.tick(10_000)
    middle_ms = service.now_ms
    service.tick(10_000)
    second = submit(service)
    service.end(second, 0)
    assert [one["jobId"] for one in past(service, until=middle_ms)] == [first]
    assert [one["jobId"] for one in past(service, since=middle_ms)] == [second]
    assert [one["jobId"] for one in past(service)] == [first, second]


def test_of_a_definition_or_one_revision(service: Service, queue: str) -> None:
    one, other = submit(service, "step"), submit(service, "steps")
    service.end(one, 0)
    service.end(other, 0)
    assert [found["jobId"] for found in past(service, jobDefinition="step")] == [one]
    assert [found["jobId"] for found in past(service, jobDefinition="steps:1")] == [other]
    assert past(service, jobDefinition="step:2") == []
    assert past(service, jobQueue="other") == []


def test_pages_show_each_attempt_once(service: Service, queue: str) -> None:
    jobs = [submit(service) for _ in range(7)]
    for job_id in jobs:
        service.end(job_id, 0)
    found: list[str] = []
    token = None
    while True:
        answer = service.call("ListPastAttempts", {"maxResults": 3} | ({"nextToken": token} if token else {}))
        assert len(answer["attempts"]) <= 3
        found += [one["jobId"] for one in answer["attempts"]]
        token = answer.get("nextToken")
        if not token:
            break
    assert sorted(found) == sorted(jobs)


def test_a_span_that_ends_before_it_begins_is_refused(service: Service, queue: str) -> None:
    assert refusal_of(lambda: past(service, since=5, until=4)) == "until (4) is before since (5)."


def test_instances_that_ended_are_there(service: Service) -> None:
    resources = {
        "type": "EC2",
        "minvCpus": 2,
        "maxvCpus": 2,
        "instanceTypes": ["c6i.large"],
        "instanceRole": "ecsInstanceRole",
        "subnets": ["subnet-1"],
        "securityGroupIds": ["sg-1"],
    }
    service.batch.create_compute_environment(computeEnvironmentName="fleet", type="MANAGED", computeResources=resources)
    (instance_id,) = service.machine.world.instances.launched_in["fleet"]
    service.machine.report(HOST_PROVIDER, reports.InstanceReady(instance_id), service.now_ms)
    service.tick(5000)
    (living,) = service.call("ListPastInstances", {})["instances"]
    assert living["instanceType"] == "c6i.large"
    assert "endedAt" not in living
    assert living["capacity"]["vcpus"] == 2.0
    service.machine.report(HOST_PROVIDER, reports.InstanceGone(instance_id), service.now_ms)
    service.tick(0)
    ended = next(one for one in service.call("ListPastInstances", {})["instances"] if one["instanceId"] == instance_id)
    assert ended["endedAt"] == service.now_ms
    later = service.call("ListPastInstances", {"since": service.now_ms + 1})["instances"]
    assert instance_id not in [one["instanceId"] for one in later]
