"""What an alarm does to queues."""

from __future__ import annotations

from batchyard.core.model.queue_actions import ActOnQueue, QueueAction, QueueActionDone
from batchyard.core.model.records import Dependency, Status
from tests.core.driver import Driver


def act(yard: Driver, action: QueueAction, queue: str = "default") -> QueueActionDone:
    yard.now_ms += 1
    yard.machine.report("", ActOnQueue(action, queue, "Alarm load: too much", "token"), yard.now_ms)
    (done,) = yard.machine.outgoing()
    yard.tick(1)
    assert isinstance(done, QueueActionDone)
    assert (done.action, done.queue, done.token) == (action, queue, "token")
    return done


def test_cancel_ends_what_waits_and_leaves_what_runs() -> None:
    yard = Driver(vcpus=2)
    array = yard.submit(array_size=6)
    waiting = yard.submit()
    after = yard.submit(depends_on=[Dependency(array)])
    yard.queue("other")
    elsewhere = yard.submit(queue="other")
    yard.started(f"{array}:0")
    assert act(yard, QueueAction.CANCEL).count == 4 + 1 + 1  # of the array, four had not started
    assert yard.status(f"{array}:0") is Status.RUNNING
    assert yard.status(f"{array}:5") is yard.status(waiting) is Status.FAILED
    assert yard.kept.job(waiting).status_reason == "Alarm load: too much"
    assert yard.status(elsewhere) is Status.RUNNABLE
    assert act(yard, QueueAction.CANCEL).count == 0  # again: nothing
    for index in (0, 1):
        yard.exited(f"{array}:{index}")
    assert yard.status(after) is Status.FAILED


def test_terminate_ends_what_runs_too_in_all_queues() -> None:
    yard = Driver(vcpus=2)
    running = yard.submit()
    yard.queue("other")
    waiting = yard.submit(queue="other", array_size=3)
    yard.started(running)
    assert act(yard, QueueAction.TERMINATE, "*").count == 4
    assert [stop.attempt_node.attempt_id for stop in yard.stops]
    assert yard.status(f"{waiting}:2") is Status.FAILED


def test_a_disabled_queue_takes_no_more_jobs_and_an_unknown_one_is_an_error() -> None:
    yard = Driver()
    assert act(yard, QueueAction.DISABLE).error == ""
    assert yard.machine.world.queues["default"].state == "DISABLED"
    assert act(yard, QueueAction.CANCEL, "ghost").error == "There is no job queue ghost."
