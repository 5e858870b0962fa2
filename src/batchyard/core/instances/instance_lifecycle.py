"""The life of a managed instance: launched, ready, drained, gone; and the effect on its attempts (AWS Batch
behaviour 3.6, 7.9)."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.jobs import attempts
from batchyard.core.model import reports
from batchyard.core.model.effects import LaunchInstance, TerminateInstance
from batchyard.core.model.reasons import StopCause
from batchyard.core.model.records import JOINED_PROVIDER, EndedInstance, Instance, InstanceState
from batchyard.core.model.refusal import Refused
from batchyard.core.state.document_kinds import ENDED_INSTANCE, JOINED_HOST
from batchyard.core.state.world import World

ENDED_SHOWN_MS = 3600 * 1000  # as EC2 describes terminated instances for about an hour
ENDED_KEPT_MS = 35 * 24 * 3600 * 1000  # a whole month, and a few days to ask for its costs
MAX_ENDED = 20_000  # all are in memory, at about 500 bytes each; the oldest goes first
REFUSAL_PAUSE_MS = 10_000  # after capacity was refused: an immediate retry would be refused again


def report(world: World, provider: str, fact: reports.InstanceReport) -> None:
    """Handles a report about an instance. An unknown instance is terminated."""
    instance = world.instances.get(fact.instance_id)
    if instance is None or not instance.environment:
        if not isinstance(fact, reports.InstanceGone):
            world.effects.append(TerminateInstance(fact.instance_id, provider))
        return
    if isinstance(fact, reports.InstanceReady):
        if instance.state is InstanceState.LAUNCHING:
            world.put_instance(replace(instance, state=InstanceState.READY, ready_at_ms=world.now_ms))
            world.become_idle(instance.instance_id)
        elif instance.provider == JOINED_PROVIDER:
            world.hosts.connected.add(instance.instance_id)
            _connected(world, instance)
    elif isinstance(fact, reports.InstanceAway):
        world.hosts.connected.discard(instance.instance_id)
        if instance.state is InstanceState.READY:
            world.instances.mark_busy(instance.instance_id)
            world.put_instance(replace(instance, state=InstanceState.AWAY))
    elif isinstance(fact, reports.InstanceRefused):
        if instance.state is InstanceState.LAUNCHING:
            _pause(world, instance.environment, world.now_ms + REFUSAL_PAUSE_MS, fact.reason)
            world.remove_instance(instance.instance_id)
    elif isinstance(fact, reports.InstanceInterrupted):
        drain_and_stop(world, instance, fact.notice_seconds)
    else:
        assert isinstance(fact, reports.InstanceGone), f"unknown report {fact!r}"
        if world.instances.placed_on(instance.instance_id):
            drain_and_stop(world, instance, 0.0)  # it is removed when its attempts are accounted for
        else:
            _remember(world, world.instances[instance.instance_id])
            world.remove_instance(instance.instance_id)
            world.hosts.connected.discard(instance.instance_id)
            if world.hosts.pop(instance.instance_id, None) is not None:
                world.changes.documents[JOINED_HOST, instance.instance_id] = None


def _connected(world: World, instance: Instance) -> None:
    """Lets a joined host take jobs that is connected, unless it was drained. A drain that it announced itself ends with
    a new connection."""
    host = world.hosts.get(instance.instance_id)
    is_drained = host is None or host.is_draining
    if instance.state is InstanceState.AWAY or (instance.state is InstanceState.DRAINING and instance.ends_at_ms):
        if is_drained:
            world.put_instance(replace(instance, state=InstanceState.DRAINING, ends_at_ms=0))
        else:
            resume(world, instance)


def resume(world: World, instance: Instance) -> None:
    """Lets a joined host take jobs again."""
    ready_at_ms = instance.ready_at_ms or world.now_ms
    world.put_instance(replace(instance, state=InstanceState.READY, ready_at_ms=ready_at_ms, ends_at_ms=0))
    if not world.instances.placed_on(instance.instance_id):
        world.become_idle(instance.instance_id)


def _pause(world: World, name: str, until_ms: int, reason: str) -> None:
    """Pauses launches of an environment for a while, also after a restart."""
    world.environments.paused[name] = until_ms, reason
    environment = replace(world.environments[name], paused_until_ms=until_ms, pause_reason=reason)
    world.environments[name] = world.changes.environments[name] = environment


def _remember(world: World, instance: Instance) -> None:
    ended = EndedInstance(instance, world.now_ms, world.prices.price_of(instance))
    world.instances.ended[instance.instance_id] = ended
    world.changes.documents[ENDED_INSTANCE, instance.instance_id] = ended


def forget_ended(world: World) -> None:
    """Drops the ended instances that were kept long enough, or are too many."""
    ended = world.instances.ended
    while ended:
        instance_id = next(iter(ended))
        if len(ended) <= MAX_ENDED and world.now_ms < ended[instance_id].ended_at_ms + ENDED_KEPT_MS:
            break  # the others ended later
        del ended[instance_id]
        world.changes.documents[ENDED_INSTANCE, instance_id] = None


def interrupt(world: World, instance_id: str, notice_seconds: float) -> Instance:
    """Interrupts an instance at the owner's request. Returns the instance as it is then."""
    instance = world.instances.get(instance_id)
    if instance is None:
        raise Refused(f"The instance {instance_id} does not exist. `batchyard instances` lists those there are.")
    if not instance.environment:
        raise Refused(f"{instance_id} is this machine itself: only instances of MANAGED environments can go.")
    drain_and_stop(world, instance, notice_seconds)
    return world.instances.get(instance_id, instance)


def drain_and_stop(world: World, instance: Instance, notice_seconds: float) -> None:
    """Drains an instance: from the notice on it takes no more jobs; those on it get SIGTERM, and SIGKILL when the
    notice is over."""
    if instance.state is InstanceState.TERMINATING:
        return
    if instance.state is not InstanceState.DRAINING:
        instance = replace(instance, state=InstanceState.DRAINING, ends_at_ms=world.now_ms + int(notice_seconds * 1000))
        world.put_instance(instance)
        world.instances.mark_busy(instance.instance_id)
    for key in world.instances.placed_on(instance.instance_id):
        attempts.stop(world, world.jobs[key], StopCause.HOST, notice_seconds, instance.instance_id)


def terminate(world: World, instance: Instance) -> None:
    """Terminates an instance on which nothing runs. What it reserves is released when it has ended."""
    assert not world.instances.placed_on(instance.instance_id), f"{instance.instance_id} ends with attempts on it"
    if instance.state is not InstanceState.TERMINATING:
        world.put_instance(replace(instance, state=InstanceState.TERMINATING))
        world.instances.mark_busy(instance.instance_id)
        world.effects.append(TerminateInstance(instance.instance_id, instance.provider))


def recovery(world: World) -> list[LaunchInstance | TerminateInstance]:
    """Returns the effects after a restart: launches and terminations that were under way are repeated."""
    effects: list[LaunchInstance | TerminateInstance] = []
    for instance in world.instances.values():
        if instance.state is InstanceState.TERMINATING:
            effects.append(TerminateInstance(instance.instance_id, instance.provider))
        elif instance.environment:
            effects.append(LaunchInstance(instance))
    return effects
