"""Digests a machine's state into plain values: a restored machine must equal the one that runs."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from batchyard.core.model.records import Job, Status
from batchyard.core.state.world import World


def state_digest(world: World) -> dict[str, Any]:
    """Returns everything that decides what happens next. Not included: what is only kept for late requests (recently
    finished jobs), and entries that are skipped (a dependant that ended, a deadline of an attempt that is over)."""
    return {
        "environments": world.environments,
        "queues": world.queues,
        "policies": world.queues.policies,
        "shares": {
            name: (ledger.shares, ledger.usual_run_ms) for name, ledger in world.queues.shares.items() if ledger.shares
        },
        "definitions": world.definitions,
        "revisions": world.revisions,
        "next key": world.jobs.next_key,
        "specs": {key: replace(spec, tags={}) for key, spec in world.jobs.specs.items()},
        "jobs": {key: _job(world, key, job) for key, job in world.jobs.items()},
        "ids": {uuid: key for uuid, key in world.jobs.by_id.items() if key in world.jobs.specs},
        "parents": world.jobs.parents,
        "unmet": world.jobs.unmet,
        "dependents": _dependents(world),
        "followers": _followers(world),
        "sources": _sources(world),
        "lines": {name: _line(world, name) for name in world.queues},
        "instances": world.instances,
        "instances in": world.instances.launched_in,
        "budgets": {name: budget.free for name, budget in world.environments.budgets.items()},
        "rooms": {name: (room.free, tuple(room.gpu_ids)) for name, room in world.instances.available.items()},
        "deadlines": _deadlines(world),
        "idle since": world.instances.idle_since,
        "pauses": world.environments.paused,
        "consumables": dict(world.consumables),
        "held": world.consumables.held,
        "settling": world.timetable.settling,
        "set aside since": {key: at for key, at in world.queues.stuck_since.items() if not _is_passed_over(world, key)},
        "heads": _heads(world),
        "told": world.queues.reported_blocked,
    }


def differences(live: World, restored: World) -> list[str]:
    """Returns one line for each difference; none when both machines would continue alike."""
    mine, theirs = state_digest(live), state_digest(restored)
    found = []
    for name, value in mine.items():
        other = theirs[name]
        if value == other:
            continue
        if isinstance(value, dict):
            keys = [key for key in {**value, **other} if value.get(key) != other.get(key)]
            found += [f"{name} {key!r}: lives {value.get(key)!r}, restored {other.get(key)!r}" for key in keys]
        else:
            found.append(f"{name}: lives {value!r}, restored {other!r}")
    return found


def _job(world: World, key: int, job: Job) -> Job:
    """Digests one job. An array's reason to wait, and since when, counts while one of its children could be placed.
    The reason that the head of a queue gives it is compared with the heads: a new head sets it again after a
    restart."""
    progress = world.jobs.arrays.get(key)
    if progress is None:
        head = world.queues.heads.get(world.jobs.spec_of(key).queue)
        is_told = head is not None and head.key == key and head.index is None and head.reason == job.status_reason
        return replace(job, status_reason="") if is_told else job
    array = replace(progress.freeze(), head_reason="", head_index=0)
    if _is_passed_over(world, key):
        array = replace(array, waiting_reason="", set_aside_at_ms=0, set_aside_code=None)
    return replace(job, array=array)


def _heads(world: World) -> dict[str, Any]:
    """Returns the queue heads that have been heads for long enough to be durable."""
    found: dict[str, Any] = {}
    for queue, row in world.queues.head_rows.items():
        head = world.queues.heads.get(queue)
        if head is not None and head.key in world.jobs and (head.key, head.index) == (row.key, row.index):
            found[queue] = head
    return found


def _dependents(world: World) -> dict[int, list[int]]:
    waited = {
        key: sorted(w for w in waiters if w in world.jobs.unmet) for key, waiters in world.jobs.dependents.items()
    }
    return {key: waiters for key, waiters in waited.items() if waiters}


def _followers(world: World) -> dict[int, list[int]]:
    kept = {key: sorted(f for f in followers if f in world.jobs) for key, followers in world.jobs.followers.items()}
    return {key: followers for key, followers in kept.items() if followers}


def _sources(world: World) -> dict[int, list[int]]:
    kept = {key: sorted(s for s in sources if s in world.jobs.specs) for key, sources in world.jobs.sources.items()}
    return {key: sources for key, sources in kept.items() if sources}


def _line(world: World, queue: str) -> dict[str, Any]:
    stuck = world.queues.stuck.get(queue, {})
    line = list(world.queues.runnable_in(queue).in_order())
    return {
        "in line": [key for key in line if not _is_passed_over(world, key)],
        "set aside": {key: reason for key, reason in stuck.items() if not _is_passed_over(world, key)},
    }


def _is_passed_over(world: World, key: int) -> bool:
    """Whether an array has no child to place now: the next child of a SEQUENTIAL array must wait for the one before."""
    progress = world.jobs.arrays.get(key)
    if progress is None:
        return False
    return progress.next_in_line() is None if world.jobs.specs[key].sequential else not progress.ready()


def _deadlines(world: World) -> list[tuple[int, int, int]]:
    kept = []
    for when_ms, key, number in world.timetable.deadlines:
        job = world.jobs.get(key)
        attempt = None if job is None else job.attempt
        if job is None or attempt is None or attempt.number != number or attempt.stopping:
            continue
        if job.status is Status.RUNNING:
            kept.append((when_ms, key, number))
    return sorted(kept)
