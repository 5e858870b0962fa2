"""Generates docs/compatibility.md: what is done with every operation, and with each member of the main requests on each
engine.

The words are those of compatibility_table; whether an engine refuses a member is found by the code itself: each
sample is registered and submitted to a machine in memory whose only engine has that engine's abilities."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from batchyard.api.batch.jobs import submission
from batchyard.api.batch.rules.definition_rules import check_definition
from batchyard.api.context import Call, Context
from batchyard.api.service_descriptor import ServiceDescriptor
from batchyard.core.machine import Machine
from batchyard.core.model import commands
from batchyard.core.model.commands import Answer, Command
from batchyard.core.model.names import Account
from batchyard.core.model.records import Abilities, EnvironmentOrder, Instance
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import Resources
from batchyard.core.state.world import Limits
from batchyard.docsgen.compatibility_table import FIELDS, PLAIN, ROLE, SAMPLES, MemberSupport, Sample
from batchyard.engines.docker.engine import DockerEngine
from batchyard.engines.process import ProcessEngine
from batchyard.server.launch.cipher import KeyFileCipher
from batchyard.store.logs.log_reader import LogReader
from batchyard.store.logs.log_writer import LogWriter
from batchyard.store.queries import Reader
from batchyard.wire.messages import Document
from batchyard.wire.model import ServiceModel, Shape

ENGINES: dict[str, Abilities] = {"process": ProcessEngine.abilities, "docker": DockerEngine.abilities}
# The requests whose members have a line each, and what their shapes are about.
MAIN_OPERATIONS = ("RegisterJobDefinition", "SubmitJob", "CreateComputeEnvironment", "CreateJobQueue")
# Of these nothing depends on the engine.
WITHOUT_ENGINES = ("CreateComputeEnvironment", "CreateJobQueue")


ACCOUNT = Account("123456789012", "us-east-1")
QUEUE, DEFINITION = "queue", "example"
HOST = Instance("i-0123456789abcdef0", Resources(64_000, 65_536, 1), (0,))  # larger than any sample
# The beginning of every reason of an engine; on this page it would be in every line.
FILE_SYSTEMS = {"fs-1": "/v"}  # as the owner would map the directory of the samples
PREFIX = f"No compute environment of job queue {QUEUE} can run this job: "


# -- asking the code --


def refusal(sample: Sample, engine: str, abilities: Abilities) -> str:
    """Returns the refusal of the sample where `engine` is the only engine; empty: it is accepted."""
    try:
        _submit(sample, engine, abilities)
    except Refused as refused:
        return refused.message.removeprefix(PREFIX)
    return ""


def _submit(sample: Sample, engine: str, abilities: Abilities) -> None:
    document = _definition(sample)
    check_definition(document, min_timeout_seconds=60)
    machine = Machine(ACCOUNT, Limits(file_systems=FILE_SYSTEMS))
    machine.handle(commands.SetHost(HOST, {engine: abilities}), 1)
    fargate: Document = {"computeResources": {"type": "FARGATE", "maxvCpus": 16}}
    machine.handle(
        commands.CreateComputeEnvironment(
            name="environment",
            uuid="00000000-0000-4000-8000-000000000001",
            type="MANAGED" if sample.on_fargate else "UNMANAGED",
            state="ENABLED",
            engine=engine,
            document={"serviceRole": ROLE} | (fargate if sample.on_fargate else {}),
        ),
        1,
    )
    order = (EnvironmentOrder(1, "environment"),)
    machine.handle(commands.CreateJobQueue(name=QUEUE, state="ENABLED", priority=1, environments=order), 1)
    machine.handle(commands.RegisterJobDefinition(DEFINITION, document), 1)
    request = {"jobName": "job", "jobQueue": QUEUE, "jobDefinition": DEFINITION} | sample.submit
    machine.handle(asyncio.run(submission(_context(), Call("SubmitJob"), request)), 1)


def _definition(sample: Sample) -> Document:
    document: Document = {"type": "container"} | sample.definition
    if sample.container is not None:
        document["containerProperties"] = PLAIN | sample.container
    elif sample.task is not None:
        containers = [PLAIN | {"name": "one"} | sample.one, *([PLAIN | {"name": "other"}] if sample.other else [])]
        document["ecsProperties"] = {"taskProperties": [{"containers": containers} | sample.task]}
    return document


def _context() -> Context:
    """Returns the context of a service that stores nothing."""

    async def ask(command: Command[Answer]) -> Answer:
        raise AssertionError(f"a sample asks nothing, and yet: {command!r}")

    reader = SimpleNamespace(definitions=lambda *_, **__: ([], None))
    return Context(
        account=ACCOUNT,
        ask=ask,
        reader=cast(Reader, reader),
        new_uuid=lambda: "00000000-0000-4000-8000-000000000002",
        logs_directory=Path("/"),
        cipher=cast(KeyFileCipher, None),
        log_writer=cast(LogWriter, None),
        log_reader=cast(LogReader, None),
    )


@cache
def refusals(path: str) -> dict[str, str]:
    """Returns the refusals of a member such as LinuxParameters.tmpfs, by engine; none for members without a sample."""
    sample = SAMPLES.get(path)
    if sample is None:
        return {}
    found = {engine: refusal(sample, engine, abilities) for engine, abilities in ENGINES.items()}
    return {engine: message for engine, message in found.items() if message}


# -- the table --


def member_support(shape: str) -> dict[str, MemberSupport]:
    """Returns the table's lines of a shape, by member."""
    return {member: line for members, line in FIELDS.get(shape, {}).items() for member in members.split()}


class Requests:
    """The structures in the main requests of Batch, and the engines that refuse a whole structure because they
    refuse every way to it."""

    def __init__(self, batch: ServiceModel) -> None:
        self.by_operation: dict[str, list[Shape]] = {}
        self._ways: dict[str, list[tuple[str, str]]] = {}  # shape -> (shape, member) that lead to it
        self._known: dict[str, set[str]] = {}
        seen: set[str] = set()
        for name in MAIN_OPERATIONS:
            root = batch.operations[name].input
            assert root is not None, f"{name} has no request"
            self._ways.setdefault(root.name, [])
            found: list[Shape] = []
            self.by_operation[name] = found
            self._collect(root, found, seen)

    def _collect(self, shape: Shape, found: list[Shape], seen: set[str]) -> None:
        if shape.name in seen:
            return
        seen.add(shape.name)
        found.append(shape)
        for member in shape.members.values():
            inner = member.shape
            while inner.type in ("list", "map"):
                assert inner.element is not None, f"shape {inner.name} has no element"
                inner = inner.element
            if inner.type == "structure":
                self._ways.setdefault(inner.name, []).append((shape.name, member.name))
                self._collect(inner, found, seen)

    def shapes(self) -> list[Shape]:
        return [shape for shapes in self.by_operation.values() for shape in shapes]

    def ways(self, shape: str) -> list[tuple[str, str]]:
        """Returns the members, each with its shape, whose value is or contains this shape."""
        return self._ways[shape]

    def refusing(self, shape: str) -> set[str]:
        """Returns the engines that refuse everything that needs this shape."""
        if shape not in self._known:
            self._known[shape] = set()  # of a shape inside itself
            ways = [refusals(f"{outer}.{member}").keys() | self.refusing(outer) for outer, member in self._ways[shape]]
            self._known[shape] = set.intersection(*map(set, ways)) if ways else set()
        return self._known[shape]


# -- the page --


HEAD = """\
# Compatibility

What is done with each operation and each member of the main requests, and where that differs from AWS. Whether an
engine refuses something is asked of the code when this page is made. On the engine `process` a job is a process tree of
this machine, on `docker` containers of Docker.

- **yes**: as on AWS.
- **partly**: as on AWS but for what the note says.
- **recorded**: checked as on AWS, kept and described; nothing else happens.
- **refused**: a job that needs it is refused by SubmitJob with `ClientException`, saying so; in a job definition it is
  checked, kept and described. Nothing is dropped in silence.

What is accepted beyond AWS is listed under [behaviour](behaviour.md#what-we-accept-beyond-aws), deviations that are not
about one member [there too](behaviour.md#where-we-differ), and what AWS leaves open is
[decided there](behaviour.md#what-aws-leaves-open).
"""


def page(services: Sequence[ServiceDescriptor], built: set[tuple[str, str]]) -> Iterator[str]:
    """Returns the lines of the page. `built`: (service, operation) of the implemented operations."""
    yield HEAD
    yield from _operations(services, built)
    requests = Requests(next(service.model for service in services if service.name == "batch"))
    for name, shapes in requests.by_operation.items():
        yield f"## {name}\n"
        for shape in shapes:
            yield from _shape(shape, requests.refusing(shape.name), () if name in WITHOUT_ENGINES else tuple(ENGINES))


def _operations(services: Sequence[ServiceDescriptor], built: set[tuple[str, str]]) -> Iterator[str]:
    yield "## Operations\n"
    yield "Requests and answers in full are in the [reference](reference/operations.md). What is not built is routed"
    yield "and checked, then answered with 400 `ClientException` saying so.\n"
    yield "| service | built | not built |"
    yield "|---|---|---|"
    for service in services:
        there = [name for name in service.model.operations if (service.name, name) in built]
        missing = [name for name in service.model.operations if (service.name, name) not in built]
        rest = _missing(missing) if service.is_model_whole or not service.is_of_aws else "the rest of the service"
        yield f"| {service.title} | {len(there)}: {', '.join(there)} | {rest} |"
    yield ""


def _missing(names: list[str]) -> str:
    return f"{len(names)}: {', '.join(names)}" if names else "nothing"


def _shape(shape: Shape, refusing: set[str], engines: tuple[str, ...]) -> Iterator[str]:
    """Returns the lines of a shape. `refusing`: the engines that refuse all of it; `engines`: the columns, none
    where engines make no difference."""
    yield f"### {shape.name}\n"
    if engines and refusing >= set(engines):
        yield f"Refused with what leads here. Members: {', '.join(shape.members)}.\n"
        return
    yield f"| member | {' | '.join(engines or ('here',))} | |"
    yield f"|---|{'---|' * len(engines or ('here',))}---|"
    lines = member_support(shape.name)
    for member in shape.members:
        found = refusals(f"{shape.name}.{member}")
        line = lines[member]
        cells = ["refused" if engine in {*found, *refusing} else str(getattr(line, engine)) for engine in engines]
        yield f"| {member} | {' | '.join(cells or [line.process])} | {_note(line, found, engines)} |"
    yield ""


def _note(line: MemberSupport, found: dict[str, str], engines: tuple[str, ...]) -> str:
    """Returns the table's note and the reasons of the engines that refuse; where all refuse, the reasons alone."""
    refused_by_all = engines and found.keys() == set(engines)
    notes = [] if refused_by_all else [line.note]
    if refused_by_all and len(set(found.values())) == 1:
        notes.append(found[engines[0]])
    else:
        notes += [text if f"the {engine} engine" in text else f"{engine}: {text}" for engine, text in found.items()]
    return " ".join(text for text in notes if text).replace("|", "\\|")
