"""Effects on a task name the attempt by its node's address."""

from __future__ import annotations

from batchyard.core.model import names
from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.effects import AcknowledgeTask, StopTask


def test_an_effect_on_a_node_names_its_attempt() -> None:
    attempt_id = names.task_id(1, 1, "job")
    stop = StopTask("process", AttemptNode(attempt_id, 2, "i-1"), 30.0)
    assert stop.attempt_id == attempt_id
    assert stop.attempt_node.task_id != attempt_id
    assert AcknowledgeTask("process", AttemptNode(attempt_id)).attempt_id == attempt_id
