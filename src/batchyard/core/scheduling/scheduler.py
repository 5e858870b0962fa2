"""The scheduling pass: puts jobs into their queues, places those that can start, and records what that changes.

placement.py decides where a job starts, wait_reasons.py which jobs no environment can ever run; this applies both."""

from __future__ import annotations

from functools import partial

from msgspec import Struct, field
from msgspec.structs import replace

from batchyard.core.capacity.allocation import NoLaunch, NoLaunchReason
from batchyard.core.model import lifecycle, names
from batchyard.core.model.compute_resources import EnvironmentKind
from batchyard.core.model.lifecycle import Cause
from batchyard.core.model.reasons import Reason, ReasonCode
from batchyard.core.model.records import Attempt, Environment, JobSpec, Queue, Status
from batchyard.core.scheduling import candidates, fleet, gang_capacity, queue_head, share_position, unschedulable
from batchyard.core.scheduling.candidates import Candidate, len_of
from batchyard.core.scheduling.claims import kept_of_provider, longest_ms, waits_for
from batchyard.core.scheduling.consumable_gate import ConsumableGate, startable
from batchyard.core.scheduling.failed_shapes import FailedShapes
from batchyard.core.scheduling.launches import gang_attempt, launch_of
from batchyard.core.state import placement
from batchyard.core.state.placement import NONE_AHEAD, Ahead, Assignment, Offer
from batchyard.core.state.runnable import FRESH, RETRIED, Shape, ShapeQueue, shape_of
from batchyard.core.state.world import World

STRICT_FIFO_TAG = "batchyard:strict-fifo"  # of a queue: "true" lets no job pass another
CONCURRENCY_LIMIT_TAG = "batchyard:concurrency-limit"  # of a queue: how many of its jobs run at once
NO_LIMIT = 1 << 62
MAX_SHAPES_PASSED = 200  # shapes that could not start, after which a pass stops looking further back in a queue


def enqueue(world: World, key: int) -> None:
    """Puts a job that became RUNNABLE (or an array whose children did) into its queue, or sets it aside with the reason
    why nothing there can ever run it."""
    spec = world.jobs.spec_of(key)
    before = world.queues.stuck.get(spec.queue, {}).pop(key, None)
    stuck = unschedulable.find_unschedulable(world, spec) if _knows_capacity(world, spec.queue) else None
    if stuck is None:
        _line_up(world, spec, key)
        _explain(world, key, queue_head.reason_of(world, spec.queue, key), 0, None)
        return
    reason = stuck.reason
    is_same = before is not None and before.code in (reason.code, None)
    since_ms = world.queues.stuck_since.get(key, 0) if is_same else 0
    _set_aside(world, spec, key, reason, since_ms or world.now_ms)
    _explain(world, key, reason.text, world.queues.stuck_since[key], reason.code)
    queue_head.emit_misfit(world, spec.queue, key, reason)


def _knows_capacity(world: World, queue: str) -> bool:
    """After a start providers come to be known one after the other; until then no verdict can be given."""
    return bool(world.instances.providers) and all(
        e.provider in world.instances.providers for e in fleet.environments_of(world, queue)
    )


def resume(world: World, key: int) -> None:
    """Restores a waiting job after a restart as it waited before; `reassess` checks it once the capacity is known."""
    spec, progress, job = world.jobs.spec_of(key), world.jobs.arrays.get(key), world.jobs[key]
    since_ms = progress.set_aside_at_ms if progress is not None else job.set_aside_at_ms
    if since_ms:
        text = progress.waiting_reason if progress is not None else job.status_reason
        code = progress.set_aside_code if progress is not None else job.set_aside_code
        _set_aside(world, spec, key, Reason(code, text), since_ms)
    else:
        _line_up(world, spec, key)


def _line_up(world: World, spec: JobSpec, key: int) -> None:
    world.queues.stuck_since.pop(key, None)
    rank = RETRIED if key not in world.jobs.arrays and world.jobs[key].past else FRESH
    runnable = world.queues.runnable_in(spec.queue)
    runnable.push(key, shape_of(spec), rank, spec.share_identifier, spec.scheduling_priority)


def _set_aside(world: World, spec: JobSpec, key: int, reason: Reason, since_ms: int) -> None:
    world.queues.stuck.setdefault(spec.queue, {})[key] = reason
    world.queues.stuck_since[key] = since_ms
    world.queues.runnable_in(spec.queue).discard(key)


def dequeue(world: World, key: int) -> None:
    queue = world.jobs.spec_of(key).queue
    world.queues.stuck.get(queue, {}).pop(key, None)
    world.queues.stuck_since.pop(key, None)
    world.queues.runnable_in(queue).discard(key)


def reassess(world: World) -> None:
    """Checks again every job that waits for capacity, after environments, queues or hosts changed."""
    for queue in sorted({*world.queues.runnable, *world.queues.stuck}):
        keys = [*world.queues.runnable_in(queue).waiting_keys(), *world.queues.stuck.get(queue, {})]
        for key in sorted(keys):
            enqueue(world, key)


def _explain(world: World, key: int, reason: str, since_ms: int, code: ReasonCode | None) -> None:
    """Sets the statusReason of a RUNNABLE job: why it can never run, and since when; or what its queue's head waits
    for."""
    progress = world.jobs.arrays.get(key)
    if progress is not None:
        if (progress.waiting_reason, progress.set_aside_at_ms, progress.set_aside_code) != (reason, since_ms, code):
            progress.waiting_reason, progress.set_aside_at_ms, progress.set_aside_code = reason, since_ms, code
            world.jobs.touch(key)
        return
    job = world.jobs[key]
    if (job.status_reason, job.set_aside_at_ms, job.set_aside_code) != (reason, since_ms, code):
        world.put(replace(job, status_reason=reason, set_aside_at_ms=since_ms, set_aside_code=code))


def offers_of(world: World, queue: str) -> list[Offer]:
    return [
        _offer_of(world, e)
        for e in fleet.environments_of(world, queue)
        if fleet.is_usable(e) and world.can_use(e.engine) and e.provider in world.instances.providers
    ]


def _offer_of(world: World, environment: Environment) -> Offer:
    if environment.kind.has_instances:
        return Offer(environment.name, environment.engine, instances=world.instances.of(environment.name))
    own = tuple(instance.instance_id for instance in fleet.instances_of(world, environment))
    return Offer(environment.name, environment.engine, own, world.environments.budgets.get(environment.name))


def run_pass(world: World) -> int | None:
    """Starts whatever fits now, queues in the order of their priority, and launches instances for waiting jobs. Jobs
    pass the heads of queues of higher priority as they pass their own; queues of one priority reserve nothing of
    each other. Returns when the next pass is due if nothing happens; None: at no time."""
    if world.is_draining or not world.instances.providers:
        queue_head.keep(world)  # jobs are set aside and reported also while nothing starts
        return None
    pending, gate = fleet.PendingCapacity(), ConsumableGate()
    ahead, priority = NONE_AHEAD, None
    blocked: list[Visit] = []  # those not in `ahead` yet
    world.queues.ahead.clear()
    world.environments.gathering.clear()
    for name in sorted(world.queues.heads.keys() - world.queues.waiting):
        queue_head.clear(world, name)
    for queue in world.queues.in_turn():
        if queue.priority != priority:
            gate.lower_priority()
            priority = queue.priority
        if blocked and blocked[-1].queue.priority > queue.priority:
            for visit in blocked:
                ahead = ahead.plus(_own(world, visit))
            blocked.clear()
        world.queues.ahead[queue.name] = ahead
        visit = Visit(queue, offers_of(world, queue.name), pending, placeable_in(world, queue), ahead, gate)
        _visit(world, visit)
        if visit.head is not None:
            blocked.append(visit)
    pending.forget_claims(world)
    world.has_passed = True
    queue_head.keep(world)
    return queue_head.due(world)


class Visit(Struct):
    """One visit of a queue in a pass. `placeable`: how many more of its jobs may be placed; `ahead`: what the jobs wait
    for that its jobs would pass; `head`: its first job that found no place, and `own` what that one waits for,
    computed when first needed; `claimed`: by share and shape, how many jobs wait for instances being launched, and
    need no further ones; `gate`: what the pass knows of consumable resources; `failed`: shapes that found no place."""

    queue: Queue
    offers: list[Offer]
    pending: fleet.PendingCapacity
    placeable: int
    ahead: Ahead
    gate: ConsumableGate
    head: Shape | None = None
    refusal: NoLaunch | None = None  # of the head: why nothing was launched for it
    gathers_in: str = ""  # of the head, a multi-node job: the environment where what it lacks is being launched
    own: Ahead | None = None
    claimed: dict[tuple[str, Shape], int] = {}
    failed: FailedShapes = field(default_factory=FailedShapes)

    @property
    def is_strict(self) -> bool:
        return self.queue.tags.get(STRICT_FIFO_TAG) == "true"


def _own(world: World, visit: Visit) -> Ahead:
    """Returns what the head of a visited queue waits for; computed only when another job could pass it."""
    assert visit.head is not None, f"the queue {visit.queue.name} has no head"
    if visit.own is None:
        lacks_host = visit.refusal is not None
        visit.own = waits_for(
            world,
            visit.head,
            visit.offers,
            is_strict=visit.is_strict,
            lacks_host=lacks_host,
            gathers_in=visit.gathers_in,
        )
    return visit.own


def placeable_in(world: World, queue: Queue) -> int:
    """Returns how many more jobs of a queue may be placed under the limit of its tag; NO_LIMIT without one."""
    limit = queue.tags.get(CONCURRENCY_LIMIT_TAG, "")
    if not (limit.isascii() and limit.isdigit()):
        return NO_LIMIT
    return max(0, int(limit) - world.queues.placed.get(queue.name, 0))


def _visit(world: World, visit: Visit) -> None:
    """Starts the jobs of a queue in their order. The first that finds no room is the head: others pass it only where
    it loses nothing by it (placement.find_placement). What is reserved for other shares holds up all of them."""
    queue = visit.queue
    jobs = candidates.in_turn(world, queue.name)
    reserved = share_position.reservation(world, queue.name, fleet.environments_of(world, queue.name))
    head: Candidate | None = None
    passed, gated, awaited = 0, 0, set[str]()
    while visit.placeable and (job := jobs.next()) is not None:
        shape = job.shape_queue.shape
        milli_vcpus = shape.resources.milli_vcpus
        if reserved is not None and not reserved.has_room(milli_vcpus):
            break
        if shape.consumables and not visit.gate.lets_pass(world, shape, awaited):
            gated += 1
            if visit.is_strict or passed + gated >= MAX_SHAPES_PASSED:
                break
            jobs.skip_shape()
            continue
        if passed == 1 and visit.own is None:
            visit.ahead = visit.ahead.plus(_own(world, visit))
        if not (passed and visit.failed.implies(shape)) and _find_place(world, visit, job):
            jobs.placed(milli_vcpus)
            if reserved is not None:
                reserved.held += milli_vcpus
            continue
        visit.failed.add(shape)
        jobs.skip_shape()
        passed += 1
        if head is None:
            head = job
            visit.head, visit.refusal = shape, _refusal(visit, shape)
        if visit.is_strict or passed + gated >= MAX_SHAPES_PASSED:
            break
    if head is None:
        queue_head.clear(world, queue.name)
    else:
        queue_head.set_head(world, queue.name, head.key, head.index, visit.refusal)


def _refusal(visit: Visit, shape: Shape) -> NoLaunch | None:
    """Returns why the first environment that could have launched for a job lacked the capacity; None when none did."""
    names_ = [o.environment for o in visit.offers if o.engine in shape.engines]
    found = [visit.pending.refusals[name] for name in names_ if name in visit.pending.refusals]
    mine = (refusal for refusal in found if refusal.need in shape.node_resources)
    return next((refusal for refusal in mine if refusal.why is NoLaunchReason.EXHAUSTED), None)


def _find_place(world: World, visit: Visit, job: Candidate) -> bool:
    """Places a job now, or claims room for it on an instance being launched. Returns whether either worked. Tries the
    environments in their order: each one's free room first, then what it can still launch."""
    shape = job.shape_queue.shape
    ends_at_ms = world.now_ms + longest_ms(world, shape.timeout_seconds) if shape.timeout_seconds else 0
    for offer in visit.offers:
        if shape.nodes and world.environments[offer.environment].kind is EnvironmentKind.REGISTERED:
            continue  # hosts have no network between nodes yet (wait_reasons.why_unfit)
        assignment = placement.find_placement(shape, offer, world.instances.available, visit.ahead, ends_at_ms)
        if assignment is not None:
            _apply(world, job.key, job.index, assignment)
            visit.placeable -= 1
            return True
        environment = world.environments[offer.environment]
        if visit.head is None and offer.engine in shape.engines and _may_launch(world, environment, visit.ahead):
            if shape.nodes:
                kept = kept_of_provider(world, environment, visit.ahead)
                if gang_capacity.gather(world, visit.pending, environment, shape, visit.ahead, kept):
                    visit.gathers_in = environment.name
                    break
                continue
            claimed = visit.claimed.get((job.shape_queue.share, shape), 0)
            waiting_count = partial(_waiting_in, world, job.shape_queue, claimed, visit.gate)
            kept = kept_of_provider(world, environment, visit.ahead)
            if fleet.claim_pending(world, visit.pending, environment, shape.resources, waiting_count, kept):
                visit.claimed[job.shape_queue.share, shape] = claimed + 1
                visit.gate.promise(shape)
                return True
    return False


def _may_launch(world: World, environment: Environment, ahead: Ahead) -> bool:
    return environment.kind.launches_instances and environment.name not in ahead.environments


def _waiting_in(world: World, shape_queue: ShapeQueue, claimed: int, gate: ConsumableGate) -> int:
    """Returns how many jobs of a shape wait for more capacity: an array's children one by one, less those with a claim
    on pending capacity, and as far as consumable resources let them start."""
    waiting = sum(len_of(world, key) for key in shape_queue.entries) - claimed
    if shape_queue.shape.consumables:
        return min(waiting, startable(world, shape_queue.shape, gate.promised))
    return waiting


def _apply(world: World, key: int, index: int | None, assignment: Assignment) -> None:
    spec = world.jobs.spec_of(key)
    if index is None:
        dequeue(world, key)
        job = world.jobs[key]
    else:
        progress = world.jobs.arrays[key]
        job = lifecycle.child_row(names.child_key(key, index), Status.RUNNABLE, world.jobs[key].created_at_ms)
        world.add_child_row(key, index, job)
        if spec.sequential or len(progress.unstarted) == len(progress.held):
            dequeue(world, key)
    attempt = Attempt(
        number=len(job.past) + 1,
        environment=assignment.environment,
        engine=assignment.engine,
        placements=assignment.placements,
        placed_at_ms=world.now_ms,
    )
    if spec.num_nodes:
        attempt = gang_attempt(world, spec, attempt)
    placed = world.move(job, Cause.PLACED, attempt=attempt, status_reason="", set_aside_at_ms=0, set_aside_code=None)
    world.effects.append(launch_of(world, placed, spec.main_node))
