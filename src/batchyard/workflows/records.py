"""What is kept of Step Functions beside executions: state machines, the revisions of their definitions, versions,
aliases and activities, as documents (step functions spec 2, 3)."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.documents import register
from batchyard.core.model.executions import Logging

ACTIVE, DELETING = "ACTIVE", "DELETING"


class StateMachineRevision(Struct, frozen=True, omit_defaults=True):
    """What executions that start with it run for as long as they live.

    is_initial: of CreateStateMachine, whose id AWS does not show. is_used: an execution may need it, so it stays when a
    newer revision takes its place. variable_references: the variables that states use, by the states' names."""

    revision_id: str
    machine: str  # the name of the state machine
    kind: str
    definition: str  # as given
    role_arn: str
    created_at_ms: int
    logging: Logging = Logging()
    has_tracing: bool = False
    is_initial: bool = False
    is_used: bool = False
    variable_references: dict[str, list[str]] = {}


class StateMachine(Struct, frozen=True, omit_defaults=True):
    """`revision_id`: of the revision that new executions start with. `last_version`: the highest number ever given.
    `published`: whether, and with which description, it was created with a version."""

    name: str
    kind: str
    created_at_ms: int
    revision_id: str
    status: str = ACTIVE
    tags: dict[str, str] = {}
    last_version: int = 0
    published: str | None = None


class StateMachineVersion(Struct, frozen=True, omit_defaults=True):
    machine: str
    number: int
    revision_id: str
    created_at_ms: int
    description: str = ""

    @property
    def key(self) -> str:
        return f"{self.machine}:{self.number}"


class Route(Struct, frozen=True):
    """A part of an alias's executions: `weight` of 100 start with the version."""

    version: int
    weight: int


class StateMachineAlias(Struct, frozen=True, omit_defaults=True):
    machine: str
    name: str
    routes: tuple[Route, ...]
    created_at_ms: int
    updated_at_ms: int
    description: str = ""

    @property
    def key(self) -> str:
        return f"{self.machine}:{self.name}"


class Activity(Struct, frozen=True, omit_defaults=True):
    name: str
    created_at_ms: int
    tags: dict[str, str] = {}


MACHINE = register("state-machine", StateMachine)
REVISION = register("state-machine-revision", StateMachineRevision)
VERSION = register("state-machine-version", StateMachineVersion)
ALIAS = register("state-machine-alias", StateMachineAlias)
ACTIVITY = register("activity", Activity)
