"""Counts what the instances have, what is free, and how many jobs run and wait. Reads the world, changes nothing."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.commands import Command
from batchyard.core.state.world import World


class CapacityAnswer(Struct, frozen=True):
    total_milli_vcpus: int
    total_memory_mib: int
    total_gpus: int
    free_milli_vcpus: int
    free_memory_mib: int
    free_gpus: int
    jobs_running: int  # STARTING or RUNNING attempts
    jobs_waiting: int  # unfinished jobs, children counted singly, that have no attempt


class AskCapacity(Command[CapacityAnswer], frozen=True):
    """Asks for the total and the free capacity, and the numbers of jobs."""


def capacity(world: World, command: AskCapacity) -> CapacityAnswer:
    total = [provider.total for provider in world.instances.providers.values()]
    free = [provider.ledger.free for provider in world.instances.providers.values()]
    running = sum(1 for job in world.jobs.values() if job.attempt is not None)
    unstarted = sum(len(world.jobs.arrays[key].unstarted) for key in world.jobs.specs if key in world.jobs.arrays)
    rows = sum(1 for key in world.jobs if key not in world.jobs.arrays)
    return CapacityAnswer(
        total_milli_vcpus=sum(r.milli_vcpus for r in total),
        total_memory_mib=sum(r.memory_mib for r in total),
        total_gpus=sum(r.gpus for r in total),
        free_milli_vcpus=sum(r.milli_vcpus for r in free),
        free_memory_mib=sum(r.memory_mib for r in free),
        free_gpus=sum(r.gpus for r in free),
        jobs_running=running,
        jobs_waiting=rows - running + unstarted,
    )
