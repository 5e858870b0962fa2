"""The records of executions: details of events have AWS's member names, counts of a map run add up."""

import pytest

from batchyard.core.model.changes import Changes
from batchyard.core.model.executions import (
    ExecutionStatus,
    Frame,
    FramePhase,
    HistoryEvent,
    MapRunCounts,
    details_member,
)


@pytest.mark.parametrize(
    ("event_type", "member"),
    [
        ("ExecutionStarted", "executionStartedEventDetails"),
        ("TaskStateEntered", "stateEnteredEventDetails"),
        ("MapStateExited", "stateExitedEventDetails"),
        ("MapStateStarted", "mapStateStartedEventDetails"),
        ("TaskSubmitFailed", "taskSubmitFailedEventDetails"),
        ("ActivityTimedOut", "activityTimedOutEventDetails"),
        ("EvaluationFailed", "evaluationFailedEventDetails"),
        ("MapIterationAborted", "mapIterationAbortedEventDetails"),
    ],
)
def test_details_have_the_member_of_their_type(event_type: str, member: str) -> None:
    assert details_member(event_type) == member


def test_what_is_not_done_is_pending() -> None:
    assert MapRunCounts(total=10, running=2, succeeded=3, failed=1, timed_out=1, aborted=1).pending == 2


def test_an_execution_is_over_in_four_states() -> None:
    final = {status for status in ExecutionStatus if status.is_final}
    assert final == set(ExecutionStatus) - {ExecutionStatus.RUNNING, ExecutionStatus.PENDING_REDRIVE}


def test_a_batch_with_history_alone_is_not_empty_and_is_united_with_others() -> None:
    event = HistoryEvent(1, 1, 0, 5, "ExecutionStarted")
    frame = Frame(execution_key=1, id=0, state="A", phase=FramePhase.SLEEPING, input="{}")
    changes, others = Changes(history=[event]), Changes(frames={(1, 0): frame})
    assert not changes.is_empty()
    assert not others.is_empty()
    changes.absorb(others)
    assert (changes.history, changes.frames) == ([event], {(1, 0): frame})
    with pytest.raises(AssertionError, match="two machines changed the records"):
        changes.absorb(others)
