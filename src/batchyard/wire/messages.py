"""The requests, responses and refusals of the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

# AWS Batch's largest documents are 30 KiB; tag maps and node overrides stay well below this. A larger body
# is a mistake or an attack, and reading it would only cost memory.
MAX_BODY_BYTES = 1024 * 1024


Document = dict[str, Any]  # a parsed request or a result: AWS's member names -> values


class Request(msgspec.Struct, frozen=True):
    """One HTTP request, as received.

    raw_path: the path before any percent-decoding, without the query string (`b"/v1/tags/arn%3Aaws..."`).
    query: the raw query string without its `?`.
    headers: by lower-case name; repeated headers joined by `,`.
    """

    method: str
    raw_path: bytes
    query: bytes
    headers: Mapping[str, str]
    body: bytes


class Response(msgspec.Struct, frozen=True):
    """One HTTP response; header names are lower-case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class WireError(Exception):
    """A refusal that the caller sees: AWS's error code, a sentence, an HTTP status (400: the caller's fault).

    is_bare: it never comes within AWS's words around refusals; those of a member that its shape has no room for do.
    members: what else the error has in its shape, for protocols of JSON.
    """

    def __init__(
        self, code: str, message: str, status: int = 400, *, is_bare: bool = True, members: Document | None = None
    ) -> None:
        super().__init__(code, message, status)
        self.code = code
        self.message = message
        self.status = status
        self.is_bare = is_bare
        self.members = members or {}

    def __str__(self) -> str:
        return f"{self.code} ({self.status}): {self.message}"
