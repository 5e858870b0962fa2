"""The validator of state machine definitions, with AWS's texts (step functions spec 6, 7, 10-12)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import DecodeError, Struct, json

from batchyard.evaluators.states import field_checks
from batchyard.evaluators.states.diagnostics import (
    DUPLICATE_LABEL_NAME,
    DUPLICATE_STATE_NAME,
    INVALID_JSON_DESCRIPTION,
    INVALID_STATE_NAME,
    TOO_DEEPLY_NESTED,
    Diagnostic,
    Report,
)
from batchyard.evaluators.states.field_checks import JSONATA, JSONPATH, MAX_SECONDS, Field, TaskCheck
from batchyard.evaluators.states.json_faults import JsonFault, find_fault
from batchyard.evaluators.states.object_rules import FieldRule, ObjectRule, check_object, object_of
from batchyard.evaluators.states.state_rules import (
    COMMENT,
    DISTRIBUTED,
    DISTRIBUTED_FIELDS,
    EXPRESS,
    NEEDS_NEXT,
    PROCESSOR_CONFIG,
    STANDARD,
    STATES,
    TYPE_NAMES,
)
from batchyard.evaluators.states.task_checks import check_task_state
from batchyard.evaluators.states.transitions import check_transitions, containers
from batchyard.evaluators.states.variable_scopes import check_scopes

MAX_STATE_NAME_CHARACTERS = 80
STATE_NAME = "StateName"
# Brackets inside each other in a definition's text: 25 containers deep, and more than data in a definition has. Each
# level takes some frames of the stack when a definition is checked, compiled and evaluated.
MAX_NESTING = 100
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.S)

_CONTAINER = COMMENT | {"StartAt": FieldRule(field_checks.text), "States": FieldRule(field_checks.json_object)}
_REQUIRED = ("States", "StartAt")
MACHINE = ObjectRule(
    _CONTAINER
    | {
        "Version": FieldRule(field_checks.text),
        "TimeoutSeconds": FieldRule(field_checks.literal_number(1, MAX_SECONDS)),
        "QueryLanguage": FieldRule(field_checks.one_of("QueryLanguage", JSONPATH, JSONATA)),
    },
    _REQUIRED,
)
BRANCH = ObjectRule(_CONTAINER, _REQUIRED)
PROCESSOR = ObjectRule(_CONTAINER | {"ProcessorConfig": FieldRule(object_of(PROCESSOR_CONFIG))}, _REQUIRED)


def no_task_check(_resource: str, _arguments: Any) -> Sequence[tuple[str, str]]:
    """Accepts any resource."""
    return ()


def no_item_check(_resource: str) -> str:
    """Accepts any resource."""
    return ""


class Options(Struct, frozen=True):
    """How to check. `check_task`: returns, for a resource and its arguments, what is wrong and where in the state;
    `check_items`: returns what is wrong with the resource of an ItemReader or ResultWriter, empty for nothing;
    `refused_input_types`: of an ItemReader those that are not read, and what to do instead."""

    check_task: TaskCheck = no_task_check
    check_items: Callable[[str], str] = no_item_check
    refused_input_types: Mapping[str, str] = {}


def check_definition(text: str, kind: str = STANDARD, options: Options | None = None) -> list[Diagnostic]:
    """Returns the diagnostics of a definition, warnings among them. `kind`: STANDARD or EXPRESS."""
    report = Report()
    definition = _decoded(text, report)
    if definition is not None:
        _Checker(report, options or Options()).machine(definition, kind)
    return report.found


def check_state(text: str, options: Options | None = None) -> list[Diagnostic]:
    """Returns the diagnostics of the definition of one state, as TestState takes it: where it goes is not checked, and
    AWS's locations have the name STATE_NAME for it."""
    report = Report()
    state = _decoded(text, report)
    if state is not None:
        _Checker(report, options or Options()).single_state(state)
    return report.found


def _decoded(text: str, report: Report) -> dict[str, Any] | None:
    if _nesting(text) > MAX_NESTING:
        report.fault(f"The definition is nested more than {MAX_NESTING} levels deep", None, code=TOO_DEEPLY_NESTED)
        return None
    try:
        definition: Any = json.decode(text) if text.strip() else None
    except (DecodeError, UnicodeEncodeError) as error:
        fault = find_fault(text) or JsonFault(f"A value cannot be read: {error}", None)  # as half a surrogate pair
        report.fault(fault.text, fault.source, code=INVALID_JSON_DESCRIPTION)
        return None
    if not isinstance(definition, dict):
        report.fault("Definition must be a valid JSON object", None)
        return None
    return definition


def _nesting(text: str) -> int:
    """Returns how many brackets of a JSON text are open at most."""
    deepest = depth = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        if found[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif found[0] in "]}":
            depth -= 1
    return deepest


class _Checker:
    """Walks one definition."""

    def __init__(self, report: Report, options: Options) -> None:
        self.report = report
        self.options = options
        self.names: set[str] = set()
        self.labels: set[str] = set()
        self.machine_language = JSONPATH

    def single_state(self, state: dict[str, Any]) -> None:
        location = f"/States/{STATE_NAME}"
        self.state(STATE_NAME, state, location, STANDARD)
        if not self.report.has_errors:
            for at, container in containers(state, location):
                self.transitions(container, at)

    def machine(self, definition: dict[str, Any], kind: str) -> None:
        if definition.get("QueryLanguage") == JSONATA:
            self.machine_language = JSONATA
        self.container(definition, MACHINE, "", kind)
        if not self.report.has_errors:
            self.transitions(definition, "")
            check_scopes(definition, self.machine_language, self.report)

    def container(self, container: dict[str, Any], rule: ObjectRule, location: str, kind: str) -> None:
        """Checks what has StartAt and States: the machine, a branch or a processor."""
        check_object(container, rule, Field(self.report, location or "/", self.machine_language))
        states = container.get("States")
        if not isinstance(states, dict):
            return
        if not states:
            self.report.fault("Value cannot be empty", f"{location}/States")
        for name, state in states.items():
            self.state(name, state, f"{location}/States/{name}", kind)

    def state(self, name: str, state: Any, location: str, kind: str) -> None:
        if len(name) > MAX_STATE_NAME_CHARACTERS or not name:
            message = f"State name must have between 1 and {MAX_STATE_NAME_CHARACTERS} characters"
            self.report.fault(message, location, code=INVALID_STATE_NAME)
        if name in self.names:
            self.report.fault(f"Duplicate State name: {name}", location, code=DUPLICATE_STATE_NAME)
        self.names.add(name)
        if not isinstance(state, dict):
            self.report.fault("Expected value of type Object", location)
            return
        type_name = state.get("Type")
        if "Type" not in state:
            self.report.fault("These fields are required: [Type]", location)
        elif not isinstance(type_name, str) or type_name not in STATES:
            message = f"The field 'Type' should have one of these values: [{', '.join(TYPE_NAMES)}]"
            self.report.fault(message, f"{location}/Type")
        else:
            field = Field(self.report, location, self.language(state, location))
            check_object(state, STATES[type_name], field)
            self.transition(state, field)
            if type_name == "Task":
                check_task_state(state, field, kind, self.options.check_task)
            elif type_name == "Wait" and not {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"} & state.keys():
                field.fault(
                    "There should be one of the following fields: [Seconds, SecondsPath, Timestamp, TimestampPath]"
                )
            elif type_name == "Map":
                self.map(state, field, kind)
            self.inner(state, location, kind)

    def language(self, state: dict[str, Any], location: str) -> str:
        """Returns the query language of a state."""
        given = state.get("QueryLanguage", self.machine_language)
        if given == JSONPATH and self.machine_language == JSONATA:
            message = "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine"
            self.report.fault(message, location)
        elif given not in (JSONPATH, JSONATA):
            message = f"The field 'QueryLanguage' should have one of these values: [{JSONPATH}, {JSONATA}]"
            self.report.fault(message, f"{location}/QueryLanguage")
        return JSONATA if JSONATA in (given, self.machine_language) else JSONPATH

    def transition(self, state: dict[str, Any], field: Field) -> None:
        if state["Type"] not in NEEDS_NEXT:
            return
        ends = state.get("End") is True
        if ends and "Next" in state:
            field.fault("There should only be one of the following fields: [Next, End]")
        elif not ends and "Next" not in state:
            field.fault("There should be one of the following fields: [Next, End]")

    def map(self, state: dict[str, Any], field: Field, kind: str) -> None:
        """Checks what a Map needs, and what only a distributed one may have."""
        processor = state.get("ItemProcessor", state.get("Iterator"))
        if processor is None:
            field.fault("These fields are required: [ItemProcessor]")
            return
        config = processor.get("ProcessorConfig") if isinstance(processor, dict) else None
        mode = config.get("Mode") if isinstance(config, dict) else None
        if mode != DISTRIBUTED:
            for name in state.keys() & DISTRIBUTED_FIELDS.keys():
                field.fault(
                    f"Field '{name}' is only supported for a Map whose ProcessorConfig has Mode '{DISTRIBUTED}'"
                )
        elif kind == EXPRESS:
            field.fault(f"Express state machine does not support a Map in Mode '{DISTRIBUTED}'")
        for name in ("ItemReader", "ResultWriter"):
            given = state.get(name)
            resource = given.get("Resource") if isinstance(given, dict) else None
            if isinstance(resource, str) and (message := self.options.check_items(resource)):
                self.report.fault(message, f"{field.location}/{name}/Resource")
            config = given.get("ReaderConfig") if isinstance(given, dict) else None
            kind_read = config.get("InputType") if isinstance(config, dict) else None
            if isinstance(kind_read, str) and kind_read in self.options.refused_input_types:
                message = self.options.refused_input_types[kind_read]
                self.report.fault(message, f"{field.location}/{name}/ReaderConfig/InputType")
        label = state.get("Label")
        if isinstance(label, str):
            if label in self.labels:
                message = f"Duplicate Label name: {label}"
                self.report.fault(message, f"{field.location}/Label", code=DUPLICATE_LABEL_NAME)
            self.labels.add(label)

    def inner(self, state: dict[str, Any], location: str, kind: str) -> None:
        """Checks the containers in a state. The children of a distributed Map may be of another kind."""
        for at, container in containers(state, location):
            config = container.get("ProcessorConfig")
            if isinstance(config, dict) and config.get("Mode") == DISTRIBUTED:
                kind = EXPRESS if config.get("ExecutionType") == EXPRESS else STANDARD
            self.container(container, PROCESSOR if state["Type"] == "Map" else BRANCH, at, kind)

    def transitions(self, container: dict[str, Any], location: str) -> None:
        check_transitions(container, location, self.report)
        for name, state in container["States"].items():
            for at, inner in containers(state, f"{location}/States/{name}"):
                self.transitions(inner, at)
