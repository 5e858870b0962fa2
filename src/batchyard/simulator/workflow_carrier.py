"""Carries out the effects of the machine of workflows on a simulated server, as server.workflows does: calls of Batch
and of Step Functions itself are commands whose answers are reported in their own transaction."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from batchyard.core.model import commands as jobs
from batchyard.core.model.effects import Effect
from batchyard.core.model.names import Account
from batchyard.core.model.records import Status
from batchyard.core.model.refusal import Refused
from batchyard.loop import Busy, Loop, Stopped, Withdrawn
from batchyard.simulator.disk import Disk
from batchyard.workflows import commands as c
from batchyard.workflows.machine import WorkflowsMachine

EFFECTS = (c.CallIntegration, c.DescribeJob, c.DescribeChild, c.AbandonCall, c.LogHistory, c.ExecutionEnded)
BUSY_MS = 100
FAILING = 0.25  # share of the messages that cannot be sent
Start = Callable[[Any], asyncio.Task[Any]]  # starts a coroutine on the server


class WorkflowCarrier:
    """`start`: begins a task that ends with its server."""

    def __init__(
        self,
        account: Account,
        epoch: int,
        machine: WorkflowsMachine,
        disk: Disk,
        latency: Callable[[], int],
        start: Start,
    ) -> None:
        self._account, self._epoch, self._machine, self._disk = account, epoch, machine, disk
        self._latency, self._start = latency, start
        self._made = 0
        self.loop: Loop | None = None  # set once there is one

    def carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if not isinstance(effect, c.LogHistory | c.ExecutionEnded):
                self._start(self._after_latency(effect))

    async def _after_latency(self, effect: Effect) -> None:
        waited_ms = self._latency()
        if waited_ms:
            await asyncio.sleep(waited_ms / 1000)
        while True:
            try:
                await self._carry_out(effect)
            except Busy:
                await asyncio.sleep(BUSY_MS / 1000)
            except (Stopped, Withdrawn, Refused):
                return  # what was refused is reported all the same
            else:
                return

    async def _carry_out(self, effect: Effect) -> None:
        assert self.loop is not None, "effects come from a loop"
        if isinstance(effect, c.CallIntegration):
            await self._call(self.loop, effect)
        elif isinstance(effect, c.DescribeJob):
            self.loop.report(self._described(effect))
        elif isinstance(effect, c.DescribeChild):
            key = next((row[0] for row in self._disk.executions.values() if row[1] == effect.arn), None)
            found = None if key is None else self._disk.execution(key)
            self.loop.report(
                c.ChildDescribed(
                    execution_key=effect.execution_key,
                    frame_id=effect.frame_id,
                    event_id=effect.event_id,
                    execution=found,
                )
            )
        else:
            assert isinstance(effect, c.AbandonCall), f"nothing carries out {effect!r}"
            done = c.CallAbandoned(effect.key)
            is_job = effect.resource.service == "batch"
            command: jobs.Command[Any] = (
                jobs.TerminateJob(effect.target, "Terminated by Step Functions")
                if is_job
                else c.StopExecution(effect.target)
            )
            await self.loop.ask(command, then=lambda answer: done)

    async def _call(self, loop: Loop, effect: c.CallIntegration) -> None:
        digest = hashlib.sha256(effect.key.encode()).hexdigest()
        if effect.resource.service == "sns":
            is_failing = int(digest[:4], 16) / 0x10000 < FAILING
            error = "SNS.NotFoundException" if is_failing else None
            loop.report(_answered(effect, {"MessageId": digest[:8]}, error))
            return
        command: jobs.Command[Any]
        if effect.resource.service == "batch":
            self._made += 1
            command = jobs.SubmitJob(
                job_id=f"{effect.execution_key:08x}-{self._made:04x}-4000-8000-{self._epoch:012x}",
                name=effect.arguments["JobName"],
                queue=effect.arguments["JobQueue"],
                definition=effect.arguments["JobDefinition"],
                idempotency_key=effect.key,
            )
        else:
            name = effect.arguments["StateMachine"]
            arn = self._account.arn("states", f"stateMachine:{name}")
            command = c.StartExecution(arn, digest[:32], "{}", "", has_given_name=True)
        await loop.ask(
            command,
            then=lambda answer: _of_command(effect, answer),
            only_if=lambda: self._machine.is_calling(effect.execution_key, effect.frame_id, effect.event_id),
        )

    def _described(self, effect: c.DescribeJob) -> c.JobDescribed:
        status = Status(self._disk.jobs[self._disk.keys[effect.job_id]][1])
        return c.JobDescribed(
            execution_key=effect.execution_key,
            frame_id=effect.frame_id,
            event_id=effect.event_id,
            has_ended=status.is_final,
            is_succeeded=status is Status.SUCCEEDED,
            output={"JobId": effect.job_id, "Status": status.value},
        )


def _of_command(effect: c.CallIntegration, answer: Any) -> c.CallAnswered:
    if isinstance(answer, Refused):
        return _answered(effect, None, f"{effect.resource.service}.{answer.code}", c.SUBMIT)
    if isinstance(answer, jobs.SubmittedJob):
        return _answered(effect, {"JobId": answer.job_id})
    assert isinstance(answer, c.Started), f"{effect} was answered with {answer!r}"
    return _answered(effect, {"ExecutionArn": answer.arn})


def _answered(effect: c.CallIntegration, output: Any, error: str | None = None, stage: str = "") -> c.CallAnswered:
    return c.CallAnswered(
        execution_key=effect.execution_key,
        frame_id=effect.frame_id,
        event_id=effect.event_id,
        output=None if error else output,
        error=error,
        stage=stage,
    )
