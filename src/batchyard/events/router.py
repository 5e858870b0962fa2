"""Finds the rules that an event matches: compiled once, looked up by source before anything else is compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from batchyard.core.model.deliveries import Message, Undeliverable
from batchyard.core.model.names import Account
from batchyard.evaluators.events.envelope import event_text
from batchyard.evaluators.events.event_pattern import EventPattern, compile_pattern
from batchyard.events.records import Rule, rule_arn
from batchyard.events.target_kinds import CompiledTarget, compile_target, message_for

ANY_SOURCE = ""
NOTHING: Mapping[str, str] = {}


class _Route(Struct, frozen=True):
    rule: Rule
    arn: str
    pattern: EventPattern
    targets: tuple[CompiledTarget, ...]


class Router:
    """The enabled rules of all buses that have a pattern and targets. Immutable: rules that change make a new one."""

    def __init__(self, account: Account, rules: Iterable[Rule]) -> None:
        self._routes: dict[str, dict[str, list[_Route]]] = {}  # by bus and source; ANY_SOURCE: others too
        for rule in rules:
            if not (rule.is_enabled and rule.pattern and rule.targets):
                continue
            pattern = compile_pattern(rule.pattern)
            targets = tuple(compile_target(target) for target in rule.targets)
            route = _Route(rule, rule_arn(account, rule.bus, rule.name), pattern, targets)
            sources = pattern.literals("source")
            for source in [ANY_SOURCE] if sources is None else sorted(sources):
                self._routes.setdefault(rule.bus, {}).setdefault(source, []).append(route)

    def could_match(self, bus: str, known: Mapping[str, str]) -> bool:
        """Whether a rule may match an event of which some fields are known; `source` must be among them."""
        return any(route.pattern.could_match(known) for route in self._of_source(bus, known["source"]))

    def messages(
        self,
        bus: str,
        event: dict[str, Any],
        order_key: str,
        now_ms: int,
        encode: Callable[[dict[str, Any]], str] = event_text,
        known: Mapping[str, str] = NOTHING,
    ) -> Iterator[Message | Undeliverable]:
        """Returns what the targets of all matching rules get of an event. `encode`: makes its text; `known`: some of
        its fields, by which a pattern that names no others is judged without a look at the event."""
        original = ""
        for route in self._of_source(bus, str(event["source"])):
            pattern = route.pattern
            if not (pattern.could_match(known) if known.keys() >= pattern.names else pattern.matches(event)):
                continue
            original = original or encode(event)
            for target in route.targets:
                yield message_for(target, route.rule, route.arn, event, original, order_key, now_ms)

    def _of_source(self, bus: str, source: str) -> Iterator[_Route]:
        by_source = self._routes.get(bus, {})
        yield from by_source.get(source, ())
        if source != ANY_SOURCE:
            yield from by_source.get(ANY_SOURCE, ())
