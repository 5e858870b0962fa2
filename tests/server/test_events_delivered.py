"""Events get to their targets from a service that is killed meanwhile: at least once, none lost."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3

from tests.server.running import Server
from tests.waiting import until

EVENTS = 200
GROUP = "/aws/events/mine"
ARN = f"arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}"


CHILDREN = 3


def definition_of(*words: str) -> dict[str, Any]:
    resources = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    container = {"image": "host", "command": list(words), "resourceRequirements": resources}
    return {"jobDefinitionName": "work", "type": "container", "containerProperties": container}


def states(server: Server) -> dict[str, list[str]]:
    """The states of each job in the order of the log group, an event that came twice once."""
    with closing(sqlite3.connect(server.data_dir / "logs.db")) as connection:
        rows = connection.execute("SELECT message FROM events ORDER BY sequence").fetchall()
    unique = {event["id"]: event["detail"] for event in (json.loads(text) for (text,) in rows)}
    found: dict[str, list[str]] = {}
    for detail in unique.values():
        found.setdefault(detail["jobId"], []).append(detail["status"])
    return found


def client(server: Server) -> Any:
    return boto3.client(
        "events", "us-east-1", endpoint_url=server.address, aws_access_key_id="a", aws_secret_access_key="b"
    )


def written(server: Server) -> Counter[int]:
    """How often the group has each event, by its number."""
    with closing(sqlite3.connect(server.data_dir / "logs.db")) as connection:
        rows = connection.execute(
            "SELECT message FROM events JOIN streams ON key = stream WHERE log_group = ?", (GROUP,)
        ).fetchall()
    return Counter(json.loads(text)["detail"]["number"] for (text,) in rows)


def test_events_that_were_accepted_arrive_though_the_service_is_killed(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        events = client(server)
        events.put_rule(Name="mine", EventPattern='{"source": ["my.app"]}')
        events.put_targets(Rule="mine", Targets=[{"Id": "log", "Arn": ARN}])
        for first in range(0, EVENTS, 10):
            entries = [
                {"Source": "my.app", "DetailType": "number", "Detail": json.dumps({"number": number})}
                for number in range(first, first + 10)
            ]
            assert events.put_events(Entries=entries)["FailedEntryCount"] == 0
        server.signal(signal.SIGKILL)
        before = written(server)
        server.start()
        until(lambda: len(written(server)) == EVENTS, 30, lambda: f"the events to arrive; before the kill: {before}")
        assert client(server).list_targets_by_rule(Rule="mine")["Targets"] == [{"Id": "log", "Arn": ARN}]


def test_each_state_of_each_job_arrives_in_order_though_the_service_is_killed(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        events = client(server)
        events.put_rule(Name="jobs", EventPattern='{"source": ["aws.batch"]}')
        events.put_targets(Rule="jobs", Targets=[{"Id": "log", "Arn": ARN}])
        retried = {"attempts": 2}
        definition = server.call(
            "RegisterJobDefinition", definition_of("sh", "-c", "exit $((1 - AWS_BATCH_JOB_ATTEMPT / 2))")
        )
        array = {"jobName": "a", "jobQueue": "default", "jobDefinition": definition["jobDefinitionArn"]}
        array |= {"arrayProperties": {"size": CHILDREN}, "retryStrategy": retried}
        ids = [server.call("SubmitJob", array)["jobId"] for _ in range(2)]
        until(lambda: sum(map(len, states(server).values())) > 8, 30, lambda: "some events to arrive")
        server.signal(signal.SIGKILL)
        server.start()
        until(lambda: all(server.status(job_id) == "SUCCEEDED" for job_id in ids), 60, lambda: "the arrays to end")
        wanted = {job_id: ["PENDING", "SUCCEEDED"] for job_id in ids}
        life = ["RUNNABLE", "STARTING", "RUNNING"]
        wanted |= {f"{job_id}:{n}": ["PENDING", *life, *life, "SUCCEEDED"] for job_id in ids for n in range(CHILDREN)}
        until(lambda: states(server) == wanted, 30, lambda: f"all events in order; found: {states(server)}")
