"""Since when jobs are RUNNABLE: children of arrays together as far as they became so together."""

from __future__ import annotations

from batchyard.core.model.names import child_key


class RunnableSince:
    """Knows what it has seen since the start of the service."""

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}  # by key
        self._ranges: dict[int, list[tuple[int, int, int]]] = {}  # by key of the array: start, stop, time

    def add(self, key: int, at_ms: int) -> None:
        self._rows[key] = at_ms

    def add_children(self, key: int, start: int, stop: int, at_ms: int) -> None:
        if stop - start == 1:
            self._rows[child_key(key, start)] = at_ms
        else:
            self._ranges.setdefault(key, []).append((start, stop, at_ms))

    def take(self, key: int) -> int | None:
        """Returns and forgets since when a job is RUNNABLE."""
        return self._rows.pop(key, None)

    def take_child(self, key: int, index: int) -> int | None:
        """Returns since when a child is RUNNABLE."""
        found = self._rows.pop(child_key(key, index), None)
        if found is not None:
            return found
        return next((at for start, stop, at in self._ranges.get(key, ()) if start <= index < stop), None)

    def forget_array(self, key: int) -> None:
        self._ranges.pop(key, None)
