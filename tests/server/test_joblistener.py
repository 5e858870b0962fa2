"""The listener of jobs: its port, and whom it serves."""

from __future__ import annotations

import socket
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from batchyard.server.http.job_listener import ADDRESS, FIRST_PORT, JobListener, preferred_port


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


def test_a_service_that_starts_leaves_the_port_of_one_that_is_down(tmp_path: Path) -> None:
    with closing(JobListener(tmp_path / "down")) as first:
        address = first.address
    other = next(
        d for number in count() if preferred_port(d := tmp_path / str(number)) != preferred_port(tmp_path / "down")
    )
    with closing(JobListener(other)) as second:
        assert second.address not in ("", address)


def test_it_is_tied_to_its_interface_again_before_anybody_says_so(state_dir: Path) -> None:
    """Containers that ran on would be answered by way of another network that has the same addresses."""
    with closing(JobListener(state_dir)) as first:
        assert tied_to(first) == ""
        first.listen("lo")
    with closing(JobListener(state_dir)) as again:
        assert tied_to(again) == "lo"
    path = state_dir / "job-port"
    path.write_text(f"{path.read_text().split()[0]} no-such-interface\n")
    with closing(JobListener(state_dir)) as later:
        assert tied_to(later) == ""
        with pytest.raises(OSError, match="No such device"):
            later.listen("no-such-one")


def tied_to(listener: JobListener) -> str:
    assert listener._socket is not None
    name = listener._socket.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
    return name.rstrip(b"\0").decode()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"0", b"99999999", b"-1", b"9" * 5000, b"\xff\xfe\x00"])
def test_a_port_that_can_not_be_is_drawn_anew(state_dir: Path, content: bytes) -> None:
    state_dir.mkdir()
    (state_dir / "job-port").write_bytes(content)
    with closing(JobListener(state_dir)) as listener:
        assert int(listener.address.rpartition(":")[2]) >= FIRST_PORT


def test_a_port_that_somebody_took_meanwhile_is_left_to_them(state_dir: Path) -> None:
    with closing(JobListener(state_dir)) as first:
        address = first.address
        with closing(JobListener(state_dir)) as second:
            assert second.address not in ("", address)


def test_jobs_are_served_where_the_port_can_not_be_kept(state_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    (state_dir / "job-port").mkdir(parents=True)  # neither read nor written
    with closing(JobListener(state_dir)) as listener:
        assert int(listener.address.rpartition(":")[2]) >= FIRST_PORT
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "the port that jobs were told of can't be read",
        "the port of jobs can't be kept for the next start",
    ]
