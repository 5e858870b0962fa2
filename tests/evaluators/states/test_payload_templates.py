"""Payload templates: what is replaced, what is literal, and the texts of what fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchyard.evaluators.states.errors import InvalidExpression, StateError
from batchyard.evaluators.states.payload_templates import compile_template
from batchyard.evaluators.states.scope import Scope

REFUSED = "The value for the field 'x.$' must be a valid JSONPath or a valid intrinsic function call"


def evaluated(template: Any, document: Any = None, **variables: Any) -> Any:
    return compile_template(template).evaluate(Scope(document, {"Execution": {"Id": "arn"}}, variables))


def test_members_that_end_in_a_dollar_are_replaced_at_every_depth() -> None:
    template = {
        "plain": "$.a",
        "path.$": "$.a",
        "deep": {"list": [{"x.$": "$.b[0]"}, "$.a", 1, [{"y.$": "$$.Execution.Id"}]]},
        "call.$": "States.Format('{}!', $v)",
        "all.$": "$",
        "none.$": "$.b[*].c",
    }
    document = {"a": 1, "b": [2]}
    assert evaluated(template, document, v="x") == {
        "plain": "$.a",
        "path": 1,
        "deep": {"list": [{"x": 2}, "$.a", 1, [{"y": "arn"}]]},
        "call": "x!",
        "all": document,
        "none": [],
    }
    assert list(evaluated(template, document, v="x")) == ["plain", "path", "deep", "call", "all", "none"]


def test_constants_stay_as_they_are() -> None:
    for document in ({}, [], "$.a", None, 1.0, {"a": [{"b": None}]}):
        assert evaluated(document) == document


def test_a_template_reads_the_values_that_variables_have_on_entry() -> None:
    template = compile_template({"x.$": "$y", "y.$": "$x", "z": {"w.$": "States.Array($x, $z.a)"}})
    assert template.variables == {"x", "y", "z"}
    assert template.evaluate(Scope(variables={"x": 1, "y": 2, "z": {"a": 3}})) == {"x": 2, "y": 1, "z": {"w": [1, 3]}}


@pytest.mark.parametrize(
    "value", ["x", "", "$.", "$.a.length()", "States.Nope()", "{% 1 %}", 1, None, ["$.a"], {"y": 1}]
)
def test_what_is_neither_path_nor_function_is_refused_with_the_text_of_aws(value: Any) -> None:
    with pytest.raises(InvalidExpression) as fault:
        compile_template({"deep": [{"x.$": value}]})
    assert fault.value.message == REFUSED


def test_a_path_that_finds_nothing_names_its_field() -> None:
    with pytest.raises(StateError) as failure:
        evaluated({"a": {"value.$": "$.no"}}, {"int-literal": 0})
    assert (failure.value.error, failure.value.cause) == (
        "States.Runtime",
        "The JSONPath '$.no' specified for the field 'value.$' could not be found in the input '{\"int-literal\":0}'",
    )


def test_an_index_past_the_end_gives_null() -> None:
    assert evaluated({"x.$": "$.items[5]"}, {"items": [1, 2]}) == {"x": None}


def test_deep_and_endless_templates_are_refused() -> None:
    deep: Any = "x"
    for _ in range(102):
        deep = {"a": deep}
    with pytest.raises(InvalidExpression, match="Parameters is nested more than 100 levels deep"):
        compile_template(deep)
    wide = {f"{number}.$": "$" for number in range(300)}
    with pytest.raises(StateError) as failure:
        evaluated(wide, "x" * 50_000)
    assert failure.value.error == "States.DataLimitExceeded"


def test_the_parameters_of_the_pipeline_in_the_examples_are_evaluated() -> None:
    text = (Path(__file__).parents[2] / "examples/state-machine-ml-pipeline.asl.json").read_text()
    states = json.loads(text)["States"]
    scope = Scope({"date": "2026-01-01", "error": {"Error": "States.TaskFailed", "Cause": '{"Attempts":[]}'}})
    assert compile_template(states["IngestData"]["Parameters"]).evaluate(scope)["ContainerOverrides"] == {
        "Environment": [{"Name": "DATE", "Value": "2026-01-01"}]
    }
    message = compile_template(states["NotifyFailure"]["Parameters"]).evaluate(scope)["Message"]
    assert message == 'Pipeline failed: {Error=States.TaskFailed, Cause={"Attempts":[]}}'
    with pytest.raises(StateError, match=r"'\$\.date' specified for the field 'Value\.\$'.*input '\{\}'"):
        compile_template(states["IngestData"]["Parameters"]).evaluate(Scope({}))
