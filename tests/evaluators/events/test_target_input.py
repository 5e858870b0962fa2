"""Inputs of targets: constants, paths, templates with their quoting rules."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.events.target_input import NoInput, RuleContext, compile_input

CONTEXT = RuleContext("arn:aws:events:us-east-1:123456789012:rule/r", "r", 1_000)
EVENT = {
    "version": "0",
    "detail-type": "Batch Job State Change",
    "source": "aws.batch",
    "resources": ["A", "B"],
    "detail": {
        "jobName": "train",
        "jobId": "1-2",
        "attempts": 2,
        "ok": True,
        "none": None,
        "list": ["A", "B"],
        "object": {"k": "v", "k2": [1, {"x": "y"}]},
        "quoted": 'say "hi"',
        "instance-id": "i-1",
        "a b": [{"c": 5}],
    },
}
PATHS = {
    name: f"$.detail.{name}"
    for name in ("jobName", "jobId", "attempts", "ok", "none", "list", "object", "quoted", "absent")
}


def transformed(template: str, paths: dict[str, str] | None = None) -> str:
    return compile_input("t", paths_map=PATHS if paths is None else paths, template=template).render(EVENT, CONTEXT)


def test_the_whole_event_a_constant_and_paths() -> None:
    assert json.loads(compile_input("t").render(EVENT, CONTEXT)) == EVENT
    assert compile_input("t", constant='{"a":  1}').render(EVENT, CONTEXT) == '{"a":  1}'
    for path, text in (
        ("$.detail.jobName", '"train"'),
        ("$.detail.instance-id", '"i-1"'),
        ("$.detail['a b'][0].c", "5"),
        ("$.resources[1]", '"B"'),
        ("$.detail.none", "null"),
        ("$.detail.list", '["A","B"]'),
    ):
        assert compile_input("t", path=path).render(EVENT, CONTEXT) == text
    assert json.loads(compile_input("t", path="$").render(EVENT, CONTEXT)) == EVENT
    for path in ("$.nope", "$.resources[7]", "$.detail.jobName[0]", "$.detail.jobName.x"):
        with pytest.raises(NoInput):
            compile_input("t", path=path).render(EVENT, CONTEXT)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ('{"x": <jobName>}', '{"x":"train"}'),
        ('{"x": <attempts>, "y": <ok>}', '{"x":2,"y":true}'),
        ('{"x": <list>, "y": <object>}', '{"x":["A","B"],"y":{"k":"v","k2":[1,{"x":"y"}]}}'),
        ('{"x": "job <jobName> tried <attempts>"}', '{"x":"job train tried 2"}'),
        ('{"x": "a \\"<jobName>\\" b"}', '{"x":"a \\"train\\" b"}'),
        ('{"x": <absent>, "y": "a<absent>b"}', '{"x":"","y":"ab"}'),
        ('{"x": <none>}', '{"x":null}'),
        ("[<jobName>, <attempts>]", '["train",2]'),
        ('  \n{"x": <quoted>}', '{"x":"say \\"hi\\""}'),
        ("<object>", '{"k":"v","k2":[1,{"x":"y"}]}'),
        ('"Job <jobName> (<jobId>)"', '"Job train (1-2)"'),
        ('"<attempts> <ok> <list>"', '"2 true [A,B]"'),
        ('"<object>"', '"{k:v,k2:[1,{x:y}]}"'),
        ('"a<absent>b"', '"ab"'),
        ('"a <jobName>"\n"b <jobId>"', '"a train"\n"b 1-2"'),
        ('"{[/Check <jobName>"', '"{[/Check train"'),
        ('"<aws.events.rule-name> <aws.events.event.ingestion-time>"', '"r 1970-01-01T00:00:01Z"'),
        ('{"r": "<aws.events.rule-arn>"}', '{"r":"arn:aws:events:us-east-1:123456789012:rule/r"}'),
    ],
)
def test_templates(template: str, text: str) -> None:
    assert transformed(template) == text


def test_every_text_can_be_encoded() -> None:
    event = {"detail": {"half": "a\ud800é"}}
    for template in ('"<h>"', '{"h": <h>}', '{"h": "<h>"}'):
        text = compile_input("t", paths_map={"h": "$.detail.half"}, template=template).render(event, CONTEXT)
        assert text.encode().decode() == text
    assert compile_input("t").render(event, CONTEXT).isascii()


def test_the_event_as_a_variable() -> None:
    without = {key: value for key, value in EVENT.items() if key not in ("detail", "detail-type")}
    assert json.loads(transformed('{"e": <aws.events.event>}')) == {
        "e": {**without, "detailType": "Batch Job State Change"}
    }
    assert json.loads(transformed('{"e": <aws.events.event.json>}')) == {"e": EVENT}


@pytest.mark.parametrize(
    "template", ['{"x": "<object>"}', '{"x": "<list>"}', '{"x": "<quoted>"}', '{"x": <jobName>', '{"x": a<jobName>}']
)
def test_what_makes_no_json_is_not_delivered(template: str) -> None:
    with pytest.raises(NoInput, match="no valid JSON"):
        transformed(template)


@pytest.mark.parametrize(
    ("members", "text"),
    [
        (
            {"constant": "1", "path": "$"},
            "Only one of Input, InputPath, or InputTransformer must be provided for target t.",
        ),
        ({"template": '"<x>"'}, "InputTemplate for target t contains invalid placeholder x."),
        (
            {"template": "bare <x>"},
            "InputTemplate for target t is neither JSON nor a quoted string: it begins with 'b'.",
        ),
        (
            {"template": '"a"', "paths_map": {"AWSx": "$"}},
            "InputPathsMap for target t contains the reserved name AWSx.",
        ),
        ({"constant": "{"}, "JSON syntax error in input for target t."),
    ],
)
def test_texts_of_refusals(members: dict[str, Any], text: str) -> None:
    with pytest.raises(Refused) as refusal:
        compile_input("t", **members)
    assert (refusal.value.code, refusal.value.message) == ("ValidationException", text)


@pytest.mark.parametrize("path", ["detail", "", "$.", "$..a", "$[", "$['a", "$.a[-1]", "$.a.*"])
def test_paths_outside_the_subset(path: str) -> None:
    with pytest.raises(Refused, match="InputPath for target t is not valid"):
        compile_input("t", path=path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_a_value_alone_in_a_json_template_arrives_as_it_is(value: Any) -> None:
    compiled = compile_input("t", paths_map={"v": "$.detail"}, template='{"v": <v>}')
    assert json.loads(compiled.render({"detail": value}, CONTEXT)) == {"v": value}


@given(st.text('{}[]"\\<>ax ', max_size=20), JSON)
def test_any_template_is_refused_or_renders_or_has_no_input(template: str, value: Any) -> None:
    try:
        text = compile_input("t", paths_map={"a": "$.a", "x": "$"}, template=template).render({"a": value}, CONTEXT)
    except (Refused, NoInput):
        return
    if template.lstrip().startswith(("{", "[")):
        json.loads(text)
    else:
        assert text.startswith('"')


@given(st.text("$.[]'\"a0*- ", max_size=12))
def test_any_path_is_refused_or_finds_or_has_no_input(path: str) -> None:
    try:
        json.loads(compile_input("t", path=path).render({"a": [{"a": 0}]}, CONTEXT))
    except (Refused, NoInput):
        return
