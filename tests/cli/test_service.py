"""The commands for people against the service itself, with programs that really run."""

import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from typer.testing import CliRunner, Result

from batchyard.cli.app import app
from batchyard.server.settings import host
from tests.server.running import BATCHYARD, Server, environment
from tests.waiting import until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("service"), "--vcpus", "4", "--memory", "4096") as started:
        yield started


def invoke(server: Server, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"BATCHYARD_DATA_DIR": str(server.data_dir)})


def test_a_program_runs_here_and_its_exit_code_comes_back(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = 'echo "$GREETING from $PWD"; echo to stderr >&2; exit 7'
    result = invoke(server, "run", "--env", "GREETING=hello", "--name", "greet", "--", "sh", "-c", script)
    assert result.stdout == f"hello from {tmp_path}\nto stderr\n"
    assert result.exit_code == 7
    listed = json.loads(invoke(server, "jobs", "--all", "--json").stdout)
    (job,) = (job for job in listed["jobSummaryList"] if job["jobName"] == "greet")
    assert (job["status"], job["container"]["exitCode"]) == ("FAILED", 7)
    short = job["jobId"][:8]
    assert invoke(server, "logs", short).stdout == result.stdout
    assert "FAILED, exit code 7: Essential container in task exited" in invoke(server, "describe", short).stdout


def test_an_attempt_says_what_it_used_and_a_kill_for_memory_its_numbers(server: Server) -> None:
    hungry = "import time; held = bytearray(200 << 20)\nwhile True: time.sleep(0.1)"
    result = invoke(server, "run", "--memory", "64", "--name", "hungry", "--", sys.executable, "-c", hungry)
    assert result.exit_code == 137
    numbers = re.search(r"its peak was (\d+) MiB, and its limit is 64 MiB", result.stderr)
    assert numbers is not None, result.stderr
    assert int(numbers[1]) > 64
    listed = json.loads(invoke(server, "jobs", "--all", "--json").stdout)
    (job,) = (job["jobId"] for job in listed["jobSummaryList"] if job["jobName"] == "hungry")
    assert numbers[0] in invoke(server, "describe", job).stdout
    assert re.search(
        rf"Peak memory {numbers[1]} MiB\nCPU time    \d", invoke(server, "describe", "--attempts", job).stdout
    )


def test_children_and_whole_arrays_are_stopped(server: Server) -> None:
    holder = "import time\nwhile True: time.sleep(0.1)"
    with subprocess.Popen(
        [*BATCHYARD, "run", "--array", "3", "--name", "held", "--", sys.executable, "-c", holder],
        env=environment(server.directory) | {"BATCHYARD_URL": server.address},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        job = process.stderr.readline().decode().split()[1]
        until(lambda: "RUNNING" in invoke(server, "describe", f"{job}:1").stdout, 30)
        assert invoke(server, "terminate", f"{job[:8]}:1", f"{job[:8]}:2").exit_code == 0
        until(lambda: "FAILED" in invoke(server, "describe", f"{job}:1").stdout, 30)
        assert "FAILED" not in invoke(server, "describe", f"{job}:0").stdout
        assert invoke(server, "terminate", "--queue", "host", "--yes").stdout == "1 job terminated.\n"
        assert process.wait(30) != 0


def test_an_array_runs_all_its_children(server: Server) -> None:
    script = "echo part $AWS_BATCH_JOB_ARRAY_INDEX; exit $((AWS_BATCH_JOB_ARRAY_INDEX % 3))"
    result = invoke(server, "run", "--array", "9", "--", "sh", "-c", script)
    assert sorted(result.stdout.splitlines()) == [f"[{index}] part {index}" for index in range(9)]
    assert result.exit_code == 2
    assert "9/9 done, 6 failed" in invoke(server, "jobs", "--all").stdout


def test_what_has_ended_cannot_be_stopped(server: Server) -> None:
    submitted = json.loads(invoke(server, "run", "--json", "--", "true").stdout.splitlines()[0])
    job_id = submitted["jobId"]
    assert invoke(server, "cancel", job_id[:13]).stdout == f"Job {job_id} has ended already: SUCCEEDED.\n"
    assert "No job's id begins with 00000000" in invoke(server, "terminate", "00000000").stderr


def test_a_job_that_can_not_run_says_why_with_numbers(server: Server) -> None:
    client = boto3.client(
        "batch",
        endpoint_url=server.address,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    client.register_job_definition(
        jobDefinitionName="huge",
        type="container",
        containerProperties={"image": "any", "command": ["true"], "vcpus": 64, "memory": 64},
    )
    job_id = client.submit_job(jobName="huge", jobQueue="default", jobDefinition="huge")["jobId"]
    text = invoke(server, "explain", job_id[:8]).stdout
    assert "64 vCPUs asked, 4 at most there (--vcpus)" in text
    assert "Do          Ask for less, or start the service with more declared (--vcpus, --memory, --gpus)." in text
    answer = json.loads(invoke(server, "explain", "--json", job_id).stdout)
    assert (answer["wait"], answer["asked"]["vcpus"], answer["largest"]["vcpus"]) == ("TOO_LARGE", 64, 4)
    invoke(server, "cancel", job_id)
    assert "It has ended: Cancelled by the user." in invoke(server, "explain", job_id).stdout


def test_a_job_for_another_processor_says_what_this_one_is(server: Server) -> None:
    own, other = sorted(["X86_64", "ARM64"], key=lambda name: name != host.architecture(platform.machine()))
    session = boto3.Session("any", "any", region_name="us-east-1")
    client = session.client("batch", endpoint_url=server.address, config=Config(proxies={}))
    client.create_compute_environment(
        computeEnvironmentName="fargate",
        type="MANAGED",
        computeResources={"type": "FARGATE", "maxvCpus": 1, "subnets": ["s-1"], "securityGroupIds": ["sg-1"]},
        serviceRole="arn:aws:iam::123456789012:role/any",
    )
    order = [{"order": 1, "computeEnvironment": "fargate"}]
    client.create_job_queue(jobQueueName="fargate", priority=1, computeEnvironmentOrder=order)
    statuses = {}
    for architecture in (own, other):
        client.register_job_definition(
            jobDefinitionName=architecture,
            type="container",
            platformCapabilities=["FARGATE"],
            containerProperties={
                "image": "any",
                "command": ["true"],
                "executionRoleArn": "arn:aws:iam::123456789012:role/any",
                "runtimePlatform": {"cpuArchitecture": architecture},
                "resourceRequirements": [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "512"}],
            },
        )
        job = client.submit_job(jobName="job", jobQueue="fargate", jobDefinition=architecture)
        statuses[architecture] = job["jobId"]
    until(lambda: client.describe_jobs(jobs=[statuses[own]])["jobs"][0]["status"] == "SUCCEEDED")
    (found,) = client.describe_jobs(jobs=[statuses[other]])["jobs"]
    assert found["status"] == "RUNNABLE"
    assert f"The job is for {other}, and this machine is {own}." in found["statusReason"]
    text = invoke(server, "explain", statuses[other]).stdout
    assert "Do          Register the definition with this machine's runtimePlatform, or without one" in text
    invoke(server, "cancel", statuses[other])


def test_an_instance_comes_for_a_job_and_is_taken_away(server: Server) -> None:
    session = boto3.Session("any", "any", region_name="us-east-1")
    client = session.client("batch", endpoint_url=server.address, config=Config(proxies={}))
    resources = {
        "type": "SPOT", "allocationStrategy": "SPOT_CAPACITY_OPTIMIZED", "minvCpus": 0, "maxvCpus": 2,
        "instanceTypes": ["optimal"], "instanceRole": "r", "subnets": ["s"], "securityGroupIds": ["g"],
    }  # fmt: skip
    client.create_compute_environment(computeEnvironmentName="spot", type="MANAGED", computeResources=resources)
    order = [{"order": 1, "computeEnvironment": "spot"}]
    client.create_job_queue(jobQueueName="spot", priority=1, computeEnvironmentOrder=order)
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    container = {"image": "any", "command": ["sleep", "600"], "resourceRequirements": needs}
    client.register_job_definition(jobDefinitionName="long", type="container", containerProperties=container)
    job_id = client.submit_job(jobName="long", jobQueue="spot", jobDefinition="long")["jobId"]

    def job() -> Any:
        return client.describe_jobs(jobs=[job_id])["jobs"][0]

    until(lambda: job()["status"] == "RUNNING", 60.0, lambda: f"{job_id} to run: {job()}")
    host, instance = json.loads(invoke(server, "instances", "--json").stdout)
    assert host["computeEnvironment"] != "spot"
    assert (instance["computeEnvironment"], instance["instanceType"]) == ("spot", "c6i.large")
    assert (instance["state"], instance["jobs"]) == ("READY", [job_id])
    (row,) = (row for row in json.loads(invoke(server, "envs", "--json").stdout) if row["computeEnvironment"] == "spot")
    assert (row["desiredvCpus"], row["jobsRunning"], row["instances"]) == (2, 1, {"READY": 1})
    assert "spot" in invoke(server, "queues").stdout
    said = invoke(server, "interrupt", instance["instanceId"], "--notice", "1").stdout
    assert said.endswith("; its 1 job got the notice.\n")
    until(lambda: job()["status"] == "FAILED", 60.0, lambda: f"{job_id} to be lost: {job()}")
    assert job()["statusReason"] == f"Host EC2 (instance {instance['instanceId']}) terminated."
    until(
        lambda: len(json.loads(invoke(server, "instances", "--json").stdout)) == 1, 60.0, lambda: "the instance to go"
    )
