"""`batchyard run`: its options, and the request that they make."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from batchyard.cli.options import Json, Raw, Url, connect, reports_errors
from batchyard.cli.usage import whole_number

MIN_TIMEOUT_SECONDS = 60  # of an attempt (Batch API, JobTimeout)
MAX_NODES = 1000  # of a multi-node job (user guide, mnp-node-groups)
TIMEOUT_HELP = f"Stop an attempt after this long; {MIN_TIMEOUT_SECONDS} at least."
parse_timeout = whole_number(MIN_TIMEOUT_SECONDS, why="AWS Batch knows no shorter timeout.")
COMMAND_HELP = "The command and its arguments; an image may bring its own."
ENV_HELP = "A variable for the job; NAME alone takes its value here."
SHARE_HELP = "The share identifier, on a fair-share queue."
PRIORITY_HELP = "Among the jobs of one share: the highest goes first."

Text = str | None
Number = int | None
Command = Annotated[list[str] | None, typer.Argument(metavar="-- CMD...", help=COMMAND_HELP)]
Image = Annotated[Text, typer.Option("--image", metavar="IMAGE", help="Run it in a container of this image.")]
Vcpus = Annotated[Number, typer.Option(metavar="N", parser=whole_number(1), help="vCPUs; 1 by default.")]
Memory = Annotated[Number, typer.Option(metavar="MIB", parser=whole_number(4), help="MiB; 512 by default.")]
Gpus = Annotated[Number, typer.Option(metavar="N", parser=whole_number(1), help="GPUs.")]
Env = Annotated[list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help=ENV_HELP)]
Array = Annotated[Number, typer.Option(metavar="N", parser=whole_number(2), help="Run N children.")]
Nodes = Annotated[
    Number, typer.Option(metavar="N", parser=whole_number(1, MAX_NODES), help="Run a multi-node job of N nodes.")
]
Queue = Annotated[Text, typer.Option("--queue", metavar="QUEUE", help="The job queue; by default one that fits.")]
Name = Annotated[Text, typer.Option("--name", metavar="NAME", help="The job's name.")]
Attempts = Annotated[Number, typer.Option(metavar="N", parser=whole_number(1, 10), help="Tries at most.")]
Share = Annotated[Text, typer.Option("--share", metavar="NAME", help=SHARE_HELP)]
Priority = Annotated[Number, typer.Option(metavar="N", parser=whole_number(0, 9999), help=PRIORITY_HELP)]
Timeout = Annotated[Number, typer.Option(metavar="SECONDS", parser=parse_timeout, help=TIMEOUT_HELP)]


@reports_errors
def run(
    command: Command = None,
    image: Image = None,
    vcpus: Vcpus = None,
    memory: Memory = None,
    gpus: Gpus = None,
    env: Env = None,
    array: Array = None,
    nodes: Nodes = None,
    queue: Queue = None,
    name: Name = None,
    attempts: Attempts = None,
    share: Share = None,
    priority: Priority = None,
    timeout: Timeout = None,
    raw: Raw = False,
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Run a command as a job in this directory, follow its output, and exit with its exit code.

    Without --image it is a program of this machine; with it a container, which sees this directory under the same path.
    With --nodes it is the main node of a multi-node job: the others stand by for what it starts there, as mpirun does,
    and --vcpus, --memory and --gpus are of each node.

    Ctrl-C asks whether to terminate the job; a second Ctrl-C leaves it running."""
    from batchyard.cli.run_session import run_job

    if not command and image is None:
        raise typer.BadParameter("is missing: name a command, or an --image that brings its own.", param_hint="CMD")
    if array and nodes:
        raise typer.BadParameter("and --nodes exclude each other.", param_hint="--array")
    request: dict[str, Any] = {
        "image": image,
        "command": command,
        "workingDirectory": os.getcwd(),
        "jobName": name,
        "jobQueue": queue,
        "vcpus": vcpus,
        "memory": memory,
        "gpus": gpus,
        "environment": _environment(env or []) or None,
        "arraySize": array,
        "nodes": nodes,
        "attempts": attempts,
        "shareIdentifier": share,
        "schedulingPriorityOverride": 0 if share and priority is None else priority,
        "timeoutSeconds": timeout,
    }
    request = {member: value for member, value in request.items() if value is not None}
    with connect(url) as client:
        return run_job(client, request, as_json=as_json, raw=raw)


def _environment(pairs: list[str]) -> list[dict[str, str]]:
    variables: dict[str, str] = {}
    for pair in pairs:
        name, given, value = pair.partition("=")
        if not name or (not given and name not in os.environ):
            wrong = f"{name} has no value here" if name else "a variable needs a name"
            raise typer.BadParameter(f"{pair!r}: {wrong}; write NAME=VALUE.", param_hint="--env")
        variables[name] = value if given else os.environ[name]
    return [{"name": name, "value": value} for name, value in variables.items()]
