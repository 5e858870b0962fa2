"""One operation of one service, ready to parse requests and answer them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from batchyard.wire.documents import DocumentError, check
from batchyard.wire.locations import LocationReader
from batchyard.wire.messages import MAX_BODY_BYTES, Request, Response, WireError
from batchyard.wire.model import OperationModel, ServiceModel
from batchyard.wire.protocols import DocumentReader, WireProtocol


class Operation:
    """An operation as its model has it.

    service, name: for example `batch`, `SubmitJob`. model: its shapes, with their constraints. body_limit_bytes:
    larger bodies are refused. check_results: compare every result with the output shape (tests).
    """

    def __init__(
        self,
        service: ServiceModel,
        model: OperationModel,
        protocol: WireProtocol,
        *,
        body_limit_bytes: int = MAX_BODY_BYTES,
        check_results: bool = False,
    ) -> None:
        self.service = service.name
        self._error_statuses = service.error_statuses
        self.name = model.name
        self.model = model
        self.protocol = protocol
        self._body_limit_bytes = body_limit_bytes
        self._check_results = check_results

    # Both are compiled for the first request: most operations of a service never get one.
    @cached_property
    def _body(self) -> DocumentReader | None:
        return self.protocol.reader(self.model.input) if self.model.input else None

    @cached_property
    def _locations(self) -> LocationReader | None:
        locations = LocationReader(self.model.input, self.model.request_uri) if self.model.input else None
        return locations if locations and locations.members else None

    def __repr__(self) -> str:
        return f"<Operation {self.service}.{self.name}>"

    def parse(self, request: Request) -> dict[str, Any]:
        """Returns the request's members: AWS names, types as in the model, required ones present, no nulls, none
        unknown.

        Values: str, bool, int (within 32 or 64 bits), float, bytes (blobs), list, dict. Raises WireError, and
        nothing else, whatever the bytes. The Content-Type is not looked at, and an empty body is `{}`.
        """
        if len(request.body) > self._body_limit_bytes:
            raise WireError(
                "RequestEntityTooLargeException",
                f"The request body must be at most {self._body_limit_bytes} bytes, got {len(request.body)}.",
                413,
            )
        if self._body is None:
            return {}
        try:
            document = self._body.read(request.body)
            if self._locations is not None:
                document.update(self._locations.read(request))
        except DocumentError as fault:
            refusal = self.protocol.refusal(fault)
            refusal.is_bare = fault.fault == "syntax"
            raise refusal from None
        return document

    def serialise(self, result: dict[str, Any], request_id: str = "") -> bytes:
        """Returns the body of a result (AWS member names), which with check_results is compared with the output
        shape first (see `check`). Some protocols repeat the request's id in it."""
        if self._check_results:
            self.check(result)
        return self.protocol.encode(self.model, result, request_id)

    def check(self, result: dict[str, Any]) -> None:
        """Raises AssertionError, which names the member of `result` that the output shape lacks or defines
        differently."""
        if self.model.output is None:
            assert not result, f"{self.name} has no output, got {result!r}"
        else:
            check(self.model.output, result, self.name)

    def respond(self, result: dict[str, Any], request_id: str) -> Response:
        """Returns the response of a success."""
        headers = (
            ("content-type", self.protocol.content_type),
            ("x-amzn-requestid", request_id),
            *self.protocol.headers,
        )
        return Response(self.model.status, headers, self.serialise(result, request_id))

    def status_of(self, code: str) -> int | None:
        """Returns the HTTP status that the service's model has for an error code; None: it has none."""
        return self._error_statuses.get(code)

    def refuse(self, error: WireError, request_id: str) -> Response:
        """Returns the response of a refusal."""
        return self.protocol.error_response(error, request_id)
