"""Rules, alarms, schedules and topics one by one: what they wait for, where it goes, what did not arrive."""

import json
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from batchyard.console.pages.events import NEXT_TIMES, next_times
from batchyard.console.site import PageRequest
from batchyard.core.model.deliveries import Undeliverable
from tests.api.service import START_MS
from tests.console.site import READER, VISITOR, Console, header_of, links_of, text_of

HOSTILE = "<img src=x onerror=alert(1)>"
DAY_MS = 86_400_000


def make_alarm(console: Console, name: str = HOSTILE, **members: Any) -> None:
    alarm = {"AlarmName": name, "Namespace": "App", "MetricName": "Depth", "Statistic": "Maximum", "Period": 60}
    alarm |= {"EvaluationPeriods": 1, "Threshold": 10.0, "ComparisonOperator": "GreaterThanThreshold"}
    console.client("cloudwatch").put_metric_alarm(**alarm | members)


@pytest.mark.parametrize("path", ["alarm", "rule", "schedule", "topic"])
def test_what_does_not_exist_is_said(console: Console, path: str) -> None:
    for query in ({}, {"name": "none"}):
        assert console.ask(PageRequest(path, VISITOR, query=query)).status in (400, 404)


def test_an_alarm_shows_its_metric_against_its_threshold(console: Console) -> None:
    data = [{"MetricName": "Depth", "Value": value, "Timestamp": START_MS // 1000 - 60} for value in (4.0, 20.0)]
    console.client("cloudwatch").put_metric_data(Namespace="App", MetricData=data)
    topic = console.client("sns").create_topic(Name="failures")["TopicArn"]
    make_alarm(console, AlarmActions=[topic], AlarmDescription=HOSTILE)
    assert "/console/alarm?name=%3Cimg+src%3Dx+onerror%3Dalert%281%29%3E" in links_of(console.get("alarms"))
    page = console.get("alarm", name=HOSTILE)
    assert HOSTILE not in page
    assert 'class="threshold"' in page
    assert "GreaterThanThreshold 10 in 1 of 1 periods of 1 min" in text_of(page)
    assert "/console/topic?name=" + topic.replace(":", "%3A") in links_of(page)
    assert "/console/metrics?namespace=App&name=Depth&statistic=Maximum" in links_of(page)


def test_the_state_of_an_alarm_is_set_and_its_actions_are_switched(console: Console) -> None:
    make_alarm(console, "late")
    done = console.post("alarm/state", name="late", state="ALARM", reason="a trial")
    assert header_of(done, "location") == "/console/alarm?name=late"
    page = text_of(console.get("alarm", name="late"))
    assert "a trial" in page
    assert "INSUFFICIENT_DATA → ALARM" in page
    assert console.post("alarm/state", name="late", state="LATE", reason="x").status == 400
    assert "no action runs" in text_of(console.get("alarm/actions", name="late"))
    console.post("alarm/actions", name="late", verb="Disable")
    assert "Enable actions" in text_of(console.get("alarm", name="late"))
    console.post("alarm/actions", name="late", verb="Enable")
    assert "Disable actions" in text_of(console.get("alarm", name="late"))
    assert "Set its state" not in text_of(console.get("alarm", READER, name="late"))


def test_alarms_of_expressions_and_of_alarms_have_pages(console: Console) -> None:
    stat = {"Metric": {"Namespace": "App", "MetricName": "Depth"}, "Period": 60, "Stat": "Sum"}
    queries = [
        {"Id": "m", "MetricStat": stat, "ReturnData": False},
        {"Id": "e", "Expression": "m * 2", "Label": "twice"},
    ]
    limits = {"EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"}
    console.client("cloudwatch").put_metric_alarm(AlarmName="math", Metrics=queries, **limits)
    console.client("cloudwatch").put_composite_alarm(AlarmName="both", AlarmRule="ALARM(math)")
    assert "What it watches" in text_of(console.get("alarm", name="math"))
    assert "ALARM(math)" in text_of(console.get("alarm", name="both"))


def test_a_rule_shows_its_targets_and_what_did_not_arrive(console: Console) -> None:
    events = console.client("events")
    arn = events.put_rule(Name="ends", EventPattern='{"source":["aws.batch"]}', Description=HOSTILE)["RuleArn"]
    assert "It has no target" in text_of(console.get("rule", name="ends"))
    topic = console.client("sns").create_topic(Name="failures")["TopicArn"]
    events.put_targets(Rule="ends", Targets=[{"Id": "mail", "Arn": topic, "Input": json.dumps(HOSTILE)}])
    console.deliveries.report("", Undeliverable(f"{arn}#mail", "t", "SDK_CLIENT_ERROR", HOSTILE), console.now_ms)
    page = console.get("rule", name="ends")
    text = text_of(page)
    assert HOSTILE not in page
    assert '"source": [ "aws.batch" ]' in text
    assert "mail topic failures" in text
    assert f"SDK_CLIENT_ERROR: {HOSTILE}" in text
    assert "/console/rule?name=ends&bus=default" in links_of(console.get("rules"))
    console.post("rule/state", name="ends", bus="default", verb="Disable")
    assert "DISABLED" in text_of(console.get("rule", name="ends"))
    assert "It works from now on." in text_of(console.get("rule/state", name="ends"))
    events.put_rule(Name="hourly", ScheduleExpression="cron(0 * * * ? *)")
    assert "next 2023-11-14 23:00:00" in text_of(console.get("rule", name="hourly"))


def test_a_schedule_says_when_it_fires_next_and_is_switched(console: Console) -> None:
    target = {"Arn": "arn:aws:scheduler:::aws-sdk:batch:submitJob", "RoleArn": "arn:aws:iam::123456789012:role/r"}
    target["Input"] = json.dumps({"JobName": HOSTILE})
    console.client("scheduler").create_schedule(
        Name="nightly",
        ScheduleExpression="cron(0 3 * * ? *)",
        ScheduleExpressionTimezone="Europe/Berlin",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=target,
        Description="at night",
    )
    assert "/console/schedule?name=nightly&group=default" in links_of(console.get("schedules"))
    page = console.get("schedule", name="nightly")
    assert HOSTILE not in page
    assert "Next at 2023-11-15 02:00:00 UTC : cron(0 3 * * ? *) in Europe/Berlin" in text_of(page)
    console.post("schedule/state", name="nightly", group="default", verb="Disable")
    text = text_of(console.get("schedule", name="nightly"))
    assert "It is disabled, and does not fire" in text
    assert "at night" in text, "everything else stays"
    console.post("schedule/state", name="nightly", group="default", verb="Enable")
    assert "Next at" in text_of(console.get("schedule", name="nightly"))


def test_next_times_follow_each_other_and_end_with_their_schedule() -> None:
    daily = next_times("rate(1 day)", UTC, 10 * DAY_MS, anchor_ms=DAY_MS // 2)
    assert daily == [10 * DAY_MS + DAY_MS // 2 + number * DAY_MS for number in range(NEXT_TIMES)]
    assert next_times("rate(1 day)", UTC, 0, end_ms=2 * DAY_MS) == [DAY_MS, 2 * DAY_MS]
    assert next_times("at(1970-01-02T01:00:00)", ZoneInfo("Europe/Berlin"), 0) == [DAY_MS]
    assert next_times("at(1970-01-02T01:00:00)", UTC, 5 * DAY_MS) == []
    assert next_times("", UTC, 0) == []


def test_a_topic_shows_who_gets_what_is_published(console: Console) -> None:
    sns = console.client("sns")
    arn = sns.create_topic(Name="failures")["TopicArn"]
    assert "It has no subscription" in text_of(console.get("topic", name="failures"))
    sns.subscribe(TopicArn=arn, Protocol="https", Endpoint="https://example.com/a?b=<c>")
    page = console.get("topic", name=arn)
    assert "https https://example.com/a?b=<c> NOT CONFIRMED" in text_of(page)
    assert "b=<c>" not in page
    console.deliveries.report("", Undeliverable(f"{arn}:1", "t", "TIMEOUT", "no answer"), console.now_ms)
    assert "TIMEOUT: no answer" in text_of(console.get("topic", name="failures"))
