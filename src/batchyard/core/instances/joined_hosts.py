"""Hosts that join an UNMANAGED environment, as instances register with the cluster of one on AWS (AWS Batch behaviour
3.3). A host reports what it has; it takes jobs while it is connected. What becomes of attempts on a host that is not
heard of any more, its engine reports: Lost, once its lease is over."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.instances import instance_lifecycle
from batchyard.core.model import names
from batchyard.core.model.host_commands import (
    AskHosts,
    ConnectHost,
    CreateJoinToken,
    DrainHost,
    ForgetHost,
    HostView,
    JoinHost,
)
from batchyard.core.model.host_records import HostFacts, JoinedHost, JoinToken
from batchyard.core.model.records import JOINED_PROVIDER, Environment, Health, Instance, InstanceState
from batchyard.core.model.refusal import Refused
from batchyard.core.scheduling import scheduler
from batchyard.core.state.document_kinds import JOIN_TOKEN, JOINED_HOST
from batchyard.core.state.world import World

MAX_TOKENS = 1000  # unused ones: each is a record in memory


# -- tokens --


def create_token(world: World, command: CreateJoinToken) -> JoinToken:
    _forget_expired(world)
    _environment(world, command.environment)
    if len(world.hosts.tokens) >= MAX_TOKENS:
        raise Refused(f"There are {MAX_TOKENS} unused tokens already: use them, or wait until they expire.")
    token = JoinToken(command.token_id, command.environment, command.digest, world.now_ms + command.valid_ms)
    world.hosts.tokens[token.token_id] = world.changes.documents[JOIN_TOKEN, token.token_id] = token
    return token


def _environment(world: World, name: str) -> Environment:
    environment = world.environments.get(name)
    if environment is None:
        raise Refused(f"ComputeEnvironment {name} does not exist.")
    if environment.provider != JOINED_PROVIDER:
        raise Refused(
            f"Hosts cannot join {name}: create an UNMANAGED compute environment with the tag batchyard:engine=remote "
            "for them (batchyard hosts token makes one whose name does not exist yet)."
        )
    if environment.status is Health.DELETING:
        raise Refused(f"ComputeEnvironment {name} is being deleted.")
    return environment


def _forget_expired(world: World) -> None:
    for token in list(world.hosts.tokens.values()):
        if token.expires_at_ms <= world.now_ms:
            _forget_token(world, token)


def _forget_token(world: World, token: JoinToken) -> None:
    del world.hosts.tokens[token.token_id]
    world.changes.documents[JOIN_TOKEN, token.token_id] = None


# -- hosts --


def join(world: World, command: JoinHost) -> Instance:
    known = next((one for one in world.hosts.values() if one.key_digest == command.key_digest), None)
    if known is not None:
        return connect(world, ConnectHost(known.instance_id, command.key_digest, command.facts))
    _forget_expired(world)
    token = world.hosts.tokens.get(command.token_id)
    if token is None or token.digest != command.digest:
        raise Refused(
            "This token is not known here: it was used, it has expired, or it is of another server. "
            "`batchyard hosts token` makes a new one."
        )
    environment = _environment(world, token.environment)
    _check_facts(command.facts)
    _forget_token(world, token)
    environment = replace(environment, launches=environment.launches + 1)
    world.put_environment(environment)
    instance = Instance(
        instance_id=names.instance_id(environment.uuid, environment.launches),
        resources=command.facts.resources,
        gpu_ids=command.facts.gpu_ids,
        environment=environment.name,
        number=environment.launches,
        state=InstanceState.AWAY,
        launched_at_ms=world.now_ms,
        provider=JOINED_PROVIDER,
    )
    world.add_instance(instance)
    world.put_instance(instance)
    host = JoinedHost(instance.instance_id, environment.name, command.key_digest, command.facts, world.now_ms)
    _put(world, replace(host, connected_at_ms=world.now_ms))
    scheduler.reassess(world)
    return instance


def connect(world: World, command: ConnectHost) -> Instance:
    """Checks the host's key, and takes over what it says of itself. Its size changes only while it is empty."""
    host = world.hosts.get(command.instance_id)
    if host is None or host.key_digest != command.key_digest:
        raise Refused(
            f"No host {command.instance_id} with this key has joined here, or it was let go. To join anew, remove its "
            "state directory and use a new token."
        )
    _check_facts(command.facts)
    instance = world.instances[host.instance_id]
    facts = command.facts
    if (instance.resources, instance.gpu_ids) != (facts.resources, facts.gpu_ids):
        if world.instances.placed_on(host.instance_id):
            raise Refused(
                f"The host {host.instance_id} joins with {_amounts(facts)} now, and had other amounts when its jobs "
                "were placed. Start it as before until they have ended."
            )
        world.remove_instance(host.instance_id)
        instance = replace(instance, resources=facts.resources, gpu_ids=facts.gpu_ids, state=InstanceState.AWAY)
        world.add_instance(instance)
        world.put_instance(instance)
    _put(world, replace(host, facts=facts, connected_at_ms=world.now_ms))
    scheduler.reassess(world)
    return instance


def _amounts(facts: HostFacts) -> str:
    resources = facts.resources
    return f"{resources.milli_vcpus / 1000:g} vCPUs, {resources.memory_mib} MiB and {resources.gpus} GPUs"


def _check_facts(facts: HostFacts) -> None:
    resources = facts.resources
    if resources.milli_vcpus <= 0 or resources.memory_mib <= 0 or resources.gpus != len(set(facts.gpu_ids)):
        raise Refused(f"A host with {_amounts(facts)} cannot join: it needs at least a vCPU and 1 MiB.")


def _put(world: World, host: JoinedHost) -> None:
    world.hosts[host.instance_id] = world.changes.documents[JOINED_HOST, host.instance_id] = host


def find(world: World, host: str) -> JoinedHost:
    """Returns a host by its instance id or its name. Raises Refused."""
    if host in world.hosts:
        return world.hosts[host]
    found = [one for one in world.hosts.values() if one.facts.name == host]
    if not found:
        raise Refused(f"No host {host} has joined. `batchyard hosts list` lists those that have.")
    if len(found) > 1:
        ids = ", ".join(sorted(one.instance_id for one in found))
        raise Refused(f"Several hosts are named {host}: {ids}. Give the id of one.")
    return found[0]


def drain(world: World, command: DrainHost) -> Instance:
    host = find(world, command.host)
    instance = world.instances[host.instance_id]
    if command.undo and host.is_leaving:
        raise Refused(f"The host {host.instance_id} leaves already. To have it again, let it join anew.")
    _put(world, replace(host, is_draining=not command.undo))
    if command.undo and instance.state is InstanceState.DRAINING:
        if host.instance_id in world.hosts.connected:
            instance_lifecycle.resume(world, instance)
        else:
            world.put_instance(replace(instance, state=InstanceState.AWAY, ends_at_ms=0))
    elif not command.undo and instance.state in (InstanceState.READY, InstanceState.AWAY):
        world.put_instance(replace(instance, state=InstanceState.DRAINING))
        world.instances.mark_busy(instance.instance_id)
    scheduler.reassess(world)
    return world.instances[host.instance_id]


def forget(world: World, command: ForgetHost) -> Instance:
    """Stops what runs on a host, and lets it go when that has ended: where it is not connected, when its lease is
    over."""
    host = find(world, command.host)
    _put(world, replace(host, is_draining=True, is_leaving=True))
    instance_lifecycle.drain_and_stop(world, world.instances[host.instance_id], world.limits.stop_grace_seconds)
    scheduler.reassess(world)
    return world.instances[host.instance_id]


def let_go(world: World, environment: str) -> None:
    """Terminates the hosts that leave, and all of an environment that is being deleted, once nothing runs on them."""
    is_deleted = world.environments[environment].status is Health.DELETING
    for instance_id in list(world.instances.of(environment).ids):
        host, instance = world.hosts.get(instance_id), world.instances[instance_id]
        leaves = is_deleted or host is None or host.is_leaving
        if leaves and not world.instances.placed_on(instance_id):
            instance_lifecycle.terminate(world, instance)


def listed(world: World, command: AskHosts) -> tuple[HostView, ...]:
    hosts = sorted(world.hosts.values(), key=lambda one: (one.environment, one.facts.name, one.instance_id))
    return tuple(
        HostView(
            one,
            world.instances[one.instance_id],
            world.instances.available[one.instance_id].free,
            len(world.instances.placed_on(one.instance_id)),
        )
        for one in hosts
    )
