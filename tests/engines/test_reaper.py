"""A signal goes to the process that was seen, and not to another that has its pid by now."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import pytest

from batchyard.engines.supervisor import processes, reaper


class Seen:
    """A census of one process."""

    def __init__(self, pid: int, start_ticks: int) -> None:
        found = processes.read_row(pid)
        assert found is not None
        self._rows = {pid: found._replace(start_ticks=start_ticks)}

    def row(self, pid: int) -> processes.Row | None:
        return self._rows.get(pid)


@pytest.mark.parametrize("is_same", [True, False])
def test_only_the_process_that_was_seen_is_signalled(is_same: bool) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        ticks = processes.start_ticks(process.pid)
        census: Any = Seen(process.pid, ticks if is_same else ticks - 1)
        reaper._signal(census, [process.pid], signal.SIGTERM)
        if not is_same:
            assert os.waitpid(process.pid, os.WNOHANG) == (0, 0)
            process.kill()
        assert process.wait(60) == (-signal.SIGTERM if is_same else -signal.SIGKILL)


def test_a_process_that_is_gone_is_passed_over() -> None:
    process = subprocess.Popen(["sleep", "60"])
    census: Any = Seen(process.pid, processes.start_ticks(process.pid))
    process.kill()
    process.wait(60)
    reaper._signal(census, [process.pid], signal.SIGTERM)
