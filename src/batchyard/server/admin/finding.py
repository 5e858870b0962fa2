"""One thing that `batchyard doctor` looks at."""

from __future__ import annotations

from msgspec import Struct


class Finding(Struct, frozen=True):
    """The result of one check. ok: it is no fault. present: the thing exists; its absence is a fault only where it
    is required. `remedy` is empty where nothing is to be done."""

    check: str
    ok: bool
    detail: str
    remedy: str = ""
    present: bool = True

    @property
    def mark(self) -> str:
        """The text of the first column: `ok`, `no` for what is absent and not needed, `MISS` for a fault."""
        return ("ok" if self.present else "no") if self.ok else "MISS"
