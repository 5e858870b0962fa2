"""What is to be done about pilots, decided from what a batch system lists. Pure: the caller runs the commands.

A batch system may be away, it may accept a job without an answer, and after a crash it may have forgotten its last
seconds: that it accepted jobs, that they started, or that they ended. So a pilot is submitted once and never again: one
that is not listed for long is given up, and another instance takes its place. What is listed and belongs to no instance
is cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from batchyard.batch_systems.batch_system import PilotJob

MISSING_MS = 60_000  # not listed for so long: a controller that starts again lists its jobs well within this


class PilotStage(StrEnum):
    """WAITING: to be submitted, to start or to join. JOINED: it runs; its lease decides when it is lost, not a listing.
    ENDING: its job is cancelled until it is listed as ended."""

    WAITING = "WAITING"
    JOINED = "JOINED"
    ENDING = "ENDING"


class Pilot(Struct):
    """One pilot. `was_tried`: a submission was begun, whatever came of it. `missing_since_ms`: since when listings do
    not have it. `is_over`: its end was reported."""

    instance_id: str
    stage: PilotStage
    was_tried: bool
    missing_since_ms: int | None = None
    is_over: bool = False
    detail: str = ""


class Submit(Struct, frozen=True):
    instance_id: str


class Cancel(Struct, frozen=True):
    job_id: str


class Refuse(Struct, frozen=True):
    """The pilot never joined, and will not."""

    instance_id: str
    reason: str


class End(Struct, frozen=True):
    """The pilot is no more."""

    instance_id: str


Action = Submit | Cancel | Refuse | End


class PilotTable:
    """The pilots of one service in one batch system, by instance id."""

    def __init__(self, service_id: str) -> None:
        self.pilots: dict[str, Pilot] = {}
        self._service_id = service_id
        self._orphans: set[str] = set()  # jobs without an instance, in the last listing

    def launch(self, instance_id: str, *, was_tried: bool) -> None:
        """Adds a pilot that has not joined. `was_tried`: it may have been submitted, also by an earlier server."""
        if instance_id not in self.pilots:
            self.pilots[instance_id] = Pilot(instance_id, PilotStage.WAITING, was_tried)

    def joined(self, instance_id: str) -> None:
        """Notes that a pilot runs."""
        pilot = self.pilots.setdefault(instance_id, Pilot(instance_id, PilotStage.JOINED, was_tried=True))
        if pilot.stage is PilotStage.WAITING:
            pilot.stage, pilot.missing_since_ms = PilotStage.JOINED, None

    def end(self, instance_id: str, *, is_over: bool = False) -> None:
        """Ends a pilot, also an unknown one. `is_over`: its end was reported already."""
        pilot = self.pilots.setdefault(instance_id, Pilot(instance_id, PilotStage.ENDING, was_tried=True))
        pilot.is_over = pilot.is_over or is_over
        if pilot.stage is not PilotStage.ENDING:
            pilot.stage, pilot.missing_since_ms = PilotStage.ENDING, None

    def refused(self, instance_id: str, reason: str) -> list[Action]:
        """Notes that the batch system has refused a submission for certain."""
        pilot = self.pilots.pop(instance_id)
        return [End(instance_id)] if pilot.stage is PilotStage.ENDING else [Refuse(instance_id, reason)]

    def observe(self, jobs: Sequence[PilotJob], now_ms: int) -> list[Action]:
        """Decides by a listing, which was begun after every earlier action was carried out."""
        own: dict[str, list[PilotJob]] = {}
        for job in jobs:
            if job.service_id == self._service_id:
                own.setdefault(job.instance_id, []).append(job)
        actions: list[Action] = []
        for pilot in list(self.pilots.values()):
            actions += self._decide(pilot, own.pop(pilot.instance_id, []), now_ms)
        orphans = [job.job_id for listed in own.values() for job in listed if job.may_live]
        actions += [Cancel(job_id) for job_id in orphans if job_id in self._orphans]
        self._orphans = set(orphans)
        return actions

    def _decide(self, pilot: Pilot, listed: list[PilotJob], now_ms: int) -> list[Action]:
        live = [job for job in listed if job.may_live]
        if listed:
            pilot.missing_since_ms, pilot.detail = None, listed[-1].detail
        elif pilot.missing_since_ms is None:
            pilot.missing_since_ms = now_ms
        is_missing = pilot.missing_since_ms is not None and now_ms - pilot.missing_since_ms >= MISSING_MS
        match pilot.stage:
            case PilotStage.JOINED:
                return []
            case PilotStage.ENDING:
                if live:
                    return [Cancel(job.job_id) for job in live]
                return self._over(pilot) if listed or is_missing or not pilot.was_tried else []
            case PilotStage.WAITING if live:
                return []
            case PilotStage.WAITING if listed:
                return self._give_up(pilot, f"The pilot's job ended before it joined: {pilot.detail}")
            case PilotStage.WAITING if not pilot.was_tried:
                pilot.was_tried, pilot.missing_since_ms = True, None
                return [Submit(pilot.instance_id)]
            case _:
                return self._give_up(pilot, "The batch system does not know the pilot's job") if is_missing else []

    def _give_up(self, pilot: Pilot, reason: str) -> list[Action]:
        del self.pilots[pilot.instance_id]
        return [Refuse(pilot.instance_id, reason)]

    def _over(self, pilot: Pilot) -> list[Action]:
        del self.pilots[pilot.instance_id]
        return [] if pilot.is_over else [End(pilot.instance_id)]
