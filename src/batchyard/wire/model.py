"""Service models: the operations of a service, and the shapes of their documents.

The format is botocore's `service-2.json`. `min`, `max`, `pattern` and `enum` are kept for the rooms that word
their refusals, and are not enforced here: the real services answer them in texts of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

PACKAGE = Path(__file__).resolve().parent.parent
# Models of AWS are vendored data; our own service is part of the wire.
MODEL_DIRECTORIES = (PACKAGE / "vendor" / "service_models", PACKAGE / "wire" / "models")

INT32_RANGE = (-(2**31), 2**31 - 1)
INT64_RANGE = (-(2**63), 2**63 - 1)
INTEGER_RANGES = {"integer": INT32_RANGE, "long": INT64_RANGE}
KNOWN_TYPES = frozenset(
    {"structure", "list", "map", "string", "boolean", "integer", "long", "float", "double", "blob", "timestamp"}
)
KNOWN_LOCATIONS = frozenset({"body", "uri", "querystring", "header"})


@dataclass(slots=True, eq=False)
class Member:
    """A member of a structure: its shape, where it travels, and its name there.

    query_name: its name in requests of the `ec2` protocol, where the model gives it one of its own."""

    name: str
    shape: Shape
    required: bool
    location: str = "body"
    wire_name: str = ""
    query_name: str = ""


@dataclass(slots=True, eq=False)
class Shape:
    """One shape of the model. `members` is for structures, `element` for lists and map values, `key` for maps.

    flattened, element_name, key_name: how the form-encoded and XML protocols write lists and maps; empty names mean
    the protocol's own."""

    name: str
    type: str
    members: dict[str, Member] = field(default_factory=dict)
    element: Shape | None = None
    key: Shape | None = None
    enum: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    pattern: str | None = None
    timestamp_format: str | None = None
    flattened: bool = False
    element_name: str = ""
    key_name: str = ""
    error_code: str = ""  # of an exception, where it is not the shape's name


@dataclass(slots=True, eq=False)
class OperationModel:
    """One operation: its HTTP form and its documents (None: it has none). result_wrapper: the element around the result
    in answers of the `query` protocol."""

    name: str
    method: str
    request_uri: str
    status: int
    input: Shape | None
    output: Shape | None
    errors: tuple[str, ...]
    result_wrapper: str = ""


@dataclass(slots=True, eq=False)
class ServiceModel:
    """One service. `name`: its endpoint prefix. `service_id`: its name in SDKs. `signing_name`: its name in SigV4.
    `protocol`: the one that SDKs use first; it is served in `other_protocols` too. `version`: the date of its API.
    `error_statuses`: the HTTP status of each error code for which the model has one."""

    name: str
    service_id: str
    signing_name: str
    protocol: str
    json_version: str
    target_prefix: str
    version: str
    xml_namespace: str
    operations: dict[str, OperationModel]
    shapes: dict[str, Shape]
    error_statuses: dict[str, int] = field(default_factory=dict)
    other_protocols: tuple[str, ...] = ()
    is_query_compatible: bool = False  # it had the protocol `query` first, whose codes its errors keep


def load_service_model(name: str) -> ServiceModel:
    """Loads the bundled model of a service (`batch`, `ecs`, `yard`, ...); FileNotFoundError for any other name."""
    for directory in MODEL_DIRECTORIES:
        path = directory / f"{name}.json"
        if path.is_file():
            return read_service_model(path)
    raise FileNotFoundError(f"no service model named {name!r} in {', '.join(map(str, MODEL_DIRECTORIES))}")


def read_service_model(path: Path) -> ServiceModel:
    """Reads the model in a file of botocore's format."""
    return build_service_model(msgspec.json.decode(path.read_bytes()))


def build_service_model(document: dict[str, Any]) -> ServiceModel:
    """Links a decoded `service-2.json`; AssertionError where it uses something this wire does not implement."""
    metadata = document["metadata"]
    shapes = _link_shapes(document["shapes"])
    protocols = metadata.get("protocols", [metadata["protocol"]])
    protocol = "json" if "json" in protocols else metadata["protocol"]
    return ServiceModel(
        name=metadata["endpointPrefix"],
        service_id=metadata.get("serviceId", metadata["endpointPrefix"]),
        signing_name=metadata.get("signingName", metadata["endpointPrefix"]),
        protocol=protocol,
        json_version=metadata.get("jsonVersion", "1.0"),
        target_prefix=metadata.get("targetPrefix", ""),
        version=metadata.get("apiVersion", ""),
        xml_namespace=metadata.get("xmlNamespace", ""),
        operations={name: _operation(raw, shapes) for name, raw in document["operations"].items()},
        shapes=shapes,
        error_statuses=_error_statuses(document["shapes"]),
        other_protocols=tuple(other for other in protocols if other != protocol),
        is_query_compatible="awsQueryCompatible" in metadata,
    )


def _error_statuses(raw_shapes: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Returns the statuses of a model's errors, by code: the shape's name, unless the error has a code of its own."""
    errors = ((name, raw.get("error", {})) for name, raw in raw_shapes.items() if raw.get("exception"))
    return {error.get("code", name): error["httpStatusCode"] for name, error in errors if "httpStatusCode" in error}


def _operation(raw: dict[str, Any], shapes: dict[str, Shape]) -> OperationModel:
    http = raw["http"]
    output = shapes[raw["output"]["shape"]] if "output" in raw else None
    if output is not None:
        placed = [member.name for member in output.members.values() if member.location != "body"]
        assert not placed, f"{raw['name']}: output members outside the body are not implemented: {placed}"
    return OperationModel(
        name=raw["name"],
        method=http["method"],
        request_uri=http["requestUri"],
        status=http.get("responseCode", 200),
        input=shapes[raw["input"]["shape"]] if "input" in raw else None,
        output=output,
        errors=tuple(error["shape"] for error in raw.get("errors", ())),
        result_wrapper=raw.get("output", {}).get("resultWrapper", ""),
    )


def _link_shapes(raw_shapes: dict[str, dict[str, Any]]) -> dict[str, Shape]:
    # Shapes may refer to themselves, so all exist before any is linked.
    shapes: dict[str, Shape] = {}
    for name, raw in raw_shapes.items():
        assert raw["type"] in KNOWN_TYPES, f"shape {name}: type {raw['type']} is not implemented"
        assert "payload" not in raw, f"shape {name}: payload members are not implemented"
        shapes[name] = Shape(
            name=name,
            type=raw["type"],
            enum=tuple(raw.get("enum", ())),
            minimum=raw.get("min"),
            maximum=raw.get("max"),
            pattern=raw.get("pattern"),
            timestamp_format=raw.get("timestampFormat"),
            flattened=raw.get("flattened", False),
            error_code=raw.get("error", {}).get("code", ""),
        )
    for name, raw in raw_shapes.items():
        shape = shapes[name]
        if shape.type == "structure":
            required = frozenset(raw.get("required", ()))
            shape.members = {key: _member(key, ref, key in required, shapes) for key, ref in raw["members"].items()}
        elif shape.type == "list":
            shape.element = shapes[raw["member"]["shape"]]
            shape.element_name = raw["member"].get("locationName", "")
        elif shape.type == "map":
            shape.key = shapes[raw["key"]["shape"]]
            shape.element = shapes[raw["value"]["shape"]]
            shape.key_name = raw["key"].get("locationName", "")
            shape.element_name = raw["value"].get("locationName", "")
    return shapes


def _member(name: str, raw: dict[str, Any], required: bool, shapes: dict[str, Shape]) -> Member:
    location = raw.get("location", "body")
    assert location in KNOWN_LOCATIONS, f"member {name}: location {location} is not implemented"
    # SDKs fill an idempotency token by themselves; a caller without an SDK need not.
    required = required and not raw.get("idempotencyToken", False)
    wire_name, query_name = raw.get("locationName", name), raw.get("queryName", "")
    return Member(name, shapes[raw["shape"]], required, location, wire_name, query_name)
