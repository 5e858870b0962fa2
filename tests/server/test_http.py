"""What clients can do to a connection: the server answers or ends it, and holds no more of it than it said."""

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from batchyard.server.http.server import MAX_HEAD_BYTES
from batchyard.wire.sigv4 import sign
from tests.server.running import Server

ANSWER_SECONDS = 30.0
FLOOD_BYTES = 32 << 20  # what no connection may make the server read
STUCK_SECONDS = 1.0  # a server that reads takes some of the flood within that time
PIECE = 64 * 1024
PATH = "/v1/describejobqueues"


def signed_head() -> bytes:
    """The beginning of a request's head that looks like an AWS client's: without keys anything may sign."""
    made = sign(
        "POST",
        f"http://localhost{PATH}",
        {},
        b"",
        access_key="any",
        secret_key="any",
        session_token=None,
        region="us-east-1",
        service="batch",
        now_ms=time.time_ns() // 1_000_000,
    )
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in made.items())]
    return "".join(f"{line}\r\n" for line in lines).encode()


HEAD = signed_head()
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("http"), "--vcpus", "1", "--memory", "64") as running:
        yield running


def connect(server: Server) -> socket.socket:
    parts = urlsplit(server.address)
    return socket.create_connection((parts.hostname, parts.port), timeout=ANSWER_SECONDS)


def read_to_end(connection: socket.socket) -> bytes:
    """What the server sent before it ended the connection, which may be a reset."""
    received = b""
    try:
        while piece := connection.recv(PIECE):
            received += piece
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize(
    ("beginning", "piece"),
    [
        (HEAD + b"X-One: ", b"a"),
        (HEAD, b"X-Many: a\r\n"),
        (b"POST /", b"a"),
        (b"", b"\r\n"),
        (CHUNKED + b"2;", b"a"),
        (CHUNKED + b"0\r\n", b"X-Trailer: a\r\n"),
    ],
    ids=["one header", "headers", "path", "empty lines", "chunk extension", "trailers"],
)
def test_what_never_gets_to_a_body_is_ended(server: Server, beginning: bytes, piece: bytes) -> None:
    many = piece * (PIECE // len(piece))
    sent = len(beginning)
    with connect(server) as connection:
        connection.sendall(beginning)
        try:
            while sent < FLOOD_BYTES:
                connection.sendall(many)
                sent += len(many)
        except OSError:
            pass  # the server ended it
        assert sent < FLOOD_BYTES
        received = read_to_end(connection)
    assert not received or received.startswith(b"HTTP/1.1 400 "), received[:200]
    assert server.request("GET", "/health").status == 200


def test_a_head_of_many_kilobytes_is_taken(server: Server) -> None:
    reply = server.request("GET", "/health", headers={"X-Token": "a" * (MAX_HEAD_BYTES // 2)})
    assert reply.status == 200


def test_a_body_beyond_the_limit_is_refused_and_not_held(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD + b"Content-Length: 10000000000\r\n\r\n")
        assert connection.recv(PIECE).startswith(b"HTTP/1.1 413 ")


def test_pipelined_requests_are_all_answered_in_turn(server: Server) -> None:
    count = 200
    last = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with connect(server) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * count + last)
        received = read_to_end(connection)
    assert received.count(b"HTTP/1.1 200 ") == count
    assert received.rindex(b"HTTP/1.1 404 ") > received.rindex(b"HTTP/1.1 200 ")


def test_who_pipelines_and_never_reads_is_not_read_either(server: Server) -> None:
    many = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 1000
    with connect(server) as connection:
        connection.settimeout(STUCK_SECONDS)
        with pytest.raises(TimeoutError):
            connection.sendall(many * (FLOOD_BYTES // len(many)))
    assert server.request("GET", "/health").status == 200
