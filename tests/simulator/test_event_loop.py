"""Virtual time: asyncio's own tasks, futures and timers, in one order, without waiting."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

from batchyard.simulator.event_loop import VirtualLoop
from batchyard.simulator.event_queue import SimulatorEventQueue, SkewedClock


def run_out(event_queue: SimulatorEventQueue) -> None:
    while event_queue.next_event_ms() is not None:
        event_queue.run_next()


def test_tasks_take_turns_and_time_jumps() -> None:
    event_queue = SimulatorEventQueue(1000)
    loop = VirtualLoop(event_queue, lambda: None)
    seen: list[tuple[str, int]] = []

    async def work(name: str, seconds: float) -> None:
        seen.append((name, event_queue.now_ms))
        await asyncio.sleep(seconds)
        seen.append((name, event_queue.now_ms))

    for name, seconds in (("slow", 3600.0), ("fast", 0.25), ("none", 0.0)):
        loop.create_task(work(name, seconds))
    run_out(event_queue)
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
    event_queue = SimulatorEventQueue(0)
    loop = VirtualLoop(event_queue, lambda: None)
    commit: Future[str] = Future()

    async def wait() -> str:
        return await asyncio.wrap_future(commit)

    task = loop.create_task(wait())
    event_queue.after(5, lambda: commit.set_result("durable"))
    run_out(event_queue)
    loop.die()
    assert (task.result(), event_queue.now_ms) == ("durable", 5)


def test_the_dead_do_nothing_more() -> None:
    event_queue = SimulatorEventQueue(0)
    done: list[str] = []
    steps: list[int] = []
    loop = VirtualLoop(event_queue, lambda: steps.append(1))

    async def work() -> None:
        done.append("began")
        await asyncio.sleep(1)
        done.append("went on")

    async def later() -> None:
        done.append("never")

    loop.create_task(work())
    event_queue.run_next()
    loop.create_task(later())
    loop.die()
    run_out(event_queue)
    assert (done, steps) == (["began"], [1])


def test_an_exception_that_no_task_caught_is_kept() -> None:
    event_queue = SimulatorEventQueue(0)
    loop = VirtualLoop(event_queue, lambda: None)
    loop.call_soon(lambda: 1 // 0)
    run_out(event_queue)
    assert loop.error_context is not None
    assert isinstance(loop.error_context["exception"], ZeroDivisionError)
    loop.die()


def test_a_servers_clock_never_goes_below_what_its_store_knows() -> None:
    event_queue = SimulatorEventQueue(10_000)
    assert SkewedClock(event_queue, -5000, 0).now_ms() == 5000
    clock = SkewedClock(event_queue, -5000, 9000)
    event_queue.after(7, lambda: None)
    event_queue.run_next()
    assert clock.now_ms() == 9007
