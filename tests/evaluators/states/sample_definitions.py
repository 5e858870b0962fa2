"""Definitions of state machines, one for each feature of the language: the tests of the validator accept them, and
others change them at random."""

from __future__ import annotations

from typing import Any

PASS = {"Type": "Pass", "End": True}


def machine(states: Any, **fields: Any) -> dict[str, Any]:
    return {"StartAt": next(iter(states), ""), "States": states, **fields}


def one(state: Any, **fields: Any) -> dict[str, Any]:
    """A machine of one state, X, which ends unless it says otherwise, and of what it goes to."""
    if isinstance(state, dict) and state.get("Type") in ("Pass", "Task", "Wait", "Parallel", "Map"):
        state = state if "Next" in state else {"End": True} | state
    return machine({"X": state}, **fields)


def task(**fields: Any) -> dict[str, Any]:
    return one({"Type": "Task", "Resource": "arn:aws:states:::batch:submitJob", **fields})


def jsonata(state: Any) -> dict[str, Any]:
    return one(state, QueryLanguage="JSONata")


def choice(*rules: Any) -> dict[str, Any]:
    return machine({"C": {"Type": "Choice", "Choices": list(rules)}, "X": PASS})


def distributed(**fields: Any) -> dict[str, Any]:
    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    return one({"Type": "Map", "ItemProcessor": machine({"I": PASS}, ProcessorConfig=config), **fields})


ACCEPTED: dict[str, Any] = {
    "pass": one(PASS),
    "version and comment": one(PASS, Version="1.0", Comment="c", TimeoutSeconds=5),
    "result that looks like paths": one(PASS | {"Result": {"x.$": "no path"}}),
    "paths of all kinds": one(PASS | {"InputPath": "$.a[*]", "OutputPath": "$$.Execution.Id", "ResultPath": "$.a.b"}),
    "no paths": one(PASS | {"InputPath": None, "OutputPath": None, "ResultPath": None}),
    "template": one(PASS | {"Parameters": {"a": [{"b.$": "States.Format('{}', $.x)"}], "c.$": "$v[0]"}}),
    "assign": one(PASS | {"Assign": {"x": 1, "y.$": "$.y", "é": {"z.$": "$$.State.Name"}}}),
    "wait by a variable": one({"Type": "Wait", "SecondsPath": "$wait"}),
    "wait until": one({"Type": "Wait", "Timestamp": "2030-01-01T00:00:00.123456789+01:00"}),
    "fail": one({"Type": "Fail"}),
    "fail by paths": one({"Type": "Fail", "ErrorPath": "$.e", "CausePath": "States.Format('{}', $.c)"}),
    "task": task(
        TimeoutSeconds=9,
        HeartbeatSeconds=3,
        Credentials={"RoleArn": "arn:aws:iam::1:role/r"},
        ResultSelector={"a.$": "$.b"},
        Retry=[
            {"ErrorEquals": ["States.ALL"], "MaxAttempts": 0, "BackoffRate": 1.5, "IntervalSeconds": 1},
            {"ErrorEquals": ["E"], "MaxDelaySeconds": 5, "JitterStrategy": "FULL", "Comment": "c"},
        ],
        Catch=[{"ErrorEquals": ["E"], "Next": "X", "ResultPath": "$.e", "Assign": {"m.$": "$.Cause"}}],
    ),
    "choice": choice(
        {"Variable": "$.a", "StringEquals": "x", "Next": "X", "Comment": "c", "Assign": {"v": 1}},
        {"And": [{"Variable": "$.a", "IsPresent": True}, {"Not": {"Variable": "$v", "IsNull": False}}], "Next": "X"},
        {"Or": [{"Variable": "$$.State.Name", "StringMatches": "a*"}], "Next": "X"},
        {"Variable": "$.a", "NumericLessThanEqualsPath": "$.b", "Next": "X"},
        {"Variable": "$.a", "TimestampEquals": "2030-01-01T00:00:00Z", "Next": "X"},
        {"Variable": "$.a", "BooleanEquals": True, "Next": "X"},
        {"Variable": "$.a", "NumericEquals": 1.5, "Next": "X"},
    ),
    "a JSONata state in a JSONPath machine": one(PASS | {"QueryLanguage": "JSONata", "Output": "{% $x %}"}),
    "jsonata": machine(
        {
            "T": {
                "Type": "Task",
                "Resource": "arn:aws:states:::batch:submitJob",
                "Arguments": {"JobName": "{% $states.input.name & $uuid() %}"},
                "Output": "{% $states.result %}",
                "Assign": {"r": "{% $states.result.JobId %}"},
                "TimeoutSeconds": "{% 5 %}",
                "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "C", "Output": "{% $states.errorOutput.Cause %}"}],
                "Next": "C",
            },
            "C": {
                "Type": "Choice",
                "Choices": [
                    {"Condition": "{% $r = 'x' %}", "Next": "W", "Output": {}},
                    {"Condition": True, "Next": "W"},
                ],
                "Default": "W",
            },
            "W": {"Type": "Wait", "Seconds": "{% $states.input.n %}", "Next": "F"},
            "F": {"Type": "Fail", "Error": "{% 'E' %}", "Cause": "text"},
        },
        QueryLanguage="JSONata",
    ),
    "distributed": distributed(
        Label="abc",
        ItemBatcher={"MaxItemsPerBatch": 5, "BatchInput": {"a.$": "$.b"}},
        ToleratedFailurePercentage=10.5,
        ToleratedFailureCountPath="$.n",
        MaxConcurrency=3,
        ResultWriter={"WriterConfig": {"OutputType": "JSON", "Transformation": "COMPACT"}},
    ),
    "the old names of a map's fields": one(
        {
            "Type": "Map",
            "Iterator": machine({"I": PASS}),
            "Parameters": {"v.$": "$$.Map.Item.Value"},
            "ItemsPath": "$$.a",
        }
    ),
    "parallel": one({"Type": "Parallel", "Branches": [machine({"A": PASS}), machine({"B": {"Type": "Succeed"}})]}),
    "a loop with an end": machine({"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Succeed"}}),
}
