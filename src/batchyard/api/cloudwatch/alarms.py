"""Alarms of CloudWatch: configuration, states, history, tags (observability spec 11, 12)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batchyard.alarms import commands as c
from batchyard.alarms.records import COMPOSITE, METRIC, Alarm, HistoryItem, alarm_name, described
from batchyard.api.cloudwatch.alarm_requests import STATES, composite_alarm, enum_faults, metric_alarm, refuse_faults
from batchyard.api.cloudwatch.requests import COMBINATION, INVALID_TOKEN, VALIDATION, dimensions_in, invalid, page
from batchyard.api.context import Call, Context
from batchyard.api.secret_values import tag_keys_of, tags_of
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.alarms.composite import children, parse_rule
from batchyard.evaluators.json_text import InvalidJson, parse_json
from batchyard.wire.messages import Document

MAX_NAMES = 100  # API: AlarmNames
PAGE = 50  # API: DescribeAlarms; MaxRecords is 100 at most
MAX_PAGE = 100
KINDS = (COMPOSITE, METRIC, "LogAlarm")
SCAN_ORDERS = ("TimestampDescending", "TimestampAscending")  # API: ScanBy
HISTORY_KINDS = ("ConfigurationUpdate", "StateUpdate", "Action")


async def put_metric_alarm(context: Context, call: Call, request: Document) -> Document:
    """Creates an alarm, or replaces its configuration. It is evaluated at once."""
    document = metric_alarm(request)
    await context.ask(c.PutAlarm(request["AlarmName"], METRIC, document, _tags(request)))
    return {}


async def put_composite_alarm(context: Context, call: Call, request: Document) -> Document:
    document = composite_alarm(request)
    await context.ask(c.PutAlarm(request["AlarmName"], COMPOSITE, document, _tags(request)))
    return {}


async def delete_alarms(context: Context, call: Call, request: Document) -> Document:
    """Unknown names are no fault, as on AWS."""
    await context.ask(c.DeleteAlarms(_names(request)))
    return {}


async def set_alarm_state(context: Context, call: Call, request: Document) -> Document:
    """Lasts until the next evaluation."""
    refuse_faults(enum_faults(request, "StateValue", "stateValue", STATES))
    data = request.get("StateReasonData", "")
    if data:
        try:
            parse_json(data)
        except (InvalidJson, ValueError) as error:
            raise invalid("StateReasonData must be a JSON text.", "InvalidFormat") from error
    await context.ask(c.SetAlarmState(request["AlarmName"], request["StateValue"], request["StateReason"], data))
    return {}


async def enable_alarm_actions(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.EnableActions(_names(request), True))
    return {}


async def disable_alarm_actions(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.EnableActions(_names(request), False))
    return {}


def _names(request: Document) -> tuple[str, ...]:
    names = request["AlarmNames"]
    if len(names) > MAX_NAMES:
        raise invalid(f"The collection AlarmNames must not have a size greater than {MAX_NAMES}.", VALIDATION)
    return tuple(names)


# -- questions --


async def describe_alarms(context: Context, call: Call, request: Document) -> Document:
    """By name: AlarmNames, or AlarmNamePrefix, or relatives of an alarm; AlarmTypes, StateValue, ActionPrefix."""
    asked = [
        name
        for name in ("AlarmNames", "AlarmNamePrefix", "ChildrenOfAlarmName", "ParentsOfAlarmName")
        if name in request
    ]
    if len(asked) > 1:
        raise invalid(f"{asked[0]} and {asked[1]} are mutually exclusive.", COMBINATION)
    kinds = enum_faults(request, "AlarmTypes", "alarmTypes", KINDS)
    refuse_faults([*kinds, *enum_faults(request, "StateValue", "stateValue", STATES)])
    every = await context.ask(c.AskAlarms())
    found = [alarm for alarm in _selected(every, request) if _fits(alarm, request)]
    rows = [(alarm.name, alarm) for alarm in found]
    shown, cursor = page(rows, request.get("NextToken", ""), _page_size(request, PAGE))
    account = context.account
    answer: Document = {
        "MetricAlarms": [described(alarm, account) for alarm in shown if alarm.kind == METRIC],
        "CompositeAlarms": [described(alarm, account) for alarm in shown if alarm.kind == COMPOSITE],
        "LogAlarms": [],
    }
    return answer | ({"NextToken": cursor} if cursor else {})


def _selected(every: Sequence[Alarm], request: Document) -> list[Alarm]:
    """Returns the alarms that are asked for by name, prefix or kinship, of the kinds that are asked for."""
    relatives = request.get("ChildrenOfAlarmName") or request.get("ParentsOfAlarmName")
    if relatives is not None:
        names = _children_of(every, relatives) if "ChildrenOfAlarmName" in request else _parents_of(every, relatives)
        kinds: Iterable[str] = request.get("AlarmTypes", (METRIC, COMPOSITE))
        return [alarm for alarm in every if alarm.name in names and alarm.kind in kinds]
    kinds = request.get("AlarmTypes", (METRIC,))
    named = request.get("AlarmNames")
    prefix = request.get("AlarmNamePrefix", "")
    return [
        alarm
        for alarm in every
        if alarm.kind in kinds and (named is None or alarm.name in named) and alarm.name.startswith(prefix)
    ]


def _children_of(every: Sequence[Alarm], text: str) -> list[str]:
    name = alarm_name(text)
    return [child for alarm in every if alarm.name == name for child in _children(alarm)]


def _parents_of(every: Sequence[Alarm], text: str) -> list[str]:
    name = alarm_name(text)
    return [alarm.name for alarm in every if name in _children(alarm)]


def _children(alarm: Alarm) -> list[str]:
    if alarm.kind != COMPOSITE:
        return []
    return [alarm_name(child) for child in children(parse_rule(alarm.document["AlarmRule"]))]


def _fits(alarm: Alarm, request: Document) -> bool:
    if "StateValue" in request and alarm.state != request["StateValue"]:
        return False
    prefix = request.get("ActionPrefix")
    actions = [
        action
        for member in ("OKActions", "AlarmActions", "InsufficientDataActions")
        for action in alarm.document.get(member, ())
    ]
    return prefix is None or any(action.startswith(prefix) for action in actions)


def _page_size(request: Document, default: int) -> int:
    size = int(request.get("MaxRecords", default))
    if not 1 <= size <= MAX_PAGE:
        raise invalid(f"MaxRecords must be between 1 and {MAX_PAGE}, got {size}.", VALIDATION)
    return size


async def describe_alarms_for_metric(context: Context, call: Call, request: Document) -> Document:
    """The alarms on a metric with exactly these dimensions; Statistic, Period and Unit where they are given."""
    wanted = dimensions_in(request.get("Dimensions", []), "Dimensions")
    found = [
        alarm
        for alarm in await context.ask(c.AskAlarms())
        if alarm.kind == METRIC and any(_is_on(metric, wanted, request) for metric in _metrics_of(alarm))
    ]
    return {"MetricAlarms": [described(alarm, context.account) for alarm in found]}


def _metrics_of(alarm: Alarm) -> list[Document]:
    """Returns the metrics that an alarm watches, with the members of PutMetricAlarm."""
    if "Metrics" not in alarm.document:
        return [alarm.document]
    stats = [query["MetricStat"] for query in alarm.document["Metrics"] if "MetricStat" in query]
    return [stat["Metric"] | {"Period": stat["Period"], "Statistic": stat["Stat"]} for stat in stats]


def _is_on(metric: Document, wanted: tuple[tuple[str, str], ...], request: Document) -> bool:
    own = dimensions_in(metric.get("Dimensions", []), "Dimensions")
    name = metric.get("Namespace"), metric.get("MetricName")
    if (*name, own) != (request["Namespace"], request["MetricName"], wanted):
        return False
    members = ("Statistic", "ExtendedStatistic", "Period", "Unit")
    return all(metric.get(member) == request[member] for member in members if member in request)


async def describe_alarm_history(context: Context, call: Call, request: Document) -> Document:
    """What has happened in the last two weeks, the newest first unless ScanBy says otherwise."""
    refuse_faults(
        [
            *enum_faults(request, "AlarmTypes", "alarmTypes", KINDS),
            *enum_faults(request, "HistoryItemType", "historyItemType", HISTORY_KINDS),
            *enum_faults(request, "ScanBy", "scanBy", SCAN_ORDERS),
        ]
    )
    kind = request.get("HistoryItemType")
    start_ms, end_ms = request.get("StartDate", 0) * 1000, request.get("EndDate", float("inf")) * 1000
    kinds = request.get("AlarmTypes", (METRIC, COMPOSITE))
    found = [
        item
        for item in await context.ask(c.AskAlarmHistory(request.get("AlarmName", "")))
        if kind in (None, item.kind) and start_ms <= item.at_ms <= end_ms and item.alarm_kind in kinds
    ]
    if request.get("ScanBy", "TimestampDescending") == "TimestampAscending":
        found.reverse()
    start = _place(request.get("NextToken", ""), found)
    size = _page_size(request, MAX_PAGE)
    answer: Document = {"AlarmHistoryItems": [_history_item(item) for item in found[start : start + size]]}
    is_more = start + size < len(found)
    return answer | ({"NextToken": str(found[start + size - 1].number)} if is_more else {})


def _place(cursor: str, items: Sequence[HistoryItem]) -> int:
    """Returns the place after the item of a cursor."""
    if not cursor:
        return 0
    for place, item in enumerate(items):
        if str(item.number) == cursor:
            return place + 1
    raise Refused("The NextToken is invalid: what it names is too old.", INVALID_TOKEN)


def _history_item(item: HistoryItem) -> Document:
    return {
        "AlarmName": item.alarm,
        "AlarmType": item.alarm_kind,
        "Timestamp": item.at_ms / 1000,
        "HistoryItemType": item.kind,
        "HistorySummary": item.summary,
        "HistoryData": item.data,
    }


# -- tags --


def _tags(request: Document) -> dict[str, str]:
    return tags_of(request.get("Tags", []), invalid)


def _tagged(request: Document) -> str:
    arn = request["ResourceARN"]
    _, found, name = arn.partition(":alarm:")
    if not found:
        raise invalid(f"{arn} is the ARN of no alarm: only alarms have tags here.")
    return str(name)


async def tag_resource(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.TagAlarm(_tagged(request), _tags(request)))
    return {}


async def untag_resource(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.TagAlarm(_tagged(request), removed=tuple(tag_keys_of(request["TagKeys"], invalid))))
    return {}


async def list_tags_for_resource(context: Context, call: Call, request: Document) -> Document:
    name = _tagged(request)
    for alarm in await context.ask(c.AskAlarms()):
        if alarm.name == name:
            return {"Tags": [{"Key": key, "Value": value} for key, value in sorted(alarm.tags.items())]}
    raise Refused(f"The alarm {name} does not exist.", "ResourceNotFoundException")
