"""The instances of one MANAGED environment, counted and indexed: what a pass asks about them costs the same for ten and
for ten thousand."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping

from batchyard.core.model.records import Instance, InstanceState
from batchyard.core.model.resources import Resources
from batchyard.core.state.first_fit_tree import FirstFitTree
from batchyard.core.state.start_forecast import StartForecast

COMING = (InstanceState.LAUNCHING, InstanceState.READY)  # they count for minvCpus
MAX_FORECASTS = 16  # amounts that heads of queues have waited for lately: one more takes the place of the oldest
MIN_REBUILT = 64  # entries of a heap: a smaller one is not worth to be made anew


class EnvironmentInstances:
    """`ids`: as they were launched; `sizes`: how many of those that are COMING have so much; `unclaimed`: what the jobs
    of this pass leave of those that are being launched."""

    __slots__ = (
        "_ends",
        "_forecasts",
        "_idle",
        "_idle_since",
        "_next",
        "_numbers",
        "_order",
        "_rooms",
        "coming_milli_vcpus",
        "draining",
        "ids",
        "launching",
        "milli_vcpus",
        "sizes",
        "unclaimed",
    )

    def __init__(self, idle_since: Mapping[str, int]) -> None:
        self.ids: list[str] = []
        self.milli_vcpus = 0  # of all but those being terminated
        self.coming_milli_vcpus = 0
        self.sizes: dict[Resources, int] = {}
        self.launching: dict[str, None] = {}  # as they were launched
        self.draining: set[str] = set()
        self.unclaimed = FirstFitTree()
        self._rooms: dict[Resources, FirstFitTree] = {}  # by size: what is free on those that are READY
        self._forecasts: dict[Resources, StartForecast] = {}
        self._next = 0
        self._numbers: list[int] = []  # of `ids`, ascending
        self._order: dict[str, int] = {}  # instance -> its number
        self._ends: list[tuple[int, str]] = []  # a heap with lazy deletion: (ends_at_ms, instance)
        self._idle_since = idle_since
        self._idle: dict[int, IdleHeap] = {}  # milli-vCPUs -> the idle instances of that size

    # -- what happens --

    def add(self, instance: Instance) -> None:
        """Adds an instance, new or restored, as the one launched last."""
        self.ids.append(instance.instance_id)
        self._numbers.append(self._next)
        self._order[instance.instance_id] = self._next
        self._next += 1
        if instance.resources not in self._rooms:
            self._rooms[instance.resources] = FirstFitTree()
        self._rooms[instance.resources].append(instance.instance_id)
        self._count(instance, 1)

    def change(self, before: Instance, after: Instance) -> None:
        """Replaces an instance's record. Its size never changes."""
        if before.state is not after.state or before.ends_at_ms != after.ends_at_ms:
            self._count(before, -1)
            self._count(after, 1)

    def remove(self, instance: Instance) -> None:
        self._count(instance, -1)
        at = bisect_left(self._numbers, self._order.pop(instance.instance_id))
        del self.ids[at], self._numbers[at]
        self._note_change(instance.instance_id)
        self._rooms[instance.resources].remove(instance.instance_id)
        if not self._rooms[instance.resources]:
            del self._rooms[instance.resources]

    def _count(self, instance: Instance, times: int) -> None:
        state, size, instance_id = instance.state, instance.resources, instance.instance_id
        if state is not InstanceState.TERMINATING:
            self.milli_vcpus += times * size.milli_vcpus
        if state in COMING:
            self.coming_milli_vcpus += times * size.milli_vcpus
            self.sizes[size] = self.sizes.get(size, 0) + times
            if not self.sizes[size]:
                del self.sizes[size]
        if times > 0:
            if state is InstanceState.LAUNCHING:
                self.launching[instance_id] = None
                self.unclaimed.append(instance_id, size)
            elif state is InstanceState.DRAINING:
                self.draining.add(instance_id)
            if instance.ends_at_ms:
                heapq.heappush(self._ends, (instance.ends_at_ms, instance_id))
        elif state is InstanceState.LAUNCHING:
            del self.launching[instance_id]
            self.unclaimed.remove(instance_id)
        else:
            self.draining.discard(instance_id)

    def set_room(self, instance: Instance, free: Resources) -> None:
        """Sets what is free on an instance, which takes jobs only while it is READY."""
        is_ready = instance.state is InstanceState.READY
        self._rooms[instance.resources].set(instance.instance_id, free if is_ready else None)
        self._note_change(instance.instance_id)

    def _note_change(self, instance_id: str) -> None:
        for forecast in self._forecasts.values():
            forecast.changed.add(instance_id)

    def became_idle(self, instance: Instance) -> None:
        """Counts an instance that `idle_since` has from now on."""
        milli_vcpus = instance.resources.milli_vcpus
        heap = self._idle.get(milli_vcpus)
        if heap is None:
            heap = self._idle[milli_vcpus] = IdleHeap(self._idle_since)
        heap.push(instance.instance_id)

    def became_busy(self, instance: Instance) -> None:
        """Counts an instance that `idle_since` has had until now."""
        self._idle[instance.resources.milli_vcpus].count -= 1

    # -- what follows --

    def in_order(self, instance_ids: set[str]) -> list[str]:
        """Returns some of the instances in the order they were launched."""
        return sorted(instance_ids, key=self._order.__getitem__)

    def with_room(
        self, asked: Resources, needed: Callable[[Resources], Resources | None] | None = None
    ) -> Iterator[str]:
        """Yields the READY instances that have room for this, as they were launched. `needed`: returns what has to be
        free on one of a given size instead; None: one of that size will not do."""
        found: list[Iterator[str]] = []
        for size, rooms in self._rooms.items():
            room = asked if needed is None else needed(size)
            if room is not None:
                found.append(_with_room(rooms, room))
        return found[0] if len(found) == 1 else heapq.merge(*found, key=self._order.__getitem__)

    def room(self, instance: Instance) -> Resources | None:
        """Returns what is free on an instance; None while it takes no jobs."""
        return self._rooms[instance.resources].room(instance.instance_id)

    def forecast(self, asked: Resources) -> StartForecast:
        """Returns what is known of when this fits on one of them."""
        found = self._forecasts.pop(asked, None) or StartForecast(self.ids)
        self._forecasts[asked] = found  # the last now
        if len(self._forecasts) > MAX_FORECASTS:
            del self._forecasts[next(iter(self._forecasts))]
        return found

    def ready(self) -> list[str]:
        """Returns the READY instances, as they were launched."""
        found = (name for rooms in self._rooms.values() for name in rooms if rooms.room(name) is not None)
        return sorted(found, key=self._order.__getitem__)

    def first_idle(self, at_most_milli_vcpus: int) -> tuple[int, str] | None:
        """Returns (since when, instance) of the one that has been idle for longest, of those of at most that size."""
        found = [heap.first() for size, heap in self._idle.items() if size <= at_most_milli_vcpus]
        return min((one for one in found if one is not None), default=None)

    def next_end_ms(self, records: Mapping[str, Instance], now_ms: int) -> int | None:
        """Returns the next moment after now at which one of them ends at the latest. `records`: of all instances."""
        ends = self._ends
        while ends and (ends[0][0] <= now_ms or not _ends_at(records, *ends[0])):
            heapq.heappop(ends)
        return ends[0][0] if ends else None


class IdleHeap:
    """The idle instances of one size, the longest idle first: a heap with lazy deletion. `count`: how many they are."""

    __slots__ = ("_entries", "_since", "count")

    def __init__(self, idle_since: Mapping[str, int]) -> None:
        self._since = idle_since
        self._entries: list[tuple[int, str]] = []
        self.count = 0

    def push(self, instance_id: str) -> None:
        self.count += 1
        heapq.heappush(self._entries, (self._since[instance_id], instance_id))
        if len(self._entries) > MIN_REBUILT and len(self._entries) > 2 * self.count:
            self._entries = list({entry for entry in self._entries if self._is_present(entry)})
            heapq.heapify(self._entries)

    def first(self) -> tuple[int, str] | None:
        entries = self._entries
        while entries and not self._is_present(entries[0]):
            heapq.heappop(entries)
        return entries[0] if entries else None

    def _is_present(self, entry: tuple[int, str]) -> bool:
        return self._since.get(entry[1]) == entry[0]


def _with_room(rooms: FirstFitTree, asked: Resources) -> Iterator[str]:
    at = rooms.first(asked)
    while at is not None:
        yield rooms.names[at]
        at = rooms.first(asked, at + 1)


def _ends_at(records: Mapping[str, Instance], at_ms: int, instance_id: str) -> bool:
    instance = records.get(instance_id)
    return instance is not None and instance.ends_at_ms == at_ms
