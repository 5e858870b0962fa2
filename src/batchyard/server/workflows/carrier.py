"""Takes the effects of the machine of Step Functions after each commit, and carries them out beside the loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from batchyard.api.batch.jobs import describe_jobs
from batchyard.api.context import Call, Context
from batchyard.api.services import SERVICES
from batchyard.core.model.commands import Command, TerminateJob
from batchyard.core.model.effects import Effect
from batchyard.core.model.executions import Execution
from batchyard.core.model.refusal import Refused
from batchyard.loop import Busy, Loop, Stopped, Withdrawn
from batchyard.server.workflows.continued_operation import BUSY_SECONDS
from batchyard.store.queries import OutOfTime
from batchyard.wire.messages import Document
from batchyard.wire.pascal_case import write_pascal
from batchyard.workflows.commands import (
    AbandonCall,
    CallAbandoned,
    CallIntegration,
    ChildDescribed,
    DescribeChild,
    DescribeJob,
    JobDescribed,
    StopExecution,
)

MAX_CALLING = 128  # at once: more would only wait for each other, in the inbox and for the threads of queries
DESCRIBED_JOBS = 100  # at once, as DescribeJobs takes them
TERMINATED = "Terminated by Step Functions"
MAX_CAUSE = 32_768  # characters of the JobDetail of a job that failed: it becomes the cause of an error
SUCCEEDED, ENDED = "SUCCEEDED", ("SUCCEEDED", "FAILED")
GONE = "The job is not known any more: it was pruned."
READ_SECONDS = 1.0  # between tries to read the store
Result = TypeVar("Result")
HANDLED = (CallIntegration, DescribeJob, DescribeChild, AbandonCall)


class Calls(Protocol):
    """Calls something, and reports its answer."""

    async def call(self, effect: CallIntegration) -> None: ...

    def is_bounded(self, effect: CallIntegration) -> bool:
        """Whether the call takes one of the places of MAX_CALLING: not where it may wait for other calls."""
        ...


class Carrier:
    """`carry_out` from the loop; `run` once, for as long as the service runs."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._due: asyncio.Queue[Effect] = asyncio.Queue()
        self._to_call: asyncio.Queue[CallIntegration] = asyncio.Queue()
        self._to_describe: asyncio.Queue[DescribeJob] = asyncio.Queue()
        self._places = asyncio.Semaphore(MAX_CALLING)
        self._calls: dict[str, asyncio.Task[None]] = {}  # those under way, by key

    def carry_out(self, effects: Sequence[Effect]) -> None:
        """Takes effects; the handler of all types of HANDLED."""
        for effect in effects:
            if isinstance(effect, CallIntegration):
                self._to_call.put_nowait(effect)
            elif isinstance(effect, DescribeJob):
                self._to_describe.put_nowait(effect)
            else:
                self._due.put_nowait(effect)

    async def run(
        self, context: Context, calls: Calls, execution_of: Callable[[str], Awaitable[Execution | None]]
    ) -> None:
        """Carries out what was taken, also before. Cancelled, it drops what is under way: what was not reported is
        carried out again after the next start."""
        async with asyncio.TaskGroup() as running:
            running.create_task(self._make_calls(calls, running))
            running.create_task(self._describe_jobs(context))
            while True:
                effect = await self._due.get()
                if isinstance(effect, DescribeChild):
                    running.create_task(_until_stopped(self._describe_child(effect, execution_of)))
                else:
                    assert isinstance(effect, AbandonCall), f"nothing carries out {effect!r}"
                    running.create_task(_until_stopped(self._abandon(effect)))

    # -- calls --

    async def _make_calls(self, calls: Calls, running: asyncio.TaskGroup) -> None:
        while True:
            effect = await self._to_call.get()
            is_bounded = calls.is_bounded(effect)
            if is_bounded:
                await self._places.acquire()
            self._calls[effect.key] = task = running.create_task(_call(calls, effect))
            task.add_done_callback(partial(self._called, effect.key, is_bounded))

    def _called(self, key: str, is_bounded: bool, task: asyncio.Task[None]) -> None:
        """Forgets a call, also one that was cancelled before it began."""
        if is_bounded:
            self._places.release()
        if self._calls.get(key) is task:
            del self._calls[key]

    async def _abandon(self, effect: AbandonCall) -> None:
        """Ends what a call has begun. One that has not answered begins nothing more: it is withdrawn."""
        running = self._calls.get(effect.key)
        if running is not None:
            running.cancel()
        done = CallAbandoned(effect.key)
        command = _ending(effect)
        if command is None:
            self._loop.report(done)
            return
        while True:
            try:
                with contextlib.suppress(Refused):  # it has ended, or is not known any more
                    await self._loop.ask(command, then=lambda answer: done)
                return
            except Busy:
                await asyncio.sleep(BUSY_SECONDS)

    # -- jobs and executions that tasks wait for --

    async def _describe_jobs(self, context: Context) -> None:
        """Describes jobs, those together that were asked for meanwhile."""
        while True:
            effects = [await self._to_describe.get()]
            while len(effects) < DESCRIBED_JOBS and not self._to_describe.empty():
                effects.append(self._to_describe.get_nowait())
            asked: Document = {"jobs": [effect.job_id for effect in effects]}
            found = await _until_read(partial(describe_jobs, context, Call("DescribeJobs"), asked))
            by_id = {one["jobId"]: one for one in found["jobs"]}
            for effect in effects:
                self._loop.report(job_described(effect, by_id.get(effect.job_id)))

    async def _describe_child(
        self, effect: DescribeChild, execution_of: Callable[[str], Awaitable[Execution | None]]
    ) -> None:
        execution = await _until_read(partial(execution_of, effect.arn))
        self._loop.report(
            ChildDescribed(
                execution_key=effect.execution_key,
                frame_id=effect.frame_id,
                event_id=effect.event_id,
                execution=execution,
            )
        )


async def _until_read(read: Callable[[], Awaitable[Result]]) -> Result:
    """Reads the store, again where other queries took all of its time: nothing else would continue the execution."""
    while True:
        try:
            return await read()
        except (Refused, OutOfTime):
            await asyncio.sleep(READ_SECONDS)


async def _call(calls: Calls, effect: CallIntegration) -> None:
    await _until_stopped(calls.call(effect))


async def _until_stopped(work: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(Stopped, Withdrawn):  # the service ends, or the execution does not wait for it any more
        await work


def _ending(effect: AbandonCall) -> Command[Any] | None:
    """Returns the command that ends what a call began; None: nothing was begun, or it ends by itself."""
    if not effect.target:
        return None
    if effect.resource.service == "batch":
        return TerminateJob(effect.target, TERMINATED)
    return StopExecution(effect.target) if effect.resource.service == "states" else None


def job_described(effect: DescribeJob, detail: Document | None) -> JobDescribed:
    """Returns the report of a job's detail, as DescribeJobs has it; None: the job is not known."""
    status = detail["status"] if detail is not None else "FAILED"
    output: Document = {}
    if detail is None:
        output = {"JobId": effect.job_id, "Status": status, "StatusReason": GONE}
    elif status in ENDED:
        output = job_output(detail)
    return JobDescribed(
        execution_key=effect.execution_key,
        frame_id=effect.frame_id,
        event_id=effect.event_id,
        has_ended=status in ENDED,
        is_succeeded=status == SUCCEEDED,
        output=output if status != "FAILED" else shortened(output),
    )


def job_output(detail: Document) -> Document:
    """Returns a job as the result of a task has it."""
    shape = SERVICES["batch"].model.shapes["JobDetail"]
    output: Document = write_pascal(shape, detail, has_iso_times=False)
    return output


def shortened(output: Document) -> Document:
    """Returns the detail of a job that failed, without its environment, and then without all attempts but the last,
    where it would be too long for a cause."""
    if _length(output) <= MAX_CAUSE:
        return output
    output = output | {"Container": {k: v for k, v in output.get("Container", {}).items() if k != "Environment"}}
    if _length(output) > MAX_CAUSE and output.get("Attempts"):
        output = output | {"Attempts": output["Attempts"][-1:]}
    for member in ("NodeProperties", "EcsProperties", "EksProperties", "Parameters", "Tags", "Container"):
        if _length(output) > MAX_CAUSE:
            output = {name: value for name, value in output.items() if name != member}
    return output


def _length(output: Document) -> int:
    return len(json.dumps(output, ensure_ascii=False, separators=(",", ":")))
