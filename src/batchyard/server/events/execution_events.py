"""Makes the events of Step Functions of facts about executions (step functions spec 16)."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from batchyard.core.model.executions import Execution, ExecutionChanged, ExecutionStatus
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.names import Account
from batchyard.evaluators.events.envelope import envelope
from batchyard.server.events.fact_consumer import FactEvent
from batchyard.store.queries import Reader

SOURCE = "aws.states"
STATUS_CHANGE = "Step Functions Execution Status Change"
MAX_PAYLOAD_BYTES = 248 * 1024  # of input and output together: events have no larger ones
NOT_REDRIVABLE = (ExecutionStatus.RUNNING, ExecutionStatus.SUCCEEDED)


class ExecutionEventMaker:
    """An EventMaker (server.events.fact_consumer)."""

    name = "execution-events"
    fact_types: Collection[type[Fact]] = (ExecutionChanged,)
    source = SOURCE
    detail_types: Sequence[str] = (STATUS_CHANGE,)

    def __init__(self, account: Account) -> None:
        self._account = account

    def kind_of(self, fact: Fact) -> Hashable:
        return _of_executions(fact).status

    def has_event(self, fact: Fact) -> bool:
        return True

    def known_before(self, fact: Fact) -> dict[str, str]:
        return {
            "source": SOURCE,
            "detail-type": STATUS_CHANGE,
            "account": self._account.account_id,
            "region": self._account.region,
            "detail.status": _of_executions(fact).status.value,
        }

    def make(self, reader: Reader, facts: Sequence[Fact]) -> Iterator[FactEvent]:
        for fact in map(_of_executions, facts):
            execution = reader.execution(fact.arn)
            if execution is not None and execution.key == fact.key:  # else it was pruned meanwhile
                yield FactEvent(fact, event_of(fact, execution, self._account), fact.arn)


def _of_executions(fact: Fact) -> ExecutionChanged:
    assert isinstance(fact, ExecutionChanged), f"{fact!r} makes no event of Step Functions"
    return fact


def event_of(fact: ExecutionChanged, execution: Execution, account: Account) -> dict[str, Any]:
    """Returns the event of a fact. `execution`: as it is by now, which may be past what the fact reports. The id is the
    same each time it is made."""
    return envelope(
        event_id=str(uuid5(NAMESPACE_URL, f"{fact.arn}/{fact.key}/{fact.status.value}/{fact.at_ms}")),
        detail_type=STATUS_CHANGE,
        source=SOURCE,
        account=account.account_id,
        at_ms=fact.at_ms,
        region=account.region,
        resources=[execution.arn],
        detail=_detail(fact.status, execution),
    )


def _detail(status: ExecutionStatus, execution: Execution) -> dict[str, Any]:
    """Returns an execution as DescribeExecution has it, with nulls for what it has not, and times in milliseconds."""
    is_over = status.is_final
    output = execution.output if is_over else None
    is_included = len(execution.input.encode()) + len((output or "").encode()) <= MAX_PAYLOAD_BYTES
    reason = f"Execution is {status.value} and cannot be redriven" if status in NOT_REDRIVABLE else None
    return {
        "executionArn": execution.arn,
        "stateMachineArn": execution.machine_arn,
        "stateMachineVersionArn": execution.version_arn or None,
        "stateMachineAliasArn": execution.alias_arn or None,
        "name": execution.name,
        "status": status.value,
        "startDate": execution.started_at_ms,
        "stopDate": execution.stopped_at_ms if is_over else None,
        "input": execution.input if is_included else None,
        "inputDetails": {"included": is_included},
        "output": output if is_included else None,
        "outputDetails": None if output is None else {"included": is_included},
        "error": execution.error if is_over else None,
        "cause": execution.cause if is_over else None,
        "redriveCount": execution.redrive_count,
        "redriveDate": execution.redriven_at_ms or None,
        "redriveStatus": "REDRIVABLE" if reason is None else "NOT_REDRIVABLE",
        "redriveStatusReason": reason,
    }
