"""Documents in PascalCase: what is read of them, what is wrong with them, and that results come out the same way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.wire.model import Shape, load_service_model
from batchyard.wire.pascal_case import pascal, read_pascal, with_model_names, write_pascal

SUBMIT_JOB = load_service_model("batch").operations["SubmitJob"].input
PUBLISH = load_service_model("sns").operations["Publish"].input
PUT_EVENTS = load_service_model("events").operations["PutEvents"].input
DESCRIBE_JOBS = load_service_model("batch").operations["DescribeJobs"].output
DESCRIBE_SECRET = load_service_model("secretsmanager").operations["DescribeSecret"].output
assert SUBMIT_JOB is not None
assert PUBLISH is not None
assert PUT_EVENTS is not None
assert DESCRIBE_JOBS is not None
assert DESCRIBE_SECRET is not None
JOB: dict[str, Any] = {"JobName": "a", "JobQueue": "q", "JobDefinition": "d:1"}


def test_members_have_the_names_of_the_model_at_every_depth_and_keys_of_maps_stay() -> None:
    written = JOB | {
        "ContainerOverrides": {"Environment": [{"Name": "DATE", "Value": "x"}]},
        "Parameters": {"InputFile": "s3://b"},
        "Tags": {"Team": "ml"},
        "RetryStrategy": {"EvaluateOnExit": [{"OnExitCode": "1*", "Action": "RETRY"}]},
        "ArrayProperties": {"Size": 100.0},
        "SchedulingPriorityOverride": None,
    }
    read, faults = read_pascal(SUBMIT_JOB, written, ())
    assert faults == []
    assert read == {
        "jobName": "a",
        "jobQueue": "q",
        "jobDefinition": "d:1",
        "containerOverrides": {"environment": [{"name": "DATE", "value": "x"}]},
        "parameters": {"InputFile": "s3://b"},
        "tags": {"Team": "ml"},
        "retryStrategy": {"evaluateOnExit": [{"onExitCode": "1*", "action": "RETRY"}]},
        "arrayProperties": {"size": 100},
    }


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        (JOB | {"jobName": "a"}, 'The field "jobName" is not supported by Step Functions: it is spelt "JobName"'),
        (JOB | {"Color": "a"}, 'The field "Color" is not supported by Step Functions'),
        (
            JOB | {"ContainerOverrides": {"environment": []}},
            'The field "environment" is not supported by Step Functions: it is spelt "Environment"',
        ),
        ({"JobName": "a", "JobDefinition": "d"}, "The field 'JobQueue' is required but was missing"),
        (JOB | {"JobQueue": None}, "The field 'JobQueue' is required but was missing"),
        (JOB | {"Parameters": {"Key2": 5}}, "The value for the field 'Key2' must be a STRING"),
        (JOB | {"JobName": {"a": 1}}, "The value for the field 'JobName' must be a STRING"),
        (JOB | {"ArrayProperties": {"Size": "7"}}, "The value for the field 'Size' must be an INTEGER"),
        (JOB | {"ArrayProperties": {"Size": 2.5}}, "The value for the field 'Size' must be an INTEGER"),
        (JOB | {"ArrayProperties": {"Size": 2**31}}, "The value for the field 'Size' must be an INTEGER"),
        (JOB | {"ArrayProperties": {"Size": True}}, "The value for the field 'Size' must be an INTEGER"),
        (JOB | {"PropagateTags": "yes"}, "The value for the field 'PropagateTags' must be a BOOLEAN"),
        (JOB | {"DependsOn": {}}, "The value for the field 'DependsOn' must be a LIST"),
        (JOB | {"Timeout": 60}, "The value for the field 'Timeout' must be a MAP"),
        ("text", "The value for the field '' must be a MAP"),
    ],
)
def test_what_is_wrong_is_named(written: Any, fault: str) -> None:
    assert read_pascal(SUBMIT_JOB, written, ())[1] == [fault]


def test_a_document_gets_the_names_of_the_model_and_keeps_what_the_model_does_not_have() -> None:
    written = JOB | {
        "Parameters": {"InputFile": "s3://b"},
        "jobName": "own",
        "JOBNAME": {"Size": 1},
        "ContainerOverrides": {"Environment": [{"Name": "DATE", "value": "x"}, "none"]},
        "ArrayProperties": 7,
    }
    assert with_model_names(SUBMIT_JOB, written) == {
        "jobName": "own",
        "jobQueue": "q",
        "jobDefinition": "d:1",
        "parameters": {"InputFile": "s3://b"},
        "JOBNAME": {"Size": 1},
        "containerOverrides": {"environment": [{"name": "DATE", "value": "x"}, "none"]},
        "arrayProperties": 7,
    }


def test_all_that_is_wrong_is_found() -> None:
    _, faults = read_pascal(SUBMIT_JOB, {"JobName": 1, "JobQueue": "q", "Tags": {"a": 1}}, ())
    assert faults == [
        "The value for the field 'JobName' must be a STRING",
        "The field 'JobDefinition' is required but was missing",
        "The value for the field 'a' must be a STRING",
    ]


def test_json_stands_for_the_strings_that_may_be_json() -> None:
    read, faults = read_pascal(PUBLISH, {"TopicArn": "t", "Message": {"a": [1, "é"]}, "Subject": ["x"]}, ("Message",))
    assert read["Message"] == '{"a":[1,"é"]}'
    assert faults == ["The value for the field 'Subject' must be a STRING"]
    assert read_pascal(PUBLISH, {"Message": "m", "Subject": ["x"]})[0]["Subject"] == '["x"]'


def test_times_are_texts_or_seconds() -> None:
    def time_of(value: Any) -> Any:
        read, faults = read_pascal(PUT_EVENTS, {"Entries": [{"Time": value}]})
        return faults[0] if faults else read["Entries"][0]["Time"]

    assert (
        time_of("2026-01-01T00:00:00Z") == time_of("2026-01-01T01:00:00+01:00") == time_of(1767225600) == 1767225600.0
    )
    assert time_of("soon") == time_of(True) == time_of(1e300) == "The value for the field 'Time' must be a TIMESTAMP"


def test_blobs_are_base64() -> None:
    attribute = {"DataType": "Binary", "BinaryValue": "AAE="}
    read, _ = read_pascal(PUBLISH, {"Message": "m", "MessageAttributes": {"a": attribute}})
    assert read["MessageAttributes"]["a"]["BinaryValue"] == b"\x00\x01"
    _, faults = read_pascal(PUBLISH, {"Message": "m", "MessageAttributes": {"a": attribute | {"BinaryValue": "!"}}})
    assert faults == ["The value for the field 'BinaryValue' must be a base64 STRING"]


def test_a_result_has_its_members_in_pascal_case_in_the_order_of_their_names() -> None:
    job = {
        "status": "SUCCEEDED",
        "jobName": "a",
        "createdAt": 5,
        "tags": {"team": "x"},
        "arrayProperties": {"statusSummary": {"SUCCEEDED": 3}, "size": 3},
        "attempts": [{"container": {"exitCode": 0}}],
    }
    written = write_pascal(DESCRIBE_JOBS, {"jobs": [job]}, has_iso_times=False)
    assert written == {
        "Jobs": [
            {
                "ArrayProperties": {"Size": 3, "StatusSummary": {"SUCCEEDED": 3}},
                "Attempts": [{"Container": {"ExitCode": 0}}],
                "CreatedAt": 5,
                "JobName": "a",
                "Status": "SUCCEEDED",
                "Tags": {"team": "x"},
            }
        ]
    }
    assert list(written["Jobs"][0]) == sorted(written["Jobs"][0])


def test_times_of_results_are_texts_or_milliseconds() -> None:
    result = {"CreatedDate": 1767225600.25}
    assert write_pascal(DESCRIBE_SECRET, result, has_iso_times=True) == {"CreatedDate": "2026-01-01T00:00:00.250Z"}
    assert write_pascal(DESCRIBE_SECRET, result, has_iso_times=False) == {"CreatedDate": 1767225600250}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def documents_of(shape: Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    """Nearly valid documents: members are right, missing, misspelt, or of any type."""
    if depth > 3:
        return JSON
    if shape.type == "structure":
        members = {pascal(name): documents_of(member.shape, depth + 1) for name, member in shape.members.items()}
        return st.fixed_dictionaries({}, optional=dict(list(members.items())[:12])) | JSON
    if shape.type in ("list", "map"):
        assert shape.element is not None
        inner = documents_of(shape.element, depth + 1)
        return st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2) | JSON
    return JSON


@given(documents_of(SUBMIT_JOB))
def test_a_document_without_faults_is_one_that_the_model_takes(document: Any) -> None:
    read, faults = read_pascal(SUBMIT_JOB, document, ())
    assert all(isinstance(fault, str) for fault in faults)
    if not faults:
        written = write_pascal(SUBMIT_JOB, read, has_iso_times=False)
        assert read_pascal(SUBMIT_JOB, written, ()) == (read, [])
