"""EventBridge Scheduler: the operations of schedules and their groups."""
