"""The runnable jobs, against a sorted list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.resources import Resources
from batchyard.core.state.runnable import FRESH, RETRIED, QueueMerge, RunnableJobs, Shape

STEPS = st.lists(
    st.tuples(st.sampled_from(["push", "retry", "discard"]), st.integers(0, 30), st.integers(0, 2), st.integers(0, 1)),
    max_size=200,
)
SHAPES = [Shape(Resources(1000 * size), ("process",), timeout_seconds=60 if size == 3 else 0) for size in (1, 2, 3)]


@given(STEPS)
def test_the_lines_are_in_order_whatever_came_and_went(steps: list[tuple[str, int, int, int]]) -> None:
    jobs, entries, shapes = RunnableJobs(), dict[int, tuple[int, int, int]](), dict[int, int]()
    for step, key, shape, priority in steps:
        if step == "discard":
            jobs.discard(key)
            entries.pop(key, None)
        else:
            rank = FRESH if step == "push" else RETRIED
            jobs.push(key, SHAPES[shape], rank, priority=priority)
            entries[key], shapes[key] = (-priority, rank, key), shape
        assert (jobs.timed > 0) == any(SHAPES[shapes[key]].timeout_seconds for key in entries)
    ordered = [key for _, _, key in sorted(entries.values())]
    assert list(jobs.in_order()) == ordered
    assert len(jobs) == len(ordered)
    for at, key in enumerate(ordered):
        assert sorted(jobs.before(key)) == sorted(ordered[:at])


@given(st.lists(st.integers(0, 2), max_size=30), st.integers(0, 2))
def test_a_dropped_line_is_passed_over_and_the_others_go_on(shapes: list[int], dropped: int) -> None:
    jobs = RunnableJobs()
    for key, shape in enumerate(shapes):
        jobs.push(key, SHAPES[shape])
    merge, seen = QueueMerge(jobs.shape_queues()), list[int]()
    while (found := merge.next()) is not None:
        key, shape_queue = found
        seen.append(key)
        if shape_queue.shape == SHAPES[dropped]:
            merge.skip_shape()
        else:
            jobs.discard(key)  # it was placed
    first = next((key for key, shape in enumerate(shapes) if shape == dropped), None)
    assert seen == [key for key, shape in enumerate(shapes) if shape != dropped or key == first]
    assert list(jobs.in_order()) == [key for key, shape in enumerate(shapes) if shape == dropped]
