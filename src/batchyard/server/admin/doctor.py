"""Finds what this machine lacks for running jobs well, and the remedies: for `batchyard doctor` and GetService."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import shutil
import sqlite3
import time
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from msgspec import Struct

from batchyard.api.context import CipherError
from batchyard.cli.client import ClientError
from batchyard.cli.endpoint import find_endpoint
from batchyard.core.model.resources import format_vcpus
from batchyard.core.secrets.document_kinds import SECRET
from batchyard.core.secrets.references import secret_binding
from batchyard.engines.cgroup_hierarchies import CgroupsUnavailable, find_cgroup_support
from batchyard.engines.docker.api import Api, ApiError, DaemonUnreachable
from batchyard.engines.docker.sockets import probe
from batchyard.engines.docker.storage import note_of
from batchyard.server.admin.service_lookup import Named, data_directory_at, named_service
from batchyard.server.engines.choice import DOCKER, describe
from batchyard.server.launch.cipher import KeyFileCipher
from batchyard.server.service_store import open_store
from batchyard.server.settings import efs_directories, host
from batchyard.server.settings.config import SettingError, Settings
from batchyard.server.settings.paths import PathError, Paths, is_running, read_server_file
from batchyard.server.settings.s3 import problem_of, s3_of
from batchyard.store.driver import Driver, Survey
from batchyard.store.errors import StoreError
from batchyard.store.store import Store
from batchyard.version import VERSION

# Descriptors the supervisor holds for one attempt (pidfd, log file, pipe) times attempts that run at once on a large
# machine, and some for connections.
ENOUGH_FILES = 4096
# The wall clock of a machine that lost its time starts in 1970 or 2000; signatures and times of jobs would be nonsense.
PLAUSIBLE_TIME_SECONDS = 1_735_689_600  # 2025
# Less is the clock's own correction (NTP), and commits of the service while doctor looks.
AHEAD_SECONDS = 60.0
DOCKER_TIMEOUT_SECONDS = 5.0  # a healthy daemon answers in milliseconds
SECRETS_TRIED = 20  # one is enough to recognise another key, some may have no value yet
DATABASE = "database"  # the check of it
OLDEST_KERNEL = (5, 3)  # pidfd_open, by which the supervisor waits for processes
PACKAGES = ("msgspec", "uvicorn", "uvloop", "httptools", "SQLAlchemy", "typer")


class Finding(Struct, frozen=True):
    """The result of one check. ok: it is no fault. present: the thing exists; its absence is a fault only where it
    is required. `remedy` is empty where nothing is to be done."""

    check: str
    ok: bool
    detail: str
    remedy: str = ""
    present: bool = True

    @property
    def mark(self) -> str:
        """The text of the first column: `ok`, `no` for what is absent and not needed, `MISS` for a fault."""
        return ("ok" if self.present else "no") if self.ok else "MISS"


def findings(
    settings: Settings, paths: Paths, url: str | None = None, *, reads_database: bool = False
) -> list[Finding]:
    """Checks this machine; changes nothing. `url`: of the service that commands would call; None: the one in the
    environment, "": that of the data directory. `reads_database`: reads all of it, record by record."""
    database = list(_database(paths, reads_database))
    return [
        _versions(),
        _process_engine(),
        docker(settings),
        *database,
        _capacity(settings),
        _files(),
        _cgroups(settings),
        *_data_directory(settings, paths),
        _secrets_key(settings, paths if reads_database and all(one.ok for one in database) else None),
        *_s3(settings),
        *_efs(settings),
        *_images(settings),
        _clock(paths),
        _server(paths, url),
    ]


def _versions() -> Finding:
    parts = [f"Batchyard {VERSION}", f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
    missing = []
    for package in PACKAGES:
        try:
            parts.append(f"{package} {version_of(package)}")
        except PackageNotFoundError:
            missing.append(package)
    remedy = f"pip install {' '.join(missing)}" if missing else ""
    return Finding("versions", not missing, ", ".join(parts), remedy)


def _process_engine() -> Finding:
    numbers = platform.release().split("-")[0].split(".")
    kernel = tuple(int(part) for part in numbers[:2] if part.isdigit())
    if platform.system() != "Linux" or kernel < OLDEST_KERNEL:
        wanted = ".".join(map(str, OLDEST_KERNEL))
        detail = f"{platform.system()} {platform.release()}"
        return Finding("process engine", False, detail, f"The process engine needs Linux {wanted} or newer.")
    return Finding("process engine", True, f"ready, on {platform.system()} {platform.release()}")


def docker(settings: Settings) -> Finding:
    """Checks whether there is a daemon, and its kind. Its absence is a fault only where it is required by a setting."""
    return asyncio.run(_look_at_docker(settings))


async def _look_at_docker(settings: Settings) -> Finding:
    needed = settings.engine == DOCKER
    try:
        async with asyncio.timeout(DOCKER_TIMEOUT_SECONDS):
            found = await probe(os.environ)
            if not found.problem and found.socket_path is not None:
                return Finding("docker", True, f"{describe(found)}; {await _more_about(found.socket_path)}")
            problem = found.problem
    except TimeoutError:
        problem = f"no answer within {DOCKER_TIMEOUT_SECONDS:g} s"
    except (ApiError, DaemonUnreachable) as error:
        problem = str(error)
    remedy = "Start Docker (Debian: apt-get install docker.io), or use --engine auto." if needed else ""
    return Finding("docker", not needed, f"can't be used: {problem}; jobs of containers would wait", remedy, False)


async def _more_about(socket_path: Path) -> str:
    api = Api(socket_path)
    try:
        await api.negotiate()
        info: dict[str, Any] = await api.json("GET", "/info")
    finally:
        api.close()
    runtimes = sorted(info.get("Runtimes") or {})
    # A GPU needs NVIDIA's runtime or, in newer versions, devices that Docker learns from CDI specifications.
    gpus = "GPUs by the runtime nvidia" if "nvidia" in runtimes else "no GPU runtime (nvidia)"
    restore = "live-restore" if info.get("LiveRestoreEnabled") else "without live-restore: its restart ends containers"
    return f"storage {info.get('Driver', 'unknown')} ({note_of(info)}), {restore}, {gpus}"


def _database(paths: Paths, reads_database: bool) -> Iterator[Finding]:
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
        jobs_ran = paths.state_dir.is_dir() and any(paths.state_dir.iterdir())
        return str(driver.damaged(found=Survey(["it is empty, and jobs have run here"]))) if jobs_ran else ""
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


def _capacity(settings: Settings) -> Finding:
    found = host.detect(settings)
    amounts = found.resources
    detail = f"{format_vcpus(amounts.milli_vcpus)} vCPUs, {amounts.memory_mib} MiB, {amounts.gpus} GPUs for jobs"
    return Finding("capacity", True, f"{detail} ({', '.join(found.notes)})" if found.notes else detail)


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = f"{soft} now, {hard} at most" if hard != resource.RLIM_INFINITY else f"{soft} now, no upper limit"
    fine = hard == resource.RLIM_INFINITY or hard >= ENOUGH_FILES  # the supervisor raises its own as far as it may
    remedy = "" if fine else f"Raise the hard limit of open files to {ENOUGH_FILES} or more, in limits.conf."
    return Finding("open files", fine, most, remedy)


def _cgroups(settings: Settings) -> Finding:
    """Checks whether the kernel could enforce the limits of jobs, and how. It is a fault only where a setting
    requires it."""
    asked = settings.enforce == "cgroup"
    try:
        support = find_cgroup_support()
    except CgroupsUnavailable as reason:
        return Finding("cgroups", not asked, f"can't be used; limits are watched: {reason}", present=False)
    missing = [name for name in ("memory", "cpu") if name not in support.controllers]
    limits = "memory" if missing else "memory and CPU weight"
    use = f"held by them: {limits}" if asked else f"--enforce cgroup would hold {limits} of jobs; now memory is watched"
    return Finding("cgroups", True, f"version {support.version}, writable ({', '.join(support.controllers)}); {use}")


def _data_directory(settings: Settings, paths: Paths) -> Iterator[Finding]:
    path = paths.data_dir
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    state = str(path) if existing == path else f"{path} (made at the first start)"
    remedy = "" if writable else f"Make {existing} writable, or choose another one with --data-dir."
    yield Finding("data directory", writable, state, remedy, existing == path)
    free_mib = shutil.disk_usage(existing).free // host.MIB
    enough = free_mib >= settings.min_free_mib
    remedy = "" if enough else f"Free some: below {settings.min_free_mib} MiB (--min-free-mib) SubmitJob is refused."
    yield Finding("disk", enough, f"{free_mib} MiB free", remedy)


def _secrets_key(settings: Settings, paths: Paths | None) -> Finding:
    """Checks the key of the secrets. `paths`: where to find a value that it must decrypt."""
    path = settings.secrets_key_file
    cipher = KeyFileCipher(path, settings.data_dir)
    problem = cipher.problem() or (_key_problem(cipher, open_store(paths)) if paths is not None else "")
    if problem:
        return Finding("secrets key", False, str(path), problem)
    state = "keep a copy of it" if path.exists() else "made with the first secret"
    return Finding("secrets key", True, f"{path} ({state})", present=path.exists())


def _s3(settings: Settings) -> Iterator[Finding]:
    """Checks whether the S3 of jobs answers, and accepts the keys that jobs get."""
    try:
        s3 = s3_of(settings)
    except SettingError as error:
        yield Finding("s3", False, "its settings can't be used", str(error))
        return
    if s3 is None:
        return
    keys = "jobs are given its keys" if s3.keys is not None else "jobs sign with the credentials they have"
    problem = problem_of(s3, settings.region)
    if problem:
        remedy = f"Start it, or correct --s3-endpoint{' or the keys in --s3-keys-file' if s3.keys else ''}."
        yield Finding("s3", False, f"{s3.endpoint}: {problem}", remedy)
    else:
        yield Finding("s3", True, f"{s3.endpoint} answers; {keys}")


def _key_problem(cipher: KeyFileCipher, store: Store) -> str:
    """Returns why the key does not decrypt the stored values; empty: it does, or none is stored, or it can't be
    known."""
    if not store.driver.is_there or store.driver.is_emptied:
        return ""
    reader = store.reader()
    try:
        kept, _ = reader.documents(SECRET, limit=SECRETS_TRIED)
        for secret in kept:
            for version in secret.versions[-1:]:
                cipher.open(version.sealed, secret_binding(secret.name, version.version_id))
    except CipherError as error:
        return str(error)
    finally:
        reader.close()
    return ""


def _efs(settings: Settings) -> Iterator[Finding]:
    for name, directory in settings.efs:
        problem = efs_directories.problem_of(directory)
        remedy = f"Create {directory}, or correct it in the table [efs] of the configuration file." if problem else ""
        yield Finding("efs", not problem, f"{name} is {directory}{f': {problem}' if problem else ''}", remedy)


def _images(settings: Settings) -> Iterator[Finding]:
    for line in settings.images:
        where = f" on {line.engine}" if line.engine else ""
        yield Finding("images", True, f"{line.pattern} is {line.replacement}{where}", "")


def _clock(paths: Paths) -> Finding:
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


def _server(paths: Paths, url: str | None) -> Finding:
    """Checks the server that commands would call."""
    named = None if url == "" else named_service(url, os.environ)
    if named is not None:
        return _named_server(named)
    try:
        server = read_server_file(paths.server_file)
    except PathError as error:
        return Finding("server", False, str(error), f"Remove {paths.server_file}.")
    if server is None or not is_running(server):
        return Finding("server", True, "not running; `batchyard up` starts it", present=False)
    return Finding("server", True, f"version {server.version} at {server.address}, process {server.pid}")


def _named_server(named: Named) -> Finding:
    try:
        directory = data_directory_at(find_endpoint(named.url, os.environ))
    except ClientError as error:
        remedy = f"Start it, or correct {named.source}: commands ask that service."
        return Finding("server", False, f"{error} ({named.source} names it.)", remedy, False)
    return Finding("server", True, f"at {named.url}, named by {named.source}; its data are in {directory}")
