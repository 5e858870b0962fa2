"""Scheduling policies, and which of them a queue may have (AWS Batch behaviour 2.2, 2.5)."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from batchyard.core.model import commands, names
from batchyard.core.model.records import Queue, SchedulingPolicy
from batchyard.core.model.refusal import EXISTS, Refused
from batchyard.core.model.service_records import takes_service_jobs
from batchyard.core.state.document_kinds import SCHEDULING_POLICY
from batchyard.core.state.fairshare import fair_share_of
from batchyard.core.state.world import World

FAIR, QUOTA = "fairsharePolicy", "quotaSharePolicy"
ON_FIFO = (  # the missing space is AWS's
    "Job with shareIdentifier or schedulingPriority can onlybe submitted to job queue with fair share scheduling "
    "policy."
)
NO_SHARE = "shareIdentifier must be specified."
ARN_MEMBER = "schedulingPolicyArn"


def create(world: World, command: commands.CreateSchedulingPolicy) -> SchedulingPolicy:
    if command.name in world.queues.policies:
        raise Refused(EXISTS)
    policy = SchedulingPolicy(command.name, command.document, command.tags, world.now_ms)
    put(world, policy)
    return policy


def update(world: World, command: commands.UpdateSchedulingPolicy) -> SchedulingPolicy:
    """Updates a policy, with effect on waiting jobs. A policy keeps its kind."""
    policy = find(world, command.name)
    if command.document:
        if command.document.keys() != policy.document.keys():
            kinds = "".join(policy.document), "".join(command.document)
            raise Refused(
                f"The kind of a scheduling policy can not change: {command.name} has a {kinds[0]}, not a {kinds[1]}."
            )
        policy = replace(policy, document=command.document)
        for queue in world.queues.values():
            if name_of(queue) == policy.name:
                world.accrue_shares(queue.name)
        put(world, policy)
    return policy


def delete(world: World, command: commands.DeleteSchedulingPolicy) -> None:
    find(world, command.name)
    users = [queue.name for queue in world.queues.values() if name_of(queue) == command.name]
    if users:
        raise Refused(
            f"Cannot delete, scheduling policy {command.name} is used by job queue {users[0]}: delete that first, or "
            "give it another policy."
        )
    del world.queues.policies[command.name], world.queues.fair[command.name]
    world.changes.documents[SCHEDULING_POLICY, command.name] = None


def find(world: World, name: str) -> SchedulingPolicy:
    policy = world.queues.policies.get(name)
    if policy is None:
        raise Refused(f"SchedulingPolicy {world.account.policy_arn(name)} not found.")
    return policy


def put(world: World, policy: SchedulingPolicy) -> None:
    keep(world, policy)
    world.changes.documents[SCHEDULING_POLICY, policy.name] = policy


def keep(world: World, policy: SchedulingPolicy) -> None:
    """Sets a policy in memory, parsed."""
    world.queues.policies[policy.name] = policy
    world.queues.fair[policy.name] = fair_share_of(policy.document.get(FAIR, {}))


def name_of(queue: Queue) -> str:
    """Returns the name of a queue's policy; empty for a FIFO queue."""
    return _name_in(queue.document.get(ARN_MEMBER, ""))


def _name_in(arn: str) -> str:
    return names.resource_name(arn, SCHEDULING_POLICY)


def kind_of(world: World, queue: Queue) -> str:
    """Returns FAIR or QUOTA, the kind of a queue's policy; empty for a FIFO queue."""
    name = name_of(queue)
    return "".join(world.queues.policies[name].document) if name else ""


def check_new_queue(world: World, document: dict[str, Any]) -> None:
    """Checks that the policy of a new queue exists, and is of a kind that orders its jobs."""
    arn = document.get(ARN_MEMBER)
    if not arn:
        return
    policy = world.queues.policies.get(_name_in(arn))
    if policy is None:
        raise Refused(f"SchedulingPolicy {arn} not found.")
    if QUOTA in policy.document and not takes_service_jobs(document):
        raise Refused("Quota Management feature is only supported for SageMaker Training job queues.")


def check_changed_queue(world: World, queue: Queue, document: dict[str, Any]) -> None:
    """Checks that a queue's policy is only replaced, never removed, and never added to a queue without one."""
    if ARN_MEMBER not in document:
        return
    arn = document[ARN_MEMBER]
    if not name_of(queue):
        if arn:
            raise Refused(
                f"JobQueue {queue.name} was created without a scheduling policy and can't get one; create another job "
                "queue with it."
            )
    elif not arn:
        raise Refused(f"The scheduling policy of JobQueue {queue.name} can be replaced, but not removed.")
    else:
        check_new_queue(world, {**queue.document, **document})
        before, after = (world.queues.policies[name].document for name in (name_of(queue), _name_in(arn)))
        if before.keys() != after.keys():
            raise Refused(
                f"JobQueue {queue.name} has a {''.join(before)}: its scheduling policy can be replaced only by one of "
                "that kind."
            )
