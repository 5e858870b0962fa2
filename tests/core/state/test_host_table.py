"""The table of hosts begins empty: nothing is connected when a service starts."""

from __future__ import annotations

from batchyard.core.state.host_table import Hosts


def test_nothing_is_connected_at_first() -> None:
    hosts = Hosts()
    assert (dict(hosts), hosts.connected, hosts.tokens) == ({}, set(), {})
