"""CloudWatch Logs as clients read it: groups, streams, events, tokens, filters."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from batchyard.api.context import Call, Context
from batchyard.api.logs import log_operations
from batchyard.core.model.refusal import Refused
from batchyard.engines.base import log_path
from batchyard.wire.model import load_service_model
from batchyard.wire.router import Router
from tests.api.service import START_MS, Service, container

Document = dict[str, Any]
Handler = Callable[[Context, Call, Document], Coroutine[Any, Any, Document]]
GROUP = "/aws/batch/job"
ROUTER = Router([load_service_model("logs")], check_results=True)


class Logs:
    """The log operations of a service, with their answers checked against the service model."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.groups = partial(self._call, "DescribeLogGroups", log_operations.describe_log_groups)
        self.streams = partial(self._call, "DescribeLogStreams", log_operations.describe_log_streams)
        self.get = partial(self._call, "GetLogEvents", log_operations.get_log_events)
        self.filter = partial(self._call, "FilterLogEvents", log_operations.filter_log_events)

    def _call(self, name: str, handler: Handler, **request: Any) -> Document:
        answer = asyncio.run(handler(self._service.context, Call(name), request))
        ROUTER.operations["logs", name].check(answer)
        return answer

    def run(self, *lines: tuple[int, str], **members: Any) -> str:
        """A new job that runs and has written lines at these times after START_MS; its stream's name."""
        job_id = self._service.submit(**members)
        self._service.start(job_id)
        stream = str(self._service.detail(job_id)["container"]["logStreamName"])
        self.write(stream, *lines)
        self._service.end(job_id)
        return stream

    def write(self, stream: str, *lines: tuple[int, str]) -> None:
        if lines:
            path = self.path(stream)
            path.parent.mkdir(exist_ok=True)
            with path.open("a") as file:
                file.writelines(f"{START_MS + at}\t{text}\n" for at, text in lines)

    def path(self, stream: str) -> Path:
        return log_path(self._service.context.logs_directory, stream.rpartition("/")[2])


@pytest.fixture
def cloudwatch(service: Service) -> Logs:
    return Logs(service)


def messages(answer: Document) -> list[str]:
    return [event["message"] for event in answer["events"]]


def refusal(action: Callable[..., object], **request: Any) -> tuple[str, str]:
    with pytest.raises(Refused) as refused:
        action(**request)
    return refused.value.code, refused.value.message


NO_GROUP = ("ResourceNotFoundException", "The specified log group does not exist.")
NO_STREAM = ("ResourceNotFoundException", "The specified log stream does not exist.")


def test_groups_are_those_that_jobs_name(cloudwatch: Logs, service: Service) -> None:
    assert cloudwatch.groups() == {"logGroups": []}
    options = {"logDriver": "awslogs", "options": {"awslogs-group": "/mine", "awslogs-stream-prefix": "pre"}}
    service.register("logger", containerProperties=container(logConfiguration=options))
    assert cloudwatch.run(definition="logger").startswith("pre/default/")
    cloudwatch.run()
    found = cloudwatch.groups()["logGroups"]
    assert [group["logGroupName"] for group in found] == [GROUP, "/mine"]
    assert found[0]["arn"] == f"arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}:*"
    assert found[1]["creationTime"] == START_MS
    assert [g["logGroupName"] for g in cloudwatch.groups(logGroupNamePrefix="/m")["logGroups"]] == ["/mine"]
    page = cloudwatch.groups(limit=1)
    assert [g["logGroupName"] for g in page["logGroups"]] == [GROUP]
    rest = cloudwatch.groups(limit=1, nextToken=page["nextToken"])
    assert [g["logGroupName"] for g in rest["logGroups"]] == ["/mine"]
    assert "nextToken" not in rest


def test_a_stream_is_there_from_running_on(cloudwatch: Logs, service: Service) -> None:
    job_id = service.submit()
    assert cloudwatch.streams(logGroupName=GROUP) == {"logStreams": []}
    service.start(job_id)
    name = service.detail(job_id)["container"]["logStreamName"]
    arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}:log-stream:{name}"
    silent = {"logStreamName": name, "creationTime": START_MS, "arn": arn, "storedBytes": 0}
    assert cloudwatch.streams(logGroupName=GROUP) == {"logStreams": [silent]}
    assert messages(cloudwatch.get(logGroupName=GROUP, logStreamName=name)) == []
    cloudwatch.write(name, (5, "first"), (9, "last"))
    times = {
        "firstEventTimestamp": START_MS + 5,
        "lastEventTimestamp": START_MS + 9,
        "lastIngestionTime": START_MS + 9,
    }
    assert cloudwatch.streams(logGroupIdentifier=f"arn:aws:logs:us-east-1:1:log-group:{GROUP}:*") == {
        "logStreams": [silent | times]
    }


def test_streams_page_in_both_orders(cloudwatch: Logs, service: Service) -> None:
    service.register("early")
    names = [cloudwatch.run(definition=name) for name in ("sleeper", "early", "sleeper")]

    def paged(**request: Any) -> list[str]:
        found: list[str] = []
        while True:
            page = cloudwatch.streams(logGroupName=GROUP, limit=1, **request)
            found += [stream["logStreamName"] for stream in page["logStreams"]]
            if "nextToken" not in page:
                return found
            request["nextToken"] = page["nextToken"]

    assert paged() == sorted(names)
    assert paged(descending=True) == sorted(names, reverse=True)
    assert paged(orderBy="LastEventTime") == names
    assert paged(orderBy="LastEventTime", descending=True) == names[::-1]
    assert paged(logStreamNamePrefix="sleeper/") == sorted([names[0], names[2]])


def test_events_page_forward_until_the_token_repeats(cloudwatch: Logs) -> None:
    stream = cloudwatch.run(*((at, f"line {at}") for at in range(7)))
    seen: list[str] = []
    request = {"logGroupName": GROUP, "logStreamName": stream, "startFromHead": True, "limit": 3}
    answer = cloudwatch.get(**request)
    assert answer["events"][0] == {"timestamp": START_MS, "message": "line 0", "ingestionTime": START_MS}
    token = None
    while answer["nextForwardToken"] != token:
        seen += messages(answer)
        token = answer["nextForwardToken"]
        assert token.startswith("f/")
        answer = cloudwatch.get(**request, nextToken=token)
    assert seen == [f"line {at}" for at in range(7)]
    assert messages(answer) == []
    cloudwatch.write(stream, (8, "later"))
    assert messages(cloudwatch.get(**request, nextToken=token)) == ["later"]


def test_events_come_from_the_end_unless_told(cloudwatch: Logs) -> None:
    stream = cloudwatch.run(*((at, str(at)) for at in range(5)))
    request = {"logGroupName": GROUP, "logStreamName": stream, "limit": 2}
    newest = cloudwatch.get(**request)
    assert messages(newest) == ["3", "4"]
    before = cloudwatch.get(**request, nextToken=newest["nextBackwardToken"])
    assert messages(before) == ["1", "2"]
    assert messages(cloudwatch.get(**request, nextToken=before["nextForwardToken"])) == ["3", "4"]
    first = cloudwatch.get(**request, nextToken=before["nextBackwardToken"])
    assert messages(first) == ["0"]
    beyond = cloudwatch.get(**request, nextToken=first["nextBackwardToken"])
    assert messages(beyond) == []
    assert beyond["nextBackwardToken"] == first["nextBackwardToken"]


def test_a_range_of_time_excludes_its_end_except_in_a_filter(cloudwatch: Logs) -> None:
    stream = cloudwatch.run(*((at, str(at)) for at in range(10)))
    request = {"logGroupName": GROUP, "startTime": START_MS + 2, "endTime": START_MS + 5}
    for head in (True, False):
        assert messages(cloudwatch.get(**request, logStreamName=stream, startFromHead=head)) == ["2", "3", "4"]
    # AWS's references: "equal to or later than this time are not included" there, "later than this time" here.
    assert messages(cloudwatch.filter(**request)) == ["2", "3", "4", "5"]
    assert messages(cloudwatch.filter(**request | {"endTime": START_MS + 2})) == ["2"]


def test_filtering_interleaves_streams_and_pages(cloudwatch: Logs) -> None:
    first = cloudwatch.run((1, "ERROR a"), (3, "fine"), (5, "ERROR b"))
    second = cloudwatch.run((2, "ERROR c"), (4, "ERROR d"))
    everything = cloudwatch.filter(logGroupName=GROUP)
    assert messages(everything) == ["ERROR a", "ERROR c", "fine", "ERROR d", "ERROR b"]
    assert [event["logStreamName"] for event in everything["events"][:2]] == [first, second]
    assert len({event["eventId"] for event in everything["events"]}) == 5
    found: list[str] = []
    request: Document = {"logGroupName": GROUP, "filterPattern": "ERROR -c", "limit": 1}
    while True:
        page = cloudwatch.filter(**request)
        assert len(page["events"]) <= 1
        found += messages(page)
        if "nextToken" not in page:
            break
        request["nextToken"] = page["nextToken"]
    assert found == ["ERROR a", "ERROR d", "ERROR b"]
    assert messages(cloudwatch.filter(logGroupName=GROUP, logStreamNames=[second])) == ["ERROR c", "ERROR d"]
    assert messages(cloudwatch.filter(logGroupName=GROUP, logStreamNamePrefix=first)) == ["ERROR a", "fine", "ERROR b"]


def test_a_large_group_is_searched_part_after_part(cloudwatch: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(5):
        cloudwatch.run((at, str(at)))
    monkeypatch.setattr(log_operations, "MAX_STREAMS_AT_ONCE", 2)
    found: list[str] = []
    request: Document = {"logGroupName": GROUP}
    pages = 0
    while True:
        page = cloudwatch.filter(**request)
        found += messages(page)
        pages += 1
        if "nextToken" not in page:
            break
        request["nextToken"] = page["nextToken"]
    assert found == ["0", "1", "2", "3", "4"]
    assert pages == 3


def test_children_and_attempts_have_streams_of_their_own(cloudwatch: Logs, service: Service) -> None:
    parent = service.submit(arrayProperties={"size": 2}, retryStrategy={"attempts": 2})
    child = f"{parent}:1"
    for at in range(2):
        service.start(child)
        cloudwatch.write(service.detail(child)["container"]["logStreamName"], (at, f"attempt {at + 1}"))
        service.end(child, exit_code=1)
    names = [attempt["container"]["logStreamName"] for attempt in service.detail(child)["attempts"]]
    assert len(set(names)) == 2
    assert messages(cloudwatch.filter(logGroupName=GROUP, logStreamNames=names)) == ["attempt 1", "attempt 2"]


def test_what_is_not_there(cloudwatch: Logs, service: Service) -> None:
    assert refusal(cloudwatch.streams, logGroupName="/none") == NO_GROUP
    assert refusal(cloudwatch.get, logGroupName="/none", logStreamName="x") == NO_GROUP
    assert refusal(cloudwatch.filter, logGroupName="/none") == NO_GROUP
    stream = cloudwatch.run((1, "x"))
    waits = service.submit()
    attempt = service.launched[waits].attempt_id
    for name in ("x", stream[:-1], "other" + stream, f"sleeper/default/{attempt}", f"sleeper/default/{'0' * 32}"):
        assert refusal(cloudwatch.get, logGroupName=GROUP, logStreamName=name) == NO_STREAM
        assert refusal(cloudwatch.filter, logGroupName=GROUP, logStreamNames=[name]) == NO_STREAM
    assert refusal(cloudwatch.get, logGroupName="/aws/batch", logStreamName=stream) == NO_GROUP


def test_wrong_parameters_are_refused_with_a_sentence(cloudwatch: Logs) -> None:
    stream = cloudwatch.run((1, "x"))
    get = partial(cloudwatch.get, logGroupName=GROUP, logStreamName=stream)
    find = partial(cloudwatch.filter, logGroupName=GROUP)
    streams = partial(cloudwatch.streams, logGroupName=GROUP)
    token = "The specified nextToken is invalid"
    wrong: list[tuple[Callable[..., object], Document, str]] = [
        (get, {"nextToken": "x/1"}, token),
        (get, {"nextToken": "f/" + "9" * 57}, token),
        (find, {"nextToken": "bm9uZQ=="}, token),
        (find, {"nextToken": "\u00e9"}, token),
        (streams, {"nextToken": "none"}, token),
        (cloudwatch.groups, {"nextToken": "none"}, token),
        (get, {"limit": 10_001}, "limit must be between 1 and 10000, got 10001."),
        (streams, {"limit": 0}, "limit must be between 1 and 50, got 0."),
        (streams, {"orderBy": "Size"}, "orderBy must be one of"),
        (streams, {"orderBy": "LastEventTime", "logStreamNamePrefix": "s"}, "Cannot order by LastEventTime"),
        (get, {"nextToken": "f/" + "9" * 56}, token),
        (find, {"filterPattern": "a " * 513}, "filterPattern must have at most 1024 characters, got 1026."),
        (find, {"filterPattern": "{ $.a = }"}, "Invalid filter pattern: a value is expected at '}'."),
        (find, {"logStreamNames": [stream], "logStreamNamePrefix": "s"}, "Cannot specify both"),
        (find, {"logStreamNames": []}, "logStreamNames must hold 1 to 100 names, got 0."),
        (get, {"logGroupIdentifier": GROUP}, "Cannot specify both logGroupName and logGroupIdentifier"),
        (cloudwatch.filter, {}, "Give the log group"),
        (cloudwatch.filter, {"logGroupIdentifier": "arn:aws:s3:::bucket"}, "is not the ARN of a log group"),
        (
            cloudwatch.groups,
            {"logGroupNamePattern": "a", "logGroupNamePrefix": "b"},
            "are mutually exclusive parameters",
        ),
        (cloudwatch.groups, {"logGroupIdentifiers": ["a"], "logGroupNamePrefix": "b"}, "give one of them"),
    ]
    for action, request, sentence in wrong:
        code, message = refusal(action, **request)
        assert code == "InvalidParameterException"
        assert sentence in message
