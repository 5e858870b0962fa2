"""Starts the service from its settings, and returns its exit code: each failure on the way is one sentence."""

from __future__ import annotations

import asyncio
import gc
import os
from contextlib import ExitStack

import uvloop

from batchyard import failpoints
from batchyard.server.access.access import AccessError
from batchyard.server.admin.terminal import EXIT_COMMIT_FAILED, EXIT_DAMAGED, EXIT_DISK_FULL, EXIT_USAGE, Failure
from batchyard.server.http.server import ListenError
from batchyard.server.log_output import configure_logging
from batchyard.server.parts import Parts, open_parts
from batchyard.server.service import Service
from batchyard.server.settings.config import SettingError, Settings
from batchyard.server.settings.paths import PathError, Paths
from batchyard.store.errors import CommitFailed, DiskFull, StoreDamaged, StoreError

# Records live long and form no cycles: at Python's own thresholds (700, 10, 10) the collector walks all waiting jobs
# again and again while jobs are submitted, a seventh of the core's time; at these it runs 70 times less often.
GC_THRESHOLDS = (50_000, 20, 100)


def serve(settings: Settings, paths: Paths) -> None:
    """Runs the service until a signal or Shutdown ends it. Raises Failure, with its exit code."""
    failpoints.arm(os.environ)
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()
    configure_logging()
    try:
        with ExitStack() as stack:
            parts = open_parts(settings, paths, stack)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_run(parts))
    except DiskFull as error:
        raise Failure(f"{error} Free some space and start the service again.", EXIT_DISK_FULL) from error
    except CommitFailed as error:
        raise Failure(f"{error} Nothing that was answered is lost; start it again.", EXIT_COMMIT_FAILED) from error
    except (AccessError, SettingError) as error:  # of the settings, or of a file that one names
        raise Failure(str(error), EXIT_USAGE) from error
    except StoreDamaged as error:
        raise Failure(str(error), EXIT_DAMAGED) from error
    except (PathError, ListenError, StoreError) as error:
        raise Failure(str(error)) from error


async def _run(parts: Parts) -> None:
    await Service(parts).run()
