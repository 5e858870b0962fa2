"""Virtual time moves from action to action, and reports arrive when their delivery decides."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from batchyard.engines.event_queue import ReportQueue


def queue(*delays_ms: int) -> tuple[ReportQueue[str], list[tuple[int, str]]]:
    """A queue that delivers each report after these delays, and what arrived."""
    reports = ReportQueue[str](lambda report: delays_ms)
    arrived: list[tuple[int, str]] = []

    def sink(batch: Sequence[str]) -> None:
        arrived.extend((reports.now_ms, report) for report in batch)

    reports.sink = sink
    return reports, arrived


def test_actions_run_by_their_time_and_then_in_their_order() -> None:
    reports, _ = queue()
    done: list[tuple[int, str]] = []
    for delay_ms, name in ((5, "later"), (3, "first"), (3, "second")):
        reports._after(delay_ms, lambda name=name: done.append((reports.now_ms, name)))  # type: ignore[misc]
    reports._after(3, lambda: reports._after(1, lambda: done.append((reports.now_ms, "from within"))))
    assert reports.next_event_ms() == 3
    reports.advance(4)
    assert done == [(3, "first"), (3, "second"), (4, "from within")]
    reports.advance(100)
    assert (done[-1], reports.now_ms, reports.next_event_ms()) == ((5, "later"), 100, None)


def test_time_does_not_go_back() -> None:
    reports, _ = queue()
    reports.advance(7)
    with pytest.raises(AssertionError, match="time went back from 7 to 6"):
        reports.advance(6)


@pytest.mark.parametrize("delays_ms", [(), (0,), (2, 9)])
def test_a_report_arrives_once_for_each_delay(delays_ms: tuple[int, ...]) -> None:
    reports, arrived = queue(*delays_ms)
    reports._send("report")
    assert arrived == [], "never while a command is being given"
    reports.advance(10)
    assert arrived == [(delay_ms, "report") for delay_ms in delays_ms]


def test_a_report_without_a_sink_is_lost() -> None:
    reports, arrived = queue(1)
    reports._send("report")
    reports.sink = None
    reports.advance(1)
    assert arrived == []
