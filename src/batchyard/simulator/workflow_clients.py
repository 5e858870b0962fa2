"""Simulated clients of executions: they start, stop and redrive them, and ask again when no answer comes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from batchyard.core.model.commands import Command
from batchyard.core.model.executions import ExecutionStatus
from batchyard.simulator import workload as w
from batchyard.simulator.attempt_ledger import ViolationError
from batchyard.simulator.event_queue import SimulatorEventQueue
from batchyard.simulator.server import ACCOUNT, NoAnswerError, Server
from batchyard.simulator.workflow_oracle import WorkflowOracle
from batchyard.simulator.workflow_workload import RedriveWorkflow, StartWorkflow, StopWorkflow, given_of
from batchyard.workflows import commands as c
from batchyard.workflows.registry_commands import CreateStateMachine

RETRY_MS = 150
ROLE = "arn:aws:iam::123456789012:role/simulated"


class WorkflowClients:
    def __init__(
        self,
        event_queue: SimulatorEventQueue,
        oracle: WorkflowOracle,
        serving: Callable[[], Server | None],
        note: Callable[[str], None],
    ) -> None:
        self._event_queue, self.oracle, self._serving, self._note = event_queue, oracle, serving, note
        self._arns: dict[int, str] = {}  # of executions, by number

    def first_commands(self, setup: w.Setup) -> list[Command[object]]:
        """Returns the commands that create the state machines of a world."""
        return [
            CreateStateMachine(name, "STANDARD", json.dumps(definition), ROLE, f"{name}-1")
            for name, definition in setup.workflows.items()
        ]

    def apply(self, operation: w.Operation) -> bool:
        """Begins an operation upon an execution. Returns False if it is another one."""
        if isinstance(operation, StartWorkflow):
            self._start(operation)
        elif isinstance(operation, StopWorkflow | RedriveWorkflow):
            arn = self._arns.get(operation.number)
            if arn is not None and isinstance(operation, StopWorkflow):
                self._ask(lambda: c.StopExecution(arn, "Stopped"), lambda answer: None)
            elif arn is not None:
                self._redrive(arn)
        else:
            return False
        return True

    def stop_all(self) -> None:
        """Stops every open execution that a client has started."""
        for record in self.oracle.open():
            if not record.map_run_arn:
                arn = record.arn
                self._ask(lambda arn=arn: c.StopExecution(arn), lambda answer: None)  # type: ignore[misc]

    def _start(self, operation: StartWorkflow) -> None:
        machine = ACCOUNT.arn("states", f"stateMachine:{operation.machine}")
        given = json.dumps(given_of(operation.items))
        name = f"run-{operation.number}"
        arn = ACCOUNT.arn("states", f"execution:{operation.machine}:{name}")
        command = c.StartExecution(machine, name, given, "", has_given_name=True)

        def on_answer(answer: Any) -> None:
            if not isinstance(answer, c.Started) or answer.arn != arn:
                raise ViolationError(f"{command} was answered with {answer!r}")
            self.oracle.promise(arn)
            self._arns[operation.number] = arn

        self._ask(lambda: None if self.oracle.find(arn) else command, on_answer)

    def _redrive(self, arn: str) -> None:
        def make() -> Command[Any] | None:
            record = self.oracle.find(arn)
            if record is None or not record.status.is_final or record.status is ExecutionStatus.SUCCEEDED:
                return None
            return self.oracle.redrive_command(record)

        self._ask(make, lambda answer: None)

    def _ask(self, make: Callable[[], Command[Any] | None], on_answer: Callable[[Any], None]) -> None:
        """Sends what `make` makes of the store as it is then, until an answer comes. None: there is nothing to do."""
        server = self._serving()
        if server is None:
            self._event_queue.after(RETRY_MS, lambda: self._ask(make, on_answer))
            return
        command = make()
        if command is None:
            return

        def answered(answer: Any) -> None:
            if isinstance(answer, NoAnswerError):
                self._event_queue.after(RETRY_MS, lambda: self._ask(make, on_answer))
            else:
                on_answer(answer)

        server.request(lambda: command, 0, answered)
