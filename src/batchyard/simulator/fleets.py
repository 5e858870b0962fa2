"""Generates MANAGED environments from a seed, and operations on them."""

from __future__ import annotations

import random
from typing import Any

from msgspec.structs import replace

from batchyard.core.model import commands as c
from batchyard.simulator import workload as w

HAVE_FLEETS = 0.6  # share of the seeds
KINDS = {"ondemand": "EC2", "spot": "SPOT", "serverless": "FARGATE", "spare": "FARGATE_SPOT"}
EC2_STRATEGIES = ("BEST_FIT", "BEST_FIT_PROGRESSIVE", "BEST_FIT_PROGRESSIVE", "BEST_FIT_PROGRESSIVE_ORDERED")
SPOT_STRATEGIES = (
    "BEST_FIT",
    "BEST_FIT_PROGRESSIVE",
    "SPOT_CAPACITY_OPTIMIZED",
    "SPOT_PRICE_CAPACITY_OPTIMIZED",
    "SPOT_CAPACITY_OPTIMIZED_PRIORITIZED",
)
TYPE_LISTS = (
    ["s.small"],
    ["s.medium"],
    ["s"],
    ["s", "g"],
    ["g"],
    ["s.large", "r.medium", "g.small"],
)
QUEUES = {
    "cheap": (2, ("spot", "ondemand")),
    "steady": (5, ("ondemand", "spot")),
    "mixed": (1, ("ondemand", "local")),
    "serverless": (3, ("serverless", "spare")),
    "team": (1, ("spot", "ondemand")),
}
FAIR_QUEUE = "team"
MAX_VCPUS = (1, 2, 4, 8)


def with_fleets(rng: random.Random, setup: w.Setup) -> w.Setup:
    """Returns the setup, for a part of the seeds with MANAGED environments and queues for them on one host."""
    if rng.random() >= HAVE_FLEETS:
        return setup
    vcpus, memory_mib, gpus = rng.choice((2, 4, 8, 16)), rng.choice((1024, 8192, 32768)), rng.choice((0, 1, 3, 4))
    host = w.instance(0, vcpus, memory_mib, gpus)
    smaller, bare = w.instance(0, 1, memory_mib, gpus), w.instance(0, 2, memory_mib, 0)
    return replace(
        setup,
        hosts=((host,), (smaller,), (bare,), (host,)),
        fleets={name: _resources(rng, kind) for name, kind in KINDS.items()},
        queues={**setup.queues, **QUEUES},
        fair_queues={**setup.fair_queues, FAIR_QUEUE: "other"},
        time_limits=rng.choice(({}, {"steady": 1}, {"mixed": 2, "serverless": 1})),
    )


def _resources(rng: random.Random, kind: str) -> dict[str, Any]:
    most = rng.choice(MAX_VCPUS)
    if kind not in ("EC2", "SPOT"):
        return {"type": kind, "maxvCpus": most}
    least = min(most, rng.choice((0, 0, 0, 1, 2)))
    resources = {
        "type": kind,
        "minvCpus": least,
        "maxvCpus": most,
        "instanceTypes": rng.choice(TYPE_LISTS),
        "allocationStrategy": rng.choice(EC2_STRATEGIES if kind == "EC2" else SPOT_STRATEGIES),
    }
    desired = rng.choice((None, None, None, 1, 2))
    return resources if desired is None else {**resources, "desiredvCpus": min(most, max(least, desired))}


def operations(rng: random.Random, at_ms: int, setup: w.Setup, troubles: float) -> list[w.Operation]:
    """Generates operations on them: faults of the world, as often as the workload has faults, else changes by their
    owner."""
    if rng.random() < troubles:
        return [_trouble(rng, at_ms)]
    name = rng.choice(tuple(setup.fleets))
    if rng.random() < 0.3:
        return [w.Interrupt(at_ms, name, rng.randrange(8), rng.choice((0.0, 0.5, 2.0)))]
    apart_ms = rng.choice((0, 1, 100))
    return [w.Ask(at_ms + number * apart_ms, command) for number, command in enumerate(_changes(rng, setup, name))]


def _trouble(rng: random.Random, at_ms: int) -> w.Operation:
    troubles: tuple[w.Operation, ...] = (
        w.Storm(at_ms, rng.choice((0, 200, 2000))),
        w.LoseInstance(at_ms, rng.randrange(8)),
        w.CapacityOutage(at_ms, rng.choice((100, 2000))),
    )
    return rng.choice(troubles)


def _changes(rng: random.Random, setup: w.Setup, name: str) -> tuple[c.Command[object], ...]:
    resources = setup.fleets[name]
    most = rng.choice(MAX_VCPUS)
    changed: list[dict[str, Any]] = [{"maxvCpus": most}]
    if "instanceTypes" in resources:
        changed += [
            {"minvCpus": 0, "maxvCpus": most},
            {"minvCpus": rng.choice((1, 2))},
            {"desiredvCpus": rng.choice((1, 2, 4))},
            {"instanceTypes": rng.choice(TYPE_LISTS)},
            {"maxvCpus": most, "instanceTypes": rng.choice(TYPE_LISTS)},
        ]
    document: dict[str, Any] = {"computeResources": rng.choice(changed)}
    if rng.random() < 0.3:
        document["updatePolicy"] = {"terminateJobsOnUpdate": rng.random() < 0.5, "jobExecutionTimeoutMinutes": 1}
    users = [queue for queue, (_, places) in setup.queues.items() if name in places]
    changes: tuple[tuple[c.Command[object], ...], ...] = (
        (c.UpdateComputeEnvironment(name, "", document),),
        (c.UpdateComputeEnvironment(name, "", document),),
        (c.UpdateComputeEnvironment(name, rng.choice(("ENABLED", "DISABLED"))),),
        (c.UpdateComputeEnvironment(name, "DISABLED"), c.UpdateComputeEnvironment(name, "ENABLED")),
        (
            *(c.UpdateJobQueue(queue, "", None, ()) for queue in users),
            c.UpdateComputeEnvironment(name, "DISABLED"),
            c.DeleteComputeEnvironment(name),
            w.fleet(setup, name, f"{name}-{rng.randrange(1 << 30)}"),
            *(c.UpdateJobQueue(queue, "", None, w.order(setup.queues[queue][1])) for queue in users),
        ),
        (c.UpdateJobQueue(rng.choice(users), "", None, w.order((name,))),),
    )
    return rng.choice(changes)
