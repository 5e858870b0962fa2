"""What is kept of SNS: topics and subscriptions, as documents (observability spec 8.1)."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.documents import register

HTTP_PROTOCOLS = ("http", "https")
EMAIL_PROTOCOLS = ("email", "email-json")
EXEC, APPRISE = "exec", "apprise"
OWN_PROTOCOLS = (EXEC, APPRISE)  # a superset: the endpoint is the name of a [notify.NAME] of the configuration
PROTOCOLS = (*HTTP_PROTOCOLS, *EMAIL_PROTOCOLS, *OWN_PROTOCOLS)


class Topic(Struct, frozen=True, omit_defaults=True):
    """`attributes`: as they were set (DisplayName, Policy, DeliveryPolicy, SignatureVersion)."""

    arn: str
    created_at_ms: int
    attributes: dict[str, str] = {}
    tags: dict[str, str] = {}

    @property
    def name(self) -> str:
        return self.arn.rpartition(":")[2]


class Subscription(Struct, frozen=True, omit_defaults=True):
    """`token`: what confirms it; `attributes`: as they were set (RawMessageDelivery, FilterPolicy, ...)."""

    arn: str
    topic_arn: str
    protocol: str
    endpoint: str
    token: str
    created_at_ms: int
    is_confirmed: bool = False
    attributes: dict[str, str] = {}

    @property
    def is_raw(self) -> bool:
        return self.attributes.get("RawMessageDelivery") == "true"


TOPIC = register("topic", Topic)
SUBSCRIPTION = register("subscription", Subscription)
