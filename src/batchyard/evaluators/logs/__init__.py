"""Logs: filter patterns, and the queries of Logs Insights."""
