"""The address of a node of an attempt, and the task id that names it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model import names
from batchyard.core.model.attempt_node import MAX_NODES, AttemptNode, parse_node

ATTEMPTS = st.builds(
    names.task_id, st.integers(0, (1 << names.KEY_BITS) - 1), st.integers(1, 10), st.sampled_from(["job", "other:3"])
)


@given(ATTEMPTS, st.integers(0, MAX_NODES - 1))
def test_a_task_id_tells_attempt_and_node(attempt_id: str, node: int) -> None:
    task_id = AttemptNode(attempt_id, node, "i-1").task_id
    assert parse_node(task_id) == (attempt_id, node)
    assert (len(task_id), task_id == attempt_id) == (32, node == 0)


@given(ATTEMPTS, st.integers(1, MAX_NODES - 1))
def test_a_job_is_not_found_by_the_task_id_of_another_node(attempt_id: str, node: int) -> None:
    assert names.parse_task_id(AttemptNode(attempt_id, node).task_id) != names.parse_task_id(attempt_id)


def test_what_has_no_room_for_a_node_is_no_address() -> None:
    with pytest.raises(AssertionError):
        _ = AttemptNode("f" * 32, 1).task_id
    with pytest.raises(AssertionError):
        _ = AttemptNode("0" * 32, MAX_NODES).task_id
    with pytest.raises(AssertionError):
        names.task_id(1 << names.KEY_BITS, 1, "job")
