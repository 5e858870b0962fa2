"""The loop's promises: nothing is answered or acted on before its commit; a failed commit ends everything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from batchyard.core.machine import Machine
from batchyard.core.model import commands as c
from batchyard.core.model import names, reports
from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.changes import Changes, Snapshot
from batchyard.core.model.effects import LaunchTask
from batchyard.core.model.names import Account
from batchyard.core.model.records import Abilities, EnvironmentOrder, Instance, Job, Status
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import Resources
from batchyard.core.questions.capacity import AskCapacity
from batchyard.engines.base import RECOVERED_SILENT, Launch, Recovery, ReportSink
from batchyard.loop import Busy, Loop, Stopped
from batchyard.loop import loop as loop_module

ENGINE = "process"
TURNS = 50  # of the event loop: more than anything here needs to settle


class HeldWriter:
    """Commits wait until the test lets them through."""

    def __init__(self) -> None:
        self.asked: list[tuple[Changes, Future[None]]] = []
        self.automatic = False

    def commit(self, changes: Changes, now_ms: int) -> Future[None]:
        future: Future[None] = Future()
        self.asked.append((changes, future))
        if self.automatic:
            future.set_result(None)
        return future


class RecordingEngine:
    name = ENGINE
    abilities = Abilities()

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.report: ReportSink

    async def start(self, epoch: int, report: ReportSink) -> None:
        self.report = report

    def launch(self, tasks: Sequence[Launch]) -> None:
        self.calls.append(("launch", [t.attempt_id for t in tasks]))

    def stop(self, attempt_node: AttemptNode, grace_seconds: float) -> None:
        self.calls.append(("stop", attempt_node.attempt_id))

    def acknowledge(self, attempt_nodes: Sequence[AttemptNode]) -> None:
        self.calls.append(("acknowledge", [one.attempt_id for one in attempt_nodes]))

    def recover(self, attempts: Sequence[Recovery]) -> None:
        self.calls.append(("recover", [(a.launch.attempt_id, a.may_launch) for a in attempts]))

    async def close(self, *, kill: bool) -> None:
        self.calls.append(("close", kill))


class SetClock:
    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.ms


class Yard:
    def __init__(self) -> None:
        self.problem = ""  # why nothing may be started
        self.writer, self.engine, self.clock = HeldWriter(), RecordingEngine(), SetClock()
        self.machine = Machine(Account("123456789012", "us-east-1"))
        self.loop = Loop([self.machine], self.writer, {ENGINE: self.engine}, self.clock, self.build_launch)

    def build_launch(self, effect: LaunchTask) -> Launch:
        return Launch(effect.attempt_node, effect.spec_key, effect.task, effect.environment, problem=self.problem)

    def job(self, number: int) -> Job:
        """As it was committed last."""
        key = self.machine.world.jobs.by_id[f"id-{number}"]
        return next(changes.jobs[key] for changes, _ in reversed(self.writer.asked) if key in changes.jobs)

    async def set_up(self) -> None:
        self.writer.automatic = True
        container = {"image": "x", "command": ["true"], "vcpus": 1, "memory": 4}
        for command in (
            c.SetHost(Instance("i-1", Resources(2000, 4096)), {ENGINE: Abilities()}),
            c.CreateComputeEnvironment("local", "u", "UNMANAGED", "ENABLED", ENGINE, {}),
            c.CreateJobQueue("default", "ENABLED", 1, (EnvironmentOrder(1, "local"),)),
            c.RegisterJobDefinition("work", {"type": "container", "containerProperties": container}),
        ):
            await self.loop.ask(command)
        self.writer.automatic = False
        self.writer.asked.clear()
        assert self.engine.calls == [("recover", [])], "an engine without attempts hears that it has none"
        self.engine.calls.clear()

    def submit(self, number: int, **members: Any) -> asyncio.Task[Any]:
        return asyncio.create_task(self.loop.ask(c.SubmitJob(f"id-{number}", "n", "default", "work", **members)))


def in_loop(scenario: Callable[[Yard], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        yard = Yard()
        await yard.loop.start(epoch=1)
        running = asyncio.create_task(yard.loop.run())
        try:
            await yard.set_up()
            await scenario(yard)
        finally:
            yard.writer.automatic = True
            for _, commit in yard.writer.asked:
                if not commit.done():
                    commit.set_result(None)
            yard.loop.stop()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


async def settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


def test_nothing_is_answered_or_launched_before_the_commit() -> None:
    async def scenario(yard: Yard) -> None:
        answer = yard.submit(1)
        await settle()
        assert len(yard.writer.asked) == 1
        assert not answer.done()
        assert yard.engine.calls == []
        yard.writer.asked[0][1].set_result(None)
        assert (await answer).job_id == "id-1"
        assert [name for name, _ in yard.engine.calls] == ["launch"]

    in_loop(scenario)


def test_what_arrives_during_a_commit_is_the_next_batch() -> None:
    async def scenario(yard: Yard) -> None:
        answers = [yard.submit(1)]
        await settle()
        answers += [yard.submit(n) for n in range(2, 30)]
        await settle()
        yard.writer.asked[0][1].set_result(None)
        await settle()
        assert [len(changes.specs) for changes, _ in yard.writer.asked] == [1, 28]
        yard.writer.asked[1][1].set_result(None)
        await asyncio.gather(*answers)

    in_loop(scenario)


def test_a_refusal_is_answered_and_writes_nothing() -> None:
    async def scenario(yard: Yard) -> None:
        with pytest.raises(Refused, match="JobQueue nowhere not found"):
            await yard.loop.ask(c.SubmitJob("id", "n", "nowhere", "work"))
        assert yard.writer.asked == []

    in_loop(scenario)


def test_a_failed_commit_ends_the_loop_and_nobody_is_told_yes() -> None:
    async def run() -> None:
        yard = Yard()
        await yard.loop.start(epoch=1)
        running = asyncio.create_task(yard.loop.run())
        await yard.set_up()
        answer, later = yard.submit(1), None
        await settle()
        later = yard.submit(2)
        await settle()
        yard.writer.asked[0][1].set_exception(OSError("no space left"))
        with pytest.raises(OSError, match="no space left"):
            await running
        assert yard.engine.calls == []
        with pytest.raises(asyncio.CancelledError):
            await answer
        with pytest.raises(Stopped):
            await later
        with pytest.raises(Stopped):
            await yard.loop.ask(AskCapacity())

    asyncio.run(run())


def test_a_full_inbox_is_busy_and_reports_are_never_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "INBOX_COMMANDS", 3)

    async def scenario(yard: Yard) -> None:
        first = yard.submit(1)
        await settle()
        waiting = [yard.submit(n) for n in range(2, 5)]
        await settle()
        with pytest.raises(Busy):
            await yard.loop.ask(c.SubmitJob("id-9", "n", "default", "work"))
        yard.engine.report([reports.Started("0" * 32, 1)] * 10)
        yard.writer.automatic = True
        yard.writer.asked[0][1].set_result(None)
        await asyncio.gather(first, *waiting)

    in_loop(scenario)


def test_a_caller_who_left_does_not_hold_up_the_others() -> None:
    async def scenario(yard: Yard) -> None:
        gone, stays = yard.submit(1), yard.submit(2)
        await settle()
        gone.cancel()
        yard.writer.asked[0][1].set_result(None)
        assert (await stays).job_id == "id-2"
        assert len(yard.machine.world.jobs.specs) == 2, "the one who left was served all the same"

    in_loop(scenario)


def test_a_timeout_wakes_the_loop_by_itself() -> None:
    async def scenario(yard: Yard) -> None:
        yard.writer.automatic = True
        await yard.submit(1, timeout={"attemptDurationSeconds": 60})
        attempt = yard.engine.calls[0][1][0]
        yard.engine.report([reports.Started(attempt, yard.clock.ms)])
        await settle()
        yard.clock.ms += 60_000
        yard.engine.report([])  # what it waits for was computed before the clock was set
        await settle()
        assert yard.engine.calls[-1] == ("stop", attempt)

    in_loop(scenario)


def test_outcomes_are_acknowledged_after_their_commit_and_before_the_next_launch() -> None:
    async def scenario(yard: Yard) -> None:
        yard.writer.automatic = True
        for number in range(1, 4):
            await yard.submit(number)
        (_, (first,)), (_, (second,)) = yard.engine.calls[0], yard.engine.calls[1]
        yard.writer.automatic = False
        yard.writer.asked.clear()
        yard.engine.calls.clear()
        yard.engine.report([reports.Exited(first, 1, 2, (reports.ContainerExit(exit_code=0),))])
        await settle()
        assert yard.engine.calls == []
        yard.writer.asked[0][1].set_result(None)
        await settle()
        assert [name for name, _ in yard.engine.calls] == ["acknowledge", "launch"]
        assert yard.engine.calls[0][1] == [first]
        assert second not in yard.engine.calls[1][1]

    in_loop(scenario)


def test_stop_serves_what_was_accepted_and_then_refuses() -> None:
    async def scenario(yard: Yard) -> None:
        answer = yard.submit(1)
        await settle()
        second = yard.submit(2)
        await settle()
        yard.loop.stop()
        yard.writer.automatic = True
        yard.writer.asked[0][1].set_result(None)
        assert [(await a).job_id for a in (answer, second)] == ["id-1", "id-2"]
        await settle()
        with pytest.raises(Stopped):
            await yard.loop.ask(AskCapacity())

    in_loop(scenario)


def test_an_engine_that_comes_later_is_asked_about_its_attempts_first() -> None:
    async def scenario() -> None:
        yard = Yard()
        late = RecordingEngine()
        late.name = "late"
        await yard.loop.start(epoch=1)
        running = asyncio.create_task(yard.loop.run())
        await yard.set_up()
        yard.writer.automatic = True
        abilities = {ENGINE: Abilities(), "late": Abilities()}
        for command in (
            c.SetHost(Instance("i-1", Resources(2000, 4096)), abilities),
            c.CreateComputeEnvironment("far", "u", "UNMANAGED", "ENABLED", "late", {}),
            c.CreateJobQueue("far", "ENABLED", 1, (EnvironmentOrder(1, "far"),)),
            c.SubmitJob("id-1", "n", "far", "work"),
            c.SubmitJob("id-2", "n", "far", "work"),
            c.TerminateJob("id-2", "enough"),
        ):
            await yard.loop.ask(command)
        assert late.calls == []  # placed, and nobody to be told
        await yard.loop.start_engine(late, epoch=1)
        await settle()
        first, second = (names.task_id(key, 1, f"id-{key}") for key in (1, 2))
        assert late.calls == [("recover", [(first, True), (second, False)]), ("stop", second)]
        await yard.loop.ask(c.TerminateJob("id-1", "enough"))
        assert late.calls[2:] == [("stop", first)]
        assert yard.engine.calls == []
        yard.loop.stop()
        await running

    asyncio.run(scenario())


PROBLEM = "ResourceInitializationError: no such secret"


def test_what_must_not_be_started_is_reported_and_never_reaches_the_engine() -> None:
    async def scenario(yard: Yard) -> None:
        yard.problem = PROBLEM
        yard.writer.automatic = True
        await yard.submit(1, retry_strategy={"attempts": 2})
        await settle()
        job = yard.job(1)
        assert job.status is Status.FAILED
        assert [(a.reason, a.exit_code, a.status_reason) for a in job.past] == [
            (PROBLEM, None, "Task failed to start")
        ] * 2
        assert {name for name, _ in yard.engine.calls} == {"acknowledge"}

    in_loop(scenario)


def restarted(yard: Yard, problem: str) -> Yard:
    """A server that finds what the other one had placed; its engine answers when the test says so."""
    later = Yard()
    later.problem = problem
    later.writer.automatic = True
    snapshot = Snapshot(next_key=yard.machine.world.jobs.next_key, last_time_ms=yard.clock.ms)
    for changes, _ in yard.writer.asked:
        snapshot.specs += changes.specs
        snapshot.jobs += [job for job in changes.jobs.values() if job.attempt is not None]
    for record in yard.machine.world.queues.values():
        snapshot.queues.append(record)
    snapshot.environments += yard.machine.world.environments.values()
    later.machine.restore(snapshot)
    return later


@pytest.mark.parametrize("problem", ["", PROBLEM])
def test_after_a_restart_it_is_started_only_if_it_can_be_now(problem: str) -> None:
    """The first server died between the commit of the placement and that of the problem."""

    async def scenario(yard: Yard) -> None:
        yard.submit(1)
        await settle()
        later = restarted(yard, problem)
        await later.loop.start(epoch=2)
        ((name, ((attempt, may_launch),)),) = later.engine.calls
        assert (name, may_launch) == ("recover", not problem)
        running = asyncio.create_task(later.loop.run())
        if problem:
            later.engine.report([reports.NotStarted(attempt, 1, RECOVERED_SILENT)])
            await settle()
            assert later.job(1).past[0].reason == PROBLEM
        else:
            later.engine.report([reports.Started(attempt, 1)])
            await settle()
            assert later.job(1).status is Status.RUNNING
        later.loop.stop()
        await running

    in_loop(scenario)


def test_what_was_stopped_before_it_started_says_just_that() -> None:
    """It had been launched by the first server; the second one could not have started it."""

    async def scenario(yard: Yard) -> None:
        yard.submit(1)
        await settle()
        later = restarted(yard, PROBLEM)
        await later.loop.start(epoch=2)
        running = asyncio.create_task(later.loop.run())
        ((_, ((attempt, _),)),) = later.engine.calls
        await later.loop.ask(c.TerminateJob("id-1", "enough"))
        await settle()
        later.engine.report([reports.NotStarted(attempt, 1, RECOVERED_SILENT)])
        await settle()
        assert later.job(1).status is Status.FAILED
        assert later.job(1).past[0].reason == RECOVERED_SILENT
        later.loop.stop()
        await running

    in_loop(scenario)


def test_what_runs_is_left_alone_though_it_could_not_be_started_now() -> None:
    async def scenario(yard: Yard) -> None:
        yard.submit(1)
        await settle()
        later = restarted(yard, PROBLEM)
        await later.loop.start(epoch=2)
        running = asyncio.create_task(later.loop.run())
        ((_, ((attempt, _),)),) = later.engine.calls
        later.engine.report([reports.Started(attempt, 1)])
        later.engine.report([reports.Exited(attempt, 1, 2, (reports.ContainerExit(exit_code=0),))])
        await settle()
        assert later.job(1).status is Status.SUCCEEDED
        later.loop.stop()
        await running

    in_loop(scenario)
