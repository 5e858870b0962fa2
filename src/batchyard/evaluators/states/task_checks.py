"""Checks of Task states that look at several fields: the resource and what goes with it (step functions spec 6, 13)."""

from __future__ import annotations

import re
from typing import Any

from batchyard.evaluators.states.field_checks import JSONATA, Field, TaskCheck
from batchyard.evaluators.states.state_rules import EXPRESS

ARN = re.compile(r"arn:[^:]*:[^:]+:[^:]*:[^:]*:.+")
ACTIVITY = re.compile(r"arn:[^:]*:states:[^:]*:[^:]*:activity:.+")
OBJECTS = re.compile(r"arn:[^:]*:states:::s3:(?:getObject|listObjectsV2|putObject)")
NOT_RECOGNIZED = (
    "The resource provided {} is not recognized. The value is not a valid resource ARN, or the resource is not "
    "available in this region."
)
WAITS_FOR_TOKEN = ".waitForTaskToken"
WAITS_FOR_END = (".sync", ".sync:2")


def check_objects(resource: str) -> str:
    """Returns what is wrong with the resource of an ItemReader or ResultWriter, empty for nothing."""
    return "" if OBJECTS.fullmatch(resource) else NOT_RECOGNIZED.format(resource)


def refuse_objects(resource: str) -> str:
    """Refuses the resource of an ItemReader or ResultWriter, where no S3 is configured."""
    return (
        f"{NOT_RECOGNIZED.format(resource)} Batchyard has no S3: say where it is with s3_endpoint, or pass the items "
        "in the input of the Map, and take its results from its output."
    )


def check_task_state(state: dict[str, Any], field: Field, kind: str, check_task: TaskCheck) -> None:
    """Reports what is wrong with the resource of a Task, with its arguments, and with its time-outs."""
    _timeouts(state, field)
    resource = state.get("Resource")
    if not isinstance(resource, str):
        return
    at = field.below("Resource")
    if not ARN.fullmatch(resource):
        at.fault("Value is not a valid resource ARN")
        return
    if kind == EXPRESS and _express_refuses(resource, at):
        return
    name = "Arguments" if field.language == JSONATA else "Parameters"
    for where, message in check_task(resource, state.get(name)):
        (field.below(where) if where else field.below(name)).fault(message)


def _express_refuses(resource: str, field: Field) -> bool:
    """Reports what an EXPRESS state machine cannot wait for."""
    if ACTIVITY.fullmatch(resource):
        field.fault("Express state machine does not support Activity ARN")
    elif resource.endswith(WAITS_FOR_TOKEN):  # AWS's text has this blank at its end
        field.fault(f"Express state machine does not support '{WAITS_FOR_TOKEN}' service integration ")
    elif resource.endswith(WAITS_FOR_END):
        field.fault("Express state machine does not support '.sync' service integration")
    else:
        return False
    return True


def _timeouts(state: dict[str, Any], field: Field) -> None:
    timeout, heartbeat = state.get("TimeoutSeconds"), state.get("HeartbeatSeconds")
    if isinstance(timeout, int) and isinstance(heartbeat, int) and heartbeat >= timeout:
        field.fault("HeartbeatSeconds must be smaller than TimeoutSeconds")
