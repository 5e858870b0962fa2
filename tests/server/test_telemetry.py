"""Traces and metrics, as a collector receives them by OTLP."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from batchyard.core.model.facts import JobStateChanged
from batchyard.core.model.records import Status
from batchyard.core.model.trace_context import span_id
from batchyard.evaluators.metrics.samples import samples_of
from batchyard.server.settings.config import SettingError, load
from batchyard.server.telemetry import outbox
from batchyard.server.telemetry.job_spans import JobSpan, spans_of
from batchyard.server.telemetry.otlp import Collector
from batchyard.server.telemetry.outbox import Outbox
from batchyard.server.telemetry.telemetry import Telemetry, open_telemetry
from batchyard.store.metrics.series import Datum, Series
from batchyard.store.store import Store
from tests.api.service import START_MS, Service
from tests.server.running import Server
from tests.waiting import until

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECONDS = 60.0


class Receiver:
    """A collector. `is_stuck`: it takes connections and answers none."""

    def __init__(self, *, is_stuck: bool = False) -> None:
        self.spans: list[Any] = []
        self.metrics: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.resource: dict[str, str] = {}
        receiver, self.released = self, threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.headers.append(dict(self.headers))
                if is_stuck:
                    receiver.released.wait(SECONDS)
                receiver.receive(self.path, body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def receive(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resource = {one.key: one.value.string_value for one in resource.resource.attributes}
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        else:
            assert path == "/v1/metrics"
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.metrics += [metric for scope in resource.scope_metrics for metric in scope.metrics]

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def stuck() -> Iterator[Receiver]:
    made = Receiver(is_stuck=True)
    yield made
    made.close()


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


# -- the whole service --


def client(server: Server, trace_parent: str = "") -> Any:
    session = boto3.Session("any", "any", region_name="us-east-1")
    made = session.client("batch", endpoint_url=server.address, config=Config(proxies={}))
    if trace_parent:
        made.meta.events.register(
            "before-send.batch.*", lambda request, **_: request.headers.__setitem__("traceparent", trace_parent)
        )
    return made


def test_a_job_is_a_trace_and_finds_its_span(tmp_path: Path, receiver: Receiver) -> None:
    """One job of a caller with a trace, one without, whose second attempt succeeds."""
    variables = {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret", "OTEL_RESOURCE_ATTRIBUTES": "deployment=test"}
    with Server(tmp_path, "--otel-endpoint", receiver.address, variables=variables) as server:
        said = tmp_path / "said"
        command = ["sh", "-c", f'echo "$TRACEPARENT" >> {said}; test "$AWS_BATCH_JOB_ATTEMPT" = 2']
        definition = {"image": "busybox", "command": command, "resourceRequirements": [
            {"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"},
        ]}  # fmt: skip
        batch = client(server)
        batch.register_job_definition(
            jobDefinitionName="twice", type="container", containerProperties=definition, retryStrategy={"attempts": 2}
        )
        own = batch.submit_job(jobName="own", jobQueue="default", jobDefinition="twice")["jobId"]
        until(lambda: server.status(own) == "SUCCEEDED", SECONDS, "the end of the job")
        until(lambda: len(receiver.spans) >= 9, SECONDS, lambda: f"the spans of a job: {receiver.spans}")
        traced = client(server, CALLER)
        called = traced.submit_job(jobName="called", jobQueue="default", jobDefinition="twice")["jobId"]
        until(lambda: len(receiver.spans) >= 18, SECONDS, lambda: f"the spans of a job: {receiver.spans}")
        assert server.status(called) == "SUCCEEDED"

    first, second = receiver.spans[:9], receiver.spans[9:]
    assert {span.trace_id.hex() for span in first} == {own.replace("-", "")}
    assert {span.trace_id.hex() for span in second} == {CALLER.split("-")[1]}
    assert [span.name for span in first] == [
        "own", "queued", "attempt 1", "starting", "running", "queued", "attempt 2", "starting", "running"
    ]  # fmt: skip
    root, _, failed, _, running, _, succeeded, *_ = first
    assert (root.parent_span_id, second[0].parent_span_id.hex()) == (b"", "00f067aa0ba902b7")
    assert failed.parent_span_id == succeeded.parent_span_id == root.span_id
    assert running.parent_span_id == failed.span_id
    assert (root.status.code, failed.status.code, failed.status.message) == (0, 2, "exit code 1")
    assert root.start_time_unix_nano <= failed.start_time_unix_nano <= failed.end_time_unix_nano
    assert failed.end_time_unix_nano <= succeeded.start_time_unix_nano <= root.end_time_unix_nano
    assert attributes(root)["batch.job.id"] == own
    assert attributes(root)["batch.queue.name"] == "default"
    assert (attributes(failed)["process.exit.code"], attributes(succeeded)["process.exit.code"]) == (1, 0)
    offered = [f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01" for span in (first[2], first[6], second[2])]
    assert said.read_text().split()[:3] == offered
    assert receiver.resource["service.name"] == "batchyard"
    assert receiver.resource["deployment"] == "test"
    assert receiver.headers[0]["api-key"] == "secret"


def test_a_collector_that_never_answers_holds_up_no_job(tmp_path: Path, stuck: Receiver) -> None:
    with Server(tmp_path, "--otel-endpoint", stuck.address) as server:
        for _ in range(3):
            job = server.submit(["true"])
            until(lambda job=job: server.status(job) == "SUCCEEDED", SECONDS, "the end of the job")
        until(lambda: stuck.headers, SECONDS, "a request to the collector")
    assert stuck.spans == []


# -- spans --


@pytest.fixture
def ended(tmp_path: Path) -> Iterator[Service]:
    """A service whose engine the test plays."""
    made = Service(tmp_path)
    made.make_queue()
    made.register()
    yield made
    made.close()


def spans(service: Service, job_id: str) -> list[JobSpan]:
    (view,) = service.reader.jobs([job_id])
    return spans_of(view)


def test_times_are_those_of_the_job(ended: Service) -> None:
    job_id = ended.submit()
    ended.tick(500)
    ended.start(job_id)
    ended.end(job_id, exit_code=3, ran_ms=2000)
    root, queued, attempt, starting, running = spans(ended, job_id)
    found = [(span.start_ms - START_MS, span.end_ms - START_MS) for span in (root, queued, attempt, starting, running)]
    assert found == [(0, 2500), (0, 0), (0, 2500), (0, 500), (500, 2500)]
    assert (root.error, attempt.error) == ("Essential container in task exited", "exit code 3")
    assert running.parent_id == attempt.span_id


def test_a_job_that_never_ran_is_one_span(ended: Service) -> None:
    first = ended.submit()
    job_id = ended.submit(dependsOn=[{"jobId": first}])
    ended.start(first)
    ended.end(first, exit_code=1)
    (root,) = spans(ended, job_id)
    assert (root.name, root.error) == ("nap", "Dependent Job failed")
    assert root.attributes["batch.job.status"] == "FAILED"


def test_children_are_below_their_array(ended: Service) -> None:
    job_id = ended.submit(arrayProperties={"size": 2})
    for index in range(2):
        ended.start(f"{job_id}:{index}")
        ended.end(f"{job_id}:{index}")
    (array,) = spans(ended, job_id)
    children = [spans(ended, f"{job_id}:{index}")[0] for index in range(2)]
    assert {child.trace_id for child in children} == {array.trace_id}
    assert [child.parent_id for child in children] == [array.span_id] * 2
    assert [child.attributes["batch.job.array.index"] for child in children] == [0, 1]
    assert array.attributes["batch.job.array.size"] == 2
    assert len({array.span_id, *(child.span_id for child in children)}) == 3


def test_a_trace_that_its_caller_does_not_record_is_not_sent(ended: Service) -> None:
    ended.trace_parent = CALLER.removesuffix("01") + "00"
    job_id = ended.batch.submit_job(jobName="nap", jobQueue="default", jobDefinition="sleeper")["jobId"]
    ended.start(job_id)
    ended.end(job_id)
    assert spans(ended, job_id) == []


# -- what is sent --


def test_what_finds_no_place_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MAX_JOBS", 3)
    box = Outbox()
    box.add_job(JobStateChanged(1, 1, "a", "q", Status.RUNNING))
    box.add_job(JobStateChanged(1, 1, "a", "q", Status.SUCCEEDED))
    box.add_job(JobStateChanged(1, 2, "b", "q", Status.FAILED, start=5, stop=9))
    box.add_job(JobStateChanged(1, 3, "c", "q", Status.FAILED))
    assert box.dropped == 3
    batch = box.take(2)
    assert batch is not None
    assert (batch.jobs, batch.minutes) == (["a", "b:5"], [])
    box.close()
    batch = box.take(2)
    assert batch is not None
    assert batch.jobs == ["b:6"]
    assert box.take(2) is None


def test_metrics_have_the_kinds_of_opentelemetry(receiver: Receiver) -> None:
    queue = (("JobQueueName", "q"),)
    counted = Datum(Series("AWS/Batch", "JobsSubmitted", queue, "Count"), 60, samples_of([1.0], [7.0]))
    took = Datum(Series("AWS/Batch", "JobAttemptDuration", queue, "Milliseconds"), 60, samples_of([5.0, 20.0]))
    gauge = Datum(Series("AWS/Batch", "RunningJobCount", (("JobQueue", "q"),), "Count"), 60, samples_of([4.0]))
    collector = Collector(receiver.address, {})
    assert collector.send_metrics([counted, took, gauge])
    collector.close()
    submitted, duration, running = receiver.metrics
    assert (submitted.name, submitted.sum.is_monotonic, submitted.sum.aggregation_temporality) == (
        "AWS/Batch/JobsSubmitted", True, 1
    )  # fmt: skip
    (point,) = submitted.sum.data_points
    assert (point.as_double, attributes(point)) == (7.0, {"JobQueueName": "q"})
    assert (point.start_time_unix_nano, point.time_unix_nano) == (60 * 10**9, 120 * 10**9)
    (point,) = duration.histogram.data_points
    assert (point.count, point.sum, point.min, point.max, duration.unit) == (2, 25.0, 5.0, 20.0, "ms")
    (point,) = running.gauge.data_points
    assert (point.as_double, attributes(point)) == (4.0, {"JobQueue": "q"})


def test_minutes_and_jobs_are_sent_and_losses_are_logged_once(
    ended: Service, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing:
        def __init__(self) -> None:
            self.sent = 0

        def send_spans(self, spans: object) -> bool:
            self.sent += 1
            return False

        send_metrics = send_spans

        def close(self) -> None:
            pass

    job_id = ended.submit()
    ended.start(job_id)
    ended.end(job_id)
    minute = [Datum(Series("AWS/Batch", "JobsSubmitted", (("JobQueueName", "q"),), "Count"), 60, samples_of([1.0]))]
    store, failing = Store.open(ended.context.logs_directory / "yard.db"), Failing()
    for sink in (Collector(receiver.address, {}), failing):
        telemetry = Telemetry(store, sink, receiver.address)
        telemetry.start()
        for _ in range(2):
            telemetry.outbox.add_job(JobStateChanged(1, 1, job_id, "q", Status.SUCCEEDED))
            telemetry.outbox.add_minute(minute)
        telemetry.close()
    assert {span.span_id.hex() for span in receiver.spans} >= {span_id(job_id)}
    assert [metric.name for metric in receiver.metrics] == ["AWS/Batch/JobsSubmitted"] * 2
    assert failing.sent >= 2
    assert [record.getMessage().count("took no traces") for record in caplog.records] == [1]


def test_a_missing_library_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "batchyard.server.telemetry.otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    settings = load({"otel_endpoint": "http://127.0.0.1:1", "data_dir": str(tmp_path)}, {"HOME": str(tmp_path)})
    with pytest.raises(SettingError, match=r"pip install 'batchyard\[otel\]'"):
        open_telemetry(settings, Store.open(tmp_path / "yard.db"))
