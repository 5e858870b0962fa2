"""TestState: what it shows of each type of state, and what it refuses."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from batchyard.core.model.refusal import Refused
from batchyard.workflows.executions.payload import payload_of
from batchyard.workflows.state_test_requests import (
    StateTestRequest,
    Surroundings,
    check_type,
    isolated_definition,
    make_test,
)
from batchyard.workflows.state_tests import NeedsCall, StateTest, StateTestOutcome, run_test

ROLE = "arn:aws:iam::123456789012:role/r"
INVOKE = "arn:aws:states:::batch:submitJob"
NOW_MS = 1_700_000_000_000
PASS = {"StartAt": "Inner", "States": {"Inner": {"Type": "Pass", "End": True}}}


def prepared(definition: dict[str, Any], given: Any = None, **members: Any) -> StateTest:
    numbers = itertools.count(1)
    surroundings = Surroundings("us-east-1", "123456789012", NOW_MS, lambda: f"id-{next(numbers)}")
    text = json.dumps({} if given is None else given, separators=(",", ":"))
    request = StateTestRequest(**{"definition": definition, "role_arn": ROLE, "input": text} | members)
    machine = isolated_definition(request)
    check_type(machine["States"]["StateName"]["Type"], request)
    return make_test(machine, request, surroundings)


def outcome_of(definition: dict[str, Any], given: Any = None, **members: Any) -> dict[str, Any]:
    """How a test ends, with JSON texts read."""
    outcome = run_test(prepared(definition, given, **members))
    assert isinstance(outcome, StateTestOutcome)
    found: dict[str, Any] = {"status": outcome.status}
    for name, value in (("error", outcome.error), ("cause", outcome.cause), ("next", outcome.next)):
        if value is not None:
            found[name] = value
    if outcome.output is not None:
        found["output"] = outcome.output.value
    texts = outcome.inspection.items()
    return found | {"seen": {name: json.loads(value) if isinstance(value, str) else value for name, value in texts}}


def test_a_pass_state_shows_its_data_on_its_way() -> None:
    definition = {
        "Type": "Pass",
        "InputPath": "$.a",
        "Parameters": {"x.$": "$.b"},
        "ResultPath": "$.r",
        "OutputPath": "$.r",
        "Assign": {"v.$": "$.x"},
        "Next": "N",
    }
    assert outcome_of(definition, {"a": {"b": 1}}, variables='{"w": 2}') == {
        "status": "SUCCEEDED",
        "next": "N",
        "output": {"x": 1},
        "seen": {
            "input": {"a": {"b": 1}},
            "afterInputPath": {"b": 1},
            "afterParameters": {"x": 1},
            "afterResultSelector": {"x": 1},
            "afterResultPath": {"a": {"b": 1}, "r": {"x": 1}},
            "variables": {"w": 2, "v": 1},
        },
    }
    with_result = outcome_of({"Type": "Pass", "Result": [1], "End": True}, {})
    assert with_result["seen"] == {"input": {}, "result": [1], "afterResultSelector": [1], "afterResultPath": [1]}


def test_states_without_work() -> None:
    assert outcome_of({"Type": "Succeed", "OutputPath": "$.a"}, {"a": 1}) == {
        "status": "SUCCEEDED",
        "output": 1,
        "seen": {"input": {"a": 1}, "afterInputPath": {"a": 1}},
    }
    assert outcome_of({"Type": "Wait", "Seconds": 1000, "Next": "N"}, 5)["next"] == "N"
    failed = outcome_of({"Type": "Fail", "Error": "E", "CausePath": "$.why"}, {"why": "because"})
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "E", "because")
    assert "output" not in failed


def test_a_choice_shows_where_it_leads() -> None:
    definition = {"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": True, "Next": "Null"}], "Default": "D"}
    assert outcome_of(definition, {"a": None})["next"] == "Null"
    assert outcome_of(definition, {"a": 1})["next"] == "D"
    assert outcome_of(definition, {}) == {
        "status": "FAILED",
        "error": "States.Runtime",
        "cause": "Invalid path '$.a': The choice state's condition path references an invalid value.",
        "seen": {"input": {}, "afterInputPath": {}},
    }
    expressions = {
        "Type": "Choice",
        "QueryLanguage": "JSONata",
        "Choices": [{"Condition": "{% $x > 1 %}", "Next": "A"}],
    }
    assert outcome_of(expressions, {}, variables='{"x": 2}')["next"] == "A"
    assert outcome_of(expressions, {}, variables='{"x": 1}')["cause"].startswith(
        "Failed to transition out of the state."
    )


def test_a_task_needs_its_call_and_goes_on_with_its_result() -> None:
    definition = {
        "Type": "Task",
        "Resource": INVOKE,
        "Parameters": {"JobName.$": "$.n"},
        "ResultSelector": {"id.$": "$.JobId"},
        "ResultPath": "$.job",
        "End": True,
    }
    test = prepared(definition, {"n": "a"})
    call = run_test(test)
    assert isinstance(call, NeedsCall)
    assert (call.resource.action, call.arguments.value) == ("submitJob", {"JobName": "a"})
    answered = outcome_of(definition, {"n": "a"}, mock={"result": '{"JobId": "7"}'})
    assert answered["output"] == {"n": "a", "job": {"id": "7"}}
    assert answered["seen"]["result"] == {"JobId": "7"}
    assert answered["seen"]["afterResultSelector"] == {"id": "7"}
    again = run_test(prepared(definition, {"n": "a"}, mock={"result": '{"JobId": "7"}'}))
    assert isinstance(again, StateTestOutcome)
    assert again.output is not None
    assert again.output.text == payload_of(answered["output"]).text


RETRY = [{"ErrorEquals": ["Other"]}, {"ErrorEquals": ["E"], "MaxAttempts": 5, "BackoffRate": 2.0}]
CATCH = [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Handle"}]
ERROR = {"errorOutput": {"error": "E", "cause": "why"}}


@pytest.mark.parametrize(
    ("fields", "retries", "status", "details"),
    [
        ({}, 0, "FAILED", None),
        ({"Retry": RETRY}, 0, "RETRIABLE", {"retryIndex": 1, "retryBackoffIntervalSeconds": 1}),
        ({"Retry": RETRY}, 4, "RETRIABLE", {"retryIndex": 1, "retryBackoffIntervalSeconds": 16}),
        ({"Retry": RETRY}, 5, "FAILED", {"retryIndex": 1}),
        ({"Retry": RETRY, "Catch": CATCH}, 5, "CAUGHT_ERROR", {"retryIndex": 1, "catchIndex": 0}),
        ({"Catch": CATCH}, 0, "CAUGHT_ERROR", {"catchIndex": 0}),
    ],
)
def test_an_error_is_retried_caught_or_the_end(
    fields: dict[str, Any], retries: int, status: str, details: dict[str, int] | None
) -> None:
    definition = {"Type": "Task", "Resource": INVOKE, "End": True, **fields}
    found = outcome_of(definition, {"a": 1}, mock=ERROR, configuration={"retrierRetryCount": retries})
    assert (found["status"], found["error"], found["cause"]) == (status, "E", "why")
    assert found["seen"].get("errorDetails") == details
    caught = {"output": {"a": 1, "error": {"Error": "E", "Cause": "why"}}, "next": "Handle"}
    assert {name: found[name] for name in ("output", "next") if name in found} == (
        caught if status == "CAUGHT_ERROR" else {}
    )


def test_what_cannot_be_evaluated_is_the_end_whatever_catches_it() -> None:
    definition = {"Type": "Task", "Resource": INVOKE, "Parameters": {"a.$": "$.no"}, "End": True, "Catch": CATCH}
    found = outcome_of(definition, {}, mock={"result": "{}"})
    assert (found["status"], found["error"]) == ("FAILED", "States.Runtime")
    assert found["cause"].startswith("The JSONPath '$.no' specified for the field 'a.$'")


def mapped(**fields: Any) -> dict[str, Any]:
    processor = PASS | {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
    return {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": processor, "End": True, **fields}


def test_a_map_is_tested_with_the_results_of_its_items() -> None:
    found = outcome_of(
        mapped(MaxConcurrencyPath="$.n", ToleratedFailurePercentage=40),
        {"items": [1, 2], "n": 3},
        mock={"result": "[5,6]"},
    )
    assert (found["status"], found["output"]) == ("SUCCEEDED", [5, 6])
    assert found["seen"] == {
        "input": {"items": [1, 2], "n": 3},
        "afterInputPath": {"items": [1, 2], "n": 3},
        "afterItemsPath": [1, 2],
        "maxConcurrency": 3,
        "toleratedFailurePercentage": 40.0,
        "afterResultSelector": [5, 6],
        "afterResultPath": [5, 6],
    }
    for fields, failed, status in [
        ({}, 2, "SUCCEEDED"),
        ({"ToleratedFailureCount": 1}, 1, "SUCCEEDED"),
        ({"ToleratedFailureCount": 1}, 2, "FAILED"),
        ({"ToleratedFailurePercentage": 50}, 1, "SUCCEEDED"),
        ({"ToleratedFailurePercentage": 49}, 1, "FAILED"),
    ]:
        outcome = outcome_of(
            mapped(**fields),
            {"items": [1, 2]},
            mock={"result": "[5,6]"},
            configuration={"mapIterationFailureCount": failed},
        )
        assert outcome["status"] == status
        assert outcome.get("error") == (None if status == "SUCCEEDED" else "States.ExceedToleratedFailureThreshold")


def test_a_map_names_what_is_no_array() -> None:
    found = outcome_of(mapped(ItemsPath="$$.Execution.Input"), 5, mock={"result": "[]"})
    assert found["cause"] == 'Reference path "$.Execution.Input" must point to array.'
    read = outcome_of(
        mapped(ItemsPath="$.no"), {}, mock={"result": "[1]"}, configuration={"mapItemReaderData": '[{"a": 1}]'}
    )
    assert read["output"] == [1]


def test_the_context_object_is_made_up_or_given() -> None:
    definition = {"Type": "Pass", "Parameters": {"c.$": "$$"}, "OutputPath": "$.c", "End": True}
    assert outcome_of(definition, {"a": 1})["output"] == {
        "Execution": {
            "Id": "arn:aws:states:us-east-1:123456789012:express:id-2:id-1",
            "Input": {"a": 1},
            "Name": "id-1",
            "RoleArn": ROLE,
            "StartTime": "2023-11-14T22:13:20.000Z",
        },
        "StateMachine": {"Id": "arn:aws:states:us-east-1:123456789012:stateMachine:id-2", "Name": "id-2"},
        "State": {"Name": "StateName", "EnteredTime": "2023-11-14T22:13:20.000Z"},
    }
    assert outcome_of(definition, context='{"Execution": {"Name": "n"}}')["output"] == {"Execution": {"Name": "n"}}
    token = {
        "Type": "Task",
        "Resource": INVOKE + ".waitForTaskToken",
        "Parameters": {"T.$": "$$.Task.Token"},
        "End": True,
    }
    assert outcome_of(token, mock={"result": "1"}, context='{"Task": {"Token": "t"}}')["seen"]["afterParameters"] == {
        "T": "t"
    }
    assert outcome_of(token, mock={"result": "1"})["seen"]["afterParameters"]["T"]


def test_a_state_of_a_machine_is_found_at_any_depth() -> None:
    machine = {
        "QueryLanguage": "JSONata",
        "StartAt": "P",
        "States": {
            "P": {"Type": "Parallel", "End": True, "Branches": [{"StartAt": "M", "States": {"M": mapped()}}]},
            "Top": {"Type": "Pass", "Output": "{% 1 + 1 %}", "End": True},
        },
    }
    assert outcome_of(machine, 3, state_name="Inner")["output"] == 3
    assert outcome_of(machine, state_name="Top")["output"] == 2


TASK = {"Type": "Task", "Resource": INVOKE, "End": True}
TWO = {"Type": "Parallel", "Branches": [PASS, PASS], "End": True}
RESULT = {"result": "{}"}


@pytest.mark.parametrize(
    ("definition", "members", "message"),
    [
        (PASS, {"state_name": "No"}, "State not found in definition"),
        (PASS, {}, "stateName must be specified when the definition is a state machine"),
        (TASK, {"role_arn": ""}, "RoleArn must be specified when testing a Task state"),
        (TWO, {}, "TestState API does not support Map or Parallel states. Supported state types include: [Task"),
        ({"Type": "Succeed"}, {"mock": RESULT}, "State type 'Succeed' is not supported when a mock is specified"),
        (TASK, {"mock": RESULT | ERROR}, "A test mock should have only one of the following fields: [result, errorOut"),
        (TASK, {"mock": {}}, "A test mock should have only one of the following fields: [result, errorOutput]."),
        (TASK, {"mock": RESULT, "reveals_secrets": True}, "TestState does not support RevealSecrets when a mock is"),
        (TASK, {"mock": {"result": "no"}}, "Mocked result must be valid JSON"),
        (mapped(), {"mock": RESULT}, "Mocked result must be an array."),
        (mapped(ResultWriter={}), {"mock": {"result": "[]"}}, "Mocked result must be a JSON object."),
        (TWO, {"mock": RESULT}, "Mocked result must be an array."),
        (TWO, {"mock": {"result": "[1]"}}, "Mocked result must contain the same number of items as number of Parallel"),
        (
            mapped(),
            {"mock": {"result": "[1]"}, "configuration": {"mapIterationFailureCount": 2}},
            "Map iteration failure count must be less than or equal to the number of Map iterations",
        ),
        (
            TASK,
            {"mock": RESULT, "context": '{"Map": {}}'},
            "'Map' field is not supported when mocking a Context object",
        ),
        (TASK, {"mock": RESULT, "context": '{"No": {}}'}, "Field 'No' is not allowed"),
        (TASK, {"mock": RESULT, "context": '{"Execution": {"No": 1}}'}, "Field 'No' is not allowed"),
        (TASK, {"mock": RESULT, "context": '{"Execution": {"Id": 1}}'}, "Execution.Id must be a string"),
        (TASK, {"mock": RESULT, "context": '{"State": {"RetryCount": true}}'}, "State.RetryCount must be an integer"),
        (TASK, {"mock": RESULT, "context": '{"State": 1}'}, "State must be an object"),
        (TASK, {"mock": RESULT, "context": "[]"}, "it must be a JSON object"),
        (TASK, {"mock": RESULT, "context": '{"Task": {}}'}, "Context object contains 'Task' when state is not a Task"),
        ({"Type": "Succeed"}, {"input": "{"}, "Invalid test input"),
        ({"Type": "Succeed"}, {"variables": "1"}, "Invalid variables: it must be a JSON object"),
    ],
)
def test_what_is_no_test_is_refused(definition: dict[str, Any], members: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as refusal:
        prepared(definition, **members)
    assert message in str(refusal.value)
