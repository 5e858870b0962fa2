"""`batchyard events`, `batchyard events webhook` and `batchyard events failures`."""

from __future__ import annotations

from typing import Annotated

import typer

from batchyard.cli.options import Json, Url, connect, reports_errors
from batchyard.cli.usage import Application, whole_number

DEFAULT_JOBS = 20  # newest jobs whose past is shown: what fits a terminal
Queue = Annotated[str | None, typer.Option("--queue", metavar="QUEUE", help="Only of this queue.")]


def add_to(app: Application) -> None:
    """Adds the commands."""
    app.command("events", short_help="Show what happened to jobs.")(events)
    app.command("events webhook", short_help="Send events of jobs to a URL.")(webhook)
    app.command("events failures", short_help="List the deliveries of events that failed.")(failures)


@reports_errors
def events(
    queue: Queue = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", parser=whole_number(0), help="Of the newest N jobs; 0 for all.")
    ] = DEFAULT_JOBS,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="From now on, until Ctrl-C.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Show what happened to jobs, oldest first: submitted, running, retried, ended, and why. The past is that of the
    attempts that are stored. --json prints a line for each event."""
    from batchyard.cli.events import follow_events, show_events

    with connect(url) as client:
        if follow:
            return follow_events(client, queue, as_json=as_json)
        return show_events(client, queue, limit, as_json=as_json)


@reports_errors
def webhook(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="An http or https URL, which gets a POST.")],
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Of the rule, the API destination and the connection.")
    ] = "webhook",
    status: Annotated[
        list[str] | None,
        typer.Option("--status", metavar="STATE", help="Of jobs in this state, else FAILED; may be given again."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Of every state.")] = False,
    queue: Queue = None,
    key: Annotated[
        str,
        typer.Option("--key", metavar="NAME=VALUE", help="A header by which the receiver knows this service."),
    ] = "X-Api-Key=batchyard",
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Send events of jobs to a URL. It makes a rule of EventBridge, whose target is an API destination with a
    connection; the same name again changes them."""
    from batchyard.cli.events import Webhook, make_webhook
    from batchyard.cli.job_lookup import FINISHED, UNFINISHED

    statuses = tuple(one.upper() for one in status or ("FAILED",))
    unknown = [one for one in statuses if one not in (*UNFINISHED, *FINISHED)]
    if unknown:
        raise typer.BadParameter(f"must be one of {', '.join((*UNFINISHED, *FINISHED))}.", param_hint="--status")
    wanted = Webhook(address, name, () if every else statuses, queue, key)
    with connect(url) as client:
        return make_webhook(client, wanted, as_json=as_json)


@reports_errors
def failures(url: Url = None, as_json: Json = False) -> int:
    """List the deliveries of events that were given up, newest first, with the reasons; and how many wait."""
    from batchyard.cli.events import show_failures

    with connect(url) as client:
        return show_failures(client, as_json=as_json)
