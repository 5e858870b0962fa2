"""Traces and metrics for an OpenTelemetry collector (observability spec 20)."""
