"""Capacity for all nodes of a multi-node job at once (AWS Batch behaviour 8.3).

A job of several nodes that finds no room is the head of its queue, and holds nothing while it waits: instances are
launched for it only when all that it lacks can be launched now. So two such jobs never wait for each other, each with
half of what both need."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from batchyard.core.capacity import allocation
from batchyard.core.capacity.allocation import Need, NoLaunch, NoLaunchReason
from batchyard.core.model.records import Environment, JobSpec, node_resources
from batchyard.core.model.resources import Resources, format_vcpus, sum_of
from batchyard.core.model.text import counted
from batchyard.core.scheduling import fleet, wait_reasons
from batchyard.core.state.placement import NONE_AHEAD, Ahead, Claim, Offer, largest_first, pack
from batchyard.core.state.runnable import Shape
from batchyard.core.state.world import World

MAX_NODES_NAMED = 5  # ranges of nodes without room that one sentence names


def _rooms_in(world: World, environment: Environment, ahead: Ahead = NONE_AHEAD) -> dict[str, Resources]:
    """Returns what is free on each instance that an environment's jobs may use now, and `ahead` does not wait for."""
    rooms: dict[str, Resources] = {}
    for one in fleet.instances_of(world, environment):
        claim = ahead.claim_on(one.instance_id, environment.name, one.resources)
        rooms[one.instance_id] = _left_by(claim, world.instances.available[one.instance_id].free)
    return rooms


def _left_by(claim: Claim | None, free: Resources) -> Resources:
    """Returns what the heads of queues of higher priority leave of what is free on an instance."""
    if claim is None:
        return free
    return Resources() if claim.is_kept else Resources().most(free.minus(claim.asked))


def needs_of(vectors: Sequence[Resources]) -> tuple[Need, ...]:
    """Returns what nodes ask for as a demand, the largest first."""
    needs: list[Need] = []
    for node in largest_first(vectors):
        if needs and needs[-1].resources == vectors[node]:
            needs[-1] = Need(vectors[node], needs[-1].count + 1)
        else:
            needs.append(Need(vectors[node]))
    return tuple(needs)


def gather(
    world: World,
    pending: fleet.PendingCapacity,
    environment: Environment,
    shape: Shape,
    ahead: Ahead,
    kept: Resources,
) -> bool:
    """Launches the instances that a job of several nodes lacks in an environment beside what is free there and what
    is being launched; none where not all of them can be launched now. Returns whether it will have room for all its
    nodes there. `ahead`: what heads of queues of higher priority wait for: those instances would not become idle
    while this one counts on them; `kept`: what a launch has to leave of the host."""
    rooms = _rooms_in(world, environment, ahead)
    _, without = pack(shape.node_resources, rooms)
    left = [shape.node_resources[node] for node in without]
    unclaimed = pending.unclaimed(world, environment.name)
    coming = {i: _left_by(ahead.instances.get(i), room) for i, room in unclaimed.items()}
    claimed, without = pack(left, coming)
    left = [left[node] for node in without]
    if left:
        refusal = fleet.why_paused(world, environment, left[0]) or _launch_for(world, pending, environment, left, kept)
        if refusal is not None:
            pending.refusals[environment.name] = refusal
            return False
    for instance_id, taken in claimed.items():
        pending.claim(world, instance_id, taken)
    world.environments.gathering.add(environment.name)
    return True


def _launch_for(
    world: World,
    pending: fleet.PendingCapacity,
    environment: Environment,
    vectors: Sequence[Resources],
    kept: Resources,
) -> NoLaunch | None:
    """Launches what these nodes need, all of it or nothing. Returns why nothing."""
    given = fleet.allocation_input(world, environment, needs_of(vectors), kept)
    choices, end = allocation.plan(given)
    if end.why is not NoLaunchReason.NO_DEMAND:
        return end
    world.environments.paused.pop(environment.name, None)
    launched = [fleet.launch(world, environment, choice) for choice in choices]
    claimed, _ = pack(vectors, {i.instance_id: i.resources for i in launched})
    for instance in launched:
        if instance.instance_id in claimed:
            pending.claim(world, instance.instance_id, claimed[instance.instance_id])
    return None


def why_not_launched(world: World, environment: Environment, spec: JobSpec) -> NoLaunch | None:
    """Returns why an environment can't launch now what a job of several nodes lacks there; None: it can, or nothing is
    lacking. Changes nothing."""
    vectors = node_resources(spec)
    rooms = _rooms_in(world, environment)
    _, without = pack(vectors, rooms)
    needs = needs_of([vectors[node] for node in without])
    if not needs:
        return None
    paused = fleet.why_paused(world, environment, needs[0].resources)
    _, end = allocation.plan(fleet.allocation_input(world, environment, needs))
    return paused or (None if end.why is NoLaunchReason.NO_DEMAND else end)


def never_gathers(world: World, environment: Environment, vectors: tuple[Resources, ...]) -> NoLaunch | None:
    """Returns why a MANAGED environment could never have room for all nodes at once; None when it could. Cached like
    fleet.never_holds."""
    place = environment.name, vectors
    if place not in world.environments.refused:
        world.environments.refused[place] = _never_gathers(world, environment, vectors)
    return world.environments.refused[place]


def _never_gathers(world: World, environment: Environment, vectors: tuple[Resources, ...]) -> NoLaunch | None:
    for asked in dict.fromkeys(vectors):
        refusal = fleet.never_holds(world, environment, asked)
        if refusal is not None:
            return refusal
    if not environment.kind.has_instances:
        return fleet.never_holds(world, environment, sum_of(vectors))
    given = fleet.allocation_input(world, environment, needs_of(vectors))
    _, end = allocation.plan(replace(given, free=given.host, milli_vcpus=0))
    if end.why is NoLaunchReason.NO_DEMAND:
        return None
    is_over = end.why is NoLaunchReason.AT_MAX
    most = f"maxvCpus of {environment.name} is {format_vcpus(given.max_milli_vcpus)}"
    if not is_over:
        most = f"this host offers {allocation.describe(given.host)}, in instances of the allowed types too little"
    total = sum_of(vectors)
    text = f"Its {counted(len(vectors), 'node')} ask {allocation.describe(total)} together: {most}."
    return replace(end, why=NoLaunchReason.OVER_MAX if is_over else NoLaunchReason.HOST_TOO_SMALL, text=text)


def claims_of(world: World, shape: Shape, offers: Sequence[Offer], gathers_in: str) -> dict[str, Resources]:
    """Returns what a job of several nodes, the head of its queue, claims of each instance: as if it were placed once
    nothing else is on them. In the environment `gathers_in`, where what it lacks is being launched; else in the first
    that could hold all of it; else as much of it as there is room for."""
    best: tuple[int, dict[str, Resources]] | None = None
    for offer in [one for one in offers if one.environment == gathers_in] or offers:
        rooms = {i: world.instances.available[i].total for i in offer.every()}
        taken, without = pack(shape.node_resources, rooms)
        if best is None or len(without) < best[0]:
            best = len(without), taken
        if not without:
            break
    return {} if best is None else best[1]


def why_no_room(world: World, environment: Environment, spec: JobSpec) -> str:
    """Returns which nodes find no room in an environment now beside the others, with the numbers; empty: all do."""
    vectors = node_resources(spec)
    rooms = _rooms_in(world, environment)
    taken, without = pack(vectors, rooms)
    if not without:
        return ""
    left = [room.minus(taken[name]) if name in taken else room for name, room in rooms.items()]
    asked = vectors[without[0]]
    lacks = wait_reasons.lacking(asked, left) if left else f"{allocation.describe(asked)} asked"
    verb = "finds" if len(without) == 1 else "find"
    beside = " beside the others" if len(without) < len(vectors) else ""
    return f"It needs room for all {len(vectors)} nodes at once, and {_named(without)} {verb} none{beside}: {lacks}."


def _named(nodes: Sequence[int]) -> str:
    """Names nodes: `node 3`, `nodes 1-3, 7`."""
    ranges: list[list[int]] = []
    for node in nodes:
        if ranges and ranges[-1][1] == node - 1:
            ranges[-1][1] = node
        else:
            ranges.append([node, node])
    texts = [f"{first}" if first == last else f"{first}-{last}" for first, last in ranges]
    more = f" and {len(texts) - MAX_NODES_NAMED} more ranges" if len(texts) > MAX_NODES_NAMED else ""
    return f"node{'' if len(nodes) == 1 else 's'} {', '.join(texts[:MAX_NODES_NAMED])}{more}"
