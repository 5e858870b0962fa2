"""botocore as the oracle: its models, serialisers and parsers, and random documents for any shape."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import botocore
import msgspec
from botocore import awsrequest, parsers, serialize
from botocore import model as botocore_model
from botocore.loaders import Loader

from batchyard.wire.messages import Request, Response
from batchyard.wire.model import INTEGER_RANGES, MODEL_DIRECTORIES, load_service_model
from batchyard.wire.operation import Operation
from batchyard.wire.router import Router

# Every model that we ship: what is routed, built or not.
SERVICES = tuple(sorted(path.stem for directory in MODEL_DIRECTORIES for path in directory.glob("*.json")))
# Where botocore's name of a service is not its endpoint prefix.
SDK_NAMES = {"monitoring": "cloudwatch", "states": "stepfunctions"}
ROUTER = Router([load_service_model(name) for name in SERVICES], check_results=True)
OPERATIONS = sorted(ROUTER.operations)
ENDPOINT = "http://127.0.0.1:8470"

DEEPEST = 14  # of random documents: shapes that contain themselves end there
LATEST_SECOND = 4_102_444_800  # of random times: the year 2100
TEXTS = ("", "a", "Hello, world", "häagen/ß", "日本 \U0001f680", 'quo"te\\', "\x00\t\n", "arn:aws:batch:x:1:job/a%2Fb")


@cache
def botocore_service(name: str) -> Any:
    """botocore's own, unreduced model of a service; ours, where it is not the version that ours were made from, and of
    our own service."""
    shipped = next(path for path in (each / f"{name}.json" for each in MODEL_DIRECTORIES) if path.is_file())
    document = msgspec.json.decode(shipped.read_bytes())
    if document.get("origin") != f"botocore {botocore.__version__}":
        return botocore_model.ServiceModel(document, name)
    loader = Loader(include_default_search_paths=False, extra_search_paths=[Loader.BUILTIN_DATA_PATH])
    return botocore_model.ServiceModel(loader.load_service_model(SDK_NAMES.get(name, name), "service-2"))


def botocore_operation(operation: Operation) -> Any:
    return botocore_service(operation.service).operation_model(operation.name)


def request_by_botocore(operation: Operation, document: dict[str, Any]) -> Request:
    """The request that botocore sends for `document`, unsigned; what botocore itself finds invalid it refuses."""
    return request_of_model(botocore_operation(operation), document)


def protocol_of(model: Any) -> str:
    """The protocol of an operation's service that SDKs use first."""
    protocols = model.service_model.metadata.get("protocols", [])
    return "json" if "json" in protocols else str(model.service_model.protocol)


def request_of_model(model: Any, document: dict[str, Any], protocol: str = "") -> Request:
    serializer = serialize.create_serializer(protocol or protocol_of(model), include_validation=True)
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
    """What a boto3 caller gets of `response`; times as seconds since 1970."""
    return parsed_by_model(botocore_operation(operation), response)


def parsed_by_model(model: Any, response: Response, protocol: str = "") -> dict[str, Any]:
    parser = parsers.create_parser(protocol or protocol_of(model))
    raw = {"status_code": response.status, "headers": dict(response.headers), "body": response.body, "context": {}}
    parsed: dict[str, Any] = as_seconds(parser.parse(raw, model.output_shape))
    return parsed


def as_seconds(value: Any) -> Any:
    """`value` with every time in it as seconds since 1970, as our own documents have them."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, dict):
        return {name: as_seconds(inner) for name, inner in value.items()}
    return [as_seconds(inner) for inner in value] if isinstance(value, list) else value


def random_document(shape: Any, seed: int, *, members: float, texts: tuple[str, ...] = TEXTS) -> dict[str, Any]:
    """A valid document of a shape of botocore's: its enums, lengths and ranges are kept.

    Each optional member is there with the likelihood `members` (1: the full document). Times are datetimes, as boto3's
    callers give them."""
    document: dict[str, Any] = _Documents(random.Random(seed), members, texts).value(shape, 0)
    return document


class _Documents:
    def __init__(self, rng: random.Random, members: float, texts: tuple[str, ...]) -> None:
        self._rng = rng
        self._members = members
        self._texts = texts

    def value(self, shape: Any, depth: int) -> Any:
        rng, kind = self._rng, shape.type_name
        if kind == "structure":
            return self._structure(shape, depth)
        if kind == "list":
            return [self.value(shape.member, depth + 1) for _ in range(self._length(shape, depth))]
        if kind == "map":
            keys = [f"{self._text(shape.key)}{i}" for i in range(self._length(shape, depth))]
            return {key: self.value(shape.value, depth + 1) for key in keys}
        if kind in INTEGER_RANGES:
            low, high = INTEGER_RANGES[kind]
            low, high = max(low, shape.metadata.get("min", low)), min(high, shape.metadata.get("max", high))
            return rng.choice([low, high, rng.randint(low, high), min(max(0, low), high)])
        if kind in ("float", "double"):
            low, high = shape.metadata.get("min", -1e300), shape.metadata.get("max", 1e300)
            return rng.choice([number for number in (0.0, -1.5, 1e300, 0.1, 3.0) if low <= number <= high])
        if kind == "boolean":
            return rng.random() < 0.5
        if kind == "timestamp":
            return datetime.fromtimestamp(rng.randint(0, LATEST_SECOND), UTC)
        if kind == "blob":
            return rng.randbytes(rng.randint(max(1, shape.metadata.get("min", 1)), 40))
        assert kind == "string", kind
        return self._text(shape)

    def _structure(self, shape: Any, depth: int) -> dict[str, Any]:
        if getattr(shape, "is_tagged_union", False):
            chosen = [self._rng.choice(sorted(shape.members))]
        else:
            share = self._members if depth < DEEPEST else 0.0
            chosen = [name for name in shape.members if name in shape.required_members or self._rng.random() < share]
        return {name: self._member(shape.members[name], depth) for name in chosen}

    def _member(self, shape: Any, depth: int) -> Any:
        value = self.value(shape, depth + 1)
        # Outside the body nothing and the empty text look alike.
        in_body = "location" not in shape.serialization
        return value if in_body or value else ["key"] if shape.type_name == "list" else "label"

    def _length(self, shape: Any, depth: int) -> int:
        least = shape.metadata.get("min", 0)
        if depth >= DEEPEST:
            return int(least)
        return int(max(least, self._rng.randint(1 if self._members >= 0.99 else 0, 2)))

    def _text(self, shape: Any) -> str:
        rng = self._rng
        if shape.enum and rng.random() < 0.8:
            return str(rng.choice(shape.enum))
        text = rng.choice(self._texts) + (str(rng.randint(0, 999)) if rng.random() < 0.8 else "")
        least, most = shape.metadata.get("min", 0), shape.metadata.get("max", len(text) + 1)
        return text.ljust(least, "x")[:most]
