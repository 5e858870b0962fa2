"""CloudWatch: metrics, and alarms on them."""

from __future__ import annotations

from functools import partial

from batchyard.api.cloudwatch import alarms, metric_data, metric_reading
from batchyard.api.cloudwatch.requests import INVALID_TOKEN, VALIDATION
from batchyard.api.model_constraints import constraint_check
from batchyard.api.service_descriptor import ServiceDescriptor

# Shapes whose values are refused in words of their own.
ELSEWHERE = frozenset(
    {
        "AlarmNames",
        "AlarmType",
        "AmazonResourceName",
        "ComparisonOperator",
        "DatapointsToAlarm",
        "DimensionFilters",
        "DimensionName",
        "DimensionValue",
        "Dimensions",
        "EvaluateLowSampleCountPercentile",
        "EvaluationInterval",
        "EvaluationPeriods",
        "ExtendedStatistics",
        "HistoryItemType",
        "MetricExpression",
        "MetricId",
        "MetricName",
        "Namespace",
        "Period",
        "RecentlyActive",
        "ResourceList",
        "ScanBy",
        "StandardUnit",
        "StateValue",
        "Statistic",
        "Statistics",
        "StorageResolution",
        "TreatMissingData",
    }
)

SERVICE = ServiceDescriptor(
    name="monitoring",
    sdk_name="cloudwatch",
    title="CloudWatch",
    is_announced=True,
    is_model_whole=True,
    compile_check=partial(constraint_check, elsewhere=ELSEWHERE),
    invalid_code=VALIDATION,
    token_code=INVALID_TOKEN,
    operations={
        "PutMetricData": metric_data.put_metric_data,
        "ListMetrics": metric_data.list_metrics,
        "GetMetricStatistics": metric_reading.get_metric_statistics,
        "GetMetricData": metric_reading.get_metric_data,
        "PutMetricAlarm": alarms.put_metric_alarm,
        "PutCompositeAlarm": alarms.put_composite_alarm,
        "DescribeAlarms": alarms.describe_alarms,
        "DescribeAlarmsForMetric": alarms.describe_alarms_for_metric,
        "DescribeAlarmHistory": alarms.describe_alarm_history,
        "SetAlarmState": alarms.set_alarm_state,
        "EnableAlarmActions": alarms.enable_alarm_actions,
        "DisableAlarmActions": alarms.disable_alarm_actions,
        "DeleteAlarms": alarms.delete_alarms,
        "TagResource": alarms.tag_resource,
        "UntagResource": alarms.untag_resource,
        "ListTagsForResource": alarms.list_tags_for_resource,
    },
)
