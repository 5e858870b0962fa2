"""Metric filters and subscription filters: what they count and send on, of written events and of the output of jobs."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from batchyard.core.model.commands import Command
from batchyard.core.model.refusal import Refused
from batchyard.engines.base import log_path
from batchyard.events.commands import PutEvents
from batchyard.server.log_filtering import FilterTargets, LogFiltering
from batchyard.store.metrics.metric_store import MetricStore
from batchyard.store.metrics.series import Series
from batchyard.topics.commands import Publish
from tests.api.service import ACCOUNT, START_MS, Service

JOBS = "/aws/batch/job"
BUS = "arn:aws:events:us-east-1:123456789012:event-bus/default"
TOPIC = "arn:aws:sns:us-east-1:123456789012:t"
MINUTE_MS = 60_000
FIRST_MINUTE = START_MS // MINUTE_MS


class Filtering:
    """The part of a running service that filters. `commands`: what was handed to destinations."""

    def __init__(self, service: Service, directory: Path) -> None:
        self.service = service
        self.metrics = MetricStore(directory / "metrics.db")
        self.commands: list[Any] = []
        self.refuses: Callable[[Command[None]], bool] = lambda _: False
        self.again()

    def again(self) -> None:
        """As after a restart."""
        context = self.service.context
        self._targets = FilterTargets(self.metrics, self._ask, ACCOUNT)
        self._threads = ThreadPoolExecutor(1)
        self._filtering = LogFiltering(
            context.log_catalogue, self.service.log_writer, context.log_filters, self._targets, self._threads
        )

    async def _ask(self, command: Command[None]) -> None:
        if self.refuses(command):
            raise Refused("There is no such topic.", "NotFound")
        self.commands.append(command)

    def look(self) -> None:
        asyncio.run(self._filtering.look())

    def close(self) -> None:
        self._threads.shutdown()
        self.metrics.close()

    def points(self, name: str = "n", unit: str = "None", **dimensions: str) -> dict[int, tuple[float, float]]:
        """Samples and their sum, by the minute after the first."""
        found = self.metrics.find(Series("N", name, tuple(sorted(dimensions.items())), unit))
        if found is None:
            return {}
        return {
            at_s // 60 - FIRST_MINUTE: (samples.sample_count, samples.total)
            for at_s, samples in self.metrics.points(found.id, 0, START_MS // 1000 + 10**6)
        }


@pytest.fixture
def filtering(service: Service, tmp_path: Path) -> Any:
    made = Filtering(service, tmp_path)
    yield made
    made.close()


@pytest.fixture
def logs(service: Service) -> Any:
    client = service.client("logs")
    client.create_log_group(logGroupName="/w")
    client.create_log_stream(logGroupName="/w", logStreamName="s")
    return client


def count(logs: Any, pattern: str, group: str = "/w", name: str = "f", **transformation: Any) -> None:
    made = {"metricName": "n", "metricNamespace": "N", "metricValue": "1"} | transformation
    logs.put_metric_filter(logGroupName=group, filterName=name, filterPattern=pattern, metricTransformations=[made])


def put(logs: Any, *events: tuple[int, str]) -> None:
    found = [{"timestamp": START_MS + at, "message": text} for at, text in events]
    logs.put_log_events(logGroupName="/w", logStreamName="s", logEvents=found)


class Job:
    """A job that writes."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.id = service.submit()
        service.start(self.id)
        self.stream = str(service.detail(self.id)["container"]["logStreamName"])
        self.path = log_path(service.context.logs_directory, self.stream.rpartition("/")[2])
        self.path.parent.mkdir(exist_ok=True)

    def write(self, *lines: str) -> None:
        with self.path.open("a") as file:
            file.writelines(f"{self._service.now_ms}\t{line}\n" for line in lines)

    def end(self) -> None:
        self._service.end(self.id, ran_ms=0)


# -- what is there --


def test_metric_filters_are_kept_listed_and_deleted(logs: Any) -> None:
    count(logs, "ERROR", name="a")
    count(logs, "{ $.ms > 5 }", name="b", metricValue="$.ms", unit="Milliseconds", dimensions={"host": "$.host"})
    count(logs, "x", name="a", defaultValue=0.0)
    first, second = logs.describe_metric_filters(logGroupName="/w")["metricFilters"]
    assert first == {
        "filterName": "a",
        "filterPattern": "x",
        "metricTransformations": [
            {"metricName": "n", "metricNamespace": "N", "metricValue": "1", "unit": "None", "defaultValue": 0.0}
        ],
        "creationTime": START_MS,
        "logGroupName": "/w",
        "applyOnTransformedLogs": False,
    }
    assert second["metricTransformations"][0]["dimensions"] == {"host": "$.host"}
    assert logs.describe_log_groups(logGroupNamePrefix="/w")["logGroups"][0]["metricFilterCount"] == 2
    assert len(logs.describe_metric_filters(metricName="n", metricNamespace="N")["metricFilters"]) == 2
    assert logs.describe_metric_filters(metricName="n", metricNamespace="M")["metricFilters"] == []
    pages = logs.get_paginator("describe_metric_filters").paginate(PaginationConfig={"PageSize": 1})
    assert [one["filterName"] for page in pages for one in page["metricFilters"]] == ["a", "b"]
    logs.delete_metric_filter(logGroupName="/w", filterName="a")
    with pytest.raises(ClientError, match="The specified metric filter does not exist"):
        logs.delete_metric_filter(logGroupName="/w", filterName="a")


def test_what_a_filter_cannot_be_is_refused(logs: Any) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"pattern": "{ $.a = }"}, "Invalid filter pattern"),
        ({"metricValue": "one"}, "metricValue must be a number"),
        ({"dimensions": {"a": "$.a"}, "defaultValue": 0.0}, "mutually exclusive"),
        ({"group": "/none"}, "The specified log group does not exist"),
    ]
    for request, text in wrong:
        with pytest.raises(ClientError, match=text):
            count(logs, **{"pattern": "x"} | request)
    for arn, text in (
        ("arn:aws:lambda:us-east-1:1:function:f", "There are no Lambda functions here"),
        ("arn:aws:sqs:us-east-1:1:q", "must be the ARN of an SNS topic, an event bus or an API destination"),
    ):
        with pytest.raises(ClientError, match=text):
            logs.put_subscription_filter(logGroupName="/w", filterName="f", filterPattern="", destinationArn=arn)


def test_patterns_can_be_tried(logs: Any) -> None:
    answer = logs.test_metric_filter(filterPattern="[a, b = 2*]", logEventMessages=["x 20", "x 30", "y 21"])
    assert answer["matches"] == [
        {"eventNumber": 1, "eventMessage": "x 20", "extractedValues": {"$a": "x", "$b": "20"}},
        {"eventNumber": 3, "eventMessage": "y 21", "extractedValues": {"$a": "y", "$b": "21"}},
    ]


def test_a_group_has_two_subscriptions(logs: Any) -> None:
    for name in ("a", "b", "a"):
        logs.put_subscription_filter(logGroupName="/w", filterName=name, filterPattern="x", destinationArn=TOPIC)
    with pytest.raises(ClientError, match="Resource limit exceeded"):
        logs.put_subscription_filter(logGroupName="/w", filterName="c", filterPattern="x", destinationArn=TOPIC)
    found = logs.describe_subscription_filters(logGroupName="/w")["subscriptionFilters"]
    assert [(one["filterName"], one["destinationArn"], one["distribution"]) for one in found] == [
        ("a", TOPIC, "ByLogStream"),
        ("b", TOPIC, "ByLogStream"),
    ]
    logs.delete_subscription_filter(logGroupName="/w", filterName="a")
    assert len(logs.describe_subscription_filters(logGroupName="/w")["subscriptionFilters"]) == 1


# -- what they do --


def test_a_metric_filter_counts_by_the_minutes_of_the_events(logs: Any, service: Service, filtering: Filtering) -> None:
    count(logs, "ERROR")
    put(logs, (0, "ERROR 1"), (1, "fine"), (2, "ERROR 2"), (MINUTE_MS, "ERROR 3"))
    filtering.look()
    assert filtering.points() == {}, "the minute is not over"
    service.tick(2 * MINUTE_MS)
    filtering.look()
    assert filtering.points() == {0: (2, 2), 1: (1, 1)}
    put(logs, (3, "ERROR late"))
    filtering.look()
    filtering.look()
    assert filtering.points() == {0: (3, 3), 1: (1, 1)}


def test_values_defaults_units_and_dimensions(logs: Any, service: Service, filtering: Filtering) -> None:
    count(logs, "{ $.ms > 0 }", name="a", metricName="ms", metricValue="$.ms", unit="Milliseconds")
    count(logs, "{ $.ms > 0 }", name="b", metricName="by", dimensions={"host": "$.host"})
    count(logs, "PANIC", name="c", metricName="panics", defaultValue=0.0)
    put(logs, (0, '{"ms": 3, "host": "h1"}'), (1, '{"ms": 4.5, "host": "h2"}'), (2, '{"ms": 1}'))
    service.tick(2 * MINUTE_MS)
    filtering.look()
    assert filtering.points("ms", "Milliseconds") == {0: (3, 8.5)}
    assert filtering.points("by", host="h1") == filtering.points("by", host="h2") == {0: (1, 1)}
    assert filtering.points("panics") == {0: (1, 0)}


def test_two_filters_of_one_metric_add_up(logs: Any, service: Service, filtering: Filtering) -> None:
    count(logs, "a", name="a")
    count(logs, "b", name="b")
    put(logs, (0, "a"), (1, "b"), (2, "a b"))
    service.tick(2 * MINUTE_MS)
    filtering.look()
    assert filtering.points() == {0: (4, 4)}


def test_the_output_of_jobs_counts_once_from_the_filter_on(logs: Any, service: Service, filtering: Filtering) -> None:
    early, running = Job(service), Job(service)
    early.write("ERROR before")
    early.end()
    running.write("ERROR before")
    service.tick(10_000)
    count(logs, "ERROR", group=JOBS)
    brief = Job(service)
    brief.write("ERROR 0")
    brief.end()
    running.write("ERROR 1", "fine")
    filtering.look()
    service.tick(1)
    count(logs, "ERROR", group=JOBS, name="second", metricName="late")
    later = Job(service)
    later.write("ERROR 2")
    later.end()
    filtering.look()
    filtering.again()
    filtering.look()
    running.write("ERROR 3")
    running.end()
    filtering.look()
    service.tick(10_000)
    last = Job(service)
    last.write("ERROR 4")
    filtering.again()
    filtering.look()
    filtering.look()
    service.tick(3 * MINUTE_MS)
    filtering.look()
    assert sum(total for _, total in filtering.points().values()) == 5
    assert sum(total for _, total in filtering.points("late").values()) == 3


def test_what_a_deleted_filter_counted_is_stored_still(logs: Any, service: Service, filtering: Filtering) -> None:
    filtering.look()
    filtering.look()
    count(logs, "ERROR")
    put(logs, (0, "ERROR"))
    filtering.look()
    logs.delete_metric_filter(logGroupName="/w", filterName="f")
    filtering.look()
    service.tick(2 * MINUTE_MS)
    filtering.look()
    assert filtering.points() == {0: (1, 1)}


def test_subscriptions_get_what_matches_as_aws_sends_it(logs: Any, service: Service, filtering: Filtering) -> None:
    logs.put_subscription_filter(logGroupName="/w", filterName="f", filterPattern="ERROR", destinationArn=TOPIC)
    put(logs, (0, "ERROR 1"), (1, "fine"), (2, "ERROR 2"))
    filtering.look()
    (command,) = filtering.commands
    assert isinstance(command, Publish)
    assert command.topic_arn == TOPIC
    body = json.loads(command.publications[0].body)
    ids = [event["eventId"] for event in logs.filter_log_events(logGroupName="/w")["events"]]
    assert body == {
        "messageType": "DATA_MESSAGE",
        "owner": "123456789012",
        "logGroup": "/w",
        "logStream": "s",
        "subscriptionFilters": ["f"],
        "logEvents": [
            {"id": ids[0], "timestamp": START_MS, "message": "ERROR 1"},
            {"id": ids[2], "timestamp": START_MS + 2, "message": "ERROR 2"},
        ],
    }
    filtering.look()
    assert len(filtering.commands) == 1


def test_a_bus_gets_an_event_and_an_api_destination_a_request(
    logs: Any, service: Service, filtering: Filtering, caplog: pytest.LogCaptureFixture
) -> None:
    http = "arn:aws:events:us-east-1:123456789012:api-destination/hook/11111111"
    Job(service).end()
    for name, arn in (("a", BUS), ("b", http)):
        logs.put_subscription_filter(logGroupName=JOBS, filterName=name, filterPattern="", destinationArn=arn)
    filtering.look()
    job = Job(service)
    job.write("hello")
    filtering.look()
    event, request = filtering.commands
    assert isinstance(event, PutEvents)
    document = event.events[0].document
    assert (document["source"], document["detail-type"]) == ("batchyard.logs", "Log Events")
    assert document["detail"]["logEvents"][0]["message"] == "hello"
    assert request.messages[0].target["destination"] == "hook"
    filtering.refuses = lambda command: isinstance(command, PutEvents)
    job.write("again")
    filtering.look()
    assert len(filtering.commands) == 3
    assert "a message for arn:aws:events:us-east-1:123456789012:event-bus/default is dropped" in caplog.text
