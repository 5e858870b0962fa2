"""The threads that answer queries, shared among callers: the queries of a busy caller wait for each other, and do
not delay other callers'."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from batchyard.core.model.refusal import Refused

# Queries of one caller that may wait for a thread; one more is refused, to be retried, as AWS throttles callers.
MAX_WAITING = 256

SERVER_EXCEPTION = "ServerException"  # Batch API model
logger = logging.getLogger("batchyard.readers")

Answer = TypeVar("Answer")

# The caller of the current request; see Call.caller.
CALLER: ContextVar[str] = ContextVar("caller", default="")


@dataclass(slots=True)
class _Turns:
    """The queries of one caller: the number that run, and those that wait."""

    running: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class Readers:
    """Runs queries for one event loop. `most_of_one`: threads that one caller may use at once."""

    def __init__(self, threads: Executor, most_of_one: int) -> None:
        self._threads = threads
        self._most_of_one = most_of_one
        self._turns: dict[str, _Turns] = {}

    async def run(self, query: Callable[[], Answer]) -> Answer:
        """Returns the answer of `query`, which runs in one of the threads when its caller may use one. Refused: too
        many wait, or a record that it reads is damaged."""
        caller = CALLER.get()
        turns = self._turns.setdefault(caller, _Turns())
        if turns.running < self._most_of_one:
            turns.running += 1
        else:
            await _wait(turns)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, query)
        except msgspec.DecodeError as error:
            logger.exception("a record in the store is damaged")
            raise Refused(
                f"A record in the store is damaged: {error}. `batchyard doctor` names it; a backup brings it back "
                "(`batchyard restore`).",
                SERVER_EXCEPTION,
            ) from error
        finally:
            _pass_on(turns)
            if not turns.running:
                del self._turns[caller]


async def _wait(turns: _Turns) -> None:
    if len(turns.waiting) >= MAX_WAITING:
        raise Refused("Too Many Requests", "TooManyRequestsException")
    turn = asyncio.get_running_loop().create_future()
    turns.waiting.append(turn)
    try:
        await turn
    except asyncio.CancelledError:
        if turn.done() and not turn.cancelled():  # it came at the same moment
            _pass_on(turns)
        raise


def _pass_on(turns: _Turns) -> None:
    while turns.waiting:
        turn = turns.waiting.popleft()
        if not turn.done():
            turn.set_result(None)
            return
    turns.running -= 1
