"""Find the operation of a request among all services on one port."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from batchyard.wire.locations import PathTemplate
from batchyard.wire.messages import BODY_LIMIT_BYTES, Response, WireError
from batchyard.wire.model import ServiceModel
from batchyard.wire.operation import Operation
from batchyard.wire.protocols import AwsJson, RestJson, protocol_of

# A refusal quotes at most this much of a caller's path or target.
QUOTED_LENGTH = 200


class Router:
    """All operations of some services, told apart by path and by `X-Amz-Target`.

    AssertionError when two services claim one address: a fault of ours, found at start.
    """

    def __init__(
        self,
        services: Iterable[ServiceModel],
        *,
        body_limit_bytes: int = BODY_LIMIT_BYTES,
        check_results: bool = False,
    ) -> None:
        self.operations: dict[tuple[str, str], Operation] = {}
        self._by_path: dict[tuple[str, bytes], Operation] = {}
        self._by_template: list[tuple[str, PathTemplate, Operation]] = []
        self._by_target: dict[str, Operation] = {}
        for service in services:
            protocol = protocol_of(service)
            for model in service.operations.values():
                operation = Operation(
                    service, model, protocol, body_limit_bytes=body_limit_bytes, check_results=check_results
                )
                self.operations[service.name, model.name] = operation
                if service.protocol == "json":
                    self._add_target(f"{service.target_prefix}.{model.name}", operation)
                else:
                    self._add_path(operation)

    def _add_target(self, target: str, operation: Operation) -> None:
        assert target not in self._by_target, f"two operations for the target {target}"
        self._by_target[target] = operation

    def _add_path(self, operation: Operation) -> None:
        method, uri = operation.model.method, operation.model.request_uri
        assert "?" not in uri, f"{operation}: a query string in requestUri is not implemented"
        if "{" in uri:
            self._by_template.append((method, PathTemplate(uri), operation))
            return
        address = (method, uri.encode("ascii"))
        assert address not in self._by_path, f"two operations at {method} {uri}"
        self._by_path[address] = operation

    def match(self, method: str, raw_path: bytes, headers: Mapping[str, str]) -> Operation:
        """The operation at `method` and `raw_path` (percent-encoded, no query string); headers by lower-case name.

        Raises WireError UnknownOperationException (404).
        """
        operation = self._by_path.get((method, raw_path))
        if operation is not None:
            return operation
        target = headers.get("x-amz-target")
        if raw_path == b"/" and target is not None:
            operation = self._by_target.get(target) if method == "POST" else None
            if operation is None:
                raise _unknown(f"No operation here has the X-Amz-Target {target[:QUOTED_LENGTH]!r} by {method[:16]}.")
            return operation
        for template_method, template, templated in self._by_template:
            if template_method == method and template.match(raw_path) is not None:
                return templated
        raise self._unknown_path(method, raw_path)

    def refuse(self, error: WireError, headers: Mapping[str, str], request_id: str) -> Response:
        """The response of a refusal before any operation is known: in the protocol that the caller seems to speak."""
        if "x-amz-target" in headers:
            version = "1.0" if headers.get("content-type", "").startswith("application/x-amz-json-1.0") else "1.1"
            return AwsJson(version, error.code).error_response(error, request_id)
        return RestJson(error.code).error_response(error, request_id)

    def _unknown_path(self, method: str, raw_path: bytes) -> WireError:
        path = raw_path[:QUOTED_LENGTH].decode("ascii", "backslashreplace")
        others = sorted(
            {other for other, known in self._by_path if known == raw_path}
            | {other for other, template, _ in self._by_template if template.match(raw_path) is not None}
        )
        if others:
            return _unknown(f"No operation is served at {method[:16]} {path}; it takes {' or '.join(others)}.")
        return _unknown(
            f"No operation is served at {method[:16]} {path}. AWS Batch operations are POST /v1/<operation name "
            "in lower case>; others are POST / with an X-Amz-Target header."
        )


def _unknown(message: str) -> WireError:
    return WireError("UnknownOperationException", message, 404)
