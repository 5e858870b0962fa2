"""What machines that keep documents have alike: tables, handlers, batches."""

from __future__ import annotations

from typing import ClassVar

import pytest
from msgspec import Struct

from batchyard.core.model import documents
from batchyard.core.model.commands import Command
from batchyard.core.model.effects import Effect
from batchyard.core.model.refusal import Refused
from batchyard.machines.document_machine import CommandHandlers, DocumentMachine, ReportHandlers


class Label(Struct, frozen=True):
    group: str
    name: str
    at_ms: int = 0


LABEL = documents.register("test-label", Label)


class PutLabel(Command[Label], frozen=True):
    name: str


class RemoveLabel(Struct, frozen=True):
    name: str


class LabelsCounted(Effect, frozen=True):
    labels: int


class LabelMachine(DocumentMachine):
    def __init__(self) -> None:
        super().__init__()
        self.labels = self._table(LABEL, Label, lambda label: f"{label.group}/{label.name}")

    def _put(self, command: PutLabel) -> Label:
        self._outgoing.append(RemoveLabel(command.name))
        return self.labels.put(Label("group", command.name, self._now_ms))

    def _remove(self, report: RemoveLabel) -> None:
        self.labels.remove(f"group/{report.name}")

    def _end_batch(self) -> list[Effect]:
        return [LabelsCounted(len(self.labels))]

    command_handlers: ClassVar[CommandHandlers] = {PutLabel: _put}
    report_handlers: ClassVar[ReportHandlers] = {RemoveLabel: _remove}


def test_documents_that_are_put_and_removed_are_changes_of_the_batch() -> None:
    machine = LabelMachine()
    assert (set(machine.command_types), set(machine.report_types)) == ({PutLabel}, {RemoveLabel})
    label = machine.handle(PutLabel("a"), 7)
    assert label == machine.labels["group/a"] == Label("group", "a", 7)
    machine.handle(PutLabel("b"), 8)
    machine.report("", RemoveLabel("b"), 9)
    assert machine.pending_changes.documents == {(LABEL, "group/a"): label, (LABEL, "group/b"): None}
    assert machine.outgoing() == [RemoveLabel("a"), RemoveLabel("b")]
    assert machine.outgoing() == []
    changes, effects = machine.take()
    assert changes.documents.keys() == {(LABEL, "group/a"), (LABEL, "group/b")}
    assert effects == [LabelsCounted(1)]
    machine.handle(PutLabel("c"), 10)
    assert machine.take()[0].documents == {(LABEL, "group/c"): Label("group", "c", 10)}
    assert machine.take()[0].is_empty()


def test_documents_of_the_own_kinds_are_restored_and_are_no_changes() -> None:
    machine, label = LabelMachine(), Label("group", "a", 1)
    machine.restore({(LABEL, "group/a"): label, ("another kind", "group/b"): RemoveLabel("b")})
    assert dict(machine.labels) == {"group/a": label}
    assert machine.pending_changes.is_empty()


def test_a_document_is_found_by_name_or_refused() -> None:
    machine = LabelMachine()
    machine.restore({(LABEL, name): Label("group", name[-1]) for name in ("group/b", "group/a")})
    assert machine.labels.existing("group/a", "There is no such label.", "NotFound") == Label("group", "a")
    assert [label.name for label in machine.labels.in_order()] == ["a", "b"]
    with pytest.raises(Refused) as refused:
        machine.labels.existing("other/a", "There is no such label.", "NotFound")
    assert (refused.value.message, refused.value.code) == ("There is no such label.", "NotFound")


def test_what_a_machine_does_not_take_is_a_fault() -> None:
    with pytest.raises(AssertionError, match="LabelMachine has no handler for LabelsCounted"):
        LabelMachine().handle(LabelsCounted(1), 0)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match=r"LabelMachine has no handler for .*PutLabel"):
        LabelMachine().report("engine", PutLabel("a"), 0)


def test_a_table_holds_records_of_its_kind_only() -> None:
    with pytest.raises(AssertionError, match="documents of the kind test-label hold no RemoveLabel"):
        LabelMachine()._table(LABEL, RemoveLabel, lambda report: report.name)
