"""A server's process as far as the Docker engine knows it, for tests that kill it: launches what it is told.

    python -m tests.engines.docker_child SOCKET ROOT ATTEMPT...

Every attempt, which is a plain task or a pod, exits with 7 and leaves a line in its trace. Fail points come with the
environment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from batchyard import failpoints
from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.records import TaskSpec
from batchyard.engines.base import Launch
from tests.engines.conformance import Part, after, final_of
from tests.engines.docker_harness import DockerHarness
from tests.engines.dockerd import Dockerd

WITH_PODS = "BATCHYARD_TEST_PODS"  # a variable: the attempts are pods


def pod_of(docker: DockerHarness) -> TaskSpec:
    """A pod whose second container ends with 7 after the first."""
    return docker.several(
        Part("first", "exits", 0, essential=False, after=after("pause", "START")),
        Part("then", "exits", 7, essential=False, after=after("first", "SUCCESS")),
        Part("pause", essential=False, is_pause=True),
    )


def main() -> None:
    socket, root, *attempts = sys.argv[1:]
    failpoints.arm(os.environ)
    docker = DockerHarness(Path(root), Dockerd(Path(socket)))
    task = pod_of(docker) if WITH_PODS in os.environ else docker.exits(7)
    docker.engine.launch([Launch(AttemptNode(attempt), 1, task, ()) for attempt in attempts])
    docker.until(lambda: all(final_of(docker, attempt) for attempt in attempts))


if __name__ == "__main__":
    main()
