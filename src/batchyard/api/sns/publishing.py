"""Publish and PublishBatch of SNS (observability spec 8.2, 8.5)."""

from __future__ import annotations

import base64
import re
from typing import Any

from msgspec import json

from batchyard.api.context import Call, Context
from batchyard.api.sns.requests import arn_in, invalid
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.notifications.message_attributes import (
    MessageAttribute,
    attributes_bytes,
    check_attributes,
)
from batchyard.topics import commands as c
from batchyard.wire.messages import Document

MAX_BYTES = 262_144  # of a message with its attributes, and of a batch
MAX_ENTRIES = 10
MAX_SUBJECT = 100
ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
DEFAULT = "default"  # the member of MessageStructure json that must be there


async def publish(context: Context, call: Call, request: Document) -> Document:
    """TopicArn, Message -> MessageId. A message that no subscription takes is published, too."""
    if "PhoneNumber" in request:
        raise invalid("PhoneNumber Reason: no text messages are sent here: publish to a topic")
    arn = arn_in(request, "TopicArn" if "TopicArn" in request or "TargetArn" not in request else "TargetArn")
    publication = _publication(context, request)
    await context.ask(c.Publish(arn, (publication,)))
    return {"MessageId": publication.message_id}


async def publish_batch(context: Context, call: Call, request: Document) -> Document:
    """TopicArn, PublishBatchRequestEntries -> Successful, Failed. One wrong entry does not hold back the others."""
    arn = arn_in(request, "TopicArn")
    entries: list[Document] = request["PublishBatchRequestEntries"]
    _check_batch(entries)
    publications: list[c.Publication] = []
    sent: list[Document] = []
    failed: list[Document] = []
    for entry in entries:
        try:
            made = _publication(context, entry)
        except Refused as refusal:
            fault = {"Id": entry["Id"], "Code": refusal.code, "Message": refusal.message, "SenderFault": True}
            failed.append(fault)
        else:
            publications.append(made)
            sent.append({"Id": entry["Id"], "MessageId": made.message_id})
    await context.ask(c.Publish(arn, tuple(publications)))
    return {"Successful": sent, "Failed": failed}


def _check_batch(entries: list[Document]) -> None:
    if not entries:
        raise Refused("The batch request doesn't contain any entries.", "EmptyBatchRequest")
    if len(entries) > MAX_ENTRIES:
        raise Refused("The batch request contains more entries than permissible.", "TooManyEntriesInBatchRequest")
    ids = [entry["Id"] for entry in entries]
    if not all(ENTRY_ID.fullmatch(one) for one in ids):
        raise Refused(
            "The Id of a batch entry in a batch request doesn't abide by the specification.", "InvalidBatchEntryId"
        )
    if len(set(ids)) < len(ids):
        raise Refused("Two or more batch entries in the request have the same Id.", "BatchEntryIdsNotDistinct")
    if sum(_size(entry, _attributes(entry)) for entry in entries) > MAX_BYTES:
        raise Refused("The length of all the messages put together is more than the limit.", "BatchRequestTooLong")


def _publication(context: Context, entry: Document) -> c.Publication:
    """Returns one message of a request. Refused: what of it is wrong."""
    message, subject = entry.get("Message", ""), entry.get("Subject")
    if not message:
        raise invalid("Empty message")
    if subject is not None and not (0 < len(subject) <= MAX_SUBJECT and subject.isprintable() and subject.strip()):
        raise invalid("Subject")
    if "MessageDeduplicationId" in entry:
        raise invalid(
            "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid "
            "for this topic type"
        )
    attributes = _attributes(entry)
    check_attributes(attributes)
    if _size(entry, attributes) > MAX_BYTES:
        raise invalid("Message too long")
    bodies = _bodies(message) if entry.get("MessageStructure") == "json" else {}
    return c.Publication(
        message_id=context.new_uuid(),
        body=bodies.pop(DEFAULT, message),
        subject=subject or "",
        bodies=bodies,
        attributes={name: _stored(attribute) for name, attribute in attributes.items()},
        order_key=entry.get("MessageGroupId", ""),
    )


def _bodies(message: str) -> dict[str, str]:
    """Returns the texts by protocol of MessageStructure json."""
    try:
        found: Any = json.decode(message)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise invalid("Message Structure - JSON message body failed to parse")
    if not isinstance(found.get(DEFAULT), str):
        raise invalid("Message Structure - No default entry in JSON message body")
    return {protocol: text for protocol, text in found.items() if isinstance(text, str)}


def _attributes(entry: Document) -> dict[str, MessageAttribute]:
    return {
        name: MessageAttribute(value["DataType"], value.get("StringValue"), value.get("BinaryValue"))
        for name, value in entry.get("MessageAttributes", {}).items()
    }


def _stored(attribute: MessageAttribute) -> c.Attribute:
    if attribute.is_binary:
        return c.Attribute(attribute.data_type, base64.b64encode(attribute.binary_value or b"").decode())
    return c.Attribute(attribute.data_type, attribute.string_value or "")


def _size(entry: Document, attributes: dict[str, MessageAttribute]) -> int:
    return len(entry.get("Message", "").encode(errors="surrogatepass")) + attributes_bytes(attributes)
