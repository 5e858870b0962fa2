"""A service to be killed: on a fixed port, so that clients find the next server where the last one was."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from batchyard.core.machine import Machine
from batchyard.core.model.commands import SetHost
from batchyard.core.model.names import Account
from batchyard.core.model.records import Abilities, Instance
from batchyard.core.model.resources import Resources
from batchyard.core.state.check import assert_consistent
from batchyard.engines.supervisor.processes import start_ticks
from batchyard.server import stored_machines  # noqa: F401  (registers the kinds of all documents)
from batchyard.store.load import load
from batchyard.store.store import Store
from batchyard.wire.sigv4 import sign
from tests.kill.traces import SCRIPT
from tests.server.running import BATCHYARD, START_SECONDS, end, environment
from tests.waiting import until

VCPUS = 8
KEPT_PORTS = range(21_000, 22_000)  # below those that the kernel gives away (net.ipv4.ip_local_port_range)
DEFINITION = "traced"


class RefusedError(AssertionError):
    """The service answered, and said no."""


class Yard:
    """`start`, `kill` and `start` again; as a context manager, nothing is left running at its end."""

    def __init__(self, directory: Path, *flags: str) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.traces = directory / "traces"
        self.traces.mkdir()
        self._kept_port = KeptPort()
        self.port = self._kept_port.number
        self.address = f"http://127.0.0.1:{self.port}"
        self.variables: dict[str, str] = {}  # for the next server
        self._flags = flags
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Yard:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            end(self.process, self.data_dir)
        self.process.wait(START_SECONDS)
        self._kept_port.close()

    # -- Life and death --

    def launch(self) -> None:
        """Starts a server, and does not wait for it."""
        arguments = ("up", "--data-dir", str(self.data_dir), "--port", str(self.port), "--check-on-start")
        engine = () if "--engine" in self._flags else ("--engine", "process")
        sizes = ("--vcpus", str(VCPUS), "--memory", "8192", "--supervisor-idle-seconds", "5", "--min-free-mib", "1")
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [*BATCHYARD, *arguments, *sizes, *engine, *self._flags],
                env=environment(self.directory) | self.variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def start(self) -> None:
        self.launch()
        self.wait_until_served()

    def wait_until_served(self) -> None:
        until(self.serves, START_SECONDS, lambda: f"the server to serve; it said: {self.said()[-3000:]}")

    def serves(self) -> bool:
        assert self.process.poll() is None, f"the server ended ({self.process.returncode}): {self.said()[-3000:]}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/health")
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return response.status == 200

    def kill(self) -> None:
        """kill -9 of the server."""
        self.process.kill()
        self.process.wait(START_SECONDS)

    def wait_for_death(self) -> None:
        """Of a server that is to die of itself."""
        assert self.process.wait(START_SECONDS) == -signal.SIGKILL, self.said()[-3000:]

    def supervisor_pid(self) -> int:
        """0: there is none."""
        try:
            pid = int((self.data_dir / "engine" / "lock").read_text() or 0)
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return pid if str(self.data_dir).encode() in words else 0

    def kill_supervisor(self) -> bool:
        """kill -9; returns when it is gone. False: there was none."""
        pid = self.supervisor_pid()
        if not pid:
            return False
        ticks = start_ticks(pid)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        until(lambda: start_ticks(pid) != ticks or is_dead(pid), 60, "the supervisor's end")
        return True

    def said(self) -> str:
        return (self.directory / "output").read_text()

    # -- Calls --

    def reply(self, operation: str, document: object, invocation: str = "", timeout: float = 30.0) -> tuple[int, bytes]:
        """Status and body. Raises OSError or HTTPException when no answer comes."""
        path = "/v1/" + operation.lower()
        body = json.dumps(document).encode()
        headers = {"Content-Type": "application/json"}
        if invocation:
            headers["amz-sdk-invocation-id"] = invocation
        signed = sign(
            "POST", self.address + path, headers, body, access_key="any", secret_key="any", session_token=None,
            region="us-east-1", service="batch", now_ms=time.time_ns() // 1_000_000,
        )  # fmt: skip
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("POST", path, body, signed)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def try_call(self, operation: str, document: object, invocation: str = "", timeout: float = 30.0) -> Any:
        """The result; None when no answer came, or one that asks to try again. Raises RefusedError."""
        try:
            status, content = self.reply(operation, document, invocation, timeout)
        except (OSError, http.client.HTTPException):
            return None
        if status == 200:
            return json.loads(content)
        if status >= 500:
            return None
        raise RefusedError(f"{operation}: {status} {content.decode()}")

    def call(self, operation: str, document: object, seconds: float = 60.0) -> Any:
        """As an SDK does: tried again under the same invocation id until it is answered."""
        invocation = str(uuid.uuid4())
        return until(lambda: self.try_call(operation, document, invocation), seconds, f"an answer to {operation}")

    def register(self) -> None:
        container = {
            "image": "host",
            "command": ["/bin/sh", "-c", SCRIPT],
            "environment": [{"name": "TRACES", "value": str(self.traces)}],
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
        }
        document = {"jobDefinitionName": DEFINITION, "type": "container", "containerProperties": container}
        self.call("RegisterJobDefinition", document)

    def submission(self, name: str, plan: str = "0", nap: str = "0", size: int = 0, after: str = "") -> dict[str, Any]:
        """A SubmitJob request. `plan`: the exit code of each attempt."""
        variables = {"PLAN": plan, "NAP": nap, "AFTER": after}
        document: dict[str, Any] = {
            "jobName": name,
            "jobQueue": "default",
            "jobDefinition": DEFINITION,
            "containerOverrides": {"environment": [{"name": key, "value": text} for key, text in variables.items()]},
            "retryStrategy": {"attempts": len(plan.split())},
        }
        if size:
            document["arrayProperties"] = {"size": size}
        if after:
            document["dependsOn"] = [{"jobId": after}]
        return document

    def submit(self, name: str, plan: str = "0", nap: str = "0", size: int = 0, after: str = "") -> str:
        return str(self.call("SubmitJob", self.submission(name, plan, nap, size, after))["jobId"])

    def describe(self, ids: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for start in range(0, len(ids), 100):
            found += self.call("DescribeJobs", {"jobs": ids[start : start + 100]})["jobs"]
        return found

    def status(self, job_id: str) -> str:
        return str(self.describe([job_id])[0]["status"])

    # -- The store --

    def check_store(self) -> None:
        """A machine made of what the disk says holds every invariant."""
        engine = Store.open(self.data_dir / "batchyard.db").driver.read_engine()
        try:
            with engine.connect() as connection:
                snapshot = load(connection, time.time_ns() // 1_000_000)
        finally:
            engine.dispose()
        machine = Machine(Account("123456789012", "us-east-1"))
        machine.restore(snapshot)
        named = [job.attempt.main.instance_id for job in snapshot.jobs if job.attempt is not None]
        instance = Instance(named[0] if named else "i-0", Resources(VCPUS * 1000, 8192, 0))
        machine.handle(SetHost(instance, {"process": Abilities()}), snapshot.last_time_ms)
        assert_consistent(machine.world)


class KeptPort:
    """A port that nothing else on the machine takes while no server listens there: none that the kernel gives to
    clients, or to servers that ask for any, and no other test's."""

    def __init__(self) -> None:
        directory = Path(tempfile.gettempdir()) / f"batchyard-test-ports-{os.getuid()}"
        directory.mkdir(exist_ok=True)
        for self.number in KEPT_PORTS:
            self._lock = (directory / str(self.number)).open("w")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", self.number))
            except OSError:
                self._lock.close()
            else:
                return
        raise AssertionError(f"no port of {KEPT_PORTS} is free")

    def close(self) -> None:
        self._lock.close()


def is_dead(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True
