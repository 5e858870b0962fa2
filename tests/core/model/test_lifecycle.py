"""The table of job states: which moves there are, and that no other one is made."""

from __future__ import annotations

import itertools

import pytest

from batchyard.core.model import lifecycle
from batchyard.core.model.lifecycle import TABLE, Cause
from batchyard.core.model.records import Job, Status


@pytest.mark.parametrize(("status", "cause"), TABLE)
def test_a_move_of_the_table_changes_the_status_and_what_it_is_given(status: Status, cause: Cause) -> None:
    before = Job(7, status, 1000, is_cancelled=True)
    after = lifecycle.move(before, cause, status_reason="because")
    assert after == Job(7, TABLE[status, cause], 1000, status_reason="because", is_cancelled=True)
    assert before.status is status


def test_no_other_move_is_made() -> None:
    for status, cause in itertools.product(Status, Cause):
        if (status, cause) not in TABLE:
            with pytest.raises(AssertionError, match=f"job 7 is {status}: no way on"):
                lifecycle.move(Job(7, status, 1000), cause)


def test_nothing_follows_a_final_state() -> None:
    assert not [pair for pair in TABLE if pair[0].is_final]


def test_every_state_is_reached_from_the_first() -> None:
    reached = {Status.SUBMITTED}
    for _ in Status:
        reached |= {target for (status, _), target in TABLE.items() if status in reached}
    assert reached == {*Status}


def test_how_a_job_and_a_child_s_row_begin() -> None:
    assert lifecycle.submitted(3, 500) == Job(3, Status.SUBMITTED, 500)
    assert lifecycle.child_row(4, Status.RUNNABLE, 500) == Job(4, Status.RUNNABLE, 500)
