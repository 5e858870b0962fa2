"""Hostile and clumsy bodies: refused in words, never anything but WireError."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.wire.bodies import BodyReader
from batchyard.wire.documents import DocumentError, check
from batchyard.wire.messages import MAX_BODY_BYTES, Request, WireError
from batchyard.wire.model import build_service_model
from batchyard.wire.operation import Operation
from tests.wire.oracle import OPERATIONS, ROUTER, as_seconds, botocore_operation, random_document

IN_JSON = [key for key in OPERATIONS if "json" in ROUTER.operations[key].protocol.content_type]
SUBMIT = ROUTER.operations["batch", "SubmitJob"]
GET_LOG_EVENTS = ROUTER.operations["logs", "GetLogEvents"]
MINIMAL = {"jobName": "a", "jobQueue": "q", "jobDefinition": "d"}

# What a member of a valid document is replaced with.
HOSTILE: list[Any] = [
    None, "", "x", 0, -1, 2**31, 2**63, 2**80, 1.5, 1e308, True, [], {}, [None], {"a": None}, [[[[]]]], {"": {}},
]  # fmt: skip


def parse(operation: Operation, body: bytes) -> dict[str, Any]:
    return operation.parse(Request("POST", operation.model.request_uri.encode(), b"", {}, body))


def refusal(operation: Operation, body: bytes) -> WireError:
    with pytest.raises(WireError) as caught:
        parse(operation, body)
    return caught.value


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"jobName": None}, "jobName is required."),
        ({"jobName": 7}, "jobName must be a string, got an integer."),
        ({"arrayProperties": {"size": "2"}}, "arrayProperties.size must be an integer, got a string."),
        ({"arrayProperties": {"size": True}}, "arrayProperties.size must be an integer, got a boolean."),
        ({"arrayProperties": {"size": 2.0}}, "arrayProperties.size must be an integer, got a number."),
        (
            {"arrayProperties": {"size": 2**31}},
            "arrayProperties.size must be an integer between -2147483648 and 2147483647, got 2147483648.",
        ),
        ({"arrayProperties": [2]}, "arrayProperties must be an object, got a list."),
        ({"dependsOn": {}}, "dependsOn must be a list, got an object."),
        ({"dependsOn": [None]}, "dependsOn[0] must be an object, got null."),
        ({"containerOverrides": {"command": ["a", None]}}, "containerOverrides.command[1] must be a string, got null."),
        ({"tags": {"a b": None}}, 'tags["a b"] must be a string, got null.'),
        ({"propagateTags": "true"}, "propagateTags must be a boolean, got a string."),
        (
            {"nodeOverrides": {"nodePropertyOverrides": [{"targetNodes": "0:"}, {}]}},
            "nodeOverrides.nodePropertyOverrides[1].targetNodes is required.",
        ),
    ],
)
def test_a_refusal_names_the_member_what_it_must_be_and_what_came(members: dict[str, Any], message: str) -> None:
    error = refusal(SUBMIT, json.dumps(MINIMAL | members).encode())
    assert (error.code, error.status, error.message) == ("ClientException", 400, message)


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"nul", b"{'a':1}", b'{"jobName":"\xff"}', b'{"jobName":"\\ud800"}', b'{"a":NaN}', b"\xef\xbb\xbf{}",
        b"\x00", b'{"a":' * 50_000, b"[" * 100_000, b'{"jobName":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a":1e999, "b": nul}', b'{"jobName":' + b"9" * 5000 + b"}",
    ],
    ids=range(13),
)  # fmt: skip
def test_what_is_not_json_is_refused_as_aws_batch_does(body: bytes) -> None:
    error = refusal(SUBMIT, body)
    assert (error.code, error.status) == ("ClientException", 400)
    assert error.message.startswith("An error occurred during JSON parsing")


@pytest.mark.parametrize(
    ("body", "got"), [(b"null", "null"), (b"[]", "a list"), (b'"x"', "a string"), (b"1", "an int")]
)
def test_a_body_must_be_an_object(body: bytes, got: str) -> None:
    assert refusal(SUBMIT, body).message.startswith(f"The request body must be an object, got {got}")


def test_cloudwatch_logs_refuses_in_its_own_codes() -> None:
    error = refusal(GET_LOG_EVENTS, b'{"logGroupName":"g"}')
    assert error.code == "InvalidParameterException"
    assert error.message == (
        "1 validation error detected: Value null at 'logStreamName' failed to satisfy constraint: "
        "Member must not be null"
    )
    assert refusal(GET_LOG_EVENTS, b"{").code == "SerializationException"
    wrong = refusal(GET_LOG_EVENTS, b'{"logStreamName":"s","limit":"10"}')
    assert (wrong.code, wrong.message) == ("SerializationException", "limit must be an integer, got a string.")


def test_nulls_and_unknown_members_are_forgotten_at_every_depth() -> None:
    sent = MINIMAL | {
        "colour": {"red": [1, None]},
        "dependsOn": [{"jobId": "j", "type": None, "extra": 1}],
        "timeout": None,
        "containerOverrides": {"vcpus": None, "environment": [{"name": "A", "value": None}], "image2": "x"},
        "parameters": {"colour": "stays: map keys are the caller's"},
    }
    expected = MINIMAL | {
        "dependsOn": [{"jobId": "j"}],
        "containerOverrides": {"environment": [{"name": "A"}]},
        "parameters": {"colour": "stays: map keys are the caller's"},
    }
    assert parse(SUBMIT, json.dumps(sent).encode()) == expected


def test_the_last_of_two_equal_members_counts() -> None:
    body = b'{"jobName":"first","jobQueue":"q","jobDefinition":"d","jobName":"last"}'
    assert parse(SUBMIT, body)["jobName"] == "last"


@pytest.mark.parametrize("body", [b"", b"  \r\n", b"{}", b" {} "])
def test_an_empty_body_is_an_empty_object(body: bytes) -> None:
    assert parse(ROUTER.operations["batch", "DescribeJobQueues"], body) == {}
    assert refusal(SUBMIT, body).message == "jobName is required."


def test_a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not() -> None:
    body = json.dumps(MINIMAL).encode()
    assert parse(SUBMIT, body.ljust(MAX_BODY_BYTES)) == MINIMAL
    error = refusal(SUBMIT, body.ljust(MAX_BODY_BYTES + 1))
    assert (error.code, error.status) == ("RequestEntityTooLargeException", 413)


def test_service_model_constraints_are_not_enforced_but_known() -> None:
    document = MINIMAL | {"tags": {"k" * 500: "v" * 500}}
    assert parse(SUBMIT, json.dumps(document).encode()) == document
    assert SUBMIT.model.input is not None
    tags = SUBMIT.model.input.members["tags"].shape
    assert (tags.minimum, tags.maximum) == (1, 50)
    assert tags.key is not None
    assert tags.key.maximum == 128


def replaced(value: Any, rng: random.Random) -> Any:
    """`value` with one random node replaced by something hostile."""
    if rng.random() < 0.3 or not isinstance(value, dict | list) or not value:
        return rng.choice(HOSTILE)
    if isinstance(value, list):
        at = rng.randrange(len(value))
        return [*value[:at], replaced(value[at], rng), *value[at + 1 :]]
    key = rng.choice(sorted(value))
    if rng.random() < 0.2:
        return {name: inner for name, inner in value.items() if name != key}
    return value | {key: replaced(value[key], rng)}


def outcome(read: Any, body: bytes) -> tuple[Any, str | None]:
    try:
        return read(body), None
    except DocumentError as fault:
        return None, fault.message


@pytest.mark.parametrize("key", IN_JSON, ids=".".join)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), changes=st.integers(1, 3))
def test_both_readers_agree_and_accept_only_what_the_model_says(key: tuple[str, str], seed: int, changes: int) -> None:
    shape = ROUTER.operations[key].model.input
    assert shape is not None
    rng = random.Random(seed)
    oracle_shape = botocore_operation(ROUTER.operations[key]).input_shape
    document: Any = as_seconds(random_document(oracle_shape, seed, members=rng.choice([0.3, 1.0])))
    for _ in range(changes):
        document = replaced(document, rng)
    reader, body = BodyReader(shape), msgspec.json.encode(document) if _encodable(document) else b"[]"
    accepted, message = outcome(reader.read, body)
    assert (accepted, message) == outcome(reader.read_slowly, body)
    if message is None:
        check(shape, accepted, "request")


def _encodable(document: Any) -> bool:
    try:
        msgspec.json.encode(document)
    except OverflowError:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(
    key=st.sampled_from(IN_JSON),
    body=st.binary(max_size=60) | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("jobName"), inner, max_size=3),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)  # fmt: skip
def test_garbage_is_answered_or_refused(key: tuple[str, str], body: bytes) -> None:
    operation = ROUTER.operations[key]
    refused = None
    try:
        msgspec.json.encode(parse(operation, body))
    except WireError as error:
        refused = error
    if refused is not None:
        assert refused.status == 400
        answer = json.loads(operation.refuse(refused, "id").body)
        assert refused.message in answer["Message" if operation.service == "scheduler" else "message"]


def service_of(shapes: dict[str, Any], http: dict[str, str] | None = None) -> Any:
    """A service with one operation whose input is the shape `In`."""
    operation = {"name": "Op", "http": http or {"method": "POST", "requestUri": "/op"}, "input": {"shape": "In"}}
    metadata = {"endpointPrefix": "toy", "protocol": "rest-json"}
    scalars = {"S": {"type": "string"}, "I": {"type": "integer"}, "B": {"type": "boolean"}}
    return build_service_model({"metadata": metadata, "operations": {"Op": operation}, "shapes": scalars | shapes})


def structure(**members: str) -> dict[str, Any]:
    return {"type": "structure", "members": {name: {"shape": shape} for name, shape in members.items()}}


def test_a_shape_may_contain_itself() -> None:
    model = service_of(
        {
            "In": structure(name="S", parts="Parts", byName="Names"),
            "Parts": {"type": "list", "member": {"shape": "In"}},
            "Names": {"type": "map", "key": {"shape": "S"}, "value": {"shape": "In"}},
        }
    )
    reader = BodyReader(model.shapes["In"])
    body = b'{"name":"a","parts":[{"name":"b","x":1,"parts":[{"name":null}]}],"byName":{"k":{"name":"c"}}}'
    expected = {"name": "a", "parts": [{"name": "b", "parts": [{}]}], "byName": {"k": {"name": "c"}}}
    assert reader.read(body) == expected
    with pytest.raises(DocumentError, match=r'^byName\["k"\]\.parts\[0\]\.name must be a string, got an integer\.$'):
        reader.read(b'{"byName":{"k":{"parts":[{"name":1}]}}}')
    with pytest.raises(DocumentError, match="nested deeper than 100 levels"):
        reader.read(b'{"parts":[' * 60 + b"]}" * 60)


def test_blobs_timestamps_and_members_named_otherwise_on_the_wire() -> None:
    model = service_of(
        {
            "In": {
                "type": "structure",
                "members": {
                    "data": {"shape": "Blob"}, "at": {"shape": "Time"}, "day": {"shape": "Day"},
                    "class": {"shape": "S", "locationName": "Class"}, "blobs": {"shape": "Blobs"},
                },
            },
            "Blob": {"type": "blob"},
            "Blobs": {"type": "list", "member": {"shape": "Blob"}},
            "Time": {"type": "timestamp"},
            "Day": {"type": "timestamp", "timestampFormat": "iso8601"},
        }
    )  # fmt: skip
    reader = BodyReader(model.shapes["In"])
    read = reader.read(b'{"data":"AAH/","at":5,"day":"2026-01-01T00:00:00Z","Class":"c","blobs":["",""]}')
    assert read == {
        "data": b"\x00\x01\xff",
        "at": 5.0,
        "day": "2026-01-01T00:00:00Z",
        "class": "c",
        "blobs": [b"", b""],
    }
    for body, message in [
        (b'{"data":"?"}', "data must be a base64 string, got another string."),
        (b'{"at":"now"}', "at must be a number of seconds since 1970, got a string."),
        (b'{"at":1' + b"0" * 400 + b"}", "at must be a number of seconds since 1970, got one that is out of range."),
        (b'{"day":5}', "day must be an ISO 8601 time, got an integer."),
    ]:
        assert outcome(reader.read, body) == (None, message)


def test_an_idempotency_token_is_never_demanded_since_only_sdks_fill_it() -> None:
    members = {"token": {"shape": "S", "idempotencyToken": True}, "name": {"shape": "S"}}
    model = service_of({"In": {"type": "structure", "members": members, "required": ["token", "name"]}})
    reader = BodyReader(model.shapes["In"])
    assert reader.read(b'{"name":"a"}') == {"name": "a"}
    assert outcome(reader.read, b'{"token":"t"}') == (None, "name is required.")
