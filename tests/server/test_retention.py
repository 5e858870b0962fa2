"""How long finished jobs are kept, service jobs too."""

from pathlib import Path

from batchyard.server.admin.retention import MIN_KEPT_MS, MS_PER_DAY, kept_ms
from batchyard.server.settings.config import Settings
from batchyard.server.stored_machines import limits_of


def test_finished_jobs_are_kept_for_ever_or_for_days_and_never_too_briefly() -> None:
    assert [kept_ms(days) for days in (0, 2, 0.001)] == [0, 2 * MS_PER_DAY, MIN_KEPT_MS]


def test_the_machine_keeps_service_jobs_for_as_long(tmp_path: Path) -> None:
    settings = Settings(tmp_path, tmp_path, tmp_path / "secrets.key", finished_days=3)
    assert limits_of(settings).service_jobs_kept_ms == 3 * MS_PER_DAY
