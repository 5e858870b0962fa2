"""What an alarm sends when its state changes."""

from __future__ import annotations

import json
from typing import Any

from batchyard.evaluators.alarms.evaluation import AlarmState
from batchyard.evaluators.alarms.messages import StateOf, event_detail, subject, topic_message

ARN = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:queue"
START_S = 1_795_775_760.123
ALARM: dict[str, Any] = {
    "AlarmName": "queue",
    "AlarmDescription": "too long",
    "AlarmArn": ARN,
    "AlarmConfigurationUpdatedTimestamp": START_S - 60,
    "AlarmActions": ["arn:topic"],
    "MetricName": "RunnableJobCount",
    "Namespace": "AWS/Batch",
    "Statistic": "Average",
    "Dimensions": [{"Name": "JobQueue", "Value": "default"}],
    "Period": 300,
    "EvaluationPeriods": 2,
    "ComparisonOperator": "GreaterThanThreshold",
    "Threshold": 100.0,
}
NEW = StateOf(AlarmState.ALARM, "Threshold Crossed", '{"version":"1.0"}', START_S)
OLD = StateOf(AlarmState.OK, "Unchecked: Initial alarm creation", "", START_S - 60)


def message_of(alarm: dict[str, Any], **more: Any) -> dict[str, Any]:
    text = topic_message(alarm, NEW, OLD.state, account="123456789012", region="us-east-1", **more)
    message = json.loads(text)
    assert isinstance(message, dict)
    return message


def test_the_message_to_topics() -> None:
    assert message_of(ALARM) == {
        "AlarmName": "queue",
        "AlarmDescription": "too long",
        "AWSAccountId": "123456789012",
        "AlarmConfigurationUpdatedTimestamp": "2026-11-27T10:35:00.123+0000",
        "NewStateValue": "ALARM",
        "NewStateReason": "Threshold Crossed",
        "StateChangeTime": "2026-11-27T10:36:00.123+0000",
        "Region": "US East (N. Virginia)",
        "AlarmArn": ARN,
        "OldStateValue": "OK",
        "OKActions": [],
        "AlarmActions": ["arn:topic"],
        "InsufficientDataActions": [],
        "Trigger": {
            "MetricName": "RunnableJobCount",
            "Namespace": "AWS/Batch",
            "StatisticType": "Statistic",
            "Statistic": "AVERAGE",
            "Unit": None,
            "Dimensions": [{"value": "default", "name": "JobQueue"}],
            "Period": 300,
            "EvaluationPeriods": 2,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 100.0,
            "TreatMissingData": "",
            "EvaluateLowSampleCountPercentile": "",
        },
    }
    assert subject(ALARM, AlarmState.ALARM, "us-east-1") == 'ALARM: "queue" in US East (N. Virginia)'
    assert subject(ALARM, AlarmState.OK, "home-1") == 'OK: "queue" in home-1'
    assert len(subject({"AlarmName": "x" * 255}, AlarmState.OK, "us-east-1")) == 100


def test_percentiles_math_and_composites_have_other_members() -> None:
    percentile = {**ALARM, "ExtendedStatistic": "p99", "DatapointsToAlarm": 1}
    trigger = message_of({key: value for key, value in percentile.items() if key != "Statistic"})["Trigger"]
    assert (trigger["StatisticType"], trigger["ExtendedStatistic"], trigger["DatapointsToAlarm"]) == (
        "ExtendedStatistic",
        "p99",
        1,
    )
    metric = {key: ALARM[key] for key in ("MetricName", "Namespace", "Dimensions")}
    queries = [
        {"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}, "ReturnData": False},
        {"Id": "e", "Expression": "m * 2", "Label": "double"},
    ]
    math = {key: value for key, value in ALARM.items() if key not in (*metric, "Period", "Statistic")}
    math["Metrics"] = queries
    trigger = message_of(math)["Trigger"]
    assert [query["ReturnData"] for query in trigger["Metrics"]] == [False, True]
    assert trigger["Metrics"][0]["MetricStat"]["Metric"]["Dimensions"] == [{"value": "default", "name": "JobQueue"}]
    assert "Period" not in trigger
    assert event_detail(math, NEW, OLD)["configuration"]["metrics"][1] == {
        "id": "e",
        "expression": "m * 2",
        "label": "double",
        "returnData": True,
    }
    rule = {"AlarmName": "c", "AlarmArn": "arn:c", "AlarmConfigurationUpdatedTimestamp": 0, "AlarmRule": "ALARM(queue)"}
    composite = message_of(rule, children=[(ARN, AlarmState.ALARM, START_S)])
    assert "Trigger" not in composite
    assert composite["AlarmRule"] == "ALARM(queue)"
    assert composite["TriggeringChildren"] == [
        {"Arn": ARN, "State": {"Value": "ALARM", "Timestamp": "2026-11-27T10:36:00.123+0000"}}
    ]
    assert event_detail(rule, NEW, OLD)["configuration"]["alarmRule"] == "ALARM(queue)"


def test_the_event() -> None:
    detail = event_detail(ALARM, NEW, OLD)
    assert detail["alarmName"] == "queue"
    assert detail["state"] == {
        "value": "ALARM",
        "reason": "Threshold Crossed",
        "reasonData": '{"version":"1.0"}',
        "timestamp": "2026-11-27T10:36:00.123+0000",
    }
    assert detail["previousState"] == {
        "value": "OK",
        "reason": "Unchecked: Initial alarm creation",
        "timestamp": "2026-11-27T10:35:00.123+0000",
    }
    (metric,) = detail["configuration"]["metrics"]
    assert metric["metricStat"] == {
        "metric": {"namespace": "AWS/Batch", "name": "RunnableJobCount", "dimensions": {"JobQueue": "default"}},
        "period": 300,
        "stat": "Average",
    }
    assert metric["id"] == event_detail(ALARM, NEW, OLD)["configuration"]["metrics"][0]["id"]
