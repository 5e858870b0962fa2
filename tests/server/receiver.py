"""An HTTP endpoint that keeps what it got, and answers as a test wants."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread

SECONDS = 60.0


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver: Receiver = self.server.receiver  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = receiver.answer(body)
        receiver.got.put((self.headers.get("x-amz-sns-message-type", ""), body))
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Receiver:
    def __init__(self) -> None:
        self.got: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.statuses: list[int] = []  # of the next answers
        self.taken: list[bytes] = []  # bodies of what was answered well, after `slow_down`
        self._seconds, self._fails_each, self._asked = 0.0, 0, 0
        self._lock, self._never = Lock(), Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.receiver = self  # type: ignore[attr-defined]
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.address}/hook"

    def slow_down(self, seconds: float, fails_each: int) -> None:
        """From now on answers take `seconds`, and of `fails_each` requests the last fails with 503. `taken` has those
        that did not."""
        self._seconds, self._fails_each = seconds, fails_each

    def answer(self, body: bytes) -> int:
        """Returns the status of the next answer."""
        if self._fails_each:
            self._never.wait(self._seconds)
            with self._lock:
                self._asked += 1
                if self._asked % self._fails_each == 0:
                    return 503
                self.taken.append(body)
        return self.statuses.pop(0) if self.statuses else 200

    def next(self, kind: str) -> bytes:
        found, body = self.got.get(timeout=SECONDS)
        assert found == kind
        return body


@contextmanager
def receiving() -> Iterator[Receiver]:
    made = Receiver()
    thread = Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()
