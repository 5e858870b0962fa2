"""Which waiting job starts where, now (AWS Batch behaviour 4.1, 4.3, 5.1). Returns assignments, changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from batchyard.core.resources import Resources


class Candidate(Struct, frozen=True):
    """One job at its turn. `index`: of an array's child that has no row yet, else None (then `key` is its own row)."""

    key: int
    index: int | None
    resources: Resources
    engines: tuple[str, ...]


class Offer(Struct, frozen=True):
    """What one environment of a queue offers: instances in the order to try."""

    environment: str
    engine: str
    instance_ids: tuple[str, ...]


class Room(Struct):
    """What is free on one instance while a plan is made."""

    free: Resources
    gpu_ids: list[int]  # free devices, ascending


class Assignment(Struct, frozen=True):
    candidate: Candidate
    environment: str
    engine: str
    instance_id: str
    device_ids: tuple[int, ...]


def plan(queues: Iterable[tuple[Sequence[Offer], Iterable[Candidate]]], rooms: Mapping[str, Room]) -> list[Assignment]:
    """`queues` in the order to visit them. In each, jobs start in their order until one does not fit: it blocks those
    behind it, and the next queue has its turn. `rooms` is used up."""
    assignments: list[Assignment] = []
    for offers, candidates in queues:
        for candidate in candidates:
            assignment = _place(candidate, offers, rooms)
            if assignment is None:
                break
            assignments.append(assignment)
    return assignments


def _place(candidate: Candidate, offers: Sequence[Offer], rooms: Mapping[str, Room]) -> Assignment | None:
    for offer in offers:
        if offer.engine not in candidate.engines:
            continue
        for instance_id in offer.instance_ids:
            room = rooms[instance_id]
            if not candidate.resources.fits(room.free):
                continue
            room.free = room.free.minus(candidate.resources)
            devices = tuple(room.gpu_ids[: candidate.resources.gpus])
            del room.gpu_ids[: candidate.resources.gpus]
            return Assignment(candidate, offer.environment, offer.engine, instance_id, devices)
    return None
