"""RunJob, the operation behind `batchyard run`: one built-in definition, submitted with overrides."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from msgspec.structs import replace

from batchyard.api.checks import check_between, check_no_nul, require
from batchyard.api.context import Call, Context
from batchyard.api.jobs import submission
from batchyard.core import commands
from batchyard.core.records import Definition

Document = dict[str, Any]

RUN_DEFINITION = "batchyard-run"
RUN_IMAGE = "host"  # says what it is: the program runs on this machine as it is
RUN_DOCUMENT: Document = {
    "type": "container",
    "containerProperties": {
        "image": RUN_IMAGE,
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}],
    },
}
DEFAULT_QUEUE = "default"
MAX_NAME_LENGTH = 128  # of a job name (API: SubmitJobRequest)
UNNAMED = "run"


async def run_job(context: Context, call: Call, request: Document) -> Document:
    """Submits `command` to run in `workingDirectory` on this machine. Answers as SubmitJob does."""
    command = request["command"]
    require(command and command[0], "command must name a program.")
    check_no_nul(command, "command")
    directory = request.get("workingDirectory", "")
    check_no_nul(directory, "workingDirectory")
    require(
        not directory or directory.startswith("/"),
        f"workingDirectory must be an absolute path, got {directory!r}.",
    )
    submit = await submission(context, call, _submit_request(request))
    # Unlike SubmitJob, an empty argument is meant: a shell passed it on.
    submit = replace(submit, overrides=submit.overrides | {"command": command}, working_directory=directory)
    revision = await _definition_revision(context)
    submitted = await context.ask(replace(submit, revision=revision))
    assert isinstance(submitted, commands.SubmittedJob), f"the machine answered SubmitJob with {submitted!r}"
    return {
        "jobArn": context.account.job_arn(submitted.job_id),
        "jobName": submitted.name,
        "jobId": submitted.job_id,
    }


def _submit_request(request: Document) -> Document:
    """RunJob's members as a SubmitJob request."""
    for member in ("vcpus", "memory", "gpus"):
        check_between(request.get(member), 0 if member == "gpus" else 1, 2**31 - 1, member)
    sizes = {"VCPU": request.get("vcpus"), "MEMORY": request.get("memory"), "GPU": request.get("gpus")}
    submit: Document = {
        "jobName": request.get("jobName") or job_name(request["command"][0]),
        "jobQueue": request.get("jobQueue") or DEFAULT_QUEUE,
        "jobDefinition": RUN_DEFINITION,
        "containerOverrides": {
            "environment": request.get("environment", []),
            "resourceRequirements": [{"type": kind, "value": str(size)} for kind, size in sizes.items() if size],
        },
    }
    if request.get("arraySize"):
        submit["arrayProperties"] = {"size": request["arraySize"]}
    for member in ("shareIdentifier", "schedulingPriorityOverride"):
        if member in request:
            submit[member] = request[member]
    if "attempts" in request:
        submit["retryStrategy"] = {"attempts": request["attempts"]}
    if "timeoutSeconds" in request:
        submit["timeout"] = {"attemptDurationSeconds": request["timeoutSeconds"]}
    return submit


def job_name(program: str) -> str:
    """A valid job name made from a program's path: `./my tool.sh` -> `my-tool-sh`."""
    words = re.findall(r"[A-Za-z0-9_-]+", PurePosixPath(program).name)
    return "-".join(words).lstrip("_-")[:MAX_NAME_LENGTH] or UNNAMED


async def _definition_revision(context: Context) -> int:
    """The revision of the built-in definition, registered on first use, or anew when somebody changed it."""
    async with context.registering:
        found, _ = await context.read(context.reader.definitions, name=RUN_DEFINITION, status="ACTIVE")
        for definition in found:
            if definition.document == RUN_DOCUMENT:
                return definition.revision
        registered = await context.ask(commands.RegisterJobDefinition(name=RUN_DEFINITION, document=RUN_DOCUMENT))
        assert isinstance(registered, Definition), f"the machine answered RegisterJobDefinition with {registered!r}"
        return registered.revision
