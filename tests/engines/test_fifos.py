"""FIFOs of tasks, and who writes into them."""

from __future__ import annotations

import os
from pathlib import Path

from batchyard.engines.log_file import LogFile
from batchyard.engines.supervisor.fifos import READ_BYTES, Fifos


class Flooded(LogFile):
    """The output of a task that left a process behind, which fills the FIFO again whenever there is room."""

    writer = -1
    writes = 0

    def write(self, data: bytes, now_ms: int) -> None:
        super().write(data, now_ms)
        self.writes += 1
        assert self.writes < 100, "it is read for ever"
        os.write(self.writer, b"x" * len(data))


def test_an_output_ends_while_somebody_goes_on_writing(tmp_path: Path) -> None:
    fifos = Fifos(tmp_path, "instance")
    log = Flooded(tmp_path / "log")
    output = fifos.take(None, lambda: log)
    log.writer = output.open_task_end()
    os.write(log.writer, b"the rest\n" + b"x" * (READ_BYTES - 9))
    try:
        output.finish(0)
    finally:
        os.close(log.writer)
        output.is_shared = True
        fifos.give_back(output)
    assert b"the rest\n" in (tmp_path / "log").read_bytes()
    assert log.writes == 1
