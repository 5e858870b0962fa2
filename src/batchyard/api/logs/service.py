"""CloudWatch Logs, as far as it reads the logs of jobs."""

from __future__ import annotations

from batchyard.api.logs import log_operations
from batchyard.api.service_descriptor import ServiceDescriptor

SERVICE = ServiceDescriptor(
    name="logs",
    title="CloudWatch Logs",
    is_announced=True,
    invalid_code=log_operations.INVALID_PARAMETER,
    operations={
        "DescribeLogGroups": log_operations.describe_log_groups,
        "DescribeLogStreams": log_operations.describe_log_streams,
        "GetLogEvents": log_operations.get_log_events,
        "FilterLogEvents": log_operations.filter_log_events,
    },
)
