"""A receiver of SNS as people write them: it confirms by the link, checks the signature with the certificate, and gets
what is published, also when it fails at first."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import boto3
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from tests.server.receiver import Receiver
from tests.server.running import Server

RETRIED_AT_ONCE = '{"healthyRetryPolicy": {"numRetries": 2, "numNoDelayRetries": 2}}'


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
