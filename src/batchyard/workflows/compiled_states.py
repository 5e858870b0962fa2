"""Definitions of state machines, compiled: once for each revision, from a definition that was checked.

Each state has the fields that its evaluation needs with paths, templates and expressions compiled (step functions spec
7, 8, 10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from batchyard.evaluators.json_text import minified
from batchyard.evaluators.states import jsonata, payload_templates
from batchyard.evaluators.states.choice_rules import Choices, compile_choices
from batchyard.evaluators.states.json_paths import (
    Path,
    ReferencePath,
    compile_path,
    compile_reference_path,
)
from batchyard.evaluators.states.retriers import Retrier, parse_retrier
from batchyard.evaluators.states.waits import Wait, compile_wait
from batchyard.workflows.resources import Resource, parse_resource

JSONATA = "JSONata"
Document = Mapping[str, Any]

# A value of a field: a template of payloads (JSONPath), one with expressions (JSONata), or None: the field is absent.
Template = payload_templates.Template | jsonata.Template | None


class PathFilter(Struct, frozen=True):
    """InputPath or OutputPath. `path`: None: null, which gives an empty object."""

    path: Path | None


class ResultPlace(Struct, frozen=True):
    """ResultPath. `path`: None: null, which drops the result."""

    path: ReferencePath | None


class Catcher(Struct, frozen=True):
    error_equals: tuple[str, ...]
    next: str
    result_place: ResultPlace | None = None
    assign: Template = None
    output: Template = None


class NumberField(Struct, frozen=True):
    """A number of a definition: itself, or where it is found. `name`: of the field that is given."""

    name: str
    value: Any = None
    path: Path | None = None
    expression: jsonata.Expression | None = None


class State(Struct, frozen=True, kw_only=True):
    """What all states have. A field that is None is absent. `next`: None: the state ends its scope.
    `uses_context`: it may read the context object."""

    name: str
    type: str
    is_jsonata: bool
    next: str | None = None
    uses_context: bool = True
    input_filter: PathFilter | None = None
    output_filter: PathFilter | None = None
    result_place: ResultPlace | None = None
    result_selector: Template = None
    parameters: Template = None  # Parameters, or Arguments
    assign: Template = None
    output: Template = None
    retriers: tuple[Retrier, ...] = ()
    catchers: tuple[Catcher, ...] = ()


class PassState(State, frozen=True, kw_only=True):
    """`result`: JSON text; None: there is no Result."""

    result: str | None = None


class ChoiceRule(Struct, frozen=True):
    next: str
    assign: Template = None
    output: Template = None
    condition: jsonata.Expression | bool = False  # of JSONata


class ChoiceState(State, frozen=True, kw_only=True):
    """`choices`: chooses among `rules` in JSONPath. `default`: None: there is none."""

    rules: tuple[ChoiceRule, ...]
    choices: Choices | None = None
    default: str | None = None


class WaitState(State, frozen=True, kw_only=True):
    """`wait`: in JSONPath; else one of `seconds` and `timestamp`."""

    wait: Wait | None = None
    seconds: jsonata.Template | None = None
    timestamp: jsonata.Template | None = None


class FailState(State, frozen=True, kw_only=True):
    """`error`, `cause`: None: absent."""

    error: FailText | None = None
    cause: FailText | None = None


class FailText(Struct, frozen=True):
    """Error or Cause of a Fail state: a text, a path or intrinsic function, or an expression."""

    text: str = ""
    path: payload_templates.Dynamic | None = None
    expression: jsonata.Expression | None = None


class TaskState(State, frozen=True, kw_only=True):
    resource: Resource
    timeout: NumberField | None = None
    heartbeat: NumberField | None = None
    credentials: Template = None


class ParallelState(State, frozen=True, kw_only=True):
    branches: tuple[StateScope, ...]


class ItemBatcher(Struct, frozen=True):
    max_items: NumberField | None = None
    max_bytes: NumberField | None = None
    batch_input: Template = None


class MapState(State, frozen=True, kw_only=True):
    """`items`: ItemsPath or Items. `item_selector`: also the old Parameters. `run`: of a distributed Map."""

    processor: StateScope
    items_path: Path | None = None
    items: jsonata.Expression | jsonata.Template | None = None
    item_selector: Template = None
    max_concurrency: NumberField | None = None
    run: DistributedRun | None = None


class DistributedRun(Struct, frozen=True):
    """What a distributed Map has besides. `execution_type`: of its children. `label`: empty: one is made."""

    execution_type: str
    label: str = ""
    batcher: ItemBatcher | None = None
    tolerated_count: NumberField | None = None
    tolerated_percentage: NumberField | None = None
    reader: ObjectAccess | None = None
    writer: ObjectAccess | None = None


class ObjectAccess(Struct, frozen=True):
    """ItemReader or ResultWriter. `document`: all that is literal; `parameters`: Parameters, or Arguments. `template`:
    the whole of it, with expressions. `max_items`: MaxItemsPath."""

    document: Document
    parameters: Template = None
    template: jsonata.Template | None = None
    max_items: NumberField | None = None


class StateScope(Struct, frozen=True):
    """States that lead to each other: of the machine, a branch, or an item processor."""

    start_at: str
    states: dict[str, State]


class CompiledMachine(Struct, frozen=True):
    """`timeout_seconds`: of an execution; None: none."""

    scope: StateScope
    timeout_seconds: int | None = None


def compile_machine(definition: Document) -> CompiledMachine:
    """Compiles a definition that was checked. Raises InvalidExpression where it was not."""
    scope = _compile_scope(definition, definition.get("QueryLanguage") == JSONATA)
    return CompiledMachine(scope, definition.get("TimeoutSeconds"))


def compile_state(name: str, document: Document, *, is_jsonata: bool = False) -> State:
    """Compiles one state. `is_jsonata`: the language of its machine."""
    kind = document["Type"]
    own = document["QueryLanguage"] == JSONATA if "QueryLanguage" in document else is_jsonata
    shared = _shared_fields(name, kind, document, own)
    if kind == "Parallel":  # the states in it have the machine's language, not its own
        branches = tuple(_compile_scope(branch, is_jsonata) for branch in document["Branches"])
        return ParallelState(**shared, branches=branches)
    if kind == "Map":
        processor = document["ItemProcessor"] if "ItemProcessor" in document else document["Iterator"]
        return _map(document, own, shared, _compile_scope(processor, is_jsonata), processor)
    return _COMPILERS[kind](document, own, shared)


def _compile_scope(document: Document, is_jsonata: bool) -> StateScope:
    states = {name: compile_state(name, state, is_jsonata=is_jsonata) for name, state in document["States"].items()}
    return StateScope(document["StartAt"], states)


# -- fields that several types have --


def _shared_fields(name: str, kind: str, document: Document, is_jsonata: bool) -> dict[str, Any]:
    own = {key: value for key, value in document.items() if key not in ("Branches", "ItemProcessor", "Iterator")}
    text = minified(own)
    fields: dict[str, Any] = {
        "name": name,
        "type": kind,
        "is_jsonata": is_jsonata,
        "next": document.get("Next"),
        "uses_context": "$$" in text or "states" in text,
        "assign": _template(document, "Assign", is_jsonata),
        "retriers": tuple(parse_retrier(one) for one in document.get("Retry", ())),
        "catchers": tuple(_catcher(one, place, is_jsonata) for place, one in enumerate(document.get("Catch", ()))),
    }
    if is_jsonata:
        return fields | {
            "parameters": _template(document, "Arguments", is_jsonata),
            "output": _template(document, "Output", is_jsonata),
        }
    return fields | {
        "input_filter": _path_filter(document, "InputPath"),
        "output_filter": _path_filter(document, "OutputPath"),
        "result_place": _result_place(document),
        "result_selector": _template(document, "ResultSelector", is_jsonata),
        "parameters": _template(document, "Parameters", is_jsonata),
    }


def _template(document: Document, field: str, is_jsonata: bool, path: str = "") -> Template:
    """Compiles a field. `path`: of the field in the state where that is not its name alone."""
    if field not in document:
        return None
    if is_jsonata:
        return jsonata.compile_jsonata_template(document[field], path or field)
    return payload_templates.compile_template(document[field], path or field)


def _path_filter(document: Document, field: str) -> PathFilter | None:
    text = document.get(field, "$")
    if text == "$":
        return None
    return PathFilter(None if text is None else compile_path(text))


def _result_place(document: Document) -> ResultPlace | None:
    text = document.get("ResultPath", "$")
    if text == "$":
        return None
    return ResultPlace(None if text is None else compile_reference_path(text))


def _catcher(document: Document, place: int, is_jsonata: bool) -> Catcher:
    return Catcher(
        tuple(document["ErrorEquals"]),
        document["Next"],
        None if is_jsonata else _result_place(document),
        _template(document, "Assign", is_jsonata, f"Catch[{place}]/Assign"),
        _template(document, "Output", is_jsonata, f"Catch[{place}]/Output"),
    )


def _number(document: Document, field: str, is_jsonata: bool, path: str = "") -> NumberField | None:
    path_field = f"{field}Path"
    if path_field in document:
        return NumberField(path_field, path=compile_path(document[path_field]))
    if field not in document:
        return None
    value = document[field]
    if is_jsonata and isinstance(value, str):
        return NumberField(field, expression=jsonata.compile_expression(value, path or field))
    return NumberField(field, value=value)


# -- each type --


def _pass(document: Document, is_jsonata: bool, shared: dict[str, Any]) -> State:
    return PassState(**shared, result=minified(document["Result"]) if "Result" in document else None)


def _task(document: Document, is_jsonata: bool, shared: dict[str, Any]) -> State:
    return TaskState(
        **shared,
        resource=parse_resource(document["Resource"]),
        timeout=_number(document, "TimeoutSeconds", is_jsonata),
        heartbeat=_number(document, "HeartbeatSeconds", is_jsonata),
        credentials=_template(document, "Credentials", is_jsonata),
    )


def _choice(document: Document, is_jsonata: bool, shared: dict[str, Any]) -> State:
    rules = []
    for place, rule in enumerate(document["Choices"]):
        path = f"Choices[{place}]"
        condition: jsonata.Expression | bool = False
        if is_jsonata:
            given = rule["Condition"]
            is_text = isinstance(given, str)
            condition = jsonata.compile_expression(given, f"{path}/Condition") if is_text else bool(given)
        rules.append(
            ChoiceRule(
                rule["Next"],
                _template(rule, "Assign", is_jsonata, f"{path}/Assign"),
                _template(rule, "Output", is_jsonata, f"{path}/Output"),
                condition,
            )
        )
    choices = None if is_jsonata else compile_choices(document["Choices"])
    return ChoiceState(**shared, rules=tuple(rules), choices=choices, default=document.get("Default"))


def _wait(document: Document, is_jsonata: bool, shared: dict[str, Any]) -> State:
    if not is_jsonata:
        return WaitState(**shared, wait=compile_wait(document))
    seconds, timestamp = (
        jsonata.compile_jsonata_template(document[field], field) if field in document else None
        for field in ("Seconds", "Timestamp")
    )
    return WaitState(**shared, seconds=seconds, timestamp=timestamp)


def _fail(document: Document, is_jsonata: bool, shared: dict[str, Any]) -> State:
    return FailState(
        **shared, error=_fail_text(document, "Error", is_jsonata), cause=_fail_text(document, "Cause", is_jsonata)
    )


def _fail_text(document: Document, field: str, is_jsonata: bool) -> FailText | None:
    if f"{field}Path" in document:
        return FailText(path=payload_templates.compile_dynamic(f"{field}Path", document[f"{field}Path"]))
    if field not in document:
        return None
    if is_jsonata and jsonata.is_expression(document[field]):
        return FailText(expression=jsonata.compile_expression(document[field], field))
    return FailText(document[field])


def _map(document: Document, is_jsonata: bool, shared: dict[str, Any], scope: StateScope, processor: Document) -> State:
    selector = _template(document, "ItemSelector", is_jsonata)
    is_distributed = processor.get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED"
    return MapState(
        **(shared | {"parameters": None}),
        processor=scope,
        items_path=compile_path(document["ItemsPath"]) if "ItemsPath" in document else None,
        items=_items(document["Items"]) if "Items" in document else None,
        item_selector=selector if selector is not None else shared["parameters"],
        max_concurrency=_number(document, "MaxConcurrency", is_jsonata),
        run=_distributed(document, processor, is_jsonata) if is_distributed else None,
    )


def _items(given: Any) -> jsonata.Expression | jsonata.Template:
    if jsonata.is_expression(given):
        return jsonata.compile_expression(given, "Items")
    return jsonata.compile_jsonata_template(given, "Items")


def _distributed(document: Document, processor: Document, is_jsonata: bool) -> DistributedRun:
    batcher = None
    if "ItemBatcher" in document:
        given = document["ItemBatcher"]
        batcher = ItemBatcher(
            _number(given, "MaxItemsPerBatch", is_jsonata, "ItemBatcher/MaxItemsPerBatch"),
            _number(given, "MaxInputBytesPerBatch", is_jsonata, "ItemBatcher/MaxInputBytesPerBatch"),
            _template(given, "BatchInput", is_jsonata, "ItemBatcher/BatchInput"),
        )
    return DistributedRun(
        processor["ProcessorConfig"].get("ExecutionType", "STANDARD"),
        document.get("Label", ""),
        batcher,
        _number(document, "ToleratedFailureCount", is_jsonata),
        _number(document, "ToleratedFailurePercentage", is_jsonata),
        _object_access(document, "ItemReader", is_jsonata),
        _object_access(document, "ResultWriter", is_jsonata),
    )


def _object_access(document: Document, field: str, is_jsonata: bool) -> ObjectAccess | None:
    """Returns None where the field is absent, or has no Resource: then it only says in which form results are."""
    given = document.get(field, {})
    if "Resource" not in given:
        return None
    if is_jsonata:
        return ObjectAccess(given, template=jsonata.compile_jsonata_template(given, field))
    literal = {name: value for name, value in given.items() if name not in ("Parameters", "ReaderConfig")}
    config = dict(given.get("ReaderConfig", {}))
    max_items = None
    if "MaxItemsPath" in config:
        max_items = NumberField("MaxItemsPath", path=compile_path(config.pop("MaxItemsPath")))
    if "ReaderConfig" in given:
        literal["ReaderConfig"] = config
    return ObjectAccess(literal, _template(given, "Parameters", is_jsonata), max_items=max_items)


def _succeed(document: Document, is_jsonata: bool, shared: dict[str, Any]) -> State:
    return State(**shared)


_COMPILERS: dict[str, Callable[[Document, bool, dict[str, Any]], State]] = {
    "Pass": _pass,
    "Task": _task,
    "Choice": _choice,
    "Wait": _wait,
    "Succeed": _succeed,
    "Fail": _fail,
}
