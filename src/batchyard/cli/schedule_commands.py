"""`batchyard schedule`, `batchyard schedule add`, `batchyard schedule remove` and `batchyard topics`."""

from __future__ import annotations

from typing import Annotated

import typer

from batchyard.cli.options import Json, Url, connect, reports_errors
from batchyard.cli.usage import Application

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule.")]


def add_to(app: Application) -> None:
    """Adds the commands."""
    app.command("schedule", short_help="List the schedules.")(schedule)
    app.command("schedule add", short_help="Submit a job again and again, or at a time.")(add)
    app.command("schedule remove", short_help="Remove a schedule.")(remove)
    app.command("topics", short_help="List the topics and their subscriptions.")(topics)


@reports_errors
def schedule(url: Url = None, as_json: Json = False) -> int:
    """List the schedules: when each fires, in which time zone, and what it does."""
    from batchyard.cli.schedules import show_schedules

    with connect(url) as client:
        return show_schedules(client, as_json=as_json)


@reports_errors
def add(
    name: Name,
    expression: Annotated[
        str,
        typer.Argument(metavar="WHEN", help="cron(0 2 * * ? *), rate(6 hours) or at(2026-12-24T18:00:00), as on AWS."),
    ],
    definition: Annotated[str, typer.Option("--definition", metavar="DEFINITION", help="The job definition.")],
    queue: Annotated[str, typer.Option("--queue", metavar="QUEUE", help="The job queue.")] = "default",
    zone: Annotated[
        str, typer.Option("--zone", metavar="ZONE", help="The time zone of WHEN, such as Europe/Berlin.")
    ] = "UTC",
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameter", metavar="NAME=VALUE", help="For Ref::NAME of the definition; may be given again."),
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Submit a job of a definition again and again, or once at a time. It makes a schedule of EventBridge Scheduler;
    the same name again replaces it. Times that were missed while the service was down are made up once."""
    from batchyard.cli.schedules import ScheduledJob, add_schedule

    wanted = ScheduledJob(name, expression, zone, queue, definition, tuple(parameters or ()))
    with connect(url) as client:
        return add_schedule(client, wanted, as_json=as_json)


@reports_errors
def remove(name: Name, url: Url = None) -> int:
    """Remove a schedule. Jobs that it has submitted stay."""
    from batchyard.cli.schedules import remove_schedule

    with connect(url) as client:
        return remove_schedule(client, name)


@reports_errors
def topics(url: Url = None, as_json: Json = False) -> int:
    """List the topics with their subscriptions, and which of these were confirmed."""
    from batchyard.cli.topics import show_topics

    with connect(url) as client:
        return show_topics(client, as_json=as_json)
