"""The base of machines that keep documents: what they have alike of HostedMachine (loop.hosted_machine)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, TypeVar

from msgspec import Struct

from batchyard.core.model import documents
from batchyard.core.model.changes import Changes
from batchyard.core.model.commands import Command
from batchyard.core.model.effects import Effect
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.refusal import Refused

Record = TypeVar("Record", bound=Struct)
# By type. They are called with the machine and the command or report, and find the time in its `_now_ms`.
CommandHandlers = Mapping[type[Command[Any]], Callable[..., Any]]
ReportHandlers = Mapping[type[Any], Callable[..., None]]


class DocumentTable(dict[str, Record]):
    """The documents of one kind, by name. What is put or removed is a change of the running batch; an item that is set
    is stored already, or needs no storing."""

    def __init__(self, name_of: Callable[[Record], str], changed: Callable[[str, Struct | None], None]):
        super().__init__()
        self._name_of, self._changed = name_of, changed

    def put(self, record: Record) -> Record:
        """Adds a record, or replaces that of its name. Returns it."""
        name = self._name_of(record)
        self[name] = record
        self._changed(name, record)
        return record

    def remove(self, name: str) -> Record:
        """Removes a record that is there. Returns it."""
        self._changed(name, None)
        return self.pop(name)

    def existing(self, name: str, refusal: str, code: str) -> Record:
        """Returns a record. Raises Refused: there is none of the name."""
        found = self.get(name)
        if found is None:
            raise Refused(refusal, code)
        return found

    def in_order(self) -> tuple[Record, ...]:
        """Returns all records, by name."""
        return tuple(self[name] for name in sorted(self))


class DocumentMachine:
    """A HostedMachine (loop.hosted_machine) without deadlines, facts and effects. A subclass makes tables of its
    documents (`_table`), declares its handlers, and overrides what it does beyond that."""

    command_handlers: ClassVar[CommandHandlers] = {}
    report_handlers: ClassVar[ReportHandlers] = {}

    def __init__(self) -> None:
        self._now_ms = 0
        self._changes = Changes()
        self._outgoing: list[Struct] = []
        self._tables: dict[str, DocumentTable[Any]] = {}  # by kind

    def _table(self, kind: str, record: type[Record], name_of: Callable[[Record], str]) -> DocumentTable[Record]:
        """Returns a new table, which `restore` fills. `name_of`: the name of a record's document."""
        assert documents.record_type(kind) is record, f"documents of the kind {kind} hold no {record.__name__}"

        def changed(name: str, after: Struct | None) -> None:
            self._changes.documents[kind, name] = after

        made = self._tables[kind] = DocumentTable(name_of, changed)
        return made

    @property
    def command_types(self) -> Collection[type[Command[Any]]]:
        return self.command_handlers.keys()

    @property
    def report_types(self) -> Collection[type[Any]]:
        return self.report_handlers.keys()

    @property
    def pending_changes(self) -> Changes:
        return self._changes

    def restore(self, records: Mapping[tuple[str, str], Struct]) -> None:
        """Takes the documents of the store, before the first batch. Those of other machines are among them."""
        for (kind, name), record in records.items():
            table = self._tables.get(kind)
            if table is not None:
                table[name] = record

    def want_facts(self, kinds: Collection[type[Fact]]) -> None:
        """Does nothing: this machine makes no facts."""

    def handle(self, command: Command[Any], now_ms: int) -> Any:
        handler = self.command_handlers.get(type(command))
        assert handler is not None, f"{type(self).__name__} has no handler for {command!r}"
        self._begin(now_ms)
        return handler(self, command)

    def report(self, source: str, report: Any, now_ms: int) -> None:
        handler = self.report_handlers.get(type(report))
        assert handler is not None, f"{type(self).__name__} has no handler for {report!r}, which {source} reports"
        self._begin(now_ms)
        handler(self, report)

    def _begin(self, now_ms: int) -> None:
        """Sets the time, before anything is handled."""
        self._now_ms = now_ms

    def schedule(self, now_ms: int) -> None:
        """Does nothing: nothing becomes due here by itself."""

    def outgoing(self) -> Collection[Any]:
        reports, self._outgoing = self._outgoing, []
        return reports

    def take(self) -> tuple[Changes, list[Effect]]:
        effects = self._end_batch()
        changes, self._changes = self._changes, Changes()
        return changes, effects

    def _end_batch(self) -> list[Effect]:
        """Completes the changes of the batch. Returns its effects."""
        return []

    def next_deadline(self) -> int | None:
        return None

    def recover(self) -> list[Effect]:
        return []
