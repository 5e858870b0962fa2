"""The examples of README and quickstart are run as they stand there, but for the port."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.programs import output_of
from tests.server.running import Server
from tests.waiting import until

ROOT = Path(__file__).parents[1]
ADDRESS = "http://127.0.0.1:8470"
BLOCK = re.compile(r"^```(sh|python|json)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLE_SECONDS = 120.0
JOB_SECONDS = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("docs"), "--vcpus", "4", "--memory", "4096") as running:
        yield running


def blocks(page: str, kind: str, containing: str) -> str:
    """The one example of a page that holds the text."""
    found = [text for language, text in BLOCK.findall((ROOT / page).read_text()) if language == kind]
    chosen = [text for text in found if containing in text]
    assert len(chosen) == 1, f"{page} has {len(chosen)} {kind} examples with {containing}"
    return chosen[0]


def run(server: Server, program: list[str], text: str) -> str:
    """In a fresh terminal: no region, no keys, nothing that an earlier step exported."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(server.directory),
        "AWS_PAGER": "",
        "BATCHYARD_URL": server.address,
    }
    words = [*program, "-c", text.replace(ADDRESS, server.address)]
    return output_of(words, server.directory, environment, EXAMPLE_SECONDS)


SHELL = ["bash", "-eu"]  # stop at the first line that fails


def jobs_named(server: Server, name: str, queue: str = "default") -> list[dict[str, Any]]:
    session = boto3.Session("any", "any", region_name="us-east-1")
    batch = session.client("batch", endpoint_url=server.address, config=Config(proxies={}))
    filters = [{"name": "JOB_NAME", "values": [name]}]
    summaries: list[dict[str, Any]] = batch.list_jobs(jobQueue=queue, filters=filters)["jobSummaryList"]
    return summaries


def succeed(server: Server, name: str, queue: str = "default") -> None:
    def jobs() -> list[dict[str, Any]]:
        return jobs_named(server, name, queue)

    until(
        lambda: jobs() and all(job["status"] == "SUCCEEDED" for job in jobs()),
        JOB_SECONDS,
        lambda: f"the success of {name}: {jobs()}",
    )


def test_the_readme_with_the_aws_cli_and_then_boto3(server: Server) -> None:
    said = run(server, SHELL, blocks("README.md", "sh", "submit-job"))
    assert '"jobName": "hello"' in said
    succeed(server, "hello")
    run(server, [sys.executable], blocks("README.md", "python", "submit_job"))
    succeed(server, "many")
    assert jobs_named(server, "many")[0]["arrayProperties"]["size"] == 50


def test_the_quickstart_with_the_aws_cli(server: Server) -> None:
    run(server, SHELL, blocks("docs/quickstart.md", "sh", "submit-job"))
    succeed(server, "greet")


def test_the_quickstart_with_the_command_line(server: Server) -> None:
    assert run(server, SHELL, blocks("docs/quickstart.md", "sh", "print(6 * 7)")).strip() == "42"
    said = run(server, SHELL, blocks("docs/quickstart.md", "sh", "--array 10"))
    assert sorted(said.splitlines()) == sorted(f"[{index}] I am child {index}" for index in range(10))


def test_sharing_a_queue(server: Server) -> None:
    said = run(server, SHELL, blocks("docs/how-to/share-a-queue.md", "sh", "create-scheduling-policy"))
    assert "a job of Anna's\n" in said
    assert "one of Bob's, ahead of his others\n" in said
    run(server, SHELL, blocks("docs/how-to/share-a-queue.md", "sh", "update-scheduling-policy"))


def test_the_quickstart_pipeline(server: Server) -> None:
    text = blocks("docs/quickstart.md", "python", "def register").replace("/tmp/words", f"{server.directory}/words")
    job_id = run(server, [sys.executable], text).split()[0]
    succeed(server, "total", "host")
    said = run(server, SHELL, f"batchyard logs {job_id}")
    words = len(Path("/etc/passwd").read_text().split())
    assert said.strip() == f"{words} words"


def test_the_how_to_about_compute_environments(server: Server) -> None:
    page = "docs/how-to/compute-environments.md"
    variables = blocks(page, "sh", "export AWS_ENDPOINT_URL_BATCH")
    run(server, SHELL, variables + blocks(page, "sh", "--compute-environment-name small"))
    assert run(server, SHELL, blocks(page, "sh", "batchyard run --queue small")) == "done\n"
    said = run(server, SHELL, blocks(page, "sh", "batchyard envs"))
    assert "0/2/8" in said  # its instance is still there
    assert "c6i.large" in said
    for containing in ("--compute-environment-name spot", "--compute-environment-name serverless", "maxvCpus=16"):
        run(server, SHELL, variables + blocks(page, "sh", containing))
    rows = json.loads(run(server, SHELL, "batchyard envs --json"))
    managed = {row["computeEnvironment"]: row["maxvCpus"] for row in rows if row["kind"] != "UNMANAGED"}
    assert managed == {"small": 16, "spot": 4}


def test_how_to_order_and_limit_a_queue(server: Server) -> None:
    page = "docs/how-to/order-and-limits.md"
    variables = blocks(page, "sh", "export AWS_ENDPOINT_URL_BATCH")
    assert run(server, SHELL, variables + blocks(page, "sh", "--queue urgent")).rstrip().endswith("first")
    assert run(server, SHELL, variables + blocks(page, "sh", "--name short")) == "in between\n"
    run(server, SHELL, variables + blocks(page, "sh", "strict-fifo"))
    run(server, SHELL, variables + blocks(page, "sh", "concurrency-limit"))
    succeed(server, "now", "urgent")
    succeed(server, "seats", "licensed")
    assert run(server, SHELL, variables + blocks(page, "sh", "create-consumable-resource")).split()[-1] in "012"
    succeed(server, "many", "default")
    run(server, SHELL, variables + blocks(page, "sh", "update-job-queue"))
    said = run(server, SHELL, variables + blocks(page, "sh", "get-job-queue-snapshot"))
    assert '"jobs": []' in said
    assert "strict" in said


def test_how_to_build_a_workflow(server: Server) -> None:
    page = "docs/how-to/workflows.md"
    run(server, SHELL, blocks(page, "sh", "create-topic"))
    (server.directory / "pipeline.asl.json").write_text(blocks(page, "json", "StartAt"))
    said = run(server, SHELL, blocks(page, "sh", "workflows start"))
    assert "SUCCEEDED" in said
    assert [job["arrayProperties"]["size"] for job in jobs_named(server, "transform", "host")] == [4]
    assert "pipeline" in run(server, SHELL, blocks(page, "sh", "batchyard workflows pipeline"))
    run(server, SHELL, blocks(page, "sh", "start-execution"))
    states = boto3.Session("any", "any", region_name="us-east-1").client("stepfunctions", endpoint_url=server.address)
    arn = "arn:aws:states:us-east-1:123456789012:execution:pipeline:no-day"
    until(lambda: states.describe_execution(executionArn=arn)["status"] == "FAILED", JOB_SECONDS)
    events = run(server, SHELL, blocks(page, "sh", "get-execution-history")).split()
    assert events[-4:] == ["TaskSucceeded", "TaskStateExited", "FailStateEntered", "ExecutionFailed"]
    assert events.count("TaskFailed") == 2
    tried = run(server, SHELL, blocks(page, "sh", "test-state"))
    assert '"result": "OK"' in tried
    assert '"nextState": "Failed"' in tried
    assert "The pipeline of 2026-01-01 failed: States.TaskFailed" in tried
