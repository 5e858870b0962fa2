"""Executions of Step Functions as the store has them, for tests of operations that only read."""

from __future__ import annotations

from typing import Any

from batchyard.core.model.changes import Changes
from batchyard.core.model.executions import Execution, ExecutionStatus, HistoryEvent, MapRun, MapRunStatus
from tests.api.service import Service

PREFIX = "arn:aws:states:us-east-1:123456789012:"
MACHINE = f"{PREFIX}stateMachine:nightly"
ROLE = "arn:aws:iam::123456789012:role/workflows"
DEFINITION = '{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}'


def make_machine(service: Service) -> str:
    """Creates the state machine of the executions below; returns the id of its revision."""
    client = service.client("stepfunctions")
    client.create_state_machine(name="nightly", definition=DEFINITION, roleArn=ROLE)
    (revision,), _ = service.reader.documents("state-machine-revision")
    return str(revision.revision_id)


def execution(key: int, service: Service, revision: str = "r", **members: Any) -> Execution:
    given = {
        "arn": f"{PREFIX}execution:nightly:{key}",
        "machine_arn": MACHINE,
        "name": str(key),
        "type": "STANDARD",
        "status": ExecutionStatus.SUCCEEDED,
        "input": "{ }",
        "started_at_ms": service.now_ms + key,
        "stopped_at_ms": service.now_ms + key + 1000,
        "output": "[1]",
        **members,
    }
    return Execution(key=key, revision_id=revision, role_arn=ROLE, **given)


def store(service: Service, *executions: Execution, **members: Any) -> None:
    changes = Changes(executions={one.key: one for one in executions}, **members)
    service.writer.commit(changes, service.now_ms).result(30)


def passes(key: int, service: Service, count: int) -> list[HistoryEvent]:
    return [
        HistoryEvent(key, number, number - 1, service.now_ms, "PassStateEntered", {"name": "A", "input": "{}"})
        for number in range(1, count + 1)
    ]


def map_run(number: int, service: Service, key: int = 1) -> MapRun:
    return MapRun(
        arn=f"{PREFIX}mapRun:nightly/each:{number}",
        execution_key=key,
        execution_arn=f"{PREFIX}execution:nightly:{key}",
        frame_id=0,
        machine_arn=f"{MACHINE}/each",
        execution_type="STANDARD",
        state="Each",
        status=MapRunStatus.SUCCEEDED,
        started_at_ms=service.now_ms + number,
        stopped_at_ms=service.now_ms + 5000,
    )
