"""Sends messages to targets outside, each through the channel that it names, and reports how it went.

It decides nothing: which message is due, and what follows from an outcome, is the machine's (batchyard.deliveries)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from batchyard.core.model.commands import Command
from batchyard.core.model.deliveries import Message
from batchyard.core.model.effects import Effect
from batchyard.deliveries.machine import FinishDelivery, SendMessages
from batchyard.loop import Busy, Stopped

# At once through one channel: each may take a connection and a file descriptor until its time-out. Channels do not wait
# for each other: HTTP targets that do not answer hold up neither jobs nor log groups.
MAX_SENDING = 256
MAX_IN_MEMORY = 1024  # messages that are sent or wait for their channel: all of the largest kind would be 256 MiB
LOADED_MESSAGES = 64  # in one query: a message may have 256 KiB, and the next ones wait for places
BUSY_SECONDS = 0.1  # between tries while the inbox is full of callers' commands


class Outcome(Struct, frozen=True):
    """How an attempt went; the members are those of FinishDelivery."""

    error_code: str = ""
    error: str = ""
    is_final: bool = False
    retry_after_ms: int = 0


ARRIVED = Outcome()
# An outcome in a word. What failed is sent again while its retry policy allows; what was refused never.
TAKEN, FAILED, REFUSED = "arrived", "failed", "refused"


def word_of(outcome: Outcome) -> str:
    if not outcome.error_code:
        return TAKEN
    return REFUSED if outcome.is_final else FAILED


class Channel(Protocol):
    """One way to send."""

    async def send(self, message: Message) -> Outcome:
        """Sends once, within a time-out of its own. What goes wrong outside is an outcome; an exception is a fault
        of ours, and ends the service."""
        ...


class Sender:
    """`load`: reads messages from the store, by sequence; `ask`: gives commands to the machine."""

    def __init__(
        self,
        load: Callable[[Sequence[int]], Awaitable[Mapping[int, Message]]],
        ask: Callable[[Command[None]], Awaitable[None]],
    ) -> None:
        self._channels: Mapping[str, Channel] = {}
        self._load, self._ask = load, ask
        self._due: asyncio.Queue[tuple[int, ...]] = asyncio.Queue()
        self._places: dict[str, asyncio.Semaphore] = {}  # by channel
        self._in_memory = asyncio.Semaphore(MAX_IN_MEMORY)
        self.tries = Counter[tuple[str, str]]()  # since the start, by channel and word of the outcome

    def carry_out(self, effects: Sequence[Effect]) -> None:
        """Takes what is to be sent; the handler of SendMessages."""
        for effect in effects:
            assert isinstance(effect, SendMessages), f"{effect!r} is no message"
            self._due.put_nowait(effect.sequences)

    async def run(self, channels: Mapping[str, Channel]) -> None:
        """Sends for as long as the service runs, also what was due before. Cancelled, it drops what is under way: it is
        sent again after the next start."""
        self._channels = channels
        self._places = {name: asyncio.Semaphore(MAX_SENDING) for name in channels}
        async with asyncio.TaskGroup() as sending:
            while True:
                due = await self._due.get()
                for first in range(0, len(due), LOADED_MESSAGES):
                    for sequence, message in (await self._load(due[first : first + LOADED_MESSAGES])).items():
                        await self._in_memory.acquire()
                        sending.create_task(self._send(sequence, message))

    async def _send(self, sequence: int, message: Message) -> None:
        try:
            channel = self._channels.get(message.channel)
            assert channel is not None, f"nothing sends {message.channel} messages, such as {message.token}"
            async with self._places[message.channel]:
                outcome = await channel.send(message)
        finally:
            self._in_memory.release()
        self.tries[message.channel, word_of(outcome)] += 1
        await self._finish(
            FinishDelivery(
                sequence, message, outcome.error_code, outcome.error, outcome.is_final, outcome.retry_after_ms
            )
        )

    async def _finish(self, outcome: FinishDelivery) -> None:
        while True:
            try:
                return await self._ask(outcome)
            except Busy:
                await asyncio.sleep(BUSY_SECONDS)
            except Stopped:  # the service ends: the message is sent again after its next start
                return None
