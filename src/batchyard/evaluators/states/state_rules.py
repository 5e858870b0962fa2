"""The fields of each type of state, and of the objects in them (step functions spec 7, 11, 12)."""

from __future__ import annotations

from typing import Any

from batchyard.evaluators.states import field_checks
from batchyard.evaluators.states.choice_rule_checks import choice_rule
from batchyard.evaluators.states.diagnostics import INVALID_LABEL_NAME
from batchyard.evaluators.states.expression_text import is_expression
from batchyard.evaluators.states.field_checks import (
    JSONATA,
    JSONPATH,
    MAX_SECONDS,
    Field,
    literal_number,
    number,
    one_of,
)
from batchyard.evaluators.states.object_rules import FieldRule, ObjectRule, list_of, object_of

INLINE, DISTRIBUTED = "INLINE", "DISTRIBUTED"
STANDARD, EXPRESS = "STANDARD", "EXPRESS"
MAX_DELAY_SECONDS = 31_622_399  # of a retrier: less than 366 days
MAX_ATTEMPTS = 99_999_999
MAX_READ_ITEMS = 100_000_000
MAX_BATCH_BYTES = 262_144
MAX_LABEL_CHARACTERS = 40
LABEL_REFUSED = set('?*<>{}[]:;,\\|^~$#%&`"')
RESULT, ERROR_OUTPUT = frozenset({"result"}), frozenset({"errorOutput"})


def _items(value: Any, field: Field) -> None:
    """The Items of a Map: a list, or an expression that makes one. Objects are items of distributed Maps."""
    if isinstance(value, list | dict):
        field_checks.expressions(value, field)
    elif is_expression(value):
        field_checks.expression(value, field)
    else:
        field.fault("Expected value of type Array")


def _label(value: Any, field: Field) -> None:
    if not isinstance(value, str):
        field.fault("Expected value of type String")
        return
    is_refused = any(
        character in LABEL_REFUSED or character.isspace() or not character.isprintable() for character in value
    )
    if not value or is_refused or len(value) > MAX_LABEL_CHARACTERS:
        message = (
            f"Label '{value}' is empty, longer than {MAX_LABEL_CHARACTERS} characters, or has characters that labels "
            "may not have"
        )
        field.report.fault(message, field.location, code=INVALID_LABEL_NAME)


def _credentials(value: Any, field: Field) -> None:
    if field.language == JSONATA and is_expression(value):
        field_checks.expression(value, field)
    elif not isinstance(value, dict):
        field.fault("Expected value of type Object")
    elif "RoleArn" not in value and "RoleArn.$" not in value:
        field.fault("The field 'RoleArn' is required but was missing")
    else:
        field_checks.template(value, field)


COMMENT = {"Comment": FieldRule(field_checks.text)}
COMMON = COMMENT | {
    "Type": FieldRule(field_checks.text),
    "QueryLanguage": FieldRule(field_checks.anything),  # checked where the language of the state is found
}
PATHS = {
    "InputPath": FieldRule(field_checks.path_or_null, JSONPATH),
    "OutputPath": FieldRule(field_checks.path_or_null, JSONPATH),
}
OUTPUT = {"Output": FieldRule(field_checks.template, JSONATA)}
ASSIGN = {"Assign": FieldRule(field_checks.assign)}
TRANSITION = {"Next": FieldRule(field_checks.text), "End": FieldRule(field_checks.boolean)}
RESULT_PATH = {"ResultPath": FieldRule(field_checks.result_path, JSONPATH)}

RETRIER = ObjectRule(
    COMMENT
    | {
        "ErrorEquals": FieldRule(list_of(field_checks.text)),
        "IntervalSeconds": FieldRule(literal_number(1, MAX_SECONDS)),
        "MaxAttempts": FieldRule(literal_number(0, MAX_ATTEMPTS)),
        "BackoffRate": FieldRule(literal_number(1.0, is_integer=False)),
        "MaxDelaySeconds": FieldRule(literal_number(1, MAX_DELAY_SECONDS)),
        "JitterStrategy": FieldRule(one_of("JitterStrategy", "FULL", "NONE")),
    },
    ("ErrorEquals",),
)
CATCHER = ObjectRule(
    COMMENT
    | RESULT_PATH
    | {
        "ErrorEquals": FieldRule(list_of(field_checks.text)),
        "Next": FieldRule(field_checks.text),
        "Assign": FieldRule(field_checks.assign, readable=ERROR_OUTPUT),
        "Output": FieldRule(field_checks.template, JSONATA, ERROR_OUTPUT),
    },
    ("ErrorEquals", "Next"),
)
# Of Task, Parallel and Map: what they do with a result and with errors.
WORK = (
    COMMON
    | PATHS
    | RESULT_PATH
    | TRANSITION
    | {
        "ResultSelector": FieldRule(field_checks.object_template, JSONPATH),
        "Assign": FieldRule(field_checks.assign, readable=RESULT),
        "Output": FieldRule(field_checks.template, JSONATA, RESULT),
        "Retry": FieldRule(list_of(object_of(RETRIER), may_be_empty=True)),
        "Catch": FieldRule(list_of(object_of(CATCHER), may_be_empty=True)),
    }
)
ARGUMENTS = {
    "Parameters": FieldRule(field_checks.object_template, JSONPATH),
    "Arguments": FieldRule(field_checks.template, JSONATA),
}

READER_CONFIG = ObjectRule(
    {
        "InputType": FieldRule(one_of("InputType", "CSV", "JSON", "JSONL", "MANIFEST", "PARQUET")),
        "Transformation": FieldRule(one_of("Transformation", "NONE", "LOAD_AND_FLATTEN")),
        "ManifestType": FieldRule(one_of("ManifestType", "ATHENA_DATA", "S3_INVENTORY")),
        "CSVHeaderLocation": FieldRule(one_of("CSVHeaderLocation", "FIRST_ROW", "GIVEN")),
        "CSVHeaders": FieldRule(list_of(field_checks.text)),
        "CSVDelimiter": FieldRule(one_of("CSVDelimiter", "COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB")),
        "ItemsPointer": FieldRule(field_checks.text),
        "MaxItems": FieldRule(number(0, MAX_READ_ITEMS)),
        "MaxItemsPath": FieldRule(field_checks.reference_path, JSONPATH),
    },
    exclusive=(("MaxItems", "MaxItemsPath"),),
)
READER = ObjectRule(
    ARGUMENTS | {"Resource": FieldRule(field_checks.text), "ReaderConfig": FieldRule(object_of(READER_CONFIG))},
    ("Resource",),
)
BATCHER = ObjectRule(
    {
        "MaxItemsPerBatch": FieldRule(number(0)),
        "MaxItemsPerBatchPath": FieldRule(field_checks.reference_path, JSONPATH),
        "MaxInputBytesPerBatch": FieldRule(number(0, MAX_BATCH_BYTES)),
        "MaxInputBytesPerBatchPath": FieldRule(field_checks.reference_path, JSONPATH),
        "BatchInput": FieldRule(field_checks.template),
    },
    exclusive=(
        ("MaxItemsPerBatch", "MaxItemsPerBatchPath"),
        ("MaxInputBytesPerBatch", "MaxInputBytesPerBatchPath"),
    ),
)
WRITER_CONFIG = ObjectRule(
    {
        "OutputType": FieldRule(one_of("OutputType", "JSON", "JSONL")),
        "Transformation": FieldRule(one_of("Transformation", "NONE", "COMPACT", "FLATTEN")),
    }
)
WRITER = ObjectRule(
    ARGUMENTS | {"Resource": FieldRule(field_checks.text), "WriterConfig": FieldRule(object_of(WRITER_CONFIG))}
)
PROCESSOR_CONFIG = ObjectRule(
    {
        "Mode": FieldRule(one_of("Mode", INLINE, DISTRIBUTED)),
        "ExecutionType": FieldRule(one_of("ExecutionType", STANDARD, EXPRESS)),
    }
)
# Fields of a Map that only a distributed one has.
DISTRIBUTED_FIELDS = {
    "ItemReader": FieldRule(object_of(READER)),
    "ItemBatcher": FieldRule(object_of(BATCHER)),
    "ResultWriter": FieldRule(object_of(WRITER)),
    "Label": FieldRule(_label),
}
# Others have no meaning without it, and are accepted nevertheless.
TOLERANCE_FIELDS = {
    "ToleratedFailureCount": FieldRule(number(0)),
    "ToleratedFailureCountPath": FieldRule(field_checks.reference_path, JSONPATH),
    "ToleratedFailurePercentage": FieldRule(number(0.0, 100.0, is_integer=False)),
    "ToleratedFailurePercentagePath": FieldRule(field_checks.reference_path, JSONPATH),
}

STATES = {
    "Task": ObjectRule(
        WORK
        | ARGUMENTS
        | {
            "Resource": FieldRule(field_checks.text),
            "TimeoutSeconds": FieldRule(number(1, MAX_SECONDS)),
            "TimeoutSecondsPath": FieldRule(field_checks.reference_path, JSONPATH),
            "HeartbeatSeconds": FieldRule(number(1, MAX_SECONDS)),
            "HeartbeatSecondsPath": FieldRule(field_checks.reference_path, JSONPATH),
            "Credentials": FieldRule(_credentials),
        },
        ("Resource",),
        (("TimeoutSeconds", "TimeoutSecondsPath"), ("HeartbeatSeconds", "HeartbeatSecondsPath")),
    ),
    "Wait": ObjectRule(
        COMMON
        | PATHS
        | OUTPUT
        | ASSIGN
        | TRANSITION
        | {
            "Seconds": FieldRule(number(0, MAX_SECONDS)),
            "SecondsPath": FieldRule(field_checks.reference_path, JSONPATH),
            "Timestamp": FieldRule(field_checks.timestamp),
            "TimestampPath": FieldRule(field_checks.reference_path, JSONPATH),
        },
        exclusive=(("Seconds", "SecondsPath", "Timestamp", "TimestampPath"),),
    ),
    "Pass": ObjectRule(
        COMMON
        | PATHS
        | RESULT_PATH
        | OUTPUT
        | ASSIGN
        | TRANSITION
        | {
            "Result": FieldRule(field_checks.literal_result, JSONPATH),
            "Parameters": FieldRule(field_checks.template, JSONPATH),
        }
    ),
    "Succeed": ObjectRule(COMMON | PATHS | OUTPUT),
    "Fail": ObjectRule(
        COMMON
        | {
            "Error": FieldRule(field_checks.text_or_expression),
            "ErrorPath": FieldRule(field_checks.path_or_intrinsic, JSONPATH),
            "Cause": FieldRule(field_checks.text_or_expression),
            "CausePath": FieldRule(field_checks.path_or_intrinsic, JSONPATH),
        },
        exclusive=(("Error", "ErrorPath"), ("Cause", "CausePath")),
    ),
    "Choice": ObjectRule(
        COMMON
        | PATHS
        | OUTPUT
        | ASSIGN
        | {"Choices": FieldRule(list_of(choice_rule)), "Default": FieldRule(field_checks.text)},
        ("Choices",),
    ),
    "Parallel": ObjectRule(
        WORK | ARGUMENTS | {"Branches": FieldRule(list_of(field_checks.json_object))}, ("Branches",)
    ),
    "Map": ObjectRule(
        WORK
        | DISTRIBUTED_FIELDS
        | TOLERANCE_FIELDS
        | {
            "ItemProcessor": FieldRule(field_checks.json_object),
            "Iterator": FieldRule(field_checks.json_object),
            "ItemsPath": FieldRule(field_checks.path, JSONPATH),
            "Items": FieldRule(_items, JSONATA),
            "ItemSelector": FieldRule(field_checks.template),
            "Parameters": FieldRule(field_checks.template, JSONPATH),
            "MaxConcurrency": FieldRule(number(0)),
            "MaxConcurrencyPath": FieldRule(field_checks.reference_path, JSONPATH),
        },
        exclusive=(
            ("ItemProcessor", "Iterator"),
            ("ItemSelector", "Parameters"),
            ("MaxConcurrency", "MaxConcurrencyPath"),
            ("ToleratedFailureCount", "ToleratedFailureCountPath"),
            ("ToleratedFailurePercentage", "ToleratedFailurePercentagePath"),
        ),
    ),
}
TYPE_NAMES = ("Task", "Wait", "Pass", "Succeed", "Fail", "Choice", "Parallel", "Map")  # in AWS's order
NEEDS_NEXT = ("Task", "Wait", "Pass", "Parallel", "Map")
ENDS = ("Succeed", "Fail")
