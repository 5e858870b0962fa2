"""Services that had the protocol `query` first, and now have JSON and CBOR beside it (CloudWatch): their errors go by
the names of shapes, and by the codes of `query` in a header, which SDKs show (observability spec 2)."""

from __future__ import annotations

from typing import Any

import msgspec

from batchyard.wire import cbor
from batchyard.wire.documents import DocumentError, NotFinite, read
from batchyard.wire.messages import Response, WireError
from batchyard.wire.model import OperationModel, ServiceModel, Shape
from batchyard.wire.protocols import AwsJson, DocumentReader
from batchyard.wire.query_codes import QUERY_CODES

CBOR = "smithy-rpc-v2-cbor"
VALIDATION = "ValidationError"
INVALID_VALUE = "InvalidParameterValue"
# The namespaces of errors that are not in the model (recorded).
FOREIGN_TYPES = {VALIDATION: "com.amazon.coral.validate#ValidationException"}
FIRST_SERVER_FAULT = 500


def query_code(error: WireError) -> str:
    return QUERY_CODES.get(error.code, (error.code, 0))[0]


class ErrorNames:
    """The names of a service's errors, from their codes."""

    def __init__(self, service: ServiceModel) -> None:
        self._namespace = f"com.amazonaws.{service.service_id.lower()}.v{service.version.replace('-', '_')}"
        self._shapes: dict[str, str] = {}
        for shape in service.shapes.values():
            if shape.error_code and self._shapes.get(shape.error_code) != shape.error_code:
                self._shapes[shape.error_code] = shape.name

    def document(self, error: WireError) -> dict[str, str]:
        """Returns the body of an error. One without a text has no message (recorded: ResourceNotFound)."""
        code = query_code(error)
        name = FOREIGN_TYPES.get(code) or f"{self._namespace}#{self._shapes.get(code, code)}"
        return {"__type": name} | ({"message": error.message} if error.message else {})

    def header(self, error: WireError) -> tuple[str, str]:
        fault = "Receiver" if error.status >= FIRST_SERVER_FAULT else "Sender"
        return "x-amzn-query-error", f"{query_code(error)};{fault}"


class QueryCompatibleJson(AwsJson):
    """`json` of such a service."""

    def __init__(self, service: ServiceModel) -> None:
        super().__init__(service.json_version, VALIDATION)
        self._names = ErrorNames(service)

    def refusal(self, fault: DocumentError) -> WireError:
        if isinstance(fault, NotFinite):
            return WireError(INVALID_VALUE, fault.as_parameter)
        return super().refusal(fault)

    def error_response(self, error: WireError, request_id: str) -> Response:
        headers = (
            ("content-type", self.content_type),
            ("x-amzn-requestid", request_id),
            self._names.header(error),
        )
        return Response(error.status, headers, msgspec.json.encode(self._names.document(error)))


class CborReader:
    """Reads CBOR bodies of one structure shape."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def read(self, body: bytes) -> dict[str, Any]:
        result: dict[str, Any] = read(self._shape, cbor.decode(body) if body else {})
        return result


class RpcCbor:
    """`smithy-rpc-v2-cbor`: the operation is in the path."""

    content_type = "application/cbor"
    headers: tuple[tuple[str, str], ...] = (("smithy-protocol", "rpc-v2-cbor"),)

    def __init__(self, service: ServiceModel) -> None:
        self._names = ErrorNames(service)
        self._json = QueryCompatibleJson(service)

    def reader(self, shape: Shape) -> DocumentReader:
        return CborReader(shape)

    def refusal(self, fault: DocumentError) -> WireError:
        return self._json.refusal(fault)

    def encode(self, operation: OperationModel, result: dict[str, Any], request_id: str) -> bytes:
        return cbor.EMPTY_MAP if operation.output is None else cbor.encode(operation.output, result)

    def error_response(self, error: WireError, request_id: str) -> Response:
        headers = (
            ("content-type", self.content_type),
            ("x-amzn-requestid", request_id),
            self._names.header(error),
            *self.headers,
        )
        return Response(error.status, headers, cbor.encode_texts(self._names.document(error)))


def cbor_path(service: ServiceModel, operation: str) -> str:
    """Returns the path of an operation in `smithy-rpc-v2-cbor`."""
    return f"/service/{service.target_prefix}/operation/{operation}"
