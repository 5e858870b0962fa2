"""`batchyard workflows`, `batchyard workflows start`, `batchyard history` and `batchyard redrive`."""

from __future__ import annotations

from typing import Annotated

import typer

from batchyard.cli.client import ClientError
from batchyard.cli.options import Json, Url, connect, reports_errors
from batchyard.cli.usage import Application, whole_number

SHOWN = 20  # rows of a list, where no other number is asked for
STATUSES = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")
Reference = Annotated[
    str,
    typer.Argument(
        metavar="EXECUTION", help="An execution: its name or the beginning of it, WORKFLOW/NAME, or its ARN."
    ),
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Draw the states until the execution has ended.")]


def add_to(app: Application) -> None:
    """Adds the commands."""
    app.command("workflows", short_help="List the workflows, or the executions of one.")(workflows)
    app.command("workflows start", short_help="Start an execution of a workflow.")(start)
    app.command("history", short_help="Show what an execution of a workflow did.")(history)
    app.command("redrive", short_help="Continue an execution that did not succeed.")(redrive)


@reports_errors
def workflows(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]", help="The executions of this workflow. With * or ?: the workflows of such names."
        ),
    ] = "",
    status: Annotated[
        str,
        typer.Option("--status", metavar="STATUS", help=f"Only executions of NAME that are {', '.join(STATUSES)}."),
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", parser=whole_number(0), help="The newest N; 0 for all.")
    ] = SHOWN,
    url: Url = None,
    as_json: Json = False,
) -> int:
    """List the workflows (state machines of Step Functions), each with its newest execution; or the newest executions
    of one."""
    from batchyard.cli.workflows import show_executions, show_machines

    is_pattern = "*" in name or "?" in name
    if status and (not name or is_pattern):
        raise ClientError("--status is for the executions of one workflow: batchyard workflows NAME --status FAILED")
    if status and status.upper() not in STATUSES:
        raise ClientError(f"There is no status {status}: those there are: {', '.join(STATUSES)}.")
    with connect(url) as client:
        if name and not is_pattern:
            return show_executions(client, name, limit, status.upper(), as_json=as_json)
        return show_machines(client, name, limit, as_json=as_json)


@reports_errors
def start(
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="A definition in the States Language, or the name of a workflow.")
    ],
    text: Annotated[
        str,
        typer.Option(
            "--input", metavar="JSON", help="The input: JSON, or @FILE that has it. Default: an empty object."
        ),
    ] = "",
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="The workflow's name. Default: that of FILE to its first dot.")
    ] = "",
    execution: Annotated[
        str, typer.Option("--execution", metavar="NAME", help="The execution's name. Default: a new one.")
    ] = "",
    follows: Follow = False,
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Start an execution. Of a file: its workflow is made, or changed to what the file says; executions that run keep
    what they began with. With --follow the exit code is 0 when the execution succeeded."""
    from batchyard.cli.workflows import Start, checked_input
    from batchyard.cli.workflows import start as start_execution

    wanted = Start(source, checked_input(text), name, execution)
    with connect(url) as client:
        return start_execution(client, wanted, follows=follows, as_json=as_json)


@reports_errors
def history(
    execution: Reference,
    follows: Follow = False,
    every: Annotated[bool, typer.Option("--events", help="Every event, one a line.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Show the states that an execution went through: how long each took, which job it waited for, what was tried again
    or caught; and, when it has ended, where the time went."""
    from batchyard.cli.workflows import show_history

    with connect(url) as client:
        return show_history(client, execution, follows=follows, every=every, as_json=as_json)


@reports_errors
def redrive(execution: Reference, follows: Follow = False, url: Url = None, as_json: Json = False) -> int:
    """Continue an execution that failed, timed out or was stopped, from the states that did not succeed."""
    from batchyard.cli.workflows import redrive as redrive_execution

    with connect(url) as client:
        return redrive_execution(client, execution, follows=follows, as_json=as_json)
