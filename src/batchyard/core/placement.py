"""Where a waiting job starts, now, and whether it may pass the head of its queue (AWS Batch behaviour 4.1, 4.3, 5.1).
Functions of values: they return an assignment and change nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from batchyard.core.resources import Resources
from batchyard.core.runnable import Shape

NEVER_MS = 1 << 62  # later than every moment: running jobs without a timeout may never make room


class Room(Struct):
    """An instance as placement sees it."""

    free: Resources
    gpu_ids: list[int]  # free devices, ascending
    total: Resources = Resources()  # what there is when nothing runs on it, and nothing is reserved of it


class Offer(Struct, frozen=True):
    """What one environment of a queue offers: instances in the order to try."""

    environment: str
    engine: str
    instance_ids: tuple[str, ...]
    budget: Room | None = None  # what it may still use, where its instances do not say it


class Assignment(Struct, frozen=True):
    environment: str
    engine: str
    instance_id: str
    device_ids: tuple[int, ...]


class Head(Struct, frozen=True):
    """The first job of a queue that found no room: others may pass it only where that costs it nothing."""

    shape: Shape
    starts_at_ms: int  # when it starts at the latest, by the timeouts of what runs; NEVER_MS: nobody can tell
    saved: frozenset[str] = frozenset()  # instances that have to become empty, so that one for it can be launched


def place(
    shape: Shape, offer: Offer, rooms: Mapping[str, Room], head: Head | None = None, ends_at_ms: int = 0
) -> Assignment | None:
    """The first instance of an environment with room for a job of this shape; None: there is none.

    `head`: the job it would pass, and `ends_at_ms` when its own timeout would have ended it (0: it has none)."""
    asked = shape.resources
    if offer.engine not in shape.engines or (offer.budget is not None and not asked.fits(offer.budget.free)):
        return None
    for instance_id in offer.instance_ids:
        room = rooms[instance_id]
        if asked.fits(room.free) and (head is None or _may_pass(head, offer, instance_id, room, ends_at_ms)):
            return Assignment(offer.environment, offer.engine, instance_id, tuple(room.gpu_ids[: asked.gpus]))
    return None


def _may_pass(head: Head, offer: Offer, instance_id: str, room: Room, ends_at_ms: int) -> bool:
    """Onto what the head could not use even if it were empty, and what is not saved for it; or when it will be gone
    before the head can start."""
    could_use = offer.engine in head.shape.engines and head.shape.resources.fits(room.total)
    if not could_use and instance_id not in head.saved:
        return True
    return 0 < ends_at_ms <= head.starts_at_ms < NEVER_MS


def starts_at_the_latest(asked: Resources, free: Resources, ends: Iterable[tuple[int, Resources]], now_ms: int) -> int:
    """When `asked` fits on an instance with `free` room, if what runs there (when its timeout ends it, what it then
    gives back) takes all the time it may."""
    if asked.fits(free):
        return now_ms
    for end_ms, given in sorted(ends):
        if end_ms >= NEVER_MS:
            break
        free = free.plus(given)
        if asked.fits(free):
            return max(end_ms, now_ms)
    return NEVER_MS
