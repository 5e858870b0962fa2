"""Metric filters and subscription filters of log groups (observability spec 17)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from batchyard.api.context import Call, Context
from batchyard.api.logs.requests import change, find_group, invalid, limit_of
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.logs.filter_pattern import compile_filter
from batchyard.observe.log_filters import METRIC_FILTER, SUBSCRIPTION_FILTER, MetricFilter, SubscriptionFilter
from batchyard.store.logs import log_changes, log_tables
from batchyard.store.logs.log_records import WrittenGroup
from batchyard.wire.messages import Document

MAX_METRIC_FILTERS = 100  # of a group (CloudWatch Logs quotas)
MAX_SUBSCRIPTIONS = 2
MAX_DIMENSIONS = 3
NOT_HONOURED = ("applyOnTransformedLogs", "fieldSelectionCriteria", "emitSystemFieldDimensions", "emitSystemFields")
# Destinations of AWS's that are not here, each with the remedy.
NOT_HERE = {"kinesis": "Kinesis streams", "firehose": "Firehose streams", "lambda": "Lambda functions"}

Filter = TypeVar("Filter", MetricFilter, SubscriptionFilter)


# -- metric filters --


async def put_metric_filter(context: Context, call: Call, request: Document) -> Document:
    """logGroupName, filterName, filterPattern, metricTransformations (one)."""
    _check_honoured(request)
    group = await find_group(context, request["logGroupName"])
    pattern = request["filterPattern"]
    compile_filter(pattern)
    (transformation,) = request["metricTransformations"]
    value, dimensions = transformation["metricValue"], transformation.get("dimensions", {})
    if not value.startswith("$") and not _is_number(value):
        raise invalid(f"metricValue must be a number, or a selector such as $.bytes or $bytes, got {value!r}.")
    if len(dimensions) > MAX_DIMENSIONS:
        raise invalid(f"A metric filter has at most {MAX_DIMENSIONS} dimensions, got {len(dimensions)}.")
    if dimensions and "defaultValue" in transformation:
        raise invalid("Invalid metric transformation: dimensions and default value are mutually exclusive properties.")
    made = MetricFilter(
        group.name,
        request["filterName"],
        pattern,
        transformation["metricNamespace"],
        transformation["metricName"],
        value,
        context.log_writer.now_ms(),
        transformation.get("defaultValue"),
        transformation.get("unit", "None"),
        dimensions,
    )
    await _put(context, group, METRIC_FILTER, made, MAX_METRIC_FILTERS)
    return {}


async def describe_metric_filters(context: Context, call: Call, request: Document) -> Document:
    """logGroupName, filterNamePrefix, metricName with metricNamespace, limit, nextToken -> metricFilters."""
    if ("metricName" in request) != ("metricNamespace" in request):
        raise invalid("metricName and metricNamespace are given together, or neither of them.")
    found = await _found(context, request, METRIC_FILTER, MetricFilter)
    if "metricName" in request:
        wanted = request["metricNamespace"], request["metricName"]
        found = [one for one in found if (one.namespace, one.metric) == wanted]
    return _page(request, "metricFilters", found, _metric_filter)


async def delete_metric_filter(context: Context, call: Call, request: Document) -> Document:
    """logGroupName, filterName."""
    await _delete(context, request, METRIC_FILTER, "metric filter")
    return {}


async def test_metric_filter(context: Context, call: Call, request: Document) -> Document:
    """filterPattern, logEventMessages -> matches, with what the pattern extracts."""
    pattern = compile_filter(request["filterPattern"])
    return {
        "matches": [
            {"eventNumber": number, "eventMessage": message, "extractedValues": pattern.extracted(message)}
            for number, message in enumerate(request["logEventMessages"], 1)
            if pattern.matches(message)
        ]
    }


def _metric_filter(one: MetricFilter) -> Document:
    transformation: Document = {
        "metricName": one.metric,
        "metricNamespace": one.namespace,
        "metricValue": one.value,
        "unit": one.unit,
    }
    if one.default is not None:
        transformation["defaultValue"] = one.default
    if one.dimensions:
        transformation["dimensions"] = one.dimensions
    return {
        "filterName": one.name,
        "filterPattern": one.pattern,
        "metricTransformations": [transformation],
        "creationTime": one.created_ms,
        "logGroupName": one.group,
        "applyOnTransformedLogs": False,
    }


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False


# -- subscription filters --


async def put_subscription_filter(context: Context, call: Call, request: Document) -> Document:
    """logGroupName, filterName, filterPattern, destinationArn: a topic, an event bus or an API destination."""
    _check_honoured(request)
    group = await find_group(context, request["logGroupName"])
    compile_filter(request["filterPattern"])
    _check_destination(request["destinationArn"])
    made = SubscriptionFilter(
        group.name,
        request["filterName"],
        request["filterPattern"],
        request["destinationArn"],
        context.log_writer.now_ms(),
        request.get("roleArn", ""),
        request.get("distribution", "ByLogStream"),
    )
    await _put(context, group, SUBSCRIPTION_FILTER, made, MAX_SUBSCRIPTIONS)
    return {}


async def describe_subscription_filters(context: Context, call: Call, request: Document) -> Document:
    """logGroupName, filterNamePrefix, limit, nextToken -> subscriptionFilters."""
    found = await _found(context, request, SUBSCRIPTION_FILTER, SubscriptionFilter)
    return _page(request, "subscriptionFilters", found, _subscription_filter)


async def delete_subscription_filter(context: Context, call: Call, request: Document) -> Document:
    """logGroupName, filterName."""
    await _delete(context, request, SUBSCRIPTION_FILTER, "subscription filter")
    return {}


def _subscription_filter(one: SubscriptionFilter) -> Document:
    document: Document = {
        "filterName": one.name,
        "logGroupName": one.group,
        "filterPattern": one.pattern,
        "destinationArn": one.destination,
        "distribution": one.distribution,
        "creationTime": one.created_ms,
        "applyOnTransformedLogs": False,
    }
    return document | ({"roleArn": one.role_arn} if one.role_arn else {})


def _check_destination(arn: str) -> None:
    parts = arn.split(":", 5)
    service, resource = (parts[2], parts[5]) if len(parts) == 6 and parts[0] == "arn" else ("", "")
    if service in NOT_HERE:
        raise invalid(
            f"There are no {NOT_HERE[service]} here: name an SNS topic, an event bus or an API destination, not {arn}."
        )
    if service == "sns" and resource:
        return
    if service != "events" or not resource.startswith(("event-bus/", "api-destination/")):
        raise invalid(f"destinationArn must be the ARN of an SNS topic, an event bus or an API destination, got {arn}.")


# -- both --


def _check_honoured(request: Document) -> None:
    for member in NOT_HONOURED:
        if request.get(member):
            raise invalid(f"{member} is not built here: leave it out.")


async def _put(context: Context, group: WrittenGroup, kind: str, made: Any, maximum: int) -> None:
    def work(connection: Any, now_ms: int) -> None:
        known = log_tables.documents(connection, kind, type(made), group.name)
        if len(known) >= maximum and all(one.name != made.name for one in known):
            raise Refused("Resource limit exceeded.", "LimitExceededException")
        log_changes.adopt(connection, group)
        log_tables.put_document(connection, kind, group.name, made.name, made)
        context.log_filters.forget(group.name)

    await change(context, work)


async def _found(context: Context, request: Document, kind: str, record: type[Filter]) -> list[Filter]:
    name, prefix = request.get("logGroupName"), request.get("filterNamePrefix", "")
    if name is not None:
        await find_group(context, name)
    found = await context.read(context.log_reader.documents, kind, record, name)
    return [one for one in found if one.name.startswith(prefix)]


def _page(request: Document, member: str, found: list[Filter], shape: Callable[[Filter], Document]) -> Document:
    limit, token = limit_of(request), request.get("nextToken")
    left = [(f"{one.group}\n{one.name}", one) for one in found if token is None or f"{one.group}\n{one.name}" > token]
    answer: Document = {member: [shape(one) for _, one in left[:limit]]}
    return answer | ({"nextToken": left[limit - 1][0]} if len(left) > limit else {})


async def _delete(context: Context, request: Document, kind: str, noun: str) -> None:
    group = await find_group(context, request["logGroupName"])

    def work(connection: Any, now_ms: int) -> None:
        if not log_tables.delete_document(connection, kind, group.name, request["filterName"]):
            raise Refused(f"The specified {noun} does not exist.", "ResourceNotFoundException")
        context.log_filters.forget(group.name)

    await change(context, work)
