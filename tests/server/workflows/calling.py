"""A loop with the real machines, the real store, and a machine in the place of that of Step Functions, which notes what
is reported to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from msgspec import Struct

from batchyard.alarms.machine import EvaluateAlarms
from batchyard.core.jobs.submission import active_definition
from batchyard.core.model import documents
from batchyard.core.model.changes import Changes
from batchyard.core.model.commands import Command
from batchyard.core.model.effects import Effect, LaunchTask
from batchyard.core.model.executions import Execution
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.names import split_definition
from batchyard.deliveries.machine import SendMessages
from batchyard.engines.base import Launch
from batchyard.events.machine import RulesChanged
from batchyard.loop import Loop
from batchyard.server.http.disk_guard import FreeSpace
from batchyard.server.workflows.calls import IntegrationCalls
from batchyard.server.workflows.carrier import Carrier
from batchyard.server.workflows.http_calls import HttpCalls
from batchyard.workflows.commands import (
    CallAbandoned,
    CallAnswered,
    CallIntegration,
    ChildDescribed,
    JobDescribed,
    StopExecution,
)
from batchyard.workflows.resources import parse_resource
from tests.api.service import Service
from tests.server.test_http_channel import Http

MACHINE_ARN = "arn:aws:states:us-east-1:123456789012:stateMachine:pipeline"
EXECUTION_ARN = "arn:aws:states:us-east-1:123456789012:execution:pipeline:one"
ROLE_ARN = "arn:aws:iam::123456789012:role/pipeline"


class Noted(Struct, frozen=True):
    text: str


NOTED = documents.register("test-noted-report", Noted)


class Executions:
    """In the place of the machine of Step Functions: it notes each report in a document of the batch."""

    command_types: Collection[type[Command[Any]]] = (StopExecution,)
    report_types: Collection[type[Any]] = (CallAnswered, CallAbandoned, JobDescribed, ChildDescribed)

    def __init__(self) -> None:
        self.reports: list[Any] = []
        self.arrived = asyncio.Event()
        self.stopped: list[str] = []
        self.stops: set[int] = set()  # ids of the events whose calls the next StopExecution ends
        self.abandoned: set[int] = set()
        self.pending_changes = Changes()

    def is_calling(self, effect: CallIntegration) -> bool:
        return effect.event_id not in self.abandoned

    def want_facts(self, kinds: Collection[type[Fact]]) -> None: ...

    def handle(self, command: StopExecution, now_ms: int) -> int:
        self.stopped.append(command.arn)
        self.abandoned |= self.stops
        return now_ms

    def report(self, source: str, report: Any, now_ms: int) -> None:
        self.reports.append(report)
        self.pending_changes.documents[NOTED, str(len(self.reports))] = Noted(type(report).__name__)
        self.arrived.set()

    def schedule(self, now_ms: int) -> None: ...

    def outgoing(self) -> list[Any]:
        return []

    def take(self) -> tuple[Changes, list[Effect]]:
        taken, self.pending_changes = self.pending_changes, Changes()
        return taken, []

    def next_deadline(self) -> None:
        return None

    def recover(self) -> list[Effect]:
        return []


class Commits:
    """The writer of a service, whose commits are remembered."""

    def __init__(self, service: Service) -> None:
        self._writer = service.writer
        self.jobs: list[tuple[list[str], int]] = []  # per commit: the ids of new jobs, the number of notes

    def commit(self, changes: Changes, now_ms: int) -> Future[None]:
        notes = sum(1 for kind, _ in changes.documents if kind == NOTED)
        self.jobs.append(([spec.job_id for spec in changes.specs], notes))
        return self._writer.commit(changes, now_ms)


class StandingClock:
    def __init__(self, service: Service) -> None:
        self._service = service

    def now_ms(self) -> int:
        return self._service.now_ms


def no_launch(effect: LaunchTask) -> NoReturn:
    raise AssertionError(f"no engine was started, and {effect} is to be launched")


class Yard:
    """`free_bytes`: of the disk, 0 to 1 << 40."""

    def __init__(self, directory: Path) -> None:
        self.service = Service(directory)
        self.service.make_queue()
        self.service.register()
        self.executions, self.commits, self.free_bytes = Executions(), Commits(self.service), 1 << 40
        self.sent: list[Any] = []
        self.http = Http()
        self.looked_ms = 0

    def __enter__(self) -> Yard:
        return self

    def __exit__(self, *error: object) -> None:
        self.service.close()

    def run(self, scenario: Callable[[Yard], Coroutine[Any, Any, None]]) -> None:
        asyncio.run(asyncio.wait_for(self._run(scenario), timeout=60))

    async def _run(self, scenario: Callable[[Yard], Coroutine[Any, Any, None]]) -> None:
        build_launch: Callable[[LaunchTask], Launch] = no_launch
        self.loop = Loop(
            [*(one for one in self.service.machines if one is not self.service.workflows), self.executions],
            self.commits,
            {},
            StandingClock(self.service),
            build_launch,
            handlers={
                SendMessages: self.sent.extend,
                EvaluateAlarms: lambda effects: None,
                RulesChanged: lambda effects: None,
            },
        )
        self.carrier = Carrier(self.loop)
        context = replace(self.service.context, ask=self.loop.ask)
        http = HttpCalls(self.http, context.cipher, self.loop.ask, "us-east-1")  # type: ignore[arg-type]
        calls = IntegrationCalls(self.loop, context, self._space(), http, self._definition, self.executions.is_calling)
        await self.loop.start(epoch=1)
        tasks = [
            asyncio.create_task(self.loop.run()),
            asyncio.create_task(self.carrier.run(context, calls, self.execution_of)),
        ]
        self.running = tasks[0]
        try:
            await scenario(self)
        finally:
            self.loop.stop()
            tasks[1].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _space(self) -> FreeSpace:
        def now_ms() -> int:
            self.looked_ms += 1000
            return self.looked_ms

        return FreeSpace(lambda: self.free_bytes, 1, now_ms)

    def _definition(self, text: str) -> dict[str, Any] | None:
        found = active_definition(self.service.machine.world, *split_definition(text))
        return None if found is None else found.document

    async def execution_of(self, arn: str) -> Execution | None:
        return None

    # -- what tests need --

    def call(self, arn: str, arguments: Any, event_id: int = 3) -> None:
        """The machine has called an integration."""
        self.carrier.carry_out([call_of(arn, arguments, event_id)])

    async def reported(self, number: int = 1) -> list[Any]:
        """All reports, once there are so many."""
        while len(self.executions.reports) < number:
            self.executions.arrived.clear()
            await self.executions.arrived.wait()
        return self.executions.reports

    async def answer(self, arn: str, arguments: Any) -> CallAnswered:
        """What a call is answered with."""
        self.call(arn, arguments)
        (report,) = await self.reported()
        assert isinstance(report, CallAnswered)
        assert (report.execution_key, report.frame_id, report.event_id) == (7, 1, 3)
        return report

    async def output(self, arn: str, arguments: Any) -> Any:
        answer = await self.answer(arn, arguments)
        assert answer.error is None, answer
        return answer.output


def call_of(arn: str, arguments: Any, event_id: int = 3) -> CallIntegration:
    return CallIntegration(
        execution_key=7,
        execution_arn=EXECUTION_ARN,
        frame_id=1,
        event_id=event_id,
        key=f"{EXECUTION_ARN}/{event_id}",
        resource=parse_resource(arn),
        arguments=arguments,
        machine_arn=MACHINE_ARN,
        machine_role_arn=ROLE_ARN,
    )
