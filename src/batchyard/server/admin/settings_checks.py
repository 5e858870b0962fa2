"""Checks of what the settings name: directories, S3, images."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from batchyard.server.admin.finding import Finding
from batchyard.server.settings import efs_directories, host
from batchyard.server.settings.certificates import EXPIRES_SOON_DAYS, certificate_of, days_left
from batchyard.server.settings.config import SettingError, Settings
from batchyard.server.settings.paths import Paths
from batchyard.server.settings.s3 import problem_of, s3_of


def check_data_directory(settings: Settings, paths: Paths) -> Iterator[Finding]:
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


def check_certificate(settings: Settings, now_ms: int) -> Iterator[Finding]:
    """Checks the TLS certificate of the port, where the settings name one."""
    if settings.tls_cert is None and settings.tls_key is None:
        return
    try:
        certificate = certificate_of(settings)
        assert certificate is not None, "a certificate is named"
        days = days_left(certificate.path, now_ms)
    except SettingError as error:
        yield Finding("tls", False, "the certificate can't be used", str(error))
        return
    remedy = f"Renew {certificate.path}: a running service reads the new one by itself."
    if days < 0:
        yield Finding("tls", False, f"{certificate.path} has expired", remedy)
    elif days < EXPIRES_SOON_DAYS:
        yield Finding("tls", False, f"{certificate.path} expires in {days} days", remedy)
    else:
        yield Finding("tls", True, f"{certificate.path} expires in {days} days")


def check_s3(settings: Settings) -> Iterator[Finding]:
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


def check_efs(settings: Settings) -> Iterator[Finding]:
    for name, directory in settings.efs:
        problem = efs_directories.problem_of(directory)
        remedy = f"Create {directory}, or correct it in the table [efs] of the configuration file." if problem else ""
        yield Finding("efs", not problem, f"{name} is {directory}{f': {problem}' if problem else ''}", remedy)


def list_images(settings: Settings) -> Iterator[Finding]:
    for line in settings.images:
        where = f" on {line.engine}" if line.engine else ""
        yield Finding("images", True, f"{line.pattern} is {line.replacement}{where}", "")
