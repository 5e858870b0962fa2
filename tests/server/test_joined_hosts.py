"""Machines that join a real server: their jobs, logs and credentials, and what a killed server costs (nothing)."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.server.running import BATCHYARD, Server, command, environment
from tests.waiting import until

SECONDS = 60.0
RUN_SECONDS = 90.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Host:
    """`batchyard join` in a process and a directory of its own."""

    def __init__(self, root: Path, url: str, name: str) -> None:
        self.directory = root / name
        self.directory.mkdir()
        self.url, self.name = url, name
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, token: str = "") -> None:
        arguments = ("join", self.url, "--state-dir", str(self.directory / "state"), "--name", self.name)
        amounts = ("--vcpus", "2", "--memory", "1024")
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [*BATCHYARD, *arguments, *amounts],
                env=environment(self.directory) | ({"BATCHYARD_JOIN_TOKEN": token} if token else {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def said(self) -> str:
        return (self.directory / "output").read_text()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(SECONDS)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        lock = self.directory / "state" / "supervisor" / "lock"
        if lock.exists() and lock.read_text().strip():
            pid = int(lock.read_text())
            if b"batchyard.engines.supervisor" in _command_line(pid) and str(self.directory).encode() in _command_line(
                pid
            ):
                subprocess.run(["kill", "-9", str(pid)], check=False)


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


class Lab:
    """A server, and hosts that join it."""

    def __init__(self, root: Path, server: Server, port: int) -> None:
        self.root, self.server, self.port = root, server, port
        self.hosts: list[Host] = []

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.server.address,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=Config(retries={"max_attempts": 0}),
        )

    def batchyard(self, *arguments: str) -> Any:
        """What the command line prints as JSON."""
        done = command(self.root, *arguments, "--url", self.server.address, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def ask(self, operation: str, **request: Any) -> Any:
        return self.server.call(operation, request, "/yard/v1/")

    def token(self) -> str:
        return str(self.ask("CreateHostToken", computeEnvironment="lab")["token"])

    def rows(self) -> list[Any]:
        return list(self.ask("ListHosts")["hosts"])

    def join(self, name: str) -> Host:
        token = self.token()
        host = Host(self.root, f"https://127.0.0.1:{self.port}", name)
        self.hosts.append(host)
        host.start(token)
        until(lambda: self.state(name) == "READY", SECONDS, lambda: f"{name} to join; it said: {host.said()}")
        return host

    def state(self, name: str) -> str:
        found = [row["state"] for row in self.rows() if row["name"] == name]
        return str(found[0]) if found else ""

    def submit(self, script: str, size: int = 0, attempts: int = 1) -> str:
        batch = self.client("batch")
        batch.register_job_definition(
            jobDefinitionName="script",
            type="container",
            containerProperties={
                "image": "any",
                "command": ["sh", "-c", script],
                "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
            },
        )
        arrays = {"arrayProperties": {"size": size}} if size else {}
        submitted = batch.submit_job(
            jobName="job", jobQueue="lab", jobDefinition="script", retryStrategy={"attempts": attempts}, **arrays
        )
        return str(submitted["jobId"])

    def job(self, job_id: str) -> Any:
        (found,) = self.client("batch").describe_jobs(jobs=[job_id])["jobs"]
        return found

    def ended(self, job_id: str) -> Any:
        def is_over() -> bool:
            return self.job(job_id)["status"] in ("SUCCEEDED", "FAILED")

        until(is_over, RUN_SECONDS, lambda: f"{self.job(job_id)}; {[host.said() for host in self.hosts]}")
        return self.job(job_id)

    def log(self, job_id: str) -> list[str]:
        stream = self.job(job_id)["container"]["logStreamName"]
        events = self.client("logs").get_log_events(
            logGroupName="/aws/batch/job", logStreamName=stream, startFromHead=True
        )["events"]
        return [event["message"] for event in events]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    port = free_port()
    with ExitStack() as stack:
        directory = tmp_path / "server"
        directory.mkdir()
        flags = ("--hosts-port", str(port), "--hosts-address", "127.0.0.1", "--host-heartbeat-seconds", "0.5")
        server = stack.enter_context(Server(directory, *flags))
        found = Lab(tmp_path, server, port)
        stack.callback(lambda: [host.close() for host in found.hosts])
        yield found


CALLS = """
import json, os, urllib.request
def get(url, **headers):
    return json.load(urllib.request.urlopen(urllib.request.Request(url, headers=headers)))
print(get(os.environ["ECS_CONTAINER_METADATA_URI_V4"] + "/task")["Family"])
proof = os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
keys = get(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], Authorization=proof)
print(sorted(keys)[0])
print(os.environ["AWS_ENDPOINT_URL_BATCH"] == os.environ["AWS_ENDPOINT_URL_STS"])
"""


def test_jobs_on_joined_machines_are_jobs_like_any(lab: Lab) -> None:
    lab.join("ws1")
    lab.join("ws2")
    job = lab.ended(lab.submit(f"python3 - <<'END'\n{CALLS}END\nexit 3"))
    assert (job["status"], job["container"]["exitCode"]) == ("FAILED", 3)
    assert lab.log(job["jobId"]) == ["script", "AccessKeyId", "True"]
    array = lab.submit("echo $AWS_BATCH_JOB_ARRAY_INDEX; sleep 0.3", size=8)
    assert lab.ended(array)["status"] == "SUCCEEDED"
    where = {lab.job(f"{array}:{index}")["container"]["containerInstanceArn"] for index in range(8)}
    assert len(where) == 2, "they are spread over the machines that there are"
    assert lab.log(f"{array}:5") == ["5"]
    names = {row["hostName"] for row in lab.ask("ListInstances")["instances"] if "hostName" in row}
    assert names == {"ws1", "ws2"}


def test_a_killed_server_and_a_killed_agent_cost_no_job(lab: Lab) -> None:
    host = lab.join("ws1")
    runs = lab.root / "runs"
    job = lab.submit(f"echo run >> {runs}; while [ ! -e {runs}.go ]; do sleep 0.1; done; echo done")
    until(lambda: lab.job(job)["status"] == "RUNNING", SECONDS, lambda: str(lab.job(job)))
    lab.server.process.kill()
    lab.server.process.wait(SECONDS)
    host.kill()
    lab.server.start()
    assert lab.state("ws1") == "AWAY"
    assert lab.job(job)["status"] == "RUNNING"
    host.start()
    until(lambda: lab.state("ws1") == "READY", SECONDS, host.said)
    (lab.root / "runs.go").touch()
    assert lab.ended(job)["status"] == "SUCCEEDED"
    assert runs.read_text() == "run\n"
    assert lab.log(job) == ["done"]


def test_a_machine_is_drained_and_forgotten(lab: Lab) -> None:
    host = lab.join("ws1")
    assert lab.batchyard("hosts", "drain", "ws1")["state"] == "DRAINING"
    job = lab.submit("exit 0")
    assert "ws1 (draining) takes none now" in lab.ask("ExplainJob", jobId=job)["text"]
    lab.ask("DrainHost", host="ws1", undo=True)
    assert lab.ended(job)["status"] == "SUCCEEDED"
    running = lab.submit("sleep 100")
    until(lambda: lab.job(running)["status"] == "RUNNING", SECONDS, lambda: str(lab.job(running)))
    instance = lab.batchyard("hosts", "list")[0]["instanceId"]
    lab.batchyard("hosts", "forget", "ws1")
    assert lab.ended(running)["statusReason"] == f"Host EC2 (instance {instance}) terminated."
    assert host.process is not None
    assert host.process.wait(SECONDS) == 0, "the machine has left by itself"
    assert "let this host go" in host.said()
    assert lab.rows() == []
    host.start()
    assert host.process.wait(SECONDS) == 1
    assert "give it a token" in host.said()


def test_a_token_is_good_for_one_machine(lab: Lab) -> None:
    token = lab.batchyard("hosts", "token", "--environment", "lab")["token"]
    first, second = (Host(lab.root, f"https://127.0.0.1:{lab.port}", name) for name in ("ws1", "ws2"))
    lab.hosts += [first, second]
    first.start(token)
    until(lambda: lab.state("ws1") == "READY", SECONDS, first.said)
    second.start(token)
    assert second.process is not None
    assert second.process.wait(SECONDS) == 1
    assert "it was used, it has expired" in second.said()


def test_a_signal_ends_the_agent_and_no_job(lab: Lab) -> None:
    host = lab.join("ws1")
    job = lab.submit("sleep 100")
    until(lambda: lab.job(job)["status"] == "RUNNING", SECONDS, lambda: str(lab.job(job)))
    assert host.process is not None
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(SECONDS) == 0
    until(lambda: lab.state("ws1") == "AWAY", SECONDS, host.said)
    assert lab.job(job)["status"] == "RUNNING"
    host.start()
    until(lambda: lab.state("ws1") == "READY", SECONDS, host.said)
    lab.client("batch").terminate_job(jobId=job, reason="enough")
    assert lab.ended(job)["statusReason"] == "enough"
