"""GetJobQueueSnapshot: who is at the front of a queue, and what of its capacity is in use (AWS Batch behaviour 4.6).
Reads the world, changes nothing."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from batchyard.core import names
from batchyard.core.records import Queue, Status
from batchyard.core.refusal import Refused
from batchyard.core.world import World

FRONT_JOBS = 100  # API: FrontOfQueueDetail
TOP_SHARES = 20  # API: FairshareUtilizationDetail, topCapacityUtilization


class FrontJob(Struct, frozen=True):
    """`since_ms`: since when it is known to stand there: of the head, since it became the head; of a job set aside,
    since then; of the others, since they were submitted."""

    job_id: str
    since_ms: int


class QueueSnapshot(Struct, frozen=True):
    """`used`: milli-vCPUs that its placed jobs hold; `used_by_share`: the largest first, none on FIFO queues."""

    front: tuple[FrontJob, ...]
    used: int
    used_by_share: tuple[tuple[str, int], ...]
    active_shares: int
    at_ms: int


def snapshot(world: World, name: str, now_ms: int) -> QueueSnapshot:
    queue = world.queues.get(name)
    if queue is None:
        raise Refused(f"JobQueue {name} not found.")
    front = tuple(islice(_front(world, queue), FRONT_JOBS))
    used: dict[str, int] = {}
    active: set[str] = set()
    for key, job in world.jobs.items():
        spec = world.spec_of(key)
        if spec.queue != name:
            continue
        active.add(spec.share_identifier)
        if job.attempt is not None:
            share = spec.share_identifier
            used[share] = used.get(share, 0) + spec.task.resources.milli_vcpus
    shares = sorted(((s, amount) for s, amount in used.items() if s), key=lambda pair: (-pair[1], pair[0]))
    return QueueSnapshot(front, sum(used.values()), tuple(shares[:TOP_SHARES]), len(active - {""}), now_ms)


def _front(world: World, queue: Queue) -> Iterator[FrontJob]:
    """RUNNABLE jobs in the order of their turn, an array's children one by one; those that nothing can run now stand
    where they were submitted."""
    stuck = sorted(world.stuck.get(queue.name, {}))
    line = world.runnable_in(queue.name).in_order()
    for key in heapq.merge(line, stuck) if not _has_retried(world, queue.name) else [*line, *stuck]:
        yield from _jobs_of(world, queue.name, key)


def _has_retried(world: World, name: str) -> bool:
    """Whether the line is not in the order of its keys: retried jobs go first, shares have an order of their own."""
    keys = list(islice(world.runnable_in(name).in_order(), FRONT_JOBS))
    return keys != sorted(keys)


def _jobs_of(world: World, queue: str, key: int) -> Iterator[FrontJob]:
    head = world.heads.get(queue)
    book = world.books.get(key)
    job = world.jobs[key]
    if book is None:
        is_head = head is not None and head.key == key and head.index is None
        since_ms = head.since_ms if is_head and head is not None else world.stuck_since.get(key, job.created_at_ms)
        if job.status is Status.RUNNABLE:
            yield FrontJob(world.job_id(key), since_ms)
        return
    first = book.next_in_line() if world.specs[key].sequential else None
    ready = book.ready() if not world.specs[key].sequential else () if first is None else ((first, first + 1),)
    for start, stop in ready:
        for index in range(start, stop):
            is_head = head is not None and (head.key, head.index) == (key, index)
            since_ms = head.since_ms if is_head and head is not None else world.stuck_since.get(key, job.created_at_ms)
            yield FrontJob(names.child_id(world.specs[key].job_id, index), since_ms)
