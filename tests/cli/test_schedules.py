"""`batchyard schedule` and `batchyard topics` against the service itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner, Result

from batchyard.cli.app import app
from batchyard.cli.schedules import what_it_does
from tests.server.running import Server
from tests.waiting import until

CONTAINER = {
    "image": "host",
    "command": ["true"],
    "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("service")) as started:
        client(started, "batch").register_job_definition(
            jobDefinitionName="report", type="container", containerProperties=CONTAINER
        )
        yield started


def client(server: Server, service: str) -> Any:
    return boto3.client(
        service, "us-east-1", endpoint_url=server.address, aws_access_key_id="a", aws_secret_access_key="b"
    )


@pytest.fixture
def invoke(server: Server) -> Callable[..., Result]:
    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, env={"BATCHYARD_DATA_DIR": str(server.data_dir)})

    return call


def test_a_nightly_batch_takes_two_commands(server: Server, invoke: Callable[..., Result]) -> None:
    when = ("nightly", "cron(0 2 * * ? *)", "--definition", "report")
    assert invoke("schedule", "add", *when, "--zone", "Europe/Berlin", "--parameter", "day=today").exit_code == 0
    listed = invoke("schedule").stdout.splitlines()
    (line,) = (line for line in listed if line.startswith("nightly "))
    shown = "nightly default ENABLED cron(0 2 * * ? *) Europe/Berlin submitJob nightly default"
    assert line.split() == shown.split()
    assert "rate(6 hours) in UTC" in invoke("schedule", "add", "nightly", "rate(6 hours)", *when[2:]).stdout
    kept = json.loads(invoke("schedule", "--json").stdout)["Schedules"]
    (found,) = (schedule for schedule in kept if schedule["Name"] == "nightly")
    assert (found["ScheduleExpression"], json.loads(found["Target"]["Input"])["JobName"]) == (
        "rate(6 hours)",
        "nightly",
    )
    assert invoke("schedule", "remove", "nightly").exit_code == 0
    assert "nightly" not in invoke("schedule").stdout
    assert "Schedule nightly does not exist" in invoke("schedule", "remove", "nightly").stderr


def test_a_schedule_that_is_due_submits_a_job(server: Server, invoke: Callable[..., Result]) -> None:
    batch = client(server, "batch")
    at = (datetime.now(UTC) + timedelta(seconds=4)).strftime("at(%Y-%m-%dT%H:%M:%S)")
    assert invoke("schedule", "add", "soon", at, "--definition", "report:1").exit_code == 0
    named = {"jobQueue": "default", "filters": [{"name": "JOB_NAME", "values": ["soon"]}]}
    until(lambda: len(batch.list_jobs(**named)["jobSummaryList"]) == 1, 60, "the job of the schedule")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a", "cron(0 2 * * * *)", "--definition", "report"), "Invalid Schedule Expression"),
        (("a", "rate(1 hour)", "--definition", "absent"), "no active job definition absent"),
        (("a", "rate(1 hour)", "--definition", "report", "--queue", "absent"), "no queue absent"),
        (("a", "rate(1 hour)", "--definition", "report", "--zone", "Mars/Base"), "Mars/Base"),
        (("a", "rate(1 hour)", "--definition", "report", "--parameter", "x"), "NAME=VALUE"),
    ],
)
def test_what_would_fail_in_the_night_is_refused_now(
    invoke: Callable[..., Result], arguments: tuple[str, ...], words: str
) -> None:
    result = invoke("schedule", "add", *arguments)
    assert result.exit_code == 1
    assert words in result.stderr


def test_topics_are_listed_with_their_subscriptions(server: Server, invoke: Callable[..., Result]) -> None:
    assert "There is no topic" in invoke("topics").stderr
    sns = client(server, "sns")
    topic = sns.create_topic(Name="jobs")["TopicArn"]
    sns.create_topic(Name="empty")
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint="http://127.0.0.1:1/hook")
    rows = [line.split() for line in invoke("topics").stdout.splitlines()[1:]]
    assert rows == [["empty", "-", "-", "no", "subscription"], ["jobs", "http", "pending", "http://127.0.0.1:1/hook"]]
    assert len(json.loads(invoke("topics", "--json").stdout)["Subscriptions"]) == 1


def test_a_target_in_words() -> None:
    assert what_it_does({"Arn": "arn:aws:sns:us-east-1:1:jobs"}) == "jobs"
    assert what_it_does({"Arn": "arn:aws:scheduler:::aws-sdk:batch:submitJob", "Input": "["}) == "submitJob"
