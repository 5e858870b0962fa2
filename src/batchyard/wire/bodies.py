"""Compiles a structure shape into a JSON reader: msgspec decodes into TypedDicts made from the shape.

They check types, required members and integer bounds, and skip unknown members unread; the result is already the
plain dict that the rest of the product works with (half the time of a Struct converted to a dict). A document that
they refuse, also for a null, is read again by `documents.read`, which drops nulls and words the refusals.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, Required, TypedDict

import msgspec

from batchyard.wire.documents import DocumentError, read
from batchyard.wire.model import INTEGER_RANGES, Shape

# AWS Batch's text, observed.
MALFORMED = "An error occurred during JSON parsing"

# Made from names known only at run time, which the type checker cannot follow.
_make_typed_dict: Any = TypedDict


class BodyReader:
    """Reads JSON bodies of one structure shape; members that travel elsewhere are left out."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        compiler = _Compiler()
        self._decoder: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(compiler.typed_dict(shape))
        self._exact = compiler.exact

    def read(self, body: bytes) -> dict[str, Any]:
        """Returns the document in `body`: AWS member names, no nulls, no unknown members; an empty body is `{}`.

        Raises DocumentError, and nothing else, whatever the bytes.
        """
        if self._exact:
            try:
                return self._decoder.decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass  # read again below, for the words of the refusal or because of nulls
        return self.read_slowly(body)

    def read_slowly(self, body: bytes) -> dict[str, Any]:
        """Does the same as `read` by walking the model: takes about 20 times as long, and words every refusal."""
        try:
            document = msgspec.json.decode(body) if body.strip() else {}
        except msgspec.ValidationError:
            raise DocumentError("syntax", "", f"{MALFORMED}: it holds a number that is out of range.") from None
        except RecursionError:
            raise DocumentError("syntax", "", f"{MALFORMED}: it is nested too deep.") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise DocumentError("syntax", "", MALFORMED) from None
        result: dict[str, Any] = read(self.shape, document)
        return result


class _Compiler:
    """Makes one TypedDict per structure shape.

    `exact` is False when the type allows more than the shape (one that contains itself, members named otherwise on
    the wire): then the walk must read every document.
    """

    def __init__(self) -> None:
        self.exact = True
        self._made: dict[str, Any] = {}
        self._open: set[str] = set()

    def typed_dict(self, shape: Shape) -> Any:
        if shape.name not in self._made:
            self._open.add(shape.name)
            fields: dict[str, Any] = {}
            for member in shape.members.values():
                if member.location == "body":
                    self.exact = self.exact and member.wire_name == member.name
                    kind = self.type_of(member.shape)
                    fields[member.wire_name] = Required[kind] if member.required else NotRequired[kind]
            self._open.remove(shape.name)
            self._made[shape.name] = _make_typed_dict(shape.name, fields)
        return self._made[shape.name]

    def type_of(self, shape: Shape) -> Any:
        """Returns the type that a value of `shape` is decoded to."""
        if shape.type in INTEGER_RANGES:
            low, high = INTEGER_RANGES[shape.type]
            return Annotated[int, msgspec.Meta(ge=low, le=high)]
        if shape.type == "timestamp":
            return str if shape.timestamp_format == "iso8601" else float
        scalars: dict[str, Any] = {"string": str, "boolean": bool, "float": float, "double": float, "blob": bytes}
        if shape.type in scalars:
            return scalars[shape.type]
        if shape.name in self._open:
            self.exact = False
            return Any
        if shape.type == "structure":
            return self.typed_dict(shape)
        assert shape.element is not None
        self._open.add(shape.name)
        element = self.type_of(shape.element)
        self._open.remove(shape.name)
        if shape.type == "list":
            return list[element]  # type: ignore[valid-type]
        return dict[str, element]  # type: ignore[valid-type]
