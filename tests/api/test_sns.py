"""SNS as boto3 sees it: topics, subscriptions, messages (observability spec 8)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.api.service import Service

HEAD = "arn:aws:sns:us-east-1:123456789012:"
TOPIC = f"{HEAD}jobs"
HOOK = "http://hooks.example/jobs"


@pytest.fixture
def sns(service: Service) -> Any:
    client = service.client("sns")
    client.create_topic(Name="jobs")
    return client


def refused(sns: Any, operation: str, **members: Any) -> tuple[str, str, int]:
    """Returns code, text and status of a refusal."""
    with pytest.raises(ClientError) as caught:
        getattr(sns, operation)(**members)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


def invalid(sns: Any, operation: str, **members: Any) -> str:
    """Returns the text of a refusal with the code InvalidParameter, without its beginning."""
    code, text, status = refused(sns, operation, **members)
    assert (code, status) == ("InvalidParameter", 400)
    return text.removeprefix("Invalid parameter: ")


def subscribed(service: Service, sns: Any, **attributes: str) -> str:
    """Subscribes and confirms; returns the ARN."""
    arn = sns.subscribe(
        TopicArn=TOPIC, Protocol="http", Endpoint=HOOK, Attributes=attributes, ReturnSubscriptionArn=True
    )["SubscriptionArn"]
    sns.confirm_subscription(TopicArn=TOPIC, Token=service.messages[-1].target["token"])
    service.messages.clear()
    return str(arn)


def test_a_topic_lives(sns: Any) -> None:
    tags = [{"Key": "team", "Value": "a"}]
    made = sns.create_topic(Name="alarms", Attributes={"DisplayName": "Alarms"}, Tags=tags)
    assert made["TopicArn"] == f"{HEAD}alarms"
    assert (
        sns.create_topic(Name="alarms", Attributes={"DisplayName": "Alarms"}, Tags=tags)["TopicArn"] == made["TopicArn"]
    )
    assert [topic["TopicArn"] for topic in sns.list_topics()["Topics"]] == [f"{HEAD}alarms", TOPIC]
    sns.set_topic_attributes(TopicArn=f"{HEAD}alarms", AttributeName="SignatureVersion", AttributeValue="2")
    attributes = sns.get_topic_attributes(TopicArn=f"{HEAD}alarms")["Attributes"]
    assert json.loads(attributes.pop("Policy"))["Statement"][0]["Resource"] == f"{HEAD}alarms"
    retry = json.loads(attributes.pop("EffectiveDeliveryPolicy"))["http"]["defaultHealthyRetryPolicy"]
    assert (retry["numRetries"], retry["minDelayTarget"], retry["backoffFunction"]) == (3, 20, "linear")
    assert attributes == {
        "TopicArn": f"{HEAD}alarms",
        "Owner": "123456789012",
        "DisplayName": "Alarms",
        "SignatureVersion": "2",
        "SubscriptionsConfirmed": "0",
        "SubscriptionsPending": "0",
        "SubscriptionsDeleted": "0",
    }
    sns.tag_resource(ResourceArn=f"{HEAD}alarms", Tags=[{"Key": "more", "Value": "b"}])
    sns.untag_resource(ResourceArn=f"{HEAD}alarms", TagKeys=["team"])
    assert sns.list_tags_for_resource(ResourceArn=f"{HEAD}alarms")["Tags"] == [{"Key": "more", "Value": "b"}]
    sns.delete_topic(TopicArn=f"{HEAD}alarms")
    sns.delete_topic(TopicArn=f"{HEAD}alarms")
    assert len(sns.list_topics()["Topics"]) == 1


@pytest.mark.parametrize(
    ("operation", "members", "text"),
    [
        ("create_topic", {"Name": "a b"}, "Topic Name"),
        ("create_topic", {"Name": "a" * 257}, "Topic Name"),
        ("create_topic", {"Name": "a", "Tags": [{"Key": "k", "Value": "1"}] * 2}, "Duplicated keys are not allowed."),
        (
            "create_topic",
            {"Name": "jobs", "Tags": [{"Key": "k", "Value": "1"}]},
            "Tags Reason: Topic already exists with different tags",
        ),
        (
            "get_topic_attributes",
            {"TopicArn": "jobs"},
            "TopicArn Reason: An ARN must have at least 6 elements, not 1",
        ),
        ("publish", {"TopicArn": TOPIC, "Message": ""}, "Empty message"),
        ("publish", {"TopicArn": TOPIC, "Message": "x" * 262_145}, "Message too long"),
        ("publish", {"TopicArn": TOPIC, "Message": "x", "Subject": ""}, "Subject"),
        ("publish", {"TopicArn": TOPIC, "Message": "x", "Subject": "a\nb"}, "Subject"),
        (
            "publish",
            {"TopicArn": TOPIC, "Message": '{"http": "a"}', "MessageStructure": "json"},
            "Message Structure - No default entry in JSON message body",
        ),
        (
            "publish",
            {"TopicArn": TOPIC, "Message": "text", "MessageStructure": "json"},
            "Message Structure - JSON message body failed to parse",
        ),
        (
            "subscribe",
            {"TopicArn": TOPIC, "Protocol": "pigeon", "Endpoint": "x"},
            "Amazon SNS does not support this protocol string: pigeon",
        ),
        (
            "subscribe",
            {"TopicArn": TOPIC, "Protocol": "https", "Endpoint": HOOK},
            "Endpoint must match the specified protocol",
        ),
        (
            "subscribe",
            {"TopicArn": TOPIC, "Protocol": "http", "Endpoint": HOOK, "Attributes": {"RawMessageDelivery": "maybe"}},
            "Attributes Reason: RawMessageDelivery: Invalid value [maybe]. Must be true or false.",
        ),
        (
            "subscribe",
            {
                "TopicArn": TOPIC,
                "Protocol": "http",
                "Endpoint": HOOK,
                "Attributes": {"FilterPolicy": '{"a": {"b": [1]}}'},
            },
            (
                "Attributes Reason: FilterPolicy: "
                "Filter policy scope MessageAttributes does not support nested filter policy"
            ),
        ),
        (
            "set_topic_attributes",
            {"TopicArn": TOPIC, "AttributeName": "Colour", "AttributeValue": "x"},
            "AttributeName",
        ),
        ("confirm_subscription", {"TopicArn": TOPIC, "Token": "ab" * 32}, "Token"),
        ("confirm_subscription", {"TopicArn": "arn:aws:sns:eu-west-1:1:x", "Token": "ab" * 32}, "Topic"),
        ("confirm_subscription", {"TopicArn": TOPIC, "Token": "random"}, "Invalid token"),
        ("unsubscribe", {"SubscriptionArn": TOPIC}, "SubscriptionId"),
    ],
)
def test_refusals_have_aws_texts(sns: Any, operation: str, members: dict[str, Any], text: str) -> None:
    assert invalid(sns, operation, **members) == text


def test_what_is_not_there_is_not_found(sns: Any) -> None:
    not_found = ("NotFound", "Topic does not exist", 404)
    assert refused(sns, "get_topic_attributes", TopicArn=f"{HEAD}no") == not_found
    assert refused(sns, "publish", TopicArn=f"{HEAD}no", Message="x") == not_found
    assert refused(sns, "subscribe", TopicArn=f"{HEAD}no", Protocol="http", Endpoint=HOOK) == not_found
    arn = f"{TOPIC}:00000000-0000-0000-0000-000000000000"
    missing = ("NotFound", "Subscription does not exist", 404)
    assert refused(sns, "get_subscription_attributes", SubscriptionArn=arn) == missing
    sns.unsubscribe(SubscriptionArn=arn)
    assert refused(sns, "list_tags_for_resource", ResourceArn=f"{HEAD}no")[0] == "ResourceNotFound"


@pytest.mark.parametrize("protocol", ["sqs", "lambda", "firehose", "sms", "application"])
def test_protocols_without_receivers_say_what_to_use(sns: Any, protocol: str) -> None:
    text = invalid(sns, "subscribe", TopicArn=TOPIC, Protocol=protocol, Endpoint="x")
    assert text.startswith(f"Protocol Reason: {protocol} is not built: ")
    assert ": use " in text


@pytest.mark.parametrize(
    ("protocol", "endpoint", "words"),
    [
        ("email", "a@b.example", "host and sender of [smtp]"),
        ("exec", "pager", "[notify.NAME]"),
        ("apprise", "chat", "pip install 'batchyard[apprise]'"),
    ],
)
def test_what_the_owner_has_not_set_up_names_its_setting(sns: Any, protocol: str, endpoint: str, words: str) -> None:
    assert words in invalid(sns, "subscribe", TopicArn=TOPIC, Protocol=protocol, Endpoint=endpoint)


@pytest.mark.parametrize(
    "attributes",
    [
        {"FifoTopic": "true"},
        {"KmsMasterKeyId": "alias/x"},
        {"TracingConfig": "Active"},
        {"HTTPSuccessFeedbackRoleArn": "x"},
        {"SQSSuccessFeedbackSampleRate": "100"},
    ],
)
def test_attributes_that_are_not_built_are_refused(sns: Any, attributes: dict[str, str]) -> None:
    assert re.search("(is|are) not built here", invalid(sns, "create_topic", Name="other", Attributes=attributes))


@pytest.mark.parametrize("protocol", ["HTTP", "Firehose", "Lambda", "Application", "SQS"])
def test_a_sample_rate_of_no_delivery_is_kept(sns: Any, protocol: str) -> None:
    """Terraform's aws_sns_topic sets each of them."""
    name = f"{protocol}SuccessFeedbackSampleRate"
    assert name not in sns.get_topic_attributes(TopicArn=TOPIC)["Attributes"]
    sns.set_topic_attributes(TopicArn=TOPIC, AttributeName=name, AttributeValue="0")
    assert sns.get_topic_attributes(TopicArn=TOPIC)["Attributes"][name] == "0"


def test_addresses_of_mail_are_one_mailbox(sns: Any) -> None:
    for endpoint in ("a@b.example,c@d.example", "a b@c.example", "a@b@c", "name", "ü@b.example"):
        assert invalid(sns, "subscribe", TopicArn=TOPIC, Protocol="email", Endpoint=endpoint) == "Email address"


def test_a_receiver_confirms_and_gets_messages(service: Service, sns: Any) -> None:
    answer = sns.subscribe(TopicArn=TOPIC, Protocol="http", Endpoint=HOOK)
    assert answer["SubscriptionArn"] == "pending confirmation"
    (asked,) = service.messages
    (listed,) = sns.list_subscriptions_by_topic(TopicArn=TOPIC)["Subscriptions"]
    assert listed["SubscriptionArn"] == "PendingConfirmation"
    sns.publish(TopicArn=TOPIC, Message="too early")
    arn = sns.confirm_subscription(TopicArn=TOPIC, Token=asked.target["token"])["SubscriptionArn"]
    assert sns.confirm_subscription(TopicArn=TOPIC, Token=asked.target["token"])["SubscriptionArn"] == arn
    message_id = sns.publish(TopicArn=TOPIC, Message="hello", Subject="s")["MessageId"]
    (sent,) = service.messages[1:]
    assert (sent.body, sent.target["message_id"], sent.target["subject"]) == ("hello", message_id, "s")
    (listed,) = sns.list_subscriptions()["Subscriptions"]
    assert listed == {
        "SubscriptionArn": arn,
        "Owner": "123456789012",
        "Protocol": "http",
        "Endpoint": HOOK,
        "TopicArn": TOPIC,
    }
    assert sns.get_topic_attributes(TopicArn=TOPIC)["Attributes"]["SubscriptionsConfirmed"] == "1"
    sns.unsubscribe(SubscriptionArn=arn)
    assert service.messages[-1].target["kind"] == "UnsubscribeConfirmation"
    assert sns.list_subscriptions()["Subscriptions"] == []


def test_a_token_confirms_its_own_topic_alone(service: Service, sns: Any) -> None:
    sns.create_topic(Name="other")
    sns.subscribe(TopicArn=TOPIC, Protocol="http", Endpoint=HOOK)
    token = service.messages[-1].target["token"]
    assert invalid(sns, "confirm_subscription", TopicArn=f"{HEAD}other", Token=token) == "Topic"


def test_attributes_of_a_subscription(service: Service, sns: Any) -> None:
    arn = subscribed(service, sns, RawMessageDelivery="true")
    policy = '{"kind": ["a"]}'
    retry = '{"healthyRetryPolicy": {"numRetries": 1}}'
    for name, value in (("FilterPolicy", policy), ("DeliveryPolicy", retry)):
        sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName=name, AttributeValue=value)
    attributes = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    effective = json.loads(attributes.pop("EffectiveDeliveryPolicy"))
    assert (effective["healthyRetryPolicy"]["numRetries"], effective["healthyRetryPolicy"]["minDelayTarget"]) == (1, 20)
    assert attributes == {
        "SubscriptionArn": arn,
        "TopicArn": TOPIC,
        "Owner": "123456789012",
        "Protocol": "http",
        "Endpoint": HOOK,
        "PendingConfirmation": "false",
        "ConfirmationWasAuthenticated": "false",
        "RawMessageDelivery": "true",
        "SubscriptionPrincipal": "arn:aws:iam::123456789012:root",
        "FilterPolicy": policy,
        "FilterPolicyScope": "MessageAttributes",
        "DeliveryPolicy": retry,
    }
    sns.publish(TopicArn=TOPIC, Message="filtered")
    assert service.messages == []
    sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue="")
    sns.publish(TopicArn=TOPIC, Message="sent")
    assert [message.body for message in service.messages] == ["sent"]
    assert invalid(sns, "set_subscription_attributes", SubscriptionArn=arn, AttributeName="X") == "AttributeName"
    text = invalid(
        sns, "subscribe", TopicArn=TOPIC, Protocol="http", Endpoint=HOOK, Attributes={"FilterPolicy": policy}
    )
    assert text == "Attributes Reason: Subscription already exists with different attributes"


def test_messages_have_attributes_and_a_text_for_each_protocol(service: Service, sns: Any) -> None:
    subscribed(service, sns)
    attributes = {
        "kind": {"DataType": "String", "StringValue": "a"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
    }
    bodies = json.dumps({"default": "d", "http": "for http"})
    sns.publish(TopicArn=TOPIC, Message=bodies, MessageStructure="json", MessageAttributes=attributes)
    (message,) = service.messages
    assert message.body == "for http"
    assert message.target["attributes"] == {
        "kind": {"data_type": "String", "value": "a"},
        "raw": {"data_type": "Binary", "value": "AAE="},
    }
    empty = {"kind": {"DataType": "String", "StringValue": ""}}
    code, text, _ = refused(sns, "publish", TopicArn=TOPIC, Message="x", MessageAttributes=empty)
    assert code == "ParameterValueInvalid"
    assert text.startswith("The message attribute 'kind' must contain non-empty message attribute value")


def test_a_batch_publishes_what_of_it_is_right(service: Service, sns: Any) -> None:
    subscribed(service, sns)
    entries = [{"Id": "1", "Message": "one"}, {"Id": "2", "Message": ""}, {"Id": "3", "Message": "three"}]
    answer = sns.publish_batch(TopicArn=TOPIC, PublishBatchRequestEntries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["1", "3"]
    assert answer["Failed"] == [
        {"Id": "2", "Code": "InvalidParameter", "Message": "Invalid parameter: Empty message", "SenderFault": True}
    ]
    assert [message.body for message in service.messages] == ["one", "three"]


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([{"Id": str(number), "Message": "x"} for number in range(11)], "TooManyEntriesInBatchRequest"),
        ([{"Id": "1", "Message": "x"}] * 2, "BatchEntryIdsNotDistinct"),
        ([{"Id": "a b", "Message": "x"}], "InvalidBatchEntryId"),
        ([{"Id": str(number), "Message": "x" * 200_000} for number in range(2)], "BatchRequestTooLong"),
        ([], "EmptyBatchRequest"),
    ],
)
def test_batches_beyond_the_bounds_are_refused(sns: Any, entries: list[dict[str, str]], code: str) -> None:
    assert refused(sns, "publish_batch", TopicArn=TOPIC, PublishBatchRequestEntries=entries)[0] == code


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("DeliveryPolicy", '{"healthyRetryPolicy": {"numRetries": 101}}', "at most 100"),
        ("DeliveryPolicy", '{"throttlePolicy": {"maxReceivesPerSecond": 1}}', "is not built"),
        ("DeliveryPolicy", '{"colour": 1}', "is no member"),
        ("RedrivePolicy", '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:1:q"}', "log group"),
        ("RedrivePolicy", "[", "failed to parse JSON"),
        ("FilterPolicyScope", "Body", "Invalid value [Body]"),
        ("FilterPolicy", "{", "FilterPolicy: "),
    ],
)
def test_wrong_attributes_of_subscriptions_are_refused(
    service: Service, sns: Any, name: str, value: str, words: str
) -> None:
    arn = subscribed(service, sns)
    text = invalid(sns, "set_subscription_attributes", SubscriptionArn=arn, AttributeName=name, AttributeValue=value)
    assert words in text


def test_topics_and_subscriptions_come_in_pages(service: Service, sns: Any) -> None:
    for number in range(101):
        sns.subscribe(TopicArn=TOPIC, Protocol="http", Endpoint=f"{HOOK}/{number}", ReturnSubscriptionArn=True)
    pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=TOPIC)
    assert [len(page["Subscriptions"]) for page in pages] == [100, 1]
