"""CreateHostToken, ListHosts, DrainHost and ForgetHost, behind `batchyard hosts`: machines that join this server."""

from __future__ import annotations

from batchyard.api.checks import new_resource, require
from batchyard.api.context import REMOTE, Call, Context
from batchyard.api.yard.amounts import amounts
from batchyard.core.model.commands import CreateComputeEnvironment, CreateJobQueue
from batchyard.core.model.host_commands import AskHosts, CreateJoinToken, DrainHost, ForgetHost, HostView
from batchyard.core.model.names import COMPUTE_ENVIRONMENT, resource_name
from batchyard.core.model.records import JOINED_PROVIDER, EnvironmentOrder
from batchyard.wire.messages import Document

ENGINE_TAG = "batchyard:engine"
MS_PER_MINUTE = 60_000
DEFAULT_VALID_MINUTES = 60
MAX_VALID_MINUTES = 7 * 24 * 60  # a token that lies about for longer is a key without an owner
DEFAULT_ENVIRONMENT = "hosts"
QUEUE_PRIORITY = 1
NO_PORT = (
    "No hosts can join this service: it has no port for them. Start it with --hosts-port, such as "
    "`batchyard up --hosts-port 8471`."
)


async def create_host_token(context: Context, call: Call, request: Document) -> Document:
    """Makes a token that lets one machine join an environment, and the environment, with a queue of its name, where it
    does not exist yet. The token is shown this once."""
    require(context.hosts is not None, NO_PORT)
    assert context.hosts is not None
    name = resource_name(request.get("computeEnvironment") or DEFAULT_ENVIRONMENT, COMPUTE_ENVIRONMENT)
    minutes = request.get("validMinutes", DEFAULT_VALID_MINUTES)
    require(0 < minutes <= MAX_VALID_MINUTES, f"validMinutes must be from 1 to {MAX_VALID_MINUTES}, got {minutes}.")
    if not (await context.read(context.reader.environments, [name]))[0]:
        await _make_environment(context, name)
    offered = context.hosts.new_token()
    token = await context.ask(CreateJoinToken(name, offered.token_id, offered.digest, minutes * MS_PER_MINUTE))
    return {
        "token": offered.text,
        "url": f"https://{context.host_address}:{context.hosts.port}",
        "computeEnvironment": name,
        "expiresAt": token.expires_at_ms,
    }


async def _make_environment(context: Context, name: str) -> None:
    named = {"computeEnvironmentName": name, "tags": {ENGINE_TAG: REMOTE}}
    name, tags = new_resource(named, "computeEnvironmentName", "Compute Environment")
    await context.ask(
        CreateComputeEnvironment(
            name, context.new_uuid(), "UNMANAGED", "ENABLED", REMOTE, {}, tags, provider=JOINED_PROVIDER
        )
    )
    if not (await context.read(context.reader.queues, [name]))[0]:
        await context.ask(CreateJobQueue(name, "ENABLED", QUEUE_PRIORITY, (EnvironmentOrder(1, name),)))


async def list_hosts(context: Context, call: Call, request: Document) -> Document:
    """Hosts that have joined, by environment and name."""
    return {"hosts": [_row(view) for view in await context.ask(AskHosts())]}


async def drain_host(context: Context, call: Call, request: Document) -> Document:
    """Lets a host take no more jobs, or with `undo` take jobs again. Those on it run on."""
    instance = await context.ask(DrainHost(request["host"], undo=bool(request.get("undo"))))
    return {"instanceId": instance.instance_id, "state": instance.state.value}


async def forget_host(context: Context, call: Call, request: Document) -> Document:
    """Stops what runs on a host, and lets it go once that has ended."""
    instance = await context.ask(ForgetHost(request["host"]))
    return {"instanceId": instance.instance_id, "state": instance.state.value}


def _row(view: HostView) -> Document:
    host, facts = view.host, view.host.facts
    row: Document = {
        "instanceId": host.instance_id,
        "name": facts.name,
        "computeEnvironment": host.environment,
        "state": view.instance.state.value,
        "total": amounts(view.instance.resources),
        "free": amounts(view.free),
        "jobsCount": view.jobs_count,
        "address": facts.address,
        "version": facts.version,
        "joinedAt": host.joined_at_ms,
        "connectedAt": host.connected_at_ms,
        "labels": [{"name": name, "value": value} for name, value in facts.labels],
    }
    if host.is_leaving:
        row["isLeaving"] = True
    return row
