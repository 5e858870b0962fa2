"""Checks of what a data directory holds: the database, the key of its secrets, its clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

from batchyard.api.context import CipherError
from batchyard.core.secrets.document_kinds import SECRET
from batchyard.core.secrets.references import secret_binding
from batchyard.server.admin.finding import Finding
from batchyard.server.launch.cipher import KeyFileCipher
from batchyard.server.service_store import find_loss, open_store
from batchyard.server.settings import host
from batchyard.server.settings.config import Settings
from batchyard.server.settings.paths import Paths
from batchyard.store.driver import Driver
from batchyard.store.errors import StoreError
from batchyard.store.store import Store

# The wall clock of a machine that lost its time starts in 1970 or 2000; signatures and times of jobs would be nonsense.
PLAUSIBLE_TIME_SECONDS = 1_735_689_600  # 2025
# Less is the clock's own correction (NTP), and commits of the service while doctor looks.
AHEAD_SECONDS = 60.0
MAX_SECRETS_TRIED = 20  # one is enough to recognise another key, some may have no value yet
DATABASE = "database"  # the check of it


def check_database(paths: Paths, reads_database: bool) -> Iterator[Finding]:
    """Checks the database, and lists the engines of the environments in it."""
    store = open_store(paths)
    driver = store.driver
    if not driver.is_there:
        return
    problem = _problem(driver, paths) if reads_database else ""
    if problem:
        yield Finding(DATABASE, False, driver.place, problem)
        return
    if reads_database:
        size = f"{driver.size_bytes() // host.MIB} MiB"
        yield Finding(DATABASE, True, f"{driver.place}, {size}, every record readable")
    yield _environments(store)


def _problem(driver: Driver, paths: Paths) -> str:
    """Returns what is wrong with the database, and what to do; empty: nothing."""
    if problem := driver.access_problem():
        return problem
    if driver.is_emptied:
        return str(find_loss(driver, paths) or "")
    try:
        found = driver.survey()
    except StoreError as error:
        return str(error)
    return str(driver.damaged(found=found)) if found.faults else ""


def _environments(store: Store) -> Finding:
    """Lists the engines of the stored environments."""
    reader = store.reader()
    try:
        found, _ = reader.environments()
    finally:
        reader.close()
    by_engine: dict[str, list[str]] = {}
    for environment in found:
        by_engine.setdefault(environment.engine, []).append(environment.name)
    text = "; ".join(f"{engine}: {', '.join(sorted(names))}" for engine, names in sorted(by_engine.items()))
    return Finding("environments", True, text or "none")


def check_secrets_key(settings: Settings, paths: Paths | None) -> Finding:
    """Checks the key of the secrets. `paths`: where to find a value that it must decrypt."""
    path = settings.secrets_key_file
    cipher = KeyFileCipher(path, settings.data_dir)
    problem = cipher.problem() or (_key_problem(cipher, open_store(paths)) if paths is not None else "")
    if problem:
        return Finding("secrets key", False, str(path), problem)
    state = "keep a copy of it" if path.exists() else "made with the first secret"
    return Finding("secrets key", True, f"{path} ({state})", present=path.exists())


def _key_problem(cipher: KeyFileCipher, store: Store) -> str:
    """Returns why the key does not decrypt the stored values; empty: it does, or none is stored, or it can't be
    known."""
    if not store.driver.is_there or store.driver.is_emptied:
        return ""
    reader = store.reader()
    try:
        kept, _ = reader.documents(SECRET, limit=MAX_SECRETS_TRIED)
        for secret in kept:
            for version in secret.versions[-1:]:
                cipher.open(version.sealed, secret_binding(secret.name, version.version_id))
    except CipherError as error:
        return str(error)
    finally:
        reader.close()
    return ""


def check_clock(paths: Paths) -> Finding:
    """Checks this machine's clock, and how far the service's is ahead of it, which never goes back before the
    store's last time."""
    now = time.time()
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    if now < PLAUSIBLE_TIME_SECONDS:
        remedy = "Set this machine's clock: signatures and times of jobs depend on it."
        return Finding("clock", False, text, remedy)
    ahead_seconds = open_store(paths).driver.last_time_ms() / 1000 - now
    if ahead_seconds < AHEAD_SECONDS:
        return Finding("clock", True, text)
    return Finding(
        "clock",
        False,
        f"{text}; the service's clock is {timedelta(seconds=round(ahead_seconds))} ahead of it, and goes on from there",
        "This machine's clock was that far ahead once. Times of jobs are right again when it gets there, or in a new "
        "data directory.",
    )
