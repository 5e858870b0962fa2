"""What the loop hosts: machines. Each has a state of its own, and commands, reports and deadlines that are its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol, runtime_checkable

from batchyard.core.model.changes import Changes
from batchyard.core.model.commands import Command
from batchyard.core.model.effects import Effect
from batchyard.core.model.fact_kinds import Fact


class HostedMachine(Protocol):
    """A deterministic state machine. It reads no clock and does no input or output: `now_ms` never goes back, and what
    it decides is in `take`. What all machines of a loop changed in one batch is committed in one transaction."""

    @property
    def command_types(self) -> Collection[type[Command[Any]]]:
        """The commands that `handle` takes. A command belongs to one machine of a loop."""
        ...

    @property
    def report_types(self) -> Collection[type[Any]]:
        """The reports that `report` takes, of engines, capacity providers or other machines."""
        ...

    @property
    def pending_changes(self) -> Changes:
        """What the running batch has changed so far."""
        ...

    def want_facts(self, kinds: Collection[type[Fact]]) -> None:
        """Between batches, and after the machine was restored: the facts that somebody asks for. It makes no others."""
        ...

    def handle(self, command: Command[Any], now_ms: int) -> Any:
        """Carries out one command and returns its answer. Raises Refused, having changed nothing."""
        ...

    def report(self, source: str, report: Any, now_ms: int) -> None:
        """Takes what `source` reports: an engine or a capacity provider, by its name. Reports are never refused."""
        ...

    def schedule(self, now_ms: int) -> None:
        """Once per batch, after its reports and commands: what time brought."""
        ...

    def outgoing(self) -> Collection[Any]:
        """Reports to other machines of the loop since the last call. They get them in the same batch, and so in the
        same transaction; each goes to the machine that takes its type."""
        ...

    def take(self) -> tuple[Changes, list[Effect]]:
        """What the batch changed, and what to do about it once that is committed. Begins the next batch."""
        ...

    def next_deadline(self) -> int | None:
        """When `schedule` must run even if nothing arrives, in ms; None: never."""
        ...

    def recover(self) -> list[Effect]:
        """After a restart: the effects whose carrying out is unknown, to be asked again."""
        ...


@runtime_checkable
class FactObserver(HostedMachine, Protocol):
    """A machine that follows facts of the other machines of its loop within the batch that makes them. What it changes
    is in the same transaction: a counter, or a step that follows from a fact, needs no stored fact."""

    @property
    def observed_facts(self) -> Collection[type[Fact]]: ...

    def observe(self, facts: Sequence[Fact], now_ms: int) -> None:
        """Takes facts that others have made, in their order; ranges of children stay ranges. `schedule` follows."""
        ...
