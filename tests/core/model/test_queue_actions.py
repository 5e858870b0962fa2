"""The words of actions on queues are those of the ARNs of alarms, which are stored: they never change."""

from __future__ import annotations

from batchyard.core.model.queue_actions import EVERY_QUEUE, QueueAction, QueueActionDone


def test_the_words_of_actions_and_of_every_queue() -> None:
    assert [action.value for action in QueueAction] == ["cancel", "terminate", "disable"]
    assert EVERY_QUEUE == "*"
    assert QueueActionDone(QueueAction.CANCEL, "default", "token", 3).error == ""
