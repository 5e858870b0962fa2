"""`batchyard cost` and `batchyard rightsize`."""

from __future__ import annotations

from typing import Annotated

import typer

from batchyard.cli.options import Json, Url, connect, reports_errors
from batchyard.cli.usage import Application

DEFAULT_COST_SPAN = "30d"
DEFAULT_SIZE_SPAN = "30d"


def _span(text: str) -> int:
    from batchyard.cli.log_query import milliseconds

    return milliseconds(text)


def add_to(app: Application) -> None:
    """Adds the commands."""
    app.command("cost", short_help="Show what jobs used, wasted and cost.")(cost)
    app.command("rightsize", short_help="Recommend memory and vCPUs from what attempts used.")(rightsize)


Since = Annotated[int, typer.Option("--since", metavar="TIME", parser=_span, help="How far back: 12h, 7d, 4w.")]


@reports_errors
def cost(
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="KIND",
            help="queue, share, definition, key, environment, or tag:KEY for the values of a tag.",
        ),
    ] = "queue",
    since: Since = DEFAULT_COST_SPAN,  # type: ignore[assignment]  # typer parses it
    spot: Annotated[
        bool, typer.Option("--spot", help="Which definitions lose work with their hosts, and what Spot saves them.")
    ] = False,
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Show what jobs used and what of it was wasted: vCPU, GiB and GPU hours of what they asked for, from start to end;
    CPU time and memory they asked for and did not use; work lost with its host; idle instances. Money where [prices]
    names a price of the instance type."""
    from batchyard.cli.costs import show_costs, show_spot

    with connect(url) as client:
        if spot:
            return show_spot(client, since, as_json=as_json)
        return show_costs(client, by, since, as_json=as_json)


@reports_errors
def rightsize(
    definition: Annotated[
        str | None, typer.Argument(metavar="[DEFINITION]", help="A name, or name:revision; else an overview of all.")
    ] = None,
    since: Since = DEFAULT_SIZE_SPAN,  # type: ignore[assignment]  # typer parses it
    applies: Annotated[
        bool, typer.Option("--apply", help="Register a new revision with the recommended memory and vCPUs.")
    ] = False,
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Recommend memory and vCPUs from what attempts used: the 95th percentile of their peaks and 20 % more. An attempt
    that was killed for its memory counts as one that needed more than its limit. Peaks are sampled: short ones may be
    missed, which the 20 % are for."""
    from batchyard.cli.rightsizing import show_all, show_definition

    if definition is None and applies:
        raise typer.BadParameter("needs a DEFINITION.", param_hint="--apply")
    with connect(url) as client:
        if definition is None:
            return show_all(client, since, as_json=as_json)
        return show_definition(client, definition, since, applies=applies, as_json=as_json)
