"""Attempts and their output are stamped by the service's clock, which stays ahead of a machine's that was set back."""

from __future__ import annotations

import time

from batchyard.core.model.reports import Exited, Started
from tests.engines.conformance import launch_of, wait_for_end
from tests.engines.process_harness import ProcessHarness

HOUR_MS = 3_600_000


def ahead_ms() -> int:
    return time.time_ns() // 1_000_000 + HOUR_MS


def test_a_supervisor_goes_by_the_clock_of_the_server_that_connects(process: ProcessHarness) -> None:
    process.now_ms = ahead_ms
    before_ms = ahead_ms()
    process.connect(2)
    launch = launch_of(process.prints())
    process.engine.launch([launch])
    final = wait_for_end(process, launch.attempt_id)
    assert isinstance(final, Exited)
    started = next(report for report in process.reports if isinstance(report, Started))
    lines_ms = [at_ms for at_ms, _ in process.log(launch.attempt_id)]
    assert len(lines_ms) == 3
    assert before_ms <= started.at_ms == final.started_at_ms
    assert sorted([final.started_at_ms, *lines_ms, final.stopped_at_ms]) == [
        final.started_at_ms,
        *lines_ms,
        final.stopped_at_ms,
    ]


def test_a_later_server_with_an_earlier_clock_takes_nothing_back(process: ProcessHarness) -> None:
    process.now_ms = ahead_ms
    before_ms = ahead_ms()
    process.connect(2)
    process.now_ms = None
    process.connect(3)
    launch = launch_of(process.prints())
    process.engine.launch([launch])
    final = wait_for_end(process, launch.attempt_id)
    assert isinstance(final, Exited)
    assert before_ms <= final.started_at_ms <= final.stopped_at_ms
