"""What SNS sends of a notice: its JSON document, its headers, and the text that is signed (observability spec 8.3)."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlencode

from msgspec import Struct, json

from batchyard.topics.machine import CONFIRMATION, NOTIFICATION, Notice
from batchyard.wire.messages import Document

USER_AGENT = "Amazon Simple Notification Service Agent"
CONTENT_TYPE = "text/plain; charset=UTF-8"
LINKS_PATH = "/sns/"  # below it: links of messages, and the certificate
SIGNED_OF_NOTIFICATIONS = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
SIGNED_OF_OTHERS = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


class Links(Struct, frozen=True):
    """The addresses in messages. `address`: of the service, as receivers reach it (http://127.0.0.1:8470)."""

    address: str

    def confirm(self, notice: Notice) -> str:
        query = {"Action": "ConfirmSubscription", "TopicArn": notice.topic_arn, "Token": notice.token}
        return f"{self.address}{LINKS_PATH}?{urlencode(query)}"

    def unsubscribe(self, notice: Notice) -> str:
        query = {"Action": "Unsubscribe", "SubscriptionArn": notice.subscription_arn}
        return f"{self.address}{LINKS_PATH}?{urlencode(query)}"

    def certificate(self, name: str) -> str:
        return f"{self.address}{LINKS_PATH}{name}"


def text_of(notice: Notice, body: str) -> str:
    """Returns the message of a notice: its body, or AWS's sentences where it asks for a confirmation."""
    if notice.kind == NOTIFICATION:
        return body
    if notice.kind == CONFIRMATION:
        return (
            f"You have chosen to subscribe to the topic {notice.topic_arn}.\n"
            "To confirm the subscription, visit the SubscribeURL included in this message."
        )
    return (
        f"You have chosen to deactivate subscription {notice.subscription_arn}.\n"
        "To cancel this operation and restore the subscription, visit the SubscribeURL included in this message."
    )


def unsigned_document(notice: Notice, body: str, links: Links) -> Document:
    """Returns the members of a message but for its signature, in AWS's order."""
    document: Document = {"Type": notice.kind, "MessageId": notice.message_id}
    if notice.kind != NOTIFICATION:
        document["Token"] = notice.token
    document["TopicArn"] = notice.topic_arn
    if notice.subject:
        document["Subject"] = notice.subject
    document["Message"] = text_of(notice, body)
    if notice.kind != NOTIFICATION:
        document["SubscribeURL"] = links.confirm(notice)
    return document | {"Timestamp": _timestamp(notice.published_at_ms)}


def signed_text(document: Document) -> str:
    """Returns the text that a signature is over: names and values, each with a line end."""
    names = SIGNED_OF_NOTIFICATIONS if document["Type"] == NOTIFICATION else SIGNED_OF_OTHERS
    return "".join(f"{name}\n{document[name]}\n" for name in names if name in document)


def signed_document(document: Document, notice: Notice, signature: str, certificate_url: str, links: Links) -> bytes:
    """Returns the body of a message: the document with its signature, and what is not signed."""
    document = document | {
        "SignatureVersion": notice.signature_version,
        "Signature": signature,
        "SigningCertURL": certificate_url,
    }
    if notice.kind == NOTIFICATION:
        document["UnsubscribeURL"] = links.unsubscribe(notice)
    if notice.attributes:
        document["MessageAttributes"] = {
            name: {"Type": attribute.data_type, "Value": attribute.value}
            for name, attribute in notice.attributes.items()
        }
    return json.encode(document)


def headers_of(notice: Notice) -> dict[str, str]:
    headers = {
        "x-amz-sns-message-type": notice.kind,
        "x-amz-sns-message-id": notice.message_id,
        "x-amz-sns-topic-arn": notice.topic_arn,
        "Content-Type": notice.content_type or CONTENT_TYPE,
        "User-Agent": USER_AGENT,
    }
    if notice.kind != CONFIRMATION:
        headers["x-amz-sns-subscription-arn"] = notice.subscription_arn
    if notice.is_raw:
        headers["x-amz-sns-rawdelivery"] = "true"
    return headers


def _timestamp(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"
