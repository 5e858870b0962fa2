"""Nodes of multi-node jobs as containers, each on the network of its job."""

from __future__ import annotations

import pytest

from batchyard.core.model.node_addresses import NETWORK_POOL
from batchyard.engines.docker.gangs import network_name
from tests.engines.docker_harness import DockerHarness
from tests.engines.node_conformance import NodeConformance


@pytest.fixture
def harness(docker: DockerHarness) -> DockerHarness:
    return docker


class TestDockerNodes(NodeConformance):
    pool = NETWORK_POOL

    def test_nodes_have_names_and_their_network_goes_with_the_last(self, harness: DockerHarness) -> None:
        script = "hostname; $BATCHYARD_RSH node-1 hostname"
        attempt_id, _ = self.launch(harness, script, harness.sleeps())
        assert self.ended(harness, attempt_id) == 0
        assert harness.words(attempt_id) == ["node-0", "node-1"]
        names = [one["Name"] for one in harness.daemon.json("GET", "/networks")]
        assert network_name(attempt_id) in names
        self.stop(harness, attempt_id, 1)
        from batchyard.core.model.attempt_node import AttemptNode

        harness.engine.acknowledge([AttemptNode(attempt_id, node) for node in (0, 1)])
        harness.settle()
        names = [one["Name"] for one in harness.daemon.json("GET", "/networks")]
        assert network_name(attempt_id) not in names

    def test_the_agent_of_a_node_is_its_containers_user(self, harness: DockerHarness) -> None:
        other = harness.program("sleep", "1000", user="12345")
        attempt_id, _ = self.launch(harness, "$BATCHYARD_RSH $OTHER id -u; echo code $?", other)
        assert self.ended(harness, attempt_id) == 0
        assert harness.words(attempt_id) == ["12345", "code 0"]
        self.stop(harness, attempt_id, 1)
