"""The machine of deliveries. Others report messages for targets outside to it; it says when each is to be sent, tries
again, keeps the order within a key, and gives up as the policy says (observability spec 6).

A message is stored in the batch that reports it, and goes in the batch that learns of its arrival: after a crash it is
sent again. Bodies stay in the store; memory has a small record for each delivery that is not finished.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import ClassVar

from msgspec import Struct, json
from msgspec.structs import replace

from batchyard.core.model import documents
from batchyard.core.model.commands import Command
from batchyard.core.model.deliveries import DeliveryState, Message, Undeliverable
from batchyard.core.model.effects import Effect
from batchyard.machines.deadlines import Deadlines
from batchyard.machines.document_machine import CommandHandlers, DocumentMachine, ReportHandlers

LANE_DELIVERIES = 4  # under way at once in one lane: a slow target takes no more of the sender's connections
# Waiting in one lane, beyond which the newest is given up: memory keeps about 300 bytes of each.
MAX_LANE_WAITING = 100_000
MAX_FAILURES = 1_000  # kept, the newest, to be listed
FIRST_RETRY_MS = 1_000
MAX_RETRY_MS = 600_000  # 185 retries then take a day, as on AWS
LOG_CHANNEL = "logs"  # the sender that writes into log groups, also dead letters


class FailedDelivery(Struct, frozen=True):
    """A delivery that was given up. `condition`: AWS's EXHAUSTED_RETRY_CONDITION, empty where no retry was due."""

    lane: str
    token: str
    created_at_ms: int
    failed_at_ms: int
    retries: int
    error_code: str
    error: str
    condition: str = ""


FAILURE = documents.register("failed-delivery", FailedDelivery)


class AddDelivery(Struct, frozen=True):
    """A report to this machine: `message` is to be sent. `not_before_ms`: not earlier than this."""

    message: Message
    not_before_ms: int = 0


class AddDeliveries(Command[None], frozen=True):
    messages: tuple[Message, ...]


class FinishDelivery(Command[None], frozen=True):
    """Takes the outcome of one attempt. `error_code`: empty when the message has arrived, else AWS's code of a dead
    letter. `is_final`: trying again is of no use. `retry_after_ms`: the target asks for at least this pause.
    `message`: what was sent."""

    sequence: int
    message: Message
    error_code: str = ""
    error: str = ""
    is_final: bool = False
    retry_after_ms: int = 0


class DropLane(Struct, frozen=True):
    """A report to this machine: the target is gone; what waits for it is removed, what is under way ends."""

    lane: str


class AskFailures(Command[tuple[FailedDelivery, ...]], frozen=True):
    """Asks for the deliveries that were given up, newest first. `lane`: its prefix."""

    lane: str = ""


class AskWaiting(Command[dict[str, int]], frozen=True):
    """Asks how many deliveries are not finished, by lane."""


class SendMessages(Effect, frozen=True):
    """Sends these messages, each once, and returns a FinishDelivery for each."""

    sequences: tuple[int, ...]


class _Lane:
    """The unfinished deliveries to one target."""

    def __init__(self) -> None:
        self.chains: dict[str, deque[int]] = {}  # by order key: only the first of a chain is due or under way
        self.ready: deque[int] = deque()  # due, and waiting for another to end
        self.under_way: set[int] = set()
        self.count = 0


class DeliveryMachine(DocumentMachine):
    """Costs nothing while nothing is due."""

    def __init__(self) -> None:
        super().__init__()
        self._states: dict[int, DeliveryState] = {}
        self._lanes: dict[str, _Lane] = {}
        self._ready_lanes: dict[str, None] = {}  # those that may begin a delivery; in order
        self._deadlines: Deadlines[int] = Deadlines(self._is_due)  # by sequence
        self._failures: dict[int, FailedDelivery] = {}  # by number, ascending
        self._next_sequence = 1
        self._next_failure = 1

    def restore_deliveries(self, states: Sequence[DeliveryState]) -> None:
        """Takes the deliveries of the store, before the first batch. `states`: by sequence."""
        for state in states:
            self._next_sequence = state.sequence + 1
            self._enter(state)

    def restore(self, records: Mapping[tuple[str, str], Struct]) -> None:
        for (kind, name), record in records.items():
            if kind == FAILURE:
                assert isinstance(record, FailedDelivery)
                self._failures[int(name)] = record
        self._failures = dict(sorted(self._failures.items()))
        self._next_failure = max(self._failures, default=0) + 1

    def _add_all(self, command: AddDeliveries) -> None:
        for message in command.messages:
            self._add(message, self._now_ms)

    def _add_report(self, report: AddDelivery) -> None:
        self._add(report.message, max(self._now_ms, report.not_before_ms))

    def _undeliverable(self, report: Undeliverable) -> None:
        now_ms = self._now_ms
        self._note(FailedDelivery(report.lane, report.token, now_ms, now_ms, 0, report.error_code, report.error))

    def schedule(self, now_ms: int) -> None:
        """Marks what is due as ready; `take` begins it."""
        for sequence in self._deadlines.due(now_ms):
            lane = self._states[sequence].lane
            self._lanes[lane].ready.append(sequence)
            self._ready_lanes[lane] = None

    def _end_batch(self) -> list[Effect]:
        begun: list[int] = []
        ready_lanes, self._ready_lanes = self._ready_lanes, {}
        for name in ready_lanes:
            lane = self._lanes.get(name, _Lane())
            while lane.ready and len(lane.under_way) < LANE_DELIVERIES:
                sequence = lane.ready.popleft()
                lane.under_way.add(sequence)
                begun.append(sequence)
        return [SendMessages(tuple(begun))] if begun else []

    def next_deadline(self) -> int | None:
        return self._deadlines.first_ms()

    def recover(self) -> list[Effect]:
        """Returns nothing: after a restart no delivery is under way, and `schedule` begins what is due."""
        return []

    def _is_due(self, due_ms: int, sequence: int) -> bool:
        state = self._states.get(sequence)
        return state is not None and state.due_ms == due_ms

    def _add(self, message: Message, due_ms: int) -> None:
        lane, now_ms = self._lanes.get(message.lane), self._now_ms
        state = DeliveryState(self._next_sequence, message.lane, message.order_key, now_ms, due_ms, message.policy)
        if lane is not None and lane.count >= MAX_LANE_WAITING:
            words = f"{MAX_LANE_WAITING} deliveries wait for this target already"
            self._give_up(state, message, "TOO_MANY_WAITING", words, "")
            return
        self._next_sequence += 1
        self._changes.deliveries[state.sequence] = state
        self._changes.messages[state.sequence] = message
        self._enter(state)

    def _enter(self, state: DeliveryState) -> None:
        lane = self._lanes.setdefault(state.lane, _Lane())
        lane.count += 1
        self._states[state.sequence] = state
        if state.order_key:
            chain = lane.chains.setdefault(state.order_key, deque())
            chain.append(state.sequence)
            if len(chain) > 1:
                return  # the one before it makes it due
        self._deadlines.add(state.due_ms, state.sequence)

    def _finish(self, outcome: FinishDelivery) -> None:
        state = self._states.get(outcome.sequence)
        if state is None:
            return  # its target is gone meanwhile
        lane = self._lanes[state.lane]
        lane.under_way.discard(state.sequence)
        if lane.ready:
            self._ready_lanes[state.lane] = None
        if not outcome.error_code:
            self._remove(state)
            return
        retry_ms = self._now_ms + max(retry_pause_ms(state), outcome.retry_after_ms)
        condition = _exhausted(state, retry_ms)
        if outcome.is_final or condition:
            self._give_up(state, outcome.message, outcome.error_code, outcome.error, condition)
            self._remove(state)
        else:
            self._keep(replace(state, retries=state.retries + 1, due_ms=retry_ms))

    def _keep(self, state: DeliveryState) -> None:
        self._states[state.sequence] = state
        self._changes.deliveries[state.sequence] = state
        self._deadlines.add(state.due_ms, state.sequence)

    def _remove(self, state: DeliveryState) -> None:
        lane = self._lanes[state.lane]
        del self._states[state.sequence]
        self._changes.deliveries[state.sequence] = None
        self._changes.messages.pop(state.sequence, None)
        lane.count -= 1
        if state.order_key:
            chain = lane.chains[state.order_key]
            assert chain.popleft() == state.sequence, f"delivery {state.sequence} was not the first of its order key"
            if chain:
                following = self._states[chain[0]]
                self._keep(replace(following, due_ms=max(following.due_ms, self._now_ms)))
            else:
                del lane.chains[state.order_key]
        if not lane.count:
            del self._lanes[state.lane]

    def _drop(self, report: DropLane) -> None:
        """Removes all deliveries of a lane. The outcomes of those under way will find nothing."""
        name = report.lane
        if self._lanes.pop(name, None) is None:
            return
        for sequence in [one.sequence for one in self._states.values() if one.lane == name]:
            del self._states[sequence]
            self._changes.deliveries[sequence] = None
            self._changes.messages.pop(sequence, None)

    def _give_up(self, state: DeliveryState, message: Message, code: str, error: str, condition: str) -> None:
        failure = FailedDelivery(
            state.lane, message.token, state.created_at_ms, self._now_ms, state.retries, code, error, condition
        )
        self._note(failure)
        if message.dead_letter_group:
            self._add(_dead_letter(message, failure), self._now_ms)

    def _note(self, failure: FailedDelivery) -> None:
        """Adds a failure to the list, which keeps the newest."""
        self._failures[self._next_failure] = failure
        self._changes.documents[FAILURE, str(self._next_failure)] = failure
        self._next_failure += 1
        while len(self._failures) > MAX_FAILURES:
            oldest = next(iter(self._failures))
            del self._failures[oldest]
            self._changes.documents[FAILURE, str(oldest)] = None

    # -- questions --

    def _ask_failures(self, command: AskFailures) -> tuple[FailedDelivery, ...]:
        return tuple(one for one in reversed(self._failures.values()) if one.lane.startswith(command.lane))

    def _ask_waiting(self, command: AskWaiting) -> dict[str, int]:
        return {lane: self._lanes[lane].count for lane in sorted(self._lanes)}

    command_handlers: ClassVar[CommandHandlers] = {
        AddDeliveries: _add_all,
        FinishDelivery: _finish,
        AskFailures: _ask_failures,
        AskWaiting: _ask_waiting,
    }
    report_handlers: ClassVar[ReportHandlers] = {
        AddDelivery: _add_report,
        Undeliverable: _undeliverable,
        DropLane: _drop,
    }


def retry_pause_ms(state: DeliveryState) -> int:
    """Returns the pause before the next attempt: the policy's own; else doubled each time up to MAX_RETRY_MS, less up
    to half by a number that the delivery gives, so that those that failed together do not come again together."""
    pauses = state.policy.pauses_seconds
    if pauses:
        return pauses[min(state.retries, len(pauses) - 1)] * 1000
    longest = min(FIRST_RETRY_MS << min(state.retries, 16), MAX_RETRY_MS)
    digest = blake2b(f"{state.sequence}/{state.retries}".encode(), digest_size=2).digest()
    return longest - longest // 2 * int.from_bytes(digest, "big") // 0xFFFF


def _exhausted(state: DeliveryState, retry_ms: int) -> str:
    """Returns which limit of the policy a retry would be beyond; empty: none."""
    if state.retries >= state.policy.max_retries:
        return "MaximumRetryAttempts"
    if retry_ms - state.created_at_ms > state.policy.max_age_seconds * 1000:
        return "MaximumEventAgeInSeconds"
    return ""


def _dead_letter(message: Message, failure: FailedDelivery) -> Message:
    """Returns what the dead-letter group gets: the original and the attributes that AWS gives a dead letter."""
    attributes = message.dead_letter_attributes | {
        "LANE": message.lane,
        "ERROR_CODE": failure.error_code,
        "ERROR_MESSAGE": failure.error,
        "EXHAUSTED_RETRY_CONDITION": failure.condition,
        "RETRY_ATTEMPTS": str(failure.retries),
    }
    body = json.encode({"message": message.original or message.body, "attributes": attributes}).decode()
    lane = f"{LOG_CHANNEL}:{message.dead_letter_group}"
    return Message(lane, LOG_CHANNEL, {"group": message.dead_letter_group}, body, message.token)
