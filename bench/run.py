"""The bench: an array of 10,000 × /bin/true, end to end, against the floor of this machine in the same run.

A server of its own, in a directory of its own, is started, measured and stopped. The client is boto3, as a user's is.
"""

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config

from bench import floor
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


def report(measured_floor: floor.Floor, run: Run) -> str:
    microseconds = {
        "server": run.server_cpu.own_seconds * 1e6 / run.jobs,
        "supervisor": run.supervisor_cpu.own_seconds * 1e6 / run.jobs,
        "jobs themselves": run.supervisor_cpu.children_seconds * 1e6 / run.jobs,
    }
    rate, floor_rate = run.jobs_per_second, measured_floor.per_second
    array = f"array of {run.jobs:,}, {run.vcpus} vCPUs declared"
    times = f"{run.seconds:.2f} s, submitted in {run.submit_seconds * 1000:.0f} ms"
    cpu = ", ".join(f"{name} {value:.0f} µs" for name, value in microseconds.items())
    return (
        f"floor      {floor_rate:8,.0f} processes/s   {measured_floor.method}\n"
        f"batchyard  {rate:8,.0f} jobs/s        {array}: {times}\n"
        f"ratio      {rate / floor_rate:8.2f} of the floor\n"
        f"CPU a job: {cpu}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="size of the array, 2 to 10,000 (default 10,000)")
    parser.add_argument("--vcpus", type=int, default=16, help="vCPUs declared: jobs at once (default 16)")
    parser.add_argument("--timeout-seconds", type=float, default=300.0, help="give up after this (default 300)")
    parser.add_argument("--containers", type=int, help="how many containers against Docker's API (default 96; 0: none)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args()
    # Being told to end must not leave a server behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    measured_floor = floor.measure()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="batchyard-bench-") as folder,
            running_server(Path(folder), options.vcpus) as server,
        ):
            run = run_array(server, options.jobs, options.vcpus, options.timeout_seconds)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(report(measured_floor, run))
    ratio = run.jobs_per_second / measured_floor.per_second
    figures: dict[str, Any] = {"floor": asdict(measured_floor), "array": asdict(run), "ratio": ratio}
    if options.containers != 0:
        figures["containers"] = run_containers(options.containers)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def run_containers(count: int | None) -> dict[str, Any] | None:
    """None where there is nothing to measure them with: that is said, and no failure."""
    from bench import containers

    print()
    try:
        measured = containers.measure() if count is None else containers.measure(count)
    except BenchError as error:
        print(f"containers were not measured: {error}")
        return None
    print(containers.report(measured))
    return containers.figures(measured)


if __name__ == "__main__":
    sys.exit(main())
