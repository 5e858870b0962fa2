"""Logs Insights through boto3: queries over the output of jobs and written events, their results, saved queries."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from batchyard.engines.base import log_path
from batchyard.observe import log_queries
from batchyard.observe.log_queries import LogQuery
from tests.api.service import START_MS, Service
from tests.waiting import until

JOBS = "/aws/batch/job"
SECONDS = START_MS // 1000


@pytest.fixture
def logs(service: Service) -> Any:
    return service.client("logs")


def job(service: Service, *lines: tuple[int, str], **members: Any) -> str:
    job_id = service.submit(**members)
    service.start(job_id)
    stream = str(service.detail(job_id)["container"]["logStreamName"])
    path: Path = log_path(service.context.logs_directory, stream.rpartition("/")[2])
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{START_MS + at}\t{text}\n" for at, text in lines))
    service.end(job_id, ran_ms=0)
    return job_id


def put(logs: Any, *events: tuple[int, str], group: str = "/w") -> None:
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    found = [{"timestamp": START_MS + at, "message": text} for at, text in events]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=found)


def ask(logs: Any, text: str, **request: Any) -> dict[str, Any]:
    """The results of a query, once it has ended."""
    if "logGroupNames" not in request:
        request["logGroupName"] = JOBS
    window = {"startTime": SECONDS - 10, "endTime": SECONDS + 10}
    query_id = logs.start_query(queryString=text, **window | request)["queryId"]
    answer: dict[str, Any] = {}

    def ended() -> bool:
        answer.update(logs.get_query_results(queryId=query_id))
        return answer["status"] not in ("Scheduled", "Running")

    until(ended)
    assert answer["status"] == "Complete"
    return answer


def rows(answer: dict[str, Any]) -> list[dict[str, str]]:
    return [{cell["field"]: cell["value"] for cell in row} for row in answer["results"]]


def test_a_query_gives_the_newest_lines_of_all_streams(service: Service, logs: Any) -> None:
    job(service, (1, "ERROR a"), (5, "fine"), (7, "ERROR c"))
    job(service, (3, "ERROR b"))
    answer = ask(logs, "fields @timestamp, @message | filter @message like 'ERROR' | limit 2")
    assert [row["@message"] for row in rows(answer)] == ["ERROR c", "ERROR b"]
    assert rows(answer)[0]["@timestamp"] == "2023-11-14 22:13:20.007"
    record = logs.get_log_record(logRecordPointer=rows(answer)[1]["@ptr"])["logRecord"]
    assert (record["@message"], record["@timestamp"]) == ("ERROR b", str(START_MS + 3))
    assert record["@jobName"] == "nap"


def test_stats_count_over_jobs_and_written_events_together(service: Service, logs: Any) -> None:
    job(service, (1, "took 5 ms"), (2, "took 7 ms"), (3, "nothing"))
    put(logs, (1, '{"took": 1}'), (2, "took 12 ms"))
    text = "parse @message 'took * ms' as ms | filter ispresent(ms) | stats count(*) as n, sum(ms) as total by @log"
    answer = ask(logs, text, logGroupNames=[JOBS, "/w"])
    assert sorted((row["@log"], row["n"], row["total"]) for row in rows(answer)) == [
        ("123456789012:/aws/batch/job", "2", "12"),
        ("123456789012:/w", "1", "12"),
    ]
    assert answer["statistics"]["recordsScanned"] == 5
    assert answer["statistics"]["logGroupsScanned"] == 2


def test_a_job_adds_its_names_to_its_lines(service: Service, logs: Any) -> None:
    first = job(service, (1, "x"), name="first")
    job(service, (2, "x"), name="second")
    answer = ask(logs, "filter @jobName = 'first' | fields @jobId, @jobQueue, @jobDefinition, @attempt")
    assert [{name: row[name] for name in row if name != "@ptr"} for row in rows(answer)] == [
        {"@jobId": first, "@jobQueue": "default", "@jobDefinition": "sleeper:1", "@attempt": "1"}
    ]


def test_the_times_are_seconds_and_the_end_belongs_to_it(service: Service, logs: Any) -> None:
    job(service, (0, "a"), (1000, "b"), (1999, "c"), (2000, "d"))
    found = rows(ask(logs, "fields @message", startTime=SECONDS + 1, endTime=SECONDS + 1))
    assert [row["@message"] for row in found] == ["c", "b"]
    found = rows(ask(logs, "fields @message", startTime=START_MS + 1000, endTime=START_MS + 1998))
    assert [row["@message"] for row in found] == ["b"]
    with pytest.raises(ClientError, match="startTime must not be after endTime"):
        ask(logs, "fields @message", startTime=SECONDS + 2, endTime=SECONDS + 1)


def test_what_cannot_be_asked_is_refused_with_awss_codes(service: Service, logs: Any) -> None:
    job(service, (1, "x"))

    def refused(text: str = "fields @message", **request: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as error:
            ask(logs, text, **request)
        found = error.value.response["Error"]
        return found["Code"], found["Message"]

    with pytest.raises(ClientError) as error:
        ask(logs, "fields @message | limitt 3")
    answer: Any = error.value.response
    assert answer["queryCompileError"]["location"] == {"startCharOffset": 18, "endCharOffset": 24}
    code, message = refused("fields @message | limitt 3")
    assert code == "MalformedQueryException"
    assert "at character" in message
    code, message = refused(logGroupNames=["/none"])
    assert code == "ResourceNotFoundException"
    assert message.startswith("Log group '/none' does not exist for account ID '123456789012'")
    assert "is not built here: use CWLI" in refused(queryLanguage="SQL")[1]
    assert "Give the log groups once" in refused(logGroupName=JOBS, logGroupNames=[JOBS])[1]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        logs.get_query_results(queryId="none")


def test_queries_are_listed_newest_first_and_a_waiting_one_can_be_stopped(
    service: Service, logs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job(service, (1, "x"))
    ask(logs, "fields @message")
    (found,) = logs.describe_queries(logGroupName=JOBS)["queries"]
    start, end = (SECONDS - 10) * 1000, (SECONDS + 10) * 1000 + 999
    assert found["queryString"] == f'SOURCE "{JOBS}" START={start} END={end} | fields @message'
    assert found["status"] == "Complete"
    monkeypatch.setattr(LogQuery, "run", lambda *_: None)  # it never gets its turn
    query_id = logs.start_query(logGroupName=JOBS, queryString="fields @timestamp", startTime=SECONDS, endTime=SECONDS)[
        "queryId"
    ]
    assert [query["status"] for query in logs.describe_queries()["queries"]] == ["Scheduled", "Complete"]
    monkeypatch.setattr(log_queries, "MAX_ACTIVE", 1)
    with pytest.raises(ClientError, match="LimitExceededException"):
        logs.start_query(logGroupName=JOBS, queryString="fields @timestamp", startTime=SECONDS, endTime=SECONDS)
    assert logs.stop_query(queryId=query_id)["success"]
    assert logs.get_query_results(queryId=query_id)["status"] == "Cancelled"
    assert [query["queryId"] for query in logs.describe_queries(status="Cancelled")["queries"]] == [query_id]
    with pytest.raises(ClientError, match="has ended: its status is Cancelled"):
        logs.stop_query(queryId=query_id)


def test_results_come_in_pages(service: Service, logs: Any) -> None:
    job(service, *((at, str(at)) for at in range(5)))
    answer = ask(logs, "fields @message | sort @timestamp asc")
    query_id = logs.describe_queries()["queries"][0]["queryId"]
    found: list[str] = []
    request: dict[str, Any] = {"queryId": query_id, "maxItems": 2}
    while True:
        page = logs.get_query_results(**request)
        found += [row["@message"] for row in rows(page)]
        if "nextToken" not in page:
            break
        request["nextToken"] = page["nextToken"]
    assert found == [row["@message"] for row in rows(answer)] == ["0", "1", "2", "3", "4"]


def test_fields_are_discovered(service: Service, logs: Any) -> None:
    put(logs, (-1, '{"a": 1, "b": {"c": 2}}'), (0, "plain"), group="/f")
    found = {
        field["name"]: field["percent"] for field in logs.get_log_group_fields(logGroupName="/f")["logGroupFields"]
    }
    assert found["@message"] == 100
    assert (found["a"], found["b.c"]) == (50, 50)


def test_queries_are_saved_changed_and_deleted(logs: Any) -> None:
    first = logs.put_query_definition(name="b", queryString="fields @message", logGroupNames=["/x"])[
        "queryDefinitionId"
    ]
    second = logs.put_query_definition(name="a", queryString="stats count(*)")["queryDefinitionId"]
    found = logs.describe_query_definitions()["queryDefinitions"]
    assert [(one["name"], one["queryDefinitionId"]) for one in found] == [("a", second), ("b", first)]
    assert found[1]["logGroupNames"] == ["/x"]
    logs.put_query_definition(name="c", queryString="stats count(*)", queryDefinitionId=first)
    prefixed = logs.describe_query_definitions(queryDefinitionNamePrefix="c")["queryDefinitions"]
    assert [one["queryString"] for one in prefixed] == ["stats count(*)"]
    assert logs.delete_query_definition(queryDefinitionId=first)["success"]
    with pytest.raises(ClientError, match="does not exist"):
        logs.delete_query_definition(queryDefinitionId=first)
    with pytest.raises(ClientError, match="MalformedQueryException"):
        logs.put_query_definition(name="d", queryString="nonsense |")
