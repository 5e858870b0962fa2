"""Hostile requests to a running service: `python -m tests.hostile.fuzzer --seconds 600 --seed 7`.

Starts a service of its own in a fresh directory, sends documents made from the service models to every operation, and
mutilated messages to the port; builds on the ids that answers gave. Prints a table; exit code 1 when an answer was an
error of the service's own (5xx), did not come, or cost more memory or log than a service may spend on it. What was
found is printed with the bytes that did it.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import select
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batchyard.api.operations import OPERATIONS
from batchyard.api.services import SERVICES
from batchyard.wire.model import load_service_model
from batchyard.wire.operation import Operation
from batchyard.wire.router import Router
from tests.hostile.documents import Maker, Pool
from tests.hostile.messages import DEEDS, Sent, bytes_of, form_versions, host_of, request_of
from tests.hostile.templates import templates_of
from tests.server.running import START_SECONDS, Server, command

ANSWER_SECONDS = 60.0  # an answer that takes longer hangs: no request's work takes a second, and machines are loaded
MOMENT_SECONDS = 0.2  # what an answer to mutilated bytes gets before their sender has said all
CLIENTS = 4  # at work at once
BYTES_SHARE = 0.3  # of the requests are mutilated messages
WARM_UP_SHARE = 0.3  # of the requests come before memory is looked at: caches fill, code is loaded
# What the service may have grown by after the warm-up. What is accepted is kept (jobs, definitions), so not nothing.
GROWTH_MIB = 64
# Lines of log: bad requests are the caller's business, and a caller must not be able to fill the disk with them.
LOG_LINES_PER_1000 = 1
FINDS_SHOWN = 20
SHOWN_BYTES = 3000
WAITING = {f"{one.name}.{name}" for one in SERVICES.values() for name in one.waiting}  # whose answers may take long
LIVE_FORM = "application/vnd.amazon.eventstream"  # of an answer that has no end
NOT_BUILT = frozenset({("yard", "Shutdown")})  # it would end the run


@dataclass
class Row:
    """What became of the requests to one operation, or of one kind of mutilation."""

    answers: Counter[int] = field(default_factory=Counter)  # by hundreds of the status; 0: closed without an answer
    hangs: int = 0
    slowest_seconds: float = 0.0


@dataclass
class Find:
    what: str
    label: str
    request: bytes
    answer: bytes


class Report:
    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.finds: list[Find] = []
        self.requests = 0
        self.warm_kib = 0
        self._lock = threading.Lock()

    def add(self, label: str, seconds: float, status: int | None, request: bytes, answer: bytes) -> None:
        """`status` None: no answer came in time."""
        with self._lock:
            row = self.rows.setdefault(label, Row())
            self.requests += 1
            row.slowest_seconds = max(row.slowest_seconds, seconds)
            if status is None:
                row.hangs += 1
                self.finds.append(Find("no answer", label, request, answer))
                return
            row.answers[status // 100] += 1
            if status >= 500:
                self.finds.append(Find(f"status {status}", label, request, answer))

    def table(self) -> str:
        lines = [f"{'':<42}{'2xx':>7}{'4xx':>7}{'5xx':>5}{'closed':>8}{'hangs':>7}{'slowest':>9}"]
        for label, row in sorted(self.rows.items()):
            counts = row.answers
            rest = sum(counts.values()) - counts[2] - counts[4] - counts[5] - counts[0]
            lines.append(
                f"{label:<42}{counts[2]:>7}{counts[4] + rest:>7}{counts[5]:>5}{counts[0]:>8}{row.hangs:>7}"
                f"{row.slowest_seconds * 1000:>6.0f} ms"
            )
        return "\n".join(lines)


class Client(threading.Thread):
    """Sends one request after the other over a connection that it keeps, mutilated ones over fresh ones."""

    def __init__(self, run: FuzzRun, number: int) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self._run = run
        self._rng = random.Random(f"{run.seed}/{number}")
        self._pool = Pool(self._rng)
        self._maker = Maker(self._rng, self._pool)
        self._connection: http.client.HTTPConnection | None = None
        self.failure: BaseException | None = None
        self._round: list[Operation] = []  # what is left of it

    def run(self) -> None:
        try:
            while self._run.goes_on():
                sent = self._next()
                if self._rng.random() < BYTES_SHARE:
                    deed = self._rng.choice(list(DEEDS))
                    self._throw(f"bytes: {deed}", DEEDS[deed](sent, self._rng))
                else:
                    self._ask(sent)
        except BaseException as error:  # noqa: BLE001  (reported by the run, in its own thread)
            self.failure = error
        finally:
            self._drop()

    def _next(self) -> Sent:
        if not self._round:  # each operation once in a round: chance would leave some out
            self._round = self._rng.sample(self._run.operations, len(self._run.operations))
        operation = self._round.pop()
        templates = templates_of(operation.service, operation.name)
        template = self._rng.choice(templates) if templates else None
        document = self._maker.document(operation.model.input, template)
        return request_of(operation, document, self._run.versions, self._run.address, self._rng)

    def _ask(self, sent: Sent) -> None:
        began = time.monotonic()
        status: int | None = 0
        answer = b""
        waits = sent.label in WAITING
        try:
            if self._connection is None or waits:
                self._drop()
                seconds = MOMENT_SECONDS if waits else ANSWER_SECONDS
                self._connection = http.client.HTTPConnection(*host_of(self._run.address), timeout=seconds)
            self._connection.request(sent.method, sent.target, sent.body, sent.headers)
            response = self._connection.getresponse()
            live = response.getheader("Content-Type") == LIVE_FORM
            answer, status = response.read1() if live else response.read(), response.status
            if live:  # it would go on for as long as anyone listens
                self._drop()
        except TimeoutError:
            status = 0 if waits else None  # an answer that may take long is not waited for
        except (OSError, http.client.HTTPException) as error:
            answer = repr(error).encode()
        if not status or waits:
            self._drop()
        self._run.report.add(sent.label, time.monotonic() - began, status, bytes_of(sent), answer)
        if status == 200:
            with contextlib.suppress(ValueError):
                self._pool.learn(json.loads(answer))

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _throw(self, label: str, message: bytes) -> None:
        """Sends the bytes, gives the service a moment, says that no more will come, and waits until it closes the
        connection. A client that leaves at once would be let in nowhere."""
        began = time.monotonic()
        answer = b""
        status: int | None = 0
        try:
            with socket.create_connection(host_of(self._run.address), timeout=ANSWER_SECONDS) as connection:
                connection.sendall(message)
                select.select([connection], [], [], MOMENT_SECONDS)
                connection.shutdown(socket.SHUT_WR)
                while LIVE_FORM.encode() not in answer and (piece := connection.recv(65_536)):
                    answer += piece
        except TimeoutError:
            status = None
        except OSError:
            pass  # refused half-way, which is an answer too; that the service ended is seen by the run
        if status is not None:
            status = max(_statuses(answer), key=lambda found: (found >= 500, -found), default=0)
        self._run.report.add(label, time.monotonic() - began, status, message, answer)


def _statuses(answer: bytes) -> list[int]:
    """Of each answer in a connection's bytes."""
    words = [part[:12].split() for part in answer.split(b"HTTP/1.1")[1:]]
    return [int(found[0]) for found in words if found and found[0].isdigit() and len(found[0]) == 3]


class FuzzRun:
    """Against one service. Ends after `requests`, or at the time `until` (monotonic)."""

    def __init__(self, server: Server, seed: int, requests: int = 0, seconds: float = 0.0) -> None:
        self.seed = seed
        self.address = server.address
        self.report = Report()
        self.versions = form_versions(SERVICES)
        self.operations = served()
        self._server = server
        self._requests = requests
        self._seconds = seconds
        self._began = time.monotonic()

    def goes_on(self) -> bool:
        done = max(
            self.report.requests / self._requests if self._requests else 0.0,
            (time.monotonic() - self._began) / self._seconds if self._seconds else 0.0,
        )
        if done >= WARM_UP_SHARE and not self.report.warm_kib:
            self.report.warm_kib = self.resident_kib()
        return done < 1.0 and self._server.process.poll() is None

    def resident_kib(self) -> int:
        with contextlib.suppress(OSError, IndexError):
            pages = int(Path(f"/proc/{self._server.process.pid}/statm").read_text().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE") // 1024
        return 0

    def run(self) -> list[str]:
        """The faults, a sentence each; none: all is well."""
        quiet = len(self._server.said().splitlines())
        clients = [Client(self, number) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        for client in clients:
            if client.failure is not None:
                raise client.failure
        faults = [f"{find.what} of {find.label}" for find in self.report.finds]
        if self._server.process.poll() is not None:
            return [*faults, f"the service ended with {self._server.process.returncode}: {self._server.said()[-2000:]}"]
        grown = (self.resident_kib() - self.report.warm_kib) / 1024
        lines = self._server.said().splitlines()[quiet:]
        print(self.report.table())
        print(f"seed {self.seed}: {self.report.requests} requests, {grown:+.0f} MiB, {len(lines)} lines of log")
        if grown > GROWTH_MIB:
            faults.append(f"the service grew by {grown:.0f} MiB after its warm-up")
        if len(lines) * 1000 > self.report.requests * LOG_LINES_PER_1000:
            faults.append(f"{len(lines)} lines of log: {' | '.join(lines[:30])}")
        health = self._server.request("GET", "/health")
        if health.status != http.client.OK:
            faults.append(f"/health says {health}")
        return faults


def served(service: str = "") -> list[Operation]:
    """Every operation with a route, built or not. `service`: the only one, empty: all."""
    router = Router([load_service_model(name) for name in SERVICES])
    assert set(router.operations) >= set(OPERATIONS)
    found = [router.operations[key] for key in sorted(router.operations) if key not in NOT_BUILT]
    return [operation for operation in found if service in ("", operation.service)]


def fuzz(directory: Path, seed: int, requests: int = 0, seconds: float = 0.0, service: str = "") -> list[str]:
    """A whole run: service, requests, an orderly end, and a start that checks every invariant of what was kept."""
    with Server(directory, "--vcpus", "2", "--boot-seconds", "0") as server:
        server.submit(["true"])
        running = FuzzRun(server, seed, requests, seconds)
        if service:
            running.operations = served(service)
        faults = running.run()
        for find in running.report.finds[:FINDS_SHOWN]:
            print(f"\n{find.what}, {find.label}:\n{find.request[:SHOWN_BYTES]!r}\n-> {find.answer[:SHOWN_BYTES]!r}")
        if server.process.poll() is None:
            down = command(directory, "down", "--kill", "--data-dir", str(server.data_dir), timeout_seconds=120.0)
            if down.returncode != 0:
                faults.append(f"down --kill: {down}")
            server.process.wait(START_SECONDS)
    with Server(directory, "--check-on-start") as again:
        if again.request("GET", "/health").status != http.client.OK:
            faults.append("the next start does not serve")
    return faults


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--service", default="", help="whose operations alone are called, such as states")
    chosen = parser.parse_args(arguments)
    print(f"seed {chosen.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="hostile-") as directory:
        faults = fuzz(Path(directory), chosen.seed, seconds=chosen.seconds, service=chosen.service)
    print("\n".join(faults) or "nothing found")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
