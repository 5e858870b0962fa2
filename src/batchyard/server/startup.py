"""From settings to a running service and its exit code: what can go wrong on the way is one sentence each."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import sys
from contextlib import ExitStack

import uvloop

from batchyard import failpoints
from batchyard.cli.terminal_output import shown
from batchyard.clock import SteadyClock
from batchyard.server.access.access import AccessError, Rules, check_listening
from batchyard.server.access.keys import KeyFile, operator_key
from batchyard.server.access.metadata_tokens import secret_of
from batchyard.server.admin.terminal import EXIT_COMMIT_FAILED, EXIT_DAMAGED, EXIT_DISK_FULL, EXIT_USAGE, Failure
from batchyard.server.engines.choice import check_limits, make_engines
from batchyard.server.http.connections import allowed_connections
from batchyard.server.http.server import ListenError, bound_to_loopback, listening_socket, url_of
from batchyard.server.parts import Parts
from batchyard.server.service import Service
from batchyard.server.service_store import open_store
from batchyard.server.settings.catalogue_file import load_catalogue, load_prices
from batchyard.server.settings.config import SettingError, Settings
from batchyard.server.settings.paths import PathError, Paths, prepare, tidy_up
from batchyard.server.settings.s3 import s3_of
from batchyard.store.driver import Survey
from batchyard.store.errors import CommitFailed, DiskFull, StoreDamaged, StoreError
from batchyard.store.store import Store

# Records live long and form no cycles: at Python's own thresholds (700, 10, 10) the collector walks all waiting jobs
# again and again while jobs are submitted, a seventh of the core's time; at these it runs 70 times less often.
GC_THRESHOLDS = (50_000, 20, 100)

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def serve(settings: Settings, paths: Paths) -> None:
    """Runs the service until a signal or Shutdown ends it. Raises Failure, with its exit code."""
    failpoints.arm(os.environ)
    gc.set_threshold(*GC_THRESHOLDS)
    _configure_logging()
    try:
        with ExitStack() as stack:
            parts = _open(settings, paths, stack)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_run(parts))
    except DiskFull as error:
        raise Failure(f"{error} Free some space and start the service again.", EXIT_DISK_FULL) from error
    except CommitFailed as error:
        raise Failure(f"{error} Nothing that was answered is lost; start it again.", EXIT_COMMIT_FAILED) from error
    except AccessError as error:
        raise Failure(str(error), EXIT_USAGE) from error
    except SettingError as error:  # of a file that a setting names
        raise Failure(str(error), EXIT_USAGE) from error
    except StoreDamaged as error:
        raise Failure(str(error), EXIT_DAMAGED) from error
    except (PathError, ListenError, StoreError) as error:
        raise Failure(str(error)) from error


async def _run(parts: Parts) -> None:
    await Service(parts).run()


def _open(settings: Settings, paths: Paths, stack: ExitStack) -> Parts:
    """Everything that can be refused, in the order in which a person would want to hear of it."""
    check_limits(settings)
    catalogue = load_catalogue()
    prices = load_prices(settings.prices, catalogue)
    s3 = s3_of(settings)
    prepare(paths)
    keys = KeyFile(paths.keys_file)
    operator, secret = operator_key(paths.operator_key_file), secret_of(paths.secret_file)
    store = open_store(paths)
    _refuse_emptied(store, paths)
    writer = store.writer()
    writer.open(settings.account_id, settings.region)  # before the port: a second server gets the true reason
    stack.callback(writer.close)
    stack.callback(tidy_up, paths)  # while the lock is held: no other server can be using it
    listener = stack.enter_context(listening_socket(settings.host, settings.port))
    rules = Rules(settings.host, bound_to_loopback(listener), settings.allow_other_users, settings.insecure)
    keys.current()  # a damaged file is reported at once, and not to each caller
    check_listening(rules, keys)
    address = url_of(settings.host, listener.getsockname()[1])
    given, usable = raise_open_files()
    clock = SteadyClock()
    engines = make_engines(settings, paths, given, clock.now_ms)
    most = allowed_connections(settings.max_connections, settings.max_connections_per_caller, usable)
    return Parts(
        settings,
        paths,
        rules,
        keys,
        operator,
        secret,
        store,
        writer,
        clock,
        listener,
        address,
        engines,
        catalogue,
        prices,
        s3,
        most,
    )


def _refuse_emptied(store: Store, paths: Paths) -> None:
    """It would be taken for a new database. Where jobs have run it is one that was lost."""
    if store.driver.is_emptied and any(paths.state_dir.iterdir()):
        raise store.driver.damaged(found=Survey(["it is empty, and jobs have run here"]))


class ShownFormatter(logging.Formatter):
    """Lines for a terminal: what callers and jobs put into them is shown escaped."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record), keep="\n")


def raise_open_files() -> tuple[int, int]:
    """Raises the soft limit of open files to the hard one. Returns what it was, which is the jobs' (programs that go
    through all numbers, or use select, break at large ones), and what it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft, sys.maxsize if hard == resource.RLIM_INFINITY else hard


def _configure_logging() -> None:
    handler = logging.StreamHandler()  # standard error
    handler.setFormatter(ShownFormatter(LOG_FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # Bad requests are the caller's business: they are answered, not logged.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    # Its asyncio notes (slow callbacks, unclosed transports) are for developers.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
