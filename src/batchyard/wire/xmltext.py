"""Results as XML (protocols `query` and `ec2`): elements by the names that the service model gives them.

Texts may contain what no XML document can (control characters): U+FFFD replaces those.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from batchyard.wire.forms import flattened_name
from batchyard.wire.model import Shape

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text_of(value: str) -> str:
    """Escapes `value` for use between tags. A bare carriage return would be read as a line's end."""
    return escape(_NOT_IN_XML.sub("\ufffd", value), {"\r": "&#xD;"})


def element(name: str, content: str) -> str:
    """Returns an element; `content` is XML already."""
    return f"<{name}>{content}</{name}>"


def members(shape: Shape, value: dict[str, Any]) -> str:
    """Returns the members of a structure, one after the other, in the model's order."""
    return "".join(
        _written(member.shape, flattened_name(member), value[member.name])
        for member in shape.members.values()
        if member.name in value
    )


def _written(shape: Shape, name: str, value: Any) -> str:
    if shape.type == "structure":
        return element(name, members(shape, value))
    if shape.type == "list":
        assert shape.element is not None
        if shape.flattened:
            return "".join(_written(shape.element, name, each) for each in value)
        inner_name = shape.element_name or "member"
        return element(name, "".join(_written(shape.element, inner_name, each) for each in value))
    if shape.type == "map":
        assert shape.element is not None
        key_name, value_name = shape.key_name or "key", shape.element_name or "value"
        entries = [
            element(key_name, text_of(key)) + _written(shape.element, value_name, inner) for key, inner in value.items()
        ]
        if shape.flattened:
            return "".join(element(name, entry) for entry in entries)
        return element(name, "".join(element("entry", entry) for entry in entries))
    return element(name, text_of(_SCALARS.get(shape.type, str)(value)))


def _blob(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def _timestamp(value: float | str) -> str:
    """Formats seconds since 1970 as ISO 8601 to the millisecond; a text is formatted already."""
    if isinstance(value, str):
        return value
    moment = datetime.fromtimestamp(value, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_SCALARS: dict[str, Callable[[Any], str]] = {
    "boolean": lambda value: "true" if value else "false",
    "float": repr,
    "double": repr,
    "blob": _blob,
    "timestamp": _timestamp,
}
