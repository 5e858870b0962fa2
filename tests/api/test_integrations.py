"""The integrations of Step Functions: what can be called, what is refused, and what answers and errors look like."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchyard.api import integrations as i
from batchyard.workflows.resources import parse_resource

BATCH = "arn:aws:states:::batch:submitJob"
JOB: dict[str, Any] = {"JobName": "a", "JobQueue": "q", "JobDefinition": "d:1"}
REMEDY = "; use arn:aws:states:::batch:submitJob.sync or an activity."


def integration(arn: str) -> i.Integration:
    found = i.find_integration(parse_resource(arn))
    assert found is not None, arn
    return found


def refusal(arn: str) -> str:
    return (
        f"The resource provided {arn} is not recognized. The value is not a valid resource ARN, or the resource is not "
        f"available in this region."
    )


@pytest.mark.parametrize(
    ("arn", "operation"),
    [
        (BATCH, ("batch", "SubmitJob")),
        (f"{BATCH}.sync", ("batch", "SubmitJob")),
        (f"{BATCH}.sync:2", ("batch", "SubmitJob")),
        (f"{BATCH}.waitForTaskToken", ("batch", "SubmitJob")),
        ("arn:aws-cn:states:::sns:publish", ("sns", "Publish")),
        ("arn:aws:states:::events:putEvents.waitForTaskToken", ("events", "PutEvents")),
        ("arn:aws:states:::states:startExecution.sync:2", ("states", "StartExecution")),
        ("arn:aws:states:::aws-sdk:sfn:sendTaskSuccess", ("states", "SendTaskSuccess")),
        ("arn:aws:states:::aws-sdk:batch:describeJobs", ("batch", "DescribeJobs")),
        ("arn:aws:states:::aws-sdk:eventbridge:putEvents", ("events", "PutEvents")),
        ("arn:aws:states:::aws-sdk:cloudwatchlogs:putLogEvents", ("logs", "PutLogEvents")),
        ("arn:aws:states:::aws-sdk:sns:publish.waitForTaskToken", ("sns", "Publish")),
    ],
)
def test_a_resource_is_an_operation_of_ours(arn: str, operation: tuple[str, str]) -> None:
    found = integration(arn)
    assert (found.service, found.operation) == operation


@pytest.mark.parametrize(
    ("arn", "more"),
    [
        ("arn:aws:states:::lambda:invoke", f" Batchyard runs no lambda{REMEDY}"),
        ("arn:aws:lambda:us-east-1:123456789012:function:f", f" Batchyard runs no lambda{REMEDY}"),
        ("arn:aws:states:::sqs:sendMessage.waitForTaskToken", f" Batchyard runs no sqs{REMEDY}"),
        ("arn:aws:states:::dynamodb:putItem", f" Batchyard runs no dynamodb{REMEDY}"),
        ("arn:aws:states:::aws-sdk:rekognition:detectFaces", f" Batchyard runs no rekognition{REMEDY}"),
        (
            "arn:aws:states:::aws-sdk:batch:describeEverything",
            " Batchyard does not have the operation DescribeEverything of Batch.",
        ),
        ("arn:aws:states:::dynamodb:query", ""),
        ("arn:aws:states:::batch:submitJobs", ""),
        ("arn:aws:states:::sns:publish.sync", ""),
        ("nonsense", ""),
    ],
)
def test_what_is_not_here_is_refused_with_the_remedy(arn: str, more: str) -> None:
    assert i.check_task(arn, {}) == [("Resource", refusal(arn) + more)]
    # Where the owner accepts what runs elsewhere, what AWS has none of is refused nevertheless.
    assert i.check_known_task(arn, {}) == ([] if more else [("Resource", refusal(arn))])


@pytest.mark.parametrize(
    ("arn", "arguments", "faults"),
    [
        (BATCH, JOB, []),
        (BATCH, {"JobName.$": "$.a", "JobQueue.$": "$.b", "JobDefinition": "d"}, []),
        (BATCH, "{% $states.input %}", []),
        ("arn:aws:states:us-east-1:123456789012:activity:a", {"anything": 1}, []),
        (BATCH, None, [i.missing(name) for name in ("JobName", "JobQueue", "JobDefinition")]),
        (BATCH, JOB | {"Colour": 1}, ['The field "Colour" is not supported by Step Functions']),
        (
            BATCH,
            JOB | {"ContainerOverrides": {"Environment": [{"name": "A", "Value.$": "$.x"}]}},
            ['The field "name" is not supported by Step Functions: it is spelt "Name"'],
        ),
        (BATCH, JOB | {"Parameters": {"any.$": "$.x", "Other": "y"}, "Tags.$": "$.tags"}, []),
        ("arn:aws:states:::http:invoke", {"ApiEndpoint.$": "$.u", "Method": "GET", "Authentication": {}}, []),
        (
            "arn:aws:states:::http:invoke",
            {"ApiEndpoint": "u", "method": "GET"},
            [
                'The field "method" is not supported by Step Functions',
                "The field 'Method' is required but was missing",
                "The field 'Authentication' is required but was missing",
            ],
        ),
    ],
)
def test_arguments_are_checked_in_definitions(arn: str, arguments: Any, faults: list[str]) -> None:
    assert i.check_task(arn, arguments) == [("", fault) for fault in faults]
    assert i.check_known_task(arn, arguments) == i.check_task(arn, arguments)


def test_values_are_checked_before_a_call() -> None:
    assert i.argument_faults(parse_resource(BATCH), JOB) == ""
    assert i.argument_faults(
        parse_resource(BATCH), JOB | {"Parameters": {"Key2": 1}, "Tags": {"b": None, "c": []}}
    ) == (
        "The value for the field 'Key2' must be a STRING, The value for the field 'b' must be a STRING, "
        "The value for the field 'c' must be a STRING"
    )
    assert i.argument_faults(parse_resource("arn:aws:states:::sns:publish"), {"Message": {"a": 1}}) == ""
    assert i.argument_faults(parse_resource("arn:aws:states:::http:invoke"), {"Headers": {"Host": "x"}}) != ""


def test_the_answer_of_an_optimised_integration_has_the_metadata_of_the_sdk() -> None:
    output = i.output_of(integration(f"{BATCH}.sync"), {"jobId": "1", "jobName": "a", "jobArn": "arn"}, "r-1")
    headers = {"Content-Type": "application/json", "x-amzn-RequestId": "r-1"}
    assert output == {
        "JobArn": "arn",
        "JobId": "1",
        "JobName": "a",
        "SdkHttpMetadata": {
            "AllHttpHeaders": {"Content-Type": ["application/json"], "x-amzn-RequestId": ["r-1"]},
            "HttpHeaders": headers,
            "HttpStatusCode": 200,
        },
        "SdkResponseMetadata": {"RequestId": "r-1"},
    }
    sdk = integration("arn:aws:states:::aws-sdk:batch:submitJob")
    assert i.output_of(sdk, {"jobId": "1"}, "r-1") == {"JobId": "1"}


def test_an_event_that_was_not_taken_fails_the_call_with_the_whole_answer() -> None:
    put = integration("arn:aws:states:::events:putEvents")
    taken = {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}
    assert i.output_of(put, taken, "r") == taken
    failed = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "E", "ErrorMessage": "m"}]}
    error = i.output_of(put, failed, "r")
    assert isinstance(error, i.CallError)
    assert (error.error, json.loads(error.cause)) == ("EventBridge.FailedEntry", failed)
    assert i.output_of(integration("arn:aws:states:::aws-sdk:eventbridge:putEvents"), failed, "r") == failed


@pytest.mark.parametrize(
    ("arn", "code", "error", "cause"),
    [
        (
            BATCH,
            "ClientException",
            "Batch.ClientException",
            "m (Service: AWSBatch; Status Code: 400; Error Code: ClientException; Request ID: r; Proxy: null)",
        ),
        (
            BATCH,
            "TooManyRequestsException",
            "Batch.AWSBatchException",
            "m (Service: AWSBatch; Status Code: 429; Error Code: TooManyRequestsException; Request ID: r; Proxy: null)",
        ),
        (
            "arn:aws:states:::sns:publish",
            "NotFound",
            "SNS.NotFoundException",
            "m (Service: AmazonSNS; Status Code: 404; Error Code: NotFound; Request ID: r; Proxy: null)",
        ),
        (
            "arn:aws:states:::aws-sdk:sns:publish",
            "NotFound",
            "Sns.NotFoundException",
            "m (Service: Sns, Status Code: 404, Request ID: r) (SDK Attempt Count: 1)",
        ),
        (
            "arn:aws:states:::states:startExecution",
            "StateMachineDoesNotExist",
            "StepFunctions.StateMachineDoesNotExistException",
            (
                "m (Service: AWSStepFunctions; Status Code: 400; Error Code: StateMachineDoesNotExist; Request ID: r; "
                "Proxy: null)"
            ),
        ),
        (
            "arn:aws:states:::aws-sdk:sfn:sendTaskSuccess",
            "InvalidToken",
            "Sfn.InvalidTokenException",
            "m (Service: Sfn, Status Code: 400, Request ID: r) (SDK Attempt Count: 1)",
        ),
        (
            "arn:aws:states:::aws-sdk:batch:describeJobs",
            "NovelException",
            "Batch.BatchException",
            "m (Service: Batch, Status Code: 400, Request ID: r) (SDK Attempt Count: 1)",
        ),
    ],
)
def test_errors_have_the_names_and_causes_of_the_sdks(arn: str, code: str, error: str, cause: str) -> None:
    assert i.error_of(integration(arn), code, "m", "r") == i.CallError(error, cause)
