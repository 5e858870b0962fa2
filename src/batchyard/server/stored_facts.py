"""Reads the stored facts for the loop's delivery: beside the event loop, on connections of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from batchyard.core.model.fact_kinds import Fact
from batchyard.store.queries import Reader
from batchyard.store.store import Store


class StoredFacts:
    """Implements loop.fact_delivery.FactLog. Opens the database when a consumer first reads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reader: Reader | None = None

    async def read(self, after: int, limit: int) -> Sequence[tuple[int, Sequence[Fact]]]:
        if self._reader is None:
            self._reader = self._store.reader()
        return await asyncio.to_thread(self._reader.facts_after, after, limit)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
