"""Messages of SNS to HTTP endpoints: what is sent, how it is signed, and what an answer means (observability spec
8.3)."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate
from msgspec import to_builtins

from batchyard.core.model.deliveries import Message
from batchyard.server.deliveries.http_client import Answer, Forbidden, Unreachable
from batchyard.server.deliveries.message_signer import MessageSigner
from batchyard.server.deliveries.sender import ARRIVED, Outcome
from batchyard.server.deliveries.sns_channel import HttpNoticeSender, SnsChannel
from batchyard.server.deliveries.sns_messages import Links, signed_text
from batchyard.server.settings.paths import PathError
from batchyard.topics.commands import Attribute
from batchyard.topics.machine import Notice

TOPIC = "arn:aws:sns:us-east-1:123456789012:jobs"
ARN = f"{TOPIC}:7f4c"
ADDRESS = "http://127.0.0.1:8470"


class Http:
    """A client that keeps requests and answers with what the test gives it."""

    def __init__(self, answer: Answer | Exception | None = None) -> None:
        self.answer = answer or Answer(200, {}, b"")
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []

    async def send(self, method: str, url: str, headers: Any, body: bytes, timeout_seconds: float) -> Answer:
        assert timeout_seconds == 15
        self.requests.append((method, url, dict(headers), body))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def notice(kind: str = "Notification", **members: Any) -> Notice:
    given = {"message_id": "m-1", "topic_arn": TOPIC, "subscription_arn": ARN, "protocol": "http"}
    return Notice(
        **({"kind": kind, "endpoint": "http://here/", "published_at_ms": 1_770_113_742_123} | given | members)
    )


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> MessageSigner:
    return MessageSigner(tmp_path_factory.mktemp("signer") / "key.pem")


def send(signer: MessageSigner, http: Http, sent: Notice, body: str = "hello") -> Outcome:
    channel = SnsChannel({"http": HttpNoticeSender(http, signer, Links(ADDRESS))})  # type: ignore[arg-type]
    return asyncio.run(channel.send(Message(ARN, "sns", to_builtins(sent), body, "token")))


def verify(signer: MessageSigner, document: dict[str, Any], digest: hashes.HashAlgorithm) -> None:
    key = load_pem_x509_certificate(signer.certificate()).public_key()
    assert isinstance(key, RSAPublicKey)
    key.verify(base64.b64decode(document["Signature"]), signed_text(document).encode(), padding.PKCS1v15(), digest)


def test_a_notification(signer: MessageSigner) -> None:
    http = Http()
    attributes = {"kind": Attribute("String", "a")}
    assert send(signer, http, notice(subject="s", attributes=attributes)) == ARRIVED
    ((method, url, headers, body),) = http.requests
    assert (method, url) == ("POST", "http://here/")
    assert headers == {
        "x-amz-sns-message-type": "Notification",
        "x-amz-sns-message-id": "m-1",
        "x-amz-sns-topic-arn": TOPIC,
        "x-amz-sns-subscription-arn": ARN,
        "Content-Type": "text/plain; charset=UTF-8",
        "User-Agent": "Amazon Simple Notification Service Agent",
    }
    document = json.loads(body)
    verify(signer, document, hashes.SHA1())
    assert document.pop("Signature")
    assert document == {
        "Type": "Notification",
        "MessageId": "m-1",
        "TopicArn": TOPIC,
        "Subject": "s",
        "Message": "hello",
        "Timestamp": "2026-02-03T10:15:42.123Z",
        "SignatureVersion": "1",
        "SigningCertURL": f"{ADDRESS}/sns/{signer.certificate_name()}",
        "UnsubscribeURL": f"{ADDRESS}/sns/?Action=Unsubscribe&SubscriptionArn={ARN.replace(':', '%3A')}",
        "MessageAttributes": {"kind": {"Type": "String", "Value": "a"}},
    }


def test_the_text_that_is_signed_is_aws_s(signer: MessageSigner) -> None:
    http = Http()
    send(signer, http, notice())
    assert signed_text(json.loads(http.requests[0][3])) == (
        f"Message\nhello\nMessageId\nm-1\nTimestamp\n2026-02-03T10:15:42.123Z\nTopicArn\n{TOPIC}\nType\nNotification\n"
    )


@pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_what_asks_for_a_confirmation(signer: MessageSigner, kind: str) -> None:
    http = Http()
    send(signer, http, notice(kind, token="abc", signature_version="2"), "")
    _, _, headers, body = http.requests[0]
    document = json.loads(body)
    verify(signer, document, hashes.SHA256())
    assert ("x-amz-sns-subscription-arn" in headers) == (kind == "UnsubscribeConfirmation")
    assert list(document) == [
        "Type",
        "MessageId",
        "Token",
        "TopicArn",
        "Message",
        "SubscribeURL",
        "Timestamp",
        "SignatureVersion",
        "Signature",
        "SigningCertURL",
    ]
    assert document["SubscribeURL"].endswith("&Token=abc")
    assert document["Message"].startswith("You have chosen to ")


def test_raw_delivery_is_the_message_alone(signer: MessageSigner) -> None:
    http = Http()
    send(signer, http, notice(is_raw=True, content_type="application/json"), '{"a": 1}')
    _, _, headers, body = http.requests[0]
    assert body == b'{"a": 1}'
    assert (headers["x-amz-sns-rawdelivery"], headers["Content-Type"]) == ("true", "application/json")


@pytest.mark.parametrize(
    ("answer", "code", "is_final"),
    [
        (Answer(204, {}, b""), "", False),
        (Answer(302, {}, b""), "HTTP_302", True),
        (Answer(404, {}, b""), "HTTP_404", True),
        (Answer(429, {}, b""), "HTTP_429", False),
        (Answer(503, {}, b""), "HTTP_503", False),
        (Unreachable("slow", is_timeout=True), "TIMEOUT", False),
        (Unreachable("refused"), "CONNECTION_FAILURE", False),
        (Forbidden("private"), "NO_PERMISSIONS", True),
        (ValueError("no URL"), "INVALID_PARAMETER", True),
    ],
)
def test_what_follows_from_an_answer(
    signer: MessageSigner, answer: Answer | Exception, code: str, is_final: bool
) -> None:
    outcome = send(signer, Http(answer), notice())
    assert (outcome.error_code, outcome.is_final) == (code, is_final)


def test_a_protocol_that_is_no_longer_set_up_is_a_failed_delivery(signer: MessageSigner) -> None:
    assert send(signer, Http(), notice(protocol="email")).error_code == "NO_RESOURCE"


def test_the_certificate_is_the_same_after_a_restart(signer: MessageSigner) -> None:
    assert MessageSigner(signer._path).certificate() == signer.certificate()
    assert signer._path.stat().st_mode & 0o777 == 0o600


def test_a_damaged_key_is_a_failure_that_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("-----BEGIN")
    with pytest.raises(PathError, match="is damaged"):
        MessageSigner(path).certificate()
    outcome = send(MessageSigner(path), Http(), notice())
    assert (outcome.error_code, outcome.is_final) == ("SIGNATURE_FAILURE", False)
