"""Schedules of rules and of EventBridge Scheduler: what an expression asks, and when it fires."""
