"""What each type of state does: its events in AWS's order, its data, its failures (step functions spec 5, 7, 8)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.executions import ExecutionStatus
from batchyard.workflows.commands import StartExecution
from tests.workflows.driver import TASK, Driver

PASS_END = {"Type": "Pass", "End": True}


def machine(states: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"StartAt": next(iter(states)), "States": states, **members}


def jsonata(states: dict[str, Any]) -> dict[str, Any]:
    return machine(states, QueryLanguage="JSONata")


def test_an_execution_passes_its_input_on_as_it_was_written() -> None:
    driver = Driver()
    arn = driver.run_machine(machine({"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Succeed"}}), '{"a" :  1.50}')
    assert driver.shape(arn) == [
        "1<0 ExecutionStarted",
        "2<0 PassStateEntered",
        "3<2 PassStateExited",
        "4<3 SucceedStateEntered",
        "5<4 SucceedStateExited",
        "6<5 ExecutionSucceeded",
    ]
    record = driver.execution(arn)
    assert (record.status, record.output, record.stopped_at_ms) == (
        ExecutionStatus.SUCCEEDED,
        '{"a" :  1.50}',
        driver.now_ms,
    )
    assert driver.events(arn)[0].details == {"input": '{"a" :  1.50}', "roleArn": "arn:aws:iam::123456789012:role/r"}
    assert driver.store.frames == {}


@pytest.mark.parametrize(
    ("fields", "given", "output"),
    [
        ({"Result": {"x.$": "$.a"}}, {"a": 1}, {"x.$": "$.a"}),
        ({"Parameters": {"x.$": "$.a", "y": 2}}, {"a": 1}, {"x": 1, "y": 2}),
        ({"InputPath": "$.a", "ResultPath": "$.b"}, {"a": 1}, {"a": 1, "b": 1}),
        ({"InputPath": None}, {"a": 1}, {}),
        ({"Result": 7, "ResultPath": None}, {"a": 1}, {"a": 1}),
        ({"OutputPath": "$.a"}, {"a": [1]}, [1]),
        ({"OutputPath": None}, {"a": [1]}, {}),
        ({"Parameters": {"name.$": "$$.Execution.Name", "state.$": "$$.State.Name"}}, {}, {"name": "e", "state": "A"}),
    ],
)  # fmt: skip
def test_a_pass_state_has_the_data_flow_of_json_paths(fields: dict[str, Any], given: Any, output: Any) -> None:
    driver = Driver()
    assert driver.output(driver.run_machine(machine({"A": {**PASS_END, **fields}}), given)) == output


def test_variables_are_seen_from_the_next_state_on() -> None:
    driver = Driver()
    states = {
        "A": {"Type": "Pass", "Assign": {"x": 1, "y.$": "$.a"}, "Next": "B"},
        "B": {"Type": "Pass", "Assign": {"x": 2}, "Parameters": {"x.$": "$x"}, "ResultPath": "$.b", "Next": "C"},
        "C": {**PASS_END, "Parameters": {"x.$": "$x", "y.$": "$y", "b.$": "$.b"}},
    }
    arn = driver.run_machine(machine(states), {"a": "text"})
    assert driver.output(arn) == {"x": 2, "y": "text", "b": {"x": 1}}
    assert driver.details(arn, "PassStateExited")[0]["assignedVariables"] == {"x": "1", "y": '"text"'}


def test_a_path_that_leads_nowhere_fails_the_execution() -> None:
    driver = Driver()
    states = {"A": {**PASS_END, "Parameters": {"x.$": "$.no"}, "Catch": []}}
    arn = driver.run_machine(machine(states), {"a": 1})
    assert driver.shape(arn)[1:] == ["2<0 PassStateEntered", "3<2 ExecutionFailed"]
    record = driver.execution(arn)
    assert (record.status, record.error) == (ExecutionStatus.FAILED, "States.Runtime")
    assert record.cause == (
        "An error occurred while executing the state 'A' (entered at the event id #2). The JSONPath '$.no' specified "
        "for the field 'x.$' could not be found in the input '{\"a\":1}'"
    )


def test_an_expression_that_fails_has_an_event_beside_that_of_the_entry() -> None:
    driver = Driver()
    arn = driver.run_machine(jsonata({"A": {"Type": "Pass", "Next": "B"}, "B": {**PASS_END, "Output": "{% $no %}"}}))
    assert driver.shape(arn)[3:] == ["4<3 PassStateEntered", "5<3 EvaluationFailed", "6<5 ExecutionFailed"]
    (details,) = driver.details(arn, "EvaluationFailed")
    assert (details["location"], details["state"], details["error"]) == ("Output", "B", "States.QueryEvaluationError")
    assert "'$no' specified for the field 'Output' returned nothing (undefined)." in details["cause"]


def test_a_jsonata_pass_state_has_output_and_variables() -> None:
    driver = Driver()
    states = {
        "A": {"Type": "Pass", "Assign": {"n": "{% $states.input.a + 1 %}"}, "Next": "B"},
        "B": {**PASS_END, "Output": {"n": "{% $n %}", "name": "{% $states.context.Execution.Name %}"}},
    }
    assert driver.output(driver.run_machine(jsonata(states), {"a": 1})) == {"n": 2, "name": "e"}


@pytest.mark.parametrize(("given", "reached"), [({"a": 1}, "one"), ({"a": 2}, "two"), ({"a": 3}, "other")])
def test_a_choice_takes_the_first_rule_that_holds(given: Any, reached: str) -> None:
    states: dict[str, Any] = {
        "C": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.a", "NumericEquals": 1, "Next": "one", "Assign": {"by": "rule"}},
                {"Variable": "$.a", "NumericEquals": 2, "Next": "two"},
            ],
            "Default": "other",
            "Assign": {"by": "default"},
        }
    }
    states |= {name: {**PASS_END, "Result": name} for name in ("one", "two", "other")}
    driver = Driver()
    arn = driver.run_machine(machine(states), given)
    assert driver.output(arn) == reached
    (details,) = driver.details(arn, "ChoiceStateExited")
    expected = {"one": {"by": '"rule"'}, "two": None, "other": {"by": '"default"'}}[reached]
    assert details.get("assignedVariables") == expected


def test_a_choice_without_a_rule_that_holds_fails() -> None:
    driver = Driver()
    states = {"C": {"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": True, "Next": "D"}]}, "D": PASS_END}
    arn = driver.run_machine(machine(states), {"a": 1})
    assert driver.shape(arn)[1:] == ["2<0 ChoiceStateEntered", "3<2 ExecutionFailed"]
    assert str(driver.execution(arn).cause).endswith("The state does not point to a next state.")


def test_a_jsonata_choice_needs_booleans() -> None:
    states = {
        "C": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input.a %}", "Next": "D", "Output": "{% 'taken' %}"}],
            "Default": "D",
        },
        "D": PASS_END,
    }
    driver = Driver()
    driver.create(jsonata(states))
    assert driver.output(driver.start({"a": True})) == "taken"
    assert driver.output(driver.start({"a": False}, "f")) == {"a": False}
    failed = driver.start({"a": 1}, "g")
    assert "for the field 'Choices[0]/Condition'" in str(driver.execution(failed).cause)


def test_a_wait_ends_at_its_time_and_the_machine_sleeps_until_then() -> None:
    driver = Driver()
    arn = driver.run_machine(machine({"W": {"Type": "Wait", "Seconds": 60, "End": True}}))
    assert driver.machine.next_deadline() == driver.now_ms + 60_000
    driver.advance(59.9)
    assert driver.types(arn)[-1] == "WaitStateEntered"
    driver.advance(0.1)
    assert driver.shape(arn)[2:] == ["3<2 WaitStateExited", "4<3 ExecutionSucceeded"]
    assert driver.machine.next_deadline() is None


def test_a_timestamp_in_the_past_waits_for_nothing() -> None:
    driver = Driver()
    driver.create(machine({"W": {"Type": "Wait", "TimestampPath": "$.t", "End": True}}))
    assert driver.output(driver.start({"t": "2001-01-01T00:00:00Z"})) == {"t": "2001-01-01T00:00:00Z"}
    failed = driver.start({"t": "noon"}, "f")
    assert driver.shape(failed)[1:] == ["2<0 WaitStateEntered", "3<2 ExecutionFailed"]


def test_a_wait_of_an_expression_that_is_no_time_fails_after_its_entry() -> None:
    driver = Driver()
    arn = driver.run_machine(jsonata({"W": {"Type": "Wait", "Timestamp": "{% 'noon' %}", "End": True}}))
    assert driver.shape(arn)[1:] == ["2<0 WaitStateEntered", "3<2 EvaluationFailed", "4<3 ExecutionFailed"]


@pytest.mark.parametrize(
    ("fields", "error", "cause"),
    [
        ({}, None, None),
        ({"Error": "E"}, "E", None),
        ({"Error": "E", "Cause": "C"}, "E", "C"),
        ({"ErrorPath": "$.e", "CausePath": "States.Format('{} failed', $.e)"}, "given", "given failed"),
    ],
)
def test_a_fail_state_fails_with_what_it_has(fields: dict[str, Any], error: str | None, cause: str | None) -> None:
    driver = Driver()
    arn = driver.run_machine(machine({"F": {"Type": "Fail", **fields}}), {"e": "given"})
    assert driver.shape(arn)[1:] == ["2<0 FailStateEntered", "3<2 ExecutionFailed"]
    record = driver.execution(arn)
    assert (record.status, record.error, record.cause) == (ExecutionStatus.FAILED, error, cause)
    given = {"error": error, "cause": cause}
    assert driver.events(arn)[-1].details == {name: text for name, text in given.items() if text is not None}


def test_an_output_longer_than_a_payload_may_be_fails_the_execution() -> None:
    driver = Driver()
    arn = driver.run_machine(machine({"A": {**PASS_END, "Result": "a" * 300_000}}))
    record = driver.execution(arn)
    assert (record.error, record.cause) == (
        "States.DataLimitExceeded",
        "The state/task 'A' returned a result with a size exceeding the maximum number of bytes service limit.",
    )


def test_the_time_of_a_whole_execution_cuts_its_wait() -> None:
    driver = Driver()
    arn = driver.run_machine(machine({"W": {"Type": "Wait", "Seconds": 60, "End": True}}, TimeoutSeconds=5))
    driver.advance(5)
    assert driver.shape(arn)[2:] == ["3<0 ExecutionTimedOut"]
    record = driver.execution(arn)
    assert (record.status, record.error, record.cause) == (ExecutionStatus.TIMED_OUT, None, None)
    assert record.stopped_at_ms == record.started_at_ms + 5000
    assert driver.details(arn, "ExecutionTimedOut") == [{"error": "States.Timeout"}]


def test_a_circle_of_states_ends_at_the_limit_of_the_history() -> None:
    driver = Driver()
    arn = driver.run_machine(machine({"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}}))
    events = driver.events(arn)
    assert (len(events), events[-1].type) == (25_000, "ExecutionFailed")
    cause = "The execution reached the maximum number of history events (25000)."
    assert (driver.execution(arn).error, driver.execution(arn).cause) == ("States.Runtime", cause)


def test_a_circle_holds_up_no_other_execution() -> None:
    driver = Driver()
    driver.create(machine({"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}}), "circle")
    driver.create(machine({"A": PASS_END}), "quick")
    for name in ("circle", "quick"):
        arn = f"arn:aws:states:us-east-1:123456789012:stateMachine:{name}"
        driver.machine.handle(StartExecution(arn, "e", "{}", "uuid"), driver.now_ms)
    driver.machine.schedule(driver.now_ms)
    changes, _ = driver.machine.take()
    assert {one.status for one in changes.executions.values()} == {
        ExecutionStatus.RUNNING,
        ExecutionStatus.SUCCEEDED,
    }
    assert driver.machine.next_deadline() == 0  # the circle goes on in the next batch


def test_variables_of_an_execution_are_bounded_together() -> None:
    driver = Driver()
    names = [f"v{number}" for number in range(60)]
    states = {name: {"Type": "Pass", "Assign": {name: "a" * 200_000}} for name in names}
    for name, following in zip(names, [*names[1:], ""], strict=True):
        states[name] |= {"Next": following} if following else {"End": True}
    record = driver.execution(driver.run_machine(machine(states)))
    assert record.error == "States.DataLimitExceeded"
    assert str(record.cause).startswith("The variables of the execution have more than")
    assert driver.types(record.arn).count("PassStateExited") == 52


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers() | st.text(max_size=3), max_size=3), max_size=5))
def test_variables_are_those_that_were_assigned_last(assignments: list[dict[str, Any]]) -> None:
    driver = Driver()
    states: dict[str, Any] = {
        f"S{number}": {"Type": "Pass", "Assign": assigned, "Next": f"S{number + 1}"}
        for number, assigned in enumerate(assignments)
    }
    states[f"S{len(assignments)}"] = {"Type": "Wait", "Seconds": 1, "End": True}
    driver.run_machine(machine(states))
    expected: dict[str, Any] = {}
    for assigned in assignments:
        expected |= assigned
    (execution,) = driver.machine.world.open.values()
    driver.restart()
    (restored,) = driver.machine.world.open.values()
    for one in (execution, restored):
        assert driver.machine.world.variables_of(one, one.frames[0]) == expected
        assert one.variables_size == len(one.frames[0].variables)


@pytest.mark.parametrize(
    "state",
    [
        {"Type": "Pass", "Assign": "{% 1 %}"},
        {"Type": "Pass", "Assign": [1]},
        {"Type": "Task", "Resource": TASK, "Credentials": "{% 'role' %}"},
        {"Type": "Map", "Items": {"a": 1}, "ItemProcessor": {"StartAt": "P", "States": {"P": PASS_END}}},
        {"Type": "Map", "Items": "text", "ItemProcessor": {"StartAt": "P", "States": {"P": PASS_END}}},
        {"Type": "Map", "MaxConcurrency": "{% 1.5 %}", "ItemProcessor": {"StartAt": "P", "States": {"P": PASS_END}}},
        {"Type": "Task", "Resource": TASK, "TimeoutSeconds": "{% 0 %}"},
        {"Type": "Task", "Resource": TASK, "TimeoutSeconds": "{% 'long' %}"},
        {"Type": "Fail", "Error": "{% 1 %}"},
        {"Type": "Wait", "Seconds": "{% -1 %}"},
    ],
)
def test_fields_that_give_another_type_fail_their_state_alone(state: dict[str, Any]) -> None:
    driver = Driver()
    ends = {} if state["Type"] == "Fail" else {"End": True}
    record = driver.execution(driver.run_machine(jsonata({"A": {**state, **ends}}), []))
    assert record.status is ExecutionStatus.FAILED
    assert record.error in ("States.Runtime", "States.QueryEvaluationError")
    assert "the state 'A' (entered at the event id #2)" in str(record.cause)
