"""TestState as boto3 sees it: states without calls, tasks that call operations of this service, and mocks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from batchyard.api.http_task_sender import HttpExchange
from tests.api.service import Service

ROLE = "arn:aws:iam::123456789012:role/workflows"
PUBLISH = "arn:aws:states:::sns:publish"
PUT_EVENTS = {
    "Type": "Task",
    "Resource": "arn:aws:states:::events:putEvents",
    "Parameters": {"Entries": []},
    "End": True,
}


@pytest.fixture
def states(service: Service) -> Any:
    return service.client("stepfunctions")


def run(states: Any, definition: Any, given: Any = None, **members: Any) -> dict[str, Any]:
    text = json.dumps({} if given is None else given)
    shown: dict[str, Any] = states.test_state(definition=json.dumps(definition), input=text, roleArn=ROLE, **members)
    del shown["ResponseMetadata"]
    return shown


def refusal(states: Any, definition: Any, **members: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        states.test_state(definition=definition if isinstance(definition, str) else json.dumps(definition), **members)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_a_state_is_evaluated_and_inspected_on_request(states: Any) -> None:
    definition = {"Type": "Pass", "Parameters": {"b.$": "$.a"}, "ResultPath": "$.r", "Next": "N"}
    assert run(states, definition, {"a": 1}) == {
        "status": "SUCCEEDED",
        "output": '{"a":1,"r":{"b":1}}',
        "nextState": "N",
    }
    shown = run(states, definition, {"a": 1}, inspectionLevel="DEBUG")
    assert shown["inspectionData"] == {
        "input": '{"a": 1}',
        "afterInputPath": '{"a": 1}',
        "afterParameters": '{"b":1}',
        "afterResultSelector": '{"b":1}',
        "afterResultPath": '{"a":1,"r":{"b":1}}',
    }


def test_a_task_calls_an_operation_of_this_service(service: Service, states: Any) -> None:
    topic = service.client("sns").create_topic(Name="jobs")["TopicArn"]
    definition = {
        "Type": "Task",
        "Resource": PUBLISH,
        "Parameters": {"TopicArn.$": "$.topic", "Message": {"any": "value"}},
        "ResultSelector": {"Id.$": "$.MessageId", "Status.$": "$.SdkHttpMetadata.HttpStatusCode"},
        "Catch": [{"ErrorEquals": ["SNS.NotFoundException"], "ResultPath": "$.error", "Next": "Handle"}],
        "End": True,
    }
    shown = run(states, definition, {"topic": topic})
    output = json.loads(shown["output"])
    assert (shown["status"], output["Status"]) == ("SUCCEEDED", 200)
    assert output["Id"]
    missing = run(states, definition, {"topic": topic + "x"}, inspectionLevel="TRACE")
    assert (missing["status"], missing["error"], missing["nextState"]) == (
        "CAUGHT_ERROR",
        "SNS.NotFoundException",
        "Handle",
    )
    assert missing["cause"].startswith(
        "Topic does not exist (Service: AmazonSNS; Status Code: 404; Error Code: NotFound;"
    )
    assert missing["inspectionData"]["errorDetails"] == {"catchIndex": 0}
    wrong = run(states, definition | {"Parameters": {"TopicArn": 1, "Message": "x"}})
    assert wrong["error"] == "States.Runtime"
    assert "could not be used to start the Task: [" in wrong["cause"]


def test_a_mocked_result_is_compared_with_the_model(states: Any) -> None:
    assert run(states, PUT_EVENTS, mock={"result": '{"random": "json"}'})["output"] == '{"random": "json"}'
    for result, fault in [
        ({"Entries": "text"}, "Field 'Entries' must be an array"),
        ({"Entries": [{"EventId": "a"}, {"EventId": ["b"]}]}, "Field 'EventId' must be a string"),
        ({"FailedEntryCount": "0"}, "Field 'FailedEntryCount' must be a number"),
    ]:
        message = refusal(states, PUT_EVENTS, mock={"result": json.dumps(result)})
        assert message == ("ValidationException", f"Mock result schema validation error: {fault}")
        assert run(states, PUT_EVENTS, mock={"result": json.dumps(result), "fieldValidationMode": "NONE"})["output"]


def test_a_mocked_result_is_held_to_enums_bounds_and_required_members(states: Any) -> None:
    described = {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:sfn:describeStateMachine", "End": True}
    described["Parameters"] = {"StateMachineArn": "arn"}  # type: ignore[assignment]
    whole = {
        "StateMachineArn": "a",
        "Name": "n",
        "Definition": "{}",
        "RoleArn": "r",
        "Type": "STANDARD",
        "CreationDate": 1,
    }
    assert run(states, described, mock={"result": json.dumps(whole)})["status"] == "SUCCEEDED"
    partial = json.dumps(whole | {"Name": None})
    assert run(states, described, mock={"result": partial})["status"] == "SUCCEEDED"
    for change, mode, fault in [
        ({"Type": "SLOW"}, "PRESENT", "Field 'Type' is not an expected value"),
        ({"Name": 1}, "STRICT", "Field 'Name' must be a string"),
        ({"TracingConfiguration": {"Enabled": 1}}, "STRICT", "Field 'Enabled' must be a boolean"),
    ]:
        mock = {"result": json.dumps(whole | change), "fieldValidationMode": mode}
        assert refusal(states, described, mock=mock)[1] == f"Mock result schema validation error: {fault}"
    empty: dict[str, Any] = {"result": "{}"}
    assert refusal(states, described, mock=empty)[1] == (
        "Mock result schema validation error: Field 'StateMachineArn' is required"
    )
    assert run(states, described, mock=empty | {"fieldValidationMode": "PRESENT"})["status"] == "SUCCEEDED"


def test_definitions_are_checked_first(states: Any) -> None:
    bad_type = (
        "The field 'Type' should have one of these values: [Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map]"
    )
    code, text = refusal(states, {"Type": "No", "End": True})
    assert (code, bad_type in text, "/States/StateName/Type" in text) == ("InvalidDefinition", True, True)
    for definition in ("no", "{", "[]"):
        assert refusal(states, definition)[0] == "InvalidDefinition"
    foreign = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {}, "End": True}
    assert "is not recognized" in refusal(states, foreign, roleArn=ROLE)[1]
    machine = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": foreign}}
    assert run(states, machine, {"a": 1}, stateName="A")["nextState"] == "B"
    assert run(states, machine, stateName="B", mock={"result": "1"})["output"] == "1"
    assert "is not recognized" in refusal(states, machine, stateName="B", roleArn=ROLE)[1]
    assert refusal(states, machine, stateName="C") == ("ValidationException", "State not found in definition")


@pytest.mark.parametrize(
    "resource",
    [
        "arn:aws:states:us-east-1:123456789012:activity:a",
        "arn:aws:states:::batch:submitJob.sync",
        "arn:aws:states:::sns:publish.waitForTaskToken",
    ],
)
def test_what_takes_its_time_is_tested_with_a_mock(states: Any, resource: str) -> None:
    parameters = {"JobName": "a", "JobQueue": "q", "JobDefinition": "d"} if "batch" in resource else {"Message": "m"}
    definition = {"Type": "Task", "Resource": resource, "Parameters": parameters, "End": True}
    code, text = refusal(states, definition, roleArn=ROLE)
    assert (code, text.startswith(f"TestState calls {resource} with a mock only:")) == ("ValidationException", True)
    assert run(states, definition, mock={"result": "7", "fieldValidationMode": "NONE"})["output"] == "7"


HTTP_TASK = {
    "Type": "Task",
    "Resource": "arn:aws:states:::http:invoke",
    "Parameters": {
        "ApiEndpoint": "https://api/v1",
        "Method.$": "$.method",
        "Authentication": {"ConnectionArn": "arn:aws:events:us-east-1:123456789012:connection/hook/4e9d"},
    },
    "ResultSelector": {"id.$": "$.ResponseBody.id"},
    "Retry": [{"ErrorEquals": ["States.Http.StatusCode.503"]}],
    "End": True,
}


def test_an_http_task_is_sent_and_its_exchange_is_shown(service: Service, states: Any) -> None:
    sent: list[dict[str, Any]] = []
    answers = [
        HttpExchange({"method": "GET"}, {"statusCode": "200"}, {"ResponseBody": {"id": 5}}),
        HttpExchange({"method": "GET"}, {"statusCode": "503"}, error="States.Http.StatusCode.503", cause="busy"),
        HttpExchange({"method": "GET"}, None, error="States.Http.Socket", cause="no answer"),
    ]

    async def send(arguments: dict[str, Any]) -> HttpExchange:
        sent.append(arguments)
        return answers[len(sent) - 1]

    service.context.http_tasks.send = send
    given = {"method": "GET"}
    good = run(states, HTTP_TASK, given, inspectionLevel="TRACE")
    assert (good["status"], good["output"]) == ("SUCCEEDED", '{"id":5}')
    assert good["inspectionData"]["request"] == {"method": "GET"}
    assert good["inspectionData"]["response"] == {"statusCode": "200"}
    busy = run(states, HTTP_TASK, given, inspectionLevel="DEBUG")
    assert (busy["status"], busy["error"], busy["cause"]) == ("RETRIABLE", "States.Http.StatusCode.503", "busy")
    assert "request" not in busy["inspectionData"]
    silent = run(states, HTTP_TASK, given, inspectionLevel="TRACE")
    assert (silent["status"], silent["error"]) == ("FAILED", "States.Http.Socket")
    assert "response" not in silent["inspectionData"]
    bad = run(states, HTTP_TASK, {"method": "FETCH"})
    assert (bad["status"], bad["error"], len(sent)) == ("FAILED", "States.Runtime", 3)
    assert "could not be used to start the Task: [The value of the field 'Method' must be one of" in bad["cause"]
