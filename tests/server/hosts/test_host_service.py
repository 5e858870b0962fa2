"""What a server keeps for hosts beside its store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from batchyard.core.model.records import HOST_PROVIDER, JOINED_PROVIDER
from batchyard.engines.remote.certificate import fingerprint_in, server_certificate
from batchyard.server.engines.capacities import make_capacities
from batchyard.server.hosts.host_service import longest_lease_ms
from batchyard.server.settings.config import load


def test_a_shorter_lease_does_not_make_a_server_forget_the_longer_one(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    assert longest_lease_ms(path, 300_000) == 300_000
    assert longest_lease_ms(path, 30_000) == 300_000, "a host may hold the lease of the server before"
    assert longest_lease_ms(path, 600_000) == 600_000
    assert path.read_text() == "600000\n"


def test_hosts_that_joined_before_have_a_provider_without_a_port(tmp_path: Path) -> None:
    assert set(make_capacities(load({"data_dir": str(tmp_path)}, {}, None))) == {HOST_PROVIDER, JOINED_PROVIDER}


def test_a_certificate_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    made = server_certificate(tmp_path, now)
    assert server_certificate(tmp_path, now) == made
    fingerprint = fingerprint_in(made[0])
    assert len(fingerprint) == 64
    assert made[1].stat().st_mode & 0o777 == 0o600
    for path in made:
        path.unlink()
    assert fingerprint_in(server_certificate(tmp_path, now)[0]) != fingerprint
