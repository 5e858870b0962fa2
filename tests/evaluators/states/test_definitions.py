"""The validator of state machine definitions: AWS's texts and locations, and what is accepted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from batchyard.evaluators.states.definitions import MAX_NESTING, Options, check_definition, check_state
from batchyard.evaluators.states.diagnostics import MAX_DIAGNOSTICS, WARNING, refusal_text
from batchyard.evaluators.states.task_checks import check_objects, refuse_objects
from batchyard.evaluators.states.variable_scopes import variable_references
from tests.evaluators.states.sample_definitions import ACCEPTED, PASS, choice, distributed, jsonata, machine, one, task

SCHEMA = "SCHEMA_VALIDATION_FAILED"
MINIMUM = "Minimum value is"


def errors(definition: Any, kind: str = "STANDARD", options: Options | None = None) -> list[str]:
    text = definition if isinstance(definition, str) else json.dumps(definition)
    found = check_definition(text, kind, options)
    return [diagnostic.text for diagnostic in found if diagnostic.severity != WARNING]


@pytest.mark.parametrize("definition", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_right_definition_has_no_errors(definition: dict[str, Any]) -> None:
    assert errors(definition) == []
    assert isinstance(variable_references(definition), dict)


def test_the_pipeline_of_the_examples_is_accepted() -> None:
    assert errors((Path(__file__).parents[2] / "examples/state-machine-ml-pipeline.asl.json").read_text()) == []


LANGUAGE = "The QueryLanguage is set to '{}', but field '{}' is only supported for the '{}' QueryLanguage at {}"
TYPES = "[Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map]"
REFUSED: list[tuple[Any, str]] = [
    # -- the text --
    ("", f"{SCHEMA}: Definition must be a valid JSON object at null"),
    ("[]", f"{SCHEMA}: Definition must be a valid JSON object at null"),
    (
        "not a definition",
        (
            "INVALID_JSON_DESCRIPTION: Unrecognized token 'not': was expecting (JSON String, Number, Array, Object or "
            "token 'null', 'true' or 'false')\n at [Source: (String)\"not a definition\"; line: 1, column: 4]"
        ),
    ),
    (
        "[" * (MAX_NESTING + 1),
        f"TOO_DEEPLY_NESTED: The definition is nested more than {MAX_NESTING} levels deep at null",
    ),
    # -- required and unknown fields --
    ({}, "These fields are required: [States, StartAt] at /"),
    ({"StartAt": "X"}, "These fields are required: [States] at /"),
    ({"States": {"X": PASS}}, "These fields are required: [StartAt] at /"),
    (one(PASS, Timeout=1), "Field 'Timeout' is not supported at /"),
    (one(PASS | {"TimeoutSeconds": 1}), "Field 'TimeoutSeconds' is not supported at /States/X"),
    (one(PASS | {"Catch": []}), "Field 'Catch' is not supported at /States/X"),
    (one({"Type": "Wait", "Seconds": 1, "ResultPath": None}), "Field 'ResultPath' is not supported at /States/X"),
    (one({"Type": "Task"}), "These fields are required: [Resource] at /States/X"),
    (one({"Type": "Parallel"}), "These fields are required: [Branches] at /States/X"),
    (one({"End": True}), "These fields are required: [Type] at /States/X"),
    (choice({"Variable": "$", "StringMatches": "T"}), "These fields are required: [Next] at /States/C/Choices[0]"),
    (task(Retry=[{"MaxAttempts": 1}]), "These fields are required: [ErrorEquals] at /States/X/Retry[0]"),
    (one({"Type": "Pass"} | {"End": False}), "There should be one of the following fields: [Next, End] at /States/X"),
    (
        machine({"X": PASS | {"Next": "X"}}),
        "There should only be one of the following fields: [Next, End] at /States/X",
    ),
    (one({"Type": "Nope"}), f"The field 'Type' should have one of these values: {TYPES} at /States/X/Type"),
    # -- types and ranges --
    (one(7), "Expected value of type Object at /States/X"),
    (one({"Type": "Wait", "Seconds": "$.s"}), "Expected value of type Integer at /States/X/Seconds"),
    (one({"Type": "Wait", "Seconds": 10**16}), "Maximum value is 99999999 at /States/X/Seconds"),
    (one({"Type": "Wait", "Seconds": -1}), f"{MINIMUM} 0 at /States/X/Seconds"),
    (
        one({"Type": "Wait", "Timestamp": "2016-12-05 21:29:29Z"}),
        "String does not match RFC3339 timestamp at /States/X/Timestamp",
    ),
    (one({"Type": "Parallel", "Branches": []}), "Value cannot be empty at /States/X/Branches"),
    (machine({}), "Value cannot be empty at /States"),
    (task(Retry=[{"ErrorEquals": []}]), "Value cannot be empty at /States/X/Retry[0]/ErrorEquals"),
    (task(Retry=[{"ErrorEquals": ["E"], "BackoffRate": 0.5}]), f"{MINIMUM} 1.0 at /States/X/Retry[0]/BackoffRate"),
    (task(TimeoutSeconds=5, HeartbeatSeconds=5), "HeartbeatSeconds must be smaller than TimeoutSeconds at /States/X"),
    (task(Credentials={}), "The field 'RoleArn' is required but was missing at /States/X/Credentials"),
    (one({"Type": "Task", "Resource": "create"}), "Value is not a valid resource ARN at /States/X/Resource"),
    (
        one({"Type": "Wait", "Seconds": 1, "SecondsPath": "$.s"}),
        "There should only be one of the following fields: [Seconds, SecondsPath] at /States/X",
    ),
    (
        one({"Type": "Fail", "Error": "E", "ErrorPath": "$.e"}),
        "There should only be one of the following fields: [Error, ErrorPath] at /States/X",
    ),
    # -- paths and templates --
    (one(PASS | {"InputPath": "a.b"}), "Value is not a valid JSONPath at /States/X/InputPath"),
    (one(PASS | {"ResultPath": "$.a[*]"}), "Value is not a Reference Path at /States/X/ResultPath"),
    (one(PASS | {"ResultPath": "$$.a"}), "Value is not a Reference Path at /States/X/ResultPath"),
    (one({"Type": "Wait", "SecondsPath": "$$.a"}), "Value is not a Reference Path at /States/X/SecondsPath"),
    (
        one(PASS | {"Parameters": {"parsed.$": "States.StringToJson('\\x')"}}),
        (
            "The value for the field 'parsed.$' must be a valid JSONPath or a valid intrinsic function call "
            "at /States/X/Parameters"
        ),
    ),
    (
        task(Parameters={"a": [{"b.$": 5}]}),
        (
            "The value for the field 'b.$' must be a valid JSONPath or a valid intrinsic function call "
            "at /States/X/Parameters/a[0]"
        ),
    ),
    # -- choice rules --
    (
        choice({"Variable": "$.a", "StringEquals": 1, "Next": "X"}),
        "Expected value of type String at /States/C/Choices[0]/StringEquals",
    ),
    (
        choice({"Variable": "$.a", "NumericEquals": "1", "Next": "X"}),
        "Expected value of type Number at /States/C/Choices[0]/NumericEquals",
    ),
    (choice({"StringEquals": "a", "Next": "X"}), "These fields are required: [Variable] at /States/C/Choices[0]"),
    (
        choice({"Not": {"Variable": "$.a", "IsNull": True, "Next": "X"}, "Next": "X"}),
        "Field 'Next' is not supported at /States/C/Choices[0]/Not",
    ),
    (choice({"And": [], "Next": "X"}), "Value cannot be empty at /States/C/Choices[0]/And"),
    (
        choice({"Variable": "$.a", "Next": "X"}),
        "A choice rule needs a comparison such as StringEquals, or one of And, Or and Not at /States/C/Choices[0]",
    ),
    # -- query languages --
    (one(PASS | {"Output": 1}), LANGUAGE.format("JSONPath", "Output", "JSONata", "/States/X")),
    (jsonata(PASS | {"InputPath": "$"}), LANGUAGE.format("JSONata", "InputPath", "JSONPath", "/States/X")),
    (
        jsonata({"Type": "Map", "ItemProcessor": machine({"I": PASS}), "MaxConcurrencyPath": "$.n"}),
        LANGUAGE.format("JSONata", "MaxConcurrencyPath", "JSONPath", "/States/X"),
    ),
    (
        jsonata(PASS | {"QueryLanguage": "JSONPath"}),
        "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine at /States/X",
    ),
    (
        one({"Type": "Map", "ItemProcessor": machine({"I": PASS}, QueryLanguage="JSONata")}),
        "Field 'QueryLanguage' is not supported at /States/X/ItemProcessor",
    ),
    (
        one(
            {
                "Type": "Map",
                "QueryLanguage": "JSONata",
                "ItemProcessor": machine({"I": PASS | {"Output": 1}}),
            }
        ),
        LANGUAGE.format("JSONPath", "Output", "JSONata", "/States/X/ItemProcessor/States/I"),
    ),
    (
        jsonata(PASS | {"Output": {"v": "{% phone %}"}}),
        "UNSUPPORTED_JSONATA_EXPRESSION: Reference to 'phone' at the top level is not supported. at /States/X/Output/v",
    ),
    (
        jsonata(PASS | {"Output": "{% $$.a %}"}),
        "UNSUPPORTED_JSONATA_EXPRESSION: Reference to '$$' at the top level is not supported. at /States/X/Output",
    ),
    (
        jsonata(PASS | {"Output": ["{% 1 + %}"]}),
        "INVALID_JSONATA_EXPRESSION: Unexpected end of expression at /States/X/Output[0]",
    ),
    (
        jsonata(PASS | {"Output": "{% $states.errorOutput %}"}),
        (
            "UNSUPPORTED_JSONATA_EXPRESSION: Reference to '$states.errorOutput' is not supported in this field. "
            "at /States/X/Output"
        ),
    ),
    (
        jsonata({"Type": "Fail", "Cause": "{% $states.result %}"}),
        (
            "UNSUPPORTED_JSONATA_EXPRESSION: Reference to '$states.result' is not supported in this field. "
            "at /States/X/Cause"
        ),
    ),
    # -- distributed maps --
    (
        distributed(ItemBatcher={"MaxItemsPerBatch": 1, "MaxItemsPerBatchPath": "$.n"}),
        (
            "There should only be one of the following fields: [MaxItemsPerBatch, MaxItemsPerBatchPath] "
            "at /States/X/ItemBatcher"
        ),
    ),
    (distributed(ToleratedFailurePercentage=101), "Maximum value is 100.0 at /States/X/ToleratedFailurePercentage"),
    (distributed(ToleratedFailurePercentage=-0.5), f"{MINIMUM} 0.0 at /States/X/ToleratedFailurePercentage"),
    (
        distributed(ToleratedFailureCountPath="$$.Execution.Input.n"),
        "Value is not a Reference Path at /States/X/ToleratedFailureCountPath",
    ),
    (
        distributed(
            ItemReader={"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"MaxItems": 100_000_001}}
        ),
        "Maximum value is 100000000 at /States/X/ItemReader/ReaderConfig/MaxItems",
    ),
    (
        distributed(ItemBatcher={"MaxInputBytesPerBatch": 262_145}),
        "Maximum value is 262144 at /States/X/ItemBatcher/MaxInputBytesPerBatch",
    ),
    # -- variables --
    (
        one(PASS | {"Assign": {"states": 1}}),
        "The variable name 'states' is not a valid identifier, or is reserved at /States/X/Assign",
    ),
    (
        one(PASS | {"Assign": {"a-b.$": "$"}}),
        "The variable name 'a-b' is not a valid identifier, or is reserved at /States/X/Assign",
    ),
    (
        machine(
            {
                "A": {"Type": "Pass", "Assign": {"v": 1}, "Next": "P"},
                "P": {"Type": "Parallel", "Branches": [machine({"B": PASS | {"Assign": {"v.$": "$"}}})], "End": True},
            }
        ),
        "The variable 'v' is assigned in an outer scope too at /States/P/Branches[0]/States/B/Assign",
    ),
]


@pytest.mark.parametrize(("definition", "expected"), REFUSED, ids=range(len(REFUSED)))
def test_a_wrong_definition_is_refused_with_the_text_of_aws(definition: Any, expected: str) -> None:
    text = expected if expected.split(":")[0].isupper() else f"{SCHEMA}: {expected}"
    assert errors(definition) == [text]


def test_the_location_of_a_definition_without_an_object_is_absent() -> None:
    [found] = check_definition(" ")
    assert found.location is None
    [found] = check_definition("{}x")
    assert found.location == '[Source: (String)"{}x"; line: 1, column: 4]'


@pytest.mark.parametrize("value", ['"\\ud800"', '"\ud800"', "1e400", "NaN", "01", "1" * 5000])
def test_a_value_that_executions_cannot_read_is_refused(value: str) -> None:
    text = json.dumps(one(PASS | {"Result": "here"})).replace('"here"', value)
    assert [found.code for found in check_definition(text)] == ["INVALID_JSON_DESCRIPTION"]


GRAPHS = [
    (
        {"A": {"Type": "Pass", "Next": "NOPE"}, "B": PASS},
        [
            "MISSING_TRANSITION_TARGET: Missing 'Next' target: NOPE at /States/A/Next",
            'MISSING_TRANSITION_TARGET: State "B" is not reachable. at /States/B',
        ],
    ),
    (
        {"A": {"Type": "Pass", "Next": "NOPE"}},
        [
            "MISSING_TRANSITION_TARGET: Missing 'Next' target: NOPE at /States/A/Next",
            "MISSING_END_STATE: Workflow has no terminal state at null",
        ],
    ),
    (
        {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}, "C": {"Type": "Pass", "Next": "A"}},
        ["MISSING_END_STATE: Workflow has no terminal state at null"],
    ),
    (
        {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}, "C": PASS},
        ['MISSING_TRANSITION_TARGET: State "C" is not reachable. at /States/C'],
    ),
    (
        {
            "A": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.a", "IsNull": True, "Next": "X"}],
                "Default": "Y",
            },
            "T": {
                "Type": "Task",
                "Resource": "arn:aws:states:::batch:submitJob",
                "Catch": [{"ErrorEquals": ["E"], "Next": "Z"}],
                "Next": "A",
            },
            "E": {"Type": "Succeed"},
        },
        [
            "MISSING_TRANSITION_TARGET: Missing 'Next' target: X at /States/A/Choices[0]/Next",
            "MISSING_TRANSITION_TARGET: Missing 'Next' target: Y at /States/A/Default",
            "MISSING_TRANSITION_TARGET: Missing 'Next' target: Z at /States/T/Catch[0]/Next",
            'MISSING_TRANSITION_TARGET: State "T" is not reachable. at /States/T',
            'MISSING_TRANSITION_TARGET: State "E" is not reachable. at /States/E',
        ],
    ),
]


@pytest.mark.parametrize(("states", "expected"), GRAPHS)
def test_the_graph_has_targets_ends_and_no_unreachable_states(states: dict[str, Any], expected: list[str]) -> None:
    assert errors(machine(states)) == expected


def test_a_missing_start_is_a_missing_target() -> None:
    definition = {"StartAt": "S", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Succeed"}}}
    found = check_definition(json.dumps(definition))
    assert refusal_text(found) == (
        "Invalid State Machine Definition: 'MISSING_TRANSITION_TARGET: Missing 'Next' target: S at /StartAt, "
        'MISSING_TRANSITION_TARGET: State "A" is not reachable. at /States/A\''
    )


def test_states_of_branches_are_a_graph_of_their_own() -> None:
    definition = one({"Type": "Parallel", "Branches": [machine({"A": {"Type": "Pass", "Next": "X"}, "B": PASS})]})
    assert errors(definition) == [
        "MISSING_TRANSITION_TARGET: Missing 'Next' target: X at /States/X/Branches[0]/States/A/Next",
        'MISSING_TRANSITION_TARGET: State "B" is not reachable. at /States/X/Branches[0]/States/B',
    ]


def test_names_of_states_and_labels_are_unique_in_the_whole_machine() -> None:
    definition = one({"Type": "Parallel", "Branches": [machine({"X": PASS})]})
    assert errors(definition) == ["DUPLICATE_STATE_NAME: Duplicate State name: X at /States/X/Branches[0]/States/X"]
    states = distributed(Label="l")["States"] | {"Y": distributed(Label="l")["States"]["X"]}
    states["Y"]["ItemProcessor"] = machine({"J": PASS}, ProcessorConfig={"Mode": "DISTRIBUTED"})
    assert errors(machine(states))[0] == "DUPLICATE_LABEL_NAME: Duplicate Label name: l at /States/Y/Label"
    assert errors(machine({"n" * 81: PASS})) == [
        "INVALID_STATE_NAME: State name must have between 1 and 80 characters at /States/" + "n" * 81
    ]


@pytest.mark.parametrize("label", ["", "l" * 41, "a b", "a?", "a\x7f"])
def test_a_label_has_few_characters(label: str) -> None:
    assert errors(distributed(Label=label))[0].startswith("INVALID_LABEL_NAME: ")


@pytest.mark.parametrize("field", ["ItemReader", "ItemBatcher", "ResultWriter", "Label"])
def test_only_a_distributed_map_reads_batches_and_writes(field: str) -> None:
    value = {"ItemReader": {"Resource": "arn:aws:states:::s3:getObject"}, "Label": "l"}.get(field, {})
    state = {"Type": "Map", "ItemProcessor": machine({"I": PASS}), field: value}
    assert errors(one(state)) == [
        (
            f"{SCHEMA}: Field '{field}' is only supported for a Map whose ProcessorConfig has Mode 'DISTRIBUTED' "
            "at /States/X"
        )
    ]
    assert errors(distributed(**{field: value})) == []


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        ("arn:aws:states:::batch:submitJob.sync", "'.sync' service integration"),
        ("arn:aws:states:::states:startExecution.sync:2", "'.sync' service integration"),
        ("arn:aws:states:::sns:publish.waitForTaskToken", "'.waitForTaskToken' service integration "),
        ("arn:aws:states:us-east-1:123456789012:activity:a", "Activity ARN"),
    ],
)
def test_an_express_machine_waits_for_nothing(resource: str, message: str) -> None:
    refused = f"{SCHEMA}: Express state machine does not support {message} at "
    definition = one({"Type": "Task", "Resource": resource})
    options = Options(check_task=lambda _resource, _arguments: [("Resource", "not asked")])
    assert errors(definition, "EXPRESS", options) == [f"{refused}/States/X/Resource"]
    assert errors(definition) == []
    config = {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}
    inner = machine({"I": {"Type": "Task", "Resource": resource, "End": True}}, ProcessorConfig=config)
    assert errors(one({"Type": "Map", "ItemProcessor": inner})) == [
        f"{refused}/States/X/ItemProcessor/States/I/Resource"
    ]
    config["ExecutionType"] = "STANDARD"
    assert errors(one({"Type": "Map", "ItemProcessor": inner})) == []


def test_an_express_machine_has_no_distributed_map() -> None:
    assert errors(distributed(), "EXPRESS") == [
        f"{SCHEMA}: Express state machine does not support a Map in Mode 'DISTRIBUTED' at /States/X"
    ]


def test_resources_and_arguments_are_checked_by_who_has_the_services() -> None:
    asked: list[tuple[str, Any]] = []

    def check(resource: str, arguments: Any) -> Sequence[tuple[str, str]]:
        asked.append((resource, arguments))
        return [("Resource", "is not here"), ("", "lacks a field")]

    resource = "arn:aws:states:::batch:submitJob"
    assert errors(task(Parameters={"a": 1}), options=Options(check)) == [
        f"{SCHEMA}: is not here at /States/X/Resource",
        f"{SCHEMA}: lacks a field at /States/X/Parameters",
    ]
    state = {"Type": "Task", "Resource": resource, "Arguments": "{% $states.input %}"}
    assert errors(jsonata(state), options=Options(check))[1] == f"{SCHEMA}: lacks a field at /States/X/Arguments"
    assert asked == [(resource, {"a": 1}), (resource, "{% $states.input %}")]


def warnings(definition: Any) -> list[tuple[str, str | None]]:
    found = check_definition(json.dumps(definition))
    assert not [diagnostic for diagnostic in found if diagnostic.severity != WARNING]
    return [(diagnostic.code, diagnostic.location) for diagnostic in found]


def test_what_looks_like_a_path_and_is_none_is_a_warning() -> None:
    assert warnings(one(PASS | {"Parameters": {"a": {"b": "$.c"}, "d": "States.UUID()", "e": "$ 5"}})) == [
        ("NO_DOLLAR", "/States/X/Parameters/a/b"),
        ("NO_DOLLAR", "/States/X/Parameters/d"),
    ]
    assert warnings(one(PASS | {"Result": {"a.$": "$.b"}})) == [("PASS_RESULT_IS_STATIC", "/States/X/Result")]


def test_a_definition_has_a_bounded_number_of_diagnostics() -> None:
    states = {f"s{number}": {"Type": "Pass", "Nope": 1} for number in range(MAX_DIAGNOSTICS)}
    assert len(check_definition(json.dumps(machine(states)))) == MAX_DIAGNOSTICS


REFERENCES = [
    (
        machine(
            {
                "Setup": {"Type": "Pass", "Assign": {"guess": "g", "answer": "a"}, "Next": "Check"},
                "Check": {
                    "Type": "Choice",
                    "Choices": [{"Variable": "$guess", "StringEqualsPath": "$answer", "Next": "Right"}],
                    "Default": "Wrong",
                },
                "Right": PASS | {"Result": {"a.$": "$answer"}},
                "Wrong": {"Type": "Pass", "Assign": {"guess.$": "$answer"}, "Next": "Check"},
            }
        ),
        {"Check": ["answer", "guess"], "Wrong": ["answer"]},
    ),
    (
        one(
            {
                "Type": "Map",
                "MaxConcurrencyPath": "$limit",
                "ItemSelector": {"a.$": "States.Format($template, $$.Map.Item.Value)"},
                "ItemProcessor": machine({"I": PASS | {"Parameters": {"q.$": "$question.x", "r": "$literal"}}}),
            }
        ),
        {"X": ["limit", "template"], "I": ["question"]},
    ),
    (
        machine(
            {
                "A": {"Type": "Pass", "Assign": {"count": "{% 1 %}"}, "Next": "B"},
                "B": PASS | {"Output": {"n": ["{% $count + $other.x & $string($sum) %}"]}},
            },
            QueryLanguage="JSONata",
        ),
        {"B": ["count", "other"]},
    ),
]


@pytest.mark.parametrize(("definition", "expected"), REFERENCES)
def test_states_refer_to_variables(definition: dict[str, Any], expected: dict[str, list[str]]) -> None:
    assert errors(definition) == []
    assert variable_references(definition) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"Type": "Pass", "Next": "Elsewhere"}, []),
        ({"Type": "Parallel", "Branches": [], "End": True}, ["Value cannot be empty at /States/StateName/Branches"]),
        (
            {
                "Type": "Parallel",
                "Branches": [machine({"A": {"Type": "Pass", "Next": "B"}, "B": PASS, "C": PASS})],
                "End": True,
            },
            ['State "C" is not reachable. at /States/StateName/Branches[0]/States/C'],
        ),
        ([], ["Definition must be a valid JSON object at null"]),
    ],
)
def test_one_state_is_checked_without_its_machine(state: Any, expected: list[str]) -> None:
    found = [diagnostic.text for diagnostic in check_state(json.dumps(state))]
    assert [text.partition(": ")[2] for text in found] == expected
    assert check_definition(json.dumps(state))  # it is no machine


def test_paths_of_data_are_no_references() -> None:
    definition = one(PASS | {"Assign": {"ItemsPath": "no path", "x": ["$y", {"z.$": "$a"}]}, "ResultPath": "$.b"})
    assert errors(definition) == []
    assert variable_references(definition) == {"X": ["a"]}
    retried = jsonata({"Type": "Parallel", "Branches": [machine({"A": PASS})], "Retry": [{"ErrorEquals": ["{% ( %}"]}]})
    assert errors(retried) == []
    assert variable_references(retried) == {}


def test_readers_and_writers_of_objects_are_refused_where_there_are_none() -> None:
    definition = distributed(
        ItemReader={"Resource": "arn:aws:states:::s3:getObject"},
        ResultWriter={"Resource": "arn:aws:states:::s3:putObject"},
    )
    assert errors(definition) == []
    found = errors(definition, options=Options(check_items=refuse_objects))
    assert [text.rpartition(" at ")[2] for text in found] == [
        "/States/X/ItemReader/Resource",
        "/States/X/ResultWriter/Resource",
    ]
    assert found[0].startswith(f"{SCHEMA}: The resource provided arn:aws:states:::s3:getObject is not recognized. ")
    assert errors(distributed(ResultWriter={}), options=Options(check_items=refuse_objects)) == []
    assert errors(definition, options=Options(check_items=check_objects)) == []
    nowhere = distributed(ItemReader={"Resource": "arn:aws:states:::s3:headObject"})
    assert len(errors(nowhere, options=Options(check_items=check_objects))) == 1


def test_types_of_items_that_are_not_read_are_refused_by_name() -> None:
    reader = {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "PARQUET"}}
    definition = distributed(ItemReader=reader)
    assert errors(definition) == []
    found = errors(definition, options=Options(refused_input_types={"PARQUET": "Convert them."}))
    assert found == [f"{SCHEMA}: Convert them. at /States/X/ItemReader/ReaderConfig/InputType"]
    assert errors(definition, options=Options(refused_input_types={"CSV": "Convert them."})) == []
