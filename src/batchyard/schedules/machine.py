"""The machine of EventBridge Scheduler: groups, schedules, and what they fire when their time has come (observability
spec 7.3). Each schedule has one durable timer; one that was missed fires once at the start."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Any, ClassVar
from uuid import NAMESPACE_URL, uuid5

from msgspec import Struct, json, to_builtins
from msgspec.structs import replace

from batchyard.core.model.deliveries import Message
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
from batchyard.machines.document_machine import CommandHandlers, DocumentMachine, ReportHandlers
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
    schedule_key,
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


class SchedulesMachine(DocumentMachine):
    """`zone_of`: the time zone of a name that was checked."""

    def __init__(self, account: Account, zone_of: Callable[[str], tzinfo]) -> None:
        super().__init__()
        self._account, self._zone_of = account, zone_of
        self._groups = self._table(GROUP, ScheduleGroup, lambda group: group.name)
        self._groups[DEFAULT_GROUP] = ScheduleGroup(DEFAULT_GROUP, 0, 0)
        self._schedules = self._table(SCHEDULE, Schedule, lambda schedule: schedule.key)

    def _due(self, report: ScheduleDue) -> None:
        """Fires a schedule, and sets its timer anew: to the first time that is still to come."""
        schedule = self._schedules.get(schedule_key(report.group, report.name))
        if schedule is None or schedule.state != ENABLED:
            return  # it was deleted or disabled in the batch in which it was due
        self._fire(schedule, report.scheduled_ms)
        if not self._set_timer(schedule) and schedule.after_completion == DELETE:
            self._schedules.remove(schedule.key)

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
        return self._groups.put(made)

    def _delete_group(self, command: c.DeleteScheduleGroup) -> None:
        group = self._group(command.name)
        if group.name == DEFAULT_GROUP:
            raise Refused("The schedule group default can't be deleted.", "ValidationException")
        for schedule in [one for one in self._schedules.values() if one.group == group.name]:
            self._remove(schedule)
        self._groups.remove(group.name)

    def _tag(self, command: c.TagScheduleGroup) -> None:
        group = self._group(command.name)
        kept = {key: value for key, value in group.tags.items() if key not in command.removed}
        tags = {**kept, **command.tags}
        if len(tags) > MAX_TAGS:
            raise Refused(f"A group can have at most {MAX_TAGS} tags; with these it would have {len(tags)}.", QUOTA)
        self._groups.put(replace(group, tags=tags))

    def _group(self, name: str) -> ScheduleGroup:
        return self._groups.existing(name, f"Schedule group {name} does not exist.", NOT_FOUND)

    # -- schedules --

    def _create(self, command: c.CreateSchedule) -> Schedule:
        self._group(command.group)
        known = self._schedules.get(schedule_key(command.group, command.name))
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
        self._schedules.put(schedule)
        if not self._set_timer(schedule):
            self._outgoing.append(CancelTimer(TIMER_OWNER, schedule.key))
        return schedule

    def _remove(self, schedule: Schedule) -> None:
        self._schedules.remove(schedule.key)
        self._outgoing += [CancelTimer(TIMER_OWNER, schedule.key), DropLane(self._arn(schedule))]

    def _schedule(self, group: str, name: str) -> Schedule:
        return self._schedules.existing(schedule_key(group, name), f"Schedule {name} does not exist.", NOT_FOUND)

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
            dead_letter_attributes={"SCHEDULE_ARN": arn} if compiled.dead_letter_group else {},
        )
        return AddDelivery(message)

    # -- questions --

    def _ask_groups(self, command: c.AskScheduleGroups) -> tuple[ScheduleGroup, ...]:
        return self._groups.in_order()

    def _ask_schedules(self, command: c.AskSchedules) -> tuple[Schedule, ...]:
        if command.group:
            self._group(command.group)
        found = [one for one in self._schedules.values() if command.group in ("", one.group)]
        return tuple(sorted(found, key=lambda one: (one.group, one.name)))

    command_handlers: ClassVar[CommandHandlers] = {
        c.CreateScheduleGroup: _create_group,
        c.DeleteScheduleGroup: _delete_group,
        c.TagScheduleGroup: _tag,
        c.CreateSchedule: _create,
        c.UpdateSchedule: _update,
        c.DeleteSchedule: _delete,
        c.AskScheduleGroups: _ask_groups,
        c.AskSchedules: _ask_schedules,
    }
    report_handlers: ClassVar[ReportHandlers] = {ScheduleDue: _due}


def _object_of(text: str) -> dict[str, Any]:
    """Returns the detail of an event: the input where it is an object."""
    try:
        found = json.decode(text)
    except ValueError:
        found = text
    return found if isinstance(found, dict) else {"input": found}
