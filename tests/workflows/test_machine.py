"""What the machine of workflows does besides stepping: names, types, facts, logs (step functions spec 4, 16)."""

from typing import Any

import pytest

from batchyard.core.model.executions import ExecutionChanged, ExecutionStatus, ExpressExecutionChanged, Logging
from batchyard.core.model.refusal import Refused
from batchyard.workflows import commands as c
from batchyard.workflows.registry_commands import AliasRoute, CreateAlias, DeleteStateMachine, UpdateStateMachine
from tests.workflows.driver import ACCOUNT, TASK, Driver

PASS = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}
WAIT = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 5, "End": True}}}
CALL = {"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": TASK, "End": True}}}


def test_an_equal_request_returns_the_execution_that_runs() -> None:
    driver = Driver()
    driver.create(WAIT)
    arn = driver.start({"a": 1})
    started_at = driver.now_ms
    driver.advance(1)
    command = c.StartExecution(ACCOUNT.arn("states", "stateMachine:m"), "e", '{"a": 1}', "other", has_given_name=True)
    assert driver.ask(command) == c.Started(arn, started_at)
    with pytest.raises(Refused, match=f"Execution Already Exists: '{arn}'"):
        driver.start({"a": 2})


@pytest.mark.parametrize("seconds", [0, 59])
def test_the_name_of_an_execution_that_has_just_closed_is_taken(seconds: int) -> None:
    driver = Driver()
    driver.create(PASS)
    driver.start()
    driver.advance(seconds)
    with pytest.raises(Refused) as refused:
        driver.start()
    assert refused.value.code == "ExecutionAlreadyExists"


def test_an_execution_runs_the_definition_of_its_start() -> None:
    driver = Driver()
    definition = {
        "StartAt": "W",
        "States": {"W": {"Type": "Wait", "Seconds": 5, "Next": "A"}, "A": {"Type": "Pass", "Result": 1, "End": True}},
    }
    driver.create(definition, "old")
    arn = driver.start(machine="old")
    driver.ask(
        UpdateStateMachine(ACCOUNT.arn("states", "stateMachine:old"), "old-2", definition='{"StartAt":"B","States":{}}')
    )
    driver.restart()
    driver.advance(5)
    assert driver.output(arn) == 1


def test_a_machine_that_is_deleted_goes_with_its_last_execution() -> None:
    driver = Driver()
    machine = driver.create(WAIT)
    arn = driver.start()
    driver.ask(DeleteStateMachine(machine))
    with pytest.raises(Refused) as refused:
        driver.start(name="another")
    assert refused.value.code == "StateMachineDeleting"
    driver.restart()
    driver.advance(5)
    assert driver.execution(arn).status is ExecutionStatus.SUCCEEDED
    with pytest.raises(Refused, match="State Machine Does Not Exist"):
        driver.start(name="another")


def test_an_execution_knows_the_alias_that_it_was_started_by() -> None:
    driver = Driver()
    machine = driver.create(PASS, publish=True)
    driver.ask(CreateAlias("live", (AliasRoute(f"{machine}:1", 100),)))
    arn = driver.ask(c.StartExecution(f"{machine}:live", "e", "{}", "uuid")).arn
    record = driver.execution(arn)
    assert (record.arn, record.alias_arn, record.version_arn) == (
        driver.execution_arn("e"),
        f"{machine}:live",
        f"{machine}:1",
    )
    details = driver.details(arn, "ExecutionStarted")[0]
    assert (details["stateMachineAliasArn"], details["stateMachineVersionArn"]) == (f"{machine}:live", f"{machine}:1")


# -- EXPRESS --


def test_a_synchronous_execution_leaves_nothing_and_its_end_is_an_effect() -> None:
    driver = Driver(lambda call: {"ok": True})
    driver.create(CALL, kind="EXPRESS")
    before = dict(driver.store.documents)
    arn = driver.start({"a": 1}, is_sync=True)
    assert arn == ACCOUNT.arn("states", "express:m:e:uuid")
    (ended,) = driver.took(c.ExecutionEnded)
    assert (ended.execution.arn, ended.execution.status, ended.execution.output) == (
        arn,
        ExecutionStatus.SUCCEEDED,
        '{"ok":true}',
    )
    assert (driver.store.executions, driver.store.frames, driver.store.history) == ({}, {}, {})
    assert driver.store.documents.keys() == before.keys()


def test_an_express_execution_ends_after_five_minutes() -> None:
    driver = Driver()
    driver.create(CALL, kind="EXPRESS")
    driver.start(is_sync=True)
    driver.advance(299)
    assert driver.took(c.ExecutionEnded) == []
    driver.advance(1)
    (ended,) = driver.took(c.ExecutionEnded)
    assert (ended.execution.status, ended.execution.error) == (ExecutionStatus.TIMED_OUT, "States.Timeout")


def test_names_of_express_executions_may_repeat() -> None:
    driver = Driver()
    driver.create(CALL, kind="EXPRESS")
    machine = ACCOUNT.arn("states", "stateMachine:m")
    arns = {driver.ask(c.StartExecution(machine, "same", "{}", uuid, has_given_name=True)).arn for uuid in "ab"}
    assert len(arns) == 2


def test_only_express_executions_can_be_waited_for() -> None:
    driver = Driver()
    driver.create(PASS)
    with pytest.raises(Refused) as refused:
        driver.start(is_sync=True)
    assert refused.value.code == "StateMachineTypeNotSupported"


def test_a_circle_of_an_express_execution_ends_at_its_time() -> None:
    driver = Driver()
    circle = {
        "StartAt": "A",
        "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Wait", "Seconds": 1, "Next": "A"}},
    }
    driver.create(circle, kind="EXPRESS")
    driver.start(is_sync=True)
    driver.advance(300)
    (ended,) = driver.took(c.ExecutionEnded)
    assert ended.execution.status is ExecutionStatus.TIMED_OUT
    assert driver.machine.next_deadline() is None


# -- facts and logs --


def test_each_change_of_status_is_a_fact() -> None:
    driver = Driver()
    driver.machine.want_facts([ExecutionChanged])
    driver.create(WAIT)
    arn = driver.start()
    driver.advance(5)
    facts: list[Any] = driver.facts
    assert [(fact.arn, fact.status.value) for fact in facts] == [(arn, "RUNNING"), (arn, "SUCCEEDED")]


def test_each_change_of_an_express_execution_is_a_fact_of_its_own() -> None:
    driver = Driver()
    driver.machine.want_facts([ExecutionChanged, ExpressExecutionChanged])
    driver.create(WAIT, kind="EXPRESS")
    arn = driver.start()
    began_ms = driver.now_ms
    driver.advance(5)
    assert driver.facts == [
        ExpressExecutionChanged(began_ms, arn, ExecutionStatus.RUNNING, began_ms),
        ExpressExecutionChanged(began_ms + 5000, arn, ExecutionStatus.SUCCEEDED, began_ms),
    ]


def test_facts_that_no_one_wants_are_not_made() -> None:
    driver = Driver()
    driver.run_machine(PASS)
    assert driver.facts == []


@pytest.mark.parametrize("kind", ["STANDARD", "EXPRESS"])
def test_the_history_of_a_machine_that_logs_is_an_effect(kind: str) -> None:
    driver = Driver()
    logging = Logging("ALL", includes_data=True, log_group_arn="arn:aws:logs:us-east-1:123456789012:log-group:g:*")
    driver.create(PASS, kind=kind, logging=logging)
    arn = driver.start()
    logged = driver.took(c.LogHistory)
    assert {one.execution_arn for one in logged} == {arn}
    assert {one.logging for one in logged} == {logging}
    assert [event.type for one in logged for event in one.events] == [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "ExecutionSucceeded",
    ]


def test_a_definition_that_cannot_be_compiled_is_refused_at_the_start() -> None:
    driver = Driver()
    driver.create({"StartAt": "A", "States": {"A": {"Type": "Pass", "InputPath": "$[", "End": True}}})
    with pytest.raises(Refused) as refused:
        driver.start()
    assert refused.value.code == "InvalidDefinition"
    assert driver.store.executions == {}


def test_long_payloads_make_batches_of_fewer_steps() -> None:
    driver = Driver()
    definition = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}}}
    machine = driver.create(definition)
    events = []
    for name, length in (("short", 10), ("long", 200_000)):
        driver.machine.handle(c.StartExecution(machine, name, f'"{"a" * length}"', ""), driver.now_ms)
        driver.machine.schedule(driver.now_ms)
        events.append(len(driver.machine.take()[0].history))
        driver.machine.handle(c.StopExecution(driver.execution_arn(name)), driver.now_ms)
        driver.machine.take()
    assert events[0] > 3_000
    assert events[1] < 100
