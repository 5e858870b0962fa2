"""A machine that counts what another one does: in the same transaction, and without a stored fact."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from msgspec import Struct

from batchyard.core.machine import Machine
from batchyard.core.model import commands as c
from batchyard.core.model import documents
from batchyard.core.model.changes import Changes
from batchyard.core.model.commands import Command
from batchyard.core.model.effects import Effect
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import JobStateChanged
from batchyard.core.model.names import Account
from batchyard.core.model.records import Abilities, EnvironmentOrder, Instance
from batchyard.core.model.resources import Resources
from batchyard.loop import Loop
from tests.loop.test_fact_delivery import ENGINE, _build_launch
from tests.loop.test_loop import RecordingEngine, SetClock
from tests.loop.test_several_machines import WatchedWriter

CHILDREN = 5


class Count(Struct, frozen=True):
    number: int


COUNT = documents.register("test-count", Count)


class Counts:
    """How many jobs and children came into each state."""

    command_types: Collection[type[Command[Any]]] = ()
    report_types: Collection[type[Any]] = ()
    observed_facts: Collection[type[Fact]] = (JobStateChanged,)

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.pending_changes = Changes()

    def want_facts(self, kinds: Collection[type[Fact]]) -> None: ...

    def observe(self, facts: Sequence[Fact], now_ms: int) -> None:
        for fact in facts:
            assert isinstance(fact, JobStateChanged)
            self.counts[fact.status] += max(1, fact.stop - fact.start)
            self.pending_changes.documents[COUNT, fact.status] = Count(self.counts[fact.status])

    def handle(self, command: Command[Any], now_ms: int) -> NoReturn:
        raise AssertionError

    def report(self, source: str, report: Any, now_ms: int) -> NoReturn:
        raise AssertionError

    def schedule(self, now_ms: int) -> None: ...

    def outgoing(self) -> list[Struct]:
        return []

    def take(self) -> tuple[Changes, list[Effect]]:
        taken, self.pending_changes = self.pending_changes, Changes()
        return taken, []

    def next_deadline(self) -> int | None:
        return None

    def recover(self) -> list[Effect]:
        return []


def test_what_a_machine_counts_of_a_batch_is_in_its_transaction_and_no_fact_is_stored(tmp_path: Path) -> None:
    async def scenario() -> None:
        store, counts = WatchedWriter(tmp_path), Counts()
        machine = Machine(Account("123456789012", "us-east-1"))
        loop = Loop([machine, counts], store, {ENGINE: RecordingEngine()}, SetClock(), _build_launch)
        await loop.start(epoch=1)
        running = asyncio.create_task(loop.run())
        container = {"image": "x", "command": ["true"], "vcpus": 1, "memory": 4}
        for command in (
            c.SetHost(Instance("i-1", Resources(2000, 65536)), {ENGINE: Abilities()}),
            c.CreateComputeEnvironment("local", "u", "UNMANAGED", "ENABLED", ENGINE, {}),
            c.CreateJobQueue("default", "ENABLED", 1, (EnvironmentOrder(1, "local"),)),
            c.RegisterJobDefinition("work", {"type": "container", "containerProperties": container}),
        ):
            await loop.ask(command)
        store.commits.clear()
        await loop.ask(c.SubmitJob("id-1", "n", "default", "work", array_size=CHILDREN))
        loop.stop()
        await running
        store.writer.close()
        (commit,) = store.commits
        assert [spec.job_id for spec in commit.specs] == ["id-1"]
        assert {name: record for (kind, name), record in commit.documents.items() if kind == COUNT} == {
            "SUBMITTED": Count(1),
            "PENDING": Count(1 + CHILDREN),  # the array itself, and its children
            "RUNNABLE": Count(CHILDREN),
            "STARTING": Count(2),
        }
        assert commit.facts == []
        assert commit.fact_sequence == 0

    asyncio.run(scenario())
