"""What a target gets of an event (spec 5.2, 5.3): all of it, a constant, what a path finds, or a transformed text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.events.envelope import event_text, iso_seconds
from batchyard.evaluators.events.json_path import ABSENT, InvalidPath, Steps, find, parse_path
from batchyard.evaluators.json_text import InvalidJson, is_encodable, minified, parse_json

PLACEHOLDER = re.compile(r"<(?P<name>[A-Za-z0-9._-]+)>")
# What a template may name without a path, and how.
RULE_ARN = "aws.events.rule-arn"
RULE_NAME = "aws.events.rule-name"
EVENT_WITHOUT_DETAIL = "aws.events.event"
EVENT_JSON = "aws.events.event.json"
INGESTION_TIME = "aws.events.event.ingestion-time"
RESERVED = frozenset({RULE_ARN, RULE_NAME, EVENT_WITHOUT_DETAIL, EVENT_JSON, INGESTION_TIME})
MAX_PATHS = 100  # AWS's own


class NoInput(Exception):
    """The input that a target asks cannot be made of this event, so that there is nothing to deliver."""


class RuleContext(NamedTuple):
    """What the predefined variables of a template say beside the event. `ingested_at_ms`: when the event came in."""

    rule_arn: str
    rule_name: str
    ingested_at_ms: int


class Transformer(NamedTuple):
    """A compiled InputTransformer. `pieces`: texts and names of variables in turn, a text first and last."""

    paths: dict[str, Steps]
    pieces: tuple[str, ...]
    is_json: bool


class TargetInput(NamedTuple):
    """The input that a target asks: none of the three for the whole event."""

    constant: str | None = None
    path: Steps | None = None
    transformer: Transformer | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the target gets the event as it is."""
        return self.constant is None and self.path is None and self.transformer is None

    def render(self, event: Mapping[str, Any], context: RuleContext) -> str:
        """Returns the text that the target gets. Raises NoInput, with the reason."""
        if self.constant is not None:
            return self.constant
        if self.path is not None:
            value = find(self.path, event)
            if value is ABSENT:
                raise NoInput("The InputPath finds nothing in the event.")
            return minified(value)
        if self.transformer is not None:
            return _transform(self.transformer, event, context)
        return event_text(dict(event))


# -- compiling --


def invalid(message: str) -> Refused:
    return Refused(message, "ValidationException")


def compile_input(
    target_id: str,
    *,
    constant: str | None = None,
    path: str | None = None,
    paths_map: Mapping[str, str] | None = None,
    template: str | None = None,
) -> TargetInput:
    """Returns the input of a target from Input, InputPath, and the map and template of an InputTransformer. Raises
    Refused (ValidationException) with AWS's text."""
    if sum(part is not None for part in (constant, path, template)) > 1:
        raise invalid(f"Only one of Input, InputPath, or InputTransformer must be provided for target {target_id}.")
    if constant is not None:
        try:
            parse_json(constant)
        except InvalidJson as error:
            raise invalid(f"JSON syntax error in input for target {target_id}.") from error
        return TargetInput(constant=constant)
    if path is not None:
        return TargetInput(path=_read_path(path, "InputPath", target_id))
    if template is not None:
        return TargetInput(transformer=compile_transformer(target_id, paths_map or {}, template))
    return TargetInput()


def compile_transformer(target_id: str, paths_map: Mapping[str, str], template: str) -> Transformer:
    """Returns a compiled InputTransformer. Raises Refused (ValidationException)."""
    if len(paths_map) > MAX_PATHS:
        raise invalid(f"InputPathsMap for target {target_id} has {len(paths_map)} entries, at most {MAX_PATHS}.")
    paths = {}
    for name, path in paths_map.items():
        if name.upper().startswith("AWS"):
            raise invalid(f"InputPathsMap for target {target_id} contains the reserved name {name}.")
        paths[name] = _read_path(path, f"InputPathsMap {name}", target_id)
    kind = template.lstrip()[:1]
    if kind not in ("{", "[", "<", '"'):
        raise invalid(
            f"InputTemplate for target {target_id} is neither JSON nor a quoted string: it begins with {kind!r}."
        )
    pieces = tuple(PLACEHOLDER.split(template))
    for name in pieces[1::2]:
        if name not in paths and name not in RESERVED:
            raise invalid(f"InputTemplate for target {target_id} contains invalid placeholder {name}.")
    return Transformer(paths, pieces, kind != '"')


def _read_path(path: str, member: str, target_id: str) -> Steps:
    try:
        return parse_path(path)
    except InvalidPath as error:
        raise invalid(f"{member} for target {target_id} is not valid: {error}") from error


# -- rendering --


def _transform(transformer: Transformer, event: Mapping[str, Any], context: RuleContext) -> str:
    texts: list[str] = []
    is_quoted = False
    for position, piece in enumerate(transformer.pieces):
        if position % 2:
            value = _variable(piece, transformer.paths, event, context)
            texts.append(_json_piece(value, is_quoted) if transformer.is_json else _text_piece(value))
        else:
            is_quoted = _ends_in_quotes(piece, is_quoted)
            texts.append(piece)
    text = "".join(texts)
    if not transformer.is_json:
        return text.strip() if is_encodable(text) else text.strip().encode(errors="replace").decode()
    try:
        return minified(parse_json(text))
    except InvalidJson as error:
        raise NoInput(
            f"The InputTemplate makes no valid JSON of this event: {error}. Values are inserted without escaping; "
            "one with quotes, or an object within quotes, breaks the text around it."
        ) from error


def _variable(name: str, paths: Mapping[str, Steps], event: Mapping[str, Any], context: RuleContext) -> Any:
    if name in paths:
        return find(paths[name], event)
    if name == RULE_ARN:
        return context.rule_arn
    if name == RULE_NAME:
        return context.rule_name
    if name == INGESTION_TIME:
        return iso_seconds(context.ingested_at_ms)
    if name == EVENT_JSON:
        return dict(event)
    return {("detailType" if key == "detail-type" else key): event[key] for key in event if key != "detail"}


def _ends_in_quotes(piece: str, is_quoted: bool) -> bool:
    """Whether a piece of a JSON template that begins inside a string, or outside, ends inside one."""
    is_escaped = False
    for character in piece:
        if is_escaped:
            is_escaped = False
        elif character == "\\":
            is_escaped = is_quoted
        elif character == '"':
            is_quoted = not is_quoted
    return is_quoted


def _json_piece(value: Any, is_quoted: bool) -> str:
    if value is ABSENT:
        return "" if is_quoted else '""'
    if is_quoted and isinstance(value, str):
        return value
    return minified(value)


def _text_piece(value: Any) -> str:
    """Returns a value as a string template shows it: objects and lists lose all their quotes."""
    if value is ABSENT:
        return ""
    if isinstance(value, str):
        return value
    text = minified(value)
    return text.replace('"', "") if isinstance(value, dict | list) else text
