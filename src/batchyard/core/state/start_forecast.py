"""When an amount fits on any instance of an environment at the latest. Only instances that have changed since the last
question are looked at again."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

MIN_REBUILT = 64  # entries of a heap: a smaller one is not worth to be made anew

# Returns when there is room on an instance at the latest (None: maybe never), and whether that stays so while nothing
# is placed there and nothing ends.
StartMoment = Callable[[str], tuple[int | None, bool]]


class StartForecast:
    """For one amount. `changed`: instances to look at again."""

    __slots__ = ("_entries", "_moments", "changed")

    def __init__(self, instance_ids: Iterable[str]) -> None:
        self.changed = set(instance_ids)
        self._moments: dict[str, int] = {}
        self._entries: list[tuple[int, str]] = []  # a heap with lazy deletion

    def earliest_ms(self, moment_of: StartMoment) -> int | None:
        """Returns the first of the instances' moments, as of when each was looked at; None: there is none."""
        still_changing: set[str] = set()
        for instance_id in self.changed:
            moment_ms, is_lasting = moment_of(instance_id)
            if not is_lasting:
                still_changing.add(instance_id)
            if moment_ms is None:
                self._moments.pop(instance_id, None)
            elif self._moments.get(instance_id) != moment_ms:
                self._moments[instance_id] = moment_ms
                heapq.heappush(self._entries, (moment_ms, instance_id))
        self.changed = still_changing
        if len(self._entries) > MIN_REBUILT and len(self._entries) > 2 * len(self._moments):
            self._entries = [(moment_ms, instance_id) for instance_id, moment_ms in self._moments.items()]
            heapq.heapify(self._entries)
        while self._entries and self._moments.get(self._entries[0][1]) != self._entries[0][0]:
            heapq.heappop(self._entries)
        return self._entries[0][0] if self._entries else None
