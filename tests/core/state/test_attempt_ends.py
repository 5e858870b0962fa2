"""The ends of attempts are in the order that sorting all of them gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.state.attempt_ends import AttemptEnds

STEPS = st.lists(st.tuples(st.sampled_from(("place", "start", "leave")), st.integers(0, 8), st.integers(1, 50)))


@given(STEPS, st.integers(0, 100))
def test_the_order_is_that_of_sorting(steps: list[tuple[str, int, int]], now_ms: int) -> None:
    ends, starting, started = AttemptEnds(), dict[int, int](), dict[int, int]()
    for what, key, amount in steps:
        if what == "place" and key not in started:
            ends.place(key, amount, 0)
            starting[key] = amount
        elif what == "start" and key in starting:
            ends.place(key, starting[key], amount)
            started[key] = amount + starting.pop(key)
        elif what == "leave":
            ends.leave(key)
            starting.pop(key, None)
            started.pop(key, None)
        expected = [(end_ms, key) for key, end_ms in started.items()]
        expected += [(now_ms + longest_ms, key) for key, longest_ms in starting.items()]
        assert list(ends.in_order(now_ms)) == sorted(expected)
        assert (len(ends), ends.is_lasting) == (len(expected), not starting)
