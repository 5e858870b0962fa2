"""A receiver of SNS as people write them: it confirms by the link, checks the signature with the certificate, and gets
what is published, also when it fails at first."""

from __future__ import annotations

import base64
import json
import queue
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import boto3
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from tests.server.running import Server

SECONDS = 20.0
RETRIED_AT_ONCE = '{"healthyRetryPolicy": {"numRetries": 2, "numNoDelayRetries": 2}}'


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver: Receiver = self.server.receiver  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = receiver.statuses.pop(0) if receiver.statuses else 200
        receiver.got.put((self.headers["x-amz-sns-message-type"], body))
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Receiver:
    def __init__(self) -> None:
        self.got: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.statuses: list[int] = []  # of the next answers
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.receiver = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def next(self, kind: str) -> bytes:
        found, body = self.got.get(timeout=SECONDS)
        assert found == kind
        return body


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def verify(document: dict[str, Any]) -> None:
    """Checks a signature as the receivers of AWS's guide do."""
    with urlopen(document["SigningCertURL"]) as answer:
        key = load_pem_x509_certificate(answer.read()).public_key()
    assert isinstance(key, RSAPublicKey)
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "".join(f"{name}\n{document[name]}\n" for name in names if name in document)
    digest = hashes.SHA256() if document["SignatureVersion"] == "2" else hashes.SHA1()
    key.verify(base64.b64decode(document["Signature"]), text.encode(), padding.PKCS1v15(), digest)


def test_a_receiver_confirms_verifies_and_gets_messages(tmp_path: Path, receiver: Receiver) -> None:
    with Server(tmp_path) as server:
        sns = boto3.client(
            "sns", "us-east-1", endpoint_url=server.address, aws_access_key_id="a", aws_secret_access_key="b"
        )
        topic = sns.create_topic(Name="jobs")["TopicArn"]
        sns.subscribe(
            TopicArn=topic, Protocol="http", Endpoint=receiver.url, Attributes={"DeliveryPolicy": RETRIED_AT_ONCE}
        )
        asked = json.loads(receiver.next("SubscriptionConfirmation"))
        verify(asked)
        with urlopen(asked["SubscribeURL"]) as answer:
            arn = sns.list_subscriptions()["Subscriptions"][0]["SubscriptionArn"]
            assert f"<SubscriptionArn>{arn}</SubscriptionArn>" in answer.read().decode()
        receiver.statuses = [500, 503]
        sns.publish(TopicArn=topic, Message="first", Subject="s")
        bodies = [receiver.next("Notification") for _ in range(3)]
        assert len(set(bodies)) == 1, "a message that is sent again is the same"
        verify(json.loads(bodies[0]))
        sns.set_topic_attributes(TopicArn=topic, AttributeName="SignatureVersion", AttributeValue="2")
        sns.publish(TopicArn=topic, Message="second")
        document = json.loads(receiver.next("Notification"))
        verify(document)
        assert (document["Message"], document["SignatureVersion"]) == ("second", "2")
        sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="RawMessageDelivery", AttributeValue="true")
        sns.publish(TopicArn=topic, Message="raw")
        assert receiver.next("Notification") == b"raw"
        with urlopen(document["UnsubscribeURL"]):
            ended = json.loads(receiver.next("UnsubscribeConfirmation"))
        verify(ended)
        assert sns.list_subscriptions()["Subscriptions"] == []
        check_links_that_are_wrong(server.address, topic)


def check_links_that_are_wrong(address: str, topic: str) -> None:
    for link, code, status in (
        ("?Action=Publish&TopicArn=x&Message=x", "InvalidAction", 400),
        (f"?Action=ConfirmSubscription&TopicArn={topic}", "InvalidParameter", 400),
        (f"?Action=ConfirmSubscription&TopicArn={topic}&Token={'ab' * 32}", "InvalidParameter", 400),
        ("SimpleNotificationService-0.pem", "NotFound", 404),
    ):
        with pytest.raises(HTTPError) as caught:
            urlopen(f"{address}/sns/{link}")
        assert caught.value.code == status
        assert f"<Code>{code}</Code>" in caught.value.read().decode()
        caught.value.close()
