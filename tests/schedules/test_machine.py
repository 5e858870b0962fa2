"""Schedules and scheduled rules under the machine of timers (observability spec 7)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec import json
from msgspec.structs import replace

from batchyard.core.model.commands import Command
from batchyard.core.model.deliveries import DeliveryPolicy
from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.deliveries.machine import AddDelivery, DropLane
from batchyard.events import commands as ec
from batchyard.events.commands import RouteEvent
from batchyard.events.machine import EventsMachine
from batchyard.events.records import DISABLED as RULE_DISABLED
from batchyard.events.records import ENABLED as RULE_ENABLED
from batchyard.events.records import Target
from batchyard.schedules import commands as c
from batchyard.schedules.machine import SchedulesMachine
from batchyard.schedules.records import DELETE, DISABLED, ENABLED, KEEP, Schedule
from batchyard.simulator.disk import Disk
from batchyard.store import codec
from batchyard.timers.machine import TimerMachine
from batchyard.topics.commands import PublishToTopic

ACCOUNT = Account("123456789012", "us-east-1")
SUBMIT = "arn:aws:scheduler:::aws-sdk:batch:submitJob"
NIGHTLY = {"Arn": SUBMIT, "RoleArn": "r", "Input": '{"JobName": "nightly <aws.scheduler.scheduled-time>"}'}
SETTINGS = c.ScheduleSettings("rate(5 minutes)", NIGHTLY, "UTC", ENABLED, "", 0, None, None, KEEP)
MINUTE_MS = 60_000
RULE_LOGS = "arn:aws:logs:us-east-1:123456789012:log-group:/nightly"


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


class Yard:
    """Schedules, rules and timers, as one loop hosts them. `fired`: what went to other machines."""

    def __init__(self, now: str = "2026-11-27T00:00:00") -> None:
        self.now_ms = ms(now)
        self.disk = Disk()
        self.fired: list[Any] = []
        self.start()

    def start(self) -> None:
        self.schedules, self.rules = SchedulesMachine(ACCOUNT, ZoneInfo), EventsMachine(ACCOUNT)
        self.timers = TimerMachine()
        documents = self.disk.snapshot(self.now_ms, 0).documents
        for machine in (self.schedules, self.rules, self.timers):
            machine.restore(documents)

    def do(self, command: Command[Any]) -> Any:
        machine: Any = self.schedules if type(command) in self.schedules.command_types else self.rules
        answer = machine.handle(command, self.now_ms)
        self.batch()
        return answer

    def batch(self) -> None:
        machines: Sequence[Any] = (self.schedules, self.rules, self.timers)
        self.timers.schedule(self.now_ms)
        while reports := [report for machine in machines for report in machine.outgoing()]:
            for report in reports:
                takes = [machine for machine in machines if type(report) in machine.report_types]
                if takes:
                    takes[0].report("", report, self.now_ms)
                else:
                    self.fired.append(report)
            self.timers.schedule(self.now_ms)
        changes = self.schedules.take()[0]
        for machine in (self.rules, self.timers):
            changes.absorb(machine.take()[0])
        self.disk.apply(codec.encode_changes(changes), self.now_ms)

    def create(self, name: str = "nightly", group: str = "default", **changes: Any) -> Schedule:
        made = self.do(c.CreateSchedule(group, name, replace(SETTINGS, **changes)))
        assert isinstance(made, Schedule)
        return made

    def due(self) -> str | None:
        at_ms = self.timers.next_deadline()
        return None if at_ms is None else f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%S}"

    def wait(self, until: str) -> list[Any]:
        """Lets time pass, batch by batch, and returns what was fired."""
        self.fired.clear()
        while (at_ms := self.timers.next_deadline()) is not None and at_ms <= ms(until):
            self.now_ms = max(self.now_ms, at_ms)
            self.batch()
        self.now_ms = ms(until)
        return list(self.fired)


def test_a_rate_counts_from_its_making() -> None:
    yard = Yard("2026-11-27T00:00:30")
    yard.create()
    fired = yard.wait("2026-11-27T00:16:00")
    assert all(isinstance(report, AddDelivery) for report in fired)
    times = [json.decode(report.message.body)["JobName"] for report in fired]
    assert times == [f"nightly 2026-11-27T00:{minute}:30Z" for minute in ("05", "10", "15")]
    first = fired[0].message
    assert (first.channel, first.target) == ("api", {"service": "batch", "operation": "SubmitJob"})
    assert (first.lane, first.policy) == (
        "arn:aws:scheduler:us-east-1:123456789012:schedule/default/nightly",
        DeliveryPolicy(),
    )
    assert len({report.message.token for report in fired}) == 3


def test_a_cron_follows_the_clocks_of_its_zone() -> None:
    yard = Yard("2026-03-28T00:00:00")
    yard.create(expression="cron(30 2 * * ? *)", zone="Europe/Berlin")
    times = [json.decode(report.message.body)["JobName"][8:] for report in yard.wait("2026-03-31T00:00:00")]
    assert times == ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"], "02:30 does not exist on the 29th"


def test_one_that_was_missed_fires_once_at_the_start_and_goes_on() -> None:
    yard = Yard()
    yard.create()
    yard.now_ms = ms("2026-11-27T03:02:00")
    yard.start()
    yard.batch()
    assert len(yard.fired) == 1
    assert yard.due() == "2026-11-27T03:05:00"


def test_a_single_time_fires_once_and_may_remove_the_schedule() -> None:
    yard = Yard()
    yard.create("once", expression="at(2026-11-27T01:00:00)", after_completion=DELETE)
    yard.create("kept", expression="at(2026-11-27T02:00:00)", zone="Europe/Berlin")
    assert yard.due() == "2026-11-27T01:00:00"
    assert len(yard.wait("2026-11-27T05:00:00")) == 2
    assert [one.name for one in yard.do(c.AskSchedules())] == ["kept"]
    assert yard.due() is None


def test_a_past_time_is_accepted_and_never_fires() -> None:
    yard = Yard()
    yard.create(expression="at(2022-12-31T23:59:59)")
    assert yard.due() is None


def test_bounds_are_kept() -> None:
    yard = Yard()
    yard.create(start_ms=ms("2026-11-27T01:00:00"), end_ms=ms("2026-11-27T01:10:00"))
    times = [json.decode(report.message.body)["JobName"][8:] for report in yard.wait("2026-11-27T05:00:00")]
    assert times == [f"2026-11-27T01:{minute}:00Z" for minute in ("00", "05", "10")]


def test_a_start_is_at_most_five_minutes_ago() -> None:
    yard = Yard()
    yard.create(start_ms=yard.now_ms - 5 * MINUTE_MS)
    text = "The StartDate you specify cannot be earlier than 5 minutes ago."
    with pytest.raises(Refused, match=text):
        yard.create("early", start_ms=yard.now_ms - 5 * MINUTE_MS - 1)
    with pytest.raises(Refused, match=text):
        yard.do(c.UpdateSchedule("default", "nightly", replace(SETTINGS, start_ms=1)))
    yard.now_ms += 60 * MINUTE_MS
    yard.start()
    yard.batch()
    assert len(yard.fired) == 1, "one that is there keeps its start, however old"


def test_an_hour_that_comes_twice_fires_once_and_a_rate_goes_by_time_that_passes() -> None:
    yard = Yard("2026-10-24T12:00:00")
    yard.create("cron", expression="cron(30 2 * * ? *)", zone="Europe/Berlin")
    yard.create("rate", expression="rate(12 hours)", zone="Europe/Berlin")
    fired = yard.wait("2026-10-27T00:00:00")
    times = {name: [] for name in ("cron", "rate")}  # type: dict[str, list[str]]
    for report in fired:
        times[report.message.lane.rpartition("/")[2]].append(json.decode(report.message.body)["JobName"][8:])
    assert times["cron"] == ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"], "02:30 comes twice on the 25th"
    assert [time[5:13] for time in times["rate"]] == ["10-25T00", "10-25T12", "10-26T00", "10-26T12", "10-27T00"]


@pytest.mark.parametrize("hours", [1, 24, 24 * 400])
def test_a_clock_that_is_set_ahead_fires_what_it_passed_once_and_goes_on(hours: int) -> None:
    yard = Yard()
    yard.create()
    yard.create("once", expression="at(2026-11-27T00:30:00)")
    yard.wait("2026-11-27T00:10:00")
    yard.fired.clear()
    yard.now_ms += hours * 60 * MINUTE_MS + 1
    yard.batch()
    assert sorted(report.message.lane.rpartition("/")[2] for report in yard.fired) == ["nightly", "once"]
    at_ms = yard.timers.next_deadline()
    assert at_ms is not None
    assert 0 < at_ms - yard.now_ms <= 5 * MINUTE_MS


def test_a_clock_that_is_set_back_repeats_nothing() -> None:
    yard = Yard()
    yard.create()
    first = [json.decode(report.message.body)["JobName"] for report in yard.wait("2026-11-27T00:30:00")]
    yard.now_ms = ms("2026-11-26T23:30:00")
    yard.start()
    yard.batch()
    second = [json.decode(report.message.body)["JobName"] for report in yard.wait("2026-11-27T00:45:00")]
    assert set(first) & set(second) == set()
    assert [text[8:] for text in second] == [f"2026-11-27T00:{minute}:00Z" for minute in ("35", "40", "45")]


def test_a_flexible_window_is_the_same_after_a_restart() -> None:
    yard = Yard()
    yard.create(expression="rate(1 day)", window_minutes=60)
    due = yard.due()
    assert due is not None
    assert "2026-11-28T00:00:00" <= due < "2026-11-28T01:00:00"
    yard.start()
    assert yard.due() == due
    (fired,) = yard.wait("2026-11-28T02:00:00")
    assert json.decode(fired.message.body)["JobName"] == "nightly 2026-11-28T00:00:00Z"


def test_a_disabled_or_removed_schedule_has_no_timer() -> None:
    yard = Yard()
    yard.create()
    yard.do(c.UpdateSchedule("default", "nightly", replace(SETTINGS, state=DISABLED)))
    assert yard.due() is None
    yard.do(c.UpdateSchedule("default", "nightly", replace(SETTINGS, expression="rate(1 hour)")))
    assert yard.due() == "2026-11-27T01:00:00"
    yard.fired.clear()
    yard.do(c.DeleteSchedule("default", "nightly"))
    assert yard.due() is None
    assert [type(report) for report in yard.fired] == [DropLane]


def test_a_group_goes_with_its_schedules() -> None:
    yard = Yard()
    yard.do(c.CreateScheduleGroup("team", {"a": "1"}))
    yard.do(c.TagScheduleGroup("team", {"b": "2"}, ("a",)))
    yard.create(group="team")
    yard.create()
    yard.start()
    assert [(group.name, group.tags) for group in yard.do(c.AskScheduleGroups())] == [
        ("default", {}),
        ("team", {"b": "2"}),
    ]
    yard.do(c.DeleteScheduleGroup("team"))
    assert [one.group for one in yard.do(c.AskSchedules())] == ["default"]
    assert len(yard.wait("2026-11-27T00:06:00")) == 1


def test_a_repeated_request_with_its_token_is_one_schedule() -> None:
    yard = Yard()
    command = c.CreateSchedule("default", "nightly", SETTINGS, "token")
    made = yard.do(command)
    yard.now_ms += 1
    assert yard.do(command) == made
    with pytest.raises(Refused, match="already exists"):
        yard.do(c.CreateSchedule("default", "nightly", SETTINGS, "other"))


def test_topics_and_buses_are_targets_too() -> None:
    yard = Yard()
    head = "arn:aws:{}:us-east-1:123456789012:{}"
    yard.create("topic", target={"Arn": head.format("sns", "jobs"), "RoleArn": "r", "Input": "wake up"})
    parameters = {"Source": "nightly", "DetailType": "Start"}
    bus = {"Arn": head.format("events", "event-bus/team"), "RoleArn": "r", "EventBridgeParameters": parameters}
    machine = head.format("states", "stateMachine:nightly")
    yard.create("states", target={"Arn": machine, "Input": '{"at": "<aws.scheduler.scheduled-time>"}'})
    yard.create("bus", target={**bus, "Input": '{"a": 1}'})
    found = {type(report): report for report in yard.wait("2026-11-27T00:05:00")}
    published = found[PublishToTopic]
    assert (published.topic_arn, published.publication.body) == (head.format("sns", "jobs"), "wake up")
    message = found[AddDelivery].message
    assert (message.channel, message.target) == ("states", {"arn": machine})
    assert message.body == '{"at": "2026-11-27T00:05:00Z"}'
    # The rules of a bus take the event in the same batch: there are none here.
    assert set(found) == {PublishToTopic, AddDelivery}
    yard.do(ec.CreateEventBus("team"))
    yard.do(ec.PutRule("team", "all", RULE_ENABLED, '{"source": ["nightly"]}'))
    yard.do(ec.PutTargets("team", "all", (Target("1", RULE_LOGS, {"Id": "1", "Arn": RULE_LOGS}),)))
    fired = [report for report in yard.wait("2026-11-27T00:10:00") if isinstance(report, AddDelivery)]
    events = [json.decode(report.message.body) for report in fired if report.message.channel != "states"]
    assert [event["detail"] for event in events] == [{"a": 1}]
    assert RouteEvent not in {type(report) for report in yard.fired}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"expression": "rate(1 minutes)"}, "Invalid Schedule Expression rate\\(1 minutes\\)"),
        ({"target": {"Arn": "arn:aws:lambda:us-east-1:1:function:f"}}, "no target that is served here"),
        ({"target": {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:runInstances"}}, "no operation that a schedule can call"),
        ({"target": {"Arn": SUBMIT, "Input": "text"}}, "as a JSON object"),
        ({"target": {"Arn": SUBMIT, "Input": "{}", "DeadLetterConfig": {"Arn": "arn:aws:sqs:r:a:q"}}}, "SQS"),
        ({"target": {"Arn": "arn:aws:events:us-east-1:1:event-bus/b"}}, "EventBridgeParameters must be provided"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(changes: dict[str, Any], words: str) -> None:
    yard = Yard()
    with pytest.raises(Refused, match=words):
        yard.create(**changes)
    assert yard.do(c.AskSchedules()) == ()


def test_unknown_names_are_refused() -> None:
    yard = Yard()
    for command in (
        c.DeleteSchedule("default", "x"),
        c.UpdateSchedule("default", "x", SETTINGS),
        c.CreateSchedule("x", "n", SETTINGS),
        c.DeleteScheduleGroup("x"),
        c.AskSchedules("x"),
    ):
        with pytest.raises(Refused, match="does not exist") as caught:
            yard.do(command)
        assert caught.value.code == "ResourceNotFoundException"


# -- rules with a schedule --


def test_a_scheduled_rule_sends_its_event_to_its_targets() -> None:
    yard = Yard("2026-11-27T10:00:30")
    yard.do(ec.PutRule("default", "nightly", RULE_ENABLED, "", "rate(1 hour)"))
    yard.do(ec.PutTargets("default", "nightly", (Target("1", RULE_LOGS, {"Id": "1", "Arn": RULE_LOGS}),)))
    yard.start()
    (fired,) = yard.wait("2026-11-27T11:30:00")
    event = json.decode(fired.message.body)
    assert (event["source"], event["detail-type"], event["detail"], event["time"]) == (
        "aws.events",
        "Scheduled Event",
        {},
        "2026-11-27T11:00:30Z",
    )
    assert event["resources"] == ["arn:aws:events:us-east-1:123456789012:rule/nightly"]
    yard.do(ec.SetRuleState("default", "nightly", RULE_DISABLED))
    assert yard.due() is None
    yard.do(ec.SetRuleState("default", "nightly", RULE_ENABLED))
    assert yard.due() == "2026-11-27T12:30:00"
    yard.do(ec.PutRule("default", "nightly", RULE_ENABLED, '{"source": ["a"]}'))
    assert yard.due() is None


def test_a_removed_rule_has_no_timer_and_a_wrong_expression_is_refused() -> None:
    yard = Yard()
    yard.do(ec.PutRule("default", "nightly", RULE_ENABLED, "", "cron(0 2 * * ? *)"))
    assert yard.due() == "2026-11-27T02:00:00"
    yard.do(ec.DeleteRule("default", "nightly"))
    assert yard.due() is None
    with pytest.raises(Refused, match="Parameter ScheduleExpression is not valid"):
        yard.do(ec.PutRule("default", "nightly", RULE_ENABLED, "", "at(2026-11-27T10:36:00)"))


def test_what_is_deleted_in_the_batch_in_which_it_is_due_does_not_fire() -> None:
    yard = Yard()
    yard.create(expression="rate(5 minutes)")
    yard.do(ec.PutRule("default", "often", RULE_ENABLED, "", "rate(5 minutes)"))
    yard.do(ec.PutRule("default", "changed", RULE_ENABLED, "", "rate(5 minutes)"))
    yard.do(ec.PutTargets("default", "changed", (Target("t", RULE_LOGS, {"Id": "t", "Arn": RULE_LOGS}),)))
    yard.now_ms += 5 * MINUTE_MS
    yard.schedules.handle(c.DeleteSchedule("default", "nightly"), yard.now_ms)
    yard.rules.handle(ec.DeleteRule("default", "often"), yard.now_ms)
    yard.do(ec.SetRuleState("default", "changed", RULE_DISABLED))
    assert [type(report) for report in yard.fired] == [DropLane]
    assert yard.due() is None
