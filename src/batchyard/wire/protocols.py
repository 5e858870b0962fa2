"""How each AWS protocol encodes requests, results and errors.

`rest-json` and `json` (1.0, 1.1) are here, `query` and `ec2` in `xmlprotocols`, CBOR in `query_compatible`.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from batchyard.wire.bodies import BodyReader
from batchyard.wire.documents import DocumentError
from batchyard.wire.messages import Response, WireError
from batchyard.wire.model import OperationModel, Shape

_encoder = msgspec.json.Encoder()


class DocumentReader(Protocol):
    """Reads the bodies of one operation's requests."""

    def read(self, body: bytes) -> dict[str, Any]:
        """Returns the document in `body`: AWS member names, no nulls, no unknown members. Raises DocumentError
        alone."""


class WireProtocol(Protocol):
    """The interface of a protocol for Operation and Router."""

    content_type: str
    headers: tuple[tuple[str, str], ...]  # of every answer, besides

    def reader(self, shape: Shape) -> DocumentReader:
        """Returns the reader of request bodies of `shape`."""

    def refusal(self, fault: DocumentError) -> WireError:
        """Returns the error that a caller gets for a document that does not fit the model."""

    def encode(self, operation: OperationModel, result: dict[str, Any], request_id: str) -> bytes:
        """Returns the body of a result."""

    def error_response(self, error: WireError, request_id: str) -> Response:
        """Returns the response of a refusal, in the form that SDKs parse."""


class RestJson:
    """`rest-json`: the operation is in method and path, the error code in the header `x-amzn-ErrorType`.
    `message_member`: the name of an error's text in its body, as the service's model has it."""

    content_type = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    def __init__(self, refusal_code: str, message_member: str = "message") -> None:
        self._refusal_code, self._message_member = refusal_code, message_member

    def reader(self, shape: Shape) -> DocumentReader:
        return BodyReader(shape)

    def refusal(self, fault: DocumentError) -> WireError:
        return WireError(self._refusal_code, fault.message)

    def encode(self, operation: OperationModel, result: dict[str, Any], request_id: str) -> bytes:
        return _encoder.encode(result)

    def error_response(self, error: WireError, request_id: str) -> Response:
        headers = (
            ("content-type", self.content_type),
            ("x-amzn-requestid", request_id),
            ("x-amzn-errortype", error.code),
        )
        # `__type` repeats the header for clients that read bodies only; the real service's front end does so too.
        document = {self._message_member: error.message, "__type": error.code}
        return Response(error.status, headers, _encoder.encode(document))


class AwsJson:
    """`json` 1.0 and 1.1: the operation is in `X-Amz-Target`, the error code in the body's `__type`."""

    headers: tuple[tuple[str, str], ...] = ()

    def __init__(self, json_version: str, refusal_code: str) -> None:
        self.content_type = f"application/x-amz-json-{json_version}"
        self._refusal_code = refusal_code

    def reader(self, shape: Shape) -> DocumentReader:
        return BodyReader(shape)

    def refusal(self, fault: DocumentError) -> WireError:
        if fault.fault == "missing":
            # The real services' text for every absent required member.
            text = (
                f"1 validation error detected: Value null at '{fault.path}' failed to satisfy constraint: "
                "Member must not be null"
            )
            return WireError(self._refusal_code, text)
        return WireError("SerializationException", fault.message)

    def encode(self, operation: OperationModel, result: dict[str, Any], request_id: str) -> bytes:
        return _encoder.encode(result)

    def error_response(self, error: WireError, request_id: str) -> Response:
        headers = (("content-type", self.content_type), ("x-amzn-requestid", request_id))
        document = {"__type": error.code, "message": error.message, **error.members}
        return Response(error.status, headers, _encoder.encode(document))
