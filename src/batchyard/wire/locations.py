"""Request members outside the body: path labels, query parameters, headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from batchyard.wire.documents import DocumentError, missing, read_text
from batchyard.wire.messages import Request
from batchyard.wire.model import Member, Shape

# AWS allows 50 tag keys in one request; the API layer words that refusal, so the wire lets more through.
MAX_QUERY_FIELDS = 1000

_LABEL = re.compile(r"\{([^}+]+)\+?\}")


class PathTemplate:
    """A `requestUri` with labels, matched against raw (still percent-encoded) paths.

    A label that ends the path takes the rest of it, slashes too: clients that do not encode the `/` of an ARN
    mean the same.
    """

    def __init__(self, request_uri: str) -> None:
        pieces = _LABEL.split(request_uri)
        self.labels = pieces[1::2]
        pattern = re.escape(pieces[0])
        for i, literal in enumerate(pieces[2::2]):
            ends_path = i == len(self.labels) - 1 and literal == ""
            pattern += ("(.+)" if ends_path else "([^/]+)") + re.escape(literal)
        self._pattern = re.compile(pattern.encode("ascii"), re.DOTALL)

    def match(self, raw_path: bytes) -> dict[str, bytes] | None:
        """Returns label -> raw text, or None where the path does not match."""
        found = self._pattern.fullmatch(raw_path)
        return None if found is None else dict(zip(self.labels, found.groups(), strict=True))


class LocationReader:
    """Reads the members of one input shape that do not travel in the body."""

    def __init__(self, shape: Shape, request_uri: str) -> None:
        self.members = [member for member in shape.members.values() if member.location != "body"]
        self._template = PathTemplate(request_uri)

    def read(self, request: Request) -> dict[str, Any]:
        """Returns member -> value; raises DocumentError for missing or ill-formed members."""
        labels = self._template.match(request.raw_path) or {}
        query = _parse_query(request.query) if request.query else {}
        result: dict[str, Any] = {}
        for member in self.members:
            texts = _texts(member, labels, query, request.headers)
            if not texts:
                if member.required:
                    raise missing(member.name)
            elif member.shape.type == "list":
                assert member.shape.element is not None
                element = member.shape.element
                result[member.name] = [read_text(element, text, f"{member.name}[{i}]") for i, text in enumerate(texts)]
            else:
                result[member.name] = read_text(member.shape, texts[-1], member.name)
        return result


def _texts(
    member: Member, labels: Mapping[str, bytes], query: Mapping[str, list[str]], headers: Mapping[str, str]
) -> list[str]:
    if member.location == "querystring":
        return query.get(member.wire_name, [])
    if member.location == "header":
        value = headers.get(member.wire_name.lower())
        return [] if value is None else [value]
    raw = labels.get(member.wire_name)
    if raw is None:
        return []
    try:
        return [unquote_to_bytes(raw).decode("utf-8")]
    except UnicodeDecodeError:
        raise DocumentError("type", member.name, f"{member.name} must be percent-encoded UTF-8 in the path.") from None


def _parse_query(query: bytes) -> dict[str, list[str]]:
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_FIELDS
        )
    except UnicodeDecodeError:
        raise DocumentError("type", "", "The query string must be percent-encoded UTF-8.") from None
    except ValueError:
        raise DocumentError("type", "", f"The query string must have at most {MAX_QUERY_FIELDS} parameters.") from None
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values
