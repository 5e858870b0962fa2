"""The remote engine keeps every promise of the seam, over TLS to a host of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.conformance import Conformance
from tests.engines.remote_harness import RemoteHarness


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[RemoteHarness]:
    harness = RemoteHarness(tmp_path)
    yield harness
    harness.close()


class TestRemote(Conformance):
    pass


def test_it_is_the_process_engine_at_the_other_end(harness: RemoteHarness) -> None:
    assert harness.engine.name == "remote"
    assert harness.engine.abilities.needs_command
