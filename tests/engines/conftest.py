from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.docker_harness import DockerHarness
from tests.engines.dockerd import Dockerd, dockerd, own_dockerd
from tests.engines.process_harness import ProcessHarness

__all__ = ["dockerd", "own_dockerd"]  # fixtures


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ProcessHarness]:
    """A process engine with a supervisor of its own."""
    harness = ProcessHarness(tmp_path)
    yield harness
    harness.close()


@pytest.fixture
def docker(tmp_path: Path, dockerd: Dockerd) -> Iterator[DockerHarness]:
    """A Docker engine on the daemon there is."""
    harness = DockerHarness(tmp_path, dockerd)
    yield harness
    harness.close()
