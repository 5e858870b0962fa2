"""First fit without a scan: the free resources of named places in a fixed order, as a segment tree.

Each node holds the largest amount of each kind below it. A search goes down where that suffices, the left side first,
and so comes to the first place with enough of all kinds; since the largest amounts may be those of different places, it
may have to turn back, which costs little in practice. A search and a change cost O(log n)."""

from __future__ import annotations

from collections.abc import Iterator

from batchyard.core.model.resources import Resources

MIN_CAPACITY = 4  # of leaves
NOTHING = -1  # in a leaf without a place, or with a closed one: less than every amount asked


class FirstFitTree:
    """Places are appended, and found in that order. A closed place has room for nothing until it is opened again.

    `names` has "" where a place was removed."""

    __slots__ = ("_at", "_capacity", "_gpus", "_memory_mib", "_milli_vcpus", "names")

    def __init__(self) -> None:
        self.names: list[str] = []
        self._at: dict[str, int] = {}  # name -> its position
        self._allocate(MIN_CAPACITY)

    def _allocate(self, capacity: int) -> None:
        self._capacity = capacity
        self._milli_vcpus = [NOTHING] * (2 * capacity)  # node n has the nodes 2n and 2n + 1 below it; 1 is the root
        self._memory_mib = [NOTHING] * (2 * capacity)
        self._gpus = [NOTHING] * (2 * capacity)

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, name: str) -> bool:
        return name in self._at

    def __iter__(self) -> Iterator[str]:
        return iter(self._at)

    # -- changes --

    def append(self, name: str, room: Resources | None = None) -> None:
        """Adds a place behind all others. None: closed."""
        assert name not in self._at, f"{name} is there already"
        if len(self.names) == self._capacity:
            self._rebuild()
        self._at[name] = len(self.names)
        self.names.append(name)
        if room is not None:
            self.set(name, room)

    def remove(self, name: str) -> None:
        self.set(name, None)
        self.names[self._at.pop(name)] = ""

    def _rebuild(self) -> None:
        """Drops removed places, and doubles the capacity where more than half of it is in use."""
        rooms = {name: self.room(name) for name in self._at}
        capacity = self._capacity * 2 if 2 * len(rooms) > self._capacity else self._capacity
        self.names = list(rooms)
        self._at = {name: at for at, name in enumerate(rooms)}
        self._allocate(capacity)
        for name, room in rooms.items():
            self.set(name, room)

    def set(self, name: str, room: Resources | None) -> None:
        """Sets what is free at a place; None closes it."""
        milli_vcpus, memory_mib, gpus = self._milli_vcpus, self._memory_mib, self._gpus
        node = self._capacity + self._at[name]
        mine = (NOTHING, NOTHING, NOTHING) if room is None else (room.milli_vcpus, room.memory_mib, room.gpus)
        while (milli_vcpus[node], memory_mib[node], gpus[node]) != mine:
            milli_vcpus[node], memory_mib[node], gpus[node] = mine
            if node == 1:
                return
            other = node ^ 1
            mine = max(mine[0], milli_vcpus[other]), max(mine[1], memory_mib[other]), max(mine[2], gpus[other])
            node >>= 1

    # -- questions --

    def room(self, name: str) -> Resources | None:
        """Returns what is free at a place; None where it is closed."""
        node = self._capacity + self._at[name]
        if self._milli_vcpus[node] == self._memory_mib[node] == self._gpus[node] == NOTHING:
            return None
        return Resources(self._milli_vcpus[node], self._memory_mib[node], self._gpus[node])

    def first(self, asked: Resources, start: int = 0) -> int | None:
        """Returns the position in `names` of the first place from `start` on with room for this; None: there is
        none."""
        milli_vcpus, memory_mib, gpus = self._milli_vcpus, self._memory_mib, self._gpus
        want_milli_vcpus, want_memory_mib, want_gpus = asked.milli_vcpus, asked.memory_mib, asked.gpus
        capacity = self._capacity
        if start >= capacity:
            return None
        node = capacity + start if start else 1
        while True:
            if (
                want_milli_vcpus <= milli_vcpus[node]
                and want_memory_mib <= memory_mib[node]
                and want_gpus <= gpus[node]
            ):
                if node >= capacity:
                    return node - capacity
                node *= 2
                continue
            while node & 1:  # the right one of two, or the root
                node >>= 1
            if not node:
                return None
            node += 1
