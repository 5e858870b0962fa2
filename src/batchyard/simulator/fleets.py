"""MANAGED environments drawn from a seed, and what is done to them."""

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
MOST_VCPUS = (1, 2, 4, 8)


def drawn(dice: random.Random, setup: w.Setup) -> w.Setup:
    """The setup with MANAGED environments and queues of theirs, or as it is. Instances are shares of one host."""
    if dice.random() >= HAVE_FLEETS:
        return setup
    vcpus, memory_mib, gpus = dice.choice((2, 4, 8, 16)), dice.choice((1024, 8192, 32768)), dice.choice((0, 1, 3, 4))
    host = w.instance(0, vcpus, memory_mib, gpus)
    smaller, bare = w.instance(0, 1, memory_mib, gpus), w.instance(0, 2, memory_mib, 0)
    return replace(
        setup,
        hosts=((host,), (smaller,), (bare,), (host,)),
        fleets={name: _resources(dice, kind) for name, kind in KINDS.items()},
        queues={**setup.queues, **QUEUES},
        fair_queues={**setup.fair_queues, FAIR_QUEUE: "other"},
        time_limits=dice.choice(({}, {"steady": 1}, {"mixed": 2, "serverless": 1})),
    )


def _resources(dice: random.Random, kind: str) -> dict[str, Any]:
    most = dice.choice(MOST_VCPUS)
    if kind not in ("EC2", "SPOT"):
        return {"type": kind, "maxvCpus": most}
    least = min(most, dice.choice((0, 0, 0, 1, 2)))
    resources = {
        "type": kind,
        "minvCpus": least,
        "maxvCpus": most,
        "instanceTypes": dice.choice(TYPE_LISTS),
        "allocationStrategy": dice.choice(EC2_STRATEGIES if kind == "EC2" else SPOT_STRATEGIES),
    }
    desired = dice.choice((None, None, None, 1, 2))
    return resources if desired is None else {**resources, "desiredvCpus": min(most, max(least, desired))}


def operations(own: random.Random, at_ms: int, setup: w.Setup, troubles: float) -> list[w.Operation]:
    """What happens to them: the world's doing as often as there are troubles, else their owner's."""
    if own.random() < troubles:
        return [_trouble(own, at_ms)]
    name = own.choice(tuple(setup.fleets))
    if own.random() < 0.3:
        return [w.Interrupt(at_ms, name, own.randrange(8), own.choice((0.0, 0.5, 2.0)))]
    apart_ms = own.choice((0, 1, 100))
    return [w.Ask(at_ms + number * apart_ms, command) for number, command in enumerate(_changes(own, setup, name))]


def _trouble(own: random.Random, at_ms: int) -> w.Operation:
    troubles: tuple[w.Operation, ...] = (
        w.Storm(at_ms, own.choice((0, 200, 2000))),
        w.LoseInstance(at_ms, own.randrange(8)),
        w.Drought(at_ms, own.choice((100, 2000))),
    )
    return own.choice(troubles)


def _changes(own: random.Random, setup: w.Setup, name: str) -> tuple[c.Command, ...]:
    resources = setup.fleets[name]
    most = own.choice(MOST_VCPUS)
    changed: list[dict[str, Any]] = [{"maxvCpus": most}]
    if "instanceTypes" in resources:
        changed += [
            {"minvCpus": 0, "maxvCpus": most},
            {"minvCpus": own.choice((1, 2))},
            {"desiredvCpus": own.choice((1, 2, 4))},
            {"instanceTypes": own.choice(TYPE_LISTS)},
            {"maxvCpus": most, "instanceTypes": own.choice(TYPE_LISTS)},
        ]
    document: dict[str, Any] = {"computeResources": own.choice(changed)}
    if own.random() < 0.3:
        document["updatePolicy"] = {"terminateJobsOnUpdate": own.random() < 0.5, "jobExecutionTimeoutMinutes": 1}
    users = [queue for queue, (_, places) in setup.queues.items() if name in places]
    changes: tuple[tuple[c.Command, ...], ...] = (
        (c.UpdateComputeEnvironment(name, "", document),),
        (c.UpdateComputeEnvironment(name, "", document),),
        (c.UpdateComputeEnvironment(name, own.choice(("ENABLED", "DISABLED"))),),
        (c.UpdateComputeEnvironment(name, "DISABLED"), c.UpdateComputeEnvironment(name, "ENABLED")),
        (
            *(c.UpdateJobQueue(queue, "", None, ()) for queue in users),
            c.UpdateComputeEnvironment(name, "DISABLED"),
            c.DeleteComputeEnvironment(name),
            w.fleet(setup, name, f"{name}-{own.randrange(1 << 30)}"),
            *(c.UpdateJobQueue(queue, "", None, w.order(setup.queues[queue][1])) for queue in users),
        ),
        (c.UpdateJobQueue(own.choice(users), "", None, w.order((name,))),),
    )
    return own.choice(changes)
