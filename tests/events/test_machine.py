"""Buses, rules and targets, and what events make of them (observability spec 3, 5)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import json

from batchyard.core.model.commands import Command
from batchyard.core.model.deliveries import DeliveryPolicy, Message, Undeliverable
from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.deliveries.machine import AddDelivery, DropLane
from batchyard.events import commands as c
from batchyard.events import machine as events
from batchyard.events.machine import EventsMachine, RulesChanged
from batchyard.events.records import DISABLED, ENABLED, Rule, Target
from batchyard.simulator.disk import Disk
from batchyard.store import codec
from batchyard.topics.commands import PublishToTopic

ACCOUNT = Account("123456789012", "us-east-1")
LOGS = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/events/all"
FAILED = '{"source": ["aws.batch"], "detail": {"status": ["FAILED"]}}'


class Yard:
    def __init__(self) -> None:
        self.machine, self.disk, self.now_ms = EventsMachine(ACCOUNT), Disk(), 1000

    def do(self, command: Command[Any]) -> Any:
        return self.machine.handle(command, self.now_ms)

    def commit(self) -> list[Any]:
        changes, effects = self.machine.take()
        self.disk.apply(codec.encode_changes(changes), self.now_ms)
        return list(effects)

    def crash(self) -> None:
        self.commit()
        self.machine = EventsMachine(ACCOUNT)
        self.machine.restore(self.disk.snapshot(self.now_ms, 0).documents)

    def rule(self, name: str = "failed", pattern: str = FAILED, bus: str = "default", **members: Any) -> Any:
        return self.do(c.PutRule(bus, name, members.pop("state", ENABLED), pattern, **members))

    def target(self, rule: str = "failed", name: str = "t1", arn: str = LOGS, bus: str = "default", **more: Any) -> Any:
        return self.do(c.PutTargets(bus, rule, (Target(name, arn, {"Id": name, "Arn": arn, **more}),)))

    def put(self, source: str = "aws.batch", bus: str = "default", key: str = "", **detail: Any) -> list[Any]:
        """What one event makes."""
        document = {
            "version": "0",
            "id": "e-1",
            "detail-type": "Batch Job State Change",
            "source": source,
            "account": ACCOUNT.account_id,
            "time": "2026-11-27T10:36:00Z",
            "region": ACCOUNT.region,
            "resources": [],
            "detail": {"status": "FAILED", **detail},
        }
        self.do(c.PutEvents((c.Event(bus, document, key),)))
        return list(self.machine.outgoing())


def messages(reports: list[Any]) -> list[Message]:
    assert all(isinstance(report, AddDelivery) for report in reports), reports
    return [report.message for report in reports]


def test_an_event_goes_to_the_targets_of_the_rules_that_match() -> None:
    yard = Yard()
    yard.rule()
    assert yard.put() == []
    assert yard.target() == ()
    (message,) = messages(yard.put(jobName="a", key="job-1"))
    assert (message.channel, message.target, message.order_key) == ("logs", {"group": "/aws/events/all"}, "job-1")
    assert json.decode(message.body)["detail"] == {"status": "FAILED", "jobName": "a"}
    assert message.lane == "arn:aws:events:us-east-1:123456789012:rule/failed#t1"
    assert yard.put(status="SUCCEEDED") == []
    assert yard.put(source="other") == []


def test_rules_and_targets_outlive_a_crash() -> None:
    yard = Yard()
    yard.do(c.CreateEventBus("mine", "what it is for", {"a": "b"}))
    yard.rule(bus="mine", description="all that failed", tags={"team": "x"})
    yard.target(bus="mine")
    before = yard.do(c.AskRules("mine"))
    yard.crash()
    assert yard.do(c.AskRules("mine")) == before
    assert [bus.name for bus in yard.do(c.AskEventBuses())] == ["default", "mine"]
    assert len(messages(yard.put(bus="mine"))) == 1
    assert yard.put() == []


def test_a_rule_that_is_put_again_keeps_its_targets_and_tags_and_nothing_else() -> None:
    yard = Yard()
    yard.rule(description="old", role_arn="arn:aws:iam::123456789012:role/r", tags={"a": "1"})
    yard.target()
    again: Rule = yard.rule(pattern='{"source": ["mine"]}', tags={"b": "2"})
    assert (again.description, again.role_arn, again.tags) == ("", "", {"a": "1"})
    assert [target.id for target in again.targets] == ["t1"]
    assert yard.put() == []
    assert len(messages(yard.put(source="mine"))) == 1


def test_a_disabled_rule_sends_nothing() -> None:
    yard = Yard()
    yard.rule()
    yard.target()
    yard.do(c.SetRuleState("default", "failed", DISABLED))
    assert yard.put() == []
    yard.do(c.SetRuleState("default", "failed", ENABLED))
    assert len(yard.put()) == 1


def test_who_matches_beside_the_machine_hears_of_changed_rules() -> None:
    yard = Yard()
    yard.rule()
    yard.target()
    (effect,) = yard.commit()
    assert isinstance(effect, RulesChanged)
    known = {"source": "aws.batch", "detail-type": "Batch Job State Change", "detail.status": "FAILED"}
    assert effect.router.could_match("default", known)
    assert not effect.router.could_match("default", known | {"detail.status": "RUNNABLE"})
    assert not effect.router.could_match("other", known)
    assert yard.commit() == []
    yard.put()
    assert yard.commit() == []


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (c.PutRule("x", "r", ENABLED, FAILED), "ResourceNotFoundException", "Event bus x does not exist."),
        (c.AskRules("x"), "ResourceNotFoundException", "Event bus x does not exist."),
        (c.CreateEventBus("default"), "ResourceAlreadyExistsException", "Event bus default already exists."),
        (c.DeleteEventBus("default"), "ValidationException", "Cannot delete event bus default."),
        (
            c.SetRuleState("default", "x", DISABLED),
            "ResourceNotFoundException",
            "Rule x does not exist on EventBus default.",
        ),
        (c.TagEvents("default", "x"), "ResourceNotFoundException", "Rule x does not exist on EventBus default."),
        (c.DeleteRule("default", "failed"), "ValidationException", "Rule can't be deleted since it has targets."),
        (c.DeleteEventBus("mine"), "ValidationException", "Event bus mine can't be deleted since it has rules."),
        (
            c.PutRule("mine", "r", ENABLED, "", "rate(1 minute)"),
            "ValidationException",
            "ScheduleExpression is supported only on the default event bus.",
        ),
        (
            c.PutRule("default", "r", ENABLED, "{}"),
            "InvalidEventPatternException",
            "Event pattern is not valid. Reason: Empty objects are not allowed",
        ),
        (
            c.PutTargets("default", "failed", tuple(Target(f"n{n}", LOGS, {}) for n in range(5))),
            "LimitExceededException",
            "The requested resource exceeds the maximum number allowed.",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_aws_words_and_changes_nothing(
    command: Command[Any], code: str, words: str
) -> None:
    yard = Yard()
    yard.rule()
    yard.target()
    yard.do(c.CreateEventBus("mine"))
    yard.rule(bus="mine")
    yard.commit()
    with pytest.raises(Refused) as caught:
        yard.do(command)
    assert (caught.value.code, caught.value.message.splitlines()[0]) == (code, words)
    assert yard.machine.pending_changes.is_empty()


@pytest.mark.parametrize(
    ("arn", "more", "words"),
    [
        ("arn:aws:lambda:us-east-1:1:function:f", {}, "Lambda functions are not run here: use an API destination"),
        ("arn:aws:sqs:us-east-1:1:q", {}, "There are no SQS queues here"),
        (
            "arn:aws:states:us-east-1:1:activity:a",
            {},
            "a Batch job queue, a state machine, a bus or an API destination",
        ),
        ("nothing", {}, "Provided Arn is not in correct format"),
        ("arn:aws:batch:us-east-1:1:job-queue/q", {}, "BatchParameters must be provided"),
        (LOGS, {"InputPath": "$.a", "Input": "1"}, "Only one of Input, InputPath, or InputTransformer"),
        (LOGS, {"DeadLetterConfig": {"Arn": "arn:aws:sqs:us-east-1:1:q"}}, "there are no SQS queues here; name a log"),
    ],
)
def test_a_target_that_is_not_served_fails_alone_with_a_remedy(arn: str, more: dict[str, Any], words: str) -> None:
    yard = Yard()
    yard.rule()
    good, bad = Target("a", LOGS, {"Id": "a", "Arn": LOGS}), Target("b", arn, {"Id": "b", "Arn": arn, **more})
    (failed,) = yard.do(c.PutTargets("default", "failed", (bad, good)))
    assert failed.id == "b"
    assert words in failed.error
    (rule,) = yard.do(c.AskRules("default"))
    assert rule.targets == (good,)


def test_each_kind_of_target_has_its_channel() -> None:
    yard = Yard()
    yard.rule()
    head = "arn:aws:{}:us-east-1:123456789012:{}"
    parameters = {"JobDefinition": "d:1", "JobName": "n", "ArrayProperties": {"Size": 3}}
    yard.target(name="1", arn=head.format("batch", "job-queue/q"), BatchParameters=parameters)
    http = {"PathParameterValues": ["p"], "HeaderParameters": {"h": "1"}}
    yard.target(name="2", arn=head.format("events", "api-destination/hook/uuid"), HttpParameters=http)
    machine = head.format("states", "stateMachine:pipeline:PROD")
    yard.target(name="0", arn=machine, RoleArn=head.format("iam", "role/r"), InputPath="$.detail")
    yard.target(name="3", arn=head.format("sns", "topic"))
    *sent, published = yard.put()
    found = {message.channel: message.target for message in messages(sent)}
    assert found["states"] == {"arn": machine}
    assert found["batch"] == {"queue": "q", "definition": "d:1", "name": "n", "array_size": 3, "attempts": 0}
    assert found["http"] == {"destination": "hook", "path_values": ("p",), "headers": {"h": "1"}, "query": {}}
    assert isinstance(published, PublishToTopic)
    assert published.topic_arn == head.format("sns", "topic")
    assert json.decode(published.publication.body)["id"] == "e-1"
    (*_, again) = yard.put()
    assert again.publication.message_id == published.publication.message_id, "an event that comes again is the same"


def test_the_retry_policy_and_the_dead_letter_group_are_the_targets() -> None:
    yard = Yard()
    yard.rule()
    retry = {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 60}
    dead = {"Arn": "arn:aws:logs:us-east-1:123456789012:log-group:/dead:*"}
    yard.target(RetryPolicy=retry, DeadLetterConfig=dead, Input='"fixed"')
    (message,) = messages(yard.put())
    assert (message.policy, message.dead_letter_group) == (DeliveryPolicy(2, 60), "/dead")
    assert message.body == '"fixed"'
    assert json.decode(message.original)["id"] == "e-1"


def test_an_input_that_cannot_be_made_is_a_failure_and_not_silence() -> None:
    yard = Yard()
    yard.rule()
    yard.target(InputPath="$.detail.absent")
    (report,) = yard.put()
    assert isinstance(report, Undeliverable)
    assert (report.error_code, report.token) == ("INVALID_INPUT", "e-1/failed/t1")


def test_a_bus_passes_events_on_and_circles_end() -> None:
    yard = Yard()
    yard.do(c.CreateEventBus("mine"))
    for bus, other in (("default", "mine"), ("mine", "default")):
        yard.rule(bus=bus)
        yard.target(name="bus", bus=bus, arn=f"arn:aws:events:us-east-1:123456789012:event-bus/{other}")
    yard.target(name="log", bus="mine")
    assert len(messages(yard.put())) == (events.MAX_BUS_HOPS + 1) // 2


def test_an_unknown_bus_drops_its_events() -> None:
    assert Yard().put(bus="nowhere") == []


def test_what_waits_for_a_removed_target_is_dropped() -> None:
    yard = Yard()
    yard.rule()
    yard.target()
    yard.do(c.RemoveTargets("default", "failed", ("t1", "unknown")))
    lanes = [f"arn:aws:events:us-east-1:123456789012:rule/failed#{name}" for name in ("t1", "unknown")]
    assert list(yard.machine.outgoing()) == [DropLane(lane) for lane in lanes]
    yard.do(c.DeleteRule("default", "failed"))
    yard.do(c.DeleteRule("default", "failed"))
    yard.crash()
    assert yard.do(c.AskRules("default")) == ()


def test_tags_are_merged_and_removed() -> None:
    yard = Yard()
    yard.rule(tags={"a": "1", "b": "2"})
    yard.do(c.TagEvents("default", "failed", {"c": "3"}, ("a", "absent")))
    yard.do(c.TagEvents("default", tags={"on": "bus"}))
    yard.crash()
    assert yard.do(c.AskRules("default"))[0].tags == {"b": "2", "c": "3"}
    assert yard.do(c.AskEventBuses())[0].tags == {"on": "bus"}
    with pytest.raises(Refused, match="at most 50 tags"):
        yard.do(c.TagEvents("default", tags={str(number): "" for number in range(51)}))


@pytest.mark.parametrize("name", ["", "a b", "a:b", "x" * 513])
def test_a_log_group_has_a_name_that_groups_can_have(name: str) -> None:
    yard = Yard()
    yard.rule()
    arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{name}"
    (failed,) = yard.target(arn=arn)
    assert "no name of a log group" in failed.error
    (failed,) = yard.target(DeadLetterConfig={"Arn": arn})
    assert "no name of a log group" in failed.error
