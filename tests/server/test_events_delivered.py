"""Events get to their targets from a service that is killed meanwhile: at least once, none lost."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import boto3

from batchyard.deliveries.machine import LANE_DELIVERIES
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


class _Receiver(BaseHTTPRequestHandler):
    """Answers late, so that deliveries are under way at any time."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        numbers: list[int] = self.server.numbers  # type: ignore[attr-defined]
        numbers.append(body["detail"]["number"])
        self.server.slow.wait(0.02)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def receiving() -> Iterator[ThreadingHTTPServer]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    made.numbers, made.slow = [], Event()  # type: ignore[attr-defined]
    thread = Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def test_requests_under_way_are_sent_again_after_a_kill_and_no_others(tmp_path: Path) -> None:
    with receiving() as receiver, Server(tmp_path) as server:
        numbers: list[int] = receiver.numbers  # type: ignore[attr-defined]
        events = client(server)
        auth = {"ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": "v"}}
        arn = events.create_connection(Name="c", AuthorizationType="API_KEY", AuthParameters=auth)["ConnectionArn"]
        url = f"http://127.0.0.1:{receiver.server_address[1]}/hook"
        made = events.create_api_destination(Name="d", ConnectionArn=arn, InvocationEndpoint=url, HttpMethod="POST")
        events.put_rule(Name="mine", EventPattern='{"source": ["my.app"]}')
        events.put_targets(Rule="mine", Targets=[{"Id": "http", "Arn": made["ApiDestinationArn"]}])
        for first in range(0, EVENTS, 10):
            entries = [
                {"Source": "my.app", "DetailType": "number", "Detail": json.dumps({"number": number})}
                for number in range(first, first + 10)
            ]
            assert events.put_events(Entries=entries)["FailedEntryCount"] == 0
        until(lambda: numbers, 30, lambda: "the first to arrive")
        server.signal(signal.SIGKILL)
        assert len(set(numbers)) < EVENTS, "the service was killed too late"
        server.start()
        until(lambda: len(set(numbers)) == EVENTS, 60, lambda: f"all events to arrive: {len(set(numbers))}")
        # Those that were under way, or whose outcome was not committed: of each batch of four at most.
        assert len(numbers) - EVENTS <= 3 * LANE_DELIVERIES


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
