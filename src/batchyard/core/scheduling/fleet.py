"""MANAGED compute environments: what they may launch, when they grow and shrink (AWS Batch behaviour 3.4, 3.6, 4.3).

An instance reserves its share of this host's one ledger while it lives. Which type to launch is allocation.py's
decision; this module calls it for waiting jobs and carries the choices out; scaling.py terminates idle instances."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.capacity import allocation, environment_rules
from batchyard.core.capacity.allocation import AllocationInput, InstanceLaunch, Need, NoLaunch, NoLaunchReason
from batchyard.core.capacity.catalogue import InstanceType, registered
from batchyard.core.model import names
from batchyard.core.model.compute_resources import MILLISECONDS_PER_MINUTE, EnvironmentKind, may_overshoot
from batchyard.core.model.effects import LaunchInstance
from batchyard.core.model.records import Environment, Health, Instance, InstanceState, Market, State
from batchyard.core.model.resources import MILLI_PER_VCPU, Resources
from batchyard.core.state.environment_instances import COMING
from batchyard.core.state.placement import Available
from batchyard.core.state.world import World

UNLIMITED = 1 << 62  # of memory and GPUs in the budget of an environment: maxvCpus limits vCPUs only
ENVIRONMENT_HEALTHY = "ComputeEnvironment Healthy"
UPDATE_MINUTES = 30  # jobExecutionTimeoutMinutes' default (API: UpdatePolicy)
ONE_VCPU = Resources(MILLI_PER_VCPU)  # what minvCpus and desiredvCpus are asked for in


def is_usable(environment: Environment) -> bool:
    return environment.state is State.ENABLED and environment.status is Health.VALID


def environments_of(world: World, queue: str) -> list[Environment]:
    record = world.queues.get(queue)
    if record is None:
        return []
    return [world.environments[o.environment] for o in record.environments if o.environment in world.environments]


def instances_of(world: World, environment: Environment) -> tuple[Instance, ...]:
    """Returns the instances that can take jobs of an environment: its own that are ready; without instances of its
    own, the machine of its provider, from its one ledger."""
    if environment.kind.has_instances:
        return tuple(world.instances[i] for i in world.instances.of(environment.name).ready())
    provider = world.instances.provider_of(environment)
    return (provider.machine,) if provider is not None else ()


def hosts_of(world: World, environment: Environment) -> tuple[Instance, ...]:
    """Returns the hosts that have joined an environment, connected or not, and are to stay."""
    found = (world.instances[i] for i in world.instances.of(environment.name).ids)
    return tuple(instance for instance in found if instance.state is not InstanceState.TERMINATING)


def total_of(world: World, environment: Environment) -> Resources:
    """Returns the total of its provider; nothing while that is unknown."""
    provider = world.instances.provider_of(environment)
    return provider.total if provider is not None else Resources()


def sizes_of(world: World, environment: Environment) -> list[Resources]:
    """Returns the most that a job could have in an environment: of each instance type that this host could give; of
    this host; on Fargate no more of its vCPUs than maxvCpus."""
    host = total_of(world, environment)
    if environment.kind is EnvironmentKind.REGISTERED:
        return list(dict.fromkeys(instance.resources for instance in hosts_of(world, environment)))
    if environment.kind.has_instances:
        kinds = (registered(kind) for entry in entries_of(world, environment) for kind in entry)
        return [kind for kind in kinds if kind.fits(host)]
    if environment.kind.is_budgeted:
        most = min(host.milli_vcpus, environment.compute_resources.max_vcpus * MILLI_PER_VCPU)
        return [Resources(most, host.memory_mib, host.gpus)]
    return [host]


# -- what an environment may have --


def entries_of(world: World, environment: Environment) -> tuple[tuple[InstanceType, ...], ...]:
    """Returns the instance types it may launch, by entry of its list; cached until the list changes."""
    listed = environment.compute_resources.instance_types
    known = world.environments.entries.get(environment.name)
    if known is None or known[0] != listed:
        known = world.environments.entries[environment.name] = (
            listed,
            environment_rules.allowed_entries(environment, world.catalogue),
        )
    return known[1]


def milli_vcpus_of(world: World, environment: str) -> int:
    """Returns the milli-vCPUs of its instances, including those being launched."""
    return world.instances.of(environment).milli_vcpus


def allocation_input(
    world: World,
    environment: Environment,
    needs: Sequence[Need],
    kept: Resources = Resources(),  # noqa: B008  (frozen)
) -> AllocationInput:
    """Returns the input of a choice. `kept`: what is free of this host, but reserved for others."""
    provider = world.instances.provider_of(environment)
    free = provider.ledger.free if provider is not None else Resources()
    free = Resources().most(free.minus(kept)) if kept != Resources() else free
    resources = environment.compute_resources
    return AllocationInput(
        entries=entries_of(world, environment),
        strategy=resources.strategy,
        needs=tuple(needs),
        free=free,
        host=total_of(world, environment),
        milli_vcpus=milli_vcpus_of(world, environment.name),
        max_milli_vcpus=resources.max_vcpus * MILLI_PER_VCPU,
        prices=world.prices,
        is_spot=environment.kind.is_spot,
        bid_percentage=resources.bid_percentage,
    )


def never_holds(world: World, environment: Environment, asked: Resources) -> NoLaunch | None:
    """Returns why nothing that this MANAGED environment may have could ever hold a job; None when something could.
    Cached, since every submission calls this."""
    place = environment.name, asked
    if place not in world.environments.refused:
        world.environments.refused[place] = _never_holds(world, environment, asked)
    return world.environments.refused[place]


def _never_holds(world: World, environment: Environment, asked: Resources) -> NoLaunch | None:
    if environment.kind.has_instances:
        found = allocation.possible(allocation_input(world, environment, ()), asked)
        return found if isinstance(found, NoLaunch) else None
    max_vcpus = environment.compute_resources.max_vcpus
    most = Resources(max_vcpus * MILLI_PER_VCPU)
    if asked.milli_vcpus > most.milli_vcpus:
        wants = f"{allocation.describe(asked)} asked, maxvCpus of {environment.name} is {max_vcpus}."
        return NoLaunch(NoLaunchReason.OVER_MAX, wants, asked, most)
    host = total_of(world, environment)
    if not asked.fits(host):
        wants = f"{allocation.describe(asked)} asked, this host offers {allocation.describe(host)}."
        return NoLaunch(NoLaunchReason.HOST_TOO_SMALL, wants, asked, host)
    return None


def set_budget(world: World, environment: Environment) -> None:
    """Computes what maxvCpus leaves of an environment whose jobs reserve their own share of the host."""
    if not environment.kind.is_budgeted:
        world.environments.budgets.pop(environment.name, None)
        return
    most = environment.compute_resources.max_vcpus * MILLI_PER_VCPU
    world.environments.budgets[environment.name] = budget = Available(Resources(most, UNLIMITED, UNLIMITED), [])
    for instance_id, keys in world.instances.placed.items():
        for key in keys:
            attempt = world.jobs[key].attempt
            if attempt is not None and attempt.environment == environment.name:
                budget.free = budget.free.minus(Resources(world.held_by(key, instance_id).milli_vcpus))


# -- growing --


class PendingCapacity(Struct):
    """What one pass expects of instances being launched: a job that waits for one of them needs no further one.
    EnvironmentInstances.unclaimed has what is left of each."""

    refusals: dict[str, NoLaunch] = {}  # by environment: why it launched nothing more, in this pass
    claimed: set[str] = set()  # instances of which something is claimed

    def unclaimed(self, world: World, environment: str) -> dict[str, Resources]:
        """Returns what is not claimed yet of an environment's instances, as they were launched."""
        rooms = world.instances.of(environment).unclaimed
        return {name: room for name in rooms if (room := rooms.room(name)) is not None}

    def claim(self, world: World, instance_id: str, asked: Resources) -> None:
        """Claims room on an instance that is being launched."""
        rooms = world.instances.of(world.instances[instance_id].environment).unclaimed
        room = rooms.room(instance_id)
        assert room is not None, f"{instance_id} is not being launched"
        rooms.set(instance_id, room.minus(asked))
        self.claimed.add(instance_id)

    def forget_claims(self, world: World) -> None:
        """Ends the pass: the next one claims anew."""
        for instance_id in self.claimed:
            instance = world.instances[instance_id]
            world.instances.of(instance.environment).unclaimed.set(instance_id, instance.resources)
        self.claimed.clear()


def claim_pending(
    world: World,
    pending: PendingCapacity,
    environment: Environment,
    asked: Resources,
    count: Callable[[], int],
    kept: Resources = Resources(),  # noqa: B008  (frozen)
) -> bool:
    """Claims room for a job on an instance of this environment that is being launched, or launches one now; returns
    whether it could. `count`: returns how many jobs of its shape wait, this one included; called only for a launch,
    since it iterates over all of them. `kept`: what a launch has to leave of this host."""
    rooms = world.instances.of(environment.name).unclaimed
    at = rooms.first(asked)
    if at is not None:
        pending.claim(world, rooms.names[at], asked)
        return True
    if environment.name in pending.refusals and pending.refusals[environment.name].need == asked:
        return False
    choice = grow(world, environment, Need(asked, count()), kept)
    if isinstance(choice, NoLaunch):
        pending.refusals[environment.name] = choice
        return False
    pending.claim(world, choice.instance_id, asked)
    return True


def grow(
    world: World,
    environment: Environment,
    need: Need,
    kept: Resources = Resources(),  # noqa: B008  (frozen)
) -> Instance | NoLaunch:
    """Launches one instance for waiting jobs, or returns why not."""
    choice = next_launch(world, environment, need, kept)
    if isinstance(choice, NoLaunch):
        return choice
    world.environments.paused.pop(environment.name, None)
    return launch(world, environment, choice)


def next_launch(
    world: World,
    environment: Environment,
    need: Need,
    kept: Resources = Resources(),  # noqa: B008  (frozen)
) -> InstanceLaunch | NoLaunch:
    """Returns what `grow` would launch. Changes nothing."""
    paused = why_paused(world, environment, need.resources)
    if paused is not None:
        return paused
    choice = allocation.choose_launch(allocation_input(world, environment, (need,), kept))
    if kept != Resources() and isinstance(choice, NoLaunch) and choice.why is NoLaunchReason.EXHAUSTED:
        what = allocation.describe(kept)
        return replace(choice, text=f"{choice.text} ({what} are kept for a job of a queue of higher priority.)")
    return choice


def why_paused(world: World, environment: Environment, asked: Resources) -> NoLaunch | None:
    """Returns why an environment launches nothing for now, since its last launch was refused; None: it may."""
    paused = world.environments.paused.get(environment.name)
    if paused is None or world.now_ms >= paused[0]:
        return None
    return NoLaunch(NoLaunchReason.EXHAUSTED, f"The last launch was refused: {paused[1]}", asked)


def launch(world: World, environment: Environment, choice: InstanceLaunch) -> Instance:
    environment = replace(
        world.environments[environment.name],
        launches=world.environments[environment.name].launches + 1,
        paused_until_ms=0,
        pause_reason="",
    )
    size = registered(choice.instance_type)
    before, most = milli_vcpus_of(world, environment.name), environment.compute_resources.max_vcpus * MILLI_PER_VCPU
    is_strict = not may_overshoot(environment.compute_resources.strategy, is_spot=environment.kind.is_spot)
    assert before < most, f"{environment.name} has {before} milli-vCPUs of {most}, and launches {choice}"
    assert not is_strict or before + size.milli_vcpus <= most, f"{environment.name} passes {most} by {choice}"
    provider = world.instances.provider_of(environment)
    assert provider is not None, "an instance is launched without a provider"
    instance = Instance(
        instance_id=names.instance_id(environment.uuid, environment.launches),
        resources=size,
        gpu_ids=tuple(provider.ledger.gpu_ids[: size.gpus]),
        environment=environment.name,
        number=environment.launches,
        instance_type=choice.instance_type.name,
        market=Market.SPOT if environment.kind.is_spot else Market.ON_DEMAND,
        state=InstanceState.LAUNCHING,
        launched_at_ms=world.now_ms,
        provider=environment.provider,
    )
    world.environments[environment.name] = world.changes.environments[environment.name] = environment
    world.add_instance(instance)
    world.put_instance(instance)
    world.effects.append(LaunchInstance(instance))
    return instance


# -- what is kept --


def wanted_milli_vcpus(environment: Environment) -> int:
    """Returns what is kept without any demand: minvCpus, also when DISABLED (AWS Batch behaviour 3.2); and
    desiredvCpus, until they exist (scaling._keep_wanted)."""
    asked = environment.compute_resources.desired_vcpus if environment.state is State.ENABLED else 0
    return max(environment.compute_resources.min_vcpus, asked) * MILLI_PER_VCPU


def coming(world: World, environment: str) -> int:
    return world.instances.of(environment).coming_milli_vcpus


def scale_down_ms(world: World, environment: Environment) -> int:
    """Returns how long an instance stays without work, from the end of its last job."""
    return environment.compute_resources.scale_down_ms or int(world.limits.scale_down_seconds * 1000)


def idle_in(world: World, environment: str) -> list[tuple[int, str]]:
    """Returns (since when, instance) of its READY instances without work, the longest first."""
    found = world.instances.launched_in.get(environment, ())
    ready = [i for i in found if world.instances[i].state is InstanceState.READY and i in world.instances.idle_since]
    return sorted((world.instances.idle_since[i], i) for i in ready)


def replace_instances(world: World, environment: Environment) -> None:
    """Replaces instances after an infrastructure update: existing ones take no more jobs, and end when they are
    empty, or when the update policy's time is over (AWS Batch behaviour 3.7)."""
    policy = environment.document.get("updatePolicy") or {}
    minutes = policy.get("jobExecutionTimeoutMinutes") or UPDATE_MINUTES
    for instance_id in world.instances.launched_in.get(environment.name, ()):
        instance = world.instances[instance_id]
        if instance.state in COMING:
            ends_at_ms = (
                world.now_ms
                if policy.get("terminateJobsOnUpdate")
                else world.now_ms + minutes * MILLISECONDS_PER_MINUTE
            )
            world.put_instance(replace(instance, state=InstanceState.DRAINING, ends_at_ms=ends_at_ms))
            world.instances.mark_busy(instance_id)


def health_of(world: World, environment: Environment) -> str:
    """Returns the health and its statusReason: whether this host could give any of its instance types."""
    provider = world.instances.provider_of(environment)
    if not environment.kind.launches_instances or provider is None:
        return ENVIRONMENT_HEALTHY
    kinds = [kind for entry in entries_of(world, environment) for kind in entry]
    host = provider.total
    if not kinds or any(registered(kind).fits(host) for kind in kinds):
        return ENVIRONMENT_HEALTHY
    smallest = min(kinds, key=lambda kind: (kind.milli_vcpus, kind.memory_mib, kind.name))
    return (
        f"{ENVIRONMENT_HEALTHY} - This host offers {allocation.describe(host)}, too little for any of its instance "
        f"types: the smallest, {smallest.name}, takes {allocation.describe(registered(smallest))}. Allow other types, "
        "or start the service with more declared (--vcpus, --memory, --gpus)."
    )
