"""The clock of decisions: follows the wall clock forward, never back."""

from __future__ import annotations

import pytest

from batchyard import clock
from batchyard.clock import REANCHOR_EVERY_MS, SteadyClock

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


class Times:
    """The two clocks that SteadyClock looks at, in milliseconds."""

    def __init__(self) -> None:
        self.wall_ms = START_MS
        self.boot_ms = 5_000

    def pass_ms(self, amount_ms: int) -> None:
        self.wall_ms += amount_ms
        self.boot_ms += amount_ms


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    times = Times()
    monkeypatch.setattr(clock.time, "time_ns", lambda: times.wall_ms * 1_000_000)
    monkeypatch.setattr(clock.time, "clock_gettime_ns", lambda _which: times.boot_ms * 1_000_000)
    return times


def test_it_goes_on_while_the_wall_clock_is_set_back(times: Times) -> None:
    steady = SteadyClock()
    seen = [steady.now_ms()]
    times.wall_ms -= HOUR_MS
    for _ in range(50):
        times.pass_ms(1_000)
        seen.append(steady.now_ms())
    assert seen == [START_MS + 1_000 * second for second in range(51)]


def test_it_follows_the_wall_clock_forward(times: Times) -> None:
    steady = SteadyClock()
    times.wall_ms += HOUR_MS
    times.pass_ms(REANCHOR_EVERY_MS)
    assert steady.now_ms() == START_MS + HOUR_MS + REANCHOR_EVERY_MS
    times.wall_ms -= HOUR_MS
    times.pass_ms(REANCHOR_EVERY_MS)
    assert steady.now_ms() == START_MS + HOUR_MS + 2 * REANCHOR_EVERY_MS


def test_it_starts_where_the_store_was(times: Times) -> None:
    times.wall_ms -= HOUR_MS
    steady = SteadyClock(floor_ms=START_MS)
    assert steady.now_ms() == START_MS
    times.pass_ms(10)
    assert steady.now_ms() == START_MS + 10
