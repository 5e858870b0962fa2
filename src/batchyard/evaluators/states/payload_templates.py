"""Payload templates: Parameters, ItemSelector, ResultSelector and Assign of states that say JSONPath.

A member whose name ends in `.$` is replaced by what its path or intrinsic function gives; everything else is literal,
at every depth and in lists too (step functions spec 8).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from batchyard.evaluators.states.errors import InvalidExpression
from batchyard.evaluators.states.intrinsics import Intrinsic, compile_intrinsic, is_intrinsic
from batchyard.evaluators.states.json_paths import Path, compile_path
from batchyard.evaluators.states.json_values import MAX_UNMEASURED_PAYLOADS, check_built
from batchyard.evaluators.states.scope import Scope

DYNAMIC_SUFFIX = ".$"
MAX_TEMPLATE_NESTING = 100  # with what the values have it stays far below Python's limit of calls


class Dynamic(NamedTuple):
    """A value that a path or an intrinsic function gives. `field`: its name as written, with `.$`."""

    field: str
    expression: Path | Intrinsic

    def evaluate(self, scope: Scope) -> Any:
        if isinstance(self.expression, Path):
            return self.expression.find(scope, self.field, null_past_end=True)
        return self.expression.evaluate(scope)


class ObjectNode(NamedTuple):
    """An object with something dynamic in it."""

    members: tuple[tuple[str, Node], ...]


class ListNode(NamedTuple):
    """A list with something dynamic in it."""

    items: tuple[Node, ...]


class Constant(NamedTuple):
    """A value without anything dynamic in it. It is shared by all evaluations: it is not to be changed."""

    value: Any


Node = Dynamic | ObjectNode | ListNode | Constant


class Template:
    """A compiled payload template. `variables`: the names of the variables that it reads."""

    __slots__ = ("_field", "_is_measured", "_node", "variables")

    def __init__(self, node: Node, field: str) -> None:
        self._node = node
        self._field = field
        self._is_measured = _payloads(node) > MAX_UNMEASURED_PAYLOADS
        self.variables = _variables(node)

    def evaluate(self, scope: Scope) -> Any:
        """Returns the value of the template. Raises StateError."""
        value = _evaluate(self._node, scope)
        if self._is_measured:
            check_built(value, self._field)
        return value


def compile_template(document: Any, field: str = "Parameters") -> Template:
    """Returns a compiled payload template. Raises InvalidExpression with AWS's text, for the first fault.

    `field`: the field of the state that holds it, which a text about its shape names.
    """
    return Template(_compile(document, field, 0), field)


def compile_dynamic(name: str, text: Any) -> Dynamic:
    """Returns the value of a member whose name ends in `.$`. Raises InvalidExpression with AWS's text."""
    if isinstance(text, str):
        try:
            return Dynamic(name, compile_intrinsic(text) if is_intrinsic(text) else compile_path(text))
        except InvalidExpression:
            pass  # AWS has one text for both, and it does not name the fault
    raise InvalidExpression(
        f"The value for the field '{name}' must be a valid JSONPath or a valid intrinsic function call"
    )


def _compile(document: Any, field: str, depth: int) -> Node:
    if depth > MAX_TEMPLATE_NESTING:
        raise InvalidExpression(f"{field} is nested more than {MAX_TEMPLATE_NESTING} levels deep")
    if isinstance(document, dict):
        members = tuple(
            (name[: -len(DYNAMIC_SUFFIX)], compile_dynamic(name, value))
            if name.endswith(DYNAMIC_SUFFIX)
            else (name, _compile(value, field, depth + 1))
            for name, value in document.items()
        )
        is_constant = all(isinstance(node, Constant) for _, node in members)
        return Constant(document) if is_constant else ObjectNode(members)
    if isinstance(document, list):
        items = tuple(_compile(item, field, depth + 1) for item in document)
        return Constant(document) if all(isinstance(node, Constant) for node in items) else ListNode(items)
    return Constant(document)


def _evaluate(node: Node, scope: Scope) -> Any:
    if isinstance(node, Constant):
        return node.value
    if isinstance(node, Dynamic):
        return node.evaluate(scope)
    if isinstance(node, ListNode):
        return [_evaluate(item, scope) for item in node.items]
    return {name: _evaluate(member, scope) for name, member in node.members}


def _payloads(node: Node) -> int:
    """Returns how many payloads long the value of a node can be."""
    if isinstance(node, Constant):
        return 0
    if isinstance(node, Dynamic):
        return node.expression.payloads if isinstance(node.expression, Intrinsic) else 1
    return sum(map(_payloads, _below(node)))


def _below(node: ObjectNode | ListNode) -> tuple[Node, ...]:
    return node.items if isinstance(node, ListNode) else tuple(member for _, member in node.members)


def _variables(node: Node) -> frozenset[str]:
    if isinstance(node, Constant):
        return frozenset()
    if isinstance(node, Dynamic):
        return node.expression.variables
    return frozenset().union(*map(_variables, _below(node)))
