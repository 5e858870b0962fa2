"""Tasks: their events in AWS's order, what they wait for, tokens, heartbeats and activities (step functions spec 5, 11,
13 to 15)."""

import json
from typing import Any

import pytest

from batchyard.core.model.executions import Execution, ExecutionStatus, FramePhase
from batchyard.core.model.records import Status
from batchyard.core.model.refusal import Refused
from batchyard.workflows import commands as c
from tests.workflows.driver import JOB, TASK, CallFailed, Driver

TOKEN_TASK = "arn:aws:states:::sns:publish.waitForTaskToken"
CHILD = "arn:aws:states:::states:startExecution.sync:2"


def task(resource: str = TASK, **fields: Any) -> dict[str, Any]:
    state = {"Type": "Task", "Resource": resource, "End": True, **fields}
    return {"StartAt": "T", "States": {"T": state}}


def test_a_call_is_made_with_its_parameters_and_answered() -> None:
    driver = Driver(lambda call: {"MessageId": "1"})
    arn = driver.run_machine(
        task(Parameters={"Message.$": "$.text"}, ResultSelector={"id.$": "$.MessageId"}, ResultPath="$.sent"),
        {"text": "hello"},
    )
    assert driver.shape(arn)[1:] == [
        "2<0 TaskStateEntered",
        "3<2 TaskScheduled",
        "4<3 TaskStarted",
        "5<4 TaskSucceeded",
        "6<5 TaskStateExited",
        "7<6 ExecutionSucceeded",
    ]
    assert driver.output(arn) == {"text": "hello", "sent": {"id": "1"}}
    (call,) = driver.calls
    assert (call.key, call.arguments, call.resource.name) == (f"{arn}/3", {"Message": "hello"}, "publish")
    assert driver.details(arn, "TaskScheduled") == [
        {"resourceType": "sns", "resource": "publish", "region": "us-east-1", "parameters": '{"Message":"hello"}'}
    ]
    names = {"resourceType": "sns", "resource": "publish"}
    assert driver.details(arn, "TaskStarted") == [names]
    assert driver.details(arn, "TaskSucceeded") == [{**names, "output": '{"MessageId":"1"}'}]


def test_a_lambda_function_has_its_arn_in_the_events() -> None:
    arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
    driver = Driver(lambda call: {})
    execution = driver.run_machine(task(arn))
    assert driver.details(execution, "TaskStarted") == [{"resourceType": "lambda", "resource": arn}]


def test_a_call_that_fails_fails_the_execution() -> None:
    def answers(call: c.CallIntegration) -> Any:
        raise CallFailed("SNS.NotFoundException", "Topic does not exist")

    driver = Driver(answers)
    arn = driver.run_machine(task())
    assert driver.shape(arn)[4:] == ["5<4 TaskFailed", "6<5 ExecutionFailed"]
    details = {"error": "SNS.NotFoundException", "cause": "Topic does not exist"}
    assert driver.details(arn, "ExecutionFailed") == [details]
    assert driver.details(arn, "TaskFailed") == [{"resourceType": "sns", "resource": "publish", **details}]


def test_a_submission_that_fails_has_an_event_of_its_own() -> None:
    def answers(call: c.CallIntegration) -> Any:
        raise CallFailed("Batch.ClientException", "no queue", c.SUBMIT)

    driver = Driver(answers)
    assert driver.shape(driver.run_machine(task(JOB)))[4:] == ["5<4 TaskSubmitFailed", "6<5 ExecutionFailed"]


def test_an_answer_counts_once_and_for_its_attempt_alone() -> None:
    driver = Driver()
    arn = driver.run_machine(task())
    (call,) = driver.calls
    assert driver.machine.is_calling(call.execution_key, call.frame_id, call.event_id)
    assert not driver.machine.is_calling(call.execution_key, call.frame_id, call.event_id + 1)
    driver.answer(call, 1)
    driver.answer(call, 2)
    driver.run()
    driver.answer(call, 3)
    assert driver.output(arn) == 1


# -- jobs --


def described(driver: Driver, *, has_ended: bool = True, is_succeeded: bool = True, output: Any = None) -> None:
    """Answers the last DescribeJob."""
    ask = driver.took(c.DescribeJob)[-1]
    driver.report(
        c.JobDescribed(
            execution_key=ask.execution_key,
            frame_id=ask.frame_id,
            event_id=ask.event_id,
            has_ended=has_ended,
            is_succeeded=is_succeeded,
            output=output,
        )
    )


def test_a_job_is_waited_for_without_polling() -> None:
    driver = Driver(lambda call: {"JobId": "job-1", "JobName": "n"})
    arn = driver.run_machine(task(JOB, Parameters={"JobName": "n"}))
    assert driver.types(arn)[-1] == "TaskSubmitted"
    described(driver, has_ended=False)  # asked once when the wait begins
    assert driver.machine.next_deadline() is None
    driver.job_ended("another")
    assert driver.took(c.DescribeJob) == []
    driver.job_ended("job-1")
    described(driver, output={"JobId": "job-1", "Status": "SUCCEEDED"})
    assert driver.shape(arn)[2:] == [
        "3<2 TaskScheduled",
        "4<3 TaskStarted",
        "5<4 TaskSubmitted",
        "6<5 TaskSucceeded",
        "7<6 TaskStateExited",
        "8<7 ExecutionSucceeded",
    ]
    assert driver.output(arn) == {"JobId": "job-1", "Status": "SUCCEEDED"}


def test_a_job_that_fails_fails_its_task_with_its_description() -> None:
    driver = Driver(lambda call: {"JobId": "job-1"})
    arn = driver.run_machine(task(JOB))
    driver.job_ended("job-1", Status.FAILED)
    described(driver, is_succeeded=False, output={"JobId": "job-1", "Status": "FAILED"})
    assert driver.shape(arn)[5:] == ["6<5 TaskFailed", "7<6 ExecutionFailed"]
    record = driver.execution(arn)
    assert (record.error, record.cause) == ("States.TaskFailed", '{"JobId":"job-1","Status":"FAILED"}')


def test_an_execution_that_is_stopped_abandons_its_job_until_that_is_reported() -> None:
    driver = Driver(lambda call: {"JobId": "job-1"})
    arn = driver.run_machine(task(JOB))
    stopped_at = driver.ask(c.StopExecution(arn, "Mine", "enough"))
    assert stopped_at == driver.now_ms
    assert driver.shape(arn)[5:] == ["6<0 ExecutionAborted"]
    record = driver.execution(arn)
    assert (record.status, record.error, record.cause) == (ExecutionStatus.ABORTED, "Mine", "enough")
    (abandoned,) = driver.took(c.AbandonCall)
    assert (abandoned.key, abandoned.target) == (f"{arn}/3", "job-1")
    driver.restart()
    assert driver.took(c.AbandonCall) == [abandoned]
    driver.report(c.CallAbandoned(abandoned.key))
    driver.restart()
    assert driver.took(c.AbandonCall) == []
    assert driver.ask(c.StopExecution(arn)) is None


def test_a_call_that_has_not_answered_is_no_longer_carried_out_when_its_execution_stops() -> None:
    driver = Driver()
    arn = driver.run_machine(task(JOB))
    (call,) = driver.calls
    driver.ask(c.StopExecution(arn))
    assert driver.took(c.AbandonCall) == []
    assert not driver.machine.is_calling(call.execution_key, call.frame_id, call.event_id)
    assert driver.details(arn, "ExecutionAborted") == [{}]


# -- executions --


def test_an_execution_waits_for_the_one_it_has_started() -> None:
    driver = Driver(lambda call: {"ExecutionArn": driver.start({"a": 1}, "child", "inner")})
    driver.create({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 5, "End": True}}}, "inner")
    arn = driver.run_machine(task(CHILD))
    assert driver.took(c.DescribeChild) == []
    driver.advance(5)
    output = driver.output(arn)
    assert (output["Input"], output["Output"], output["Status"]) == ({"a": 1}, {"a": 1}, "SUCCEEDED")
    assert driver.types(arn)[4:] == ["TaskSubmitted", "TaskSucceeded", "TaskStateExited", "ExecutionSucceeded"]


def test_an_execution_that_has_ended_already_is_described_from_the_store() -> None:
    inner = "arn:aws:states:us-east-1:123456789012:execution:inner:child"
    driver = Driver(lambda call: {"ExecutionArn": inner})
    arn = driver.run_machine(task("arn:aws:states:::states:startExecution.sync"))
    (ask,) = driver.took(c.DescribeChild)
    record = Execution(
        key=99,
        arn=inner,
        machine_arn="arn:aws:states:us-east-1:123456789012:stateMachine:inner",
        name="child",
        type="STANDARD",
        status=ExecutionStatus.FAILED,
        revision_id="",
        role_arn="",
        input="{}",
        started_at_ms=1,
        stopped_at_ms=2,
        error="Broken",
    )
    driver.report(
        c.ChildDescribed(
            execution_key=ask.execution_key, frame_id=ask.frame_id, event_id=ask.event_id, execution=record
        )
    )
    failed = driver.execution(arn)
    assert failed.error == "States.TaskFailed"
    assert json.loads(str(failed.cause)) == {
        "Error": "Broken",
        "ExecutionArn": inner,
        "Input": "{}",
        "InputDetails": {"Included": True},
        "Name": "child",
        "StartDate": 1,
        "StateMachineArn": record.machine_arn,
        "Status": "FAILED",
        "StopDate": 2,
    }


def test_a_parent_that_is_stopped_abandons_its_child() -> None:
    driver = Driver(lambda call: {"ExecutionArn": driver.start({}, "child", "inner")})
    driver.create({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 5, "End": True}}}, "inner")
    arn = driver.run_machine(task(CHILD))
    driver.ask(c.StopExecution(arn))
    (abandoned,) = driver.took(c.AbandonCall)
    assert abandoned.target.endswith(":inner:child")


# -- tokens --


def waiting_for_a_token(**fields: Any) -> tuple[Driver, str, str]:
    """Returns a driver whose call is open, the execution, and the token that the call was given."""
    driver = Driver()
    state = task(TOKEN_TASK, Parameters={"Message.$": "$$.Task.Token"}, **fields)
    arn = driver.run_machine(state)
    return driver, arn, driver.calls[0].arguments["Message"]


def test_a_token_ends_its_task_after_the_answer() -> None:
    driver, arn, token = waiting_for_a_token()
    driver.answer(driver.calls[0], {"MessageId": "1"})
    driver.run()
    assert driver.types(arn)[-1] == "TaskSubmitted"
    driver.ask(c.SendTaskSuccess(token, '{"ok": true}'))
    assert driver.types(arn)[5:] == ["TaskSucceeded", "TaskStateExited", "ExecutionSucceeded"]
    assert driver.execution(arn).output == '{"ok": true}'
    with pytest.raises(Refused, match="Provided task does not exist anymore") as refused:
        driver.ask(c.SendTaskSuccess(token, "1"))
    assert refused.value.code == "TaskTimedOut"


@pytest.mark.parametrize("has_restart", [False, True])
def test_a_token_that_comes_before_the_answer_is_held(has_restart: bool) -> None:
    driver, arn, token = waiting_for_a_token()
    driver.ask(c.SendTaskFailure(token, "Mine"))
    assert driver.types(arn)[-1] == "TaskStarted"
    with pytest.raises(Refused):
        driver.ask(c.SendTaskSuccess(token, "1"))  # the first counts
    if has_restart:
        driver.restart()
    driver.answer(driver.calls[-1], {})
    driver.run()
    assert driver.types(arn)[4:] == ["TaskSubmitted", "TaskFailed", "ExecutionFailed"]
    assert driver.details(arn, "ExecutionFailed") == [{"error": "Mine"}]


@pytest.mark.parametrize("token", ["", "no token", "MS4xLjAuMy5hYmM=", "é"])
def test_a_text_that_the_service_did_not_make_is_no_token(token: str) -> None:
    driver, _, _ = waiting_for_a_token()
    with pytest.raises(Refused, match="Invalid Token: 'Invalid token'") as refused:
        driver.ask(c.SendTaskHeartbeat(token))
    assert refused.value.code == "InvalidToken"


def test_heartbeats_keep_a_task_alive() -> None:
    driver, arn, token = waiting_for_a_token(HeartbeatSeconds=10, TimeoutSeconds=100)
    driver.answer(driver.calls[0], {})
    (details,) = driver.details(arn, "TaskScheduled")
    assert (details["timeoutInSeconds"], details["heartbeatInSeconds"]) == (100, 10)
    for _ in range(3):
        driver.advance(9)
        driver.ask(c.SendTaskHeartbeat(token))
    driver.advance(9.9)
    assert driver.types(arn)[-1] == "TaskSubmitted"
    driver.advance(0.1)
    assert driver.types(arn)[-2:] == ["TaskTimedOut", "ExecutionFailed"]
    names = {"resourceType": "sns", "resource": "publish.waitForTaskToken"}
    assert driver.details(arn, "TaskTimedOut") == [{**names, "error": "States.Timeout"}]
    assert driver.details(arn, "ExecutionFailed") == [{"error": "States.Timeout"}]
    with pytest.raises(Refused):
        driver.ask(c.SendTaskHeartbeat(token))


def test_a_missed_heartbeat_is_caught_by_its_name() -> None:
    states = {
        "T": {
            "Type": "Task",
            "Resource": TOKEN_TASK,
            "HeartbeatSeconds": 1,
            "Catch": [{"ErrorEquals": ["States.HeartbeatTimeout"], "Next": "C"}],
            "End": True,
        },
        "C": {"Type": "Pass", "End": True},
    }
    driver = Driver(lambda call: {})
    arn = driver.run_machine({"StartAt": "T", "States": states})
    driver.advance(1)
    assert driver.output(arn) == {"Error": "States.Timeout"}


def test_a_job_whose_task_is_out_of_time_is_abandoned() -> None:
    driver = Driver(lambda call: {"JobId": "job-1"})
    arn = driver.run_machine(task(JOB, TimeoutSecondsPath="$.limit"), {"limit": 7})
    driver.advance(7)
    assert driver.types(arn)[-2:] == ["TaskTimedOut", "ExecutionFailed"]
    assert [one.target for one in driver.took(c.AbandonCall)] == ["job-1"]
    driver.job_ended("job-1", Status.FAILED)
    assert driver.types(arn)[-1] == "ExecutionFailed"


# -- activities --


def test_a_worker_takes_the_task_of_an_activity() -> None:
    driver = Driver()
    activity = driver.create_activity("work")
    assert driver.ask(c.TakeActivityTask(activity)) is None
    arn = driver.run_machine(task(activity, HeartbeatSeconds=10, TimeoutSeconds=60), {"a": 1})
    assert driver.took(c.ActivityTaskReady) == [c.ActivityTaskReady(activity)]
    given = driver.ask(c.TakeActivityTask(activity, "me"))
    assert given is not None
    assert given.input == '{"a": 1}'
    assert driver.ask(c.TakeActivityTask(activity)) is None
    driver.ask(c.SendTaskSuccess(given.token, '{"b":2}'))
    assert driver.shape(arn)[2:] == [
        "3<2 ActivityScheduled",
        "4<3 ActivityStarted",
        "5<4 ActivitySucceeded",
        "6<5 TaskStateExited",
        "7<6 ExecutionSucceeded",
    ]
    scheduled = {"resource": activity, "input": '{"a": 1}', "timeoutInSeconds": 60, "heartbeatInSeconds": 10}
    assert driver.details(arn, "ActivityScheduled") == [scheduled]
    assert driver.details(arn, "ActivityStarted") == [{"workerName": "me"}]
    assert driver.output(arn) == {"b": 2}


def test_tasks_of_an_activity_are_given_in_their_order_also_after_a_restart() -> None:
    driver = Driver()
    activity = driver.create_activity("work")
    driver.create(task(activity))
    for number in range(3):
        driver.start(number, f"e{number}")
    first = driver.ask(c.TakeActivityTask(activity))
    driver.restart()
    rest = [driver.ask(c.TakeActivityTask(activity)) for _ in range(3)]
    assert [one.input if one else None for one in (first, *rest)] == ["0", "1", "2", None]
    assert first is not None
    driver.ask(c.SendTaskFailure(first.token))
    failed = driver.events(driver.execution_arn("e0"))[-2]
    assert (failed.type, failed.details) == ("ActivityFailed", {})


def test_the_time_of_an_activity_includes_that_until_a_worker_takes_it() -> None:
    driver = Driver()
    activity = driver.create_activity("work")
    arn = driver.run_machine(task(activity, TimeoutSeconds=5))
    driver.advance(5)
    assert driver.shape(arn)[3:] == ["4<3 ActivityTimedOut", "5<4 ExecutionFailed"]
    assert driver.ask(c.TakeActivityTask(activity)) is None


def test_an_activity_that_does_not_exist_fails_the_execution() -> None:
    driver = Driver()
    activity = "arn:aws:states:us-east-1:123456789012:activity:none"
    arn = driver.run_machine(task(activity))
    assert driver.shape(arn)[2:] == ["3<2 ExecutionFailed"]
    assert str(driver.execution(arn).cause).endswith(f"The activity {activity} does not exist.")


def test_arguments_that_do_not_fit_are_found_before_the_call() -> None:
    driver = Driver(check_arguments=lambda resource, arguments: "The value is wrong" if "X" in arguments else "")
    arn = driver.run_machine(task(Parameters={"X": 1}))
    assert driver.shape(arn)[2:] == ["3<2 ExecutionFailed"]
    cause = "The Parameters '{\"X\":1}' could not be used to start the Task: [The value is wrong]"
    assert str(driver.execution(arn).cause).endswith(cause)
    assert driver.calls == []


def test_an_open_call_is_made_again_after_a_restart() -> None:
    driver = Driver()
    arn = driver.run_machine(task(Parameters={"a": [1, 2]}))
    driver.restart()
    first, again = driver.calls
    assert first == again
    driver.answer(again, "done")
    driver.run()
    assert driver.output(arn) == "done"


def test_a_job_that_ended_before_a_restart_is_found_after_it() -> None:
    driver = Driver(lambda call: {"JobId": "job-1"})
    arn = driver.run_machine(task(JOB))
    driver.took(c.DescribeJob)
    driver.restart()
    described(driver, output={"JobId": "job-1"})
    assert driver.output(arn) == {"JobId": "job-1"}


def test_a_frame_says_what_it_waits_for() -> None:
    driver = Driver(lambda call: {"JobId": "job-1"})
    driver.run_machine(task(JOB))
    (frame,) = driver.store.frames.values()
    assert (frame.phase, frame.target, frame.work) == (FramePhase.WAITS_FOR_JOB, "job-1", "")


@pytest.mark.parametrize("text", ["{", "NaN", "[" * 300 + "]" * 300, "1e999"])
def test_texts_that_are_no_values_are_refused_at_the_door(text: str) -> None:
    driver, _, token = waiting_for_a_token()
    with pytest.raises(Refused) as refused:
        driver.ask(c.SendTaskSuccess(token, text))
    assert refused.value.code == "InvalidOutput"
    with pytest.raises(Refused) as refused:
        driver.start(text, "another")
    assert refused.value.code == "InvalidExecutionInput"


def test_arguments_that_are_too_long_fail_before_the_call() -> None:
    driver = Driver()
    arn = driver.run_machine(task(Parameters={"a.$": "States.Format('{}{}', $, $)"}), json.dumps("a" * 200_000))
    assert driver.execution(arn).error == "States.DataLimitExceeded"
    assert driver.calls == []
