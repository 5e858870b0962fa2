"""A loop with more than one machine: who gets what, and that all of a batch is one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from batchyard.core.machine import Machine
from batchyard.core.model import documents
from batchyard.core.model.changes import Changes
from batchyard.core.model.commands import Command
from batchyard.core.model.effects import Effect, LaunchTask
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.names import Account
from batchyard.core.questions.capacity import AskCapacity
from batchyard.engines.base import Launch
from batchyard.loop import Loop
from batchyard.loop.hosted_machine import HostedMachine
from batchyard.store.store import Store
from batchyard.timers.machine import TIMER, SetTimer, TimerMachine, register
from tests.loop.test_loop import SetClock

SECOND_MS = 1000


class RingIn(Command[int], frozen=True):
    name: str
    delay_ms: int


class Rung(Struct, frozen=True):
    name: str


class Bell(Struct, frozen=True):
    name: str
    rung: int


class Ring(Effect, frozen=True):
    name: str


BELL = documents.register("test-bell", Bell)
OWNER = register("test-bells", Rung)


class Bells:
    """A toy machine: counts how often each bell rang, and rings it after the commit."""

    command_types: Collection[type[Command[Any]]] = (RingIn,)
    report_types: Collection[type[Any]] = (Rung,)

    def __init__(self) -> None:
        self.rung: dict[str, int] = {}
        self._out: list[Struct] = []
        self.pending_changes, self._effects = Changes(), list[Effect]()

    def restore(self, records: dict[tuple[str, str], Struct]) -> None:
        self.rung = {record.name: record.rung for record in records.values() if isinstance(record, Bell)}

    def handle(self, command: RingIn, now_ms: int) -> int:
        self._out.append(SetTimer(OWNER, command.name, now_ms + command.delay_ms, Rung(command.name)))
        return now_ms + command.delay_ms

    def report(self, source: str, report: Rung, now_ms: int) -> None:
        self.rung[report.name] = self.rung.get(report.name, 0) + 1
        self.pending_changes.documents[BELL, report.name] = Bell(report.name, self.rung[report.name])
        self._effects.append(Ring(report.name))

    def want_facts(self, kinds: Collection[type[Fact]]) -> None:
        """It makes none."""

    def schedule(self, now_ms: int) -> None: ...

    def outgoing(self) -> list[Struct]:
        out, self._out = self._out, []
        return out

    def take(self) -> tuple[Changes, list[Effect]]:
        taken = self.pending_changes, self._effects
        self.pending_changes, self._effects = Changes(), []
        return taken

    def next_deadline(self) -> int | None:
        return None

    def recover(self) -> list[Effect]:
        return []


class WatchedWriter:
    """A real store, whose commits are remembered."""

    def __init__(self, directory: Path) -> None:
        self.writer = Store.open(str(directory / "state.db")).writer()
        self.writer.open("123456789012", "us-east-1")
        self.commits: list[Changes] = []

    def commit(self, changes: Changes, now_ms: int) -> Any:
        self.commits.append(msgspec.structs.replace(changes))
        return self.writer.commit(changes, now_ms)


def no_launch(effect: LaunchTask) -> Launch:
    raise AssertionError(f"there is no job, and {effect} is to be launched")


class Yard:
    """A service of three machines on the store of `directory`."""

    def __init__(self, directory: Path, clock: SetClock) -> None:
        self.store, self.clock, self.heard = WatchedWriter(directory), clock, list[str]()
        self.bells, timers, jobs = Bells(), TimerMachine(), Machine(Account("123456789012", "us-east-1"))
        snapshot = self.store.writer.load(clock.now_ms())
        jobs.restore(snapshot)
        timers.restore(snapshot.documents)
        self.bells.restore(snapshot.documents)
        machines: Sequence[HostedMachine] = [jobs, timers, self.bells]
        self.rang = asyncio.Event()
        self.loop = Loop(machines, self.store, {}, clock, no_launch, handlers={Ring: self.ring})

    def ring(self, effects: Sequence[Effect]) -> None:
        self.heard += [effect.name for effect in effects if isinstance(effect, Ring)]
        self.rang.set()

    async def serve(self, scenario: Callable[[Yard], Coroutine[Any, Any, None]]) -> None:
        await self.loop.start(epoch=1)
        running = asyncio.create_task(self.loop.run())
        try:
            await scenario(self)
        finally:
            self.loop.stop()
            await asyncio.gather(running)
            self.store.writer.close()


def test_each_command_goes_to_its_machine(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        due_ms = await yard.loop.ask(RingIn("a", SECOND_MS))
        assert due_ms == yard.clock.now_ms() + SECOND_MS
        assert (await yard.loop.ask(AskCapacity())).jobs_running == 0
        assert [list(changes.documents) for changes in yard.store.commits] == [[(TIMER, f"{OWNER}/a")]]

    asyncio.run(Yard(tmp_path, SetClock()).serve(scenario))


def test_a_timer_and_what_it_causes_are_one_transaction_also_after_a_restart(tmp_path: Path) -> None:
    clock = SetClock()

    async def set_it(yard: Yard) -> None:
        await yard.loop.ask(RingIn("a", SECOND_MS))

    async def wait_for_it(yard: Yard) -> None:
        await yard.loop.ask(AskCapacity())
        assert yard.heard == []
        clock.ms += SECOND_MS
        await yard.loop.ask(AskCapacity())
        assert (yard.heard, yard.bells.rung) == (["a"], {"a": 1})
        assert [changes.documents for changes in yard.store.commits] == [
            {(BELL, "a"): Bell("a", 1), (TIMER, f"{OWNER}/a"): None}
        ]

    async def look_again(yard: Yard) -> None:
        clock.ms += SECOND_MS
        await yard.loop.ask(AskCapacity())
        assert (yard.heard, yard.bells.rung, yard.store.commits) == ([], {"a": 1}, [])

    for scenario in (set_it, wait_for_it, look_again):
        asyncio.run(Yard(tmp_path, clock).serve(scenario))


def test_the_loop_wakes_for_the_timer_of_any_machine(tmp_path: Path) -> None:
    class Ticking(SetClock):
        """Goes on by a millisecond whenever it is read."""

        def now_ms(self) -> int:
            self.ms += 1
            return self.ms

    async def scenario(yard: Yard) -> None:
        await yard.loop.ask(RingIn("a", 20))
        await yard.rang.wait()

    asyncio.run(asyncio.wait_for(Yard(tmp_path, Ticking()).serve(scenario), timeout=60))


def test_two_machines_do_not_take_one_command(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="two machines take RingIn"):
        Loop([Bells(), Bells()], None, {}, SetClock(), no_launch)  # type: ignore[arg-type]


def test_machines_that_answer_each_other_for_ever_are_a_fault(tmp_path: Path) -> None:
    class Echo(Bells):
        def report(self, source: str, report: Rung, now_ms: int) -> None:
            self._out.append(report)

    yard = Yard(tmp_path, SetClock())
    yard.loop = Loop([Echo()], yard.store, {}, yard.clock, no_launch)

    async def run() -> None:
        yard.loop.sink("")([Rung("a")])  # type: ignore[list-item]
        with pytest.raises(AssertionError, match="still report to each other"):
            await yard.loop.run()

    asyncio.run(run())
    yard.store.writer.close()
