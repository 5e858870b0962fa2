"""The process engine keeps every promise of the seam."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.conformance import Conformance
from tests.engines.gpu_conformance import GpuConformance
from tests.engines.process_harness import ProcessHarness


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[ProcessHarness]:
    harness = ProcessHarness(tmp_path)
    yield harness
    harness.close()


class TestProcess(Conformance, GpuConformance):
    pass


def test_it_says_what_a_process_can_not_do(harness: ProcessHarness) -> None:
    abilities = harness.engine.abilities
    assert harness.engine.name == "process"
    assert abilities.needs_command
    assert [abilities.images, abilities.any_mount, abilities.tmpfs, abilities.swap] == [False] * 4
