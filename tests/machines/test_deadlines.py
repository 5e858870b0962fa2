"""Deadlines, against a dictionary that is looked through."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchyard.machines.deadlines import Deadlines

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from("abcd"), st.integers(0, 20)),
        st.tuples(st.just("end"), st.sampled_from("abcd"), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.integers(0, 20)),
    ),
    max_size=30,
)


@given(STEPS)
def test_deadlines_come_once_and_in_order_however_they_are_moved(steps: list[tuple[str, str, int]]) -> None:
    due_ms: dict[str, int] = {}
    deadlines: Deadlines[str] = Deadlines(lambda at_ms, key: due_ms.get(key) == at_ms)
    now_ms = 0
    for step, key, number in steps:
        if step == "set":
            if due_ms.get(key) != now_ms + number:
                due_ms[key] = now_ms + number
                deadlines.add(due_ms[key], key)
        elif step == "end":
            due_ms.pop(key, None)
        else:
            now_ms += number
            expected = sorted((at_ms, key) for key, at_ms in due_ms.items() if at_ms <= now_ms)
            found = []
            for one in deadlines.due(now_ms):
                found.append((due_ms.pop(one), one))
            assert found == expected
        assert deadlines.first_ms() == min(due_ms.values(), default=None)


def test_what_is_done_with_one_deadline_decides_about_those_after_it() -> None:
    due_ms = {"a": 1, "b": 2, "c": 3}
    deadlines: Deadlines[str] = Deadlines(lambda at_ms, key: due_ms.get(key) == at_ms)
    for key, at_ms in due_ms.items():
        deadlines.add(at_ms, key)
    found = []
    for key in deadlines.due(3):
        found.append(key)
        due_ms.pop("b", None)
    assert found == ["a", "c"]
