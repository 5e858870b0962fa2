"""Luigi's BatchTask, and the commands of ParallelCluster's AWS Batch CLI: the programs themselves."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from tests.clients.calling import Clients, needs
from tests.clients.test_redun_and_others import log_lines
from tests.programs import output_of

SECONDS = 120.0
SERVICES = ("BATCH", "CLOUDWATCH_LOGS", "EC2", "ECS")
JOB_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# A task of a queue that is not the first one, which Luigi would take by itself.
LUIGI = """
import luigi
from luigi.contrib.batch import BatchTask

class Hello(BatchTask):
    job_definition = "luigi-itself"
    job_name = "hello"
    job_queue = "host"
    poll_time = 1
    parameters = {"who": "luigi"}
    done = False

    def complete(self):
        return self.done

    def run(self):
        super().run()
        self.done = True

raise SystemExit(0 if luigi.build([Hello()], local_scheduler=True) else 1)
"""
CLUSTER = """
[main]
cluster_name = yard

[cluster yard]
region = us-east-1
proxy = NONE
s3_bucket = parallelcluster
artifact_directory = none
batch_cli_requirements = aws-parallelcluster-awsbatch-cli>=1.0.0
compute_environment = local
job_queue = default
job_definition = parallelcluster
head_node_ip = 127.0.0.1
"""


def environment(clients: Clients, home: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        **{f"AWS_ENDPOINT_URL_{service}": clients.server.address for service in SERVICES},
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def definition(clients: Clients, name: str, command: list[str], **parameters: str) -> None:
    container = {"image": "i", "command": command, "resourceRequirements": needs(1, 64)}
    clients.batch.register_job_definition(
        jobDefinitionName=name, type="container", parameters=parameters, containerProperties=container
    )


def test_luigi_runs_on_the_queue_that_it_is_told(clients: Clients, tmp_path: Path) -> None:
    definition(clients, "luigi-itself", ["echo", "hello", "Ref::who"], who="nobody")
    done = subprocess.run(
        [sys.executable, "-c", LUIGI],
        cwd=tmp_path,
        env=environment(clients, tmp_path),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    by_name = [{"name": "JOB_DEFINITION", "values": ["luigi-itself"]}]
    (found,) = clients.batch.list_jobs(jobQueue="host", filters=by_name)["jobSummaryList"]
    job = clients.job(found["jobId"])
    assert job["status"] == "SUCCEEDED"
    assert log_lines(clients, job["container"]["logStreamName"]) == ["hello luigi"]


class Commands:
    def __init__(self, clients: Clients, home: Path, s3_address: str) -> None:
        self._environment = environment(clients, home) | {"AWS_ENDPOINT_URL_S3": s3_address}
        self._home = home

    def __call__(self, name: str, *arguments: str) -> str:
        """What it printed. Its input is a terminal: awsbsub takes anything else for a script to be sent to S3."""
        controller, terminal = pty.openpty()
        try:
            program = str(Path(sys.executable).with_name(name))
            return output_of([program, *arguments], self._home, self._environment, SECONDS, stdin=terminal)
        finally:
            os.close(controller)
            os.close(terminal)


@pytest.fixture
def commands(clients: Clients, tmp_path: Path, s3_server: str) -> Commands:
    folder = tmp_path / ".parallelcluster"
    folder.mkdir()
    (folder / "awsbatch-cli.cfg").write_text(CLUSTER)
    definition(clients, "parallelcluster", ["true"])
    session = boto3.Session("any", "any", region_name="us-east-1")
    session.client("s3", endpoint_url=s3_server, config=Config(proxies={})).create_bucket(Bucket="parallelcluster")
    return Commands(clients, tmp_path, s3_server)


def submitted(said: str) -> str:
    found = JOB_ID.search(said)
    assert found is not None, said
    return found[0]


def test_parallelcluster_submits_shows_and_kills(clients: Clients, commands: Commands) -> None:
    hello = submitted(commands("awsbsub", "-jn", "hello", "echo", "hi", "there"))
    assert clients.ended(hello)["status"] == "SUCCEEDED"
    assert commands("awsbout", hello).strip().endswith(": hi there")
    array = submitted(commands("awsbsub", "-jn", "many", "-a", "2", "true"))
    clients.ended(array)
    children = commands("awsbstat", array)
    assert f"{array}:0" in children, children
    assert f"{array}:1" in children, children
    sleeper = submitted(commands("awsbsub", "-jn", "sleeper", "sleep", "600"))
    clients.running(sleeper)
    commands("awsbkill", "-r", "enough", sleeper)
    assert clients.ended(sleeper)["statusReason"] == "enough"
    shown = commands("awsbstat", "-s", "ALL")
    assert re.search(rf"{sleeper} +sleeper +FAILED .* 143\b", shown), shown
    assert re.search(rf"{hello} +hello +SUCCEEDED .* 0\b", shown), shown


def test_parallelcluster_shows_queues_and_hosts(clients: Clients, commands: Commands) -> None:
    assert re.search(r"^default +VALID$", commands("awsbqueues"), re.MULTILINE)
    (instance,) = clients.server.call("ListInstances", {"computeEnvironment": "local"}, "/yard/v1/")["instances"]
    shown = commands("awsbhosts", "-d")
    assert instance["instanceId"] in shown, shown
    assert re.search(r"instanceType +: local\b", shown), shown
