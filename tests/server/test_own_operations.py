"""Batch job queues as targets of rules, and operations as targets of schedules (observability spec 5.4, 7.3)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchyard.core.model.deliveries import Message
from batchyard.server.deliveries.own_operations import BatchChannel, OperationChannel, StateMachineChannel
from batchyard.server.deliveries.sender import ARRIVED, Outcome
from batchyard.server.http.disk_guard import FreeSpace
from tests.api.service import Service

LANE = "arn:aws:events:us-east-1:123456789012:rule/failed#t1"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    made.make_queue()
    made.register(parameters={"who": "world"})
    yield made
    made.close()


def space(free_bytes: int = 1 << 40) -> FreeSpace:
    return FreeSpace(lambda: free_bytes, 1, lambda: 0)


def batch(
    service: Service, body: Any, token: str = "e1/failed/t1", free: FreeSpace | None = None, **target: Any
) -> Outcome:
    aimed = {"queue": "default", "definition": "sleeper", "name": "fromrule"} | target
    text = body if isinstance(body, str) else json.dumps(body)
    message = Message(LANE, "batch", aimed, text, token)
    return asyncio.run(BatchChannel(service.context, free or space()).send(message))


def jobs(service: Service) -> list[dict[str, Any]]:
    ids = [
        entry["jobId"]
        for entry in service.call("ListJobs", {"jobQueue": "default", "jobStatus": "STARTING"})["jobSummaryList"]
    ]
    return [service.detail(job_id) for job_id in ids]


def test_a_message_submits_one_job_with_what_its_input_says_in_pascal_case(service: Service) -> None:
    body = {
        "Parameters": {"who": "you"},
        "ContainerOverrides": {
            "Command": ["echo", "Ref::who"],
            "Environment": [{"Name": "JobName", "Value": "x"}],
            "ResourceRequirements": [{"Type": "VCPU", "Value": "2"}],
        },
        "detail": {"jobName": "ignored"},
    }
    assert batch(service, body, attempts=3) == ARRIVED
    (job,) = jobs(service)
    assert (job["jobName"], job["parameters"], job["retryStrategy"]["attempts"]) == ("fromrule", {"who": "you"}, 3)
    assert job["container"]["command"] == ["echo", "Ref::who"]
    assert job["container"]["environment"] == [{"name": "JobName", "value": "x"}]
    assert {"type": "VCPU", "value": "2"} in job["container"]["resourceRequirements"]


def test_a_message_that_comes_again_submits_no_second_job(service: Service) -> None:
    assert batch(service, {}) == ARRIVED
    service.tick(24 * 3600 * 1000)  # long after the store has forgotten idempotency keys
    assert batch(service, {}) == ARRIVED
    assert len(jobs(service)) == 1
    assert batch(service, {}, token="e2/failed/t1") == ARRIVED
    assert len(jobs(service)) == 2


def test_an_input_that_is_no_object_says_nothing_of_the_job(service: Service) -> None:
    assert batch(service, "some text", array_size=2) == ARRIVED
    assert len(service.call("ListJobs", {"jobQueue": "default", "jobStatus": "PENDING"})["jobSummaryList"]) == 1


@pytest.mark.parametrize(
    ("body", "target", "code", "text"),
    [
        ({"Parameters": {"who": 5}}, {}, "INVALID_PARAMETER", "parameters"),
        ({}, {"queue": "none"}, "INVALID_PARAMETER", "none"),
        ({}, {"definition": "none"}, "INVALID_PARAMETER", "none"),
        ({"ContainerOverrides": {"Nonsense": 1}}, {}, "", ""),
    ],
)
def test_what_cannot_be_submitted_is_given_up_with_the_reason(
    service: Service, body: Any, target: dict[str, Any], code: str, text: str
) -> None:
    outcome = batch(service, body, **target)
    assert outcome.error_code == code
    assert outcome.is_final is bool(code)
    assert text in outcome.error


def test_a_nearly_full_disk_and_a_busy_service_are_tried_again(service: Service) -> None:
    outcome = batch(service, {}, free=space(0))
    assert (outcome.error_code, outcome.is_final) == ("THROTTLING", False)
    assert jobs(service) == []


def test_a_schedule_calls_an_operation(service: Service) -> None:
    channel = OperationChannel(service.context, space())

    def call(operation: str, body: str, token: str = "x1") -> Outcome:
        message = Message(
            "arn:aws:scheduler:::schedule/default/a", "api", {"service": "batch", "operation": operation}, body, token
        )
        return asyncio.run(channel.send(message))

    request = '{"JobName": "nightly", "JobQueue": "default", "JobDefinition": "sleeper"}'
    assert call("SubmitJob", request) == ARRIVED
    assert call("SubmitJob", request) == ARRIVED
    (job,) = jobs(service)
    assert call("TerminateJob", json.dumps({"JobId": job["jobId"], "Reason": "late"})) == ARRIVED
    assert call("SubmitJob", "[]").error_code == "INVALID_JSON"
    missing = call("TerminateJob", "{}", "x2")
    assert (missing.error_code, missing.is_final) == ("INVALID_PARAMETER", True)
    assert "jobId" in missing.error


MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:nightly"


def start(service: Service, body: str, token: str = "e1/failed/t1", free: FreeSpace | None = None) -> Outcome:
    message = Message(LANE, "states", {"arn": MACHINE}, body, token)
    return asyncio.run(StateMachineChannel(service.context, free or space()).send(message))


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_message_starts_one_execution_with_its_body_as_the_input(service: Service, seconds: int) -> None:
    """Also where it is sent again, while the execution runs and after its end."""
    states = service.client("stepfunctions")
    wait = {"Type": "Wait", "Seconds": seconds or 1, "End": True}
    definition = json.dumps({"StartAt": "Wait", "States": {"Wait": wait}})
    states.create_state_machine(name="nightly", definition=definition, roleArn="arn:aws:iam::123456789012:role/nightly")
    assert start(service, '{"a": 1}') == ARRIVED
    if not seconds:
        service.tick(1000)
    assert start(service, '{"a": 1}') == ARRIVED
    (execution,) = states.list_executions(stateMachineArn=MACHINE)["executions"]
    assert execution["status"] == ("RUNNING" if seconds else "SUCCEEDED")
    assert states.describe_execution(executionArn=execution["executionArn"])["input"] == '{"a": 1}'
    assert start(service, '{"a": 1}', "e2/failed/t1") == ARRIVED
    assert len(states.list_executions(stateMachineArn=MACHINE)["executions"]) == 2


def test_an_execution_that_cannot_be_started_is_given_up(service: Service) -> None:
    missing = start(service, "{}")
    assert (missing.error_code, missing.is_final) == ("NO_RESOURCE", True)
    assert f"State Machine Does Not Exist: '{MACHINE}'" in missing.error
    service.client("stepfunctions").create_state_machine(
        name="nightly",
        definition='{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}',
        roleArn="arn:aws:iam::123456789012:role/nightly",
    )
    full = start(service, "{}", free=space(0))
    assert (full.error_code, full.is_final) == ("THROTTLING", False)
    assert "The service takes no new executions" in full.error
    wrong = start(service, "no JSON")
    assert (wrong.error_code, wrong.is_final) == ("INVALID_PARAMETER", True)
