"""The head of each queue, its first job, which finds no room: since when, AWS's code for it, and the end of one that
waits too long (AWS Batch behaviour 4.5, 4.7, 9.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from batchyard.core.capacity.allocation import NoLaunch
from batchyard.core.model.facts import JobQueueBlocked
from batchyard.core.model.names import child_id
from batchyard.core.model.reasons import Reason, ReasonCode
from batchyard.core.model.records import Queue, QueueHead
from batchyard.core.scheduling import unschedulable
from batchyard.core.scheduling.wait_reasons import insufficient
from batchyard.core.state.queue_table import BlockedHead, ReportedBlocked
from batchyard.core.state.world import World

UNDETERMINED_TEXT = f"{ReasonCode.UNDETERMINED} - Batch job is blocked, root cause is undetermined."


def set_head(world: World, queue: str, key: int, index: int | None, refusal: NoLaunch | None) -> None:
    """Records, after a visit of a queue, which job is its head. `refusal`: why an environment launched nothing for
    it."""
    before = world.queues.heads.get(queue)
    if before is not None and (before.key, before.index) != (key, index):
        clear(world, queue)
        before = None
    head = before or BlockedHead(key, index, world.now_ms, code_since_ms=world.now_ms)
    is_blocked = world.now_ms - head.since_ms >= int(world.limits.blocked_after_seconds * 1000)
    code, reason = "", ""
    if refusal is not None and refusal.aws_code == ReasonCode.INSUFFICIENT_CAPACITY:
        code, reason = ReasonCode.INSUFFICIENT_CAPACITY, insufficient(refusal)
    elif is_blocked:
        # The numbers are those of the moment in which it was found: every pass would write others.
        known = head.reason if head.code == ReasonCode.UNDETERMINED else ""
        why = known or f"{UNDETERMINED_TEXT} {unschedulable.why_head_waits(world, world.jobs.spec_of(key))}"
        code, reason = ReasonCode.UNDETERMINED, why
    _set_status_reason(world, key, index, reason)
    since_ms = head.code_since_ms if code == head.code else world.now_ms
    world.queues.heads[queue] = replace(head, code=code, reason=reason, code_since_ms=since_ms)
    if is_blocked:
        _emit_blocked(world, queue, world.queues.heads[queue])


def _emit_blocked(world: World, queue: str, head: BlockedHead) -> None:
    """Emits Job Queue Blocked once for each submission and code: an array's children block a queue one after another,
    and each of them would be a line."""
    key, before = world.jobs.parents.get(head.key, head.key), world.queues.reported_blocked.get(queue)
    if before is None or (before.key, before.code) != (key, head.code):
        world.queues.reported_blocked[queue] = ReportedBlocked(
            key, head.code, 1 + (before.count if before is not None else 0)
        )
        world.recorder.add(JobQueueBlocked(world.now_ms, queue, _job_id(world, head), head.reason))


def emit_misfit(world: World, queue: str, key: int, reason: Reason) -> None:
    """Emits Job Queue Blocked for a job that was set aside for a misconfiguration, once for each submission and code,
    also over restarts. It blocks no other job here; on AWS it would."""
    code, top = reason.code, world.jobs.parents.get(key, key)
    if code is None or not code.is_misconfiguration:
        return
    progress = world.jobs.arrays.get(top)
    if (progress.reported_code if progress is not None else world.jobs[top].reported_code) == code:
        return
    if progress is not None:
        progress.reported_code = code
        world.jobs.touch(top)
    else:
        world.put(replace(world.jobs[top], reported_code=code))
    before = world.queues.reported_blocked.get(queue, ReportedBlocked(0, "", 0))
    world.queues.reported_blocked[queue] = replace(before, count=before.count + 1)
    world.recorder.add(JobQueueBlocked(world.now_ms, queue, world.jobs.id_of(key), reason.text))


def reason_of(world: World, queue: str, key: int) -> str:
    """Returns the statusReason of a job with a row of its own as the head of its queue; empty when it is not the
    head."""
    head = world.queues.heads.get(queue)
    return head.reason if head is not None and (head.key, head.index) == (key, None) else ""


# -- over restarts --


def keep(world: World) -> None:
    """Records, at the end of a pass, the heads that have been heads for a while, and what was reported."""
    for queue in sorted({*world.queues.heads, *world.queues.reported_blocked, *world.queues.head_rows}):
        head, reported = world.queues.heads.get(queue), world.queues.reported_blocked.get(queue)
        row = QueueHead()
        if head is not None and world.now_ms - head.since_ms >= world.limits.head_kept_after_ms:
            row = QueueHead(head.key, head.index, head.since_ms, head.code, head.code_since_ms)
        if reported is not None:
            row = replace(row, reported_key=reported.key, reported_code=reported.code, reported_count=reported.count)
        world.keep_head(queue, row if row != QueueHead() else None)


def restore(world: World, rows: Mapping[str, QueueHead]) -> None:
    """Restores the heads after the jobs, each with the time since which it stands and its statusReason."""
    for queue, row in rows.items():
        world.queues.head_rows[queue] = row
        if row.reported_count:
            world.queues.reported_blocked[queue] = ReportedBlocked(
                row.reported_key, row.reported_code, row.reported_count
            )
        if row.key in world.jobs:
            progress = world.jobs.arrays.get(row.key)
            reason = world.jobs[row.key].status_reason if progress is None else progress.head_reason
            world.queues.heads[queue] = BlockedHead(
                row.key, row.index, row.since_ms, row.code, reason, row.code_since_ms
            )
    for key, progress in world.jobs.arrays.items():
        head = world.queues.heads.get(world.jobs.specs[key].queue) if key in world.jobs.specs else None
        if progress.head_reason and (head is None or (head.key, head.index) != (key, progress.head_index)):
            progress.head_reason, progress.head_index = "", 0
            world.jobs.touch(key)


def clear(world: World, queue: str) -> None:
    """Removes the head of a queue. A statusReason that the job has by now for another reason stays."""
    head = world.queues.heads.pop(queue, None)
    if head is None or not head.reason:
        return
    job = world.jobs.get(head.key)
    if head.index is not None or (job is not None and job.status_reason == head.reason):
        _set_status_reason(world, head.key, head.index, "")


def _set_status_reason(world: World, key: int, index: int | None, reason: str) -> None:
    """Sets the statusReason of a head; for an array's child without a row its array keeps it."""
    if index is not None:
        progress, said = world.jobs.arrays.get(key), (reason, index if reason else 0)
        if progress is not None and key in world.jobs and (progress.head_reason, progress.head_index) != said:
            progress.head_reason, progress.head_index = said
            world.jobs.touch(key)
        return
    job = world.jobs.get(key)
    if job is not None and job.attempt is None and job.status_reason != reason:
        world.put(replace(job, status_reason=reason))


def _job_id(world: World, head: BlockedHead) -> str:
    own = world.jobs.id_of(head.key)
    return own if head.index is None else child_id(own, head.index)


# -- jobStateTimeLimitActions --


def due(world: World) -> int | None:
    """Returns when the next head becomes blocked or is cancelled, if nothing else happens."""
    found: list[int] = []
    blocked_ms = int(world.limits.blocked_after_seconds * 1000)
    for head in world.queues.heads.values():
        moments = head.since_ms + blocked_ms, head.since_ms + world.limits.head_kept_after_ms
        found.extend(at_ms for at_ms in moments if at_ms > world.now_ms)
    for name in world.queues.heads.keys() | world.queues.stuck.keys():
        for limit_ms, code in limits_of(world.queues[name]):
            found.extend(since_ms + limit_ms for _, since_ms in stuck_for(world, name, code))
    return min(found, default=None)


def limits_of(queue: Queue) -> list[tuple[int, str]]:
    actions: list[dict[str, Any]] = queue.document.get("jobStateTimeLimitActions") or []
    return [(action["maxTimeSeconds"] * 1000, action["reason"]) for action in actions]


def stuck_for(world: World, queue: str, code: str) -> list[tuple[str, int]]:
    """Returns (job id, since when) of the jobs kept from starting for a reason: the head, and those set aside."""
    found = [
        (world.jobs.id_of(key), world.queues.stuck_since[key])
        for key, reason in world.queues.stuck.get(queue, {}).items()
        if reason.code == code
    ]
    head = world.queues.heads.get(queue)
    if head is not None and head.code == code and head.key in world.jobs:
        found.append((_job_id(world, head), head.code_since_ms))
    return found
