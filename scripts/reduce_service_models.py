"""Make the reduced service models under src/batchyard/vendor/service_models from the installed botocore.

    python scripts/reduce_service_models.py [--out DIRECTORY] [--models DIRECTORY]

A reduced model keeps what the wire needs (operations, shapes, constraints) and drops what it does not
(documentation, operations that we do not serve and the shapes only they use). Services and their operations are those
of the descriptors in `batchyard.api.services`. The result depends on them and on the botocore version alone: the same
version writes the same bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import botocore
from botocore.loaders import Loader

from batchyard.api.service_descriptor import ServiceDescriptor
from batchyard.api.services import SERVICES

DROPPED_KEYS = frozenset({"documentation", "documentationUrl", "deprecatedMessage"})
DEFAULT_OUT = Path(__file__).resolve().parent.parent / "src" / "batchyard" / "vendor" / "service_models"

README = """\
# Reduced AWS service models

These files describe AWS operations and their shapes. They are made by `scripts/reduce_service_models.py`
from the service models that botocore carries; documentation, examples and operations that are not served are left out.
To refresh them, install another botocore and run the script; do not edit them by hand.

- Files: `{files}`
- Origin: botocore {version}, https://github.com/boto/botocore (`botocore/data/<service>/<date>/service-2.json`)
- Licence: Apache License 2.0 (the text is in the LICENSE file at the root of this repository); see `NOTICE`
"""
NOTICE = """\
The service models in this directory are derived from botocore {version}.

Botocore
Copyright 2012-2022 Amazon.com, Inc. or its affiliates. All Rights Reserved.

Licensed under the Apache License, Version 2.0. Modified: documentation, examples, and operations and shapes
that are not served have been removed.
"""


def strip(value: Any, *, names: bool = False) -> Any:
    """`value` without documentation; the keys of a `names` mapping are member or shape names and all stay."""
    if isinstance(value, dict):
        return {
            key: strip(inner, names=key in ("members", "shapes", "operations") and not names)
            for key, inner in value.items()
            if names or key not in DROPPED_KEYS
        }
    if isinstance(value, list):
        return [strip(inner) for inner in value]
    return value


def referenced_shapes(value: Any) -> list[str]:
    """Every shape name that `value` (an operation or a shape) refers to, in its order."""
    if isinstance(value, dict):
        own = [value["shape"]] if isinstance(value.get("shape"), str) else []
        return own + [name for inner in value.values() for name in referenced_shapes(inner)]
    if isinstance(value, list):
        return [name for inner in value for name in referenced_shapes(inner)]
    return []


def reduce_model(model: dict[str, Any], kept_operations: tuple[str, ...] | None) -> dict[str, Any]:
    """The model with only `kept_operations` (None: all), the shapes they reach, and no documentation."""
    operations = {
        name: strip(operation)
        for name, operation in model["operations"].items()
        if kept_operations is None or name in kept_operations
    }
    reached: set[str] = set()
    pending = referenced_shapes(operations)
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending.extend(referenced_shapes(model["shapes"][name]))
    return {
        "origin": f"botocore {botocore.__version__}",
        "version": model["version"],
        "metadata": strip(model["metadata"]),
        "operations": operations,
        "shapes": {name: strip(shape) for name, shape in model["shapes"].items() if name in reached},
    }


def render(model: dict[str, Any]) -> str:
    """JSON with one operation or shape a line: compact, and a new botocore shows as a readable diff."""
    blocks = []
    for key, value in model.items():
        if key in ("operations", "shapes"):
            lines = ",\n".join(f"{json.dumps(name)}:{compact(inner)}" for name, inner in value.items())
            blocks.append(f"{json.dumps(key)}:{{\n{lines}\n}}")
        else:
            blocks.append(f"{json.dumps(key)}:{compact(value)}")
    return "{" + ",\n".join(blocks) + "}\n"


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def kept_operations(service: ServiceDescriptor) -> tuple[str, ...] | None:
    """The operations that the reduced model keeps; None: all, so that those not built are refused by name."""
    return None if service.is_model_whole else tuple(service.operations)


def write_all(out: Path, models: Path | None = None) -> None:
    """Write every reduced model, README.md and NOTICE into `out`. `models`: a directory of more models in the layout of
    botocore's data, for services that the installed botocore does not have."""
    out.mkdir(parents=True, exist_ok=True)
    search_paths = [Loader.BUILTIN_DATA_PATH, *([str(models)] if models else [])]
    loader = Loader(include_default_search_paths=False, extra_search_paths=search_paths)
    services = [service for service in SERVICES.values() if service.is_of_aws]
    for service in services:
        model = reduce_model(
            loader.load_service_model(service.sdk_name or service.name, "service-2"), kept_operations(service)
        )
        (out / f"{service.name}.json").write_text(render(model), encoding="utf-8")
    files = "`, `".join(f"{service.name}.json" for service in services)
    (out / "README.md").write_text(README.format(files=files, version=botocore.__version__), encoding="utf-8")
    (out / "NOTICE").write_text(NOTICE.format(version=botocore.__version__), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="the directory to write to")
    parser.add_argument("--models", type=Path, help="a directory of more models than botocore's")
    arguments = parser.parse_args()
    write_all(arguments.out, arguments.models)
