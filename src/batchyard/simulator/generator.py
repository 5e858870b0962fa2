"""Generates a workload from a seed."""

from __future__ import annotations

import random
from typing import Any

from msgspec.structs import replace

from batchyard.core.model import commands as c
from batchyard.core.questions.capacity import AskCapacity
from batchyard.loop.loop import BATCH_COMMANDS
from batchyard.simulator import fleets
from batchyard.simulator import workload as w
from batchyard.simulator.rng import seeded
from batchyard.simulator.workflow_workload import with_workflows

MAX_OPERATIONS = 24
FLEETS_SHARE = 0.25  # of the operations, where there are MANAGED environments
HAVE_GANGS = 0.45  # share of the seeds with room for multi-node jobs
GANGS_SHARES = (0.05, 0.75)  # of the submissions without an array: in all other seeds, and in those
GANG_VCPUS = (4, 8, 16, 16)
LARGE_EVERY = 25  # one seed in so many submits arrays of hundreds
LARGE_ARRAYS = (120, 300)
SMALL_ARRAYS = (0, 0, 0, 0, 2, 2, 3, 3, 5, 8)
LOSE_GPUS = 0.4  # share of the seeds with GPUs that lose some
GPU_LOSSES_SHARE = 0.25  # how many more operations they have for it
GPU_JOBS_SHARE = 0.6  # of the submissions in these seeds
SHARES = ("anna", "bob", "team-1", "team-2")
POLICIES: tuple[dict[str, Any], ...] = (
    {},
    {"shareDecaySeconds": 1, "shareDistribution": [{"shareIdentifier": "team-*", "weightFactor": 0.125}]},
    {"shareDecaySeconds": 604_800, "shareDistribution": [{"shareIdentifier": "anna", "weightFactor": 999.9999}]},
    {"computeReservation": 50, "shareDecaySeconds": 2},
    {"computeReservation": 99},
)
CONSUMABLES: tuple[dict[str, int], ...] = ({}, {}, {"licence": 1}, {"licence": 2, "seat": 3})
HORIZONS_MS = (50, 1000, 4000, 12_000)  # the shorter, the more happens within one commit
DRAINING_MS = (0, 20, 300, 5000)  # from the termination of what runs to the end of a server
RULES: tuple[tuple[dict[str, str], ...], ...] = (
    (),
    (),
    ({"action": "RETRY", "onExitCode": "1"}, {"action": "EXIT", "onReason": "*"}),
    ({"action": "RETRY", "onStatusReason": "Host EC2*"}, {"action": "EXIT", "onExitCode": "*"}),
    ({"action": "EXIT", "onExitCode": "42"},),
)


def generate(seed: int) -> w.Workload:
    """Returns the workload of a seed: the same on every machine."""
    setup_rng = seeded(seed, "setup")
    setup = replace(
        _setup(setup_rng),
        unreadable=seeded(seed, "unreadable").choice((0.0, 0.0, 0.1, 0.5)),
        settle_ms=seeded(seed, "settling").choice((0, 0, 0, 50, 1500)),
        consumables=seeded(seed, "consumables").choice(CONSUMABLES),
    )
    setup = fleets.with_fleets(seeded(seed, "fleets"), setup)
    setup = _with_gangs(seeded(seed, "gangs"), setup)
    horizon_ms = setup_rng.choice(HORIZONS_MS)
    troubles = setup_rng.choice((0.0, 0.1, 0.25, 0.5))
    loses_gpus = bool(setup.hosts[0][-1].gpu_ids) and seeded(seed, "gpus").random() < LOSE_GPUS
    operations: list[w.Operation] = []
    submitted: list[w.Submit] = []
    times_ms = sorted(setup_rng.randrange(horizon_ms) for _ in range(setup_rng.randint(4, MAX_OPERATIONS)))
    for number, at_ms in enumerate(times_ms):
        rng, fleet_rng = seeded(seed, "operation", number), seeded(seed, "fleets", number)
        if setup.fleets and fleet_rng.random() < FLEETS_SHARE:
            operations += fleets.operations(fleet_rng, at_ms, setup, troubles)
        elif rng.random() < troubles:
            trouble = _trouble(rng, at_ms, setup)
            if isinstance(trouble, w.Restart) and trouble.kill:
                trouble = replace(trouble, draining_ms=seeded(seed, "draining", number).choice(DRAINING_MS))
            operations.append(trouble)
        elif submitted and rng.random() < 0.35:
            operations += _requests(rng, at_ms, setup, submitted)
            if rng.random() < troubles:  # on the way from the request to what it asks for
                operations.append(w.Crash(at_ms, rng.randrange(1, 16)))
        else:
            submit = _submit(rng, at_ms, number, setup, submitted, seed % LARGE_EVERY == 0)
            submit = replace(submit, consumables=_consumables(seeded(seed, "consumables", number), setup))
            submit = _with_nodes(seeded(seed, "nodes", number), setup, submit)
            if loses_gpus:
                submit = _with_gpus(seeded(seed, "gpu jobs", number), submit)
            submitted.append(submit)
            operations.append(submit)
        if loses_gpus:
            operations += _gpu_troubles(seeded(seed, "gpus", number), at_ms)
    workload = w.Workload(setup, tuple(operations))
    return with_workflows(seeded(seed, "workflows"), workload, horizon_ms)


def _setup(rng: random.Random) -> w.Setup:
    instances = [
        w.instance(number, rng.choice((1, 2, 4, 8)), rng.choice((256, 1024, 8192)), rng.choice((0, 0, 1, 3)))
        for number in range(rng.choice((1, 1, 1, 2, 3)))
    ]
    smaller = [replace(i, resources=replace(i.resources, milli_vcpus=1000)) for i in instances]
    bare = [w.instance(n, 2, i.resources.memory_mib, 0) for n, i in enumerate(instances)]
    engines = rng.choice((("fake",), ("fake", "other")))
    environments = dict(zip(("local", "far"), engines, strict=False))
    everywhere = tuple(environments)
    return w.Setup(
        engines=engines,
        environments=environments,
        queues={
            "default": (1, ("local",)),
            "urgent": (10, everywhere),
            "idle": (0, everywhere[::-1]),
            "shared": (1, everywhere),
        },
        definitions=w.DEFINITIONS,
        hosts=(tuple(instances), tuple(smaller), tuple(bare), tuple(instances[:1])),
        noise=rng.choice((0.0, 0.0, 0.1, 0.4)),
        commit_ms=rng.choice(((0,), (0, 1, 3), (5, 20, 100))),
        latency_ms=rng.choice(((0,), (0, 1, 10), (5, 50, 300))),
        batch_commands=rng.choice((1, 3, BATCH_COMMANDS)),
        policies={"one": rng.choice(POLICIES), "other": rng.choice(POLICIES)},
        fair_queues={"shared": "one"},
        unmanaged_vcpus=rng.choice((0, 0, 1, 4)),
    )


def _submit(
    rng: random.Random, at_ms: int, number: int, setup: w.Setup, before: list[w.Submit], is_large: bool
) -> w.Submit:
    size = rng.choice(LARGE_ARRAYS) if is_large and rng.random() < 0.3 else rng.choice(SMALL_ARRAYS)
    edges: list[w.Edge] = []
    if before and rng.random() < 0.55:
        for other in rng.sample(before, min(len(before), rng.choice((1, 1, 2, 3)))):
            pairs = size and size == other.array_size and rng.random() < 0.7
            child = rng.randrange(other.array_size) if other.array_size and rng.random() < 0.3 else None
            edges.append(w.Edge(other.number, None, "N_TO_N") if pairs else w.Edge(other.number, child))
    if size and rng.random() < 0.25:
        edges.append(w.Edge(-1, None, "SEQUENTIAL"))
    alike = [o for o in before if size and o.array_size == size]
    if alike and rng.random() < 0.4 and not any(e.number == alike[-1].number for e in edges):
        edges.append(w.Edge(alike[-1].number, None, "N_TO_N"))
    queue = rng.choice(tuple(setup.queues))
    is_fair = queue in setup.fair_queues
    submit = w.Submit(
        at_ms=at_ms,
        number=number,
        queue=queue,
        share=rng.choice(SHARES) if is_fair else "",
        priority=rng.choice((0, 0, 5, 9999)) if is_fair else None,
        definition=rng.choice(("half", "half", "one", "one", "one", "two", "gpu", "gpus", "huge")),
        array_size=size,
        depends_on=tuple(edges),
        attempts=rng.choice((1, 1, 2, 3, 10)),
        rules=rng.choice(RULES),
        timeout_seconds=rng.choice((0, 0, 1, 2)),
        after_any=rng.random() < 0.2,
        keyed=rng.random() < 0.8,
        look_up_ms=rng.choice((0, 0, 0, 5, 2000)),
        impatient_ms=rng.choice((0, 0, 0, 1, 60)),
    )
    return submit if rng.random() < 0.85 else replace(submit, definition=rng.choice(tuple(w.SEVERAL)))


def _with_gangs(rng: random.Random, setup: w.Setup) -> w.Setup:
    """Returns the setup, for a part of the seeds with a host and environments that are large enough for multi-node
    jobs, and with many of these."""
    if rng.random() >= HAVE_GANGS:
        return replace(setup, gangs_share=GANGS_SHARES[0])
    vcpus, gpus = rng.choice(GANG_VCPUS), rng.choice((0, 2, 4))
    number = len(setup.hosts[0]) - 1  # engines run everything on the last one
    host = w.instance(number, vcpus, 8192, gpus)
    smaller, bare = w.instance(number, vcpus // 2, 8192, gpus), w.instance(number, vcpus, 8192, 0)
    hosts = [(*instances[:-1], own) for instances, own in zip(setup.hosts, (host, smaller, bare, host), strict=True)]
    fleets = {name: {**one, "maxvCpus": max(one["maxvCpus"], vcpus)} for name, one in setup.fleets.items()}
    return replace(setup, hosts=tuple(hosts), fleets=fleets, gangs_share=GANGS_SHARES[1])


def _with_nodes(rng: random.Random, setup: w.Setup, submit: w.Submit) -> w.Submit:
    """Returns a submission as one of a multi-node job, for a part of those without an array."""
    if submit.array_size or rng.random() >= setup.gangs_share:
        return submit
    definition = rng.choice(tuple(w.GANGS))
    count = rng.randint(*w.OPEN_GANGS[definition]) if definition in w.OPEN_GANGS and rng.random() < 0.7 else 0
    return replace(submit, definition=definition, num_nodes=count)


def _consumables(rng: random.Random, setup: w.Setup) -> tuple[tuple[str, int], ...]:
    """Returns what a submission takes of consumable resources: often nothing, never more than there is."""
    asked = [(name, rng.randint(1, total)) for name, total in setup.consumables.items() if rng.random() < 0.4]
    return tuple(asked)


def _requests(rng: random.Random, at_ms: int, setup: w.Setup, before: list[w.Submit]) -> list[w.Operation]:
    if rng.random() < 0.7:
        target = rng.choice(rng.choice((before, before[-3:])))  # the latest may well run now
        child = rng.randrange(target.array_size) if target.array_size and rng.random() < 0.5 else None
        return [w.Withdraw(at_ms, target.number, child, terminate=rng.random() < 0.5)]
    if rng.random() < 0.1:
        return [w.TagJob(at_ms, rng.choice(before).number, {"note": str(rng.randrange(10))})]
    apart_ms = rng.choice((0, 1, 100))
    return [w.Ask(at_ms + number * apart_ms, command) for number, command in enumerate(_changes(rng, setup))]


def _changes(rng: random.Random, setup: w.Setup) -> tuple[c.Command[object], ...]:
    queue, environment = rng.choice(tuple(setup.queues)), rng.choice(tuple(setup.environments))
    state = rng.choice(("ENABLED", "DISABLED"))
    everywhere = tuple(setup.environments)
    places = w.order(rng.choice((everywhere, everywhere[:1], everywhere[::-1])))
    made_again = c.CreateJobQueue(queue, "ENABLED", rng.choice((0, 5)), places, w.queue_document(setup, queue))
    engine, document = setup.environments[environment], w.environment_document(setup)
    environment_again = c.CreateComputeEnvironment(environment, environment, "UNMANAGED", "ENABLED", engine, document)
    policy = rng.choice(tuple(setup.policies))
    changes: tuple[tuple[c.Command[object], ...], ...] = (
        (c.UpdateComputeEnvironment(environment, state),),
        (c.UpdateComputeEnvironment(environment, "DISABLED"), c.UpdateComputeEnvironment(environment, "ENABLED")),
        (c.UpdateJobQueue(queue, state, rng.choice((None, 0, 100))),),
        (c.UpdateJobQueue(queue, "ENABLED", None, places),),
        (c.UpdateJobQueue(queue, "DISABLED"), c.DeleteJobQueue(queue), made_again),
        (
            *(c.UpdateJobQueue(name, "", None, ()) for name in setup.queues),
            c.UpdateComputeEnvironment(environment, "DISABLED"),
            c.DeleteComputeEnvironment(environment),
            environment_again,
            *(c.UpdateJobQueue(name, "", None, places) for name in setup.queues),
        ),
        (c.UpdateSchedulingPolicy(policy, {"fairsharePolicy": rng.choice(POLICIES)}),),
        (c.UpdateJobQueue("shared", document={"schedulingPolicyArn": w.policy_arn(policy)}),),
        (c.RegisterJobDefinition("one", rng.choice((w.DEFINITIONS["one"], w.DEFINITIONS["two"]))),),
        (c.DeregisterJobDefinition("one", rng.choice((1, 2))),),
        (c.TagResource("job-queue", queue, {"note": str(rng.randrange(10))}), AskCapacity()),
    )
    return rng.choice(changes)


def _with_gpus(rng: random.Random, submit: w.Submit) -> w.Submit:
    """Returns more than half of the submissions as ones of jobs with GPUs."""
    if rng.random() >= GPU_JOBS_SHARE:
        return submit
    if submit.definition in w.GANGS:
        return replace(submit, definition="gang-gpus", num_nodes=0)
    return replace(submit, definition=rng.choice(("gpu", "gpu", "gpus")))


def _gpu_troubles(rng: random.Random, at_ms: int) -> list[w.Operation]:
    """Generates operations on the GPUs of the host: more often a loss than the return of all."""
    if rng.random() >= GPU_LOSSES_SHARE:
        return []
    at_ms, noticed_after_ms = at_ms + rng.choice((0, 5, 50, 500)), rng.choice((0, 0, 20, 1000))
    if rng.random() < 0.3:
        return [w.ReturnGpus(at_ms, noticed_after_ms)]
    return [w.LoseGpu(at_ms, rng.randrange(8), noticed_after_ms)]


def _trouble(rng: random.Random, at_ms: int, setup: w.Setup) -> w.Operation:
    engine = rng.choice(setup.engines)
    kind = rng.random()
    if kind < 0.55:
        host = rng.randrange(len(setup.hosts)) if rng.random() < 0.3 else None
        steps, away_ms = rng.choice((0, 1, 2, rng.randrange(40))), rng.choice((0, 10, 3000))
        return w.Crash(at_ms, steps, host, away_ms, without=engine if rng.random() < 0.15 else "")
    if kind < 0.63:
        return w.Takeover(at_ms)
    if kind < 0.70:
        return w.Restart(at_ms, kill=rng.random() < 0.4)
    if kind < 0.78:
        return w.FailCommit(at_ms, unknown=rng.random() < 0.5)
    if kind < 0.86:
        return w.Lose(at_ms, engine, rng.choice(("", rng.choice(setup.hosts[0]).instance_id)))
    if kind < 0.93:
        return w.Reconnect(at_ms, engine)
    return w.Reboot(at_ms, is_damaged=rng.random() < 0.5)
