"""The machine of alarms: what survives a restart, and its limits."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.alarms import commands as c
from batchyard.alarms import machine as machines
from batchyard.alarms.machine import AlarmsMachine, EvaluateAlarms
from batchyard.alarms.records import COMPOSITE, METRIC
from batchyard.core.model.names import Account
from batchyard.core.model.queue_actions import ActOnQueue, QueueAction, QueueActionDone
from batchyard.core.model.refusal import Refused
from batchyard.events.commands import RouteEvent

ACCOUNT = Account("123456789012", "us-east-1")
CANCEL = "arn:aws:automate:us-east-1:batch:cancel:default"
DOCUMENT = {
    "MetricName": "Load",
    "Namespace": "App",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 5.0,
    "ComparisonOperator": "GreaterThanThreshold",
    "AlarmActions": [CANCEL],
}
START_MS = 1_700_000_000_000


class Kept:
    """A machine, and what a store has of it."""

    def __init__(self) -> None:
        self.documents: dict[Any, Any] = {}
        self.now_ms = START_MS
        self.reports: list[Any] = []
        self.due: list[str] = []
        self.machine = AlarmsMachine(ACCOUNT, lambda arn: True)

    def do(self, command: Any) -> Any:
        answer = self.machine.handle(command, self.now_ms)
        self.settle()
        return answer

    def settle(self) -> None:
        self.reports = list(self.machine.outgoing())
        changes, effects = self.machine.take()
        for name, record in changes.documents.items():
            self.documents[name] = record
        self.documents = {name: record for name, record in self.documents.items() if record is not None}
        self.due += [name for effect in effects if isinstance(effect, EvaluateAlarms) for name in effect.names]

    def restart(self) -> None:
        self.machine = AlarmsMachine(ACCOUNT, lambda arn: True)
        self.machine.restore(self.documents)

    def put(self, name: str = "load", **members: Any) -> None:
        self.do(c.PutAlarm(name, METRIC, DOCUMENT | members))


def test_alarms_rules_and_history_survive_a_restart() -> None:
    kept = Kept()
    kept.put()
    kept.do(c.PutAlarm("both", COMPOSITE, {"AlarmRule": "ALARM(load)"}))
    kept.do(c.SetAlarmState("load", "ALARM", "by hand"))
    before = kept.do(c.AskAlarms()), kept.do(c.AskAlarmHistory())
    kept.restart()
    assert (kept.do(c.AskAlarms()), kept.do(c.AskAlarmHistory())) == before
    kept.do(c.SetAlarmState("load", "OK", "by hand"))
    assert [alarm.state for alarm in kept.do(c.AskAlarms())] == ["OK", "OK"]
    numbers = [item.number for item in kept.do(c.AskAlarmHistory())]
    assert len(set(numbers)) == len(numbers)


def test_a_changed_configuration_is_evaluated_and_older_evaluations_are_dropped() -> None:
    kept = Kept()
    kept.put()
    kept.now_ms += 5
    kept.put(Threshold=7.0)
    assert kept.due == ["load", "load"]
    kept.do(c.TakeEvaluations((c.Evaluation("load", START_MS, "ALARM", "old", ""),)))
    assert kept.do(c.AskAlarms())[0].state == "INSUFFICIENT_DATA"
    kept.do(c.TakeEvaluations((c.Evaluation("load", START_MS + 5, "ALARM", "new", ""),)))
    assert kept.do(c.AskAlarms())[0].state == "ALARM"


def test_an_action_on_a_queue_is_reported_and_its_count_noted() -> None:
    kept = Kept()
    kept.put()
    kept.do(c.SetAlarmState("load", "ALARM", "by hand"))
    (asked,) = [report for report in kept.reports if isinstance(report, ActOnQueue)]
    assert (asked.action, asked.queue, asked.reason) == (QueueAction.CANCEL, "default", "Alarm load: by hand")
    kept.machine.report("", QueueActionDone(asked.action, asked.queue, asked.token, 12), kept.now_ms)
    kept.settle()
    (item, *_) = kept.do(c.AskAlarmHistory("load"))
    assert item.summary == f"Successfully executed action {CANCEL} (12 jobs)"


def test_creating_changing_and_deleting_are_events() -> None:
    kept = Kept()
    operations = []
    for command in (
        c.PutAlarm("load", METRIC, DOCUMENT),
        c.EnableActions(("load",), False),
        c.DeleteAlarms(("load",)),
    ):
        kept.do(command)
        (event,) = [report.event for report in kept.reports if isinstance(report, RouteEvent)]
        assert event.document["detail-type"] == "CloudWatch Alarm Configuration Change"
        operations.append(event.document["detail"]["operation"])
    assert operations == ["create", "update", "delete"]


def test_history_ends_after_two_weeks_also_of_alarms_that_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "MAX_HISTORY", 3)
    kept = Kept()
    kept.put()
    for _ in range(3):
        for state in ("ALARM", "OK"):
            kept.do(c.SetAlarmState("load", state, "by hand"))
    assert len([kind for kind, _ in kept.documents if kind == "alarm-history"]) == 3
    kept.do(c.DeleteAlarms(("load",)))
    kept.now_ms += 15 * 86_400_000
    kept.put("other")
    assert {record.alarm for (kind, _), record in kept.documents.items() if kind == "alarm-history"} == {"other"}


def test_there_is_a_limit_to_alarms_and_none_becomes_one_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "MAX_ALARMS", 1)
    kept = Kept()
    kept.put()
    with pytest.raises(Refused, match="There are 1 alarms already"):
        kept.put("other")
    with pytest.raises(Refused, match="load is a MetricAlarm"):
        kept.do(c.PutAlarm("load", COMPOSITE, {"AlarmRule": "TRUE"}))
