"""What a container writes is held to its ephemeralStorage where the storage driver can, and is not where it can't."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.records import TaskSpec, containers_of
from batchyard.core.model.reports import Exited
from batchyard.core.model.resources import Resources
from batchyard.engines.base import Launch
from batchyard.engines.docker.containers import Placing, create_request
from batchyard.engines.docker.storage import may_limit, note_of
from tests.debian import install_packages
from tests.engines.conformance import run_to_end
from tests.engines.docker_harness import DockerHarness
from tests.engines.dockerd import IMAGE, Dockerd, busybox_files, our_own

ASKED = {"ephemeralStorage": {"sizeInGiB": 21}}
DISK_BYTES = 64 << 30  # of a sparse file: what is not written takes no room


def of(driver: str, backing: str = "") -> dict[str, Any]:
    return {"Driver": driver, "DriverStatus": [["Backing Filesystem", backing], ["Supports d_type", "true"]]}


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (of("overlay2", "xfs"), True),
        (of("overlay2", "extfs"), False),
        (of("btrfs"), True),
        (of("zfs"), True),
        (of("vfs", "xfs"), False),
        ({}, False),
    ],
)
def test_which_drivers_may_be_able_to(info: dict[str, Any], expected: bool) -> None:
    assert may_limit(info) == expected
    assert note_of(info).startswith("ephemeralStorage limited") == expected


@pytest.mark.parametrize(
    ("container", "able", "expected"), [(ASKED, True, {"size": "21G"}), (ASKED, False, None), ({}, True, None)]
)
def test_only_what_is_asked_is_asked_for(container: Any, able: bool, expected: Any) -> None:
    """Fargate's own 20 GiB are given, not asked: nothing is limited to them."""
    task = TaskSpec(("true",), (), Resources(1000, 64), container=container)
    placing = Placing("me", 1, 1, limits_storage=able)
    body = create_request(Launch(AttemptNode("a" * 32), 1, task, ()), containers_of(task)[0], placing)
    assert body["HostConfig"].get("StorageOpt") == expected


# -- on real daemons --


def on_disk(root: Path, options: str, *mkfs: str) -> None:
    """The daemon's data lie on a file system of their own, in a sparse file."""
    disk = root / "disk"
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run([*mkfs, "-q", str(disk)], check=True, capture_output=True)
    (root / "data").mkdir()
    subprocess.run(["mount", "-o", options, str(disk), str(root / "data")], check=True, capture_output=True)


def said(daemon: Dockerd, directory: Path, script: str) -> list[str]:
    daemon.import_image(IMAGE, busybox_files(), "ENV PATH=/bin")
    with contextlib.closing(DockerHarness(directory, daemon)) as docker:
        final = run_to_end(docker, docker.shell(script, container=ASKED))
        assert isinstance(final, Exited), final
        return docker.words(final.attempt_id)


@pytest.fixture
def on_btrfs() -> Iterator[Dockerd]:
    install_packages("no btrfs can be made here", ("mkfs.btrfs",), ("btrfs-progs",))
    daemon = our_own(lambda root: on_disk(root, "loop", "mkfs.btrfs"), "btrfs")
    yield daemon
    daemon.end()


def test_on_btrfs_no_more_can_be_written(tmp_path: Path, on_btrfs: Dockerd) -> None:
    """Room is asked for, which counts as if it were written."""
    script = "busybox fallocate -l 20G /most && echo 20; busybox fallocate -l 2G /more 2>&1 && echo 22"
    first, second = said(on_btrfs, tmp_path, script)
    assert first == "20"
    assert "quota exceeded" in second.lower()


@pytest.fixture
def on_xfs(request: pytest.FixtureRequest) -> Iterator[Dockerd]:
    install_packages("no xfs can be made here", ("mkfs.xfs",), ("xfsprogs",))
    daemon = our_own(lambda root: on_disk(root, request.param, "mkfs.xfs"))
    yield daemon
    daemon.end()


@pytest.mark.parametrize("on_xfs", ["loop,pquota"], indirect=True)
def test_on_xfs_with_quotas_it_is_the_size_of_the_containers_root(tmp_path: Path, on_xfs: Dockerd) -> None:
    (line,) = said(on_xfs, tmp_path, "df -m / | tail -1")
    assert int(line.split()[1]) == 21 * 1024


@pytest.mark.parametrize("on_xfs", ["loop"], indirect=True)
def test_on_xfs_without_quotas_docker_refuses_and_the_job_runs_all_the_same(tmp_path: Path, on_xfs: Dockerd) -> None:
    (line,) = said(on_xfs, tmp_path, "df -m / | tail -1")
    assert int(line.split()[1]) > 60 * 1024
