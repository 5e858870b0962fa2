"""Rules of composite alarms (spec 12): `ALARM(a) AND NOT (OK("b c") OR INSUFFICIENT_DATA(arn:...))`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.alarms.evaluation import AlarmState

MAX_RULE_CHARACTERS = 10_240  # AWS's own, as are the next two
MAX_ELEMENTS = 500
MAX_CHILDREN = 100
MAX_DEPTH = 50  # of parentheses and NOT
STATES = tuple(state.value for state in AlarmState)
TOKEN = re.compile(
    r"\s*(?:(?P<state>ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:\"(?P<quoted>[^\"]+)\"|(?P<bare>[^\s()\"]+))\s*\)"
    r"|(?P<word>AND|OR|NOT|TRUE|FALSE)(?![\w-])|(?P<parenthesis>[()]))"
)


class Child(NamedTuple):
    """Whether an alarm has a state. `alarm`: its name or ARN, as the rule has it."""

    state: AlarmState
    alarm: str


class Constant(NamedTuple):
    value: bool


class Not(NamedTuple):
    operand: Node


class Joined(NamedTuple):
    """Operands that all have to hold (AND), or one of them (OR)."""

    is_and: bool
    operands: tuple[Node, ...]


Node = Child | Constant | Not | Joined


def parse_rule(text: str) -> Node:
    """Returns the rule of a composite alarm. Raises Refused (ValidationError)."""
    if len(text) > MAX_RULE_CHARACTERS:
        raise _invalid(f"it has {len(text)} characters, at most {MAX_RULE_CHARACTERS}")
    parser = _Parser(text)
    node = parser.either()
    if parser.token is not None:
        raise _invalid(f"{parser.token[1]!r} stands where AND or OR is expected")
    if parser.elements > MAX_ELEMENTS:
        raise _invalid(f"it has {parser.elements} elements, at most {MAX_ELEMENTS}")
    names = children(node)
    if len(names) > MAX_CHILDREN:
        raise _invalid(f"it names {len(names)} alarms, at most {MAX_CHILDREN}")
    return node


def children(node: Node) -> list[str]:
    """Returns the alarms that a rule names, each once, in its order."""
    found: dict[str, None] = {}
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Child):
            found[node.alarm] = None
        elif isinstance(node, Not):
            waiting.append(node.operand)
        elif isinstance(node, Joined):
            waiting += reversed(node.operands)
    return list(found)


def holds(node: Node, state_of: Callable[[str], AlarmState | None]) -> bool:
    """Whether a rule is true. `state_of`: the state of an alarm by name or ARN, None where there is none."""
    if isinstance(node, Child):
        return state_of(node.alarm) == node.state
    if isinstance(node, Not):
        return not holds(node.operand, state_of)
    if isinstance(node, Joined):
        return (all if node.is_and else any)(holds(operand, state_of) for operand in node.operands)
    return node.value


def find_circle(name: str, uses: Mapping[str, Iterable[str]]) -> list[str] | None:
    """Returns the alarms of a circle through `name`, from it and back to it, or None. `uses`: the children of each
    composite alarm by name."""
    path_to: dict[str, list[str]] = {name: [name]}
    waiting = [name]
    while waiting:
        here = waiting.pop()
        for child in uses.get(here, ()):
            if child == name:
                return [*path_to[here], name]
            if child not in path_to:
                path_to[child] = [*path_to[here], child]
                waiting.append(child)
    return None


def transition_reason(child_arn: str, state: AlarmState, at_s: float) -> str:
    """Returns the reason of a composite alarm that a child's change has changed."""
    at = datetime.fromtimestamp(at_s, UTC)
    return f"{child_arn} transitioned to {state.value} at {at:%A} {at.day:02d} {at:%B, %Y %H:%M:%S} UTC"


def creation_reason(arn: str, state: AlarmState) -> str:
    return f"{arn} was created and its alarm rule evaluates to {state.value}"


def _invalid(reason: str) -> Refused:
    return Refused(f"AlarmRule is not valid: {reason}.", "ValidationError")


class _Parser:
    """Recursive descent, one token ahead: OR, then AND, then NOT."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.stop = 0
        self.depth = 0
        self.elements = 0
        self.token: tuple[str, str] | None = None
        self.child: Child | None = None
        self.advance()

    def advance(self) -> None:
        if not self.text[self.stop :].strip():
            self.token = None
            return
        found = TOKEN.match(self.text, self.stop)
        if found is None:
            raise _invalid(f"it cannot be read from {self.text[self.stop :].strip()[:40]!r} on")
        self.elements += 1
        self.stop = found.end()
        if found["state"]:
            self.child = Child(AlarmState(found["state"]), found["quoted"] or found["bare"])
            self.token = ("child", found[0].strip())
        else:
            self.token = ("word", found["word"] or found["parenthesis"])

    def takes(self, word: str) -> bool:
        if self.token != ("word", word):
            return False
        self.advance()
        return True

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _invalid(f"it is nested more than {MAX_DEPTH} deep")

    def either(self) -> Node:
        self.deeper()
        operands = [self.both()]
        while self.takes("OR"):
            operands.append(self.both())
        self.depth -= 1
        return operands[0] if len(operands) == 1 else Joined(False, tuple(operands))

    def both(self) -> Node:
        operands = [self.operand()]
        while self.takes("AND"):
            operands.append(self.operand())
        return operands[0] if len(operands) == 1 else Joined(True, tuple(operands))

    def operand(self) -> Node:
        if self.takes("NOT"):
            self.deeper()
            node: Node = Not(self.operand())
            self.depth -= 1
            return node
        if self.takes("("):
            node = self.either()
            if not self.takes(")"):
                raise _invalid("a parenthesis is not closed")
            return node
        for word in ("TRUE", "FALSE"):
            if self.takes(word):
                return Constant(word == "TRUE")
        if self.token is None or self.token[0] != "child" or self.child is None:
            what = "it ends" if self.token is None else f"{self.token[1]!r} stands"
            raise _invalid(f"{what} where ALARM(...), OK(...), INSUFFICIENT_DATA(...), TRUE or FALSE is expected")
        child = self.child
        self.advance()
        return child
