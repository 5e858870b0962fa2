"""Quota shares: created, updated, deleted (AWS Batch behaviour 2.7, 5.5). Changes are done when answered."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.model import service_commands
from batchyard.core.model.records import Health, State
from batchyard.core.model.refusal import EXISTS, Refused
from batchyard.core.model.service_records import QuotaShare, quota_share_path
from batchyard.core.scheduling import policies
from batchyard.core.service_jobs import service_jobs
from batchyard.core.service_jobs.document_kinds import QUOTA_SHARE
from batchyard.core.state.world import World

MAX_SHARES = 20  # of one queue (user guide: create-quota-shares)
SHARE_DELETED = "QuotaShare deleted"


def create(world: World, command: service_commands.CreateQuotaShare) -> QuotaShare:
    _check_queue(world, command.queue)
    if quota_share_path(command.queue, command.name) in world.services.shares:
        raise Refused(EXISTS)
    if len(_paths_in(world, command.queue)) >= MAX_SHARES:
        raise Refused(f"JobQueue {command.queue} has {MAX_SHARES} quota shares already, the most there can be.")
    share = QuotaShare(
        name=command.name,
        queue=command.queue,
        state=State(command.state),
        capacity_limits=command.capacity_limits,
        sharing=command.sharing,
        preemption=command.preemption,
        tags=command.tags,
        created_at_ms=world.now_ms,
    )
    put(world, share)
    return share


def _check_queue(world: World, name: str) -> None:
    queue = world.queues.get(name)
    if queue is None:
        raise Refused(f"JobQueue {name} does not exist.")
    if policies.kind_of(world, queue) != policies.QUOTA:
        raise Refused(
            f"JobQueue {name} has no quotaSharePolicy: quota shares belong to job queues of type SAGEMAKER_TRAINING "
            "that were created with one."
        )
    if queue.status is not Health.VALID:
        raise Refused(f"JobQueue {name} is {queue.status.value}; it must be VALID to get a quota share.")


def update(world: World, command: service_commands.UpdateQuotaShare) -> QuotaShare:
    share = find(world, command.path)
    share = replace(
        share,
        state=State(command.state) if command.state else share.state,
        capacity_limits=command.capacity_limits or share.capacity_limits,
        sharing=share.sharing if command.sharing is None else command.sharing,
        preemption=share.preemption if command.preemption is None else command.preemption,
    )
    put(world, share)
    return share


def delete(world: World, command: service_commands.DeleteQuotaShare) -> None:
    """Its jobs end with it."""
    share = find(world, command.path)
    if share.state is not State.DISABLED:
        raise Refused(f"Cannot delete, quota share {share.name} must be DISABLED first.")
    service_jobs.end_all_in(world, share.queue, SHARE_DELETED, share.name)
    _forget(world, command.path)


def forget_all_in(world: World, queue: str) -> None:
    """Removes the quota shares of a queue that is gone."""
    for path in _paths_in(world, queue):
        _forget(world, path)


def _paths_in(world: World, queue: str) -> list[str]:
    return [path for path, share in world.services.shares.items() if share.queue == queue]


def _forget(world: World, path: str) -> None:
    del world.services.shares[path]
    world.changes.documents[QUOTA_SHARE, path] = None


def find(world: World, path: str) -> QuotaShare:
    """Returns a quota share by its path. Raises Refused if there is none."""
    share = world.services.shares.get(path)
    if share is None:
        queue, _, name = path.partition("/")
        raise Refused(f"QuotaShare {world.account.quota_share_arn(queue, name)} does not exist.")
    return share


def put(world: World, share: QuotaShare) -> None:
    """Sets the next version of a quota share's record."""
    keep(world, share)
    world.changes.documents[QUOTA_SHARE, share.path] = share


def keep(world: World, share: QuotaShare) -> None:
    """Sets a record in memory alone."""
    world.services.shares[share.path] = share
