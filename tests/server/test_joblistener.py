"""The listener of jobs: its port, and whom it serves."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from batchyard.server.joblistener import ADDRESS, FIRST_PORT, JobListener


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "engine"


def test_each_service_of_a_machine_has_a_port_of_its_own(tmp_path: Path) -> None:
    with closing(JobListener(tmp_path / "one")) as one, closing(JobListener(tmp_path / "two")) as two:
        assert one.address.startswith(f"http://{ADDRESS}:")
        assert two.address.startswith(f"http://{ADDRESS}:")
        assert one.address != two.address


def test_a_service_keeps_its_port(state_dir: Path) -> None:
    with closing(JobListener(state_dir)) as first:
        address = first.address
    with closing(JobListener(state_dir)) as again:
        assert again.address == address


@pytest.mark.parametrize("content", ["", "nonsense", "0", "99999999", "-1"])
def test_a_port_that_can_not_be_is_drawn_anew(state_dir: Path, content: str) -> None:
    state_dir.mkdir()
    (state_dir / "job-port").write_text(content)
    with closing(JobListener(state_dir)) as listener:
        assert int(listener.address.rpartition(":")[2]) >= FIRST_PORT


def test_a_port_that_somebody_took_meanwhile_is_left_to_them(state_dir: Path) -> None:
    with closing(JobListener(state_dir)) as first:
        address = first.address
        with closing(JobListener(state_dir)) as second:
            assert second.address not in ("", address)
