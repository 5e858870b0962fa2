"""Sends what topics have for their subscriptions, each in the way of its protocol (observability spec 8.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from msgspec import convert

from batchyard.core.model.deliveries import Message
from batchyard.server.deliveries.http_client import Forbidden, HttpClient, Unreachable
from batchyard.server.deliveries.message_signer import MessageSigner
from batchyard.server.deliveries.sender import ARRIVED, Outcome
from batchyard.server.deliveries.sns_messages import Links, headers_of, signed_document, signed_text, unsigned_document
from batchyard.server.settings.paths import PathError
from batchyard.topics.machine import Notice

TIMEOUT_SECONDS = 15.0  # SNS's own
SUCCESS = range(200, 300)
TOO_MANY_REQUESTS = 429
SERVER_ERRORS = 500


class NoticeSender(Protocol):
    """The way of one protocol."""

    async def send(self, notice: Notice, body: str) -> Outcome: ...


class SnsChannel:
    """A channel (server.deliveries.sender). `senders`: by protocol."""

    def __init__(self, senders: Mapping[str, NoticeSender]) -> None:
        self._senders = senders

    async def send(self, message: Message) -> Outcome:
        notice = convert(message.target, Notice)
        sender = self._senders.get(notice.protocol)
        if sender is None:
            text = (
                f"Nothing sends to {notice.protocol} subscriptions: its settings were taken out of the configuration."
            )
            return Outcome("NO_RESOURCE", text, is_final=True)
        return await sender.send(notice, message.body)


class HttpNoticeSender:
    """Posts notices to http and https endpoints, signed, or raw where the subscription asks for it."""

    def __init__(self, http: HttpClient, signer: MessageSigner, links: Links) -> None:
        self._http, self._signer, self._links = http, signer, links

    async def send(self, notice: Notice, body: str) -> Outcome:
        try:
            content = await self.content(notice, body)
            answer = await self._http.send("POST", notice.endpoint, headers_of(notice), content, TIMEOUT_SECONDS)
        except PathError as error:
            return Outcome("SIGNATURE_FAILURE", str(error))
        except Unreachable as error:
            return Outcome("TIMEOUT" if error.is_timeout else "CONNECTION_FAILURE", str(error))
        except Forbidden as error:
            return Outcome("NO_PERMISSIONS", str(error), is_final=True)
        except ValueError as error:
            return Outcome("INVALID_PARAMETER", str(error), is_final=True)
        return outcome_of(answer.status)

    async def content(self, notice: Notice, body: str) -> bytes:
        """Returns the body of the request. Raises PathError: the key for signatures cannot be used."""
        if notice.is_raw:
            return body.encode(errors="replace")
        return await asyncio.to_thread(envelope, notice, body, self._signer, self._links)


def envelope(notice: Notice, body: str, signer: MessageSigner, links: Links) -> bytes:
    """Returns a message in SNS's JSON, signed. Raises PathError."""
    document = unsigned_document(notice, body, links)
    signature = signer.sign(signed_text(document), notice.signature_version)
    return signed_document(document, notice, signature, links.certificate(signer.certificate_name()), links)


def outcome_of(status: int) -> Outcome:
    """Returns what an answer means: 429 and 5xx are tried again, in the pauses of the delivery policy."""
    if status in SUCCESS:
        return ARRIVED
    is_final = status != TOO_MANY_REQUESTS and status < SERVER_ERRORS
    return Outcome(f"HTTP_{status}", f"The endpoint answered with HTTP {status}.", is_final=is_final)
