"""Finds what this machine lacks for running jobs well, and the remedies: for `batchyard doctor` and GetService."""

from __future__ import annotations

from batchyard.clock import wall_clock_ms
from batchyard.server.admin.finding import Finding
from batchyard.server.admin.machine_checks import (
    check_capacity,
    check_cgroups,
    check_docker,
    check_gpus,
    check_open_files,
    check_process_engine,
    check_versions,
)
from batchyard.server.admin.server_checks import check_server
from batchyard.server.admin.settings_checks import (
    check_certificate,
    check_data_directory,
    check_efs,
    check_s3,
    list_images,
)
from batchyard.server.admin.store_checks import check_clock, check_database, check_secrets_key
from batchyard.server.settings.config import Settings
from batchyard.server.settings.paths import Paths


def findings(
    settings: Settings, paths: Paths, url: str | None = None, *, reads_database: bool = False
) -> list[Finding]:
    """Checks this machine; changes nothing. `url`: of the service that commands would call; None: the one in the
    environment, "": that of the data directory. `reads_database`: reads all of it, record by record."""
    database = list(check_database(paths, reads_database))
    return [
        check_versions(),
        check_process_engine(),
        check_docker(settings),
        *database,
        check_capacity(settings),
        check_gpus(settings),
        check_open_files(),
        check_cgroups(settings),
        *check_data_directory(settings, paths),
        check_secrets_key(settings, paths if reads_database and all(one.ok for one in database) else None),
        *check_certificate(settings, wall_clock_ms()),
        *check_s3(settings),
        *check_efs(settings),
        *list_images(settings),
        check_clock(paths),
        check_server(paths, url),
    ]
