"""CloudWatch: metrics, and alarms on them."""

from __future__ import annotations

from batchyard.api.cloudwatch import metric_data, metric_reading
from batchyard.api.cloudwatch.requests import INVALID_TOKEN, VALIDATION
from batchyard.api.service_descriptor import ServiceDescriptor

SERVICE = ServiceDescriptor(
    name="monitoring",
    sdk_name="cloudwatch",
    title="CloudWatch",
    is_announced=True,
    is_model_whole=True,
    invalid_code=VALIDATION,
    token_code=INVALID_TOKEN,
    operations={
        "PutMetricData": metric_data.put_metric_data,
        "ListMetrics": metric_data.list_metrics,
        "GetMetricStatistics": metric_reading.get_metric_statistics,
        "GetMetricData": metric_reading.get_metric_data,
    },
)
