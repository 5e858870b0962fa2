"""Pages of things that are lists alone: rules of events, alarms, schedules, topics, log groups, secrets, deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from batchyard.console.rendering import render
from batchyard.console.site import Answer, NotFound, PageRequest, Site, url_of
from batchyard.wire.messages import Document

TEXT, STATE, MOMENT, SECONDS, ARN, NUMBER = "text", "state", "moment", "seconds", "arn", "number"


class Column(Struct, frozen=True):
    """`member`: of a row, with dots for members of members. `kind`: how it is shown."""

    heading: str
    member: str
    kind: str = TEXT
    page: str = ""  # that the value leads to, as its `name`
    also: Mapping[str, str] = {}  # further parameters of that page, and the members that they are


class Listing(Struct, frozen=True):
    """One list: the operation that answers it, and the page around it. `empty`: a command that makes a first one."""

    title: str
    question: str
    service: str
    operation: str
    members: tuple[str, ...]
    columns: tuple[Column, ...]
    command: str
    empty: str
    token: str = "NextToken"


LISTINGS: Mapping[str, Listing] = {
    "alarms": Listing(
        "Alarms",
        "What is out of its bounds, and since when",
        "monitoring",
        "DescribeAlarms",
        ("MetricAlarms", "CompositeAlarms"),
        (
            Column("Alarm", "AlarmName", page="alarm"),
            Column("State", "StateValue", STATE),
            Column("Since", "StateUpdatedTimestamp", SECONDS),
            Column("Why", "StateReason"),
        ),
        "batchyard alarms",
        "aws cloudwatch put-metric-alarm --alarm-name failures --namespace AWS/Batch --metric-name FailedJobCount "
        "--dimensions Name=JobQueue,Value=default --statistic Sum --period 60 --evaluation-periods 1 "
        "--threshold 0 --comparison-operator GreaterThanThreshold --treat-missing-data notBreaching",
    ),
    "rules": Listing(
        "Rules of events",
        "Which events go where",
        "events",
        "ListRules",
        ("Rules",),
        (
            Column("Rule", "Name", page="rule", also={"bus": "EventBusName"}),
            Column("State", "State", STATE),
            Column("Pattern", "EventPattern"),
            Column("Description", "Description"),
        ),
        "batchyard events",
        "batchyard events webhook https://example.com/hook",
    ),
    "schedules": Listing(
        "Schedules",
        "What is submitted again and again, or at a time",
        "scheduler",
        "ListSchedules",
        ("Schedules",),
        (
            Column("Schedule", "Name", page="schedule", also={"group": "GroupName"}),
            Column("Group", "GroupName"),
            Column("State", "State", STATE),
            Column("Target", "Target.Arn", ARN),
            Column("Made", "CreationDate", SECONDS),
        ),
        "batchyard schedule",
        "batchyard schedule add nightly 'cron(0 3 * * ? *)' --queue default --definition NAME",
    ),
    "topics": Listing(
        "Topics",
        "Where notices are published",
        "sns",
        "ListTopics",
        ("Topics",),
        (Column("Topic", "TopicArn", ARN, page="topic"),),
        "batchyard topics",
        "aws sns create-topic --name failures",
    ),
    "subscriptions": Listing(
        "Subscriptions",
        "Who gets what is published",
        "sns",
        "ListSubscriptions",
        ("Subscriptions",),
        (
            Column("Topic", "TopicArn", ARN, page="topic"),
            Column("Protocol", "Protocol"),
            Column("Endpoint", "Endpoint"),
        ),
        "batchyard topics",
        "aws sns subscribe --topic-arn ARN --protocol email --notification-endpoint ann@example.com",
    ),
    "deliveries": Listing(
        "Failed deliveries",
        "What could not be passed on",
        "yard",
        "ListDeliveries",
        ("failed",),
        (
            Column("Target", "target"),
            Column("Failed", "failedAt", MOMENT),
            Column("Tried again", "retries", NUMBER),
            Column("Code", "errorCode"),
            Column("Why", "error"),
        ),
        "batchyard events failures",
        "",
    ),
    "log-groups": Listing(
        "Log groups",
        "Where output and log events are kept",
        "logs",
        "DescribeLogGroups",
        ("logGroups",),
        (
            Column("Group", "logGroupName", page="log-group"),
            Column("Bytes", "storedBytes", NUMBER),
            Column("Kept for days", "retentionInDays", NUMBER),
            Column("Made", "creationTime", MOMENT),
        ),
        "batchyard logs query 'fields @message | filter @message like /error/'",
        "batchyard run -- echo hello",
        "nextToken",
    ),
    "secrets": Listing(
        "Secrets",
        "What there is; values are shown to jobs alone",
        "secretsmanager",
        "ListSecrets",
        ("SecretList",),
        (
            Column("Secret", "Name"),
            Column("Description", "Description"),
            Column("Changed", "LastChangedDate", SECONDS),
        ),
        "batchyard secrets list",
        "batchyard secrets set NAME",
    ),
}


async def show_all(site: Site, request: PageRequest) -> Answer:
    """The pages that have no place in the bar at the top."""
    return render(site, request, "more.html", listings=LISTINGS)


async def show(site: Site, request: PageRequest) -> Answer:
    kind = request.parts["kind"]
    listing = LISTINGS.get(kind)
    if listing is None:
        raise NotFound("The console has no such page.")
    asked: Document = {}
    if request.query.get("next"):
        asked[listing.token] = request.query["next"]
    answer = await site.call(request.visitor, listing.service, listing.operation, asked)
    found = [row for member in listing.members for row in answer.get(member, [])]
    rows = [[(column, _value(row, column), _link(row, column)) for column in listing.columns] for row in found]
    following = answer.get(listing.token) or ""
    return render(site, request, "resources.html", kind=kind, listing=listing, rows=rows, following=following)


def _link(row: Document, column: Column) -> str:
    """Returns the address of the page of what a cell names; empty: it has none."""
    if not column.page or not row.get(column.member):
        return ""
    return url_of(column.page, {"name": row[column.member]} | {name: row[one] for name, one in column.also.items()})


def _value(row: Document, column: Column) -> Any:
    value: Any = row
    for member in column.member.split("."):
        value = value.get(member) if isinstance(value, dict) else None
    if column.kind == SECONDS and isinstance(value, int | float):
        return round(value * 1000)
    return value


async def show_doctor(site: Site, request: PageRequest) -> Answer:
    """What the machine lacks for running jobs, each with its remedy; as `batchyard doctor`."""
    service = await site.call(request.visitor, "yard", "GetService", {})
    return render(site, request, "doctor.html", service=service)
