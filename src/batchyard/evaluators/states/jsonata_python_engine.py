"""JSONata by jsonata-python, for platforms where jlens has no build: slower, with a budget of time instead of steps."""

# ruff: noqa: E402  (the limit of recursion must be read before the library is imported)

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

RECURSION_LIMIT = sys.getrecursionlimit()  # of the process, before the library raises it

from jsonata import JException, Jsonata
from jsonata.functions import Functions
from jsonata.utils import Utils

from batchyard.evaluators.regex.regex import Regex
from batchyard.evaluators.regex.syntax import InvalidRegex
from batchyard.evaluators.states import jsonata_budget
from batchyard.evaluators.states.errors import InvalidExpression
from batchyard.evaluators.states.expression_text import variable_names
from batchyard.evaluators.states.jsonata_budget import EvaluationError, coded
from batchyard.evaluators.states.jsonata_engine import Special

LIBRARY_RECURSION_LIMIT = sys.getrecursionlimit()  # which its parser and its evaluation need
sys.setrecursionlimit(RECURSION_LIMIT)
TIMEOUT_MS = int(jsonata_budget.MAX_SECONDS * 1000)
MAX_DEPTH = 100  # levels, each of which takes several of Python's own stack
SECONDS_EXHAUSTED, STACK_EXHAUSTED = "D1012", "D1011"  # its codes of an exhausted budget


@contextmanager
def _deep_stack() -> Iterator[None]:
    """Raises the limit of recursion for the library alone: elsewhere it is what stops decoders of callers' JSON."""
    sys.setrecursionlimit(LIBRARY_RECURSION_LIMIT)
    try:
        yield
    finally:
        sys.setrecursionlimit(RECURSION_LIMIT)


class BoundedPattern:
    """A regular expression of an expression, refused on texts on which it could take too long."""

    def __init__(self, text: str, flags: Any) -> None:
        try:
            self._pattern = re.compile(text, re.I * flags.case_insensitive | re.M * flags.multiline)
            self._cost = Regex(text)
        except (re.error, InvalidRegex) as error:
            raise EvaluationError(f"The regular expression /{text}/ needs jlens: {error}") from error

    def _checked(self, text: str) -> re.Pattern[str]:
        if self._cost.needs_linear_matcher(text):
            raise EvaluationError(jsonata_budget.TIME_EXHAUSTED)
        return self._pattern

    def search(self, text: str) -> re.Match[str] | None:
        return self._checked(text).search(text)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        return self._checked(text).finditer(text)

    def sub(self, replacement: str | Callable[[re.Match[str]], str], text: str, count: int = 0) -> str:
        return self._checked(text).sub(replacement, text, count)

    def split(self, text: str, maxsplit: int = 0) -> list[Any]:
        return self._checked(text).split(text, maxsplit)


def _bound(value: Any) -> Any:
    """Returns a value or function as the library wants it bound: None would be undefined."""
    if value is None:
        return Utils.NULL_VALUE
    return Jsonata.JLambda(lambda *arguments: _bound(value(*arguments))) if callable(value) else value


def _plain(value: Any) -> Any:
    """Returns a value with plain lists and dicts instead of the library's kinds of them."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _formatted(now_ms: int, picture: str | None = None, time_zone: str | None = None) -> Any:
    return Functions.datetime_from_millis(now_ms, picture, time_zone)


def _failure(error: JException) -> EvaluationError:
    if error.error == SECONDS_EXHAUSTED:
        return EvaluationError(jsonata_budget.TIME_EXHAUSTED)
    if error.error == STACK_EXHAUSTED:
        return EvaluationError(jsonata_budget.STACK_EXHAUSTED)
    return coded(error.error, str(error))


class JsonataPythonExpression:
    """One expression compiled by jsonata-python."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._new()

    def _new(self) -> Any:
        """Returns the expression with a fresh budget, which the library keeps where it is compiled."""
        try:
            with _deep_stack():
                compiled = Jsonata(self._text, BoundedPattern, timeout=TIMEOUT_MS, stack=MAX_DEPTH)
        except JException as error:
            raise InvalidExpression(f"{error.error}: {error}") from error
        except EvaluationError as error:
            raise InvalidExpression(error.message) from error
        except (ValueError, IndexError, AttributeError, TypeError, RecursionError) as error:  # its parser's own faults
            raise InvalidExpression(
                f"S0500: Attempted to evaluate an expression containing syntax error(s): {error}"
            ) from error
        compiled.set_output_convert_nulls(False)
        return compiled

    def evaluate(self, bindings: Mapping[str, Any], seed: int, now_ms: int) -> Any:
        """As the seam says. `seed` is not used: $shuffle draws its own."""
        clock = {"millis": lambda: now_ms, "now": lambda *how: _formatted(now_ms, *how)}
        bound = {name: _bound(value) for name, value in ({**clock, **bindings}).items()}
        try:
            compiled = self._new()
            with _deep_stack():
                result = compiled.evaluate(None, bound)
        except JException as error:
            raise _failure(error) from error
        except RecursionError as error:
            raise EvaluationError(jsonata_budget.STACK_EXHAUSTED) from error
        except ZeroDivisionError as error:
            raise coded("D1001", "Number out of range: null") from error  # in jlens's words
        except (
            AttributeError,
            TypeError,
            ValueError,
            LookupError,
            ArithmeticError,
        ) as error:  # the library's own faults
            raise coded("D0000", f"The library failed: {error}") from error
        except MemoryError as error:
            raise EvaluationError(jsonata_budget.MEMORY_EXHAUSTED) from error
        if result is None:
            return Special.UNDEFINED
        if result is Utils.NULL_VALUE:
            return None
        if Functions.is_lambda(result) or isinstance(result, Jsonata.JFunction | BoundedPattern):
            return Special.FUNCTION
        return _plain(Utils.convert_nulls(result))

    def names_read(self) -> dict[str, Any]:
        """As the seam says, by the names that are written: variables of the expression's own are among them."""
        return dict.fromkeys(variable_names(self._text), True)

    def context_names(self) -> list[str]:
        """As the seam says: this library sees none."""
        return []


class JsonataPythonEngine:
    """Compiles expressions with jsonata-python."""

    def compile(self, text: str) -> JsonataPythonExpression:
        """As the seam says."""
        return JsonataPythonExpression(text)
