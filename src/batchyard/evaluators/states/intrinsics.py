"""Intrinsic functions of states that say JSONPath: `States.Format('{}', $.a)` (step functions spec 9)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from batchyard.evaluators.states.errors import (
    INTRINSIC_FAILURE,
    PARAMETER_PATH_FAILURE,
    RUNTIME,
    InvalidExpression,
    StateError,
)
from batchyard.evaluators.states.intrinsic_functions import (
    NAMES,
    FormatTemplate,
    InvalidArguments,
    RandomSource,
    call_function,
    format_template,
)
from batchyard.evaluators.states.json_paths import Missing, Path, compile_path
from batchyard.evaluators.states.json_values import (
    MAX_BUILT_CHARACTERS,
    MAX_PAYLOAD_BYTES,
    MAX_UNMEASURED_PAYLOADS,
    check_built,
    compact,
)
from batchyard.evaluators.states.scope import Scope

PREFIX = "States."
FORMAT = "States.Format"
MAX_CALL_DEPTH = 10  # of calls within calls: AWS's own
MAX_INTRINSIC_CHARACTERS = 10_000  # AWS's own
CALL = re.compile(r"(States\.[A-Za-z0-9]+)\s*\(")
NUMBER = re.compile(r"-?\d{1,300}(?P<fraction>\.\d{1,300})?(?P<exponent>[eE][+-]?\d{1,3})?(?=\s*[,)])")
WORD = re.compile(r"(?:true|false|null)(?=\s*[,)])")
WORDS = {"true": True, "false": False, "null": None}
BLANKS = re.compile(r"\s*")
ESCAPED = frozenset("'{}\\")


class Call(NamedTuple):
    """A call of a function. `text`: as it is written."""

    name: str
    arguments: tuple[Argument, ...]
    text: str


class Literal(NamedTuple):
    value: Any


class TemplateLiteral(NamedTuple):
    """A quoted text. `text`: its value; `template`: what it is as the template of States.Format."""

    text: str
    template: FormatTemplate


Argument = Call | Literal | TemplateLiteral | Path


class Intrinsic:
    """A compiled call. `variables`: the names of the variables that it reads; `payloads`: how many payloads long its
    value can be."""

    __slots__ = ("_call", "payloads", "text", "variables")

    def __init__(self, text: str, call: Call) -> None:
        self.text = text
        self._call = call
        paths = list(_paths(call))
        self.variables = frozenset(name for path in paths for name in path.variables)
        self.payloads = max(len(paths), MAX_BUILT_CHARACTERS // MAX_PAYLOAD_BYTES)  # a text may be the longest there is

    def evaluate(self, scope: Scope) -> Any:
        """Returns the value of the call. Raises StateError (States.Runtime) with AWS's text."""
        return self._evaluate(self._call, scope)

    def _evaluate(self, argument: Argument, scope: Scope) -> Any:
        if isinstance(argument, Literal):
            return argument.value
        if isinstance(argument, TemplateLiteral):
            return argument.text
        if isinstance(argument, Path):
            return self._find(argument, scope)
        call = argument
        values = [self._evaluate(inner, scope) for inner in call.arguments]
        if call.name == FORMAT and values and isinstance(call.arguments[0], TemplateLiteral):
            values[0] = call.arguments[0].template
        try:
            value = call_function(call.name, values, RandomSource(scope.random_fraction, scope.random_uuid))
        except InvalidArguments as error:
            raise StateError(
                RUNTIME,
                f"There was an error while evaluating the intrinsic function: {call.text}. Invalid {error.what} "
                f"in {call.name}: {error.message}",
                aliases=(INTRINSIC_FAILURE,),
            ) from None
        if isinstance(value, str) or self.payloads > MAX_UNMEASURED_PAYLOADS:
            check_built(value, call.name)
        return value

    def _find(self, path: Path, scope: Scope) -> Any:
        try:
            return path.value(scope)
        except Missing as missing:
            what = (
                missing.reason
                if missing.reason.startswith("Filter: ")
                else f"The JsonPath argument for the field '{path.rooted_text}' could not be found in the input "
                f"'{compact(scope.document)}'"
            )
            raise StateError(
                RUNTIME,
                f"The function '{self.text}' had the following error: {what}",
                aliases=(INTRINSIC_FAILURE, PARAMETER_PATH_FAILURE),
            ) from None


def is_intrinsic(text: str) -> bool:
    """Whether a text is meant as a call of an intrinsic function."""
    return text.lstrip().startswith(PREFIX)


def compile_intrinsic(text: str) -> Intrinsic:
    """Returns a compiled call. Raises InvalidExpression."""
    if len(text) > MAX_INTRINSIC_CHARACTERS:
        raise InvalidExpression(
            f"An intrinsic function of {len(text)} characters is longer than {MAX_INTRINSIC_CHARACTERS}."
        )
    parser = _Parser(text)
    parser.blanks()
    call = parser.call(1)
    parser.blanks()
    if parser.at < len(text):
        parser.fail("nothing more is expected")
    return Intrinsic(text, call)


def _paths(argument: Argument) -> Iterator[Path]:
    if isinstance(argument, Path):
        yield argument
    elif isinstance(argument, Call):
        for inner in argument.arguments:
            yield from _paths(inner)


class _Parser:
    """Reads one call from left to right. `at`: the position of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, what: str) -> NoReturn:
        raise InvalidExpression(f"{self.text!r} is no intrinsic function: {what} at {self.text[self.at :][:30]!r}.")

    def blanks(self) -> None:
        found = BLANKS.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def next_is(self, token: str) -> bool:
        return self.text.startswith(token, self.at)

    def call(self, depth: int) -> Call:
        start = self.at
        found = CALL.match(self.text, self.at)
        if found is None or found[1] not in NAMES:
            self.fail("a function such as States.Format( is expected")
        if depth > MAX_CALL_DEPTH:
            self.fail(f"calls are nested more than {MAX_CALL_DEPTH} levels deep")
        self.at = found.end()
        arguments: list[Argument] = []
        self.blanks()
        while not self.next_is(")"):
            if arguments:
                if not self.next_is(","):
                    self.fail(", or ) is expected")
                self.at += 1
                self.blanks()
            arguments.append(self.argument(depth))
            self.blanks()
        self.at += 1
        return Call(found[1], tuple(arguments), self.text[start : self.at])

    def argument(self, depth: int) -> Argument:
        if self.next_is("'"):
            return self.quoted()
        if self.next_is("$"):
            return self.path()
        if self.next_is(PREFIX):
            return self.call(depth + 1)
        number = NUMBER.match(self.text, self.at)
        if number is not None:
            self.at = number.end()
            is_integer = number["fraction"] is None and number["exponent"] is None
            value = int(number.group()) if is_integer else float(number.group())
            if value in (float("inf"), float("-inf")):
                self.fail("a number that a double can hold is expected before")
            return Literal(value)
        word = WORD.match(self.text, self.at)
        if word is None:
            self.fail("a quoted text, a number, true, false, null, a path or a function is expected")
        self.at = word.end()
        return Literal(WORDS[word.group()])

    def quoted(self) -> TemplateLiteral:
        """Returns a text in single quotes, in which only a quote, braces and a backslash are escaped."""
        text = []
        at = self.at + 1
        while at < len(self.text) and self.text[at] != "'":
            if self.text[at] == "\\":
                at += 1
                if self.text[at : at + 1] not in ESCAPED or at >= len(self.text):
                    self.fail(r"only \', \{, \} and \\ may be escaped in a quoted text:")
            text.append(self.text[at])
            at += 1
        if at >= len(self.text):
            self.fail("a closing quote is missing")
        written = self.text[self.at + 1 : at].replace("\\'", "'")
        self.at = at + 1
        return TemplateLiteral("".join(text), format_template(written))

    def path(self) -> Path:
        """Returns the path that ends before the next comma or parenthesis outside of brackets."""
        at, depth, quote = self.at, 0, ""
        while at < len(self.text):
            character = self.text[at]
            if quote:
                if character == "\\":
                    at += 1
                elif character == quote:
                    quote = ""
            elif depth and character in "'\"":
                quote = character
            elif character == "[":
                depth += 1
            elif character == "]":
                depth -= 1
            elif not depth and character in ",)":
                break
            at += 1
        path = compile_path(self.text[self.at : at].rstrip())
        self.at = at
        return path
