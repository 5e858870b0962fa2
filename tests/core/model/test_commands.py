"""Commands are plain values: what a caller leaves out has AWS's meaning."""

from __future__ import annotations

import pytest

from batchyard.core.model import commands as c


def test_what_a_submission_leaves_out() -> None:
    command = c.SubmitJob("id", "name", "queue", "definition")
    assert command.revision is None, "the highest ACTIVE one"
    assert command.array_size == 0
    assert command.retry_strategy is None, "the definition's holds"
    assert command.timeout is None
    assert command == c.SubmitJob(job_id="id", name="name", queue="queue", definition="definition")


def test_a_command_cannot_change_on_its_way() -> None:
    command = c.CancelJob("id", "reason")
    with pytest.raises(AttributeError):
        command.reason = "another"  # type: ignore[misc]


def test_deferred_errors_are_due_in_the_order_of_aws() -> None:
    assert sorted(c.CheckStage) == [c.CheckStage.SIZE, c.CheckStage.OVERRIDES, c.CheckStage.RULES]
