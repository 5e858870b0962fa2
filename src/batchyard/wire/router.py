"""Finds the operation of a request among all services on one port."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from batchyard.wire.forms import named_operation
from batchyard.wire.locations import PathTemplate
from batchyard.wire.messages import MAX_BODY_BYTES, Response, WireError
from batchyard.wire.model import ServiceModel
from batchyard.wire.operation import Operation
from batchyard.wire.protocols import AwsJson, RestJson, WireProtocol
from batchyard.wire.query_compatible import CBOR, cbor_path
from batchyard.wire.xmlprotocols import FORM_PROTOCOLS, AwsQuery, protocol_of

# A refusal quotes at most this much of a caller's path or target.
MAX_QUOTED_LENGTH = 200
FORM_CONTENT_TYPE = "application/x-www-form-urlencoded"

# The service in the credential scope of a SigV4 header, which distinguishes services that have operations of one name.
_SIGNED_FOR = re.compile(r"Credential=[^,\s]*/([^/,\s]+)/aws4_request", re.ASCII)


class Router:
    """All operations of some services, each in all protocols of its service: distinguished by path, by `X-Amz-Target`,
    and by a form's `Action` and `Version` together with the service that the request is signed for.

    AssertionError when two services claim one address: a fault of ours, found at start.
    """

    def __init__(
        self,
        services: Iterable[ServiceModel],
        *,
        body_limit_bytes: int = MAX_BODY_BYTES,
        check_results: bool = False,
    ) -> None:
        self.operations: dict[tuple[str, str], Operation] = {}
        self._by_path: dict[tuple[str, bytes], Operation] = {}
        self._by_template: list[tuple[str, PathTemplate, Operation]] = []
        self._by_target: dict[str, Operation] = {}
        self._by_action: dict[str, list[Operation]] = {}
        self._form_services: dict[str, tuple[ServiceModel, WireProtocol]] = {}  # by their names in SigV4
        for service in services:
            for name in (service.protocol, *service.other_protocols):
                protocol = protocol_of(service, name)
                if name in FORM_PROTOCOLS:
                    self._form_services[service.signing_name] = service, protocol
                for model in service.operations.values():
                    operation = Operation(
                        service, model, protocol, body_limit_bytes=body_limit_bytes, check_results=check_results
                    )
                    self.operations.setdefault((service.name, model.name), operation)
                    self._add(service, name, operation)

    def _add(self, service: ServiceModel, protocol: str, operation: Operation) -> None:
        if protocol in FORM_PROTOCOLS:
            self._by_action.setdefault(operation.name, []).append(operation)
        elif protocol == "json":
            self._add_target(f"{service.target_prefix}.{operation.name}", operation)
        elif protocol == CBOR:
            self._by_path["POST", cbor_path(service, operation.name).encode("ascii")] = operation
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

    def needs_body(self, method: str, raw_path: bytes, headers: Mapping[str, str]) -> bool:
        """Whether `match` needs the body too: a form names its operation itself."""
        return raw_path == b"/" and method == "POST" and "x-amz-target" not in headers and bool(self._by_action)

    def match(self, method: str, raw_path: bytes, headers: Mapping[str, str], body: bytes = b"") -> Operation:
        """Returns the operation at `method` and `raw_path` (percent-encoded, no query string); headers by lower-case
        name.

        body: only where `needs_body`. Raises WireError UnknownOperationException (404).
        """
        operation = self._by_path.get((method, raw_path))
        if operation is not None:
            return operation
        if self.needs_body(method, raw_path, headers):
            action, version = named_operation(body)
            if action:
                return self._match_form(action, version, headers)
        target = headers.get("x-amz-target")
        if raw_path == b"/" and target is not None:
            operation = self._by_target.get(target) if method == "POST" else None
            if operation is None:
                raise _unknown(
                    f"No operation here has the X-Amz-Target {target[:MAX_QUOTED_LENGTH]!r} by {method[:16]}."
                )
            return operation
        for template_method, template, templated in self._by_template:
            if template_method == method and template.match(raw_path) is not None:
                return templated
        raise self._unknown_path(method, raw_path)

    def _match_form(self, action: str, version: str, headers: Mapping[str, str]) -> Operation:
        """Returns the operation of the service in the signature; where that has no forms, of the only service with
        this action and version."""
        signed_for = _signed_for(headers)
        named = self._by_action.get(action, [])
        if signed_for in self._form_services:
            service = self._form_services[signed_for][0].name
            candidates = [operation for operation in named if operation.service == service]
        else:
            versions = {each.name: each.version for each, _ in self._form_services.values()}
            candidates = [each for each in named if versions[each.service] == version] or named
        if len(candidates) != 1:
            raise _unknown(
                f"Could not find operation {action[:MAX_QUOTED_LENGTH]!r} for version {version[:MAX_QUOTED_LENGTH]!r}"
                f" of the service {signed_for[:MAX_QUOTED_LENGTH]!r}."
            )
        return candidates[0]

    def refuse(self, error: WireError, headers: Mapping[str, str], request_id: str) -> Response:
        """Returns the response of a refusal before any operation is known: in the protocol that the caller seems to
        speak."""
        if headers.get("content-type", "").startswith(FORM_CONTENT_TYPE) and "x-amz-target" not in headers:
            known = self._form_services.get(_signed_for(headers))
            return (known[1] if known else AwsQuery("")).error_response(error, request_id)
        if "x-amz-target" in headers:
            version = "1.0" if headers.get("content-type", "").startswith("application/x-amz-json-1.0") else "1.1"
            return AwsJson(version, error.code).error_response(error, request_id)
        return RestJson(error.code).error_response(error, request_id)

    def _unknown_path(self, method: str, raw_path: bytes) -> WireError:
        path = raw_path[:MAX_QUOTED_LENGTH].decode("ascii", "backslashreplace")
        others = sorted(
            {other for other, known in self._by_path if known == raw_path}
            | {other for other, template, _ in self._by_template if template.match(raw_path) is not None}
        )
        if others:
            return _unknown(f"No operation is served at {method[:16]} {path}; it takes {' or '.join(others)}.")
        return _unknown(
            f"No operation is served at {method[:16]} {path}. AWS Batch operations are POST /v1/<operation name "
            "in lower case>; others are POST / with an X-Amz-Target header, or with a form that names an Action."
        )


def _signed_for(headers: Mapping[str, str]) -> str:
    found = _SIGNED_FOR.search(headers.get("authorization", ""))
    return found[1] if found else ""


def _unknown(message: str) -> WireError:
    return WireError("UnknownOperationException", message, 404)
