"""Variables of a definition: which state refers to which, and which scope may assign which (step functions spec 10)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchyard.evaluators.states.diagnostics import Report
from batchyard.evaluators.states.errors import InvalidExpression
from batchyard.evaluators.states.expression_text import is_expression
from batchyard.evaluators.states.field_checks import DYNAMIC_SUFFIX, JSONATA, JSONPATH, assigned_name
from batchyard.evaluators.states.intrinsics import compile_intrinsic, is_intrinsic
from batchyard.evaluators.states.json_paths import compile_path
from batchyard.evaluators.states.jsonata import compile_expression
from batchyard.evaluators.states.state_rules import DISTRIBUTED
from batchyard.evaluators.states.transitions import containers

CONTAINER_FIELDS = ("Branches", "ItemProcessor", "Iterator")
TEMPLATE_FIELDS = ("Parameters", "ItemSelector", "ResultSelector", "Assign", "BatchInput", "Credentials")
LITERAL_FIELDS = ("Result", "Resource", "Next", "Default", "Comment", "Type", "QueryLanguage")  # no paths in them


def language_of(state: dict[str, Any], machine_language: str) -> str:
    """Returns the query language of a state of a checked definition."""
    return str(state.get("QueryLanguage", machine_language))


def assignments(state: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the Assign fields of a state, its rules and its catchers, with the path of each below the state."""
    if "Assign" in state:
        yield "/Assign", state["Assign"]
    for field in ("Choices", "Catch"):
        for index, rule in enumerate(state.get(field, ())):
            if "Assign" in rule:
                yield f"/{field}[{index}]/Assign", rule["Assign"]


def assigned_names(container: dict[str, Any], machine_language: str) -> Iterator[tuple[str, str]]:
    """Yields the variables that the states of one container assign, with the location of each below it."""
    for name, state in container["States"].items():
        language = language_of(state, machine_language)
        for at, assign in assignments(state):
            for member in assign:
                yield assigned_name(member, language), f"/States/{name}{at}"


def check_scopes(definition: dict[str, Any], machine_language: str, report: Report) -> None:
    """Reports each variable of an inner scope that an outer scope assigns too."""

    def check(container: dict[str, Any], location: str, outer: frozenset[str]) -> None:
        own = list(assigned_names(container, machine_language))
        for variable, at in own:
            if variable in outer:
                report.fault(f"The variable '{variable}' is assigned in an outer scope too", location + at)
        visible = outer | {variable for variable, _ in own}
        for name, state in container["States"].items():
            for at, inner in containers(state, f"{location}/States/{name}"):
                mode = inner.get("ProcessorConfig", {}).get(
                    "Mode"
                )  # children of a distributed Map see nothing of outside
                check(inner, at, frozenset() if mode == DISTRIBUTED else visible)

    check(definition, "", frozenset())


def variable_references(definition: dict[str, Any]) -> dict[str, list[str]]:
    """Returns the names of the variables that each state of a checked definition refers to, in alphabetical order.
    States that refer to none are left out."""
    machine_language = definition.get("QueryLanguage", JSONPATH)
    assigned: set[str] = set()
    states: list[tuple[str, dict[str, Any]]] = []

    def collect(container: dict[str, Any]) -> None:
        assigned.update(variable for variable, _ in assigned_names(container, machine_language))
        for name, state in container["States"].items():
            states.append((name, state))
            for _, inner in containers(state, ""):
                collect(inner)

    collect(definition)
    found = {}
    for name, state in states:
        own = {field: value for field, value in state.items() if field not in (*CONTAINER_FIELDS, *LITERAL_FIELDS)}
        if language_of(state, machine_language) == JSONATA:
            names = _names_in_expressions(own, frozenset(assigned))
        else:
            names = _names_in_paths("", own)
        if used := sorted(set(names)):
            found[name] = used
    return found


def _names_in_expressions(value: Any, assigned: frozenset[str]) -> Iterator[str]:
    if is_expression(value):
        yield from _variables_of(value, assigned)
    elif isinstance(value, dict | list):
        for below in value.values() if isinstance(value, dict) else value:
            yield from _names_in_expressions(below, assigned)


def _variables_of(value: str, assigned: frozenset[str]) -> list[str]:
    try:
        return compile_expression(value).variables(assigned)
    except InvalidExpression:  # a text where there are no expressions, such as a Comment
        return []


def _names_in_paths(member: str, value: Any, in_template: bool = False) -> Iterator[str]:
    """Yields the variables of the paths in a field. Paths are the values of members whose names say so: in a template,
    those that end in `.$`."""
    if isinstance(value, dict):
        inner = in_template or member in TEMPLATE_FIELDS
        for name, below in value.items():
            yield from _names_in_paths(name, below, inner)
    elif isinstance(value, list):
        for item in value:
            yield from _names_in_paths(member, item, in_template)
    elif isinstance(value, str) and _is_path(member, in_template):
        compiled = compile_intrinsic(value) if is_intrinsic(value) else compile_path(value)
        yield from compiled.variables


def _is_path(member: str, in_template: bool) -> bool:
    return member.endswith(DYNAMIC_SUFFIX) if in_template else member.endswith("Path") or member == "Variable"
