"""Log groups and streams that callers create, write, tag and delete, through boto3."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from batchyard.core.model.refusal import Refused
from tests.api.service import START_MS, Service
from tests.waiting import until

GROUP = "/mine"
JOBS = "/aws/batch/job"
DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def logs(service: Service) -> Any:
    return service.client("logs")


def refusal(action: Callable[..., object], **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        action(**request)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def put(logs: Any, *events: tuple[int, str], group: str = GROUP, stream: str = "s") -> dict[str, Any]:
    found = [{"timestamp": START_MS + at, "message": text} for at, text in events]
    return dict(logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=found))


def messages(answer: dict[str, Any]) -> list[str]:
    return [event["message"] for event in answer["events"]]


@pytest.fixture
def written(logs: Any) -> Any:
    """The client of a service that has the group GROUP with the stream `s`."""
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName="s")
    return logs


def test_a_group_is_created_once_and_described(logs: Any, service: Service) -> None:
    logs.create_log_group(logGroupName=GROUP, tags={"team": "a"})
    (found,) = logs.describe_log_groups()["logGroups"]
    arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}"
    assert found == {
        "logGroupName": GROUP,
        "creationTime": START_MS,
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "logGroupArn": arn,
        "storedBytes": 0,
        "logGroupClass": "STANDARD",
    }
    assert refusal(logs.create_log_group, logGroupName=GROUP) == (
        "ResourceAlreadyExistsException",
        "The specified log group already exists",
    )
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "a"}
    logs.tag_resource(resourceArn=arn, tags={"cost": "b"})
    logs.untag_resource(resourceArn=arn, tagKeys=["team"])
    logs.tag_log_group(logGroupName=GROUP, tags={"c": "d"})
    assert logs.list_tags_log_group(logGroupName=GROUP)["tags"] == {"cost": "b", "c": "d"}
    logs.untag_log_group(logGroupName=GROUP, tags=["c", "cost"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {}


def test_retention_is_one_of_awss_and_shown(written: Any) -> None:
    code, text = refusal(written.put_retention_policy, logGroupName=GROUP, retentionInDays=2)
    assert code == "InvalidParameterException"
    assert "enum value set: [1, 3, 5, 7, 14" in text
    written.put_retention_policy(logGroupName=GROUP, retentionInDays=7)
    assert written.describe_log_groups()["logGroups"][0]["retentionInDays"] == 7
    written.delete_retention_policy(logGroupName=GROUP)
    assert "retentionInDays" not in written.describe_log_groups()["logGroups"][0]
    assert refusal(written.put_retention_policy, logGroupName="/none", retentionInDays=7)[0] == (
        "ResourceNotFoundException"
    )


def test_events_are_read_as_they_were_written(written: Any) -> None:
    put(written, (1, "one"), (2, "two\nlines"))
    put(written, (0, "late"), (2, "same time"))
    got = written.get_log_events(logGroupName=GROUP, logStreamName="s", startFromHead=True)
    assert messages(got) == ["late", "one", "two\nlines", "same time"]
    assert got["events"][0] == {"timestamp": START_MS, "message": "late", "ingestionTime": START_MS}
    later = written.get_log_events(logGroupName=GROUP, logStreamName="s", nextToken=got["nextForwardToken"])
    assert messages(later) == []
    assert later["nextForwardToken"] == got["nextForwardToken"]
    put(written, (3, "new"))
    later = written.get_log_events(logGroupName=GROUP, logStreamName="s", nextToken=got["nextForwardToken"])
    assert messages(later) == ["new"]
    (stream,) = written.describe_log_streams(logGroupName=GROUP)["logStreams"]
    assert (stream["firstEventTimestamp"], stream["lastEventTimestamp"]) == (START_MS, START_MS + 3)


def test_events_page_in_both_directions_and_by_time(written: Any) -> None:
    put(written, *((at, str(at)) for at in range(10)))
    request = {"logGroupName": GROUP, "logStreamName": "s", "limit": 4}
    newest = written.get_log_events(**request)
    assert messages(newest) == ["6", "7", "8", "9"]
    before = written.get_log_events(**request, nextToken=newest["nextBackwardToken"])
    assert messages(before) == ["2", "3", "4", "5"]
    assert messages(written.get_log_events(**request, nextToken=before["nextForwardToken"])) == ["6", "7", "8", "9"]
    span = {"startTime": START_MS + 2, "endTime": START_MS + 5}
    assert messages(written.get_log_events(**request | span)) == ["2", "3", "4"]
    assert messages(written.filter_log_events(logGroupName=GROUP, **span)) == ["2", "3", "4", "5"]


def test_times_at_the_ends_of_what_numbers_hold(written: Any) -> None:
    put(written, (1, "x"))
    request = {"logGroupName": GROUP, "startTime": 0, "endTime": 2**63 - 1}
    assert messages(written.filter_log_events(**request)) == ["x"]
    assert messages(written.get_log_events(**request, logStreamName="s", startFromHead=True)) == ["x"]
    assert messages(written.get_log_events(**request, logStreamName="s")) == ["x"]
    late = request | {"startTime": 2**63 - 1}
    assert messages(written.filter_log_events(**late)) == []
    assert messages(written.get_log_events(**late, logStreamName="s")) == []
    for at in (0, 2**63 - 1):
        assert written.get_log_group_fields(logGroupName=GROUP, time=at)["logGroupFields"] == []
    query_id = written.start_query(queryString="fields @message", **request)["queryId"]
    until(lambda: written.get_query_results(queryId=query_id)["status"] == "Complete")
    assert len(written.get_query_results(queryId=query_id)["results"]) == 1


def test_too_old_and_too_new_events_are_rejected_and_the_others_stored(written: Any) -> None:
    ahead = 2 * 3600 * 1000 + 1
    assert put(written, (-15 * DAY_MS, "old"))["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    answer = put(written, (0, "now"), (ahead, "new"))
    assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
    written.put_retention_policy(logGroupName=GROUP, retentionInDays=1)
    answer = put(written, (-DAY_MS - 5, "expired"), (-5, "kept"))
    assert answer["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}
    assert messages(written.filter_log_events(logGroupName=GROUP)) == ["kept", "now"]


def test_batches_that_aws_refuses_are_refused(written: Any, service: Service) -> None:
    order = "Log events in a single PutLogEvents request must be in chronological order."
    with pytest.raises(ClientError, match=order):
        put(written, (1, "b"), (0, "a"))
    with pytest.raises(ClientError, match="cannot span more than 24 hours"):
        put(written, (-DAY_MS - 1, "a"), (0, "b"))
    event = {"timestamp": START_MS, "message": "x" * (1024 * 1024 - 25)}
    with pytest.raises(Refused, match="Upload too large: 1048577 bytes exceeds limit of 1048576"):
        service.call("PutLogEvents", {"logGroupName": GROUP, "logStreamName": "s", "logEvents": [event]})
    with pytest.raises(ClientError, match="The specified log stream does not exist"):
        put(written, (0, "x"), stream="other")
    with pytest.raises(ClientError, match="The specified log group does not exist"):
        put(written, (0, "x"), group="/none")
    assert messages(written.filter_log_events(logGroupName=GROUP)) == []


def test_streams_are_created_once_listed_and_deleted(written: Any) -> None:
    for name in ("b", "a", "c/1", "c/2"):
        written.create_log_stream(logGroupName=GROUP, logStreamName=name)
    assert refusal(written.create_log_stream, logGroupName=GROUP, logStreamName="a")[0] == (
        "ResourceAlreadyExistsException"
    )
    put(written, (5, "x"), stream="b")
    put(written, (3, "x"), stream="c/1")

    def names(**request: Any) -> list[str]:
        found: list[str] = []
        while True:
            answer = written.describe_log_streams(logGroupName=GROUP, limit=2, **request)
            found += [stream["logStreamName"] for stream in answer["logStreams"]]
            if "nextToken" not in answer:
                return found
            request["nextToken"] = answer["nextToken"]

    assert names() == ["a", "b", "c/1", "c/2", "s"]
    assert names(descending=True) == ["s", "c/2", "c/1", "b", "a"]
    assert names(logStreamNamePrefix="c/") == ["c/1", "c/2"]
    assert names(orderBy="LastEventTime", descending=True)[:2] == ["b", "c/1"]
    written.delete_log_stream(logGroupName=GROUP, logStreamName="b")
    assert names() == ["a", "c/1", "c/2", "s"]
    assert messages(written.filter_log_events(logGroupName=GROUP)) == ["x"]
    written.create_log_stream(logGroupName=GROUP, logStreamName="b")
    assert messages(written.get_log_events(logGroupName=GROUP, logStreamName="b")) == []
    assert refusal(written.create_log_stream, logGroupName=GROUP, logStreamName="a:b")[0] == (
        "InvalidParameterException"
    )


def test_a_deleted_group_is_gone_with_all_in_it(written: Any) -> None:
    put(written, (0, "x"))
    written.put_retention_policy(logGroupName=GROUP, retentionInDays=7)
    written.delete_log_group(logGroupName=GROUP)
    assert written.describe_log_groups()["logGroups"] == []
    assert refusal(written.delete_log_group, logGroupName=GROUP)[0] == "ResourceNotFoundException"
    with pytest.raises(ClientError, match="The specified log group does not exist"):
        put(written, (0, "x"))
    written.create_log_group(logGroupName=GROUP)
    assert written.describe_log_streams(logGroupName=GROUP)["logStreams"] == []
    assert "retentionInDays" not in written.describe_log_groups()["logGroups"][0]


# -- groups of jobs --


def run(service: Service) -> str:
    """A job that has ended; the name of its stream."""
    job_id = service.submit()
    service.start(job_id)
    service.end(job_id)
    return str(service.detail(job_id)["container"]["logStreamName"])


def test_written_streams_stand_among_those_of_jobs(service: Service, logs: Any) -> None:
    of_jobs = [run(service) for _ in range(3)]
    for name in ("a", "zz"):
        logs.create_log_stream(logGroupName=JOBS, logStreamName=name)
        put(logs, (1, name), group=JOBS, stream=name)
    found = [stream["logStreamName"] for stream in logs.describe_log_streams(logGroupName=JOBS)["logStreams"]]
    assert found == ["a", *sorted(of_jobs), "zz"]
    paged = logs.get_paginator("describe_log_streams").paginate(logGroupName=JOBS, PaginationConfig={"PageSize": 1})
    assert [stream["logStreamName"] for page in paged for stream in page["logStreams"]] == found
    backwards = logs.get_paginator("describe_log_streams").paginate(
        logGroupName=JOBS, descending=True, PaginationConfig={"PageSize": 2}
    )
    assert [stream["logStreamName"] for page in backwards for stream in page["logStreams"]] == found[::-1]
    assert messages(logs.filter_log_events(logGroupName=JOBS)) == ["a", "zz"]


def test_the_stream_of_a_job_is_the_jobs_own(service: Service, logs: Any) -> None:
    stream = run(service)
    with pytest.raises(ClientError, match="is the output of a job"):
        put(logs, (0, "x"), group=JOBS, stream=stream)
    assert refusal(logs.create_log_stream, logGroupName=JOBS, logStreamName=stream)[0] == (
        "ResourceAlreadyExistsException"
    )
    running = service.submit()
    service.start(running)
    name = service.detail(running)["container"]["logStreamName"]
    code, text = refusal(logs.delete_log_stream, logGroupName=JOBS, logStreamName=name)
    assert code == "OperationAbortedException"
    assert running in text
    logs.delete_log_stream(logGroupName=JOBS, logStreamName=stream)
    found = logs.describe_log_streams(logGroupName=JOBS)["logStreams"]
    assert [one["logStreamName"] for one in found] == [name]
    assert refusal(logs.get_log_events, logGroupName=JOBS, logStreamName=stream)[0] == "ResourceNotFoundException"


def test_a_deleted_group_of_jobs_is_there_again_with_the_next_job(service: Service, logs: Any) -> None:
    first = run(service)
    service.tick(5)
    logs.delete_log_group(logGroupName=JOBS)
    assert logs.describe_log_groups()["logGroups"] == []
    assert refusal(logs.get_log_events, logGroupName=JOBS, logStreamName=first)[0] == "ResourceNotFoundException"
    service.tick(5)
    second = run(service)
    assert [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]] == [JOBS]
    found = logs.describe_log_streams(logGroupName=JOBS)["logStreams"]
    assert [stream["logStreamName"] for stream in found] == [second]


def test_groups_are_listed_by_parts_of_their_names(logs: Any) -> None:
    for name in ("/a/web", "/b/web", "/b/db"):
        logs.create_log_group(logGroupName=name)

    def listed(**request: Any) -> list[str]:
        return [group["logGroupName"] for group in logs.list_log_groups(**request)["logGroups"]]

    assert listed() == ["/a/web", "/b/db", "/b/web"]
    assert listed(logGroupNamePattern="web") == ["/a/web", "/b/web"]
    assert listed(logGroupNamePattern="^/a/|db/|/b/db") == ["/a/web", "/b/db"]
    pages = logs.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 1})
    assert [group["logGroupName"] for page in pages for group in page["logGroups"]] == ["/a/web", "/b/db", "/b/web"]
    code, text = refusal(logs.create_log_group, logGroupName="/k", kmsKeyId="arn:aws:kms:x")
    assert code == "InvalidParameterException"
    assert "kmsKeyId is not built here" in text


def test_groups_are_described_by_a_text_in_their_names_or_by_name(logs: Any) -> None:
    for name in ("/a/Train", "/b/test", "/c/training"):
        logs.create_log_group(logGroupName=name)

    def named(**request: Any) -> list[str]:
        return [group["logGroupName"] for group in logs.describe_log_groups(**request)["logGroups"]]

    assert named(logGroupNamePattern="TRAIN") == ["/a/Train", "/c/training"]
    assert named(logGroupNamePattern="train", limit=1) == ["/a/Train"]
    page = logs.describe_log_groups(logGroupNamePattern="train", limit=1)
    rest = logs.describe_log_groups(logGroupNamePattern="train", limit=1, nextToken=page["nextToken"])
    assert [group["logGroupName"] for group in rest["logGroups"]] == ["/c/training"]
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:/b/test"
    assert named(logGroupIdentifiers=[arn, "/a/Train", "/none"]) == ["/b/test", "/a/Train"]
    assert refusal(logs.describe_log_streams, logGroupName="/b/test", logGroupIdentifier=arn) == (
        "ValidationException",
        "LogGroup name and LogGroup ARN are mutually exclusive parameters.",
    )
