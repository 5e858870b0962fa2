"""Commands about hosts ask for what the machine answers."""

from __future__ import annotations

from batchyard.core.machine import HANDLERS
from batchyard.core.model import host_commands


def test_each_has_a_handler() -> None:
    named = (
        host_commands.CreateJoinToken,
        host_commands.JoinHost,
        host_commands.ConnectHost,
        host_commands.DrainHost,
        host_commands.ForgetHost,
        host_commands.AskHosts,
    )
    assert set(named) <= set(HANDLERS)


def test_a_drain_is_undone_only_when_asked() -> None:
    assert not host_commands.DrainHost("ws1").undo
