"""Checks the executions of a simulated world by their rows: each call makes one job, histories are whole, and what is
restored from the store is what lives."""

from __future__ import annotations

import json

from batchyard.core.model.executions import Execution, ExecutionStatus, Frame, FramePhase, HistoryEvent, MapRun
from batchyard.core.model.idempotency import split_stored_key
from batchyard.core.model.records import Status
from batchyard.simulator.attempt_ledger import ViolationError
from batchyard.simulator.disk import Disk
from batchyard.simulator.workflow_workload import pair_of
from batchyard.store import codec
from batchyard.store.codec import Rows
from batchyard.workflows.commands import RedriveExecution
from batchyard.workflows.machine import WorkflowsMachine

_LAST = {
    ExecutionStatus.SUCCEEDED: "ExecutionSucceeded",
    ExecutionStatus.FAILED: "ExecutionFailed",
    ExecutionStatus.ABORTED: "ExecutionAborted",
    ExecutionStatus.TIMED_OUT: "ExecutionTimedOut",
}
_WAIT_FOR_OTHERS = frozenset({FramePhase.RUNS_CHILDREN, FramePhase.RUNS_MAP, FramePhase.ENDED, FramePhase.ABORTED})
_OUTCOMES = ("TaskSucceeded", "TaskFailed", "TaskTimedOut", "TaskStateAborted", "ExecutionAborted", "ExecutionTimedOut")


class WorkflowOracle:
    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def promise(self, arn: str) -> None:
        """Notes an execution that a client was given; it is in the store."""
        if self.find(arn) is None:
            raise ViolationError(f"{arn} was answered, and is not in the store")

    def find(self, arn: str) -> Execution | None:
        key = next((row[0] for row in self._disk.executions.values() if row[1] == arn), None)
        return None if key is None else self._disk.execution(key)

    def open(self) -> list[Execution]:
        return [self._disk.execution(key) for key in self._disk.open_executions()]

    def redrive_command(self, record: Execution) -> RedriveExecution:
        """Returns the command that redrives an execution, with all that the store has of it."""
        every = [self._disk.execution(key) for key in sorted(self._disk.executions)]
        runs: list[MapRun] = []
        children: list[Execution] = []
        keys = [record.key]
        while keys:
            key = keys.pop()
            own = [codec.decode_map_run(row[-1]) for row in self._disk.map_runs.values() if row[1] == key]
            arns = {run.arn for run in own}
            found = [one for one in every if one.map_run_arn in arns and one.status is not ExecutionStatus.SUCCEEDED]
            keys += [one.key for one in found]
            runs += own
            children += found
        return RedriveExecution(
            record,
            self._frames(record.key),
            len(self._disk.history(record.key)),
            tuple(runs),
            tuple((one, self._frames(one.key), len(self._disk.history(one.key))) for one in children),
        )

    def _frames(self, key: int) -> tuple[Frame, ...]:
        return tuple(codec.decode_frame(body) for (of, _), body in sorted(self._disk.frames.items()) if of == key)

    # -- each commit --

    def before_durable(self, rows: Rows) -> None:
        """Checks that a job and the step of the execution that it belongs to are one transaction, both ways."""
        submitted = {}
        for key, _, _, body in rows.events:
            for event in codec.decode_events(key, body):
                if event.type == "TaskSubmitted" and _detail(event, "resourceType") == "batch":
                    submitted[json.loads(_detail(event, "output"))["JobId"]] = key
        made = {row[2]: row[10] for row in rows.specs if row[10] is not None and row[10].startswith("arn:aws:states:")}
        if made.keys() != submitted.keys():
            raise ViolationError(f"a transaction makes the jobs {made}, and its events are of {submitted}")
        for row in rows.executions:
            self._check_record(codec.decode_execution(*row[-4:]))

    def _check_record(self, record: Execution) -> None:
        row = self._disk.executions.get(record.key)
        if row is None:
            return
        old = self._disk.execution(record.key)
        if old.status.is_final and record.redrive_count == old.redrive_count and record != old:
            # A child waits for its redrive, and is aborted where its parent is stopped meanwhile.
            may_change = (ExecutionStatus.PENDING_REDRIVE, ExecutionStatus.ABORTED) if record.map_run_arn else ()
            if record.status not in may_change:
                raise ViolationError(f"the closed execution {old} became {record}")

    def check_waiting(self) -> None:
        """Checks, when nothing happens any more, that an open execution waits for a job or an execution that has not
        ended."""
        opened = {record.arn for record in self.open()}
        for (key, _), body in sorted(self._disk.frames.items()):
            frame = codec.decode_frame(body)
            if self._disk.execution(key).status.is_final or frame.phase in _WAIT_FOR_OTHERS:
                continue
            if frame.phase is FramePhase.WAITS_FOR_EXECUTION and frame.target in opened:
                continue
            if frame.phase is FramePhase.WAITS_FOR_JOB and not self._status_of(frame.target).is_final:
                continue
            raise ViolationError(f"the execution {key} waits for nothing: {frame}")

    def _status_of(self, job_id: str) -> Status:
        return Status(self._disk.jobs[self._disk.keys[job_id]][1])

    # -- the end --

    def check_end(self) -> None:
        if self.open():
            raise ViolationError(f"these executions never end: {self.open()}")
        owed = [name for kind, name in self._disk.documents if kind == "abandoned-call"]
        if owed:
            raise ViolationError(f"what these calls began was never ended: {owed}")
        jobs: dict[str, str] = {}  # job id -> what submitted it
        for key in sorted(self._disk.executions):
            record = self._disk.execution(key)
            events = self._disk.history(key)
            self._check_history(record, events)
            self._check_item(record)
            for event in events:
                if event.type == "TaskSubmitted" and _detail(event, "resourceType") == "batch":
                    self._note_job(jobs, record, events, event)
        for token, (job_id, _) in self._disk.tokens.items():
            if token.startswith("arn:aws:states:") and jobs.get(job_id) != split_stored_key(token)[0]:
                raise ViolationError(f"{job_id} was submitted for {token}, its history has {jobs.get(job_id)}")
        for execution_key, _ in self._disk.frames:
            if self._disk.execution(execution_key).status is ExecutionStatus.SUCCEEDED:
                raise ViolationError(f"the execution {execution_key} has succeeded, and has frames")
        open_runs = [row[0] for row in self._disk.map_runs.values() if row[3] == "RUNNING"]
        if open_runs:
            raise ViolationError(f"every execution has ended, and the map runs {open_runs} go on")

    def _check_history(self, record: Execution, events: list[HistoryEvent]) -> None:
        if [event.id for event in events] != list(range(1, len(events) + 1)):
            raise ViolationError(f"the history of {record.arn} has gaps: {[event.id for event in events]}")
        is_of_child = bool(record.map_run_arn) and record.status is ExecutionStatus.ABORTED  # also before its redrive
        if events[-1].type != _LAST[record.status] and not (is_of_child and events[-1].type in _LAST.values()):
            raise ViolationError(f"{record.arn} is {record.status}, its history ends with {events[-1].type}")
        ends = sum(event.type in _LAST.values() for event in events)
        if ends != record.redrive_count + 1:
            raise ViolationError(f"{record.arn} was redriven {record.redrive_count} times, and has ended {ends} times")
        for event in events:
            if event.previous_event_id >= event.id:
                raise ViolationError(f"{record.arn}: the event {event} precedes itself")

    def _check_item(self, record: Execution) -> None:
        """Checks that a child of the machine whose items tell their places has the one of its place."""
        if not record.map_run_arn or ":stateMachine:maps/" not in record.machine_arn:
            return
        given = json.loads(record.input)
        place = record.map_index
        if given != pair_of(place) if isinstance(given, list) else not str(given).endswith(f"-{place}"):
            raise ViolationError(f"{record.arn} is the child {place} of its map run, and has the item {given}")

    def _note_job(
        self, jobs: dict[str, str], record: Execution, events: list[HistoryEvent], submitted: HistoryEvent
    ) -> None:
        """Checks that a job has one submission in all histories, and that what its task saw of it is true."""
        job_id = json.loads(_detail(submitted, "output"))["JobId"]
        if job_id in jobs:
            raise ViolationError(f"{job_id} was submitted by {jobs[job_id]} and again by {record.arn}")
        scheduled = events[events[submitted.previous_event_id - 1].previous_event_id - 1]
        if scheduled.type != "TaskScheduled":
            raise ViolationError(f"{record.arn}: {submitted} follows {scheduled}")
        jobs[job_id] = f"{record.arn}/{scheduled.id}"
        status = self._status_of(job_id)
        outcomes = [one for one in events if one.previous_event_id == submitted.id and one.type in _OUTCOMES]
        for outcome in outcomes:
            is_success = outcome.type == "TaskSucceeded"
            if outcome.type in ("TaskSucceeded", "TaskFailed") and is_success is not (status is Status.SUCCEEDED):
                raise ViolationError(f"{record.arn}: {job_id} is {status}, and its task has {outcome}")

    # -- memory --

    def compare(self, live: WorkflowsMachine, restored: WorkflowsMachine) -> None:
        """Checks that a machine that was restored from the store would go on as the one that lives."""
        mine, theirs = live.world, restored.world
        if mine.open.keys() != theirs.open.keys():
            raise ViolationError(f"open are {sorted(mine.open)}, restored {sorted(theirs.open)}")
        for key, execution in mine.open.items():
            other = theirs.open[key]
            if (execution.record, execution.frames, execution.last_event_id) != (
                other.record,
                other.frames,
                other.last_event_id,
            ):
                raise ViolationError(f"the execution {key} is {execution.frames}, restored {other.frames}")
            for frame_id, progress in execution.progress.items():
                again = other.progress[frame_id]
                numbers = (progress.total, progress.next, progress.running, progress.done, progress.failed_items)
                if numbers != (again.total, again.next, again.running, again.done, again.failed_items):
                    raise ViolationError(f"the progress of frame {frame_id} of {key} differs: {numbers}")
        pairs = ((mine.jobs, theirs.jobs), (mine.waiting, theirs.waiting), (mine.map_runs, theirs.map_runs))
        for one, another in (*pairs, (mine.abandoned, theirs.abandoned), (mine.children, theirs.children)):
            if one != another:
                raise ViolationError(f"what waits differs after a restart: {one} and {another}")

    def check_nothing_left(self, machine: WorkflowsMachine) -> None:
        """Checks that nothing is kept in memory about executions once all have ended."""
        world = machine.world
        left = (world.open, world.keys, world.jobs, world.waiting, world.map_runs, world.abandoned, world.tasks)
        if any(left) or any(world.children.values()) or world.next_deadline() is not None:
            raise ViolationError(f"every execution has ended, and the machine still holds {left}")


def _detail(event: HistoryEvent, name: str) -> str:
    return str((event.details or {}).get(name, ""))
