"""The commands of SNS: writes of the API and questions to memory. Shapes were checked; machine.py checks them against
what there is."""

from __future__ import annotations

from msgspec import Struct, field

from batchyard.core.model.commands import Command
from batchyard.topics.records import Subscription, Topic


class CreateTopic(Command[Topic], frozen=True):
    """Creates a topic, or returns the one there is where its attributes and tags are no others."""

    arn: str
    attributes: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class DeleteTopic(Command[None], frozen=True):
    """Deletes a topic with its subscriptions. One that is not there is no fault."""

    arn: str


class SetTopicAttribute(Command[None], frozen=True):
    arn: str
    name: str
    value: str


class TagTopic(Command[None], frozen=True):
    arn: str
    tags: dict[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


class Subscribe(Command[Subscription], frozen=True):
    """Adds a subscription, or returns the one of this protocol and endpoint. `uuid` and `token`: of a new one."""

    topic_arn: str
    protocol: str
    endpoint: str
    uuid: str
    token: str
    attributes: dict[str, str] = field(default_factory=dict)


class ConfirmSubscription(Command[Subscription], frozen=True):
    topic_arn: str
    token: str


class Unsubscribe(Command[None], frozen=True):
    """Removes a subscription. One that is not there is no fault."""

    arn: str


class SetSubscriptionAttribute(Command[None], frozen=True):
    arn: str
    name: str
    value: str


class Attribute(Struct, frozen=True):
    """A message attribute. `value`: text, or base64 of a Binary one."""

    data_type: str
    value: str


class Publication(Struct, frozen=True):
    """One message. `bodies`: by protocol, where MessageStructure is json; else `body` is for all."""

    message_id: str
    body: str
    subject: str = ""
    bodies: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Attribute] = field(default_factory=dict)
    order_key: str = ""


class Publish(Command[None], frozen=True):
    topic_arn: str
    publications: tuple[Publication, ...]


class PublishToTopic(Struct, frozen=True):
    """A report of another machine: its message for a topic. `lane`, `token`: under which a failure is listed."""

    topic_arn: str
    publication: Publication
    lane: str
    token: str


class AskTopics(Command[tuple[Topic, ...]], frozen=True):
    """Asks for all topics, by ARN."""


class AskSubscriptions(Command[tuple[Subscription, ...]], frozen=True):
    """Asks for the subscriptions of a topic, or of all, by ARN."""

    topic_arn: str = ""
