"""Executions of Step Functions as boto3 sees them: started, listed, stopped, redriven, their histories, and the tasks
of activities (step functions spec 3-5, 15)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from batchyard.core.model.executions import ExecutionStatus
from tests.api import executions
from tests.api.service import Service
from tests.api.test_states_machines import refusal

PREFIX = executions.PREFIX
ARN = executions.MACHINE
ROLE = executions.ROLE


def machine(states: Any, name: str = "nightly", kind: str = "STANDARD", **members: Any) -> str:
    """Creates a state machine of one state, A; returns its ARN."""
    state = {"Type": "Pass", "End": True} | members
    definition = json.dumps({"StartAt": "A", "States": {"A": state}})
    made = states.create_state_machine(name=name, definition=definition, roleArn=ROLE, type=kind)
    return str(made["stateMachineArn"])


@pytest.fixture
def states(service: Service) -> Any:
    return service.client("stepfunctions")


def test_an_execution_is_described_and_has_its_history(service: Service, states: Any) -> None:
    machine(states, Result=[1])
    started = states.start_execution(stateMachineArn=ARN, name="first", input='{"a":  1}', traceHeader="Root=1")
    arn = f"{PREFIX}execution:nightly:first"
    assert started["executionArn"] == arn
    shown = states.describe_execution(executionArn=arn)
    assert {key: value for key, value in shown.items() if not key.endswith("Date") and key != "ResponseMetadata"} == {
        "executionArn": arn,
        "stateMachineArn": ARN,
        "name": "first",
        "status": "SUCCEEDED",
        "input": '{"a":  1}',
        "inputDetails": {"included": True},
        "output": "[1]",
        "outputDetails": {"included": True},
        "traceHeader": "Root=1",
        "redriveCount": 0,
        "redriveStatus": "NOT_REDRIVABLE",
        "redriveStatusReason": "Execution is SUCCEEDED and cannot be redriven",
    }
    assert "input" not in states.describe_execution(executionArn=arn, includedData="METADATA_ONLY")
    events = states.get_execution_history(executionArn=arn)["events"]
    assert [event["type"] for event in events] == [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "ExecutionSucceeded",
    ]
    assert events[2]["stateExitedEventDetails"] == {
        "name": "A",
        "output": "[1]",
        "outputDetails": {"truncated": False},
    }
    backwards = states.get_execution_history(executionArn=arn, reverseOrder=True, includeExecutionData=False)["events"]
    assert [event["id"] for event in backwards] == [4, 3, 2, 1]
    assert backwards[1]["stateExitedEventDetails"] == {"name": "A"}


def test_a_name_is_used_once_but_an_equal_request_while_it_runs_is_one(service: Service, states: Any) -> None:
    machine(states, Type="Wait", Seconds=60)
    request = {"stateMachineArn": ARN, "name": "once", "input": "{}"}
    first = states.start_execution(**request)
    service.tick(1000)
    again = states.start_execution(**request)
    assert (again["executionArn"], again["startDate"]) == (first["executionArn"], first["startDate"])
    exists = ("ExecutionAlreadyExists", f"Execution Already Exists: '{first['executionArn']}'")
    assert refusal(states.start_execution, **(request | {"input": "{ }"})) == exists
    service.tick(60_000)
    assert states.describe_execution(executionArn=first["executionArn"])["status"] == "SUCCEEDED"
    service.tick(120_000)
    assert refusal(states.start_execution, **request) == exists


def test_executions_are_listed_by_machine_version_alias_and_filters(service: Service, states: Any) -> None:
    revision = executions.make_machine(service)
    states.publish_state_machine_version(stateMachineArn=ARN)
    route = [{"stateMachineVersionArn": f"{ARN}:1", "weight": 100}]
    states.create_state_machine_alias(name="live", routingConfiguration=route)
    for source, name in ((ARN, "plain"), (f"{ARN}:1", "version"), (f"{ARN}:live", "alias")):
        service.tick(1)
        states.start_execution(stateMachineArn=source, name=name)
    failed = executions.execution(90, service, revision, status=ExecutionStatus.FAILED, redrive_count=1)
    executions.store(service, failed)

    def names(**request: Any) -> list[str]:
        return [one["name"] for one in states.list_executions(**request)["executions"]]

    assert names(stateMachineArn=ARN) == ["90", "alias", "version", "plain"]
    assert names(stateMachineArn=f"{ARN}:1") == ["alias", "version"]
    assert names(stateMachineArn=f"{ARN}:live") == ["alias"]
    assert names(stateMachineArn=ARN, statusFilter="FAILED") == ["90"]
    assert names(stateMachineArn=ARN, redriveFilter="NOT_REDRIVEN") == ["alias", "version", "plain"]
    described = states.describe_execution(executionArn=f"{PREFIX}execution:nightly:alias")
    assert described["stateMachineVersionArn"] == f"{ARN}:1"
    assert described["stateMachineAliasArn"] == f"{ARN}:live"
    assert refusal(states.list_executions, stateMachineArn=f"{ARN}:other")[0] == "StateMachineDoesNotExist"
    assert refusal(states.list_executions)[0] == "ValidationException"
    text = refusal(states.list_executions, stateMachineArn=ARN, statusFilter="succeeded")[1]
    assert text.endswith("enum value set: [SUCCEEDED, TIMED_OUT, PENDING_REDRIVE, ABORTED, FAILED, RUNNING]")


def test_an_execution_keeps_the_definition_that_it_began_with(service: Service, states: Any) -> None:
    machine(states)
    states.start_execution(stateMachineArn=ARN, name="old")
    definition = states.describe_state_machine(stateMachineArn=ARN)["definition"]
    states.update_state_machine(
        stateMachineArn=ARN, definition=definition.replace("Pass", "Succeed").replace(', "End": true', "")
    )
    states.delete_state_machine(stateMachineArn=ARN)
    shown = states.describe_state_machine_for_execution(executionArn=f"{PREFIX}execution:nightly:old")
    assert (shown["definition"], shown["name"], shown["stateMachineArn"]) == (definition, "nightly", ARN)
    assert "revisionId" not in shown


def test_a_stopped_execution_shows_why_and_a_closed_one_stays_as_it_is(service: Service, states: Any) -> None:
    machine(states, Type="Wait", Seconds=60)
    arn = states.start_execution(stateMachineArn=ARN)["executionArn"]
    service.tick(1000)
    stopped = states.stop_execution(executionArn=arn, error="E", cause="enough")
    service.tick(1000)
    assert states.stop_execution(executionArn=arn)["stopDate"] == stopped["stopDate"]
    shown = states.describe_execution(executionArn=arn)
    assert (shown["status"], shown["error"], shown["cause"], shown["redriveStatus"]) == (
        "ABORTED",
        "E",
        "enough",
        "REDRIVABLE",
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("not some json", "Unrecognized token 'not': was expecting (JSON String, Number, Array"),
        ("{'not': 'json'", "Unexpected character (''' (code 39)): was expecting double-quote to start field name'"),
        ("", "'Invalid execution input.'"),
        ("NaN", "Unrecognized token 'NaN'"),
        ("[" * 5000 + "]" * 5000, "nested"),
    ],
)
def test_an_input_that_is_no_json_is_refused_as_its_reader_says(states: Any, text: str, fault: str) -> None:
    machine(states)
    code, message = refusal(states.start_execution, stateMachineArn=ARN, input=text)
    assert code == "InvalidExecutionInput"
    assert message.startswith("Invalid State Machine Execution Input: '")
    assert fault in message


def test_what_is_no_execution_here_is_refused(service: Service, states: Any) -> None:
    machine(states)
    unknown = f"{PREFIX}execution:nightly:none"
    for call in (states.describe_execution, states.get_execution_history, states.stop_execution):
        assert refusal(call, executionArn=unknown) == (
            "ExecutionDoesNotExist",
            f"Execution Does Not Exist: '{unknown}'",
        )
    express = f"{PREFIX}express:nightly:a:b"
    assert refusal(states.describe_execution, executionArn=express) == (
        "InvalidArn",
        "Invalid Arn: 'Resource type not valid in this context: express'",
    )
    assert refusal(states.start_execution, stateMachineArn=ARN, name="a b") == ("InvalidName", "Invalid Name: 'a b'")
    assert (
        refusal(states.start_execution, stateMachineArn=ARN, input='"' + "é" * 131_072 + '"')[0]
        == "ValidationException"
    )


def test_a_synchronous_execution_is_answered_with_its_end(service: Service, states: Any) -> None:
    express = machine(states, "quick", "EXPRESS", Result={"a": 1})
    failing = machine(states, "failing", "EXPRESS", Type="Pass", InputPath="$.none")
    done = states.start_sync_execution(stateMachineArn=express, name="n", input="{}")
    assert (done["status"], done["output"], done["name"]) == ("SUCCEEDED", '{"a":1}', "n")
    assert done["executionArn"].startswith(f"{PREFIX}express:quick:n:")
    assert done["billingDetails"] == {"billedDurationInMilliseconds": 100, "billedMemoryUsedInMB": 64}
    failed = states.start_sync_execution(stateMachineArn=failing)
    assert (failed["status"], failed["error"]) == ("FAILED", "States.Runtime")
    assert failed["outputDetails"] == {"included": True}
    assert refusal(states.list_executions, stateMachineArn=express)[0] == "StateMachineTypeNotSupported"
    machine(states)
    assert refusal(states.start_sync_execution, stateMachineArn=ARN) == (
        "StateMachineTypeNotSupported",
        "This operation is not supported by this type of state machine",
    )


def test_a_worker_takes_a_task_and_its_token_ends_the_state(service: Service, states: Any) -> None:
    activity = states.create_activity(name="walk")["activityArn"]
    machine(states, Type="Task", Resource=activity)
    arn = states.start_execution(stateMachineArn=ARN, input='{"far":1}')["executionArn"]
    task = states.get_activity_task(activityArn=activity, workerName="w")
    assert json.loads(task["input"]) == {"far": 1}
    token = task["taskToken"]
    invalid = ("InvalidToken", "Invalid Token: 'Invalid token'")
    assert refusal(states.send_task_success, taskToken="none", output="no json") == invalid
    assert refusal(states.send_task_success, taskToken=token, output="no json")[0] == "InvalidOutput"
    states.send_task_heartbeat(taskToken=token)
    states.send_task_success(taskToken=token, output="[2]")
    assert states.describe_execution(executionArn=arn)["output"] == "[2]"
    assert refusal(states.send_task_failure, taskToken=token)[0] in ("TaskTimedOut", "TaskDoesNotExist")


def test_a_worker_waits_for_a_task_and_gets_an_empty_answer_without_one(service: Service, states: Any) -> None:
    activity = states.create_activity(name="walk")["activityArn"]
    machine(states, Type="Task", Resource=activity)
    service.context = replace_context(service, activity_poll_seconds=0.01)
    assert asyncio.run(call(service, "GetActivityTask", activityArn=activity)) == {}

    async def scenario() -> dict[str, Any]:
        service.context = replace_context(service, activity_poll_seconds=30.0)
        waiting = asyncio.create_task(call(service, "GetActivityTask", activityArn=activity))
        await asyncio.sleep(0)  # it asks, and finds nothing
        assert service.context.waiters.workers(activity) == 1
        await call(service, "StartExecution", stateMachineArn=ARN, input='"go"')
        return await waiting

    assert asyncio.run(scenario())["input"] == '"go"'


def test_nobody_waits_for_a_service_that_ends(service: Service, states: Any) -> None:
    activity = states.create_activity(name="walk")["activityArn"]

    async def scenario() -> dict[str, Any]:
        service.context = replace_context(service, activity_poll_seconds=30.0)
        waiting = asyncio.create_task(call(service, "GetActivityTask", activityArn=activity))
        await asyncio.sleep(0)
        with service.context.waiters.expect_end("arn") as end:
            service.context.waiters.close()
        assert end.cancelled()
        return await waiting | await call(service, "GetActivityTask", activityArn=activity)

    assert asyncio.run(scenario()) == {}


def test_a_stopped_execution_is_redriven(service: Service, states: Any) -> None:
    machine(states, Type="Wait", Seconds=60)
    arn = states.start_execution(stateMachineArn=ARN)["executionArn"]
    service.tick(1000)
    running = ("ExecutionNotRedrivable", "Execution is RUNNING and cannot be redriven")
    assert refusal(states.redrive_execution, executionArn=arn) == running
    states.stop_execution(executionArn=arn)
    states.redrive_execution(executionArn=arn)
    shown = states.describe_execution(executionArn=arn)
    assert (shown["status"], shown["redriveCount"], "redriveDate" in shown) == ("RUNNING", 1, True)
    assert "stopDate" not in shown
    service.tick(60_000)
    assert states.describe_execution(executionArn=arn)["status"] == "SUCCEEDED"
    assert refusal(states.redrive_execution, executionArn=arn)[1] == "Execution is SUCCEEDED and cannot be redriven"


def test_map_runs_are_described_listed_and_hold_executions(service: Service, states: Any) -> None:
    revision = executions.make_machine(service)
    run = replace(executions.map_run(1, service), stopped_at_ms=0)
    child = executions.execution(2, service, revision, map_run_arn=run.arn, machine_arn=f"{ARN}/each", item_count=3)
    executions.store(service, executions.execution(1, service, revision), child, map_runs={run.arn: run})
    shown = states.describe_map_run(mapRunArn=run.arn)
    assert (shown["executionArn"], shown["status"]) == (run.execution_arn, "SUCCEEDED")
    assert shown["itemCounts"]["total"] == 0
    (listed,) = states.list_map_runs(executionArn=run.execution_arn)["mapRuns"]
    assert listed["stateMachineArn"] == f"{ARN}/each"
    (row,) = states.list_executions(mapRunArn=run.arn)["executions"]
    assert (row["mapRunArn"], row["itemCount"]) == (run.arn, 3)
    of_child = states.describe_state_machine_for_execution(executionArn=child.arn)
    assert (of_child["label"], of_child["mapRunArn"], of_child["name"]) == ("each", run.arn, "nightly")
    assert refusal(states.update_map_run, mapRunArn=run.arn, maxConcurrency=1)[0] == "ValidationException"
    assert refusal(states.describe_map_run, mapRunArn=f"{run.arn}x")[0] == "ResourceNotFound"
    assert refusal(states.redrive_execution, executionArn=child.arn)[0] == "ExecutionNotRedrivable"


def replace_context(service: Service, **members: Any) -> Any:
    import dataclasses

    return dataclasses.replace(service.context, **members)


async def call(service: Service, name: str, **request: Any) -> dict[str, Any]:
    from batchyard.api import operations
    from batchyard.api.context import Call

    return await operations.bind(service.context)["states", name](Call(name), request)
