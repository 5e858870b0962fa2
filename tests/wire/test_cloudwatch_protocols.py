"""CloudWatch's three protocols: the same operations, documents, results and errors in each, with botocore as the
oracle."""

from __future__ import annotations

import contextlib
import gzip
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.wire import cbor
from batchyard.wire.compression import inflated
from batchyard.wire.documents import DocumentError
from batchyard.wire.messages import Response, WireError
from batchyard.wire.operation import Operation
from tests.wire.oracle import (
    ROUTER,
    as_seconds,
    botocore_operation,
    parsed_by_model,
    random_document,
    request_of_model,
)
from tests.wire.test_differential import as_sent

NAMES = sorted(name for service, name in ROUTER.operations if service == "monitoring")
CBOR, JSON, QUERY = "smithy-rpc-v2-cbor", "json", "query"
SIGNED = "AWS4-HMAC-SHA256 Credential=AKID/20261128/us-east-1/monitoring/aws4_request, SignedHeaders=host"


def operation_in(protocol: str, name: str, document: dict[str, Any] | None = None) -> tuple[Operation, Any]:
    """The operation that a request of botocore's is routed to, and that request."""
    model = botocore_operation(ROUTER.operations["monitoring", name])
    request = request_of_model(model, document or {}, protocol)
    headers = dict(request.headers) | {"authorization": SIGNED}
    return ROUTER.match(request.method, request.raw_path, headers, request.body), request


@pytest.mark.parametrize("protocol", [CBOR, JSON, QUERY])
@pytest.mark.parametrize("name", NAMES)
def test_a_request_is_the_same_document_in_each_protocol(name: str, protocol: str) -> None:
    model = botocore_operation(ROUTER.operations["monitoring", name])
    document = {} if model.input_shape is None else random_document(model.input_shape, 1, members=0.5, texts=("a", "ß"))
    operation, request = operation_in(protocol, name, document)
    assert operation.name == name
    assert protocol in str(type(operation.protocol).__name__).lower() or protocol == CBOR
    sent = {} if model.input_shape is None else as_sent(model.input_shape, document, protocol)
    assert operation.parse(request) == as_seconds(sent)


@pytest.mark.parametrize("protocol", [CBOR, JSON, QUERY])
@pytest.mark.parametrize(("value", "text"), [("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity")])
def test_what_is_no_number_is_refused_with_the_code_of_values(protocol: str, value: str, text: str) -> None:
    document = {"Namespace": "n", "MetricData": [{"MetricName": "m", "Values": [1.0, float(value)]}]}
    operation, request = operation_in(protocol, "PutMetricData", document)
    with pytest.raises(WireError) as caught:
        operation.parse(request)
    assert caught.value.code == "InvalidParameterValue"
    assert caught.value.message == f"The value {text} for parameter MetricData.member.1.Values.member.2 is invalid."


@pytest.mark.parametrize("protocol", [CBOR, JSON, QUERY])
@pytest.mark.parametrize("name", NAMES)
def test_a_result_reaches_botocore_in_each_protocol(name: str, protocol: str) -> None:
    operation, _ = operation_in(protocol, name, _required(name))
    model = botocore_operation(operation)
    if model.output_shape is None:
        result: dict[str, Any] = {}
    else:
        result = as_seconds(random_document(model.output_shape, 2, members=0.7, texts=("a", "häagen/ß")))
    parsed = parsed_by_model(model, operation.respond(result, "request-1"), protocol)
    parsed.pop("ResponseMetadata")
    assert {key: value for key, value in parsed.items() if value not in ([], {})} == {
        key: value for key, value in result.items() if value not in ([], {})
    }


def _required(name: str) -> dict[str, Any]:
    shape = botocore_operation(ROUTER.operations["monitoring", name]).input_shape
    return {} if shape is None else random_document(shape, 1, members=0.0, texts=("a",))


@pytest.mark.parametrize(("protocol"), [CBOR, JSON, QUERY])
@pytest.mark.parametrize(
    ("code", "status", "shape"),
    [
        ("InvalidParameterValue", 400, "InvalidParameterValueException"),
        ("InvalidParameterCombination", 400, "InvalidParameterCombinationException"),
        ("MissingParameter", 400, "MissingRequiredParameterException"),
        ("ResourceNotFound", 404, "ResourceNotFound"),
        ("ValidationError", 400, "ValidationException"),
    ],
)
def test_an_error_has_the_code_of_query_in_each_protocol(protocol: str, code: str, status: int, shape: str) -> None:
    operation, _ = operation_in(protocol, "SetAlarmState", _required("SetAlarmState"))
    message = "" if code == "ResourceNotFound" else "Größe is wrong."
    response: Response = operation.refuse(WireError(code, message, operation.status_of(code) or 400), "request-1")
    assert response.status == status
    error = parsed_by_model(botocore_operation(operation), response, protocol)["Error"]
    assert error["Code"] == code
    assert (error.get("Message") or "") == message
    if protocol != QUERY:
        assert error["QueryErrorCode"] == shape


def test_the_types_of_errors_have_awss_namespaces() -> None:
    operation, _ = operation_in(JSON, "SetAlarmState", _required("SetAlarmState"))
    body = operation.refuse(WireError("ResourceNotFound", "", 404), "request-1").body
    assert body == b'{"__type":"com.amazonaws.cloudwatch.v2010_08_01#ResourceNotFound"}'
    body = operation.refuse(WireError("ValidationError", "Wrong."), "request-1").body
    assert body == b'{"__type":"com.amazon.coral.validate#ValidationException","message":"Wrong."}'


# -- CBOR --


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("a0", {}),
        ("bf6161f5ff", {"a": True}),
        ("9f0102ff", [1, 2]),
        ("7f61616162ff", "ab"),
        ("1bffffffffffffffff", 2**64 - 1),
        ("3818", -25),
        ("f93c00", 1.0),
        ("fa47c35000", 100000.0),
        ("fb3ff199999999999a", 1.1),
        ("c1fb41d452d9e0000000", 1363896192.0),
        ("c11a514b67b0", 1363896240),
        ("43010203", "AQID"),
        ("f6", None),
        ("f7", None),
    ],
)
def test_values_of_the_standard_are_read(data: str, value: object) -> None:
    assert cbor.decode(bytes.fromhex(data)) == value


@pytest.mark.parametrize(
    "data",
    [
        "",
        "a1",
        "a10102",
        "1c",
        "5f",
        "5f6161ff",
        "ff",
        "9b7fffffffffffffff",
        "7b7fffffffffffffff00",
        "61ff",
        "c16161",
        "0000",
        "df01ff",
        "f97e00",
        "f0",
        "81" * 2000,
    ],
)
def test_what_is_no_document_is_refused(data: str) -> None:
    with pytest.raises(DocumentError):
        cbor.decode(bytes.fromhex(data))


@given(st.binary(max_size=60))
def test_no_bytes_do_anything_but_decode_or_be_refused(data: bytes) -> None:
    with contextlib.suppress(DocumentError):
        cbor.decode(data)


# -- compressed bodies --


def test_gzip_bodies_are_inflated_up_to_the_limit() -> None:
    headers = {"content-encoding": "gzip"}
    packed = gzip.compress(b"a" * 1000)
    assert inflated(packed, headers, 1000) == b"a" * 1000
    assert inflated(b"plain", {}, 1000) == b"plain"
    with pytest.raises(WireError, match="at most 999 bytes"):
        inflated(packed, headers, 999)
    with pytest.raises(WireError, match="no gzip stream"):
        inflated(b"plain", headers, 1000)
    with pytest.raises(WireError, match="ends before"):
        inflated(packed[:-4], headers, 1000)
