"""Hostile expressions and data get a value or one of two named errors, and paths agree with a plain reading."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.evaluators.states.choice_rules import OPERATOR_NAMES, compile_choices
from batchyard.evaluators.states.errors import InvalidExpression, StateError
from batchyard.evaluators.states.intrinsics import compile_intrinsic
from batchyard.evaluators.states.json_paths import compile_path, compile_reference_path
from batchyard.evaluators.states.json_values import compact
from batchyard.evaluators.states.payload_templates import compile_template
from batchyard.evaluators.states.scope import Scope

NAMES = st.sampled_from(["a", "b", "c d", "it's", 'q"', "back\\slash", "ü", "$", "@x", ""])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "a", "1", "x,y", "{}", "2020-01-01T00:00:00Z"])
)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=12
)
SEEDS = st.sampled_from(
    [
        "$.a['b'][0].c",
        "$$.Execution.Input",
        "$x.a[-1:]",
        "$..a[?(@.b == 'c' && !(@.d in [1,2]) || @.e =~ /(a|b)+c*/)].f",
        "$['a','b'][*]..*",
        "States.Format('{} \\'{}\\'', $.a, States.Array(1.5e2, true, null, $$.b))",
        "States.JsonMerge(States.StringToJson('{\"a\":1}'), $, false)",
        "States.ArrayRange(1, 10, $.a)",
        "States.StringSplit($[?(@.a == ',)')], ',')",
    ]
)
PIECES = st.sampled_from(
    ["$", ".", "..", "[", "]", "(", ")", "'", '"', "\\", ",", "*", "?", "@", "!", "&&", "||", "==", "=~", "/", "{", "}"]
) | st.sampled_from([" ", "0", "-1", "9" * 20, "States.", "States.UUID()", "in", "null", "a", "é", "\n", "\ud800"])


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A text near an expression: some of its characters are cut, doubled or replaced."""
    text = draw(SEEDS)
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 6))
        text = text[:start] + draw(PIECES | st.just(text[start:end] * 2) | st.just("")) + text[end:]
    return text


@settings(max_examples=200)
@given(text=damaged(), document=DOCUMENTS)
def test_a_damaged_expression_gives_a_value_or_a_named_error(text: str, document: Any) -> None:
    scope = Scope(document, {"Execution": {"Input": document}}, {"x": document}, "seed")
    for compiled in (compile_path, compile_intrinsic, lambda text: compile_template({"x.$": text})):
        try:
            expression = compiled(text)
        except InvalidExpression as fault:
            message = fault.message
            assert message
            continue
        try:
            value = expression.find(scope) if hasattr(expression, "find") else expression.evaluate(scope)
            assert isinstance(compact(value), str)
        except StateError as failure:
            error, cause = failure.error, failure.cause
            assert error in ("States.Runtime", "States.DataLimitExceeded")
            assert cause


@st.composite
def rules(draw: st.DrawFn, depth: int = 0) -> Any:
    kind = draw(st.sampled_from(["And", "Or", "Not", "compare", "compare", "odd"] if depth < 3 else ["compare"]))
    if kind in ("And", "Or"):
        return {kind: draw(st.lists(rules(depth=depth + 1), max_size=3))}
    if kind == "Not":
        return {kind: draw(rules(depth=depth + 1))}
    if kind == "odd":
        return draw(
            SCALARS | st.dictionaries(st.sampled_from(["And", "Not", "Variable", "IsNull"]), SCALARS, max_size=2)
        )
    operand = SCALARS | st.sampled_from(["$.a", "$x", "$$.Execution", "a*\\*b", "a\\b"])
    variable = st.sampled_from(["$", "$.a", "$.a[0]", "$x.b", "$.a[*]", "$$.Execution.Input"])
    return {"Variable": draw(variable), draw(st.sampled_from(OPERATOR_NAMES)): draw(operand)}


@settings(max_examples=150)
@given(documents=st.lists(rules(), max_size=3), document=DOCUMENTS)
def test_rules_select_one_of_them_or_end_in_a_named_error(documents: list[Any], document: Any) -> None:
    scope = Scope(document, {"Execution": {"Input": document}}, {"x": document})
    try:
        choices = compile_choices(documents)
    except InvalidExpression as fault:
        message = fault.message
        assert message
        return
    try:
        selected = choices.select(scope)
    except StateError as failure:
        error = failure.error
        assert error == "States.Runtime"
        return
    assert selected is None or 0 <= selected < len(documents)


# -- paths against the document they were made from --


def quoted(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return "['" + step.replace("\\", "\\\\").replace("'", "\\'") + "']"


@st.composite
def documents_with_steps(draw: st.DrawFn) -> tuple[Any, list[str | int], Any]:
    """A document, the steps to one of its values, and that value."""
    document = value = draw(DOCUMENTS)
    steps: list[str | int] = []
    while isinstance(value, dict | list) and value and draw(st.integers(0, 4)):
        step = draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
        steps.append(step)
        value = value[step]
    return document, steps, value


@given(documents_with_steps())
def test_a_path_finds_what_its_steps_lead_to(made: tuple[Any, list[str | int], Any]) -> None:
    document, steps, value = made
    text = "$" + "".join(map(quoted, steps))
    assert compile_path(text).find(Scope(document)) is value
    assert compile_path(text.replace("$", "$x", 1)).find(Scope(None, {}, {"x": document})) is value
    assert compile_path(text.replace("$", "$$", 1)).find(Scope(None, {"a": 1} if not steps else document)) == (
        {"a": 1} if not steps else value
    )


@given(documents_with_steps(), SCALARS)
def test_what_is_put_is_found_and_everything_else_stays(made: tuple[Any, list[str | int], Any], new: Any) -> None:
    document, steps, _ = made
    before = compact(document)
    path = compile_reference_path("$" + "".join(map(quoted, steps)))
    changed = path.put(document, new)
    assert path.find(Scope(changed)) is new
    assert compact(document) == before
    assert compact(path.put(changed, path.find(Scope(document)))) == before


# -- wildcards, slices and descents against a plain reading of the specification --

STEPS = st.sampled_from(
    ["['a']", "['b']", "[0]", "[-1]", "[*]", "[1:]", "[:1]", "[0,2]", "..['a']", "..*", "['a','b']"]
)


def plainly(steps: list[str], value: Any) -> list[Any]:
    """What the steps lead to, read without a plan: one value at a time, depth first."""
    if not steps:
        return [value]
    step, rest = steps[0], steps[1:]
    if step.startswith(".."):
        here = plainly(["[*]" if step == "..*" else step[2:], *rest], value)
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return here + [found for child in children for found in plainly(steps, child)]
    if step == "[*]":
        reached = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    elif step == "['a','b']":
        present = {name: value[name] for name in ("a", "b") if isinstance(value, dict) and name in value}
        reached = list(present.values()) if rest else [present] if isinstance(value, dict) else []
    elif step.startswith("['"):
        reached = [value[step[2]]] if isinstance(value, dict) and step[2] in value else []
    elif not isinstance(value, list):
        reached = []
    elif ":" in step:
        reached = value[1:] if step == "[1:]" else value[:1]
    else:
        reached = [value[int(at)] for at in step[1:-1].split(",") if -len(value) <= int(at) < len(value)]
    return [found for item in reached for found in plainly(rest, item)]


@settings(max_examples=200)
@given(steps=st.lists(STEPS, min_size=1, max_size=4), document=DOCUMENTS)
def test_paths_with_many_results_find_what_a_plain_reading_finds(steps: list[str], document: Any) -> None:
    path = compile_path("$" + "".join(steps))
    found = plainly(steps, document)
    if path.is_definite:
        assert path.find_or(Scope(document), None) == (found[0] if found else None)
    else:
        assert path.find(Scope(document)) == found


@pytest.mark.parametrize(
    "text",
    [
        "$" + "[?(@.a" * 5_000,
        "$[?(" + "!" * 5_000 + "@.a)]",
        "$[?(@.a == '" + "\\" * 5_000 + "')]",
        "$[?(@.a in [" + "1," * 3_000 + "1])]",
        "$" + "['a'," * 3_000,
        "$" + ".." * 5_000,
        "$[?(" + "@.a && " * 1_400 + "@.a)]",
        "$[?(@.a =~ /" + "(a*)*" * 300 + "b/)]",
        "$." + "9" * 9_000,
    ],
)
def test_long_texts_are_read_or_refused_and_then_cheap_to_evaluate(text: str) -> None:
    try:
        path = compile_path(text)
    except InvalidExpression as fault:
        message = fault.message
        assert message
        return
    assert path.find_or(Scope([{"a": "a" * 1_000}, {"b": 1}]), []) is not None
