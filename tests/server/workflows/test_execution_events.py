"""Step Functions as a source of events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchyard.core.model.changes import Changes
from batchyard.core.model.executions import Execution, ExecutionChanged, ExecutionStatus
from batchyard.core.model.names import Account
from batchyard.events.records import Rule, Target
from batchyard.events.router import Router
from batchyard.loop.fact_delivery import FactDelivery
from batchyard.server.events.execution_events import MAX_PAYLOAD_BYTES, ExecutionEventMaker, event_of
from batchyard.server.events.fact_consumer import FactEvents
from batchyard.store.store import Store

ACCOUNT = Account("123456789012", "us-east-1")
GROUP = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/events/all"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:pipeline"
START_MS = 1_764_000_000_000
EXECUTION = Execution(
    key=1,
    arn="arn:aws:states:us-east-1:123456789012:execution:pipeline:one",
    machine_arn=MACHINE,
    name="one",
    type="STANDARD",
    status=ExecutionStatus.FAILED,
    revision_id="r",
    role_arn="role",
    input='{"a": 1}',
    started_at_ms=START_MS,
    stopped_at_ms=START_MS + 5000,
    error="E",
    cause="c",
)
RUNNING = ExecutionChanged(START_MS, 1, EXECUTION.arn, ExecutionStatus.RUNNING)
FAILED = ExecutionChanged(START_MS + 5000, 1, EXECUTION.arn, ExecutionStatus.FAILED)


class Logs:
    """A log writer that keeps what it gets."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []

    def append(self, group: str, stream: str, events: Sequence[Any], *, creates: bool) -> Future[None]:
        self.written += [json.loads(event.message) for event in events]
        future: Future[None] = Future()
        future.set_result(None)
        return future


class NoFacts:
    async def read(self, after: int, limit: int) -> Any:
        raise AssertionError("no fact was stored")


async def no_command(command: Any) -> Any:
    raise AssertionError(f"{command} was asked")


def consumer_of(directory: Path, pattern: str, logs: Logs, delivery: FactDelivery) -> FactEvents:
    store = Store.open(directory / "yard.db")
    consumer = FactEvents(ExecutionEventMaker(ACCOUNT), ACCOUNT, store, logs, no_command, lambda: START_MS)  # type: ignore[arg-type]
    rule = Rule("default", "r", "ENABLED", pattern, targets=(Target("t", GROUP, {"Id": "t", "Arn": GROUP}),))
    consumer.follow(Router(ACCOUNT, [rule]), delivery)
    return consumer


def test_an_event_has_the_execution_as_it_was_when_it_came_into_its_status(tmp_path: Path) -> None:
    writer = Store.open(tmp_path / "yard.db").writer()
    writer.open(ACCOUNT.account_id, ACCOUNT.region)
    writer.commit(Changes(executions={1: EXECUTION}), START_MS).result()
    logs, delivery = Logs(), FactDelivery(NoFacts(), {}, 0)
    consumer = consumer_of(tmp_path, '{"source":["aws.states"]}', logs, delivery)
    assert ExecutionChanged in delivery.stored_types
    gone = ExecutionChanged(
        START_MS, 2, "arn:aws:states:us-east-1:123456789012:execution:pipeline:gone", ExecutionStatus.RUNNING
    )
    asyncio.run(consumer.deliver([RUNNING, gone, FAILED]))
    asyncio.run(consumer.deliver([FAILED]))
    consumer.close()
    writer.close()
    running, failed, again = logs.written
    assert running == {
        "version": "0",
        "id": running["id"],
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": "123456789012",
        "time": "2025-11-24T16:00:00Z",
        "region": "us-east-1",
        "resources": [EXECUTION.arn],
        "detail": {
            "executionArn": EXECUTION.arn,
            "stateMachineArn": MACHINE,
            "stateMachineVersionArn": None,
            "stateMachineAliasArn": None,
            "name": "one",
            "status": "RUNNING",
            "startDate": START_MS,
            "stopDate": None,
            "input": '{"a": 1}',
            "inputDetails": {"included": True},
            "output": None,
            "outputDetails": None,
            "error": None,
            "cause": None,
            "redriveCount": 0,
            "redriveDate": None,
            "redriveStatus": "NOT_REDRIVABLE",
            "redriveStatusReason": "Execution is RUNNING and cannot be redriven",
        },
    }
    assert failed["time"] == "2025-11-24T16:00:05Z"
    assert failed["detail"] == running["detail"] | {
        "status": "FAILED",
        "stopDate": START_MS + 5000,
        "error": "E",
        "cause": "c",
        "redriveStatus": "REDRIVABLE",
        "redriveStatusReason": None,
    }
    assert again == failed, "an event that is made again is the same"
    assert running["id"] != failed["id"]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ('{"source":["aws.states"],"detail":{"status":["FAILED"]}}', [FAILED]),
        ('{"source":["aws.states"]}', [RUNNING, FAILED]),
    ],
)
def test_facts_that_no_rule_can_match_are_not_wanted(
    tmp_path: Path, pattern: str, wanted: list[ExecutionChanged]
) -> None:
    consumer = consumer_of(tmp_path, pattern, Logs(), FactDelivery(NoFacts(), {}, 0))
    assert [fact for fact in (RUNNING, FAILED) if consumer.wants(fact)] == wanted


def test_without_a_rule_for_them_no_facts_are_stored(tmp_path: Path) -> None:
    delivery = FactDelivery(NoFacts(), {}, 0)
    consumer_of(tmp_path, '{"source":["aws.batch"]}', Logs(), delivery)
    assert ExecutionChanged not in delivery.stored_types


def test_large_inputs_and_outputs_are_left_out() -> None:
    large = replace(EXECUTION, status=ExecutionStatus.SUCCEEDED, output='"' + "x" * MAX_PAYLOAD_BYTES + '"')
    detail = event_of(ExecutionChanged(START_MS, 1, EXECUTION.arn, ExecutionStatus.SUCCEEDED), large, ACCOUNT)["detail"]
    assert (detail["input"], detail["output"]) == (None, None)
    assert (detail["inputDetails"], detail["outputDetails"]) == ({"included": False}, {"included": False})
    assert event_of(RUNNING, large, ACCOUNT)["detail"]["input"] == EXECUTION.input
