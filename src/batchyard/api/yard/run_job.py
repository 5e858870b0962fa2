"""RunJob, the operation behind `batchyard run`: a built-in definition, one for each image, submitted with overrides.

With `nodes` it is of a multi-node job, whose main node runs the command."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

from msgspec.structs import replace

from batchyard.api.batch.jobs import submission, submitted_document
from batchyard.api.batch.rules.container_rules import IMAGE
from batchyard.api.batch.rules.node_rules import NODE_COUNT_RANGE
from batchyard.api.checks import check_between, check_no_nul, quoted, require
from batchyard.api.context import PROCESS, Call, Context
from batchyard.core.model import commands
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document

RUN_DEFINITION = "batchyard-run"
RUN_NODES_DEFINITION = f"{RUN_DEFINITION}-nodes"
RUN_IMAGE = "host"  # names what it is: the program runs on this machine as it is
# The queues for a command whose caller names none: the first of these that can run it.
DEFAULT_QUEUE, HOST_QUEUE, CONTAINERS_QUEUE = "default", "host", "containers"
QUEUES_OF_IMAGES = (DEFAULT_QUEUE, CONTAINERS_QUEUE)
QUEUES_OF_PROGRAMS = (HOST_QUEUE, DEFAULT_QUEUE)
MAX_SLUG_LENGTH = 60  # of the image in its definition's name, which is the head of its log streams too
MAX_NAME_LENGTH = 128  # of a job name (API: SubmitJobRequest)
UNNAMED = "run"
MAIN_NODE, OTHER_NODES = "0", "1:"  # targetNodes
# Of the other nodes: the longest sleep that every `sleep` takes. The main node starts what runs in them.
STAND_BY = ["sh", "-c", "exec sleep 2147483647"]


async def run_job(context: Context, call: Call, request: Document) -> Document:
    """Submits `command` to run in `workingDirectory`: on this machine as it is, or in a container of `image`, which
    finds the directory under the same path. With `nodes`, the other nodes stand by there. Answers as SubmitJob does."""
    image = request.get("image", "")
    command = request.get("command", [])
    if "image" in request:
        _check_image(image)
    else:
        require(command and command[0], "command must name a program.")
    check_no_nul(command, "command")
    directory = request.get("workingDirectory", "")
    check_no_nul(directory, "workingDirectory")
    require(
        not directory or directory.startswith("/"),
        f"workingDirectory must be an absolute path, got {directory!r}.",
    )
    _check_numbers(request)
    nodes = request.get("nodes", 0)
    queue = request.get("jobQueue") or await _queue_for(context, images=bool(image))
    definition = definition_name(image, RUN_NODES_DEFINITION if nodes else RUN_DEFINITION)
    document = nodes_document(image, nodes) if nodes else run_document(image)
    revision = await _definition_revision(context, definition, document)
    submit = await submission(context, call, _submit_request(request, queue, f"{definition}:{revision}"))
    if command:
        submit = _with_command(submit, command)
    if image and directory == "/":
        directory = ""  # it would hide the whole image
    submitted = await context.ask(replace(submit, working_directory=directory, images=bool(image)))
    return submitted_document(context, submitted)


def _with_command(submit: commands.SubmitJob, command: list[str]) -> commands.SubmitJob:
    """Returns the submission with the command of the job or of its main node. It is no part of the request that was
    checked: unlike there, an empty argument is meant, since a shell passed it on."""
    if not submit.node_overrides:
        return replace(submit, overrides=submit.overrides | {"command": command})
    main, *others = submit.node_overrides["nodePropertyOverrides"]
    main = main | {"containerOverrides": main["containerOverrides"] | {"command": command}}
    return replace(submit, node_overrides=submit.node_overrides | {"nodePropertyOverrides": [main, *others]})


def _check_image(image: str) -> None:
    require(
        IMAGE.fullmatch(image),
        f"image must have 1 to 255 characters of letters, digits and -_:./#@, got {quoted(image)!r}.",
    )


async def _queue_for(context: Context, *, images: bool) -> str:
    """Returns the built-in queue that runs images, or programs of this machine."""
    for name in QUEUES_OF_IMAGES if images else QUEUES_OF_PROGRAMS:
        found, _ = await context.read(context.reader.queues, [name])
        wanted = [order.environment for queue in found for order in queue.environments]
        environments, _ = await context.read(context.reader.environments, wanted)
        if any((environment.engine != PROCESS) == images for environment in environments):
            return name
    if images:
        raise Refused(
            "No job queue here runs containers: start Docker and then this service again (`batchyard doctor` says what "
            "is missing), or name a queue that does (--queue)."
        )
    raise Refused("No job queue here runs programs of this machine: name an image (--image), or a queue (--queue).")


def _check_numbers(request: Document) -> None:
    for member in ("vcpus", "memory", "gpus"):
        check_between(request.get(member), 0 if member == "gpus" else 1, 2**31 - 1, member)
    check_between(request.get("nodes"), *NODE_COUNT_RANGE, "nodes")
    require(
        not (request.get("nodes") and request.get("arraySize")),
        "nodes and arraySize exclude each other: an array of multi-node jobs is not possible.",
    )


def _submit_request(request: Document, queue: str, definition: str) -> Document:
    """Returns RunJob's members as a SubmitJob request."""
    sizes = {"VCPU": request.get("vcpus"), "MEMORY": request.get("memory"), "GPU": request.get("gpus")}
    overrides: Document = {
        "environment": request.get("environment", []),
        "resourceRequirements": [{"type": kind, "value": str(size)} for kind, size in sizes.items() if size],
    }
    submit: Document = {
        "jobName": request.get("jobName") or job_name((request.get("command") or [request.get("image", "")])[0]),
        "jobQueue": queue,
        "jobDefinition": definition,
    }
    if request.get("nodes"):
        submit["nodeOverrides"] = _node_overrides(overrides, request["nodes"])
    else:
        submit["containerOverrides"] = overrides
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


def _node_overrides(overrides: Document, nodes: int) -> Document:
    """Returns nodeOverrides that are the same for every node, that of the main node first."""
    targets = [MAIN_NODE, OTHER_NODES] if nodes > 1 else [MAIN_NODE]
    changes = [{"targetNodes": target, "containerOverrides": overrides} for target in targets]
    return {"nodePropertyOverrides": changes} | ({"numNodes": nodes} if nodes > 1 else {})


def job_name(program: str) -> str:
    """Returns a valid job name made from a program's path: `./my tool.sh` -> `my-tool-sh`."""
    words = re.findall(r"[A-Za-z0-9_-]+", PurePosixPath(program).name)
    return "-".join(words).lstrip("_-")[:MAX_NAME_LENGTH] or UNNAMED


def definition_name(image: str, head: str = RUN_DEFINITION) -> str:
    """Returns the name of the built-in definition of an image: `batchyard-run-busybox-1-36-0d15f3c8`."""
    if not image:
        return head
    words = re.findall(r"[A-Za-z0-9]+", image.rpartition("/")[2])
    digest = hashlib.blake2b(image.encode(), digest_size=4).hexdigest()
    return f"{head}-{'-'.join(words)[:MAX_SLUG_LENGTH]}-{digest}"


def run_document(image: str) -> Document:
    return {"type": "container", "containerProperties": _container(image)}


def nodes_document(image: str, nodes: int) -> Document:
    """Returns the definition of jobs of several nodes, as many as their overrides say, or of jobs of one."""
    ranges: list[Document] = [{"targetNodes": MAIN_NODE, "container": _container(image)}]
    if nodes > 1:
        ranges.append({"targetNodes": OTHER_NODES, "container": _container(image) | {"command": STAND_BY}})
    properties = {"numNodes": len(ranges), "mainNode": int(MAIN_NODE), "nodeRangeProperties": ranges}
    return {"type": "multinode", "nodeProperties": properties}


def _container(image: str) -> Document:
    return {
        "image": image or RUN_IMAGE,
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}],
    }


async def _definition_revision(context: Context, name: str, document: Document) -> int:
    """Returns the revision of a built-in definition, registered on first use, or again after a caller changed it."""
    async with context.registering:
        found, _ = await context.read(context.reader.definitions, name=name, status="ACTIVE")
        for definition in found:
            if definition.document == document:
                return definition.revision
        registered = await context.ask(commands.RegisterJobDefinition(name=name, document=document))
        return registered.revision
