"""Operations that are continued within the batches of their commands."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from batchyard.core.model.commands import CreateComputeEnvironment, CreateJobQueue
from batchyard.core.model.records import EnvironmentOrder
from batchyard.core.model.refusal import Refused
from batchyard.loop import Withdrawn
from batchyard.server.workflows.continued_operation import ContinuedOperation, Outcome, ask
from batchyard.workflows.commands import CallAbandoned
from tests.api.service import ENGINE
from tests.server.workflows.calling import NOTED, Commits, Yard

VARIABLE: ContextVar[str] = ContextVar("variable", default="loop")


def environment(name: str) -> CreateComputeEnvironment:
    return CreateComputeEnvironment(name, "u", "UNMANAGED", "ENABLED", ENGINE, {})


def queue(name: str, environment: str) -> CreateJobQueue:
    return CreateJobQueue(name, "ENABLED", 1, (EnvironmentOrder(1, environment),))


def report_of(outcome: Outcome) -> CallAbandoned:
    return CallAbandoned(outcome.refusal.code if outcome.refusal else str(outcome.document))


class Watched(Commits):
    """What each commit has: names of new environments, queues, and the number of reports."""

    def commit(self, changes: Any, now_ms: int) -> Any:
        notes = sum(1 for kind, _ in changes.documents if kind == NOTED)
        self.jobs.append(([*changes.environments, *changes.queues], notes))
        return super().commit(changes, now_ms)


def test_what_follows_the_last_command_is_in_its_batch_and_what_is_between_waits_in_its_own_task(
    tmp_path: Path,
) -> None:
    seen = []

    async def operation() -> dict[str, Any]:
        VARIABLE.set("call")
        await ask(environment("a"))
        seen.append(VARIABLE.get())
        await asyncio.sleep(0)
        await asyncio.to_thread(lambda: None)
        await ask(environment("b"))
        seen.append(VARIABLE.get())
        return {"done": True}

    async def scenario(yard: Yard) -> None:
        assert await ContinuedOperation(operation(), report_of, lambda: True).run(yard.loop) is None
        assert yard.executions.reports == [CallAbandoned("{'done': True}")]
        assert [commit for commit in yard.commits.jobs if commit[0]] == [(["a"], 0), (["b"], 1)]
        assert seen == ["call", "call"]

    with Yard(tmp_path) as yard:
        yard.commits = Watched(yard.service)
        yard.run(scenario)


def test_an_operation_may_go_on_after_a_refusal_or_end_with_it(tmp_path: Path) -> None:
    async def goes_on() -> dict[str, Any]:
        try:
            await ask(queue("q", "none"))
        except Refused:
            await ask(environment("c"))
        return {}

    async def ends() -> dict[str, Any]:
        await ask(queue("q", "none"))
        return {}

    async def scenario(yard: Yard) -> None:
        for operation in (goes_on(), ends()):
            assert await ContinuedOperation(operation, report_of, lambda: True).run(yard.loop) is None
        assert yard.executions.reports == [CallAbandoned("{}"), CallAbandoned("ClientException")]

    with Yard(tmp_path) as yard:
        yard.run(scenario)


def test_an_outcome_after_another_wait_is_returned(tmp_path: Path) -> None:
    async def operation() -> dict[str, Any]:
        await ask(environment("a"))
        await asyncio.sleep(0)
        raise Refused("no", "Late")

    async def scenario(yard: Yard) -> None:
        report = await ContinuedOperation(operation(), report_of, lambda: True).run(yard.loop)
        assert report == CallAbandoned("Late")
        assert yard.executions.reports == []

    with Yard(tmp_path) as yard:
        yard.run(scenario)


def test_an_operation_that_is_not_wanted_any_more_changes_nothing_and_reports_nothing(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        async def operation() -> dict[str, Any]:
            await ask(environment("a"))
            return {}

        with pytest.raises(Withdrawn):
            await ContinuedOperation(operation(), report_of, lambda: False).run(yard.loop)
        assert "a" not in yard.service.machine.world.environments
        assert yard.executions.reports == []

    with Yard(tmp_path) as yard:
        yard.run(scenario)


def test_a_command_in_the_inbox_is_reported_also_where_its_caller_was_cancelled(tmp_path: Path) -> None:
    async def operation() -> dict[str, Any]:
        await ask(environment("a"))
        return {}

    async def scenario(yard: Yard) -> None:
        running = asyncio.create_task(ContinuedOperation(operation(), report_of, lambda: True).run(yard.loop))
        await asyncio.sleep(0)  # the command is in the inbox
        running.cancel()
        await yard.reported()
        assert yard.executions.reports == [CallAbandoned("{}")]
        assert running.cancelled()

    with Yard(tmp_path) as yard:
        yard.run(scenario)


def test_a_cancelled_wait_ends_the_operation(tmp_path: Path) -> None:
    ended = []

    async def operation() -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return {}

    async def scenario(yard: Yard) -> None:
        running = asyncio.create_task(ContinuedOperation(operation(), report_of, lambda: True).run(yard.loop))
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert ended == [True]

    with Yard(tmp_path) as yard:
        yard.run(scenario)
