"""Timers, against a naive model and one by one."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from batchyard.core.model.commands import RegisterJobDefinition
from batchyard.store.codec import decode_document
from batchyard.timers.machine import TIMER, CancelTimer, SetTimer, TimerMachine, register


class Rung(Struct, frozen=True):
    name: str
    count: int = 0


BELL = register("bell", Rung)


class Kept:
    """What a store keeps of a machine's timers."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], Struct] = {}

    def commit(self, machine: TimerMachine) -> None:
        changes, effects = machine.take()
        assert effects == []
        for key, record in changes.documents.items():
            if record is None:
                self.documents.pop(key, None)  # set and due in one batch: it was never kept
            else:
                self.documents[key] = decode_document(key[0], msgspec.json.encode(record).decode())

    def restored(self) -> TimerMachine:
        machine = TimerMachine()
        machine.restore(self.documents)
        return machine


def reported(machine: TimerMachine, now_ms: int) -> list[Struct]:
    machine.schedule(now_ms)
    return machine.outgoing()


def test_a_timer_is_reported_once_when_its_time_has_come() -> None:
    machine, kept = TimerMachine(), Kept()
    machine.report("", SetTimer(BELL, "noon", 100, Rung("noon", 3)), 0)
    assert reported(machine, 99) == []
    kept.commit(machine)
    assert list(kept.documents) == [(TIMER, "bell/noon")]
    assert machine.next_deadline() == 100
    assert reported(machine, 100) == [Rung("noon", 3)]
    kept.commit(machine)
    assert (kept.documents, machine.next_deadline(), reported(machine, 1000)) == ({}, None, [])


def test_one_that_came_due_while_nothing_ran_is_reported_at_the_start() -> None:
    machine, kept = TimerMachine(), Kept()
    machine.report("", SetTimer(BELL, "noon", 100, Rung("noon")), 0)
    kept.commit(machine)
    assert reported(kept.restored(), 5000) == [Rung("noon")]


def test_a_later_setting_replaces_an_earlier_one() -> None:
    machine = TimerMachine()
    for due_ms, count in ((100, 1), (50, 2), (70, 3)):
        machine.report("", SetTimer(BELL, "noon", due_ms, Rung("noon", count)), 0)
    assert machine.next_deadline() == 70
    assert reported(machine, 1000) == [Rung("noon", 3)]


def test_those_due_together_come_in_the_order_of_their_times() -> None:
    machine = TimerMachine()
    for name, due_ms in (("c", 2), ("a", 3), ("b", 2), ("d", 1)):
        machine.report("", SetTimer(BELL, name, due_ms, Rung(name)), 0)
    assert reported(machine, 3) == [Rung("d"), Rung("b"), Rung("c"), Rung("a")]


def test_a_cancelled_one_is_gone_and_cancelling_again_changes_nothing() -> None:
    machine, kept = TimerMachine(), Kept()
    machine.report("", SetTimer(BELL, "noon", 100, Rung("noon")), 0)
    kept.commit(machine)
    machine.report("", CancelTimer(BELL, "noon"), 1)
    kept.commit(machine)
    machine.report("", CancelTimer(BELL, "noon"), 2)
    assert machine.pending_changes.is_empty()
    assert (kept.documents, machine.next_deadline(), reported(machine, 1000)) == ({}, None, [])


def test_what_is_no_timer_is_a_fault_of_ours() -> None:
    machine = TimerMachine()
    with pytest.raises(AssertionError, match="timers of nobody carry None"):
        machine.report("", SetTimer("nobody", "noon", 1, Rung("noon")), 0)
    with pytest.raises(AssertionError, match="TimerMachine has no handler for RegisterJobDefinition"):
        machine.handle(RegisterJobDefinition("x", {}), 0)
    machine.report("", SetTimer(BELL, "noon", 1, Rung("noon")), 0)
    machine.schedule(1)
    with pytest.raises(AssertionError, match="reported to no machine"):
        machine.take()


def test_one_owner_has_one_kind_of_payload() -> None:
    class Other(Struct):
        pass

    assert register("bell", Rung) == BELL
    with pytest.raises(AssertionError, match="timers of bell carry Rung already"):
        register("bell", Other)


NAMES = st.sampled_from("abcd")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), NAMES, st.integers(0, 60)),
        st.tuples(st.just("cancel"), NAMES, st.just(0)),
        st.tuples(st.just("pass"), st.just(""), st.integers(0, 30)),
        st.tuples(st.just("restart"), st.just(""), st.just(0)),
    ),
    max_size=40,
)


@given(STEPS)
def test_every_timer_is_reported_exactly_once_over_restarts(steps: list[tuple[str, str, int]]) -> None:
    machine, kept = TimerMachine(), Kept()
    wanted: dict[str, tuple[int, Rung]] = {}
    now_ms = 0
    for number, (step, name, milliseconds) in enumerate(steps):
        if step == "set":
            wanted[name] = now_ms + milliseconds, Rung(name, number)
            machine.report("", SetTimer(BELL, name, now_ms + milliseconds, Rung(name, number)), now_ms)
        elif step == "cancel":
            wanted.pop(name, None)
            machine.report("", CancelTimer(BELL, name), now_ms)
        elif step == "restart":
            kept.commit(machine)
            machine = kept.restored()
        now_ms += milliseconds if step == "pass" else 0
        due = sorted((at, name) for name, (at, _) in wanted.items() if at <= now_ms)
        assert reported(machine, now_ms) == [wanted[name][1] for _, name in due]
        for _, name in due:
            del wanted[name]
        assert machine.next_deadline() == min((at for at, _ in wanted.values()), default=None)
        kept.commit(machine)
        assert len(kept.documents) == len(wanted)
