"""Runs the function of an operation so that what follows its commands is done in the batch of each command.

An operation checks a request, asks the loop, and makes a document of the answer. Where its last command changes
something, the document, and what is reported with it, are so one transaction with the change."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from msgspec import Struct

from batchyard.core.model.commands import Answer, Command
from batchyard.core.model.refusal import Refused
from batchyard.loop import Busy, Loop

UNEXPECTED = "The call failed by a fault of the service; its log has the story."
BUSY_SECONDS = 0.1  # between tries while the inbox is full of callers' commands

logger = logging.getLogger("batchyard.workflows")


class Outcome(Struct, frozen=True):
    """How an operation ended: with a document or a refusal."""

    document: dict[str, Any] = {}
    refusal: Refused | None = None


class AskedCommand:
    """What an operation awaits where it asks the loop."""

    def __init__(self, command: Command[Any]) -> None:
        self.command = command

    def __await__(self) -> Generator[AskedCommand, Any, Any]:
        return (yield self)


async def ask(command: Command[Answer]) -> Answer:
    """The `ask` of the context of an operation that ContinuedOperation runs."""
    answer: Answer = await AskedCommand(command)
    return answer


class ContinuedOperation:
    """One call of an operation. `make_report`: returns what is reported of its outcome, in the batch in which that is
    known; `is_wanted`: asked just before each of its commands is handled (Loop.ask)."""

    def __init__(
        self,
        operation: Coroutine[Any, Any, dict[str, Any]],
        make_report: Callable[[Outcome], Any],
        is_wanted: Callable[[], bool],
    ) -> None:
        self._operation = operation
        self._make_report, self._is_wanted = make_report, is_wanted
        # The parts that run within a batch of the loop see the variables of this call, and not the loop's.
        self._variables = contextvars.copy_context()
        self._awaited: Any = None
        self._outcome: Outcome | None = None
        self._is_reported = False

    async def run(self, loop: Loop) -> Any | None:
        """Runs the operation to its end. Returns the report of an outcome that came outside of a batch; None: it was
        reported. Raises Withdrawn and Stopped: nothing is reported.

        Where it is cancelled while a command is in the inbox, that command is still handled and reported, unless it is
        not wanted any more."""
        self._continue(lambda: self._operation.send(None))
        while self._outcome is None:
            if isinstance(self._awaited, AskedCommand):
                await self._ask(loop, self._awaited.command)
            else:
                await self._wait(self._awaited)
        return None if self._is_reported else self._make_report(self._outcome)

    async def _ask(self, loop: Loop, command: Command[Any]) -> None:
        while True:
            try:
                await loop.ask(command, self._answered, self._is_wanted)
            except Refused:
                return  # _answered had it
            except Busy:
                await asyncio.sleep(BUSY_SECONDS)
            else:
                return

    def _answered(self, answer: Any) -> Any | None:
        """Continues the operation with an answer of the loop, or with its refusal."""
        if isinstance(answer, Refused):
            self._continue(lambda: self._operation.throw(answer))
        else:
            self._continue(lambda: self._operation.send(answer))
        if self._outcome is None:
            return None
        self._is_reported = True
        return self._make_report(self._outcome)

    async def _wait(self, awaited: Any) -> None:
        """Waits for what the operation awaits that is no command."""
        try:
            await _passed_on(awaited)
        except BaseException as error:  # noqa: BLE001 - the operation gets it where it awaits
            failure = error
            self._continue(lambda: self._operation.throw(failure))
        else:
            self._continue(lambda: self._operation.send(None))

    def _continue(self, step: Callable[[], Any]) -> None:
        """Runs the operation until it awaits the next thing, or ends. CancelledError passes through."""
        self._awaited = None
        try:
            self._awaited = self._variables.run(step)
        except StopIteration as end:
            self._outcome = Outcome(document=end.value)
        except Refused as refusal:
            self._outcome = Outcome(refusal=refusal)
        except Exception:
            logger.exception("an operation failed that an execution called")
            self._outcome = Outcome(refusal=Refused(UNEXPECTED, "ServerException"))


@types.coroutine
def _passed_on(awaited: Any) -> Generator[Any, Any, Any]:
    """Yields to the task that runs this what an awaitable inside has yielded: a future, or None."""
    return (yield awaited)
