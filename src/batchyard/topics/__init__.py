"""SNS: topics, subscriptions, and the messages that are published to them (observability spec 8)."""
