"""Cursors: where a page ended, as an opaque text. A cursor names the last row shown, so that rows added meanwhile
shift nothing."""

from __future__ import annotations

import base64
import binascii

import msgspec

Part = int | str

MAX_INTEGER = 2**63 - 1  # of a database


def encode_cursor(kind: str, *parts: Part) -> str:
    """Makes a cursor. `kind`: the listing it belongs to; other listings refuse it."""
    text = msgspec.json.encode([kind, *parts])
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def decode_cursor(cursor: str, kind: str, *types: type) -> list[Part]:
    """Returns the parts given to `encode_cursor`, which must be of `types`. Raises ValueError, a sentence for the
    caller."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        found = msgspec.json.decode(raw, type=list[Part])
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise _invalid() from None
    if len(found) != len(types) + 1 or found[0] != kind:
        raise _invalid()
    parts = found[1:]
    for part, expected in zip(parts, types, strict=True):
        if type(part) is not expected or (isinstance(part, int) and abs(part) > MAX_INTEGER):
            raise _invalid()
    return parts


def _invalid() -> ValueError:
    return ValueError(
        "The nextToken is not valid. Use the nextToken of the previous page, with all other parameters as they were."
    )
