"""The open executions: what the machine knows of them, and what a batch changes about them."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.model.changes import Changes
from batchyard.core.model.effects import Effect
from batchyard.core.model.executions import (
    EXPRESS,
    Execution,
    ExecutionChanged,
    ExpressExecutionChanged,
    Frame,
    FramePhase,
    HistoryEvent,
    MapRun,
)
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.names import Account
from batchyard.workflows.commands import LogHistory
from batchyard.workflows.compiled_states import MapState, ParallelState, State, StateScope
from batchyard.workflows.executions.abandoned_calls import AbandonedCall
from batchyard.workflows.executions.payload import Payload
from batchyard.workflows.registry import Registry
from batchyard.workflows.resources import Resource

# Returns what is wrong with the arguments of a call that is about to be made; empty: nothing.
CheckArguments = Callable[[Resource, Any], str]
TOP = -1  # the parent of a frame that has none
WHOLE = -1  # in place of a frame's id: the execution itself
MAX_HISTORY_EVENTS = 25_000  # of a STANDARD execution (step functions spec 2)
_LAST_EVENTS = frozenset({"ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut"})


class HistoryFull(Exception):
    """The history of an execution has no place for a further event but its last."""


class Progress:
    """How far a Parallel or Map has come. `next`: the first branch, item or batch of items that was not begun;
    `is_queued`: it is in the queue, to begin more."""

    __slots__ = ("again", "done", "failed_items", "is_queued", "next", "redriven", "running", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.next = 0
        self.running = 0
        self.done = 0
        self.failed_items = 0  # of a distributed Map
        self.is_queued = False
        self.again: deque[int] = deque()  # places to be run again, before `next`
        self.redriven: deque[int] = deque()  # children that are to be continued, by key

    @property
    def has_more(self) -> bool:
        """Whether something of it has not begun."""
        return bool(self.redriven or self.again or self.next < self.total)


class OpenExecution:
    """An execution that has not ended. `values`, `variables`, `execution_context`: decoded while a batch runs."""

    __slots__ = (
        "children",
        "execution_context",
        "frames",
        "items",
        "last_event_id",
        "next_frame_id",
        "progress",
        "record",
        "scope",
        "values",
        "variables",
        "variables_size",
    )

    def __init__(self, record: Execution, scope: StateScope) -> None:
        self.record = record
        self.scope = scope
        self.frames: dict[int, Frame] = {}
        self.children: dict[int, dict[int, None]] = {}  # the ids of the frames in a frame's state, in order
        self.last_event_id = 0
        self.next_frame_id = 0
        self.variables_size = 0  # characters of the variables of all frames
        self.progress: dict[int, Progress] = {}  # by frame
        self.values: dict[int, Payload] | None = None  # by frame: its input
        self.variables: dict[int, dict[str, Any]] | None = None  # by frame: all that it can read
        self.items: dict[int, Payload] = {}  # by frame: what its Map runs over
        self.execution_context: dict[str, Any] | None = None

    @property
    def is_durable(self) -> bool:
        return self.record.type != EXPRESS


class OpenExecutions:
    """All open executions, with what finds them, and what the running batch has changed."""

    def __init__(self, account: Account, registry: Registry, check_arguments: CheckArguments) -> None:
        self.account = account
        self.registry = registry
        self.check_arguments = check_arguments
        self.now_ms = 0
        self.open: dict[int, OpenExecution] = {}  # by key
        self.keys: dict[str, int] = {}  # by ARN
        self.map_runs: dict[str, MapRun] = {}  # open ones, by ARN
        self.next_key = 1
        self.ready: deque[tuple[int, int]] = deque()  # (execution, frame) to be stepped
        self.jobs: dict[str, tuple[int, int]] = {}  # (execution, frame) that wait for a job, by its id
        self.waiting: dict[str, list[tuple[int, int]]] = {}  # those that wait for an execution, by its ARN
        self.tasks: dict[str, deque[tuple[int, int, int]]] = {}  # (execution, frame, event) by activity
        self.ended: deque[Execution] = deque()  # whose end others are still to learn of
        self.children: dict[str, set[int]] = {}  # open executions of a map run, by its ARN
        self.abandoned: dict[str, AbandonedCall] = {}  # calls whose end was not reported, by key
        self.synchronous: set[int] = set()  # executions whose callers wait for their end
        self.wanted_facts: frozenset[type[Fact]] = frozenset()
        self.changes = Changes()
        self.effects: list[Effect] = []
        self._due: list[tuple[int, int, int]] = []  # a heap of (time, execution, frame or WHOLE)
        self._logged: dict[int, tuple[Execution, list[HistoryEvent]]] = {}
        self._touched: dict[int, OpenExecution] = {}  # with decoded values
        self._new_frames: set[tuple[int, int]] = set()  # that the store does not have

    # -- finding --

    def find(self, key: int, frame_id: int) -> tuple[OpenExecution, Frame] | None:
        execution = self.open.get(key)
        frame = None if execution is None else execution.frames.get(frame_id)
        return None if execution is None or frame is None else (execution, frame)

    def scope_of(self, execution: OpenExecution, frame: Frame) -> StateScope:
        """Returns the scope that the frame's state is in."""
        if frame.parent == TOP:
            return execution.scope
        container = self.state_of(execution, execution.frames[frame.parent])
        if isinstance(container, ParallelState):
            return container.branches[frame.place]
        assert isinstance(container, MapState), f"a {container.type} state has no states in it"
        return container.processor

    def state_of(self, execution: OpenExecution, frame: Frame) -> State:
        return self.scope_of(execution, frame).states[frame.state]

    def children_of(self, execution: OpenExecution, frame_id: int) -> list[Frame]:
        return [execution.frames[child] for child in execution.children.get(frame_id, ())]

    # -- decoded values --

    def input_of(self, execution: OpenExecution, frame: Frame) -> Payload:
        """Returns the raw input of the frame's state, decoded at most once in a batch."""
        values = self._touch(execution).values
        assert values is not None
        known = values.get(frame.id)
        if known is None or known.text is not frame.input:
            known = values[frame.id] = Payload(frame.input)
        return known

    def note_input(self, execution: OpenExecution, frame: Frame, payload: Payload) -> None:
        """Keeps the decoded form of what has become the frame's input."""
        values = self._touch(execution).values
        assert values is not None
        values[frame.id] = payload

    def variables_of(self, execution: OpenExecution, frame: Frame) -> dict[str, Any]:
        """Returns the variables that the frame's state can read, outer ones included."""
        if not frame.variables and frame.parent == TOP:
            return {}
        known = self._touch(execution).variables
        assert known is not None
        if frame.id not in known:
            outer = {} if frame.parent == TOP else self.variables_of(execution, execution.frames[frame.parent])
            known[frame.id] = {**outer, **Payload(frame.variables).value} if frame.variables else outer
        return known[frame.id]

    def items_of(self, execution: OpenExecution, frame: Frame) -> list[Any]:
        """Returns what the Map state of a frame runs over: items, or batches of items."""
        self._touch(execution)
        known = execution.items.get(frame.id)
        if known is None or known.text is not frame.work:  # or those of a Map before it, in the same batch
            known = execution.items[frame.id] = Payload(frame.work)
        items: list[Any] = known.value
        return items

    def note_variables(self, execution: OpenExecution, frame: Frame, variables: dict[str, Any]) -> None:
        """Keeps the decoded form of all that the frame's next state can read."""
        known = self._touch(execution).variables
        assert known is not None
        known[frame.id] = variables

    def _touch(self, execution: OpenExecution) -> OpenExecution:
        if execution.values is None:
            execution.values, execution.variables = {}, {}
            self._touched[execution.record.key] = execution
        return execution

    # -- changing --

    def emit(
        self, execution: OpenExecution, previous: int, event_type: str, details: dict[str, Any] | None = None
    ) -> int:
        """Appends an event to the history, and returns its id. Raises HistoryFull."""
        record = execution.record
        event_id = execution.last_event_id + 1
        if event_id >= MAX_HISTORY_EVENTS and execution.is_durable and event_type not in _LAST_EVENTS:
            raise HistoryFull
        execution.last_event_id = event_id
        event = HistoryEvent(record.key, event_id, previous, self.now_ms, event_type, details)
        if execution.is_durable:
            self.changes.history.append(event)
        if record.logging.level != "OFF":
            self._logged.setdefault(record.key, (record, []))[1].append(event)
        return event_id

    def put(self, execution: OpenExecution, frame: Frame) -> Frame:
        """Takes a new state of a frame, and returns it."""
        key = execution.record.key
        is_new = frame.id not in execution.frames
        if is_new:
            self.link(execution, frame)
        elif frame.variables is not execution.frames[frame.id].variables:
            execution.variables_size += len(frame.variables) - len(execution.frames[frame.id].variables)
        if execution.is_durable:
            if is_new:
                self._new_frames.add((key, frame.id))
            self.changes.frames[key, frame.id] = frame
        execution.frames[frame.id] = frame
        return frame

    def link(self, execution: OpenExecution, frame: Frame) -> None:
        """Takes a frame, new or restored, as one of those in its parent's state."""
        execution.variables_size += len(frame.variables)
        execution.frames[frame.id] = frame
        if frame.parent != TOP:
            execution.children.setdefault(frame.parent, {})[frame.id] = None

    def drop(self, execution: OpenExecution, frame_id: int) -> None:
        """Forgets a frame."""
        frame = execution.frames.pop(frame_id)
        execution.variables_size -= len(frame.variables)
        execution.progress.pop(frame_id, None)
        execution.children.pop(frame_id, None)
        if frame.parent != TOP and frame.parent in execution.children:
            execution.children[frame.parent].pop(frame_id, None)
        if not execution.is_durable:
            return
        key = execution.record.key, frame_id
        if key in self._new_frames:  # the store does not have it yet
            del self.changes.frames[key]
            self._new_frames.discard(key)
        else:
            self.changes.frames[key] = None

    def new_frame_id(self, execution: OpenExecution) -> int:
        execution.next_frame_id += 1
        return execution.next_frame_id - 1

    def queue(self, execution: OpenExecution, frame: Frame) -> None:
        """Has the frame stepped in this batch, or the next that has room."""
        self.ready.append((execution.record.key, frame.id))

    def queue_for_more(self, execution: OpenExecution, frame: Frame) -> None:
        """Has further iterations or children of a frame begun, where there are any."""
        progress = execution.progress[frame.id]
        if progress.has_more and not progress.is_queued:
            progress.is_queued = True
            self.queue(execution, frame)

    def put_record(self, execution: OpenExecution, record: Execution) -> None:
        """Takes a new state of the execution's record."""
        status_changed = execution.record.status is not record.status or execution.last_event_id == 0
        execution.record = record
        if not execution.is_durable:
            if status_changed and ExpressExecutionChanged in self.wanted_facts:
                fact = ExpressExecutionChanged(self.now_ms, record.arn, record.status, record.started_at_ms)
                self.changes.facts.append(fact)
            return
        self.changes.executions[record.key] = record
        if status_changed and ExecutionChanged in self.wanted_facts:
            began_at_ms = record.redriven_at_ms or record.started_at_ms
            self.changes.facts.append(
                ExecutionChanged(self.now_ms, record.key, record.arn, record.status, began_at_ms, record.redrive_count)
            )

    def put_map_run(self, run: MapRun) -> MapRun:
        self.map_runs[run.arn] = self.changes.map_runs[run.arn] = run
        return run

    def take_key(self) -> int:
        self.next_key += 1
        return self.next_key - 1

    # -- time --

    def set_timer(self, execution: OpenExecution, frame_id: int, due_ms: int) -> None:
        heapq.heappush(self._due, (due_ms, execution.record.key, frame_id))

    def set_timers_of(self, execution: OpenExecution, frame: Frame) -> None:
        """Sets the timers of a frame that was restored or has new times."""
        for due_ms in (frame.due_ms, frame.timeout_ms, frame.heartbeat_due_ms):
            if due_ms:
                self.set_timer(execution, frame.id, due_ms)

    def due(self) -> Iterator[tuple[int, int]]:
        """Returns (execution, frame or WHOLE) of each timer that is due, once."""
        while self._due and self._due[0][0] <= self.now_ms:
            _, key, frame_id = heapq.heappop(self._due)
            yield key, frame_id

    def next_deadline(self) -> int | None:
        """Returns when there is something to do; None: not before something arrives."""
        if self.ready or self.ended:
            return 0
        while self._due:
            due_ms, key, frame_id = self._due[0]
            if self._is_set(due_ms, key, frame_id):
                return due_ms
            heapq.heappop(self._due)
        return None

    def _is_set(self, due_ms: int, key: int, frame_id: int) -> bool:
        execution = self.open.get(key)
        if execution is None:
            return False
        if frame_id == WHOLE:
            return execution.record.deadline_ms == due_ms
        frame = execution.frames.get(frame_id)
        return frame is not None and due_ms in (frame.due_ms, frame.timeout_ms, frame.heartbeat_due_ms)

    # -- the batch --

    def take(self) -> tuple[Changes, list[Effect]]:
        """Returns what the batch changed and its effects, and begins the next."""
        changes, self.changes = self.changes, Changes()
        effects, self.effects = self.effects, []
        for record, events in self._logged.values():
            effects.append(LogHistory(record.arn, record.logging, tuple(events), record.redrive_count))
        self._logged = {}
        for execution in self._touched.values():
            execution.values = execution.variables = execution.execution_context = None
            execution.items = {}
        self._touched = {}
        self._new_frames = set()
        return changes, effects


class Failure(Struct, frozen=True):
    """Why a state failed. `error`, `cause`: None: it has none. `aliases`: further names of the error."""

    error: str | None
    cause: str | None = None
    aliases: tuple[str, ...] = ()


def is_open(frame: Frame) -> bool:
    """Whether something may still happen to a frame."""
    return frame.phase not in (FramePhase.ENDED, FramePhase.ABORTED)


def ended_frame(frame: Frame, output: str | None, failure: Failure | None = None) -> Frame:
    """Returns a frame that has come to its end, which its parent, or the end of its execution, is still to learn of."""
    return replace(
        frame,
        phase=FramePhase.ENDING,
        output=output,
        error=failure.error if failure is not None else None,
        cause=failure.cause if failure is not None else None,
        error_aliases=failure.aliases if failure is not None else (),
        is_failed=failure is not None,
        due_ms=0,
        timeout_ms=0,
        heartbeat_due_ms=0,
        heartbeat_ms=0,
        work="" if failure is None else frame.work,
    )
