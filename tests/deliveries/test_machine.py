"""Deliveries, one by one and against every order of outcomes and crashes."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import json

from batchyard.core.model.deliveries import DeliveryPolicy, Message
from batchyard.deliveries import machine as deliveries
from batchyard.deliveries.machine import (
    AddDelivery,
    AskFailures,
    AskWaiting,
    DeliveryMachine,
    DropLane,
    FailedDelivery,
    FinishDelivery,
    SendMessages,
)
from batchyard.simulator.disk import Disk
from batchyard.store import codec

HOUR_MS = 3_600_000


def message(lane: str = "a", body: str = "text", key: str = "", **members: Any) -> Message:
    return Message(lane, "http", {"url": "http://here"}, body, f"token-{body}", key, **members)


class Yard:
    """A machine, its store, and what it asked to be sent."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.machine = DeliveryMachine()
        self.now_ms = 1000

    def add(self, *messages: Message) -> None:
        for one in messages:
            self.machine.report("", AddDelivery(one), self.now_ms)

    def batch(self) -> list[int]:
        """Commits, and returns the sequences that are to be sent."""
        self.machine.schedule(self.now_ms)
        changes, effects = self.machine.take()
        self.disk.apply(codec.encode_changes(changes), self.now_ms)
        assert all(isinstance(effect, SendMessages) for effect in effects)
        return [sequence for effect in effects for sequence in effect.sequences]  # type: ignore[attr-defined]

    def stored(self, sequence: int) -> Message:
        return codec.decode_message(self.disk.deliveries[sequence][1])

    def finish(self, sequence: int, code: str = "", **members: Any) -> None:
        self.machine.handle(FinishDelivery(sequence, self.stored(sequence), code, **members), self.now_ms)

    def crash(self) -> None:
        snapshot = self.disk.snapshot(self.now_ms, HOUR_MS)
        self.machine = DeliveryMachine()
        self.machine.restore(snapshot.documents)
        self.machine.restore_deliveries(snapshot.deliveries)

    def failures(self) -> tuple[FailedDelivery, ...]:
        found: tuple[FailedDelivery, ...] = self.machine.handle(AskFailures(), self.now_ms)
        return found

    def waiting(self) -> dict[str, int]:
        found: dict[str, int] = self.machine.handle(AskWaiting(), self.now_ms)
        return found


def test_a_message_is_stored_sent_once_and_forgotten_when_it_has_arrived() -> None:
    yard = Yard()
    yard.add(message())
    assert yard.batch() == [1]
    assert yard.stored(1) == message()
    assert (yard.batch(), yard.waiting()) == ([], {"a": 1})
    yard.finish(1)
    assert yard.batch() == []
    assert (yard.disk.deliveries, yard.waiting(), yard.machine.next_deadline()) == ({}, {}, None)


def test_what_was_under_way_when_the_service_died_is_sent_again() -> None:
    yard = Yard()
    yard.add(message())
    assert yard.batch() == [1]
    yard.crash()
    assert yard.batch() == [1]


def test_a_failed_attempt_is_repeated_after_a_growing_pause() -> None:
    yard = Yard()
    yard.add(message())
    pauses = []
    for _ in range(14):
        assert yard.batch() == [1]
        yard.finish(1, "TIMEOUT")
        assert yard.batch() == []
        due_ms = yard.machine.next_deadline()
        assert due_ms is not None
        pauses.append(due_ms - yard.now_ms)
        yard.now_ms = due_ms
    longest = [min(1000 << retries, deliveries.MAX_RETRY_MS) for retries in range(14)]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True)), pauses


def test_a_policy_may_have_pauses_of_its_own() -> None:
    yard = Yard()
    yard.add(message(policy=DeliveryPolicy(3, pauses_seconds=(5, 7))))
    pauses = []
    for _ in range(3):
        yard.batch()
        yard.finish(1, "TIMEOUT")
        due_ms = yard.machine.next_deadline() or 0
        pauses.append(due_ms - yard.now_ms)
        yard.now_ms = due_ms
    assert pauses == [5000, 7000, 7000]


def test_a_target_may_ask_for_a_longer_pause() -> None:
    yard = Yard()
    yard.add(message())
    yard.batch()
    yard.finish(1, "THROTTLING", retry_after_ms=90_000)
    assert yard.machine.next_deadline() == yard.now_ms + 90_000


def test_the_policy_says_when_to_give_up() -> None:
    yard = Yard()
    yard.add(
        message("a", policy=DeliveryPolicy(max_retries=1)), message("b", policy=DeliveryPolicy(max_age_seconds=60))
    )
    while sent := yard.batch():
        for sequence in sent:
            yard.finish(sequence, "TIMEOUT", error="no answer within 5 s")
        yard.batch()
        yard.now_ms = yard.machine.next_deadline() or yard.now_ms
    found = {one.lane: (one.condition, one.error, one.error_code) for one in yard.failures()}
    words = ("no answer within 5 s", "TIMEOUT")
    assert found == {"a": ("MaximumRetryAttempts", *words), "b": ("MaximumEventAgeInSeconds", *words)}
    assert {one.lane: one.retries for one in yard.failures()}["a"] == 1
    assert yard.now_ms - 1000 <= 60_000
    assert yard.waiting() == {}


def test_a_failure_that_cannot_be_mended_is_not_repeated_and_goes_to_the_dead_letter_group() -> None:
    yard = Yard()
    yard.add(message(dead_letter_group="/dead", original='{"id": 1}', dead_letter_attributes={"RULE_ARN": "r"}))
    yard.batch()
    yard.finish(1, "NO_RESOURCE", error="410 Gone", is_final=True)
    assert yard.batch() == [2]
    letter = yard.stored(2)
    assert (letter.lane, letter.channel, letter.target) == ("logs:/dead", "logs", {"group": "/dead"})
    assert json.decode(letter.body) == {
        "message": '{"id": 1}',
        "attributes": {
            "RULE_ARN": "r",
            "LANE": "a",
            "ERROR_CODE": "NO_RESOURCE",
            "ERROR_MESSAGE": "410 Gone",
            "EXHAUSTED_RETRY_CONDITION": "",
            "RETRY_ATTEMPTS": "0",
        },
    }
    yard.crash()
    assert [(one.lane, one.token, one.error_code) for one in yard.failures()] == [("a", "token-text", "NO_RESOURCE")]


def test_messages_of_one_key_keep_their_order_and_others_pass() -> None:
    yard = Yard()
    yard.add(message(body="1", key="job"), message(body="2", key="job"), message(body="3", key="other"))
    assert yard.batch() == [1, 3]
    yard.finish(1, "TIMEOUT")
    yard.finish(3)
    assert yard.batch() == []
    yard.crash()
    yard.now_ms += HOUR_MS
    assert yard.batch() == [1]
    yard.finish(1)
    assert yard.batch() == [2]


def test_a_slow_target_takes_a_few_places_and_holds_up_no_other() -> None:
    yard = Yard()
    yard.add(*(message("slow", str(number)) for number in range(9)))
    assert yard.batch() == [1, 2, 3, 4]
    yard.add(message("quick"))
    assert yard.batch() == [10]
    yard.finish(2)
    assert yard.batch() == [5]


def test_beyond_what_may_wait_the_newest_is_given_up(monkeypatch: Any) -> None:
    monkeypatch.setattr(deliveries, "MAX_LANE_WAITING", 2)
    yard = Yard()
    yard.add(*(message(body=str(number)) for number in range(3)))
    assert yard.batch() == [1, 2]
    assert [(one.token, one.error_code) for one in yard.failures()] == [("token-2", "TOO_MANY_WAITING")]


def test_what_waits_for_a_removed_target_goes_with_it() -> None:
    yard = Yard()
    yard.add(*(message(body=str(number), key="job") for number in range(3)), message("b"))
    sent = yard.batch()
    kept = yard.stored(1)
    yard.machine.report("", DropLane("a"), yard.now_ms)
    assert yard.batch() == []
    assert list(yard.disk.deliveries) == [4]
    yard.machine.handle(FinishDelivery(sent[0], kept), yard.now_ms)  # it ends too late: nothing depends on it
    assert (yard.batch(), yard.waiting()) == ([], {"b": 1})


def test_only_the_newest_failures_are_kept(monkeypatch: Any) -> None:
    monkeypatch.setattr(deliveries, "MAX_FAILURES", 2)
    yard = Yard()
    for number in range(1, 4):
        yard.add(message(body=str(number)))
        yard.batch()
        yard.finish(number, "NO_RESOURCE", is_final=True)
        yard.batch()
    yard.crash()
    assert [one.token for one in yard.failures()] == ["token-3", "token-2"]


class Deliveries(RuleBasedStateMachine):
    """Every message arrives or is given up, each key in its order, whatever fails and whenever the service dies."""

    def __init__(self) -> None:
        super().__init__()
        self.yard = Yard()
        self.count = 0
        self.under_way: dict[int, Message] = {}
        self.arrived: list[Message] = []
        self.added: list[Message] = []

    @rule(lane=st.sampled_from("ab"), key=st.sampled_from(["", "x", "y"]))
    def add(self, lane: str, key: str) -> None:
        self.count += 1
        self.added.append(message(lane, str(self.count), key, policy=DeliveryPolicy(max_retries=3)))
        self.yard.add(self.added[-1])

    @rule(pause_ms=st.sampled_from([0, 1, 1000, 5000]))
    def batch(self, pause_ms: int) -> None:
        self.yard.now_ms += pause_ms
        for sequence in self.yard.batch():
            assert sequence not in self.under_way, f"{sequence} is sent twice at once"
            self.under_way[sequence] = self.yard.stored(sequence)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), code=st.sampled_from(["", "", "TIMEOUT"]))
    def finish(self, data: st.DataObject, code: str) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.under_way)))
        sent = self.under_way.pop(sequence)
        self.yard.machine.handle(FinishDelivery(sequence, sent, code), self.yard.now_ms)
        if not code:
            self.arrived.append(sent)

    @rule(commits=st.booleans())
    def crash(self, commits: bool) -> None:
        """The service dies. Without a commit before, it has not learnt the latest outcomes, and what was added since
        was never promised."""
        if commits:
            self.batch(0)
        else:
            known = {codec.decode_message(text).token for _, text in self.yard.disk.deliveries.values()}
            ended = {one.token for one in self.arrived} | {one.token for one in self.yard.failures()}
            self.added = [one for one in self.added if one.token in known | ended]
        self.under_way.clear()
        self.yard.crash()

    @invariant()
    def each_key_is_in_order(self) -> None:
        for lane in "ab":
            for key in "xy":
                numbers = [int(one.body) for one in self.arrived if (one.lane, one.order_key) == (lane, key)]
                assert numbers == sorted(numbers)
                assert sum((one.lane, one.order_key) == (lane, key) for one in self.under_way.values()) <= 1

    def teardown(self) -> None:
        for _ in range(10 * self.count + 10):
            self.batch(0)
            for sequence, sent in list(self.under_way.items()):
                self.yard.machine.handle(FinishDelivery(sequence, sent), self.yard.now_ms)
                self.arrived.append(self.under_way.pop(sequence))
            self.yard.now_ms = self.yard.machine.next_deadline() or self.yard.now_ms
        self.each_key_is_in_order()
        assert (self.yard.waiting(), self.yard.disk.deliveries) == ({}, {})
        ended = {one.token for one in self.arrived} | {one.token for one in self.yard.failures()}
        assert ended == {one.token for one in self.added}


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
