"""`batchyard events` against the service itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from batchyard.cli.app import app
from batchyard.cli.client import Client
from batchyard.cli.endpoint import PLACEHOLDER, Endpoint
from batchyard.cli.events import Event, Follower, events_of, name_of_target
from tests.server.running import Server
from tests.waiting import until

JOB: dict[str, Any] = {
    "jobId": "j1",
    "jobName": "train",
    "jobQueue": "arn:aws:batch:us-east-1:123456789012:job-queue/gpu",
    "createdAt": 1,
    "status": "RUNNABLE",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("service")) as started:
        yield started


@pytest.fixture
def invoke(server: Server) -> Callable[..., Result]:
    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["events", *arguments], env={"BATCHYARD_DATA_DIR": str(server.data_dir)})

    return call


def told(job: dict[str, Any]) -> list[tuple[int, str, str, int]]:
    return [(event.at_ms, event.status, event.reason, event.attempt) for event in events_of(JOB | job)]


def test_the_past_of_a_job_is_that_of_its_attempts() -> None:
    failed = {"startedAt": 2, "stoppedAt": 3, "container": {"exitCode": 1}}
    killed = {"startedAt": 5, "stoppedAt": 6, "container": {"exitCode": 137, "reason": "OutOfMemoryError"}}
    unstarted = {"stoppedAt": 7, "statusReason": "Host gone", "container": {}}
    assert told({}) == [(1, "SUBMITTED", "", 0)]
    assert told({"status": "RUNNING", "attempts": [failed], "startedAt": 4}) == [
        (1, "SUBMITTED", "", 0),
        (2, "RUNNING", "", 1),
        (3, "RUNNABLE", "exit code 1", 1),
        (4, "RUNNING", "", 2),
    ]
    assert told({"status": "FAILED", "attempts": [failed, killed], "stoppedAt": 6, "statusReason": "s"})[-2:] == [
        (5, "RUNNING", "", 2),
        (6, "FAILED", "OutOfMemoryError", 2),
    ]
    assert told({"status": "RUNNABLE", "attempts": [unstarted]})[-1] == (7, "RUNNABLE", "Host gone", 1)
    assert told({"status": "SUCCEEDED", "attempts": [failed], "stoppedAt": 3, "statusReason": "Done"})[-1] == (
        3, "SUCCEEDED", "Done", 1,
    )  # fmt: skip


def test_events_are_listed_and_followed(server: Server, invoke: Callable[..., Result]) -> None:
    with Client(Endpoint(server.address, "us-east-1", (PLACEHOLDER,))) as client:
        follower = Follower(client, None)
        before = server.submit(["true"], "early")
        assert follower.look() == []
        job_id = server.submit(["sh", "-c", "exit 3"], "broken")
        followed: list[Event] = []

        def has_ended() -> bool:
            followed.extend(event for event in follower.look() if event.job_id == job_id)
            return bool(followed) and followed[-1].status == "FAILED"

        until(has_ended, 30, lambda: f"the job to fail: {followed}")
    assert [(event.status, event.reason) for event in followed] == [
        ("SUBMITTED", ""),
        ("RUNNING", ""),
        ("FAILED", "exit code 3"),
    ]
    until(lambda: server.status(before) == "SUCCEEDED", 30, lambda: "the first job to end")
    listed = [json.loads(line) for line in invoke("--json").stdout.splitlines()]
    assert [one["status"] for one in listed if one["job_id"] == before] == ["SUBMITTED", "RUNNING", "SUCCEEDED"]
    assert [one["status"] for one in listed if one["job_id"] == job_id] == ["SUBMITTED", "RUNNING", "FAILED"]
    shown = invoke("--queue", "host")
    assert shown.exit_code == 0
    assert "exit code 3" in shown.stdout
    there = [json.loads(line)["job_id"] for line in invoke("--queue", "host", "--json").stdout.splitlines()]
    assert f"{len(there)} events of {len(set(there))} jobs" in shown.stderr


class _Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), json.loads(body)))  # type: ignore[attr-defined]
        self.send_response(410 if "gone" in self.path else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def receiver() -> Iterator[ThreadingHTTPServer]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    made.got = []  # type: ignore[attr-defined]
    thread = Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_webhook_gets_the_events_of_failed_jobs_and_its_failures_are_listed(
    server: Server, invoke: Callable[..., Result], receiver: ThreadingHTTPServer
) -> None:
    got: list[Any] = receiver.got  # type: ignore[attr-defined]
    address = f"http://127.0.0.1:{receiver.server_address[1]}"
    made = invoke("webhook", f"{address}/hook?x=1", "--queue", "host", "--key", "X-Token=t1")
    assert (made.exit_code, "FAILED" in made.stdout) == (0, True), made.output
    job_id = server.submit(["false"])
    until(lambda: got, 30, lambda: "an event to arrive")
    path, headers, event = got[0]
    assert (path, headers["X-Token"], headers["User-Agent"]) == (
        "/hook?x=1",
        "t1",
        "Amazon/EventBridge/ApiDestinations",
    )
    assert (event["detail"]["jobId"], event["detail"]["status"]) == (job_id, "FAILED")
    assert "No delivery was given up." in invoke("failures").stderr
    assert invoke("webhook", f"{address}/gone", "--all").exit_code == 0
    server.submit(["true"])
    until(lambda: "HTTP 410" in invoke("failures").stdout, 30, lambda: "a delivery to be given up")
    assert "rule/webhook#webhook" in invoke("failures").stdout
    assert "could not be delivered" in invoke().stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("ftp://a",), "no http or https URL"),
        (("http://a", "--key", "none"), "NAME=VALUE"),
        (("http://a", "--status", "LATE"), "SUBMITTED"),
        (("http://a", "--queue", "none"), "no queue none"),
    ],
)
def test_a_webhook_that_cannot_be_is_refused(
    invoke: Callable[..., Result], arguments: tuple[str, ...], text: str
) -> None:
    result = invoke("webhook", *arguments)
    assert result.exit_code != 0
    assert text in result.output


def test_a_target_is_named_by_what_people_know_of_it() -> None:
    assert name_of_target("arn:aws:events:us-east-1:123456789012:rule/failed#t1") == "rule/failed#t1"
    assert name_of_target("logs:/dead") == "logs:/dead"
