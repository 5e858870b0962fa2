"""Fair share of a queue: what is held back, where a job's share stands, and which jobs go before it (AWS Batch
behaviour 5.3). fairshare.py has the arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from batchyard.core.model.records import Environment, JobSpec, milli_vcpus_of
from batchyard.core.model.resources import MILLI_PER_VCPU
from batchyard.core.scheduling.candidates import len_of
from batchyard.core.state.fairshare import Block, Standing, held_back, jobs_before
from batchyard.core.state.runnable import QueueMerge, ShapeQueue
from batchyard.core.state.world import World


class Reservation(Struct):
    """What a queue's jobs may hold before they touch what is held back for shares that are not active yet, in
    milli-vCPUs. One job at a time always may: else one that is larger than the rest would wait for ever."""

    at_most: int
    held: int
    back: int

    def has_room(self, milli_vcpus: int) -> bool:
        return self.held == 0 or self.held + milli_vcpus <= self.at_most


def reservation(world: World, queue: str, environments: Sequence[Environment]) -> Reservation | None:
    """Returns None where nothing is held back, also where an environment has no maximum to take a part of."""
    fair, ledger = world.queues.fair_share(queue), world.queues.shares.get(queue)
    limits = [_max_vcpus(environment) for environment in environments]
    if fair is None or ledger is None or not fair.reservation_percent or not all(limits):
        return None
    back = held_back(fair, sum(limits), len(ledger.active(world.now_ms, fair.window_ms)))
    return Reservation(sum(limits) * MILLI_PER_VCPU - back, ledger.held(), back)


def _max_vcpus(environment: Environment) -> int:
    """Returns 0 for an environment without a maximum."""
    return environment.compute_resources.max_vcpus or int(environment.document.get("unmanagedvCpus") or 0)


class SharePosition(Struct, frozen=True):
    """Where a waiting job's share stands. `number`, from 1, is its place among the `shares` that have waiting jobs."""

    standing: Standing
    held: int  # milli-vCPUs of the share's placed attempts
    number: int
    shares: int
    ahead_of_others: int  # jobs of other shares that go before this one
    ahead_in_share: int


def share_position(world: World, spec: JobSpec, key: int, own_before: int) -> SharePosition | None:
    """Returns where the share of a waiting job stands; None on a FIFO queue. `own_before`: jobs of its own array that
    go before it, where `key` is the array's."""
    fair, ledger = world.queues.fair_share(spec.queue), world.queues.shares.get(spec.queue)
    if fair is None or ledger is None:
        return None
    standings = {standing.identifier: standing for standing in ledger.standings(fair, world.now_ms)}
    queues = _by_share(world.queues.runnable_in(spec.queue).shape_queues())
    mine, outlook_ms = standings[spec.share_identifier], ledger.outlook_ms(fair.window_ms)
    limit, in_share = mine.weighted, own_before
    limit += own_before * milli_vcpus_of(spec) * outlook_ms * mine.weight
    for block in _until(_blocks(world, queues.get(spec.share_identifier, ())), key):
        in_share += block.count
        limit += block.count * block.milli_vcpus * outlook_ms * mine.weight
    others = 0
    waiting = [standings[share] for share in queues if share in standings]
    for standing in waiting:
        if standing is not mine:
            blocks = _blocks(world, queues[standing.identifier])
            others += jobs_before(standing, outlook_ms, blocks, limit, key)
    number = 1 + sum(1 for standing in waiting if standing is not mine and standing < mine)
    shares = len(waiting) + (mine not in waiting)
    return SharePosition(mine, ledger.shares[spec.share_identifier].held, number, shares, others, in_share)


def _by_share(queues: Iterable[ShapeQueue]) -> dict[str, list[ShapeQueue]]:
    found: dict[str, list[ShapeQueue]] = {}
    for shape_queue in queues:
        found.setdefault(shape_queue.share, []).append(shape_queue)
    return found


def _blocks(world: World, queues: Iterable[ShapeQueue]) -> Iterator[Block]:
    """Yields a share's waiting jobs in order."""
    merge = QueueMerge(queues)
    while (found := merge.next()) is not None:
        key, shape_queue = found
        yield Block(key, len_of(world, key), shape_queue.shape.resources.milli_vcpus)


def _until(blocks: Iterable[Block], key: int) -> Iterator[Block]:
    for block in blocks:
        if block.key == key:
            return
        yield block
