"""The conformance suite's tasks as shell scripts, and what they wrote, for harnesses of engines that run programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batchyard.core.model.records import DEFAULT_CONTAINER, TaskSpec
from batchyard.engines.base import log_path


class ShellTasks:
    logs_dir: Path

    def program(self, *command: str, **members: Any) -> TaskSpec:
        raise NotImplementedError

    def traced(self, before: str, after: str) -> TaskSpec:
        """Runs `before`, writes a line into the attempt's trace, and runs `after`."""
        raise NotImplementedError

    def exits(self, code: int) -> TaskSpec:
        return self.traced("", f"exit {code}")

    def sleeps(self) -> TaskSpec:
        return self.traced("", "exec sleep 1000")

    def shows_gpus(self) -> TaskSpec:
        return self.traced("echo $NVIDIA_VISIBLE_DEVICES;", "exec sleep 1000")

    def ends_on_term(self, code: int) -> TaskSpec:
        return self.traced(f'trap "exit {code}" TERM;', "while :; do sleep 0.02; done")

    def ignores_term(self) -> TaskSpec:
        return self.traced('trap "" TERM;', "while :; do sleep 0.05; done")

    def missing(self) -> TaskSpec:
        return self.program("no-such-program-anywhere")

    def log(self, task_id: str, container: str = DEFAULT_CONTAINER) -> list[tuple[int, str]]:
        """(milliseconds, text) of each line."""
        path = log_path(self.logs_dir, task_id, container)
        if not path.exists():
            return []
        text = path.read_text()
        if not text:
            return []  # it was made a moment ago
        assert text.endswith("\n")
        return [(int(at), words) for at, words in (line.split("\t", 1) for line in text[:-1].split("\n"))]

    def words(self, task_id: str, container: str = DEFAULT_CONTAINER) -> list[str]:
        return [words for _, words in self.log(task_id, container)]
