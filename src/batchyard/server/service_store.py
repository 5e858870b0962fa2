"""Opens the store of a data directory, with the kinds of documents of all rooms."""

from __future__ import annotations

from batchyard.alarms import records as alarms
from batchyard.deliveries import machine as deliveries
from batchyard.events import api_destinations
from batchyard.events import records as events
from batchyard.iam import records as iam
from batchyard.job_metrics import records as job_metrics
from batchyard.schedules import records as schedules
from batchyard.server.settings.paths import Paths
from batchyard.store.driver import Driver, Survey
from batchyard.store.errors import StoreError
from batchyard.store.store import Store
from batchyard.timers import machine as timers
from batchyard.topics import records as topics
from batchyard.workflows import records as workflows
from batchyard.workflows.executions import abandoned_calls

# Rooms outside the core register the kinds that they keep when they are imported. Without them a backup or a check
# would take their documents for damage.
ROOMS_WITH_DOCUMENTS = (
    timers,
    deliveries,
    events,
    api_destinations,
    schedules,
    topics,
    iam,
    job_metrics,
    alarms,
    workflows,
    abandoned_calls,
)


def open_store(paths: Paths) -> Store:
    """Opens the store. Raises StoreError."""
    return open_url(paths.store_url)


def open_url(url: str) -> Store:
    """Opens the store of a URL. Raises StoreError."""
    return Store.open(url)


def find_loss(driver: Driver, paths: Paths) -> StoreError | None:
    """Returns the error for an empty database where jobs have run: one that was lost, and not a new one."""
    jobs_ran = paths.state_dir.is_dir() and any(paths.state_dir.iterdir())
    return (
        driver.damaged(found=Survey(["it is empty, and jobs have run here"]))
        if driver.is_emptied and jobs_ran
        else None
    )
