"""The client commands: run, jobs, logs, describe, explain, cancel, terminate, events; envs, queues, instances,
interrupt.

Everything that only a command's work needs is imported inside it: `batchyard --help` and shell scripts start fast.
Exit codes: the job's own for `run`, else 0; 1 when something cannot be done, 2 for wrong usage, 130 after Ctrl-C.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from batchyard.cli import (
    event_commands,
    foresight_commands,
    metric_commands,
    schedule_commands,
    simulate_command,
    workflow_commands,
)
from batchyard.cli.host_commands import hosts_app
from batchyard.cli.options import Json, Raw, Url, connect, reports_errors
from batchyard.cli.run import run
from batchyard.cli.secrets import secrets_app
from batchyard.cli.usage import Application, seconds, whole_number

DEFAULT_ROWS = 100  # newest jobs shown: more do not fit a terminal

app = Application(
    help="AWS Batch on your own machines.",
)
app.add_typer(secrets_app, name="secrets")
app.add_typer(hosts_app, name="hosts")
event_commands.add_to(app)
metric_commands.add_to(app)
foresight_commands.add_to(app)
simulate_command.add_to(app)
schedule_commands.add_to(app)
workflow_commands.add_to(app)

JobRef = Annotated[str, typer.Argument(metavar="JOB", help="A job id, or its first 8 characters or more.")]


app.command(
    "run",
    short_help="Run a command as a job, follow its output, and exit with its exit code.",
    context_settings={"allow_interspersed_args": False},
)(run)


@app.command("jobs", short_help="List jobs.")
@reports_errors
def jobs(
    queue: Annotated[str | None, typer.Option("--queue", metavar="QUEUE", help="Only of this queue.")] = None,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", metavar="STATE", help="Only in this state, RUNNABLE for one; may be given again."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Finished ones too.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show again and again, until Ctrl-C.")] = False,
    when: Annotated[bool, typer.Option("--when", help="Say when those that wait will start.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", parser=whole_number(0), help="The newest N; 0 for all.")
    ] = DEFAULT_ROWS,
    url: Url = None,
    as_json: Json = False,
) -> int:
    """List jobs, newest first: the unfinished ones, or all with --all. An array is one line. --json has the shape of
    ListJobs, each job with its jobQueue."""
    from batchyard.cli.job_lookup import FINISHED, UNFINISHED
    from batchyard.cli.tables import Selection, show_jobs, watch_jobs

    wanted = _states(status or [], (*UNFINISHED, *FINISHED))
    selection = Selection(queue, wanted or (() if every else UNFINISHED), limit, when)
    if watch and when:
        raise typer.BadParameter("and --watch exclude each other.", param_hint="--when")
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
    attempts: Annotated[bool, typer.Option("--attempts", help="Of each attempt, one after the other.")] = False,
    container: Annotated[
        str, typer.Option("--container", metavar="NAME", help="Of this one of several containers.")
    ] = "",
    raw: Raw = False,
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Print the output of a job; of an array, that of its children; of a multi-node job, that of its nodes; of several
    containers, that of each. JOB:2 is one child, JOB#2 one node."""
    from batchyard.cli.job_lookup import resolve
    from batchyard.cli.run_session import Output, print_logs

    if attempt is not None and attempts:
        raise typer.BadParameter("and --attempts exclude each other.", param_hint="--attempt")
    with connect(url) as client:
        job_id = resolve(client, job)
        wanted = Output(attempt, attempts, container, raw)
        return print_logs(client, job_id, wanted, follows=follow, as_json=as_json)


def _span(text: str) -> int:
    from batchyard.cli.log_query import milliseconds

    return milliseconds(text)


@app.command("logs query", short_help="Search and count the output of all jobs.")
@reports_errors
def query_logs(
    text: Annotated[
        str, typer.Argument(metavar="QUERY", help="In the language of CloudWatch Logs Insights: `filter … | stats …`.")
    ],
    since: Annotated[
        int, typer.Option("--since", metavar="SPAN", parser=_span, help="Over the last 30s, 15m, 3h, 7d or 2w.")
    ] = "1d",  # type: ignore[assignment]
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="NAME", help="Over this log group, not /aws/batch/job; may be given again."),
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Search, count and chart the lines of all jobs: the newest first, or what the query makes of them. Jobs add
    @jobId, @jobName, @jobQueue, @jobDefinition and @attempt to their lines. --json has the shape of GetQueryResults."""
    from batchyard.cli import log_query

    with connect(url) as client:
        return log_query.query_logs(client, text, group or [], since, as_json=as_json)


@app.command("describe", short_help="Show everything about a job.")
@reports_errors
def describe(
    job: JobRef,
    attempts: Annotated[bool, typer.Option("--attempts", help="Show each attempt with its log and all.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show everything about a job: its state and why, times, attempts and what each used, command, resources, log; of
    a multi-node job its nodes, and which of them failed first. JOB#2 is one node. --json has the shape of
    DescribeJobs; the nodes of a multi-node job are added as nodes, each as DescribeJobs has JOB#N."""
    from batchyard.cli.attempt_usage import usage
    from batchyard.cli.job_description import sheet
    from batchyard.cli.job_lookup import describe_one, resolve
    from batchyard.cli.job_nodes import describe_nodes, instances_of
    from batchyard.cli.terminal_output import print_json, say

    with connect(url) as client:
        detail = describe_one(client, resolve(client, job))
        nodes = describe_nodes(client, detail)
        if as_json:
            print_json(detail | {"nodes": nodes} if nodes else detail)
            return
        used = usage(client, detail)
        instances = instances_of(client, detail) if nodes else []
    say(sheet(detail, used, nodes, instances, every=attempts))


@app.command("explain", short_help="Say why a job is not running.")
@reports_errors
def explain(
    job: JobRef,
    when: Annotated[bool, typer.Option("--when", help="Say when it will start, as far as that is known.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Say why a job is not running: what it waits for, with numbers, and what to change. --when plays the present state
    on under simulated time, with run times as they were before, and takes some seconds."""
    from batchyard.cli.client import YARD
    from batchyard.cli.explanation import explanation
    from batchyard.cli.job_lookup import resolve
    from batchyard.cli.start_forecasts import forecasts
    from batchyard.cli.terminal_output import print_json, say

    with connect(url) as client:
        job_id = resolve(client, job)
        answer = client.call("ExplainJob", {"jobId": job_id}, YARD)
        if when:
            answer["forecast"] = forecasts(client, [job_id])[job_id]
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
        bool | None, typer.Option("--tty/--no-tty", help="Whether it gets a terminal; by default, if there is one.")
    ] = None,
    url: Url = None,
) -> int:
    """Run another command in the container of a running job, and exit with its exit code. JOB#2 is one node of a
    multi-node job, JOB alone its main node.

    For pods, and jobs whose definition sets enableExecuteCommand. Options go before JOB."""
    from batchyard.cli.execution import execute

    words = command[1:] if command[0] == "--" else command  # options end at JOB already
    if not words:
        raise typer.BadParameter("is missing: name a command.", param_hint="CMD")
    with connect(url) as client:
        return execute(client, job, words, container=container, tty=tty)


JobRefs = Annotated[
    list[str] | None,
    typer.Argument(metavar="JOB...", help="Job ids, or their first 8 characters or more; ID:3 is a child of an array."),
]
OfQueue = Annotated[str, typer.Option("--queue", metavar="QUEUE", help="All jobs of this queue, after a question.")]
STATE_HELP = "With --queue: only those in this state; may be given again. An array with children left is PENDING."
InState = Annotated[list[str] | None, typer.Option("--status", metavar="STATE", help=STATE_HELP)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="With --queue: without a question.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Shown as the job's statusReason.")]


@app.command("cancel", short_help="Cancel jobs that wait.")
@reports_errors
def cancel(
    jobs: JobRefs = None,
    queue: OfQueue = "",
    status: InState = None,
    yes: Yes = False,
    reason: Reason = "Cancelled by the user",
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Cancel jobs that wait (SUBMITTED, PENDING or RUNNABLE): those named, or all of a queue."""
    from batchyard.cli.cancellation import CANCEL

    return _stop(CANCEL, jobs or [], queue, status, reason, url, yes=yes, as_json=as_json)


@app.command("terminate", short_help="Stop jobs, running or not.")
@reports_errors
def terminate(
    jobs: JobRefs = None,
    queue: OfQueue = "",
    status: InState = None,
    yes: Yes = False,
    reason: Reason = "Terminated by the user",
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Stop jobs, those named or all of a queue: SIGTERM, and SIGKILL for what is left 30 seconds later; they are
    cancelled where they wait."""
    from batchyard.cli.cancellation import TERMINATE

    return _stop(TERMINATE, jobs or [], queue, status, reason, url, yes=yes, as_json=as_json)


def _stop(
    operation: str,
    ids: list[str],
    queue: str,
    status: list[str] | None,
    reason: str,
    url: str | None,
    *,
    yes: bool,
    as_json: bool,
) -> int:
    from batchyard.cli.cancellation import STOPPABLE, Wanted, stop_jobs

    if bool(ids) == bool(queue):
        wrong = "or a --queue, not both." if ids else "is missing: name jobs, or a --queue."
        raise typer.BadParameter(wrong, param_hint="JOB")
    if (status or yes) and not queue:
        raise typer.BadParameter("goes with --queue.", param_hint="--status" if status else "--yes")
    statuses = _states(status or [], STOPPABLE[operation])
    with connect(url) as client:
        return stop_jobs(client, operation, Wanted(ids, queue, statuses), reason, agreed=yes, as_json=as_json)


def _states(given: list[str], allowed: tuple[str, ...]) -> tuple[str, ...]:
    for text in given:
        if text.upper() not in allowed:
            raise typer.BadParameter(f"must be one of {', '.join(allowed)}, not {text!r}.", param_hint="--status")
    return tuple(dict.fromkeys(text.upper() for text in given))


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


@app.command("open", short_help="Show the console in a browser.")
@reports_errors
def open_console(url: Url = None) -> None:
    """Show the console of the service in a browser, and print its address."""
    import webbrowser

    from batchyard.cli.endpoint import find_endpoint
    from batchyard.cli.terminal_output import say

    address = f"{find_endpoint(url, os.environ).url}/console/"
    say(address, flush=True)
    webbrowser.open(address)  # where there is no browser, the address is all that can be shown


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
            "--notice", metavar="SECONDS", parser=seconds, help="Between the notice and the loss; 2 by default."
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
