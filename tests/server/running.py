"""A real server in a process of its own, on a free port of loopback, in a directory of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from batchyard.server.admin.stop import kill
from batchyard.server.admin.terminal import Failure
from batchyard.server.settings.paths import Paths
from batchyard.wire.sigv4 import sign
from tests.waiting import until

START_SECONDS = 90.0  # machines under load
BATCHYARD = (sys.executable, "-m", "batchyard")


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def environment(home: Path) -> dict[str, str]:
    """Nothing of this machine's own configuration."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
    return kept | {"HOME": str(home)}


def command(
    home: Path, *arguments: str, timeout_seconds: float = 60.0, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BATCHYARD, *arguments],
        env=environment(home) | variables,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )


def end(process: subprocess.Popen[bytes], data_dir: Path) -> None:
    """Ends a server with its jobs and its supervisor, as `batchyard down --kill` does."""
    try:
        kill(Paths(data_dir, data_dir, data_dir), START_SECONDS)
    except Failure:
        process.kill()


class Server:
    """Started by `with`; at the end it and what it started are gone."""

    def __init__(
        self, directory: Path, *flags: str, output: int | None = None, variables: dict[str, str] | None = None
    ) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self._flags = flags
        self._output = output
        self._variables = variables or {}
        self.process: subprocess.Popen[bytes]
        self.address = ""

    def __enter__(self) -> Server:
        self.start()
        return self

    def start(self) -> None:
        # A server that a test kills leaves its supervisor alone: not for long.
        idle = ("--supervisor-idle-seconds", "5")
        # Whether this machine has Docker is no matter to tests that don't ask for it.
        engine = () if "--engine" in self._flags else ("--engine", "process")
        arguments = ("up", "--data-dir", str(self.data_dir), "--port", "0", *idle, *engine, *self._flags)
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [*BATCHYARD, *arguments],
                env=environment(self.directory) | self._variables,
                stdin=subprocess.DEVNULL,
                stdout=self._output if self._output is not None else output,
                stderr=output,
            )
        until(self._serves, START_SECONDS, lambda: f"the server to serve; it said: {self.said()}")

    def _serves(self) -> bool:
        assert self.process.poll() is None, f"the server ended ({self.process.returncode}): {self.said()}"
        try:
            document = json.loads((self.data_dir / "server.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return False  # none yet, or what an earlier one left
        self.address = document["address"]
        return bool(document["pid"] == self.process.pid)

    def said(self) -> str:
        return (self.directory / "output").read_text()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            end(self.process, self.data_dir)
        self.process.wait(START_SECONDS)

    def signal(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends it and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(START_SECONDS)

    def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, timeout: float = 30.0
    ) -> Reply:
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read())
        finally:
            connection.close()

    def signed(
        self,
        operation: str,
        document: object = None,
        key: tuple[str, str] = ("any", "any"),
        prefix: str = "/v1/",
        session_token: str | None = None,
        **headers: str,
    ) -> Reply:
        body = json.dumps(document or {}).encode()
        path = prefix + operation.lower()
        made = sign(
            "POST",
            self.address + path,
            {"Content-Type": "application/json"},
            body,
            access_key=key[0],
            secret_key=key[1],
            session_token=session_token,
            region="us-east-1",
            service="batch",
            now_ms=time.time_ns() // 1_000_000,
        )
        return self.request(
            "POST", path, body, {name: value for name, value in made.items() if name not in headers} | headers
        )

    def call(self, operation: str, document: object = None, prefix: str = "/v1/") -> Any:
        """The result; anything but 200 is an error."""
        reply = self.signed(operation, document, prefix=prefix)
        assert reply.status == 200, reply
        return reply.json

    def submit(self, words: Sequence[str], name: str = "job") -> str:
        """A job of one vCPU; its id."""
        asked = {"jobName": name, "command": list(words), "vcpus": 1, "memory": 64}
        return str(self.call("RunJob", asked, "/yard/v1/")["jobId"])

    def status(self, job_id: str) -> str:
        return str(self.call("DescribeJobs", {"jobs": [job_id]})["jobs"][0]["status"])
