"""Retry and Catch: what matches, how long retries wait, what a catcher makes of an error (step functions spec 11)."""

from typing import Any

import pytest

from batchyard.core.model.executions import ExecutionStatus
from batchyard.workflows import commands as c
from tests.workflows.driver import TASK, CallFailed, Driver


def task(**fields: Any) -> dict[str, Any]:
    states = {
        "T": {"Type": "Task", "Resource": TASK, "Next": "Done", **fields},
        "Done": {"Type": "Succeed"},
        "Caught": {"Type": "Pass", "End": True},
    }
    return {"StartAt": "T", "States": states}


def failing(*errors: str | None) -> Any:
    """Returns what fails with these errors, one after the other, and then answers `ok`."""
    left = list(errors)

    def answers(call: c.CallIntegration) -> Any:
        if not left:
            return "ok"
        error = left.pop(0)
        assert error is not None
        raise CallFailed(error, f"cause of {error}")

    return answers


def test_a_retried_task_is_called_again_after_its_delays() -> None:
    driver = Driver(failing("E", "E"))
    retry = [{"ErrorEquals": ["E"], "IntervalSeconds": 30}]
    arn = driver.run_machine(task(Retry=retry, Parameters={"count.$": "$$.State.RetryCount"}))
    assert driver.machine.next_deadline() == driver.now_ms + 30_000
    driver.advance(30)
    assert driver.machine.next_deadline() == driver.now_ms + 60_000
    driver.advance(60)
    assert driver.output(arn) == "ok"
    assert driver.shape(arn)[1:12] == [
        "2<0 TaskStateEntered",
        "3<2 TaskScheduled",
        "4<3 TaskStarted",
        "5<4 TaskFailed",
        "6<5 TaskScheduled",
        "7<6 TaskStarted",
        "8<7 TaskFailed",
        "9<8 TaskScheduled",
        "10<9 TaskStarted",
        "11<10 TaskSucceeded",
        "12<11 TaskStateExited",
    ]
    assert [call.arguments["count"] for call in driver.calls] == [0, 1, 2]
    assert len({call.key for call in driver.calls}) == 3


def test_a_delay_goes_on_after_a_restart() -> None:
    driver = Driver(failing("E"))
    arn = driver.run_machine(task(Retry=[{"ErrorEquals": ["E"], "IntervalSeconds": 30}]))
    driver.advance(10)
    driver.restart()
    assert driver.machine.next_deadline() == driver.now_ms + 20_000
    driver.advance(20)
    assert driver.output(arn) == "ok"


def test_each_retrier_counts_its_own_attempts_and_the_last_goes_to_catch() -> None:
    retry = [{"ErrorEquals": ["A"], "MaxAttempts": 1}, {"ErrorEquals": ["States.ALL"], "MaxAttempts": 1}]
    driver = Driver(failing("A", "B", "A"))
    arn = driver.run_machine(task(Retry=retry, Catch=[{"ErrorEquals": ["A"], "Next": "Caught"}]))
    driver.advance_to_end()
    assert len(driver.calls) == 3
    assert driver.output(arn) == {"Error": "A", "Cause": "cause of A"}


def test_no_attempts_is_no_retry() -> None:
    driver = Driver(failing("A"))
    retry = [{"ErrorEquals": ["A"], "MaxAttempts": 0}, {"ErrorEquals": ["States.ALL"]}]
    assert driver.execution(driver.run_machine(task(Retry=retry))).error == "A"


def test_a_catcher_puts_the_error_into_the_input_and_goes_elsewhere() -> None:
    driver = Driver(failing("E"))
    catch = [
        {"ErrorEquals": ["Other"], "Next": "Done"},
        {
            "ErrorEquals": ["States.ALL"],
            "Next": "Caught",
            "ResultPath": "$.error",
            "Assign": {"kept.$": "$.Error"},
        },
    ]
    arn = driver.run_machine(task(Catch=catch), {"a": 1})
    assert driver.shape(arn)[4:7] == ["5<4 TaskFailed", "6<5 TaskStateExited", "7<6 PassStateEntered"]
    assert driver.output(arn) == {"a": 1, "error": {"Error": "E", "Cause": "cause of E"}}
    assert driver.details(arn, "TaskStateExited")[0]["assignedVariables"] == {"kept": '"E"'}


def test_a_jsonata_catcher_reads_the_error() -> None:
    driver = Driver(failing("E"))
    catch = [{"ErrorEquals": ["E"], "Next": "Caught", "Output": "{% $states.errorOutput.Cause %}"}]
    definition = {**task(Catch=catch), "QueryLanguage": "JSONata"}
    assert driver.output(driver.run_machine(definition)) == "cause of E"


@pytest.mark.parametrize("names", [["States.ALL"], ["States.Runtime"], ["States.TaskFailed"]])
def test_a_runtime_error_is_never_caught(names: list[str]) -> None:
    driver = Driver(failing())
    catch = [{"ErrorEquals": names, "Next": "Caught"}]
    arn = driver.run_machine(task(Parameters={"a.$": "$.no"}, Catch=catch, Retry=[{"ErrorEquals": names}]))
    assert driver.execution(arn).error == "States.Runtime"


def test_an_expression_that_fails_is_caught_with_its_event() -> None:
    driver = Driver(failing())
    catch = [{"ErrorEquals": ["States.QueryEvaluationError"], "Next": "Caught", "Output": "caught"}]
    arn = driver.run_machine({**task(Arguments="{% $no %}", Catch=catch), "QueryLanguage": "JSONata"})
    assert driver.types(arn)[1:4] == ["TaskStateEntered", "EvaluationFailed", "TaskStateExited"]
    assert driver.output(arn) == "caught"


def test_a_result_that_cannot_be_placed_is_retried_by_a_new_call() -> None:
    driver = Driver(failing())
    retry = [{"ErrorEquals": ["States.ResultPathMatchFailure"], "MaxAttempts": 2}]
    arn = driver.run_machine(task(ResultPath="$.a.b", Retry=retry), {"a": 1})
    driver.advance_to_end()
    assert len(driver.calls) == 3
    record = driver.execution(arn)
    assert (record.status, record.error) == (ExecutionStatus.FAILED, "States.ResultPathMatchFailure")


def test_a_fault_of_the_catcher_itself_fails_the_execution() -> None:
    driver = Driver(failing("E"))
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Caught", "ResultPath": "$.a.b"}]
    arn = driver.run_machine(task(Catch=catch), {"a": 1})
    assert driver.execution(arn).error == "States.ResultPathMatchFailure"


def test_a_timeout_is_retried_by_its_name_and_not_as_a_failure_of_the_task() -> None:
    driver = Driver()
    retry = [{"ErrorEquals": ["States.TaskFailed"]}, {"ErrorEquals": ["States.Timeout"], "MaxAttempts": 1}]
    arn = driver.run_machine(task(TimeoutSeconds=5, Retry=retry))
    driver.advance(5)
    driver.advance(1)
    assert len(driver.calls) == 2
    driver.answer(driver.calls[0], "too late")
    driver.answer(driver.calls[1], "in time")
    driver.run()
    assert driver.output(arn) == "in time"
