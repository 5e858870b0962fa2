"""Redrive: what failed runs again, what has succeeded does not (step functions spec 4)."""

from typing import Any

import pytest

from batchyard.core.model.executions import ExecutionStatus, FramePhase, MapRunCounts, MapRunStatus
from batchyard.core.model.refusal import Refused
from batchyard.workflows import commands as c
from tests.workflows.driver import TASK, CallFailed, Driver

TOUCHY = {"T": {"Type": "Task", "Resource": TASK, "End": True}}


class Calls:
    """Answers calls; fails those whose arguments are in `broken`."""

    def __init__(self, *broken: Any) -> None:
        self.broken = list(broken)
        self.made: list[Any] = []

    def __call__(self, call: c.CallIntegration) -> Any:
        self.made.append(call.arguments)
        if call.arguments in self.broken:
            raise CallFailed("Broken")
        return call.arguments


def redrive(driver: Driver, arn: str, token: str = "") -> int:
    return driver.ask(redrive_command(driver, arn, token))


def redrive_command(driver: Driver, arn: str, token: str = "") -> c.RedriveExecution:
    """Returns the command that redrives an execution, with what the store has of it."""
    record = driver.execution(arn)
    runs: list[Any] = []
    children: list[Any] = []
    keys = [record.key]
    while keys:
        key = keys.pop()
        own = [run for run in driver.store.map_runs.values() if run.execution_key == key]
        arns = {run.arn for run in own}
        found = [one for one in driver.store.executions.values() if one.map_run_arn in arns]
        keys += [one.key for one in found if one.status is not ExecutionStatus.SUCCEEDED]
        runs += own
        children += found

    def stored(key: int) -> tuple[Any, int]:
        return tuple(frame for (of, _), frame in driver.store.frames.items() if of == key), len(
            driver.store.history[key]
        )

    frames, end = stored(record.key)
    unsuccessful = tuple((one, *stored(one.key)) for one in children if one.status is not ExecutionStatus.SUCCEEDED)
    return c.RedriveExecution(record, frames, end, tuple(runs), unsuccessful, token)


def test_a_failed_task_is_called_again_and_the_history_goes_on() -> None:
    calls = Calls("x")
    driver = Driver(calls)
    states = {"A": {"Type": "Pass", "Next": "T", "Assign": {"v": 1}}, **TOUCHY}
    states["T"] = {**TOUCHY["T"], "ResultSelector": {"v.$": "$v"}}
    arn = driver.run_machine({"StartAt": "A", "States": states}, '"x"')
    calls.broken.clear()
    driver.advance(10)
    assert redrive(driver, arn) == driver.now_ms
    assert driver.shape(arn)[7:] == [
        "8<7 ExecutionFailed",
        "9<8 ExecutionRedriven",
        "10<9 TaskScheduled",
        "11<10 TaskStarted",
        "12<11 TaskSucceeded",
        "13<12 TaskStateExited",
        "14<13 ExecutionSucceeded",
    ]
    record = driver.execution(arn)
    assert (record.status, record.redrive_count, record.error) == (ExecutionStatus.SUCCEEDED, 1, None)
    assert driver.output(arn) == {"v": 1}
    assert driver.details(arn, "ExecutionRedriven") == [{"redriveCount": 1}]
    assert driver.store.frames == {}


@pytest.mark.parametrize("has_restart", [False, True])
def test_branches_that_have_succeeded_do_not_run_again(has_restart: bool) -> None:
    calls = Calls("bad")
    driver = Driver(calls)
    branches = [
        {"StartAt": name, "States": {name: {**TOUCHY["T"], "Parameters": text}}}
        for name, text in (("G", "good"), ("B", "bad"))
    ]
    states = {"X": {"Type": "Parallel", "Branches": branches, "End": True}}
    definition = {"StartAt": "X", "States": states, "QueryLanguage": "JSONata"}
    for one in branches:
        (state,) = one["States"].values()
        state["Arguments"] = state.pop("Parameters")
    arn = driver.run_machine(definition)
    assert driver.execution(arn).status is ExecutionStatus.FAILED
    calls.broken.clear()
    if has_restart:
        driver.restart()
    redrive(driver, arn)
    assert driver.output(arn) == ["good", "bad"]
    assert calls.made == ["good", "bad", "bad"]


def test_iterations_that_have_succeeded_do_not_run_again() -> None:
    calls = Calls(2)
    driver = Driver(calls)
    state = {"Type": "Map", "ItemProcessor": {"StartAt": "T", "States": TOUCHY}, "MaxConcurrency": 1, "End": True}
    arn = driver.run_machine({"StartAt": "M", "States": {"M": state}}, [1, 2, 3])
    assert calls.made == [1, 2]
    calls.broken.clear()
    redrive(driver, arn)
    assert driver.output(arn) == [1, 2, 3]
    assert calls.made == [1, 2, 2, 3]


def test_what_was_cut_off_by_a_stop_begins_again() -> None:
    driver = Driver()
    states = {"W": {"Type": "Wait", "Seconds": 60, "End": True}}
    arn = driver.run_machine({"StartAt": "W", "States": states, "TimeoutSeconds": 100})
    driver.advance(50)
    driver.ask(c.StopExecution(arn))
    assert [frame.phase for frame in driver.store.frames.values()] == [FramePhase.ABORTED]
    driver.advance(1000)
    redrive(driver, arn)
    assert driver.execution(arn).deadline_ms == driver.now_ms + 100_000
    driver.advance(59)
    assert driver.execution(arn).status is ExecutionStatus.RUNNING
    driver.advance(1)
    assert driver.types(arn)[-2:] == ["WaitStateExited", "ExecutionSucceeded"]


def test_a_state_that_waits_for_nothing_is_entered_again() -> None:
    driver = Driver()
    arn = driver.run_machine({"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "E"}}})
    redrive(driver, arn)
    assert driver.shape(arn)[2:] == [
        "3<2 ExecutionFailed",
        "4<3 ExecutionRedriven",
        "5<4 FailStateEntered",
        "6<5 ExecutionFailed",
    ]
    assert driver.execution(arn).redrive_count == 1


def test_retries_count_from_the_beginning() -> None:
    calls = Calls({})
    driver = Driver(calls)
    retry = [{"ErrorEquals": ["Broken"], "MaxAttempts": 1}]
    arn = driver.run_machine({"StartAt": "T", "States": {"T": {**TOUCHY["T"], "Retry": retry}}})
    driver.advance_to_end()
    assert len(calls.made) == 2
    redrive(driver, arn)
    driver.advance_to_end()
    assert len(calls.made) == 4


@pytest.mark.parametrize("has_restart", [False, True])
def test_children_of_a_map_run_that_did_not_succeed_continue(has_restart: bool) -> None:
    calls = Calls(0)
    driver = Driver(calls)
    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    processor = {
        "ProcessorConfig": config,
        "StartAt": "A",
        "States": {"A": {**TOUCHY["T"], "End": False, "Next": "B"}, "B": TOUCHY["T"]},
    }
    processor["States"]["A"].pop("End")  # type: ignore[index]
    state = {"Type": "Map", "ItemProcessor": processor, "MaxConcurrency": 1, "End": True}
    arn = driver.run_machine({"StartAt": "M", "States": {"M": state}}, [5, 0, 6])
    assert calls.made == [5, 5, 0]
    calls.broken.clear()
    if has_restart:
        driver.restart()
    redrive(driver, arn)
    assert driver.output(arn) == [5, 0, 6]
    assert calls.made == [5, 5, 0, 0, 0, 6, 6]
    (run,) = driver.store.map_runs.values()
    assert (run.status, run.redrive_count) == (MapRunStatus.SUCCEEDED, 1)
    assert run.executions == MapRunCounts(3, succeeded=3)
    children = [one for one in driver.store.executions.values() if one.map_run_arn]
    assert [(one.status.value, one.redrive_count) for one in children] == [
        ("SUCCEEDED", 0),
        ("SUCCEEDED", 1),
        ("SUCCEEDED", 0),
    ]
    assert driver.types(arn)[-6:-3] == ["ExecutionRedriven", "MapRunRedriven", "MapRunSucceeded"]


def test_children_wait_for_their_redrive_and_survive_a_restart() -> None:
    calls = Calls(1, 2, 3)
    driver = Driver(calls)
    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    processor = {"ProcessorConfig": config, "StartAt": "T", "States": TOUCHY}
    state = {"Type": "Map", "ItemProcessor": processor, "ToleratedFailureCount": 2, "End": True}
    arn = driver.run_machine({"StartAt": "M", "States": {"M": {**state, "MaxConcurrency": 1}}}, [1, 2, 3])
    driver.answers = None  # calls stay open
    redrive(driver, arn)
    (run,) = driver.store.map_runs.values()
    assert run.executions == MapRunCounts(3, running=1, pending_redrive=2)
    driver.restart()
    driver.answers = Calls()
    driver.answer(driver.calls[-1], 1)
    driver.run()
    assert driver.output(arn) == [1, 2, 3]


def test_only_what_did_not_succeed_can_be_redriven_and_only_once_at_a_time() -> None:
    calls = Calls("x")
    driver = Driver(calls)
    driver.create({"StartAt": "T", "States": TOUCHY})
    good, bad = driver.start('"y"', "good"), driver.start('"x"', "bad")
    with pytest.raises(Refused, match="Execution is SUCCEEDED and cannot be redriven"):
        redrive(driver, good)
    driver.answers = None
    at_ms = redrive(driver, bad, "token")
    record = driver.execution(bad)
    stale = c.RedriveExecution(record, (), 5, client_token="other")
    with pytest.raises(Refused, match="cannot be redriven"):
        driver.ask(stale)
    driver.advance(1)
    assert driver.ask(c.RedriveExecution(record, (), 5, client_token="token")) == at_ms
    driver.ask(c.StopExecution(bad))
    driver.advance(15 * 86_400)
    with pytest.raises(Refused, match="14 days"):
        redrive(driver, bad)


def test_a_child_that_is_stopped_before_its_redrive_has_one_end() -> None:
    calls = Calls(1, 2)
    driver = Driver(calls)
    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    processor = {"ProcessorConfig": config, "StartAt": "T", "States": TOUCHY}
    state = {"Type": "Map", "ItemProcessor": processor, "ToleratedFailureCount": 1, "End": True}
    arn = driver.run_machine({"StartAt": "M", "States": {"M": {**state, "MaxConcurrency": 1}}}, [1, 2])
    driver.answers = None  # calls stay open
    redrive(driver, arn)
    driver.ask(c.StopExecution(arn))
    ended = {one.status.value: driver.types(one.arn) for one in driver.store.executions.values() if one.map_run_arn}
    assert list(ended) == ["ABORTED"]
    waiting = [one for one in driver.store.executions.values() if one.map_run_arn and not one.redrive_count]
    assert [driver.types(one.arn).count("ExecutionFailed") for one in waiting] == [1]
    assert [driver.types(one.arn)[-1] for one in waiting] == ["ExecutionFailed"]


def nested(**fields: Any) -> dict[str, Any]:
    """A map run whose children have map runs."""
    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    inner = {"Type": "Map", "ItemProcessor": {"ProcessorConfig": config, "StartAt": "T", "States": TOUCHY}, "End": True}
    processor = {"ProcessorConfig": config, "StartAt": "N", "States": {"N": {**inner, **fields}}}
    state = {"Type": "Map", "ItemProcessor": processor, "MaxConcurrency": 1, "End": True}
    return {"StartAt": "M", "States": {"M": state}}


@pytest.mark.parametrize("has_restart", [False, True])
def test_map_runs_of_children_continue_too(has_restart: bool) -> None:
    calls = Calls(3)
    driver = Driver(calls)
    arn = driver.run_machine(nested(MaxConcurrency=1), [[1], [2, 3], [4]])
    assert calls.made == [1, 2, 3]
    assert driver.execution(arn).status is ExecutionStatus.FAILED
    calls.broken.clear()
    calls.made.clear()
    driver.answers = None  # calls stay open
    redrive(driver, arn)
    if has_restart:
        driver.restart()
    driver.answers = calls
    driver.answer(driver.calls[-1], 3)
    driver.run()
    assert driver.output(arn) == [[1], [2, 3], [4]]
    assert calls.made == [4]
    runs = driver.store.map_runs.values()
    assert [(run.status, run.redrive_count) for run in runs] == [
        (MapRunStatus.SUCCEEDED, 1),
        (MapRunStatus.SUCCEEDED, 0),
        (MapRunStatus.SUCCEEDED, 1),
        (MapRunStatus.SUCCEEDED, 0),
    ]
    assert not driver.machine.world.open


def test_map_runs_of_children_that_wait_for_their_redrive_are_aborted_with_them() -> None:
    driver = Driver(Calls(1, 2))
    machine = nested(ToleratedFailureCount=0)
    machine["States"]["M"]["ToleratedFailureCount"] = 1
    arn = driver.run_machine(machine, [[1], [2]])
    driver.answers = None
    redrive(driver, arn)
    assert [run.status for run in driver.store.map_runs.values()] == [MapRunStatus.RUNNING] * 3
    driver.restart()
    driver.ask(c.StopExecution(arn))
    assert [run.status for run in driver.store.map_runs.values()] == [MapRunStatus.ABORTED] * 3
    world = driver.machine.world
    assert (world.open, world.map_runs, world.children) == ({}, {}, {})
