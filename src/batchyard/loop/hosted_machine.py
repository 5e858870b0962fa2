"""The protocol of the machines that the loop hosts. Each has its own state, commands, reports and deadlines."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol, runtime_checkable

from batchyard.core.model.changes import Changes
from batchyard.core.model.commands import Command
from batchyard.core.model.effects import Effect
from batchyard.core.model.fact_kinds import Fact


class HostedMachine(Protocol):
    """A deterministic state machine. It reads no clock and does no input or output: `now_ms` never goes back; its
    decisions are returned by `take`. What all machines of a loop changed in one batch is committed in one
    transaction."""

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
        """Returns what the running batch has changed so far."""
        ...

    def want_facts(self, kinds: Collection[type[Fact]]) -> None:
        """Sets the kinds of facts that a consumer asks for; the machine makes no others. Called between batches, and
        after the machine was restored."""
        ...

    def handle(self, command: Command[Any], now_ms: int) -> Any:
        """Carries out one command and returns its answer. Raises Refused, having changed nothing."""
        ...

    def report(self, source: str, report: Any, now_ms: int) -> None:
        """Takes what `source` reports: an engine or a capacity provider, by its name. Reports are never refused."""
        ...

    def schedule(self, now_ms: int) -> None:
        """Does what is due. Called once per batch, after its reports and commands."""
        ...

    def outgoing(self) -> Collection[Any]:
        """Returns the reports to other machines of the loop since the last call. They are handled in the same batch,
        and so in the same transaction; each goes to the machine that takes its type."""
        ...

    def take(self) -> tuple[Changes, list[Effect]]:
        """Returns what the batch changed, and the effects to carry out once that is committed. Begins the next
        batch."""
        ...

    def next_deadline(self) -> int | None:
        """Returns when `schedule` must run even if nothing arrives, in ms; None: never."""
        ...

    def recover(self) -> list[Effect]:
        """Returns, after a restart, the effects that may not have been carried out, to be repeated."""
        ...


@runtime_checkable
class FactObserver(HostedMachine, Protocol):
    """A machine that follows facts of the other machines of its loop within the batch that makes them. What it changes
    is in the same transaction: a counter, or a step that follows from a fact, needs no stored fact."""

    @property
    def observed_facts(self) -> Collection[type[Fact]]: ...

    def observe(self, facts: Sequence[Fact], now_ms: int) -> None:
        """Takes facts that other machines have made, in their order; ranges of children stay ranges. `schedule`
        follows."""
        ...
