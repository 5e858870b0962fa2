"""The hosts that have joined, by instance id, and the tokens that let others in."""

from __future__ import annotations

from batchyard.core.model.host_records import JoinedHost, JoinToken


class Hosts(dict[str, JoinedHost]):
    __slots__ = ("connected", "tokens")

    def __init__(self) -> None:
        super().__init__()
        self.connected: set[str] = set()  # since the start of the service
        self.tokens: dict[str, JoinToken] = {}  # by token id: those that were not used, and may have expired
