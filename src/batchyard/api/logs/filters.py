"""Metric filters and subscription filters of log groups (observability spec 17)."""

from __future__ import annotations

from batchyard.api.context import Context

METRIC_FILTER, SUBSCRIPTION_FILTER = "metric-filter", "subscription-filter"  # kinds of documents


def count_metric_filters(context: Context, group: str) -> int:
    return context.log_reader.count_documents(METRIC_FILTER, group)
