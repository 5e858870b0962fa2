"""How many connections there may be, and how long they may take: the book with a made-up clock, the protocol with a
made-up network, and a server that silent connections do not stop."""

import asyncio
import contextlib
import functools
import resource
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from uvicorn.server import ServerState

from batchyard.server.access.peers import PeerUser
from batchyard.server.http import connections
from batchyard.server.http.connections import Connections, Phase, allowed_connections, caller_of
from batchyard.server.http.server import protocol_with
from tests.server.running import Server
from tests.waiting import until

IDLE_SECONDS = 75.0
REQUEST = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Made:
    """A connection that the book knows."""

    def __init__(
        self, caller: str = "uid 1", phase: Phase = Phase.HEAD, since: float = 1000.0, unsent: int = 0
    ) -> None:
        self.caller, self.phase, self.since, self.body_bytes, self.unsent = caller, phase, since, 0, unsent
        self.is_dropped = False

    def unsent_bytes(self) -> int:
        return self.unsent

    def drop(self) -> None:
        self.is_dropped = True


def book(most: int = 100, most_of_one: int = 100, clock: Clock | None = None) -> Connections:
    return Connections(most, most_of_one, IDLE_SECONDS, clock or Clock())


@pytest.mark.parametrize(
    ("phase", "body_bytes", "seconds"),
    [
        (Phase.HEAD, 0, connections.HEAD_SECONDS),
        (Phase.BODY, 0, connections.BODY_SECONDS),
        (Phase.BODY, 10 * connections.BODY_BYTES_PER_SECOND, connections.BODY_SECONDS + 10),
        (Phase.IDLE, 0, IDLE_SECONDS + connections.UNREAD_SECONDS),
    ],
)
def test_each_phase_has_its_time(phase: Phase, body_bytes: int, seconds: float) -> None:
    clock = Clock()
    made = book(clock=clock)
    connection = Made(phase=phase)
    connection.body_bytes = body_bytes
    made.admit(connection)
    clock.now += seconds
    made.sweep()
    assert not connection.is_dropped
    clock.now += 1
    made.sweep()
    assert connection.is_dropped


def test_who_waits_for_an_answer_of_ours_is_never_late() -> None:
    clock = Clock()
    made = book(clock=clock)
    connection = Made(phase=Phase.ANSWER)
    made.admit(connection)
    clock.now += 1e6
    made.sweep()
    assert not connection.is_dropped


def test_the_longest_waiting_connection_of_a_caller_makes_room_for_a_new_one() -> None:
    made = book(most_of_one=4)
    other = Made("uid 2", since=1.0)
    reading = Made(phase=Phase.IDLE, since=2.0, unsent=1)
    old, young, busy = Made(phase=Phase.IDLE, since=3.0), Made(since=4.0), Made(phase=Phase.ANSWER, since=1.0)
    for connection in (other, reading, old, young, busy):
        assert made.admit(connection)
    assert made.admit(Made())
    assert [c.is_dropped for c in (other, reading, old, young, busy)] == [False, False, True, False, False]


def test_where_nobody_waits_a_new_connection_is_refused() -> None:
    made = book(most_of_one=2)
    busy = [Made(phase=Phase.BODY), Made(phase=Phase.ANSWER)]
    assert all(made.admit(connection) for connection in busy)
    refused = Made()
    assert not made.admit(refused)
    made.forget(refused)  # as the protocol does when it has closed it
    made.forget(busy[0])
    made.forget(busy[0])
    assert made.admit(Made(phase=Phase.BODY))
    assert not made.admit(Made())
    assert not busy[1].is_dropped


def test_the_caller_with_the_most_makes_room_for_others() -> None:
    made = book(most=5, most_of_one=4)
    many = [Made("uid 1", since=float(number)) for number in range(4)]
    one = Made("uid 2", since=0.0)
    for connection in (*many, one):
        assert made.admit(connection)
    assert made.admit(Made("uid 3"))
    assert [connection.is_dropped for connection in (*many, one)] == [True, False, False, False, False]


def test_callers() -> None:
    assert caller_of("127.0.0.1", 7) == caller_of("::1", 7) == "uid 7"
    assert caller_of("192.0.2.1", None) != caller_of("192.0.2.2", None)
    assert caller_of("2001:db8::1", None) == caller_of("2001:db8::ffff:2", None) != caller_of("2001:db8:1::1", None)
    assert caller_of("::ffff:192.0.2.1", None) != caller_of("::ffff:192.0.2.2", None)
    assert caller_of("somewhere", None) == "somewhere"


def test_files_are_kept_in_reserve() -> None:
    assert allowed_connections(4096, 1024, sys.maxsize) == (4096, 1024)
    most, most_of_one = allowed_connections(4096, 1024, 1024)
    assert most == 1024 - connections.RESERVED_FILES
    assert most_of_one < most
    assert allowed_connections(4096, 1024, 64)[0] == connections.MIN_CONNECTIONS


# -- the protocol --


class Network(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 80)})
        self.written = b""
        self.ended = ""

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @functools.wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


class Looked:
    def user(self, peer: object, local: object) -> PeerUser:
        return PeerUser(7)


class Wired:
    """One connection of the real protocol, whose app reads the body (or does not) and answers when told."""

    def __init__(self, made: Connections, *, reads: bool = True) -> None:
        self.answers = asyncio.Event()
        self.reads = reads
        config = uvicorn.Config(self._app, lifespan="off", ws="none", log_config=None, interface="asgi3")
        config.load()
        lookup: Any = Looked()
        self.protocol = protocol_with(lookup, made)(config, ServerState(), {})
        self.network = Network()
        self.protocol.connection_made(self.network)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        while self.reads and (await receive()).get("more_body"):
            pass
        await self.answers.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def phase_is(self, phase: Phase) -> None:
        for _ in range(20):
            if self.protocol.phase is phase:
                return
            await asyncio.sleep(0)
        assert self.protocol.phase is phase

    def end(self) -> None:
        self.protocol.connection_lost(None)


@in_loop
async def test_a_connection_goes_through_its_phases() -> None:
    wired = Wired(book())
    await wired.phase_is(Phase.HEAD)
    wired.protocol.data_received(REQUEST[:10])
    await wired.phase_is(Phase.HEAD)
    wired.protocol.data_received(REQUEST[10:-2])
    await wired.phase_is(Phase.BODY)
    assert wired.protocol.body_bytes == 2
    wired.protocol.data_received(REQUEST[-2:])
    await wired.phase_is(Phase.ANSWER)
    wired.answers.set()
    await wired.phase_is(Phase.IDLE)
    wired.protocol.data_received(REQUEST[:10])
    await wired.phase_is(Phase.HEAD)
    wired.end()


@in_loop
async def test_a_request_behind_another_is_not_late_while_that_is_answered() -> None:
    wired = Wired(book())
    wired.protocol.data_received(REQUEST + REQUEST[:-2])
    await wired.phase_is(Phase.ANSWER)
    wired.answers.set()
    await wired.phase_is(Phase.BODY)
    wired.protocol.data_received(REQUEST[-2:])
    await wired.phase_is(Phase.IDLE)
    wired.end()


@in_loop
async def test_a_body_that_nobody_wants_is_read_to_a_limit_and_not_held() -> None:
    wired = Wired(book(), reads=False)
    wired.answers.set()
    wired.protocol.data_received(REQUEST.replace(b"Content-Length: 4", b"Content-Length: 99999999")[:-4])
    for _ in range(20):
        await asyncio.sleep(0)
    assert wired.network.written.startswith(b"HTTP/1.1 200")
    await wired.phase_is(Phase.BODY)
    piece = b"a" * (1 << 20)
    for _ in range(connections.MAX_DISCARDED_BYTES // len(piece)):
        wired.protocol.data_received(piece)
    assert not wired.network.ended
    assert len(wired.protocol.cycle.body) == 0
    wired.protocol.data_received(b"a")
    assert wired.network.ended == "aborted"
    wired.end()


@in_loop
async def test_a_connection_too_many_is_told_so() -> None:
    made = book(most_of_one=1)
    first = Wired(made)
    first.protocol.data_received(REQUEST)
    second = Wired(made)
    assert second.network.written.startswith(b"HTTP/1.1 503 ")
    assert second.network.ended == "closed"
    second.end()
    first.answers.set()
    await first.phase_is(Phase.IDLE)
    await asyncio.sleep(0)  # an answer is sent when the turn of the loop is over; until then its connection is kept
    assert first.network.written.startswith(b"HTTP/1.1 200 ")
    third = Wired(made)
    assert (first.network.ended, third.network.ended) == ("aborted", "")
    for each in (first, third):
        each.end()


# -- a server --

SILENT = 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags = ("--vcpus", "1", "--memory", "64", "--max-connections", "16", "--max-connections-per-caller", "8")
    with Server(tmp_path_factory.mktemp("connections"), *flags) as running:
        yield running


def test_silent_connections_do_not_stop_the_service(server: Server) -> None:
    parts = urlsplit(server.address)
    silent = [socket.create_connection((parts.hostname, parts.port), timeout=30) for _ in range(SILENT)]
    try:
        for connection in silent[::2]:
            with contextlib.suppress(OSError):  # it has made room already
                connection.sendall(b"POST /v1/describejobs HTTP/1.1\r\nX-A: ")
        assert server.call("DescribeJobs", {"jobs": []}) == {"jobs": []}
        assert server.request("GET", "/health").status == 200
    finally:
        for connection in silent:
            connection.close()


def test_jobs_get_the_limit_of_open_files_that_the_service_was_given(server: Server, tmp_path: Path) -> None:
    given, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowered = min(given, 512)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowered, hard))
    try:
        with Server(tmp_path, "--vcpus", "1", "--memory", "64") as limited:
            held = Path(f"/proc/{limited.process.pid}/limits").read_text()
            (line,) = [line.split() for line in held.splitlines() if line.startswith("Max open files")]
            job_id = limited.submit(["sh", "-c", f"ulimit -Sn > {tmp_path}/soft; ulimit -Hn > {tmp_path}/hard"])
            until(lambda: limited.status(job_id) == "SUCCEEDED", 60, "the job to end")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (given, hard))
    assert line[3] == line[4]  # the service's own
    assert int((tmp_path / "soft").read_text()) == lowered
    assert int((tmp_path / "hard").read_text()) == hard
