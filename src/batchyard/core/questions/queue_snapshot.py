"""GetJobQueueSnapshot: the jobs at the front of a queue, and its used capacity (AWS Batch behaviour 4.6). Reads the
world, changes nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from batchyard.core.model import names
from batchyard.core.model.commands import Command
from batchyard.core.model.records import milli_vcpus_of
from batchyard.core.model.refusal import Refused
from batchyard.core.model.service_records import takes_service_jobs
from batchyard.core.scheduling import candidates
from batchyard.core.service_jobs import service_jobs
from batchyard.core.state.world import World

FRONT_JOBS = 100  # API: FrontOfQueueDetail
TOP_SHARES = 20  # API: FairshareUtilizationDetail, topCapacityUtilization


class FrontJob(Struct, frozen=True):
    """A job at the front of a queue. `since_ms`: since when it is known to be there: for the head, since it became
    the head; for a job set aside, since then; for the others, since they were submitted."""

    job_id: str
    since_ms: int


class QueueSnapshot(Struct, frozen=True):
    """The snapshot of a queue. `used`: milli-vCPUs that its placed jobs hold; `used_by_share`: the largest first,
    none on FIFO queues. `takes_service_jobs`: it is of those, and so is `front`; `front_of_shares`: the first job of
    each quota share."""

    front: tuple[FrontJob, ...]
    used: int
    used_by_share: tuple[tuple[str, int], ...]
    active_shares: int
    at_ms: int
    takes_service_jobs: bool = False
    front_of_shares: tuple[tuple[str, FrontJob], ...] = ()


class AskQueueSnapshot(Command[QueueSnapshot], frozen=True):
    """Asks which jobs are at the front of a queue. Refused for a queue that does not exist."""

    queue: str


def snapshot(world: World, command: AskQueueSnapshot) -> QueueSnapshot:
    name = command.queue
    if name not in world.queues:
        raise Refused(f"JobQueue {name} not found.")
    if takes_service_jobs(world.queues[name].document):
        return _of_service_jobs(world, name)
    front = tuple(islice(_front(world, name), FRONT_JOBS))
    used: dict[str, int] = {}
    active: set[str] = set()
    for key, job in world.jobs.items():
        spec = world.jobs.spec_of(key)
        if spec.queue != name:
            continue
        active.add(spec.share_identifier)
        if job.attempt is not None:
            share = spec.share_identifier
            used[share] = used.get(share, 0) + milli_vcpus_of(spec)
    shares = sorted(((s, amount) for s, amount in used.items() if s), key=lambda pair: (-pair[1], pair[0]))
    return QueueSnapshot(front, sum(used.values()), tuple(shares[:TOP_SHARES]), len(active - {""}), world.now_ms)


def _of_service_jobs(world: World, name: str) -> QueueSnapshot:
    """Service jobs in the order of their turn. None runs, so that no share has used more than another."""
    waiting = service_jobs.waiting_in(world, name)
    first: dict[str, FrontJob] = {}
    for job in waiting:
        if job.quota_share:
            first.setdefault(job.quota_share, FrontJob(job.job_id, job.created_at_ms))
    active = {job.share_identifier for job in waiting} - {""}
    front = tuple(FrontJob(job.job_id, job.created_at_ms) for job in waiting[:FRONT_JOBS])
    return QueueSnapshot(front, 0, (), len(active), world.now_ms, True, tuple(sorted(first.items())))


def _front(world: World, name: str) -> Iterator[FrontJob]:
    """Returns RUNNABLE jobs in the order in which they would start, an array's children one by one; those that
    nothing can run now are at their place by submission."""
    stuck = deque(sorted(world.queues.stuck.get(name, {})))
    jobs = candidates.in_turn(world, name)
    while (candidate := jobs.next()) is not None:
        while stuck and stuck[0] < candidate.key:
            yield from _set_aside(world, stuck.popleft())
        yield _in_line(world, name, candidate)
        jobs.placed(milli_vcpus_of(world.jobs.spec_of(candidate.key)))
    for key in stuck:
        yield from _set_aside(world, key)


def _in_line(world: World, name: str, candidate: candidates.Candidate) -> FrontJob:
    head, place = world.queues.heads.get(name), (candidate.key, candidate.index)
    is_head = head is not None and (head.key, head.index) == place
    since_ms = head.since_ms if is_head and head is not None else world.jobs[candidate.key].created_at_ms
    return FrontJob(_id_of(world, *place), since_ms)


def _set_aside(world: World, key: int) -> Iterator[FrontJob]:
    for index in candidates.indexes_of(world, key):
        yield FrontJob(_id_of(world, key, index), world.queues.stuck_since[key])


def _id_of(world: World, key: int, index: int | None) -> str:
    return world.jobs.id_of(key) if index is None else names.child_id(world.jobs.specs[key].job_id, index)
