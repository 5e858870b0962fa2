"""State machines of simulated worlds, and what clients do with their executions."""

from __future__ import annotations

import random
from typing import Any

from msgspec.structs import replace

from batchyard.simulator import workload as w

HAVE_WORKFLOWS = 0.15  # share of the seeds
MOST_OPERATIONS = 10
JOB = "arn:aws:states:::batch:submitJob.sync"
MESSAGE = "arn:aws:states:::sns:publish"
EXECUTION = "arn:aws:states:::states:startExecution.sync:2"
ALL = ["States.ALL"]


def task(resource: str = JOB, definition: str = "one", **fields: Any) -> dict[str, Any]:
    parameters = {"JobName": "step", "JobQueue": "default", "JobDefinition": definition}
    return {"Type": "Task", "Resource": resource, "Parameters": parameters, **fields}


def scope(**states: dict[str, Any]) -> dict[str, Any]:
    """Returns states that lead from each to the next, as far as they do not say otherwise."""
    names = list(states)
    for name, following in zip(names, [*names[1:], ""], strict=True):
        if states[name]["Type"] not in ("Choice", "Fail", "Succeed") and "Next" not in states[name]:
            states[name] = {**states[name], **({"Next": following} if following else {"End": True})}
    return {"StartAt": names[0], "States": states}


RETRY = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 1}]
# As the published pipeline of a training: one job after the other, retried, and a message when that does not help.
LINE = scope(
    Ingest=task(
        Retry=RETRY, ResultPath="$.ingest", Catch=[{"ErrorEquals": ALL, "Next": "Notify", "ResultPath": "$.e"}]
    ),
    Train=task(definition="two", ResultPath=None, Next="Done"),
    Notify=task(MESSAGE, ResultPath=None),
    Failed={"Type": "Fail", "Error": "PipelineError"},
    Done={"Type": "Succeed"},
)
BRANCHES = scope(
    Both={
        "Type": "Parallel",
        "Branches": [
            scope(First=task(ResultPath=None), Rest={"Type": "Wait", "Seconds": 1}),
            scope(Second=task(Retry=RETRY, ResultPath=None)),
            scope(Third=task(MESSAGE)),
        ],
        "Catch": [{"ErrorEquals": ALL, "Next": "After", "ResultPath": None}],
    },
    After={"Type": "Pass"},
)
ITERATIONS = scope(
    Each={
        "Type": "Map",
        "ItemsPath": "$.items",
        "MaxConcurrency": 2,
        "ItemProcessor": scope(Job=task(Retry=RETRY, ResultPath=None)),
    },
    Count={"Type": "Pass"},
)
CHILDREN = scope(
    Each={
        "Type": "Map",
        "ItemsPath": "$.items",
        "MaxConcurrency": 2,
        "ToleratedFailurePercentage": 50,
        "ItemProcessor": {
            **scope(Job=task(ResultPath=None), Rest={"Type": "Wait", "Seconds": 1}),
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        },
    }
)
STANDARD_CHILDREN = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
# A Map in the batch in which another one may end, and map runs in map runs. What the items are: given_of.
MAPS_AFTER_MAPS = scope(
    Each={
        "Type": "Map",
        "ItemsPath": "$.items",
        "MaxConcurrency": 1,
        "ItemProcessor": scope(Item={"Type": "Pass"}),
        "ResultPath": None,
    },
    Pairs={
        "Type": "Map",
        "ItemsPath": "$.pairs",
        "ItemProcessor": {
            **scope(
                Both={
                    "Type": "Map",
                    "MaxConcurrency": 1,
                    "ItemProcessor": {**scope(Job=task(ResultPath=None)), "ProcessorConfig": STANDARD_CHILDREN},
                }
            ),
            "ProcessorConfig": STANDARD_CHILDREN,
        },
    },
)
TIMED = {
    **scope(
        Job=task(TimeoutSeconds=2, ResultPath=None, Catch=[{"ErrorEquals": ALL, "Next": "Again"}]),
        Again=task(TimeoutSeconds=2),
    ),
    "TimeoutSeconds": 8,
}
NESTED = scope(Inner=task(EXECUTION, Parameters={"StateMachine": "line"}), Last=task(MESSAGE))
MACHINES: dict[str, dict[str, Any]] = {
    "line": LINE,
    "branches": BRANCHES,
    "iterations": ITERATIONS,
    "children": CHILDREN,
    "maps": MAPS_AFTER_MAPS,
    "timed": TIMED,
    "nested": NESTED,
}


def given_of(items: int) -> dict[str, Any]:
    """Returns the input of executions. Children of the machine `maps` have one of the pairs, and theirs one of its
    members: their inputs tell their places."""
    return {"items": list(range(items)), "pairs": [pair_of(index) for index in range(items)]}


def pair_of(index: int) -> list[str]:
    return [f"{index}-0", f"{index}-1"]


class StartWorkflow(w.Operation, frozen=True):
    number: int
    machine: str
    items: int


class StopWorkflow(w.Operation, frozen=True):
    number: int


class RedriveWorkflow(w.Operation, frozen=True):
    number: int


def with_workflows(rng: random.Random, workload: w.Workload, horizon_ms: int) -> w.Workload:
    """Returns the workload with state machines and operations upon executions, if it is one of the seeds with them."""
    if rng.random() >= HAVE_WORKFLOWS:
        return workload
    operations: list[w.Operation] = []
    for number in range(rng.randint(2, MOST_OPERATIONS)):
        at_ms = rng.randrange(horizon_ms)
        operations.append(StartWorkflow(at_ms, number, rng.choice(tuple(MACHINES)), rng.randrange(5)))
        if rng.random() < 0.3:
            operations.append(StopWorkflow(at_ms + rng.randrange(3000), number))
        if rng.random() < 0.5:
            operations.append(RedriveWorkflow(at_ms + rng.randrange(500, 6000), number))
    setup = replace(workload.setup, workflows=MACHINES)
    return w.Workload(setup, (*workload.operations, *operations))
