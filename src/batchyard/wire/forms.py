"""Form-encoded requests (protocols `query` and `ec2`): `Filter.1.Name=tag%3Ateam` becomes the document that it
describes.

Lists count from 1. What the protocols have in common is here; where they differ is in `FormStyle`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from batchyard.wire.documents import MAX_DEPTH, DocumentError, missing, read_text, wanted
from batchyard.wire.model import Member, Shape

# EC2 takes up to 50 filters of 200 values each beside 1,000 ids in one request; twice that costs little to read.
MAX_FORM_FIELDS = 25_000
# The largest index of a list that is read; no real list has more digits in its indexes.
INDEX_DIGITS = 9
QUOTED_KEY_LENGTH = 64  # a refusal quotes at most this much of a caller's own key

_ACTION = re.compile(rb"(?:^|&)Action=([^&]*)")
_VERSION = re.compile(rb"(?:^|&)Version=([^&]*)")


@dataclass(frozen=True, slots=True)
class FormStyle:
    """How a protocol names members in forms. `ec2`: first letters are capitals and every list is flattened."""

    ec2: bool = False

    def member_name(self, member: Member) -> str:
        if self.ec2:
            return member.query_name or member.wire_name[:1].upper() + member.wire_name[1:]
        return flattened_name(member)

    def list_name(self, shape: Shape) -> str:
        """Returns the text between a list's name and the number of an element; empty: there is none."""
        return "" if self.ec2 or shape.flattened else shape.element_name or "member"


def flattened_name(member: Member) -> str:
    """Returns the name of a member where a flattened list is named after its elements: in XML, and in `query` forms."""
    if member.shape.type == "list" and member.shape.flattened and member.shape.element_name:
        return member.shape.element_name
    return member.wire_name


@dataclass(slots=True)
class _Node:
    """One part of the dotted names: its value, and what follows after a dot."""

    text: str | None = None
    inner: dict[str, _Node] = field(default_factory=dict)


class FormReader:
    """Reads form-encoded bodies of one structure shape."""

    def __init__(self, shape: Shape, style: FormStyle) -> None:
        self.shape = shape
        self._style = style

    def read(self, body: bytes) -> dict[str, Any]:
        """Returns the document in `body`: AWS member names, no unknown members. Raises DocumentError, and nothing
        else."""
        result: dict[str, Any] = self._read(self.shape, _tree(body), "")
        return result

    def _read(self, shape: Shape, node: _Node, path: str) -> Any:
        if shape.type == "structure":
            return self._structure(shape, node, path)
        if shape.type == "list":
            assert shape.element is not None
            name = self._style.list_name(shape)
            elements = _numbered(_behind(node, name) if name else node, shape, path)
            return [self._read(shape.element, each, f"{path}[{i}]") for i, each in enumerate(elements)]
        if shape.type == "map":
            return self._map(shape, node, path)
        if node.text is None:
            raise DocumentError("type", path, f"{path} must be {wanted(shape)}, got members of it.")
        return read_text(shape, node.text, path)

    def _structure(self, shape: Shape, node: _Node, path: str) -> dict[str, Any]:
        if node.text:
            raise DocumentError("type", path, f"{path} must be {wanted(shape)}, got text.")
        result = {}
        for member in shape.members.values():
            inner_path = f"{path}.{member.name}" if path else member.name
            inner = node.inner.get(self._style.member_name(member))
            if inner is not None:
                result[member.name] = self._read(member.shape, inner, inner_path)
            elif member.required:
                raise missing(inner_path)
        return result

    def _map(self, shape: Shape, node: _Node, path: str) -> dict[str, Any]:
        assert shape.key is not None
        assert shape.element is not None
        result = {}
        for entry in _numbered(node if shape.flattened else _behind(node, "entry"), shape, path):
            key = entry.inner.get(shape.key_name or "key", _Node()).text
            value = entry.inner.get(shape.element_name or "value")
            if key is None or value is None:
                raise DocumentError("type", path, f"Each entry of {path} must have a key and a value.")
            result[key] = self._read(shape.element, value, f"{path}[{key[:QUOTED_KEY_LENGTH]!r}]")
        return result


def named_operation(body: bytes) -> tuple[str, str]:
    """Returns `Action` and `Version` of a form; empty where they are not given."""
    found = (pattern.search(body) for pattern in (_ACTION, _VERSION))
    action, version = (unquote_to_bytes(each[1]).decode("ascii", "replace") if each else "" for each in found)
    return action, version


def _tree(body: bytes) -> _Node:
    root = _Node()
    for name, value in _fields(body):
        parts = name.split(".")
        if len(parts) > MAX_DEPTH:
            raise DocumentError("type", "", f"The request is nested deeper than {MAX_DEPTH} levels.")
        node = root
        for part in parts:
            node = node.inner.setdefault(part, _Node())
        node.text = value
    return root


def _fields(body: bytes) -> list[tuple[str, str]]:
    try:
        text = body.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS)
    except UnicodeDecodeError:
        raise DocumentError("syntax", "", "The request body must be form-encoded UTF-8.") from None
    except ValueError:
        raise DocumentError("syntax", "", f"The request body must have at most {MAX_FORM_FIELDS} parameters.") from None


def _behind(node: _Node, name: str) -> _Node:
    """Returns what follows `name`, for lists and maps that are not flattened; an empty text means an empty list or
    map."""
    return node.inner.get(name, _Node(node.text))


def _numbered(node: _Node, shape: Shape, path: str) -> list[_Node]:
    """Returns the elements of a list, in the order of their numbers; gaps are closed."""
    if node.text:
        raise DocumentError("type", path, f"{path} must be {wanted(shape)}, numbered from 1, got text.")
    numbers = [each for each in node.inner if each.isascii() and each.isdigit() and len(each) <= INDEX_DIGITS]
    return [node.inner[number] for number in sorted(numbers, key=int)]
