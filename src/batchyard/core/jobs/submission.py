"""SubmitJob: checks against the state, in AWS's order (AWS Batch behaviour 7.2)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.jobs import completion
from batchyard.core.model import lifecycle, names
from batchyard.core.model.commands import CheckStage, SubmitJob, SubmittedJob
from batchyard.core.model.compute_resources import Platform
from batchyard.core.model.consumable_records import ConsumableRequirement
from batchyard.core.model.idempotency import Remembered, split_stored_key, stored_key
from batchyard.core.model.ranges import RangeSet, subtract, union
from batchyard.core.model.records import (
    AFTER_ANY_TAG,
    Abilities,
    Definition,
    Dependency,
    Health,
    JobSpec,
    NodeGroup,
    Queue,
    Ranges,
    State,
    Status,
    TaskSpec,
)
from batchyard.core.model.refusal import Refused
from batchyard.core.model.service_records import takes_service_jobs
from batchyard.core.scheduling import fleet, policies
from batchyard.core.state.built_definitions import BuiltDefinition
from batchyard.core.state.document_kinds import CONSUMABLE_RESOURCE
from batchyard.core.state.fairshare import MAX_ACTIVE_SHARES
from batchyard.core.state.node_views import node_spec
from batchyard.core.state.world import World
from batchyard.core.tasks import ecs_task, node_tasks, requirements, retry, task_spec
from batchyard.core.tasks.node_tasks import RangeBody

DEFAULT_PLATFORM = Platform.EC2  # API: RegisterJobDefinitionRequest.platformCapabilities
MAX_TASK_TAGS = 50  # user guide, using-tags: more make the job FAILED
OTHER_REQUEST = (
    "The invocation id of this request (amz-sdk-invocation-id) was used for another request within the last hour: "
    "give each new request a new one, and repeat it only with the same body."
)
NO_PRIORITY = "Either schedulingPriority in job definition or schedulingPriorityOverride should be specified."


class _Waits(Struct):
    """The current dependencies: the unfinished keys, whether one failed already; for N_TO_N the arrays followed, and
    the children whose counterpart is unfinished or failed."""

    keys: list[int]
    failed: bool = False
    sources: list[int] = []
    held: Ranges = ()
    failed_counterparts: Ranges = ()


def submit(world: World, command: SubmitJob) -> SubmittedJob:
    """Makes one job, or repeats the answer of an identical earlier submission. A refusal changes nothing."""
    known = world.idempotency.get(command.idempotency_key) if command.idempotency_key else None
    if known is not None:
        if known.request_digest != command.request_digest and known.request_digest and command.request_digest:
            raise Refused(OTHER_REQUEST)
        return SubmittedJob(known.job_id, command.name)
    queue = _queue(world, command.queue)
    definition = _definition(world, command)
    _check_platform(world, queue, definition)
    _raise_deferred(command, CheckStage.SIZE)
    if command.array_size > world.limits.max_array_size:
        raise Refused(
            f"Array size must be between 2 and {world.limits.max_array_size}, got {command.array_size}. "
            "The limit is the setting max_array_size."
        )
    _check_built(command, definition)
    waits = _dependencies(world, command)
    built = world.built.get(definition, command.working_directory) if _is_plain(command) else None
    if built is None:
        bodies = _bodies(command, definition)
        parameters = {**definition.document.get("parameters", {}), **command.parameters}
        for each in bodies:
            each.body.substitute(parameters)  # this is its turn among the checks
        _raise_deferred(command, CheckStage.OVERRIDES)
        _hold_overrides(command, definition, bodies[0].body)
        share = _share(world, command, queue, definition)
        _raise_deferred(command, CheckStage.RULES)
        groups = [_group(world, command, definition, each, parameters) for each in bodies]
        if _is_plain(command):
            world.built.keep(command.working_directory, BuiltDefinition(definition, parameters, groups))
    else:  # none of these checks refuses what it let pass before
        parameters, groups, share = built.parameters, built.groups, _share(world, command, queue, definition)
    engines = _engines(world, queue, [group.task for group in groups], command.images)
    spec = _spec(world, command, definition, groups, parameters, engines, share)
    if "nodeProperties" in definition.document:
        spec = _with_nodes(spec, groups, _node_properties(command, definition))
    _accept(world, spec, waits)
    if command.idempotency_key:
        remember(world, spec)
    return SubmittedJob(spec.job_id, spec.name)


def _is_plain(command: SubmitJob) -> bool:
    """Whether a job runs what its definition says, and all jobs of the definition run the same."""
    return not (
        command.overrides
        or command.task_override
        or command.pod_override
        or command.node_overrides
        or command.parameters
        or command.tags
        or command.deferred
    )


def _node_properties(command: SubmitJob, definition: Definition) -> dict[str, Any]:
    return node_tasks.merge_nodes(definition.document["nodeProperties"], command.node_overrides)


def _bodies(command: SubmitJob, definition: Definition) -> list[RangeBody]:
    """Returns what the nodes run, by range; of a plain job the only one."""
    if "nodeProperties" in definition.document:
        return node_tasks.bodies_of(_node_properties(command, definition))
    body = ecs_task.merge(definition.document, command.overrides, command.task_override, command.pod_override)
    return [RangeBody(((0, 1),), body, definition.document)]


def _group(
    world: World, command: SubmitJob, definition: Definition, each: RangeBody, parameters: dict[str, str]
) -> NodeGroup:
    """Builds the task of the nodes of one range, or of a plain job."""
    body, unbuilt = each.body, each.body.unbuilt()
    if unbuilt:
        raise Refused(f"Job definition {command.definition} asks for {unbuilt}, which this service can't do yet.")
    task = body.build(
        parameters,
        command.working_directory,
        fractions=_platform_of(definition) is Platform.FARGATE,
        file_systems=world.limits.file_systems,
        is_node="nodeProperties" in definition.document,
    )
    network = body.network(command.tags, definition.tags)
    if network:
        task = replace(task, network=network)
    log = task_spec.log_location(body.containers[0], definition.name)
    logs = body.container_logs(definition.name)
    return NodeGroup(each.nodes, task, body.container, log.group, log.prefix, body.task, logs, body.pod)


def _with_nodes(spec: JobSpec, groups: list[NodeGroup], properties: dict[str, Any]) -> JobSpec:
    """Returns the submission of a multi-node job: as a whole it is like its main node. `properties`: merged."""
    count, main_node = properties["numNodes"], properties["mainNode"]
    spec = replace(spec, num_nodes=count, main_node=main_node, node_groups=tuple(groups), node_properties=properties)
    consumables = _consumables_of_nodes(spec, node_tasks.bodies_of(properties))
    return replace(node_spec(spec, main_node), consumables=consumables)


def _consumables_of_nodes(spec: JobSpec, bodies: list[RangeBody]) -> tuple[ConsumableRequirement, ...]:
    """Returns what all nodes take together: those of each range what its properties say, each of them."""
    total = {one.name: one.quantity for one in spec.consumables}
    for each in bodies:
        count = sum(stop - start for start, stop in each.nodes)
        for one in _requirements(each.document.get("consumableResourceProperties") or {}):
            total[one.name] = total.get(one.name, 0) + one.quantity * count
    return tuple(ConsumableRequirement(name, quantity) for name, quantity in total.items())


def remember(world: World, spec: JobSpec) -> None:
    key, digest = split_stored_key(spec.idempotency_key)
    world.idempotency[key] = Remembered(spec.job_id, digest)
    world.idempotency_order.append((world.now_ms + world.limits.idempotency_kept_ms, key))


def _queue(world: World, name: str) -> Queue:
    queue = world.queues.get(name)
    if queue is None:
        raise Refused(f"JobQueue {name} not found.", is_bare=True)
    if takes_service_jobs(queue.document):
        raise Refused(
            f"JobQueue {name} is of type SAGEMAKER_TRAINING, which takes only service jobs: use SubmitServiceJob, or "
            "another job queue."
        )
    if queue.state is not State.ENABLED:
        raise Refused(f"JobQueue {name} is {queue.state.value}; it must be ENABLED to take jobs.")
    if queue.status is Health.CREATING:
        raise Refused(f"JobQueue {name} is not VALID: it is {queue.status.value}. Wait until it is before submitting.")
    return queue


def _definition(world: World, command: SubmitJob) -> Definition:
    found = active_definition(world, command.definition, command.revision)
    if found is not None:
        return found
    name = command.definition if command.revision is None else f"{command.definition}:{command.revision}"
    raise Refused(f"JobDefinition name {name} does not exist or is not in ACTIVE status", is_bare=True)


def active_definition(world: World, name: str, revision: int | None) -> Definition | None:
    """Returns a revision of a job definition that is ACTIVE; `revision` None: the highest."""
    newest = world.revisions.get(name, 0)
    for number in range(newest, 0, -1) if revision is None else (revision,):
        found = world.definitions.get((name, number))
        if found is not None and found.status == "ACTIVE":
            return found
    return None


def _platform_of(definition: Definition) -> Platform:
    capabilities = definition.document.get("platformCapabilities") or (DEFAULT_PLATFORM,)
    return Platform(capabilities[0])


def _hold_overrides(command: SubmitJob, definition: Definition, body: ecs_task.Body) -> None:
    """Checks amounts after overrides by the rules of registration, at which the definition's own were checked."""
    overrides = [each for each in (command.overrides, *command.task_override.get("containers", ())) if each]
    if any(member in each for each in overrides for member in requirements.MEMBERS):
        around = body.task or body.container
        requirements.check_overridden(overrides, body.containers, _platform_of(definition), around)


def _check_built(command: SubmitJob, definition: Definition) -> None:
    """Refuses by name what may be registered but can't be run yet, and what does not go together."""
    nodes = definition.document.get("nodeProperties")
    if nodes and command.array_size:
        raise Refused("arrayProperties can not be used with a multi-node parallel job: its nodes are no array.")
    single = {
        "containerOverrides": command.overrides,
        "ecsPropertiesOverride": command.task_override,
        "eksPropertiesOverride": command.pod_override,
    }
    for member, override in single.items():
        if nodes and override:
            raise Refused(f"{member} can not be used with a multi-node parallel job: use nodeOverrides.")
    if command.node_overrides and not nodes:
        raise Refused(
            f"nodeOverrides needs a job definition with nodeProperties, and {definition.name} has none: use "
            "containerOverrides."
        )
    if command.overrides.get("instanceType") and _platform_of(definition) is Platform.FARGATE:
        raise Refused("instanceType is not applicable for Fargate.")
    if command.unsupported:
        raise Refused(f"This service can't do {', '.join(command.unsupported)} yet; submit the job without it.")
    for dependency in command.depends_on:
        if dependency.type == "N_TO_N":
            if not command.array_size or not dependency.job_id:
                raise Refused(
                    "A dependency of type N_TO_N needs an array job and the jobId of an array of its size.",
                    is_bare=True,
                )
        elif not dependency.job_id and not (dependency.type == "SEQUENTIAL" and command.array_size):
            raise Refused("A dependency without jobId must be of type SEQUENTIAL, on an array job.", is_bare=True)


def _share(world: World, command: SubmitJob, queue: Queue, definition: Definition) -> tuple[str, int]:
    """Returns share identifier and scheduling priority: a FIFO queue accepts neither from the caller, a fair-share
    queue needs both (AWS Batch behaviour 5.1, 5.2)."""
    identifier, priority = command.share_identifier, command.scheduling_priority
    if not policies.name_of(queue):
        if identifier or priority is not None:
            raise Refused(policies.ON_FIFO)
        return "", 0
    if not identifier:
        raise Refused(policies.NO_SHARE)
    if priority is None:
        priority = definition.document.get("schedulingPriority")
    if priority is None:
        raise Refused(NO_PRIORITY)
    _check_number_of_shares(world, queue.name, identifier)
    return identifier, priority


def _check_number_of_shares(world: World, queue: str, identifier: str) -> None:
    fair, ledger = world.queues.fair_share(queue), world.queues.shares.get(queue)
    if fair is None or ledger is None:
        return
    share = ledger.shares.get(identifier)
    if share is not None and share.is_active(world.now_ms, fair.window_ms):
        return
    active = ledger.active(world.now_ms, fair.window_ms)
    if len(active) >= MAX_ACTIVE_SHARES:
        raise Refused(
            f"JobQueue {queue} has {len(active)} active share identifiers, and {MAX_ACTIVE_SHARES} are the most: "
            "use one of those, or wait until one has had no jobs for a while."
        )


def _raise_deferred(command: SubmitJob, stage: CheckStage) -> None:
    for error in command.deferred:
        if error.stage is stage:
            raise Refused(error.message, is_bare=error.is_bare)


def _check_platform(world: World, queue: Queue, definition: Definition) -> None:
    environments = fleet.environments_of(world, queue.name)
    for capability in definition.document.get("platformCapabilities") or (DEFAULT_PLATFORM,):
        if not any(e.kind.platform == capability for e in environments):
            raise Refused(
                f"Job Queue is attached to Compute Environment that can not run Jobs with capability {capability}"
            )


def _engines(world: World, queue: Queue, tasks: list[TaskSpec], images: bool | None) -> tuple[str, ...]:
    """Returns the engines of the queue's environments that can run the tasks, on the platform that they request where
    one has it; none: refused with the first reason."""
    environments = fleet.environments_of(world, queue.name)
    able: list[str] = []
    refusals: list[str] = []
    for engine in dict.fromkeys(e.engine for e in environments):
        abilities = world.abilities.get(engine, Abilities(images=True))
        reasons = (task_spec.cannot_run(task, engine, abilities) for task in tasks)
        reason = task_spec.wrong_kind(engine, abilities, images) or next(filter(None, reasons), "")
        if reason:
            refusals.append(reason)
        else:
            able.append(engine)
    if not able and refusals:
        raise Refused(f"No compute environment of job queue {queue.name} can run this job: {refusals[0]}")
    fitting = [
        e
        for e in able
        if not any(task_spec.wrong_platform(task, world.abilities.get(e, Abilities())) for task in tasks)
    ]
    return tuple(fitting or able)


def _dependencies(world: World, command: SubmitJob) -> _Waits:
    waits = _Waits([])
    after_any = _wants_after_any(command)
    for dependency in command.depends_on:
        if not dependency.job_id:
            continue
        if dependency.type == "N_TO_N":
            _follow_array(world, command, dependency, waits)
            continue
        wanted = names.parse_job_id(dependency.job_id)
        key = world.jobs.by_id.get(wanted.uuid)
        if key is None:
            status = command.finished.get(dependency.job_id)
        else:
            progress = world.jobs.arrays.get(key)
            if wanted.node is not None or (
                wanted.index is not None and (progress is None or wanted.index >= progress.size)
            ):
                raise _unknown(dependency)
            status = world.jobs.status_at(key, wanted.index)
        if key is None and status is None:
            raise _unknown(dependency)
        if status == Status.FAILED:
            waits.failed = waits.failed or not after_any
        elif status != Status.SUCCEEDED:
            assert key is not None, f"the unfinished dependency {dependency.job_id} is not in memory"
            waits.keys.append(key if wanted.index is None else names.child_key(key, wanted.index))
    waits.keys = list(dict.fromkeys(waits.keys))
    return waits


def _wants_after_any(command: SubmitJob) -> bool:
    return command.tags.get(AFTER_ANY_TAG) == "true"


def _follow_array(world: World, command: SubmitJob, dependency: Dependency, waits: _Waits) -> None:
    """Follows an array N_TO_N: child i waits for child i of the named array, which must be of the same size."""
    wanted = names.parse_job_id(dependency.job_id)
    key = world.jobs.by_id.get(wanted.uuid)
    progress = None if key is None else world.jobs.arrays.get(key)
    done = command.finished_arrays.get(dependency.job_id)
    if key is None and done is None and dependency.job_id not in command.finished:
        raise _unknown(dependency)
    size = progress.size if progress is not None else done.size if done is not None else 0
    if wanted.index is not None or size != command.array_size:
        have = "a child" if wanted.index is not None else f"an array of {size}" if size else "no array"
        raise Refused(
            f"A dependency of type N_TO_N needs an array of the same size, {command.array_size}; "
            f"{dependency.job_id} is {have}.",
            is_bare=True,
        )
    if key is not None and progress is not None:
        failed, succeeded = progress.failed.freeze(), progress.succeeded.freeze()
        if key not in world.jobs.finished:
            waits.sources.append(key)
            open_ranges = subtract(subtract(((0, size),), failed), succeeded)
            waits.held = union(waits.held, open_ranges)
    else:
        assert done is not None, f"{dependency.job_id} is neither in memory nor finished"
        failed = done.failed
    waits.failed_counterparts = union(waits.failed_counterparts, failed)


def _unknown(dependency: Dependency) -> Refused:
    return Refused(
        f"The dependency {dependency.job_id} does not exist; dependsOn needs the id of a job of this service.",
        is_bare=True,
    )


def _spec(
    world: World,
    command: SubmitJob,
    definition: Definition,
    groups: list[NodeGroup],
    parameters: dict[str, str],
    engines: tuple[str, ...],
    share: tuple[str, int],
) -> JobSpec:
    document = definition.document
    timeout = command.timeout or document.get("timeout") or {}
    group = groups[0]
    propagate = document.get("propagateTags", False) if command.propagate_tags is None else command.propagate_tags
    return JobSpec(
        key=world.jobs.next_key,
        job_id=command.job_id,
        name=command.name,
        queue=command.queue,
        definition=f"{definition.name}:{definition.revision}",
        task=group.task,
        container=group.container,
        created_at_ms=world.now_ms,
        engines=engines,
        array_size=command.array_size,
        depends_on=command.depends_on,
        after_any=_wants_after_any(command),
        retry=retry.parse_strategy(command.retry_strategy or document.get("retryStrategy")),
        timeout_seconds=timeout.get("attemptDurationSeconds", 0),
        late_refusal=_late_refusal(world, command, definition.tags if propagate else {}),
        parameters=parameters,
        platform_capabilities=tuple(document.get("platformCapabilities", ())),
        propagate_tags=propagate,
        tags=command.tags,
        log_group=group.log_group,
        log_prefix=group.log_prefix,
        ecs_task=group.ecs_task,
        container_logs=group.container_logs,
        pod=group.pod,
        principal=command.principal,
        idempotency_key=stored_key(command.idempotency_key, command.request_digest),
        share_identifier=share[0],
        scheduling_priority=share[1],
        consumables=_consumables(command, document),
        trace_parent=command.trace_parent,
    )


def _consumables(command: SubmitJob, document: dict[str, Any]) -> tuple[ConsumableRequirement, ...]:
    """What a job takes of consumable resources: what the submission says, else the definition. They need not exist
    yet."""
    return _requirements(command.consumables or document.get("consumableResourceProperties") or {})


def _requirements(properties: dict[str, Any]) -> tuple[ConsumableRequirement, ...]:
    return tuple(
        ConsumableRequirement(names.resource_name(entry["consumableResource"], CONSUMABLE_RESOURCE), entry["quantity"])
        for entry in properties.get("consumableResourceList", ())
    )


def _late_refusal(world: World, command: SubmitJob, propagated_tags: dict[str, str]) -> str:
    """Returns the late refusal of what AWS accepts and ECS then refuses: the job fails instead of starting.
    `propagated_tags`: of the definition, where the task gets its tags and the job's (behaviour 1.5)."""
    tags = len(propagated_tags | command.tags) if propagated_tags else 0
    if tags > MAX_TASK_TAGS:
        return (
            f"propagateTags: the job and its definition have {tags} tags together; a task has at most {MAX_TASK_TAGS}"
        )
    limit = world.limits.max_overrides_characters
    overrides = command.overrides or command.task_override or command.node_overrides
    if not overrides or len(msgspec.json.encode(overrides)) <= limit:
        return ""
    return f"Container Overrides length must be at most {limit}"


def _accept(world: World, spec: JobSpec, waits: _Waits) -> None:
    job = lifecycle.submitted(spec.key, world.now_ms)
    world.add(spec, job)
    follow(world, spec.key, waits.sources)
    failed = () if spec.after_any else waits.failed_counterparts
    if spec.array_size:
        world.jobs.arrays[spec.key].held = RangeSet(union(waits.held, failed))
    if waits.keys or waits.failed:
        world.move(job, lifecycle.Cause.WAITS)
        wait_for(world, spec.key, waits.keys)
        if waits.failed:
            completion.fail_dependent(world, spec.key)
    else:
        completion.release(world, spec.key)
    if failed and spec.key in world.jobs:
        completion.fail_counterparts(world, spec.key, failed)


def wait_for(world: World, key: int, keys: list[int]) -> None:
    world.jobs.unmet[key] = len(keys)
    for other in keys:
        world.jobs.dependents.setdefault(other, []).append(key)


def follow(world: World, key: int, sources: list[int]) -> None:
    """Registers array `key` for the end of every child of `sources` (N_TO_N)."""
    if sources:
        world.jobs.sources[key] = tuple(dict.fromkeys(sources))
    for source in dict.fromkeys(sources):
        world.jobs.followers.setdefault(source, []).append(key)
