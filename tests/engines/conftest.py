from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.dockerd import dockerd, own_dockerd
from tests.engines.process_harness import ProcessHarness

__all__ = ["dockerd", "own_dockerd"]  # fixtures


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ProcessHarness]:
    """A process engine with a supervisor of its own."""
    harness = ProcessHarness(tmp_path)
    yield harness
    harness.close()
