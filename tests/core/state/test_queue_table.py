"""The table of queues: a queue that is forgotten leaves nothing behind."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.model.reasons import Reason, ReasonCode
from batchyard.core.model.records import Health, Queue, QueueHead, State
from batchyard.core.model.resources import Resources
from batchyard.core.state.fairshare import ShareLedger
from batchyard.core.state.placement import Ahead
from batchyard.core.state.queue_table import BlockedHead, Queues, ReportedBlocked
from batchyard.core.state.runnable import Shape


def queue(name: str) -> Queue:
    return Queue(name, State.ENABLED, Health.VALID, "", 1, (), {}, {}, 0)


def test_everything_that_is_known_of_a_queue_goes_with_it() -> None:
    queues = Queues()
    for name in ("going", "staying"):
        queues[name] = queue(name)
        queues.runnable_in(name).push(1, Shape(Resources(1000, 64), ("process",)))
        queues.stuck[name] = {2: Reason(ReasonCode.UNDETERMINED, "text")}
        queues.placed[name] = 0
        queues.heads[name] = BlockedHead(1, None, 0)
        queues.ahead[name] = Ahead()
        queues.reported_blocked[name] = ReportedBlocked(1, "CODE", 1)
        queues.head_rows[name] = QueueHead(1, None, 0)
        queues.shares[name] = ShareLedger()
        queues.touched_shares.add(name)
    filled = [slot for slot in Queues.__slots__ if "going" in getattr(queues, slot)]
    assert sorted({*Queues.__slots__} - {*filled}) == ["fair", "policies", "stuck_since"], "these are not by queue"
    queues.forget("going")
    assert [slot for slot in Queues.__slots__ if "going" in getattr(queues, slot)] == []
    assert all("staying" in getattr(queues, slot) for slot in filled)
    assert [*queues] == ["staying"]


def test_queues_with_jobs_have_their_turn_by_priority() -> None:
    queues, shape = Queues(), Shape(Resources(1000, 64), ("process",), timeout_seconds=60)
    for name, priority in (("b", 1), ("a", 1), ("high", 5), ("empty", 9)):
        queues[name] = replace(queue(name), priority=priority)
        queues.runnable_in(name)
    assert queues.in_turn() == []
    for key, name in enumerate(("a", "b", "high", "high"), 1):
        queues.runnable_in(name).push(key, shape if key == 3 else replace(shape, timeout_seconds=0))
    assert [one.name for one in queues.in_turn()] == ["high", "a", "b"]
    assert queues.has_timeouts()
    queues.runnable_in("high").discard(3)
    assert [one.name for one in queues.in_turn()] == ["high", "a", "b"]
    assert not queues.has_timeouts()
    queues.runnable_in("high").discard(4)
    queues.runnable_in("a").discard(1)
    assert [one.name for one in queues.in_turn()] == ["b"]
