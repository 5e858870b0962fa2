"""Reads the messages that are due, beside the event loop, on connections of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from batchyard.core.model.deliveries import Message
from batchyard.store.queries import Reader
from batchyard.store.store import Store


class StoredMessages:
    """The messages of deliveries. Opens the database when the first is due."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reader: Reader | None = None

    async def load(self, sequences: Sequence[int]) -> Mapping[int, Message]:
        """Returns the messages of these deliveries, without those that are gone."""
        if self._reader is None:
            self._reader = self._store.reader()
        return await asyncio.to_thread(self._reader.messages, sequences)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
