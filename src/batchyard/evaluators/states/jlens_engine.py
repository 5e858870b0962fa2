"""JSONata by jlens, whose budget counts steps: the same expression on the same data always ends in the same way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jlens

from batchyard.evaluators.states import jsonata_budget
from batchyard.evaluators.states.errors import InvalidExpression
from batchyard.evaluators.states.jsonata_budget import EvaluationError, coded
from batchyard.evaluators.states.jsonata_engine import UNDEFINED, Special
from batchyard.evaluators.states.jsonata_functions import FUNCTION_NAMES

# jlens's codes of an exhausted budget: steps, time, stack, and the sizes of strings, arrays and results.
STEPS_EXHAUSTED, SECONDS_EXHAUSTED, STACK_EXHAUSTED, SIZE_EXHAUSTED = "U1006", "D1012", "D1011", "U1001"
# jlens's $distinct compares each item with each other, in one step of the budget: more items than these go to a
# function of ours, which is linear.
MAX_DISTINCT_ITEMS = 10_000
# Functions that are replaced, by a word that a text which calls them has. $parse: what a function of ours returns as
# None is undefined to jlens, so null is written here.
PRELUDES = {
    "distinct": "$__distinct := $distinct; $distinct := function($__items) "
    f"{{ $count($__items) > {MAX_DISTINCT_ITEMS} ? $__distinct_of_many($__items) : $__distinct($__items) }};",
    "parse": '$parse := function($__text) { $lookup($__parse_into_object($__text), "value") };',
}
# jlens applies functions of ours partially as if they had no parameters: lambdas with parameters stand for them.
PARTIAL_PRELUDES = {
    "hash": "$__hash := $hash; $hash := function($__a, $__b) { $__hash($__a, $__b) };",
    "partition": "$__partition := $partition; $partition := function($__a, $__b) { $__partition($__a, $__b) };",
    "range": "$__range := $range; $range := function($__a, $__b, $__c) { $__range($__a, $__b, $__c) };",
}
PLACEHOLDER = "?"


LIMITS: dict[str, Any] = {
    "timeout": jsonata_budget.MAX_SECONDS,
    "max_depth": jsonata_budget.MAX_DEPTH,
    "max_steps": jsonata_budget.MAX_STEPS,
    "max_array_length": jsonata_budget.MAX_ARRAY_LENGTH,
    "max_string_length": jsonata_budget.MAX_STRING_LENGTH,
    "max_result_size": jsonata_budget.MAX_RESULT_SIZE,
}


def _failure(error: jlens.JlensError) -> EvaluationError:
    if error.code == SIZE_EXHAUSTED:
        return EvaluationError(jsonata_budget.MEMORY_EXHAUSTED)
    if error.code == STACK_EXHAUSTED:
        return EvaluationError(jsonata_budget.STACK_EXHAUSTED)
    if error.code in (STEPS_EXHAUSTED, SECONDS_EXHAUSTED):
        return EvaluationError(jsonata_budget.TIME_EXHAUSTED)
    return coded(error.code, str(error))


def distinct_of_many(items: list[Any]) -> list[Any]:
    """Returns the items without those that are equal to an earlier one."""
    first: dict[str, Any] = {}
    for item in items:
        first.setdefault(json.dumps(item, sort_keys=True), item)
    return list(first.values())


def _never_called(*_arguments: Any) -> None:
    raise AssertionError("functions of an analysis are not called")


def _null_or_special(expression: jlens.Expression, bindings: dict[str, Any], options: dict[str, Any]) -> Any:
    """Returns what an expression results in that jlens evaluates to None."""
    if expression.evaluate_json(None, bindings, **options) is not None:
        return None
    exists = jlens.Expression(f"$exists({expression.source}\n)")
    exists.register_function("__distinct_of_many", distinct_of_many)
    return Special.FUNCTION if exists.evaluate(None, bindings, **options) is True else UNDEFINED


class JlensExpression:
    """One expression compiled by jlens."""

    def __init__(self, text: str) -> None:
        self._text = text
        try:
            self._plain = jlens.Expression(text)  # as it is, since a wrapped text may hide an unbalanced bracket
            known = PRELUDES | PARTIAL_PRELUDES if PLACEHOLDER in text else PRELUDES
            self._replaced = [word for word in known if word in text]
            self._wrapped = self._plain
            if self._replaced:
                preludes = "".join(known[word] for word in self._replaced)
                self._wrapped = jlens.Expression(f"({preludes} {text}\n)")
                self._wrapped.register_function("__distinct_of_many", distinct_of_many)
            self._reads = self._plain.reads()
        except jlens.JlensError as error:
            raise InvalidExpression(f"{error.code}: {error}") from error

    def evaluate(self, bindings: Mapping[str, Any], seed: int, now_ms: int) -> Any:
        """As the seam says."""
        options = LIMITS | {"now": now_ms, "seed": seed}
        bound = dict(bindings)
        if callable(parse := bound.get("parse")):
            bound["__parse_into_object"] = lambda *arguments: {"value": parse(*arguments)}
        expression = self._wrapped
        if any(word in bound and not callable(bound[word]) for word in self._replaced):
            expression = self._plain  # a variable has the name of the function
        try:
            result = expression.evaluate(None, bound, **options)
            if result is None:  # null, or nothing: rare, and evaluated again to tell them apart
                return _null_or_special(expression, bound, options)
        except jlens.JlensError as error:
            raise _failure(error) from error
        except (ValueError, RecursionError) as error:  # a binding or an argument of ours that is nested too deeply
            raise EvaluationError(jsonata_budget.MEMORY_EXHAUSTED) from error
        return result

    def names_read(self) -> dict[str, Any]:
        """As the seam says."""
        return dict(self._reads.get("bindings", {}))

    def context_names(self) -> list[str]:
        """As the seam says."""
        read = self._reads.get("input")
        if read is True and not FUNCTION_NAMES.isdisjoint(self._reads.get("bindings", {})):
            analysed = jlens.Expression(self._text)
            for name in FUNCTION_NAMES:  # a function that is known reads its arguments alone
                analysed.register_function(name, _never_called)
            read = analysed.reads().get("input")
        return list(read) if isinstance(read, dict) else []


class JlensEngine:
    """Compiles expressions with jlens."""

    def compile(self, text: str) -> JlensExpression:
        """As the seam says."""
        return JlensExpression(text)
