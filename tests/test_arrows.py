"""Who may import whom: the arrows between the rooms, and what keeps the core pure."""

import ast

import pytest

from batchyard.docsgen import rooms
from batchyard.docsgen.imports import core_arrows, core_room, imported_names, modules
from batchyard.docsgen.rooms import CORE_ORDER

ROOMS = {room.name for room in rooms.ROOMS}
MAY_IMPORT = rooms.may_import()
MAX_CORE_ARROWS = 60  # between rooms of the core: beyond it the rooms no longer divide anything
MAX_CORE_FLOORS = 9  # the longest chain of rooms, each importing the next
PURE_ROOMS = {
    "core",
    "machines",
    "alarms",
    "job_metrics",
    "timers",
    "deliveries",
    "evaluators",
    "events",
    "schedules",
    "topics",
    "iam",
    "workflows",
    "analysis",
}
# fmt: off
CORE_LIBRARY = {
    "__future__", "abc", "base64", "bisect", "collections", "dataclasses", "datetime", "decimal", "enum", "functools",
    "hashlib", "heapq", "ipaddress", "itertools", "math", "msgspec", "operator", "re", "types", "typing", "uuid",
}
# The core's only ways out that need no import. `hash` of a string differs from process to process.
IMPURE_CALLS = {
    "open", "print", "input", "eval", "exec", "compile", "__import__", "globals", "breakpoint", "hash", "id",
}
# fmt: on
# What else the evaluators need: their languages speak of JSON and dates. A time zone is passed in, as the time is.
# JSONata is evaluated by libraries that are pure where they are given time and seed.
EVALUATOR_LIBRARY = CORE_LIBRARY | {"calendar", "contextlib", "datetime", "json", "jlens", "jsonata", "sys"}
CLOCK_METHODS = {"now", "today", "utcnow"}  # of datetime and date
# Libraries that belong to one room. The server asks for versions only.
OWNED_LIBRARIES = {
    "sqlite3": ("store", "server"),
    "sqlalchemy": ("store", "server"),
    "psycopg": ("store", "server"),
    "jlens": ("evaluators",),
    "jsonata": ("evaluators",),
    "boto3": (),
    "botocore": (),
    "moto": (),
}


def below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def runs_upward(inner: str, target: str) -> bool:
    """Whether the core's module `inner` imports a room of the core that is above its own, or one without a place."""
    room, imported = core_room(inner), core_room(target)
    if not imported or imported == room:
        return False
    if room not in CORE_ORDER or imported not in CORE_ORDER:
        return True
    return CORE_ORDER.index(imported) > CORE_ORDER.index(room)


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """What `source`, as the module of that full dotted name (`batchyard.core.machine`), may not do."""
    tree = ast.parse(source)
    inner = module.removeprefix("batchyard").removeprefix(".")
    room = inner.split(".")[0]
    if room not in ROOMS | {""}:
        return [f"{module}: {room} is no room of the design"]
    rule = max((key for key in MAY_IMPORT if below(inner, key)), key=len, default="")
    allowed = ("version", room, *MAY_IMPORT.get(rule, ()))
    found = []
    for line, name in imported_names(tree, module, is_package):
        top = name.split(".")[0]
        target = name.removeprefix("batchyard").removeprefix(".")
        if top == "batchyard":
            if not any(below(target, arrow) for arrow in allowed):
                found.append(f"{module}:{line}: {rule or 'the package'} may not import {target or 'the whole package'}")
            elif room == "core" and runs_upward(inner, target):
                found.append(f"{module}:{line}: core.{core_room(inner)} is below core.{core_room(target)}")
        elif room in PURE_ROOMS and top not in (EVALUATOR_LIBRARY if room == "evaluators" else CORE_LIBRARY):
            found.append(f"{module}:{line}: {room} is pure and may not import {top}")
        elif room not in OWNED_LIBRARIES.get(top, (room,)):
            found.append(f"{module}:{line}: {top} is not for {room}")
    for node in ast.walk(tree) if room in PURE_ROOMS else ():
        # Methods named like a built-in are fine, and so is hash() where Python asks for it.
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            found.append(f"{module}:{node.lineno}: {room} is pure and may not call {node.func.id}()")
        if isinstance(node, ast.Attribute) and node.attr in CLOCK_METHODS and room == "evaluators":
            found.append(f"{module}:{node.lineno}: {room} is given the time and may not read it ({node.attr})")
    return found


def test_every_module_keeps_to_its_arrows() -> None:
    assert len(modules()) > 5
    found = []
    for path, module, is_package in modules():
        found += violations(path.read_text(), module, is_package)
    assert not found, "\n".join(found)


def test_who_runs_where_is_decided_in_the_core_alone() -> None:
    """Simulations use the scheduler of the service: no other room has functions of its names."""
    deciding = ("scheduling/scheduler.py", "capacity/allocation.py", "state/placement.py", "state/fairshare.py")
    others = {"planning", "simulator", "analysis"}
    paths = {
        path: ast.parse(path.read_text())
        for path, _, _ in modules()
        if str(path).endswith(deciding) or others & set(path.parts)
    }

    def defined(tree: ast.Module) -> set[str]:
        found = (node.name for node in tree.body if isinstance(node, ast.FunctionDef))
        return {name for name in found if not name.startswith("_")}

    names = {name for path, tree in paths.items() if str(path).endswith(deciding) for name in defined(tree)}
    assert {"run_pass", "place_nodes"} <= names, "the modules have moved"
    for path, tree in paths.items():
        if others & set(path.parts):
            assert not names & defined(tree), f"{path} has rules of its own for who runs where"


def test_the_core_has_few_arrows_and_few_floors() -> None:
    arrows = core_arrows()
    floors: dict[str, int] = {}
    for room in CORE_ORDER:  # whatever a room imports comes before it
        floors[room] = 1 + max((floors[imported] for imported in arrows[room]), default=0)
    assert sum(map(len, arrows.values())) <= MAX_CORE_ARROWS
    assert max(floors.values()) <= MAX_CORE_FLOORS


REFUSED = [
    ("core.machine", "from batchyard.store import writer"),
    ("core.machine", "from batchyard import wire"),
    ("core.machine", "import batchyard.wire.sigv4"),
    ("core.machine", "from ..loop import inbox"),
    ("core.machine", "def f():\n    import time"),
    ("core.machine", "from os import path"),
    ("core.machine", "import asyncio"),
    ("timers.machine", "import time"),
    ("timers.machine", "from batchyard.core.state import world"),
    ("evaluators.schedules", "from batchyard.core.state import world"),
    ("evaluators.schedules", "import zoneinfo"),
    ("evaluators.schedules", "import datetime\n\nat = datetime.datetime.now()"),
    ("core.machine", "import json"),
    ("core.machine", "import random, enum"),
    ("core.machine", "text = open('x').read()"),
    ("core.machine", "print(1)"),
    ("core.state.world", "from batchyard.core.jobs import submission"),
    ("core.model.records", "from batchyard.core.capacity.prices import Prices"),
    ("core.machine", "from batchyard.core.attic import rules"),
    ("wire.router", "from batchyard.core.model import records"),
    ("store.writer", "from batchyard.engines import base"),
    ("engines.process", "from batchyard.store import queries"),
    ("loop.loop", "from batchyard.store import queries"),
    ("loop.loop", "from batchyard.engines.process import Engine"),
    ("loop.loop", "from batchyard.observe import logs"),
    ("api.jobs", "from batchyard.store.writer import Writer"),
    ("api.jobs", "from batchyard.store import *"),
    ("api.jobs", "import sqlalchemy as sa"),
    ("observe.logs", "from batchyard.api import render"),
    ("workflows.machine", "from batchyard.wire import model"),
    ("console.pages", "from batchyard.api import jobs"),
    ("simulator.world", "from batchyard.engines import process"),
    ("simulator.world", "from batchyard.store.writer import Writer"),
    ("cli.jobs", "from batchyard.server import config"),
    ("cli.jobs", "import boto3"),
    ("server.app", "import batchyard.__main__"),
    ("__main__", "from batchyard.core import machine"),
    ("core", "from ..wire import model"),
    ("", "from batchyard.server import app"),
    ("helpers.text", "import re"),
]
ACCEPTED = [
    (
        "core.machine",
        "from batchyard.core.model import records\nfrom .state import world\nfrom collections.abc import Iterable",
    ),
    ("evaluators.schedules", "import datetime\nimport json\nfrom batchyard.core.model.refusal import Refused"),
    ("core.jobs.attempts", "from batchyard.core.state import world\nfrom batchyard.core.jobs import completion"),
    ("core.machine", "import msgspec\nimport enum\n\ndef f(file):\n    file.open()"),
    ("store.writer", "from batchyard.core.model.records import Job\nimport sqlalchemy as sa"),
    ("loop.loop", "from batchyard.engines.base import Engine\nfrom batchyard.store.writer import Writer"),
    ("api.jobs", "from batchyard.store import queries\nfrom ..wire.errors import refused"),
    ("workflows.machine", "from batchyard.evaluators.states.scope import Scope"),
    ("console.pages", "from batchyard.api.batch.render import job"),
    ("simulator.world", "from batchyard.engines.fake import Fake"),
    ("cli.jobs", "from batchyard.wire.sigv4 import sign\nfrom batchyard.version import VERSION"),
    ("server.app", "from batchyard.engines.process import Engine\nfrom batchyard import cli"),
    ("__main__", "def main():\n    from batchyard.cli.app import app"),
    ("", "from batchyard.version import VERSION"),
]


@pytest.mark.parametrize(("module", "source"), REFUSED)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    assert violations(source, f"batchyard.{module}".rstrip("."), is_package=module in ("core", ""))


@pytest.mark.parametrize(("module", "source"), ACCEPTED)
def test_an_allowed_import_is_accepted(module: str, source: str) -> None:
    assert violations(source, f"batchyard.{module}".rstrip("."), is_package=module in ("core", "")) == []
