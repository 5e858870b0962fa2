"""A server's process as far as the Docker engine knows it, for tests that kill it: launches what it is told.

    python -m tests.engines.docker_child SOCKET ROOT ATTEMPT...

Every attempt exits with 7 and leaves a line in its trace. Fail points come with the environment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from batchyard import failpoints
from batchyard.core.model.attempt_node import AttemptNode
from batchyard.engines.base import Launch
from tests.engines.conformance import final_of
from tests.engines.docker_harness import DockerHarness
from tests.engines.dockerd import Dockerd


def main() -> None:
    socket, root, *attempts = sys.argv[1:]
    failpoints.arm(os.environ)
    docker = DockerHarness(Path(root), Dockerd(Path(socket)))
    docker.engine.launch([Launch(AttemptNode(attempt), 1, docker.exits(7), ()) for attempt in attempts])
    docker.until(lambda: all(final_of(docker, attempt) for attempt in attempts))


if __name__ == "__main__":
    main()
