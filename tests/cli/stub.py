"""A service for the command line to talk to: a real HTTP server on loopback, with jobs that the test moves on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from batchyard.cli.formats import now_ms

Document = dict[str, Any]
QUEUE_ARN = "arn:aws:batch:us-east-1:123456789012:job-queue/"
DEFINITION_ARN = "arn:aws:batch:us-east-1:123456789012:job-definition/batchyard-run:1"


class Refusal(Exception):
    def __init__(self, code: str, message: str, status: int = 400) -> None:
        self.code, self.message, self.status = code, message, status


class Stub:
    """`details`: JobDetail documents by id; `logs`: lines by stream name. `steps`: called in turn, one before each
    DescribeJobs, so that a test says what happens while the command line polls."""

    def __init__(self) -> None:
        self.url = ""
        self.details: dict[str, Document] = {}
        self.logs: dict[str, list[str]] = {}
        self.used: dict[str, list[Document]] = {}  # by attempt, in ListAttempts' members
        self.steps: list[Callable[[], object]] = []
        self.calls: list[tuple[str, Document]] = []
        self.headers: list[dict[str, str]] = []
        self.queues = ["default"]
        self.rows: dict[str, list[Document]] = {"environments": [], "queues": [], "instances": []}
        self.page_events = 3  # small, so that everything pages
        self.refused: dict[str, Refusal] = {}
        self.close_connections = False
        self.next_id = "3f2b8c1e-0000-4000-8000-000000000000"

    def asked(self, operation: str) -> list[Document]:
        return [request for name, request in self.calls if name == operation]

    def add(self, job_id: str, status: str = "RUNNABLE", **members: Any) -> Document:
        self.details[job_id] = {
            "jobId": job_id,
            "jobArn": f"arn:aws:batch:us-east-1:123456789012:job/{job_id}",
            "jobName": "train",
            "jobQueue": QUEUE_ARN + "default",
            "jobDefinition": DEFINITION_ARN,
            "status": status,
            "createdAt": 1_700_000_000_000,
            "attempts": [],
            "container": {},
        } | members
        return self.details[job_id]

    def run(self, job_id: str, stream: str, *lines: str) -> None:
        """The job's next attempt runs and has written these lines."""
        self.details[job_id]["status"] = "RUNNING"
        self.details[job_id]["startedAt"] = 1_700_000_001_000
        self.details[job_id]["container"]["logStreamName"] = stream
        self.logs[stream] = list(lines)

    def end(self, job_id: str, exit_code: int | None = 0, *, retried: bool = False, reason: str = "Ended") -> None:
        """The attempt ends; with `retried` another one is to come."""
        detail = self.details[job_id]
        container = {"exitCode": exit_code} if exit_code is not None else {}
        stream = detail["container"].get("logStreamName")
        attempt = {"container": container | ({"logStreamName": stream} if stream else {}), "statusReason": reason}
        detail["attempts"] = [*detail["attempts"], attempt]
        if retried:
            detail["status"] = "RUNNABLE"
        else:
            detail["status"] = "SUCCEEDED" if exit_code == 0 else "FAILED"
            detail["stoppedAt"] = 1_700_000_004_000
            detail["statusReason"] = reason
            detail["container"] |= container

    # -- operations --

    def answer(self, operation: str, request: Document) -> Document:
        self.calls.append((operation, request))
        if operation in self.refused:
            raise self.refused[operation]
        return dict(getattr(self, f"_{operation}")(request))

    def _RunJob(self, request: Document) -> Document:  # noqa: N802  (named as the operation is)
        size = request.get("arraySize")
        array: Document = {"arrayProperties": {"size": size, "statusSummary": {}}} if size else {}
        self.add(self.next_id, "RUNNABLE", **array)
        return {"jobId": self.next_id, "jobArn": f"arn:job/{self.next_id}", "jobName": request.get("jobName", "run")}

    def _DescribeJobQueues(self, request: Document) -> Document:  # noqa: N802
        return {"jobQueues": [{"jobQueueName": name} for name in self.queues]}

    def _DescribeJobs(self, request: Document) -> Document:  # noqa: N802
        assert len(request["jobs"]) <= 100
        if self.steps:
            self.steps.pop(0)()
        return {"jobs": [self.details[job_id] for job_id in request["jobs"] if job_id in self.details]}

    def _ListJobs(self, request: Document) -> Document:  # noqa: N802
        found = []
        for detail in self.details.values():
            parent, child, _ = detail["jobId"].partition(":")
            if "arrayJobId" in request:
                wanted = bool(child) and parent == request["arrayJobId"]
            else:
                wanted = not child and detail["jobQueue"] == QUEUE_ARN + request["jobQueue"]
            if wanted and ("filters" in request or detail["status"] == request["jobStatus"]):
                members = ("jobId", "jobName", "status", "statusReason", "createdAt", "startedAt", "stoppedAt")
                summary = {member: detail[member] for member in members if member in detail}
                summary["container"] = {k: v for k, v in detail["container"].items() if k in ("exitCode", "reason")}
                if "size" in detail.get("arrayProperties", {}):
                    summary["arrayProperties"] = {"size": detail["arrayProperties"]["size"]}
                found.append(summary)
        start = int(request.get("nextToken", 0))
        more = {"nextToken": str(start + 2)} if start + 2 < len(found) else {}
        return {"jobSummaryList": found[start : start + 2], **more}

    def _stop(self, request: Document) -> Document:
        self.end(request["jobId"], 143, reason=request["reason"])
        return {}

    _CancelJob = _TerminateJob = _stop

    def _ListAttempts(self, request: Document) -> Document:  # noqa: N802
        return {"attempts": [{"attempt": 1, "containers": [one]} for one in self.used.get(request["jobId"], [])]}

    def _Exec(self, request: Document) -> Document:  # noqa: N802
        raise Refusal("ClientException", "No container takes a command here.")

    def _ListEnvironments(self, request: Document) -> Document:  # noqa: N802
        return {"environments": self.rows["environments"]}

    def _ListQueues(self, request: Document) -> Document:  # noqa: N802
        return {"queues": self.rows["queues"]}

    def _ListInstances(self, request: Document) -> Document:  # noqa: N802
        return {"instances": self.rows["instances"]}

    def _InterruptInstance(self, request: Document) -> Document:  # noqa: N802
        row = next(row for row in self.rows["instances"] if row["instanceId"] == request["instanceId"])
        return {"instance": row | {"state": "DRAINING", "endsAt": now_ms() + 60_000}}

    def _GetLogEvents(self, request: Document) -> Document:  # noqa: N802
        lines = self.logs.get(request["logStreamName"])
        if lines is None:
            raise Refusal("ResourceNotFoundException", "The specified log stream does not exist.")
        start = int(request.get("nextToken", "f/0")[2:])
        page = lines[start : start + self.page_events]
        events = [{"timestamp": 1, "message": text, "ingestionTime": 1} for text in page]
        return {"events": events, "nextForwardToken": f"f/{start + len(page)}", "nextBackwardToken": f"b/{start}"}

    def _FilterLogEvents(self, request: Document) -> Document:  # noqa: N802
        assert len(request["logStreamNames"]) <= 100
        lines = [(name, text) for name in request["logStreamNames"] for text in self.logs[name]]
        start = int(request.get("nextToken", 0))
        page = lines[start : start + self.page_events]
        events = [{"logStreamName": name, "timestamp": 1, "message": text} for name, text in page]
        more = {"nextToken": str(start + len(page))} if start + len(page) < len(lines) else {}
        return {"events": events, **more}


@contextmanager
def serving(stub: Stub) -> Iterator[Stub]:
    def names() -> list[str]:
        return [name.removeprefix("_") for name in dir(stub) if name[:1] == "_" and name[1:2].isupper()]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one segment for head and body: two would wait for each other's acknowledgement

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"] or 0))
            stub.headers.append({name.lower(): value for name, value in self.headers.items()})
            target = self.headers.get("x-amz-target", "")
            operation = target.rpartition(".")[2] or next(
                (name for name in names() if self.path in (f"/v1/{name.lower()}", f"/yard/v1/{name.lower()}")), "Exec"
            )
            try:
                status, document, headers = 200, stub.answer(operation, json.loads(body or b"{}")), {}
            except Refusal as refusal:
                status, document = refusal.status, {"message": refusal.message}
                headers = {"x-amzn-ErrorType": refusal.code}
                if target:
                    document, headers = {**document, "__type": refusal.code}, {}
            content = json.dumps(document).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            if stub.close_connections:  # without a word, as a server does with a connection long idle
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        stub.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield stub
        finally:
            server.shutdown()
            thread.join()
