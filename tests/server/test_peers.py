"""The user at the other end of a connection, as the kernel knows it, by netlink and by /proc."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from batchyard.server.access.peers import Address, PeerLookup, PeerUser, is_loopback, user_from_proc
from tests.waiting import until


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket, socket.socket]]:
    """A client, the server's end, and the listener."""
    with ExitStack() as stack:
        family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
        listener = stack.enter_context(socket.socket(family))
        try:
            listener.bind((request.param, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        listener.listen()
        client = stack.enter_context(socket.create_connection(listener.getsockname()[:2]))
        accepted = stack.enter_context(listener.accept()[0])
        yield client, accepted, listener


def ends(accepted: socket.socket) -> tuple[Address, Address]:
    peer, local = accepted.getpeername(), accepted.getsockname()
    return (peer[0], peer[1]), (local[0], local[1])


def both_ways(peer: Address, local: Address) -> list[PeerUser]:
    lookup = PeerLookup()
    try:
        return [lookup.user(peer, local), user_from_proc(peer, local)]
    finally:
        lookup.close()


def test_an_established_peer_is_known(pair: tuple[socket.socket, socket.socket, socket.socket]) -> None:
    _, accepted, _ = pair
    assert both_ways(*ends(accepted)) == [PeerUser(os.getuid())] * 2


def test_only_an_established_socket_counts(pair: tuple[socket.socket, socket.socket, socket.socket]) -> None:
    client, accepted, listener = pair
    peer, local = ends(accepted)
    client.shutdown(socket.SHUT_WR)
    until(lambda: [user.uid for user in both_ways(peer, local)] == [None, None], describe="a closing peer is nobody")
    client.close()
    until(lambda: [user.uid for user in both_ways(peer, local)] == [None, None], describe="an orphan is nobody")
    # The kernel would answer with the listening socket of that port.
    name = listener.getsockname()
    assert [user.uid for user in both_ways((name[0], name[1]), (name[0], 1))] == [None, None]


def test_an_ipv4_client_through_an_ipv6_socket_is_known() -> None:
    with socket.socket() as listener, socket.socket(socket.AF_INET6) as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        try:
            client.connect(("::ffff:127.0.0.1", listener.getsockname()[1]))
        except OSError:
            pytest.skip("this machine has no IPv6")
        accepted, _ = listener.accept()
        with accepted:
            assert both_ways(*ends(accepted)) == [PeerUser(os.getuid())] * 2


def test_without_netlink_proc_is_read(
    pair: tuple[socket.socket, socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup = PeerLookup()

    def refuse(*_: object) -> PeerUser:
        raise PermissionError("a sandbox")

    monkeypatch.setattr(lookup, "_ask_kernel", refuse)
    assert lookup.user(*ends(pair[1])) == PeerUser(os.getuid())
    assert lookup.user(("192.0.2.1", 5), ("192.0.2.2", 6)).uid is None


LINE = "0: 0100007F:{peer:04X} 0100007F:{local:04X} {state} 00000000:00000000 00:00000000 00000000 {uid} 0 {inode} 1"


@pytest.mark.parametrize(
    ("state", "uid", "inode", "expected"),
    [("01", 1000, 77, 1000), ("01", 1000, 0, None), ("06", 0, 0, None), ("08", 1000, 77, None), ("0A", 0, 9, None)],
)
def test_what_counts_in_proc(state: str, uid: int, inode: int, expected: int | None) -> None:
    line = LINE.format(peer=1234, local=80, state=state, uid=uid, inode=inode)
    found = user_from_proc(("127.0.0.1", 1234), ("127.0.0.1", 80), lambda name: [line] if name == "tcp" else [])
    assert found.uid == expected
    assert user_from_proc(("127.0.0.1", 1235), ("127.0.0.1", 80), lambda name: [line]).uid is None


def test_what_loopback_is() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "::1%lo"]))
    assert not any(
        map(is_loopback, ["localhost", "10.0.0.1", "0.0.0.0", "::", "::ffff:10.0.0.1", "", "127.0.0.1.evil"])
    )
