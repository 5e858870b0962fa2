"""What really ran, as the fake engines saw it: never read from the machine."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.reports import Exited, Lost, NotStarted, Report, Started
from batchyard.core.model.resources import Resources
from batchyard.engines.base import Launch


class ViolationError(AssertionError):
    """An invariant was violated."""


class LaunchedAttempt(Struct):
    """One attempt of the simulated world, or one node of it, from the moment its engine received the launch."""

    launch: Launch
    engine: str
    instance_id: str
    resources: Resources
    starts: int = 0
    final: Report | None = None


class AttemptLedger:
    """Every attempt that an engine received; of a multi-node job every node. Their ids are task ids."""

    def __init__(self) -> None:
        self.launched: dict[str, LaunchedAttempt] = {}  # by task id
        self.running: dict[str, LaunchedAttempt] = {}  # those without an end
        self.of_job: dict[str, str] = {}  # job id, of a node its job's -> its latest attempt
        self.finals: dict[str, Report] = {}  # also of attempts that were never launched
        self.acknowledged: set[str] = set()
        self.withheld: set[str] = set()  # attempts that a server could not give their secrets
        self.booted: set[str] = set()  # instances that were reported ready
        self.ended: set[str] = set()  # instances that were reported gone or refused

    def record_launch(self, engine: str, launch: Launch, instance_id: str) -> None:
        """Counts the attempt, or node, as running from now on, since the engine may start it at any time."""
        task_id = launch.task_id
        if task_id in self.launched:
            raise ViolationError(f"attempt {task_id} of job {launch.job_id} is run a second time")
        job_id = launch.job_id.partition("#")[0]
        before = self.of_job.get(job_id)
        if before is not None and before != launch.attempt_id and self._live_nodes(before):
            raise ViolationError(f"job {launch.job_id} runs attempt {task_id} while {before} still runs")
        attempt = LaunchedAttempt(launch, engine, instance_id, launch.task.resources)
        self.launched[task_id] = self.running[task_id] = attempt
        self.of_job[job_id] = launch.attempt_id

    def _live_nodes(self, attempt_id: str) -> list[str]:
        return [task_id for task_id, one in self.running.items() if one.launch.attempt_id == attempt_id]

    def record_report(self, report: Report) -> None:
        """Records a report at the moment the engine sends it."""
        attempt = self.launched.get(report.task_id)
        if isinstance(report, Started):
            if attempt is None:
                raise ViolationError(f"attempt {report.task_id} started and was never launched")
            attempt.starts = 1
            return
        assert isinstance(report, Exited | NotStarted | Lost), f"unknown report {report!r}"
        self.finals.setdefault(report.task_id, report)
        if attempt is not None and attempt.final is None:
            attempt.final = report
            del self.running[report.task_id]

    def held(self, instance_id: str) -> Resources:
        total = Resources()
        for attempt in self.running.values():
            if attempt.instance_id == instance_id:
                total = total.plus(attempt.resources)
        return total

    def devices(self, instance_id: str) -> list[int]:
        return [
            d
            for attempt in self.running.values()
            if attempt.instance_id == instance_id
            for d in attempt.launch.device_ids
        ]
