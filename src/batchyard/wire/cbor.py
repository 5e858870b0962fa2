"""CBOR (RFC 8949), as far as AWS's protocol `smithy-rpc-v2-cbor` uses it: maps with text keys, lists, texts, bytes,
whole numbers of 64 bits, doubles, booleans, null, and times (tag 1).

Decoding never takes more memory than the bytes call for, nor recursion deeper than documents may be."""

from __future__ import annotations

import binascii
import math
import struct
from collections.abc import Callable
from typing import Any

from batchyard.wire.documents import MAX_DEPTH, DocumentError
from batchyard.wire.model import Shape

UNSIGNED, NEGATIVE, BYTES, TEXT, LIST, MAP, TAG, SIMPLE = range(8)  # major types
INDEFINITE = 31
EPOCH_TIME = 1  # the tag of seconds since 1970
FALSE, TRUE, NULL, UNDEFINED = 20, 21, 22, 23
FLOATS = {25: (2, ">e"), 26: (4, ">f"), 27: (8, ">d")}
LENGTHS = {24: 1, 25: 2, 26: 4, 27: 8}  # bytes of a number that does not fit the head, by the head's low bits
MAX_SHORT = 24  # numbers below it fit the head
MAX_64_BITS = 1 << 64
EMPTY_MAP = b"\xa0"

MALFORMED = "The request body is no well-formed CBOR"


def decode(data: bytes) -> Any:
    """Returns the value in `data`: byte strings as base64 text, times as seconds. Raises DocumentError, and nothing
    else, whatever the bytes."""
    decoder = _Decoder(data)
    value = decoder.value(0)
    if decoder.at != len(data):
        raise _malformed("bytes follow its end")
    if isinstance(value, float) and not math.isfinite(value):
        raise _malformed("it is no number")
    return value


def _malformed(reason: str) -> DocumentError:
    return DocumentError("syntax", "", f"{MALFORMED}: {reason}.")


class _Decoder:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise DocumentError("type", "", f"The request is nested deeper than {MAX_DEPTH} levels.")
        head = self._take(1)[0]
        major, low = head >> 5, head & 31
        if major == SIMPLE:
            return self._simple(low)
        if low == INDEFINITE:
            return self._indefinite(major, depth)
        length = self._number(low)
        if major == UNSIGNED:
            return length
        if major == NEGATIVE:
            return -1 - length
        if major in (BYTES, TEXT):
            return _text(major, self._take(length))
        if major == TAG:
            return self._tagged(length, depth)
        if length > len(self._data) - self.at:
            raise _malformed("it ends too early")
        if major == LIST:
            return [self.value(depth + 1) for _ in range(length)]
        return dict(self._entry(depth) for _ in range(length))

    def _entry(self, depth: int) -> tuple[str, Any]:
        key = self.value(depth + 1)
        if not isinstance(key, str):
            raise _malformed("a key of a map is no text")
        return key, self.value(depth + 1)

    def _indefinite(self, major: int, depth: int) -> Any:
        if major in (BYTES, TEXT):
            return _text(major, b"".join(self._until_break(lambda: self._chunk(major))))
        if major == LIST:
            return self._until_break(lambda: self.value(depth + 1))
        if major == MAP:
            return dict(self._until_break(lambda: self._entry(depth)))
        raise _malformed("something has an indefinite length that can have none")

    def _until_break(self, item: Callable[[], Any]) -> list[Any]:
        found: list[Any] = []
        while True:
            if self._data[self.at : self.at + 1] == b"\xff":
                self.at += 1
                return found
            found.append(item())

    def _chunk(self, major: int) -> bytes:
        head = self._take(1)[0]
        if head >> 5 != major or head & 31 == INDEFINITE:
            raise _malformed("a part of a text is none")
        return self._take(self._number(head & 31))

    def _tagged(self, tag: int, depth: int) -> Any:
        value = self.value(depth + 1)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if tag == EPOCH_TIME and not is_number:
            raise _malformed("a time is no number")
        return value

    def _simple(self, low: int) -> Any:
        if low in FLOATS:
            length, form = FLOATS[low]
            (number,) = struct.unpack(form, self._take(length))
            return number  # NaN and infinities too: the shape refuses them, with the member's path
        if low in (FALSE, TRUE):
            return low == TRUE
        if low in (NULL, UNDEFINED):
            return None
        raise _malformed("it has a value of an unknown kind")

    def _number(self, low: int) -> int:
        if low < MAX_SHORT:
            return low
        if low not in LENGTHS:
            raise _malformed("a length has an unknown form")
        return int.from_bytes(self._take(LENGTHS[low]), "big")

    def _take(self, length: int) -> bytes:
        taken = self._data[self.at : self.at + length]
        if len(taken) < length:
            raise _malformed("it ends too early")
        self.at += length
        return taken


def _text(major: int, raw: bytes) -> str:
    if major == BYTES:
        return binascii.b2a_base64(raw, newline=False).decode("ascii")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _malformed("a text is no UTF-8") from None


# -- encoding --


def encode(shape: Shape, value: Any) -> bytes:
    """Returns a result of a shape. Times are seconds since 1970."""
    out = bytearray()
    _write(shape, value, out)
    return bytes(out)


def encode_texts(members: dict[str, str]) -> bytes:
    """Returns a map of texts."""
    out = bytearray(_head(MAP, len(members)))
    for key, value in members.items():
        _write_text(key, out)
        _write_text(value, out)
    return bytes(out)


def _write(shape: Shape, value: Any, out: bytearray) -> None:
    if shape.type == "structure":
        out += _head(MAP, len(value))
        for key, inner in value.items():
            member = shape.members[key]
            _write_text(member.wire_name, out)
            _write(member.shape, inner, out)
    elif shape.type == "map":
        assert shape.element is not None
        out += _head(MAP, len(value))
        for key, inner in value.items():
            _write_text(key, out)
            _write(shape.element, inner, out)
    elif shape.type == "list":
        assert shape.element is not None
        out += _head(LIST, len(value))
        for inner in value:
            _write(shape.element, inner, out)
    else:
        _write_scalar(shape, value, out)


def _write_scalar(shape: Shape, value: Any, out: bytearray) -> None:
    if isinstance(value, str):
        _write_text(value, out)
    elif isinstance(value, bytes):
        out += _head(BYTES, len(value)) + value
    elif isinstance(value, bool):
        out.append(SIMPLE << 5 | (TRUE if value else FALSE))
    elif shape.type in ("float", "double", "timestamp"):
        out += (_head(TAG, EPOCH_TIME) if shape.type == "timestamp" else b"") + b"\xfb" + struct.pack(">d", value)
    else:
        assert -(MAX_64_BITS >> 1) <= value < MAX_64_BITS, f"{value} has more than 64 bits"
        out += _head(UNSIGNED, value) if value >= 0 else _head(NEGATIVE, -1 - value)


def _write_text(text: str, out: bytearray) -> None:
    raw = text.encode("utf-8", "replace")
    out += _head(TEXT, len(raw)) + raw


def _head(major: int, number: int) -> bytes:
    if number < MAX_SHORT:
        return bytes([major << 5 | number])
    for low, length in LENGTHS.items():
        if number < 1 << 8 * length:
            return bytes([major << 5 | low]) + number.to_bytes(length, "big")
    raise AssertionError(f"{number} has more than 64 bits")
