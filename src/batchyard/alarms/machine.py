"""The machine of CloudWatch's alarms (observability spec 11 to 13).

Metric alarms are evaluated outside, where the store of metrics is, and the results are handed in. What follows is
decided here, in one transaction: the new state, those of composite alarms, the history, messages to topics, events, and
actions on job queues."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar
from uuid import NAMESPACE_URL, uuid5

from msgspec import Struct
from msgspec.structs import replace

from batchyard.alarms import commands as c
from batchyard.alarms.records import ALARM, COMPOSITE, HISTORY, METRIC, Alarm, HistoryItem, alarm_arn, alarm_name
from batchyard.alarms.records import described as described_by
from batchyard.core.model.effects import Effect
from batchyard.core.model.names import Account
from batchyard.core.model.queue_actions import ActOnQueue, QueueAction, QueueActionDone
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.alarms import composite, messages, reasons
from batchyard.evaluators.alarms.evaluation import AlarmState
from batchyard.evaluators.alarms.messages import StateOf
from batchyard.evaluators.events.envelope import envelope
from batchyard.evaluators.json_text import minified, parse_json
from batchyard.events.commands import Event, RouteEvent
from batchyard.events.records import DEFAULT_BUS
from batchyard.machines.document_machine import CommandHandlers, DocumentMachine, ReportHandlers
from batchyard.topics.commands import Publication, PublishToTopic

MAX_ALARMS = 5000  # CloudWatch quotas, of an account and region
MAX_TAGS = 50
MAX_PARENTS = 150  # composite alarms that have an alarm as a child; AWS's own
HISTORY_KEPT_MS = 14 * 86_400_000
MAX_HISTORY = 500  # items of one alarm that are kept: one that changes every minute
VALIDATION, LIMIT, NOT_FOUND = "ValidationError", "LimitExceeded", "ResourceNotFound"
SNS, AUTOMATE = "sns", "automate"  # services in the ARNs of actions
SWEEP_MS = 3_600_000  # between looks for items of alarms to which nothing happens any more


class EvaluateAlarms(Effect, frozen=True):
    """Metric alarms are to be evaluated now: they were created or changed."""

    names: tuple[str, ...]


class AlarmsMachine(DocumentMachine):
    """`has_topic`: whether there is an SNS topic."""

    def __init__(self, account: Account, has_topic: Callable[[str], bool]) -> None:
        super().__init__()
        self._account = account
        self._has_topic = has_topic
        self._alarms = self._table(ALARM, Alarm, lambda alarm: alarm.name)
        self._rules: dict[str, composite.Node] = {}  # of composite alarms
        self._history: dict[str, deque[HistoryItem]] = {}  # by alarm, the oldest first
        self._next_number = 1
        self._due: list[str] = []  # to be evaluated
        self._swept_at_ms = 0

    def restore(self, records: Mapping[tuple[str, str], Struct]) -> None:
        super().restore(records)
        for alarm in self._alarms.values():
            self._note_rule(alarm)
        items = (record for record in records.values() if isinstance(record, HistoryItem))
        for item in sorted(items, key=lambda one: one.number):
            self._history.setdefault(item.alarm, deque()).append(item)
            self._next_number = item.number + 1

    def _begin(self, now_ms: int) -> None:
        super()._begin(now_ms)
        if now_ms >= self._swept_at_ms + SWEEP_MS:
            self._sweep_history()

    def _queue_action_done(self, report: QueueActionDone) -> None:
        """Notes what an action on a queue has done."""
        name, _, arn = report.token.partition("\n")
        alarm = self._alarms.get(name)
        if alarm is not None:
            done = f" ({report.count} jobs)" if report.action is not QueueAction.DISABLE else ""
            self._note_action(alarm, arn, report.error, done)

    def _end_batch(self) -> list[Effect]:
        due, self._due = self._due, []
        return [EvaluateAlarms(tuple(due))] if due else []

    # -- configuration --

    def _put(self, command: c.PutAlarm) -> Alarm:
        known = self._alarms.get(command.name)
        if known is None and len(self._alarms) >= MAX_ALARMS:
            raise Refused(f"There are {MAX_ALARMS} alarms already, the most there can be: delete one.", LIMIT)
        if known is not None and known.kind != command.kind:
            raise Refused(f"{command.name} is a {known.kind}: an alarm cannot become one of another kind.", VALIDATION)
        if command.kind == COMPOSITE:
            self._check_rule(command.name, command.document["AlarmRule"])
        if known is None:
            state, reason, now_ms = AlarmState.INSUFFICIENT_DATA.value, reasons.INITIAL, self._now_ms
            alarm = Alarm(
                command.name, command.kind, command.document, now_ms, state, reason, "", now_ms, now_ms, command.tags
            )
        else:
            alarm = replace(known, document=command.document, configured_at_ms=self._now_ms)
        self._store(alarm)
        self._note_configuration(alarm, known)
        if command.kind == METRIC:
            self._due.append(alarm.name)
        else:
            self._evaluate_new_rule(alarm)
        return self._alarms[command.name]

    def _check_rule(self, name: str, text: str) -> None:
        children = [alarm_name(child) for child in composite.children(composite.parse_rule(text))]
        unknown = [child for child in children if child not in self._alarms and child != name]
        if unknown:
            raise Refused(
                f"Could not save the composite alarm as alarms [{', '.join(unknown)}] in the alarm rule do not exist",
                VALIDATION,
            )
        uses = {other: self._children(other) for other in self._rules} | {name: children}
        circle = composite.find_circle(name, uses)
        if circle is not None:
            raise Refused(f"The alarm rule goes round in a circle: {' -> '.join(circle)}.", VALIDATION)
        for child in children:
            parents = [other for other, used in uses.items() if child in used]
            if len(parents) > MAX_PARENTS:
                raise Refused(f"The alarm {child} would be a child of more than {MAX_PARENTS} alarms.", LIMIT)

    def _children(self, name: str) -> list[str]:
        return [alarm_name(child) for child in composite.children(self._rules[name])]

    def _delete(self, command: c.DeleteAlarms) -> None:
        going = [name for name in dict.fromkeys(command.names) if name in self._alarms]
        for name in going:
            users = [other for other in self._rules if other not in going and name in self._children(other)]
            if users:
                raise Refused(
                    f"Cannot delete {name} as there are composite alarm(s) depending on it: {', '.join(sorted(users))}",
                    VALIDATION,
                )
        for name in going:
            alarm = self._alarms.remove(name)
            self._rules.pop(name, None)
            self._send_configuration(alarm, "delete", None)
            self._note(alarm, "ConfigurationUpdate", f'Alarm "{name}" deleted', {"type": "Delete"})

    def _enable(self, command: c.EnableActions) -> None:
        for name in command.names:
            known = self._alarms.get(name)
            if known is not None and known.actions_enabled != command.is_enabled:
                document = {**known.document, "ActionsEnabled": command.is_enabled}
                alarm = replace(known, document=document, configured_at_ms=self._now_ms)
                self._store(alarm)
                self._note_configuration(alarm, known)

    def _tag(self, command: c.TagAlarm) -> None:
        refusal = f"The alarm {command.name} does not exist."
        alarm = self._alarms.existing(command.name, refusal, "ResourceNotFoundException")
        kept = {key: value for key, value in alarm.tags.items() if key not in command.removed}
        tags = {**kept, **command.tags}
        if len(tags) > MAX_TAGS:
            raise Refused(f"An alarm can have at most {MAX_TAGS} tags; with these it would have {len(tags)}.", LIMIT)
        self._store(replace(alarm, tags=tags))

    def _store(self, alarm: Alarm) -> None:
        self._alarms.put(alarm)
        self._note_rule(alarm)

    def _note_rule(self, alarm: Alarm) -> None:
        if alarm.kind == COMPOSITE:
            self._rules[alarm.name] = composite.parse_rule(alarm.document["AlarmRule"])

    # -- states --

    def _set_state(self, command: c.SetAlarmState) -> None:
        alarm = self._alarms.existing(command.name, "", NOT_FOUND)
        self._change(alarm, AlarmState(command.state), command.reason, command.reason_data)

    def _take_evaluations(self, command: c.TakeEvaluations) -> None:
        for found in command.evaluations:
            alarm = self._alarms.get(found.name)
            if alarm is not None and alarm.configured_at_ms == found.configured_at_ms and alarm.state != found.state:
                self._change(alarm, AlarmState(found.state), found.reason, found.reason_data)

    def _change(self, alarm: Alarm, state: AlarmState, reason: str, reason_data: str) -> None:
        """Sets the state of an alarm, and of all composite alarms that follow from it."""
        waiting: deque[tuple[str, AlarmState, str, str, tuple[str, ...]]] = deque()
        waiting.append((alarm.name, state, reason, reason_data, ()))
        while waiting:
            name, new, text, data, causes = waiting.popleft()
            before = self._alarms[name]
            if not self._apply(before, new, text, data, causes):
                continue
            for parent in sorted(other for other in self._rules if name in self._children(other)):
                found = self._state_of_rule(parent)
                if found.value != self._alarms[parent].state:
                    arn = alarm_arn(self._account, name)
                    text = composite.transition_reason(arn, new, self._now_ms / 1000)
                    waiting.append((parent, found, text, self._triggers([name]), (name,)))

    def _apply(self, before: Alarm, state: AlarmState, reason: str, data: str, causes: tuple[str, ...]) -> bool:
        """Sets the state of one alarm. Returns whether it is another: then its actions are carried out."""
        is_changed = before.state != state.value
        after = replace(
            before,
            state=state.value,
            reason=reason,
            reason_data=data,
            updated_at_ms=self._now_ms,
            changed_at_ms=self._now_ms if is_changed else before.changed_at_ms,
        )
        self._store(after)
        if is_changed:
            self._note_state(before, after)
            self._send_event(before, after)
            for action in after.actions():
                self._act(before, after, action, causes)
        return is_changed

    def _state_of_rule(self, name: str) -> AlarmState:
        def state_of(child: str) -> AlarmState | None:
            known = self._alarms.get(alarm_name(child))
            return None if known is None else AlarmState(known.state)

        return AlarmState.ALARM if composite.holds(self._rules[name], state_of) else AlarmState.OK

    def _evaluate_new_rule(self, alarm: Alarm) -> None:
        found = self._state_of_rule(alarm.name)
        if found.value != alarm.state:
            reason = composite.creation_reason(alarm_arn(self._account, alarm.name), found)
            children = [child for child in self._children(alarm.name) if child in self._alarms]
            self._change(alarm, found, reason, self._triggers(children))

    def _triggers(self, children: Iterable[str]) -> str:
        """Returns the StateReasonData of a composite alarm."""
        triggering = [
            {"arn": arn, "state": {"value": state.value, "timestamp": reasons.iso_milliseconds(at_s)}}
            for arn, state, at_s in self._child_states(children)
        ]
        return minified({"triggeringAlarms": triggering})

    def _child_states(self, children: Iterable[str]) -> list[tuple[str, AlarmState, float]]:
        found = [self._alarms[child] for child in children if child in self._alarms]
        return [
            (alarm_arn(self._account, child.name), AlarmState(child.state), child.changed_at_ms / 1000)
            for child in found
        ]

    # -- what follows --

    def _act(self, before: Alarm, after: Alarm, arn: str, causes: tuple[str, ...]) -> None:
        parts = arn.split(":")
        if parts[2] == SNS:
            self._publish(before, after, arn, causes)
            return
        action, queue = QueueAction(parts[-2]), parts[-1]
        reason = f"Alarm {after.name}: {after.reason}"
        self._outgoing.append(ActOnQueue(action, queue, reason, f"{after.name}\n{arn}"))

    def _publish(self, before: Alarm, after: Alarm, arn: str, causes: tuple[str, ...]) -> None:
        if not self._has_topic(arn):
            self._note_action(after, arn, f"The topic {arn} does not exist.")
            return
        alarm, region = described_by(after, self._account), self._account.region
        state = AlarmState(after.state)
        body = messages.topic_message(
            alarm,
            _state_of(after),
            AlarmState(before.state),
            account=self._account.account_id,
            region=region,
            children=self._child_states(causes),
        )
        own_arn = alarm_arn(self._account, after.name)
        message_id = str(uuid5(NAMESPACE_URL, f"{own_arn}/{self._next_number}/{arn}"))
        publication = Publication(message_id, body, messages.subject(alarm, state, region), order_key=own_arn)
        self._outgoing.append(PublishToTopic(arn, publication, own_arn, message_id))
        self._note_action(after, arn, "")

    def _send_event(self, before: Alarm, after: Alarm) -> None:
        detail = messages.event_detail(described_by(after, self._account), _state_of(after), _state_of(before))
        self._route(after, messages.DETAIL_TYPE, detail)

    def _send_configuration(self, alarm: Alarm, operation: str, known: Alarm | None) -> None:
        detail: dict[str, Any] = {
            "alarmName": alarm.name,
            "operation": operation,
            "state": {"value": alarm.state, "timestamp": reasons.iso_milliseconds(alarm.updated_at_ms / 1000)},
            "configuration": messages.configuration(described_by(alarm, self._account)),
        }
        if known is not None:
            detail["previousConfiguration"] = messages.configuration(described_by(known, self._account))
        self._route(alarm, messages.CONFIGURATION_DETAIL_TYPE, detail)

    def _route(self, alarm: Alarm, detail_type: str, detail: dict[str, Any]) -> None:
        arn = alarm_arn(self._account, alarm.name)
        document = envelope(
            event_id=str(uuid5(NAMESPACE_URL, f"{arn}/{detail_type}/{self._next_number}/{self._now_ms}")),
            detail_type=detail_type,
            source=messages.SOURCE,
            account=self._account.account_id,
            at_ms=self._now_ms,
            region=self._account.region,
            resources=[arn],
            detail=detail,
        )
        self._outgoing.append(RouteEvent(Event(DEFAULT_BUS, document, arn)))

    # -- history --

    def _note(self, alarm: Alarm, kind: str, summary: str, data: dict[str, Any]) -> None:
        text = minified({"version": "1.0", **data})
        item = HistoryItem(alarm.name, alarm.kind, self._now_ms, self._next_number, kind, summary, text)
        self._next_number += 1
        items = self._history.setdefault(alarm.name, deque())
        items.append(item)
        self._changes.documents[HISTORY, item.document_name] = item
        while len(items) > MAX_HISTORY:
            self._changes.documents[HISTORY, items.popleft().document_name] = None

    def _sweep_history(self) -> None:
        """Deletes items that are too old."""
        self._swept_at_ms = self._now_ms
        for name, items in list(self._history.items()):
            while items and items[0].at_ms < self._now_ms - HISTORY_KEPT_MS:
                self._changes.documents[HISTORY, items.popleft().document_name] = None
            if not items:
                del self._history[name]

    def _note_configuration(self, alarm: Alarm, known: Alarm | None) -> None:
        self._send_configuration(alarm, "create" if known is None else "update", known)
        verb = "created" if known is None else "updated"
        data: dict[str, Any] = {"type": "Create" if known is None else "Update"}
        data["createdAlarm" if known is None else "updatedAlarm"] = described_by(alarm, self._account)
        self._note(alarm, "ConfigurationUpdate", f'Alarm "{alarm.name}" {verb}', data)

    def _note_state(self, before: Alarm, after: Alarm) -> None:
        data = {"oldState": _history_state(before), "newState": _history_state(after)}
        self._note(after, "StateUpdate", f"Alarm updated from {before.state} to {after.state}", data)

    def _note_action(self, alarm: Alarm, arn: str, error: str, done: str = "") -> None:
        data = {"actionState": "Failed" if error else "Succeeded", "notificationResource": arn}
        if error:
            data["error"] = error
            self._note(alarm, "Action", f'Failed to execute action {arn}. Received error: "{error}"', data)
        else:
            self._note(alarm, "Action", f"Successfully executed action {arn}{done}", data)

    # -- questions --

    def _ask_alarms(self, command: c.AskAlarms) -> tuple[Alarm, ...]:
        return self._alarms.in_order()

    def _ask_history(self, command: c.AskAlarmHistory) -> tuple[HistoryItem, ...]:
        names = [command.name] if command.name else list(self._history)
        found = [item for name in names for item in self._history.get(name, ())]
        since_ms = self._now_ms - HISTORY_KEPT_MS
        recent = [item for item in found if item.at_ms >= since_ms]
        return tuple(sorted(recent, key=lambda item: item.number, reverse=True))

    command_handlers: ClassVar[CommandHandlers] = {
        c.PutAlarm: _put,
        c.DeleteAlarms: _delete,
        c.SetAlarmState: _set_state,
        c.EnableActions: _enable,
        c.TagAlarm: _tag,
        c.TakeEvaluations: _take_evaluations,
        c.AskAlarms: _ask_alarms,
        c.AskAlarmHistory: _ask_history,
    }
    report_handlers: ClassVar[ReportHandlers] = {QueueActionDone: _queue_action_done}


def _state_of(alarm: Alarm) -> StateOf:
    return StateOf(AlarmState(alarm.state), alarm.reason, alarm.reason_data, alarm.updated_at_ms / 1000)


def _history_state(alarm: Alarm) -> dict[str, Any]:
    data = {"stateReasonData": parse_json(alarm.reason_data)} if alarm.reason_data else {}
    return {"stateValue": alarm.state, "stateReason": alarm.reason, **data}
