"""Finds why each environment of a queue does not run a job, ever or now (AWS Batch behaviour 4.3, 4.7). Reads the
world, changes nothing."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.capacity.allocation import Need, NoLaunch, NoLaunchReason
from batchyard.core.model import names
from batchyard.core.model.compute_resources import EnvironmentKind
from batchyard.core.model.records import (
    HOST_PROVIDER,
    Environment,
    Health,
    Instance,
    InstanceState,
    JobSpec,
    asked_by,
    node_resources,
)
from batchyard.core.model.resources import Resources, format_vcpus
from batchyard.core.model.text import counted, vcpus
from batchyard.core.scheduling import fleet, gang_capacity, wait_reasons
from batchyard.core.scheduling.wait_reasons import EnvironmentState, Unschedulable, Wait
from batchyard.core.state.placement import NONE_AHEAD
from batchyard.core.state.world import World
from batchyard.core.tasks import task_spec

MAX_HOSTS_NAMED = 3  # in a reason of one line


class EnvironmentWait(Struct, frozen=True):
    """One environment of the job's queue. `text`: sentences that do not name it again."""

    environment: str
    wait: Wait
    text: str


def environment_state(world: World, environment: Environment, spec: JobSpec) -> EnvironmentState:
    task, refusal = spec.task, None
    if environment.kind.is_managed and spec.num_nodes:
        refusal = gang_capacity.never_gathers(world, environment, node_resources(spec))
    elif environment.kind.is_managed:
        refusal = fleet.never_holds(world, environment, task.resources)
    abilities = world.abilities.get(environment.engine)
    is_managed = environment.kind.is_managed  # what it could ever hold then says the refusal
    return EnvironmentState(
        environment,
        () if is_managed else _places_of(world, environment),
        world.can_use(environment.engine),
        world.away.get(environment.engine, ""),
        "" if abilities is None else task_spec.wrong_platform(task, abilities),
        refusal,
        spec.num_nodes,
    )


def _places_of(world: World, environment: Environment) -> tuple[Instance, ...]:
    is_registered = environment.kind is EnvironmentKind.REGISTERED
    return fleet.hosts_of(world, environment) if is_registered else fleet.instances_of(world, environment)


def find_unschedulable(world: World, spec: JobSpec) -> Unschedulable | None:
    """Returns why no environment of its queue can ever run the job; None when one could."""
    asked = asked_by(spec)
    found = [environment_state(world, one, spec) for one in fleet.environments_of(world, spec.queue)]
    stuck = wait_reasons.why_unschedulable(asked, spec.engines, spec.queue, found)
    if stuck is not None and stuck.wait is Wait.TOO_LARGE and spec.num_nodes:
        return replace(stuck, text=f"{stuck.text} That is for all of its {spec.num_nodes} nodes at once.")
    return stuck


def environment_waits(world: World, spec: JobSpec) -> tuple[EnvironmentWait, ...]:
    """Returns why each environment does not run the job whose turn has come, in the queue's order."""
    return tuple(
        _environment_wait(world, environment, spec) for environment in fleet.environments_of(world, spec.queue)
    )


def head_wait(reasons: tuple[EnvironmentWait, ...]) -> tuple[Wait, str]:
    """Returns the same in one text, for a job that can start later: it waits for what the last environment that could
    run it lacks, since the others have been tried before."""
    coming = [reason for reason in reasons if reason.wait is Wait.LAUNCHING]
    able = coming or [reason for reason in reasons if reason.wait not in wait_reasons.UNSCHEDULABLE]
    assert able, f"no environment could ever run it: {reasons}"
    if coming:
        return Wait.LAUNCHING, coming[0].text
    if all(reason.wait is Wait.SETTLING for reason in able):
        return Wait.SETTLING, f"It is next. {join_texts(reasons)}"
    return able[-1].wait, f"It is next, and waits for room. {join_texts(reasons)}"


def join_texts(reasons: tuple[EnvironmentWait, ...]) -> str:
    if len(reasons) == 1:
        return reasons[0].text
    return " ".join(f"{reason.environment}: {reason.text}" for reason in reasons)


def why_head_waits(world: World, spec: JobSpec) -> str:
    return held_by(world, spec) or head_wait(environment_waits(world, spec))[1]


def held_by(world: World, spec: JobSpec) -> str:
    """Returns which job of a queue of higher priority keeps this one from starting although there is room; else
    empty."""
    mine = {e.name: e for e in fleet.environments_of(world, spec.queue) if e.engine in spec.engines}
    able = {e.name: fleet.instances_of(world, e) for e in mine.values()}
    free = world.instances.available
    roomy = [(name, i) for name, own in able.items() for i in own if asked_by(spec).fits(free[i.instance_id].free)]
    if not roomy:
        return ""
    ahead = world.queues.ahead.get(spec.queue, NONE_AHEAD)
    is_claimed = any(ahead.claim_on(i.instance_id, name, i.resources) is not None for name, i in roomy)
    providers = {e.provider for e in mine.values() if is_claimed}
    on_host = any(not environment.kind.has_instances for environment in mine.values())
    for queue in sorted(world.queues.values(), key=lambda q: (-q.priority, q.name)):
        found = world.queues.heads.get(queue.name)
        if queue.priority <= world.queues[spec.queue].priority or found is None or found.key not in world.jobs:
            continue
        theirs = fleet.environments_of(world, queue.name)
        shares = any(e.name in mine or (on_host and not e.kind.has_instances) for e in theirs)
        if shares or any(e.provider in providers for e in theirs):  # its instances may have to end for the other's
            own = world.jobs.id_of(found.key)
            job_id = own if found.index is None else names.child_id(own, found.index)
            return f"{job_id} waits for room in the queue {queue.name}, which has a higher priority."
    return ""


def _environment_wait(world: World, environment: Environment, spec: JobSpec) -> EnvironmentWait:
    asked, name = asked_by(spec), environment.name
    unfit = wait_reasons.why_unfit(asked, spec.engines, environment_state(world, environment, spec))
    if unfit is not None:
        return EnvironmentWait(name, unfit.wait, unfit.text)
    if environment.status is not Health.VALID:
        return EnvironmentWait(
            name, Wait.SETTLING, f"It is {environment.status}: nothing is placed there until it is VALID."
        )
    if spec.num_nodes:
        return _wait_of_gang(world, environment, spec)
    if environment.kind is EnvironmentKind.REGISTERED:
        return _wait_for_hosts(world, environment, asked)
    if environment.kind.has_instances:
        return _wait_for_instances(world, environment, asked)
    budget = world.environments.budgets.get(name)
    if budget is not None and not asked.fits(budget.free):
        most, left = environment.compute_resources.max_vcpus, format_vcpus(budget.free.milli_vcpus)
        return EnvironmentWait(
            name, Wait.AT_MAX, f"{vcpus(asked.milli_vcpus)} asked, {left} of {most} left (maxvCpus)."
        )
    free = [world.instances.available[i.instance_id].free for i in fleet.instances_of(world, environment)]
    return EnvironmentWait(name, Wait.NO_ROOM, f"{wait_reasons.lacking(asked, free)}. {who_holds(world, environment)}")


def _wait_for_hosts(world: World, environment: Environment, asked: Resources) -> EnvironmentWait:
    name, hosts = environment.name, fleet.hosts_of(world, environment)
    if not hosts:
        text = f"No host has joined it yet: make a token for one (batchyard hosts token --environment {name})."
        return EnvironmentWait(name, Wait.NO_CAPACITY, text)
    ready = fleet.instances_of(world, environment)
    others = [_named(world, one) for one in hosts if one not in ready and asked.fits(one.resources)]
    away = (
        f"{', '.join(others[:MAX_HOSTS_NAMED])} {'takes' if len(others) == 1 else 'take'} none now." if others else ""
    )
    if not ready:
        return EnvironmentWait(name, Wait.NO_CAPACITY, f"None of its hosts takes jobs: {away}")
    free = [world.instances.available[i.instance_id].free for i in ready]
    placed = sum(len(world.instances.placed_on(i.instance_id)) for i in ready)
    lacks = f"{wait_reasons.lacking(asked, free)} on its hosts; {counted(placed, 'job')} on them."
    return EnvironmentWait(name, Wait.NO_ROOM, f"{lacks} {away}".rstrip())


def _named(world: World, instance: Instance) -> str:
    host = world.hosts.get(instance.instance_id)
    name = host.facts.name if host is not None else instance.instance_id
    return f"{name} ({'not connected' if instance.state is InstanceState.AWAY else instance.state.lower()})"


def _wait_for_instances(world: World, environment: Environment, asked: Resources) -> EnvironmentWait:
    name, own = environment.name, world.instances.launched_in.get(environment.name, ())
    for instance_id in own:
        instance = world.instances[instance_id]
        if instance.state is InstanceState.LAUNCHING and asked.fits(instance.resources):
            text = f"{instance_id} ({instance.instance_type}) is being launched in {name} for it."
            return EnvironmentWait(name, Wait.LAUNCHING, text)
    choice = fleet.next_launch(world, environment, Need(asked))
    free = [world.instances.available[i.instance_id].free for i in fleet.instances_of(world, environment)]
    placed = sum(len(world.instances.placed_on(i)) for i in own)
    held = f"{wait_reasons.lacking(asked, free)} on its instances; {counted(placed, 'job')} on them." if free else ""
    if not isinstance(choice, NoLaunch):
        return EnvironmentWait(name, Wait.NO_ROOM, held or f"It can launch a {choice.instance_type.name}.")
    if choice.why is NoLaunchReason.EXHAUSTED:
        return EnvironmentWait(
            name, Wait.NO_CAPACITY, " ".join(filter(None, [choice.text, held, who_holds(world, environment)]))
        )
    return EnvironmentWait(name, Wait.AT_MAX, f"{choice.text} {held}".rstrip())


def _wait_of_gang(world: World, environment: Environment, spec: JobSpec) -> EnvironmentWait:
    """Explains what the nodes of a multi-node job lack in an environment that could run them."""
    name, lacks = environment.name, gang_capacity.why_no_room(world, environment, spec)
    if environment.kind.has_instances:
        own = [world.instances[i] for i in world.instances.launched_in.get(name, ())]
        coming = [i for i in own if i.state is InstanceState.LAUNCHING]
        if name in world.environments.gathering and coming:
            what = f"{counted(len(coming), 'instance')} {'is' if len(coming) == 1 else 'are'} being launched in {name}"
            return EnvironmentWait(name, Wait.LAUNCHING, f"{what} for its {spec.num_nodes} nodes.")
        refusal = gang_capacity.why_not_launched(world, environment, spec)
        if refusal is not None:
            wait = Wait.NO_CAPACITY if refusal.why is NoLaunchReason.EXHAUSTED else Wait.AT_MAX
            return EnvironmentWait(name, wait, _joined(lacks, refusal.text, who_holds(world, environment)))
    text = _joined(lacks or "All of its nodes would fit.", who_holds(world, environment))
    return EnvironmentWait(name, Wait.NO_ROOM, text)


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def who_holds(world: World, environment: Environment) -> str:
    """Returns what the vCPUs of an environment's provider are reserved and used for."""
    provider = world.instances.provider_of(environment)
    parts: list[str] = []
    for name in sorted(world.instances.launched_in):
        instances = [world.instances[i] for i in world.instances.launched_in[name]]
        own = [i.resources.milli_vcpus for i in instances if i.provider == environment.provider]
        if own:
            parts.append(f"{format_vcpus(sum(own))} by {counted(len(own), 'instance')} of {name}")
    placed = world.instances.placed_on(provider.machine.instance_id) if provider is not None else []
    if provider is None or not (parts or placed):
        return ""
    if placed:
        used = sum(world.held_by(key, provider.machine.instance_id).milli_vcpus for key in placed)
        verb = "runs" if len(placed) == 1 else "run"
        parts.append(f"{format_vcpus(used)} by {counted(len(placed), 'job')} that {verb} on it as it is")
    owner = "this host" if provider.name == HOST_PROVIDER else provider.name
    return f"Held of {owner}'s {vcpus(provider.total.milli_vcpus)}: {', '.join(parts)}."
