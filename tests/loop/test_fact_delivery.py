"""Facts reach their consumers at least once, in order for each job, after the commit; and are kept for those alone that
can still ask for them. With a real store."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from batchyard.core.machine import Machine
from batchyard.core.model import commands as c
from batchyard.core.model import reports
from batchyard.core.model.changes import Changes
from batchyard.core.model.effects import LaunchTask
from batchyard.core.model.fact_kinds import Cursor, Fact
from batchyard.core.model.facts import EnvironmentChanged, JobQueueBlocked, JobStateChanged
from batchyard.core.model.names import Account
from batchyard.core.model.records import Abilities, EnvironmentOrder, Instance, Status
from batchyard.core.model.resources import Resources
from batchyard.engines.base import Launch
from batchyard.loop import Loop
from batchyard.loop import fact_delivery as fact_delivery_module
from batchyard.loop.fact_delivery import FactDelivery
from batchyard.server.stored_facts import StoredFacts
from batchyard.store.store import Store
from tests.core.fact_ledger import FactLedger
from tests.loop.test_loop import ENGINE, HeldWriter, RecordingEngine, SetClock, settle

WAIT_SECONDS = 60
CHILDREN = 7
WHOLE_LIFE = [Status.SUBMITTED, Status.RUNNABLE, Status.STARTING, Status.RUNNING, Status.SUCCEEDED]


class Recorder:
    """A consumer that keeps what it gets. `holds_at`: after so many facts it takes no more."""

    def __init__(self, name: str = "recorder", *kinds: type[Fact], holds_at: int | None = None) -> None:
        self.name = name
        self.fact_types: Collection[type[Fact]] = kinds or (JobStateChanged,)
        self.facts: list[Fact] = []
        self.holds_at = holds_at
        self.wanted: Collection[Status] | None = None  # None: everything
        self._changed = asyncio.Condition()

    def wants(self, fact: Fact) -> bool:
        return self.wanted is None or (isinstance(fact, JobStateChanged) and fact.status in self.wanted)

    async def deliver(self, facts: Sequence[Fact]) -> None:
        if self.holds_at is not None and len(self.facts) >= self.holds_at:
            await asyncio.Event().wait()
        async with self._changed:
            self.facts += facts
            self._changed.notify_all()

    async def got(self, number: int) -> None:
        async with asyncio.timeout(WAIT_SECONDS), self._changed:
            await self._changed.wait_for(lambda: len(self.facts) >= number)

    @property
    def states(self) -> list[tuple[str, Status]]:
        return [(fact.job_id, fact.status) for fact in self.facts if isinstance(fact, JobStateChanged)]


class Server:
    """A loop on a data directory, with a host of `vcpus` and an engine that the test plays."""

    def __init__(self, path: Path, *consumers: Recorder, vcpus: int = 4) -> None:
        self.store = Store.open(str(path))
        self.writer = self.store.writer()
        self.writer.open("123456789012", "us-east-1")
        self.clock, self.engine, self.vcpus = SetClock(), RecordingEngine(), vcpus
        snapshot = self.writer.load(self.clock.ms)
        self.is_new = snapshot.last_time_ms == 0
        self.machine = Machine(Account("123456789012", "us-east-1"))
        self.machine.restore(snapshot)
        self.log = StoredFacts(self.store)
        self.delivery = FactDelivery(self.log, snapshot.cursors, snapshot.fact_sequence)
        self.loop = Loop(
            [self.machine], self.writer, {ENGINE: self.engine}, self.clock, _build_launch, delivery=self.delivery
        )
        for consumer in consumers:
            self.delivery.subscribe(consumer)
        self._running: asyncio.Task[None]

    async def begin(self) -> None:
        await self.loop.start(self.writer.epoch)
        self._running = asyncio.create_task(self.loop.run())
        await self.loop.ask(c.SetHost(Instance("i-1", Resources(self.vcpus * 1000, 65536)), {ENGINE: Abilities()}))
        if self.is_new:
            container = {"image": "x", "command": ["true"], "vcpus": 1, "memory": 4}
            for command in (
                c.CreateComputeEnvironment("local", "u", "UNMANAGED", "ENABLED", ENGINE, {}),
                c.CreateJobQueue("default", "ENABLED", 1, (EnvironmentOrder(1, "local"),)),
                c.RegisterJobDefinition("work", {"type": "container", "containerProperties": container}),
            ):
                await self.loop.ask(command)

    async def submit(self, number: int, **members: Any) -> None:
        await self.loop.ask(c.SubmitJob(f"id-{number}", "n", "default", "work", **members))

    def launched(self) -> list[str]:
        """The attempts that the engine was to launch, or was asked about, since the last call."""
        calls, self.engine.calls = self.engine.calls, []
        found = [attempt for name, attempts in calls if name == "launch" for attempt in attempts]
        return found + [attempt for name, attempts in calls if name == "recover" for attempt, _ in attempts]

    async def run_jobs(self) -> None:
        """Every attempt starts and ends with exit code 0, as many at once as fit, until no more are launched."""
        while launched := self.launched():
            self.engine.report([reports.Started(a, self.clock.ms) for a in launched])
            exits = (reports.ContainerExit(exit_code=0),)
            self.engine.report([reports.Exited(a, self.clock.ms, self.clock.ms, exits) for a in launched])
            await self.committed()

    async def committed(self) -> None:
        """All that was reported until now is committed, and each cursor that had moved."""
        for _ in range(3):
            await self.loop.ask(c.SetAway({}))

    async def end(self) -> None:
        self.loop.stop()
        try:
            await self._running
        finally:
            self.log.close()
            self.writer.close()

    def stored(self) -> list[Fact]:
        reader = self.store.reader()
        facts = [fact for _, part in reader.facts_after(0, 1000) for fact in part]
        reader.close()
        return facts


def _build_launch(effect: LaunchTask) -> Launch:
    return Launch(effect.attempt_node, effect.spec_key, effect.task, effect.environment)


@asynccontextmanager
async def serving(path: Path, *consumers: Recorder, vcpus: int = 4) -> AsyncIterator[Server]:
    server = Server(path, *consumers, vcpus=vcpus)
    await server.begin()
    try:
        yield server
    finally:
        await server.end()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "batchyard.db"


def test_every_state_of_jobs_and_children_is_delivered_in_order(path: Path) -> None:
    async def scenario() -> None:
        recorder = Recorder()
        async with serving(path, recorder) as server:
            await server.submit(1)
            await server.submit(2, array_size=CHILDREN)
            await server.run_jobs()
            await recorder.got(5 + 3 + 5 * CHILDREN)
        ledger = FactLedger()
        ledger.take(recorder.facts, are_delivered=True)
        assert ledger.paths["id-1"] == WHOLE_LIFE
        assert ledger.paths["id-2"] == [Status.SUBMITTED, Status.PENDING, Status.SUCCEEDED]
        for index in range(CHILDREN):
            assert ledger.paths[f"id-2:{index}"] == [Status.PENDING, *WHOLE_LIFE[1:]]
        assert {fact.queue for fact in recorder.facts if isinstance(fact, JobStateChanged)} == {"default"}

    asyncio.run(scenario())


def test_nothing_is_stored_or_made_that_nobody_asks_for(path: Path) -> None:
    async def scenario() -> None:
        async with serving(path) as server:
            await server.submit(1)
            assert server.machine.world.recorder.wanted == frozenset()
            assert server.stored() == []
        blocked = Recorder("blocked", JobQueueBlocked)
        async with serving(path, blocked) as server:
            await server.submit(2)
            assert server.machine.world.recorder.wanted == {JobQueueBlocked}
            assert server.stored() == []

    asyncio.run(scenario())


def test_facts_that_a_consumer_does_not_want_are_not_stored_but_while_it_is_away(path: Path) -> None:
    async def scenario() -> None:
        failures = Recorder()
        failures.wanted = {Status.SUCCEEDED}
        async with serving(path, failures) as server:
            await server.submit(1)
            assert server.stored() == []
            await server.run_jobs()
            await failures.got(1)
        async with serving(path) as server:
            await server.submit(2)
            kept = {fact.status for fact in server.stored() if isinstance(fact, JobStateChanged)}
            assert kept >= {Status.SUBMITTED, Status.RUNNABLE, Status.STARTING}
        assert failures.states == [("id-1", Status.SUCCEEDED)]

    asyncio.run(scenario())


def test_a_consumer_that_was_away_goes_on_where_it_stopped(path: Path) -> None:
    async def scenario() -> None:
        first = Recorder()
        async with serving(path, first) as server:
            await server.submit(1)
            await first.got(3)
            await server.committed()
        async with serving(path) as server:  # it is away, and its facts are kept
            await server.submit(2)
        later, other = Recorder(), Recorder("other")
        async with serving(path, later, other) as server:
            await later.got(3)
            await server.submit(3)
            await later.got(6)
            await other.got(3)
        assert first.states == [("id-1", status) for status in WHOLE_LIFE[:3]]
        assert later.states == [(f"id-{number}", status) for number in (2, 3) for status in WHOLE_LIFE[:3]]
        assert other.states == [("id-3", status) for status in WHOLE_LIFE[:3]], "a new one gets what is new"

    asyncio.run(scenario())


def test_facts_go_when_the_last_consumer_has_them(path: Path) -> None:
    async def scenario() -> None:
        away, here = Recorder("away"), Recorder("here")
        async with serving(path, away, here) as server:
            await server.committed()
        async with serving(path, here) as server:
            await server.submit(1)
            await here.got(3)
            await server.committed()
            assert len(server.stored()) == 3
            server.delivery.unsubscribe("away")
            await server.committed()
            assert server.stored() == []
            await server.submit(2)
            await here.got(6)
        async with serving(path) as server:
            server.delivery.unsubscribe("here")
            await server.committed()
            assert server.writer.load(0).cursors == {}
            assert server.stored() == []

    asyncio.run(scenario())


def test_a_cut_inside_a_range_goes_on_inside_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_delivery_module, "DELIVERED_FACTS", 3)

    async def scenario() -> None:
        first = Recorder(holds_at=6)
        async with serving(path, first, vcpus=0) as server:
            await server.submit(1, array_size=CHILDREN)
            await first.got(6)
            await server.committed()
        later = Recorder()
        async with serving(path, later, vcpus=0) as server:
            (cursor,) = server.writer.load(0).cursors.values()
            assert cursor == Cursor(0, 6, ("job",))
            await later.got(2 + 2 * CHILDREN - 6)
        ledger = FactLedger()
        ledger.take([*first.facts, *later.facts], are_delivered=True)
        assert set(ledger.paths) == {"id-1", *(f"id-1:{index}" for index in range(CHILDREN))}

    asyncio.run(scenario())


def test_nothing_is_delivered_before_its_commit(path: Path) -> None:
    class Log:
        async def read(self, after: int, limit: int) -> Sequence[tuple[int, Sequence[Fact]]]:
            stored = [changes for changes, future in writer.asked if future.done() and changes.facts]
            return [(one.fact_sequence, one.facts) for one in stored if one.fact_sequence > after][:limit]

    writer = HeldWriter()

    async def scenario() -> None:
        recorder = Recorder("recorder", EnvironmentChanged)
        delivery = FactDelivery(Log(), {}, 0)
        delivery.subscribe(recorder)
        machine = Machine(Account("123456789012", "us-east-1"))
        loop = Loop([machine], writer, {}, SetClock(), _build_launch, delivery=delivery)
        running = asyncio.create_task(loop.run())
        await settle()
        writer.asked.pop()[1].set_result(None)  # the cursor
        answer = asyncio.create_task(
            loop.ask(c.CreateComputeEnvironment("local", "u", "UNMANAGED", "ENABLED", ENGINE, {}))
        )
        await settle()
        assert len(writer.asked) == 1
        assert recorder.facts == []
        writer.automatic = True
        writer.asked[0][1].set_result(None)
        await answer
        await recorder.got(1)
        assert [(fact.name, fact.status) for fact in recorder.facts if isinstance(fact, EnvironmentChanged)] == [
            ("local", "VALID")
        ]
        loop.stop()
        await running

    asyncio.run(scenario())


def test_a_consumer_that_fails_ends_the_loop_and_gets_its_facts_again(path: Path) -> None:
    class Failing(Recorder):
        def wants(self, fact: Fact) -> bool:
            return True

        async def deliver(self, facts: Sequence[Fact]) -> None:
            raise ZeroDivisionError

    async def scenario() -> None:
        server = Server(path, Failing())
        await server.begin()
        await server.submit(1)
        with pytest.raises(ZeroDivisionError):
            await server._running
        with pytest.raises(ZeroDivisionError):
            await server.end()
        later = Recorder()
        async with serving(path, later):
            await later.got(3)
        assert later.states == [("id-1", status) for status in WHOLE_LIFE[:3]]

    asyncio.run(scenario())


def test_listeners_hear_of_facts_after_their_commit_and_nothing_is_stored(path: Path) -> None:
    async def scenario() -> None:
        heard: list[Fact] = []
        writer = HeldWriter()
        machine = Machine(Account("123456789012", "us-east-1"))
        loop = Loop([machine], writer, {}, SetClock(), _build_launch, listeners={EnvironmentChanged: heard.append})
        running = asyncio.create_task(loop.run())
        answer = asyncio.create_task(
            loop.ask(c.CreateComputeEnvironment("local", "u", "UNMANAGED", "ENABLED", ENGINE, {}))
        )
        await settle()
        assert heard == []
        writer.asked[0][1].set_result(None)
        await answer
        await settle()
        assert len(heard) == 1
        assert all(changes.facts == [] for changes, _ in writer.asked)
        loop.stop()
        await running

    asyncio.run(scenario())


def test_changes_of_several_machines_keep_their_facts() -> None:
    changes, more = Changes(facts=[JobQueueBlocked(1, "q", "a", "")]), Changes(facts=[JobQueueBlocked(1, "q", "b", "")])
    changes.absorb(more)
    assert [fact.job_id for fact in changes.facts if isinstance(fact, JobQueueBlocked)] == ["a", "b"]


# -- kill --

JOBS = 6


def run_and_die(path: Path, output: Path, deliveries: int) -> None:
    """Submits and runs jobs, and writes down what is delivered; dies, as by kill -9, in the given delivery."""

    class Dying(Recorder):
        def wants(self, fact: Fact) -> bool:
            return True

        async def deliver(self, facts: Sequence[Fact]) -> None:
            with output.open("a") as file:
                for fact in facts:
                    assert isinstance(fact, JobStateChanged)
                    file.write(json.dumps([fact.job_id, fact.status]) + "\n")
            self.deliveries = getattr(self, "deliveries", 0) + 1
            if self.deliveries >= deliveries:
                os.kill(os.getpid(), 9)
            await super().deliver(facts)

    async def run() -> None:
        async with serving(path, Dying(), vcpus=2) as server:
            known = server.machine.world.jobs.next_key
            for number in range(known, JOBS + 1):
                await server.submit(number)
                await server.run_jobs()
            await server.run_jobs()
            await asyncio.Event().wait()

    asyncio.run(run())


def test_no_fact_is_lost_by_kill(path: Path, tmp_path: Path) -> None:
    """Killed in the middle of deliveries, again and again; each start goes on, and repeats what it must."""
    output = tmp_path / "delivered"
    program = (
        "import sys\nfrom pathlib import Path\nfrom tests.loop.test_fact_delivery import run_and_die\n"
        "run_and_die(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))"
    )
    for deliveries in (1, 3, 2):
        arguments = [sys.executable, "-c", program, str(path), str(output), str(deliveries)]
        killed = subprocess.run(arguments, check=False, timeout=WAIT_SECONDS)
        assert killed.returncode == -9
    last = Recorder()

    async def scenario() -> None:
        async with serving(path, last) as server:
            await server.run_jobs()
            await server.submit(99)
            async with asyncio.timeout(WAIT_SECONDS):
                while ("id-99", Status.SUBMITTED) not in last.states:
                    await last.got(len(last.facts) + 1)

    asyncio.run(scenario())
    delivered = [(job_id, Status(status)) for job_id, status in map(json.loads, output.read_text().splitlines())]
    states: dict[str, list[Status]] = {}
    for job_id, status in [*delivered, *last.states]:
        states.setdefault(job_id, []).append(status)
    del states["id-99"]
    reader = Store.open(str(path)).reader()
    assert set(states) == {view.spec.job_id for view in reader.jobs([f"id-{number}" for number in range(1, JOBS + 1)])}
    reader.close()
    assert "id-1" in states
    for found in states.values():
        assert list(dict.fromkeys(found)) == WHOLE_LIFE, "first delivered in order, and none is missing"
    assert max(map(len, states.values())) > len(WHOLE_LIFE), "a kill repeats what was in hand"


def test_parts_go_over_transactions_and_end_where_the_cursor_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_delivery_module, "DELIVERED_FACTS", 4)
    made = [JobStateChanged(1, 1, f"j{number}", "q", Status.RUNNABLE) for number in range(12)]
    rows = [(5, made[:3]), (6, made[3:4]), (8, made[4:11]), (9, made[11:])]
    parts = list(fact_delivery_module._parts(rows, fact_delivery_module.Cursor(4, done=1)))
    assert [fact for part, _, _ in parts for fact in part] == made[1:]
    assert [(len(part), sequence, done) for part, sequence, done in parts] == [(4, 6, 1), (4, 6, 5), (3, 9, 0)]
    for number, (_, sequence, done) in enumerate(parts):  # a consumer that is killed after a part gets the rest
        left = [row for row in rows if row[0] > sequence]
        again = fact_delivery_module._parts(left, fact_delivery_module.Cursor(sequence, done=done))
        assert [f for part, _, _ in again for f in part] == [f for part, _, _ in parts[number + 1 :] for f in part]
