"""The store of a data directory, as every command of the service opens it: with the kinds of documents of all rooms."""

from __future__ import annotations

from batchyard.server.settings.paths import Paths
from batchyard.store.store import Store
from batchyard.timers import machine as timers

# Rooms outside the core register the kinds that they keep when they are imported. Without them a backup or a check
# would take their documents for damage.
ROOMS_WITH_DOCUMENTS = (timers,)


def open_store(paths: Paths) -> Store:
    """Raises StoreError."""
    return Store.open(paths.store_url)
