"""The machine of EventBridge Scheduler: groups, schedules, and what they fire when their time has come (observability
spec 7.3). Each schedule has one durable timer; one that was missed fires once at the start."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import tzinfo
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from msgspec import Struct, json, to_builtins
from msgspec.structs import replace

from batchyard.core.model.changes import Changes
from batchyard.core.model.commands import Command
from batchyard.core.model.deliveries import Message
from batchyard.core.model.effects import Effect
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.deliveries.machine import AddDelivery, DropLane
from batchyard.evaluators.events.envelope import envelope
from batchyard.evaluators.schedules.expressions import (
    At,
    FireTimes,
    flexible_delay_ms,
    parse_scheduler_expression,
    with_context,
)
from batchyard.events.commands import Event, RouteEvent
from batchyard.events.target_kinds import STATES, StateMachineTarget
from batchyard.schedules import commands as c
from batchyard.schedules.records import (
    DEFAULT_GROUP,
    DELETE,
    ENABLED,
    GROUP,
    SCHEDULE,
    Schedule,
    ScheduleGroup,
    schedule_arn,
)
from batchyard.schedules.target_kinds import (
    API_CHANNEL,
    BusTarget,
    CompiledTarget,
    OperationTarget,
    TopicTarget,
    compile_target,
)
from batchyard.timers.machine import CancelTimer, SetTimer, register
from batchyard.topics.commands import Publication, PublishToTopic

MAX_GROUPS = 500  # Scheduler quotas
MAX_START_AGE_MS = 5 * 60 * 1000  # AWS's own
MAX_SCHEDULES = 100_000  # memory keeps all of them; Scheduler allows a million
MAX_TAGS = 50
NOT_FOUND, CONFLICT, QUOTA = "ResourceNotFoundException", "ConflictException", "ServiceQuotaExceededException"


class ScheduleDue(Struct, frozen=True):
    """A report of the timers: a schedule's time has come. `scheduled_ms`: its own time, before a flexible delay."""

    group: str
    name: str
    scheduled_ms: int


TIMER_OWNER = register("schedule", ScheduleDue)


class SchedulesMachine:
    """A HostedMachine (loop.hosted_machine). `zone_of`: the time zone of a name that was checked."""

    report_types: Collection[type[Any]] = (ScheduleDue,)

    def __init__(self, account: Account, zone_of: Callable[[str], tzinfo]) -> None:
        self._account, self._zone_of = account, zone_of
        self._groups: dict[str, ScheduleGroup] = {DEFAULT_GROUP: ScheduleGroup(DEFAULT_GROUP, 0, 0)}
        self._schedules: dict[tuple[str, str], Schedule] = {}  # by group and name
        self._changes = Changes()
        self._outgoing: list[Struct] = []
        self._now_ms = 0

    @property
    def command_types(self) -> Collection[type[Command[Any]]]:
        return _HANDLERS.keys()

    def restore(self, records: Mapping[tuple[str, str], Struct]) -> None:
        """Takes the documents of the store, before the first batch. The timers have what is due."""
        for record in records.values():
            if isinstance(record, ScheduleGroup):
                self._groups[record.name] = record
            elif isinstance(record, Schedule):
                self._schedules[record.group, record.name] = record

    @property
    def pending_changes(self) -> Changes:
        return self._changes

    def want_facts(self, kinds: Collection[type[Fact]]) -> None:
        """Does nothing: this machine makes no facts."""

    def handle(self, command: Command[Any], now_ms: int) -> Any:
        self._now_ms = now_ms
        return _HANDLERS[type(command)](self, command)

    def report(self, source: str, report: ScheduleDue, now_ms: int) -> None:
        """Fires a schedule, and sets its timer anew: to the first time that is still to come."""
        self._now_ms = now_ms
        schedule = self._schedules.get((report.group, report.name))
        if schedule is None or schedule.state != ENABLED:
            return  # it was deleted or disabled in the batch in which it was due
        self._fire(schedule, report.scheduled_ms)
        if not self._set_timer(schedule) and schedule.after_completion == DELETE:
            self._forget(schedule)

    def schedule(self, now_ms: int) -> None:
        """Does nothing: timers report what is due."""

    def outgoing(self) -> Collection[Any]:
        reports, self._outgoing = self._outgoing, []
        return reports

    def take(self) -> tuple[Changes, list[Effect]]:
        changes, self._changes = self._changes, Changes()
        return changes, []

    def next_deadline(self) -> int | None:
        return None

    def recover(self) -> list[Effect]:
        return []

    # -- groups --

    def _create_group(self, command: c.CreateScheduleGroup) -> ScheduleGroup:
        known = self._groups.get(command.name)
        if known is not None:
            if command.client_token and known.client_token == command.client_token:
                return known
            raise Refused(f"Schedule group {command.name} already exists.", CONFLICT)
        if len(self._groups) >= MAX_GROUPS:
            raise Refused(f"There are {MAX_GROUPS} schedule groups already, the most there can be.", QUOTA)
        made = ScheduleGroup(command.name, self._now_ms, self._now_ms, command.tags, command.client_token)
        return self._put_group(made)

    def _delete_group(self, command: c.DeleteScheduleGroup) -> None:
        group = self._group(command.name)
        if group.name == DEFAULT_GROUP:
            raise Refused("The schedule group default can't be deleted.", "ValidationException")
        for schedule in [one for one in self._schedules.values() if one.group == group.name]:
            self._remove(schedule)
        del self._groups[group.name]
        self._changes.documents[GROUP, group.name] = None

    def _tag(self, command: c.TagScheduleGroup) -> None:
        group = self._group(command.name)
        kept = {key: value for key, value in group.tags.items() if key not in command.removed}
        tags = {**kept, **command.tags}
        if len(tags) > MAX_TAGS:
            raise Refused(f"A group can have at most {MAX_TAGS} tags; with these it would have {len(tags)}.", QUOTA)
        self._put_group(replace(group, tags=tags))

    def _put_group(self, group: ScheduleGroup) -> ScheduleGroup:
        self._groups[group.name] = self._changes.documents[GROUP, group.name] = group
        return group

    def _group(self, name: str) -> ScheduleGroup:
        group = self._groups.get(name)
        if group is None:
            raise Refused(f"Schedule group {name} does not exist.", NOT_FOUND)
        return group

    # -- schedules --

    def _create(self, command: c.CreateSchedule) -> Schedule:
        self._group(command.group)
        known = self._schedules.get((command.group, command.name))
        if known is not None:
            if command.client_token and known.client_token == command.client_token:
                return known
            raise Refused(f"Schedule {command.name} already exists.", CONFLICT)
        if len(self._schedules) >= MAX_SCHEDULES:
            raise Refused(f"There are {MAX_SCHEDULES} schedules already: delete some.", QUOTA)
        made = self._with(command.settings, command.group, command.name, self._now_ms)
        return self._put(replace(made, client_token=command.client_token))

    def _update(self, command: c.UpdateSchedule) -> Schedule:
        known = self._schedule(command.group, command.name)
        return self._put(self._with(command.settings, command.group, command.name, known.created_at_ms))

    def _delete(self, command: c.DeleteSchedule) -> None:
        self._remove(self._schedule(command.group, command.name))

    def _with(self, settings: c.ScheduleSettings, group: str, name: str, created_at_ms: int) -> Schedule:
        """Returns a schedule with these settings. Raises Refused."""
        parse_scheduler_expression(settings.expression)
        compile_target(settings.target)
        if settings.start_ms is not None and settings.start_ms < self._now_ms - MAX_START_AGE_MS:
            raise Refused("The StartDate you specify cannot be earlier than 5 minutes ago.", "ValidationException")
        return Schedule(
            group=group,
            name=name,
            expression=settings.expression,
            target=settings.target,
            created_at_ms=created_at_ms,
            modified_at_ms=self._now_ms,
            anchor_ms=self._now_ms,
            zone=settings.zone,
            state=settings.state,
            description=settings.description,
            window_minutes=settings.window_minutes,
            start_ms=settings.start_ms,
            end_ms=settings.end_ms,
            after_completion=settings.after_completion,
        )

    def _put(self, schedule: Schedule) -> Schedule:
        self._schedules[schedule.group, schedule.name] = schedule
        self._changes.documents[SCHEDULE, schedule.key] = schedule
        if not self._set_timer(schedule):
            self._outgoing.append(CancelTimer(TIMER_OWNER, schedule.key))
        return schedule

    def _remove(self, schedule: Schedule) -> None:
        self._forget(schedule)
        self._outgoing += [CancelTimer(TIMER_OWNER, schedule.key), DropLane(self._arn(schedule))]

    def _forget(self, schedule: Schedule) -> None:
        """Removes a schedule, and not what it has fired."""
        del self._schedules[schedule.group, schedule.name]
        self._changes.documents[SCHEDULE, schedule.key] = None

    def _schedule(self, group: str, name: str) -> Schedule:
        schedule = self._schedules.get((group, name))
        if schedule is None:
            raise Refused(f"Schedule {name} does not exist.", NOT_FOUND)
        return schedule

    def _arn(self, schedule: Schedule) -> str:
        return schedule_arn(self._account, schedule.group, schedule.name)

    # -- firing --

    def _set_timer(self, schedule: Schedule) -> bool:
        """Sets the timer to the schedule's next time. Returns False where there is none."""
        if schedule.state != ENABLED:
            return False
        parsed = parse_scheduler_expression(schedule.expression)
        is_once = isinstance(parsed, At)
        times = FireTimes(
            parsed,
            self._zone_of(schedule.zone),
            schedule.anchor_ms,
            None if is_once else schedule.start_ms,
            None if is_once else schedule.end_ms,
        )
        scheduled_ms = times.next_fire(self._now_ms)
        if scheduled_ms is None:
            return False
        due_ms = scheduled_ms + flexible_delay_ms(self._arn(schedule), scheduled_ms, schedule.window_minutes)
        payload = ScheduleDue(schedule.group, schedule.name, scheduled_ms)
        self._outgoing.append(SetTimer(TIMER_OWNER, schedule.key, due_ms, payload))
        return True

    def _fire(self, schedule: Schedule, scheduled_ms: int) -> None:
        compiled, arn = compile_target(schedule.target), self._arn(schedule)
        # The same after a crash, so that a target that gets it twice can tell.
        execution_id = str(uuid5(NAMESPACE_URL, f"{arn}/{scheduled_ms}"))
        text = with_context(
            compiled.input, schedule_arn=arn, scheduled_ms=scheduled_ms, execution_id=execution_id, attempt=1
        )
        self._outgoing.append(self._report_for(compiled, arn, execution_id, text))

    def _report_for(self, compiled: CompiledTarget, arn: str, execution_id: str, text: str) -> Struct:
        destination = compiled.destination
        if isinstance(destination, TopicTarget):
            return PublishToTopic(destination.arn, Publication(execution_id, text), arn, execution_id)
        if isinstance(destination, BusTarget):
            document = envelope(
                event_id=execution_id,
                detail_type=destination.detail_type,
                source=destination.source,
                account=self._account.account_id,
                at_ms=self._now_ms,
                region=self._account.region,
                resources=[arn],
                detail=_object_of(text),
            )
            return RouteEvent(Event(destination.bus, document))
        assert isinstance(destination, OperationTarget | StateMachineTarget), f"nothing fires {destination!r}"
        message = Message(
            lane=arn,
            channel=API_CHANNEL if isinstance(destination, OperationTarget) else STATES,
            target=to_builtins(destination),
            body=text,
            token=execution_id,
            dead_letter_group=compiled.dead_letter_group,
            policy=compiled.policy,
        )
        return AddDelivery(message)

    # -- questions --

    def _ask_groups(self, command: c.AskScheduleGroups) -> tuple[ScheduleGroup, ...]:
        return tuple(self._groups[name] for name in sorted(self._groups))

    def _ask_schedules(self, command: c.AskSchedules) -> tuple[Schedule, ...]:
        if command.group:
            self._group(command.group)
        found = [one for key, one in sorted(self._schedules.items()) if command.group in ("", key[0])]
        return tuple(found)


def _object_of(text: str) -> dict[str, Any]:
    """Returns the detail of an event: the input where it is an object."""
    try:
        found = json.decode(text)
    except ValueError:
        found = text
    return found if isinstance(found, dict) else {"input": found}


_HANDLERS: dict[type[Command[Any]], Callable[[SchedulesMachine, Any], Any]] = {
    c.CreateScheduleGroup: SchedulesMachine._create_group,
    c.DeleteScheduleGroup: SchedulesMachine._delete_group,
    c.TagScheduleGroup: SchedulesMachine._tag,
    c.CreateSchedule: SchedulesMachine._create,
    c.UpdateSchedule: SchedulesMachine._update,
    c.DeleteSchedule: SchedulesMachine._delete,
    c.AskScheduleGroups: SchedulesMachine._ask_groups,
    c.AskSchedules: SchedulesMachine._ask_schedules,
}
