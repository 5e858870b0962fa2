"""The sender of messages, under the real machine and a store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from batchyard.core.model.commands import Command
from batchyard.core.model.deliveries import Message
from batchyard.deliveries.machine import (
    MAX_RETRY_MS,
    AddDeliveries,
    AskFailures,
    AskWaiting,
    DeliveryMachine,
    FinishDelivery,
)
from batchyard.loop import Busy, Stopped
from batchyard.server.deliveries import sender
from batchyard.server.deliveries.sender import ARRIVED, Outcome, Sender
from batchyard.simulator.disk import Disk
from batchyard.store import codec

TURNS = 1000  # of the event loop: everything here is in memory


class Channel:
    """Sends by what a test decides."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.outcomes: list[Outcome] = []
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def send(self, message: Message) -> Outcome:
        self.sent.append(message.body)
        await self.is_open.wait()
        return self.outcomes.pop(0) if self.outcomes else ARRIVED


class Yard:
    def __init__(self) -> None:
        self.machine, self.disk, self.now_ms = DeliveryMachine(), Disk(), 1000
        self.channel = Channel()
        self.refusals: list[Exception] = []
        self.sender = Sender(self._load, self.ask)

    async def _load(self, sequences: Sequence[int]) -> dict[int, Message]:
        stored = self.disk.deliveries
        return {one: codec.decode_message(stored[one][1]) for one in sequences if one in stored}

    async def ask(self, command: Command[Any]) -> Any:
        if self.refusals and isinstance(command, FinishDelivery):
            raise self.refusals.pop(0)
        answer = self.machine.handle(command, self.now_ms)
        self.batch()
        return answer

    def batch(self) -> None:
        self.machine.schedule(self.now_ms)
        changes, effects = self.machine.take()
        self.disk.apply(codec.encode_changes(changes), self.now_ms)
        self.sender.carry_out(effects)

    async def add(self, *bodies: str) -> None:
        messages = [Message(body[0], "test", None, body, f"token-{body}") for body in bodies]
        await self.ask(AddDeliveries(tuple(messages)))

    async def settle(self) -> None:
        """Lets what was sent come back."""
        for _ in range(50):
            await asyncio.sleep(0)

    def waiting(self) -> Any:
        return self.machine.handle(AskWaiting(), self.now_ms)


def running(scenario: Callable[[Yard], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        yard = Yard()
        work = asyncio.create_task(yard.sender.run({"test": yard.channel}))
        try:
            await scenario(yard)
        finally:
            work.cancel()
            await asyncio.wait([work])

    asyncio.run(run())


async def until(condition: Callable[[], object]) -> None:
    for _ in range(TURNS):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came true")


def test_a_message_is_sent_through_its_channel_and_is_then_gone() -> None:
    async def scenario(yard: Yard) -> None:
        await yard.add("a1", "b1")
        await until(lambda: not yard.waiting())
        assert sorted(yard.channel.sent) == ["a1", "b1"]
        assert yard.disk.deliveries == {}

    running(scenario)


def test_a_failure_is_repeated_or_given_up_as_the_machine_says() -> None:
    async def scenario(yard: Yard) -> None:
        yard.channel.outcomes = [Outcome("TIMEOUT", "no answer"), Outcome("NO_RESOURCE", "gone", is_final=True)]
        await yard.add("a1")
        await until(lambda: yard.machine.next_deadline() not in (None, 1000))
        yard.now_ms = yard.machine.next_deadline() or 0
        yard.batch()
        await until(lambda: not yard.waiting())
        assert yard.channel.sent == ["a1", "a1"]
        (failure,) = yard.machine.handle(AskFailures(), yard.now_ms)
        assert (failure.error, failure.retries) == ("gone", 1)
        await yard.add("b1")
        await until(lambda: not yard.waiting())
        assert yard.sender.tries == {("test", "failed"): 1, ("test", "refused"): 1, ("test", "arrived"): 1}

    running(scenario)


def test_a_target_that_does_not_answer_holds_up_no_other() -> None:
    async def scenario(yard: Yard) -> None:
        yard.channel.is_open.clear()
        await yard.add(*(f"a{number}" for number in range(6)), "b1")
        await until(lambda: len(yard.channel.sent) == 5)
        assert yard.channel.sent[-1] == "b1"
        yard.channel.is_open.set()
        await until(lambda: not yard.waiting())

    running(scenario)


def test_a_channel_that_is_full_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "MAX_SENDING", 2)

    async def run() -> None:
        yard, slow = Yard(), Channel()
        slow.is_open.clear()
        work = asyncio.create_task(yard.sender.run({"test": yard.channel, "slow": slow}))
        await yard.ask(AddDeliveries(tuple(Message(f"l{n}", "slow", None, f"l{n}", f"t{n}") for n in range(5))))
        await yard.add("a1")
        await until(lambda: yard.channel.sent == ["a1"])
        assert len(slow.sent) == 2
        slow.is_open.set()
        await until(lambda: not yard.waiting())
        work.cancel()
        await asyncio.wait([work])

    asyncio.run(run())


def test_an_outcome_waits_for_a_busy_inbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "BUSY_SECONDS", 0.0)

    async def scenario(yard: Yard) -> None:
        yard.refusals = [Busy(), Busy()]
        await yard.add("a1")
        await until(lambda: not yard.waiting())
        yard.refusals = [Stopped()]
        await yard.add("a2")
        await until(lambda: not yard.refusals)
        assert yard.waiting() == {"a": 1}  # the next server sends it again

    running(scenario)


def test_a_fault_of_ours_ends_the_service() -> None:
    async def run() -> None:
        yard = Yard()
        await yard.ask(AddDeliveries((Message("a", "pigeon", None, "text", "t1"),)))
        await yard.sender.run({"test": yard.channel})

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(run())
    assert "nothing sends pigeon messages, such as t1" in str(caught.value.exceptions[0])


def test_a_target_that_is_down_for_an_hour_gets_everything_in_order_and_others_wait_for_nothing() -> None:
    hour_ms = 3_600_000

    class Down(Channel):
        """Of lane a nothing arrives for an hour; others arrive at once."""

        def __init__(self, yard: Yard) -> None:
            super().__init__()
            self._yard = yard
            self.arrived: list[tuple[str, int]] = []

        async def send(self, message: Message) -> Outcome:
            self.sent.append(message.body)
            if message.lane == "a" and self._yard.now_ms < hour_ms:
                return Outcome("CONNECTION_FAILURE", "no answer")
            self.arrived.append((message.body, self._yard.now_ms))
            return ARRIVED

    async def scenario(yard: Yard) -> None:
        await asyncio.sleep(0)  # the sender has begun, with the channel that it has from the start
        channel = Down(yard)
        yard.sender._channels = {"test": channel}
        for minute in range(60):
            yard.now_ms = 1000 + minute * 60_000
            added = tuple(Message(lane, "test", None, f"{lane}{minute}", f"t{lane}{minute}", "job") for lane in "ab")
            await yard.ask(AddDeliveries(added))
            await yard.settle()
        while yard.waiting():
            yard.now_ms = max(yard.now_ms, yard.machine.next_deadline() or yard.now_ms)
            yard.batch()
            await yard.settle()
        assert [body for body, _ in channel.arrived if body[0] == "a"] == [f"a{minute}" for minute in range(60)]
        assert [at_ms for body, at_ms in channel.arrived if body[0] == "b"] == [
            1000 + minute * 60_000 for minute in range(60)
        ]
        first = [at_ms for body, at_ms in channel.arrived if body == "a0"]
        assert hour_ms <= first[0] <= hour_ms + MAX_RETRY_MS
        # One of its messages was tried, the first, with growing pauses; none was given up.
        assert len([body for body in channel.sent if body[0] == "a"]) < 60 + 25
        assert yard.machine.handle(AskFailures(), yard.now_ms) == ()

    running(scenario)
