"""The commands of the registry of state machines. Shapes, names and definitions were checked; registry.py checks them
against what there is."""

from __future__ import annotations

from msgspec import Struct, field

from batchyard.core.model.commands import Command
from batchyard.core.model.executions import Logging
from batchyard.workflows.records import (
    Activity,
    StateMachine,
    StateMachineAlias,
    StateMachineRevision,
    StateMachineVersion,
)


class Published(Struct, frozen=True):
    """A state machine with its current revision, and the version that the command published or found. `at_ms`: when."""

    machine: StateMachine
    revision: StateMachineRevision
    version: StateMachineVersion | None
    at_ms: int


class CreateStateMachine(Command[Published], frozen=True):
    """Creates a state machine, or returns the one that an equal request created. `revision_id`: of a new one."""

    name: str
    kind: str
    definition: str
    role_arn: str
    revision_id: str
    logging: Logging = Logging()
    has_tracing: bool = False
    publish: bool = False
    version_description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    variable_references: dict[str, list[str]] = field(default_factory=dict)


class UpdateStateMachine(Command[Published], frozen=True):
    """Makes a new revision of what is not None; of equal values none."""

    arn: str
    revision_id: str
    definition: str | None = None
    role_arn: str | None = None
    logging: Logging | None = None
    has_tracing: bool | None = None
    publish: bool = False
    version_description: str = ""
    variable_references: dict[str, list[str]] = field(default_factory=dict)  # of `definition`


class DeleteStateMachine(Command[None], frozen=True):
    """Deletes a state machine with its versions and aliases, once its executions have ended. One that is not there is
    no fault."""

    arn: str


class PublishVersion(Command[StateMachineVersion], frozen=True):
    """Publishes the current revision as a version; one that is published already is returned. `revision_id`: refused
    where it is not the current one; empty: any."""

    arn: str
    revision_id: str = ""
    description: str = ""


class DeleteVersion(Command[None], frozen=True):
    arn: str


class AliasRoute(Struct, frozen=True):
    version_arn: str
    weight: int


class CreateAlias(Command[StateMachineAlias], frozen=True):
    """Creates an alias, or returns the one that an equal request created."""

    name: str
    routes: tuple[AliasRoute, ...]
    description: str = ""


class UpdateAlias(Command[StateMachineAlias], frozen=True):
    arn: str
    routes: tuple[AliasRoute, ...] = ()  # empty: as they are
    description: str | None = None


class DeleteAlias(Command[None], frozen=True):
    arn: str


class CreateActivity(Command[Activity], frozen=True):
    """Creates an activity, or returns the one of this name."""

    name: str
    tags: dict[str, str] = field(default_factory=dict)


class DeleteActivity(Command[None], frozen=True):
    arn: str


class TagResource(Command[None], frozen=True):
    """`arn`: of a state machine or an activity."""

    arn: str
    tags: dict[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


# -- questions --


class Resolved(Struct, frozen=True):
    """What an ARN of a state machine, a version or an alias stands for. `version`: None where it names none, nor an
    alias; `version_arn`, `alias_arn`: empty likewise."""

    machine: StateMachine
    revision: StateMachineRevision
    version: StateMachineVersion | None = None
    version_arn: str = ""
    alias_arn: str = ""


class AskStateMachine(Command[Resolved], frozen=True):
    """Asks for a state machine or a version of it by ARN."""

    arn: str


class AskStateMachines(Command[tuple[StateMachine, ...]], frozen=True):
    """Asks for a page of all state machines, in the order in which they were made. `after`: the time and the name of
    the last one shown."""

    limit: int
    after: tuple[int, str] = (-1, "")


class AskVersions(Command[tuple[StateMachineVersion, ...]], frozen=True):
    """Asks for the versions of a state machine, the newest first."""

    arn: str


class AskAliases(Command[tuple[StateMachineAlias, ...]], frozen=True):
    """Asks for the aliases of a state machine, in the order in which they were made; by a version's ARN for those that
    use it."""

    arn: str


class AskAlias(Command[StateMachineAlias], frozen=True):
    arn: str


class AskActivity(Command[Activity], frozen=True):
    arn: str


class AskActivities(Command[tuple[Activity, ...]], frozen=True):
    """Asks for a page of all activities, in the order in which they were made."""

    limit: int
    after: tuple[int, str] = (-1, "")


class AskTags(Command[dict[str, str]], frozen=True):
    arn: str
