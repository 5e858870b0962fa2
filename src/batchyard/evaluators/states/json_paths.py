"""Paths of states that say JSONPath: into the input (`$.a`), the context object (`$$.a`) or a variable (`$x.a`).

A definite path (names and single indexes) has one value or fails; any other gives a list, which may be empty
(step functions spec 9). What is not definite is evaluated by path_queries.
"""

from __future__ import annotations

import re
from typing import Any

from batchyard.evaluators.states.errors import (
    PARAMETER_PATH_FAILURE,
    RESULT_PATH_MATCH_FAILURE,
    RUNTIME,
    InvalidExpression,
    StateError,
)
from batchyard.evaluators.states.json_values import compact, java_class, java_text
from batchyard.evaluators.states.path_queries import matches_of
from batchyard.evaluators.states.path_syntax import Names, Segment, parse_segments
from batchyard.evaluators.states.scope import Scope

ROOT = re.compile(r"\$(?P<root>\$|[^\W\d]\w*)?(?=[.\[]|$)")
DOCUMENT, CONTEXT = "$", "$$"
MAX_PATH_CHARACTERS = 10_000  # a path of a hand-written definition has fewer than 200
REFERENCE_PATH_CONFLICT = "States.ReferencePathConflict"
Step = str | int
PROVIDER = "com.jayway.jsonpath.spi.json.JsonSmartJsonProvider"


class Missing(Exception):
    """A definite path that leads to nothing. `reason`: AWS's words; `step`: that cannot be taken; `is_past_end`: its
    last index is beyond a list."""

    def __init__(self, reason: str, step: Step = "", *, is_past_end: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.step = step
        self.is_past_end = is_past_end


class Path:
    """A compiled path. `root`: `$`, `$$` or the name of a variable; `is_definite`: whether it has at most one value;
    `is_reference`: whether it has names and single indexes only."""

    __slots__ = ("_segments", "_steps", "is_definite", "is_reference", "root", "text")

    def __init__(self, text: str, root: str, segments: tuple[Segment, ...]) -> None:
        self.text = text
        self.root = root
        self._segments = segments
        self._steps = tuple(segment for segment in segments if isinstance(segment, str | int))
        self.is_reference = len(self._steps) == len(segments)
        self.is_definite = self.is_reference or (
            isinstance(segments[-1], Names) and len(self._steps) == len(segments) - 1
        )

    @property
    def variables(self) -> frozenset[str]:
        """The name of the variable it reads, if it reads one."""
        return frozenset() if self.root in (DOCUMENT, CONTEXT) else frozenset({self.root})

    @property
    def rooted_text(self) -> str:
        """The path within its root: `$$.Execution.Id` is `$.Execution.Id`."""
        return self.text[1:] if self.root == CONTEXT else self.text

    def find(self, scope: Scope, field: str = "", *, null_past_end: bool = False) -> Any:
        """Returns what the path leads to. Raises StateError (States.Runtime) with AWS's text.

        `field`: the field that the text names (`value.$`, `ErrorPath`), "" for InputPath and OutputPath;
        `null_past_end`: an index beyond the end of a list gives null, as it does in payload templates.
        """
        try:
            return self.value(scope)
        except Missing as missing:
            if null_past_end and missing.is_past_end:
                return None
            if not field:
                raise StateError(RUNTIME, f"Invalid path '{self.text}' : {missing.reason}") from None
            searched = scope.context if self.root == CONTEXT else scope.document
            raise StateError(
                RUNTIME,
                f"The JSONPath '{self.text}' specified for the field '{field}' could not be found in the input "
                f"'{compact(searched)}'",
                aliases=(PARAMETER_PATH_FAILURE,),
            ) from None

    def find_items(self, scope: Scope) -> Any:
        """Returns what an ItemsPath leads to. Raises StateError with the text that AWS has for it: the step that cannot
        be taken."""
        try:
            return self.value(scope)
        except Missing as missing:
            raise _no_step(REFERENCE_PATH_CONFLICT, missing.step, self._root_value(scope)) from None

    def find_or(self, scope: Scope, default: Any) -> Any:
        """Returns what the path leads to, or a default."""
        try:
            return self.value(scope)
        except Missing:
            return default

    def value(self, scope: Scope) -> Any:
        """Returns what the path leads to. Raises Missing."""
        value = self._root_value(scope)
        if not self.is_definite:
            return matches_of(self._segments, value, value)
        for position, step in enumerate(self._steps):
            if isinstance(step, str):
                if not isinstance(value, dict) or step not in value:
                    raise self._missing(position, step, value)
                value = value[step]
            else:
                if not isinstance(value, list) or not -len(value) <= step < len(value):
                    raise self._missing(position, step, value)
                value = value[step]
        if self.is_reference:
            return value
        found = matches_of(self._segments[-1:], value, value)
        if not found:
            raise Missing(f"No results for path: {_normal(self._steps)}", self._steps[-1] if self._steps else "")
        return found[0]

    def _root_value(self, scope: Scope) -> Any:
        if self.root == DOCUMENT:
            return scope.document
        if self.root == CONTEXT:
            return scope.context
        if self.root not in scope.variables:
            raise Missing(f"No results for path: ${self.root}", self.root)
        return scope.variables[self.root]

    def _missing(self, position: int, step: Step, value: Any) -> Missing:
        is_last = position == len(self._segments) - 1
        is_past_end = is_last and isinstance(step, int) and isinstance(value, list)
        return Missing(self._reason(position, step, value), step, is_past_end=is_past_end)

    def _reason(self, position: int, step: Step, value: Any) -> str:
        """Returns the words of AWS's library for a step that cannot be taken from a value."""
        before = _normal(self._steps[:position])
        if isinstance(step, str) and not isinstance(value, dict):
            return (
                f"Expected to find an object with property {_normal((step,), '')} in path {before} but found "
                f"'{java_class(value)}'. This is not a json object according to the JsonProvider: '{PROVIDER}'."
            )
        if isinstance(step, int) and value is None:
            return f"The path {before} is null"
        if isinstance(step, int) and not isinstance(value, list):
            return f"Filter: [{step}] can only be applied to arrays. Current context is: {java_text(value)}"
        if position == len(self._segments) - 1 or isinstance(step, int):
            return f"No results for path: {_normal(self._steps)}"
        return f"Missing property in path {_normal(self._steps[: position + 1])}"


class ReferencePath(Path):
    """A path that a value can be put at: names and single indexes into `$`."""

    __slots__ = ()

    def put(self, document: Any, value: Any) -> Any:
        """Returns a document with the value at this path; missing objects are created, the given document stays as it
        is. Raises StateError (States.ResultPathMatchFailure) where a step cannot be taken."""
        return self._put(document, document, value, 0)

    def _put(self, document: Any, current: Any, value: Any, position: int) -> Any:
        if position == len(self._steps):
            return value
        step = self._steps[position]
        if isinstance(step, str) and isinstance(current, dict):
            below = current.get(step, {}) if position + 1 < len(self._steps) else None
            if step not in current and position + 1 < len(self._steps) and isinstance(self._steps[position + 1], int):
                raise _no_step(RESULT_PATH_MATCH_FAILURE, self._steps[position + 1], document)  # no list is created
            return {**current, step: self._put(document, below, value, position + 1)}
        if isinstance(step, int) and isinstance(current, list) and 0 <= step < len(current):
            changed = self._put(document, current[step], value, position + 1)
            return [*current[:step], changed, *current[step + 1 :]]
        raise _no_step(RESULT_PATH_MATCH_FAILURE, step, document)


def _no_step(error: str, step: Step, document: Any) -> StateError:
    other = {RESULT_PATH_MATCH_FAILURE, REFERENCE_PATH_CONFLICT} - {error}
    return StateError(error, f'Unable to apply step "{step}" to input {compact(document)}', aliases=tuple(other))


def _normal(steps: tuple[Step, ...], start: str = "$") -> str:
    return start + "".join(f"['{step}']" if isinstance(step, str) else f"[{step}]" for step in steps)


def compile_path(text: str) -> Path:
    """Returns the path of a text. Raises InvalidExpression."""
    return Path(*_parsed(text))


def compile_reference_path(text: str) -> ReferencePath:
    """Returns the path of a text into `$` that has names and single indexes only. Raises InvalidExpression."""
    path = ReferencePath(*_parsed(text))
    if not path.is_reference or path.root != DOCUMENT:
        raise InvalidExpression(f"Value is not a Reference Path: {text}")
    return path


def _parsed(text: str) -> tuple[str, str, tuple[Segment, ...]]:
    if len(text) > MAX_PATH_CHARACTERS:
        raise InvalidExpression(f"A path of {len(text)} characters is longer than {MAX_PATH_CHARACTERS}.")
    found = ROOT.match(text)
    if found is None:
        raise InvalidExpression(f"{text!r} is no path: it begins with $, $$ or the name of a variable such as $x.")
    root = found["root"]
    segments = parse_segments(text, found.end())
    return text, DOCUMENT if root is None else CONTEXT if root == DOCUMENT else root, segments
