"""The clock that dates processes agrees with /proc about a process that was just started."""

import subprocess
import sys

from batchyard.engines.supervisor.processes import boot_ticks, start_ticks


def test_a_process_started_within_one_tick_is_dated_without_looking() -> None:
    agreed = 0
    for _ in range(50):
        before = boot_ticks()
        process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
        after = boot_ticks()
        dated = start_ticks(process.pid)
        process.communicate(b"\n")
        assert before <= dated <= after
        agreed += before == after == dated
    assert agreed, "fifty starts all took longer than a tick"
