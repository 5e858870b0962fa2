"""The Docker engine keeps every promise of the seam."""

from __future__ import annotations

import pytest

from tests.engines.conformance import Conformance, SeveralContainers
from tests.engines.docker_harness import DockerHarness

# What is no ability: programs are not needed, and the machine's architecture is the service's to tell.
CANT_SAY = ("needs_command", "architecture")


@pytest.fixture
def harness(docker: DockerHarness) -> DockerHarness:
    return docker


class TestDocker(Conformance, SeveralContainers):
    pass


def test_it_says_what_containers_can_do(harness: DockerHarness) -> None:
    abilities = harness.engine.abilities
    assert harness.engine.name == "docker"
    assert not abilities.needs_command
    assert all(getattr(abilities, name) for name in abilities.__struct_fields__ if name not in CANT_SAY)
