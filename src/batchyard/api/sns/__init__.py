"""SNS: the operations of topics and subscriptions."""
