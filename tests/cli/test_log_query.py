"""`batchyard logs query`: starts a query, waits, and prints its rows; `batchyard logs JOB` stays what it was."""

import json
from typing import Any

import pytest

from batchyard.cli import log_query
from tests.cli.conftest import Invoke
from tests.cli.stub import Refusal, Stub

STATISTICS = {"recordsMatched": 2.0, "recordsScanned": 12345.0, "bytesScanned": 1.0}


def row(**cells: str) -> list[dict[str, str]]:
    return [{"field": name.replace("at_", "@"), "value": value} for name, value in cells.items()]


@pytest.fixture
def asked(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The requests of StartQuery. The query is Running once, then has two pages."""
    monkeypatch.setattr(log_query, "FIRST_PAUSE_SECONDS", 0.001)
    started: list[dict[str, Any]] = []
    polls: list[dict[str, Any]] = []

    def start(request: dict[str, Any]) -> dict[str, Any]:
        started.append(request)
        return {"queryId": "q-1"}

    def results(request: dict[str, Any]) -> dict[str, Any]:
        polls.append(request)
        if len(polls) == 1:
            return {"status": "Running", "results": [], "statistics": STATISTICS}
        if "nextToken" in request:
            return {"status": "Complete", "results": [row(level="INFO", n="1")], "statistics": STATISTICS}
        page = [row(level="ERROR", n="20", at_ptr="secret")]
        return {"status": "Complete", "results": page, "statistics": STATISTICS, "nextToken": "t"}

    monkeypatch.setattr(stub, "_StartQuery", start, raising=False)
    monkeypatch.setattr(stub, "_GetQueryResults", results, raising=False)
    return started


def test_rows_are_a_table(invoke: Invoke, asked: list[dict[str, Any]]) -> None:
    result = invoke("logs", "query", "stats count(*) as n by level", "--since", "3h", "--group", "/mine")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["level  n", "ERROR  20", "INFO   1"]
    assert "2 rows of 12,345 lines." in result.stderr
    (request,) = asked
    assert request["queryString"] == "stats count(*) as n by level"
    assert request["logGroupNames"] == ["/mine"]
    assert request["endTime"] - request["startTime"] == 3 * 3600 * 1000 + 1000


def test_by_default_the_last_day_of_all_jobs_and_json_as_the_service_has_it(
    invoke: Invoke, asked: list[dict[str, Any]]
) -> None:
    result = invoke("logs", "query", "fields @message", "--json")
    assert len(json.loads(result.stdout)["results"]) == 2
    assert asked[0]["logGroupNames"] == ["/aws/batch/job"]
    assert asked[0]["endTime"] - asked[0]["startTime"] == 86_401_000


def test_a_refused_query_and_a_wrong_span_are_sentences(invoke: Invoke, stub: Stub) -> None:
    stub.refused["StartQuery"] = Refusal("MalformedQueryException", "There is no command limitt here")
    result = invoke("logs", "query", "limitt 3")
    assert result.exit_code == 1
    assert "There is no command limitt here" in result.stderr
    result = invoke("logs", "query", "limit 3", "--since", "3 hours")
    assert result.exit_code == 2
    assert "must be a number and s, m, h, d or w, such as 3h, not '3 hours'" in result.stderr
