"""Rules of events, schedules and topics, one by one: what they wait for, where it goes, and what did not arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from batchyard.console.rendering import pretty, render
from batchyard.console.site import Answer, NotFound, PageRequest, Site, redirect, url_of
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.schedules.expressions import At, FireTimes, Rate, parse_scheduler_expression
from batchyard.wire.messages import Document

EVENTS, SCHEDULER, SNS, YARD = "events", "scheduler", "sns", "yard"
NEXT_TIMES = 5
MAX_FAILURES = 20  # deliveries shown
SUBSCRIPTIONS = 1000  # shown of a topic
# Members of GetSchedule that UpdateSchedule takes.
SCHEDULE_MEMBERS = (
    *("Name", "GroupName", "ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow", "Target"),
    *("ActionAfterCompletion", "Description", "StartDate", "EndDate"),
)


async def show_rule(site: Site, request: PageRequest) -> Answer:
    rule = await _rule(site, request, request.query)
    asked = {"Rule": rule["Name"], "EventBusName": rule["EventBusName"]}
    targets = (await site.call(request.visitor, EVENTS, "ListTargetsByRule", asked))["Targets"]
    failed, waiting = await _deliveries(site, request, rule["Arn"])
    expression = rule.get("ScheduleExpression", "")
    return render(
        site,
        request,
        "rule.html",
        rule=rule,
        targets=targets,
        failed=failed,
        waiting=waiting,
        pattern=_json_text(rule.get("EventPattern", "")),
        # A rate counts from when its rule was made or enabled, which no operation says.
        times=[] if expression.startswith("rate") else next_times(expression, UTC, site.now_ms()),
    )


async def _rule(site: Site, request: PageRequest, given: Mapping[str, str]) -> Document:
    asked = {"Name": given.get("name", ""), "EventBusName": given.get("bus") or "default"}
    if not asked["Name"]:
        raise NotFound("Which rule? Its name goes into the address, as ?name=failures.")
    return await site.call(request.visitor, EVENTS, "DescribeRule", asked) | {"EventBusName": asked["EventBusName"]}


async def _deliveries(site: Site, request: PageRequest, target: str) -> tuple[list[Document], int]:
    """Returns the failed deliveries of targets whose names begin so, the newest first, and how many wait."""
    answer = await site.call(request.visitor, YARD, "ListDeliveries", {"target": target})
    return answer["failed"][:MAX_FAILURES], sum(one["count"] for one in answer["waiting"])


def next_times(
    expression: str,
    zone: tzinfo,
    now_ms: int,
    anchor_ms: int = 0,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> list[int]:
    """Returns when a schedule fires next, NEXT_TIMES at most; none of an empty expression."""
    if not expression:
        return []
    parsed = parse_scheduler_expression(expression)
    is_once = isinstance(parsed, At)
    fires = FireTimes(parsed, zone, anchor_ms, None if is_once else start_ms, None if is_once else end_ms)
    found: list[int] = []
    at_ms: int | None = now_ms
    while at_ms is not None and len(found) < NEXT_TIMES:
        at_ms = fires.next_fire(at_ms)
        found += [] if at_ms is None else [at_ms]
    return found


def _json_text(text: str) -> str:
    """Returns a JSON text indented; another one as it is."""
    try:
        return pretty(msgspec.json.decode(text)) if text else ""
    except msgspec.DecodeError:
        return text


async def ask_switch_rule(site: Site, request: PageRequest) -> Answer:
    rule = await _rule(site, request, request.query)
    back = url_of("rule", {"name": rule["Name"], "bus": rule["EventBusName"]})
    hidden = [("name", rule["Name"]), ("bus", rule["EventBusName"])]
    return _ask_switch(site, request, rule["Name"], rule["State"], hidden, back)


async def switch_rule(site: Site, request: PageRequest) -> Answer:
    form = request.form
    operation = "DisableRule" if form.get("verb") == "Disable" else "EnableRule"
    asked = {"Name": form.get("name", ""), "EventBusName": form.get("bus") or "default"}
    await site.call(request.visitor, EVENTS, operation, asked)
    return redirect("rule", {"name": asked["Name"], "bus": asked["EventBusName"]})


def _ask_switch(
    site: Site, request: PageRequest, name: str, state: str, hidden: Sequence[tuple[str, str]], back: str
) -> Answer:
    verb = "Disable" if state.startswith("ENABLED") else "Enable"
    return render(
        site,
        request,
        "confirm.html",
        heading=f"{verb} {name}?",
        text="It is kept, and does nothing until it is enabled." if verb == "Disable" else "It works from now on.",
        hidden=[*hidden, ("verb", verb)],
        asks_reason=False,
        reason="",
        button=f"{verb} it",
        back=back,
    )


# -- schedules --


async def show_schedule(site: Site, request: PageRequest) -> Answer:
    schedule = await _schedule(site, request, request.query)
    failed, waiting = await _deliveries(site, request, schedule["Arn"])
    times: list[int] = []
    if schedule["State"] == "ENABLED":
        times = next_times(
            schedule["ScheduleExpression"],
            _zone(schedule["ScheduleExpressionTimezone"]),
            site.now_ms(),
            round(schedule["LastModificationDate"] * 1000),
            _milliseconds(schedule.get("StartDate")),
            _milliseconds(schedule.get("EndDate")),
        )
    return render(
        site,
        request,
        "schedule.html",
        schedule=schedule,
        times=times,
        failed=failed,
        waiting=waiting,
        input=_json_text(schedule["Target"].get("Input", "")),
        is_rate=isinstance(parse_scheduler_expression(schedule["ScheduleExpression"]), Rate),
    )


async def _schedule(site: Site, request: PageRequest, given: Mapping[str, str]) -> Document:
    asked = {"Name": given.get("name", ""), "GroupName": given.get("group") or "default"}
    if not asked["Name"]:
        raise NotFound("Which schedule? Its name goes into the address, as ?name=nightly.")
    return await site.call(request.visitor, SCHEDULER, "GetSchedule", asked)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):  # of a schedule made where the zone was known
        return UTC


def _milliseconds(at_seconds: float | None) -> int | None:
    return None if at_seconds is None else round(at_seconds * 1000)


async def ask_switch_schedule(site: Site, request: PageRequest) -> Answer:
    schedule = await _schedule(site, request, request.query)
    hidden = [("name", schedule["Name"]), ("group", schedule["GroupName"])]
    back = url_of("schedule", {"name": schedule["Name"], "group": schedule["GroupName"]})
    return _ask_switch(site, request, schedule["Name"], schedule["State"], hidden, back)


async def switch_schedule(site: Site, request: PageRequest) -> Answer:
    schedule = await _schedule(site, request, request.form)
    state = "DISABLED" if request.form.get("verb") == "Disable" else "ENABLED"
    changed = {name: schedule[name] for name in SCHEDULE_MEMBERS if name in schedule} | {"State": state}
    await site.call(request.visitor, SCHEDULER, "UpdateSchedule", changed)
    return redirect("schedule", {"name": schedule["Name"], "group": schedule["GroupName"]})


# -- topics --


async def show_topic(site: Site, request: PageRequest) -> Answer:
    arn = request.query.get("name", "")
    arn = arn if arn.startswith("arn:") else site.context.account.arn(SNS, arn)
    try:
        answer = await site.call(request.visitor, SNS, "GetTopicAttributes", {"TopicArn": arn})
    except Refused as error:
        raise NotFound(f"The topic {arn.rpartition(':')[2]!r} does not exist.") from error
    subscriptions: list[Document] = []
    asked: Document = {"TopicArn": arn}
    while len(subscriptions) < SUBSCRIPTIONS:
        page = await site.call(request.visitor, SNS, "ListSubscriptionsByTopic", asked)
        subscriptions += page["Subscriptions"]
        if not page.get("NextToken"):
            break
        asked = {"TopicArn": arn, "NextToken": page["NextToken"]}
    failed, waiting = await _deliveries(site, request, f"{arn}:")
    return render(
        site,
        request,
        "topic.html",
        topic=answer["Attributes"],
        name=arn.rpartition(":")[2],
        arn=arn,
        subscriptions=subscriptions,
        failed=failed,
        waiting=waiting,
    )
