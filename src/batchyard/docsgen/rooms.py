"""The rooms of the source and the arrows between them: what tests/test_arrows.py enforces and the docs show."""

from __future__ import annotations

from msgspec import Struct


class Room(Struct, frozen=True):
    """One room: a package or a module directly below src/batchyard.

    `may_import`: the parts of batchyard that it may import besides itself and the version. A name allows everything
    below it: `store.queries` allows store/queries.py, and not the rest of store/."""

    name: str
    does: str
    must_not_know: str
    may_import: tuple[str, ...] = ()
    is_module: bool = False
    is_planned: bool = False  # its arrows are fixed before it exists

    @property
    def path(self) -> str:
        return f"{self.name}.py" if self.is_module else f"{self.name}/"


EVERYTHING = "everything"  # in may_import: every room but the entry point and, for the server, the generator

ROOMS = (
    Room("core", "every decision: commands in, changed records and effects out", "clocks, files, SQL, networks"),
    Room("wire", "turns bytes into checked documents and back, from AWS's service models; signatures", "jobs"),
    Room(
        "api",
        "one function per operation: translates",
        "decisions",
        (
            "core",
            "wire",
            "store.queries",
            "store.logs",
            "store.metrics",
            "observe",
            "evaluators",
            "events",
            "schedules",
            "topics",
            "deliveries",
            "alarms",
            "iam",
            "workflows",
            "analysis",
        ),
    ),
    Room("store", "durable state, the only SQL: one writer, many readers", "what is decided", ("core",)),
    Room("engines", "run attempts; report facts", "why an attempt runs", ("core", "failpoints", "clock")),
    Room(
        "observe",
        "logs and task metadata, as clients may read them",
        "engines behind the seam",
        (
            "core",
            "wire",
            "store.queries",
            "store.logs",
            "engines.base",
            "evaluators",
        ),  # the log layout belongs to the seam
    ),
    Room(
        "evaluators",
        "what callers write and we evaluate: event patterns, schedules, alarms, queries; pure functions",
        "clocks, files, SQL, networks",
        ("core.model.refusal",),
    ),
    Room(
        "batch_systems",
        "the commands of Slurm and PBS as templates, and what their answers mean; pure functions",
        "clocks, files, networks, processes",
    ),
    Room(
        "loop",
        "the one loop: inbox, machine, commit, effects",
        "what is decided",
        ("core", "store.writer", "engines.base", "failpoints", "clock"),
    ),
    Room(
        "machines",
        "what the machines of the loop beside that of jobs are made of: documents, handlers, deadlines",
        "what is decided",
        ("core.model",),
    ),
    Room(
        "timers",
        "the machine of durable timers: a report to another machine when its time has come",
        "whose they are",
        ("core.model", "machines"),
    ),
    Room(
        "events",
        "the machine of EventBridge: buses, rules, targets, and what events make of them",
        "where events come from, how a message is sent",
        ("core.model", "machines", "evaluators", "timers", "deliveries", "topics"),
    ),
    Room(
        "schedules",
        "the machine of EventBridge Scheduler: groups, schedules, and what they fire",
        "how a message is sent",
        ("core.model", "machines", "evaluators", "timers", "deliveries", "topics", "events"),
    ),
    Room(
        "topics",
        "the machine of SNS: topics, subscriptions, and who gets a message",
        "how a message is sent",
        ("core.model", "machines", "evaluators", "deliveries"),
    ),
    Room(
        "alarms",
        "the machine of CloudWatch's alarms: their states, their history, and what follows from a change",
        "where metrics are kept",
        ("core.model", "machines", "evaluators", "topics", "events"),
    ),
    Room(
        "job_metrics",
        "the machines that count what jobs and executions do, by minute, and what a month used",
        "where metrics are kept",
        ("core.model", "machines"),
    ),
    Room(
        "deliveries",
        "the machine of messages on their way to targets outside: retries, order, giving up",
        "how a message is sent",
        ("core.model", "machines"),
    ),
    Room(
        "iam",
        "the machine of IAM: roles, policies and instance profiles, from which no right follows",
        "who calls, what they would allow",
        ("core.model", "machines"),
    ),
    Room(
        "workflows",
        "the machine of Step Functions: state machines, their executions, and what each step changes",
        "how a call is carried out",
        ("core.model", "evaluators"),
    ),
    Room(
        "analysis",
        "what the past teaches: costs, right sizes, what executions did and where their time went; pure functions",
        "clocks, files, SQL, networks",
    ),
    Room(
        "planning",
        "what would happen: the machine of jobs under simulated time, fed with traces, history or mixes",
        "clocks, SQL, networks; rules of its own for who runs where",
        ("core", "analysis"),
    ),
    Room(
        "console",
        "the web console: pages made of api documents and store queries",
        "decisions, SQL, HTTP",
        (
            "analysis",
            "core.model",
            "core.questions",
            "wire.messages",
            "api.context",
            "api.operations",
            "api.readers",
            "api.batch.render",
            "evaluators.schedules",
            "store.queries",
            "observe",
        ),
    ),
    Room("clock", "the time of service and supervisor, which never goes back", "everything else", is_module=True),
    Room("failpoints", "named points where tests make a process fail", "everything else", is_module=True),
    Room("server", "puts the rooms together; HTTP, access, settings, its own commands", "", (EVERYTHING,)),
    Room(
        "cli",
        "the commands for people: a client of our own endpoint",
        "the server",
        ("wire", "analysis", "planning", "core.capacity"),
    ),
    Room(
        "simulator",
        "random worlds under virtual time, in which core and loop are checked",
        "processes, files, SQL",
        ("core", "loop", "workflows", "store.codec", "engines.base", "engines.fake", "engines.event_queue"),
    ),
    Room("docsgen", "generates the reference, the compatibility page and these tables", "", (EVERYTHING,)),
    Room("vendor", "AWS's service models and other data", "everything else"),
    Room("version", "the version, which every room may import", "everything else", is_module=True),
    Room("__main__", "the entry point of the program", "", ("cli", "server"), is_module=True),
)

# A more precise line replaces its room's.
PART_MAY_IMPORT = {
    "store.metrics": ("core", "evaluators.metrics.samples"),
}

# The rooms of the core from the bottom to the top: each may import those before it. `machine` and `recovery` are
# modules, and dispatch to all of them.
CORE_ORDER = (
    "model",
    "capacity",
    "tasks",
    "state",
    "secrets",
    "scheduling",
    "service_jobs",
    "jobs",
    "instances",
    "registry",
    "questions",
    "recovery",
    "machine",
)
CORE_DOES = {
    "model": "records, commands, effects, names, amounts",
    "capacity": "instance types, prices, which instance to launch",
    "tasks": "from a definition to what runs",
    "state": "the world in memory",
    "secrets": "secrets and parameters",
    "scheduling": "who starts, where, and why others wait",
    "service_jobs": "service environments, service jobs and quota shares",
    "jobs": "the life of a job, from submission to its end",
    "instances": "the life of an instance",
    "registry": "queues, environments, definitions, policies",
    "questions": "answers that change nothing",
    "recovery": "the world from the store",
    "machine": "dispatches commands to all of them",
}


def may_import() -> dict[str, tuple[str, ...]]:
    """Returns what each room, or part of a room, may import, with EVERYTHING spelled out."""
    found = {}
    for room in ROOMS:
        everything = {other.name for other in ROOMS} - {"__main__", *({"docsgen"} if room.name != "docsgen" else ())}
        found[room.name] = tuple(sorted(everything)) if EVERYTHING in room.may_import else room.may_import
    return {**found, **PART_MAY_IMPORT}


def arrows_of(room: Room) -> str:
    """Returns what a room may import, as the tables show it."""
    if EVERYTHING in room.may_import:
        return "everything" if room.name == "docsgen" else "everything but `docsgen`"
    return ", ".join(f"`{name}`" for name in room.may_import) or "nothing of ours"
