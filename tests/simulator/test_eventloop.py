"""Virtual time: asyncio's own tasks, futures and timers, in one order, without waiting."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

from batchyard.simulator.agenda import Agenda, SkewedClock
from batchyard.simulator.eventloop import VirtualLoop


def run_out(agenda: Agenda) -> None:
    while agenda.next_ms() is not None:
        agenda.do_next()


def test_tasks_take_turns_and_time_jumps() -> None:
    agenda = Agenda(1000)
    loop = VirtualLoop(agenda, lambda: None)
    seen: list[tuple[str, int]] = []

    async def work(name: str, seconds: float) -> None:
        seen.append((name, agenda.now_ms))
        await asyncio.sleep(seconds)
        seen.append((name, agenda.now_ms))

    for name, seconds in (("slow", 3600.0), ("fast", 0.25), ("none", 0.0)):
        loop.create_task(work(name, seconds))
    run_out(agenda)
    loop.die()
    assert seen == [
        ("slow", 1000),
        ("fast", 1000),
        ("none", 1000),
        ("none", 1000),
        ("fast", 1250),
        ("slow", 3_601_000),
    ]


def test_a_commit_future_wakes_its_task() -> None:
    agenda = Agenda(0)
    loop = VirtualLoop(agenda, lambda: None)
    commit: Future[str] = Future()

    async def wait() -> str:
        return await asyncio.wrap_future(commit)

    task = loop.create_task(wait())
    agenda.after(5, lambda: commit.set_result("durable"))
    run_out(agenda)
    loop.die()
    assert (task.result(), agenda.now_ms) == ("durable", 5)


def test_the_dead_do_nothing_more() -> None:
    agenda = Agenda(0)
    done: list[str] = []
    steps: list[int] = []
    loop = VirtualLoop(agenda, lambda: steps.append(1))

    async def work() -> None:
        done.append("began")
        await asyncio.sleep(1)
        done.append("went on")

    async def later() -> None:
        done.append("never")

    loop.create_task(work())
    agenda.do_next()
    loop.create_task(later())
    loop.die()
    run_out(agenda)
    assert (done, steps) == (["began"], [1])


def test_what_nobody_caught_is_a_complaint() -> None:
    agenda = Agenda(0)
    loop = VirtualLoop(agenda, lambda: None)
    loop.call_soon(lambda: 1 // 0)
    run_out(agenda)
    assert loop.complaint is not None
    assert isinstance(loop.complaint["exception"], ZeroDivisionError)
    loop.die()


def test_a_servers_clock_never_goes_below_what_its_store_knows() -> None:
    agenda = Agenda(10_000)
    assert SkewedClock(agenda, -5000, 0).now_ms() == 5000
    clock = SkewedClock(agenda, -5000, 9000)
    agenda.after(7, lambda: None)
    agenda.do_next()
    assert clock.now_ms() == 9007
