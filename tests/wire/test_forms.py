"""The form-encoded protocols on a service made up for it, with every kind of list, map and name that models may have;
botocore says what is sent, and what an answer means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore import model as botocore_model
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.wire.forms import MAX_FORM_FIELDS
from batchyard.wire.messages import Request, WireError
from batchyard.wire.model import build_service_model, load_service_model
from batchyard.wire.operation import Operation
from batchyard.wire.router import Router
from tests.wire import oracle
from tests.wire.test_differential import XML_TEXTS, as_sent

FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
REQUEST_ID = "7d4c0f7e-3f0c-4d43-9a58-0e6c6c2c1f11"

SHAPES: dict[str, Any] = {
    "S": {"type": "string"}, "I": {"type": "integer"}, "L": {"type": "long"}, "B": {"type": "boolean"},
    "F": {"type": "double"}, "T": {"type": "timestamp"}, "Blob": {"type": "blob"},
    "Plain": {"type": "list", "member": {"shape": "S"}},
    "Named": {"type": "list", "member": {"shape": "S", "locationName": "item"}},
    "Flat": {"type": "list", "member": {"shape": "I"}, "flattened": True},
    "FlatNamed": {"type": "list", "member": {"shape": "Part", "locationName": "Piece"}, "flattened": True},
    "Nested": {"type": "list", "member": {"shape": "Plain"}},
    "Map": {"type": "map", "key": {"shape": "S"}, "value": {"shape": "I"}},
    "MapNamed": {
        "type": "map",
        "key": {"shape": "S", "locationName": "Name"},
        "value": {"shape": "Part", "locationName": "Worth"},
    },
    "MapFlat": {"type": "map", "key": {"shape": "S"}, "value": {"shape": "S"}, "flattened": True},
    "Part": {
        "type": "structure",
        "required": ["Name"],
        "members": {"Name": {"shape": "S"}, "Size": {"shape": "L", "locationName": "bulk"}, "Inner": {"shape": "Part"}},
    },
    "Whole": {
        "type": "structure",
        "members": {
            "Text": {"shape": "S", "locationName": "theText"}, "Count": {"shape": "I", "queryName": "HowMany"},
            "Yes": {"shape": "B"}, "Ratio": {"shape": "F"}, "At": {"shape": "T"}, "Data": {"shape": "Blob"},
            "Plain": {"shape": "Plain"}, "Named": {"shape": "Named", "locationName": "namedSet"},
            "Flat": {"shape": "Flat"}, "Pieces": {"shape": "FlatNamed"}, "Nested": {"shape": "Nested"},
            "Map": {"shape": "Map"}, "Parts": {"shape": "MapNamed"}, "FlatMap": {"shape": "MapFlat"},
            "Part": {"shape": "Part"},
        },
    },
}  # fmt: skip


def document_of(protocol: str, **metadata: str) -> dict[str, Any]:
    return {
        "metadata": {
            "endpointPrefix": "toy", "protocol": protocol, "apiVersion": "2026-01-01", "serviceId": "Toy",
            "xmlNamespace": "https://toy.example/doc/", "signatureVersion": "v4", **metadata,
        },
        "operations": {
            "Play": {
                "name": "Play",
                "http": {"method": "POST", "requestUri": "/"},
                "input": {"shape": "Whole"},
                "output": {"shape": "Whole"} | ({"resultWrapper": "PlayResult"} if protocol == "query" else {}),
            },
            "Stop": {"name": "Stop", "http": {"method": "POST", "requestUri": "/"}},
        },
        "shapes": SHAPES,
    }  # fmt: skip


class Toy:
    def __init__(self, protocol: str) -> None:
        self.router = Router([build_service_model(document_of(protocol))], check_results=True)
        self.model = botocore_model.ServiceModel(document_of(protocol), "toy")

    def operation(self, name: str = "Play") -> Operation:
        return self.router.operations["toy", name]

    def parse(self, text: str) -> dict[str, Any]:
        body = f"Action=Play&Version=2026-01-01&{text}".encode()
        assert self.router.match("POST", b"/", FORM, body) is self.operation()
        return self.operation().parse(Request("POST", b"/", b"", FORM, body))

    def refusal(self, text: str) -> WireError:
        with pytest.raises(WireError) as caught:
            self.parse(text)
        return caught.value


TOYS = {protocol: Toy(protocol) for protocol in ("query", "ec2")}
PROTOCOLS = pytest.mark.parametrize("protocol", TOYS)


@PROTOCOLS
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), members=st.sampled_from([0.2, 0.6, 1.0]))
def test_forms_of_botocore_are_read_as_sent(protocol: str, seed: int, members: float) -> None:
    toy = TOYS[protocol]
    model = toy.model.operation_model("Play")
    document = oracle.random_document(model.input_shape, seed, members=members)
    request = oracle.request_of_model(model, document)
    assert toy.router.match("POST", b"/", request.headers, request.body) is toy.operation()
    # An empty flattened list is said by the name of its elements, which forms cannot tell from none.
    assert without_empty(toy.operation().parse(request)) == without_empty(
        as_sent(model.input_shape, document, protocol)
    )


@PROTOCOLS
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), members=st.sampled_from([0.2, 0.6, 1.0]))
def test_answers_reach_botocore_as_given(protocol: str, seed: int, members: float) -> None:
    toy = TOYS[protocol]
    model = toy.model.operation_model("Play")
    made = oracle.random_document(model.output_shape, seed, members=members, texts=XML_TEXTS)
    result = oracle.as_seconds(made)
    parsed = oracle.parsed_by_model(model, toy.operation().respond(result, REQUEST_ID))
    assert parsed.pop("ResponseMetadata")["RequestId"] == REQUEST_ID
    flat = {"Flat", "Pieces", "FlatMap"}  # flattened and empty: nothing is written
    assert parsed == {name: value for name, value in result.items() if value or name not in flat}


def without_empty(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value not in ([], {})}


def test_lists_are_in_the_order_of_their_numbers() -> None:
    text = "&".join(f"Plain.{number}={number}" for number in (10, 2, 1, 12))
    assert TOYS["ec2"].parse(text) == {"Plain": ["1", "2", "10", "12"]}
    assert TOYS["query"].parse("Plain.member.2=b&Plain.member.1=a&Plain.member.x=no&Plain.member.=no") == {
        "Plain": ["a", "b"]
    }
    assert TOYS["query"].parse("Plain=") == {"Plain": []}


def test_what_a_form_holds_beside_members_is_dropped() -> None:
    assert TOYS["ec2"].parse("Unknown=1&Part.Other.Name=2&Part.Name=n&=&&Text=not+its+name&TheText=a%20b+c") == {
        "Part": {"Name": "n"},
        "Text": "a b c",
    }


@pytest.mark.parametrize(
    ("protocol", "text", "code", "message"),
    [
        ("ec2", "Part.Bulk=1", "MissingParameter", "The request must contain the parameter Part.Name"),
        ("query", "Part.bulk=1", "ValidationError", "Part.Name is required."),
        ("ec2", "HowMany=many", "InvalidParameterValue", "Count must be an integer between"),
        ("query", "Count=many", "ValidationError", "Count must be an integer between"),
        ("query", "Count=2147483648", "ValidationError", "Count must be an integer between"),
        ("query", "Yes=1", "ValidationError", "Yes must be true or false"),
        ("query", "Ratio=1e999", "ValidationError", "Ratio must be a number"),
        ("query", "Ratio=nan", "ValidationError", "Ratio must be a number"),
        ("query", "At=noon", "ValidationError", "At must be an ISO 8601 time"),
        ("query", "Data=%3F", "ValidationError", "Data must be a base64 string"),
        ("query", "Part=x", "ValidationError", "Part must be an object, got text"),
        ("query", "Plain=x", "ValidationError", "Plain must be a list, numbered from 1"),
        ("query", "theText.a=x", "ValidationError", "Text must be a string, got members"),
        ("query", "Map.entry.1.key=k", "ValidationError", "Each entry of Map must have a key and a value"),
        ("query", "theText=%ff", "ValidationError", "form-encoded UTF-8"),
        ("query", "Inner." * 101 + "x=1", "ValidationError", "nested deeper than 100 levels"),
        ("query", "a=&" * MAX_FORM_FIELDS, "ValidationError", f"at most {MAX_FORM_FIELDS} parameters"),
    ],
)
def test_bad_forms_are_refused_in_words(protocol: str, text: str, code: str, message: str) -> None:
    refused = TOYS[protocol].refusal(text)
    assert (refused.code, refused.status) == (code, 400)
    assert message in refused.message


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80) | st.text(alphabet="PlainMapent.123=&%Ff", max_size=60).map(str.encode))
def test_garbage_is_answered_or_refused(body: bytes) -> None:
    statuses = set()
    for toy in TOYS.values():
        try:
            toy.operation().parse(Request("POST", b"/", b"", FORM, body))
        except WireError as error:
            statuses.add(error.status)
    assert statuses <= {400}


@PROTOCOLS
def test_what_xml_cannot_hold_is_replaced(protocol: str) -> None:
    toy = TOYS[protocol]
    response = toy.operation().respond({"Text": "a\x00b\x1b\ufffe\ud800c]]>&<"}, "<id>")
    parsed = oracle.parsed_by_model(toy.model.operation_model("Play"), response)
    assert parsed["Text"] == "a\ufffdb\ufffd\ufffd\ufffdc]]>&<"
    assert parsed["ResponseMetadata"]["RequestId"] == "<id>"


@PROTOCOLS
def test_an_operation_without_documents_is_answered(protocol: str) -> None:
    toy = TOYS[protocol]
    operation = toy.operation("Stop")
    assert operation.parse(Request("POST", b"/", b"", FORM, b"Action=Stop")) == {}
    parsed = oracle.parsed_by_model(toy.model.operation_model("Stop"), operation.respond({}, REQUEST_ID))
    assert parsed["ResponseMetadata"]["HTTPStatusCode"] == 200


# -- which operation --


def toys(*pairs: tuple[str, str]) -> Router:
    """Services that all have the actions Play and Stop, each with its own version."""
    return Router(
        [
            build_service_model(document_of(protocol, endpointPrefix=name, apiVersion=f"2026-01-0{number}"))
            for number, (name, protocol) in enumerate(pairs, 1)
        ]
    )


def signed_for(service: str) -> dict[str, str]:
    return FORM | {"authorization": f"AWS4-HMAC-SHA256 Credential=AK/20260101/us-east-1/{service}/aws4_request, ..."}


def test_services_with_an_action_of_one_name_are_told_apart() -> None:
    router = toys(("one", "query"), ("two", "ec2"))

    def service(headers: dict[str, str], body: bytes) -> str:
        return router.match("POST", b"/", headers, body).service

    assert service(signed_for("two"), b"Action=Play&Version=2026-01-01") == "two"
    assert service(signed_for("one"), b"Version=2026-01-02&Action=Play") == "one"
    assert service(signed_for("other"), b"Action=Play&Version=2026-01-02") == "two"
    assert service(FORM, b"x=Action=Stop&Action=Play&Version=2026-01-01") == "one"
    for headers in (FORM, signed_for("batch")):
        with pytest.raises(WireError, match="Could not find operation 'Play' for version ''"):
            service(headers, b"Action=Play")


@pytest.mark.parametrize(
    ("service", "code", "outer"), [("sts", "InvalidAction", "ErrorResponse"), ("ec2", "InvalidAction", "Response")]
)
def test_unknown_actions_are_refused_as_the_service_does(service: str, code: str, outer: str) -> None:
    with pytest.raises(WireError) as caught:
        oracle.ROUTER.match("POST", b"/", signed_for(service), b"Action=RunInstances&Version=2016-11-15")
    response = oracle.ROUTER.refuse(caught.value, signed_for(service), REQUEST_ID)
    model = oracle.botocore_service(service)
    parsed = oracle.parsed_by_model(model.operation_model(next(iter(model.operation_names))), response)
    assert parsed["Error"]["Code"] == code
    assert "RunInstances" in parsed["Error"]["Message"]
    assert parsed["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert f"<{outer}".encode() in response.body


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/json"])
def test_a_form_is_one_whatever_it_is_called(content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    operation = oracle.ROUTER.match("POST", b"/", headers, b"Action=GetCallerIdentity&Version=2011-06-15")
    assert (operation.service, operation.name) == ("sts", "GetCallerIdentity")


def test_forms_without_an_action_are_at_no_path() -> None:
    for body in (b"", b"Version=2011-06-15", b"{}"):
        with pytest.raises(WireError, match="No operation is served at POST /"):
            oracle.ROUTER.match("POST", b"/", FORM, body)
    assert not oracle.ROUTER.needs_body("GET", b"/", FORM)
    assert not oracle.ROUTER.needs_body("POST", b"/", {"x-amz-target": "Logs_20140328.GetLogEvents"})
    assert not oracle.ROUTER.needs_body("POST", b"/v1/submitjob", {})


@pytest.mark.parametrize(
    ("service", "code", "status", "translated"),
    [
        ("sts", "InvalidSignatureException", 403, ("SignatureDoesNotMatch", 403)),
        ("sts", "UnrecognizedClientException", 403, ("InvalidClientTokenId", 403)),
        ("sts", "TooManyRequestsException", 429, ("Throttling", 400)),
        ("ec2", "InvalidSignatureException", 403, ("AuthFailure", 401)),
        ("ec2", "AccessDeniedException", 403, ("UnauthorizedOperation", 403)),
        ("ec2", "TooManyRequestsException", 429, ("RequestLimitExceeded", 503)),
        ("ec2", "InvalidInstanceID.NotFound", 400, ("InvalidInstanceID.NotFound", 400)),
    ],
)
def test_common_errors_have_the_codes_of_their_service(
    service: str, code: str, status: int, translated: tuple[str, int]
) -> None:
    model = load_service_model(service)
    operation = oracle.ROUTER.operations[service, next(iter(model.operations))]
    parsed = oracle.parsed_by_botocore(operation, operation.refuse(WireError(code, "No.", status), REQUEST_ID))
    assert (parsed["Error"]["Code"], parsed["ResponseMetadata"]["HTTPStatusCode"]) == translated
    assert parsed["Error"]["Message"] == "No."


def test_documents_stay_plain() -> None:
    document = TOYS["query"].parse("At=2026-01-01T00:00:00Z&Data=AAH%2F&Ratio=.5&Yes=TRUE&Flat.1=-7")
    assert document == {"At": 1767225600.0, "Data": b"\x00\x01\xff", "Ratio": 0.5, "Yes": True, "Flat": [-7]}
    assert TOYS["query"].parse("At=2026-01-01T01:00:00%2B01:00") == TOYS["query"].parse("At=1767225600")
    assert json.dumps(TOYS["query"].parse("Part.Name=n&Part.Inner.Name=m")) == (
        '{"Part": {"Name": "n", "Inner": {"Name": "m"}}}'
    )
