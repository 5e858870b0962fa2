"""The commands for people: run, jobs, logs, describe, explain, cancel, terminate; envs, queues, instances, interrupt.

Everything that only a command's work needs is imported inside it: `batchyard --help` and shell scripts start fast.
Exit codes: the job's own for `run`, else 0; 1 when something cannot be done, 2 for wrong usage, 130 after Ctrl-C.
"""

from __future__ import annotations

from typing import Annotated

import typer

from batchyard.cli.options import Json, Raw, Url, connect, reports_errors
from batchyard.cli.run import run
from batchyard.cli.secrets import secrets_app
from batchyard.cli.usage import Commands, seconds, whole_number

DEFAULT_ROWS = 100  # newest jobs shown: more do not fit a terminal

app = typer.Typer(
    cls=Commands,
    help="AWS Batch on your own machines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(secrets_app, name="secrets")

JobRef = Annotated[str, typer.Argument(metavar="JOB", help="A job id, or its first 8 characters or more.")]


app.command(
    "run",
    short_help="Run a command as a job, follow its output, and exit with its exit code.",
    context_settings={"allow_interspersed_args": False},
)(run)


@app.command("jobs", short_help="List jobs.")
@reports_errors
def jobs(
    queue: Annotated[str | None, typer.Option("--queue", help="Only of this queue.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only in this state, RUNNABLE for one.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Finished ones too.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show again and again, until Ctrl-C.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", parser=whole_number(0), help="The newest N; 0 for all.")
    ] = DEFAULT_ROWS,
    url: Url = None,
    as_json: Json = False,
) -> int:
    """List jobs, newest first: the unfinished ones, or all with --all. An array is one line."""
    from batchyard.cli.listing import FINISHED, UNFINISHED
    from batchyard.cli.tables import Selection, show_jobs, watch_jobs

    wanted = status.upper() if status else None
    if wanted and wanted not in (*UNFINISHED, *FINISHED):
        raise typer.BadParameter(f"must be one of {', '.join((*UNFINISHED, *FINISHED))}.", param_hint="--status")
    statuses = (wanted,) if wanted else () if every else UNFINISHED
    selection = Selection(queue, statuses, limit)
    with connect(url) as client:
        return (watch_jobs if watch else show_jobs)(client, selection, as_json=as_json)


@app.command("logs", short_help="Print the output of a job.")
@reports_errors
def logs(
    job: JobRef,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    attempt: Annotated[
        int | None,
        typer.Option("--attempt", metavar="N", parser=whole_number(1), help="Of this attempt; else the last one."),
    ] = None,
    container: Annotated[str, typer.Option("--container", help="Of this one of several containers.")] = "",
    raw: Raw = False,
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Print the output of a job; of an array, that of its children; of several containers, that of each."""
    from batchyard.cli.listing import resolve
    from batchyard.cli.running import print_logs

    with connect(url) as client:
        job_id = resolve(client, job)
        return print_logs(
            client, job_id, follows=follow, attempt=attempt, as_json=as_json, container=container, raw=raw
        )


@app.command("describe", short_help="Show everything about a job.")
@reports_errors
def describe(job: JobRef, url: Url = None, as_json: Json = False) -> None:
    """Show everything about a job: its state and why, times, attempts, command, resources, log."""
    from batchyard.cli.listing import describe_one, resolve
    from batchyard.cli.printing import print_json, say
    from batchyard.cli.sheet import sheet

    with connect(url) as client:
        detail = describe_one(client, resolve(client, job))
    if as_json:
        print_json(detail)
    else:
        say(sheet(detail))


@app.command("explain", short_help="Say why a job is not running.")
@reports_errors
def explain(job: JobRef, url: Url = None, as_json: Json = False) -> None:
    """Say why a job is not running: what it waits for, with numbers, and what to change."""
    from batchyard.cli.explanation import explanation
    from batchyard.cli.listing import resolve
    from batchyard.cli.printing import print_json, say

    with connect(url) as client:
        answer = client.call("ExplainJob", {"jobId": resolve(client, job)})
    if as_json:
        print_json(answer)
    else:
        say(explanation(answer))


@app.command(
    "exec",
    short_help="Run another command in the container of a running job.",
    context_settings={"allow_interspersed_args": False},
)
@reports_errors
def execute(
    job: JobRef,
    command: Annotated[list[str], typer.Argument(metavar="-- CMD...", help="The command and its arguments.")],
    container: Annotated[
        str, typer.Option("--container", metavar="NAME", help="Of a job of several: in this container.")
    ] = "",
    tty: Annotated[
        bool | None, typer.Option("--tty/--no-tty", help="Whether it gets a terminal; unless told, if there is one.")
    ] = None,
    url: Url = None,
) -> int:
    """Run another command in the container of a running job, and exit with its exit code.

    For jobs whose definition sets enableExecuteCommand. Options go before JOB."""
    from batchyard.cli.execution import execute

    words = command[1:] if command[0] == "--" else command  # options end at JOB already
    if not words:
        raise typer.BadParameter("is missing: name a command.", param_hint="CMD")
    with connect(url) as client:
        return execute(client, job, words, container=container, tty=tty)


@app.command("cancel", short_help="Cancel a job that waits.")
@reports_errors
def cancel(
    job: JobRef,
    reason: Annotated[str, typer.Option("--reason", help="Shown as the job's statusReason.")] = "Cancelled by the user",
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Cancel a job that waits (SUBMITTED, PENDING or RUNNABLE)."""
    from batchyard.cli.running import stop_job

    with connect(url) as client:
        return stop_job(client, "CancelJob", job, reason, as_json=as_json)


@app.command("terminate", short_help="Stop a job, running or not.")
@reports_errors
def terminate(
    job: JobRef,
    reason: Annotated[
        str, typer.Option("--reason", help="Shown as the job's statusReason.")
    ] = "Terminated by the user",
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Stop a job: SIGTERM, and SIGKILL for what is left 30 seconds later; cancel it where it waits."""
    from batchyard.cli.running import stop_job

    with connect(url) as client:
        return stop_job(client, "TerminateJob", job, reason, as_json=as_json)


Watch = Annotated[bool, typer.Option("--watch", help="Show again and again, until Ctrl-C.")]
JsonRows = Annotated[bool, typer.Option("--json", help="Print JSON; with --watch a line for each row that changes.")]


@app.command("envs", short_help="Show the compute environments: capacity, demand, and what is done next.")
@reports_errors
def envs(watch: Watch = False, url: Url = None, as_json: JsonRows = False) -> int:
    """Show the compute environments: what is free of all they have, the jobs that run and wait, and what the scaler
    does next and why. On a narrow terminal the less important columns are left out; --json has everything."""
    return _show("ENVIRONMENTS", watch, url, as_json)


@app.command("queues", short_help="Show the job queues: who runs, who waits, and what for.")
@reports_errors
def queues(watch: Watch = False, url: Url = None, as_json: JsonRows = False) -> int:
    """Show the job queues: the jobs that run, those that wait and what they ask, and the one that finds no room."""
    return _show("QUEUES", watch, url, as_json)


@app.command("instances", short_help="Show this machine and the instances of MANAGED environments.")
@reports_errors
def instances(watch: Watch = False, url: Url = None, as_json: JsonRows = False) -> int:
    """Show this machine and the instances of MANAGED environments: what is free of all they have, how many jobs are on
    them, and how long an idle one stays."""
    return _show("INSTANCES", watch, url, as_json)


def _show(view: str, watches: bool, url: str | None, as_json: bool) -> int:
    from batchyard.cli import fleet

    with connect(url) as client:
        return (fleet.watch if watches else fleet.show)(client, getattr(fleet, view), as_json=as_json)


@app.command("interrupt", short_help="Take an instance away, as a Spot interruption does.")
@reports_errors
def interrupt(
    instance: Annotated[str, typer.Argument(metavar="INSTANCE", help="Its id, from `batchyard instances`.")],
    notice: Annotated[
        float | None,
        typer.Option(
            "--notice", metavar="SECONDS", parser=seconds, help="Between the notice and the loss; 2 unless told."
        ),
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Take an instance of a MANAGED environment away, as a Spot interruption does: its jobs get SIGTERM at the notice
    and SIGKILL when it is over, and their retry strategies decide."""
    from batchyard.cli import fleet

    with connect(url) as client:
        return fleet.interrupt(client, instance, notice, as_json=as_json)
