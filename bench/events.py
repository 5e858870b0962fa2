"""What events of AWS Batch cost: `python -m bench.events KIND [CHILDREN]` runs an array through the core, as bench.core
does, and prints microseconds of CPU a child.

none: no rule may match an event of AWS Batch. unmatched: a rule for failed jobs of another queue, which matches none.
matched: a rule that matches everything, into a log group: the facts are stored, and what it costs to deliver them is
measured alone, with the events a second of one core.

A count of instructions does not depend on neighbours; two sizes give the count of one child:
`valgrind --tool=cachegrind --cache-sim=no python -m bench.events unmatched 500`, the same with 2500, and the difference
by 2000."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from batchyard.clock import wall_clock_ms
from batchyard.core.machine import Machine
from batchyard.core.model import commands
from batchyard.core.model.changes import Changes
from batchyard.core.model.effects import Effect, LaunchTask
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import expand
from batchyard.core.model.names import Account
from batchyard.core.model.reports import ContainerExit, Exited, Started
from batchyard.events.records import Rule, Target
from batchyard.events.router import Router
from batchyard.loop.fact_delivery import DELIVERED_FACTS, FactDelivery
from batchyard.server.events.batch_events import BatchEventMaker
from batchyard.server.events.fact_consumer import FactEvents
from batchyard.store.logs.log_writer import LogWriter
from batchyard.store.store import Store
from bench.core import CHILDREN, ENGINE, prepared_machine

ACCOUNT = Account("123456789012", "us-east-1")
GROUP = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/events/all"
PATTERNS = {
    "none": '{"source": ["my.app"]}',
    "unmatched": '{"source": ["aws.batch"], "detail": {"status": ["FAILED"], "jobQueue": [{"suffix": "/other"}]}}',
    "matched": '{"source": ["aws.batch"]}',
}


class _NoFacts:
    async def read(self, after: int, limit: int) -> Sequence[tuple[int, Sequence[Fact]]]:
        raise AssertionError("facts are delivered by the benchmark")


def run_array(machine: Machine, children: int) -> Iterator[Changes]:
    """Runs an array to its end; yields what each batch changed."""
    now_ms = 2
    machine.handle(commands.SubmitJob(f"{0:032x}", "array", "default", "work", array_size=children), now_ms)
    effects: list[Effect] = []

    def finish_batch() -> Changes:
        machine.schedule(now_ms)
        changes, more = machine.take()
        effects.extend(more)
        return changes

    yield finish_batch()
    while launches := [effect for effect in effects if isinstance(effect, LaunchTask)]:
        effects.clear()
        now_ms += 1
        for launch in launches:
            machine.report(ENGINE, Started(launch.attempt_id, now_ms), now_ms)
        yield finish_batch()
        now_ms += 1
        for launch in launches:
            exits = (ContainerExit(exit_code=0),)
            machine.report(ENGINE, Exited(launch.attempt_id, now_ms - 1, now_ms, exits), now_ms)
        yield finish_batch()


async def _ask(command: object) -> Any:
    raise AssertionError(f"{command!r} goes the long way, which is not measured here")


async def measure(kind: str, children: int, directory: Path) -> str:
    """Returns a line with what was measured."""
    store, logs = Store.open(directory / "yard.db"), LogWriter(directory / "logs.db", wall_clock_ms)
    writer = store.writer()
    writer.open(ACCOUNT.account_id, ACCOUNT.region)
    logs.open()
    machine, delivery = prepared_machine(), FactDelivery(_NoFacts(), {}, 0)
    consumer = FactEvents(BatchEventMaker(ACCOUNT), ACCOUNT, store, logs, _ask, wall_clock_ms)
    rule = Rule("default", "bench", "ENABLED", PATTERNS[kind], targets=(Target("t", GROUP, {"Id": "t", "Arn": GROUP}),))
    consumer.follow(Router(ACCOUNT, [rule]), delivery)
    machine.want_facts(delivery.stored_types)
    facts: list[Fact] = []
    start = time.process_time()
    for changes in run_array(machine, children):
        delivery.add_to(changes)
        facts += changes.facts
        if kind == "matched":
            writer.commit(changes, 1).result()
    line = f"{kind}: {(time.process_time() - start) / children * 1e6:.1f} µs of CPU a child, array of {children}"
    if kind == "matched":
        events = list(expand(facts))
        start, start_wall = time.process_time(), time.perf_counter()
        for first in range(0, len(events), DELIVERED_FACTS):
            await consumer.deliver(events[first : first + DELIVERED_FACTS])
        cpu, wall = time.process_time() - start, time.perf_counter() - start_wall
        line += (
            f", with commits; {len(events)} events delivered: {cpu / len(events) * 1e6:.1f} µs of CPU each, "
            f"{len(events) / cpu:.0f}/s of one core, {len(events) / wall:.0f}/s by the clock"
        )
    consumer.close()
    logs.close()
    writer.close()
    return line


if __name__ == "__main__":
    count = int(sys.argv[2]) if len(sys.argv) > 2 else CHILDREN
    with tempfile.TemporaryDirectory() as made:
        print(asyncio.run(measure(sys.argv[1], count, Path(made))))
