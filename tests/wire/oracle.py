"""botocore as the oracle: its models, serialisers and parsers, and random documents for any shape."""

from __future__ import annotations

import random
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import msgspec
from botocore import awsrequest, parsers, serialize
from botocore import model as botocore_model
from botocore.loaders import Loader

from batchyard.wire.messages import Request, Response
from batchyard.wire.model import INTEGER_RANGES, MODEL_DIRECTORIES, Shape, load_service_model
from batchyard.wire.operation import Operation
from batchyard.wire.router import Router

SERVICES = ("batch", "logs", "yard")
ROUTER = Router([load_service_model(name) for name in SERVICES], check_results=True)
OPERATIONS = sorted(ROUTER.operations)
ENDPOINT = "http://127.0.0.1:8470"

TEXTS = ("", "a", "Hello, world", "häagen/ß", "日本 \U0001f680", 'quo"te\\', "\x00\t\n", "arn:aws:batch:x:1:job/a%2Fb")


@cache
def botocore_service(name: str) -> Any:
    """botocore's own, unreduced model of a service; of ours, the model that we ship."""
    if name == "yard":
        return botocore_model.ServiceModel(msgspec.json.decode((MODEL_DIRECTORIES[1] / "yard.json").read_bytes()))
    loader = Loader(include_default_search_paths=False, extra_search_paths=[Loader.BUILTIN_DATA_PATH])
    return botocore_model.ServiceModel(loader.load_service_model(name, "service-2"))


def botocore_operation(operation: Operation) -> Any:
    return botocore_service(operation.service).operation_model(operation.name)


def request_by_botocore(operation: Operation, document: dict[str, Any]) -> Request:
    """The request that botocore sends for `document`, unsigned."""
    model = botocore_operation(operation)
    serializer = serialize.create_serializer(model.service_model.protocol, include_validation=False)
    prepared = serializer.serialize_to_request(document, model)
    awsrequest.prepare_request_dict(prepared, ENDPOINT)
    sent = awsrequest.create_request_object(prepared).prepare()
    parts = urlsplit(sent.url)
    body = sent.body or b""
    return Request(
        sent.method,
        parts.path.encode("ascii"),
        parts.query.encode("ascii"),
        {name.lower(): as_text(value) for name, value in sent.headers.items()},
        body if isinstance(body, bytes) else body.encode(),
    )


def as_text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def parsed_by_botocore(operation: Operation, response: Response) -> dict[str, Any]:
    """What a boto3 caller gets of `response`."""
    model = botocore_operation(operation)
    parser = parsers.create_parser(model.service_model.protocol)
    raw = {"status_code": response.status, "headers": dict(response.headers), "body": response.body, "context": {}}
    parsed: dict[str, Any] = parser.parse(raw, model.output_shape)
    return parsed


def random_document(shape: Shape, seed: int, *, members: float) -> dict[str, Any]:
    """A valid document; each optional member is there with the likelihood `members` (1: the full document)."""
    rng = random.Random(seed)
    document: dict[str, Any] = _random_value(shape, rng, members)
    return document


def _random_value(shape: Shape, rng: random.Random, members: float) -> Any:
    if shape.type == "structure":
        return {
            member.name: _random_member(member.shape, rng, members, in_body=member.location == "body")
            for member in shape.members.values()
            if member.required or rng.random() < members
        }
    if shape.type == "list":
        assert shape.element is not None
        return [_random_value(shape.element, rng, members * 0.9) for _ in range(_length(rng, members))]
    if shape.type == "map":
        assert shape.element is not None
        return {_text(rng) + str(i): _random_value(shape.element, rng, members) for i in range(_length(rng, members))}
    if shape.type in INTEGER_RANGES:
        low, high = INTEGER_RANGES[shape.type]
        return rng.choice([0, 1, -1, low, high, rng.randint(low, high)])
    if shape.type in ("float", "double"):
        return rng.choice([0.0, -1.5, 1e300, 0.1, 3.0])
    if shape.type == "boolean":
        return rng.random() < 0.5
    assert shape.type == "string", shape.type
    return rng.choice(shape.enum) if shape.enum and rng.random() < 0.8 else _text(rng)


def _random_member(shape: Shape, rng: random.Random, members: float, *, in_body: bool) -> Any:
    value = _random_value(shape, rng, members)
    # Outside the body nothing and the empty text look alike.
    return value if in_body or value else ["key"] if shape.type == "list" else "label"


def _length(rng: random.Random, members: float) -> int:
    return rng.randint(1, 2) if members >= 0.99 else rng.randint(0, 2)


def _text(rng: random.Random) -> str:
    return rng.choice(TEXTS) + str(rng.randint(0, 999)) if rng.random() < 0.8 else rng.choice(TEXTS)
