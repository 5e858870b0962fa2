"""The machine of SNS: topics, subscriptions, and a delivery for each subscription that takes a message (observability
spec 8)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct, json, to_builtins
from msgspec.structs import replace

from batchyard.core.model.deliveries import DeliveryPolicy, Message, Undeliverable
from batchyard.core.model.refusal import Refused
from batchyard.deliveries.machine import AddDelivery, DropLane
from batchyard.evaluators.notifications.filter_policy import FilterPolicy, compile_filter_policy
from batchyard.evaluators.notifications.message_attributes import MessageAttribute
from batchyard.machines.document_machine import CommandHandlers, DocumentMachine, ReportHandlers
from batchyard.topics import commands as c
from batchyard.topics.delivery_policies import delivery_policy
from batchyard.topics.records import HTTP_PROTOCOLS, OWN_PROTOCOLS, SUBSCRIPTION, TOPIC, Subscription, Topic

CHANNEL = "sns"
MAX_TOPICS = 100_000  # SNS quotas: standard topics of an account
MAX_SUBSCRIPTIONS = 10_000  # memory keeps all of them; SNS allows more
MAX_TAGS = 50
INVALID = "InvalidParameter"
NOTIFICATION, CONFIRMATION, UNSUBSCRIBED = "Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"


class Notice(Struct, frozen=True):
    """What the sender of notices needs beside the body. `kind`: the Type of SNS's envelope; `token`: of the two kinds
    that confirm."""

    kind: str
    message_id: str
    topic_arn: str
    subscription_arn: str
    protocol: str
    endpoint: str
    published_at_ms: int
    subject: str = ""
    attributes: dict[str, c.Attribute] = {}
    token: str = ""
    is_raw: bool = False
    signature_version: str = "1"
    content_type: str = ""


class TopicsMachine(DocumentMachine):
    def __init__(self) -> None:
        super().__init__()
        self._topics = self._table(TOPIC, Topic, lambda topic: topic.arn)
        self._subscriptions = self._table(SUBSCRIPTION, Subscription, lambda subscription: subscription.arn)
        self._filters: dict[str, FilterPolicy | None] = {}  # compiled, by subscription

    def has_topic(self, arn: str) -> bool:
        return arn in self._topics

    def _publish_report(self, report: c.PublishToTopic) -> None:
        """Publishes for another machine. A topic that is not there is a failed delivery."""
        if report.topic_arn in self._topics:
            self._publish(c.Publish(report.topic_arn, (report.publication,)))
        else:
            self._outgoing.append(Undeliverable(report.lane, report.token, "NO_RESOURCE", "Topic does not exist"))

    # -- topics --

    def _create_topic(self, command: c.CreateTopic) -> Topic:
        known = self._topics.get(command.arn)
        if known is not None:
            if command.tags and command.tags != known.tags:
                raise Refused("Invalid parameter: Tags Reason: Topic already exists with different tags", INVALID)
            if any(known.attributes.get(name) != value for name, value in command.attributes.items()):
                raise Refused(
                    "Invalid parameter: Attributes Reason: Topic already exists with different attributes", INVALID
                )
            return known
        if len(self._topics) >= MAX_TOPICS:
            raise Refused(
                f"There are {MAX_TOPICS} topics already, the most there can be: delete one.", "TopicLimitExceeded"
            )
        return self._topics.put(Topic(command.arn, self._now_ms, command.attributes, command.tags))

    def _delete_topic(self, command: c.DeleteTopic) -> None:
        if command.arn not in self._topics:
            return
        self._topics.remove(command.arn)
        for subscription in self._of(command.arn):
            self._remove(subscription)

    def _set_topic_attribute(self, command: c.SetTopicAttribute) -> None:
        topic = self._topic(command.arn)
        self._topics.put(replace(topic, attributes={**topic.attributes, command.name: command.value}))

    def _tag(self, command: c.TagTopic) -> None:
        topic = self._topics.existing(command.arn, "Resource does not exist", "ResourceNotFound")
        kept = {key: value for key, value in topic.tags.items() if key not in command.removed}
        tags = {**kept, **command.tags}
        if len(tags) > MAX_TAGS:
            raise Refused("Could not complete request: tag quota of per resource exceeded", "TagLimitExceeded")
        self._topics.put(replace(topic, tags=tags))

    def _topic(self, arn: str) -> Topic:
        return self._topics.existing(arn, "Topic does not exist", "NotFound")

    # -- subscriptions --

    def _subscribe(self, command: c.Subscribe) -> Subscription:
        """Adds a subscription. Of protocols whose endpoint is outside, the receiver must confirm it."""
        self._topic(command.topic_arn)
        for known in self._of(command.topic_arn):
            if (known.protocol, known.endpoint) == (command.protocol, command.endpoint):
                if known.attributes != command.attributes and command.attributes:
                    raise Refused(
                        "Invalid parameter: Attributes Reason: Subscription already exists with different attributes",
                        INVALID,
                    )
                return known
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise Refused(
                f"There are {MAX_SUBSCRIPTIONS} subscriptions already: remove one.", "SubscriptionLimitExceeded"
            )
        made = Subscription(
            f"{command.topic_arn}:{command.uuid}",
            command.topic_arn,
            command.protocol,
            command.endpoint,
            command.token,
            self._now_ms,
            command.protocol in OWN_PROTOCOLS,
            command.attributes,
        )
        self._compile(made, is_subscribe=True)
        if not made.is_confirmed:
            self._send(made, self._notice(made, CONFIRMATION, command.uuid, made.token), "")
        return self._put(made)

    def _confirm(self, command: c.ConfirmSubscription) -> Subscription:
        for known in self._of(command.topic_arn):
            if known.token == command.token:
                return known if known.is_confirmed else self._put(replace(known, is_confirmed=True))
        raise Refused("Invalid parameter: Token", INVALID)

    def _unsubscribe(self, command: c.Unsubscribe) -> None:
        known = self._subscriptions.get(command.arn)
        if known is None:
            return
        self._remove(known)
        if known.is_confirmed and known.protocol in HTTP_PROTOCOLS:
            self._send(known, self._notice(known, UNSUBSCRIBED, known.arn.rpartition(":")[2], known.token), "")

    def _set_subscription_attribute(self, command: c.SetSubscriptionAttribute) -> None:
        known = self._subscriptions.existing(command.arn, "Subscription does not exist", "NotFound")
        attributes = {name: value for name, value in known.attributes.items() if name != command.name}
        if command.value:
            attributes[command.name] = command.value
        changed = replace(known, attributes=attributes)
        self._compile(changed, is_subscribe=False)
        self._put(changed)

    def _compile(self, subscription: Subscription, *, is_subscribe: bool) -> FilterPolicy | None:
        text = subscription.attributes.get("FilterPolicy", "")
        scope = subscription.attributes.get("FilterPolicyScope", "MessageAttributes")
        return compile_filter_policy(text, scope, is_subscribe=is_subscribe)

    def _put(self, subscription: Subscription) -> Subscription:
        self._filters.pop(subscription.arn, None)
        return self._subscriptions.put(subscription)

    def _remove(self, subscription: Subscription) -> None:
        self._subscriptions.remove(subscription.arn)
        self._filters.pop(subscription.arn, None)
        self._outgoing.append(DropLane(subscription.arn))

    def _of(self, topic_arn: str) -> list[Subscription]:
        return [one for one in self._subscriptions.values() if one.topic_arn == topic_arn]

    # -- messages --

    def _publish(self, command: c.Publish) -> None:
        self._topic(command.topic_arn)
        for publication in command.publications:
            attributes = {name: _evaluated(one) for name, one in publication.attributes.items()}
            for subscription in self._of(command.topic_arn):
                policy = self._filter_of(subscription)
                if not subscription.is_confirmed or (
                    policy is not None and not policy.accepts(publication.body, attributes)
                ):
                    continue
                notice = self._notice(subscription, NOTIFICATION, publication.message_id, "", publication)
                body = publication.bodies.get(subscription.protocol, publication.body)
                self._send(subscription, notice, body, publication.order_key)

    def _filter_of(self, subscription: Subscription) -> FilterPolicy | None:
        if subscription.arn not in self._filters:
            self._filters[subscription.arn] = self._compile(subscription, is_subscribe=False)
        return self._filters[subscription.arn]

    def _notice(
        self,
        subscription: Subscription,
        kind: str,
        message_id: str,
        token: str,
        publication: c.Publication | None = None,
    ) -> Notice:
        topic = self._topics.get(subscription.topic_arn)
        of_topic = {} if topic is None else topic.attributes
        return Notice(
            kind=kind,
            message_id=message_id,
            topic_arn=subscription.topic_arn,
            subscription_arn=subscription.arn,
            protocol=subscription.protocol,
            endpoint=subscription.endpoint,
            published_at_ms=self._now_ms,
            subject="" if publication is None else publication.subject,
            attributes={} if publication is None else publication.attributes,
            token=token,
            is_raw=subscription.is_raw and kind == NOTIFICATION,
            signature_version=of_topic.get("SignatureVersion", "1"),
            content_type=_content_type(subscription, of_topic),
        )

    def _send(self, subscription: Subscription, notice: Notice, body: str, order_key: str = "") -> None:
        topic = self._topics.get(subscription.topic_arn)
        texts = (
            subscription.attributes.get("DeliveryPolicy", ""),
            topic.attributes.get("DeliveryPolicy", "") if topic else "",
        )
        policy = delivery_policy(*texts) if subscription.protocol in HTTP_PROTOCOLS else DeliveryPolicy()
        token = f"{notice.message_id}/{subscription.arn}"
        lane = subscription.arn if notice.kind != UNSUBSCRIBED else f"{subscription.arn}/ended"
        message = Message(
            lane, CHANNEL, to_builtins(notice), body, token, order_key, _dead_letters(subscription), policy=policy
        )
        self._outgoing.append(AddDelivery(message))

    # -- questions --

    def _ask_topics(self, command: c.AskTopics) -> tuple[Topic, ...]:
        return self._topics.in_order()

    def _ask_subscriptions(self, command: c.AskSubscriptions) -> tuple[Subscription, ...]:
        if command.topic_arn:
            self._topic(command.topic_arn)
        found = self._of(command.topic_arn) if command.topic_arn else list(self._subscriptions.values())
        return tuple(sorted(found, key=lambda one: one.arn))

    command_handlers: ClassVar[CommandHandlers] = {
        c.CreateTopic: _create_topic,
        c.DeleteTopic: _delete_topic,
        c.SetTopicAttribute: _set_topic_attribute,
        c.TagTopic: _tag,
        c.Subscribe: _subscribe,
        c.ConfirmSubscription: _confirm,
        c.Unsubscribe: _unsubscribe,
        c.SetSubscriptionAttribute: _set_subscription_attribute,
        c.Publish: _publish,
        c.AskTopics: _ask_topics,
        c.AskSubscriptions: _ask_subscriptions,
    }
    report_handlers: ClassVar[ReportHandlers] = {c.PublishToTopic: _publish_report}


def _evaluated(attribute: c.Attribute) -> MessageAttribute:
    if attribute.data_type.partition(".")[0] == "Binary":
        return MessageAttribute(attribute.data_type, binary_value=base64.b64decode(attribute.value))
    return MessageAttribute(attribute.data_type, attribute.value)


def _content_type(subscription: Subscription, of_topic: Mapping[str, str]) -> str:
    """Returns headerContentType of a delivery policy, the subscription's before the topic's; empty: SNS's own."""
    own = json.decode(subscription.attributes.get("DeliveryPolicy") or "{}").get("requestPolicy") or {}
    common = (json.decode(of_topic.get("DeliveryPolicy") or "{}").get("http") or {}).get("defaultRequestPolicy") or {}
    return str(own.get("headerContentType") or common.get("headerContentType") or "")


def _dead_letters(subscription: Subscription) -> str:
    """Returns the log group of a RedrivePolicy; empty: there is none."""
    arn = json.decode(subscription.attributes.get("RedrivePolicy") or "{}").get("deadLetterTargetArn", "")
    return str(arn.partition(":log-group:")[2].removesuffix(":*"))
