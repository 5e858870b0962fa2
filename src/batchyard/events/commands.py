"""The commands of EventBridge: writes of the API and questions to memory. Shapes were checked; machine.py checks them
against what there is."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from batchyard.core.model.commands import Command
from batchyard.core.model.deliveries import Message, Undeliverable
from batchyard.events.records import EventBus, Rule, Target


class CreateEventBus(Command[EventBus], frozen=True):
    name: str
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)


class UpdateEventBus(Command[EventBus], frozen=True):
    name: str
    description: str = ""


class DeleteEventBus(Command[None], frozen=True):
    name: str


class PutRule(Command[Rule], frozen=True):
    """Creates a rule or replaces it; its targets stay, and its tags, which count at its creation only."""

    bus: str
    name: str
    state: str
    pattern: str = ""
    schedule: str = ""
    description: str = ""
    role_arn: str = ""
    tags: dict[str, str] = field(default_factory=dict)


class SetRuleState(Command[None], frozen=True):
    bus: str
    name: str
    state: str


class DeleteRule(Command[None], frozen=True):
    bus: str
    name: str


class FailedTarget(Struct, frozen=True):
    """A target that was not taken, while others of its request were."""

    id: str
    error_code: str
    error: str


class PutTargets(Command[tuple[FailedTarget, ...]], frozen=True):
    bus: str
    rule: str
    targets: tuple[Target, ...]


class RemoveTargets(Command[None], frozen=True):
    bus: str
    rule: str
    ids: tuple[str, ...]


class TagEvents(Command[None], frozen=True):
    """Tags a bus, or with `rule` one of its rules. `tags` are merged; those of `removed` go."""

    bus: str
    rule: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


class Event(Struct, frozen=True):
    """An event on its bus. `document`: the whole event in AWS's order. `order_key`: deliveries of events with equal
    keys keep their order at each target. `has_time`: it has a time; else it is that of its arrival."""

    bus: str
    document: dict[str, Any]
    order_key: str = ""
    has_time: bool = True

    @property
    def id(self) -> str:
        return str(self.document["id"])


class PutEvents(Command[None], frozen=True):
    """Sends events to the targets of the rules that match. An unknown bus drops its events, as on AWS."""

    events: tuple[Event, ...]


class Sending(Struct, frozen=True):
    """What one target of a rule gets of an event, matched outside of the machine. `document`: the whole event, which
    another bus gets."""

    message: Message | Undeliverable
    document: dict[str, Any]


class SendToTargets(Command[None], frozen=True):
    """Sends what a router has made of events (events.router)."""

    sendings: tuple[Sending, ...]


class RouteEvent(Struct, frozen=True):
    """A report of another machine: its event for a bus."""

    event: Event


class AskEventBuses(Command[tuple[EventBus, ...]], frozen=True):
    """Asks for all buses, by name."""


class AskRules(Command[tuple[Rule, ...]], frozen=True):
    """Asks for the rules of a bus, by name. Refused if there is no such bus."""

    bus: str
