"""The simulated store: exactly the rows that `store.codec` wrote, made durable one transaction at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future

import msgspec

from batchyard.core.model import names
from batchyard.core.model.changes import Changes, Snapshot
from batchyard.core.model.executions import Execution, ExecutionStatus, HistoryEvent, MapRunStatus
from batchyard.core.model.ranges import contains
from batchyard.core.model.records import Job, JobSpec, Status
from batchyard.simulator.event_queue import SimulatorEventQueue
from batchyard.store import codec
from batchyard.store.codec import Rows

RUNNING = MapRunStatus.RUNNING.value
_rows_text = msgspec.json.Encoder().encode


class CommitLostError(Exception):
    """A commit did not become durable, or its outcome is unknown. The server that asked for it must end."""


class Disk:
    """The rows that store/writer.py writes and store/load.py reads, without a database. Contains texts, never
    records."""

    def __init__(self) -> None:
        self.epoch = 0
        self.next_key = 1
        self.last_time_ms = 0
        self.environments: dict[str, str] = {}
        self.queues: dict[str, str] = {}
        self.definitions: dict[tuple[str, int], str] = {}
        self.documents: dict[tuple[str, str], str] = {}
        self.revisions: dict[str, int] = {}
        self.specs: dict[int, tuple[str, str]] = {}  # key -> (tags, body)
        self.jobs: dict[int, tuple[bool, str, str]] = {}  # key -> (is top-level, status, body)
        self.keys: dict[str, int] = {}  # job id -> key
        self.tokens: dict[str, tuple[str, int]] = {}  # idempotency key -> (job id, created_at_ms)
        self.deliveries: dict[int, tuple[str, str]] = {}  # sequence -> (state, message)
        self.executions: dict[int, codec.ExecutionRow] = {}  # by key
        self.frames: dict[tuple[int, int], str] = {}  # by execution key and id
        self.events: dict[tuple[int, int], codec.EventsRow] = {}  # by execution key and id of the first event
        self.map_runs: dict[str, codec.MapRunRow] = {}  # by ARN
        self.facts: dict[int, str] = {}  # by sequence
        self.cursors: dict[str, str] = {}  # by consumer

    def claim(self) -> int:
        """Opens the store for a server, and returns its epoch, above all before."""
        self.epoch += 1
        return self.epoch

    def check_fence(self, epoch: int) -> None:
        if epoch != self.epoch:
            raise CommitLostError(f"epoch {epoch} writes after epoch {self.epoch} has opened the store")

    def apply(self, rows: Rows, now_ms: int) -> None:
        """Applies one transaction, in the order of store.writer's statements."""
        self.environments.update(rows.environments)
        for (name,) in rows.deleted_environments:
            self.environments.pop(name, None)
        self.queues.update(rows.queues)
        for (name,) in rows.deleted_queues:
            self.queues.pop(name, None)
        for name, revision, _, body in rows.definitions:
            self.definitions[name, revision] = body
        for identity in rows.deleted_definitions:
            self.definitions.pop(identity, None)
        self.documents.update(((kind, name), body) for kind, name, body in rows.documents)
        for place in rows.deleted_documents:
            self.documents.pop(place, None)
        self.revisions.update(rows.revisions)
        for spec in rows.specs:
            key, job_id, token, created_at_ms, tags, body = spec[0], spec[2], spec[10], spec[11], spec[12], spec[13]
            self.specs[key] = tags, body
            self.keys[job_id] = key
            if token is not None:
                self.tokens[token] = job_id, created_at_ms
        for job_key, queue, status, *_, body in rows.jobs:
            before = self.jobs.get(job_key)
            self.jobs[job_key] = (before[0] if before else queue is not None), status, body
        for tags, key in rows.job_tags:
            self.specs[key] = tags, self.specs[key][1]
        self.deliveries.update((sequence, (state, message)) for sequence, state, message in rows.deliveries)
        for state, sequence in rows.delivery_states:
            self.deliveries[sequence] = state, self.deliveries[sequence][1]
        for (sequence,) in rows.deleted_deliveries:
            self.deliveries.pop(sequence, None)
        self._apply_executions(rows)
        self.facts.update(rows.facts)
        self.cursors.update(rows.cursors)
        for (consumer,) in rows.deleted_cursors:
            self.cursors.pop(consumer, None)
        for (last,) in rows.forgotten_facts:
            self.facts = {sequence: body for sequence, body in self.facts.items() if sequence > last}
        self.next_key = max(self.next_key, rows.next_key)
        self.last_time_ms = max(self.last_time_ms, now_ms)

    def _apply_executions(self, rows: Rows) -> None:
        for row in rows.executions:
            self.executions[row[0]] = row
        self.frames.update(((key, frame), body) for key, frame, body in rows.frames)
        for place in rows.deleted_frames:
            self.frames.pop(place, None)
        for events in rows.events:
            assert events[:2] not in self.events, f"events {events[1:3]} of the execution {events[0]} are there already"
            self.events[events[:2]] = events
        self.map_runs.update((run[0], run) for run in rows.map_runs)

    # -- reading --

    def snapshot(self, now_ms: int, idempotency_kept_ms: int) -> Snapshot:
        """Does the same as store.load.load."""
        unfinished = {key: row for key, row in sorted(self.jobs.items()) if not Status(row[1]).is_final}
        specs = [self.spec(key) for key, row in unfinished.items() if row[0]]
        wanted = sorted({entry.job_id for spec in specs for entry in spec.depends_on if entry.job_id})
        jobs, last_key = [], 0
        arrays = {spec.key: spec.key + spec.array_size for spec in specs}
        for key, (is_top, _, body) in unfinished.items():
            if is_top:
                last_key = arrays[key]
            elif key > last_key:
                continue
            jobs.append(codec.decode_job(body))
        cursors = {consumer: codec.decode_cursor(body) for consumer, body in self.cursors.items()}
        tokens = sorted((at, self.keys[job_id], token, job_id) for token, (job_id, at) in self.tokens.items())
        return Snapshot(
            environments=[codec.decode_environment(body) for _, body in sorted(self.environments.items())],
            queues=[codec.decode_queue(body) for _, body in sorted(self.queues.items())],
            definitions=[codec.decode_definition(body) for _, body in sorted(self.definitions.items())],
            documents={place: codec.decode_document(place[0], body) for place, body in sorted(self.documents.items())},
            revisions=dict(sorted(self.revisions.items())),
            specs=specs,
            jobs=jobs,
            finished=self.finished_statuses(wanted),
            idempotency={token: (job_id, at) for at, _, token, job_id in tokens if at > now_ms - idempotency_kept_ms},
            next_key=self.next_key,
            last_time_ms=self.last_time_ms,
            deliveries=[codec.decode_delivery_state(state) for _, (state, _) in sorted(self.deliveries.items())],
            executions=[self.execution(key) for key in self.open_executions()],
            frames=[codec.decode_frame(body) for (key, _), body in sorted(self.frames.items()) if self._is_open(key)],
            history_ends={key: self.history(key)[-1].id for key in self.open_executions() if self.history(key)},
            map_runs=[codec.decode_map_run(run[-1]) for _, run in sorted(self.map_runs.items()) if run[3] == RUNNING],
            next_execution_key=max(self.executions, default=0) + 1,
            cursors=cursors,
            fact_sequence=max([0, *self.facts, *(cursor.sequence for cursor in cursors.values())]),
        )

    def open_executions(self) -> list[int]:
        """Returns the keys of the executions that have not ended."""
        return [key for key in sorted(self.executions) if self._is_open(key)]

    def _is_open(self, key: int) -> bool:
        return not ExecutionStatus(self.executions[key][5]).is_final

    def execution(self, key: int) -> Execution:
        return codec.decode_execution(*self.executions[key][-4:])

    def history(self, key: int) -> list[HistoryEvent]:
        """Returns the whole history of an execution, by id."""
        rows = [row for (execution, _), row in sorted(self.events.items()) if execution == key]
        return [event for row in rows for event in codec.decode_events(key, row[-1])]

    def spec(self, key: int) -> JobSpec:
        tags, body = self.specs[key]
        return codec.decode_spec(body, tags)

    def job(self, key: int) -> Job:
        return codec.decode_job(self.jobs[key][2])

    def finished_statuses(self, ids: Iterable[str]) -> dict[str, str]:
        """Does the same as store.job_queries.finished_statuses."""
        final: dict[str, str] = {}
        for text in ids:
            wanted = names.parse_job_id(text)
            key = self.keys.get(wanted.uuid)
            if key is None:
                continue
            status = self.jobs[key][1]
            if wanted.index is not None:
                array = self.job(key).array
                if array is None:
                    continue
                succeeded, failed = contains(array.succeeded, wanted.index), contains(array.failed, wanted.index)
                status = Status.SUCCEEDED if succeeded else Status.FAILED if failed else Status.PENDING
            if Status(status).is_final:
                final[text] = str(status)
        return final


# The result of a commit: how long until it is durable, how long until the server is informed, and the fault:
# "" none, "lost" nothing is written, "unknown" it is written and reported as failed.
CommitOutcome = tuple[int, int, str]
BeforeDurable = Callable[[Rows, int, int], None]  # (rows, now_ms, epoch)
Done = Callable[[], None]


class DiskWriter:
    """One server's connection to the disk: implements loop.ChangeWriter. Encodes when it writes, as store.writer's
    thread does, so that records changed after `commit` would show."""

    def __init__(
        self,
        disk: Disk,
        epoch: int,
        event_queue: SimulatorEventQueue,
        commit_outcome: Callable[[], CommitOutcome],
        before_durable: BeforeDurable,
        after_durable: Done,
    ) -> None:
        self._disk = disk
        self._epoch = epoch
        self._event_queue = event_queue
        self._commit_outcome = commit_outcome
        self._before_durable = before_durable
        self._after_durable = after_durable
        self.is_cut = False  # its process is dead

    def commit(self, changes: Changes, now_ms: int) -> Future[None]:
        future: Future[None] = Future()
        durable_ms, heard_ms, fault = self._commit_outcome()

        def write() -> None:
            if self.is_cut:
                return
            error = self._write(changes, now_ms, fault)
            self._event_queue.after(heard_ms, lambda: self._hear(future, error))

        self._event_queue.after(durable_ms, write)
        return future

    def _write(self, changes: Changes, now_ms: int, fault: str) -> CommitLostError | None:
        rows = codec.encode_changes(changes)
        try:
            self._disk.check_fence(self._epoch)
        except CommitLostError as error:
            return error
        if fault == "lost":
            return CommitLostError("no space is left")
        self._before_durable(rows, now_ms, self._epoch)
        self._disk.apply(rows, now_ms)
        self._after_durable()
        return CommitLostError("the disk does not say whether it wrote") if fault else None

    def _hear(self, future: Future[None], error: CommitLostError | None) -> None:
        if self.is_cut:
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


def rows_text(rows: Rows) -> bytes:
    """Returns a transaction as bytes, for a digest."""
    return _rows_text(rows)
