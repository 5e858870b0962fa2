"""Converts records to rows and back: the only module that knows how records are stored in rows. Needs no database.

JSON with sorted keys: equal records give equal text, so that a digest over rows is a digest over state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache, reduce
from operator import or_
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo, asdict, fields, replace

# `recovery` imports every room of the core, and so registers the kinds of documents that they keep.
from batchyard.core import recovery  # noqa: F401
from batchyard.core.model import fact_kinds, names
from batchyard.core.model.changes import Changes
from batchyard.core.model.deliveries import DeliveryState, Message
from batchyard.core.model.documents import is_registered, record_type
from batchyard.core.model.executions import Execution, Frame, HistoryEvent, MapRun
from batchyard.core.model.fact_kinds import Cursor, Fact
from batchyard.core.model.records import ContainerLog, Definition, Environment, Job, JobSpec, Queue, TaskSpec, logs_of
from batchyard.core.model.resources import Resources

# (name, body)
DocumentRow = tuple[str, str]
# (kind, name, body)
KindRow = tuple[str, str, str]
# (name, revision, status, body)
DefinitionRow = tuple[str, int, str, str]
# In the order of tables.job_specs.
SpecRow = tuple[
    int, int, str, str, str, str, str, str | None, str, str, str | None, int, str, str
]  # key, last_key, job_id, name, name_lower, queue, definition, share, group, head, idempotency, created, tags, body
# (key, queue or None, status, created_at_ms, started_at_ms, stopped_at_ms, body)
JobRow = tuple[int, str | None, str, int, int, int, str]
# In the order of tables.executions.
ExecutionRow = tuple[int, str, str, str | None, str | None, str, int, str, str, str | None, str | None]
# (execution key, id of the first event, id of the last, body)
EventsRow = tuple[int, int, int, str]
# (arn, execution key, started_at_ms, status, body)
MapRunRow = tuple[str, int, int, str, str]

_encode = msgspec.json.Encoder(order="deterministic").encode
_environment = msgspec.json.Decoder(Environment).decode
_queue = msgspec.json.Decoder(Queue).decode
_definition = msgspec.json.Decoder(Definition).decode
_spec = msgspec.json.Decoder(JobSpec).decode
_job = msgspec.json.Decoder(Job).decode
_tags = msgspec.json.Decoder(dict[str, str]).decode
_cursor = msgspec.json.Decoder(Cursor).decode
_delivery_state = msgspec.json.Decoder(DeliveryState).decode
_message = msgspec.json.Decoder(Message).decode
_execution = msgspec.json.Decoder(Execution).decode
_frame = msgspec.json.Decoder(Frame).decode
_map_run = msgspec.json.Decoder(MapRun).decode

NO_TAGS = "{}"
MAX_EVENTS_OF_ROW = 50  # so that a page of a history reads little more than it shows

# What the decoders raise for text that this service did not write.
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, TypeError, ValueError, AssertionError, KeyError)
_LOST_TEXT = "Host EC2 (instance "  # how status_reason of a lost attempt begins in rows without `is_lost`
_FLAT_PLACEMENT = '"instance_id":'  # in a job's row: only those without placements and `is_lost` have it


def _as_declared(field: FieldInfo) -> Any:
    """Returns the same default for a field of another Struct."""
    if field.default is not msgspec.NODEFAULT:
        return msgspec.field(default=field.default)
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return msgspec.field()


# Listings show many jobs and nothing of what they run, which makes up most of a spec's text and of its decoding.
_LEFT_OUT_OF_LISTINGS = ("task", "container", "ecs_task", "node_groups", "node_properties", "pod")
_NO_TASK = TaskSpec((), (), Resources())
_ListedSpec = msgspec.defstruct(
    "_ListedSpec",
    [(one.name, one.type, _as_declared(one)) for one in fields(JobSpec) if one.name not in _LEFT_OUT_OF_LISTINGS],
    kw_only=True,
)
_listed_spec = msgspec.json.Decoder(_ListedSpec).decode


class _StoredEvent(Struct, frozen=True, array_like=True):
    """An event of a history, without the key of its execution."""

    id: int
    previous_event_id: int
    at_ms: int
    type: str
    details: dict[str, Any] | None


_events = msgspec.json.Decoder(list[_StoredEvent]).decode


class Rows(Struct):
    """The rows of one transaction. `deleted_*` are primary keys."""

    environments: list[DocumentRow] = []
    deleted_environments: list[tuple[str]] = []
    queues: list[DocumentRow] = []
    deleted_queues: list[tuple[str]] = []
    definitions: list[DefinitionRow] = []
    deleted_definitions: list[tuple[str, int]] = []
    revisions: list[tuple[str, int]] = []
    documents: list[KindRow] = []
    deleted_documents: list[tuple[str, str]] = []
    specs: list[SpecRow] = []
    jobs: list[JobRow] = []
    job_tags: list[tuple[str, int]] = []  # (tags, key)
    container_logs: list[tuple[str, str, int]] = []  # (log group, stream head, key)
    log_groups: list[tuple[str, int]] = []  # (name, created_at_ms) of groups that `specs` use
    pruned: list[tuple[int, int]] = []  # (key, last_key) of finished submissions that go with all their rows
    deliveries: list[tuple[int, str, str]] = []  # (sequence, state, message) of new ones
    delivery_states: list[tuple[str, int]] = []  # (state, sequence)
    deleted_deliveries: list[tuple[int]] = []
    executions: list[ExecutionRow] = []
    frames: list[tuple[int, int, str]] = []  # (execution key, id, body)
    deleted_frames: list[tuple[int, int]] = []
    events: list[EventsRow] = []
    map_runs: list[MapRunRow] = []
    pruned_executions: list[tuple[int]] = []  # (key) of closed executions that go with all their rows
    facts: list[tuple[int, str]] = []  # (sequence, body): one row, where there are any
    cursors: list[tuple[str, str]] = []  # (consumer, body)
    deleted_cursors: list[tuple[str]] = []
    forgotten_facts: list[tuple[int]] = []  # (sequence): it goes, and all before
    next_key: int = 0


def encode(record: Struct) -> str:
    """Returns the `body` of a record."""
    return _encode(record).decode()


def encode_tags(tags: dict[str, str]) -> str:
    return _encode(tags).decode() if tags else NO_TAGS


def decode_tags(text: str) -> dict[str, str]:
    return {} if text == NO_TAGS else _tags(text)


def decode_environment(body: str) -> Environment:
    return _environment(body)


def decode_queue(body: str) -> Queue:
    return _queue(body)


def decode_definition(body: str) -> Definition:
    return _definition(body)


def decode_document(kind: str, body: str) -> Struct:
    """Decodes a record of a kind that a room has registered (core.model.documents)."""
    record: Struct = _document_decoder(kind).decode(body)
    return record


@lru_cache
def _document_decoder(kind: str) -> msgspec.json.Decoder[Any]:
    assert is_registered(kind), f"the database has a document of the unknown kind {kind}"
    return msgspec.json.Decoder(record_type(kind))


def encode_facts(facts: Sequence[Fact]) -> str:
    """Encodes the facts of one transaction, in their order."""
    return _encode(facts).decode()


def decode_facts(body: str) -> list[Fact]:
    facts: list[Fact] = _fact_decoder(tuple(fact_kinds.kinds().values())).decode(body)
    return facts


@lru_cache
def _fact_decoder(kinds: tuple[type[Fact], ...]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(list[reduce(or_, kinds)])  # type: ignore[misc]


def decode_cursor(body: str) -> Cursor:
    return _cursor(body)


def decode_delivery_state(text: str) -> DeliveryState:
    return _delivery_state(text)


def decode_message(text: str) -> Message:
    return _message(text)


def decode_job(body: str) -> Job:
    return _job(body) if _FLAT_PLACEMENT not in body else _decode_flat_job(body)


def _decode_flat_job(body: str) -> Job:
    """Decodes a row of an earlier version, whose attempts contain their one instance themselves, and show only in
    `status_reason` that they were lost."""
    members = msgspec.json.decode(body)
    for attempt in members.get("past", ()):
        attempt["is_lost"] = attempt.get("status_reason", "").startswith(_LOST_TEXT)
    current = [members["attempt"]] if "attempt" in members else []
    for attempt in [*members.get("past", ()), *current]:
        attempt["placements"] = [(attempt.pop("instance_id"), attempt.pop("device_ids", ()))]
    return msgspec.convert(members, Job)


def decode_spec(body: str, tags: str) -> JobSpec:
    """Decodes a spec. `tags`: the text of the tags column, which alone has what TagResource changed."""
    spec = _spec(body)
    return spec if tags == NO_TAGS else replace(spec, tags=_tags(tags))


def decode_listed_spec(body: str, tags: str) -> JobSpec:
    """Decodes a spec without `task`, `container`, `ecs_task` and `pod`, which stay empty: a fifth of the work."""
    members = asdict(_listed_spec(body))
    if tags != NO_TAGS:
        members["tags"] = _tags(tags)
    return JobSpec(task=_NO_TASK, container={}, **members)


def spec_row(spec: JobSpec) -> SpecRow:
    logs = logs_of(spec)
    group, head = (logs[0].group, stream_head(logs[0])) if len(logs) == 1 else ("", "")
    return (
        spec.key,
        spec.key + spec.array_size,
        spec.job_id,
        spec.name,
        spec.name.lower(),
        spec.queue,
        spec.definition,
        spec.share_identifier or None,
        group,
        head,
        spec.idempotency_key or None,
        spec.created_at_ms,
        encode_tags(spec.tags),
        encode(replace(spec, tags={}) if spec.tags else spec),
    )


def stream_head(log: ContainerLog) -> str:
    """Returns what the names of a container's streams start with, up to the task id."""
    return names.log_stream(log.prefix, "", log.container)


def _container_logs(specs: Iterable[JobSpec]) -> list[tuple[str, str, int]]:
    several = [spec for spec in specs if len(spec.container_logs) > 1]
    return [(log.group, stream_head(log), spec.key) for spec in several for log in spec.container_logs]


def job_row(job: Job, queue: str | None) -> JobRow:
    """Encodes a job. `queue`: given for a top-level job's first row; later rows need not repeat it, since it never
    changes."""
    return (
        job.key,
        queue,
        job.status.value,
        job.created_at_ms,
        latest_start_ms(job),
        job.stopped_at_ms,
        _encode(job).decode(),
    )


def latest_start_ms(job: Job) -> int:
    """Returns when the latest attempt that ran was started; 0 when none ran. The job's own time may be reset before
    a retry."""
    if job.attempt is not None and job.attempt.started_at_ms:
        return job.attempt.started_at_ms
    latest_ms = 0
    for attempt in job.past:
        if attempt.started_at_ms > latest_ms:
            latest_ms = attempt.started_at_ms
    return latest_ms


def encode_changes(changes: Changes) -> Rows:
    """Encodes the changes of one transaction. Every spec must come together with its job's first row, which shows
    that the row is top-level."""
    queues = {spec.key: spec.queue for spec in changes.specs}
    for key in queues:
        assert key in changes.jobs, f"spec {key} comes without its job's row: no query would ever find the job"
    rows = Rows(next_key=changes.next_key, revisions=sorted(changes.revisions.items()))
    for name, environment in changes.environments.items():
        if environment is None:
            rows.deleted_environments.append((name,))
        else:
            rows.environments.append((name, encode(environment)))
    for name, queue in changes.queues.items():
        if queue is None:
            rows.deleted_queues.append((name,))
        else:
            rows.queues.append((name, encode(queue)))
    for identity, definition in changes.definitions.items():
        if definition is None:
            rows.deleted_definitions.append(identity)
        else:
            rows.definitions.append((*identity, definition.status, encode(definition)))
    for place, document in changes.documents.items():
        if document is None:
            rows.deleted_documents.append(place)
        else:
            rows.documents.append((*place, encode(document)))
    rows.specs = [spec_row(spec) for spec in changes.specs]
    rows.jobs = [job_row(job, queues.get(key)) for key, job in changes.jobs.items()]
    rows.job_tags = [(encode_tags(tags), key) for key, tags in changes.job_tags.items()]
    rows.container_logs = _container_logs(changes.specs)
    groups: dict[str, int] = {}
    for spec in changes.specs:
        for log in logs_of(spec):
            groups.setdefault(log.group, spec.created_at_ms)
    rows.log_groups = list(groups.items())
    _add_deliveries(changes, rows)
    _add_executions(changes, rows)
    _add_facts(changes, rows)
    return rows


def _add_deliveries(changes: Changes, rows: Rows) -> None:
    for sequence, state in changes.deliveries.items():
        message = changes.messages.get(sequence)
        if state is None:
            rows.deleted_deliveries.append((sequence,))
        elif message is None:
            rows.delivery_states.append((encode(state), sequence))
        else:
            rows.deliveries.append((sequence, encode(state), encode(message)))


def _add_executions(changes: Changes, rows: Rows) -> None:
    rows.executions = [execution_row(execution) for execution in changes.executions.values()]
    for place, frame in changes.frames.items():
        if frame is None:
            rows.deleted_frames.append(place)
        else:
            rows.frames.append((*place, encode(frame)))
    rows.events = event_rows(changes.history)
    rows.map_runs = [
        (run.arn, run.execution_key, run.started_at_ms, run.status.value, encode(run))
        for run in changes.map_runs.values()
    ]


def execution_row(execution: Execution) -> ExecutionRow:
    short = replace(execution, input="", output=None, cause=None)
    return (
        execution.key,
        execution.arn,
        execution.map_run_arn or execution.machine_arn,
        execution.version_arn or None,
        execution.alias_arn or None,
        execution.status.value,
        execution.redrive_count,
        encode(short),
        execution.input,
        execution.output,
        execution.cause,
    )


def decode_execution(body: str, input: str, output: str | None, cause: str | None) -> Execution:
    return replace(_execution(body), input=input, output=output, cause=cause)


def decode_listed_execution(body: str) -> Execution:
    """Decodes an execution without `input`, `output` and `cause`, which stay empty."""
    return _execution(body)


def decode_frame(body: str) -> Frame:
    return _frame(body)


def decode_map_run(body: str) -> MapRun:
    return _map_run(body)


def event_rows(history: Sequence[HistoryEvent]) -> list[EventsRow]:
    """Encodes events; those of an execution are in the order of their ids, without a gap. Executions may alternate."""
    by_execution: dict[int, list[_StoredEvent]] = {}
    for event in history:
        stored = _StoredEvent(event.id, event.previous_event_id, event.at_ms, event.type, event.details)
        by_execution.setdefault(event.execution_key, []).append(stored)
    return [
        (key, events[start].id, events[start : start + MAX_EVENTS_OF_ROW][-1].id, encode_events(events, start))
        for key, events in by_execution.items()
        for start in range(0, len(events), MAX_EVENTS_OF_ROW)
    ]


def encode_events(events: Sequence[_StoredEvent], start: int) -> str:
    """Encodes the events of one row, which begins at `start`."""
    return _encode(events[start : start + MAX_EVENTS_OF_ROW]).decode()


def decode_events(execution_key: int, body: str) -> list[HistoryEvent]:
    return [
        HistoryEvent(execution_key, one.id, one.previous_event_id, one.at_ms, one.type, one.details)
        for one in _events(body)
    ]


def _add_facts(changes: Changes, rows: Rows) -> None:
    if changes.facts:
        assert changes.fact_sequence, "facts without a sequence: no consumer would ever find them"
        rows.facts = [(changes.fact_sequence, encode_facts(changes.facts))]
    for consumer, cursor in changes.cursors.items():
        if cursor is None:
            rows.deleted_cursors.append((consumer,))
        else:
            rows.cursors.append((consumer, encode(cursor)))
    if changes.forgotten_facts:
        rows.forgotten_facts = [(changes.forgotten_facts,)]


def decode_changes(rows: Rows) -> Changes:
    """Returns the changes from which `encode_changes` made these rows."""
    changes = Changes(next_key=rows.next_key, revisions=dict(rows.revisions))
    changes.environments.update((name, decode_environment(body)) for name, body in rows.environments)
    changes.environments.update((name, None) for (name,) in rows.deleted_environments)
    changes.queues.update((name, decode_queue(body)) for name, body in rows.queues)
    changes.queues.update((name, None) for (name,) in rows.deleted_queues)
    for name, revision, _, body in rows.definitions:
        changes.definitions[name, revision] = decode_definition(body)
    for identity in rows.deleted_definitions:
        changes.definitions[identity] = None
    for kind, name, body in rows.documents:
        changes.documents[kind, name] = decode_document(kind, body)
    for place in rows.deleted_documents:
        changes.documents[place] = None
    changes.specs = [decode_spec(row[-1], row[-2]) for row in rows.specs]
    changes.jobs = {row[0]: decode_job(row[-1]) for row in rows.jobs}
    changes.job_tags = {key: decode_tags(tags) for tags, key in rows.job_tags}
    for sequence, state, message in rows.deliveries:
        changes.deliveries[sequence], changes.messages[sequence] = decode_delivery_state(state), decode_message(message)
    changes.deliveries.update((sequence, decode_delivery_state(state)) for state, sequence in rows.delivery_states)
    changes.deliveries.update((sequence, None) for (sequence,) in rows.deleted_deliveries)
    changes.executions = {row[0]: decode_execution(*row[-4:]) for row in rows.executions}
    changes.frames.update(((key, frame), decode_frame(body)) for key, frame, body in rows.frames)
    changes.frames.update((place, None) for place in rows.deleted_frames)
    changes.history = [event for row in rows.events for event in decode_events(row[0], row[-1])]
    changes.map_runs = {row[0]: decode_map_run(row[-1]) for row in rows.map_runs}
    for sequence, body in rows.facts:
        changes.fact_sequence, changes.facts = sequence, decode_facts(body)
    changes.cursors.update((consumer, decode_cursor(body)) for consumer, body in rows.cursors)
    changes.cursors.update((consumer, None) for (consumer,) in rows.deleted_cursors)
    changes.forgotten_facts = rows.forgotten_facts[0][0] if rows.forgotten_facts else 0
    return changes
