"""The machine of EventBridge: buses, rules and targets, and events that callers put (observability spec 3, 5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar
from uuid import NAMESPACE_URL, uuid5

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.model.deliveries import Message, Undeliverable
from batchyard.core.model.effects import Effect
from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.deliveries.machine import AddDelivery, DropLane
from batchyard.evaluators.events.envelope import envelope, event_text, iso_seconds
from batchyard.evaluators.events.event_pattern import compile_pattern
from batchyard.evaluators.schedules.expressions import FireTimes, parse_rule_schedule
from batchyard.events import commands as c
from batchyard.events.records import DEFAULT_BUS, EVENT_BUS, RULE, EventBus, Rule, Target, rule_arn, rule_key
from batchyard.events.router import Router
from batchyard.events.target_kinds import BUS, TOPIC, compile_target, lane_of, message_for
from batchyard.machines.document_machine import CommandHandlers, DocumentMachine, ReportHandlers
from batchyard.timers.machine import CancelTimer, SetTimer, register
from batchyard.topics.commands import Publication, PublishToTopic

MAX_BUSES = 100  # EventBridge quotas (eb-quota), here and below
MAX_RULES = 300  # of a bus
MAX_TARGETS = 5  # of a rule
MAX_BUS_HOPS = 5  # from bus to bus: rules that send an event round in a circle end there
MAX_TAGS = 50
NOT_FOUND, EXISTS, VALIDATION = "ResourceNotFoundException", "ResourceAlreadyExistsException", "ValidationException"
LIMIT = "LimitExceededException"


class RuleDue(Struct, frozen=True):
    """A report of the timers: the time of a scheduled rule of the default bus has come."""

    name: str
    scheduled_ms: int


TIMER_OWNER = register("event-rule", RuleDue)


class RulesChanged(Effect, frozen=True):
    """Rules changed: who matches events beside the machine takes a new router."""

    router: Router


class EventsMachine(DocumentMachine):
    def __init__(self, account: Account) -> None:
        super().__init__()
        self._account = account
        self._buses = self._table(EVENT_BUS, EventBus, lambda bus: bus.name)
        self._buses[DEFAULT_BUS] = EventBus(DEFAULT_BUS, 0, 0)
        self._rules = self._table(RULE, Rule, lambda rule: rule_key(rule.bus, rule.name))
        self._router: Router | None = None  # None: to be made of the rules as they are now

    @property
    def router(self) -> Router:
        """Returns a router of the rules as they are."""
        if self._router is None:
            self._router = Router(self._account, self._rules.values())
        return self._router

    def _due(self, report: RuleDue) -> None:
        """Fires a scheduled rule."""
        rule = self._rules.get(rule_key(DEFAULT_BUS, report.name))
        if rule is None or not (rule.schedule and rule.is_enabled):
            return  # it was deleted or changed in the batch in which it was due
        self._fire(rule, report.scheduled_ms)
        self._set_timer(rule)

    def _route_report(self, report: c.RouteEvent) -> None:
        """Sends another machine's event to the rules of its bus."""
        self._put_events(c.PutEvents((report.event,)))

    def _end_batch(self) -> list[Effect]:
        has_new_rules = any(kind == RULE for kind, _ in self._changes.documents)
        return [RulesChanged(self.router)] if has_new_rules else []

    # -- buses --

    def _create_bus(self, command: c.CreateEventBus) -> EventBus:
        if command.name in self._buses:
            raise Refused(f"Event bus {command.name} already exists.", EXISTS)
        if len(self._buses) >= MAX_BUSES:
            raise Refused(f"There are {MAX_BUSES} event buses already, the most there can be: delete one.", LIMIT)
        return self._buses.put(EventBus(command.name, self._now_ms, self._now_ms, command.description, command.tags))

    def _update_bus(self, command: c.UpdateEventBus) -> EventBus:
        bus = self._bus(command.name)
        return self._buses.put(replace(bus, description=command.description, modified_at_ms=self._now_ms))

    def _delete_bus(self, command: c.DeleteEventBus) -> None:
        """Deletes a bus, unless it has rules. One that is not there is no fault, as on AWS."""
        if command.name == DEFAULT_BUS:
            raise Refused("Cannot delete event bus default.", VALIDATION)
        if any(rule.bus == command.name for rule in self._rules.values()):
            raise Refused(f"Event bus {command.name} can't be deleted since it has rules.", VALIDATION)
        if command.name in self._buses:
            self._buses.remove(command.name)

    def _bus(self, name: str) -> EventBus:
        return self._buses.existing(name, f"Event bus {name} does not exist.", NOT_FOUND)

    # -- rules --

    def _put_rule(self, command: c.PutRule) -> Rule:
        self._bus(command.bus)
        if command.schedule and command.bus != DEFAULT_BUS:
            raise Refused("ScheduleExpression is supported only on the default event bus.", VALIDATION)
        if command.pattern:
            compile_pattern(command.pattern)
        if command.schedule:
            parse_rule_schedule(command.schedule)
        known = self._rules.get(rule_key(command.bus, command.name))
        if known is None and sum(rule.bus == command.bus for rule in self._rules.values()) >= MAX_RULES:
            raise Refused("The requested resource exceeds the maximum number allowed.", LIMIT)
        rule = Rule(
            command.bus,
            command.name,
            command.state,
            command.pattern,
            command.schedule,
            command.description,
            command.role_arn,
            known.tags if known is not None else command.tags,
            known.targets if known is not None else (),
            self._now_ms,
        )
        self._set_timer(rule, known)
        return self._put(rule)

    def _set_state(self, command: c.SetRuleState) -> None:
        known = self._rule(command.bus, command.name)
        if known.state != command.state:
            rule = replace(known, state=command.state, anchor_ms=self._now_ms)
            self._set_timer(rule, known)
            self._put(rule)

    def _delete_rule(self, command: c.DeleteRule) -> None:
        """Deletes a rule without targets. One that is not there is no fault, as on AWS."""
        rule = self._rules.get(rule_key(command.bus, command.name))
        if rule is None:
            return
        if rule.targets:
            raise Refused("Rule can't be deleted since it has targets.", VALIDATION)
        self._rules.remove(rule_key(rule.bus, rule.name))
        self._router = None
        if rule.schedule:
            self._outgoing.append(CancelTimer(TIMER_OWNER, rule.name))

    def _put(self, rule: Rule) -> Rule:
        self._router = None
        return self._rules.put(rule)

    def _rule(self, bus: str, name: str) -> Rule:
        self._bus(bus)
        return self._rules.existing(rule_key(bus, name), f"Rule {name} does not exist on EventBus {bus}.", NOT_FOUND)

    # -- targets --

    def _put_targets(self, command: c.PutTargets) -> tuple[c.FailedTarget, ...]:
        """Adds or replaces targets. Those of a kind that is not served fail alone; a fault of form fails all."""
        rule = self._rule(command.bus, command.rule)
        merged = {target.id: target for target in rule.targets}
        failed = []
        for target in command.targets:
            try:
                compile_target(target)
            except Refused as refusal:
                failed.append(c.FailedTarget(target.id, refusal.code, refusal.message))
            else:
                merged[target.id] = target
        if len(merged) > MAX_TARGETS:
            raise Refused("The requested resource exceeds the maximum number allowed.", LIMIT)
        self._put(replace(rule, targets=_in_order(merged.values())))
        return tuple(failed)

    def _remove_targets(self, command: c.RemoveTargets) -> None:
        """Removes targets, and what waits for them. Ids that are not there are no fault."""
        rule = self._rule(command.bus, command.rule)
        self._put(replace(rule, targets=tuple(target for target in rule.targets if target.id not in command.ids)))
        arn = rule_arn(self._account, rule.bus, rule.name)
        self._outgoing += [DropLane(lane_of(arn, name)) for name in command.ids]

    # -- schedules --

    def _set_timer(self, rule: Rule, before: Rule | None = None) -> None:
        """Sets the timer of an enabled rule with a schedule to its next time; else removes the one that it had."""
        due_ms = None
        if rule.schedule and rule.is_enabled:
            due_ms = FireTimes(parse_rule_schedule(rule.schedule), anchor_ms=rule.anchor_ms).next_fire(self._now_ms)
        if due_ms is not None:
            self._outgoing.append(SetTimer(TIMER_OWNER, rule.name, due_ms, RuleDue(rule.name, due_ms)))
        elif before is not None and before.schedule:
            self._outgoing.append(CancelTimer(TIMER_OWNER, rule.name))

    def _fire(self, rule: Rule, scheduled_ms: int) -> None:
        """Sends the event of a scheduled rule to its targets (observability spec 7.2)."""
        arn = rule_arn(self._account, rule.bus, rule.name)
        document = envelope(
            event_id=str(uuid5(NAMESPACE_URL, f"{arn}/{scheduled_ms}")),
            detail_type="Scheduled Event",
            source="aws.events",
            account=self._account.account_id,
            at_ms=scheduled_ms,
            region=self._account.region,
            resources=[arn],
            detail={},
        )
        for target in rule.targets:
            message = message_for(compile_target(target), rule, arn, document, event_text(document), "", self._now_ms)
            self._send(message, document, "", MAX_BUS_HOPS)

    # -- tags --

    def _tag(self, command: c.TagEvents) -> None:
        resource = self._rule(command.bus, command.rule) if command.rule else self._bus(command.bus)
        kept = {key: value for key, value in resource.tags.items() if key not in command.removed}
        tags = {**kept, **command.tags}
        if len(tags) > MAX_TAGS:
            raise Refused(f"A resource can have at most {MAX_TAGS} tags; with these it would have {len(tags)}.", LIMIT)
        if isinstance(resource, Rule):
            self._put(replace(resource, tags=tags))
        else:
            self._buses.put(replace(resource, tags=tags))

    # -- events --

    def _put_events(self, command: c.PutEvents) -> None:
        for event in command.events:
            time = {} if event.has_time else {"time": iso_seconds(self._now_ms)}
            self._route(event.bus, {**event.document, **time}, event.order_key, MAX_BUS_HOPS)

    def _send_to_targets(self, command: c.SendToTargets) -> None:
        for sending in command.sendings:
            message = sending.message
            order_key = message.order_key if isinstance(message, Message) else ""
            self._send(message, sending.document, order_key, MAX_BUS_HOPS)

    def _route(self, bus: str, document: dict[str, Any], order_key: str, hops: int) -> None:
        for message in self.router.messages(bus, document, order_key, self._now_ms):
            self._send(message, document, order_key, hops)

    def _send(self, message: Message | Undeliverable, document: dict[str, Any], order_key: str, hops: int) -> None:
        if isinstance(message, Undeliverable):
            self._outgoing.append(message)
        elif message.channel == TOPIC:
            self._outgoing.append(_to_topic(message))
        elif message.channel != BUS:
            self._outgoing.append(AddDelivery(message))
        elif hops:
            self._route(message.target["bus"], document, order_key, hops - 1)

    # -- questions --

    def _ask_buses(self, command: c.AskEventBuses) -> tuple[EventBus, ...]:
        return self._buses.in_order()

    def _ask_rules(self, command: c.AskRules) -> tuple[Rule, ...]:
        self._bus(command.bus)
        return tuple(rule for rule in self._rules.in_order() if rule.bus == command.bus)

    command_handlers: ClassVar[CommandHandlers] = {
        c.CreateEventBus: _create_bus,
        c.UpdateEventBus: _update_bus,
        c.DeleteEventBus: _delete_bus,
        c.PutRule: _put_rule,
        c.SetRuleState: _set_state,
        c.DeleteRule: _delete_rule,
        c.PutTargets: _put_targets,
        c.RemoveTargets: _remove_targets,
        c.TagEvents: _tag,
        c.PutEvents: _put_events,
        c.SendToTargets: _send_to_targets,
        c.AskEventBuses: _ask_buses,
        c.AskRules: _ask_rules,
    }
    report_handlers: ClassVar[ReportHandlers] = {RuleDue: _due, c.RouteEvent: _route_report}


def _to_topic(message: Message) -> PublishToTopic:
    """Returns what a topic gets. The id of its message follows from the event: repeated, it is the same."""
    message_id = str(uuid5(NAMESPACE_URL, message.token))
    publication = Publication(message_id, message.body, order_key=message.order_key)
    return PublishToTopic(message.target["arn"], publication, message.lane, message.token)


def _in_order(targets: Iterable[Target]) -> tuple[Target, ...]:
    return tuple(sorted(targets, key=lambda target: target.id))
