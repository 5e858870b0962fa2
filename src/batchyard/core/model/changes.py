"""What a batch changed, and what a machine starts from: all records together, as the store takes and gives them."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from batchyard.core.model.deliveries import DeliveryState, Message
from batchyard.core.model.executions import Execution, Frame, HistoryEvent, MapRun
from batchyard.core.model.fact_kinds import Cursor, Fact
from batchyard.core.model.records import Definition, Environment, Job, JobSpec, Queue

Key = TypeVar("Key")
Value = TypeVar("Value")


class Changes(Struct):
    """Everything one batch of commands changed: written in one transaction. `None` means deleted."""

    environments: dict[str, Environment | None] = {}
    queues: dict[str, Queue | None] = {}
    definitions: dict[tuple[str, int], Definition | None] = {}
    specs: list[JobSpec] = []
    jobs: dict[int, Job] = {}
    job_tags: dict[int, dict[str, str]] = {}  # by key of the top-level job
    next_key: int = 0
    revisions: dict[str, int] = {}  # highest revision ever given, by definition name
    documents: dict[tuple[str, str], Struct | None] = {}  # by (kind, name), see core.model.documents
    deliveries: dict[int, DeliveryState | None] = {}  # by sequence
    messages: dict[int, Message] = {}  # of new `deliveries`, by sequence
    executions: dict[int, Execution] = {}  # by key
    frames: dict[tuple[int, int], Frame | None] = {}  # by key of the execution and id
    history: list[HistoryEvent] = []  # appended; of each execution by id
    map_runs: dict[str, MapRun] = {}  # by ARN
    facts: list[Fact] = []  # in the order in which it happened
    fact_sequence: int = 0  # of `facts`: above that of every earlier transaction with facts
    cursors: dict[str, Cursor | None] = {}  # by consumer of facts
    forgotten_facts: int = 0  # facts of this sequence and before are not asked for any more

    def is_empty(self) -> bool:
        registry = self.environments or self.queues or self.definitions or self.documents
        jobs = self.specs or self.jobs or self.job_tags
        workflows = self.executions or self.frames or self.history or self.map_runs
        return not (registry or jobs or workflows or self.facts or self.cursors or self.deliveries)

    def absorb(self, other: Changes) -> None:
        """Adds what another machine changed in the same batch. No record belongs to two machines."""
        _unite(self.environments, other.environments)
        _unite(self.queues, other.queues)
        _unite(self.definitions, other.definitions)
        _unite(self.jobs, other.jobs)
        _unite(self.job_tags, other.job_tags)
        _unite(self.revisions, other.revisions)
        _unite(self.documents, other.documents)
        _unite(self.deliveries, other.deliveries)
        _unite(self.messages, other.messages)
        _unite(self.executions, other.executions)
        _unite(self.frames, other.frames)
        _unite(self.map_runs, other.map_runs)
        self.history += other.history
        self.specs += other.specs
        self.facts += other.facts
        self.next_key = max(self.next_key, other.next_key)


def _unite(mine: dict[Key, Value], others: dict[Key, Value]) -> None:
    both = mine.keys() & others.keys()
    assert not both, f"two machines changed the records {both}"
    mine |= others


class Snapshot(Struct):
    """The state from which a machine starts: everything unfinished, and what can still be asked about finished jobs."""

    environments: list[Environment] = []
    queues: list[Queue] = []
    definitions: list[Definition] = []
    revisions: dict[str, int] = {}
    specs: list[JobSpec] = []  # of all unfinished top-level jobs (parents of unfinished arrays included)
    jobs: list[Job] = []  # unfinished rows: single jobs, parents, children
    finished: dict[str, str] = {}  # job id -> final status, of dependencies named by `specs` that are finished
    idempotency: dict[str, tuple[str, int]] = {}  # stored key -> (job id, created_at_ms), of the last hour
    next_key: int = 1
    last_time_ms: int = 0
    documents: dict[tuple[str, str], Struct] = {}  # by (kind, name)
    deliveries: list[DeliveryState] = []  # by sequence
    executions: list[Execution] = []  # open ones, by key
    frames: list[Frame] = []  # of open executions
    history_ends: dict[int, int] = {}  # the highest id of an event, by key of an open execution
    map_runs: list[MapRun] = []  # open ones
    next_execution_key: int = 1
    cursors: dict[str, Cursor] = {}  # by consumer of facts
    fact_sequence: int = 0  # the highest ever used
