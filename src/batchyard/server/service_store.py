"""Opens the store of a data directory, with the kinds of documents of all rooms."""

from __future__ import annotations

from batchyard.server.settings.paths import Paths
from batchyard.store.driver import Survey
from batchyard.store.store import Store
from batchyard.timers import machine as timers

# Rooms outside the core register the kinds that they keep when they are imported. Without them a backup or a check
# would take their documents for damage.
ROOMS_WITH_DOCUMENTS = (timers,)


def open_store(paths: Paths) -> Store:
    """Opens the store. Raises StoreError."""
    return Store.open(paths.store_url)


def refuse_emptied(store: Store, paths: Paths) -> None:
    """Raises StoreDamaged for an empty database where jobs have run: one that was lost, and not a new one."""
    if store.driver.is_emptied and any(paths.state_dir.iterdir()):
        raise store.driver.damaged(found=Survey(["it is empty, and jobs have run here"]))
