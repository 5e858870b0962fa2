"""Task tokens: opaque texts that name one attempt of a task, of which the service can see that it made them (step
functions spec 15)."""

from __future__ import annotations

import base64
import hashlib

from msgspec import Struct

from batchyard.core.model.refusal import Refused

_VERSION = "1"
_DIGEST_BYTES = 18


class TokenParts(Struct, frozen=True):
    execution_key: int
    frame_id: int
    event_id: int  # of TaskScheduled or ActivityScheduled


def make_token(account_id: str, execution_key: int, frame_id: int, event_id: int) -> str:
    text = f"{_VERSION}.{execution_key}.{frame_id}.{event_id}"
    return base64.urlsafe_b64encode(f"{text}.{_digest(account_id, text)}".encode()).decode()


def parse_token(account_id: str, token: str) -> TokenParts:
    """Takes a token apart. Refuses a text that the service of this account did not make."""
    try:
        text, _, digest = base64.urlsafe_b64decode(token.encode()).decode().rpartition(".")
    except ValueError:
        text = digest = ""
    parts = text.split(".")
    if len(parts) != 4 or digest != _digest(account_id, text):
        raise Refused("Invalid Token: 'Invalid token'", "InvalidToken")
    return TokenParts(int(parts[1]), int(parts[2]), int(parts[3]))


def _digest(account_id: str, text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES, key=account_id.encode()).hexdigest()
