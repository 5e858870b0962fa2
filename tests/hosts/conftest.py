from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.host_network import HostNetwork, skip_unless_hosts_are_possible
from tests.hosts.slurm_cluster import SlurmCluster, skip_unless_slurm_is_possible


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory of a short name: paths of sockets below it have 107 bytes."""
    made = Path(tempfile.mkdtemp(prefix="byh-", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def network(directory: Path) -> Iterator[HostNetwork]:
    """Two hosts."""
    skip_unless_hosts_are_possible()
    made = HostNetwork(directory, ["a", "b"], [directory])
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    """A Slurm of three nodes, for all tests of a module: each leaves it idle."""
    skip_unless_hosts_are_possible()
    skip_unless_slurm_is_possible()
    made = Path(tempfile.mkdtemp(prefix="byh-", dir="/tmp"))
    cluster = SlurmCluster(made)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(made)
