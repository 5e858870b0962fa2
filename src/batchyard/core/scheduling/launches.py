"""The launches of placed attempts, and what engines are asked about them after a restart."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from batchyard.core.model import names
from batchyard.core.model.attempt_node import AttemptNode, task_id_of
from batchyard.core.model.effects import LaunchTask, RecoverTask
from batchyard.core.model.gang import Gang
from batchyard.core.model.node_addresses import LOOPBACK_POOL, NETWORK_POOL, address_of, block_of, choose
from batchyard.core.model.records import (
    Abilities,
    Attempt,
    Job,
    JobSpec,
    NodeRun,
    Status,
    group_of,
    logs_of,
    node_resources,
)
from batchyard.core.model.resources import MILLI_PER_VCPU
from batchyard.core.model.trace_context import attempt_trace_parent
from batchyard.core.state.node_views import node_spec
from batchyard.core.state.world import World

MAX_GROUPS = 8  # of nodes with tasks of their own: node ranges are at most 5


def launch_of(world: World, job: Job, node: int = 0) -> LaunchTask:
    """Returns the launch of a node of a placed attempt."""
    (launch,) = launches_of(world, job, [node])
    return launch


def launches_of(world: World, job: Job, nodes: Sequence[int]) -> list[LaunchTask]:
    """Returns the launches of nodes of a placed attempt. What all nodes know of each other is made once."""
    spec = world.jobs.spec_of(job.key)
    gang = _gang_of(spec, job.attempt) if spec.num_nodes and job.attempt is not None else None
    return [_launch_of(world, job, node, gang) for node in nodes]


def _launch_of(world: World, job: Job, node: int, gang: Gang | None) -> LaunchTask:
    attempt = job.attempt
    assert attempt is not None, f"job {job.key} has no attempt to launch"
    spec, job_id = world.jobs.spec_of(job.key), world.jobs.id_of(job.key)
    attempt_id = names.task_id(job.key, attempt.number, job_id)
    spec_key = spec.key
    if spec.num_nodes:
        spec_key = _group_key(spec, node)
        job_id, spec = names.node_id(job_id, node), node_spec(spec, node)
    placement = attempt.placements[node]
    attempt_node = AttemptNode(attempt_id, node, placement.instance_id)
    task_id = task_id_of(attempt_id, node)
    return LaunchTask(
        engine=attempt.engine,
        attempt_node=attempt_node,
        spec_key=spec_key,
        task=spec.task,
        environment=tuple(_environment(world, spec, job, job_id, node, gang)),
        device_ids=placement.device_ids,
        job_id=job_id,
        log_group=spec.log_group,
        log_stream=names.log_stream(spec.log_prefix, task_id, logs_of(spec)[0].container),
        gang=gang,
        trace_parent=attempt_trace_parent(spec.job_id, spec.trace_parent, attempt_id),
    )


def gang_attempt(world: World, spec: JobSpec, attempt: Attempt) -> Attempt:
    """Returns a new attempt of a multi-node job with its nodes, the main one launched, and with their addresses."""
    abilities = world.abilities.get(attempt.engine, Abilities())
    pool = NETWORK_POOL if abilities.networks else LOOPBACK_POOL
    others = [
        block_of(job.attempt.first_address, len(job.attempt.nodes))
        for key in sorted({key for keys in world.instances.placed.values() for key in keys})
        if (job := world.jobs[key]).attempt is not None and job.attempt.nodes
    ]
    attempt_id = names.task_id(spec.key, attempt.number, spec.job_id)
    first_address = choose(pool, spec.num_nodes, attempt_id, others)
    nodes = [NodeRun() for _ in range(spec.num_nodes)]
    nodes[spec.main_node] = NodeRun(launched_at_ms=world.now_ms)
    return replace(attempt, main_node=spec.main_node, nodes=tuple(nodes), first_address=first_address)


def _environment(
    world: World, spec: JobSpec, job: Job, job_id: str, node: int, gang: Gang | None
) -> list[tuple[str, str]]:
    """Returns the variables of AWS (AWS Batch behaviour 7.3)."""
    attempt = job.attempt
    assert attempt is not None, f"job {job.key} has no attempt to launch"
    environment = [
        ("AWS_BATCH_JOB_ID", job_id),
        ("AWS_BATCH_JOB_ATTEMPT", str(attempt.number)),
        ("AWS_BATCH_JQ_NAME", spec.queue),
        ("AWS_BATCH_CE_NAME", attempt.environment),
    ]
    index = world.jobs.index_of(job.key)
    if index is not None:
        environment.append(("AWS_BATCH_JOB_ARRAY_INDEX", str(index)))
        environment.append(("AWS_BATCH_JOB_ARRAY_SIZE", str(spec.array_size)))
    if spec.pod:
        environment.append(("AWS_BATCH_JOB_KUBERNETES_NODE_UID", names.node_uid(attempt.placements[node].instance_id)))
    if gang is not None:
        environment.append(("AWS_BATCH_JOB_NUM_NODES", str(spec.num_nodes)))
        environment.append(("AWS_BATCH_JOB_NODE_INDEX", str(node)))
        environment.append(("AWS_BATCH_JOB_MAIN_NODE_INDEX", str(spec.main_node)))
        if node != spec.main_node:
            main_address = gang.addresses[spec.main_node]
            environment.append(("AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS", main_address))
    return environment


def _gang_of(spec: JobSpec, attempt: Attempt) -> Gang:
    return Gang(
        spec.main_node,
        tuple(address_of(attempt.first_address, node) for node in range(spec.num_nodes)),
        tuple(max(1, asked.milli_vcpus // MILLI_PER_VCPU) for asked in node_resources(spec)),
    )


def _group_key(spec: JobSpec, node: int) -> int:
    """Returns the spec key of a node's task: no job has a negative one, and each group of nodes its own."""
    number = spec.node_groups.index(group_of(spec, node))
    assert number < MAX_GROUPS, f"job {spec.job_id} has more groups of nodes than {MAX_GROUPS}"
    return -(spec.key * MAX_GROUPS + number)


def recoveries_of(world: World, job: Job) -> list[RecoverTask]:
    """Returns what to ask the engine about the nodes of an attempt that was placed when the server last stopped. Of a
    multi-node job: about those that were launched and have not ended."""
    attempt = job.attempt
    assert attempt is not None, f"job {job.key} has no attempt to recover"
    recoveries: list[RecoverTask] = []
    nodes = [node for node, run in enumerate(attempt.nodes) if run.is_live] if attempt.nodes else [0]
    for launch in launches_of(world, job, nodes):
        has_started = job.status is Status.RUNNING
        if attempt.nodes:
            has_started = bool(attempt.nodes[launch.attempt_node.node].started_at_ms)
        recoveries.append(
            RecoverTask(
                engine=launch.engine,
                attempt_node=launch.attempt_node,
                launch=launch,
                may_launch=not has_started and not attempt.stopping,
                known_started=has_started,
            )
        )
    return recoveries
