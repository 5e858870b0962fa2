"""Topics of SNS, their attributes and tags (observability spec 8.1)."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import json

from batchyard.api.context import Call, Context
from batchyard.api.sns.delivery_policies import check_topic_policy, effective_topic_policy
from batchyard.api.sns.requests import arn_in, invalid, page, tag_keys_in, tags_in
from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.topics import commands as c
from batchyard.topics.records import Topic
from batchyard.wire.messages import Document

NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")
FIFO = ".fifo"
MAX_DISPLAY_NAME = 100  # API: DisplayName
SIGNATURE_VERSIONS = ("1", "2")
FEEDBACK_PROTOCOLS = ("HTTP", "Firehose", "Lambda", "Application", "SQS")
NO_FEEDBACK = "0"  # percent of the successful deliveries that AWS logs; Terraform's aws_sns_topic always writes it
# Attributes that ask for what is not built; an empty one, or the value that asks for nothing, is let through.
NOT_HONOURED = {
    "FifoTopic": "false",
    "ContentBasedDeduplication": "false",
    "FifoThroughputScope": "",
    "ArchivePolicy": "",
    "KmsMasterKeyId": "",
    "TracingConfig": "PassThrough",
    "DataProtectionPolicy": "",
} | {
    f"{protocol}{kind}": ""
    for protocol in FEEDBACK_PROTOCOLS
    for kind in ("SuccessFeedbackRoleArn", "FailureFeedbackRoleArn")
}


async def create_topic(context: Context, call: Call, request: Document) -> Document:
    """Name, Attributes, Tags -> TopicArn. The same name, attributes and tags give the same topic."""
    name, tags = request["Name"], tags_in(request)
    if name.endswith(FIFO):
        raise invalid("Topic Name Reason: FIFO topics are not built here: use a name that does not end with .fifo")
    if not NAME.fullmatch(name):
        raise invalid("Topic Name")
    if request.get("DataProtectionPolicy"):
        raise invalid("DataProtectionPolicy Reason: data protection policies are not built here: leave it out")
    attributes = request.get("Attributes", {})
    for attribute, value in attributes.items():
        _check_attribute(attribute, value, "Attributes Reason: ")
    kept = {attribute: value for attribute, value in attributes.items() if attribute not in NOT_HONOURED}
    topic = await context.ask(c.CreateTopic(context.account.arn("sns", name), kept, tags))
    return {"TopicArn": topic.arn}


async def delete_topic(context: Context, call: Call, request: Document) -> Document:
    """One that is not there is no fault, as on AWS."""
    await context.ask(c.DeleteTopic(arn_in(request, "TopicArn")))
    return {}


async def list_topics(context: Context, call: Call, request: Document) -> Document:
    """By ARN, 100 to a page."""
    return page(request, "Topics", [(topic.arn, {"TopicArn": topic.arn}) for topic in await context.ask(c.AskTopics())])


async def get_topic_attributes(context: Context, call: Call, request: Document) -> Document:
    topic = await find_topic(context, arn_in(request, "TopicArn"))
    subscriptions = await context.ask(c.AskSubscriptions(topic.arn))
    confirmed = sum(subscription.is_confirmed for subscription in subscriptions)
    attributes = {
        "TopicArn": topic.arn,
        "Owner": context.account.account_id,
        "DisplayName": "",
        "Policy": default_policy(topic.arn, context.account),
        "EffectiveDeliveryPolicy": effective_topic_policy(topic.attributes.get("DeliveryPolicy", "")),
        "SubscriptionsConfirmed": str(confirmed),
        "SubscriptionsPending": str(len(subscriptions) - confirmed),
        "SubscriptionsDeleted": "0",
    }
    return {"Attributes": attributes | {name: value for name, value in topic.attributes.items() if value}}


async def set_topic_attributes(context: Context, call: Call, request: Document) -> Document:
    """AttributeName, AttributeValue; an empty value is the default."""
    arn = arn_in(request, "TopicArn")
    name, value = request["AttributeName"], request.get("AttributeValue", "")
    _check_attribute(name, value, "")
    if name in NOT_HONOURED:
        await find_topic(context, arn)
    else:
        await context.ask(c.SetTopicAttribute(arn, name, value))
    return {}


async def find_topic(context: Context, arn: str) -> Topic:
    for topic in await context.ask(c.AskTopics()):
        if topic.arn == arn:
            return topic
    raise Refused("Topic does not exist", "NotFound")


# -- attributes --


def _check_attribute(name: str, value: str, prefix: str) -> None:
    """Refuses an attribute that is unknown, wrong, or asks for what is not built. `prefix`: of AWS's reason."""
    if name in NOT_HONOURED:
        if value not in ("", NOT_HONOURED[name]):
            raise invalid(f"{prefix}{name}: it is not built here: leave it out")
        return
    if name not in _CHECKS:
        raise invalid(f"{prefix}AttributeName")
    if value:
        _CHECKS[name](value, prefix)


def _check_display_name(value: str, prefix: str) -> None:
    if len(value) > MAX_DISPLAY_NAME:
        raise invalid(f"{prefix}DisplayName: it must have at most {MAX_DISPLAY_NAME} characters")


def _check_policy(value: str, prefix: str) -> None:
    """The policy is kept for those who read it back; callers of this service have all rights."""
    try:
        is_object = isinstance(json.decode(value), dict)
    except ValueError:
        is_object = False
    if not is_object:
        raise invalid(f"{prefix}Policy Error: null")  # AWS's words for what is no JSON


def _check_delivery_policy(value: str, prefix: str) -> None:
    check_topic_policy(value)


def _check_signature_version(value: str, prefix: str) -> None:
    if value not in SIGNATURE_VERSIONS:
        raise invalid(f"{prefix}SignatureVersion: it must be one of {', '.join(SIGNATURE_VERSIONS)}, got {value}")


def _check_sample_rate(value: str, prefix: str) -> None:
    if value != NO_FEEDBACK:
        raise invalid(
            f"{prefix}SuccessFeedbackSampleRate: logs of deliveries are not built here (`batchyard events failures` "
            f"lists those that failed): use {NO_FEEDBACK}, got {value}"
        )


_CHECKS: dict[str, Callable[[str, str], None]] = {
    "DisplayName": _check_display_name,
    "Policy": _check_policy,
    "DeliveryPolicy": _check_delivery_policy,
    "SignatureVersion": _check_signature_version,
    **{f"{protocol}SuccessFeedbackSampleRate": _check_sample_rate for protocol in FEEDBACK_PROTOCOLS},
}


def default_policy(arn: str, account: Account) -> str:
    """Returns the policy of a topic that was given none, as AWS words it (recorded)."""
    actions = (
        "GetTopicAttributes",
        "SetTopicAttributes",
        "AddPermission",
        "RemovePermission",
        "DeleteTopic",
        "Subscribe",
        "ListSubscriptionsByTopic",
        "Publish",
    )
    statement = {
        "Sid": "__default_statement_ID",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": [f"SNS:{action}" for action in actions],
        "Resource": arn,
        "Condition": {"StringEquals": {"AWS:SourceOwner": account.account_id}},
    }
    document = {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}
    return json.encode(document).decode()


# -- tags --


async def tag_resource(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.TagTopic(arn_in(request, "ResourceArn"), tags_in(request)))
    return {}


async def untag_resource(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.TagTopic(arn_in(request, "ResourceArn"), removed=tag_keys_in(request)))
    return {}


async def list_tags_for_resource(context: Context, call: Call, request: Document) -> Document:
    arn = arn_in(request, "ResourceArn")
    for topic in await context.ask(c.AskTopics()):
        if topic.arn == arn:
            return {"Tags": [{"Key": key, "Value": value} for key, value in topic.tags.items()]}
    raise Refused("Resource does not exist", "ResourceNotFound")
