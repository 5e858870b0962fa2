"""How long finished jobs are kept, service jobs and executions too."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from batchyard.server.admin.retention import MIN_KEPT_MS, MS_PER_DAY, Pruning, kept_ms
from batchyard.server.settings.config import Settings
from batchyard.server.stored_machines import limits_of
from tests.api import executions
from tests.api.service import Service


def test_finished_jobs_are_kept_for_ever_or_for_days_and_never_too_briefly() -> None:
    assert [kept_ms(days) for days in (0, 2, 0.001)] == [0, 2 * MS_PER_DAY, MIN_KEPT_MS]


def test_the_machine_keeps_service_jobs_for_as_long(tmp_path: Path) -> None:
    settings = Settings(tmp_path, tmp_path, tmp_path / "secrets.key", finished_days=3)
    assert limits_of(settings).service_jobs_kept_ms == 3 * MS_PER_DAY


def test_closed_executions_go_after_their_days(tmp_path: Path) -> None:
    service = Service(tmp_path)
    try:
        executions.store(service, *(executions.execution(key, service) for key in range(1, 4)))
        with ThreadPoolExecutor(1) as threads:
            pruning = Pruning(service.reader, service.writer, tmp_path, 1, lambda: service.now_ms, threads)
            assert asyncio.run(pruning.sweep_executions()) == 0
            service.now_ms += MS_PER_DAY + 1003
            assert asyncio.run(pruning.sweep_executions()) == 2
        assert service.reader.execution(executions.execution(3, service).arn) is not None
    finally:
        service.close()
