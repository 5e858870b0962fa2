"""The records of hosts survive the store: what is kept comes back."""

from __future__ import annotations

import msgspec

from batchyard.core.model.host_records import HostFacts, JoinedHost, JoinToken
from batchyard.core.model.resources import Resources


def test_they_are_stored_as_documents() -> None:
    facts = HostFacts("ws1", Resources(2000, 4096, 1), "boot", "0.2.0", (0,), ("GPU-1",), (("room", "12"),), "10.0.0.7")
    for record in (JoinToken("t", "lab", "digest", 5), JoinedHost("i-1", "lab", "digest", facts, 5, 6, True, True)):
        assert msgspec.json.decode(msgspec.json.encode(record), type=type(record)) == record
