"""Compute environments, job queues, job definitions and tags against the world (AWS Batch behaviour 2.1-2.3, 2.8)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from batchyard.core.capacity import environment_rules
from batchyard.core.jobs import cancellation
from batchyard.core.model import commands, names
from batchyard.core.model.records import Definition, Environment, EnvironmentOrder, Health, Queue, State
from batchyard.core.model.refusal import CLIENT_EXCEPTION, EXISTS, Refused
from batchyard.core.scheduling import fleet, policies, scheduler
from batchyard.core.secrets import parameters, secrets
from batchyard.core.secrets.document_kinds import PARAMETER, SECRET
from batchyard.core.state import transient_states
from batchyard.core.state.document_kinds import SCHEDULING_POLICY
from batchyard.core.state.world import World

QUEUE_HEALTHY = "JobQueue Healthy"
MAX_TAGS = 50  # Batch API model, TagrisTagsMap; the same in the other services
TOO_MANY_TAGS = {SECRET: secrets.LIMIT, PARAMETER: "TooManyTagsError"}  # codes that are not Batch's

# -- compute environments --


def create_environment(world: World, command: commands.CreateComputeEnvironment) -> Environment:
    """VALID at once, so that scripts create and attach in one breath, unless changes are told to take their time."""
    if command.name in world.environments:
        raise Refused(EXISTS)
    environment_rules.check_new(command.type, command.document, world.catalogue)
    environment = Environment(
        name=command.name,
        uuid=command.uuid,
        type=command.type,
        state=State(command.state),
        status=Health.VALID,
        status_reason=fleet.ENVIRONMENT_HEALTHY,
        engine=command.engine,
        document=command.document,
        tags=command.tags,
        created_at_ms=world.now_ms,
        provider=command.provider,
    )
    if not command.is_settled:
        environment = transient_states.begin(world, environment, Health.CREATING)
    return _keep_environment(world, environment)


def update_environment(world: World, command: commands.UpdateComputeEnvironment) -> Environment:
    environment = _environment(world, command.name)
    if environment.status is Health.DELETING:
        raise Refused(f"ComputeEnvironment {command.name} is being deleted.")
    transient_states.check(environment, "update")
    desired = max(environment.desired_vcpus, environment.compute_resources.desired_vcpus)
    document = environment_rules.updated(environment, command.document, desired, world.catalogue)
    state = State(command.state) if command.state else environment.state
    replaces = environment_rules.replaces_instances(environment.document, document, command.document)
    environment = replace(environment, state=state, document=document)
    environment = _keep_environment(world, transient_states.begin(world, environment, Health.UPDATING))
    if replaces:
        fleet.replace_instances(world, environment)
    scheduler.reassess(world)
    return environment


def _keep_environment(world: World, environment: Environment) -> Environment:
    if environment.status is Health.VALID:
        environment = replace(environment, status_reason=fleet.health_of(world, environment))
    _put_environment(world, environment)
    fleet.set_budget(world, environment)
    return environment


def delete_environment(world: World, command: commands.DeleteComputeEnvironment) -> None:
    """Gone at once, or when its instances and the attempts in it are, and what a change takes is over."""
    environment = _environment(world, command.name)
    transient_states.check(environment, "delete")
    if environment.state is not State.DISABLED:
        raise Refused(f"Cannot delete, compute environment {command.name} must be DISABLED first.")
    if any(o.environment == command.name for queue in world.queues.values() for o in queue.environments):
        raise Refused("Cannot delete, found existing JobQueue relationship")
    if environment.status is not Health.DELETING:
        _put_environment(world, transient_states.begin(world, environment, Health.DELETING))


def sweep_deleted_environments(world: World) -> None:
    """Removes the environments being deleted in which nothing is left."""
    leaving = [name for name, environment in world.environments.items() if environment.status is Health.DELETING]
    for name in leaving:
        if (transient_states.ENVIRONMENT, name) in world.settling:
            continue
        placed = (world.jobs[key].attempt for keys in world.placed.values() for key in keys)
        if world.instances_in.get(name) or any(a is not None and a.environment == name for a in placed):
            continue
        del world.environments[name]
        world.budgets.pop(name, None)
        world.entries.pop(name, None)
        world.paused.pop(name, None)
        world.changes.environments[name] = None


def settle(world: World) -> None:
    """Before a pass: what was in motion for long enough is VALID, and takes what waits for it."""
    if not world.settling or min(world.settling.values()) > world.now_ms:
        return
    for name in transient_states.due(world, transient_states.ENVIRONMENT):
        environment = replace(world.environments[name], settles_at_ms=0)
        if environment.status is not Health.DELETING:
            environment = replace(environment, status=Health.VALID)
        _keep_environment(world, environment)
    for name in transient_states.due(world, transient_states.QUEUE):
        queue = replace(world.queues[name], settles_at_ms=0)
        if queue.status is not Health.DELETING:
            queue = replace(queue, status=Health.VALID, status_reason=QUEUE_HEALTHY)
        _put_queue(world, queue)
    scheduler.reassess(world)


def reassess_providers(world: World) -> None:
    """A provider has other amounts than before: what environments can have of it changes."""
    for name in sorted(world.environments):
        environment = world.environments[name]
        reason = fleet.health_of(world, environment)
        if environment.status is Health.VALID and environment.status_reason != reason:
            _put_environment(world, replace(environment, status_reason=reason))
    scheduler.reassess(world)


def _environment(world: World, name: str) -> Environment:
    environment = world.environments.get(name)
    if environment is None:
        raise Refused(f"ComputeEnvironment {name} does not exist.")
    return environment


def _put_environment(world: World, environment: Environment) -> None:
    world.environments[environment.name] = environment
    world.refused.clear()
    world.changes.environments[environment.name] = environment


# -- job queues --


def check_queue_tags(tags: Mapping[str, str]) -> None:
    """The tags by which a queue is told what AWS has no member for."""
    limit = tags.get(scheduler.CONCURRENCY_LIMIT_TAG)
    if limit is not None and not (limit.isascii() and limit.isdigit() and int(limit[:9]) >= 1):
        raise Refused(f"The tag {scheduler.CONCURRENCY_LIMIT_TAG} must be a whole number from 1 on, got '{limit}'.")
    strict = tags.get(scheduler.STRICT_FIFO_TAG)
    if strict not in (None, "true", "false"):
        raise Refused(f"The tag {scheduler.STRICT_FIFO_TAG} must be true or false, got '{strict}'.")


def create_queue(world: World, command: commands.CreateJobQueue) -> Queue:
    if command.name in world.queues:
        raise Refused(EXISTS)
    _check_order(world, command.environments)
    policies.check_new_queue(world, command.document)
    check_queue_tags(command.tags)
    queue = Queue(
        name=command.name,
        state=State(command.state),
        status=Health.VALID,
        status_reason=QUEUE_HEALTHY,
        priority=command.priority,
        environments=tuple(sorted(command.environments, key=lambda o: o.order)),
        document=command.document,
        tags=command.tags,
        created_at_ms=world.now_ms,
    )
    if not command.is_settled:
        queue = transient_states.begin(world, queue, Health.CREATING)
    _put_queue(world, queue)
    return queue


def update_queue(world: World, command: commands.UpdateJobQueue) -> Queue:
    queue = _queue(world, command.name)
    if queue.status is Health.DELETING:
        raise Refused(f"JobQueue {command.name} is being deleted.")
    transient_states.check(queue, "update")
    order = queue.environments if command.environments is None else command.environments
    if command.environments is not None:
        _check_order(world, command.environments)
    policies.check_changed_queue(world, queue, command.document)
    world.settle_shares(command.name)
    queue = replace(
        queue,
        state=State(command.state) if command.state else queue.state,
        priority=queue.priority if command.priority is None else command.priority,
        environments=tuple(sorted(order, key=lambda o: o.order)),
        document={**queue.document, **command.document},
    )
    queue = transient_states.begin(world, queue, Health.UPDATING)
    _put_queue(world, queue)
    scheduler.reassess(world)
    return queue


def delete_queue(world: World, command: commands.DeleteJobQueue) -> None:
    """The queue is gone when its last job is, and what a change takes is over: running ones get their grace."""
    queue = _queue(world, command.name)
    transient_states.check(queue, "delete")
    if queue.state is not State.DISABLED:
        raise Refused(f"Cannot delete, job queue {command.name} must be DISABLED first.")
    if queue.status is not Health.DELETING:
        _put_queue(world, transient_states.begin(world, queue, Health.DELETING))
    cancellation.delete_queue_jobs(world, command.name)


def sweep_deleted_queues(world: World) -> None:
    """Removes the queues being deleted whose last job has ended."""
    leaving = [name for name, queue in world.queues.items() if queue.status is Health.DELETING]
    for name in leaving:
        is_settled = (transient_states.QUEUE, name) not in world.settling
        if is_settled and not any(spec.queue == name for spec in world.specs.values()):
            del world.queues[name]
            world.runnable.pop(name, None)
            world.stuck.pop(name, None)
            world.heads.pop(name, None)
            world.forget_shares(name)
            world.reported_blocked.pop(name, None)
            world.keep_head(name, None)
            world.changes.queues[name] = None


def _queue(world: World, name: str) -> Queue:
    queue = world.queues.get(name)
    if queue is None:
        raise Refused(f"JobQueue {name} does not exist.")
    return queue


def _put_queue(world: World, queue: Queue) -> None:
    world.queues[queue.name] = queue
    world.changes.queues[queue.name] = queue


def _check_order(world: World, order: tuple[EnvironmentOrder, ...]) -> None:
    attached: list[Environment] = []
    for entry in order:
        environment = world.environments.get(entry.environment)
        if environment is None or environment.status is not Health.VALID:
            raise Refused(
                "Compute Environments must be created and valid before attaching them to a job queue "
                f"({entry.environment} is not)."
            )
        attached.append(environment)
    environment_rules.check_together(attached, world.catalogue)


# -- job definitions --


def register_definition(world: World, command: commands.RegisterJobDefinition) -> Definition:
    """Each registration is a new revision; numbers are never given twice, even after deregistration."""
    revision = world.revisions.get(command.name, 0) + 1
    definition = Definition(command.name, revision, "ACTIVE", command.document, command.tags, world.now_ms)
    world.revisions[command.name] = world.changes.revisions[command.name] = revision
    world.definitions[command.name, revision] = world.changes.definitions[command.name, revision] = definition
    return definition


def deregister_definition(world: World, command: commands.DeregisterJobDefinition) -> None:
    definition = world.definitions.get((command.name, command.revision))
    if definition is None:
        raise Refused(f"JobDefinition {command.name}:{command.revision} does not exist.")
    if definition.status == "ACTIVE":
        definition = replace(definition, status="INACTIVE", deregistered_at_ms=world.now_ms)
        world.definitions[command.name, command.revision] = definition
        world.changes.definitions[command.name, command.revision] = definition


# -- tags --


def tag(world: World, command: commands.TagResource) -> None:
    """Merges; keys not named stay."""
    merged = {**_tags(world, command), **command.tags}
    if len(merged) > MAX_TAGS:
        text = f"A resource can have at most {MAX_TAGS} tags; with these it would have {len(merged)}."
        raise Refused(text, TOO_MANY_TAGS.get(command.kind, CLIENT_EXCEPTION))
    _set_tags(world, command, merged)


def untag(world: World, command: commands.UntagResource) -> None:
    """Keys that are not there are ignored."""
    left = {key: value for key, value in _tags(world, command).items() if key not in command.tag_keys}
    _set_tags(world, command, left)


TagCommand = commands.TagResource | commands.UntagResource


def _tags(world: World, command: TagCommand) -> dict[str, str]:
    if command.kind == "compute-environment":
        return _environment(world, command.name).tags
    if command.kind == "job-queue":
        if isinstance(command, commands.TagResource):
            check_queue_tags(command.tags)
        return _queue(world, command.name).tags
    if command.kind == "job-definition":
        return _revision(world, command.name).tags
    if command.kind == SCHEDULING_POLICY:
        return policies.find(world, command.name).tags
    if command.kind == SECRET:
        return secrets.living(world, command.name).tags
    if command.kind == PARAMETER:
        return parameters.find(world, command.name).tags
    key = world.ids.get(command.name, command.stored_key)
    if key in world.job_tags:
        return world.job_tags[key]
    if key in world.specs:
        return world.specs[key].tags
    if command.stored is None:
        raise Refused(f"The job {command.name} does not exist.")
    return command.stored


def _set_tags(world: World, command: TagCommand, tags: dict[str, str]) -> None:
    if command.kind == "compute-environment":
        _put_environment(world, replace(_environment(world, command.name), tags=tags))
    elif command.kind == "job-queue":
        _put_queue(world, replace(_queue(world, command.name), tags=tags))
    elif command.kind == "job-definition":
        definition = replace(_revision(world, command.name), tags=tags)
        at = definition.name, definition.revision
        world.definitions[at] = world.changes.definitions[at] = definition
    elif command.kind == SCHEDULING_POLICY:
        policies.put(world, replace(policies.find(world, command.name), tags=tags))
    elif command.kind == SECRET:
        secrets.put(world, replace(secrets.living(world, command.name), tags=tags))
    elif command.kind == PARAMETER:
        parameters.keep(world, replace(parameters.find(world, command.name), tags=tags))
    else:
        key = world.ids.get(command.name, command.stored_key)
        world.job_tags[key] = world.changes.job_tags[key] = tags
        if key not in world.specs:  # remembered as long as a request may still carry older tags from the store
            world.finished_order.append((world.now_ms + world.limits.finished_kept_ms, key, ""))


def _revision(world: World, name: str) -> Definition:
    short, revision = names.split_definition(name)
    definition = world.definitions.get((short, revision or 0))
    if definition is None:
        raise Refused(f"JobDefinition {name} does not exist.")
    return definition
