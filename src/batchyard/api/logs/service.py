"""CloudWatch Logs: what jobs and callers write, and what is made of it."""

from __future__ import annotations

from functools import partial

from batchyard.api.logs import filters, groups, live_tail, log_operations, queries, streams
from batchyard.api.logs.requests import INVALID_PARAMETER
from batchyard.api.model_constraints import constraint_check
from batchyard.api.service_descriptor import ServiceDescriptor

# Shapes whose values are refused in words of their own.
ELSEWHERE = frozenset(
    {
        "LogGroupName",
        "LogStreamName",
        "LogGroupClass",
        "QueryLanguage",
        "EventMessage",
        "NextToken",
        "GetQueryResultsNextToken",
        "AmazonResourceName",
    }
)

SERVICE = ServiceDescriptor(
    name="logs",
    title="CloudWatch Logs",
    is_announced=True,
    is_model_whole=True,
    compile_check=partial(constraint_check, elsewhere=ELSEWHERE),
    invalid_code=INVALID_PARAMETER,
    operations={
        "CreateLogGroup": groups.create_log_group,
        "DeleteLogGroup": groups.delete_log_group,
        "PutRetentionPolicy": groups.put_retention_policy,
        "DeleteRetentionPolicy": groups.delete_retention_policy,
        "ListLogGroups": groups.list_log_groups,
        "TagResource": groups.tag_resource,
        "UntagResource": groups.untag_resource,
        "ListTagsForResource": groups.list_tags_for_resource,
        "TagLogGroup": groups.tag_log_group,
        "UntagLogGroup": groups.untag_log_group,
        "ListTagsLogGroup": groups.list_tags_log_group,
        "CreateLogStream": streams.create_log_stream,
        "DeleteLogStream": streams.delete_log_stream,
        "PutLogEvents": streams.put_log_events,
        "PutMetricFilter": filters.put_metric_filter,
        "DescribeMetricFilters": filters.describe_metric_filters,
        "DeleteMetricFilter": filters.delete_metric_filter,
        "TestMetricFilter": filters.test_metric_filter,
        "PutSubscriptionFilter": filters.put_subscription_filter,
        "DescribeSubscriptionFilters": filters.describe_subscription_filters,
        "DeleteSubscriptionFilter": filters.delete_subscription_filter,
        "StartLiveTail": live_tail.start_live_tail,
        "StartQuery": queries.start_query,
        "GetQueryResults": queries.get_query_results,
        "StopQuery": queries.stop_query,
        "DescribeQueries": queries.describe_queries,
        "PutQueryDefinition": queries.put_query_definition,
        "DescribeQueryDefinitions": queries.describe_query_definitions,
        "DeleteQueryDefinition": queries.delete_query_definition,
        "GetLogRecord": queries.get_log_record,
        "GetLogGroupFields": queries.get_log_group_fields,
        "DescribeLogGroups": log_operations.describe_log_groups,
        "DescribeLogStreams": log_operations.describe_log_streams,
        "GetLogEvents": log_operations.get_log_events,
        "FilterLogEvents": log_operations.filter_log_events,
    },
)
