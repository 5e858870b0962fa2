"""A deliberately naive model of what must become of jobs. It imports nothing of the core: AWS's rules, one by one, on a
graph of nodes, with no notion of time, queues or capacity."""

from __future__ import annotations

from dataclasses import dataclass, field

FINAL_CODES = (0, 1, 3, 34)


@dataclass
class NaiveJob:
    """`codes(index, attempt)` is the exit code its program would give. Dependencies name earlier jobs by number."""

    size: int = 0
    plain: list[tuple[int, int | None]] = field(default_factory=list)  # (job, child or None for the whole)
    paired: list[int] = field(default_factory=list)  # N_TO_N
    sequential: bool = False
    after_any: bool = False
    attempts: int = 1
    rules: list[tuple[str, str]] = field(default_factory=list)  # (onExitCode, action)
    salt: int = 0

    def code(self, index: int, attempt: int) -> int:
        return FINAL_CODES[(self.salt * 7 + index * 5 + attempt * 3) % len(FINAL_CODES)]


class Verdicts:
    """Success or failure of every job and child, worked out by asking what each depends on."""

    def __init__(self, jobs: list[NaiveJob]) -> None:
        self.jobs = jobs
        self.children: dict[tuple[int, int], bool] = {}
        for number, job in enumerate(jobs):
            for index in range(max(1, job.size)):
                self.children[number, index] = self._child_succeeds(number, index)

    def succeeds(self, number: int) -> bool:
        return all(self.children[number, index] for index in range(max(1, self.jobs[number].size)))

    def _child_succeeds(self, number: int, index: int) -> bool:
        job = self.jobs[number]
        if not job.after_any:
            for other, child in job.plain:
                if not (self.succeeds(other) if child is None else self.children[other, child]):
                    return False
            if not all(self.children[other, index] for other in job.paired):
                return False
            if job.sequential and index > 0 and not self.children[number, index - 1]:
                return False
        return self._runs(job, index)

    def _runs(self, job: NaiveJob, index: int) -> bool:
        for attempt in range(1, job.attempts + 1):
            code = job.code(index, attempt)
            if code == 0:
                return True
            action = next((action for pattern, action in job.rules if self._matches(pattern, code)), "RETRY")
            if action == "EXIT":
                return False
        return False

    @staticmethod
    def _matches(pattern: str, code: int) -> bool:
        text = str(code)
        return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern
