"""Rules of Choice states that say JSONPath (step functions spec 7): the first one that holds wins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from batchyard.evaluators.glob import Glob
from batchyard.evaluators.states.errors import RUNTIME, InvalidExpression, StateError
from batchyard.evaluators.states.json_paths import Missing, Path, compile_path
from batchyard.evaluators.states.json_values import is_number
from batchyard.evaluators.states.scope import Scope
from batchyard.evaluators.states.timestamps import parse_timestamp

MAX_RULE_NESTING = 50  # of And, Or and Not; far more than a person writes
COMBINATIONS = ("And", "Or", "Not")
IS_PRESENT = "IsPresent"
STRING_MATCHES = "StringMatches"
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda left, right: left == right,
    "LessThan": lambda left, right: left < right,
    "GreaterThan": lambda left, right: left > right,
    "LessThanEquals": lambda left, right: left <= right,
    "GreaterThanEquals": lambda left, right: left >= right,
}


class Operator(NamedTuple):
    """How values of one type compare. `convert`: returns what is compared, None for a value of another type."""

    type_name: str
    convert: Callable[[Any], Any]
    order: Callable[[Any, Any], bool]


def _code_units(value: Any) -> Any:
    return value.encode("utf-16-be", "surrogatepass") if isinstance(value, str) else None


def _number(value: Any) -> Any:
    return value if is_number(value) else None


def _boolean(value: Any) -> Any:
    return value if isinstance(value, bool) else None


def _instant(value: Any) -> Any:
    return parse_timestamp(value) if isinstance(value, str) else None


OPERATORS = {
    **{f"String{name}": Operator("string", _code_units, order) for name, order in ORDERS.items()},
    **{f"Numeric{name}": Operator("number", _number, order) for name, order in ORDERS.items()},
    **{f"Timestamp{name}": Operator("timestamp", _instant, order) for name, order in ORDERS.items()},
    "BooleanEquals": Operator("boolean", _boolean, ORDERS["Equals"]),
}
TYPE_TESTS: dict[str, Callable[[Any], bool]] = {
    "IsNull": lambda value: value is None,
    "IsNumeric": is_number,
    "IsString": lambda value: isinstance(value, str),
    "IsBoolean": lambda value: isinstance(value, bool),
    "IsTimestamp": lambda value: _instant(value) is not None,
}
OPERATOR_NAMES = (*OPERATORS, *(f"{name}Path" for name in OPERATORS), STRING_MATCHES, *TYPE_TESTS, IS_PRESENT)


# -- compiled rules --


class Comparison(NamedTuple):
    """`Variable` compared with a constant, or with what another path leads to."""

    variable: Path
    operator: Operator
    operand: Any

    def holds(self, scope: Scope) -> bool:
        left = self.operator.convert(_find(self.variable, scope))
        operand = self.operand
        right = self.operator.convert(_find(operand, scope)) if isinstance(operand, Path) else operand
        return left is not None and right is not None and bool(self.operator.order(left, right))


class Match(NamedTuple):
    """A text compared with a pattern in which `*` stands for any characters. `pattern`: None for an invalid one."""

    variable: Path
    text: str
    pattern: Glob | None

    def holds(self, scope: Scope) -> bool:
        value = _find(self.variable, scope)
        if self.pattern is None:
            raise StateError(
                RUNTIME,
                f"The StringMatches pattern '{self.text}' is not valid: a backslash stands before * or another "
                "backslash only.",
            )
        return isinstance(value, str) and self.pattern.matches(value)


class TypeTest(NamedTuple):
    """`IsString` and its kind, with the answer that is expected."""

    variable: Path
    test: Callable[[Any], bool]
    expected: bool

    def holds(self, scope: Scope) -> bool:
        return self.test(_find(self.variable, scope)) == self.expected


class Presence(NamedTuple):
    """`IsPresent`, the only test that an absent value does not fail."""

    variable: Path
    expected: bool

    def holds(self, scope: Scope) -> bool:
        return (self.variable.find_or(scope, _ABSENT) is not _ABSENT) == self.expected


class Combination(NamedTuple):
    """`And` or `Or`, which stop at the first rule that decides."""

    is_and: bool
    rules: tuple[Rule, ...]

    def holds(self, scope: Scope) -> bool:
        if self.is_and:
            return all(rule.holds(scope) for rule in self.rules)
        return any(rule.holds(scope) for rule in self.rules)


class Negation(NamedTuple):
    rule: Rule

    def holds(self, scope: Scope) -> bool:
        return not self.rule.holds(scope)


Rule = Comparison | Match | TypeTest | Presence | Combination | Negation
_ABSENT = object()


class Choices:
    """The rules of one Choice state. `variables`: the names of the variables that they read."""

    __slots__ = ("rules", "variables")

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self.variables = frozenset().union(*map(_variables, rules))

    def select(self, scope: Scope) -> int | None:
        """Returns the position of the first rule that holds, or None. Raises StateError (States.Runtime)."""
        for position, rule in enumerate(self.rules):
            if rule.holds(scope):
                return position
        return None


def _find(path: Path, scope: Scope) -> Any:
    try:
        return path.value(scope)
    except Missing:
        raise StateError(
            RUNTIME, f"Invalid path '{path.text}': The choice state's condition path references an invalid value."
        ) from None


def _variables(rule: Rule) -> frozenset[str]:
    if isinstance(rule, Combination):
        return frozenset().union(*map(_variables, rule.rules))
    if isinstance(rule, Negation):
        return _variables(rule.rule)
    operand = rule.operand if isinstance(rule, Comparison) else None
    return rule.variable.variables | (operand.variables if isinstance(operand, Path) else frozenset())


# -- compiling --


def compile_choices(document: Any) -> Choices:
    """Returns the rules of a Choice state, or of its field `Choices`. Raises InvalidExpression."""
    rules = document.get("Choices") if isinstance(document, dict) else document
    if not isinstance(rules, list) or not rules:
        raise InvalidExpression("Choices is a list with at least one rule.")
    return Choices(tuple(compile_rule(rule) for rule in rules))


def compile_rule(document: Any, depth: int = 0) -> Rule:
    """Returns one rule, without its Next and Assign. Raises InvalidExpression."""
    if not isinstance(document, dict):
        raise InvalidExpression("A choice rule is an object.")
    if depth > MAX_RULE_NESTING:
        raise InvalidExpression(f"Choice rules are nested more than {MAX_RULE_NESTING} levels deep.")
    combined = [name for name in COMBINATIONS if name in document]
    named = [name for name in OPERATOR_NAMES if name in document]
    if len(combined) + len(named) != 1:
        raise InvalidExpression(
            "A choice rule has exactly one comparison, And, Or or Not; this one has "
            f"{', '.join((*combined, *named)) or 'none'}."
        )
    if combined:
        return _combination(combined[0], document, depth)
    variable = document.get("Variable")
    if not isinstance(variable, str):
        raise InvalidExpression(f"A choice rule with {named[0]} needs a Variable.")
    return _comparison(compile_path(variable), named[0], document[named[0]])


def _combination(name: str, document: dict[str, Any], depth: int) -> Rule:
    inner = document[name]
    if name == "Not":
        return Negation(compile_rule(inner, depth + 1))
    if not isinstance(inner, list) or not inner:
        raise InvalidExpression(f"{name} is a list with at least one rule.")
    return Combination(name == "And", tuple(compile_rule(rule, depth + 1) for rule in inner))


def _comparison(variable: Path, name: str, operand: Any) -> Rule:
    if name == IS_PRESENT or name in TYPE_TESTS:
        if not isinstance(operand, bool):
            raise InvalidExpression(f"{name} is true or false.")
        return Presence(variable, operand) if name == IS_PRESENT else TypeTest(variable, TYPE_TESTS[name], operand)
    if name == STRING_MATCHES:
        if not isinstance(operand, str):
            raise InvalidExpression("StringMatches is a string.")
        return Match(variable, operand, parse_pattern(operand))
    if name.endswith("Path"):
        if not isinstance(operand, str):
            raise InvalidExpression(f"{name} is a path, such as $.limit.")
        return Comparison(variable, OPERATORS[name.removesuffix("Path")], compile_path(operand))
    operator = OPERATORS[name]
    converted = operator.convert(operand)
    if converted is None:
        raise InvalidExpression(f"{name} is a {operator.type_name}.")
    return Comparison(variable, operator, converted)


def parse_pattern(text: str) -> Glob | None:
    r"""Returns the pattern of StringMatches; `\*` is a star and `\\` a backslash. None for any other backslash."""
    segments = [""]
    at = 0
    while at < len(text):
        character = text[at]
        if character == "*":
            segments.append("")
        elif character == "\\":
            at += 1
            if text[at : at + 1] not in ("*", "\\") or at >= len(text):
                return None
            segments[-1] += text[at]
        else:
            segments[-1] += character
        at += 1
    return Glob(tuple(segments))
