"""Subscriptions of SNS: who gets what is published to a topic (observability spec 8.1, 8.3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from msgspec import json

from batchyard.api.context import Call, Context, Notifications
from batchyard.api.sns.delivery_policies import check_subscription_policy, effective_subscription_policy
from batchyard.api.sns.requests import arn_in, invalid, page, subscription_arn_in
from batchyard.api.sns.topics import find_topic
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.notifications.filter_policy import SCOPES
from batchyard.topics import commands as c
from batchyard.topics.records import (
    APPRISE,
    EMAIL_PROTOCOLS,
    HTTP_PROTOCOLS,
    OWN_PROTOCOLS,
    PROTOCOLS,
    Subscription,
)
from batchyard.wire.messages import Document

PENDING = "pending confirmation"  # Subscribe's words; lists have their own
PENDING_IN_LISTS = "PendingConfirmation"
TOKEN = re.compile(r"[0-9a-f]{64,}")
# Of a mailbox, as the field of HTML has it: what no mail program takes for two addresses.
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
MAX_ENDPOINT = 2048  # URLs beyond it are cut by what carries them
# Protocols of AWS whose receivers are not here, and what to use instead.
NOT_BUILT = {
    "sqs": "there are no queues here: use http, https or exec",
    "lambda": "there are no functions here: use http, https or exec",
    "firehose": "there are no delivery streams here: use http or https",
    "sms": "no text messages are sent here: use email, exec or apprise",
    "application": "no mobile push is sent here: use exec or apprise",
}
NOT_HONOURED = ("SubscriptionRoleArn", "ReplayPolicy")


async def subscribe(context: Context, call: Call, request: Document) -> Document:
    """TopicArn, Protocol, Endpoint, Attributes -> SubscriptionArn, or that the receiver must confirm it."""
    arn = arn_in(request, "TopicArn")
    protocol, endpoint = request["Protocol"], request.get("Endpoint", "")
    _check_endpoint(context, protocol, endpoint)
    attributes = request.get("Attributes", {})
    for name, value in attributes.items():
        _check_attribute(name, value, "Attributes Reason: ")
    kept = {name: value for name, value in attributes.items() if value and name not in NOT_HONOURED}
    token = "".join(context.new_uuid().replace("-", "") for _ in range(2))
    command = c.Subscribe(arn, protocol, endpoint, context.new_uuid(), token, kept)
    subscription = await context.ask(command)
    wants_arn = request.get("ReturnSubscriptionArn", False)
    return {"SubscriptionArn": subscription.arn if subscription.is_confirmed or wants_arn else PENDING}


async def confirm_subscription(context: Context, call: Call, request: Document) -> Document:
    """TopicArn, Token -> SubscriptionArn. Confirming again is no fault."""
    topic_arn, token = request["TopicArn"], request["Token"]
    if not TOKEN.fullmatch(token):
        raise Refused("Invalid token", "InvalidParameter")
    if not topic_arn.startswith(context.account.arn("sns", "")):
        raise invalid("Topic")
    owner = [one for one in await context.ask(c.AskSubscriptions()) if one.token == token]
    if owner and owner[0].topic_arn != topic_arn:
        raise invalid("Topic")
    subscription = await context.ask(c.ConfirmSubscription(topic_arn, token))
    return {"SubscriptionArn": subscription.arn}


async def unsubscribe(context: Context, call: Call, request: Document) -> Document:
    """One that is not there is no fault, as on AWS."""
    await context.ask(c.Unsubscribe(subscription_arn_in(request)))
    return {}


async def list_subscriptions(context: Context, call: Call, request: Document) -> Document:
    """By ARN, 100 to a page."""
    return _listed(context, request, await context.ask(c.AskSubscriptions()))


async def list_subscriptions_by_topic(context: Context, call: Call, request: Document) -> Document:
    return _listed(context, request, await context.ask(c.AskSubscriptions(arn_in(request, "TopicArn"))))


def _listed(context: Context, request: Document, found: Iterable[Subscription]) -> Document:
    rows = [(one.arn, _summary(context, one)) for one in found]
    return page(request, "Subscriptions", rows)


def _summary(context: Context, subscription: Subscription) -> Document:
    return {
        "SubscriptionArn": subscription.arn if subscription.is_confirmed else PENDING_IN_LISTS,
        "Owner": context.account.account_id,
        "Protocol": subscription.protocol,
        "Endpoint": subscription.endpoint,
        "TopicArn": subscription.topic_arn,
    }


async def get_subscription_attributes(context: Context, call: Call, request: Document) -> Document:
    subscription = await _find(context, subscription_arn_in(request))
    own = subscription.attributes
    attributes = {
        "SubscriptionArn": subscription.arn,
        "TopicArn": subscription.topic_arn,
        "Owner": context.account.account_id,
        "Protocol": subscription.protocol,
        "Endpoint": subscription.endpoint,
        "PendingConfirmation": _text_of(not subscription.is_confirmed),
        "ConfirmationWasAuthenticated": _text_of(subscription.protocol in OWN_PROTOCOLS),
        "RawMessageDelivery": "false",
        "SubscriptionPrincipal": f"arn:{context.account.partition}:iam::{context.account.account_id}:root",
    }
    if "FilterPolicy" in own:
        attributes["FilterPolicyScope"] = SCOPES[0]
    if "DeliveryPolicy" in own:
        topic = await find_topic(context, subscription.topic_arn)
        attributes["EffectiveDeliveryPolicy"] = effective_subscription_policy(
            own["DeliveryPolicy"], topic.attributes.get("DeliveryPolicy", "")
        )
    return {"Attributes": attributes | own}


async def set_subscription_attributes(context: Context, call: Call, request: Document) -> Document:
    """AttributeName, AttributeValue; an empty value is the default."""
    arn = subscription_arn_in(request)
    name, value = request["AttributeName"], request.get("AttributeValue", "")
    _check_attribute(name, value, "")
    if name in NOT_HONOURED:
        await _find(context, arn)
    else:
        await context.ask(c.SetSubscriptionAttribute(arn, name, value))
    return {}


async def _find(context: Context, arn: str) -> Subscription:
    for subscription in await context.ask(c.AskSubscriptions()):
        if subscription.arn == arn:
            return subscription
    raise Refused("Subscription does not exist", "NotFound")


def _text_of(value: bool) -> str:
    return "true" if value else "false"


# -- endpoints --


def _check_endpoint(context: Context, protocol: str, endpoint: str) -> None:
    """Refuses a protocol that is not served, and an endpoint that is none of the protocol."""
    if protocol in NOT_BUILT:
        raise invalid(f"Protocol Reason: {protocol} is not built: {NOT_BUILT[protocol]}")
    if protocol not in PROTOCOLS:
        raise invalid(f"Amazon SNS does not support this protocol string: {protocol}")
    if not endpoint or len(endpoint) > MAX_ENDPOINT:
        raise invalid("Endpoint")
    if protocol in HTTP_PROTOCOLS:
        if not endpoint.startswith(f"{protocol}://"):
            raise invalid("Endpoint must match the specified protocol")
        if not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
            raise invalid("Endpoint Reason: it must be a URL in ASCII: write other characters as %XX")
    elif protocol in EMAIL_PROTOCOLS:
        if not ADDRESS.fullmatch(endpoint):
            raise invalid("Email address")
        if not context.notifications.has_smtp:
            raise invalid(
                "Protocol Reason: no mail can be sent: set host and sender of [smtp] in the configuration file"
            )
    else:
        _check_own_endpoint(context.notifications, protocol, endpoint)


def _check_own_endpoint(notifications: Notifications, protocol: str, endpoint: str) -> None:
    """Refuses a name that the owner did not give to what the protocol uses."""
    if protocol == APPRISE and not notifications.has_apprise:
        raise invalid(
            "Protocol Reason: apprise needs Apprise, which is not installed: pip install 'batchyard[apprise]' where "
            "the service runs, and start it again"
        )
    names = notifications.urls if protocol == APPRISE else notifications.commands
    if endpoint not in names:
        there_are = f"there are {', '.join(names)}" if names else "there is none"
        raise invalid(
            f"Endpoint Reason: {protocol} needs the NAME of a table [notify.NAME] of the configuration file with a "
            f"{'url' if protocol == APPRISE else 'command'}: {there_are}"
        )


# -- attributes --


def _check_attribute(name: str, value: str, prefix: str) -> None:
    if name in NOT_HONOURED:
        if value:
            raise invalid(f"{prefix}{name}: it is not built here: leave it out")
        return
    if name == "FilterPolicy":
        return  # the topic's machine compiles it, with the scope that it has
    if name not in _CHECKS:
        raise invalid(f"{prefix}AttributeName")
    if value:
        _CHECKS[name](value, prefix)


def _check_raw(value: str, prefix: str) -> None:
    if value not in ("true", "false"):
        raise invalid(f"{prefix}RawMessageDelivery: Invalid value [{value}]. Must be true or false.")


def _check_scope(value: str, prefix: str) -> None:
    if value not in SCOPES:
        raise invalid(
            f"{prefix}FilterPolicyScope: Invalid value [{value}]. Please use either MessageBody or MessageAttributes"
        )


def _check_delivery_policy(value: str, prefix: str) -> None:
    check_subscription_policy(value)


def _check_redrive_policy(value: str, prefix: str) -> None:
    """Dead letters go to a log group: there are no SQS queues."""
    try:
        document = json.decode(value)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise invalid(f"{prefix}RedrivePolicy: failed to parse JSON.")
    arn = document.get("deadLetterTargetArn")
    if not isinstance(arn, str) or ":log-group:" not in arn:
        raise invalid(
            f"{prefix}RedrivePolicy: deadLetterTargetArn must be the ARN of a log group: there are no SQS queues here"
        )


_CHECKS: dict[str, Callable[[str, str], None]] = {
    "RawMessageDelivery": _check_raw,
    "FilterPolicyScope": _check_scope,
    "DeliveryPolicy": _check_delivery_policy,
    "RedrivePolicy": _check_redrive_policy,
}
