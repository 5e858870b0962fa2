"""`explain JOB`: why one unfinished job is not running, with numbers. Reads the world, changes nothing."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.model import names
from batchyard.core.model.commands import Command
from batchyard.core.model.names import child_key
from batchyard.core.model.ranges import count, within
from batchyard.core.model.reasons import StopCause
from batchyard.core.model.records import (
    Attempt,
    Environment,
    InstanceState,
    Job,
    JobSpec,
    Status,
    asked_by,
    milli_vcpus_of,
)
from batchyard.core.model.resources import Resources, format_vcpus, largest, sum_of
from batchyard.core.model.text import counted, vcpus
from batchyard.core.scheduling import consumable_gate, fleet, scheduler, share_position, unschedulable, wait_reasons
from batchyard.core.scheduling.candidates import len_of
from batchyard.core.scheduling.unschedulable import EnvironmentWait
from batchyard.core.scheduling.wait_reasons import Wait
from batchyard.core.state.arrays import waiting_status
from batchyard.core.state.fairshare import seconds_of, weight_factor
from batchyard.core.state.node_views import node_job
from batchyard.core.state.world import World

MAX_LISTED = 20  # dependencies and holders named in one answer; the counts are whole


class DependencyState(Struct, frozen=True):
    """A dependency and its status, which is empty where it is no longer known: it ended long ago."""

    job_id: str
    status: str


class Holder(Struct, frozen=True):
    """A placed attempt and what it holds."""

    job_id: str
    resources: Resources


class Explanation(Struct, frozen=True, omit_defaults=True):
    """Why a job waits. `wait` is empty when it runs or has ended, which `text` then states."""

    job_id: str
    status: str
    text: str
    wait: str = ""
    remedy: str = ""
    status_reason: str = ""
    asked: Resources | None = None
    largest: Resources | None = None  # of each kind, on any instance its queue can use
    free: tuple[Resources, ...] = ()  # on each of those instances
    holders: tuple[Holder, ...] = ()  # the largest first
    holders_count: int = 0
    share: share_position.SharePosition | None = None  # on fair-share queues: the position of its share
    ahead: int = 0  # jobs and children before it in its queue
    ahead_elsewhere: int = 0  # in queues of higher priority
    dependencies: tuple[DependencyState, ...] = ()
    dependencies_count: int = 0  # those that have not ended
    environments: tuple[EnvironmentWait, ...] = ()  # of its queue, in their order: why each does not run it now


class AskExplain(Command[Explanation | None], frozen=True):
    """Asks why one job waits. The answer is None for a job that is not in memory: it ended, or is unknown."""

    job_id: str


def explain(world: World, command: AskExplain) -> Explanation | None:
    """Explains why a job waits; None for one that is not in memory: unknown, or ended."""
    wanted = names.parse_job_id(command.job_id)
    key = world.jobs.by_id.get(wanted.uuid)
    if key is None or key not in world.jobs.specs:
        return None
    spec, progress = world.jobs.specs[key], world.jobs.arrays.get(key)
    if wanted.node is not None:
        return _explain_node(world, spec, key, wanted.node) if wanted.node < spec.num_nodes else None
    if wanted.index is None:
        job = world.jobs[key]
        if progress is not None and (progress.released_at_ms or key not in world.jobs.unmet):
            return _parent(spec, job, len(progress.succeeded) + len(progress.failed), progress.size)
        return _explain_row(world, spec, job, spec.job_id, key, None)
    if progress is None or wanted.index >= progress.size or progress.final_status(wanted.index) is not None:
        return None
    row = world.jobs.get(child_key(key, wanted.index))
    child = names.child_id(spec.job_id, wanted.index)
    return _explain_row(world, spec, row, child, key, wanted.index)


def _explain_node(world: World, spec: JobSpec, key: int, node: int) -> Explanation | None:
    """Explains a node of a multi-node job, which waits for what its job waits for, then for the main node."""
    job = world.jobs[key]
    view, job_id = node_job(job, node), names.node_id(spec.job_id, node)
    if view.status.is_final:
        return None
    if view.attempt is None and job.attempt is not None:
        text = "It has its place, and is started once the main node runs."
        return Explanation(job_id, view.status, text, Wait.STARTING, wait_reasons.remedy(Wait.STARTING))
    return _explain_row(world, spec, view, job_id, key, None)


def _parent(spec: JobSpec, job: Job, ended: int, size: int) -> Explanation:
    verb = "has" if ended == 1 else "have"
    text = f"It is an array: {ended} of its {size} children {verb} ended, and it ends with the last."
    return Explanation(spec.job_id, job.status, text, Wait.CHILDREN, wait_reasons.remedy(Wait.CHILDREN))


def _explain_row(world: World, spec: JobSpec, row: Job | None, job_id: str, key: int, index: int | None) -> Explanation:
    """Explains one row. `row` is None for a child that has none; `key` is the submission's."""
    if row is not None and row.status is Status.RUNNING:
        return Explanation(job_id, row.status, _running(world, row))
    if row is not None and row.status is Status.STARTING:
        assert row.attempt is not None, f"job {job_id} starts without an attempt"
        text = f"It has its place in {row.attempt.environment} and is being started.{_stopped(row, row.attempt)}"
        return Explanation(job_id, row.status, text, Wait.STARTING, wait_reasons.remedy(Wait.STARTING))
    if key in world.jobs.unmet:
        return _as_asked(world, spec, row, key, _dependencies(world, spec, job_id))
    status = row.status if row is not None else Status.PENDING
    if index is not None and (row is None or row.status is Status.PENDING):
        held = _held_child(world, spec, key, index, job_id)
        if held is not None:
            return _as_asked(world, spec, row, key, held)
        status = Status.RUNNABLE
    place_key = row.key if row is not None and index is not None else key
    return _capacity(world, spec, job_id, place_key, index if row is None else None, status)


def _running(world: World, row: Job) -> str:
    """Explains a job that runs, and a stop that was requested since."""
    assert row.attempt is not None, f"job {row.key} runs without an attempt"
    spec, number = world.jobs.spec_of(row.key), row.attempt.number
    which = f", attempt {number} of {spec.retry.attempts}" if spec.retry.attempts > 1 else ""
    return f"It runs{which}.{_stopped(row, row.attempt)}"


STOPPING = {
    StopCause.TERMINATE: " It was terminated: it is being stopped.",
    StopCause.TIMEOUT: " Its timeout is over: it is being stopped, and is not retried.",
    StopCause.MAIN: " Its main node has ended: the other nodes are being stopped.",
    StopCause.HOST: " Its instance is about to go: it is being stopped, and its retry strategy decides what follows.",
}


def _stopped(row: Job, attempt: Attempt) -> str:
    if attempt.stopping:
        return STOPPING[attempt.stopping]
    return " It was cancelled: it runs to its end, and is not retried." if row.is_cancelled else ""


def _as_asked(world: World, spec: JobSpec, row: Job | None, key: int, waits: Explanation) -> Explanation:
    """Returns the condition of a job's dependencies in words: only their end, if it or its array was withdrawn, or
    if it is tagged so."""
    for job in (row, world.jobs[key]):
        if job is not None and job.is_withdrawn:
            done = "terminated" if job.is_terminated else "cancelled"
            text = f"It was {done}, and ends when what it waits for has. {waits.text}"
            return replace(waits, wait=Wait.WITHDRAWN, text=text, remedy=wait_reasons.remedy(Wait.WITHDRAWN))
    return replace(waits, remedy=wait_reasons.AFTER_ANY_REMEDY) if spec.after_any else waits


def _dependencies(world: World, spec: JobSpec, job_id: str) -> Explanation:
    states = [DependencyState(d.job_id, _status_of(world, d.job_id)) for d in spec.depends_on if d.job_id]
    unfinished = [s for s in states if s.status not in ("", Status.SUCCEEDED, Status.FAILED)]
    shown = ", ".join(f"{s.job_id} ({s.status})" for s in unfinished[:3])
    more = f" and {len(unfinished) - 3} more" if len(unfinished) > 3 else ""
    which = f"{len(unfinished)} of the {len(states)} jobs" if len(states) > 1 else "the job"
    text = f"It waits for {which} it depends on: {shown}{more}."
    return _pending(job_id, text, Wait.DEPENDENCIES, unfinished, len(unfinished))


def _pending(job_id: str, text: str, wait: Wait, states: list[DependencyState], count: int) -> Explanation:
    """Explains a job that waits for others. `count`: how many of them have not ended."""
    return Explanation(
        job_id,
        Status.PENDING,
        text,
        wait,
        wait_reasons.remedy(wait),
        dependencies=tuple(states[:MAX_LISTED]),
        dependencies_count=count,
    )


def _status_of(world: World, job_id: str) -> str:
    """Returns the state of a dependency; empty when it is no longer known."""
    wanted = names.parse_job_id(job_id)
    key = world.jobs.by_id.get(wanted.uuid)
    if key is None:
        return ""
    status = world.jobs.status_at(key, wanted.index)
    if status is not None or wanted.index is None:
        return status or ""
    return waiting_status(world.jobs.specs[key], world.jobs.arrays[key].freeze(), wanted.index)


def _held_child(world: World, spec: JobSpec, key: int, index: int, job_id: str) -> Explanation | None:
    """Explains what an array's child waits for besides capacity, once its array is released."""
    progress = world.jobs.arrays[key]
    done = (Status.SUCCEEDED, Status.FAILED)
    open_counterparts = [
        DependencyState(child, _status_of(world, child))
        for source in world.jobs.sources.get(key, ())
        if source in world.jobs.specs and world.jobs.arrays[source].final_status(index) not in done
        for child in [names.child_id(world.jobs.specs[source].job_id, index)]
    ]
    if open_counterparts:
        shown = ", ".join(f"{s.job_id} ({s.status})" for s in open_counterparts)
        text = f"It waits for its counterpart (N_TO_N): {shown}."
        return _pending(job_id, text, Wait.COUNTERPART, open_counterparts, len(open_counterparts))
    if spec.sequential and index and progress.final_status(index - 1) is None:
        before = names.child_id(spec.job_id, index - 1)
        state = DependencyState(before, _status_of(world, before))
        ended = len(progress.succeeded) + len(progress.failed)
        # Children behind it may have ended already: withdrawn alone, or with a counterpart that failed.
        before_it = *within(progress.succeeded.freeze(), 0, index), *within(progress.failed.freeze(), 0, index)
        open_before = index - count(before_it)
        text = f"It waits for the child before it, {before} ({state.status}): {ended} of {progress.size} have ended."
        return _pending(job_id, text, Wait.PREDECESSOR, [state], open_before)
    return None


def _capacity(world: World, spec: JobSpec, job_id: str, key: int, index: int | None, status: Status) -> Explanation:
    stuck = unschedulable.find_unschedulable(world, spec)
    asked = asked_by(spec)
    environments = fleet.environments_of(world, spec.queue)
    usable = [i for e in environments for i in fleet.instances_of(world, e)]
    instances = list({i.instance_id: i for i in usable}.values())
    free = tuple(world.instances.available[i.instance_id].free for i in instances)
    holders = _holders(world, {i.instance_id for i in instances})
    place = share_position.share_position(world, spec, key, _own_before(world, spec, key, index))
    ahead, elsewhere = _ahead(world, spec, key, index, place)
    shared = None if place is None else _by_share(world, spec, environments, place)
    reasons = unschedulable.environment_waits(world, spec)
    lacking = consumable_gate.why_lacking(world, spec.consumables) if spec.consumables else ""
    if stuck is not None:
        wait, text = stuck.wait, stuck.text
    elif world.is_draining:
        wait, text = Wait.ENDING_SERVICE, "The service was told to end its jobs, and starts no more."
    elif not scheduler.placeable_in(world, world.queues[spec.queue]):
        wait, text = Wait.CONCURRENCY_LIMIT, _limit_text(world, spec.queue)
    elif lacking:
        wait, text = Wait.CONSUMABLE_RESOURCE, lacking
    elif shared is not None:
        wait, text = shared
    elif ahead or (elsewhere and any(asked.fits(f) for f in free)) or unschedulable.held_by(world, spec):
        wait, text = Wait.BEHIND, _behind(world, spec, ahead, elsewhere) + _coming(world, environments)
    else:
        wait, text = unschedulable.head_wait(reasons)
    return Explanation(
        job_id,
        status,
        text,
        wait,
        stuck.remedy if stuck is not None else wait_reasons.remedy(wait),
        status_reason=stuck.status_reason if stuck is not None else _head_reason(world, spec.queue, key, index),
        asked=asked,
        largest=largest(size for e in environments if fleet.is_usable(e) for size in fleet.sizes_of(world, e)),
        free=free,
        holders=tuple(holders[:MAX_LISTED]),
        holders_count=len(holders),
        share=place,
        ahead=ahead,
        ahead_elsewhere=elsewhere,
        environments=reasons,
    )


def _behind(world: World, spec: JobSpec, ahead: int, elsewhere: int) -> str:
    """Explains which jobs are before it, and the first of them."""
    above = unschedulable.held_by(world, spec)
    if not ahead and above:
        return f"It would fit, and may not pass those before it: {above}"
    verb = "is" if ahead == 1 else "are"
    text = f"{counted(ahead, 'job')} {verb} before it in the queue {spec.queue}"
    if elsewhere:
        text += f", and {elsewhere} in queues of higher priority"
    head = world.queues.heads.get(spec.queue)
    if head is None or head.key not in world.jobs:
        return f"{text}."
    own = world.jobs.id_of(head.key)
    return f"{text}. The first that waits for room is {own if head.index is None else names.child_id(own, head.index)}."


def _coming(world: World, environments: list[Environment]) -> str:
    """Returns the instances that its queue's environments are launching."""
    ids = [i for e in environments for i in world.instances.launched_in.get(e.name, ())]
    sizes = [
        world.instances[i].resources.milli_vcpus for i in ids if world.instances[i].state is InstanceState.LAUNCHING
    ]
    verb = "is" if len(sizes) == 1 else "are"
    return f" {counted(len(sizes), 'instance')} with {vcpus(sum(sizes))} {verb} being launched." if sizes else ""


def _head_reason(world: World, queue: str, key: int, index: int | None) -> str:
    """Returns the statusReason of a job that blocks its queue."""
    head = world.queues.heads.get(queue)
    return head.reason if head is not None and (head.key, head.index) == (key, index) else ""


def _limit_text(world: World, queue: str) -> str:
    limit = world.queues[queue].tags[scheduler.CONCURRENCY_LIMIT_TAG]
    placed = world.queues.placed.get(queue, 0)
    tag = scheduler.CONCURRENCY_LIMIT_TAG
    verb = "runs" if placed == 1 else "run"
    return f"{counted(placed, 'job')} of the queue {queue} {verb}, and its tag {tag} allows {limit} at once."


def _holders(world: World, instance_ids: set[str]) -> list[Holder]:
    held = [
        Holder(world.jobs.id_of(key), sum_of(world.held_by(key, instance_id) for instance_id in instance_ids))
        for key in sorted({key for instance_id in instance_ids for key in world.instances.placed_on(instance_id)})
    ]
    return sorted(held, key=lambda h: h.resources, reverse=True)


def _by_share(
    world: World, spec: JobSpec, environments: list[Environment], place: share_position.SharePosition
) -> tuple[Wait, str] | None:
    """Explains why a fair-share queue starts other jobs first; None when it does not."""
    standing = place.standing
    if place.ahead_of_others or place.ahead_in_share:
        text = (
            f"Its share {standing.identifier} has used {seconds_of(standing.usage)} vCPU seconds at weight "
            f"{weight_factor(standing.weight)} and holds {format_vcpus(place.held)} vCPUs: it is number {place.number} "
            f"of the {place.shares} shares that wait in the queue {spec.queue}. {place.ahead_of_others} jobs of other "
            f"shares and {place.ahead_in_share} of its own are before it."
        )
        return Wait.SHARE if place.ahead_of_others else Wait.BEHIND, text
    reserved = share_position.reservation(world, spec.queue, environments)
    if reserved is None or reserved.has_room(milli_vcpus_of(spec)):
        return None
    text = (
        f"It is next, and the jobs of the queue {spec.queue} hold {format_vcpus(reserved.held)} vCPUs: "
        f"{format_vcpus(max(0, reserved.at_most))} are the most while {format_vcpus(reserved.back)} are kept for "
        f"shares that are not active yet."
    )
    return Wait.RESERVED, text


def _own_before(world: World, spec: JobSpec, key: int, index: int | None) -> int:
    """Returns the children of its own array that go before it."""
    if index is None or spec.sequential:
        return 0
    return sum(min(stop, index) - start for start, stop in world.jobs.arrays[key].ready() if start < index)


def _ahead(
    world: World, spec: JobSpec, key: int, index: int | None, place: share_position.SharePosition | None
) -> tuple[int, int]:
    """Returns the jobs before it: in its own queue, and in queues of higher priority that share an environment with
    it."""
    if place is not None:
        before = place.ahead_of_others + place.ahead_in_share
    else:
        earlier = world.queues.runnable_in(spec.queue).before(key)
        before = sum(len_of(world, other) for other in earlier) + _own_before(world, spec, key, index)
    mine = {e.name for e in fleet.environments_of(world, spec.queue)}
    elsewhere = 0
    for queue in world.queues.values():
        shares = any(e.name in mine for e in fleet.environments_of(world, queue.name))
        if shares and queue.name != spec.queue and queue.priority > world.queues[spec.queue].priority:
            elsewhere += sum(len_of(world, other) for other in world.queues.runnable_in(queue.name).waiting_keys())
    return before, elsewhere
