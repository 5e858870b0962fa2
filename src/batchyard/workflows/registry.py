"""The registry of Step Functions: state machines with their revisions, versions and aliases, and activities (step
functions spec 2, 3). A part of the machine of workflows, which hosts its commands."""

from __future__ import annotations

import hashlib
from bisect import bisect_right, insort
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Any

from msgspec import Struct, json
from msgspec.structs import replace

from batchyard.core.model.commands import Command
from batchyard.core.model.names import Account
from batchyard.workflows import arns
from batchyard.workflows import registry_commands as c
from batchyard.workflows import registry_refusals as refusals
from batchyard.workflows.records import (
    ACTIVITY,
    ALIAS,
    DELETING,
    MACHINE,
    REVISION,
    VERSION,
    Activity,
    Route,
    StateMachine,
    StateMachineAlias,
    StateMachineRevision,
    StateMachineVersion,
)

# Service quotas of Step Functions.
MAX_STATE_MACHINES = 100_000
MAX_ACTIVITIES = 100_000
MAX_VERSIONS = 1000  # of a state machine
MAX_ALIASES = 100  # of a state machine
MAX_TAGS = 50
INITIAL = "INITIAL"  # PublishStateMachineVersion: the revision of a state machine that was never updated


class Registry:
    """Its handlers raise Refused, having changed nothing."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._changed: dict[tuple[str, str], Struct | None] = {}
        self._machines: dict[str, StateMachine] = {}
        self._revisions: dict[str, StateMachineRevision] = {}  # by revision id
        self._versions: dict[str, dict[int, StateMachineVersion]] = {}  # by machine and number
        self._aliases: dict[str, dict[str, StateMachineAlias]] = {}  # by machine and name
        self._activities: dict[str, Activity] = {}
        self._machine_order: list[tuple[int, str]] = []  # (created_at_ms, name), ascending
        self._activity_order: list[tuple[int, str]] = []
        self._open: dict[str, int] = {}  # the number of executions that have not ended, by machine
        self._now_ms = 0

    @property
    def command_types(self) -> Collection[type[Command[Any]]]:
        return _HANDLERS.keys()

    def restore(self, documents: Mapping[tuple[str, str], Struct]) -> None:
        """Takes the documents of the store, before the first command."""
        for record in documents.values():
            if isinstance(record, StateMachine):
                self._machines[record.name] = record
                self._machine_order.append((record.created_at_ms, record.name))
            elif isinstance(record, StateMachineRevision):
                self._revisions[record.revision_id] = record
            elif isinstance(record, StateMachineVersion):
                self._versions.setdefault(record.machine, {})[record.number] = record
            elif isinstance(record, StateMachineAlias):
                self._aliases.setdefault(record.machine, {})[record.name] = record
            elif isinstance(record, Activity):
                self._activities[record.name] = record
                self._activity_order.append((record.created_at_ms, record.name))
        self._machine_order.sort()
        self._activity_order.sort()
        self._versions = {name: dict(sorted(found.items())) for name, found in self._versions.items()}
        for name, found in self._aliases.items():
            self._aliases[name] = {one.name: one for one in sorted(found.values(), key=_by_creation)}

    def handle(self, command: Command[Any], now_ms: int) -> Any:
        self._now_ms = now_ms
        return _HANDLERS[type(command)](self, command)

    # -- for the machine of workflows --

    @property
    def changed(self) -> Mapping[tuple[str, str], Struct | None]:
        """Returns the documents that the running batch has changed so far, by kind and name; None: deleted."""
        return self._changed

    def take(self) -> dict[tuple[str, str], Struct | None]:
        """Returns the documents that the batch changed, and begins the next one."""
        changed, self._changed = self._changed, {}
        return changed

    def resolve(self, arn: str, seed: str) -> c.Resolved:
        """Returns what an execution starts with. `seed`: chooses among the versions of an alias, by their weights; the
        same text always chooses the same. Raises Refused."""
        found = self._find(arns.parse_arn(arn, arns.STATE_MACHINE), seed)
        if found.machine.status == DELETING:
            raise refusals.deleting(arn)
        return found

    def revision(self, revision_id: str) -> StateMachineRevision:
        """Returns a revision that an execution noted as used."""
        return self._revisions[revision_id]

    def definition(self, revision_id: str) -> dict[str, Any]:
        """Returns the decoded definition of a revision."""
        decoded: dict[str, Any] = json.decode(self._revisions[revision_id].definition)
        return decoded

    def execution_began(self, revision: StateMachineRevision) -> None:
        """Notes that an execution has begun with the revision, which is kept from now on."""
        self.execution_restored(revision.machine)
        if not revision.is_used:
            self._put_revision(replace(revision, is_used=True))

    def execution_restored(self, machine: str) -> None:
        """Notes an execution that is under way, after a restart. `machine`: the name of its state machine."""
        self._open[machine] = self._open.get(machine, 0) + 1

    def execution_ended(self, machine: str) -> None:
        """Notes the end of an execution. A machine that was to be deleted goes with its last one."""
        left = self._open.pop(machine) - 1
        if left:
            self._open[machine] = left
            return
        found = self._machines.get(machine)
        if found is not None and found.status == DELETING:
            self._forget(found)

    def has_activity(self, arn: str) -> bool:
        parsed = arns.parse_arn(arn, arns.ACTIVITY)
        return self._is_mine(parsed) and parsed.name in self._activities

    # -- state machines --

    def _create(self, command: c.CreateStateMachine) -> c.Published:
        known = self._machines.get(command.name)
        if known is not None:
            return self._repeated(known, command)
        if len(self._machines) >= MAX_STATE_MACHINES:
            raise refusals.too_many("StateMachineLimitExceeded", "state machines", MAX_STATE_MACHINES)
        revision = StateMachineRevision(
            revision_id=command.revision_id,
            machine=command.name,
            kind=command.kind,
            definition=command.definition,
            role_arn=command.role_arn,
            created_at_ms=self._now_ms,
            logging=command.logging,
            has_tracing=command.has_tracing,
            is_initial=True,
            variable_references=command.variable_references,
        )
        self._put_revision(revision)
        published = command.version_description if command.publish else None
        machine = StateMachine(
            command.name,
            command.kind,
            self._now_ms,
            command.revision_id,
            tags=command.tags,
            published=published,
        )
        insort(self._machine_order, (machine.created_at_ms, machine.name))
        self._put_machine(machine)
        version = self._publish(machine, command.version_description) if command.publish else None
        return c.Published(self._machines[machine.name], revision, version, self._now_ms)

    def _repeated(self, known: StateMachine, command: c.CreateStateMachine) -> c.Published:
        """Returns the machine that an equal request made. Tags and role are not compared."""
        if known.status == DELETING:
            raise refusals.deleting(self._arn(known))
        revision = self._revisions[known.revision_id]
        published = command.version_description if command.publish else None
        is_equal = (revision.definition, revision.kind, revision.logging, revision.has_tracing, known.published) == (
            command.definition,
            command.kind,
            command.logging,
            command.has_tracing,
            published,
        )
        if not is_equal:
            raise refusals.machine_exists(self._arn(known))
        versions = self._versions.get(known.name, {})
        return c.Published(known, revision, versions.get(1) if command.publish else None, self._now_ms)

    def _update(self, command: c.UpdateStateMachine) -> c.Published:
        machine = self._machine(command.arn)
        if machine.status == DELETING:
            raise refusals.deleting(command.arn)
        old = self._revisions[machine.revision_id]
        new = replace(
            old,
            definition=old.definition if command.definition is None else command.definition,
            role_arn=old.role_arn if command.role_arn is None else command.role_arn,
            logging=old.logging if command.logging is None else command.logging,
            has_tracing=old.has_tracing if command.has_tracing is None else command.has_tracing,
            variable_references=old.variable_references if command.definition is None else command.variable_references,
        )
        if new != old:  # equal values leave the revision as it is (recorded)
            new = replace(
                new,
                revision_id=command.revision_id,
                created_at_ms=self._now_ms,
                is_initial=False,
                is_used=False,
            )
            self._put_revision(new)
            machine = self._put_machine(replace(machine, revision_id=new.revision_id))
            self._drop_unused(old)
        version = self._publish(machine, command.version_description) if command.publish else None
        return c.Published(self._machines[machine.name], new, version, self._now_ms)

    def _delete(self, command: c.DeleteStateMachine) -> None:
        parsed = arns.parse_arn(command.arn, arns.STATE_MACHINE)
        machine = self._machines.get(parsed.name) if self._is_mine(parsed) and not parsed.qualifier else None
        if machine is None:
            return
        if self._open.get(machine.name):
            self._put_machine(replace(machine, status=DELETING))
        else:
            self._forget(machine)

    def _forget(self, machine: StateMachine) -> None:
        for alias in self._aliases.pop(machine.name, {}).values():
            self._put((ALIAS, alias.key), None)
        versions = self._versions.pop(machine.name, {})
        for version in versions.values():
            self._put((VERSION, version.key), None)
        del self._machines[machine.name]
        self._machine_order.remove((machine.created_at_ms, machine.name))
        self._put((MACHINE, machine.name), None)
        for revision_id in {machine.revision_id: 1, **{one.revision_id: 1 for one in versions.values()}}:
            self._drop_unused(self._revisions[revision_id])

    def _drop_unused(self, revision: StateMachineRevision) -> None:
        """Forgets a revision that no machine, no version and no execution needs."""
        machine = self._machines.get(revision.machine)
        is_current = machine is not None and machine.revision_id == revision.revision_id
        versions = self._versions.get(revision.machine, {}).values()
        if revision.is_used or is_current or any(one.revision_id == revision.revision_id for one in versions):
            return
        del self._revisions[revision.revision_id]
        self._put((REVISION, revision.revision_id), None)

    # -- versions --

    def _publish_version(self, command: c.PublishVersion) -> StateMachineVersion:
        machine = self._machine(command.arn)
        revision = self._revisions[machine.revision_id]
        current = INITIAL if revision.is_initial else revision.revision_id
        if command.revision_id and command.revision_id != current:
            raise refusals.other_revision(command.revision_id, current)
        return self._publish(machine, command.description)

    def _publish(self, machine: StateMachine, description: str) -> StateMachineVersion:
        """Makes a version of the current revision, unless the last version is one."""
        versions = self._versions.setdefault(machine.name, {})
        last = versions.get(max(versions, default=0))
        if last is not None and last.revision_id == machine.revision_id:
            return last
        if len(versions) >= MAX_VERSIONS:
            raise refusals.quota(f"The state machine {machine.name} has {MAX_VERSIONS} versions: delete some.")
        number = machine.last_version + 1
        made = StateMachineVersion(machine.name, number, machine.revision_id, self._now_ms, description)
        versions[number] = made
        self._put((VERSION, made.key), made)
        self._put_machine(replace(machine, last_version=number))
        return made

    def _delete_version(self, command: c.DeleteVersion) -> None:
        parsed = arns.parse_arn(command.arn, arns.STATE_MACHINE)
        number = _number_of(parsed.qualifier)
        version = self._versions.get(parsed.name, {}).get(number) if self._is_mine(parsed) else None
        if version is None:
            return
        using = [one.name for one in self._aliases.get(parsed.name, {}).values() if _uses(one, number)]
        if using:
            raise refusals.version_in_use(using)
        del self._versions[parsed.name][number]
        self._put((VERSION, version.key), None)
        self._drop_unused(self._revisions[version.revision_id])

    # -- aliases --

    def _create_alias(self, command: c.CreateAlias) -> StateMachineAlias:
        machine, routes = self._routes(command.routes)
        aliases = self._aliases.setdefault(machine, {})
        known = aliases.get(command.name)
        if known is not None:
            if (known.routes, known.description) != (routes, command.description):
                raise refusals.alias_exists()
            return known
        if len(aliases) >= MAX_ALIASES:
            raise refusals.quota(f"The state machine {machine} has {MAX_ALIASES} aliases: delete some.")
        return self._put_alias(
            StateMachineAlias(machine, command.name, routes, self._now_ms, self._now_ms, command.description)
        )

    def _update_alias(self, command: c.UpdateAlias) -> StateMachineAlias:
        alias = self._alias(command.arn)
        if command.routes:
            machine, routes = self._routes(command.routes)
            if machine != alias.machine:
                raise refusals.foreign_routes([route.version_arn for route in command.routes])
            alias = replace(alias, routes=routes)
        if command.description is not None:
            alias = replace(alias, description=command.description)
        return self._put_alias(replace(alias, updated_at_ms=self._now_ms))

    def _delete_alias(self, command: c.DeleteAlias) -> None:
        parsed = arns.parse_arn(command.arn, arns.STATE_MACHINE)
        aliases = self._aliases.get(parsed.name, {}) if self._is_mine(parsed) else {}
        alias = aliases.pop(parsed.qualifier, None)
        if alias is not None:
            self._put((ALIAS, alias.key), None)

    def _routes(self, routes: tuple[c.AliasRoute, ...]) -> tuple[str, tuple[Route, ...]]:
        """Returns the machine of these versions, and the routes to them. Raises Refused."""
        given = [route.version_arn for route in routes]
        parsed = [arns.parse_arn(arn, arns.STATE_MACHINE) for arn in given]
        if not all(_number_of(one.qualifier) for one in parsed):
            raise refusals.no_versions(given)
        if len(set(given)) < len(given):
            raise refusals.equal_versions(given)
        weights = [route.weight for route in routes]
        if sum(weights) != 100:
            raise refusals.wrong_sum(weights)
        if len({one.name for one in parsed}) > 1:
            raise refusals.foreign_routes(given)
        for one in parsed:
            if not self._is_mine(one) or _number_of(one.qualifier) not in self._versions.get(one.name, {}):
                raise refusals.no_resource()
        made = tuple(Route(_number_of(one.qualifier), weight) for one, weight in zip(parsed, weights, strict=True))
        return parsed[0].name, made

    def _alias(self, arn: str) -> StateMachineAlias:
        parsed = arns.parse_arn(arn, arns.STATE_MACHINE)
        alias = self._aliases.get(parsed.name, {}).get(parsed.qualifier) if self._is_mine(parsed) else None
        if alias is None:
            raise refusals.no_resource()
        return alias

    # -- activities, tags --

    def _create_activity(self, command: c.CreateActivity) -> Activity:
        known = self._activities.get(command.name)
        if known is not None:
            return known
        if len(self._activities) >= MAX_ACTIVITIES:
            raise refusals.too_many("ActivityLimitExceeded", "activities", MAX_ACTIVITIES)
        activity = Activity(command.name, self._now_ms, command.tags)
        insort(self._activity_order, (activity.created_at_ms, activity.name))
        return self._put_activity(activity)

    def _delete_activity(self, command: c.DeleteActivity) -> None:
        parsed = arns.parse_arn(command.arn, arns.ACTIVITY)
        activity = self._activities.pop(parsed.name, None) if self._is_mine(parsed) else None
        if activity is not None:
            self._activity_order.remove((activity.created_at_ms, activity.name))
            self._put((ACTIVITY, activity.name), None)

    def _tag(self, command: c.TagResource) -> None:
        tagged = self._tagged(command.arn)
        kept = {key: value for key, value in tagged.tags.items() if key not in command.removed}
        tags = {**kept, **command.tags}
        if len(tags) > MAX_TAGS:
            raise refusals.too_many_tags(command.arn, MAX_TAGS)
        if isinstance(tagged, StateMachine):
            self._put_machine(replace(tagged, tags=tags))
        else:
            self._put_activity(replace(tagged, tags=tags))

    def _tagged(self, arn: str) -> StateMachine | Activity:
        parsed = arns.parse_arn(arn, arns.STATE_MACHINE, arns.ACTIVITY)
        kept: Mapping[str, StateMachine | Activity] = (
            self._activities if parsed.kind == arns.ACTIVITY else self._machines
        )
        found = kept.get(parsed.name) if self._is_mine(parsed) and not parsed.qualifier else None
        if found is None:
            raise refusals.not_found(arn)
        return found

    # -- questions --

    def _ask(self, command: c.AskStateMachine) -> c.Resolved:
        return self._find(arns.parse_arn(command.arn, arns.STATE_MACHINE))

    def _ask_machines(self, command: c.AskStateMachines) -> tuple[StateMachine, ...]:
        start = bisect_right(self._machine_order, command.after)
        shown = islice(self._machine_order, start, start + command.limit)
        return tuple(self._machines[name] for _, name in shown)

    def _ask_versions(self, command: c.AskVersions) -> tuple[StateMachineVersion, ...]:
        machine = self._machine(command.arn)
        return tuple(reversed(self._versions.get(machine.name, {}).values()))

    def _ask_aliases(self, command: c.AskAliases) -> tuple[StateMachineAlias, ...]:
        found = self._find(arns.parse_arn(command.arn, arns.STATE_MACHINE))
        aliases = self._aliases.get(found.machine.name, {}).values()
        return tuple(one for one in aliases if found.version is None or _uses(one, found.version.number))

    def _ask_alias(self, command: c.AskAlias) -> StateMachineAlias:
        return self._alias(command.arn)

    def _ask_activity(self, command: c.AskActivity) -> Activity:
        if not self.has_activity(command.arn):
            raise refusals.no_activity(command.arn)
        return self._activities[arns.parse_arn(command.arn, arns.ACTIVITY).name]

    def _ask_activities(self, command: c.AskActivities) -> tuple[Activity, ...]:
        start = bisect_right(self._activity_order, command.after)
        shown = islice(self._activity_order, start, start + command.limit)
        return tuple(self._activities[name] for _, name in shown)

    def _ask_tags(self, command: c.AskTags) -> dict[str, str]:
        return self._tagged(command.arn).tags

    # -- records --

    def _machine(self, arn: str) -> StateMachine:
        """Returns the state machine of an ARN that names no version and no alias. Raises Refused."""
        parsed = arns.parse_arn(arn, arns.STATE_MACHINE)
        found = self._machines.get(parsed.name) if self._is_mine(parsed) and not parsed.qualifier else None
        if found is None:
            raise refusals.no_machine(arn)
        return found

    def _find(self, parsed: arns.ParsedArn, seed: str | None = None) -> c.Resolved:
        """Returns what an ARN stands for. `seed`: chooses for an alias, which without one is not looked up."""
        machine = self._machines.get(parsed.name) if self._is_mine(parsed) else None
        if machine is None:
            raise refusals.no_machine(parsed.text)
        if not parsed.qualifier:
            return c.Resolved(machine, self._revisions[machine.revision_id])
        alias, number = None, _number_of(parsed.qualifier)
        if seed is not None and (alias := self._aliases.get(parsed.name, {}).get(parsed.qualifier)) is not None:
            number = _chosen(alias.routes, seed)
        version = self._versions.get(machine.name, {}).get(number)
        if version is None:
            raise refusals.no_machine(parsed.text)
        return c.Resolved(
            machine,
            self._revisions[version.revision_id],
            version,
            arns.state_machine_arn(self._account, machine.name, version.number),
            parsed.text if alias is not None else "",
        )

    def _is_mine(self, parsed: arns.ParsedArn) -> bool:
        return (parsed.account, parsed.region) == (self._account.account_id, self._account.region)

    def _arn(self, machine: StateMachine) -> str:
        return arns.state_machine_arn(self._account, machine.name)

    def _put(self, place: tuple[str, str], record: Struct | None) -> None:
        self._changed[place] = record

    def _put_machine(self, machine: StateMachine) -> StateMachine:
        self._machines[machine.name] = machine
        self._put((MACHINE, machine.name), machine)
        return machine

    def _put_revision(self, revision: StateMachineRevision) -> None:
        self._revisions[revision.revision_id] = revision
        self._put((REVISION, revision.revision_id), revision)

    def _put_alias(self, alias: StateMachineAlias) -> StateMachineAlias:
        self._aliases[alias.machine][alias.name] = alias
        self._put((ALIAS, alias.key), alias)
        return alias

    def _put_activity(self, activity: Activity) -> Activity:
        self._activities[activity.name] = activity
        self._put((ACTIVITY, activity.name), activity)
        return activity


def _by_creation(alias: StateMachineAlias) -> tuple[int, str]:
    return alias.created_at_ms, alias.name


def _number_of(qualifier: str) -> int:
    """Returns the number of a version; 0: the qualifier names none."""
    return int(qualifier) if qualifier.isascii() and qualifier.isdigit() and len(qualifier) < 10 else 0


def _uses(alias: StateMachineAlias, number: int) -> bool:
    return any(route.version == number for route in alias.routes)


def _chosen(routes: tuple[Route, ...], seed: str) -> int:
    """Returns the version of one of the routes, by their weights."""
    point = int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=8).digest()) % 100
    for route in routes:
        point -= route.weight
        if point < 0:
            return route.version
    raise AssertionError(f"the weights of {routes} are less than 100")


_HANDLERS: dict[type[Command[Any]], Callable[[Registry, Any], Any]] = {
    c.CreateStateMachine: Registry._create,
    c.UpdateStateMachine: Registry._update,
    c.DeleteStateMachine: Registry._delete,
    c.PublishVersion: Registry._publish_version,
    c.DeleteVersion: Registry._delete_version,
    c.CreateAlias: Registry._create_alias,
    c.UpdateAlias: Registry._update_alias,
    c.DeleteAlias: Registry._delete_alias,
    c.CreateActivity: Registry._create_activity,
    c.DeleteActivity: Registry._delete_activity,
    c.TagResource: Registry._tag,
    c.AskStateMachine: Registry._ask,
    c.AskStateMachines: Registry._ask_machines,
    c.AskVersions: Registry._ask_versions,
    c.AskAliases: Registry._ask_aliases,
    c.AskAlias: Registry._ask_alias,
    c.AskActivity: Registry._ask_activity,
    c.AskActivities: Registry._ask_activities,
    c.AskTags: Registry._ask_tags,
}
