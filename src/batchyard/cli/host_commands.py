"""`batchyard hosts list`: the machines that have joined the service, and the tokens with which they join."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from batchyard.cli.options import Json, Url, connect, reports_errors
from batchyard.cli.usage import Application, whole_number

NONE = "-"
COLUMNS = ("NAME", "INSTANCE", "ENVIRONMENT", "STATE", "FREE CPU", "FREE GIB", "GPUS", "JOBS", "ADDRESS", "VERSION")
STATES = {"READY": "connected", "AWAY": "not connected", "DRAINING": "drained", "TERMINATING": "leaves"}

hosts_app = Application(help="Machines that have joined this service, and run its jobs.")
Host = Annotated[str, typer.Argument(metavar="HOST", help="Its name or instance id, from `batchyard hosts list`.")]


@hosts_app.command("list")
@reports_errors
def list_hosts(url: Url = None, as_json: Json = False) -> None:
    """Show the machines that have joined: whether they are connected, and what is free there."""
    from batchyard.cli.client import YARD
    from batchyard.cli.formats import table
    from batchyard.cli.terminal_output import print_json, say

    with connect(url) as client:
        rows = client.call("ListHosts", {}, YARD)["hosts"]
    if as_json:
        print_json(rows)
    elif not rows:
        say("No host has joined. `batchyard hosts token` makes a token with which one can.")
    else:
        say(table(COLUMNS, [_cells(row) for row in rows]))


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    free, total = row["free"], row["total"]
    return (
        row["name"],
        row["instanceId"],
        row["computeEnvironment"],
        "leaves" if row.get("isLeaving") else STATES.get(row["state"], row["state"]),
        f"{free['vcpus']:g}/{total['vcpus']:g}",
        f"{free['memory'] / 1024:.1f}/{total['memory'] / 1024:.1f}",
        f"{free['gpus']}/{total['gpus']}" if total["gpus"] else NONE,
        str(row["jobsCount"]),
        row["address"] or NONE,
        row["version"] or NONE,
    )


@hosts_app.command("token")
@reports_errors
def token(
    environment: Annotated[
        str | None,
        typer.Option("--environment", metavar="NAME", help="The compute environment to join; made if it is new."),
    ] = None,
    minutes: Annotated[
        int | None,
        typer.Option("--minutes", metavar="N", parser=whole_number(1), help="How long it can be used; 60 by default."),
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Make a token that lets one machine join, once, and show it this once."""
    from batchyard.cli.client import YARD
    from batchyard.cli.terminal_output import print_json, say

    request: dict[str, Any] = {}
    if environment:
        request["computeEnvironment"] = environment
    if minutes:
        request["validMinutes"] = minutes
    with connect(url) as client:
        made = client.call("CreateHostToken", request, YARD)
    if as_json:
        print_json(made)
        return
    say("On the other machine, where batchyard is installed:")
    say("")
    say(f"    batchyard join {made['url']} --token {made['token']}")
    say("")
    say(f"It then runs jobs of the queues of the compute environment {made['computeEnvironment']}.")


@hosts_app.command("drain")
@reports_errors
def drain(
    host: Host,
    undo: Annotated[bool, typer.Option("--undo", help="Let it take jobs again.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Let a machine take no more jobs. Those on it run on."""
    _change("DrainHost", {"host": host, "undo": undo}, url, as_json=as_json)


@hosts_app.command("forget")
@reports_errors
def forget(host: Host, url: Url = None, as_json: Json = False) -> None:
    """Stop the jobs on a machine, and let it go once they have ended: it leaves, and cannot come back without a new
    token. Of one that is not connected they have ended when its lease is over."""
    _change("ForgetHost", {"host": host}, url, as_json=as_json)


def _change(operation: str, request: dict[str, Any], url: str | None, *, as_json: bool) -> None:
    from batchyard.cli.client import YARD
    from batchyard.cli.terminal_output import print_json, say

    with connect(url) as client:
        answer = client.call(operation, request, YARD)
    if as_json:
        print_json(answer)
    else:
        say(f"{answer['instanceId']} is {STATES.get(answer['state'], answer['state'])} now.")
