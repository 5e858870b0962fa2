"""What identifies callers."""

from __future__ import annotations

from msgspec import Struct

from batchyard.server.access.keys import Key, KeyFile
from batchyard.server.access.metadata_tokens import Tokens
from batchyard.server.access.sessions import Sessions


class Identity(Struct, frozen=True):
    """What identifies callers: the owner's keys, the operator's key, the sessions and metadata tokens of attempts."""

    keys: KeyFile
    operator: Key
    sessions: Sessions
    tokens: Tokens
