"""JSONata in state machines: expressions and templates with AWS's texts of their failures (step functions spec 10)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from batchyard.evaluators.states.errors import QUERY_EVALUATION_ERROR, StateError
from batchyard.evaluators.states.expression_text import bound_names, is_expression, text_of, variable_names
from batchyard.evaluators.states.json_values import compact
from batchyard.evaluators.states.jsonata_budget import EvaluationError
from batchyard.evaluators.states.jsonata_engine import ENGINE, UNDEFINED, CompiledText, Special
from batchyard.evaluators.states.jsonata_functions import FUNCTION_NAMES, functions_of
from batchyard.evaluators.states.scope import Scope

__all__ = ["UNDEFINED", "Expression", "Template", "compile_expression", "compile_jsonata_template", "is_expression"]

ROOT = "$$"
DISABLED_FUNCTION = "eval"  # the name of $eval, bound to null: calling it is T1006 as on AWS


def type_name(value: Any) -> str:
    """Returns the name that AWS has for the type of a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"


def _cut(value: Any, read: Any) -> Any:
    """Returns the part of a value that an expression reads, so that only that is converted."""
    if not isinstance(read, dict) or not isinstance(value, dict):
        return value
    return {name: _cut(value[name], below) for name, below in read.items() if name in value}


class Expression:
    """One compiled expression. `text`: what is between the marks; `field`: its path in the state, as in `Output/a`."""

    __slots__ = ("_compiled", "_names", "_reads", "_written", "field", "text")

    def __init__(self, text: str, field: str) -> None:
        """Raises InvalidExpression."""
        self.text = text
        self.field = field
        self._compiled: CompiledText = ENGINE.compile(text)
        self._reads = self._compiled.names_read()
        # What of a variable is read, True for all of it. Names of built-in functions are variables too, once assigned.
        bound = bound_names(text)
        self._written = variable_names(text)
        self._names = {
            name: True if name in bound else self._reads.get(name, True)
            for name in self._written
            if name not in ("", ROOT[1:])
        }

    def variables(self, assigned: frozenset[str] = frozenset()) -> list[str]:
        """Returns the variables of the state machine that the expression reads, in alphabetical order. Of names that
        functions have too, only those that are assigned somewhere."""
        free = self._reads.keys() - FUNCTION_NAMES - {"", ROOT[1:]}
        return sorted((free | (self._names.keys() & assigned)) - {"states", DISABLED_FUNCTION})

    def top_level_names(self) -> list[str]:
        """Returns what the expression looks up in its input document, which it does not have: `$$`, or names."""
        return [ROOT] if ROOT[1:] in self._written else sorted(self._compiled.context_names())

    def reads_of_states(self) -> Any:
        """Returns which members of `$states` are read: True for all of it, else a dict by name."""
        return self._names.get("states", {})

    def evaluate(self, bindings: Mapping[str, Any], scope: Scope) -> Any:
        """Returns a JSON value. `bindings`: `states` and its members; variables are those of the scope.

        Raises StateError where the expression fails, and where its value is undefined or a function."""
        result = self.evaluate_or_undefined(bindings, scope)
        if result is UNDEFINED:
            raise self._error("returned nothing (undefined).")
        return result

    def evaluate_or_undefined(self, bindings: Mapping[str, Any], scope: Scope) -> Any:
        """Returns a JSON value, or UNDEFINED."""
        bound: dict[str, Any] = {}
        for name, read in self._names.items():
            if name in bindings:
                bound[name] = _cut(bindings[name], read)
            elif name in scope.variables:
                bound[name] = _cut(scope.variables[name], read)
        if not self._names.keys().isdisjoint(FUNCTION_NAMES):
            functions = functions_of(scope)
            bound = {name: functions[name] for name in FUNCTION_NAMES & self._names.keys()} | bound
        bound.setdefault(DISABLED_FUNCTION, None)
        seed = int.from_bytes(hashlib.sha256(scope.seed.encode(errors="replace")).digest()[:6])
        try:
            result = self._compiled.evaluate(bound, seed, scope.now_ms)
        except EvaluationError as error:
            raise self._error(f"threw an error during evaluation{error.ending}") from error
        if result is Special.FUNCTION:
            raise self._error("returned an unsupported result type.")
        return result

    def evaluate_as(self, types: tuple[str, ...], bindings: Mapping[str, Any], scope: Scope) -> Any:
        """Returns a value of one of the types, named as `type_name` names them. Raises StateError for another one."""
        result = self.evaluate(bindings, scope)
        found = type_name(result)
        if found not in types:
            raise self._error(
                f"returned an unexpected result type. Expected '{types[0]}', "
                f"but was '{found}' for value: {compact(result)}"
            )
        return result

    def _error(self, what: str) -> StateError:
        cause = f"The JSONata expression '{self.text}' specified for the field '{self.field}' {what}"
        return StateError(QUERY_EVALUATION_ERROR, cause, self.field)


def compile_expression(value: str, field: str = "") -> Expression:
    """Compiles an expression, with its marks or without. Raises InvalidExpression."""
    return Expression(text_of(value) if is_expression(value) else value, field)


class Template(Struct, frozen=True):
    """A value of a definition in which some strings are expressions. `expressions`: all of them, in their order."""

    document: Any
    expressions: tuple[Expression, ...]

    def evaluate(self, bindings: Mapping[str, Any], scope: Scope) -> Any:
        """Returns the value with each expression replaced by what it evaluates to. Raises StateError."""
        return _filled(self.document, bindings, scope) if self.expressions else self.document


def _filled(document: Any, bindings: Mapping[str, Any], scope: Scope) -> Any:
    if isinstance(document, Expression):
        return document.evaluate(bindings, scope)
    if isinstance(document, dict):
        return {name: _filled(value, bindings, scope) for name, value in document.items()}
    if isinstance(document, list):
        return [_filled(value, bindings, scope) for value in document]
    return document


def compile_jsonata_template(document: Any, field: str) -> Template:
    """Compiles a value with the expressions in it; `field` is the path of the value. Raises InvalidExpression."""
    expressions: list[Expression] = []

    def compiled(value: Any, path: str) -> Any:
        if is_expression(value):
            expressions.append(Expression(text_of(value), path))
            return expressions[-1]
        if isinstance(value, dict):
            return {name: compiled(below, f"{path}/{name}") for name, below in value.items()}
        if isinstance(value, list):
            return [compiled(below, f"{path}[{index}]") for index, below in enumerate(value)]
        return value

    return Template(compiled(document, field), tuple(expressions))
