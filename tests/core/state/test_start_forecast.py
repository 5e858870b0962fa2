"""A forecast that looks at what has changed says what one says that looks at everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.state.start_forecast import MIN_REBUILT, StartForecast

Moments = dict[str, tuple[int | None, bool]]
moments = st.tuples(st.none() | st.integers(1, 20), st.booleans())


@given(st.lists(st.tuples(st.integers(0, 6), moments, st.booleans())))
def test_the_earliest_is_that_of_all(steps: list[tuple[int, tuple[int | None, bool], bool]]) -> None:
    state: Moments = {f"i-{number}": (number + 1, True) for number in range(3)}
    forecast = StartForecast(state)
    looked_at: list[str] = []

    def moment_of(instance_id: str) -> tuple[int | None, bool]:
        looked_at.append(instance_id)
        return state[instance_id]

    for number, moment, is_asked in steps:
        state[f"i-{number}"] = moment
        forecast.changed.add(f"i-{number}")
        if is_asked:
            looked_at.clear()
            expected = set(forecast.changed)
            known = [at_ms for at_ms, _ in state.values() if at_ms is not None]
            assert forecast.earliest_ms(moment_of) == min(known, default=None)
            assert set(looked_at) == expected, "only what has changed is looked at"
            assert forecast.changed == {i for i in expected if not state[i][1]}, "and what goes on changing stays"


def test_a_forecast_does_not_grow_with_the_changes() -> None:
    now = 0
    forecast = StartForecast(["i-old", "i-new"])
    for now in range(1000):
        forecast.changed.add("i-new")
        assert forecast.earliest_ms(lambda name: (5 if name == "i-old" else 10 + now, True)) == 5  # noqa: B023
    assert len(forecast._entries) <= MIN_REBUILT + 1
