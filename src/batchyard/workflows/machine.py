"""The machine of Step Functions: hosts the registry of state machines and steps their executions.

What a step needs from outside is an effect, carried out after the commit of the step; what comes of it is a report.
Ends of jobs are facts of the machine of jobs, taken in the batch that makes them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Any

from batchyard.core.model.changes import Changes, Snapshot
from batchyard.core.model.commands import Command
from batchyard.core.model.effects import Effect
from batchyard.core.model.executions import EXPRESS, Execution, ExecutionStatus, Frame, FramePhase
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import JobStateChanged
from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.json_text import InvalidJson, parse_json
from batchyard.evaluators.states.errors import InvalidExpression, StateError
from batchyard.evaluators.states.json_values import parse_value
from batchyard.workflows import commands as c
from batchyard.workflows.compiled_states import CompiledMachine, compile_machine
from batchyard.workflows.executions import activities, beginnings, endings, map_runs, redrives, states, tasks, updates
from batchyard.workflows.executions.abandoned_calls import ABANDONED_CALL
from batchyard.workflows.executions.failures import fail_evaluation
from batchyard.workflows.executions.open_executions import (
    WHOLE,
    CheckArguments,
    Failure,
    HistoryFull,
    OpenExecution,
    OpenExecutions,
)
from batchyard.workflows.executions.restoring import recovered_effects, restore
from batchyard.workflows.executions.task_tokens import parse_token
from batchyard.workflows.registry import Registry

STEPS_OF_A_BATCH = 2_000  # the rest is for the next: an execution in a circle holds up no one
# Characters of its input that cost as much as a step: 15 steps of the longest payloads fill a batch, about 0.1 s.
CHARACTERS_OF_A_STEP = 2_000
MAX_COMPILED_MACHINES = 1_000  # kept, the last used
# How long a closed execution's name is remembered here: the time from the caller's look into the store until its
# command is handled.
REMEMBERED_MS = 60_000
NOT_OVER = "Execution is RUNNING and cannot be redriven"


class WorkflowsMachine:
    """A FactObserver (loop.hosted_machine). `check_arguments`: see open_executions."""

    report_types: Collection[type[Any]] = (
        c.CallAnswered,
        c.JobDescribed,
        c.ChildDescribed,
        c.ItemsRead,
        c.ResultsWritten,
        c.CallAbandoned,
    )
    observed_facts: Collection[type[Fact]] = (JobStateChanged,)

    def __init__(
        self, account: Account, registry: Registry, check_arguments: CheckArguments = lambda resource, arguments: ""
    ) -> None:
        self._registry = registry
        self._world = OpenExecutions(account, registry, check_arguments)
        self._compiled: OrderedDict[str, CompiledMachine] = OrderedDict()  # by revision
        self._closed: OrderedDict[str, int] = OrderedDict()  # when named executions closed, by ARN
        # Time, count and client token of redrives, by ARN.
        self._redriven: OrderedDict[str, tuple[int, int, str]] = OrderedDict()

    @property
    def world(self) -> OpenExecutions:
        """The open executions, to be read."""
        return self._world

    @property
    def command_types(self) -> Collection[type[Command[Any]]]:
        return (*_HANDLERS, *self._registry.command_types)

    def restore(self, snapshot: Snapshot) -> None:
        """Takes what the store has, before the first batch. The registry has been restored."""
        restore(self._world, snapshot, self._machine_of)

    @property
    def pending_changes(self) -> Changes:
        return self._world.changes

    def want_facts(self, kinds: Collection[type[Fact]]) -> None:
        self._world.wanted_facts = frozenset(kinds)

    def is_calling(self, execution_key: int, frame_id: int, event_id: int) -> bool:
        """Whether a frame still waits for the answer of the call that it made at this event."""
        found = self._world.find(execution_key, frame_id)
        return found is not None and found[1].phase is FramePhase.CALLING and found[1].call_event_id == event_id

    # -- the loop's side --

    def handle(self, command: Command[Any], now_ms: int) -> Any:
        self._world.now_ms = now_ms
        handler = _HANDLERS.get(type(command))
        if handler is None:
            return self._registry.handle(command, now_ms)
        return handler(self, command)

    def report(self, source: str, report: Any, now_ms: int) -> None:
        self._world.now_ms = now_ms
        if isinstance(report, c.CallAbandoned):
            if self._world.abandoned.pop(report.key, None) is not None:
                self._world.changes.documents[ABANDONED_CALL, report.key] = None
            return
        found = self._world.find(report.execution_key, report.frame_id)
        if found is None or found[1].call_event_id != report.event_id:
            return  # the call is over
        execution, frame = found
        if isinstance(report, c.ChildDescribed):
            if frame.phase is FramePhase.WAITS_FOR_EXECUTION and frame.target not in self._world.keys:
                self._child_described(execution, frame, report.execution)
            return
        phase, take = _TAKEN_BY[type(report)]
        if frame.phase is phase:
            self._carry(execution, frame, lambda: take(self._world, execution, frame, report))

    def observe(self, facts: Sequence[Fact], now_ms: int) -> None:
        """Asks for the descriptions of jobs that have ended, and that executions wait for."""
        for fact in facts:
            if isinstance(fact, JobStateChanged) and not fact.stop and fact.status.is_final:
                waiting = self._world.jobs.get(fact.job_id)
                found = None if waiting is None else self._world.find(*waiting)
                if found is not None:
                    self._world.effects.append(tasks.describe_job(*found))

    def schedule(self, now_ms: int) -> None:
        """Steps what is due and what is ready."""
        world = self._world
        world.now_ms = now_ms
        for key, frame_id in world.due():
            self._wake(key, frame_id)
        self._settle()
        steps = 0
        while world.ready and steps < STEPS_OF_A_BATCH:
            found = world.find(*world.ready.popleft())
            if found is not None:
                execution, frame = found
                steps += 1 + len(frame.input) // CHARACTERS_OF_A_STEP
                self._carry(execution, frame, lambda: states.step(world, execution, frame))  # noqa: B023
            self._settle()

    def outgoing(self) -> Collection[Any]:
        return ()

    def take(self) -> tuple[Changes, list[Effect]]:
        changes, effects = self._world.take()
        changes.documents |= self._registry.take()
        return changes, effects

    def next_deadline(self) -> int | None:
        return self._world.next_deadline()

    def recover(self) -> list[Effect]:
        return recovered_effects(self._world)

    # -- steps --

    def _carry(self, execution: OpenExecution, frame: Frame, work: Callable[[], None]) -> None:
        """Does a step. What fails in it fails the frame's state, or the execution whose history is full."""
        try:
            try:
                work()
            except StateError as error:
                fail_evaluation(self._world, execution, execution.frames[frame.id], error)
        except HistoryFull:
            self._close_full(execution)
        self._settle()

    def _close_full(self, execution: OpenExecution) -> None:
        last = execution.last_event_id
        endings.close(self._world, execution, ExecutionStatus.FAILED, endings.HISTORY_FULL, previous=last)

    def _wake(self, key: int, frame_id: int) -> None:
        world = self._world
        execution = world.open.get(key)
        if execution is None:
            return
        if frame_id == WHOLE:
            if 0 < execution.record.deadline_ms <= world.now_ms:
                endings.time_out(world, execution)
            return
        frame = execution.frames.get(frame_id)
        if frame is not None:
            self._carry(execution, frame, lambda: states.wake(world, execution, frame))

    def _settle(self) -> None:
        """Lets those learn of ended executions that wait for them."""
        world = self._world
        while world.ended:
            record = world.ended.popleft()
            if record.has_given_name:
                self._remember(record)
            if record.key in world.synchronous:
                world.synchronous.discard(record.key)
                world.effects.append(c.ExecutionEnded(record))
            for key, frame_id in world.waiting.pop(record.arn, ()):
                found = world.find(key, frame_id)
                if found is not None:
                    self._child_described(*found, record)
            if record.map_run_arn:
                self._child_closed(record)

    def _child_closed(self, record: Execution) -> None:
        run = self._world.map_runs.get(record.map_run_arn)
        found = None if run is None else self._world.find(run.execution_key, run.frame_id)
        if found is not None:
            self._carry(*found, lambda: map_runs.child_closed(self._world, record))

    def _child_described(self, execution: OpenExecution, frame: Frame, record: Execution | None) -> None:
        world = self._world
        self._carry(execution, frame, lambda: tasks.child_described(world, execution, frame, record))

    def _remember(self, record: Execution) -> None:
        now_ms = self._world.now_ms
        self._closed[record.arn] = now_ms
        while self._closed and next(iter(self._closed.values())) < now_ms - REMEMBERED_MS:
            self._closed.popitem(last=False)

    def _machine_of(self, revision_id: str) -> CompiledMachine:
        compiled = self._compiled.get(revision_id)
        if compiled is None:
            definition = self._registry.revision(revision_id).definition
            compiled = self._compiled[revision_id] = compile_machine(parse_json(definition))
            if len(self._compiled) > MAX_COMPILED_MACHINES:
                self._compiled.popitem(last=False)
        else:
            self._compiled.move_to_end(revision_id)
        return compiled

    # -- commands --

    def _start(self, command: c.StartExecution) -> c.Started:
        world = self._world
        resolved = self._registry.resolve(command.machine_arn, f"{command.name}/{command.uuid}")
        revision = resolved.revision
        is_express = revision.kind == EXPRESS
        if command.is_sync and not is_express:
            text = "This operation is not supported by this type of state machine"
            raise Refused(text, "StateMachineTypeNotSupported")
        name = resolved.machine.name
        resource = f"express:{name}:{command.name}:{command.uuid}" if is_express else f"execution:{name}:{command.name}"
        arn = world.account.arn("states", resource)
        key = world.keys.get(arn)
        if key is not None and world.open[key].record.input == command.input:
            record = world.open[key].record
            return c.Started(arn, record.started_at_ms)
        if key is not None or self._closed.get(arn, 0) > world.now_ms - REMEMBERED_MS:
            raise Refused(f"Execution Already Exists: '{arn}'", "ExecutionAlreadyExists")
        _check_json(command.input, "InvalidExecutionInput", "Invalid State Machine Execution Input: '{}'")
        try:
            compiled = self._machine_of(revision.revision_id)
        except InvalidExpression as fault:
            text = f"Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: {fault.message}'"
            raise Refused(text, "InvalidDefinition") from fault
        record = Execution(
            key=world.take_key(),
            arn=arn,
            machine_arn=world.account.arn("states", f"stateMachine:{name}"),
            name=command.name,
            type=revision.kind,
            status=ExecutionStatus.RUNNING,
            revision_id=revision.revision_id,
            role_arn=revision.role_arn,
            input=command.input,
            started_at_ms=world.now_ms,
            version_arn=resolved.version_arn,
            alias_arn=resolved.alias_arn,
            deadline_ms=beginnings.deadline_ms(world.now_ms, revision.kind, compiled.timeout_seconds),
            logging=revision.logging,
            trace_header=command.trace_header,
            has_given_name=command.has_given_name,
        )
        self._registry.execution_began(revision)
        if command.is_sync:
            world.synchronous.add(record.key)
        beginnings.begin(world, record, compiled.scope)
        return c.Started(arn, record.started_at_ms)

    def _stop(self, command: c.StopExecution) -> int | None:
        world = self._world
        key = world.keys.get(command.arn)
        if key is None:
            return None
        failure = Failure(command.error, command.cause)
        endings.close(world, world.open[key], ExecutionStatus.ABORTED, failure)
        self._settle()
        return world.now_ms

    def _task_succeeded(self, command: c.SendTaskSuccess) -> None:
        _check_json(command.output, "InvalidOutput", "Invalid Output: '{}'")
        execution, frame = self._task(command.token)
        world = self._world
        self._carry(execution, frame, lambda: tasks.token_answered(world, execution, frame, command.output, None))

    def _task_failed(self, command: c.SendTaskFailure) -> None:
        execution, frame = self._task(command.token)
        world = self._world
        failure = Failure(command.error, command.cause)
        self._carry(execution, frame, lambda: tasks.token_answered(world, execution, frame, None, failure))

    def _heartbeat(self, command: c.SendTaskHeartbeat) -> None:
        tasks.heartbeat(self._world, *self._task(command.token))

    def _task(self, token: str) -> tuple[OpenExecution, Frame]:
        """Returns the task that waits for a token. Raises Refused."""
        parts = parse_token(self._world.account.account_id, token)
        found = self._world.find(parts.execution_key, parts.frame_id)
        is_open = found is not None and found[1].call_event_id == parts.event_id
        if not is_open or found is None or found[1].phase not in _TAKE_TOKENS or found[1].early_end:
            raise Refused("Task Timed Out: 'Provided task does not exist anymore'", "TaskTimedOut")
        return found

    def _take_task(self, command: c.TakeActivityTask) -> c.ActivityTask | None:
        while (found := activities.next_task(self._world, command.activity_arn)) is not None:
            try:
                return activities.give(self._world, *found, command.worker_name)
            except HistoryFull:
                self._close_full(found[0])
        return None

    def _update_map_run(self, command: c.UpdateMapRun) -> None:
        updates.update_map_run(self._world, command)

    def _redrive(self, command: c.RedriveExecution) -> int:
        world, record = self._world, command.execution
        at_ms, count, token = self._redriven.get(record.arn, (0, 0, ""))
        if token and token == command.client_token:
            return at_ms  # the caller repeats its request
        if record.arn in world.keys or record.redrive_count < count:
            raise Refused(NOT_OVER, redrives.NOT_REDRIVABLE)
        redrives.check_redrivable(command, world.now_ms)
        redrives.redrive(world, command, self._machine_of(record.revision_id))
        self._redriven[record.arn] = world.now_ms, record.redrive_count + 1, command.client_token
        self._redriven.move_to_end(record.arn)
        while next(iter(self._redriven.values()))[0] < world.now_ms - REMEMBERED_MS:
            self._redriven.popitem(last=False)
        return world.now_ms


def _check_json(text: str, code: str, message: str) -> None:
    """Refuses a text that is no JSON value that executions take."""
    try:
        parse_value(text)
    except InvalidJson as fault:
        raise Refused(message.format(fault), code) from fault


_TAKE_TOKENS = frozenset({FramePhase.CALLING, FramePhase.WAITS_FOR_TOKEN, FramePhase.WITH_WORKER})


# The phase in which a frame takes a report, and what takes it.
_TAKEN_BY: dict[type[Any], tuple[FramePhase, Callable[[OpenExecutions, OpenExecution, Frame, Any], None]]] = {
    c.CallAnswered: (FramePhase.CALLING, tasks.answered),
    c.JobDescribed: (FramePhase.WAITS_FOR_JOB, tasks.job_described),
    c.ItemsRead: (FramePhase.READS_ITEMS, map_runs.items_read),
    c.ResultsWritten: (FramePhase.WRITES_RESULTS, map_runs.results_written),
}
_HANDLERS: dict[type[Command[Any]], Callable[[WorkflowsMachine, Any], Any]] = {
    c.StartExecution: WorkflowsMachine._start,
    c.StopExecution: WorkflowsMachine._stop,
    c.SendTaskSuccess: WorkflowsMachine._task_succeeded,
    c.SendTaskFailure: WorkflowsMachine._task_failed,
    c.SendTaskHeartbeat: WorkflowsMachine._heartbeat,
    c.TakeActivityTask: WorkflowsMachine._take_task,
    c.UpdateMapRun: WorkflowsMachine._update_map_run,
    c.RedriveExecution: WorkflowsMachine._redrive,
}
