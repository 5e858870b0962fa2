"""`batchyard explain --when` and `batchyard jobs --when` against the service itself."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner, Result

from batchyard.cli.app import app
from tests.server.running import Server
from tests.waiting import until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("service"), "--vcpus", "1") as started:
        yield started


@pytest.fixture(scope="module")
def jobs(server: Server) -> list[str]:
    """One that runs, and two that wait for it; others of the definition ran before."""
    batch = boto3.client(
        "batch", "us-east-1", endpoint_url=server.address, aws_access_key_id="a", aws_secret_access_key="b"
    )
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "16"}]
    container = {"image": "host", "command": ["sh", "-c", "sleep $T"], "resourceRequirements": needs}
    batch.register_job_definition(jobDefinitionName="nap", type="container", containerProperties=container)

    def submit(seconds: float) -> str:
        variables = {"environment": [{"name": "T", "value": str(seconds)}]}
        answer = batch.submit_job(jobName="nap", jobQueue="default", jobDefinition="nap", containerOverrides=variables)
        return str(answer["jobId"])

    def status_of(job_id: str) -> Any:
        return batch.describe_jobs(jobs=[job_id])["jobs"][0]["status"]

    before = [submit(0.1) for _ in range(6)]
    until(lambda: status_of(before[-1]) == "SUCCEEDED", 60)
    found = [submit(600), submit(0.1), submit(0.1)]
    until(lambda: status_of(found[0]) == "RUNNING", 60)
    return found


@pytest.fixture
def invoke(server: Server) -> Callable[..., Result]:
    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, env={"BATCHYARD_DATA_DIR": str(server.data_dir)})

    return call


def test_a_waiting_job_has_a_forecast(jobs: list[str], invoke: Callable[..., Result]) -> None:
    found = invoke("explain", jobs[2], "--when")
    assert found.exit_code == 0, found.stderr
    (line,) = (line for line in found.stdout.splitlines() if line.startswith("Starts"))
    assert "with 80 %, most likely in" in line
    assert "run times of the same definitions" in line
    document = json.loads(invoke("explain", jobs[1], "--when", "--json").stdout)["forecast"]
    assert document["basis"] == "history"
    assert document["asOf"] < document["earliest"] <= document["likely"] <= document["latest"]


def test_a_running_job_has_none(jobs: list[str], invoke: Callable[..., Result]) -> None:
    assert "It does not wait." in invoke("explain", jobs[0], "--when").stdout


def test_the_table_of_jobs_has_a_column(jobs: list[str], invoke: Callable[..., Result]) -> None:
    lines = invoke("jobs", "--when").stdout.splitlines()
    assert "STARTS" in lines[0]
    assert [" in " in line for line in lines[1:]] == [True, True, False], "the newest first"
    assert "exclude each other" in invoke("jobs", "--when", "--watch").stderr
