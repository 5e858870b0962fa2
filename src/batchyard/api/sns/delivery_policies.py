"""DeliveryPolicy of topics and subscriptions: what may be in it, and what is in force (observability spec 8.3)."""

from __future__ import annotations

from typing import Any

from msgspec import json

from batchyard.api.sns.requests import invalid
from batchyard.topics.delivery_policies import DEFAULT, check_retry_policy, read_policy
from batchyard.wire.messages import Document

CONTENT_TYPE = "text/plain; charset=UTF-8"
OF_TOPICS = (
    "defaultHealthyRetryPolicy",
    "disableSubscriptionOverrides",
    "defaultThrottlePolicy",
    "defaultRequestPolicy",
)
OF_SUBSCRIPTIONS = ("healthyRetryPolicy", "sicklyRetryPolicy", "throttlePolicy", "requestPolicy", "guaranteed")


def check_topic_policy(text: str) -> None:
    policy = read_policy(text)
    _check_members(policy, ("http",), "")
    of_http = policy.get("http") or {}
    _check_object(of_http, "http")
    _check_members(of_http, OF_TOPICS, "http.")
    _refuse(of_http, "defaultThrottlePolicy", "http.")
    if of_http.get("disableSubscriptionOverrides"):
        raise invalid("DeliveryPolicy: http.disableSubscriptionOverrides is not built here: it must be false")
    _check_retry(of_http.get("defaultHealthyRetryPolicy"), "http.defaultHealthyRetryPolicy")
    _check_request(of_http.get("defaultRequestPolicy"), "http.defaultRequestPolicy")


def check_subscription_policy(text: str) -> None:
    policy = read_policy(text)
    _check_members(policy, OF_SUBSCRIPTIONS, "")
    _refuse(policy, "throttlePolicy", "")
    _refuse(policy, "sicklyRetryPolicy", "")
    _check_retry(policy.get("healthyRetryPolicy"), "healthyRetryPolicy")
    _check_request(policy.get("requestPolicy"), "requestPolicy")


def effective_topic_policy(text: str) -> str:
    """Returns the policy of a topic with the defaults of what it leaves out, as AWS writes it (recorded)."""
    of_http = read_policy(text).get("http") or {}
    policy = {
        "defaultHealthyRetryPolicy": {**DEFAULT, **(of_http.get("defaultHealthyRetryPolicy") or {})},
        "disableSubscriptionOverrides": False,
        "defaultRequestPolicy": {"headerContentType": CONTENT_TYPE, **(of_http.get("defaultRequestPolicy") or {})},
    }
    return json.encode({"http": policy}).decode()


def effective_subscription_policy(text: str, of_topic: str) -> str:
    """Returns the policy of a subscription over its topic's."""
    own: Document = read_policy(text)
    common: Document = json.decode(effective_topic_policy(of_topic))["http"]
    policy = {
        "healthyRetryPolicy": {**common["defaultHealthyRetryPolicy"], **(own.get("healthyRetryPolicy") or {})},
        "sicklyRetryPolicy": None,
        "throttlePolicy": None,
        "requestPolicy": {**common["defaultRequestPolicy"], **(own.get("requestPolicy") or {})},
        "guaranteed": False,
    }
    return json.encode(policy).decode()


def _check_retry(retry: Any, member: str) -> None:
    if retry is not None:
        _check_object(retry, member)
        _check_members(retry, tuple(DEFAULT), f"{member}.")
        check_retry_policy(retry, member)


def _check_request(policy: Any, member: str) -> None:
    if policy is None:
        return
    _check_object(policy, member)
    _check_members(policy, ("headerContentType",), f"{member}.")
    value = policy.get("headerContentType", "")
    if not isinstance(value, str) or not all(" " <= character <= "~" for character in value):
        raise invalid(f"DeliveryPolicy: {member}.headerContentType must be a media type")


def _check_object(value: Any, member: str) -> None:
    if not isinstance(value, dict):
        raise invalid(f"DeliveryPolicy: {member} must be a JSON object")


def _check_members(found: Document, known: tuple[str, ...], prefix: str) -> None:
    for name in found:
        if name not in known:
            raise invalid(f"DeliveryPolicy: {prefix}{name} is no member: there are {', '.join(known)}")


def _refuse(found: Document, member: str, prefix: str) -> None:
    if found.get(member):
        raise invalid(f"DeliveryPolicy: {prefix}{member} is not built here: leave it out")
