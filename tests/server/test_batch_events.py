"""Batch as a source of events: which facts become events, and where they go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from batchyard.core.model.commands import Command
from batchyard.core.model.deliveries import Message
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import JobQueueBlocked, JobStateChanged
from batchyard.core.model.records import Status
from batchyard.deliveries.machine import AskWaiting
from batchyard.events.commands import SendToTargets
from batchyard.events.machine import RulesChanged
from batchyard.events.records import Rule, Target
from batchyard.events.router import Router
from batchyard.loop import Busy
from batchyard.loop.fact_delivery import FactDelivery
from batchyard.server.events import fact_consumer
from batchyard.server.events.batch_events import BatchEventMaker
from batchyard.server.events.fact_consumer import FactEvents, take_rules
from batchyard.store.errors import StoreError
from batchyard.store.store import Store
from tests.api.service import ACCOUNT, Service

ARN = "arn:aws:%s:us-east-1:123456789012:"
LOGS = ARN % "logs" + "log-group:/aws/events/all"
BATCH = ARN % "batch" + "job-queue/default"
ALL = '{"source": ["aws.batch"]}'
FAILED = '{"source": ["aws.batch"], "detail": {"status": ["FAILED"]}}'


class Logs:
    """A log writer that keeps what it gets, or fails."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str, list[str]]] = []
        self.fails = False

    def append(self, group: str, stream: str, events: list[Any], *, creates: bool) -> Future[Any]:
        future: Future[Any] = Future()
        if self.fails:
            future.set_exception(StoreError("no space"))
        else:
            self.written.append((group, stream, [event.message for event in events]))
            future.set_result([])
        return future


class Yard:
    """A consumer over the jobs of a service, with the rules that a test gives it."""

    def __init__(self, directory: Path) -> None:
        self.service, self.logs = Service(directory), Logs()
        self.service.make_queue()
        self.service.register()
        self.asked: list[Command[Any]] = []
        self.refusals: list[Exception] = []
        self.waiting: dict[str, int] = {}
        self.delivery = FactDelivery(_NoFacts(), {}, 0)
        store = Store.open(directory / "yard.db")
        self.consumer = FactEvents(
            BatchEventMaker(ACCOUNT),
            ACCOUNT,
            store,
            self.logs,  # type: ignore[arg-type]
            self._ask,
            lambda: self.service.now_ms,
        )

    def close(self) -> None:
        self.consumer.close()
        self.service.close()

    async def _ask(self, command: Command[Any]) -> Any:
        if self.refusals:
            raise self.refusals.pop(0)
        if isinstance(command, AskWaiting):
            return self.waiting
        self.asked.append(command)
        return None

    def rules(self, *patterns: str, arn: str = LOGS) -> None:
        target = Target("t1", arn, {"Id": "t1", "Arn": arn, "BatchParameters": {"JobDefinition": "d", "JobName": "n"}})
        rules = [
            Rule("default", f"r{number}", "ENABLED", text, targets=(target,)) for number, text in enumerate(patterns)
        ]
        take_rules([RulesChanged(Router(ACCOUNT, rules))], [self.consumer], self.delivery)

    def deliver(self, *facts: Fact) -> None:
        asyncio.run(self.consumer.deliver(facts))

    def changed(self, job_id: str, status: Status = Status.RUNNABLE, queue: str = "default") -> JobStateChanged:
        return JobStateChanged(self.service.now_ms, 1, job_id, queue, status)

    @property
    def sent(self) -> list[Message]:
        sendings = [one for command in self.asked if isinstance(command, SendToTargets) for one in command.sendings]
        return [one.message for one in sendings if isinstance(one.message, Message)]


class _NoFacts:
    async def read(self, after: int, limit: int) -> Any:
        raise AssertionError("no facts are read here")


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.close()


def test_facts_are_asked_for_only_while_a_rule_may_match_an_event_of_batch(yard: Yard) -> None:
    for pattern in (
        '{"source": ["my.app"]}',
        '{"source": ["aws.batch"], "detail-type": ["Batch Job Definition Removed"]}',
    ):
        yard.rules(pattern)
        assert yard.delivery.stored_types == frozenset()
    yard.rules(FAILED)
    assert yard.delivery.stored_types == {JobStateChanged, JobQueueBlocked}
    yard.rules('{"detail": {"status": ["FAILED"]}}', ALL)
    assert yard.delivery.stored_types == {JobStateChanged, JobQueueBlocked}
    yard.rules()
    assert yard.delivery.stored_types == frozenset()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (ALL, [True, True, False, True]),
        (FAILED, [False, True, False, False]),
        ('{"detail-type": ["Batch Job Queue Blocked"]}', [False, False, False, True]),
        ('{"detail": {"jobQueue": [{"suffix": "job-queue/other"}]}}', [False, False, False, False]),
        (
            '{"detail": {"jobQueue": [{"suffix": "job-queue/default"}], "status": ["RUNNABLE"]}}',
            [True, False, False, True],
        ),
        ('{"detail": {"jobName": ["none"]}}', [True, True, False, True]),  # not known before the detail is made
    ],
)
def test_source_type_status_and_queue_are_judged_before_a_detail_is_made(
    yard: Yard, pattern: str, expected: list[bool]
) -> None:
    yard.rules(pattern)
    facts = [
        *(yard.changed("j", one) for one in (Status.RUNNABLE, Status.FAILED, Status.SUBMITTED)),
        JobQueueBlocked(1, "default", "j", "r"),
    ]
    assert [yard.consumer.wants(fact) for fact in facts] == expected


def test_events_for_a_log_group_are_written_at_once_and_others_are_deliveries(yard: Yard) -> None:
    job_id = yard.service.submit()
    yard.rules(ALL)
    yard.deliver(yard.changed(job_id), yard.changed(job_id, Status.STARTING), yard.changed("gone"))
    ((group, stream, texts),) = yard.logs.written
    assert (group, stream) == ("/aws/events/all", "r0/t1/2023-11-14")
    assert [('"status":"RUNNABLE"' in text, '"status":"STARTING"' in text) for text in texts] == [
        (True, False),
        (False, True),
    ]
    assert yard.asked == []
    yard.rules(ALL, arn=BATCH)
    yard.refusals = [Busy()]
    yard.deliver(yard.changed(job_id))
    assert [(one.channel, one.order_key) for one in yard.sent] == [("batch", job_id)]


def test_the_order_of_a_lane_that_could_not_be_written_is_kept(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = yard.service.submit()
    yard.rules(ALL)
    lane = ARN % "events" + "rule/r0#t1"
    yard.logs.fails = True
    yard.deliver(yard.changed(job_id))
    yard.logs.fails, yard.waiting = False, {lane: 1}
    yard.deliver(yard.changed(job_id, Status.STARTING))
    assert [(one.channel, one.lane) for one in yard.sent] == [("logs", lane)] * 2
    assert yard.logs.written == []
    yard.waiting = {}
    yard.deliver(yard.changed(job_id, Status.RUNNING))
    assert len(yard.logs.written) == 1


def test_a_busy_inbox_is_waited_for(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_consumer, "BUSY_SECONDS", 0.0)
    job_id = yard.service.submit()
    yard.rules(ALL, arn=BATCH)
    yard.refusals = [Busy(), Busy()]
    yard.deliver(yard.changed(job_id))
    assert len(yard.sent) == 1
