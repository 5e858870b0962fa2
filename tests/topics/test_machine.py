"""Topics and subscriptions, and who gets what is published (observability spec 8)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import json

from batchyard.core.model.commands import Command
from batchyard.core.model.deliveries import DeliveryPolicy, Message, Undeliverable
from batchyard.core.model.refusal import Refused
from batchyard.deliveries.machine import AddDelivery, DropLane
from batchyard.simulator.disk import Disk
from batchyard.store import codec
from batchyard.topics import commands as c
from batchyard.topics.machine import TopicsMachine
from batchyard.topics.records import Subscription

TOPIC = "arn:aws:sns:us-east-1:123456789012:jobs"


class Yard:
    def __init__(self) -> None:
        self.machine, self.disk, self.now_ms, self.count = TopicsMachine(), Disk(), 1000, 0

    def do(self, command: Command[Any]) -> Any:
        return self.machine.handle(command, self.now_ms)

    def commit(self) -> None:
        self.disk.apply(codec.encode_changes(self.machine.take()[0]), self.now_ms)

    def crash(self) -> None:
        self.commit()
        self.machine = TopicsMachine()
        self.machine.restore(self.disk.snapshot(self.now_ms, 0).documents)

    def subscribe(self, endpoint: str = "http://here/", protocol: str = "http", **attributes: str) -> Subscription:
        self.count += 1
        made = self.do(c.Subscribe(TOPIC, protocol, endpoint, f"u{self.count}", f"token-{self.count}", attributes))
        assert isinstance(made, Subscription)
        return made

    def confirmed(self, endpoint: str = "http://here/", protocol: str = "http", **attributes: str) -> Subscription:
        made = self.subscribe(endpoint, protocol, **attributes)
        self.do(c.ConfirmSubscription(TOPIC, made.token))
        self.sent()
        return made

    def publish(self, body: str = "text", **members: Any) -> list[Message]:
        self.do(c.Publish(TOPIC, (c.Publication("m-1", body, **members),)))
        return self.sent()

    def sent(self) -> list[Message]:
        reports = list(self.machine.outgoing())
        assert all(isinstance(report, AddDelivery) for report in reports), reports
        return [report.message for report in reports]


@pytest.fixture
def yard() -> Yard:
    made = Yard()
    made.do(c.CreateTopic(TOPIC))
    return made


def test_a_receiver_confirms_before_it_gets_messages(yard: Yard) -> None:
    made = yard.subscribe()
    (asked,) = yard.sent()
    assert (asked.channel, asked.lane, asked.target["kind"]) == ("sns", made.arn, "SubscriptionConfirmation")
    assert asked.target["token"] == made.token
    assert yard.publish() == []
    yard.do(c.ConfirmSubscription(TOPIC, made.token))
    yard.do(c.ConfirmSubscription(TOPIC, made.token))
    (message,) = yard.publish(subject="hello", order_key="job-1")
    target = message.target
    assert (message.body, target["kind"], target["subject"], target["endpoint"]) == (
        "text",
        "Notification",
        "hello",
        "http://here/",
    )
    assert (message.order_key, message.token) == ("job-1", f"m-1/{made.arn}")


def test_programs_of_the_owner_need_no_confirmation(yard: Yard) -> None:
    yard.subscribe("pager", "exec")
    (message,) = yard.publish()
    assert (message.target["protocol"], message.target["endpoint"]) == ("exec", "pager")


def test_topics_and_subscriptions_outlive_a_crash(yard: Yard) -> None:
    made = yard.confirmed(FilterPolicy='{"kind": ["a"]}')
    yard.do(c.TagTopic(TOPIC, {"a": "1"}))
    before = yard.do(c.AskTopics()), yard.do(c.AskSubscriptions())
    yard.crash()
    assert (yard.do(c.AskTopics()), yard.do(c.AskSubscriptions())) == before
    assert yard.publish() == []
    assert len(yard.publish(attributes={"kind": c.Attribute("String", "a")})) == 1
    assert made.arn == f"{TOPIC}:u1"


def test_a_filter_policy_of_the_body_takes_objects_alone(yard: Yard) -> None:
    yard.confirmed(FilterPolicy='{"status": ["FAILED"]}', FilterPolicyScope="MessageBody")
    assert len(yard.publish('{"status": "FAILED"}')) == 1
    assert yard.publish('{"status": "SUCCEEDED"}') == []
    assert yard.publish("FAILED") == []


def test_a_policy_can_be_set_and_removed(yard: Yard) -> None:
    made = yard.confirmed()
    yard.do(c.SetSubscriptionAttribute(made.arn, "FilterPolicy", '{"kind": ["a"]}'))
    assert yard.publish() == []
    with pytest.raises(Refused, match="Invalid parameter: FilterPolicy: "):
        yard.do(c.SetSubscriptionAttribute(made.arn, "FilterPolicy", '{"kind": "a"}'))
    yard.do(c.SetSubscriptionAttribute(made.arn, "FilterPolicy", ""))
    assert len(yard.publish()) == 1


def test_each_protocol_gets_its_own_text(yard: Yard) -> None:
    yard.confirmed()
    yard.subscribe("pager", "exec")
    found = yard.publish("for all", bodies={"http": "for http"})
    assert {message.target["protocol"]: message.body for message in found} == {"http": "for http", "exec": "for all"}


def test_raw_delivery_and_signatures_are_told_to_the_sender(yard: Yard) -> None:
    yard.confirmed(RawMessageDelivery="true")
    yard.do(c.SetTopicAttribute(TOPIC, "SignatureVersion", "2"))
    policy = {"http": {"defaultRequestPolicy": {"headerContentType": "application/json"}}}
    yard.do(c.SetTopicAttribute(TOPIC, "DeliveryPolicy", json.encode(policy).decode()))
    (message,) = yard.publish()
    target = message.target
    assert (target["is_raw"], target["signature_version"], target["content_type"]) == (True, "2", "application/json")


def test_retries_are_those_of_the_delivery_policy(yard: Yard) -> None:
    yard.confirmed()
    own = {"healthyRetryPolicy": {"numRetries": 4, "minDelayTarget": 1, "maxDelayTarget": 9, "numNoDelayRetries": 1}}
    yard.confirmed("http://there/", DeliveryPolicy=json.encode(own).decode())
    default, special = yard.publish()
    assert default.policy == DeliveryPolicy(3, 7200, (20, 20, 20))
    assert special.policy == DeliveryPolicy(4, 7200, (0, 3, 5, 7))


def test_a_removed_subscription_is_told_and_its_messages_go(yard: Yard) -> None:
    made = yard.confirmed()
    yard.do(c.Unsubscribe(made.arn))
    dropped, told = yard.machine.outgoing()
    assert dropped == DropLane(made.arn)
    assert told.message.target["kind"] == "UnsubscribeConfirmation"
    assert told.message.lane != made.arn
    yard.do(c.Unsubscribe(made.arn))
    assert yard.publish() == []


def test_a_topic_goes_with_its_subscriptions(yard: Yard) -> None:
    made = yard.confirmed()
    yard.do(c.DeleteTopic(TOPIC))
    yard.do(c.DeleteTopic(TOPIC))
    assert list(yard.machine.outgoing()) == [DropLane(made.arn)]
    yard.crash()
    assert (yard.do(c.AskTopics()), yard.do(c.AskSubscriptions())) == ((), ())


def test_another_machine_publishes_and_hears_nothing_of_failures_but_they_are_seen(yard: Yard) -> None:
    yard.confirmed()
    publication = c.Publication("m-2", "an alarm")
    yard.machine.report("", c.PublishToTopic(TOPIC, publication, "alarm:x", "t-1"), yard.now_ms)
    assert [message.body for message in yard.sent()] == ["an alarm"]
    yard.machine.report("", c.PublishToTopic(f"{TOPIC}x", publication, "alarm:x", "t-2"), yard.now_ms)
    assert list(yard.machine.outgoing()) == [Undeliverable("alarm:x", "t-2", "NO_RESOURCE", "Topic does not exist")]


def test_dead_letters_go_to_a_log_group(yard: Yard) -> None:
    redrive = {"deadLetterTargetArn": "arn:aws:logs:us-east-1:123456789012:log-group:/dead:*"}
    yard.confirmed(RedrivePolicy=json.encode(redrive).decode())
    assert yard.publish()[0].dead_letter_group == "/dead"


def test_creating_again_is_the_same_unless_it_says_otherwise(yard: Yard) -> None:
    yard.do(c.CreateTopic(f"{TOPIC}2", {"DisplayName": "d"}, {"a": "1"}))
    same = yard.do(c.CreateTopic(f"{TOPIC}2", {"DisplayName": "d"}))
    assert (same.tags, same.attributes) == ({"a": "1"}, {"DisplayName": "d"})
    first = yard.subscribe()
    assert yard.subscribe().arn == first.arn
    with pytest.raises(Refused, match="Subscription already exists with different attributes"):
        yard.subscribe(RawMessageDelivery="true")


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (c.Publish(f"{TOPIC}x", ()), "NotFound", "Topic does not exist"),
        (c.Subscribe(f"{TOPIC}x", "http", "e", "u", "t"), "NotFound", "Topic does not exist"),
        (c.SetTopicAttribute(f"{TOPIC}x", "DisplayName", "d"), "NotFound", "Topic does not exist"),
        (c.SetSubscriptionAttribute("x", "RawMessageDelivery", "true"), "NotFound", "Subscription does not exist"),
        (c.ConfirmSubscription(TOPIC, "other"), "InvalidParameter", "Invalid parameter: Token"),
        (c.TagTopic(f"{TOPIC}x", {"a": "b"}), "ResourceNotFound", "Resource does not exist"),
        (
            c.CreateTopic(TOPIC, tags={"a": "b"}),
            "InvalidParameter",
            "Invalid parameter: Tags Reason: Topic already exists with different tags",
        ),
        (
            c.Subscribe(TOPIC, "http", "e", "u", "t", {"FilterPolicy": "x"}),
            "InvalidParameter",
            "Invalid parameter: Attributes Reason: FilterPolicy: ",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(yard: Yard, command: Any, code: str, words: str) -> None:
    yard.commit()
    with pytest.raises(Refused) as caught:
        yard.do(command)
    assert caught.value.code == code
    assert caught.value.message.startswith(words)
    assert yard.machine.pending_changes.is_empty()
    assert list(yard.machine.outgoing()) == []
