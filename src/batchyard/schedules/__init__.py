"""EventBridge Scheduler: schedules in groups, fired from durable timers (observability spec 7.3)."""
