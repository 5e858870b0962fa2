"""SNS: messages to topics, and the subscriptions that get them."""

from __future__ import annotations

from batchyard.api.service_descriptor import ServiceDescriptor
from batchyard.api.sns import publishing, subscriptions, topics
from batchyard.api.sns.requests import INVALID

SERVICE = ServiceDescriptor(
    name="sns",
    title="SNS",
    is_announced=True,
    is_model_whole=True,
    invalid_code=INVALID,
    operations={
        "CreateTopic": topics.create_topic,
        "DeleteTopic": topics.delete_topic,
        "ListTopics": topics.list_topics,
        "GetTopicAttributes": topics.get_topic_attributes,
        "SetTopicAttributes": topics.set_topic_attributes,
        "TagResource": topics.tag_resource,
        "UntagResource": topics.untag_resource,
        "ListTagsForResource": topics.list_tags_for_resource,
        "Subscribe": subscriptions.subscribe,
        "ConfirmSubscription": subscriptions.confirm_subscription,
        "Unsubscribe": subscriptions.unsubscribe,
        "ListSubscriptions": subscriptions.list_subscriptions,
        "ListSubscriptionsByTopic": subscriptions.list_subscriptions_by_topic,
        "GetSubscriptionAttributes": subscriptions.get_subscription_attributes,
        "SetSubscriptionAttributes": subscriptions.set_subscription_attributes,
        "Publish": publishing.publish,
        "PublishBatch": publishing.publish_batch,
    },
)
