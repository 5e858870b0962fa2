"""The environments and queues that the service creates by itself, so that a first job needs no setup.

`local` and its queue `default` are created at the first start, for the engine that is chosen then; after that they
are the user's. `host` runs programs of this machine, everywhere; `containers` runs images where Docker came after
the first start. Nothing here ever changes an existing environment.
"""

from __future__ import annotations

import uuid

from batchyard.core.model.commands import Command, CreateComputeEnvironment, CreateJobQueue
from batchyard.core.model.compute_resources import EnvironmentKind
from batchyard.core.model.records import EnvironmentOrder
from batchyard.core.state.world import World
from batchyard.server.engines.choice import DOCKER, PROCESS

LOCAL, DEFAULT_QUEUE = "local", "default"
HOST = "host"  # an environment and its queue
CONTAINERS = "containers"  # likewise


def missing(world: World, *, is_new: bool, engine: str, has_docker: bool) -> list[Command[object]]:
    """Returns the commands that create what is missing. `engine`: for `local`, if it is created."""
    made: list[Command[object]] = []
    if is_new:
        made += _pair(LOCAL, DEFAULT_QUEUE, engine)
    if _is_free(world, HOST):
        made += _pair(HOST, HOST, PROCESS)
    runs_images = any(e.engine == DOCKER for e in world.environments.values()) or (is_new and engine == DOCKER)
    if has_docker and not runs_images and _is_free(world, CONTAINERS):
        made += _pair(CONTAINERS, CONTAINERS, DOCKER)
    return made


def _is_free(world: World, name: str) -> bool:
    return name not in world.environments and name not in world.queues


def _pair(environment: str, queue: str, engine: str) -> list[Command[object]]:
    return [
        CreateComputeEnvironment(
            environment, str(uuid.uuid4()), EnvironmentKind.UNMANAGED, "ENABLED", engine, document={}, is_settled=True
        ),
        CreateJobQueue(queue, "ENABLED", 1, (EnvironmentOrder(1, environment),), is_settled=True),
    ]


def kinds_of_queues(world: World) -> list[tuple[str, str]]:
    """Returns the queues that the service created, each with a description of its jobs."""
    kinds: list[tuple[str, str]] = []
    for name in (DEFAULT_QUEUE, HOST, CONTAINERS):
        queue = world.queues.get(name)
        if queue is not None:
            found = [world.environments[o.environment].engine for o in queue.environments]
            words = dict.fromkeys("processes" if engine == PROCESS else "containers" for engine in found)
            kinds.append((name, " and ".join(words)))
    return kinds
