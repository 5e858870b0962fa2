"""`batchyard metrics` and `batchyard alarms`."""

from __future__ import annotations

from typing import Annotated

import typer

from batchyard.cli.options import Json, Url, connect, reports_errors
from batchyard.cli.usage import Application

DEFAULT_SPAN = "3h"


def _span(text: str) -> int:
    from batchyard.cli.log_query import milliseconds

    return milliseconds(text)


def add_to(app: Application) -> None:
    """Adds the commands."""
    app.command("metrics", short_help="Draw what a queue did.")(metrics)
    app.command("alarms", short_help="List the alarms, or show one.")(alarms)


@reports_errors
def metrics(
    queue: Annotated[str, typer.Argument(metavar="[QUEUE]", help="A job queue.")] = "default",
    since: Annotated[
        int, typer.Option("--since", metavar="TIME", parser=_span, help="How far back: 15m, 3h, 7d.")
    ] = DEFAULT_SPAN,  # type: ignore[assignment]  # typer parses it
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Draw what a queue did: how many jobs waited and ran, how many ended and how, and how long they waited and ran."""
    from batchyard.cli.metrics import show_metrics

    with connect(url) as client:
        return show_metrics(client, queue, since, as_json=as_json)


@reports_errors
def alarms(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One alarm, with its history.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> int:
    """List the alarms with their states and reasons, those in ALARM first; or show one, with what happened to it."""
    from batchyard.cli.metrics import show_alarm, show_alarms

    with connect(url) as client:
        return show_alarms(client, as_json=as_json) if name is None else show_alarm(client, name, as_json=as_json)
