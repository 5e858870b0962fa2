"""A server of the bench's own, and one array run on it by boto3, as a user's client does."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config

from bench.errors import BenchError
from bench.processes import CpuTime, cpu_time, pids_naming

Value = TypeVar("Value")

COMMAND = [sys.executable, "-m", "batchyard"]
START_SECONDS = 60  # a first start also makes the database
STOP_SECONDS = 15  # the server promises 5
POLL_SECONDS = 0.05  # a hundredth of the shortest run seen, and one cheap request each
MEMORY_MIB = 65_536  # declared, so that memory never decides
JOB_MEMORY_MIB = 4  # the least that AWS takes


@dataclass(frozen=True)
class Server:
    pid: int
    address: str
    data_dir: Path


def wait_for(condition: Callable[[], Value | None], seconds: float, what: str) -> Value:
    deadline = time.monotonic() + seconds
    while (value := condition()) is None:
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {seconds:.0f} s")
        time.sleep(POLL_SECONDS)
    return value


def is_healthy(address: str) -> bool:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def running_server(folder: Path, vcpus: int, engine: str = "process") -> Iterator[Server]:
    """A server below `folder`, and its supervisor; both are gone afterwards, whatever happened."""
    data_dir = folder / "data"
    # A setting of the user's would change what is measured.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BATCHYARD_")}
    environment["XDG_CONFIG_HOME"] = str(folder / "config")
    options = ["--port", "0", "--vcpus", str(vcpus), "--memory", str(MEMORY_MIB), "--data-dir", str(data_dir)]
    options += ["--engine", engine]
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, "up", *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:

        def address() -> str | None:
            if process.poll() is not None:
                raise BenchError(f"the server ended with {process.returncode} and said:\n{log.read_text()}")
            try:
                said = json.loads((data_dir / "server.json").read_text())
            except FileNotFoundError:
                return None
            return str(said["address"]) if said["pid"] == process.pid and is_healthy(said["address"]) else None

        yield Server(process.pid, wait_for(address, START_SECONDS, f"the server's start (it said: {log})"), data_dir)
    finally:
        stop(process, [*COMMAND, "down", "--kill", "--data-dir", str(data_dir)], environment, data_dir)


def stop(
    process: subprocess.Popen[bytes],
    down: list[str],
    environment: dict[str, str],
    data_dir: Path,
    seconds: float = STOP_SECONDS,
) -> None:
    """Ask with the command `down` first. What is left `seconds` later is killed, and that is said: it is a fault."""
    if process.poll() is None:
        try:
            said = subprocess.run(down, env=environment, capture_output=True, text=True, timeout=STOP_SECONDS)
            if said.returncode != 0:
                print(f"bench: `batchyard down` failed: {said.stdout}{said.stderr}", file=sys.stderr)
        except subprocess.TimeoutExpired:
            print(f"bench: `batchyard down` took more than {STOP_SECONDS} s", file=sys.stderr)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and (process.poll() is None or pids_naming(data_dir)):
        time.sleep(POLL_SECONDS)
    if process.poll() is None:
        print(f"bench: the server, process {process.pid}, had to be killed", file=sys.stderr)
        process.kill()
    process.wait()
    for pid in pids_naming(data_dir):
        print(f"bench: process {pid} was left over and had to be killed", file=sys.stderr)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended by itself


def batch_client(address: str) -> Any:
    os.environ["NO_PROXY"] = "127.0.0.1"
    return boto3.client(
        "batch",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
        config=Config(read_timeout=60, retries={"total_max_attempts": 1}),
    )


@dataclass(frozen=True)
class Run:
    """One array, from the call of SubmitJob until DescribeJobs says SUCCEEDED."""

    jobs: int
    vcpus: int
    seconds: float
    submit_seconds: float
    jobs_per_second: float
    server_cpu: CpuTime
    supervisor_cpu: CpuTime


def run_array(server: Server, jobs: int, vcpus: int, timeout_seconds: float, image: str = "none") -> Run:
    batch = batch_client(server.address)
    resources = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": str(JOB_MEMORY_MIB)}]
    definition = batch.register_job_definition(
        jobDefinitionName="bench-true",
        type="container",
        containerProperties={"image": image, "command": ["/bin/true"], "resourceRequirements": resources},
    )["jobDefinitionArn"]
    before = cpu_of(server)
    start = time.monotonic()
    job_id = batch.submit_job(
        jobName="bench", jobQueue="default", jobDefinition=definition, arrayProperties={"size": jobs}
    )["jobId"]
    submitted = time.monotonic()

    def finished() -> dict[str, Any] | None:
        job: dict[str, Any] = batch.describe_jobs(jobs=[job_id])["jobs"][0]
        return job if job["status"] in ("SUCCEEDED", "FAILED") else None

    job = wait_for(finished, timeout_seconds, f"the end of an array of {jobs}")
    seconds = time.monotonic() - start
    after = cpu_of(server)
    counts = job["arrayProperties"]["statusSummary"]
    if job["status"] != "SUCCEEDED" or counts["SUCCEEDED"] != jobs or sum(counts.values()) != jobs:
        raise BenchError(f"the array of {jobs} ended {job['status']}: {job.get('statusReason', '')} {counts}")
    spent = [
        CpuTime(late.own_seconds - early.own_seconds, late.children_seconds - early.children_seconds)
        for early, late in zip(before, after, strict=True)
    ]
    return Run(jobs, vcpus, seconds, submitted - start, jobs / seconds, spent[0], spent[1])


def cpu_of(server: Server) -> tuple[CpuTime, CpuTime]:
    """Of the server, and of its supervisors together (there is one, unless an upgrade is under way)."""
    times = [cpu_time(pid) for pid in pids_naming(server.data_dir) if pid != server.pid]
    supervisors = CpuTime(sum(t.own_seconds for t in times), sum(t.children_seconds for t in times))
    return cpu_time(server.pid), supervisors
