"""Parallel and inline Map: branches, iterations, scopes of variables, and how a failure cuts the others off (step
functions spec 5, 12)."""

from typing import Any

import pytest

from batchyard.core.model.executions import ExecutionStatus
from batchyard.workflows import commands as c
from tests.workflows.driver import JOB, TASK, Driver

PASS = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
WAIT = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 9, "End": True}}}
FAIL = {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "E", "Cause": "C"}}}


def branch(name: str, **state: Any) -> dict[str, Any]:
    return {"StartAt": name, "States": {name: {"End": True, **state}}}


def parallel(*branches: dict[str, Any], **fields: Any) -> dict[str, Any]:
    states = {
        "X": {"Type": "Parallel", "Branches": list(branches), "Next": "Z", **fields},
        "Z": {"Type": "Succeed"},
    }
    return {"StartAt": "X", "States": states}


def mapped(processor: dict[str, Any], **fields: Any) -> dict[str, Any]:
    state = {"Type": "Map", "ItemProcessor": processor, "End": True, **fields}
    return {"StartAt": "M", "States": {"M": state, "C": {"Type": "Pass", "End": True}}}


# -- Parallel --


def test_branches_run_beside_each_other_and_their_outputs_are_in_their_order() -> None:
    driver = Driver()
    late, early = branch("A", Type="Wait", Seconds=5), branch("B", Type="Pass", Result="b")
    arn = driver.run_machine(parallel(late, early, Parameters={"n.$": "$.a"}), {"a": 1})
    driver.advance(5)
    assert driver.shape(arn) == [
        "1<0 ExecutionStarted",
        "2<0 ParallelStateEntered",
        "3<2 ParallelStateStarted",
        "4<3 WaitStateEntered",
        "5<3 PassStateEntered",
        "6<5 PassStateExited",
        "7<4 WaitStateExited",
        "8<7 ParallelStateSucceeded",
        "9<7 ParallelStateExited",
        "10<9 SucceedStateEntered",
        "11<10 SucceedStateExited",
        "12<11 ExecutionSucceeded",
    ]
    assert driver.output(arn) == [{"n": 1}, "b"]
    assert driver.store.frames == {}


def test_the_first_failure_fails_the_state_with_its_own_error_and_cuts_the_others_off() -> None:
    driver = Driver(lambda call: {"JobId": "job-1"})
    slow = branch("J", Type="Task", Resource=JOB)
    late_fail = {
        "StartAt": "W",
        "States": {"W": {"Type": "Wait", "Seconds": 1, "Next": "F"}, "F": {"Type": "Fail", "Error": "E"}},
    }
    arn = driver.run_machine(parallel(slow, branch("V", Type="Wait", Seconds=9), late_fail))
    driver.advance(1)
    types = driver.types(arn)
    assert types[-5:] == [
        "FailStateEntered",
        "TaskStateAborted",
        "WaitStateAborted",
        "ParallelStateFailed",
        "ExecutionFailed",
    ]
    events = driver.events(arn)
    failing = events[-5].id
    assert [event.previous_event_id for event in events[-4:]] == [failing, failing, failing, events[-2].id]
    assert driver.execution(arn).error == "E"
    assert [one.target for one in driver.took(c.AbandonCall)] == ["job-1"]
    driver.advance(20)
    driver.job_ended("job-1")
    assert driver.types(arn) == types


def test_a_parallel_state_is_caught() -> None:
    driver = Driver()
    arn = driver.run_machine(parallel(FAIL, PASS, Catch=[{"ErrorEquals": ["E"], "Next": "Z", "ResultPath": "$.e"}]))
    assert driver.output(arn) == {"e": {"Error": "E", "Cause": "C"}}
    assert driver.types(arn)[-5:-2] == ["ParallelStateFailed", "ParallelStateExited", "SucceedStateEntered"]
    assert driver.store.frames == {}


def test_a_retry_begins_all_branches_again() -> None:
    driver = Driver()
    arn = driver.run_machine(parallel(FAIL, Retry=[{"ErrorEquals": ["E"], "MaxAttempts": 2}]))
    driver.advance_to_end()
    assert driver.shape(arn)[1:] == [
        "2<0 ParallelStateEntered",
        "3<2 ParallelStateStarted",
        "4<3 FailStateEntered",
        "5<4 ParallelStateStarted",
        "6<5 FailStateEntered",
        "7<6 ParallelStateStarted",
        "8<7 FailStateEntered",
        "9<8 ParallelStateFailed",
        "10<9 ExecutionFailed",
    ]


def test_branches_read_outer_variables_and_keep_their_own() -> None:
    driver = Driver()
    inner = branch("B", Type="Pass", Assign={"own.$": "$x"}, Parameters={"x.$": "$x"})
    states = {
        "A": {"Type": "Pass", "Assign": {"x": 42}, "Next": "X"},
        "X": {"Type": "Parallel", "Branches": [inner], "Assign": {"all.$": "$"}, "Next": "Z"},
        "Z": {"Type": "Pass", "Parameters": {"x.$": "$x", "all.$": "$all"}, "End": True},
    }
    arn = driver.run_machine({"StartAt": "A", "States": states})
    assert driver.output(arn) == {"x": 42, "all": [{"x": 42}]}


def test_branches_in_branches_end_inside_out() -> None:
    driver = Driver()
    inner = parallel(branch("D", Type="Pass"), branch("E", Type="Pass", Result=2))
    inner["States"]["X"].pop("Next")
    deep = {"StartAt": "Y", "States": {"Y": {**inner["States"]["X"], "End": True}}}
    assert driver.output(driver.run_machine(parallel(deep, PASS), 1)) == [[1, 2], 1]


def test_a_failure_deep_inside_is_caught_by_the_state_that_can() -> None:
    driver = Driver()
    deep = {"StartAt": "Y", "States": {"Y": {"Type": "Parallel", "Branches": [FAIL, WAIT], "End": True}}}
    arn = driver.run_machine(
        parallel(deep, branch("V", Type="Wait", Seconds=5), Catch=[{"ErrorEquals": ["E"], "Next": "Z"}])
    )
    assert driver.output(arn) == {"Error": "E", "Cause": "C"}
    assert driver.types(arn).count("WaitStateAborted") == 2
    assert driver.types(arn).count("ParallelStateFailed") == 2
    assert driver.store.frames == {}


# -- inline Map --


def test_iterations_one_after_the_other_follow_each_other() -> None:
    driver = Driver()
    arn = driver.run_machine(mapped(PASS, MaxConcurrency=1), ["a", 2])
    assert driver.shape(arn)[1:] == [
        "2<0 MapStateEntered",
        "3<2 MapStateStarted",
        "4<3 MapIterationStarted",
        "5<4 PassStateEntered",
        "6<5 PassStateExited",
        "7<6 MapIterationSucceeded",
        "8<6 MapIterationStarted",
        "9<8 PassStateEntered",
        "10<9 PassStateExited",
        "11<10 MapIterationSucceeded",
        "12<11 MapStateSucceeded",
        "13<11 MapStateExited",
        "14<13 ExecutionSucceeded",
    ]
    assert driver.details(arn, "MapStateStarted") == [{"length": 2}]
    assert driver.details(arn, "MapIterationStarted") == [{"name": "M", "index": 0}, {"name": "M", "index": 1}]
    assert driver.output(arn) == ["a", 2]


def test_all_iterations_begin_at_once_and_results_are_in_the_order_of_items() -> None:
    driver = Driver()
    waits = branch("W", Type="Wait", SecondsPath="$")
    arn = driver.run_machine(mapped(waits, ItemsPath="$.delays"), {"delays": [3, 1, 2]})
    assert driver.shape(arn)[3:6] == ["4<3 MapIterationStarted", "5<3 MapIterationStarted", "6<3 MapIterationStarted"]
    driver.advance(2)
    driver.restart()
    driver.advance(1)
    assert driver.output(arn) == [3, 1, 2]


def test_at_most_so_many_iterations_run_as_are_allowed() -> None:
    driver = Driver()
    arn = driver.run_machine(mapped(branch("T", Type="Task", Resource=TASK), MaxConcurrencyPath="$[0]"), [2, 0, 0, 0])
    assert len(driver.calls) == 2
    driver.answer(driver.calls[1], "second")
    driver.run()
    assert len(driver.calls) == 3
    driver.restart()
    driver.calls = driver.calls[3:]
    assert len(driver.calls) == 2  # those that were open
    for call in list(driver.calls):
        driver.answer(call, "done")
        driver.run()
    driver.answer(driver.calls[-1], "last")
    driver.run()
    assert driver.output(arn) == ["done", "second", "done", "last"]


def test_an_item_selector_reads_the_input_and_the_item() -> None:
    driver = Driver()
    selector = {"all.$": "$.shared", "item.$": "$$.Map.Item.Value", "index.$": "$$.Map.Item.Index"}
    fields = {"ItemsPath": "$.items", "ItemSelector": selector}
    arn = driver.run_machine(mapped(PASS, **fields), {"shared": 0, "items": ["a", "b"]})
    assert driver.output(arn) == [
        {"all": 0, "item": "a", "index": 0},
        {"all": 0, "item": "b", "index": 1},
    ]


def test_a_state_in_an_iteration_sees_its_item() -> None:
    driver = Driver()
    inner = branch("P", Type="Pass", Parameters={"item.$": "$$.Map.Item.Value", "index.$": "$$.Map.Item.Index"})
    arn = driver.run_machine(mapped(inner), [7])
    assert driver.output(arn) == [{"item": 7, "index": 0}]


@pytest.mark.parametrize("given", [[], [1]])
def test_an_empty_map_succeeds_at_once(given: list[int]) -> None:
    driver = Driver()
    arn = driver.run_machine(mapped(PASS), given)
    assert driver.output(arn) == given
    if not given:
        assert driver.shape(arn)[2:] == [
            "3<2 MapStateStarted",
            "4<3 MapStateSucceeded",
            "5<3 MapStateExited",
            "6<5 ExecutionSucceeded",
        ]


def test_a_failing_iteration_fails_the_map() -> None:
    driver = Driver()
    choice = {
        "StartAt": "Q",
        "States": {
            "Q": {"Type": "Choice", "Choices": [{"Variable": "$", "NumericEquals": 2, "Next": "F"}], "Default": "W"},
            "W": {"Type": "Wait", "Seconds": 9, "End": True},
            "F": {"Type": "Fail", "Error": "E"},
        },
    }
    arn = driver.run_machine(mapped(choice), [1, 2])
    assert driver.types(arn)[-6:] == [
        "FailStateEntered",
        "MapIterationFailed",
        "WaitStateAborted",
        "MapIterationAborted",
        "MapStateFailed",
        "ExecutionFailed",
    ]
    events = driver.events(arn)
    failing = events[-6].id
    assert [event.previous_event_id for event in events[-5:]] == [failing] * 4 + [events[-2].id]
    assert driver.details(arn, "MapIterationAborted") == [{"name": "M", "index": 0}]


def test_a_retried_map_has_no_event_of_its_failure() -> None:
    driver = Driver()
    arn = driver.run_machine(mapped(FAIL, Retry=[{"ErrorEquals": ["E"], "MaxAttempts": 1}]), [1])
    driver.advance_to_end()
    assert driver.shape(arn)[2:] == [
        "3<2 MapStateStarted",
        "4<3 MapIterationStarted",
        "5<4 FailStateEntered",
        "6<5 MapIterationFailed",
        "7<5 MapStateStarted",
        "8<7 MapIterationStarted",
        "9<8 FailStateEntered",
        "10<9 MapIterationFailed",
        "11<9 MapStateFailed",
        "12<11 ExecutionFailed",
    ]


@pytest.mark.parametrize(
    ("fields", "types", "error"),
    [
        ({"ItemsPath": "$.no"}, ["MapStateFailed", "ExecutionFailed"], "States.ReferencePathConflict"),
        ({"MaxConcurrencyPath": "$.items"}, ["ExecutionFailed"], "States.Runtime"),
        (
            {"ItemsPath": "$.items", "ItemSelector": {"a.$": "$.no"}},
            ["MapStateStarted", "ExecutionFailed"],
            "States.Runtime",
        ),
    ],
)
def test_paths_of_a_map_that_lead_nowhere_fail_the_execution(
    fields: dict[str, Any], types: list[str], error: str
) -> None:
    driver = Driver()
    arn = driver.run_machine(mapped(PASS, **fields), {"items": [1]})
    assert driver.types(arn)[2:] == types
    assert driver.execution(arn).error == error


def test_items_of_an_expression_must_be_an_array() -> None:
    driver = Driver()
    arn = driver.run_machine({**mapped(PASS, Items="{% 1 %}"), "QueryLanguage": "JSONata"})
    assert driver.shape(arn)[1:] == [
        "2<0 MapStateEntered",
        "3<0 EvaluationFailed",
        "4<3 MapStateFailed",
        "5<4 ExecutionFailed",
    ]


def test_an_iteration_whose_input_cannot_be_made_cuts_the_others_off() -> None:
    driver = Driver(lambda call: "done")
    processor = branch("T", Type="Task", Resource=TASK)
    selector = "{% $states.context.Map.Item.Index = 1 ? $no : 1 %}"
    definition = mapped(processor, ItemSelector=selector, Catch=[{"ErrorEquals": ["States.ALL"], "Next": "C"}])
    definition["States"]["M"]["Items"] = [1, 2]
    arn = driver.run_machine({**definition, "QueryLanguage": "JSONata"})
    assert driver.output(arn)["Error"] == "States.QueryEvaluationError"
    assert driver.store.frames == {}


def test_a_large_map_is_begun_in_parts_and_its_items_are_written_once() -> None:
    driver = Driver()
    items = list(range(2_000))
    driver.create(mapped(branch("T", Type="Task", Resource=TASK)))
    arn = driver.start(items)
    assert len(driver.calls) == 2_000
    written = 0
    for call in driver.calls[:50]:
        driver.answer(call, call.frame_id)
        driver.machine.schedule(driver.now_ms)
        changes, _ = driver.machine.take()
        driver.store.commit(changes)
        written += sum(len(frame.work) for frame in changes.frames.values() if frame is not None)
    assert written == 0
    driver.restart()
    for call in driver.calls[50:2_000]:
        driver.answer(call, call.frame_id)
    driver.run()
    assert len(driver.output(arn)) == 2_000


def test_a_map_in_a_map_keeps_both_orders() -> None:
    driver = Driver()
    inner = {"Type": "Map", "ItemProcessor": PASS, "End": True}
    arn = driver.run_machine(mapped({"StartAt": "N", "States": {"N": inner}}), [[1, 2], [], [3]])
    assert driver.output(arn) == [[1, 2], [], [3]]


def test_results_that_are_too_long_together_fail_the_execution() -> None:
    driver = Driver()
    arn = driver.run_machine(mapped(branch("P", Type="Pass", Result="a" * 100_000)), [1, 2, 3])
    record = driver.execution(arn)
    assert (record.status, record.error) == (ExecutionStatus.FAILED, "States.DataLimitExceeded")


def test_an_error_without_a_name_is_caught_too() -> None:
    driver = Driver()
    unnamed = {"StartAt": "F", "States": {"F": {"Type": "Fail"}}}
    arn = driver.run_machine(parallel(unnamed, Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Z"}]))
    assert driver.output(arn) == {}


def test_outputs_that_are_nested_too_deeply_together_fail_the_execution() -> None:
    driver = Driver()
    definition = parallel(PASS)
    definition["States"]["Z"] = {"Type": "Pass", "InputPath": "$[0]", "End": True}
    arn = driver.run_machine(definition, "[" * 200 + "]" * 200)
    assert driver.execution(arn).error == "States.Runtime"


def test_a_task_that_times_out_beside_others_is_aborted_too() -> None:
    driver = Driver()
    processor = branch("T", Type="Task", Resource=TASK, TimeoutSecondsPath="$")
    arn = driver.run_machine(mapped(processor), [9, 1])
    driver.advance(1)
    assert driver.types(arn)[-7:] == [
        "TaskTimedOut",
        "MapIterationFailed",
        "TaskStateAborted",
        "MapIterationAborted",
        "TaskStateAborted",
        "MapStateFailed",
        "ExecutionFailed",
    ]
