"""Distributed Maps: map runs, their children, thresholds and batches (step functions spec 12)."""

import json
from typing import Any

import pytest

from batchyard.core.model.executions import ExecutionStatus, MapRunCounts, MapRunStatus
from batchyard.core.model.refusal import Refused
from batchyard.workflows import commands as c
from tests.workflows.driver import TASK, CallFailed, Driver

PASS = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
CALL = {"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": TASK, "End": True}}}
# Fails for the item 0, and waits a second for all others.
PICKY = {
    "StartAt": "Q",
    "States": {
        "Q": {"Type": "Choice", "Choices": [{"Variable": "$", "NumericEquals": 0, "Next": "F"}], "Default": "W"},
        "W": {"Type": "Wait", "Seconds": 1, "End": True},
        "F": {"Type": "Fail", "Error": "Zero"},
    },
}


def distributed(processor: dict[str, Any], execution_type: str = "STANDARD", **fields: Any) -> dict[str, Any]:
    config = {"Mode": "DISTRIBUTED", "ExecutionType": execution_type}
    state = {"Type": "Map", "ItemProcessor": {**processor, "ProcessorConfig": config}, "Next": "Z", **fields}
    return {"StartAt": "M", "States": {"M": state, "Z": {"Type": "Succeed"}}}


def the_run(driver: Driver) -> Any:
    (run,) = driver.store.map_runs.values()
    return run


def children(driver: Driver) -> list[Any]:
    return [one for one in driver.store.executions.values() if one.map_run_arn]


def test_each_item_is_an_execution_of_its_own() -> None:
    driver = Driver()
    arn = driver.run_machine(distributed(PASS, Label="each"), ["a", "b"])
    assert driver.shape(arn)[1:8] == [
        "2<0 MapStateEntered",
        "3<2 MapStateStarted",
        "4<3 MapRunStarted",
        "5<4 MapRunSucceeded",
        "6<5 MapStateSucceeded",
        "7<4 MapStateExited",
        "8<7 SucceedStateEntered",
    ]
    run = the_run(driver)
    assert run.arn.startswith("arn:aws:states:us-east-1:123456789012:mapRun:m/each:")
    assert run.machine_arn == "arn:aws:states:us-east-1:123456789012:stateMachine:m/each"
    assert run.status is MapRunStatus.SUCCEEDED
    assert (run.items, run.executions) == (MapRunCounts(2, succeeded=2), MapRunCounts(2, succeeded=2))
    assert driver.details(arn, "MapRunStarted") == [{"mapRunArn": run.arn}]
    first, second = children(driver)
    assert first.arn == f"arn:aws:states:us-east-1:123456789012:execution:m/each:{first.name}"
    assert (first.input, second.input, first.map_run_arn) == ('"a"', '"b"', run.arn)
    assert driver.types(first.arn) == [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "ExecutionSucceeded",
    ]
    assert driver.output(arn) == ["a", "b"]
    assert driver.store.frames == {}


def test_children_beyond_the_concurrency_do_not_exist_yet() -> None:
    driver = Driver()
    arn = driver.run_machine(distributed(CALL, MaxConcurrency=2), [1, 2, 3])
    assert len(children(driver)) == 2
    assert the_run(driver).executions == MapRunCounts(3, running=2)
    driver.restart()
    driver.answer(driver.calls[-1], "b")
    driver.run()
    assert len(children(driver)) == 3
    assert the_run(driver).executions == MapRunCounts(3, running=2, succeeded=1)
    driver.restart()
    for call in driver.calls[-2:]:
        driver.answer(call, call.arguments)
    driver.run()
    assert driver.output(arn) == [1, "b", 3]


def test_the_first_failure_ends_a_map_run_that_tolerates_none() -> None:
    driver = Driver()
    arn = driver.run_machine(distributed(PICKY), [1, 0, 1])
    assert driver.shape(arn)[4:] == ["5<4 MapRunFailed", "6<5 MapStateFailed", "7<6 ExecutionFailed"]
    record = driver.execution(arn)
    assert (record.error, record.cause) == (
        "States.ExceedToleratedFailureThreshold",
        "The specified tolerated failure threshold was exceeded",
    )
    assert the_run(driver).status is MapRunStatus.FAILED
    assert the_run(driver).items == MapRunCounts(3, failed=1, aborted=2)
    assert [one.status.value for one in children(driver)] == ["ABORTED", "FAILED", "ABORTED"]


@pytest.mark.parametrize(
    ("fields", "items", "output"),
    [
        ({"ToleratedFailureCount": 1}, [1, 0, 2], [1, 2]),
        ({"ToleratedFailurePercentage": 50}, [0, 1], [1]),
        ({"ToleratedFailurePercentagePath": "$[0]", "ItemsPath": "$[1]"}, [100, [0, 0]], []),
        ({"ToleratedFailureCount": 1}, [1, 0, 0], None),
        ({"ToleratedFailurePercentage": 49}, [0, 1], None),
    ],
)
def test_failures_are_tolerated_up_to_the_threshold(fields: dict[str, Any], items: Any, output: Any) -> None:
    driver = Driver()
    arn = driver.run_machine(distributed(PICKY, **fields), items)
    driver.advance_to_end()
    if output is None:
        assert driver.execution(arn).error == "States.ExceedToleratedFailureThreshold"
    else:
        assert driver.output(arn) == output


def test_the_failure_of_a_map_run_is_caught_and_retried() -> None:
    driver = Driver()
    names = ["States.ExceedToleratedFailureThreshold"]
    fields = {
        "Retry": [{"ErrorEquals": names, "MaxAttempts": 1}],
        "Catch": [{"ErrorEquals": names, "Next": "Z", "ResultPath": None}],
    }
    arn = driver.run_machine(distributed(PICKY, **fields), [0])
    driver.advance_to_end()
    assert driver.output(arn) == [0]
    assert [run.status.value for run in driver.store.map_runs.values()] == ["FAILED", "FAILED"]
    assert len(children(driver)) == 2
    assert driver.store.frames == {(one.key, 0): driver.store.frames[one.key, 0] for one in children(driver)}


def test_an_execution_that_is_stopped_aborts_its_children() -> None:
    driver = Driver()
    arn = driver.run_machine(distributed(CALL), [1, 2])
    driver.ask(c.StopExecution(arn))
    assert {one.status for one in children(driver)} == {ExecutionStatus.ABORTED}
    run = the_run(driver)
    assert (run.status, run.executions) == (MapRunStatus.ABORTED, MapRunCounts(2, aborted=2))
    driver.restart()
    assert driver.machine.next_deadline() is None


@pytest.mark.parametrize(
    ("batcher", "inputs"),
    [
        ({"MaxItemsPerBatch": 2}, [{"Items": [1, 2]}, {"Items": [3]}]),
        ({"MaxItemsPerBatchPath": "$.n"}, [{"Items": [1]}, {"Items": [2]}, {"Items": [3]}]),
        ({"MaxInputBytesPerBatch": 4}, [{"Items": [1, 2]}, {"Items": [3]}]),
        (
            {"MaxItemsPerBatch": 5, "BatchInput": {"n.$": "$.n"}},
            [{"BatchInput": {"n": 1}, "Items": [1, 2, 3]}],
        ),
    ],
)
def test_items_are_put_into_batches(batcher: dict[str, Any], inputs: list[Any]) -> None:
    driver = Driver()
    fields = {"ItemBatcher": batcher, "ItemsPath": "$.items"}
    arn = driver.run_machine(distributed(PASS, **fields), {"items": [1, 2, 3], "n": 1})
    assert [json.loads(one.input) for one in children(driver)] == inputs
    assert the_run(driver).items.total == 3
    assert the_run(driver).executions.total == len(inputs)
    assert driver.output(arn) == inputs
    assert driver.details(arn, "MapStateStarted") == [{"length": 3}]


def test_an_item_selector_makes_the_items_of_a_batch() -> None:
    driver = Driver()
    fields = {
        "ItemBatcher": {"MaxItemsPerBatch": 2},
        "ItemSelector": {"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value"},
    }
    arn = driver.run_machine(distributed(PASS, **fields), ["a", "b", "c"])
    assert driver.output(arn) == [
        {"Items": [{"i": 0, "v": "a"}, {"i": 1, "v": "b"}]},
        {"Items": [{"i": 2, "v": "c"}]},
    ]


def test_the_members_of_an_object_are_items() -> None:
    driver = Driver()
    arn = driver.run_machine(distributed(PASS), {"x": 1})
    assert driver.output(arn) == [{"Key": "x", "Value": 1}]


def test_an_empty_map_run_succeeds() -> None:
    driver = Driver()
    arn = driver.run_machine(distributed(PASS), [])
    assert driver.output(arn) == []
    assert the_run(driver).status is MapRunStatus.SUCCEEDED


def test_a_map_run_may_be_allowed_more_while_it_runs() -> None:
    driver = Driver()
    driver.run_machine(distributed(CALL, MaxConcurrency=1), [1, 2, 3])
    run = the_run(driver)
    driver.ask(c.UpdateMapRun(run.arn, max_concurrency=3, tolerated_failure_count=2))
    assert len(driver.calls) == 3
    assert (the_run(driver).max_concurrency, the_run(driver).tolerated_failure_count) == (3, 2)
    for call in driver.calls:
        driver.fail(call, "E")
    driver.run()
    assert the_run(driver).status is MapRunStatus.FAILED
    with pytest.raises(Refused):
        driver.ask(c.UpdateMapRun(run.arn, max_concurrency=1))


def test_thousands_of_children_come_and_go() -> None:
    def answers(call: c.CallIntegration) -> Any:
        if call.arguments % 10 == 0:
            raise CallFailed("E")
        return 1

    driver = Driver(answers)
    arn = driver.run_machine(distributed(CALL, ToleratedFailureCount=100, MaxConcurrency=300), list(range(1_000)))
    assert len(driver.output(arn)) == 900
    assert the_run(driver).items == MapRunCounts(1_000, succeeded=900, failed=100)
    assert not driver.machine._world.open


def test_a_distributed_map_in_a_child_is_a_map_run_of_the_child() -> None:
    driver = Driver()
    inner = distributed(CALL, Label="inner")["States"]["M"] | {"Type": "Map"}
    inner.pop("Next")
    processor = {"StartAt": "N", "States": {"N": {**inner, "End": True}}}
    arn = driver.run_machine(distributed(processor, Label="outer"), [[1, 2], [3]])
    driver.restart()
    for call in driver.calls[-3:]:
        driver.answer(call, call.arguments)
    driver.run()
    assert driver.output(arn) == [[1, 2], [3]]
    assert len(driver.store.map_runs) == 3


def test_express_children_leave_no_rows_and_are_begun_again_after_a_restart() -> None:
    driver = Driver()
    arn = driver.run_machine(distributed(CALL, "EXPRESS"), [1, 2])
    assert children(driver) == []
    driver.answer(driver.calls[0], "a")
    driver.run()
    driver.restart()
    assert driver.calls[-1].key == driver.calls[1].key  # the same child, and so the same key
    driver.answer(driver.calls[-1], "b")
    driver.run()
    assert driver.output(arn) == ["a", "b"]


READER = {
    "Resource": "arn:aws:states:::s3:getObject",
    "ReaderConfig": {"InputType": "JSON", "MaxItemsPath": "$.most"},
    "Parameters": {"Bucket.$": "$.bucket", "Key": "items.json"},
}
WRITER = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket.$": "$.bucket", "Prefix": "out"}}


def about(effect: Any) -> dict[str, int]:
    return {"execution_key": effect.execution_key, "frame_id": effect.frame_id, "event_id": effect.event_id}


def test_items_are_read_from_elsewhere_and_results_are_written() -> None:
    driver = Driver()
    arn = driver.run_machine(distributed(PASS, ItemReader=READER, ResultWriter=WRITER), {"bucket": "b", "most": 2})
    assert driver.types(arn)[-1] == "MapRunStarted"
    driver.restart()
    first, again = driver.took(c.ReadItems)
    assert first == again
    assert first.reader == {
        "Resource": READER["Resource"],
        "ReaderConfig": {"InputType": "JSON", "MaxItems": 2},
        "Parameters": {"Bucket": "b", "Key": "items.json"},
    }
    driver.report(c.ItemsRead(**about(first), items=["x", "y"]))
    driver.restart()
    write, repeated = driver.took(c.WriteResults)
    assert write == repeated
    assert (write.map_run_arn, write.writer["Parameters"]) == (the_run(driver).arn, {"Bucket": "b", "Prefix": "out"})
    driver.report(c.ResultsWritten(**about(write), output={"MapRunArn": "a"}))
    assert driver.output(arn) == {"MapRunArn": "a"}
    assert the_run(driver).items == MapRunCounts(2, succeeded=2)
    assert driver.details(arn, "MapStateStarted") == [{"length": 0}]


@pytest.mark.parametrize("fails", ["reader", "writer", "stop"])
def test_a_reader_or_writer_that_fails_fails_the_map_run(fails: str) -> None:
    driver = Driver()
    catch = [{"ErrorEquals": ["States.ItemReaderFailed", "States.ResultWriterFailed"], "Next": "Z"}]
    fields = {"ItemReader": READER, "ResultWriter": WRITER, "Catch": catch}
    arn = driver.run_machine(distributed(PASS, **fields), {"bucket": "b", "most": 2})
    (read,) = driver.took(c.ReadItems)
    if fails == "stop":
        driver.ask(c.StopExecution(arn))
        assert the_run(driver).status is MapRunStatus.ABORTED
        return
    if fails == "reader":
        driver.report(c.ItemsRead(**about(read), error="States.ItemReaderFailed", cause="no object"))
    else:
        driver.report(c.ItemsRead(**about(read), items=[1]))
        (write,) = driver.took(c.WriteResults)
        driver.report(c.ResultsWritten(**about(write), error="States.ResultWriterFailed"))
    assert the_run(driver).status is MapRunStatus.FAILED
    assert driver.output(arn)["Error"].startswith("States.")
    assert "MapRunFailed" in driver.types(arn)
    assert {key for key, _ in driver.store.frames} <= {one.key for one in children(driver)}


def test_a_number_of_items_that_is_none_fails_before_they_are_read() -> None:
    driver = Driver()
    arn = driver.run_machine(distributed(PASS, ItemReader=READER), {"bucket": "b", "most": 1.5})
    assert driver.took(c.ReadItems) == []
    cause = 'The MaxItemsPath field refers to value "1.5" which is not a valid integer: $.most'
    assert str(driver.execution(arn).cause).endswith(cause)


@pytest.mark.parametrize("mode", ["INLINE", "DISTRIBUTED"])
def test_a_map_after_a_map_has_items_of_its_own(mode: str) -> None:
    """Also where the first one's last iterations, and the begin of the second, are steps of one batch."""
    inline = {"Type": "Map", "ItemsPath": "$.first", "ItemProcessor": PASS, "ResultPath": None, "Next": "B"}
    config = {"Mode": mode} | ({"ExecutionType": "STANDARD"} if mode == "DISTRIBUTED" else {})
    processor = {**PASS, "ProcessorConfig": config}
    second = {"Type": "Map", "ItemsPath": "$.second", "ItemProcessor": processor, "End": True}
    for concurrency in (0, 1):
        machine = {"StartAt": "A", "States": {"A": inline | {"MaxConcurrency": concurrency}, "B": second}}
        driver = Driver()
        arn = driver.run_machine(machine, {"first": [1, 2, 3], "second": ["a", "b"]})
        assert driver.output(arn) == ["a", "b"]
