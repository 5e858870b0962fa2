"""Job queues: created, updated, deleted (AWS Batch behaviour 2.2)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from batchyard.core.capacity import environment_rules
from batchyard.core.jobs import cancellation
from batchyard.core.model import commands
from batchyard.core.model.records import Environment, EnvironmentOrder, Health, Queue, State
from batchyard.core.model.refusal import EXISTS, Refused
from batchyard.core.model.service_records import takes_service_jobs
from batchyard.core.scheduling import policies, scheduler
from batchyard.core.service_jobs import quota_shares, service_environments, service_jobs
from batchyard.core.state import transient_states
from batchyard.core.state.world import World

QUEUE_HEALTHY = "JobQueue Healthy"


def check_tags(tags: Mapping[str, str]) -> None:
    """Checks the tags that configure what AWS has no member for."""
    limit = tags.get(scheduler.CONCURRENCY_LIMIT_TAG)
    if limit is not None and not (limit.isascii() and limit.isdigit() and int(limit[:9]) >= 1):
        raise Refused(f"The tag {scheduler.CONCURRENCY_LIMIT_TAG} must be a whole number from 1 on, got '{limit}'.")
    strict = tags.get(scheduler.STRICT_FIFO_TAG)
    if strict not in (None, "true", "false"):
        raise Refused(f"The tag {scheduler.STRICT_FIFO_TAG} must be true or false, got '{strict}'.")


def create(world: World, command: commands.CreateJobQueue) -> Queue:
    if command.name in world.queues:
        raise Refused(EXISTS)
    if takes_service_jobs(command.document):
        service_environments.check_order(world, command.document["serviceEnvironmentOrder"])
    else:
        _check_order(world, command.environments)
    policies.check_new_queue(world, command.document)
    check_tags(command.tags)
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
    world.put_queue(queue)
    return queue


def update(world: World, command: commands.UpdateJobQueue) -> Queue:
    queue = find(world, command.name)
    if queue.status is Health.DELETING:
        raise Refused(f"JobQueue {command.name} is being deleted.")
    transient_states.check(queue, "update")
    _check_kind(queue, command)
    order = queue.environments if command.environments is None else command.environments
    if command.environments is not None:
        _check_order(world, command.environments)
    if "serviceEnvironmentOrder" in command.document:
        service_environments.check_order(world, command.document["serviceEnvironmentOrder"])
    policies.check_changed_queue(world, queue, command.document)
    world.accrue_shares(command.name)
    queue = replace(
        queue,
        state=State(command.state) if command.state else queue.state,
        priority=queue.priority if command.priority is None else command.priority,
        environments=tuple(sorted(order, key=lambda o: o.order)),
        document={**queue.document, **command.document},
    )
    queue = transient_states.begin(world, queue, Health.UPDATING)
    world.put_queue(queue)
    scheduler.reassess(world)
    return queue


def delete(world: World, command: commands.DeleteJobQueue) -> None:
    """Deletes a queue: it is gone when its last job has ended (running ones get their grace) and the delay of a
    change has passed."""
    queue = find(world, command.name)
    transient_states.check(queue, "delete")
    if queue.state is not State.DISABLED:
        raise Refused(f"Cannot delete, job queue {command.name} must be DISABLED first.")
    if queue.status is not Health.DELETING:
        world.put_queue(transient_states.begin(world, queue, Health.DELETING))
    cancellation.delete_queue_jobs(world, command.name)
    service_jobs.end_all_in(world, command.name, cancellation.QUEUE_DELETED)


def finish_changes(world: World) -> bool:
    """Makes queues VALID whose delay has passed; called before a pass. Returns whether there were any."""
    names = transient_states.due(world, transient_states.QUEUE)
    for name in names:
        queue = replace(world.queues[name], settles_at_ms=0)
        if queue.status is not Health.DELETING:
            queue = replace(queue, status=Health.VALID, status_reason=QUEUE_HEALTHY)
        world.put_queue(queue)
    return bool(names)


def sweep_deleted(world: World) -> None:
    """Removes the queues being deleted whose last job has ended."""
    leaving = [name for name, queue in world.queues.items() if queue.status is Health.DELETING]
    for name in leaving:
        is_settled = (transient_states.QUEUE, name) not in world.timetable.settling
        if is_settled and not any(spec.queue == name for spec in world.jobs.specs.values()):
            quota_shares.forget_all_in(world, name)
            world.forget_queue(name)


def find(world: World, name: str) -> Queue:
    """Returns a queue by its name. Raises Refused if there is none."""
    queue = world.queues.get(name)
    if queue is None:
        raise Refused(f"JobQueue {name} does not exist.")
    return queue


def _check_kind(queue: Queue, command: commands.UpdateJobQueue) -> None:
    """Checks that a queue keeps its kind: it has compute environments, or a service environment."""
    if takes_service_jobs(queue.document):
        if command.environments is not None:
            raise Refused("Job queues of type SAGEMAKER_TRAINING must have serviceEnvironmentOrder.")
    elif "serviceEnvironmentOrder" in command.document:
        kind = queue.document.get("jobQueueType", "ECS")
        raise Refused(
            f"The jobQueueType provided is {kind}, which is incompatible with the provided serviceEnvironmentOrder."
        )


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
