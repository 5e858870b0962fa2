"""Drives the machine of workflows without a loop: runs batches, answers calls, keeps what a store would."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from batchyard.core.model.changes import Changes, Snapshot
from batchyard.core.model.commands import Answer, Command
from batchyard.core.model.effects import Effect
from batchyard.core.model.executions import STANDARD, Execution, Frame, HistoryEvent, MapRun
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import JobStateChanged
from batchyard.core.model.names import Account
from batchyard.core.model.records import Status
from batchyard.workflows import commands as c
from batchyard.workflows.machine import WorkflowsMachine
from batchyard.workflows.registry import Registry
from batchyard.workflows.registry_commands import CreateActivity, CreateStateMachine
from batchyard.workflows.resources import Resource

ACCOUNT = Account("123456789012", "us-east-1")
START_MS = 1_700_000_000_000
MAX_BATCHES = 10_000
TASK = "arn:aws:states:::sns:publish"
JOB = "arn:aws:states:::batch:submitJob.sync"

Answers = Callable[[c.CallIntegration], Any]  # the output of a call; CallFailed: it fails; None: it is not answered


class CallFailed(Exception):
    def __init__(self, error: str, cause: str | None = None, stage: str = "") -> None:
        super().__init__(error)
        self.error, self.cause, self.stage = error, cause, stage


class Store:
    """What the tables have."""

    def __init__(self) -> None:
        self.executions: dict[int, Execution] = {}
        self.frames: dict[tuple[int, int], Frame] = {}
        self.history: dict[int, list[HistoryEvent]] = {}
        self.map_runs: dict[str, MapRun] = {}
        self.documents: dict[tuple[str, str], Struct] = {}

    def commit(self, changes: Changes) -> None:
        self.executions |= changes.executions
        self.map_runs |= changes.map_runs
        for place, frame in changes.frames.items():
            if frame is None:
                del self.frames[place]  # what is deleted is there
            else:
                self.frames[place] = frame
        for event in changes.history:
            events = self.history.setdefault(event.execution_key, [])
            assert event.id == len(events) + 1, "ids are dense"
            events.append(event)
        for name, document in changes.documents.items():
            if document is None:
                del self.documents[name]
            else:
                self.documents[name] = document

    def snapshot(self) -> Snapshot:
        opened = {key: one for key, one in self.executions.items() if not one.status.is_final}
        return Snapshot(
            executions=list(opened.values()),
            frames=[frame for (key, _), frame in self.frames.items() if key in opened],
            history_ends={key: len(self.history[key]) for key in opened},
            map_runs=[run for run in self.map_runs.values() if run.status.value == "RUNNING"],
            next_execution_key=max(self.executions, default=0) + 1,
            documents=self.documents,
        )


class Driver:
    """`answers`: what calls give; without it they stay open until `answer`."""

    def __init__(
        self,
        answers: Answers | None = None,
        check_arguments: Callable[[Resource, Any], str] = lambda resource, arguments: "",
    ) -> None:
        self.store = Store()
        self.check_arguments = check_arguments
        self.answers = answers
        self.now_ms = START_MS
        self.calls: list[c.CallIntegration] = []  # all that were made
        self.effects: list[Effect] = []  # all others
        self.facts: list[Fact] = []
        self.children: dict[str, Execution] = {}  # what DescribeChild finds
        self.boot()

    def boot(self) -> list[Effect]:
        self.registry = Registry(ACCOUNT)
        self.registry.restore(self.store.documents)
        self.machine = WorkflowsMachine(ACCOUNT, self.registry, self.check_arguments)
        self.machine.restore(self.store.snapshot())
        self.machine.want_facts([])
        return self.machine.recover()

    def restart(self) -> None:
        """Forgets the machine and makes a new one of what the store has."""
        self.carry_out(self.boot())
        self.run()

    # -- commands and reports --

    def ask(self, command: Command[Answer]) -> Answer:
        answer = self.machine.handle(command, self.now_ms)
        self.run()
        result: Answer = answer
        return result

    def report(self, report: Any) -> None:
        self.machine.report("", report, self.now_ms)
        self.run()

    def observe(self, *facts: Fact) -> None:
        self.machine.observe(facts, self.now_ms)
        self.run()

    def job_ended(self, job_id: str, status: Status = Status.SUCCEEDED) -> None:
        self.observe(JobStateChanged(self.now_ms, 1, job_id, "queue", status))

    def create(self, definition: Mapping[str, Any] | str, name: str = "m", kind: str = STANDARD, **members: Any) -> str:
        text = definition if isinstance(definition, str) else json.dumps(definition)
        self.ask(CreateStateMachine(name, kind, text, "arn:aws:iam::123456789012:role/r", f"{name}-1", **members))
        return ACCOUNT.arn("states", f"stateMachine:{name}")

    def create_activity(self, name: str) -> str:
        self.ask(CreateActivity(name))
        return ACCOUNT.arn("states", f"activity:{name}")

    def start(self, given: Any = None, name: str = "e", machine: str = "m", **members: Any) -> str:
        """Starts an execution, and returns its ARN."""
        text = given if isinstance(given, str) else json.dumps({} if given is None else given)
        arn = ACCOUNT.arn("states", f"stateMachine:{machine}")
        return self.ask(c.StartExecution(arn, name, text, "uuid", has_given_name=True, **members)).arn

    def run_machine(self, definition: Mapping[str, Any], given: Any = None) -> str:
        """Creates a machine of this definition and starts an execution."""
        self.create(definition)
        return self.start(given)

    # -- batches --

    def run(self) -> None:
        """Runs batches until nothing is to be done at this time."""
        for _ in range(MAX_BATCHES):
            self.machine.schedule(self.now_ms)
            changes, effects = self.machine.take()
            self.store.commit(changes)
            self.facts += changes.facts
            has_reported = self.carry_out(effects)
            due_ms = self.machine.next_deadline()
            if not has_reported and (due_ms is None or due_ms > self.now_ms):
                return
        raise AssertionError("the machine does not come to rest")

    def advance(self, seconds: float) -> None:
        """Lets time pass, timer by timer."""
        end_ms = self.now_ms + int(seconds * 1000)
        while (due_ms := self.machine.next_deadline()) is not None and due_ms <= end_ms:
            self.now_ms = max(self.now_ms, due_ms)
            self.run()
        self.now_ms = end_ms
        self.run()

    def advance_to_end(self) -> None:
        """Lets time pass until nothing more will happen by itself."""
        while (due_ms := self.machine.next_deadline()) is not None:
            self.now_ms = max(self.now_ms, due_ms)
            self.run()

    def carry_out(self, effects: list[Effect]) -> bool:
        """Returns whether a call was answered."""
        has_reported = False
        for effect in effects:
            if not isinstance(effect, c.CallIntegration):
                self.effects.append(effect)
                continue
            self.calls.append(effect)
            if self.answers is None:
                continue
            try:
                output = self.answers(effect)
            except CallFailed as failure:
                self.fail(effect, failure.error, failure.cause, failure.stage)
                has_reported = True
            else:
                if output is not None:
                    self.answer(effect, output)
                    has_reported = True
        return has_reported

    def answer(self, call: c.CallIntegration, output: Any) -> None:
        report = c.CallAnswered(
            execution_key=call.execution_key, frame_id=call.frame_id, event_id=call.event_id, output=output
        )
        self.machine.report("", report, self.now_ms)

    def fail(self, call: c.CallIntegration, error: str, cause: str | None = None, stage: str = "") -> None:
        report = c.CallAnswered(
            execution_key=call.execution_key,
            frame_id=call.frame_id,
            event_id=call.event_id,
            error=error,
            cause=cause,
            stage=stage,
        )
        self.machine.report("", report, self.now_ms)

    # -- what came of it --

    def execution_arn(self, name: str, machine: str = "m") -> str:
        return ACCOUNT.arn("states", f"execution:{machine}:{name}")

    def execution(self, arn: str) -> Execution:
        (found,) = (one for one in self.store.executions.values() if one.arn == arn)
        return found

    def output(self, arn: str) -> Any:
        record = self.execution(arn)
        assert record.output is not None, f"it is {record.status}: {record.error}: {record.cause}"
        return json.loads(record.output)

    def events(self, arn: str) -> list[HistoryEvent]:
        return self.store.history[self.execution(arn).key]

    def shape(self, arn: str) -> list[str]:
        """Returns the history as `id<previous type`."""
        return [f"{event.id}<{event.previous_event_id} {event.type}" for event in self.events(arn)]

    def types(self, arn: str) -> list[str]:
        return [event.type for event in self.events(arn)]

    def details(self, arn: str, event_type: str) -> list[dict[str, Any]]:
        return [event.details or {} for event in self.events(arn) if event.type == event_type]

    def took(self, effect_type: type[Effect]) -> list[Any]:
        """Returns the effects of a type since the last call, and forgets them."""
        found = [effect for effect in self.effects if isinstance(effect, effect_type)]
        self.effects = [effect for effect in self.effects if not isinstance(effect, effect_type)]
        return found

    def has_job_to_describe(self) -> bool:
        """Returns whether a job is to be described."""
        return any(isinstance(effect, c.DescribeJob) for effect in self.effects)
