"""Which operation a request is for, and members that travel in path, query and headers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.wire.messages import Request, WireError
from batchyard.wire.model import build_service_model, load_service_model
from batchyard.wire.router import Router
from tests.wire.oracle import ROUTER

ARN = "arn:aws:batch:us-east-1:123456789012:job-queue/high"


def request(method: str, raw_path: bytes, query: bytes = b"", body: bytes = b"", **headers: str) -> Request:
    return Request(method, raw_path, query, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def parse(sent: Request) -> tuple[str, dict[str, Any]]:
    operation = ROUTER.match(sent.method, sent.raw_path, sent.headers)
    return operation.name, operation.parse(sent)


def refusal(sent: Request) -> WireError:
    with pytest.raises(WireError) as caught:
        parse(sent)
    return caught.value


@pytest.mark.parametrize("path", [ARN.replace(":", "%3A").replace("/", "%2F"), ARN.replace("/", "%2f"), ARN])
def test_an_arn_in_the_path_is_read_however_it_is_encoded(path: str) -> None:
    raw_path = f"/v1/tags/{path}".encode()
    assert parse(request("GET", raw_path)) == ("ListTagsForResource", {"resourceArn": ARN})
    body = b'{"tags":{"a":""},"resourceArn":"from the body: ignored"}'
    assert parse(request("POST", raw_path, body=body)) == ("TagResource", {"resourceArn": ARN, "tags": {"a": ""}})


def test_repeated_query_parameters_are_a_list() -> None:
    sent = request("DELETE", b"/v1/tags/x", b"tagKeys=a%20b&other=1&tagKeys=&tagKeys=c%26d+e")
    assert parse(sent) == ("UntagResource", {"resourceArn": "x", "tagKeys": ["a b", "", "c&d e"]})
    assert refusal(request("DELETE", b"/v1/tags/x")).message == "tagKeys is required."
    assert refusal(request("DELETE", b"/v1/tags/x", b"tagKeys=%ff")).code == "ClientException"
    assert refusal(request("DELETE", b"/v1/tags/x", b"tagKeys=\xff")).code == "ClientException"
    assert refusal(request("DELETE", b"/v1/tags/x", b"tagKeys=a&" * 1001)).code == "ClientException"
    assert refusal(request("GET", b"/v1/tags/%ff")).message == "resourceArn must be percent-encoded UTF-8 in the path."


def test_targets_tell_json_operations_apart() -> None:
    sent = request("POST", b"/", body=b"{}", x_amz_target="Logs_20140328.DescribeLogGroups")
    assert parse(sent) == ("DescribeLogGroups", {})
    unknown = refusal(request("POST", b"/", x_amz_target="Logs_20140328.PutLogEvent"))
    assert (unknown.code, unknown.status) == ("UnknownOperationException", 404)
    assert refusal(request("GET", b"/", x_amz_target="Logs_20140328.DescribeLogGroups")).status == 404


def test_the_path_goes_before_a_target() -> None:
    sent = request("POST", b"/v1/describejobqueues", x_amz_target="Logs_20140328.DescribeLogGroups")
    assert parse(sent) == ("DescribeJobQueues", {})


@pytest.mark.parametrize(
    "raw_path", [b"", b"/", b"/v1", b"/v1/", b"/v1/SubmitJob", b"/v1/submitjob/", b"//v1/submitjob", b"/v1/tags/"]
)
def test_other_paths_are_unknown_operations(raw_path: bytes) -> None:
    error = refusal(request("POST", raw_path))
    assert (error.code, error.status) == ("UnknownOperationException", 404)


def test_a_wrong_method_is_told_the_right_one() -> None:
    assert refusal(request("GET", b"/v1/submitjob")).message == (
        "No operation is served at GET /v1/submitjob; it takes POST."
    )
    assert "it takes DELETE or GET or POST." in refusal(request("PUT", b"/v1/tags/x")).message


def test_a_refusal_without_an_operation_speaks_the_protocol_of_the_caller() -> None:
    error = WireError("AccessDeniedException", "No.", 403)
    rest = ROUTER.refuse(error, {}, "id")
    assert dict(rest.headers)["x-amzn-errortype"] == "AccessDeniedException"
    assert (rest.status, json.loads(rest.body)["message"]) == (403, "No.")
    target = {"x-amz-target": "Logs_20140328.X", "content-type": "application/x-amz-json-1.1"}
    by_target = ROUTER.refuse(error, target, "id")
    assert dict(by_target.headers)["content-type"] == "application/x-amz-json-1.1"
    assert json.loads(by_target.body) == {"__type": "AccessDeniedException", "message": "No."}


@settings(max_examples=300, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "PUT"]) | st.text(max_size=20),
    raw_path=st.binary(max_size=40) | st.binary(max_size=20).map(lambda tail: b"/v1/tags/" + tail),
    query=st.binary(max_size=30) | st.binary(max_size=10).map(lambda tail: b"tagKeys=" + tail),
    target=st.none() | st.text(max_size=30),
)
def test_garbage_addresses_are_answered_or_refused(
    method: str, raw_path: bytes, query: bytes, target: str | None
) -> None:
    headers = {} if target is None else {"x-amz-target": target}
    try:
        operation = ROUTER.match(method, raw_path, headers)
        document = operation.parse(Request(method, raw_path, query, headers, b""))
    except WireError as refused:
        document = json.loads(ROUTER.refuse(refused, headers, "id").body)
    json.dumps(document).encode()


def test_two_operations_at_one_address_are_refused_at_start() -> None:
    with pytest.raises(AssertionError, match="two operations at POST /v1/"):
        Router([load_service_model("batch"), load_service_model("batch")])
    with pytest.raises(AssertionError, match="two operations for the target"):
        Router([load_service_model("logs"), load_service_model("logs")])


def test_headers_integers_and_booleans_outside_the_body() -> None:
    members = {
        "count": {"shape": "I", "location": "querystring", "locationName": "n"},
        "all": {"shape": "B", "location": "querystring", "locationName": "all"},
        "mode": {"shape": "S", "location": "header", "locationName": "X-Mode"},
        "first": {"shape": "S", "location": "uri", "locationName": "first"},
    }
    model = build_service_model(
        {
            "metadata": {"endpointPrefix": "toy", "protocol": "rest-json"},
            "operations": {
                "Op": {
                    "name": "Op",
                    "http": {"method": "GET", "requestUri": "/x/{first}/end"},
                    "input": {"shape": "In"},
                }
            },
            "shapes": {
                "In": {"type": "structure", "members": members, "required": ["count"]},
                "S": {"type": "string"}, "I": {"type": "integer"}, "B": {"type": "boolean"},
            },
        }
    )  # fmt: skip
    operation = Router([model]).match("GET", b"/x/a%2Fb/end", {})
    sent = Request("GET", b"/x/a%2Fb/end", b"n=5&all=true", {"x-mode": "m"}, b"")
    assert operation.parse(sent) == {"count": 5, "all": True, "mode": "m", "first": "a/b"}
    for query, message in [
        (b"", "count is required."),
        (b"n=x", "count must be an integer between -2147483648 and 2147483647, got other text."),
        (b"n=2147483648", "count must be an integer between -2147483648 and 2147483647, got other text."),
        (b"n=1&all=1", "all must be true or false, got other text."),
    ]:
        with pytest.raises(WireError) as caught:
            operation.parse(Request("GET", b"/x/a/end", query, {}, b""))
        assert caught.value.message == message
