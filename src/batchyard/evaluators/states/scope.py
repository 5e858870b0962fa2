"""What expressions of a state may read: its data, the context object, variables, the time, and derived randomness."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field, structs


class Draws:
    """Counts the random values that one evaluation has drawn, so that each differs from the one before."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Scope(Struct, frozen=True):
    """The data of one evaluation.

    `document`: `$`; `context`: `$$`, the context object; `variables`: by name, without `$`; `seed`: text from which
    random values and UUIDs are derived, so that a repeated evaluation gives the same; `now_ms`: epoch milliseconds.
    """

    document: Any = None
    context: Mapping[str, Any] = {}
    variables: Mapping[str, Any] = {}
    seed: str = ""
    now_ms: int = 0
    draws: Draws = field(default_factory=Draws)

    def with_document(self, document: Any) -> Scope:
        """Returns the scope with another `$`. Both draw from the same sequence of random values."""
        return structs.replace(self, document=document)

    def random_bytes(self) -> bytes:
        """Returns the next 32 bytes of the sequence that belongs to the seed."""
        self.draws.count += 1
        return hashlib.sha256(f"{self.seed}/{self.draws.count}".encode(errors="surrogatepass")).digest()

    def random_fraction(self) -> float:
        """Returns the next number of the sequence, from 0 to below 1."""
        return (int.from_bytes(self.random_bytes()[:8]) >> 11) / (1 << 53)

    def random_uuid(self) -> str:
        """Returns the next UUID of the sequence, of version 4."""
        return str(uuid.UUID(bytes=self.random_bytes()[:16], version=4))
