"""What callers write and we evaluate: event patterns, templates, schedules, filter policies, metric math, queries.

Each is compiled once and then evaluated: pure functions of values and the time, which the caller passes.
"""
