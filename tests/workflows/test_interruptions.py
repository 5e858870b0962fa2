"""Executions that are interrupted at every step: after a restart they go on as if nothing had been, after a stop and a
redrive they end as if they had not been stopped."""

import json
from typing import Any

import pytest

from batchyard.core.model.executions import ExecutionStatus, HistoryEvent
from batchyard.workflows import commands as c
from batchyard.workflows import machine as machine_module
from tests.workflows.driver import JOB, TASK, CallFailed, Driver
from tests.workflows.test_redrives import redrive_command

CALL = {"Type": "Task", "Resource": TASK}
RETRY = [{"ErrorEquals": ["Flaky"], "MaxAttempts": 1}]


def scope(*states: dict[str, Any]) -> dict[str, Any]:
    """Returns states one after the other."""
    count = len(states)
    named = {f"{state['Type']}{place}": dict(state) for place, state in enumerate(states)}
    names = list(named)
    for place, name in enumerate(names):
        if named[name]["Type"] not in ("Succeed", "Fail", "Choice"):
            named[name] |= {"Next": names[place + 1]} if place + 1 < count else {"End": True}
    return {"StartAt": names[0], "States": named}


def distributed(kind: str = "STANDARD") -> dict[str, Any]:
    return {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind}}


PASS = {"Type": "Pass"}
WAIT = {"Type": "Wait", "Seconds": 2}
MACHINES: dict[str, tuple[dict[str, Any], Any]] = {
    "branches": (
        scope(
            {"Type": "Pass", "Assign": {"v.$": "$"}},
            {"Type": "Parallel", "Branches": [scope(WAIT, CALL), scope(PASS, PASS), scope({**CALL, "Resource": JOB})]},
            {"Type": "Pass", "Parameters": {"v.$": "$v", "all.$": "$"}},
        ),
        1,
    ),
    "iterations": (
        scope(
            {"Type": "Map", "MaxConcurrency": 2, "ItemProcessor": scope({**CALL, "Retry": RETRY}, PASS)},
            {"Type": "Parallel", "Branches": [scope(WAIT), scope({"Type": "Map", "ItemProcessor": scope(WAIT)})]},
        ),
        [1, "flaky", 3],
    ),
    "children": (
        scope({"Type": "Map", "MaxConcurrency": 2, "ItemProcessor": scope(CALL, WAIT) | distributed()}, PASS),
        [1, 2, 3],
    ),
    "caught": (
        {
            "StartAt": "P",
            "States": {
                "P": {
                    "Type": "Parallel",
                    "Branches": [scope(CALL, WAIT), scope({"Type": "Fail", "Error": "E"})],
                    "Retry": [{"ErrorEquals": ["E"], "MaxAttempts": 1}],
                    "Catch": [{"ErrorEquals": ["E"], "Next": "C", "ResultPath": "$.e"}],
                    "End": True,
                },
                "C": {**CALL, "End": True},
            },
        },
        {},
    ),
}


class World:
    """A driver whose batches have one step each, and whose calls give the same each time."""

    def __init__(self, name: str) -> None:
        self.failing = ""  # the key of the call that fails, each time that it is made
        self.driver = Driver(self.answers)
        definition, given = MACHINES[name]
        machine = self.driver.create(definition)
        command = c.StartExecution(machine, "e", json.dumps(given), "uuid", has_given_name=True)
        self.arn = self.driver.machine.handle(command, self.driver.now_ms).arn

    def answers(self, call: c.CallIntegration) -> Any:
        if call.resource.service == "batch":
            return {"JobId": f"job {call.execution_key}"}
        if call.arguments == "flaky" and self.failing in ("", call.key):
            self.failing = call.key
            raise CallFailed("Flaky")
        return call.arguments

    def describe_jobs(self) -> bool:
        asked = self.driver.took(c.DescribeJob)
        for ask in asked:
            self.driver.machine.report(
                "",
                c.JobDescribed(
                    execution_key=ask.execution_key,
                    frame_id=ask.frame_id,
                    event_id=ask.event_id,
                    has_ended=True,
                    is_succeeded=True,
                    output={"JobId": ask.job_id},
                ),
                self.driver.now_ms,
            )
        return bool(asked)

    def batch(self) -> bool:
        """Runs one batch. Returns whether there was something to do."""
        driver = self.driver
        has_more = self.describe_jobs()
        driver.machine.schedule(driver.now_ms)
        changes, effects = driver.machine.take()
        driver.store.commit(changes)
        has_more |= driver.carry_out(effects) or driver.has_job_to_describe()
        due_ms = driver.machine.next_deadline()
        if due_ms is not None and due_ms > driver.now_ms and not has_more:
            driver.now_ms = due_ms
        return has_more or due_ms is not None

    def finish(self) -> list[HistoryEvent]:
        for _ in range(10_000):
            if not self.batch():
                return self.driver.events(self.arn)
        raise AssertionError("it does not end")


def types_of(events: list[HistoryEvent]) -> list[str]:
    """Returns the types of events; which of several frames that are ready is stepped first is not stored."""
    return sorted(event.type for event in events)


@pytest.fixture(autouse=True)
def _one_step_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "STEPS_OF_A_BATCH", 1)


def interrupted(name: str, batches: int) -> World | None:
    """Returns a world after so many batches; None: it ends before."""
    world = World(name)
    for _ in range(batches):
        world.batch()
    is_open = not batches or world.driver.execution(world.arn).status is ExecutionStatus.RUNNING
    return world if is_open else None


@pytest.mark.parametrize("name", MACHINES)
def test_a_restart_at_any_step_changes_nothing(name: str) -> None:
    expected = World(name).finish()
    assert expected[-1].type == "ExecutionSucceeded"
    batches = 1
    while (world := interrupted(name, batches)) is not None:
        world.driver.carry_out(world.driver.boot())
        events = world.finish()
        assert types_of(events) == types_of(expected), f"after {batches} batches"
        assert (events[-1].type, events[-1].details) == (expected[-1].type, expected[-1].details)
        assert world.driver.store.frames == {}
        batches += 1
    assert batches > 10


@pytest.mark.parametrize("name", MACHINES)
def test_a_stop_at_any_step_is_undone_by_a_redrive(name: str) -> None:
    expected = World(name).finish()[-1].details
    batches = 1
    while (world := interrupted(name, batches)) is not None:
        driver = world.driver
        driver.machine.handle(c.StopExecution(world.arn), driver.now_ms)
        world.batch()
        assert driver.execution(world.arn).status is ExecutionStatus.ABORTED
        driver.machine.handle(redrive_command(driver, world.arn), driver.now_ms)
        events = world.finish()
        assert (events[-1].type, events[-1].details) == ("ExecutionSucceeded", expected), f"after {batches} batches"
        assert driver.store.frames == {}
        batches += 1
    assert batches > 10
