"""Whatever is too large, in any member of any operation, is answered or refused with a sentence: never a fault of
ours. Integers beyond their range, texts of a mebibyte, numbers of 5,000 digits, lists and maps without end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from batchyard.api.operations import MAX_REFUSAL_CHARACTERS, OPERATIONS
from batchyard.core.model.refusal import Refused
from batchyard.core.state.check import assert_consistent
from batchyard.wire.messages import Request, WireError
from batchyard.wire.model import INTEGER_RANGES, Shape, load_service_model
from tests.api.service import ROUTER, Service, container

Document = dict[str, Any]
Path = tuple[str, ...]

LONG = 1_000_000  # characters: a body of a mebibyte holds no longer text
MANY = 40_000  # entries; more than SQLite takes variables
DIGITS = 5000  # more than int() reads
DEEPEST = 3  # members of members, beyond which everything is checked by what checks its parents
# What requests name that is there, by member: so that they are not refused for another reason.
KNOWN: Document = {
    "jobQueue": "default",
    "jobDefinition": "sleeper",
    "jobName": "nap",
    "reason": "enough",
    "computeEnvironment": "local",
    "computeEnvironmentName": "new",
    "jobQueueName": "new",
    "jobDefinitionName": "new",
    "type": "container",
    "containerProperties": container(),
    "priority": 1,
    "logGroupName": "/aws/batch/job",
    "cluster": "local",
    "Name": "name",
    "SecretId": "name",
    "SecretString": "value",
    "Value": "value",
    "Type": "String",
    "name": "new",
    "command": ["true"],
}


def paths(shape: Shape, path: Path = (), outer: frozenset[str] = frozenset()) -> Iterator[tuple[Path, Shape]]:
    """Every member, members of members too; "[]" is an element of a list, "{}" a value of a map."""
    if path:
        yield path, shape
    if shape.name in outer or len([part for part in path if part not in ("[]", "{}")]) >= DEEPEST:
        return
    outer = outer | {shape.name}
    if shape.type == "structure":
        for name, member in shape.members.items():
            yield from paths(member.shape, (*path, name), outer)
    elif shape.element is not None:
        yield from paths(shape.element, (*path, "[]" if shape.type == "list" else "{}"), outer)


def plain(shape: Shape, name: str = "") -> Any:
    """A small value of the shape, with its required members."""
    if name in KNOWN and isinstance(KNOWN[name], dict) == (shape.type == "structure"):
        return KNOWN[name]
    if shape.type == "structure":
        return {member.name: plain(member.shape, member.name) for member in shape.members.values() if member.required}
    if shape.type == "list":
        assert shape.element is not None
        return [plain(shape.element)]
    if shape.type == "map":
        return {}
    if shape.type == "string":
        return shape.enum[0] if shape.enum else "x"
    return {"boolean": True, "blob": b"x", "timestamp": 1.0, "float": 1.0, "double": 1.0}.get(shape.type, 1)


def with_value(shape: Shape, path: Path, value: Any, name: str = "") -> Any:
    """A document that has `value` at `path`, and what is required beside it."""
    if not path:
        return value
    first, *rest = path
    if first == "[]":
        assert shape.element is not None
        return [with_value(shape.element, tuple(rest), value)]
    if first == "{}":
        assert shape.element is not None
        return {"key": with_value(shape.element, tuple(rest), value)}
    inner = with_value(shape.members[first].shape, tuple(rest), value, first)
    known = plain(shape, name)
    return {**known, first: inner}


def large_values(shape: Shape) -> Iterator[Any]:
    """What the shape's type allows, and nobody means."""
    if shape.type in INTEGER_RANGES:
        yield from (*INTEGER_RANGES[shape.type], 0, -1)
    elif shape.type == "string":
        yield from ("a" * LONG, "9" * DIGITS, "a:" + "9" * DIGITS, "-" * LONG)
    elif shape.type == "blob":
        yield b"a" * LONG
    elif shape.type in ("float", "double", "timestamp"):
        yield from (1.7e308, -1.7e308, 5e-324)
    elif shape.type == "list":
        assert shape.element is not None
        yield [plain(shape.element)] * MANY
        if shape.element.type == "string":
            yield [str(number) for number in range(MANY)]
    elif shape.type == "map":
        assert shape.element is not None
        yield {str(number): plain(shape.element) for number in range(MANY)}
        yield {"a" * LONG: plain(shape.element)}


def attempt(service: Service, key: tuple[str, str], request: Document) -> None:
    try:
        service.call(key[1], request, service=key[0])
    except Refused as error:
        refusal = error
    else:
        return
    assert 0 < len(refusal.message) <= MAX_REFUSAL_CHARACTERS
    assert refusal.code != "ServerException"


@pytest.mark.parametrize("key", sorted(OPERATIONS), ids=".".join)
def test_anything_too_large_is_answered_or_refused(key: tuple[str, str], service: Service) -> None:
    shape = load_service_model(key[0]).operations[key[1]].input
    if shape is None:
        return
    for path, inner in paths(shape):
        for value in large_values(inner):
            attempt(service, key, with_value(shape, path, value))
    assert_consistent(service.machine.world)


@pytest.mark.parametrize("key", sorted(OPERATIONS), ids=".".join)
def test_integers_beyond_their_range_end_at_the_wire(key: tuple[str, str]) -> None:
    operation = ROUTER.operations[key]
    if operation.model.input is None or key[0] in ("ec2", "iam", "sns", "sts"):
        return  # forms: read_text has its own test
    in_query = {
        name: member.wire_name
        for name, member in operation.model.input.members.items()
        if member.location == "querystring"
    }
    for path, inner in paths(operation.model.input):
        if inner.type not in INTEGER_RANGES:
            continue
        for number in ("9" * DIGITS, "-" + "9" * DIGITS, str(2**63), str(-(2**63) - 1), "1e400", "1" + "0" * 30):
            marked = json.dumps(with_value(operation.model.input, path, "@"), default=repr)
            body = marked.replace('"@"', number).encode()
            query = f"{in_query[path[0]]}={number}".encode() if path[0] in in_query else b""
            request = Request(operation.model.method, b"/", query, {}, body)
            with pytest.raises(WireError) as refused:
                operation.parse(request)
            assert refused.value.status == 400
            assert len(refused.value.message) < MAX_REFUSAL_CHARACTERS
