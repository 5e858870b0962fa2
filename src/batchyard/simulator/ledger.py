"""What really ran: counted by the fake world itself, never by the machine's word."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.commands import Exited, Lost, NotStarted, Report, Started
from batchyard.core.model.resources import Resources
from batchyard.engines.base import Launch


class ViolationError(AssertionError):
    """Something that must never happen has happened."""


class Life(Struct):
    """One attempt in the world, from the moment its engine was told to run it."""

    launch: Launch
    instance_id: str
    resources: Resources
    starts: int = 0
    final: Report | None = None


class Ledger:
    """Every attempt that an engine was told of."""

    def __init__(self) -> None:
        self.lives: dict[str, Life] = {}  # by attempt id
        self.alive: dict[str, Life] = {}  # those without an end
        self.of_job: dict[str, str] = {}  # job id -> its latest attempt
        self.finals: dict[str, Report] = {}  # also of attempts that never came to life
        self.acknowledged: set[str] = set()
        self.withheld: set[str] = set()  # attempts that a server could not give their secrets
        self.booted: set[str] = set()  # instances that were said to be ready
        self.ended: set[str] = set()  # instances that were said to be gone, or refused

    def launched(self, launch: Launch, instance_id: str) -> None:
        """Told to run: counts as running from now on, since the engine may start it at any time."""
        attempt_id = launch.attempt_id
        if attempt_id in self.lives:
            raise ViolationError(f"attempt {attempt_id} of job {launch.job_id} is run a second time")
        before = self.of_job.get(launch.job_id)
        if before is not None and before in self.alive:
            raise ViolationError(f"job {launch.job_id} runs attempt {attempt_id} while {before} still lives")
        life = Life(launch, instance_id, launch.task.resources)
        self.lives[attempt_id] = self.alive[attempt_id] = life
        self.of_job[launch.job_id] = attempt_id

    def reported(self, report: Report) -> None:
        """What an engine says, at the moment it is sent."""
        life = self.lives.get(report.attempt_id)
        if isinstance(report, Started):
            if life is None:
                raise ViolationError(f"attempt {report.attempt_id} started and was never launched")
            life.starts = 1
            return
        assert isinstance(report, Exited | NotStarted | Lost), f"unknown report {report!r}"
        self.finals.setdefault(report.attempt_id, report)
        if life is not None and life.final is None:
            life.final = report
            del self.alive[report.attempt_id]

    def held(self, instance_id: str) -> Resources:
        total = Resources()
        for life in self.alive.values():
            if life.instance_id == instance_id:
                total = total.plus(life.resources)
        return total

    def devices(self, instance_id: str) -> list[int]:
        return [d for life in self.alive.values() if life.instance_id == instance_id for d in life.launch.device_ids]
