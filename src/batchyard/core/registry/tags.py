"""Tags of resources and jobs: merged and removed (AWS Batch behaviour 2.8)."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.model import commands
from batchyard.core.model.names import COMPUTE_ENVIRONMENT, JOB_DEFINITION, JOB_QUEUE
from batchyard.core.model.refusal import CLIENT_EXCEPTION, Refused
from batchyard.core.registry import consumable_resources, definitions, environments, queues
from batchyard.core.scheduling import policies
from batchyard.core.secrets import parameters, secrets
from batchyard.core.secrets.document_kinds import PARAMETER, SECRET
from batchyard.core.service_jobs import quota_shares, service_environments, service_jobs
from batchyard.core.service_jobs.document_kinds import QUOTA_SHARE, SERVICE_ENVIRONMENT, SERVICE_JOB
from batchyard.core.state.document_kinds import CONSUMABLE_RESOURCE, SCHEDULING_POLICY
from batchyard.core.state.world import World

MAX_TAGS = 50  # Batch API model, TagrisTagsMap; the same in the other services
TOO_MANY_TAGS = {SECRET: secrets.LIMIT, PARAMETER: "TooManyTagsError"}  # codes that are not Batch's


def tag(world: World, command: commands.TagResource) -> None:
    """Merges tags; keys that are not named stay."""
    merged = {**_tags(world, command), **command.tags}
    if len(merged) > MAX_TAGS:
        text = f"A resource can have at most {MAX_TAGS} tags; with these it would have {len(merged)}."
        raise Refused(text, TOO_MANY_TAGS.get(command.kind, CLIENT_EXCEPTION))
    _set_tags(world, command, merged)


def untag(world: World, command: commands.UntagResource) -> None:
    """Removes tags; absent keys are ignored."""
    left = {key: value for key, value in _tags(world, command).items() if key not in command.tag_keys}
    _set_tags(world, command, left)


TagCommand = commands.TagResource | commands.UntagResource


def _tags(world: World, command: TagCommand) -> dict[str, str]:
    if command.kind == COMPUTE_ENVIRONMENT:
        return environments.find(world, command.name).tags
    if command.kind == JOB_QUEUE:
        if isinstance(command, commands.TagResource):
            queues.check_tags(command.tags)
        return queues.find(world, command.name).tags
    if command.kind == JOB_DEFINITION:
        return definitions.find(world, command.name).tags
    if command.kind == SCHEDULING_POLICY:
        return policies.find(world, command.name).tags
    if command.kind == CONSUMABLE_RESOURCE:
        return consumable_resources.find(world, command.name).tags
    if command.kind == SERVICE_ENVIRONMENT:
        return service_environments.find(world, command.name).tags
    if command.kind == SERVICE_JOB:
        return service_jobs.find(world, command.name).tags
    if command.kind == QUOTA_SHARE:
        return quota_shares.find(world, command.name).tags
    if command.kind == SECRET:
        return secrets.living(world, command.name).tags
    if command.kind == PARAMETER:
        return parameters.find(world, command.name).tags
    key = world.jobs.by_id.get(command.name, command.stored_key)
    if key in world.jobs.tags:
        return world.jobs.tags[key]
    if key in world.jobs.specs:
        return world.jobs.specs[key].tags
    if command.stored is None:
        raise Refused(f"The job {command.name} does not exist.")
    return command.stored


def _set_tags(world: World, command: TagCommand, tags: dict[str, str]) -> None:
    if command.kind == COMPUTE_ENVIRONMENT:
        world.put_environment(replace(environments.find(world, command.name), tags=tags))
    elif command.kind == JOB_QUEUE:
        world.put_queue(replace(queues.find(world, command.name), tags=tags))
    elif command.kind == JOB_DEFINITION:
        definition = replace(definitions.find(world, command.name), tags=tags)
        at = definition.name, definition.revision
        world.definitions[at] = world.changes.definitions[at] = definition
    elif command.kind == SCHEDULING_POLICY:
        policies.put(world, replace(policies.find(world, command.name), tags=tags))
    elif command.kind == CONSUMABLE_RESOURCE:
        consumable_resources.put(world, replace(consumable_resources.find(world, command.name), tags=tags))
    elif command.kind == SERVICE_ENVIRONMENT:
        service_environments.put(world, replace(service_environments.find(world, command.name), tags=tags))
    elif command.kind == SERVICE_JOB:
        service_jobs.put(world, replace(service_jobs.find(world, command.name), tags=tags))
    elif command.kind == QUOTA_SHARE:
        quota_shares.put(world, replace(quota_shares.find(world, command.name), tags=tags))
    elif command.kind == SECRET:
        secrets.put(world, replace(secrets.living(world, command.name), tags=tags))
    elif command.kind == PARAMETER:
        parameters.keep(world, replace(parameters.find(world, command.name), tags=tags))
    else:
        key = world.jobs.by_id.get(command.name, command.stored_key)
        world.jobs.tags[key] = world.changes.job_tags[key] = tags
        if key not in world.jobs.specs:  # remembered as long as a request may still carry older tags from the store
            world.jobs.finished_order.append((world.now_ms + world.limits.finished_kept_ms, key, ""))
