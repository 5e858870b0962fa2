"""`batchyard metrics` draws what a queue did; `batchyard alarms` lists states, and shows one alarm with its history."""

import json
from typing import Any

import pytest

from batchyard.cli.formats import now_ms
from tests.cli.conftest import Invoke
from tests.cli.stub import QUEUE_ARN, Stub

RUNNING, WAITED, FAILED = "RunningJobCount", "JobAttemptRunnableToStartingDuration", "FailedJobCount"


@pytest.fixture
def asked(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The requests of GetMetricData. Three jobs ran, then six; the second page has the rest."""
    requests: list[dict[str, Any]] = []

    def queues(request: dict[str, Any]) -> dict[str, Any]:
        found = [name for name in request["jobQueues"] if name == "default"]
        return {"jobQueues": [{"jobQueueName": name, "jobQueueArn": QUEUE_ARN + name} for name in found]}

    def data(request: dict[str, Any]) -> dict[str, Any]:
        requests.append(dict(request))
        names = {one["MetricStat"]["Metric"]["MetricName"]: one["Id"] for one in request["MetricDataQueries"]}
        period = request["MetricDataQueries"][0]["MetricStat"]["Period"]
        times = [float(request["StartTime"]), float(request["StartTime"] + period)]

        def result(name: str, *values: float) -> dict[str, Any]:
            return {"Id": names[name], "Label": name, "Timestamps": times[: len(values)], "Values": list(values)}

        if "NextToken" not in request:
            return {"MetricDataResults": [result(RUNNING, 3.0, 6.0), result(WAITED, 90_000.0)], "NextToken": "t"}
        return {"MetricDataResults": [result(FAILED, 0.0, 2.0)]}

    monkeypatch.setattr(stub, "_DescribeJobQueues", queues, raising=False)
    monkeypatch.setattr(stub, "_GetMetricData", data, raising=False)
    return requests


def test_a_queue_is_drawn_with_its_newest_and_highest_values(invoke: Invoke, asked: list[dict[str, Any]]) -> None:
    result = invoke("metrics", "default", "--since", "2h")
    assert result.exit_code == 0
    rows = {line.split("  ")[0]: line for line in result.stdout.splitlines()}
    assert "▅█" in rows["running"]
    assert rows["running"].split()[-2:] == ["6", "6"]
    assert rows["failed"].split()[-2:] == ["2", "2"]
    assert rows["waited, p95"].split()[-2:] == ["1m30s", "1m30s"]
    assert rows["pending"].split()[-2:] == ["-", "-"]
    first, second = asked
    assert 7200 <= first["EndTime"] - first["StartTime"] <= 7200 + 300
    assert second["NextToken"] == "t"


def test_json_has_times_and_values(invoke: Invoke, asked: list[dict[str, Any]]) -> None:
    found = json.loads(invoke("metrics", "--json").stdout)
    series = {(row["metric"], row["statistic"]): row["values"] for row in found["series"]}
    assert [value for _, value in series[RUNNING, "Maximum"]] == [3.0, 6.0]


def test_a_queue_that_is_not_there_is_an_error(invoke: Invoke, asked: list[dict[str, Any]]) -> None:
    result = invoke("metrics", "other")
    assert result.exit_code != 0
    assert "There is no job queue other." in result.stderr


def alarm(name: str, state: str, **members: Any) -> dict[str, Any]:
    return {
        "AlarmName": name,
        "StateValue": state,
        "StateReason": "because",
        "StateTransitionedTimestamp": now_ms() / 1000 - 125,
        "ActionsEnabled": False,
        "AlarmActions": ["arn:aws:sns:us-east-1:123456789012:ops"],
        "OKActions": [],
        "InsufficientDataActions": [],
        "MetricName": "RunnableJobCount",
        "Dimensions": [{"Name": "JobQueue", "Value": "default"}],
    } | members


@pytest.fixture
def alarms(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = alarm("both", "OK", AlarmRule="ALARM(backlog)")
    found = {"MetricAlarms": [alarm("a", "INSUFFICIENT_DATA"), alarm("backlog", "ALARM")], "CompositeAlarms": [rule]}
    items = [{"Timestamp": 1.7e9, "HistorySummary": "Alarm updated from OK to ALARM"}]
    monkeypatch.setattr(stub, "_DescribeAlarms", lambda request: found, raising=False)
    history = {"AlarmHistoryItems": items}
    monkeypatch.setattr(stub, "_DescribeAlarmHistory", lambda request: history, raising=False)


@pytest.mark.usefixtures("alarms")
def test_alarms_are_listed_those_in_alarm_first(invoke: Invoke) -> None:
    lines = [line.split() for line in invoke("alarms").stdout.splitlines()]
    assert [line[:3] for line in lines] == [
        ["STATE", "NAME", "SINCE"],
        ["ALARM", "backlog", "2m05s"],
        ["NO", "DATA", "a"],
        ["OK", "both", "2m05s"],
    ]


@pytest.mark.usefixtures("alarms")
def test_one_alarm_is_shown_with_its_history(invoke: Invoke) -> None:
    text = invoke("alarms", "backlog").stdout
    assert "backlog: ALARM for 2m05s. because" in text
    assert "It watches RunnableJobCount of default; its actions are disabled." in text
    assert "Alarm updated from OK to ALARM" in text
    assert "There is no alarm ghost." in invoke("alarms", "ghost").stderr
