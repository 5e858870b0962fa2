"""What processes use, read from /proc: of a real process that works, with a child."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

from batchyard.engines.base import ATTEMPT_VARIABLE
from batchyard.engines.supervisor import processes
from batchyard.server.metrics.process_usage import ProcessUsage
from tests.waiting import until

# Both work; the child tells that it has begun, and has ended when its input has.
WORK = """
import subprocess, sys
child = "import sys; print(flush=True); x = 1\\nfor _ in range(3 * 10**6): x += 1\\nprint(flush=True); sys.stdin.read()"
subprocess.run([sys.executable, "-c", child])
"""


def test_the_processes_of_a_task_are_found_with_their_children() -> None:
    task_id = uuid.uuid4().hex
    usage = ProcessUsage()
    assert task_id not in usage.look()
    environment = {**os.environ, ATTEMPT_VARIABLE: task_id}
    with subprocess.Popen(
        [sys.executable, "-c", WORK], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        process.stdout.readline()
        found = usage.look()[task_id]
        assert found.cores > 0
        assert found.memory_kib > 2000
        assert (found.storage is None) == (processes.storage_bytes(os.getpid()) is None)
        assert usage.look()[task_id].cores < found.cores + 1
        process.stdin.close()
    until(lambda: task_id not in usage.look())
