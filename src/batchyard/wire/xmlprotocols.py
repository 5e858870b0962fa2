"""The protocols of form-encoded requests and XML answers: `query` (STS) and `ec2` (EC2), and the choice of a service's
protocol.

Their services have codes of their own for the errors that all AWS services share: the codes of the JSON protocols,
which the rest of the product uses, are translated here (AWS: Common Error Types; EC2 API reference: Error codes).
"""

from __future__ import annotations

from typing import Any

from batchyard.wire.documents import DocumentError, NotFinite
from batchyard.wire.forms import FormReader, FormStyle
from batchyard.wire.messages import Response, WireError
from batchyard.wire.model import OperationModel, ServiceModel, Shape
from batchyard.wire.protocols import AwsJson, DocumentReader, RestJson, WireProtocol
from batchyard.wire.query_codes import QUERY_CODES
from batchyard.wire.query_compatible import CBOR, INVALID_VALUE, QueryCompatibleJson, RpcCbor
from batchyard.wire.xmltext import DECLARATION, element, members, text_of

FORM_PROTOCOLS = ("query", "ec2")
FIRST_SERVER_FAULT = 500  # statuses from here on are the service's fault, not the sender's

# Code -> (code here, status here; 0: as it was).
EC2_CODES = {
    "AccessDeniedException": ("UnauthorizedOperation", 0),
    "ClientException": ("InvalidParameterValue", 0),
    "IncompleteSignatureException": ("IncompleteSignature", 0),
    "InvalidSignatureException": ("AuthFailure", 401),
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 0),
    "ServerException": ("InternalError", 0),
    "ServiceUnavailableException": ("Unavailable", 0),
    "TooManyRequestsException": ("RequestLimitExceeded", 503),
    "UnknownOperationException": ("InvalidAction", 400),
    "UnrecognizedClientException": ("AuthFailure", 401),
}


class AwsQuery:
    """`query`: the operation is the form's `Action`; the result is wrapped, its request id beside it.
    `is_shared`: the service has other protocols too, which refuse in the same words."""

    content_type = "text/xml"
    headers: tuple[tuple[str, str], ...] = ()

    def __init__(self, namespace: str, *, is_shared: bool = False) -> None:
        self._namespace, self._is_shared = namespace, is_shared

    def reader(self, shape: Shape) -> DocumentReader:
        return FormReader(shape, FormStyle())

    def refusal(self, fault: DocumentError) -> WireError:
        if isinstance(fault, NotFinite) and self._is_shared:
            return WireError(INVALID_VALUE, fault.as_parameter)
        return WireError("ValidationError", fault.message)

    def encode(self, operation: OperationModel, result: dict[str, Any], request_id: str) -> bytes:
        content = "" if operation.output is None else members(operation.output, result)
        if operation.result_wrapper:
            content = element(operation.result_wrapper, content)
        content += element("ResponseMetadata", element("RequestId", text_of(request_id)))
        return _document(f"{operation.name}Response", self._namespace, content)

    def error_response(self, error: WireError, request_id: str) -> Response:
        code, status = _translated(QUERY_CODES, error)
        fault = "Receiver" if status >= FIRST_SERVER_FAULT else "Sender"
        content = element("Type", fault) + element("Code", text_of(code)) + element("Message", text_of(error.message))
        body = _document(
            "ErrorResponse", self._namespace, element("Error", content) + element("RequestId", text_of(request_id))
        )
        return _response(self.content_type, status, request_id, body)


class Ec2Query:
    """`ec2`: like `query`, except for the names in forms and the shape of answers and errors."""

    content_type = "text/xml;charset=UTF-8"
    headers: tuple[tuple[str, str], ...] = ()

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def reader(self, shape: Shape) -> DocumentReader:
        return FormReader(shape, FormStyle(ec2=True))

    def refusal(self, fault: DocumentError) -> WireError:
        if fault.fault == "missing":
            return WireError("MissingParameter", f"The request must contain the parameter {fault.path}")
        return WireError("InvalidParameterValue", fault.message)

    def encode(self, operation: OperationModel, result: dict[str, Any], request_id: str) -> bytes:
        content = element("requestId", text_of(request_id))
        if operation.output is not None:
            content += members(operation.output, result)
        return _document(f"{operation.name}Response", self._namespace, content)

    def error_response(self, error: WireError, request_id: str) -> Response:
        code, status = _translated(EC2_CODES, error)
        content = element("Code", text_of(code)) + element("Message", text_of(error.message))
        body = _document(
            "Response", "", element("Errors", element("Error", content)) + element("RequestID", text_of(request_id))
        )
        return _response(self.content_type, status, request_id, body)


def protocol_of(service: ServiceModel, protocol: str = "") -> WireProtocol:
    """Returns a protocol of a service, the one that it has first where none is named, with its model's error code for
    bad input."""
    protocol = protocol or service.protocol
    if protocol == "query":
        return AwsQuery(service.xml_namespace, is_shared=service.is_query_compatible)
    if protocol == CBOR:
        return RpcCbor(service)
    if service.is_query_compatible:
        return QueryCompatibleJson(service)
    if protocol == "ec2":
        return Ec2Query(service.xml_namespace)
    declared = ("InvalidParameterException", "ClientException", "ValidationException")
    refusal_code = next((code for code in declared if code in service.shapes), "ValidationException")
    if protocol == "rest-json":
        refusal = service.shapes.get(refusal_code)
        return RestJson(refusal_code, next(iter(refusal.members), "message") if refusal is not None else "message")
    assert protocol == "json", f"{service.name}: protocol {protocol} is not implemented"
    return AwsJson(service.json_version, refusal_code)


def _translated(codes: dict[str, tuple[str, int]], error: WireError) -> tuple[str, int]:
    code, status = codes.get(error.code, (error.code, 0))
    return code, status or error.status


def _document(name: str, namespace: str, content: str) -> bytes:
    opening = f'{name} xmlns="{namespace}"' if namespace else name
    return f"{DECLARATION}<{opening}>{content}</{name}>".encode()


def _response(content_type: str, status: int, request_id: str, body: bytes) -> Response:
    return Response(status, (("content-type", content_type), ("x-amzn-requestid", request_id)), body)
